//! Playground.

use maud::html;

use crate::console::page::Page;
use crate::console::{Asked, Fault};

pub(in crate::console) fn page(_asked: &Asked<'_>) -> Result<Page, Fault> {
    Ok(Page::new(
        "Playground",
        "Playground",
        html! { h1 { "Playground" } },
    ))
}
