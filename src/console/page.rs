//! The frame of every page, and its headers.

use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode};
use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

use super::{Fault, Made, Viewer, assets};
use crate::listener::{Body, full};
use crate::value::Visible;

/// What stands in the frame.
pub(super) struct Page {
    pub(super) title: String,
    /// Which part of the console it belongs to, as the navigation names it.
    pub(super) part: &'static str,
    pub(super) body: Markup,
    /// Where a browser goes on by itself.
    pub(super) next: Option<String>,
    /// Scripts that it needs besides the common one.
    pub(super) scripts: &'static [&'static str],
}

impl Page {
    pub(super) fn new(part: &'static str, title: impl Into<String>, body: Markup) -> Self {
        Self {
            title: title.into(),
            part,
            body,
            next: None,
            scripts: &[],
        }
    }
}

/// A page, or why there is none.
pub(super) fn respond(made: Result<Made, Fault>, viewer: &Viewer) -> Response<Body> {
    let (status, page) = match made {
        Ok(Made::File(file)) => return file.respond(),
        Ok(Made::Json(value)) => return json_response(&value),
        Ok(Made::Page(page)) => (StatusCode::OK, page),
        Err(fault) => {
            fault.log();
            let title = fault.status().canonical_reason().unwrap_or("Error");
            let body = html! {
                h1 { (title) }
                p.fault role="alert" { (shown(&fault.told())) }
            };
            (fault.status(), Page::new("", title, body))
        }
    };
    html_response(status, framed(&page, viewer).into_string())
}

fn framed(page: &Page, viewer: &Viewer) -> Markup {
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                @if let Some(next) = &page.next { meta http-equiv="refresh" content={ "0;url=" (next) }; }
                title { (shown(&page.title)) " · dtgate" }
                link rel="icon" href=(assets::url("icon.svg"));
                link rel="stylesheet" href=(assets::url("console.css"));
                script src=(assets::url("console.js")) defer {}
                @for script in page.scripts {
                    script src=(assets::url(script)) defer {}
                }
            }
            body {
                a.skip href="#main" { "Skip to the content" }
                header.bar {
                    a.brand href="/console" { "dtgate" }
                    @if *viewer != Viewer::nobody() {
                        nav aria-label="Parts of the console" {
                            @for (part, path) in PARTS.iter().filter(|(part, _)| viewer.is_author || *part != PLAYGROUND) {
                                a href=(path) aria-current=[(page.part == *part).then_some("page")] { (part) }
                            }
                        }
                    }
                    @if !viewer.name.is_empty() {
                        form.logout method="post" action="/console/logout" {
                            span { (shown(&viewer.name).chars().take(NAME).collect::<String>()) }
                            @if viewer.has_session { button type="submit" { "Log out" } }
                        }
                    }
                }
                main id="main" { (page.body) }
            }
        }
    }
}

pub(super) fn html_response(status: StatusCode, text: String) -> Response<Body> {
    let length = HeaderValue::from(text.len());
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(
        CONTENT_TYPE,
        HeaderValue::from_static("text/html; charset=utf-8"),
    );
    headers.insert(CONTENT_LENGTH, length);
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    guard(headers);
    response
}

fn json_response(value: &Value) -> Response<Body> {
    let mut response = html_response(StatusCode::OK, value.to_string());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    response
}

/// A text of others: nothing in it is hidden, and nothing is markup.
pub(super) fn shown(text: &str) -> String {
    Visible(text).to_string()
}

/// A note of a command, as it stands by itself.
pub(super) fn sentence(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().map(|it| it.to_uppercase().to_string());
    let end = if text.ends_with('.') { "" } else { "." };
    format!("{}{}{end}", first.unwrap_or_default(), letters.as_str())
}

/// Says what a browser must not do with a page.
pub(super) fn guard(headers: &mut HeaderMap) {
    let guards = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (OPENER, "same-origin"),
        (RESOURCE, "same-origin"),
    ];
    for (name, value) in guards {
        headers.insert(name, HeaderValue::from_static(value));
    }
}

/// Letters of a name.
const NAME: usize = 100;
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
                      form-action 'self'; base-uri 'none'; frame-ancestors 'none'";
const OPENER: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

const PARTS: &[(&str, &str)] = &[
    ("Now", "/console"),
    ("Decisions", "/console/decisions"),
    ("Callers", "/console/callers"),
    ("Policies", "/console/policies"),
    (PLAYGROUND, "/console/playground"),
];
/// For authors.
const PLAYGROUND: &str = "Playground";
