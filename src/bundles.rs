//! OPA bundles as the operator configures them: where each comes from, who has to have signed it, and what of it was in
//! force last.
//!
//! It does not know what is in them; that is the policies' part.

mod config;
mod remembered;

pub use config::{Config, Name, Source};
pub use remembered::{Remembered, StateError};
