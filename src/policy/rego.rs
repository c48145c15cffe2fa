//! Reads Rego: what there is in a program, what its names mean, and where things stand. It refuses nothing.

pub(in crate::policy) mod annotations;
pub(in crate::policy) mod certain;
pub(in crate::policy) mod edit;
pub(in crate::policy) mod names;
pub(in crate::policy) mod program;
pub(in crate::policy) mod reaches;
pub(in crate::policy) mod rests;
pub(in crate::policy) mod scopes;
pub(in crate::policy) mod syntax;
pub(in crate::policy) mod walk;
pub(in crate::policy) mod word;
