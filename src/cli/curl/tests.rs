use std::fmt::Write as _;

use super::*;

fn parse(line: &str) -> anyhow::Result<Request<Bytes>> {
    super::parse(line, Files::Read)
}

/// The request as a line and its fields.
fn read(line: &str) -> String {
    let request = parse(line).unwrap_or_else(|error| panic!("{line}: {error:#}"));
    let mut text = format!("{} {}", request.method(), request.uri());
    for (name, value) in request.headers() {
        write!(text, "\n{name}: {}", value.to_str().unwrap()).unwrap();
    }
    let body = String::from_utf8(request.body().to_vec()).unwrap();
    if !body.is_empty() {
        write!(text, "\n\n{body}").unwrap();
    }
    text
}

#[test]
fn a_line_is_the_request_that_curl_would_send() {
    let url = "https://abc12345.live.dynatrace.com/api/v2/apiTokens";
    for (line, wanted) in [
        (
            format!(
                "curl -sS -X PUT '{url}/ID' -H 'Authorization: Api-Token dt0c01.A.B' -H 'Content-Type: application/json' -d '{{\"enabled\": false}}'"
            ),
            "PUT /api/v2/apiTokens/ID\nauthorization: Api-Token dt0c01.A.B\ncontent-type: application/json\n\
             host: abc12345.live.dynatrace.com\naccept: */*\n\n{\"enabled\": false}",
        ),
        (
            format!("curl --json '{{\"name\":\"x\"}}' {url}"),
            "POST /api/v2/apiTokens\nhost: abc12345.live.dynatrace.com\ncontent-type: application/json\n\
             accept: application/json\n\n{\"name\":\"x\"}",
        ),
        (
            format!("curl -XDELETE -k \\\n  --url {url}/ID?a=b -o /dev/null -w '%{{http_code}}'"),
            "DELETE /api/v2/apiTokens/ID?a=b\nhost: abc12345.live.dynatrace.com\naccept: */*",
        ),
        // What curl takes a body for unless it is told.
        (
            format!("/usr/bin/curl -d a=1 -d b=2 {url}"),
            "POST /api/v2/apiTokens\nhost: abc12345.live.dynatrace.com\n\
             content-type: application/x-www-form-urlencoded\naccept: */*\n\na=1&b=2",
        ),
        (
            "curl -I gate:8080 -H Accept: -b 'S=1' -u a:b -A agent".to_owned(),
            "HEAD /\ncookie: S=1\nauthorization: Basic YTpi\nuser-agent: agent\nhost: gate:8080",
        ),
    ] {
        assert_eq!(read(&line), wanted, "{line}");
    }
}

/// As "Copy as cURL" writes what has quotes or control characters in it.
#[test]
fn the_quoting_of_browsers_is_read() {
    for (written, body) in [
        (r#"$'{"name":"it\'s"}'"#, r#"{"name":"it's"}"#),
        (
            r#"$'{"name":"it\u0027s\u0021 \xc3\xa9"}'"#,
            r#"{"name":"it's! é"}"#,
        ),
        (r#"$'a\nb\tc\\d\r\"'"#, "a\nb\tc\\d\r\""),
        // The next letter is no digit, and not the fifth either.
        (r"$'\u41g\u00411'", "AgA1"),
        (r"'a'$'\'b'$''\''c'", "a'b'c"),
        // Not outside of it, and not in other quotes.
        (r#""$'a\\n'""#, r"$'a\n'"),
        (r"'$'a", "$a"),
        ("$'a\\\\\nb' \\\n -s", "a\\\nb"),
    ] {
        let line = format!("curl http://x --data-raw {written} -k");
        let request = parse(&line).unwrap_or_else(|error| panic!("{line}: {error:#}"));
        assert_eq!(request.body(), body, "{line}");
    }
}

#[test]
fn a_body_may_stand_in_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("body");
    std::fs::write(&file, "{\n\"a\": 1\n}\n").unwrap();
    let file = file.display();
    assert!(read(&format!("curl http://x -d @{file}")).ends_with("\n\n{\"a\": 1}"));
    assert!(
        read(&format!("curl http://x --data-binary @{file}")).ends_with("\n\n{\n\"a\": 1\n}\n")
    );
    assert!(read("curl http://x --data-raw @x").ends_with("\n\n@x"));
}

#[test]
fn what_would_have_to_be_guessed_is_refused() {
    for (line, said) in [
        ("", "must begin with curl"),
        ("wget http://x", "must begin with curl"),
        ("curl", "has no URL"),
        ("curl http://x http://y", "more than one URL"),
        ("curl http://x | jq .", "| is for a shell"),
        ("curl http://x -d '{", "a quote or a backslash is open"),
        ("curl http://x -d $'a", "a quote or a backslash is open"),
        ("curl http://x -d $'\\q'", "\\q is not understood in $'…'"),
        ("curl http://x -d $'\\x'", "need a hexadecimal number"),
        ("curl http://x -d $'\\ud800'", "\\u is for a character"),
        ("curl http://x -d $'\\xff'", "not UTF-8"),
        (
            "curl http://x -F a=b",
            "-F is not understood here: a form is no request",
        ),
        (
            "curl http://x -G -d a=b",
            "-G is not understood here: write the query",
        ),
        (
            "curl http://x --nonsense",
            "--nonsense is not understood here",
        ),
        ("curl http://x -Z", "-Z is not understood here"),
        ("curl http://x -H", "-H needs a value"),
        ("curl http://x -H Host", "a header is written"),
        (
            "curl http://x -H \"Authorization: Api-Token $TOKEN\"",
            "by --token ID",
        ),
        ("curl $URL/api", "the URL has a variable"),
        (
            "curl http://x -d \"{\\\"name\\\": \\\"$NAME\\\"}\"",
            "a variable or a command",
        ),
        (
            "curl http://x -H \"X-A: `date`\"",
            "a variable or a command",
        ),
        (
            "curl http://x -d \"$(cat body.json)\"",
            "a variable or a command",
        ),
        ("curl http://x -d ${BODY}", "a variable or a command"),
        ("curl http://x -d @/does/not/exist", "there is no such file"),
        ("curl http://x -d @-", "standard input is not read"),
    ] {
        let refused = format!("{:#}", parse(line).unwrap_err());
        assert!(refused.contains(said), "{line}: {refused}");
    }
}

#[test]
fn what_a_shell_leaves_alone_is_no_variable() {
    for (line, body) in [
        ("curl http://x -d '$NAME `date`'", "$NAME `date`"),
        ("curl http://x -d \"\\$NAME \\`date\\`\"", "$NAME `date`"),
        ("curl http://x -d \"5 $ and $\"", "5 $ and $"),
        ("curl http://x -d $'a\\'$b'", "a'$b"),
    ] {
        assert_eq!(parse(line).unwrap().body(), body, "{line}");
    }
}

#[test]
fn a_file_is_read_only_for_who_may_read_it() {
    for line in [
        "curl -d @/etc/passwd http://a/b",
        "curl --json @/etc/passwd http://a/b",
        "curl --data-binary @- http://a/b",
    ] {
        let refused = super::parse(line, Files::None).unwrap_err();
        assert!(
            format!("{refused:#}").contains("no file is read here"),
            "{line}"
        );
    }
}
