//! What an answer does not say by itself: which of the journal it had nothing of, and names that nothing has. It goes to
//! standard error, so that programs read the same as ever.

use super::opened::note;
use super::source::Source;
use crate::audit::index::{Filter, Gaps, Unnamed};
use crate::audit::pseudonym::{Differing, Said, differing};
use crate::value::counted;

/// Says what matters to whoever asked for this.
pub(super) fn say(source: &Source, filter: &Filter) -> anyhow::Result<()> {
    source.say_behind()?;
    gaps(&source.gaps(filter.since, filter.until)?);
    if filter.asks_by_value() {
        keys(source)?;
    }
    for unnamed in source.unnamed(filter)? {
        note(&said(&unnamed));
    }
    if filter.has_no_word() {
        note("--text holds no word to look for: nothing is found by it");
    } else if filter.text.is_some() {
        let long = source.searched_in_part()?;
        if long > 0 {
            let decisions = counted(long, "decision");
            note(&format!(
                "of {decisions} with long texts --text looks at the first 4096 bytes only: there may be more"
            ));
        }
    }
    if let Some(text) = &filter.text {
        for option in source.found_by(text)? {
            let what = match option {
                "--scope" => "does not look at scopes",
                "--caller" => "does not look at credentials of callers",
                "--client" => "does not look at addresses",
                // Names of tokens, and ids that were asked about, are looked at.
                _ if !text.starts_with("dt0") => continue,
                _ => "does not look at ids of tokens that were made",
            };
            note(&format!("--text {what}: {option} {text} does"));
        }
    }
    Ok(())
}

/// Decisions that are found, and whose records are gone or cannot be read.
#[derive(Debug, Default)]
pub(super) struct NotShown {
    first: Vec<String>,
    count: usize,
}

impl NotShown {
    pub(super) fn add(&mut self, seq: u64) {
        self.count += 1;
        if self.first.len() < SHOWN {
            self.first.push(format!("#{seq}"));
        }
    }

    pub(super) fn extend(&mut self, more: Self) {
        self.count += more.count;
        let room = SHOWN.saturating_sub(self.first.len());
        self.first.extend(more.first.into_iter().take(room));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(super) fn say(&self) {
        if self.is_empty() {
            return;
        }
        let decisions = counted(self.count, "decision");
        let more = match self.count - self.first.len() {
            0 => String::new(),
            more => format!(" and {more} more"),
        };
        let which = self.first.join(", ");
        note(&format!(
            "{decisions} cannot be shown, because the record is gone or cannot be read: {which}{more}. Run dtgate audit verify"
        ));
    }
}

/// Says where values cannot be found by which pseudonyms were made, because the key is not there.
pub(super) fn keys(source: &Source) -> anyhow::Result<()> {
    // A store has records of many gates, and no keys.
    let Source::Journal { index, journal } = source else {
        return Ok(());
    };
    let mut said = Vec::new();
    for kind in ["start", "reload", "pruned"] {
        let mut before = u64::MAX >> 1;
        for _ in 0..STARTS {
            let Some(seq) = index.last_before(kind, before)? else {
                break;
            };
            said.extend(index.line(seq)?.iter().flat_map(|line| Said::all(line)));
            before = seq;
        }
    }
    for Differing {
        version,
        is_replaced,
    } in differing(journal, &said)?
    {
        let what = if is_replaced {
            "is another one than records were written by"
        } else {
            "is missing"
        };
        note(&format!(
            "the key pseudonym-v{version}.key {what}: what has a pseudonym by it is not found by its value, and is not in \
             this answer"
        ));
    }
    Ok(())
}

/// Says which of the journal an answer has nothing of.
pub(super) fn gaps(gaps: &Gaps) {
    if let Some(pruned) = &gaps.pruned {
        let (first, when) = (pruned.first, &pruned.timestamp);
        let text = match first.saturating_sub(1) {
            1 => format!("Record 1 was deleted on {when}. It is not in this answer."),
            last => {
                format!("Records 1 to {last} were deleted on {when}. They are not in this answer.")
            }
        };
        note(&text);
    }
    for (first, last) in &gaps.missing {
        let what = if first == last {
            format!("record {first} is")
        } else {
            format!("records {first} to {last} are")
        };
        note(&format!(
            "{what} missing, and no record says that they were pruned: run dtgate audit verify"
        ));
    }
    if gaps.more_missing > 0 {
        let more = counted(gaps.more_missing, "further gap");
        note(&format!("there is more that is missing: {more}"));
    }
    if gaps.unread > 0 {
        let lines = counted(gaps.unread, "line");
        note(&format!(
            "{lines} of the journal could not be read as records: run dtgate audit verify"
        ));
    }
}

/// Names that nothing has, and some of those that there are.
pub(in crate::cli) fn said(unnamed: &Unnamed) -> String {
    let Unnamed { what, value, .. } = unnamed;
    let text = format!("no record names the {what} {value}");
    let there = unnamed.there.join(", ");
    match (unnamed.there.len(), unnamed.more) {
        (0, _) => text,
        (_, 0) => format!("{text}; there are: {there}"),
        (_, more) => format!("{text}; there are: {there} and {more} more"),
    }
}

/// Decisions that are named.
const SHOWN: usize = 8;
/// Records of each kind that are looked at for keys, the newest first.
const STARTS: usize = 200;
