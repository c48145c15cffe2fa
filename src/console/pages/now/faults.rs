//! What is wrong with the gate, before all else on the page: what it means, why, and where somebody reads on.

use maud::{Markup, html};
use serde_json::Value;

use super::LISTED;
use crate::console::row::{cut, cut_at};

/// One thing that is wrong.
struct Wrong {
    what: String,
    /// As `/status` has it.
    why: String,
    then: &'static str,
    /// What docs/operations.md has about it.
    chapter: &'static str,
}

/// Where `/status` says that something is wrong.
struct Place {
    /// `*`: of each.
    pointer: &'static str,
    /// `*`: whose it is.
    what: &'static str,
    then: &'static str,
    chapter: &'static str,
}

/// Nothing where all is well.
pub(super) fn html(status: &Value) -> Markup {
    let all = wrong(status);
    html! {
        @if !all.is_empty() {
            div.fault role="region" aria-label="What is wrong" {
                ul {
                    @for it in all.iter().take(LISTED) {
                        li {
                            strong { (it.what) } " " (cut_at(&it.why, LONG)) " " (it.then)
                            " " span.soft { "See " (it.chapter) " in docs/operations.md." }
                        }
                    }
                }
            }
        }
    }
}

fn wrong(status: &Value) -> Vec<Wrong> {
    let mut all: Vec<Wrong> = PLACES
        .iter()
        .flat_map(|place| found(status, place))
        .collect();
    all.extend(disk(status));
    all.extend(certificates(status));
    // Of files that were put back, the last error is still told.
    let is_refused = status.pointer("/reload/refused") == Some(&Value::Bool(true));
    all.retain(|it| it.chapter != REFUSED || is_refused);
    all
}

fn found(status: &Value, place: &Place) -> Vec<Wrong> {
    let wrong = |whose: &str, why: &Value| {
        let why = why.as_str().filter(|why| !why.is_empty())?;
        Some(Wrong {
            what: place.what.replace('*', &cut(whose)),
            why: sentence(why),
            then: place.then,
            chapter: place.chapter,
        })
    };
    let Some((list, member)) = place.pointer.split_once("/*") else {
        let why = status.pointer(place.pointer).unwrap_or(&Value::Null);
        return wrong("", why).into_iter().collect();
    };
    let why = |of: &Value| of.pointer(member).cloned().unwrap_or_default();
    match status.pointer(list) {
        Some(Value::Array(all)) => all
            .iter()
            .filter_map(|it| wrong(it["name"].as_str().unwrap_or_default(), &why(it)))
            .collect(),
        Some(Value::Object(all)) => all
            .iter()
            .filter_map(|(name, it)| wrong(name, &why(it)))
            .collect(),
        _ => Vec::new(),
    }
}

fn disk(status: &Value) -> Option<Wrong> {
    let bytes = |name: &str| status.pointer(&format!("/journal/{name}"))?.as_u64();
    let (free, least) = (bytes("free_bytes")?, bytes("min_free_bytes")?);
    (free < least).then(|| Wrong {
        what: "The journal's disk is full.".to_owned(),
        why: format!("{} MiB are free, and {} MiB have to be.", free >> 20, least >> 20),
        then: "Reads that policies judge are answered 503, and denials are only counted: make room.",
        chapter: "DtgateJournalDiskFull",
    })
}

fn certificates(status: &Value) -> impl Iterator<Item = Wrong> {
    let all = status["certificates"].as_array().into_iter().flatten();
    all.filter_map(|it| {
        let left = it["days_left"].as_i64().filter(|days| *days < SOON)?;
        let whom = cut(it["shown_to"].as_str().unwrap_or_default());
        Some(Wrong {
            what: match left {
                ..0 => format!("The certificate that is shown to {whom} has expired."),
                0 => format!("The certificate that is shown to {whom} expires today."),
                _ => format!("The certificate that is shown to {whom} expires in {left} days."),
            },
            why: format!("{}.", it["file"].as_str().unwrap_or_default()),
            then: "Write a new one there: the gate reads it by itself.",
            chapter: "DtgateCertificateEndsSoon",
        })
    })
}

/// An error, as it stands among sentences.
fn sentence(why: &str) -> String {
    let why = why.trim();
    let end = if why.ends_with(['.', '!', '?']) {
        ""
    } else {
        "."
    };
    format!("{why}{end}")
}

/// What matters most stands first.
const PLACES: &[Place] = &[
    Place {
        pointer: "/journal/error",
        what: "The journal cannot be written:",
        then: "Requests that policies judge are answered 500 while this lasts, and not sent.",
        chapter: "DtgateJournalFailing",
    },
    Place {
        pointer: "/reload/last/error",
        what: "New files are refused, and all is as it was before:",
        then: "Mend them, or put the old ones back: dtgate check --config FILE says what is wrong.",
        chapter: REFUSED,
    },
    Place {
        pointer: "/turns/error",
        what: "The gate gets no turns from the store:",
        then: "Is PostgreSQL there, and can the gate reach it?",
        chapter: "DtgateTurnsFailing",
    },
    Place {
        pointer: "/environments/*/error",
        what: "The environment * cannot be reached:",
        then: "Look at its URL, its proxy and its certificate.",
        chapter: "“What clients are answered”",
    },
    Place {
        pointer: "/sinks/*/error",
        what: "The sink * does not get records:",
        then: "They stay in the journal until it does.",
        chapter: "DtgateSinkBehind",
    },
    Place {
        pointer: "/journal/checkpoints_sent/*/error",
        what: "Checkpoints do not arrive at *:",
        then: "Nobody elsewhere knows how far the journal is.",
        chapter: "DtgateCheckpointsNotSent",
    },
    Place {
        pointer: "/journal/kept/compress_error",
        what: "Closed segments of the journal cannot be compressed:",
        then: "The disk fills.",
        chapter: "DtgateJournalKeepFailing",
    },
    Place {
        pointer: "/journal/kept/prune_error",
        what: "Old segments of the journal cannot be deleted:",
        then: "The disk fills.",
        chapter: "DtgateJournalKeepFailing",
    },
    Place {
        pointer: "/policies/unremembered",
        what: "Which bundles are in force cannot be written to policies.state:",
        then: "Mend that before the gate is started anew.",
        chapter: "DtgateBundlesUnremembered",
    },
    Place {
        pointer: "/bundles/*/error",
        what: "The bundle * cannot be fetched:",
        then: "What was in force last stays in force.",
        chapter: "DtgateBundleNotFetched",
    },
    Place {
        pointer: "/issuers/*/failure",
        what: "The keys of the issuer * cannot be fetched:",
        then: "The last ones are used until they are too old.",
        chapter: "DtgateIssuerKeysFailing",
    },
    Place {
        pointer: "/challenger/error",
        what: "The files of the challenger are refused:",
        then: "No request is decided otherwise. Mend the files.",
        chapter: "DtgateChallengerRefused",
    },
];
const REFUSED: &str = "DtgateReloadRefused";
/// Days before a certificate ends.
const SOON: i64 = 14;
/// Bytes of an error.
const LONG: usize = 600;
