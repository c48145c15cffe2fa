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
