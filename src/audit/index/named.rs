//! Which token a record is about, and what of a record is hidden, so that whoever asks by it does not find it.

use std::borrow::Cow;

use super::filter::Pattern;
use super::row::{Row, Text};
use crate::audit::masks::Masks;
use crate::audit::pseudonym::is_pseudonym;
use crate::dynatrace::catalogue::{ENDPOINTS, ENVIRONMENT, ID, Operation, documented};
use crate::dynatrace::token::{canonical_id, is_shown_id};

/// What is hidden of a record, and whoever looks for it cannot find it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// An id or a name of its token.
    Names,
    /// Scopes that were asked for, added or removed.
    Scopes,
    /// Which token it changes: nobody knows.
    Token,
    /// By which other id Dynatrace knows the token that it changes by a public id.
    ByPublicId,
    /// The same, by an id of another form.
    ByOtherId,
    /// Which value stands within a name of its token.
    NamePart,
    /// The public id of the caller's credential.
    Caller,
    Certificate,
    /// Issuer or subject.
    Claim,
    /// Any other claim.
    Claims,
    Team,
    Environment,
    Policy,
    Code,
    Client,
    /// Whether it would change anything.
    Effect,
    /// A text that is searched for words.
    Words,
}

/// What hides it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Veil {
    Mask,
    /// Found by the whole value, and by no part of it.
    Pseudonym,
}

impl Hidden {
    const ALL: [Self; 17] = [
        Self::Names,
        Self::Scopes,
        Self::Token,
        Self::ByPublicId,
        Self::ByOtherId,
        Self::NamePart,
        Self::Caller,
        Self::Certificate,
        Self::Claim,
        Self::Claims,
        Self::Team,
        Self::Environment,
        Self::Policy,
        Self::Code,
        Self::Client,
        Self::Effect,
        Self::Words,
    ];

    /// Whether values of it may have pseudonyms, and somebody looks for a part of them, or has not the key.
    fn has_pseudonyms(self) -> bool {
        matches!(
            self,
            Self::Names
                | Self::Token
                | Self::ByPublicId
                | Self::ByOtherId
                | Self::NamePart
                | Self::Caller
                | Self::Certificate
                | Self::Claim
                | Self::Claims
                | Self::Client
                | Self::Words
        )
    }
}

impl Veil {
    /// Whether it keeps what is asked for from being found where it hides that. A whole value is found by its pseudonym;
    /// nobody can tell how that value begins, nor which name it was that holds several of them.
    pub fn keeps(self, what: Hidden, asked: &Pattern) -> bool {
        match (self, what, asked) {
            (Self::Mask, ..) => true,
            (Self::Pseudonym, Hidden::NamePart, Pattern::Exactly(text)) => !is_id(text),
            (Self::Pseudonym, Hidden::NamePart, Pattern::Begins(_)) => false,
            (Self::Pseudonym, _, asked) => matches!(asked, Pattern::Begins(_)),
        }
    }
}

/// The id of the token that a path names, where its operation has one there.
fn token_in_path<'a>(operation: &str, path: &'a str) -> Option<Cow<'a, str>> {
    let segments: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    let below = match segments.as_slice() {
        [ENVIRONMENT, _, below @ ..] => below,
        all => all,
    };
    let segments = documented(below);
    let rows = ENDPOINTS.iter();
    let mut rows = rows.filter(|row| row.operation.as_str() == operation);
    rows.find_map(|row| {
        let patterns: Vec<&str> = row.path.split('/').skip(1).collect();
        let mut pairs = patterns.iter().zip(&segments);
        let fit = patterns.len() == segments.len()
            && pairs.all(|(pattern, segment)| pattern == segment || *pattern == ID);
        let at = patterns.iter().position(|pattern| *pattern == ID)?;
        let id = segments.get(at).filter(|id| fit && is_shown_id(id))?;
        Some(canonical_id(id))
    })
}

/// The id of the token that a request is about: by the input, or by the path, where masks have not hidden that too. Empty
/// where nobody knows.
pub fn token_of<'a>(masks: &Masks, operation: &str, told: &'a str, path: &'a str) -> Cow<'a, str> {
    if !told.is_empty() && !masks.hide("input.token.id") {
        return Cow::Borrowed(told);
    }
    if masks.hide("request.path") {
        return Cow::Borrowed("");
    }
    token_in_path(operation, path).unwrap_or_default()
}

/// All that is hidden of the record of a line, and by what.
pub fn hidden_of(line: &[u8]) -> Vec<(Hidden, Veil)> {
    let row = Row::read(line);
    row.map_or_else(Vec::new, |row| hidden(&row, &row.masks()))
}

/// Whether an id of a token is the public one, and not that of the entity. Callers have public ids, and pseudonyms of them.
pub fn is_public(id: &str) -> bool {
    id.starts_with(PUBLIC) || is_pseudonym(id)
}

/// Whether it is the id of a token, and not a name.
pub fn is_id(text: &str) -> bool {
    is_public(text) || uuid::Uuid::try_parse(text).is_ok()
}

/// How public ids begin.
pub const PUBLIC: &str = "dt0";

/// By the path, where the input does not tell it.
pub(super) fn in_path<'a>(row: &'a Row<'_>, masks: &Masks) -> Option<Cow<'a, str>> {
    let is_told = !row.input.0.token.0.id.0.is_empty() && !masks.hide("input.token.id");
    if is_told || masks.hide("request.path") {
        return None;
    }
    token_in_path(&row.operation.0, &row.request.0.path.0)
}

/// All that is hidden of a record, and by what.
pub(super) fn hidden(row: &Row<'_>, masks: &Masks) -> Vec<(Hidden, Veil)> {
    let pseudonyms = row.pseudonyms();
    let veils = [(Veil::Mask, masks), (Veil::Pseudonym, &pseudonyms)];
    let may_hide = |veil, what: Hidden| match veil {
        // A whole name that a mask has hidden is one of the names.
        Veil::Mask => what != Hidden::NamePart,
        Veil::Pseudonym => what.has_pseudonyms(),
    };
    // The one id may have a pseudonym, and a mask another place where it would be told.
    let either = row.unseen();
    let mut all = Vec::new();
    for (veil, masks) in veils.into_iter().filter(|(_, masks)| !masks.is_empty()) {
        let found = Hidden::ALL.into_iter().filter(|what| {
            let masks = match (veil, what) {
                (Veil::Pseudonym, Hidden::Token | Hidden::ByPublicId | Hidden::ByOtherId) => {
                    &either
                }
                _ => masks,
            };
            may_hide(veil, *what) && is_hidden(row, masks, *what)
        });
        all.extend(found.map(|what| (what, veil)));
    }
    all
}

fn is_hidden(row: &Row<'_>, masks: &Masks, what: Hidden) -> bool {
    let operation: Option<Operation> = row.operation.0.parse().ok();
    let does = |what: fn(Operation) -> bool| operation.is_some_and(what);
    let hides = |members: &[&str]| members.iter().any(|member| masks.hide(member));
    let is_lost = hides(&["input.token.id"]) && in_path(row, masks).is_none();
    let changes = does(Operation::changes_token);
    match what {
        Hidden::Token => changes && is_lost,
        Hidden::ByPublicId | Hidden::ByOtherId => {
            let told = in_path(row, masks).unwrap_or(Cow::Borrowed(&*row.input.0.token.0.id.0));
            let is_meant = is_public(&told) == (what == Hidden::ByPublicId);
            changes && !is_lost && is_meant && hides(&["input.token.current.id"])
        }
        Hidden::NamePart => {
            let (token, change) = (&row.input.0.token.0, &row.input.0.change.0);
            let names = [
                ("input.token.current.name", &token.current.0.name),
                ("input.change.name.current", &change.name.0.current),
                ("input.change.name.requested", &change.name.0.requested),
            ];
            let mut names = names.into_iter();
            names.any(|(member, name)| masks.hide(member) && !is_pseudonym(&name.0))
        }
        Hidden::Names => {
            // The token may have been asked for by another id than Dynatrace knows it by.
            let names = [
                "input.token.current.id",
                "input.token.current.name",
                "input.change.name",
            ];
            changes && (is_lost || hides(&names))
                || does(Operation::makes_token) && hides(&["input.change.name"])
        }
        Hidden::Scopes => {
            let has_scopes = does(Operation::makes_token) || changes;
            has_scopes && !does(Operation::removes_token) && hides(&["input.change.scopes"])
        }
        Hidden::Caller | Hidden::Certificate | Hidden::Claim | Hidden::Claims | Hidden::Team => {
            hides_caller(row, masks, what)
        }
        Hidden::Environment => {
            let is_told = !row.environment.0.is_empty();
            let is_seen = !row.input.0.environment.0.name.0.is_empty();
            (is_seen || !is_told) && hides(&["input.environment.name"])
        }
        Hidden::Policy => hides(&["result.violations.*.policy"]),
        Hidden::Code => hides(&["result.violations.*.code"]),
        Hidden::Client => hides(&["requested_by"]),
        Hidden::Effect => hides(&EFFECT),
        Hidden::Words => {
            let texts = [
                "error",
                "request.path",
                "result.violations.*.message",
                "result.violations.*.exception.ticket",
            ];
            let others = [Hidden::Names, Hidden::Certificate, Hidden::Claim];
            hides(&texts) || others.into_iter().any(|it| is_hidden(row, masks, it))
        }
    }
}

/// What a record says of its caller in short goes before what policies saw.
fn hides_caller(row: &Row<'_>, masks: &Masks, what: Hidden) -> bool {
    let (told, seen) = (&row.caller.0, &row.input.0.caller.0);
    let (shown, worn) = (&told.certificate.0, &seen.certificate.0);
    let (named, proven) = (&told.jwt.0, &seen.jwt.0);
    let is_known = !told.id.0.is_empty()
        || told.teams.is_some()
        || !shown.fingerprint.0.is_empty()
        || !named.issuer.0.is_empty();
    let is_there = |text: &Text<'_>| !text.0.is_empty();
    let hides = |(in_short, is_told): (&str, bool), (at_length, is_seen): (&str, bool)| {
        let (in_short, at_length) = (
            masks.hide(&format!("caller.{in_short}")),
            masks.hide(&format!("input.caller.{at_length}")),
        );
        match (is_told, is_seen) {
            (true, _) => in_short,
            // What it does not have, nothing hides.
            (false, _) if is_known && !in_short => false,
            (false, true) => at_length,
            (false, false) => in_short || at_length,
        }
    };
    let same = |member: &str, told: bool, seen: bool| hides((member, told), (member, seen));
    match what {
        Hidden::Caller => hides(
            ("id", is_there(&told.id)),
            ("token.id", is_there(&seen.token.0.id)),
        ),
        Hidden::Team => same("teams", told.teams.is_some(), seen.teams.is_some()),
        Hidden::Certificate => [
            ("subject", &shown.subject, &worn.subject),
            ("spiffe_id", &shown.spiffe_id, &worn.spiffe_id),
            ("fingerprint", &shown.fingerprint, &worn.fingerprint),
        ]
        .into_iter()
        .any(|(member, told, seen)| {
            same(
                &format!("certificate.{member}"),
                is_there(told),
                is_there(seen),
            )
        }),
        Hidden::Claim => [
            ("issuer", &named.issuer, &proven.issuer),
            ("subject", &named.subject, &proven.subject),
        ]
        .into_iter()
        .any(|(member, told, seen)| same(&format!("jwt.{member}"), is_there(told), is_there(seen))),
        _ => {
            let has_none = is_known && !is_there(&named.issuer) && !masks.hide("caller.jwt");
            !has_none && masks.hide("input.caller.jwt.claims")
        }
    }
}

/// By what a record tells that a request changes nothing.
pub(super) const EFFECT: [&str; 2] = ["input.change.differs", "input.unknown_members"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_the_token_that_its_operation_is_about() {
        let id = "dt0c01.ST2EY72KQINMH574WMNVI7YN";
        let uuid = "019AB533-0040-7000-8000-00000000000A";
        for (operation, path, wanted) in [
            ("token.update", format!("/api/v2/apiTokens/{id}"), Some(id)),
            (
                "token.delete",
                format!("/e/abc/api/v2/apiTokens/{id}/"),
                Some(id),
            ),
            (
                "token.update",
                format!("/platform/classic/environment-api/v2/apiTokens/{id}"),
                Some(id),
            ),
            ("token.update", format!("/api/v1/tokens/{id}"), Some(id)),
            (
                "cluster_token.update",
                format!("/api/cluster/v2/tokens/{id}"),
                Some(id),
            ),
            (
                "token.update",
                format!("/api/v2/apiTokens/{uuid}"),
                Some("019ab533-0040-7000-8000-00000000000a"),
            ),
            ("token.create", "/api/v2/apiTokens".to_owned(), None),
            ("token.create", format!("/api/v2/apiTokens/{id}"), None),
            ("token.update", "/api/v2/apiTokens/{id}".to_owned(), None),
            ("token.update", "/api/v2/apiTokens/lookup".to_owned(), None),
            ("unknown", format!("/api/v2/apiTokens/{id}"), None),
            ("token.update", String::new(), None),
        ] {
            let found = token_in_path(operation, &path);
            assert_eq!(found.as_deref(), wanted, "{operation} {path}");
        }
    }
}
