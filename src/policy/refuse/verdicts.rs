//! What policies say, and whether the gate can hear it: `deny` and `warn` as sets of violations.
//!
//! Styles of other engines (`allow`, `violation`, `deny := true`, `{"msg": …}`) would decide nothing here, or fail when
//! somebody is denied. They are refused with what to write.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{
    AssignOp, Expr, Literal, Module, Query, Ref, Rule as RegoRule, RuleHead, Span,
};

use crate::policy::decision::Rule;
use crate::policy::problem::Problem;
use crate::policy::read;
use crate::policy::rego::program::{self, Names, Path, Program, at};
use crate::policy::rego::walk::{self, Site};
use crate::policy::source::files::File;

/// The policies that the modules define, with the rules of each.
pub(in crate::policy) fn policies(
    modules: &[Ref<Module>],
    problems: &mut Vec<Problem>,
) -> BTreeMap<String, BTreeSet<Rule>> {
    let mut found: BTreeMap<String, BTreeSet<Rule>> = BTreeMap::new();
    let mut first_places = BTreeMap::new();
    let mut mistaken: BTreeMap<String, Vec<(&Span, String, String)>> = BTreeMap::new();
    let used = used(modules);
    for module in modules {
        let path = program::package(module);
        let package: Vec<&str> = path.iter().map(String::as_str).collect();
        let name = match package.as_slice() {
            ["data", "dtgate", "lib", ..] => continue,
            ["data", "dtgate", name] => (*name).to_owned(),
            _ => {
                let message = "the package of a policy must be directly below dtgate, as in dtgate.naming; helpers belong to dtgate.lib";
                problems.push(at(&module.package.span, message));
                continue;
            }
        };
        first_places
            .entry(name.clone())
            .or_insert(&module.package.span);
        let rules = found.entry(name.clone()).or_default();
        for rule in &module.policy {
            let head = walk::path(program::head(rule)).unwrap_or_default();
            let Some(first) = head.first().and_then(|step| step.name.as_deref()) else {
                continue;
            };
            let judging = match first {
                "deny" => Rule::Deny,
                "warn" => Rule::Warn,
                other => {
                    // A function is there for others, and decides nothing anywhere.
                    if program::function(rule).is_some() {
                        continue;
                    }
                    let is_used = used.contains(&[path.as_slice(), &[other.to_owned()]].concat());
                    if let Some(advice) = instead_of(other).filter(|_| !is_used) {
                        let mistaken = mistaken.entry(name.clone()).or_default();
                        mistaken.push((rule.span(), other.to_owned(), advice));
                    }
                    continue;
                }
            };
            if let Some(message) = no_set(rule, judging.name(), head.len()) {
                problems.push(at(rule.span(), message));
            }
            // It was meant, so it is not also missing.
            rules.insert(judging);
        }
    }
    for (name, rules) in &found {
        let mut mistaken = mistaken.remove(name).unwrap_or_default();
        mistaken.dedup_by(|one, other| one.1 == other.1);
        if let (true, true, Some(place)) = (
            rules.is_empty(),
            mistaken.is_empty(),
            first_places.get(name),
        ) {
            problems.push(at(
                place,
                format!("policy {name} defines neither deny nor warn: write `deny contains \"what is wrong\" if {{ … }}`"),
            ));
        }
        for (place, rule, advice) in mistaken {
            problems.push(at(
                place,
                format!("nobody asks for {rule}, so that it decides nothing: {advice}"),
            ));
        }
    }
    found
}

/// A policy that is taken for a test, because of the name of its file: nobody would ask it.
pub(in crate::policy) fn hidden(file: &File) -> Option<Problem> {
    let (mut rego, _) = read::compile(&[file], &serde_json::Map::new());
    let modules = rego.get_modules();
    let module = modules.first()?;
    let package = program::package(module);
    let is_policy = matches!(
        package.as_slice(),
        [data, dtgate, name] if data == "data" && dtgate == "dtgate" && !name.ends_with("_test")
    );
    let judges = |rule: &&Ref<RegoRule>| {
        let head = program::known(program::head(rule));
        is_set(rule) && (head == ["deny"] || head == ["warn"])
    };
    let rule = module.policy.iter().find(judges).filter(|_| is_policy)?;
    Some(at(
        rule.span(),
        "nobody would ask this rule: files whose names end in _test.rego are tests; give the file another name",
    ))
}

/// What to write for a rule that other engines ask for, or that was misspelt.
fn instead_of(name: &str) -> Option<String> {
    let folded = name.to_lowercase();
    let folded = folded.trim_matches('_');
    if folded.starts_with("allow") {
        return Some(format!(
            "what nobody denies passes; keep the rule and add `deny contains \"what is wrong\" if not {name}`"
        ));
    }
    let for_deny = ["block", "forbid", "reject", "violat"];
    let word =
        if for_deny.iter().any(|start| folded.starts_with(start)) || is_nearly(folded, "deny") {
            "deny"
        } else if is_nearly(folded, "warn") {
            "warn"
        } else {
            return None;
        };
    // A helper, as in `_denied`, is one that is asked for.
    Some(format!(
        "write `{word} contains {{\"message\": msg}} if {{ … }}`"
    ))
}

/// Whether a name is one of ours with another ending, or with letters that changed places.
fn is_nearly(name: &str, wanted: &str) -> bool {
    let stem = wanted.strip_suffix('y').unwrap_or(wanted);
    let begins = name
        .strip_prefix(stem)
        .is_some_and(|ending| ["", "ied", "ies", "s", "y", "ing", "ings", "ed"].contains(&ending));
    begins || strsim::damerau_levenshtein(name, wanted) == 1
}

/// Why a rule of this name is no set that grows.
fn no_set(rule: &RegoRule, name: &str, steps: usize) -> Option<String> {
    let grows = format!("{name} contains \"what is wrong\" if {{ … }}");
    match rule {
        RegoRule::Default { .. } => Some(format!(
            "{name} has no default: it is a set, empty as long as nothing is wrong. Leave this out, and write `{grows}`"
        )),
        RegoRule::Spec {
            head: RuleHead::Set { refr, key, .. },
            ..
        } if key.is_some() && steps == 1 => {
            // Without `contains` OPA takes it for no rule.
            let end = usize::try_from(refr.span().end).ok()?;
            let rest = refr.span().source.get_contents().get(end..)?;
            (!rest.trim_start().starts_with("contains"))
                .then(|| format!("{name} must be a set that grows: write `{grows}`"))
        }
        RegoRule::Spec {
            head: RuleHead::Compr { .. },
            ..
        } if steps == 1 => Some(format!(
            "{name} must be a set that grows, which says what is wrong: write `{grows}`, not one value"
        )),
        RegoRule::Spec { .. } => Some(format!("{name} must be a set that grows: write `{grows}`")),
    }
}

/// The rules that other rules ask for.
fn used(modules: &[Ref<Module>]) -> BTreeSet<Path> {
    let mut used = BTreeSet::new();
    for module in modules {
        let names = Names::of(module);
        for rule in &module.policy {
            walk::rule(rule, &mut |site| {
                let (Site::Reference(asked)
                | Site::Call {
                    function: asked, ..
                }) = site
                else {
                    return;
                };
                let known = program::known(asked);
                used.extend(names.functions(&known).map(|mut path| {
                    path.truncate(RULE);
                    path
                }));
            });
        }
    }
    used
}

/// The steps of `data.dtgate.naming.deny`.
const RULE: usize = 4;

/// Refuses violations that nobody could read: the policy would fail where it denies.
pub(in crate::policy) fn unreadable(program: &Program<'_>, problems: &mut Vec<Problem>) {
    for module in program.modules {
        let names = Names::of(module);
        for rule in &module.policy {
            let judges = |name: &str| program::known(program::head(rule)) == [name];
            if !(judges("deny") || judges("warn"))
                || names.package.get(2).is_none_or(|it| it == "lib")
            {
                continue;
            }
            if let RegoRule::Spec {
                head: RuleHead::Set { key: Some(key), .. },
                ..
            } = rule.as_ref()
            {
                let seen = Seen {
                    program,
                    names: &names,
                    rule,
                    within: Vec::new(),
                };
                seen.violation(key, 0, MOST_STEPS, problems);
            }
        }
    }
}

/// Where an expression stands that may become a violation.
#[derive(Clone)]
struct Seen<'a> {
    program: &'a Program<'a>,
    names: &'a Names<'a>,
    rule: &'a RegoRule,
    /// The comprehensions around it.
    within: Vec<&'a Query>,
}

impl<'a> Seen<'a> {
    /// Looks at what is said, and follows names to where they get their value; what is not found there is found when
    /// requests are rehearsed, or not at all. `deep`: how many collections the violation stands in.
    fn violation(&self, said: &'a Expr, deep: usize, steps: usize, problems: &mut Vec<Problem>) {
        let Some(steps) = steps.checked_sub(1) else {
            return;
        };
        match said {
            Expr::Var { span, .. } => {
                for (value, is_each) in self.bound_to(span.text()) {
                    self.violation(value, deep + usize::from(is_each), steps, problems);
                }
                if !walk::bound(self.rule).contains(span.text()) {
                    self.rules(said, deep, steps, problems);
                }
            }
            Expr::RefDot { .. } => self.rules(said, deep, steps, problems),
            Expr::Call { fcn, .. } => self.rules(fcn, deep, steps, problems),
            _ => match deep.checked_sub(1) {
                None => problems.extend(unreadable_value(said)),
                Some(deep) => {
                    for (member, query) in members(said) {
                        let mut seen = self.clone();
                        seen.within.extend(query);
                        seen.violation(member, deep, steps, problems);
                    }
                }
            },
        }
    }

    /// The same for the values of a rule of the policies, and for the members of one that grows.
    fn rules(&self, meant: &Expr, deep: usize, steps: usize, problems: &mut Vec<Problem>) {
        let Some(meant) = walk::fixed_path(meant) else {
            return;
        };
        let meant = self.names.functions(&meant);
        for module in self.program.modules {
            let names = Names::of(module);
            for rule in &module.policy {
                let head = walk::path(program::head(rule)).unwrap_or_default();
                let known = program::known(program::head(rule));
                let path = [names.package.clone(), known.clone()].concat();
                if !meant.contains(&path) || std::ptr::eq(rule.as_ref(), self.rule) {
                    continue;
                }
                // Of `reasons[scope] := "text"` one name more leads to the text.
                let own = head.len() - known.len() + usize::from(is_set(rule));
                let Some(deep) = deep.checked_sub(own) else {
                    continue;
                };
                let seen = Seen {
                    program: self.program,
                    names: &names,
                    rule,
                    within: Vec::new(),
                };
                for value in values(rule) {
                    seen.violation(value, deep, steps, problems);
                }
            }
        }
    }

    /// What a name is given where it stands: a value, or each member of a collection.
    fn bound_to(&self, name: &str) -> Vec<(&'a Expr, bool)> {
        let bodies: &[_] = match self.rule {
            RegoRule::Spec { bodies, .. } => bodies,
            RegoRule::Default { .. } => &[],
        };
        let bodies = bodies.iter().map(|body| body.query.as_ref());
        let queries = bodies.chain(self.within.iter().copied());
        let is_named = |expr: &Expr| matches!(expr, Expr::Var { span, .. } if span.text() == name);
        let statements = queries.flat_map(|query| &query.stmts);
        let values = statements.filter_map(|statement| match &statement.literal {
            Literal::Expr { expr, .. } => match expr.as_ref() {
                Expr::AssignExpr {
                    op: AssignOp::ColEq | AssignOp::Eq,
                    lhs,
                    rhs,
                    ..
                } if is_named(lhs) => Some((rhs.as_ref(), false)),
                _ => None,
            },
            Literal::SomeIn {
                value, collection, ..
            } if is_named(value) => Some((collection.as_ref(), true)),
            _ => None,
        });
        values.collect()
    }
}

/// Whether a rule is a set that grows.
fn is_set(rule: &RegoRule) -> bool {
    matches!(
        rule,
        RegoRule::Spec {
            head: RuleHead::Set { key: Some(_), .. },
            ..
        }
    )
}

/// What is written as the members of a collection, and the query that gives their names a value.
fn members(collection: &Expr) -> Vec<(&Expr, Option<&Query>)> {
    match collection {
        Expr::Array { items, .. } | Expr::Set { items, .. } => {
            items.iter().map(|item| (item.as_ref(), None)).collect()
        }
        Expr::Object { fields, .. } => {
            let values = fields.iter().map(|(_, _, value)| value.as_ref());
            values.map(|value| (value, None)).collect()
        }
        Expr::ArrayCompr { term, query, .. } | Expr::SetCompr { term, query, .. } => {
            vec![(term.as_ref(), Some(query.as_ref()))]
        }
        Expr::ObjectCompr { value, query, .. } => vec![(value.as_ref(), Some(query.as_ref()))],
        _ => Vec::new(),
    }
}

/// What a rule's names and functions stand for, `else` included; of a set its members.
pub(in crate::policy) fn values(rule: &RegoRule) -> Vec<&Expr> {
    let RegoRule::Spec { head, bodies, .. } = rule else {
        return Vec::new();
    };
    let first = match head {
        RuleHead::Compr { assign, .. } | RuleHead::Func { assign, .. } => {
            assign.as_ref().map(|assign| &assign.value)
        }
        RuleHead::Set { key, .. } => key.as_ref(),
    };
    let others = bodies.iter().filter_map(|body| body.assign.as_ref());
    let others = others.map(|assign| &assign.value);
    first.into_iter().chain(others).map(Ref::as_ref).collect()
}

/// Why a violation that is written like this could not be read.
fn unreadable_value(said: &Expr) -> Option<Problem> {
    match said {
        Expr::Object { fields, .. } => unreadable_object(said, fields),
        Expr::String { .. } | Expr::RawString { .. } => {
            let is_empty = walk::written(said).is_some_and(|text| text.trim().is_empty());
            is_empty.then(|| at(said.span(), "a violation says what is wrong: this is empty"))
        }
        Expr::Number { .. }
        | Expr::Bool { .. }
        | Expr::Null { .. }
        | Expr::Array { .. }
        | Expr::ArrayCompr { .. }
        | Expr::Set { .. }
        | Expr::SetCompr { .. } => Some(at(
            said.span(),
            "a violation is a text, or an object with a \"message\": write {\"message\": \"what is wrong\"}",
        )),
        _ => None,
    }
}

fn unreadable_object(whole: &Expr, fields: &[(Span, Ref<Expr>, Ref<Expr>)]) -> Option<Problem> {
    let mut names = Vec::new();
    for (_, key, value) in fields {
        // A name that is computed may be any.
        let name = walk::written(key)?;
        if matches!(name, "message" | "path" | "code") && is_no_text(value) {
            return Some(at(
                value.span(),
                format!("{name} of a violation is a text: write it in quotes, or by sprintf"),
            ));
        }
        names.push((name, key));
    }
    if names.iter().any(|(name, _)| *name == "message") {
        return None;
    }
    let meant = names
        .iter()
        .find(|(name, _)| MESSAGES.contains(&name.to_lowercase().as_str()));
    Some(match meant {
        Some((name, key)) => at(
            key.span(),
            format!(
                "a violation says what is wrong in \"message\": write \"message\" instead of {name:?}"
            ),
        ),
        None => at(
            fields
                .first()
                .map_or_else(|| whole.span(), |(_, key, _)| key.span()),
            "a violation says what is wrong in \"message\": write {\"message\": \"what is wrong\", …}",
        ),
    })
}

fn is_no_text(value: &Expr) -> bool {
    matches!(
        value,
        Expr::Number { .. }
            | Expr::Bool { .. }
            | Expr::Null { .. }
            | Expr::Array { .. }
            | Expr::Object { .. }
            | Expr::Set { .. }
            | Expr::ArrayCompr { .. }
            | Expr::SetCompr { .. }
            | Expr::ObjectCompr { .. }
    )
}

/// What others call the message.
const MESSAGES: [&str; 9] = [
    "description",
    "detail",
    "error",
    "message_text",
    "messages",
    "msg",
    "reason",
    "text",
    "title",
];

/// How often a name is followed to what it stands for.
const MOST_STEPS: usize = 6;

#[cfg(test)]
mod tests;
