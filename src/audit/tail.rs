//! Records [as people read them](render()).

mod render;

pub use render::{Cells, caller, name, render};
