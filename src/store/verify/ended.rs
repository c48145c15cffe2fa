//! What stands behind the end of a gate: it does nothing more until it is started.

use super::Problems;

/// The way along the records of a gate.
#[derive(Debug, Default)]
pub(super) struct Ended {
    /// The `stop` record behind which no `start` has come.
    stop: Option<u64>,
    /// What a gate does, behind the last `stop` record before it.
    done: Vec<(u64, u64)>,
}

impl Ended {
    pub(super) fn see(&mut self, seq: u64, kind: &str) {
        match kind {
            "stop" => self.stop = Some(seq),
            "start" => self.stop = None,
            kind if WHILE_DOWN.contains(&kind) => {}
            _ => {
                if let Some(stop) = self.stop
                    && self.done.len() < MOST
                {
                    self.done.push((stop, seq));
                }
            }
        }
    }

    /// What no gate has done, unless a checkpoint covers it: up to record `covered` they do.
    pub(super) fn problem(&self, covered: u64, problems: &mut Problems) {
        for (stop, seq) in self.done.iter().filter(|(_, seq)| *seq > covered) {
            problems.add(format!(
                "record {seq} stands behind the end of the gate (record {stop}), without a start in between, and no checkpoint \
                 covers it: the gate has not written it"
            ));
        }
    }
}

/// What is written behind a `stop`: checkpoints, and what commands and the next start write before it begins.
const WHILE_DOWN: [&str; 6] = [
    "checkpoint",
    "cosigned",
    "key",
    "pruned",
    "recovery",
    "settled",
];
/// More are not remembered.
const MOST: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_done_between_an_end_and_a_start() {
        let told = |kinds: &[&str], covered| {
            let (mut ended, mut problems) = (Ended::default(), Problems::default());
            for (seq, kind) in (1..).zip(kinds) {
                ended.see(seq, kind);
            }
            ended.problem(covered, &mut problems);
            problems.all()
        };
        let down = ["start", "decision", "stop", "checkpoint", "settled", "key"];
        assert!(told(&down, 0).is_empty());
        for kind in ["decision", "outcome", "reload", "unreadable", "anything"] {
            let behind = [&down[..], &[kind]].concat();
            let said = told(&behind, 3);
            assert!(said[0].starts_with("record 7 stands behind"), "{said:?}");
            assert!(told(&behind, 7).is_empty());
            assert!(told(&[&down[..], &["start", kind]].concat(), 3).is_empty());
        }
    }
}
