//! Who is calling: JSON Web Tokens and the keys they are checked with, the client behind a proxy, and the teams that a
//! caller belongs to.
//!
//! What is said here was proven (a signature, a network that is believed), or is not said. It refuses to know what a
//! caller may do: that is for policies. It sees no body, and writes neither a token nor any text of it.

mod algorithm;
mod compact;
mod config;
mod error;
mod everybodys;
mod fetch;
mod file;
pub mod forwarded;
mod jwk;
mod keys;
mod proofs;
mod share;
#[cfg(test)]
mod signer;
pub mod supposed;
mod teams;
mod tokens;

pub use algorithm::Algorithm;
pub use config::{Config, Issuer, Name, Source, Url};
pub use error::{Error, Flaw};
pub use everybodys::Everybodys;
pub use fetch::{Fault, FetchError};
pub use file::KeysError;
pub use keys::Health;
pub use proofs::Proofs;
pub use share::Origin;
pub use teams::{Shown, Teams, TeamsError, Ways};
pub use tokens::{BuildError, Jwt, Tokens};
