//! What a page says as long as the index has not all of the journal: what it shows may lack the newest, and what it does not
//! find may be there.

use maud::html;

use super::page::{Page, sentence};
use super::{Asked, Fault};
use crate::trail::beside;
use crate::value::counted;

/// A page that was made by the index, with that said above it.
pub(super) fn told(asked: &Asked<'_>, made: Result<Page, Fault>) -> Result<Page, Fault> {
    if !matches!(made, Ok(_) | Err(Fault::NotThere(_))) {
        return made;
    }
    // Without an index, the page itself has said so, or it needs none.
    let Ok(source) = asked.gate.open() else {
        return made;
    };
    let made = match made {
        Err(Fault::NotThere(missing)) => Err(not_there(missing, &beside::behind(&source)?)),
        made => made,
    };
    let behind = source.behind()?;
    if behind < MANY {
        return made;
    }
    let records = counted(behind, "record");
    let text = format!(
        "The index of the journal is being made: the newest {records} are not in it yet. What is shown may lack them."
    );
    match made {
        Ok(mut page) => {
            page.body = html! { p.note { (text) } (page.body) };
            Ok(page)
        }
        Err(Fault::NotThere(missing)) => Err(Fault::NotYet(format!("{missing} {text}"))),
        Err(fault) => Err(fault),
    }
}

/// What a store does not have may be among the records of a gate that have not come to it.
fn not_there(missing: String, behind: &[String]) -> Fault {
    if behind.is_empty() {
        return Fault::NotThere(missing);
    }
    let behind: Vec<String> = behind.iter().map(|text| sentence(text)).collect();
    Fault::NotYet(format!("{missing} {}", behind.join(" ")))
}

/// A gate that writes has always some that are not in its index yet, for a moment.
const MANY: u64 = 500;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::desk::tests::gate_of;
    use crate::console::params::Params;
    use crate::console::reached::Kept;
    use crate::console::{Made, Route, Viewer};

    #[test]
    fn a_page_says_that_the_index_is_being_made_and_nothing_is_said_not_to_be_there() {
        for (on_disk, is_behind) in [(None, false), (Some(5), false), (Some(600), true)] {
            let gate = gate_of(3);
            let source = gate.open().unwrap();
            if let Some(on_disk) = on_disk {
                let hash = crate::value::Sha256Hex::of(b"");
                let head = format!("{on_disk:020}:{} {on_disk:020}\n", hash.as_str());
                std::fs::write(source.journal().unwrap().join("head"), head).unwrap();
            }
            let viewer = Viewer {
                is_auditor: true,
                ..Viewer::nobody()
            };
            let (stop, _waiting) = crate::audit::Stop::after(std::time::Duration::from_mins(1));
            let params = Params::default();
            let asked = Asked {
                gate: &gate,
                kept: &Kept::default(),
                viewer: &viewer,
                params: &params,
                now: (gate.now)(),
                stop: &stop,
            };
            for route in [Route::Decisions, Route::Callers, Route::Now] {
                let Ok(Made::Page(page)) = route.make(&asked) else {
                    panic!("there is a page");
                };
                let text = page.body.into_string();
                assert_eq!(text.contains("the newest 597 records are not"), is_behind);
            }
            for route in [Route::Token("x".into()), Route::Decision("9".into())] {
                let fault = route.make(&asked).map(|_| ()).unwrap_err();
                let status = if is_behind { 503 } else { 404 };
                assert_eq!(fault.status().as_u16(), status, "{fault}");
            }
        }
    }
}
