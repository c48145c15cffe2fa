use super::*;

fn read(lines: &str) -> Result<Config, String> {
    let text = format!("[jwt.ci]\n{lines}\n");
    toml::from_str(&text).map_err(|error| error.to_string())
}

#[test]
fn an_issuer_needs_a_name_an_audience_and_keys() {
    let config =
        read("issuer = 'https://a.example'\naudience = 'dtgate'\ndiscovery = true").unwrap();
    let issuer = config.jwt.values().next().unwrap();
    assert_eq!(issuer.audience, ["dtgate"]);
    assert_eq!(issuer.algorithms, Algorithm::all());
    assert_eq!(issuer.header, header::AUTHORIZATION);
    let Source::Discovery(url) = &issuer.keys else {
        panic!("{:?}", issuer.keys);
    };
    assert_eq!(
        url.to_string(),
        "https://a.example/.well-known/openid-configuration"
    );
    let config = read(
        "issuer = 'a'\naudience = ['x', 'y']\nalgorithms = ['ES256']\nheader = 'X-Token'\n\
         jwks_url = 'http://127.0.0.1:80/keys'",
    );
    let config = config.unwrap();
    let issuer = config.jwt.values().next().unwrap();
    assert_eq!(issuer.header.as_str(), "x-token");
    assert_eq!(issuer.algorithms[0].to_string(), "ES256");
}

#[expect(clippy::too_many_lines, reason = "one table")]
#[test]
fn what_would_let_the_wrong_in_is_refused() {
    let issuer = "issuer = 'https://a.example'\n";
    let both = "issuer = 'https://a.example'\naudience = 'dtgate'\n";
    let keys = "issuer = 'https://a.example'\naudience = 'dtgate'\ndiscovery = true\n";
    for (before, line, said) in [
        (issuer, "discovery = true", "missing field `audience`"),
        (
            issuer,
            "audience = []\ndiscovery = true",
            "would take tokens that are for others",
        ),
        (
            issuer,
            "audience = ''\ndiscovery = true",
            "would take tokens that are for others",
        ),
        (
            issuer,
            "audience = 1\ndiscovery = true",
            "a text is expected, or a list of texts",
        ),
        (both, "", "where are the keys?"),
        (both, "discovery = false", "where are the keys?"),
        (
            both,
            "discovery = true\njwks_file = 'a'",
            "more than one place",
        ),
        (
            both,
            "jwks_url = 'https://a/b'\njwks_file = 'a'",
            "more than one place",
        ),
        (
            both,
            "jwks_url = 'http://a.example/keys'",
            "https is needed",
        ),
        (
            both,
            "jwks_url = 'http://127.0.0.1.example/keys'",
            "https is needed",
        ),
        (
            both,
            "jwks_url = 'https://user@a.example/keys'",
            "without user",
        ),
        (
            both,
            "jwks_url = 'https://a.example/keys#x'",
            "without user and without fragment",
        ),
        (both, "jwks_url = '/keys'", "no URL"),
        (both, "jwks_url = 'file:///keys'", "no URL"),
        (both, "jwks_url = 'ftp://a.example/keys'", "not https"),
        (
            both,
            "jwks_file = 'keys.json'\nmax_age = '1h'",
            "nothing is fetched",
        ),
        (
            keys,
            "algorithms = ['none']",
            "anybody can write a token that is not signed",
        ),
        (
            keys,
            "algorithms = ['HS256']",
            "who can check a token that is signed with a shared secret can make one",
        ),
        (
            keys,
            "algorithms = ['ES512']",
            "it is not supported; write one of ES256",
        ),
        (keys, "algorithms = []", "name one at least"),
        (keys, "header = 'cookie'", "means something else"),
        (keys, "header = 'X-Forwarded-For'", "means something else"),
        (keys, "header = 'x-request-id'", "means something else"),
        (keys, "header = 'keep-alive'", "means something else"),
        (keys, "header = 'x-ratelimit-reset'", "means something else"),
        (keys, "header = 'if-range'", "means something else"),
        (keys, "header = 'x-client-cert'", "means something else"),
        (
            keys,
            "header = 'x-http-method-override'",
            "means something else",
        ),
        (keys, "header = 'x-original-url'", "means something else"),
        (keys, "header = 'a b'", "no name of a header field"),
        (keys, "leeway = '1h'", "set the clocks instead"),
        (
            "",
            "issuer = ''\naudience = 'x'\ndiscovery = true",
            "letter by letter",
        ),
        (
            "",
            "issuer = 'a'\naudience = 'x'\ndiscovery = true",
            "discovery is below the issuer",
        ),
        (keys, "secret = 'x'", "unknown field `secret`"),
    ] {
        let refused = read(&format!("{before}{line}")).unwrap_err();
        assert!(refused.contains(said), "{line}: {refused}");
        assert!(refused.contains("line "), "{refused}");
    }
    let twice = format!("[jwt.a]\n{keys}[jwt.b]\n{keys}");
    let refused = toml::from_str::<Config>(&twice).unwrap_err().to_string();
    assert!(
        refused.contains("identity.jwt.a and identity.jwt.b have the same issuer"),
        "{refused}"
    );
    assert!(toml::from_str::<Config>("[jwt.'a b']\nissuer = 'a'").is_err());
}
