use serde_json::json;

use super::*;

const SECRET: &str = "G3DFPBEJYMODIDAEX454M7YWBUVEFOWKPRVMWFASS64NFH52PX6BNDVFFM572RZM";

fn key() -> HashKey {
    HashKey::new([7; 32])
}

fn read(birth: Birth, answer: Value) -> Option<Credential> {
    let Value::Object(members) = answer else {
        panic!("an answer is an object");
    };
    birth.read(&members, &key())
}

fn id(birth: Birth, answer: Value) -> Option<String> {
    read(birth, answer).map(|credential| credential.id.to_string())
}

#[test]
fn each_form_of_answer_has_its_id_where_dynatrace_puts_it() {
    let whole = format!("dt0c01.PUB.{SECRET}");
    let hashed = key().name("abcdefghijklmnopqrstu").to_string();
    for (birth, answer, expected) in [
        (Birth::Token, json!({"token": whole}), Some("dt0c01.PUB")),
        (
            Birth::Token,
            json!({"id": "dt0c01.PUB", "token": whole}),
            Some("dt0c01.PUB"),
        ),
        (
            Birth::Token,
            json!({"id": "dt0g02.ABCD1234", "token": format!("dt0g02.ABCD1234.{SECRET}")}),
            Some("dt0g02.ABCD1234"),
        ),
        (
            Birth::Token,
            json!({"token": "abcdefghijklmnopqrstu"}),
            Some(hashed.as_str()),
        ),
        (
            Birth::Token,
            json!({"id": "D5836312-5790-4e80-afcf-09971954c3ea", "token": "abcdefghijklmnopqrstu"}),
            Some("d5836312-5790-4e80-afcf-09971954c3ea"),
        ),
        (
            Birth::Client,
            json!({"id": "e", "oauthClientId": "dt0s10.CLIENT1", "oauthClientSecret": format!("dt0s10.CLIENT1.{SECRET}")}),
            Some("dt0s10.CLIENT1"),
        ),
        (
            Birth::Client,
            json!({"clientId": "dt0s10.CLIENT1", "clientSecret": "x"}),
            Some("dt0s10.CLIENT1"),
        ),
        (
            Birth::ManagementToken,
            json!({"token": whole}),
            Some("dt0c01.PUB"),
        ),
        (
            Birth::ManagementToken,
            json!({"id": "9c24d1cd-cffa-44d0-b3a6-8ca1a7d9bd41", "name": "e", "tokenManagementToken": whole}),
            Some("dt0c01.PUB"),
        ),
        (
            Birth::ManagementToken,
            json!({"id": "9c24d1cd-cffa-44d0-b3a6-8ca1a7d9bd41"}),
            None,
        ),
        (Birth::Client, json!({"token": whole}), None),
        (
            Birth::Token,
            json!({"data": {"id": "a", "token": whole}}),
            None,
        ),
        (Birth::Token, json!({"id": 5, "token": ["x"]}), None),
        (Birth::Token, json!({"id": "two words", "token": ""}), None),
    ] {
        assert_eq!(id(birth, answer.clone()).as_deref(), expected, "{answer}");
    }
}

#[test]
fn a_secret_where_an_id_is_expected_is_not_told() {
    let whole = format!("dt0s10.CLIENT1.{SECRET}");
    for answer in [
        json!({"oauthClientId": whole}),
        json!({"oauthClientId": SECRET}),
        json!({"id": format!("dt0c01.PUB.{SECRET}")}),
        json!({"id": SECRET}),
        json!({"token": SECRET}),
        json!({"id": "a", "expirationDate": whole}),
    ] {
        for birth in [Birth::Client, Birth::ManagementToken, Birth::Token] {
            let told = format!("{:?}", read(birth, answer.clone()));
            assert!(!told.contains(SECRET.split_at(16).0), "{told}");
        }
    }
}

#[test]
fn an_expiration_is_a_time_or_is_left_out() {
    for (given, expected) in [
        (
            json!("2020-11-12T08:15:30.144Z"),
            Some("2020-11-12T08:15:30.144Z"),
        ),
        (
            json!("2020-11-12T09:15:30+01:00"),
            Some("2020-11-12T08:15:30.000Z"),
        ),
        (
            json!(1_605_168_930_144_i64),
            Some("2020-11-12T08:15:30.144Z"),
        ),
        (json!(null), None),
        (json!("never"), None),
        (json!(u64::MAX), None),
        (json!({"at": 1}), None),
    ] {
        let answer = json!({"id": "dt0c01.PUB", "expirationDate": given});
        let credential = read(Birth::Token, answer).unwrap();
        let found = credential.expiration.map(|time| format!("{time:.3}"));
        assert_eq!(found.as_deref(), expected, "{given}");
    }
}

#[test]
fn a_bare_token_is_read_as_text_and_as_a_table() {
    let whole = format!("dt0c01.PUB.{SECRET}");
    for text in [
        whole.clone(),
        format!("{whole}\n"),
        format!("token\r\n\"{whole}\"\r\n"),
    ] {
        let credential = Birth::Token.read_text(&text, &key()).unwrap();
        assert_eq!(credential.id.as_str(), "dt0c01.PUB", "{text}");
    }
    for text in ["", "token", "not a token at all, sorry"] {
        assert_eq!(Birth::Token.read_text(text, &key()), None, "{text}");
    }
}
