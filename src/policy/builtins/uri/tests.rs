use serde_json::{Value as Json, json};

use crate::policy::builtins::tests::assert_said;
use crate::policy::builtins::tests::opa::compare_with;

#[test]
fn addresses_are_read_as_in_opa() {
    assert_said(&[
        (
            r#"uri.parse("HTTPS://u:p@Example.com:8080/a%20b/%2Fc?x=1&y#f%20g")"#,
            r#"{"fragment":"f g","hostname":"Example.com","path":"/a b//c","port":"8080","raw_path":"/a%20b/%2Fc","raw_query":"x=1&y","scheme":"https"}"#,
        ),
        (
            r#"uri.parse("/a%20b")"#,
            r#"{"path":"/a b","raw_path":"/a b"}"#,
        ),
        (
            r#"uri.parse("http://[fe80::1%25en0]:80")"#,
            r#"{"hostname":"fe80::1%en0","port":"80","scheme":"http"}"#,
        ),
        (
            r#"uri.parse("mailto:a@b?c")"#,
            r#"{"raw_query":"c","scheme":"mailto"}"#,
        ),
        (r#"uri.parse("")"#, "{}"),
        (r#"uri.parse("http://a:b")"#, "fails"),
        (r#"uri.parse("http://a/%zz")"#, "fails"),
        (r#"uri.is_valid("http://a b")"#, "false"),
        (r#"uri.is_valid("")"#, "false"),
        (r#"uri.is_valid("a:b:c")"#, "true"),
        (r#"uri.is_valid("1:b")"#, "false"),
        ("uri.is_valid(1)", "false"),
    ]);
}

const BEGINNINGS: [&str; 18] = [
    "",
    "a",
    "/",
    "//",
    "///",
    "http:",
    "http://",
    "https://u@",
    "ftp://u:p@w@",
    "x-1.+:",
    "1a:",
    ":",
    "\u{e4}://",
    "//[",
    "http://[",
    "mailto:",
    "*",
    "://",
];
const HOSTS: [&str; 30] = [
    "",
    "a",
    "a.b:80",
    "a:",
    "a:b",
    "a:1:2",
    "::1]",
    "::1]:80",
    "::1%25en0]",
    "::1%en0]",
    "::1%25]",
    "1.2.3.4]",
    "::ffff:1.2.3.4]",
    "g::]",
    "\u{e4}",
    "a b",
    "a%20b",
    "%C3%A4",
    "a%25",
    "%zz",
    "%4",
    "a@b",
    "a%2",
    "<a>",
    "a\"",
    "a\\",
    "a|b",
    "a[b]",
    "[::1]",
    "1:2:3:4:5:6:7::]",
];
const ENDS: [&str; 20] = [
    "",
    "/",
    "/a//b/../c",
    "/%2f",
    "/%2F%20 ",
    "/\u{e4}%ff",
    "/a:b",
    "?",
    "??",
    "?a=b&c",
    "#",
    "#a%20b#c",
    "#%",
    "?#",
    "/a?b/c#d?e",
    "/\u{7f}",
    "/\t",
    "/!*'()",
    "/[a]",
    "/%%",
];

#[test]
#[ignore = "needs OPA"]
fn needs_opa_addresses_are_as_in_opa() {
    let mut texts = vec![json!(1), json!(null), json!(["/"])];
    for beginning in BEGINNINGS {
        for host in HOSTS {
            for end in ENDS {
                texts.push(Json::from(format!("{beginning}{host}{end}")));
            }
        }
    }
    compare_with(
        &["uri.is_valid", "uri.parse"],
        |_| vec![texts.clone()],
        |_, _| false,
    );
}
