//! Of which journal the records are that the store has under a name.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio_postgres::Client;

use crate::audit::outgoing::{Arrived, Whose, whose};
use crate::audit::renamed::{Renamed, renamed};
use crate::store::StoreError;
use crate::store::column::column;
use crate::store::schema::{signed, unsigned};
use crate::value::{Sha256Hex, hex};

/// What the journal says of itself.
#[derive(Debug, Default)]
pub(super) struct Known {
    journal: Option<Arc<PathBuf>>,
    /// Read once, where it is asked for: all of the journal is read for it.
    names: Option<Vec<Renamed>>,
}

impl Known {
    pub(super) fn of(journal: &Path) -> Self {
        Self {
            journal: Some(Arc::new(journal.to_owned())),
            names: None,
        }
    }

    /// The last record that is there, up to the last one that has arrived; 0: none. An error, where the last of all is not
    /// this journal's: nothing is written beside the records of another.
    pub(super) async fn there(
        &self,
        client: &Client,
        gate: &str,
        arrived: &Arrived,
    ) -> Result<u64, StoreError> {
        let Some((seq, hash)) = newest(client, gate, i64::MAX).await? else {
            return Ok(0);
        };
        if (seq, Some(hash)) != (arrived.seq, arrived.hash) {
            let gate = gate.to_owned();
            match self.whose(seq, hash).await? {
                Whose::Ours => {}
                // It was deleted here since. What was sent under another name is not there under this one, and nothing
                // is deleted that has not arrived.
                Whose::Untold if arrived.behind < seq && seq <= arrived.seq => {}
                Whose::Beyond => return Err(StoreError::Beyond { gate, seq }),
                Whose::Untold | Whose::Another => {
                    let seq = signed(seq);
                    return Err(StoreError::Foreign { gate, seq });
                }
            }
        }
        if seq <= arrived.seq {
            return Ok(seq);
        }
        // More has arrived than was noted; what was noted may have been lost from in between.
        let noted = newest(client, gate, signed(arrived.seq)).await?;
        Ok(noted.map_or(0, |(seq, _)| seq))
    }

    /// Reads under which names the journal was, however long that takes.
    pub(super) async fn read_names(&mut self) -> Result<(), StoreError> {
        if let (None, Some(journal)) = (&self.names, self.journal.clone()) {
            self.names = Some(apart(move || renamed(&journal)).await?);
        }
        Ok(())
    }

    /// The last record that was sent under another name than this one, by what the store has; `None`: none was. Up to
    /// record `behind` such records have arrived.
    pub(super) async fn earlier(
        &self,
        client: &Client,
        gate: &str,
        behind: u64,
    ) -> Result<Option<u64>, StoreError> {
        let names = self.names.iter().flatten().rev();
        for Renamed { record, old, .. } in names.filter(|it| it.old != gate) {
            let up_to = if *record == 0 {
                unsigned(i64::MAX)
            } else {
                *record
            };
            let last = self.last_of_ours(client, old, (up_to, behind)).await?;
            if last.is_some() {
                return Ok(last);
            }
        }
        Ok(None)
    }

    /// The last record of this journal that was sent under a name, up to this one. Others may stand behind it, where the
    /// journal is a copy, or was put back from a backup. All before a record of this journal are its own.
    async fn last_of_ours(
        &self,
        client: &Client,
        old: &str,
        (up_to, behind): (u64, u64),
    ) -> Result<Option<u64>, StoreError> {
        let (mut low, mut high, mut found) = (0, up_to, None);
        // The last of all first, then what was noted as sent, and then halfway each time.
        let (mut probe, mut noted) = (high, Some(behind));
        while probe > low {
            let there = newest(client, old, signed(probe)).await?;
            match there.filter(|(seq, _)| *seq > low) {
                None => low = probe,
                Some((seq, hash)) => {
                    let is_ours = match self.whose(seq, hash).await? {
                        Whose::Ours => true,
                        // It was deleted here since, and nothing is deleted that has not arrived.
                        Whose::Untold => seq <= behind,
                        Whose::Another | Whose::Beyond => false,
                    };
                    (low, high) = if is_ours {
                        (probe, high)
                    } else {
                        (low, seq - 1)
                    };
                    found = if is_ours { Some(seq) } else { found };
                }
            }
            let is_between = |it: &u64| *it > low && *it <= high;
            let halfway = low + high.saturating_sub(low).div_ceil(2);
            probe = noted.take().filter(is_between).unwrap_or(halfway);
        }
        Ok(found)
    }

    async fn whose(&self, seq: u64, hash: Sha256Hex) -> Result<Whose, StoreError> {
        let Some(journal) = self.journal.clone() else {
            // There is no journal to compare it with: each row is.
            return Ok(Whose::Ours);
        };
        apart(move || whose(&journal, seq, &hash)).await
    }
}

/// Reads of a journal, away from whoever else sends.
async fn apart<T: Send + 'static>(
    read: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T, StoreError> {
    let read = tokio::task::spawn_blocking(read).await;
    let read = read.map_err(io::Error::other).flatten();
    read.map_err(|error| StoreError::Other(format!("the journal cannot be read: {error}")))
}

/// The last record of a gate that is there, up to this one.
async fn newest(
    client: &Client,
    gate: &str,
    up_to: i64,
) -> Result<Option<(u64, Sha256Hex)>, StoreError> {
    let Some(row) = client.query_opt(NEWEST, &[&gate, &up_to]).await? else {
        return Ok(None);
    };
    let (seq, hash): (i64, Vec<u8>) = (column(&row, 0)?, column(&row, 1)?);
    // What is no hash is no record's.
    let hash = hex(&hash).parse().unwrap_or(Sha256Hex::ZERO);
    Ok(Some((unsigned(seq), hash)))
}

const NEWEST: &str = "SELECT seq, hash FROM dtgate.record WHERE gate = $1 AND seq BETWEEN 1 AND $2
  ORDER BY seq DESC, at DESC LIMIT 1";
