//! Which decision somebody has seen last, as they say it: a browser that comes again, or the address of a page.

use http::HeaderName;
use http::request::Parts;

use crate::console::Fault;
use crate::console::params::{Params, encoded};
use crate::store::Key;

/// What somebody says that they have seen last, if they say it: a browser that comes again, or the address of a page.
#[expect(
    clippy::option_option,
    reason = "somebody may say that they have seen nothing"
)]
pub(super) fn last(params: &Params, parts: &Parts) -> Result<Option<Option<Key>>, Fault> {
    let again = parts.headers.get(LAST).and_then(|id| id.to_str().ok());
    let said = again
        .filter(|id| !id.is_empty())
        .or_else(|| params.get(FROM));
    match said {
        None => Ok(None),
        Some(NOTHING) => Ok(Some(None)),
        Some(id) => match key(id) {
            Some(key) => Ok(Some(Some(key))),
            None => Err(Fault::Invalid(format!(
                "{FROM}: this is no decision: load the page again."
            ))),
        },
    }
}

/// By which a decision is known here.
pub(in crate::console) fn id(key: &Key) -> String {
    match &*key.gate {
        "" => key.seq.to_string(),
        gate => format!("{}/{}", encoded(gate), key.seq),
    }
}

fn key(id: &str) -> Option<Key> {
    let (gate, seq) = id.rsplit_once('/').unwrap_or(("", id));
    let gate = percent_encoding::percent_decode_str(gate).decode_utf8();
    Some(Key {
        gate: gate.ok()?.into_owned(),
        seq: seq.parse().ok()?,
    })
}

/// The name by which a page says which decision it has seen last, and the word for none.
pub(in crate::console) const FROM: &str = "from";
pub(in crate::console) const NOTHING: &str = "none";
/// The same of a browser that comes again.
const LAST: HeaderName = HeaderName::from_static("last-event-id");

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_that_comes_again_says_what_it_has_seen() {
        let said = |query: &str, header: Option<&str>| {
            let request = http::Request::get("/console/live");
            let request = header
                .into_iter()
                .fold(request, |it, id| it.header(LAST, id));
            let parts = request.body(()).unwrap().into_parts().0;
            last(&Params::of(query), &parts).map_err(|fault| fault.to_string())
        };
        let key = |gate: &str, seq| Key {
            gate: gate.to_owned(),
            seq,
        };
        assert_eq!(said("", None), Ok(None));
        assert_eq!(said("from=none", None), Ok(Some(None)));
        assert_eq!(said("from=7", None), Ok(Some(Some(key("", 7)))));
        assert_eq!(said("from=7", Some("9")), Ok(Some(Some(key("", 9)))));
        let of_store = key("eu/1 é", 3);
        assert_eq!(
            said("from=7", Some(&id(&of_store))),
            Ok(Some(Some(of_store)))
        );
        assert!(said("from=x", None).is_err());
    }
}
