//! What is in doubt of a journal, as far as it was read for that, kept from one deletion to the next: whoever waits for
//! an answer that never comes, as after a 5xx, would have the rest of the journal read each time.

use std::io;
use std::path::Path;

use super::LINES;
use crate::audit::chain::Link;
use crate::audit::event::Pruned;
use crate::audit::lines::{Lines, Place};
use crate::audit::segment::{first_record, segments};
use crate::audit::verify::Doubt;

/// Reads every line of a closed segment once, whatever is in doubt.
#[derive(Debug)]
pub(in crate::audit) struct Followed {
    doubt: Doubt,
    /// The line that was seen last, or where the next one is looked for. A line that is seen again changes nothing.
    place: Place,
    /// Lines that were read behind what was to be deleted.
    pub(in crate::audit) lines: u64,
}

impl Default for Followed {
    fn default() -> Self {
        Self {
            doubt: Doubt::default(),
            place: Place {
                segment: 0,
                offset: 0,
            },
            lines: 0,
        }
    }
}

impl Followed {
    /// What stood before this record is gone, and a `pruned` record tells of it.
    pub(super) fn begin(&mut self, first: u64) {
        self.doubt.forget_before(first);
    }

    /// A line of what is to be deleted.
    pub(super) fn see(&mut self, place: Place, record: &Link<'_>, line: &[u8]) {
        if place < self.place {
            return;
        }
        self.place = place;
        see(&mut self.doubt, record, line);
    }

    /// The ids of decisions up to this one that are in doubt when all of the journal is read: of those that are gone, and of
    /// those that are to be deleted. Where nothing is in doubt, nothing is read; what cannot be read settles nothing.
    pub(super) fn in_doubt(
        &mut self,
        directory: &Path,
        last: u64,
        go_on: &mut dyn FnMut() -> io::Result<()>,
    ) -> io::Result<Vec<String>> {
        let behind = Place {
            segment: last + 1,
            offset: 0,
        };
        self.place = self.place.max(behind);
        let open = segments(directory)?;
        let open = open.last().and_then(|path| first_record(path));
        let mut lines = Lines::from(directory, self.place).over_damage();
        // What is written just now may be taken back, and is read again each time. So is what there is no room to remember.
        let mut ahead: Option<Doubt> = None;
        for number in 0_u64.. {
            if number.is_multiple_of(LINES) {
                go_on()?;
            }
            if !ahead.as_ref().unwrap_or(&self.doubt).is_any_up_to(last) {
                break;
            }
            let Some(line) = lines.next_line()? else {
                break;
            };
            self.lines += 1;
            let is_open = open.is_none_or(|open| line.place.segment >= open);
            if ahead.is_none() && (is_open || self.doubt.is_full()) {
                ahead = Some(self.doubt.clone());
            }
            let record = Link::read(&line.bytes).ok();
            if let Some(doubt) = &mut ahead {
                if let Some(record) = &record
                    && matches!(&*record.kind, "outcome" | "settled")
                {
                    doubt.see(record);
                }
            } else {
                self.place = line.place;
                if let Some(record) = &record {
                    see(&mut self.doubt, record, &line.bytes);
                }
            }
        }
        Ok(ahead.as_ref().unwrap_or(&self.doubt).up_to(last))
    }
}

fn see(doubt: &mut Doubt, record: &Link<'_>, line: &[u8]) {
    doubt.see(record);
    // What it says of others is not forgotten with it.
    if record.kind == "pruned"
        && let Ok(pruned) = serde_json::from_slice::<Pruned>(line)
    {
        doubt.see_deleted(&pruned, record.seq.unwrap_or_default());
    }
}
