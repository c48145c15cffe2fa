//! What policies are made of: files and bundles, the data beside them, and how each policy is applied.

pub(in crate::policy) mod about;
pub(in crate::policy) mod data;
pub(in crate::policy) mod exceptions;
pub(in crate::policy) mod files;
pub(in crate::policy) mod held;
pub(in crate::policy) mod kept;
pub(in crate::policy) mod modes;
pub(in crate::policy) mod older;
pub(in crate::policy) mod packed;
pub(in crate::policy) mod roots;
pub(in crate::policy) mod texts;
