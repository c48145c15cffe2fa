//! What the log says of the files of grants.

use std::collections::HashMap;
use std::sync::Arc;

use super::flaw::Flaw;
use super::standing::Approved;
use crate::value::Visible;

/// What was said of each file, and how many more lines may be: a directory that changes all the time fills no log.
pub(super) struct Told {
    files: HashMap<String, String>,
    left: u32,
}

impl Default for Told {
    fn default() -> Self {
        Self {
            files: HashMap::new(),
            left: MOST,
        }
    }
}

impl Told {
    /// Says of each file how it stands, once.
    pub(super) fn tell(&mut self, files: Vec<(String, Result<Arc<Approved>, Flaw>)>) {
        self.left = MOST.min(self.left + 1);
        let mut now = HashMap::new();
        for (file, stands) in files {
            let said = match &stands {
                Ok(it) => it.grant.id.to_string(),
                Err(flaw) => flaw.to_string(),
            };
            if self.files.get(&file) != Some(&said) {
                if stands.is_err() {
                    // It is told by a later look.
                    let Some(left) = self.left.checked_sub(1) else {
                        continue;
                    };
                    self.left = left;
                }
                match &stands {
                    Ok(it) => tracing::info!(
                        file = %Visible(&file), grant.id = %it.grant.id,
                        requested_by = %it.grant.requested_by, approved_by = %it.approved_by, ticket = %it.grant.ticket,
                        until = %it.grant.until, "a grant can be used"
                    ),
                    Err(_) if file.is_empty() => {
                        tracing::warn!(reason = %said, "the directory of grants cannot be looked at");
                    }
                    Err(_) => tracing::warn!(
                        file = %Visible(&file), reason = %said, "a file holds no grant that can be used"
                    ),
                }
            }
            now.insert(file, said);
        }
        self.files = now;
    }
}

/// Lines about files that are no grants: so many at once, and one a look.
const MOST: u32 = 128;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_that_changes_all_the_time_fills_no_log() {
        let mut told = Told::default();
        let mut look = |round: u32| {
            let files = (0..100).map(|number| {
                let flaw = Flaw::Unread(round.to_string());
                (number.to_string(), Err(flaw))
            });
            told.tell(files.collect());
            u32::try_from(told.files.len()).unwrap()
        };
        let lines: u32 = (0..200).map(&mut look).sum();
        assert!(lines <= MOST + 200, "{lines}");
        // What stays as it is, is told in the end.
        let last = (0..100).map(|_| look(200)).last();
        assert_eq!(last, Some(100));
    }
}
