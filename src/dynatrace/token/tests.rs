use proptest::prelude::*;

use super::*;

const SECRET: &str = "dt0c01.ST2EY72KQINMH574WMNVI7YN.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM";

fn key() -> HashKey {
    HashKey::new([7; 32])
}

fn id(segment: &str) -> String {
    TokenReference::parse(segment, &key())
        .unwrap()
        .id()
        .to_string()
}

#[test]
fn a_whole_token_is_reduced_to_its_public_part() {
    assert_eq!(id(SECRET), "dt0c01.ST2EY72KQINMH574WMNVI7YN");
    assert_eq!(id("dt0c01.A.B"), "dt0c01.A");
    assert_eq!(
        id("dt0g02.4KWZO5EF.XXXXXXXXXXXXXXXXXXXXXXXX"),
        "dt0g02.4KWZO5EF"
    );
}

#[test]
fn uuids_and_public_ids_stay_what_they_are() {
    assert_eq!(
        id("D5836312-5790-4e80-afcf-09971954c3ea"),
        "d5836312-5790-4e80-afcf-09971954c3ea"
    );
    assert_eq!(
        id("dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA"),
        "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA"
    );
}

#[test]
fn what_may_be_a_secret_of_the_old_format_is_hashed_with_the_key() {
    let old = "aB3dE5gH7jK9mN1pQ3sT5";
    assert!(id(old).starts_with("hmac-sha256:"));
    assert_ne!(HashKey::new([8; 32]).name(old), key().name(old));
    // A secret that lost its public part is no public part.
    assert!(id("dt0c01.G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6").starts_with("hmac"));
}

#[test]
fn ids_that_could_be_read_as_paths_are_refused() {
    for segment in [
        "",
        ".",
        "..",
        "...",
        "a/b",
        "a%2fb",
        "a;b",
        "a b",
        "a\\b",
        "ä",
        "DT0C01.AAAAAAAAAAAAAAAAAAAAAAAA",
        "d5836312-5790-4e80-afcf-9971954c3ea",
        &"a".repeat(161),
    ] {
        assert!(
            TokenReference::parse(segment, &key()).is_err(),
            "{segment:?}"
        );
    }
}

#[test]
fn nothing_that_holds_a_secret_prints_it() {
    let reference = TokenReference::parse(SECRET, &key()).unwrap();
    let printed = format!("{reference:?} {:?} {:?}", reference.raw(), key());
    assert!(!printed.contains("G3DFPBEJ"), "{printed}");
}

#[test]
fn credentials_show_their_public_part() {
    let caller = |value: &str| Caller::from_authorization(value, &key());
    assert_eq!(
        caller(&format!("Api-Token {SECRET}")).id.as_str(),
        "dt0c01.ST2EY72KQINMH574WMNVI7YN"
    );
    assert_eq!(
        caller(&format!("api-token  {SECRET}")).kind,
        CredentialKind::ApiToken
    );
    assert_eq!(
        caller("Bearer dt0s16.TYUHJKNM.SECRET").id.as_str(),
        "dt0s16.TYUHJKNM"
    );
    assert!(
        caller("Bearer eyJhbGciOi.eyJzdWIi.c2ln")
            .id
            .as_str()
            .starts_with("hmac")
    );
    assert_eq!(caller("Basic dXNlcjpwYXNz").kind, CredentialKind::Other);
    assert!(caller(SECRET).id.as_str().starts_with("hmac"));
}

#[test]
fn secrets_are_taken_out_of_text() {
    let text = format!("a {SECRET}, b Dt0C01.ab.{} c", "x".repeat(20));
    assert_eq!(
        redact(&text),
        "a dt0c01.ST2EY72KQINMH574WMNVI7YN.[secret], b Dt0C01.ab.[secret] c"
    );
    assert!(contains_secret(SECRET));
    assert!(!contains_secret("dt0c01.ST2EY72KQINMH574WMNVI7YN"));
    assert_eq!(redact("ädt0c01.ü"), "ädt0c01.ü");
}

#[test]
fn a_logged_path_has_no_query_and_no_old_token() {
    for (path, logged) in [
        ("/api/v2/metrics?api-token=x", "/api/v2/metrics"),
        (
            "/api/v1/tokens/aB3dE5gH7jK9mN1pQ3sT5",
            "/api/v1/tokens/{id}",
        ),
        (
            "/api/v1/Tokens//aB3dE5gH7jK9mN1pQ3sT5/x",
            "/api/v1/Tokens//{id}/{id}",
        ),
        ("/api/v2/apiTokens/dt0c01.A", "/api/v2/apiTokens/dt0c01.A"),
        ("/api/v2/apiTokens/lookup", "/api/v2/apiTokens/lookup"),
    ] {
        assert_eq!(redact_path(path), logged);
    }
    assert!(!redact_path(&format!("/x/{SECRET}/y")).contains("G3DF"));
    assert!(!redact_path(&format!("/x/{}", SECRET.replace('.', "%2e"))).contains("G3DF"));
    for path in [
        "/api/v1/%74okens/dt0c01%252eABCDEF%252eZQSECRETZQSECRETZQSECRET",
        "/api/v1/%74okens/dt0c01.X.BBBBBBBBBBBBBBBBBBBB/dt0c01%2eABCDEF%2eZQSECRETZQSECRETZQSECRET",
        "/api/v1/tokens;x/ZQSECRET",
        "/api/v1/tokens/../%74okens/ZQSECRET",
        "/x/dt0c01%252eABCDEF%252eZQSECRETZQSECRETZQSECRET",
        "/api/v1/tokens/a/b/ZQSECRET",
    ] {
        assert!(!redact_path(path).contains("ZQSECRET"), "{path}");
    }
}

#[test]
fn the_key_of_a_link_without_login_is_a_secret() {
    let link = "https://x/#dashboard;id=1?auth=Ab3dE5gH7jK9mN1pQ3sT5&x=y auth=short auth=Ab3dE5gH7jK9mN1pQ3sT6";
    assert_eq!(
        redact(link),
        "https://x/#dashboard;id=1?auth=[secret]&x=y auth=short auth=[secret]"
    );
}

#[test]
fn a_link_is_hidden_before_a_token_too() {
    let key = "Ab3dE5gH7jK9mN1pQ3sT5";
    assert_eq!(
        redact(&format!("auth={key} {SECRET} auth={key}")),
        "auth=[secret] dt0c01.ST2EY72KQINMH574WMNVI7YN.[secret] auth=[secret]"
    );
    assert_eq!(redact(&format!("auth=auth={key}")), "auth=auth=[secret]");
    assert_eq!(
        redact(&format!("dt0c01.dt0c01.A.{key}")),
        "dt0c01.dt0c01.A.[secret]"
    );
}

#[test]
fn a_long_path_that_is_encoded_is_not_shown() {
    let long = format!("/{}/%2e", "a".repeat(1024));
    assert_eq!(
        redact_path(&long),
        "[not shown: a long path that is encoded]"
    );
    let plain = format!("/{}", "a".repeat(5000));
    assert_eq!(redact_path(&plain), plain);
}

/// The first secret part of a text, letter by letter.
fn find_secret_slowly(text: &str) -> Option<(usize, usize)> {
    let bytes = text.as_bytes();
    let token_byte = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    let run = |from: usize| {
        let rest = bytes.iter().skip(from);
        rest.take_while(|byte| token_byte(byte)).count()
    };
    let dot = |at: usize| bytes.get(at) == Some(&b'.');
    (0..bytes.len()).find_map(|at| {
        let prefix = text.get(at..at + 6)?.to_ascii_lowercase();
        if !is_prefix(&prefix) || !dot(at + 6) {
            return None;
        }
        let public = run(at + 7);
        let secret_at = at + 7 + public + 1;
        let secret = run(secret_at);
        (public > 0 && dot(secret_at - 1) && secret >= MIN_SECRET)
            .then_some((secret_at, secret_at + secret))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(20_000))]

    #[test]
    fn a_secret_is_found_where_a_search_letter_by_letter_finds_it(
        text in r"(dt0c01|DT0s16|dT0|dt0c0|[.]|[.]|[A-Z]{1,3}|é|-_|[a-z0-9]{15}|[a-z0-9]{17}| ){0,9}",
    ) {
        let dots = text.match_indices('.');
        let found = dots.into_iter().find_map(|(dot, _)| secret_behind(&text, dot));
        prop_assert_eq!(found, find_secret_slowly(&text));
    }
}
