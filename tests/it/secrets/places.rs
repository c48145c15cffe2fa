//! Every place that a request has, for a text that somebody pastes there.

/// A place, and the request that has a text in it. First comes what it shows as its credential.
pub(super) struct Place {
    pub(super) name: &'static str,
    /// Tokens stand there, so that one of the old format is hidden whoever has it.
    pub(super) knows_old: bool,
    pub(super) request: fn(&str, &str) -> String,
}

const fn place(name: &'static str, request: fn(&str, &str) -> String) -> Place {
    Place {
        name,
        knows_old: false,
        request,
    }
}

const fn token_place(name: &'static str, request: fn(&str, &str) -> String) -> Place {
    Place {
        name,
        knows_old: true,
        request,
    }
}

/// A request with a field of its own, or several.
fn head(method: &str, target: &str, own: &str, fields: &str) -> String {
    format!("{method} {target} HTTP/1.1\r\nHost: gate\r\nAuthorization: {own}\r\n{fields}\r\n")
}

fn body(method: &str, target: &str, own: &str, json: &str) -> String {
    let length = json.len();
    let fields = format!("Content-Type: application/json\r\nContent-Length: {length}\r\n");
    format!("{}{json}", head(method, target, own, &fields))
}

/// A change of a token, with a field more.
fn put(own: &str, field: &str) -> String {
    let fields = format!(
        "{field}Content-Type: application/json\r\nContent-Length: {}\r\n",
        GOOD.len()
    );
    format!("{}{GOOD}", head("PUT", TOKEN, own, &fields))
}

/// Text as JSON has it where it is written with care.
fn quoted(text: &str) -> String {
    serde_json::to_string(text).unwrap()
}

fn open(own: &str, target: &str) -> String {
    head("GET", target, own, "")
}

/// Bodies in which a text stands in the place of `@`, as it is: `\u` escapes are then JSON's own.
fn change(own: &str, json: &str, text: &str) -> String {
    body("PUT", TOKEN, own, &json.replace('@', text))
}

fn created(own: &str, json: &str, text: &str) -> String {
    body("POST", "/api/v1/tokens", own, &json.replace('@', text))
}

fn chunked(own: &str, extension: &str, trailer: &str) -> String {
    let fields = "Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n";
    let length = GOOD.len();
    format!(
        "{}{length:x}{extension}\r\n{GOOD}\r\n0\r\n{trailer}\r\n",
        head("PUT", TOKEN, own, fields)
    )
}

const TOKEN: &str = "/api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3ea";
const GOOD: &str = r#"{"name":"payments-prod-ci","scopes":["metrics.read"]}"#;
const SETTINGS: &str = "/api/v2/settings/objects";

pub(super) const PLACES: &[Place] = &[
    token_place("method", |own, text| head(text, "/api/v2/events", own, "")),
    token_place("guarded method", |own, text| head(text, TOKEN, own, "")),
    token_place("open path", |own, text| {
        open(own, &format!("/api/v2/events/{text}"))
    }),
    token_place("end of an open path", |own, text| {
        open(own, &format!("/api/v2/events/{text}/x?y={text}"))
    }),
    token_place("environment", |own, text| {
        open(own, &format!("/e/{text}/api/v2/metrics"))
    }),
    token_place("guarded environment", |own, text| {
        body("PUT", &format!("/e/{text}{TOKEN}"), own, GOOD)
    }),
    token_place("installer", |own, text| {
        open(
            own,
            &format!("/api/v1/deployment/installer/agent/unix/default/{text}"),
        )
    }),
    token_place("token", |own, text| {
        body("PUT", &format!("/api/v1/tokens/{text}"), own, GOOD)
    }),
    token_place("deleted token", |own, text| {
        head("DELETE", &format!("/api/v2/apiTokens/{text}"), own, "")
    }),
    token_place("behind a token", |own, text| {
        head("DELETE", &format!("/api/v1/tokens/x/{text}"), own, "")
    }),
    place("settings object", |own, text| {
        head("DELETE", &format!("{SETTINGS}/{text}"), own, "")
    }),
    place("name in an open query", |own, text| {
        open(own, &format!("/api/v2/events?{text}=1"))
    }),
    place("open query", |own, text| {
        open(own, &format!("/api/v2/events?from={text}"))
    }),
    place("guarded query", |own, text| {
        body("PUT", &format!("{TOKEN}?{text}=1&x={text}"), own, GOOD)
    }),
    place("settings query", |own, text| {
        let json = r#"[{"schemaId":"builtin:tokens.token-settings","value":{}}]"#;
        body(
            "POST",
            &format!("{SETTINGS}?validateOnly={text}&{text}=1"),
            own,
            json,
        )
    }),
    place("credential in the query", |_own, text| {
        format!("DELETE {TOKEN}?api-token={text} HTTP/1.1\r\nHost: gate\r\n\r\n")
    }),
    place("two credentials", |own, text| {
        head("DELETE", &format!("{TOKEN}?api-token={text}"), own, "")
    }),
    place("request id", |own, text| {
        put(own, &format!("X-Request-Id: ci-{text}\r\n"))
    }),
    place("open request id", |own, text| {
        head(
            "GET",
            "/api/v2/events",
            own,
            &format!("X-Request-Id: {text}\r\n"),
        )
    }),
    token_place("connection", |own, text| {
        put(own, &format!("Connection: {text}\r\n"))
    }),
    place("referer", |own, text| {
        put(own, &format!("Referer: https://x/{text}?y={text}\r\n"))
    }),
    place("referer of what passes", |own, text| {
        head(
            "DELETE",
            TOKEN,
            own,
            &format!("Referer: https://x/?y={text}\r\n"),
        )
    }),
    place("user agent", |own, text| {
        put(own, &format!("User-Agent: {text}\r\n"))
    }),
    place("a field", |own, text| {
        put(own, &format!("X-Own: a, {text}; b\r\n"))
    }),
    place("two fields", |own, text| {
        put(own, &format!("X-Own: a\r\nX-Own: {text}\r\n"))
    }),
    place("name of a field", |own, text| {
        put(own, &format!("{text}: 1\r\n"))
    }),
    place("accept", |own, text| {
        put(own, &format!("Accept: {text}\r\n"))
    }),
    place("trace", |own, text| {
        put(
            own,
            &format!("traceparent: 00-{text}-01\r\ntracestate: a={text}\r\n"),
        )
    }),
    place("cookie", |own, text| {
        head(
            "GET",
            "/api/v2/events",
            own,
            &format!("Cookie: a=b; session={text}\r\n"),
        )
    }),
    place("cookie alone", |_own, text| {
        format!(
            "DELETE {TOKEN} HTTP/1.1\r\nHost: gate\r\nCookie: s={text}\r\nX-Own: {text}\r\n\r\n"
        )
    }),
    place("media type", |own, text| {
        head(
            "PUT",
            TOKEN,
            own,
            &format!("Content-Type: application/json; x={text}\r\nContent-Length: 0\r\n"),
        )
    }),
    place("coding", |own, text| {
        put(own, &format!("Content-Encoding: {text}\r\n"))
    }),
    place("host", |own, text| {
        format!(
            "DELETE {TOKEN} HTTP/1.1\r\nHost: {text}.example.com\r\nAuthorization: {own}\r\n\r\n"
        )
    }),
    place("absolute target", |own, text| {
        format!(
            "DELETE http://{text}{TOKEN} HTTP/1.1\r\nHost: {text}\r\nAuthorization: {own}\r\n\r\n"
        )
    }),
    place("override", |own, text| {
        put(own, &format!("X-Original-URL: /api/v1/tokens/{text}\r\n"))
    }),
    place("trailer", |own, text| {
        chunked(own, "", &format!("X-Own: {text}\r\n{text}: 1\r\n"))
    }),
    place("chunk extension", |own, text| {
        chunked(own, &format!(";x={text}"), "")
    }),
    place("name", |own, text| {
        change(own, r#"{"name":"@","scopes":["metrics.read"]}"#, text)
    }),
    place("name among words", |own, text| {
        created(
            own,
            r#"{"name":"my @, really","scopes":["metrics.read"]}"#,
            text,
        )
    }),
    place("scope", |own, text| {
        change(own, r#"{"name":"a","scopes":["metrics.read","@"]}"#, text)
    }),
    place("member", |own, text| {
        change(own, r#"{"name":"a","@":1}"#, text)
    }),
    place("deep value", |own, text| {
        change(
            own,
            r#"{"name":"a","b":[{"c":{"d":[null,{"e":"@"}]}}]}"#,
            text,
        )
    }),
    place("deep member", |own, text| {
        change(
            own,
            r#"{"name":"a","b":[{"c":{"d":[null,{"@":1}]}}]}"#,
            text,
        )
    }),
    place("quoted value", |own, text| {
        change(own, r#"{"name":@,"scopes":[]}"#, &quoted(text))
    }),
    token_place("member of a duration", |own, text| {
        created(
            own,
            r#"{"name":"a","scopes":[],"expiresIn":{"value":1,"@":"DAYS"}}"#,
            text,
        )
    }),
    place("unit of a duration", |own, text| {
        created(
            own,
            r#"{"name":"a","scopes":[],"expiresIn":{"value":1,"unit":"@"}}"#,
            text,
        )
    }),
    place("expiration", |own, text| {
        body(
            "POST",
            "/api/v2/apiTokens",
            own,
            &format!(r#"{{"name":"a","scopes":[],"expirationDate":"{text}"}}"#),
        )
    }),
    place("settings body", |own, text| {
        let json = format!(
            r#"[{{"schemaId":"builtin:tokens.token-settings","value":{{"a":"{text}","{text}":1}}}}]"#
        );
        body("POST", SETTINGS, own, &json)
    }),
    place("two members", |own, text| {
        change(own, r#"{"name":"a","@":1,"@":2}"#, text)
    }),
    place("two members alike", |own, text| {
        change(own, r#"{"name":"a","@":1,"@ ":2}"#, text)
    }),
    place("a member like a word", |own, text| {
        change(own, r#"{"name":"a","scopes@":1}"#, text)
    }),
    place("no JSON", |own, text| {
        change(own, r#"{"name":"a", @"#, text)
    }),
    place("a number", |own, text| {
        change(own, r#"{"name":"a","b":1@}"#, text)
    }),
    place("a body that is no object", |own, text| {
        change(own, r#""@""#, text)
    }),
    place("behind JSON", |own, text| {
        change(own, r#"{"name":"a"} @"#, text)
    }),
    place("no HTTP", |own, text| {
        format!("PUT {TOKEN} {text}\r\nHost: gate\r\nAuthorization: {own}\r\n\r\n")
    }),
];
