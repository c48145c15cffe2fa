//! The pages.

pub(super) mod callers;
pub(super) mod decision;
pub(super) mod decisions;
pub(super) mod now;
pub(super) mod policies;
pub(super) mod token;

#[cfg(test)]
mod tests;
