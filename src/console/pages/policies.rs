//! The policies, and one of them.

use maud::html;

use crate::console::page::{Page, shown};
use crate::console::{Asked, Fault};

pub(in crate::console) fn page(_asked: &Asked<'_>) -> Result<Page, Fault> {
    Ok(Page::new(
        "Policies",
        "Policies",
        html! { h1 { "Policies" } },
    ))
}

pub(in crate::console) fn one(_asked: &Asked<'_>, name: &str) -> Result<Page, Fault> {
    Ok(Page::new("Policies", name, html! { h1 { (shown(name)) } }))
}
