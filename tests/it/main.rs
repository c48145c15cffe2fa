//! The real binary between real sockets. One test binary: this list of modules is the index.

#![expect(
    clippy::unwrap_used,
    reason = "a failed setup step should fail the test"
)]

mod cli;
mod harness;
mod promises;
mod proxy;
mod tls;
mod traces;
