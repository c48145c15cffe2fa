//! How an allowed request ended. Which endings leave it in doubt is said here, once: for whoever verifies, for every
//! index, and for whoever tells what happened.

/// How an allowed request ended, by its outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Dynatrace did it: it answered with a status of success.
    Done,
    /// Dynatrace refused it: it answered that the request was wrong (4xx).
    Refused,
    /// It never reached Dynatrace.
    NotSent,
    /// Dynatrace answered, and not whether it did it. A 5xx may come from a proxy before it, or after the change.
    Unclear,
    /// There is no answer, or none that could be passed on.
    Unknown,
}

impl Ending {
    /// By what an outcome says. What nobody knows is unknown.
    pub fn of(outcome: &str, status: Option<u64>) -> Self {
        match (outcome, status) {
            ("answered", Some(200..300)) => Self::Done,
            ("answered", Some(400..500)) => Self::Refused,
            ("answered", _) => Self::Unclear,
            ("failed", _) => Self::NotSent,
            _ => Self::Unknown,
        }
    }

    /// Whether somebody has to look what became of it, unless a record settles it.
    pub fn is_in_doubt(self) -> bool {
        matches!(self, Self::Unclear | Self::Unknown)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_success_is_done_and_only_a_refusal_is_not() {
        for (outcome, status, wanted) in [
            ("answered", Some(200), Ending::Done),
            ("answered", Some(204), Ending::Done),
            ("answered", Some(400), Ending::Refused),
            ("answered", Some(429), Ending::Refused),
            ("answered", Some(101), Ending::Unclear),
            ("answered", Some(302), Ending::Unclear),
            ("answered", Some(304), Ending::Unclear),
            ("answered", Some(500), Ending::Unclear),
            ("answered", Some(503), Ending::Unclear),
            ("answered", None, Ending::Unclear),
            ("failed", None, Ending::NotSent),
            ("unknown", None, Ending::Unknown),
            // It was not passed on, whatever it said.
            ("unknown", Some(204), Ending::Unknown),
            ("unknown", Some(404), Ending::Unknown),
            ("", Some(200), Ending::Unknown),
        ] {
            assert_eq!(Ending::of(outcome, status), wanted, "{outcome} {status:?}");
        }
    }
}
