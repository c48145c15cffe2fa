//! A row beside its line: what it is found by has to be what the line says.

use std::collections::HashSet;

use tokio_postgres::Row as Kept;

use super::older::DIFFERENT;
use super::{Older, Sent};
use crate::audit::facts::{Least, least};
use crate::store::StoreError;
use crate::store::column::column;
use crate::store::moment::Moment;
use crate::store::rows::Row;

/// What stands beside a line and is not what it says. An earlier build may have told less of the line than this one does:
/// what the row then lacks is counted in `older`.
pub(super) fn compared(
    kept: &Kept,
    meant: &Row<'_>,
    sent: Sent,
    older: &mut Older,
) -> Result<Option<String>, StoreError> {
    let mut older = sent.is_by_earlier().then_some(older);
    let seq = meant.seq;
    let hash: Option<&[u8]> = column(kept, "hash")?;
    if hash != Some(&meant.hash) {
        return Ok(Some(format!(
            "record {seq} was changed: its line has another hash than the one beside it"
        )));
    }
    let mut wrong = Vec::new();
    let mut is = |column: &'static str, is_right: bool| {
        if !is_right {
            wrong.push(column);
        }
    };
    let at: Moment = column(kept, "at")?;
    is("at", at == meant.at);
    let text = |name| column::<Option<&str>>(kept, name);
    let number = |name| column::<Option<i64>>(kept, name);
    let list = |name| column::<Option<Vec<Option<String>>>>(kept, name);
    is("kind", text("kind")? == Some(meant.kind()));
    is("decision_seq", number("decision_seq")? == meant.about());
    let decision = meant.decision();
    let verdict = decision.map(|it| if it.is_allowed { "allow" } else { "deny" });
    for (column, wanted) in [
        ("decision_id", decision.and_then(|it| it.id.as_deref())),
        ("verdict", verdict),
        ("operation", decision.map(|it| &*it.operation)),
        (
            "environment",
            decision.and_then(|it| it.environment.as_deref()),
        ),
        ("caller", decision.and_then(|it| it.caller.as_deref())),
        ("client", decision.and_then(|it| it.client.as_deref())),
        ("revision", decision.and_then(|it| it.revision.as_deref())),
    ] {
        is(column, text(column)? == wanted);
    }
    let no_op: Option<bool> = column(kept, "no_op")?;
    let is_no_op = decision.map(|it| it.is_no_op);
    let was_no_op = || no_op == Some(true) && is_no_op == Some(false) && least_of(meant).is_no_op;
    let is_right = no_op == is_no_op;
    let is_older = !is_right && lacks(&mut older, seq, "no_op", was_no_op);
    is("no_op", is_right || is_older);
    for (column, wanted) in [
        ("certificate", decision.map(|it| &it.certificate)),
        ("claim", decision.map(|it| &it.claim)),
        ("team", decision.map(|it| &it.team)),
        ("scope", decision.map(|it| &it.scope)),
        ("added", decision.map(|it| &it.added)),
        ("removed", decision.map(|it| &it.removed)),
        ("policy", decision.map(|it| &it.policy)),
        ("code", decision.map(|it| &it.code)),
    ] {
        is(column, is_same(list(column)?.as_deref(), wanted));
    }
    let words = list("words")?;
    let words = words.as_deref();
    let is_right = has_words(words, decision.map(|it| &it.words));
    let had_words = || decision.is_some() && has_words(words, Some(&least_of(meant).words));
    let is_older = !is_right && lacks(&mut older, seq, "words", had_words);
    is("words", is_right || is_older);
    if decision.is_none() {
        is("token", list("token")?.is_none());
        is("outcome", text("outcome")?.is_none());
        is("outcome_seq", number("outcome_seq")?.is_none());
        is("settled_seq", number("settled_seq")?.is_none());
        is("found", text("found")? == meant.differs());
    }
    Ok((!wrong.is_empty()).then(|| {
        // What every build has told the same is no matter of builds.
        let is_of_builds = wrong.iter().all(|it| DIFFERENT.contains(it));
        let or = if is_of_builds { sent.or_older() } else { "" };
        let wrong = wrong.join(", ");
        format!(
            "record {seq} is not what it is found by: its line says something else than its {wrong}{or}"
        )
    }))
}

/// Whether a column of an older row is as it may be there.
fn lacks(
    older: &mut Option<&mut Older>,
    seq: i64,
    column: &'static str,
    was: impl FnOnce() -> bool,
) -> bool {
    let Some(older) = older.as_mut().filter(|_| was()) else {
        return false;
    };
    older.add(seq.unsigned_abs(), column);
    true
}

fn least_of(row: &Row<'_>) -> Least {
    least(row.line.as_bytes())
}

fn is_same(kept: Option<&[Option<String>]>, wanted: Option<&Vec<String>>) -> bool {
    match (kept, wanted) {
        (None, None) => true,
        (Some(kept), Some(wanted)) => kept.iter().map(Option::as_ref).eq(wanted.iter().map(Some)),
        _ => false,
    }
}

/// Words are kept in an order of their own. Those that are not in the line are an outcome's, with which they are compared.
fn has_words(kept: Option<&[Option<String>]>, wanted: Option<&Vec<String>>) -> bool {
    match (kept, wanted) {
        (None, None) => true,
        (Some(kept), Some(wanted)) => {
            let kept: HashSet<Option<&String>> = kept.iter().map(Option::as_ref).collect();
            wanted.iter().all(|word| kept.contains(&Some(word)))
        }
        _ => false,
    }
}
