//! A grant in words, for whoever signs it.

use std::io::Write;

use anstyle::Style;
use serde_json::{Value, json};

use super::known::{Known, Records, Standing};
use crate::audit::tail::render;
use crate::grant::{Allows, Grant, Signed};
use crate::value::{Visible, rfc3339_millis};

/// Shows all that is signed, and what the journal has about it.
pub(super) fn show(
    out: &mut impl Write,
    grant: &Grant,
    record: Option<&[u8]>,
) -> anyhow::Result<()> {
    let bold = Style::new().bold();
    writeln!(out, "{bold}grant {}{bold:#}", grant.id)?;
    let mut line = |name: &str, text: &str| writeln!(out, "  {name:<13}{}", Visible(text));
    match &grant.allows {
        Allows::Request(request) => {
            let facts = &request.facts;
            line("lets pass", "this request once, exactly as it was denied:")?;
            line("request", &format!("{} {}", facts.method, facts.path))?;
            if let Some(query) = &facts.query {
                line("query", query)?;
            }
            line("operation", &facts.operation)?;
            line("environment", &facts.environment)?;
            line("token", facts.token.as_deref().unwrap_or("none yet"))?;
            line("body SHA-256", &facts.body_sha256)?;
            line("caller", &caller(grant))?;
            line("denied by", &format!("decision {}", request.decision))?;
        }
        Allows::Change(change) => {
            line(
                "lets pass",
                "the next change of this token, whatever it is:",
            )?;
            line("token", &change.token)?;
            line("environment", &change.environment)?;
            line("operation", change.operation.as_deref().unwrap_or("any"))?;
            line("caller", change.caller.as_deref().unwrap_or(ANYBODY))?;
        }
    }
    line("overrides", &grant.policies.join(", "))?;
    if !grant.failed_policies.is_empty() {
        let failed = grant.failed_policies.join(", ");
        line(
            "and unjudged",
            &format!("what these could not judge: {failed}"),
        )?;
    }
    line("reason", &grant.reason)?;
    line("ticket", &grant.ticket)?;
    line("asked for by", &grant.requested_by)?;
    line("until", &rfc3339_millis(grant.until))?;
    line("gate", &grant.gate)?;
    if let (Some(record), Allows::Request(_)) = (record, &grant.allows) {
        writeln!(out, "\n{bold}what it asks for{bold:#}\n{}", render(record))?;
    }
    Ok(())
}

/// Whoever signs it has to know that.
const ANYBODY: &str =
    "anybody: whoever reaches the gate uses it up, also with a credential that Dynatrace refuses";

fn caller(grant: &Grant) -> String {
    let Allows::Request(request) = &grant.allows else {
        return String::new();
    };
    let caller = &request.facts.caller;
    let hash = Some(caller.hash.clone());
    let parts = [
        ("", &caller.id),
        ("", &hash),
        ("certificate ", &caller.fingerprint),
        ("issuer ", &caller.issuer),
        ("subject ", &caller.subject),
    ];
    let parts = parts.iter().filter_map(|(what, text)| {
        let text = text.as_ref()?;
        Some(format!("{what}{text}"))
    });
    parts.collect::<Vec<_>>().join(", ")
}

/// In one line: what, for what, by whom.
pub(super) fn in_short(signed: &Signed) -> String {
    let grant = &signed.grant;
    let what = match &grant.allows {
        Allows::Request(request) => {
            format!("{} {}", request.facts.method, request.facts.path)
        }
        Allows::Change(change) => format!("the next change of {}", change.token),
    };
    let signers: Vec<&str> = signed.signers().collect();
    let text = format!(
        "{what} ({}), signed by {}, until {}",
        grant.ticket,
        signers.join(" and "),
        rfc3339_millis(grant.until)
    );
    Visible(text).to_string()
}

/// For programs.
pub(super) fn to_json(signed: &Signed, standing: &Standing) -> Value {
    let signers: Vec<&str> = signed.signers().collect();
    json!({
        "grant": signed.grant, "signed_by": signers, "usable": standing.flaw.is_none(),
        "reason": standing.flaw.as_ref().map(ToString::to_string), "not_known": standing.unknown,
    })
}

/// What the journal has about a grant, or that nobody knows.
pub(super) fn record(known: &Known, grant: &Grant) -> anyhow::Result<Option<Vec<u8>>> {
    let record = known.record(grant)?;
    if record.is_none() && matches!(grant.allows, Allows::Request(_)) {
        super::super::audit::note(match &known.records {
            None => {
                "what the request asks for stands in the journal of its gate: --journal DIR shows it, or --store URL"
            }
            Some(Records::Journal(_)) => {
                "what the request asks for cannot be shown: this journal does not have its record"
            }
            Some(Records::Store(_)) => {
                "what the request asks for cannot be shown: the store does not have its record"
            }
        });
    }
    Ok(record)
}
