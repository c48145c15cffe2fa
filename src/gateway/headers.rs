//! Header fields on their way through: what belongs to one connection is taken off, what a proxy owes
//! is added (RFC 9110, section 7.6).

use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, COOKIE, EXPECT, HOST, HeaderMap, HeaderName, HeaderValue, VIA,
};
use http::{Method, Version};

/// The name of the request id, both ways. A client's own is kept for the upstream and never trusted.
pub(super) const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes a request's header fields fit for the next hop.
pub(super) fn for_upstream(headers: &mut HeaderMap, version: Version, request_id: &str) {
    let seen = remove_hop_by_hop(headers);
    // The upstream has its own name, which the client for it fills in.
    headers.remove(HOST);
    if seen.expect {
        // Answered by us: hyper sends 100 (Continue) as soon as the body is asked for.
        headers.remove(EXPECT);
    }
    if seen.cookies > 1 {
        join_cookies(headers);
    }
    add_via(headers, version);
    let id = headers.entry(REQUEST_ID);
    id.or_insert_with(|| value(request_id));
}

/// The same for a request whose body was written anew: fields that described the old one go.
pub(super) fn for_upstream_with_body(
    headers: &mut HeaderMap,
    version: Version,
    request_id: &str,
    has_body: bool,
) {
    for_upstream(headers, version, request_id);
    headers.remove(CONTENT_LENGTH);
    headers.remove(CONTENT_TYPE);
    if has_body {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    }
}

/// Makes a response's header fields fit for the client.
pub(super) fn for_client(headers: &mut HeaderMap, version: Version, request_id: &str) {
    remove_hop_by_hop(headers);
    add_via(headers, version);
    headers.insert(REQUEST_ID, value(request_id));
}

/// Makes `X-RateLimit-Reset` a time in seconds, at most an hour away, or takes it off.
///
/// Dynatrace documents microseconds since 1970; Monaco reads seconds, and would wait for thousands of years. The
/// limit and what remains of it are passed on: they slow no client down.
pub(super) fn limit_reset(headers: &mut HeaderMap, now: impl FnOnce() -> jiff::Timestamp) {
    let mut fields = headers.get_all(&LIMIT_RESET).iter();
    let reset = match (fields.next(), fields.next()) {
        (None, _) => return,
        (Some(field), None) => field.to_str().ok().and_then(seconds),
        (Some(_), Some(_)) => None,
    };
    let latest = now().as_second().saturating_add(3600);
    match reset.filter(|reset| *reset <= latest) {
        Some(reset) => drop(headers.insert(LIMIT_RESET, HeaderValue::from(reset))),
        None => drop(headers.remove(&LIMIT_RESET)),
    }
}

/// Seconds since 1970, whatever the unit: what would be later than the year 5000 is in a smaller one.
fn seconds(text: &str) -> Option<i64> {
    let text = text.trim();
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let number: i64 = text.parse().ok()?;
    let unit = match number {
        ..100_000_000_000 => 1,
        100_000_000_000..100_000_000_000_000 => 1_000,
        100_000_000_000_000.. => 1_000_000,
    };
    Some(number.saturating_add(unit - 1) / unit)
}

/// Counts `Max-Forwards` down on the two methods that have it. False: it was zero, and the request
/// must not be forwarded.
pub(super) fn may_forward(method: &Method, headers: &mut HeaderMap) -> bool {
    if *method != Method::OPTIONS && *method != Method::TRACE {
        return true;
    }
    let Some(text) = headers
        .get("max-forwards")
        .and_then(|value| value.to_str().ok())
    else {
        return true;
    };
    match text.trim().parse::<u32>() {
        Ok(0) => false,
        Ok(hops) => {
            headers.insert("max-forwards", HeaderValue::from(hops - 1));
            true
        }
        Err(_) => true,
    }
}

/// What else a look at all fields has found.
#[derive(Default)]
struct Seen {
    expect: bool,
    cookies: usize,
}

/// Looks at each field once. Nearly always there is none of them.
fn remove_hop_by_hop(headers: &mut HeaderMap) -> Seen {
    let mut seen = Seen::default();
    let mut gone: Vec<HeaderName> = Vec::new();
    for (name, value) in &*headers {
        match name.as_str() {
            "connection" => {
                gone.push(name.clone());
                gone.extend(options(value));
            }
            // Trailers end at the gate.
            "http2-settings"
            | "keep-alive"
            | "proxy-authenticate"
            | "proxy-authorization"
            | "proxy-connection"
            | "te"
            | "trailer"
            | "transfer-encoding"
            | "upgrade" => gone.push(name.clone()),
            "cookie" => seen.cookies += 1,
            "expect" => seen.expect = true,
            _ => {}
        }
    }
    for name in &gone {
        headers.remove(name);
    }
    seen
}

/// The fields that a `Connection` field takes off.
fn options(value: &HeaderValue) -> impl Iterator<Item = HeaderName> {
    let options = value.to_str().unwrap_or_default().split(',');
    let options = options.map(str::trim);
    // What nearly every message has, and no field is called.
    let options = options.filter(|option| !matches!(*option, "close" | "keep-alive"));
    options.filter_map(|name| name.parse().ok())
}

/// HTTP/2 lets a client split its cookies; HTTP/1.1 must see one field (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    let crumbs = headers.get_all(COOKIE).iter();
    let crumbs: Vec<&[u8]> = crumbs.map(HeaderValue::as_bytes).collect();
    if crumbs.len() < 2 {
        return;
    }
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

fn add_via(headers: &mut HeaderMap, version: Version) {
    let via = match version {
        Version::HTTP_2 => "2 dtgate",
        Version::HTTP_10 => "1.0 dtgate",
        _ => "1.1 dtgate",
    };
    headers.append(VIA, HeaderValue::from_static(via));
}

const LIMIT_RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");

fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_invalid| HeaderValue::from_static(""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields
            .iter()
            .map(|(name, value)| {
                (
                    HeaderName::from_static(name),
                    HeaderValue::from_static(value),
                )
            })
            .collect()
    }

    #[test]
    fn fields_of_one_connection_do_not_cross_the_gate() {
        let mut headers = map(&[
            ("connection", "close, X-Mine"),
            ("connection", "keep-alive"),
            ("x-mine", "1"),
            ("keep-alive", "timeout=5"),
            ("te", "trailers"),
            ("trailer", "x-late"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "websocket"),
            ("http2-settings", "AAMAAABkAAQAAP__"),
            ("proxy-authenticate", "Basic"),
            ("proxy-authorization", "Basic x"),
            ("proxy-connection", "keep-alive"),
            ("expect", "100-continue"),
            ("x-other", "2"),
            ("host", "gate"),
        ]);
        for_upstream(&mut headers, Version::HTTP_11, "id-1");
        let names: Vec<&str> = headers.keys().map(HeaderName::as_str).collect();
        assert_eq!(names, ["x-other", "via", "x-request-id"]);
    }

    #[test]
    fn a_rate_limits_reset_is_in_seconds_and_near() {
        let now: jiff::Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
        let second = now.as_second();
        for (given, passed) in [
            (format!("{}", second + 30), Some(second + 30)),
            (format!("{}000", second + 30), Some(second + 30)),
            (format!("{}000001", second + 30), Some(second + 31)),
            (format!("{}", second - 5), Some(second - 5)),
            ("0".to_owned(), Some(0)),
            (format!("{}", second + 4000), None),
            (format!("{}000000", second + 4000), None),
            ("99999999999999999999".to_owned(), None),
            ("-1".to_owned(), None),
            ("soon".to_owned(), None),
            (String::new(), None),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(LIMIT_RESET, given.parse().unwrap());
            headers.insert("x-ratelimit-limit", HeaderValue::from_static("50"));
            limit_reset(&mut headers, || now);
            let found = headers
                .get(&LIMIT_RESET)
                .map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(found, passed.map(|reset| reset.to_string()), "{given}");
            assert!(headers.contains_key("x-ratelimit-limit"));
        }
        let mut twice = HeaderMap::new();
        twice.append(LIMIT_RESET, HeaderValue::from(second));
        twice.append(LIMIT_RESET, HeaderValue::from(second));
        limit_reset(&mut twice, || now);
        assert!(!twice.contains_key(&LIMIT_RESET));
    }

    #[test]
    fn via_is_appended_to_what_is_there() {
        let mut headers = map(&[("via", "1.0 fred")]);
        for_client(&mut headers, Version::HTTP_2, "id-1");
        let via: Vec<_> = headers.get_all(VIA).iter().collect();
        assert_eq!(via, ["1.0 fred", "2 dtgate"]);
    }

    #[test]
    fn split_cookies_become_one_field() {
        let mut headers = map(&[("cookie", "a=1"), ("cookie", "b=2")]);
        for_upstream(&mut headers, Version::HTTP_2, "id-1");
        assert_eq!(headers.get(COOKIE).unwrap(), "a=1; b=2");
        assert_eq!(headers.get_all(COOKIE).iter().count(), 1);
    }

    #[test]
    fn fields_that_connection_takes_off_are_not_there_for_what_is_done_later() {
        let mut headers = map(&[
            ("cookie", "a=1"),
            ("cookie", "b=2"),
            ("x-request-id", "theirs"),
            ("connection", "Cookie, X-Request-Id"),
        ]);
        for_upstream(&mut headers, Version::HTTP_2, "ours");
        assert!(!headers.contains_key(COOKIE));
        assert_eq!(headers.get(&REQUEST_ID).unwrap(), "ours");
    }

    #[test]
    fn max_forwards_counts_down_and_stops_at_zero() {
        let mut headers = map(&[("max-forwards", "2")]);
        assert!(may_forward(&Method::OPTIONS, &mut headers));
        assert_eq!(headers.get("max-forwards").unwrap(), "1");
        assert!(!may_forward(
            &Method::TRACE,
            &mut map(&[("max-forwards", "0")])
        ));
        assert!(may_forward(
            &Method::GET,
            &mut map(&[("max-forwards", "0")])
        ));
    }

    #[test]
    fn a_clients_request_id_goes_upstream_and_ours_comes_back() {
        let mut headers = map(&[("x-request-id", "theirs")]);
        for_upstream(&mut headers, Version::HTTP_11, "ours");
        assert_eq!(headers.get(&REQUEST_ID).unwrap(), "theirs");
        for_client(&mut headers, Version::HTTP_11, "ours");
        assert_eq!(headers.get(&REQUEST_ID).unwrap(), "ours");
    }
}
