//! Where pages are made: a thread each, which lets requests go first, and no more than so many at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::time::timeout;

use super::play::Held;
use super::{Asked, Config, Fault, Made, Params, Route, Viewer};
use crate::admin::Status;
use crate::policy::Policy;
use crate::trail::{self, Source};

/// Opens what answers come from, as new as the records are.
pub type Open = Arc<dyn Fn() -> Result<Source, trail::Error> + Send + Sync>;

/// What the console is beside.
#[derive(Clone)]
pub struct Gate {
    pub trail: Open,
    /// What judges now, and how the gate is; `None`: no gate runs in this process.
    pub status: Option<Status>,
    /// The policies: those in force, or those that the command line names.
    pub policies: Option<Arc<dyn Fn() -> Policy + Send + Sync>>,
    /// This program, which judges for the playground; `None`: there is no playground.
    pub worker: Option<PathBuf>,
    pub now: fn() -> jiff::Timestamp,
    /// Lets requests go before the thread that calls it.
    pub step_back: fn(),
}

pub(super) struct Desk {
    gate: Gate,
    places: Arc<Semaphore>,
    page_timeout: Duration,
}

impl Gate {
    pub(super) fn open(&self) -> Result<Source, Fault> {
        Ok((self.trail)()?)
    }
}

impl Desk {
    pub(super) fn new(config: &Config, gate: Gate) -> Self {
        let places = usize::from(config.max_pages.get());
        Self::with(places, config.page_timeout.as_std(), gate)
    }

    /// One with so many places, for what takes so long at most.
    pub(super) fn with(places: usize, page_timeout: Duration, gate: Gate) -> Self {
        Self {
            gate,
            places: Arc::new(Semaphore::new(places)),
            page_timeout,
        }
    }

    /// A page. Whoever has gone does not let the next one in before it is made: its thread is busy until then.
    pub(super) async fn make(
        &self,
        route: Route,
        params: Params,
        viewer: Viewer,
    ) -> Result<Made, Fault> {
        self.make_in(Held::default(), route, params, viewer).await
    }

    /// The same with what is held until the work is done.
    pub(super) async fn make_in(
        &self,
        held: Held,
        route: Route,
        params: Params,
        viewer: Viewer,
    ) -> Result<Made, Fault> {
        self.think(move |gate| {
            let _held = held;
            let asked = Asked {
                gate,
                viewer: &viewer,
                params: &params,
                now: (gate.now)(),
            };
            route.make(&asked)
        })
        .await
    }

    /// What takes time, where it stops nobody.
    pub(super) async fn think<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Gate) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let place = timeout(PATIENCE, self.places.clone().acquire_owned()).await;
        let Ok(Ok(place)) = place else {
            return Err(Fault::Busy);
        };
        let gate = self.gate.clone();
        let (done, thought) = oneshot::channel();
        let thinking = move || {
            (gate.step_back)();
            let made = work(&gate);
            drop(place);
            let _gone = done.send(made);
        };
        // One of its own: a thread that has stepped back cannot come forward again.
        let thread = std::thread::Builder::new().name("console".to_owned());
        thread
            .spawn(thinking)
            .map_err(|error| Fault::Failed(format!("no thread can be had: {error}")))?;
        match timeout(self.page_timeout, thought).await {
            Err(_late) => Err(Fault::Late),
            Ok(Err(_panic)) => Err(Fault::Failed(
                "dtgate has a fault (its log says where)".to_owned(),
            )),
            Ok(Ok(made)) => made,
        }
    }
}

/// How long a page waits for others.
const PATIENCE: Duration = Duration::from_secs(2);
