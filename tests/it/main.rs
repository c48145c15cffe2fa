//! The real binary between real sockets. One test binary: this list of modules is the index.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stderr,
    clippy::string_slice,
    clippy::unwrap_used,
    reason = "a test that panics has failed, which is what it is for"
)]

mod activation;
mod alerts;
mod answers;
mod architecture;
mod asked;
mod audit;
mod authority;
mod beside;
mod birth;
mod blast_radius;
mod budgets;
mod bundles;
mod bypass;
mod catalogue;
mod challenger;
mod checkpoints;
mod cli;
mod clients;
mod connections;
mod console;
mod crash;
mod disconnect;
mod disk;
mod docs;
mod drift;
mod engines;
mod entrypoints;
mod environments;
mod errors;
mod evidence;
mod exceptions;
mod failures;
// Other systems have to be told of further loopback addresses.
#[cfg(target_os = "linux")]
mod fairness;
mod features;
mod fleet;
mod floods;
mod frames;
mod grants;
mod harness;
mod heads;
mod hidden;
mod histories;
mod http2;
mod identity;
mod image;
mod install;
mod jwks;
mod keep;
mod largest;
mod log;
mod lookup;
mod manager;
mod manifests;
mod masks;
// Only Linux tells the memory of a program so.
#[cfg(target_os = "linux")]
mod memory;
mod messages;
mod misplaced;
mod one_token;
mod ordinary;
mod otlp;
mod pages;
mod pipes;
mod plain;
mod postgres;
mod promises;
mod proxy;
mod questions;
mod reach;
mod recipes;
mod records;
mod reload;
mod replay;
mod schema;
mod secrets;
mod settle;
mod shipped;
mod signals;
#[expect(dead_code, reason = "it makes more kinds of keys than are needed here")]
#[path = "../../src/identity/signer.rs"]
mod signer;
mod sinks;
mod soak;
mod stalls;
mod status;
mod store;
mod stored;
mod subtrees;
mod supposed;
mod tls;
mod told;
mod traces;
mod unseen;
mod unsure;
mod upstream;
mod wire;
