//! A witness ([C2SP tlog-witness](https://c2sp.org/tlog-witness)): somebody elsewhere who remembers how far the journal was,
//! is shown that it only grew, and signs that.

use data_encoding::BASE64;
use http::StatusCode;
use jiff::Timestamp;

use super::AnchorError;
use super::post::Post;
use crate::audit::checkpoint::Witness as Config;
use crate::audit::checkpoint::note::{Note, PublicKey, signatures};
use crate::audit::event::{Cosigned, Event};
use crate::audit::{Audit, Destinations, Signed};

/// One witness.
#[derive(Debug)]
pub(super) struct Witness {
    post: Post,
    key: PublicKey,
    /// What it has confirmed last, as far as it is known. It says so where this is not true.
    confirmed: u64,
}

impl Witness {
    pub(super) fn new(witness: &Config, to: &Destinations) -> Result<Self, AnchorError> {
        let post = Post::new(&witness.url, to)?;
        Ok(Self {
            post: post.below("add-checkpoint").unwrap_or(post),
            key: witness.key.key().clone(),
            confirmed: 0,
        })
    }

    pub(super) fn name(&self) -> String {
        format!("witness {}", self.key.name())
    }

    /// Has a checkpoint confirmed, and puts that on record.
    pub(super) async fn ask(
        &mut self,
        signed: &Signed,
        audit: &Audit,
        now: fn() -> Timestamp,
    ) -> Result<(), String> {
        let size = signed.checkpoint.size;
        if self.confirmed > size {
            // So it said once. It may say something else today: one wrong answer does not end it for good.
            self.confirmed = 0;
        }
        // A second time where it remembers another size than we do.
        for _ in 0..2 {
            if self.confirmed > size {
                break;
            }
            let question = self.question(signed, audit).await?;
            let answered = self
                .post
                .send(question)
                .await
                .map_err(|error| error.to_string())?;
            let text = |body: &[u8]| String::from_utf8_lossy(body).into_owned();
            match answered {
                (StatusCode::OK, body) => {
                    let note = self.confirmed_by(signed, &text(&body))?;
                    self.confirmed = size;
                    let event = Event::Cosigned(Cosigned {
                        timestamp: now(),
                        size,
                        witness: self.key.to_string(),
                        note: note.to_string(),
                    });
                    let recorded = audit.record(event.record()).await;
                    return recorded.map(drop).map_err(|error| error.to_string());
                }
                (StatusCode::CONFLICT, body) => {
                    let known = text(&body).trim_end().parse().map_err(|_no_number| {
                        "the answer is 409, and does not say which size the witness knows"
                            .to_owned()
                    })?;
                    if known == self.confirmed {
                        return Err(format!(
                            "the witness has another tree of {known} records: the journal was changed, or another one has its \
                             origin"
                        ));
                    }
                    self.confirmed = known;
                }
                (status, _) => return Err(format!("the answer is {status}")),
            }
        }
        Err(format!(
            "the witness has confirmed {} records, and the journal had {size}: the journal was cut, or another one has its \
             origin",
            self.confirmed
        ))
    }

    async fn question(&self, signed: &Signed, audit: &Audit) -> Result<String, String> {
        let (old, new) = (self.confirmed, signed.checkpoint.size);
        let proof = audit.consistency(old, new).await;
        let proof = proof.map_err(|error| format!("the proof cannot be made: {error}"))?;
        let proof: String = proof
            .iter()
            .map(|hash| BASE64.encode(hash) + "\n")
            .collect();
        Ok(format!("old {old}\n{proof}\n{}", signed.note))
    }

    /// The note with our signature and the witness', which has to hold.
    fn confirmed_by(&self, signed: &Signed, lines: &str) -> Result<Note, String> {
        let mut both = Note::parse(&signed.note).map_err(|error| error.to_string())?;
        let theirs = signatures(lines).map_err(|_none| "the answer is no signature".to_owned())?;
        for signature in theirs {
            let alone = Note {
                text: both.text.clone(),
                signatures: vec![signature.clone()],
            };
            if self.key.signed(&alone).is_some() {
                both.signatures.push(signature);
                return Ok(both);
            }
        }
        Err("the answer is not signed by the key of the witness".to_owned())
    }
}
