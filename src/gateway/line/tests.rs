use std::collections::HashMap;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Waker};

use proptest::prelude::*;
use tokio::sync::oneshot::error::TryRecvError;

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

fn who(last: u8, credential: u64) -> Who {
    Who {
        address: Address::from(IpAddr::from([10, 0, 0, last])),
        credential,
    }
}

impl Line {
    fn is_as_new(&self, cores: usize) -> bool {
        let state = self.state();
        (state.idle, state.waiting) == (cores, 0) && state.addresses.is_empty()
    }
}

/// A request that waits, polled by hand.
struct Waiting(Pin<Box<dyn Future<Output = Result<Turn, Crowded>>>>);

impl Waiting {
    fn stands(line: &Line, from: u8, credential: u64) -> Self {
        let line = line.clone();
        let mut waiting = Self(Box::pin(
            async move { line.turn(who(from, credential)).await },
        ));
        assert!(waiting.turn().is_none(), "no core is idle");
        waiting
    }

    fn turn(&mut self) -> Option<Turn> {
        let mut context = Context::from_waker(Waker::noop());
        match self.0.as_mut().poll(&mut context) {
            std::task::Poll::Ready(turn) => Some(turn.unwrap()),
            std::task::Poll::Pending => None,
        }
    }
}

#[tokio::test]
async fn who_asks_once_waits_for_one_turn_of_who_asks_a_hundred_times() {
    let line = Line::new(1, 100, PATIENCE);
    let mut running = line.turn(who(1, 1)).await.unwrap();
    let mut greedy: Vec<_> = (0..100).map(|_| Waiting::stands(&line, 1, 1)).collect();
    let mut same_address = Waiting::stands(&line, 1, 2);
    let mut other = Waiting::stands(&line, 2, 1);
    let mut order = Vec::new();
    for _ in 0..4 {
        drop(running);
        let all = greedy.iter_mut().map(|waiting| ("greedy", waiting));
        let all = all.chain([("same", &mut same_address), ("other", &mut other)]);
        let mut granted = all.filter_map(|(name, waiting)| {
            // A future that is done is not polled again.
            if order.contains(&name) && name != "greedy" {
                return None;
            }
            Some((name, waiting.turn()?))
        });
        let (name, turn) = granted.next().unwrap();
        drop(granted);
        if name == "greedy" {
            drop(greedy.remove(0));
        }
        order.push(name);
        running = turn;
    }
    assert_eq!(order, ["greedy", "other", "same", "greedy"]);
    drop((running, greedy));
    assert!(line.is_as_new(1));
}

#[tokio::test]
async fn a_full_queue_is_that_of_one_caller() {
    let line = Line::new(1, 2, PATIENCE);
    let running = line.turn(who(1, 1)).await.unwrap();
    let queued: Vec<_> = (0..2).map(|_| Waiting::stands(&line, 1, 1)).collect();
    assert_eq!(line.turn(who(1, 1)).await.unwrap_err(), Crowded::Full);
    let others = [Waiting::stands(&line, 1, 2), Waiting::stands(&line, 2, 1)];
    assert_eq!(line.waiting(), 4);
    drop((queued, others));
    assert_eq!(line.waiting(), 0);
    drop(running);
    assert!(line.is_as_new(1));
}

#[tokio::test(start_paused = true)]
async fn nobody_waits_longer_than_the_deadline() {
    let line = Line::new(1, 2, PATIENCE);
    let running = line.turn(who(1, 1)).await.unwrap();
    let started = tokio::time::Instant::now();
    assert_eq!(line.turn(who(2, 1)).await.unwrap_err(), Crowded::Late);
    assert_eq!(started.elapsed(), PATIENCE);
    drop(running);
    assert!(line.is_as_new(1));
}

#[tokio::test]
async fn a_turn_that_nobody_takes_any_more_is_the_next_ones() {
    let line = Line::new(1, 3, PATIENCE);
    let running = line.turn(who(1, 1)).await.unwrap();
    let gone = Waiting::stands(&line, 1, 1);
    let mut next = Waiting::stands(&line, 1, 1);
    // It has its turn, and does not know yet.
    drop(running);
    drop(gone);
    drop(next.turn().unwrap());
    assert!(line.is_as_new(1));
}

#[tokio::test]
async fn work_that_panics_keeps_no_core() {
    let line = Line::new(1, 1, PATIENCE);
    let broken = line.run(who(1, 0), || panic!("on purpose")).await;
    assert!(matches!(broken, Err::<(), _>(Reason::Panic)));
    assert!(line.is_as_new(1));
    assert_eq!(line.run(who(1, 0), || 7).await.unwrap(), 7);
}

#[tokio::test]
async fn work_that_has_begun_keeps_its_core_though_nobody_waits_for_it() {
    let line = Line::new(1, 1, PATIENCE);
    let (begun, begins) = oneshot::channel();
    let (finish, finished) = oneshot::channel();
    let there = line.clone();
    let asked = tokio::spawn(async move {
        let work = move || {
            begun.send(()).unwrap();
            finished.blocking_recv().unwrap();
        };
        there.run(who(1, 0), work).await
    });
    begins.await.unwrap();
    asked.abort();
    assert!(asked.await.unwrap_err().is_cancelled());
    let mut next = Waiting::stands(&line, 2, 1);
    finish.send(()).unwrap();
    drop(next.0.as_mut().await.unwrap());
    assert!(line.is_as_new(1));
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Stand(u8, u64),
    Next,
    Leave(usize),
}

/// What a request has seen of others since it came.
struct Seen {
    from: (u8, u64),
    granted: oneshot::Receiver<Turn>,
    /// Whether others of its own caller were there before it.
    behind_its_own: bool,
    turns: HashMap<(u8, u64), usize>,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        3 => (0..3_u8, 0..3_u64).prop_map(|(address, credential)| Step::Stand(address, credential)),
        2 => Just(Step::Next),
        1 => any::<usize>().prop_map(Step::Leave),
    ]
}

proptest! {
    #[test]
    fn nobody_gets_two_turns_before_who_is_next_in_his_own_queue(
        steps in proptest::collection::vec(step(), 0..120),
    ) {
        let mut state = State::default();
        let mut waiting: Vec<(u64, Seen)> = Vec::new();
        let drain = std::iter::repeat_n(Step::Next, steps.len());
        for step in steps.iter().copied().chain(drain) {
            match step {
                Step::Stand(from, credential) => {
                    let queued = waiting.iter().filter(|(_, seen)| seen.from == (from, credential));
                    let queued = queued.count();
                    match state.stand(who(from, credential), 5) {
                        Err(full) => {
                            prop_assert_eq!(full, Crowded::Full);
                            prop_assert_eq!(queued, 5);
                        }
                        Ok((arrival, granted)) => {
                            prop_assert!(queued < 5);
                            waiting.push((arrival, Seen {
                                from: (from, credential),
                                granted,
                                behind_its_own: queued > 0,
                                turns: HashMap::new(),
                            }));
                        }
                    }
                }
                Step::Leave(which) if !waiting.is_empty() => {
                    let (arrival, seen) = waiting.remove(which % waiting.len());
                    let (from, credential) = seen.from;
                    prop_assert!(state.leave(who(from, credential), arrival).is_some());
                    prop_assert!(state.leave(who(from, credential), arrival).is_none());
                }
                Step::Leave(_) => {}
                Step::Next => {
                    drop(state.next());
                    let is_next = |(_, seen): &mut (u64, Seen)| {
                        seen.granted.try_recv().unwrap_err() == TryRecvError::Closed
                    };
                    let next: Vec<_> = waiting.extract_if(.., is_next).collect();
                    prop_assert_eq!(next.len(), usize::from(!waiting.is_empty() || !next.is_empty()));
                    for (arrival, next) in next {
                        // In order within a queue.
                        let older = |(other, seen): &(u64, Seen)| seen.from == next.from && *other < arrival;
                        prop_assert!(!waiting.iter().any(older));
                        for (_, seen) in &mut waiting {
                            *seen.turns.entry(next.from).or_default() += 1;
                        }
                    }
                    for (_, seen) in waiting.iter().filter(|(_, seen)| !seen.behind_its_own) {
                        let own = seen.turns.iter().filter(|((from, _), _)| *from == seen.from.0);
                        prop_assert!(own.clone().all(|(_, turns)| *turns <= 1));
                        let own: usize = own.map(|(_, turns)| *turns).sum();
                        for other in (0..3).filter(|other| *other != seen.from.0) {
                            let turns = seen.turns.iter().filter(|((from, _), _)| *from == other);
                            let turns: usize = turns.map(|(_, turns)| *turns).sum();
                            prop_assert!(turns <= own + 1, "{turns} before {own}");
                        }
                    }
                }
            }
            prop_assert_eq!(state.waiting, waiting.len());
        }
        prop_assert!(state.addresses.is_empty());
    }
}
