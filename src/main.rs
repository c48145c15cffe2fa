//! The `dtgate` program: parses arguments, runs the command, turns the result into an exit code.

fn main() {}
