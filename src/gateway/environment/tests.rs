use serde::Deserialize;

use super::*;

fn environments(text: &str) -> Result<Environments, String> {
    #[derive(Deserialize)]
    struct File {
        #[serde(default)]
        upstream: upstream::Config,
        environments: BTreeMap<String, Config>,
    }
    let file: File = toml::from_str(text).map_err(|error| error.message().to_owned())?;
    Environments::new(
        Sections {
            several: &file.environments,
            ..Sections::of(&file.upstream)
        },
        None,
        &Metrics::new("1.2.3"),
    )
    .map_err(|error| error.to_string())
}

const URL: &str = "upstream.url = \"http://127.0.0.1:9\"\n";

fn open(environments: &Environments, host: &str, target: &str) -> String {
    let request = http::Request::get(target).header("host", host);
    let (parts, ()) = request.body(()).unwrap().into_parts();
    match environments.open(&parts) {
        Ok((environment, target)) => format!("{} {target}", environment.name),
        Err(RouteError::Ambiguous(_)) => "ambiguous".to_owned(),
        Err(error) => error.to_string(),
    }
}

#[test]
fn an_environment_is_found_by_host_and_by_prefix() {
    let several = environments(&format!(
        "[environments.prod]\nhosts = [\"Prod.Example.\", \"p\"]\n{URL}\
         [environments.dev]\nhosts = [\"shared\"]\nid = \"dev1\"\n{URL}\
         [environments.any]\nid = \"any1\"\nprefix = \"strip\"\n{URL}"
    ))
    .unwrap();
    for (host, target, found) in [
        ("prod.example", "/api/v2/x?a=/e/y", "prod /api/v2/x?a=/e/y"),
        ("PROD.example.:8443", "/", "prod /"),
        ("p", "//a/./b", "prod //a/./b"),
        ("shared", "/e/dev1/x", "dev /e/dev1/x"),
        ("shared", "//e//dev1//x", "dev //e//dev1//x"),
        ("anything", "/e/any1/x?y", "any /x?y"),
        ("p", "/e/any1?y", "any /?y"),
        ("p", "/e/any1//x", "any //x"),
        ("p", "/e/any1", "any /"),
        (
            "p",
            "/e/dev1/x",
            "no environment is configured for host \"p\" and path /e/dev1: use an id that its configuration has in environments.*.id, or a path without /e/",
        ),
        (
            "shared",
            "/x",
            "no environment is configured for host \"shared\": put /e/{environment-id} before the path",
        ),
        (
            "other",
            "/x",
            "no environment is configured for host \"other\": put /e/{environment-id} before the path",
        ),
        ("shared", "/e/dev1/../any1/x", "ambiguous"),
        ("shared", "/%65/dev1/x", "ambiguous"),
        ("anything", "/e/any1/e/dev1/x", "ambiguous"),
    ] {
        assert_eq!(open(&several, host, target), found, "{host} {target}");
    }
}

#[test]
fn a_host_that_no_environment_has_is_named() {
    let hosts = environments(&format!(
        "[environments.prod]\nhosts = [\"prod.example\"]\n{URL}"
    ))
    .unwrap();
    for (host, target, named) in [
        ("localhost", "/api/v2/x", "host \"localhost\""),
        ("[::1]:80", "/x", "host \"[::1]\""),
        ("localhost", "/e/a/x", "host \"localhost\" and path /e/a"),
        ("?", "/x", "a request without a host"),
    ] {
        let said = open(&hosts, host, target);
        assert_eq!(
            said,
            format!(
                "no environment is configured for {named}: call dtgate by a name that its configuration lists in environments.*.hosts"
            ),
        );
    }
}

#[test]
fn one_environment_takes_everything() {
    let one: upstream::Config = toml::from_str("url = \"http://127.0.0.1:9\"").unwrap();
    let one = Environments::new(Sections::of(&one), None, &Metrics::new("1.2.3")).unwrap();
    for target in ["/e/x/../y", "/", "/%65/x"] {
        assert_eq!(open(&one, "h", target), format!("default {target}"));
    }
}

#[test]
fn what_cannot_be_told_apart_or_reached_is_an_error() {
    for (text, reason) in [
        (
            format!("[environments.a]\n{URL}"),
            "environments.a has neither hosts nor id",
        ),
        (
            format!(
                "[environments.a]\nhosts = [\"x\"]\n{URL}[environments.b]\nhosts = [\"y\", \"X.\"]\n{URL}"
            ),
            "environments.a and environments.b could both be meant by the same request (without /e/ at x)",
        ),
        (
            format!("[environments.a]\nid = \"x\"\n{URL}[environments.b]\nid = \"x\"\n{URL}"),
            "environments.a and environments.b could both be meant by the same request (/e/x at any host)",
        ),
        (
            "[environments.a]\nid = \"x\"\n".to_owned(),
            "environments.a.upstream",
        ),
        (
            format!("[upstream]\nurl = \"http://a\"\n[environments.a]\nid = \"x\"\n{URL}"),
            "not both",
        ),
        (
            format!("[environments.a]\nid = \"x/y\"\n{URL}"),
            "\"x/y\" is no environment id",
        ),
        (
            format!("[environments.a]\nhosts = [\"x:80\"]\n{URL}"),
            "\"x:80\" is no host",
        ),
        (
            format!("[environments.a]\nid = \"x\"\nprefix = \"drop\"\n{URL}"),
            "drop",
        ),
        (
            format!("[environments.a]\nid = \"x\"\ndata = {{ n = nan }}\n{URL}"),
            "not finite",
        ),
        (
            format!(
                "[environments.a]\nid = \"x\"\ndata = {{ t = \"dt0c01.{0}.{0}{0}\" }}\n{URL}",
                "A".repeat(24)
            ),
            "secret part of a token",
        ),
    ] {
        let error = environments(&text).err().unwrap_or_default();
        assert!(error.contains(reason), "{text}: {error}");
    }
}

#[test]
fn data_is_what_policies_can_read() {
    let data = "data = { tier = \"prod\", n = 1, f = 0.5, on = true, since = 2026-01-01, deep = { a = [1, \"x\"] } }\n";
    let file: BTreeMap<String, Config> =
        toml::from_str(&format!("[a]\nid = \"x\"\n{data}")).unwrap();
    assert_eq!(
        Value::Object(file["a"].data.0.clone()),
        serde_json::json!({"tier": "prod", "n": 1, "f": 0.5, "on": true, "since": "2026-01-01", "deep": {"a": [1, "x"]}})
    );
}
