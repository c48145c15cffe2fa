//! Records [as people read them](render()).

mod render;

pub use render::{Cells, Otherwise, caller, effect, name, render};
