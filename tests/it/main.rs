//! The real binary between real sockets. One test binary: this list of modules is the index.

#![expect(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a failed setup step should fail the test"
)]

mod architecture;
mod crash;
mod disconnect;
mod disk;
mod harness;
mod promises;
