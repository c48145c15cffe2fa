//! What is refused when policies are loaded: what could never hold, what an engine reads otherwise than OPA and cannot be
//! written out, and settings that no policy can use. A file a kind.

pub(in crate::policy) mod imports;
pub(in crate::policy) mod kinds;
pub(in crate::policy) mod names;
pub(in crate::policy) mod nulls;
pub(in crate::policy) mod settings;
pub(in crate::policy) mod steps;
pub(in crate::policy) mod verdicts;
pub(in crate::policy) mod ways;
