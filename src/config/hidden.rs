//! Values of the configuration that may be secrets. Secrets belong in files, and sometimes one stands where the name of
//! its file has to be, or a private key where the public one has to be. What is wrong with it is said in the log, in the
//! journal and at `/status`, where others read: none of these repeats the value.

use std::path::Path;

use toml::Value;

use super::Config;
use crate::dynatrace::redact::{Redacted, Redactor};
use crate::dynatrace::token::TokenSecret;

/// What must not be repeated of a configuration.
#[derive(Clone, Debug, Default)]
pub struct Hidden {
    redactor: Redactor,
    values: Vec<String>,
}

impl Config {
    /// What must not be repeated of what stands in the file.
    pub fn hidden(&self) -> Hidden {
        let file = self.file.as_ref();
        file.map_or_else(Hidden::default, |file| Hidden::of(&file.text))
    }
}

impl Hidden {
    /// Of a file, also of one that cannot be read.
    pub(super) fn of(text: &str) -> Self {
        let mut values = Vec::new();
        match text.parse::<toml::Table>() {
            Ok(table) => of_value("", &Value::Table(table), &mut values),
            // What stands between quotes, and what stands between those.
            Err(_broken) => {
                let parts = text.split(['"', '\'', '\n']).map(str::trim);
                values.extend(
                    parts
                        .filter(|part| may_be_a_secret(part))
                        .map(str::to_owned),
                );
            }
        }
        // A part of a URL may be repeated without the rest.
        let users = values.iter().filter_map(|value| user(value));
        let users: Vec<String> = users.map(str::to_owned).collect();
        values.extend(users);
        // The longest first: another may be a part of it.
        values.sort_by_key(|value| std::cmp::Reverse(value.len()));
        values.dedup();
        // Only what is random, and has no shape of its own: of other values honest words would be looked for, too.
        let shapeless = values.iter().filter(|it| !Redactor::default().hides(it));
        let words = shapeless.flat_map(|value| value.split(is_between));
        let secrets = words.filter(|word| is_random(word)).map(str::to_owned);
        let secrets = secrets.map(TokenSecret::new);
        Self {
            redactor: Redactor::new(secrets),
            values,
        }
    }

    /// Text in which `[secret]` stands for each of them, and for whatever looks like a secret.
    pub fn text(&self, text: &str) -> Redacted {
        let mut clean = text.to_owned();
        for value in &self.values {
            let quoted = format!("{value:?}");
            let quoted = quoted.trim_matches('"');
            clean = without(&without(&clean, value), quoted);
        }
        self.redactor.text(&clean)
    }

    /// An error without them. One that has none stays as it is.
    pub fn error(&self, error: anyhow::Error) -> anyhow::Error {
        let said = format!("{error:#}");
        let clean = self.text(&said);
        if clean.as_str() == said {
            return error;
        }
        anyhow::anyhow!("{clean} ({WHY})")
    }
}

/// A text without a value, where that is no part of a longer word.
fn without(text: &str, value: &str) -> String {
    let goes_on = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    let (mut clean, mut rest) = (String::new(), text);
    while let Some((before, behind)) = rest.split_once(value) {
        clean.push_str(before);
        let is_part = clean.ends_with(goes_on) || behind.starts_with(goes_on);
        clean.push_str(if is_part { value } else { HIDDEN });
        rest = behind;
    }
    clean + rest
}

fn of_value(key: &str, value: &Value, found: &mut Vec<String>) {
    match value {
        Value::String(text) => {
            let is_no_file = key.ends_with("file") && !is_like_a_file(text);
            if (is_no_file && text.len() >= SHORTEST_WORD) || may_be_a_secret(text) {
                found.push(text.clone());
            }
        }
        Value::Array(list) => list.iter().for_each(|value| of_value(key, value, found)),
        Value::Table(table) => {
            for (key, value) in table {
                of_value(key, value, found);
            }
        }
        Value::Boolean(_) | Value::Datetime(_) | Value::Float(_) | Value::Integer(_) => {}
    }
}

/// Whether a text can be the name of a file of secrets, and no secret in its place: a way to it, one with an ending, or
/// one that is there. URLs, and one word that may be a password, are not.
fn is_like_a_file(text: &str) -> bool {
    let is_way = text.contains(['/', '.']) && !text.contains("://");
    is_way || Path::new(text).exists()
}

/// Whether a value is one that nobody can tell from a secret. Names, addresses, and ways to files can be told.
fn may_be_a_secret(value: &str) -> bool {
    if Redactor::default().hides(value) || user(value).is_some() {
        return true;
    }
    value.split(is_between).any(is_random)
}

/// Whether a secret has no such letter.
fn is_between(letter: char) -> bool {
    !letter.is_ascii_alphanumeric() && !"-_+!$%^&*~#?=@".contains(letter)
}

/// The user that a URL names, with the password behind.
fn user(value: &str) -> Option<&str> {
    let (_scheme, rest) = value.split_once("://")?;
    let authority = rest.split(['/', '?']).next()?;
    let (user, _host) = authority.rsplit_once('@')?;
    user.contains(':').then_some(user)
}

/// Whether capitals, small letters, digits and signs take turns as they do in nothing that somebody has made up.
fn is_random(word: &str) -> bool {
    let kind = |byte: u8| match byte {
        b'A'..=b'Z' => 0,
        b'a'..=b'z' => 1,
        b'0'..=b'9' => 2,
        _ => 3,
    };
    // Names are made of words with these between.
    let letters = word.bytes().filter(|byte| !b"-_".contains(byte));
    let kinds: Vec<u8> = letters.map(kind).collect();
    let turns = kinds.windows(2).filter(|two| two.first() != two.last());
    let is_id = word.len() == UUID && uuid::Uuid::try_parse(word).is_ok();
    word.len() >= SHORTEST && turns.count() >= TURNS && !is_id
}

/// Stands for a secret, as a redactor writes it.
const HIDDEN: &str = "[secret]";

const WHY: &str = "[secret]: what may be a secret is not repeated. If it is one, make a new one: this one has stood in \
                   the configuration";

/// The shortest secret that is looked for, and how often its letters change their kind.
const SHORTEST: usize = 16;
const TURNS: usize = 6;
/// Of an id with its hyphens: without them it is a key as well.
const UUID: usize = 36;

/// What is shorter in the place of a file's name is no secret: it stands in too many words.
const SHORTEST_WORD: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_operator_writes_is_told_from_secrets() {
        for honest in [
            "https://abc12345.live.dynatrace.com",
            "/etc/dtgate/tls/other-key.pem",
            "/tmp/.tmpAbC12x/journal/records",
            "dt0s02.ABCD1234",
            "urn:dtaccount:11111111-2222-3333-4444-555555555555",
            "token.actions.githubusercontent.com",
            "To ask for a one-time grant: dtgate grant request --decision {decision}",
            "postgres://dtgate@db.example/dtgate",
            "environment-api:api-tokens:read environment-api:api-tokens:write",
            "payments-prod-eu1-v2-2026",
        ] {
            assert!(!may_be_a_secret(honest), "{honest}");
        }
        for secret in [
            "Kx9#mP2$vL8@nQ4wTz71",
            "postgres://dtgate:hunter2@db.example/dtgate",
            "R0123A4b5C6d7E8f9",
            "https://chat.example/services/T0AB1CD2E/B0/aB3dE5fG7hJ9kL1mN3pQ5rS7",
        ] {
            assert!(may_be_a_secret(secret), "{secret}");
        }
    }

    #[test]
    fn a_part_of_a_url_with_a_password_is_hidden() {
        let hidden = Hidden::of("x = 'postgres://dtgate:hunter2@127.0.0.1:1/x/y'");
        let said = hidden.text("postgres://dtgate:hunter2@127.0.0.1:1/x is no directory");
        assert_eq!(
            said.as_str(),
            "postgres://[secret]@127.0.0.1:1/x is no directory"
        );
    }

    #[test]
    fn a_password_in_the_place_of_its_file_is_hidden() {
        let hidden =
            Hidden::of("store.password_file = 'hunter2'\nstore.ca = 'ca'\nx.url_file = 'a.url'");
        let said = hidden.text("hunter2: there is no such file; ca, a.url, hunter2s");
        assert_eq!(
            said.as_str(),
            "[secret]: there is no such file; ca, a.url, hunter2s"
        );
        let key = "PRIVATE+KEY+bob+9becd972+AVwJD9dNaRNJwPO5PuZNiJGpKA9SQGohvaQrJmUs3PvV";
        let hidden = Hidden::of(&format!("x = ['{key}', 'Kx9#mP2$vL8@nQ4wTz71']"));
        let said = hidden.text(&format!(
            "it is a private key: make a new pair; {key}, Kx9#mP2$vL8@nQ4wTz71"
        ));
        assert_eq!(
            said.as_str(),
            "it is a private key: make a new pair; [secret], [secret]"
        );
    }
}
