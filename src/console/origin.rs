//! From where a browser asks: a page of the console, somebody at the browser, or a page of another site.

use http::HeaderName;
use http::header::ORIGIN;
use http::request::Parts;

use crate::admin::asked_host;

/// Whether a request is one that a page of ours, or somebody at the browser, makes. A page of another site can lead here; it
/// cannot have the browser ask in the background, where a certificate, or loopback, would speak for whoever sits before it:
/// how long an answer takes says something, and a heavy search costs something.
pub(super) fn is_meant(parts: &Parts) -> bool {
    let text = |name: &HeaderName| parts.headers.get(name).and_then(|it| it.to_str().ok());
    match text(&FETCH_SITE) {
        None | Some("none" | "same-origin") => true,
        Some(_) => {
            text(&FETCH_MODE) == Some("navigate") && text(&FETCH_DESTINATION) == Some("document")
        }
    }
}

/// Whether a request that does something comes from a page of ours, and not from one of somebody else in the same browser.
pub(super) fn is_from_here(parts: &Parts) -> bool {
    let text = |name: &HeaderName| parts.headers.get(name).and_then(|it| it.to_str().ok());
    if let Some(site) = text(&FETCH_SITE) {
        return site == "same-origin";
    }
    let host = asked_host(parts);
    let origin = text(&ORIGIN).and_then(|origin| origin.split_once("://"));
    matches!((origin, host), (Some((_, origin)), Some(host)) if origin.eq_ignore_ascii_case(host.as_str()))
}

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_MODE: HeaderName = HeaderName::from_static("sec-fetch-mode");
const FETCH_DESTINATION: HeaderName = HeaderName::from_static("sec-fetch-dest");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::console::login::LOGIN;
    use http::Request;

    #[test]
    fn what_does_something_has_to_come_from_a_page_of_ours() {
        let ask = |fields: &[(&str, &str)]| {
            let mut request = Request::post(LOGIN).header("host", "gate.example:8081");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            is_from_here(&request.body(()).unwrap().into_parts().0)
        };
        assert!(ask(&[("sec-fetch-site", "same-origin")]));
        assert!(ask(&[("origin", "https://gate.example:8081")]));
        assert!(!ask(&[]));
        assert!(!ask(&[("sec-fetch-site", "cross-site")]));
        assert!(!ask(&[
            ("sec-fetch-site", "same-site"),
            ("origin", "https://gate.example:8081")
        ]));
        assert!(!ask(&[("origin", "https://evil.example")]));
        assert!(!ask(&[("origin", "null")]));
    }

    #[test]
    fn a_page_of_another_site_can_lead_here_and_cannot_ask_in_the_background() {
        let ask = |fields: &[(&str, &str)]| {
            let mut request = Request::get("/console/decisions");
            for (name, value) in fields {
                request = request.header(*name, *value);
            }
            is_meant(&request.body(()).unwrap().into_parts().0)
        };
        assert!(ask(&[]));
        assert!(ask(&[("sec-fetch-site", "none")]));
        assert!(ask(&[
            ("sec-fetch-site", "same-origin"),
            ("sec-fetch-mode", "cors")
        ]));
        for site in ["cross-site", "same-site"] {
            let of = |mode, destination| {
                ask(&[
                    ("sec-fetch-site", site),
                    ("sec-fetch-mode", mode),
                    ("sec-fetch-dest", destination),
                ])
            };
            assert!(of("navigate", "document"));
            assert!(!of("navigate", "iframe"));
            assert!(!of("no-cors", "image"));
            assert!(!of("cors", "empty"));
        }
    }
}
