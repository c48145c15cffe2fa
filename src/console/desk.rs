//! Where pages are made: a thread each, which lets requests go first, and no more than so many at once.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::play::Held;
use super::reached::Kept;
use super::shares::Shares;
use super::{Asked, Config, Fault, Made, Params, Route, Viewer};
use crate::admin::Status;
use crate::audit::Stop;
use crate::policy::Policy;
use crate::telemetry::{Limit, Metrics};
use crate::trail::ended::Wait;
use crate::trail::{self, Source};
use crate::value::threads;

/// Opens what answers come from, as new as the records are.
pub type Open = Arc<dyn Fn() -> Result<Source, trail::Error> + Send + Sync>;

/// Loads the policies that were in force under a revision.
pub type KeptPolicies = Arc<dyn Fn(&str) -> Option<Policy> + Send + Sync>;

/// What the console is beside.
#[derive(Clone)]
pub struct Gate {
    pub trail: Open,
    /// What judges now, and how the gate is; `None`: no gate runs in this process.
    pub status: Option<Status>,
    /// The policies: those in force, or those that the command line names.
    pub policies: Option<Arc<dyn Fn() -> Policy + Send + Sync>>,
    /// The policies that were in force under a revision, if they were kept.
    pub kept: Option<KeptPolicies>,
    /// This program, which judges for the playground; `None`: there is no playground.
    pub worker: Option<PathBuf>,
    pub now: fn() -> jiff::Timestamp,
    /// How long Dynatrace's answer may be on its way.
    pub answered_within: Duration,
    /// Lets requests go before the thread that calls it.
    pub step_back: fn(),
    pub metrics: Metrics,
}

pub(super) struct Desk {
    gate: Gate,
    places: Shares,
    page_timeout: Duration,
    kept: Arc<Kept>,
}

impl Gate {
    pub(super) fn open(&self) -> Result<Source, Fault> {
        Ok((self.trail)()?)
    }

    /// Until when an answer may still come.
    pub(super) fn wait(&self) -> Wait {
        Wait {
            now: (self.now)(),
            longest: self.answered_within,
        }
    }

    /// The same; its questions end as soon as this is over.
    pub(super) fn until(&self, stop: Stop) -> Self {
        let open = self.trail.clone();
        Self {
            trail: Arc::new(move || open()?.stop_at(stop.clone())),
            ..self.clone()
        }
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
            // With two places or more, nobody takes the last one from all others.
            places: Shares::new(places, places.saturating_sub(1).max(1)),
            page_timeout,
            kept: Arc::default(),
        }
    }

    pub(super) fn metrics(&self) -> &Metrics {
        &self.gate.metrics
    }

    pub(super) fn now(&self) -> jiff::Timestamp {
        (self.gate.now)()
    }

    /// A page. Whoever has gone does not let the next one in before its thread has noticed.
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
        // Before the thread lets all others go first: it asks for locks that requests need too, and whoever has stepped
        // back and holds one would have them wait for everybody else on the machine.
        let status = self.gate.status.as_ref();
        let status = status.filter(|_| matches!(route, Route::Now));
        let status = status.map(|status| status());
        let kept = self.kept.clone();
        self.think_until(&viewer.clone(), move |gate, stop| {
            let _held = held;
            let told = status.map(|told| -> Status { Arc::new(move || told.clone()) });
            let asked = Asked {
                gate: &Gate {
                    status: told,
                    ..gate.clone()
                },
                kept: &kept,
                viewer: &viewer,
                params: &params,
                now: (gate.now)(),
                stop,
            };
            route.make(&asked)
        })
        .await
    }

    /// What takes time, where it stops nobody. Its questions end when the time is over, or nobody waits any more.
    pub(super) async fn think<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Gate) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.think_for(&Viewer::nobody(), work).await
    }

    /// The same for somebody who is known.
    pub(super) async fn think_for<T: Send + 'static>(
        &self,
        viewer: &Viewer,
        work: impl FnOnce(&Gate) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        self.think_until(viewer, move |gate, _stop| work(gate))
            .await
    }

    /// The same for work that asks itself whether it is over.
    async fn think_until<T: Send + 'static>(
        &self,
        viewer: &Viewer,
        work: impl FnOnce(&Gate, &Stop) -> Result<T, Fault> + Send + 'static,
    ) -> Result<T, Fault> {
        let until = Instant::now() + PATIENCE;
        let Some(place) = self.places.wait(viewer, until).await else {
            self.gate.metrics.reached(Limit::ConsolePages);
            return Err(Fault::Busy);
        };
        let (stop, _waiting) = Stop::after(self.page_timeout);
        let gate = self.gate.until(stop.clone());
        let (done, thought) = oneshot::channel();
        let thinking = move || {
            (gate.step_back)();
            let made = work(&gate, &stop);
            // Whatever it says of a question that was given up.
            let made = made.map_err(|fault| if stop.is_over() { Fault::Late } else { fault });
            drop(place);
            let _gone = done.send(made);
        };
        // One of its own: a thread that has stepped back cannot come forward again.
        let thread = threads::named("console");
        thread.spawn(thinking).map_err(|error| Fault::Broken {
            told: "No thread can be had.",
            error: error.to_string(),
        })?;
        let made = match timeout(self.page_timeout, thought).await {
            Err(_late) => Err(Fault::Late),
            Ok(Err(_panic)) => Err(Fault::Failed(
                "dtgate has a fault (its log says where)".to_owned(),
            )),
            Ok(Ok(made)) => made,
        };
        if matches!(made, Err(Fault::Late)) {
            self.gate.metrics.reached(Limit::ConsolePageTimeout);
        }
        made
    }
}

/// How long a page waits for others.
const PATIENCE: Duration = Duration::from_secs(2);

#[cfg(test)]
pub(super) mod tests {
    use serde_json::json;

    use super::*;
    use crate::audit::index::{FILE, Filter, Index};
    use crate::console::viewer::Person;

    /// Beside a journal with so many denials.
    pub(in crate::console) fn gate_of(count: usize) -> Gate {
        let directory = Arc::new(tempfile::tempdir().unwrap());
        let mut lines = String::new();
        for seq in 1..=count {
            lines += &json!({
                "seq": seq, "kind": "decision", "timestamp": "2026-11-24T01:30:00.123Z", "verdict": "deny",
                "operation": "token.update", "input": {"request": {"path": "/api/v1/tokens/x"}},
                "error": "=cmd|x", "result": {"violations": [{"policy": "p", "mode": "enforce", "rule": "deny", "message": "m"}]},
            })
            .to_string();
            lines.push('\n');
        }
        std::fs::write(directory.path().join("00000000000000000001.jsonl"), lines).unwrap();
        let path = directory.path().join(FILE);
        Index::open(directory.path(), &path)
            .unwrap()
            .catch_up(|_| true)
            .unwrap();
        Gate {
            trail: Arc::new(move || Source::of_gate(directory.path(), &path)),
            status: None,
            policies: None,
            kept: None,
            now: || jiff::Timestamp::UNIX_EPOCH,
            answered_within: Duration::from_secs(65),
            step_back: || {},
            worker: None,
            metrics: Metrics::new("1.2.3"),
        }
    }

    fn desk(page_timeout: Duration) -> Desk {
        let config = Config::default();
        Desk {
            page_timeout,
            ..Desk::new(&config, gate_of(1))
        }
    }

    /// Asks without end.
    fn heavy(gate: &Gate) -> Result<(), Fault> {
        let source = gate.open()?;
        loop {
            source.find(&Filter::default(), None, 1)?;
            source.line(&crate::store::Key::default())?;
        }
    }

    async fn is_free_again(desk: &Desk) -> bool {
        let began = Instant::now();
        while desk.places.taken() > 0 {
            if began.elapsed() > Duration::from_secs(20) {
                return false;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        true
    }

    #[tokio::test]
    async fn a_search_that_takes_too_long_is_stopped_and_its_thread_is_free_again() {
        let desk = desk(Duration::from_millis(200));
        let found = desk.think(heavy).await;
        assert!(matches!(found, Err(Fault::Late)), "{found:?}");
        assert!(is_free_again(&desk).await);
        let text = desk.gate.metrics.encode();
        let counted = "dtgate_limit_reached_total{limit=\"console_page_timeout\"} 1";
        assert!(text.contains(counted), "{text}");
    }

    #[tokio::test]
    async fn one_viewer_who_asks_again_and_again_leaves_a_place_to_others() {
        let desk = Arc::new(desk(Duration::from_secs(20)));
        let named = |name: &str| Viewer {
            name: name.to_owned(),
            person: Some(Person::by_password(name)),
            ..Viewer::anybody()
        };
        let (greedy, victor) = (named("greedy"), named("victor"));
        let tasks: Vec<_> = (0..6)
            .map(|_| {
                let (desk, greedy) = (desk.clone(), greedy.clone());
                tokio::spawn(async move { desk.think_for(&greedy, heavy).await })
            })
            .collect();
        tokio::time::sleep(Duration::from_millis(100)).await;
        for _ in 0..3 {
            desk.think_for(&victor, |_gate| Ok(())).await.unwrap();
            // So does somebody who logs in.
            desk.think(|_gate| Ok(())).await.unwrap();
        }
        for task in tasks {
            task.abort();
        }
        assert!(is_free_again(&desk).await);
    }

    #[tokio::test]
    async fn so_is_one_for_which_nobody_waits_any_more() {
        let desk = desk(Duration::from_hours(1));
        let gone = timeout(Duration::from_millis(100), desk.think(heavy)).await;
        assert!(gone.is_err());
        assert!(is_free_again(&desk).await);
    }
}
