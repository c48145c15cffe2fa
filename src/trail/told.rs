//! What a record tells: who asked, about which token, and for which scopes. Whole, and fit to be shown.

use serde_json::Value;

use crate::audit::index::token_of;
use crate::audit::masks::Masks;
use crate::value::Visible;

/// Who asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Who {
    /// Public id of the credential that went to Dynatrace.
    pub credential: String,
    /// The credential is the gate's own.
    pub is_brokered: bool,
    pub teams: Vec<String>,
    /// Of the JSON Web Token.
    pub issuer: String,
    pub subject: String,
    /// SPIFFE id, subject or fingerprint.
    pub certificate: String,
    /// The address.
    pub client: String,
}

/// The token that a request is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Token {
    pub id: String,
    /// By which Dynatrace knows it, where it was asked for by another one.
    pub also: String,
    pub name: String,
    /// The id of what Dynatrace made for this request.
    pub made: String,
}

impl Who {
    /// What the record says in short goes before what policies saw.
    pub fn of(record: &Value) -> Self {
        let either = |place: &str| {
            let (told, seen) = (format!("/caller{place}"), format!("/input/caller{place}"));
            first(record, &[&told, &seen])
        };
        let certificate = ["spiffe_id", "subject", "fingerprint"]
            .map(|member| either(&format!("/certificate/{member}")));
        let teams = list(record, "/caller/teams");
        Self {
            credential: first(record, &["/caller/id", "/input/caller/token/id"]),
            is_brokered: record.pointer("/caller/brokered") == Some(&Value::Bool(true)),
            teams: if teams.is_empty() {
                list(record, "/input/caller/teams")
            } else {
                teams
            },
            issuer: either("/jwt/issuer"),
            subject: either("/jwt/subject"),
            certificate: one_of(certificate),
            client: text(record, "/requested_by"),
        }
    }

    /// Who it proved to be, and its team; where there is nothing of that, its address.
    pub fn short(&self) -> String {
        // The gate's credential is nobody's name.
        let credential = if self.is_brokered {
            ""
        } else {
            &self.credential
        };
        let names = [&*self.subject, &*self.certificate, credential];
        let name = names.into_iter().find(|name| !name.is_empty());
        let mut teams = self.teams.iter().take(TEAMS).cloned().collect::<Vec<_>>();
        if let Some(more) = self.teams.len().checked_sub(TEAMS).filter(|more| *more > 0) {
            teams.push(format!("{more} more"));
        }
        let teams = teams.join(", ");
        match (name, &*teams) {
            (None, "") => self.client.clone(),
            (None, teams) => format!("team {teams}"),
            (Some(name), "") => name.to_owned(),
            (Some(name), teams) => format!("{name} (team {teams})"),
        }
    }

    /// For spreadsheets, below [`TITLES`].
    pub fn cells(&self) -> [String; 7] {
        [
            self.credential.clone(),
            self.is_brokered.to_string(),
            self.teams.join(" "),
            self.issuer.clone(),
            self.subject.clone(),
            self.certificate.clone(),
            self.client.clone(),
        ]
    }
}

impl Token {
    pub fn of(record: &Value, outcome: Option<&Value>) -> Self {
        let id = token_id(record);
        let current = ["/input/token/current/name", "/input/change/name/current"];
        let mut name = first(record, &current);
        // What an update asks for is no name of the token yet.
        if id.is_empty() && name.is_empty() {
            name = text(record, "/input/change/name/requested");
        }
        let mut also = text(record, "/input/token/current/id");
        if id.is_empty() || also == id || Masks::of(record).hide("input.token.current.id") {
            also.clear();
        }
        Self {
            also,
            id,
            name,
            made: outcome.map_or_else(String::new, |it| text(it, "/credential/id")),
        }
    }

    /// All its ids.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        let all = [&*self.id, &*self.also, &*self.made];
        all.into_iter().filter(|id| !id.is_empty())
    }

    /// The id of the token, or of the one that was made.
    pub fn any_id(&self) -> &str {
        if self.id.is_empty() {
            &self.made
        } else {
            &self.id
        }
    }

    /// Name and id of one that was made; `None`: none was, or it is another token's.
    pub fn created(&self) -> Option<String> {
        match (&*self.id, &*self.name, &*self.made) {
            ("", "", made) if !made.is_empty() => Some(made.to_owned()),
            ("", name, made) if !made.is_empty() => Some(format!("{name} ({made})")),
            _ => None,
        }
    }
}

/// The id of the token that a request is about: by the input, or by the path, where masks have not hidden that too. Nothing
/// where nobody knows.
pub fn token_id(record: &Value) -> String {
    let at = |place| record.pointer(place).and_then(Value::as_str);
    let at = |place| at(place).unwrap_or_default();
    let (told, path) = (at("/input/token/id"), at("/request/path"));
    let id = token_of(&Masks::of(record), at("/operation"), told, path);
    Visible(&*id).to_string()
}

/// The scopes of a request: `requested`, `added` or `removed`.
pub fn scopes(record: &Value, which: &str) -> Vec<String> {
    list(record, &format!("/input/change/scopes/{which}"))
}

/// What would change, as the texts of a table have it. Nothing was done of what was denied.
pub fn asked(changes: &[String], is_allowed: bool) -> Vec<String> {
    let changes = changes.iter().map(|part| match (&**part, is_allowed) {
        ("enabled", false) => "asked to enable it".to_owned(),
        ("disabled", false) => "asked to disable it".to_owned(),
        (part, _) => part.to_owned(),
    });
    changes.collect()
}

/// The text of a member; nothing where there is none.
pub fn text(record: &Value, pointer: &str) -> String {
    let found = record.pointer(pointer).and_then(Value::as_str);
    Visible(found.unwrap_or_default()).to_string()
}

fn first(record: &Value, pointers: &[&str]) -> String {
    one_of(pointers.iter().map(|pointer| text(record, pointer)))
}

fn one_of(texts: impl IntoIterator<Item = String>) -> String {
    let mut texts = texts.into_iter();
    texts.find(|text| !text.is_empty()).unwrap_or_default()
}

fn list(record: &Value, pointer: &str) -> Vec<String> {
    let found = record.pointer(pointer).and_then(Value::as_array);
    let texts = found.into_iter().flatten().filter_map(Value::as_str);
    texts.map(|text| Visible(text).to_string()).collect()
}

/// Of [`Who::cells`].
pub const TITLES: [&str; 7] = [
    "caller_id",
    "brokered",
    "teams",
    "jwt_issuer",
    "jwt_subject",
    "certificate",
    "client",
];

/// Teams in a short text.
const TEAMS: usize = 3;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_caller_is_who_it_proved_to_be_with_its_team() {
        for (record, wanted) in [
            (
                json!({"caller": {"id": "GATE", "brokered": true, "teams": ["pay"], "jwt": {"subject": "ci"}}}),
                "ci (team pay)",
            ),
            (
                json!({"caller": {"id": "GATE", "brokered": true, "teams": ["pay"]}}),
                "team pay",
            ),
            (
                json!({"caller": {"id": "OWN", "certificate": {"subject": "CN=ci"}}}),
                "CN=ci",
            ),
            (
                json!({"input": {"caller": {"token": {"id": "OWN"}, "teams": ["a", "b", "c", "d"]}}}),
                "OWN (team a, b, c, 1 more)",
            ),
            (json!({"requested_by": "10.1.2.3"}), "10.1.2.3"),
        ] {
            assert_eq!(Who::of(&record).short(), wanted);
        }
    }

    #[test]
    fn a_token_that_is_made_has_the_id_that_dynatrace_gave_it() {
        let made = json!({"credential": {"id": "NEW"}});
        let create = json!({"input": {"change": {"name": {"requested": "ci"}}}});
        let token = Token::of(&create, Some(&made));
        assert_eq!(
            (token.any_id(), token.created()),
            ("NEW", Some("ci (NEW)".to_owned()))
        );
        // It is replaced by another one.
        let rotate = json!({"input": {"token": {"id": "OLD"}}});
        let token = Token::of(&rotate, Some(&made));
        assert_eq!(
            (token.any_id(), &*token.made, token.created()),
            ("OLD", "NEW", None)
        );
    }
}
