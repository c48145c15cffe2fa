//! `PostgreSQL`, where the gates of a fleet meet: the records of all of them, who they are, and whose turn a token is.
//!
//! Nothing here is the truth: that is each gate's own journal. What the store holds can be verified from the store alone,
//! because records stand in it as they were written.

mod ask;
mod column;
mod config;
mod connect;
mod endings;
mod error;
mod form;
mod gates;
mod guard;
mod keys;
mod latency;
mod moment;
mod names;
mod partition;
mod prove;
mod query;
mod rows;
mod schema;
mod sink;
mod standing;
mod sums;
mod turns;
mod verify;
mod watch;
mod write;

pub use ask::{Asked, Found, Key, Lines};
pub use config::{Config, Url, WhenAway, Whose};
pub use connect::{Connected, check};
pub use error::StoreError;
pub use gates::Gate;
pub use latency::SAMPLE;
pub use moment::Moment;
pub use prove::ProofError;
pub use query::{Cursor, Page, Question};
pub use schema::prepare;
pub use sink::{MOST, Sink};
pub use standing::{About, Standing};
pub use turns::{Turn, TurnError, Turns, TurnsTold};
pub use verify::{Earlier, Fleet, Older, Verified};

#[cfg(test)]
mod tests;
