//! What the policies' mask makes of made-up records, so that one that fails is found before it refuses requests.

use super::Failures;
use super::trouble::Failure;
use crate::audit::event::{self, Bundle, Bundles, DecisionRecord, Findings, Labels, Metrics};
use crate::dynatrace::redact::{Redacted, Redactor};
use crate::dynatrace::token::{Caller, HashKey};
use crate::policy::{Decision, Input, Policy, Verdict};
use crate::value::Sha256Hex;

/// One that policies did not see.
pub(super) fn of_a_refusal(policy: &Policy, time: jiff::Timestamp) -> Result<(), Failures> {
    let Some(mask) = policy.mask() else {
        return Ok(());
    };
    let error = Redacted::ours("the body, line 1 column 21, \"scopes\": duplicate member");
    let record = record(policy, None, Findings::default(), Some(&error), time);
    let masked = mask.apply(record.into_event(), time);
    masked.map(drop).map_err(|error| {
        let of = "the record of a request that no policy saw cannot be written";
        Failures(vec![format!("{of}: {}", error.with_values())])
    })
}

/// One that they did.
pub(super) fn of_a_decision(
    policy: &Policy,
    input: &Input,
    decision: &Decision,
) -> Option<Failure> {
    let mask = policy.mask()?;
    let redactor = Redactor::default();
    let violations = decision.violations.iter();
    let violations: Vec<_> = violations.map(|found| redactor.all(found)).collect();
    let allow = decision.verdict == Verdict::Allow;
    let findings = Findings {
        allow,
        violations: &violations,
        remedy: None,
    };
    let record = record(policy, Some(input), findings, None, input.time);
    let message = match mask.apply(record.into_event(), input.time) {
        Err(error) => error.with_values(),
        Ok(masked) if masked.drop && allow => DROPS_ALLOWED.to_owned(),
        Ok(_) => return None,
    };
    Some(Failure {
        policy: "system.log".to_owned(),
        message,
        in_settings: false,
    })
}

fn record(
    policy: &Policy,
    input: Option<&Input>,
    result: Findings<'_>,
    error: Option<&Redacted>,
    timestamp: jiff::Timestamp,
) -> DecisionRecord {
    let ours = Redacted::ours;
    let credential = Caller::from_query("dt0c01.ST2EY72KQINMH574WMNVI7YN", &HashKey::new([0; 32]));
    let caller = event::Caller {
        id: Some(credential.id),
        kind: Some("api-token"),
        ..event::Caller::default()
    };
    let digest = Sha256Hex::ZERO;
    let event = event::Decision {
        timestamp,
        decision_id: &ours("01a20c52-49be-734b-a743-e694d554b905"),
        labels: Labels {
            version: env!("CARGO_PKG_VERSION"),
        },
        path: "dtgate",
        input,
        result,
        bundles: Bundles {
            policies: Bundle {
                revision: policy.revision(),
            },
        },
        metrics: Metrics::default(),
        evaluator: None,
        turn: None,
        requested_by: &ours("192.0.2.1"),
        verdict: if result.allow { "allow" } else { "deny" },
        grant: None,
        operation: None,
        environment: input.is_none().then_some("default"),
        caller: Some(&caller),
        request: event::Request {
            id: &ours("01a20c52-49be-734b-a743-e69351d33594"),
            client_id: None,
            method: &ours("PUT"),
            path: &ours("/api/v2/apiTokens/dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA"),
            query: None,
            caller_hash: None,
            received_sha256: Some(&digest),
            forwarded_sha256: result.allow.then_some(&digest),
        },
        counted: None,
        error,
    };
    event.record()
}

const DROPS_ALLOWED: &str = "drop would leave out an allowed request, and what is allowed is always recorded: add \
                             `input.verdict == \"deny\"` to it";
