use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use proptest::prelude::*;
use serde_json::json;

use super::*;

const OWN: &str = "G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM";
const OTHER: &str = "NOTAREAL5ECRET7OTHER12X4K9QWNB3V8ZMTA2LDPY6RJGHC5EUSFN7XWKQ3B";
const OLD: &str = "aB3dE5gH7jK9mN1pQ3sT5";
const JWT: &str = "eyJhbGciOiJSUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIiwibmFtZSI6IkpvaG4ifQ.NHVaYe26MbtOYhSKkoKYdFVomg4i8ZJd8_-RU8VNbftc4TSMb4bXP3l3YlNWACwyXPGffz5aXHc6lty1Y2t4SWRqGteragsVdZufDn5BlnJl9pdR_kdVFUsra2rWKEofkZeIC4yWytE58sMIihvo9H1ScmmVwBcQP6XETqYd0aSHp1gOa9RdUPDvoXQ5oqygTqVtxaDr6wUFKrKItgBMzWIdNZ6y7O9E0DhEPTbE9rfBo6KTFsHAZnMg4k68CDp2woYIaXbmYTWcvbzIuHO7_37GT79XdIwkm95QJ7hYC9RiwrV7mesbY4PAahERJawntho0my942XheVLmGwLMBkQ";

fn own() -> Redactor {
    knowing(&format!("Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.{OWN}"))
}

fn knowing(credential: &str) -> Redactor {
    Redactor::new([TokenSecret::new(credential.to_owned())])
}

fn part(text: &str, range: Range<usize>) -> &str {
    text.get(range).unwrap()
}

fn nobody() -> Redactor {
    Redactor::default()
}

/// A text in every encoding in which people and programs write one.
fn encodings(text: &str) -> Vec<String> {
    let every = |escape: &dyn Fn(u8) -> String| text.bytes().map(escape).collect::<String>();
    let mut encodings = vec![
        text.to_owned(),
        text.to_ascii_lowercase(),
        text.to_ascii_uppercase(),
        text.replace('.', "%2E"),
        text.replace('.', "%252e"),
        text.replace('.', r"\u002e"),
        text.replace('.', "&#46;"),
        text.replace('.', "&#x2e;"),
        text.replace('.', "\u{ff0e}"),
        text.replace('.', "\u{200b}.\u{200b}"),
        every(&|byte| format!("%{byte:02X}")),
        every(&|byte| format!("%25{byte:02x}")),
        every(&|byte| format!("\\u{byte:04x}")),
        every(&|byte| format!("&#{byte};")),
        every(&|byte| {
            char::from_u32(u32::from(byte) + 0xff01 - 0x21)
                .unwrap()
                .to_string()
        }),
        HEXLOWER.encode(text.as_bytes()),
        HEXUPPER.encode(text.as_bytes()),
        BASE64.encode(BASE64.encode(text.as_bytes()).as_bytes()),
        format!("x{text}"),
        format!("ci-{text}-y"),
    ];
    for before in ["", "x", "xy", "Api-Token ", "Bearer "] {
        let text = format!("{before}{text}");
        encodings.push(BASE64.encode(text.as_bytes()));
        encodings.push(BASE64URL_NOPAD.encode(text.as_bytes()));
    }
    encodings
}

/// Names of fields and hosts are small letters: nobody can decode base64 of them.
#[test]
fn base64_of_which_the_case_is_lost_is_known_by_how_it_begins() {
    for token in [
        format!("dt0c01.ST2EY72KQINMH574WMNVI7YN.{OTHER}"),
        format!("Api-Token {OLD}"),
        JWT.to_owned(),
    ] {
        for before in ["", "x", "xy"] {
            let encoded = BASE64.encode(format!("{before}{token}").as_bytes());
            let lower = encoded.to_ascii_lowercase();
            let clean = nobody().text(&lower);
            assert!(clean.len() < 20 && clean.contains("[secret]"), "{clean}");
        }
    }
}

/// Whether so many letters in a row of a secret stand in a text, in any case, as they are or in base64.
fn shows(text: &str, secret: &str, letters: usize) -> bool {
    let text = text.to_ascii_lowercase();
    let mut spellings = vec![secret.to_owned()];
    for before in ["", "x", "xy"] {
        let encoded = BASE64.encode(format!("{before}{secret}").as_bytes());
        spellings.push(part(&encoded, 4..encoded.len() - 4).to_owned());
    }
    spellings.push(HEXLOWER.encode(secret.as_bytes()));
    spellings.iter().any(|spelling| {
        let spelling = spelling.to_ascii_lowercase();
        let mut parts = spelling.as_bytes().windows(letters);
        parts.any(|part| text.contains(std::str::from_utf8(part).unwrap()))
    })
}

#[test]
fn a_token_of_any_shape_is_found_in_any_encoding_whoever_has_it() {
    for (token, secret) in [
        (format!("dt0c01.ST2EY72KQINMH574WMNVI7YN.{OTHER}"), OTHER),
        (format!("dt0g02.4KWZO5EF.{OTHER}"), OTHER),
        (format!("dt0s16.TYUHJKNM.{OTHER}"), OTHER),
        (
            format!("dt0s02.TYUHJKNM.{}", part(OTHER, 0..16)),
            part(OTHER, 0..16),
        ),
        (JWT.to_owned(), JWT.rsplit('.').next().unwrap()),
    ] {
        for text in encodings(&token) {
            for text in [text.clone(), format!("my token {text}, mine")] {
                let clean = nobody().text(&text);
                assert!(!shows(&clean, secret, 12), "{text}\n{clean}");
                assert!(nobody().hides(&text), "{text}");
            }
        }
    }
}

#[test]
fn a_public_part_stays() {
    let text = format!(
        "a dt0c01.ST2EY72KQINMH574WMNVI7YN.{OTHER}, b Dt0C01.ab.{} c",
        "x".repeat(20)
    );
    assert_eq!(
        nobody().text(&text).as_str(),
        "a dt0c01.ST2EY72KQINMH574WMNVI7YN.[secret], b Dt0C01.ab.[secret] c"
    );
    assert_eq!(
        nobody().text(&text.replace('.', "%2E")).as_str(),
        "a dt0c01%2EST2EY72KQINMH574WMNVI7YN%2E[secret], b Dt0C01%2Eab%2E[secret] c"
    );
}

#[test]
fn the_requests_own_secret_is_found_in_any_encoding() {
    for (credential, secret) in [
        (
            format!("Api-Token dt0c01.ST2EY72KQINMH574WMNVI7YN.{OWN}"),
            OWN,
        ),
        (format!("dt0c01.ST2EY72KQINMH574WMNVI7YN.{OWN}"), OWN),
        (format!("Api-Token {OLD}"), OLD),
        (format!("Bearer {JWT}"), JWT),
        (format!("Bearer dt0s16.TYUHJKNM.{OTHER}"), OTHER),
        (format!("Custom {OTHER}"), OTHER),
    ] {
        let redactor = knowing(&credential);
        let half = secret.len() / 2;
        for part in [
            secret,
            part(secret, 0..secret.len() - 4),
            part(secret, 0..half.max(12)),
            part(secret, half.min(secret.len() - 12)..secret.len()),
        ] {
            for encoded in encodings(part) {
                for text in [
                    encoded.clone(),
                    encoded.to_ascii_lowercase(),
                    format!("my {encoded}, mine"),
                ] {
                    let clean = redactor.text(&text);
                    assert!(!shows(&clean, secret, 12), "{credential}\n{text}\n{clean}");
                }
            }
        }
    }
}

#[test]
fn a_secret_with_blanks_and_letters_that_are_not_seen_in_it_is_found() {
    let broken = |with: &str| {
        let parts = OTHER.as_bytes().chunks(7);
        let parts: Vec<&str> = parts
            .map(|part| std::str::from_utf8(part).unwrap())
            .collect();
        parts.join(with)
    };
    for with in [
        " ", "\n", "\r\n ", "\u{200b}", "\u{feff}", "\u{ad}", "\u{fffd}",
    ] {
        let text = format!("see dt0c01.ST2EY72KQINMH574WMNVI7YN.{}", broken(with));
        assert_eq!(
            nobody().text(&text).as_str(),
            "see dt0c01.ST2EY72KQINMH574WMNVI7YN.[secret]",
            "{text:?}"
        );
        let text = format!("see {} there", broken(with));
        let clean = knowing(OTHER).text(&text);
        assert_eq!(clean.as_str(), "see [secret] there", "{text:?}");
    }
}

#[test]
fn a_link_holds_no_token_and_is_not_shown_by_the_request() {
    let cookie = "2F5A9D81B7C34E60A1D2";
    let redactor = Redactor::knowing(
        [TokenSecret::new(format!("Api-Token {OLD}"))],
        [TokenSecret::new(cookie.to_owned())],
    );
    let link = "https://x/#dashboard;id=1?auth=Zq7Yw2Vu4Tx6Rs8Po1Nm";
    assert!(redactor.hides(link) && !redactor.holds_token(link));
    let other = format!("dt0c01.A.{OTHER}");
    for text in [OLD, &other, JWT, cookie] {
        assert!(redactor.hides(text) && redactor.holds_token(text), "{text}");
    }
    let shown = |text: &str| redactor.is_shown(text);
    assert!(shown(OLD) && shown(cookie));
    assert!(!shown(&other) && !shown(JWT) && !shown(link) && !shown("payments-prod-ci"));
}

#[test]
fn a_token_with_its_dots_written_in_another_way_is_found() {
    for sign in [r"\.", "[.]", "=2E", r"\056", ":", "\u{b7}", "(.)"] {
        let text = format!("x dt0c01{sign}ST2EY72KQINMH574WMNVI7YN{sign}{OTHER} y");
        let clean = nobody().text(&text);
        assert!(!shows(&clean, OTHER, 12), "{clean}");
        assert!(nobody().holds_token(&text), "{text}");
    }
    for honest in [
        "dt0c01.ST2EY72KQINMH574WMNVI7YN:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c",
        "dt0c01:ST2EY72KQINMH574WMNVI7YN:the-token-of-the-team-payments-2024",
        "dt0c01, ST2EY72KQINMH574WMNVI7YN, 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822c",
    ] {
        assert!(!nobody().hides(honest), "{honest}");
    }
}

#[test]
fn a_secret_in_groups_is_found() {
    let groups = |with: &str| {
        let groups = OWN.as_bytes().chunks(4);
        let groups: Vec<&str> = groups
            .map(|group| std::str::from_utf8(group).unwrap())
            .collect();
        groups.join(with)
    };
    for with in ["-", "_", " - ", "+", "--"] {
        assert_eq!(own().text(&groups(with)).as_str(), "[secret]", "{with}");
    }
}

#[test]
fn what_follows_a_scheme_is_a_secret_unless_it_is_a_word() {
    let text = format!("Api-Token {OLD}, api-token={OLD}; Basic dXNlcjpwYXNz; BEARER%20{OLD}");
    assert_eq!(
        nobody().text(&text).as_str(),
        "Api-Token [secret], api-token=[secret]; Basic [secret]; BEARER%20[secret]"
    );
}

#[test]
fn the_key_of_a_link_without_login_is_a_secret() {
    let link = "https://x/#dashboard;id=1?auth=Ab3dE5gH7jK9mN1pQ3sT5&x=y auth=short auth=Ab3dE5gH7jK9mN1pQ3sT6";
    assert_eq!(
        nobody().text(link).as_str(),
        "https://x/#dashboard;id=1?auth=[secret]&x=y auth=short auth=[secret]"
    );
    assert_eq!(
        nobody().text(&format!("auth=auth={OLD}")).as_str(),
        "auth=auth=[secret]"
    );
}

#[test]
fn a_password_and_a_cookie_are_secrets() {
    let basic = format!(
        "Basic {}",
        BASE64.encode(format!("john:{OTHER}").as_bytes())
    );
    assert_eq!(
        knowing(&basic).text(&format!("john {OTHER}")).as_str(),
        "john [secret]"
    );
    let cookies = [
        "2F5A9D81B7C34E60A1D2",
        "production-environment",
        "en-US,en;q=0.9,de",
        "d5836312-5790-4e80-afcf-09971954c3ea",
    ];
    let redactor = Redactor::knowing([], cookies.map(|value| TokenSecret::new(value.to_owned())));
    let text = cookies.join(" ");
    assert_eq!(
        redactor.text(&text).as_str(),
        text.replace(cookies[0], "[secret]")
    );
}

/// Texts that honest clients send, and that must be read.
#[test]
fn what_is_honest_stays() {
    let redactor = own();
    for text in [
        "payments-prod-ci",
        "activeGateTokenManagement.write",
        "environment-api:activegate-tokens:create",
        "dt0c01.ST2EY72KQINMH574WMNVI7YN",
        "dt0c01.A.B",
        "d5836312-5790-4e80-afcf-09971954c3ea",
        "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0.0.0 Safari/537.36",
        "Dynatrace Terraform Provider/1.84.1 (terraform 1.9.8; linux/amd64)",
        "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
        "01a20c52-49be-734b-a743-e69351d33594",
        "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
        "hmac-sha256:9c20df9920100ffe02722cfb701b1007",
        "vu9U3hXa3q0AAAABACFidWlsdGluOm1hbmFnZW1lbnQtem9uZXMABnRlbmFudAAGdGVuYW50ACQ1MTlhYTc5Ny0xN2Q4LTM3N2MtOWM2ZC1hMDQwZGU3MzBmZDG-71TeFdrerQ",
        "Token of the team payments, made in 2024 for the cluster eu-central-1",
        "the token dt0c01.ST2EY72KQINMH574WMNVI7YN is used. Deactivateeverything",
        "the token dt0c01.ABC is old since 2020. In 2024 and 2025 nobody has used it, ask team 7",
        "Basic authentication-2024, Bearer of infrastructure monitoring, api-token TOKEN",
        "send the header Authorization: Api-Token TOKEN",
        "Basic infrastructure-monitoring-2024",
        "API-Token payments-prod-eu-west-1, bearer eu1-payments2-v3",
        "HOST-1234567890ABCDEF",
        "Größe: 2 MiB — für Überwachung",
        "now+14d",
        "https://abc12345.live.dynatrace.com/api/v2/settings/objects?schemaIds=builtin:management-zones",
        "C:\\Program Files\\dynatrace\\monaco.exe",
        "100% of 50% & more; a+b=c",
    ] {
        assert_eq!(redactor.text(text).as_str(), text);
        assert!(!redactor.hides(text), "{text}");
    }
}

#[test]
fn a_path_has_no_query_and_no_old_token() {
    for (path, shown) in [
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
        (
            "/api/v2/entities/HOST-1234567890ABCDEF",
            "/api/v2/entities/HOST-1234567890ABCDEF",
        ),
        (
            "/api/v2/events/aB3dE5gH7jK9mN1pQ3sT5",
            "/api/v2/events/{id}",
        ),
        (
            "/e/aB3dE5gH7jK9mN1pQ3sT5/api/v2/events",
            "/e/{id}/api/v2/events",
        ),
        (
            "/api/v2/activeGateUpdateJobs2",
            "/api/v2/activeGateUpdateJobs2",
        ),
        (
            "/api/v1/tokens/hmac-sha256:9c20df9920100ffe02722cfb701b1007",
            "/api/v1/tokens/hmac-sha256:9c20df9920100ffe02722cfb701b1007",
        ),
    ] {
        assert_eq!(nobody().path(path).as_str(), shown);
    }
    let other = format!("dt0c01.ABCDEF.{OTHER}");
    for path in [
        format!("/x/{other}/y"),
        format!("/x/{}", other.replace('.', "%2e")),
        format!("/api/v1/%74okens/{}", other.replace('.', "%252e")),
        format!(
            "/api/v1/%74okens/dt0c01.X.BBBBBBBBBBBBBBBBBBBB/{}",
            other.replace('.', "%2e")
        ),
        format!("/api/v1/tokens;x/{OTHER}"),
        format!("/api/v1/tokens/../%74okens/{OTHER}"),
        format!("/x/{}", other.replace('.', "%252e")),
        format!("/api/v1/tokens/a/b/{OTHER}"),
        format!("/x/{}", BASE64.encode(other.as_bytes())),
    ] {
        let shown = nobody().path(&path);
        assert!(!shows(&shown, OTHER, 12), "{path}\n{shown}");
    }
}

#[test]
fn a_long_path_that_is_encoded_is_not_shown() {
    let long = format!("/{}/%2e", "a".repeat(1024));
    assert_eq!(
        nobody().path(&long).as_str(),
        "[not shown: a long path that is encoded]"
    );
    let plain = format!("/{}", "a".repeat(5000));
    assert_eq!(own().path(&plain).as_str(), plain);
}

#[test]
fn a_word_that_could_be_an_old_token_is_hidden() {
    assert_eq!(nobody().word(OLD).as_str(), "[secret]");
    for word in [
        "GET",
        "PROPFIND",
        "VERSION-CONTROL",
        "proxy-authenticate",
        "HOST-1234567890ABCDEF",
    ] {
        assert_eq!(nobody().word(word).as_str(), word);
    }
}

#[test]
fn fields_that_are_made_for_secrets_are_not_shown() {
    let redactor = own();
    for name in [
        "authorization",
        "cookie",
        "x-api-key",
        "x-csrftoken",
        &OWN.to_ascii_lowercase(),
        &"z".repeat(40),
    ] {
        assert_eq!(redactor.header(name, "x"), None, "{name}");
    }
    let referer = format!("https://x/?q={OWN}");
    assert_eq!(
        redactor.header("referer", &referer).unwrap().as_str(),
        "https://x/?q=[secret]"
    );
    assert_eq!(redactor.header("accept", "*/*").unwrap().as_str(), "*/*");
}

#[test]
fn names_and_values_of_json_are_made_writable_at_all_depths() {
    let json = json!({ OWN: [{"a": OWN, "b": [1, null, true, {"c": format!("x {OWN}")}]}] });
    assert_eq!(
        *own().json(&json),
        json!({ "[secret]": [{"a": "[secret]", "b": [1, null, true, {"c": "x [secret]"}]}] })
    );
}

#[test]
fn a_text_is_cut_between_letters() {
    let cut = |text: &str, most| nobody().text(text).cut(most).to_string();
    assert_eq!(cut("short", 5), "short");
    assert_eq!(cut("longer", 5), "lo...");
    assert_eq!(cut("ääää", 6), "ä...");
    assert_eq!(cut("longer", 1), "...");
}

/// How many bytes of readings a text costs; `None`: more than it may.
fn steps(redactor: &Redactor, text: &str) -> Option<usize> {
    let allowed = text.len() * STEPS_A_BYTE + STEPS;
    let mut search = Search {
        own: redactor.0.own(),
        sought: Sought::All,
        steps: allowed,
        found: Vec::new(),
    };
    search.all(&Reading::of(text), DEPTH)?;
    Some(allowed - search.steps)
}

#[test]
fn the_steps_of_a_text_grow_with_its_length_and_no_faster() {
    let base64 = |text: &str| BASE64.encode(text.as_bytes());
    let hostile: Vec<Box<dyn Fn(usize) -> String>> = vec![
        Box::new(|length| "a".repeat(length)),
        Box::new(|length| "dt0c01.".repeat(length / 7)),
        Box::new(|length| "dt0c01.A.".repeat(length / 9)),
        Box::new(|length| "eyJ".repeat(length / 3)),
        Box::new(|length| "eyJaaaaaaaaaaaaa.".repeat(length / 17)),
        Box::new(|length| "auth=".repeat(length / 5)),
        Box::new(|length| "%25".repeat(length / 3)),
        Box::new(|length| format!("%{}41", "25".repeat(length / 2))),
        Box::new(|length| "\\".repeat(length)),
        Box::new(|length| "&amp;".repeat(length / 5)),
        Box::new(|length| "G3DFPBEJ".repeat(length / 8)),
        Box::new(|length| "the quick brown fox ".repeat(length / 20)),
        Box::new(move |length| base64(&base64(&"the quick brown fox ".repeat(length / 36)))),
        Box::new(|length| HEXLOWER.encode("1".repeat(length / 2).as_bytes())),
        Box::new(|length| "é".repeat(length / 2)),
    ];
    for (number, text) in hostile.iter().enumerate() {
        let (short, long) = (steps(&own(), &text(1_500)), steps(&own(), &text(15_000)));
        if let (Some(short), Some(long)) = (short, long) {
            assert!(long <= short * 11, "{number}: {short}, {long}");
        }
    }
}

/// Each of these took most of a minute when every place in it was read to the end.
#[test]
fn no_place_of_a_text_is_read_to_its_end() {
    let credential = |length: usize| format!("infrastructure {}", "bearer=".repeat(length / 7));
    for text in [
        "\\".repeat(150_000),
        credential(150_000),
        BASE64.encode(credential(110_000).as_bytes()),
    ] {
        let before = std::time::Instant::now();
        assert_eq!(nobody().text(&text).as_str(), text);
        assert!(before.elapsed() < std::time::Duration::from_secs(10));
    }
}

/// What takes longer than anybody waits is hidden as a whole: not shown unread.
#[test]
fn a_text_that_is_encoded_too_often_is_hidden() {
    let deep = (0..9).fold(format!("%2E{OTHER}"), |text, _| text.replace('%', "%25"));
    assert_eq!(nobody().text(&deep).as_str(), "[secret]");
    assert!(nobody().hides(&deep));
}

/// A text of the parts that tokens and encodings are made of.
fn text() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        Just("dt0c01".to_owned()),
        Just(".".to_owned()),
        Just("eyJ".to_owned()),
        Just("auth=".to_owned()),
        Just("Bearer ".to_owned()),
        Just("%2E".to_owned()),
        Just("%25".to_owned()),
        Just(r"\u002e".to_owned()),
        Just("&#46;".to_owned()),
        Just("\u{200b}".to_owned()),
        Just("é".to_owned()),
        Just(" ".to_owned()),
        Just(OWN.to_owned()),
        Just(OTHER.to_owned()),
        "[a-zA-Z0-9_-]{1,20}",
        r"\PC{0,6}",
        (0..OWN.len(), 0..OWN.len()).prop_map(|(a, b)| part(OWN, a.min(b)..a.max(b)).to_owned()),
        "[ -~]{0,30}".prop_map(|text| BASE64.encode(text.as_bytes())),
    ];
    prop::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn no_text_of_a_client_shows_a_dozen_letters_of_its_secret(text in text()) {
        let clean = own().text(&text);
        let lower = clean.to_ascii_lowercase();
        let own_letters = OWN.to_ascii_lowercase();
        let mut parts = own_letters.as_bytes().windows(12);
        let shown = parts.any(|part| lower.contains(std::str::from_utf8(part).unwrap()));
        prop_assert!(!shown, "{clean}");
    }

    #[test]
    fn what_is_writable_stays_as_it_is(text in text()) {
        let clean = own().text(&text);
        let again = own().text(&clean);
        prop_assert_eq!(clean, again);
    }

    #[test]
    fn any_part_of_it_is_found_at_any_place(
        before in r"[ -~é]{0,20}", behind in r"[ -~é]{0,20}",
        start in 0..OWN.len() - 12, length in 12..OWN.len(),
        encoding in 0..30_usize,
    ) {
        let end = (start + length).min(OWN.len());
        let encodings = encodings(part(OWN, start..end));
        let encoded = &encodings[encoding % encodings.len()];
        let clean = own().text(&format!("{before}{encoded}{behind}"));
        prop_assert!(!clean.contains(encoded.as_str()), "{}", clean);
    }

    #[test]
    fn what_may_hold_no_secret_has_none(text in text()) {
        let redactor = own();
        let mut search = Search { own: redactor.0.own(), sought: Sought::All, steps: usize::MAX, found: Vec::new() };
        search.all(&Reading::of(&text), DEPTH);
        // What is cut at dots, slashes and the like into parts of fewer letters is not looked for.
        let cut = |c: char| c.is_ascii_punctuation() && !"-_+=%&#;\\".contains(c);
        let letters = |part: &str| part.bytes().filter(u8::is_ascii_alphanumeric).count();
        let found = search.found.iter().filter_map(|range| text.get(range.clone()));
        let whole = found.flat_map(|found| found.split(cut)).any(|part| letters(part) >= reading::SHORTEST);
        prop_assert!(!whole || reading::may_hold_a_secret(text.as_bytes()), "{text}");
    }
}

/// In any case, anywhere in a name, cut short by one letter.
#[test]
fn names_that_say_so_are_known_by_any_of_their_words() {
    for word in SECRET_WORDS {
        for name in [
            (*word).to_owned(),
            word.to_ascii_uppercase(),
            format!("x-{word}"),
            format!("{word}s-of-mine"),
            format!("my{word}is"),
            format!("aut coo ke to-{word}"),
        ] {
            assert!(names_a_secret(&name), "{name}");
        }
        let short = part(word, 0..word.len() - 1);
        assert!(!names_a_secret(short), "{short}");
        assert!(!names_a_secret(&format!("{short}-x")), "{short}-x");
    }
    assert!(!names_a_secret(""));
    assert!(!names_a_secret("user-agent"));
}

#[test]
fn a_dot_too_many_shows_no_part_of_a_token() {
    for (text, shown) in [
        (format!("dt0c01.ABCDE.FGHI.{OWN}"), "dt0c01.ABCDE.[secret]"),
        (
            format!("dt0c01.ABCDE.FGHIJKLMNOPQRSTUVW.{OWN}"),
            "dt0c01.ABCDE.[secret]",
        ),
        (format!("dt0c01.A.B.C.D.{OWN}"), "dt0c01.A.[secret]"),
        (
            format!("dt0c01.ABCDE..FGHI.{OWN}"),
            "dt0c01.ABCDE..[secret]",
        ),
        (
            format!("dt0c01.ST2EY72KQINMH574WMNVI7YN.{OWN}."),
            "dt0c01.ST2EY72KQINMH574WMNVI7YN.[secret].",
        ),
        (
            "dt0c01.A.B.C.D.".repeat(4),
            "dt0c01.A.B.C.D.dt0c01.A.B.C.D.dt0c01.A.B.C.D.dt0c01.A.B.C.D.",
        ),
    ] {
        assert_eq!(nobody().text(&text).as_str(), shown, "{text}");
    }
    let encoded = format!("dt0c01.ABCDE%2EFGHIJKLMNOPQRSTUVW.{OWN}");
    assert!(
        !nobody().text(&encoded).contains(OWN),
        "{}",
        nobody().text(&encoded)
    );
}

#[test]
fn a_private_key_is_hidden_and_words_about_one_are_not() {
    let digits = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";
    let note = format!("PRIVATE+KEY+gate.example/prod+c74f20a3+{digits}");
    for text in [
        format!("{note:?} is no public key"),
        format!("of {note}, and"),
        format!("?key={}", note.replace('+', "%2B")),
        format!("a {}", note.to_ascii_lowercase()),
        format!("cut {}", part(&note, 0..40)),
        format!("-----BEGIN PRIVATE KEY-----\n{digits}\n-----END PRIVATE KEY-----\n"),
        format!(
            "{:?}",
            format!("-----BEGIN EC PRIVATE KEY-----\n{digits}\n{digits}\n")
        ),
    ] {
        let clean = nobody().text(&text);
        assert!(clean.contains("[secret]"), "{clean}");
        assert!(
            !shows(&clean, digits, 10) && !clean.contains("c74f20a3"),
            "{clean}"
        );
    }
    for text in [
        "it holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)",
        "write no PRIVATE+KEY+ here",
        "alice+4bfc43ae+AZRv5NysLF8FhllmG12FmSiEFXxYBqe23U7Fb4Y+aP1/",
    ] {
        assert_eq!(nobody().text(text).as_str(), text);
    }
}
