//! OPA bundles as the operator configures them: where each comes from, who has to have signed it, and what of it was in
//! force last. Those that a server has are fetched, a task each, never on a request's way.
//!
//! It does not know what is in them; that is the policies' part.

mod aside;
mod challenger;
mod config;
mod fetch;
mod keep;
mod remembered;
mod stored;

pub use aside::pause;
pub use challenger::Challenger;
pub use config::{Config, Name, Remote, Source, WhenStale};
pub use fetch::FetchError;
pub use keep::{Downloads, Missing, in_force, prepare};
pub use remembered::{Remembered, StateError, Vouched, WentBack, copy_state, replace};
pub use stored::good;
