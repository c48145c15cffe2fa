//! Which token a record is about, and what of that masks have hidden.

use std::borrow::Cow;

use super::row::Row;
use crate::audit::masks::Masks;
use crate::dynatrace::catalogue::{ENDPOINTS, ENVIRONMENT, ID, Operation, documented};
use crate::dynatrace::token::{canonical_id, is_shown_id};

/// What masks have hidden of a record, and whoever looks for it cannot find it by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hidden {
    /// An id or a name of its token.
    Names,
    /// Scopes that were asked for, added or removed.
    Scopes,
    /// Which token it changes: nobody knows.
    Token,
}

impl Hidden {
    pub(super) const ALL: [Self; 3] = [Self::Names, Self::Scopes, Self::Token];
}

/// The id of the token that a path names, where its operation has one there.
pub fn token_in_path<'a>(operation: &str, path: &'a str) -> Option<Cow<'a, str>> {
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

/// By the path, where the input does not tell it.
pub(super) fn in_path<'a>(row: &'a Row<'_>, masks: &Masks) -> Option<Cow<'a, str>> {
    let is_told = !row.input.0.token.0.id.0.is_empty() && !masks.hide("input.token.id");
    if is_told || masks.hide("request.path") {
        return None;
    }
    token_in_path(&row.operation.0, &row.request.0.path.0)
}

/// Whether masks have hidden that.
pub(super) fn is_hidden(row: &Row<'_>, masks: &Masks, what: Hidden) -> bool {
    if masks.is_empty() {
        return false;
    }
    let operation: Option<Operation> = row.operation.0.parse().ok();
    let does = |what: fn(Operation) -> bool| operation.is_some_and(what);
    let hides = |members: &[&str]| members.iter().any(|member| masks.hide(member));
    let is_lost = hides(&["input.token.id"]) && in_path(row, masks).is_none();
    let changes = does(Operation::changes_token);
    match what {
        Hidden::Token => changes && is_lost,
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
    }
}

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
