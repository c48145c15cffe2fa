//! Places of which there are so many: in all, and for one viewer.
//!
//! Nobody takes them all: each viewer has a line of their own, and the lines take turns. Where nobody logs in, nobody is
//! known, and there is one line for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::Viewer;
use super::viewer::Person;

/// The places.
pub(super) struct Shares {
    all: Arc<Semaphore>,
    of_one: usize,
    most: usize,
    lines: Mutex<HashMap<Person, Arc<Semaphore>>>,
}

/// A place, until it is dropped.
#[derive(Debug)]
pub(super) struct Share {
    _all: OwnedSemaphorePermit,
    _of_one: Option<OwnedSemaphorePermit>,
}

impl Shares {
    /// So many, and so many of them for one viewer.
    pub(super) fn new(most: usize, of_one: usize) -> Self {
        Self {
            all: Arc::new(Semaphore::new(most)),
            of_one,
            most,
            lines: Mutex::default(),
        }
    }

    /// So many are taken.
    pub(super) fn taken(&self) -> usize {
        self.most.saturating_sub(self.all.available_permits())
    }

    /// A place, if there is one at once.
    pub(super) fn take(&self, viewer: &Viewer) -> Option<Share> {
        let of_one = match self.line(viewer) {
            None => None,
            Some(line) => Some(line.try_acquire_owned().ok()?),
        };
        let all = self.all.clone().try_acquire_owned().ok()?;
        Some(Share {
            _all: all,
            _of_one: of_one,
        })
    }

    /// A place as soon as it is this viewer's turn, if that comes in time.
    pub(super) async fn wait(&self, viewer: &Viewer, until: Instant) -> Option<Share> {
        let of_one = match self.line(viewer) {
            None => None,
            Some(line) => {
                let turn = timeout_at(until, line.acquire_owned()).await;
                Some(turn.ok()?.ok()?)
            }
        };
        let all = timeout_at(until, self.all.clone().acquire_owned()).await;
        Some(Share {
            _all: all.ok()?.ok()?,
            _of_one: of_one,
        })
    }

    fn line(&self, viewer: &Viewer) -> Option<Arc<Semaphore>> {
        let person = viewer.person?;
        let mut lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        // Whoever stands in one, or has a place, holds it.
        lines.retain(|_, line| Arc::strong_count(line) > 1);
        let line = lines.entry(person);
        let line = line.or_insert_with(|| Arc::new(Semaphore::new(self.of_one)));
        Some(line.clone())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn named(name: &str) -> Viewer {
        Viewer {
            name: name.to_owned(),
            person: Some(Person::by_password(name)),
            ..Viewer::anybody()
        }
    }

    #[tokio::test]
    async fn one_viewer_takes_no_more_than_a_share_and_others_find_room() {
        let shares = Shares::new(3, 2);
        let (alice, victor) = (named("alice"), named("victor"));
        let held = [shares.take(&alice).unwrap(), shares.take(&alice).unwrap()];
        assert!(shares.take(&alice).is_none());
        let soon = || Instant::now() + Duration::from_millis(10);
        assert!(shares.wait(&alice, soon()).await.is_none());
        let of_victor = shares.wait(&victor, soon()).await.unwrap();
        assert_eq!(shares.taken(), 3);
        assert!(shares.take(&named("carol")).is_none());
        drop((held, of_victor));
        // Of whom nothing is held, nothing is known.
        assert!(shares.take(&victor).is_some());
        assert_eq!(shares.lines.lock().unwrap().len(), 1);
        assert_eq!(shares.taken(), 0);
    }

    #[tokio::test]
    async fn however_many_wait_in_one_line_the_next_place_is_somebody_elses() {
        let shares = Arc::new(Shares::new(1, 1));
        let (alice, victor) = (named("alice"), named("victor"));
        let first = shares.take(&alice).unwrap();
        let late = Instant::now() + Duration::from_mins(1);
        for _ in 0..5 {
            let (shares, alice) = (shares.clone(), alice.clone());
            tokio::spawn(async move {
                let share = shares.wait(&alice, late).await;
                tokio::time::sleep(Duration::from_millis(300)).await;
                drop(share);
            });
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        let waiting = {
            let shares = shares.clone();
            tokio::spawn(async move {
                let began = Instant::now();
                let _share = shares.wait(&victor, late).await.unwrap();
                began.elapsed()
            })
        };
        tokio::time::sleep(Duration::from_millis(20)).await;
        drop(first);
        assert!(waiting.await.unwrap() < Duration::from_millis(900));
    }

    #[test]
    fn two_who_are_greeted_alike_take_no_places_of_each_other() {
        let shares = Shares::new(4, 1);
        let alex = |subject: &str| Viewer {
            person: Some(Person::by_issuer("https://a.example", subject)),
            ..named("alex")
        };
        let _one = shares.take(&alex("1")).unwrap();
        assert!(shares.take(&alex("1")).is_none());
        let _another = shares.take(&alex("2")).unwrap();
        let _by_password = shares.take(&named("alex")).unwrap();
    }

    #[test]
    fn where_nobody_is_known_all_places_are_everybodys() {
        let shares = Shares::new(2, 1);
        let anybody = Viewer::anybody();
        let _held = [
            shares.take(&anybody).unwrap(),
            shares.take(&anybody).unwrap(),
        ];
        assert!(shares.take(&anybody).is_none());
    }
}
