//! What the policies said about one request, and what follows from it.
//!
//! It guarantees that what follows is read off one table, [`Violation::effect`], and that the same
//! findings always come in the same order. It does not know how they are answered or written down.

use std::{collections::BTreeSet, fmt, time::Duration};

use serde::{Deserialize, Serialize, Serializer};
use serde_json::{Map, Value as Json};

use super::extent::in_short;
use super::granted::Granted;
use crate::dynatrace::redact::{Redacted, Redactor, Texts};

/// The code of a violation that stands for a policy which could not be asked.
pub const POLICY_ERROR: &str = "policy-error";

/// In the words of the engine.
const TIMED_OUT: &str = "exceeded time limit";

/// Whose violation it is that a token could not be looked up. No package can have this name: it has a blank.
pub const LOOKUP: &str = "token lookup";

#[derive(Clone, Copy, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Allow,
    Deny,
}

/// How much a policy may do.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Let pass, record only.
    DryRun,
    /// What it denies is refused.
    #[default]
    Enforce,
    /// Let pass, tell the caller.
    Warn,
}

impl Mode {
    pub fn parse(text: &str) -> Option<Self> {
        match text {
            "dry_run" => Some(Self::DryRun),
            "enforce" => Some(Self::Enforce),
            "warn" => Some(Self::Warn),
            _ => None,
        }
    }
}

impl fmt::Display for Mode {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            Self::DryRun => "dry_run",
            Self::Enforce => "enforce",
            Self::Warn => "warn",
        })
    }
}

/// The rule that a violation is an element of.
#[derive(Clone, Copy, Debug, Deserialize, Eq, Ord, PartialEq, PartialOrd, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Rule {
    Deny,
    Warn,
}

impl Rule {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Deny => "deny",
            Self::Warn => "warn",
        }
    }
}

/// What a violation leads to.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Effect {
    /// The request is refused.
    Deny,
    /// Nobody but the journal hears of it.
    Record,
    /// The caller is told, the request passes.
    Warn,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
pub struct Violation {
    /// The package below `dtgate`, or an entrypoint such as `envoy/authz/allow`.
    pub policy: String,
    /// The mode that was applied. A policy that failed is always applied as `enforce`.
    pub mode: Mode,
    pub rule: Rule,
    pub message: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<String>,
    /// Whatever else the policy put into the element.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub details: Map<String, Json>,
    /// By what it passes although it denies.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exception: Option<Exception>,
    /// How an entrypoint wants the caller to be answered. It is in the details, too.
    #[serde(skip)]
    pub answer: Option<Box<Answer>>,
}

/// An answer as an entrypoint wrote it. Whether it may be sent is another question.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Option<String>,
}

/// An entry of `data.exceptions`, as far as others have to know it.
#[derive(Clone, Debug, Deserialize, PartialEq, Serialize)]
pub struct Exception {
    pub ticket: String,
    pub reason: String,
    /// From then on it lets nothing pass: RFC 3339.
    pub until: String,
}

/// Without the answer: it follows from the details, and no record has it.
impl PartialEq for Violation {
    fn eq(&self, other: &Self) -> bool {
        let Self {
            policy,
            mode,
            rule,
            message,
            path,
            code,
            details,
            exception,
            answer: _,
        } = self;
        let said = (policy, mode, rule, message, path, code, details, exception);
        let of_other = (
            &other.policy,
            &other.mode,
            &other.rule,
            &other.message,
            &other.path,
            &other.code,
            &other.details,
            &other.exception,
        );
        said == of_other
    }
}

impl Texts for Violation {
    fn redacted(self, redactor: &Redactor) -> Self {
        let Self {
            policy,
            mode,
            rule,
            message,
            path,
            code,
            details,
            exception,
            answer,
        } = self;
        let text = |text: String| redactor.text(&text).to_string();
        Self {
            // A package's name.
            policy,
            mode,
            rule,
            message: text(message),
            path: path.map(text),
            code: code.map(text),
            details: (*redactor.members(&details)).clone(),
            exception: exception.map(|it| Exception {
                ticket: text(it.ticket),
                reason: text(it.reason),
                until: it.until,
            }),
            answer,
        }
    }
}

impl Violation {
    /// A policy that could not be asked: it denies, whatever its mode, because what was not judged must not pass.
    pub(super) fn failed(policy: &str, rule: Rule, message: &str) -> Self {
        Self {
            policy: policy.to_owned(),
            mode: Mode::Enforce,
            rule: Rule::Deny,
            message: format!("{}{}", failure(policy), in_short(message)),
            path: None,
            code: Some(POLICY_ERROR.to_owned()),
            details: Map::from_iter([("failed_rule".to_owned(), rule.name().into())]),
            exception: None,
            answer: None,
        }
    }

    /// Whether it is there because a policy could not be asked.
    pub fn is_failure(&self) -> bool {
        self.code.as_deref() == Some(POLICY_ERROR)
    }

    /// Whether the policy could not be asked because it took longer than it may.
    pub fn is_timeout(&self) -> bool {
        self.is_failure() && self.message.contains(TIMED_OUT)
    }

    /// A token that policies ask about and that could not be looked up: it denies, because what they would say
    /// about it is not known.
    pub(super) fn not_looked_up(reason: &str) -> Self {
        Self {
            policy: LOOKUP.to_owned(),
            mode: Mode::Enforce,
            rule: Rule::Deny,
            message: format!("{reason}; the policies judge by the token as it is"),
            path: None,
            code: Some("lookup-failed".to_owned()),
            details: Map::new(),
            exception: None,
            answer: None,
        }
    }

    /// Whether it is the gate's own, because the token could not be looked up.
    pub fn is_of_lookup(&self) -> bool {
        self.policy == LOOKUP
    }

    /// Reads one element of `deny` or `warn`.
    pub(super) fn read(
        policy: &str,
        mode: Mode,
        rule: Rule,
        element: Json,
    ) -> Result<Self, String> {
        let (message, path, code, details) = match element {
            Json::String(message) => (message, None, None, Map::new()),
            Json::Object(mut members) => {
                let mut text = |name: &str| match members.remove(name) {
                    None => Ok(None),
                    Some(Json::String(text)) => Ok(Some(text)),
                    Some(other) => Err(format!(
                        "{name} of a violation must be a string, not {other}"
                    )),
                };
                let message = text("message")?.ok_or("a violation must have a message")?;
                (message, text("path")?, text("code")?, members)
            }
            other => {
                return Err(format!(
                    "a violation must be a string or an object, not {other}"
                ));
            }
        };
        if message.trim().is_empty() {
            return Err("the message of a violation must not be empty".to_owned());
        }
        Ok(Self {
            policy: policy.to_owned(),
            mode,
            rule,
            message,
            path,
            code,
            details,
            exception: None,
            answer: None,
        })
    }

    /// Its message, and whose it is; also by what it passes, if it does so by an exception.
    pub fn told(&self) -> String {
        let Self {
            policy, message, ..
        } = self;
        match &self.exception {
            None => format!("{message} ({policy})"),
            Some(Exception { ticket, until, .. }) => {
                format!("{message} ({policy}; passes until {until} by exception {ticket})")
            }
        }
    }

    /// Why the policy could not be asked; else its message.
    pub fn cause(&self) -> &str {
        let prefix = failure(&self.policy);
        self.message.strip_prefix(&prefix).unwrap_or(&self.message)
    }

    /// What it does, in a word.
    pub fn does(&self) -> &'static str {
        match self.effect() {
            Effect::Deny => "denies",
            Effect::Record => "records",
            Effect::Warn if self.exception.is_some() => "excepted",
            Effect::Warn => "warns",
        }
    }

    pub fn effect(&self) -> Effect {
        match (self.mode, self.rule) {
            (Mode::Enforce, Rule::Deny) if self.exception.is_some() => Effect::Warn,
            (Mode::Enforce, Rule::Deny) => Effect::Deny,
            (Mode::Enforce | Mode::Warn, Rule::Warn) | (Mode::Warn, Rule::Deny) => Effect::Warn,
            (Mode::DryRun, Rule::Deny | Rule::Warn) => Effect::Record,
        }
    }
}

/// What the message of a policy that could not be asked begins with.
fn failure(policy: &str) -> String {
    format!("policy {policy} could not be evaluated: ")
}

/// Which engine decided.
#[derive(Clone, Copy, Debug, Eq, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Evaluator {
    /// The bytecode alone, which may only find that nobody objects.
    Bytecode,
    Interpreter,
}

#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Decision {
    pub verdict: Verdict,
    /// All of them, not only those that deny; by policy, then rule, path and message.
    pub violations: Vec<Violation>,
    /// By what it passes although policies deny it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub grant: Option<Box<Granted>>,
    /// Of a denial: the part of the request that would pass, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<Box<Remedy>>,
    pub evaluator: Evaluator,
    /// The revision of the bundle that decided.
    pub revision: String,
    #[serde(rename = "evaluation_ns", serialize_with = "nanoseconds")]
    pub evaluation: Duration,
}

impl Decision {
    pub(super) fn new(
        mut violations: Vec<Violation>,
        revision: String,
        evaluation: Duration,
    ) -> Self {
        // By length first, so that scopes[2] stands before scopes[13].
        let length = |violation: &Violation| violation.path.as_ref().map_or(0, String::len);
        violations.sort_by(|one, other| {
            let order = (
                &one.policy,
                one.rule,
                length(one),
                &one.path,
                &one.message,
                &one.code,
            );
            order.cmp(&(
                &other.policy,
                other.rule,
                length(other),
                &other.path,
                &other.message,
                &other.code,
            ))
        });
        let denies = violations
            .iter()
            .any(|violation| violation.effect() == Effect::Deny);
        let verdict = if denies {
            Verdict::Deny
        } else {
            Verdict::Allow
        };
        Self {
            verdict,
            violations,
            grant: None,
            remedy: None,
            evaluator: Evaluator::Interpreter,
            revision,
            evaluation,
        }
    }

    /// Nobody objects, says the bytecode.
    pub(super) fn quiet(revision: String, evaluation: Duration) -> Self {
        Self {
            verdict: Verdict::Allow,
            violations: Vec::new(),
            grant: None,
            remedy: None,
            evaluator: Evaluator::Bytecode,
            revision,
            evaluation,
        }
    }

    /// What denies and is not covered by a grant: what the policies did not judge never is.
    pub fn not_covered(&self, grant: &Granted) -> impl Iterator<Item = &Violation> {
        self.with_effect(Effect::Deny).filter(move |violation| {
            let has_failed = violation.code.as_deref() == Some(POLICY_ERROR);
            violation.is_of_lookup() || !grant.is_for(&violation.policy, has_failed)
        })
    }

    /// Whether a grant could let it pass.
    pub fn can_be_granted(&self) -> bool {
        self.verdict == Verdict::Deny
            && !self.with_effect(Effect::Deny).any(Violation::is_of_lookup)
    }

    /// Lets a denial pass that the grant covers in full. The objections stay as they are.
    pub(super) fn pass_by(&mut self, grant: Granted) {
        if self.verdict == Verdict::Deny && self.not_covered(&grant).next().is_none() {
            self.verdict = Verdict::Allow;
            self.grant = Some(Box::new(grant));
            self.remedy = None;
        }
    }

    /// Whether nothing denies but that the token could not be looked up.
    pub fn only_lookup_failed(&self) -> bool {
        self.with_effect(Effect::Deny).all(Violation::is_of_lookup)
    }

    /// Whether so little is objected to that somebody will mend the request: what would pass of it is worth a search.
    pub fn has_few_objections(&self) -> bool {
        let mut places = BTreeSet::new();
        self.with_effect(Effect::Deny).all(|violation| {
            places.insert(violation.path.as_deref());
            places.len() <= FEW
        })
    }

    /// The violations that lead to this effect.
    pub fn with_effect(&self, effect: Effect) -> impl Iterator<Item = &Violation> {
        self.violations
            .iter()
            .filter(move |violation| violation.effect() == effect)
    }
}

/// Places in a request that are objected to.
const FEW: usize = 20;

fn nanoseconds<S: Serializer>(duration: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_u64(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

/// What to leave out of a request so that it passes.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Remedy {
    /// Scopes to leave out, in the order of the request.
    pub scopes: Vec<Redacted>,
    /// Members to leave out altogether.
    pub members: Vec<&'static str>,
    /// The same for people.
    pub text: String,
}

impl Texts for Remedy {
    fn redacted(self, redactor: &Redactor) -> Self {
        let Self {
            scopes,
            members,
            text,
        } = self;
        let scope = |scope: Redacted| redactor.text(&scope);
        Self {
            scopes: scopes.into_iter().map(scope).collect(),
            members,
            text: redactor.text(&text).to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn read(mode: Mode, rule: Rule, element: Json) -> Result<Violation, String> {
        Violation::read("naming", mode, rule, element)
    }

    #[test]
    fn a_grant_has_to_cover_everything_that_denies() {
        let denial = |policy: &str| Violation {
            policy: policy.to_owned(),
            ..read(Mode::Enforce, Rule::Deny, json!("no")).unwrap()
        };
        let failed = |policy: &str| Violation::failed(policy, Rule::Deny, "why");
        let warning = read(Mode::Warn, Rule::Deny, json!("no")).unwrap();
        let names = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        let passes = |violations: &[Violation], policies: &[&str], failed: &[&str]| {
            let mut decision =
                Decision::new(violations.to_vec(), String::new(), Duration::default());
            let before = decision.verdict;
            decision.pass_by(Granted {
                id: "id".to_owned(),
                requested_by: "alice".to_owned(),
                approved_by: "bob".to_owned(),
                reason: "why".to_owned(),
                ticket: "OPS-1".to_owned(),
                until: "then".to_owned(),
                policies: names(policies),
                failed_policies: names(failed),
                allows: "change",
                decision: None,
                note: String::new(),
            });
            assert_eq!(decision.violations.len(), violations.len());
            let is_granted = decision.grant.is_some();
            assert_eq!(
                is_granted,
                decision.verdict == Verdict::Allow && before == Verdict::Deny
            );
            is_granted
        };
        let both = [denial("naming"), denial("minting")];
        assert!(passes(&both, &["naming", "minting"], &[]));
        assert!(!passes(&both, &["naming"], &[]));
        assert!(!passes(&both, &["naming", "minting_too"], &["minting"]));
        assert!(passes(
            &[denial("naming"), warning.clone()],
            &["naming"],
            &[]
        ));
        assert!(!passes(&[warning], &["naming"], &[]));
        // A policy that failed is another thing than what it says.
        assert!(!passes(&[failed("naming")], &["naming"], &[]));
        assert!(passes(&[failed("naming")], &[], &["naming"]));
        assert!(!passes(&[denial("naming")], &[], &["naming"]));
        // What was not judged never passes.
        let lookup = Violation::not_looked_up("why");
        assert!(!passes(&[lookup], &[LOOKUP], &[LOOKUP]));
    }

    #[test]
    fn the_effect_follows_from_mode_and_rule() {
        let effect = |mode, rule| read(mode, rule, json!("no")).unwrap().effect();
        assert_eq!(effect(Mode::Enforce, Rule::Deny), Effect::Deny);
        assert_eq!(effect(Mode::Enforce, Rule::Warn), Effect::Warn);
        assert_eq!(effect(Mode::Warn, Rule::Deny), Effect::Warn);
        assert_eq!(effect(Mode::Warn, Rule::Warn), Effect::Warn);
        assert_eq!(effect(Mode::DryRun, Rule::Deny), Effect::Record);
        assert_eq!(effect(Mode::DryRun, Rule::Warn), Effect::Record);
        assert_eq!(
            Violation::failed("naming", Rule::Warn, "no").effect(),
            Effect::Deny
        );
    }

    #[test]
    fn an_element_is_text_or_an_object_with_a_message() {
        let violation = read(
            Mode::Warn,
            Rule::Deny,
            json!({"message": "no", "path": "name", "code": "bad-name", "pattern": "^a"}),
        )
        .unwrap();
        assert_eq!(
            serde_json::to_value(violation).unwrap(),
            json!({
                "policy": "naming", "mode": "warn", "rule": "deny", "message": "no", "path": "name",
                "code": "bad-name", "details": {"pattern": "^a"},
            })
        );
        for wrong in [
            json!(1),
            json!({}),
            json!({"message": 1}),
            json!(""),
            json!({"message": "no", "path": ["a"]}),
        ] {
            assert!(
                read(Mode::Enforce, Rule::Deny, wrong.clone()).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn few_objections_are_about_few_places_however_many_policies_have_them() {
        let objections = |places: usize| {
            let violations = (0..2 * places).map(|number| {
                let path = format!("scopes[{}]", number % places);
                let element = json!({"message": number.to_string(), "path": path});
                read(Mode::Enforce, Rule::Deny, element).unwrap()
            });
            Decision::new(violations.collect(), "r".into(), Duration::ZERO)
        };
        assert!(objections(20).has_few_objections());
        assert!(!objections(21).has_few_objections());
    }

    #[test]
    fn the_order_of_violations_does_not_depend_on_how_they_were_found() {
        let violations = || {
            ["b", "a", "c"]
                .map(|message| read(Mode::Enforce, Rule::Warn, json!(message)).unwrap())
                .to_vec()
        };
        let forward = Decision::new(violations(), "r".into(), Duration::ZERO);
        let backward = Decision::new(
            violations().into_iter().rev().collect(),
            "r".into(),
            Duration::ZERO,
        );
        assert_eq!(forward, backward);
        assert_eq!(forward.verdict, Verdict::Allow);
        assert_eq!(forward.with_effect(Effect::Warn).count(), 3);
    }
}
