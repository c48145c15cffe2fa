//! Settings that a builtin cannot work with: a pattern that does not compile, a network with too many bits.
//!
//! The builtin would fail when a request comes as far, which denies. What its argument may be is followed back to the
//! data and tried out; what is not found on that way is found by requests.

use std::collections::BTreeMap;

use regorus::unstable::{Expr, Ref};
use serde_json::Value as Json;

use crate::policy::builtins;
use crate::policy::complaint::engine_problem;
use crate::policy::problem::Problem;
use crate::policy::rego::names::Meaning;
use crate::policy::rego::program::{Definition, Program, at};
use crate::policy::rego::syntax::{self, Binding, Form, given};
use crate::policy::rego::walk::{self, Site};
use crate::policy::source::files::Tree;

/// An argument that has to be of a certain form.
struct Argument {
    builtin: &'static str,
    place: usize,
    is: &'static str,
    /// The call, with `{}` for the argument.
    call: &'static str,
}

const fn argument(
    builtin: &'static str,
    place: usize,
    is: &'static str,
    call: &'static str,
) -> Argument {
    Argument {
        builtin,
        place,
        is,
        call,
    }
}

const PATTERN: &str = "a regular expression";
const GLOB: &str = "a glob";
const NETWORK: &str = "a network such as 10.0.0.0/8";

const ARGUMENTS: [Argument; 14] = [
    argument("glob.match", 0, GLOB, "glob.match({}, [], \"x\")"),
    argument(
        "net.cidr_contains",
        0,
        NETWORK,
        "net.cidr_contains({}, \"192.0.2.1\")",
    ),
    argument(
        "net.cidr_intersects",
        0,
        NETWORK,
        "net.cidr_intersects({}, \"192.0.2.0/24\")",
    ),
    argument(
        "net.cidr_intersects",
        1,
        NETWORK,
        "net.cidr_intersects(\"192.0.2.0/24\", {})",
    ),
    argument(
        "regex.find_all_string_submatch_n",
        0,
        PATTERN,
        "regex.find_all_string_submatch_n({}, \"x\", 1)",
    ),
    argument("regex.find_n", 0, PATTERN, "regex.find_n({}, \"x\", 1)"),
    argument("regex.match", 0, PATTERN, "regex.match({}, \"x\")"),
    argument(
        "regex.replace",
        1,
        PATTERN,
        "regex.replace(\"x\", {}, \"y\")",
    ),
    argument("regex.split", 0, PATTERN, "regex.split({}, \"x\")"),
    argument(
        "time.parse_duration_ns",
        0,
        "a duration such as 36h",
        "time.parse_duration_ns({})",
    ),
    argument(
        "time.parse_rfc3339_ns",
        0,
        "a time such as 2027-01-31T18:00:00Z",
        "time.parse_rfc3339_ns({})",
    ),
    argument("to_number", 0, "a number", "to_number({})"),
    argument("units.parse", 0, "a number with a unit", "units.parse({})"),
    argument(
        "units.parse_bytes",
        0,
        "a size such as 10MB",
        "units.parse_bytes({})",
    ),
];

/// Refuses what a builtin of the policies could not use, whatever the request.
pub(super) fn refuse(program: &Program<'_>, tree: &Tree, problems: &mut Vec<Problem>) {
    let data = Json::Object(tree.data.clone());
    let mut tried: BTreeMap<(&str, &str), Option<String>> = BTreeMap::new();
    for definition in &program.definitions {
        walk::rule(definition.rule, &mut |site| {
            let Site::Call {
                function,
                arguments,
            } = site
            else {
                return;
            };
            let Some(name) = program.builtin(&definition.names, function) else {
                return;
            };
            problems.extend(unusable_texts(&name, arguments));
            for wanted in ARGUMENTS.iter().filter(|it| it.builtin == name) {
                let Some(given) = arguments.get(wanted.place) else {
                    continue;
                };
                if [PATTERN, GLOB].contains(&wanted.is)
                    && let Some(text) = syntax::written(given)
                    && let Some(reason) = wanted.failure(text)
                {
                    let message = format!("{text:?} is not {}: {reason}", wanted.is);
                    problems.push(at(given.span(), message));
                }
                let origin = Origin {
                    program,
                    definition,
                    data: &data,
                };
                let mut found = Vec::new();
                origin.members(given, MOST_STEPS, &mut found);
                for (path, value) in found {
                    let Some(text) = value.as_str() else {
                        continue;
                    };
                    let failed = tried.entry((wanted.call, text));
                    let failed = failed.or_insert_with(|| wanted.failure(text));
                    if let Some(reason) = failed {
                        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
                        let (path, is) = (steps.join("."), wanted.is);
                        let message =
                            format!("data.{path} must be {is}, and {text:?} is none: {reason}");
                        problems.push(tree.problem_in_data(&steps, message));
                    }
                }
            }
        });
    }
}

impl Argument {
    /// Why the builtin does not take this.
    fn failure(&self, text: &str) -> Option<String> {
        match self.is {
            PATTERN => return builtins::regex::fault(text),
            GLOB => return builtins::glob::fault(text),
            _ => {}
        }
        let mut engine = regorus::Engine::new();
        engine.set_strict_builtin_errors(true);
        builtins::register(&mut engine);
        let call = self.call.replace("{}", &Json::from(text).to_string());
        let error = engine.eval_query(call, false).err()?;
        Some(engine_problem(&error.to_string(), "").message)
    }
}

/// Where an argument stands, and where its value may come from.
#[derive(Clone, Copy)]
struct Origin<'a, 'd> {
    program: &'a Program<'a>,
    definition: &'a Definition<'a>,
    data: &'d Json,
}

/// A member of the data, and the way to it.
type Member<'d> = (Vec<String>, &'d Json);

impl<'d> Origin<'_, 'd> {
    /// The members of the data that an expression may be.
    fn members(self, given: &Expr, steps: usize, found: &mut Vec<Member<'d>>) {
        let Some(steps) = steps.checked_sub(1) else {
            return;
        };
        if let Expr::Call { fcn, params, .. } = given {
            let called = self.program.builtin(&self.definition.names, fcn);
            if called.is_some_and(|name| name == "object.get")
                && let [object, key, ..] = params.as_slice()
            {
                found.extend(self.asked_for(object, key, steps));
            }
            return;
        }
        let Some(path) = syntax::path(given) else {
            return;
        };
        let first = syntax::start_of(given);
        let mut members = Vec::new();
        match self.program.meaning(self.definition, first) {
            Meaning::Data(start) => {
                members.push((Vec::new(), self.data));
                for step in start.iter().skip(1) {
                    members = below(members, Some(step));
                }
            }
            Meaning::Local => self.bindings(first, &mut |value, how| {
                let mut values = Vec::new();
                self.members(value, steps, &mut values);
                if how == Binding::Each {
                    members.extend(below(values, None));
                    self.rules(value, true, steps, &mut members);
                } else {
                    members.extend(values);
                }
            }),
            Meaning::Input(_) | Meaning::Rule(..) => {}
        }
        let path = path.into_iter().skip(1);
        for step in path {
            members = below(members, step.name.as_deref());
        }
        found.extend(members);
        self.rules(given, false, steps, found);
    }

    /// What `object.get` finds, without its default.
    fn asked_for(self, object: &Expr, key: &Expr, steps: usize) -> Vec<Member<'d>> {
        let mut members = Vec::new();
        self.members(object, steps, &mut members);
        let keys: Vec<&Expr> = match key {
            Expr::Array { items, .. } => items.iter().map(Ref::as_ref).collect(),
            key => vec![key],
        };
        keys.into_iter()
            .fold(members, |members, key| below(members, syntax::written(key)))
    }

    /// The same for the value of a rule that is meant; or, of a set, for what is in it.
    fn rules(self, meant: &Expr, is_set: bool, steps: usize, found: &mut Vec<Member<'d>>) {
        for definition in self.program.meaning(self.definition, meant).whole_rule() {
            let rule = definition.rule;
            if definition.number == self.definition.number
                || definition.arity.is_some()
                || syntax::is_set(rule) != is_set
            {
                continue;
            }
            if let Some(value) = syntax::value(rule) {
                let origin = Origin { definition, ..self };
                origin.members(value, steps, found);
            }
        }
    }

    /// Calls `see` with what the rule gives a name, wherever in it, and how.
    fn bindings(self, name: &Expr, see: &mut dyn FnMut(&Expr, Binding)) {
        let Some(name) = syntax::variable(name) else {
            return;
        };
        walk::queries(self.definition.rule, &mut |query| {
            for (given, value, how) in query.stmts.iter().filter_map(given) {
                if given == name.text() {
                    see(value, how);
                }
            }
        });
    }
}

/// The members of this name, or all of them.
fn below<'d>(members: Vec<Member<'d>>, name: Option<&str>) -> Vec<Member<'d>> {
    let mut found = Vec::new();
    for (path, value) in members {
        let mut add = |step: &str, value: &'d Json| {
            found.push(([path.as_slice(), &[step.to_owned()]].concat(), value));
        };
        match (value, name) {
            (Json::Object(members), Some(name)) => {
                if let Some(value) = members.get(name) {
                    add(name, value);
                }
            }
            (Json::Object(members), None) => {
                for (name, value) in members {
                    add(name, value);
                }
            }
            (Json::Array(items), None) => {
                for (place, value) in items.iter().enumerate() {
                    add(&place.to_string(), value);
                }
            }
            _ => {}
        }
    }
    found
}

/// Texts of a call that its builtin can never use: as arguments, or in lists that are arguments.
fn unusable_texts(builtin: &str, arguments: &[Ref<Expr>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let look = |place: usize, member: Option<usize>, expr: &Expr, problems: &mut Vec<Problem>| {
        let reason =
            syntax::written(expr).and_then(|text| builtins::unusable(builtin, place, member, text));
        problems.extend(reason.map(|reason| at(expr.span(), reason)));
    };
    for (place, argument) in arguments.iter().enumerate() {
        shown(builtin, place, argument, &mut problems);
        look(place, None, argument, &mut problems);
        if let Expr::Array { items, .. } = argument.as_ref() {
            for (member, item) in items.iter().enumerate() {
                look(place, Some(member), item, &mut problems);
            }
        }
    }
    problems
}

/// Numbers that the builtin would write down otherwise than OPA, which shows how they are written in the policy.
fn shown(builtin: &str, place: usize, argument: &Expr, problems: &mut Vec<Problem>) {
    match (builtin, place) {
        ("json.marshal" | "json.marshal_with_options", 0) => written_numbers(argument, problems),
        // What is no member of a list there is formatted, and not written down.
        ("sprintf", 1) => {
            let items = syntax::items(argument).unwrap_or_default().iter();
            for item in items.filter(|item| syntax::form(item) != Form::Number) {
                written_numbers(item, problems);
            }
        }
        _ => {}
    }
}

fn written_numbers(expr: &Expr, problems: &mut Vec<Problem>) {
    match syntax::form(expr) {
        Form::Number => {
            let reason = builtins::numbers::unkept(expr.span().text());
            problems.extend(reason.map(|reason| at(expr.span(), reason)));
        }
        Form::Array | Form::Object | Form::Set => {
            for part in syntax::parts(expr) {
                written_numbers(part, problems);
            }
        }
        _ => {}
    }
}

/// How often a name is followed to what it stands for.
const MOST_STEPS: usize = 5;

#[cfg(test)]
mod tests;
