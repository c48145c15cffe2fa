//! One decision.

use maud::html;

use crate::console::page::{Page, shown};
use crate::console::{Asked, Fault};

pub(in crate::console) fn page(_asked: &Asked<'_>, id: &str) -> Result<Page, Fault> {
    Ok(Page::new("Decisions", id, html! { h1 { (shown(id)) } }))
}
