//! One-time grants: what lets one request pass that policies deny, asked for by one person and approved by another.
//!
//! A grant is a text with two signatures ([`Signed`]). It says which request it is for, which policies may have objected,
//! and until when. It guarantees that nothing passes by one that was edited, is signed by one person alone, is for
//! another gate, has ended, or was used: whether it was, the journal says, and nothing else. It knows nothing of HTTP,
//! and decides nothing: the policies do, and say what a grant does not cover.

mod config;
mod facts;
mod file;
mod flaw;
mod signed;
mod spelled;
mod standing;
mod table;
mod text;
mod told;
mod used;

pub use config::{Approvers, Config, HowToAsk};
pub use facts::{Caller, Facts, Missing};
pub use file::{ENDING, Listing, read, read_all, write};
pub use flaw::Flaw;
pub use signed::{Refused, Signed};
pub use standing::{Approved, Gate};
pub use table::{Claim, Grants};
pub use text::{After, Allows, Change, Grant, Request};
pub use used::{find as find_uses, names, record, used_by};

#[cfg(test)]
pub(crate) mod tests;
