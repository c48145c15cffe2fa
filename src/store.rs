//! `PostgreSQL`, where the gates of a fleet meet: the records of all of them, who they are, and whose turn a token is.
//!
//! Nothing here is the truth: that is each gate's own journal. What the store holds can be verified from the store alone,
//! because records stand in it as they were written.

mod config;
mod connect;
mod schema;
mod turns;

pub use config::{Config, Url, WhenAway, Whose};
pub use connect::{Connected, StoreError};
pub use schema::prepare;
pub use turns::{Turn, TurnError, Turns, TurnsTold};

#[cfg(test)]
mod tests;
