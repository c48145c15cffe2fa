//! Records [as people read them](render()).

mod render;

pub use render::{caller, name, render};
