//! How a gate tells the others of itself.

use std::sync::Arc;

use jiff::Timestamp;
use tokio_postgres::Client;

use super::StoreError;
use super::moment::Moment;
use super::schema::signed;

/// What the others may know of a gate.
#[derive(Clone, Debug)]
pub struct Standing {
    pub version: &'static str,
    /// Of the policies in force.
    pub revision: Arc<str>,
    /// Where clients are served.
    pub listen: String,
    /// The last record, and its hash.
    pub head: (u64, String),
    pub started: Timestamp,
    /// The public key of its checkpoints.
    pub key: String,
}

/// Looks how it is now.
pub type About = Arc<dyn Fn() -> Standing + Send + Sync>;

impl Standing {
    /// Writes it. When that was is told by the server's clock: those of gates differ.
    pub(super) async fn tell(
        &self,
        client: &Client,
        gate: &str,
        shipped: u64,
    ) -> Result<(), StoreError> {
        let (head, hash) = &self.head;
        let started = Moment::of(Some(self.started.as_millisecond()));
        client
            .execute(
                TELL,
                &[
                    &gate,
                    &self.version,
                    &&*self.revision,
                    &self.listen,
                    &signed(*head),
                    hash,
                    &signed(shipped),
                    &started,
                    &self.key,
                ],
            )
            .await?;
        Ok(())
    }
}

const TELL: &str = "INSERT INTO dtgate.gate AS g
    (gate, version, revision, listen, head_seq, head_hash, shipped_seq, started, seen, key)
  VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now(), $9)
  ON CONFLICT (gate) DO UPDATE SET version = excluded.version, revision = excluded.revision, listen = excluded.listen,
    head_seq = excluded.head_seq, head_hash = excluded.head_hash, shipped_seq = excluded.shipped_seq,
    started = excluded.started, seen = excluded.seen, key = excluded.key";
