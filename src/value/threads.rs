//! Threads, all with the same room.
//!
//! What reads, checks, proves, tests or judges policies goes as deep into itself as they do. How deep that may be is
//! bounded where they are read, and [`STACK`] holds the deepest that may be read, on every thread of the program: what
//! `dtgate check` takes, the gate takes as well.

use std::process::ExitCode;
use std::thread::Builder;

use tokio::runtime;

/// The stack of each thread. Of the system's memory it takes what was used of it once.
pub const STACK: usize = 64 << 20;

/// A thread with this name.
pub fn named(name: impl Into<String>) -> Builder {
    Builder::new().name(name.into()).stack_size(STACK)
}

/// A runtime that works on the thread that asks it; what blocks has threads like all others.
pub fn runtime_here() -> runtime::Builder {
    let mut runtime = runtime::Builder::new_current_thread();
    runtime.thread_stack_size(STACK);
    runtime
}

/// A runtime with threads of its own.
pub fn runtime_beside() -> runtime::Builder {
    let mut runtime = runtime::Builder::new_multi_thread();
    runtime.thread_stack_size(STACK);
    runtime
}

/// Runs a program on such a thread: that on which it begins has what the system's limits say.
pub fn main_on_one(main: fn() -> ExitCode) -> ExitCode {
    match named("main").spawn(main) {
        // It has panicked, and has said so.
        Ok(running) => running.join().unwrap_or_else(|_panic| ExitCode::from(101)),
        Err(_no_memory) => main(),
    }
}
