//! The real binary between real sockets. One test binary: this list of modules is the index.

#![expect(
    clippy::unwrap_used,
    reason = "a failed setup step should fail the test"
)]

mod architecture;
mod docs;
mod harness;
mod promises;
