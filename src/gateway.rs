//! x
mod headers;
