//! `PostgreSQL`, where the gates of a fleet meet: the records of all of them, who they are, and whose turn a token is.
//!
//! Nothing here is the truth: that is each gate's own journal. What the store holds can be verified from the store alone,
//! because records stand in it as they were written.

mod config;
mod connect;
mod partition;
mod rows;
mod schema;
mod sink;
mod standing;
mod write;

pub use config::{Config, Url};
pub use connect::{Connected, StoreError, check};
pub use schema::prepare;
pub use sink::{MOST, Sink};
pub use standing::{About, Standing};

#[cfg(test)]
mod tests;
