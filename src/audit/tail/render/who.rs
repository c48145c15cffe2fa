//! Who asked, as people look for it: a team, or else the name that was proven, or else the credential.

use serde_json::Value;

use super::{cut, list, listed, text};

/// Who asked for a decision. One of an older version has what was proven only in the input.
pub fn caller(record: &Value) -> String {
    let told = record.get("caller").unwrap_or(&Value::Null);
    let seen = record.pointer("/input/caller").unwrap_or(&Value::Null);
    by(told, seen, text(record, "/requested_by"))
}

/// Who is counted in a sum, `others` where only an address is known.
pub(super) fn counted(entry: &Value, others: &str) -> String {
    match entry.get("caller") {
        Some(told) => by(told, &Value::Null, text(entry, "/requested_by")),
        None => format!("by {others} at {}", text(entry, "/requested_by")),
    }
}

/// A caller in one short text, as a record tells it: what is proven before what is only shown.
pub fn name(told: &Value) -> Option<String> {
    let teams = list(told, "/teams");
    if !teams.is_empty() {
        return Some(format!("team {}", listed(teams, ", ")));
    }
    let names = [
        "/jwt/subject",
        "/certificate/spiffe_id",
        "/certificate/subject",
        "/id",
    ];
    let mut names = names.into_iter().map(|of| text(told, of));
    names.find(|name| !name.is_empty()).map(cut)
}

fn by(told: &Value, seen: &Value, address: &str) -> String {
    let find = |of: &str| match text(told, of) {
        "" => text(seen, of),
        found => found,
    };
    let teams = match list(told, "/teams") {
        [] => list(seen, "/teams"),
        teams => teams,
    };
    let credential = text(told, "/id");
    let mut names: Vec<String> = Vec::new();
    if !teams.is_empty() {
        names.push(format!("team {}", listed(teams, ", ")));
    }
    let certificates = [
        "/certificate/spiffe_id",
        "/certificate/subject",
        "/certificate/fingerprint",
    ];
    let certificate = certificates
        .map(find)
        .into_iter()
        .find(|name| !name.is_empty());
    match (find("/jwt/subject"), find("/jwt/issuer")) {
        ("", "") => {}
        (subject, issuer) => names.push(format!("{} of {}", cut(subject), cut(issuer))),
    }
    names.extend(certificate.map(cut));
    let brokered = told.get("brokered") == Some(&Value::Bool(true));
    let mut out = match (names.as_slice(), credential) {
        ([], "") => "by an unknown caller".to_owned(),
        ([], credential) => format!("by {credential}"),
        ([first], _) => format!("by {first}"),
        ([first, more @ ..], _) => format!("by {first} ({})", more.join(", ")),
    };
    if !address.is_empty() {
        out.extend([" at ", address]);
    }
    if !names.is_empty() && !credential.is_empty() {
        let whose = if brokered { "the gate's " } else { "" };
        out.extend([", with ", whose, credential]);
    }
    out
}
