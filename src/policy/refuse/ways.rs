//! Ways into the input and the data, as the rules of the policies go.
//!
//! A name that a rule gives such a way stands for it (`change := input.change`, `some team in data.teams`), and so does
//! the argument of a function that every call gives one. It reads syntax only: whether a way leads anywhere is for its
//! callers to say.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{AssignOp, Expr, Literal, LiteralStmt, Ref, Rule, RuleHead, Span};

use crate::policy::input;
use crate::policy::problem::Problem;
use crate::policy::rego::program::{self, Names, Path, Program, Read};
use crate::policy::rego::walk::{self, Site, Step};

/// One place where a member is asked for.
pub(in crate::policy) struct Asked<'e> {
    /// Where the steps begin: several ways are possible for an argument.
    starts: Vec<Read>,
    /// What is wrong with a start is told where it got its name.
    is_named: bool,
    steps: Vec<Step<'e>>,
    pub(in crate::policy) place: &'e Span,
    /// `object.get` says what to take instead.
    pub(in crate::policy) has_default: bool,
    /// Nothing else has the members that are asked for next: no default that is an object.
    is_certain: bool,
}

/// What the calls of each function give for its arguments; nothing where one is not known.
type Arguments = BTreeMap<Path, Vec<Option<Vec<Read>>>>;

/// What the names of a rule stand for.
pub(in crate::policy) struct Scope<'a> {
    pub(in crate::policy) program: &'a Program<'a>,
    pub(in crate::policy) names: &'a Names<'a>,
    meant: BTreeMap<String, Vec<Read>>,
}

/// Refuses members of the input that do not exist.
pub(in crate::policy) fn unknown(program: &Program<'_>, problems: &mut Vec<Problem>) {
    each(program, &mut |_, _, asked| {
        problems.extend(asked.problem(|way| {
            if way.first()?.as_deref() != Some("input") {
                return None;
            }
            let steps: Vec<_> = way.iter().map(Option::as_deref).collect();
            input::missing(&steps).map(|missing| (missing.step, missing.message))
        }));
    });
}

/// Calls `see` wherever a rule asks for something of the input or the data.
pub(in crate::policy) fn each(
    program: &Program<'_>,
    see: &mut dyn FnMut(&Names<'_>, &Rule, &Asked<'_>),
) {
    let arguments = arguments(program);
    for module in program.modules {
        let names = Names::of(module);
        for rule in &module.policy {
            let scope = Scope::of(program, &names, rule, &arguments);
            walk::rule(rule, &mut |site| {
                let asked = match site {
                    Site::Call {
                        function,
                        arguments,
                    } => scope.got(function, arguments),
                    Site::Reference(reference) => scope.asked(reference),
                    _ => None,
                };
                if let Some(asked) = asked {
                    see(&names, rule, &asked);
                }
            });
        }
    }
}

/// Calls `see` for every site of every rule, with what the names of the rule stand for.
pub(in crate::policy) fn sites(
    program: &Program<'_>,
    see: &mut dyn FnMut(&Scope<'_>, &Rule, Site<'_>),
) {
    let arguments = arguments(program);
    for module in program.modules {
        let names = Names::of(module);
        for rule in &module.policy {
            let scope = Scope::of(program, &names, rule, &arguments);
            walk::rule(rule, &mut |site| see(&scope, rule, site));
        }
    }
}

/// The ways that the rules take, each to its end. What is only given a name, or is only there for `object.get` to look
/// into it, is no end.
pub(in crate::policy) fn read(program: &Program<'_>) -> BTreeSet<Read> {
    let mut read = BTreeSet::new();
    let arguments = arguments(program);
    for module in program.modules {
        let names = Names::of(module);
        for rule in &module.policy {
            let scope = Scope::of(program, &names, rule, &arguments);
            let mut passed = BTreeSet::new();
            walk::queries(rule, &mut |query| {
                for statement in &query.stmts {
                    if let Some((name, value, false)) = bound(statement)
                        && scope.meant.contains_key(name)
                    {
                        passed.insert(value.span().start);
                    }
                }
            });
            walk::rule(rule, &mut |site| match site {
                Site::Binding(name) => {
                    passed.insert(name.start);
                }
                Site::Call {
                    function,
                    arguments,
                } => {
                    if let Some(asked) = scope.got(function, arguments) {
                        read.extend(asked.ways());
                        passed.extend(arguments.first().map(|object| object.span().start));
                    }
                }
                _ => {}
            });
            walk::rule(rule, &mut |site| {
                if let Site::Reference(reference) = site
                    && let Some(asked) = scope.asked(reference)
                    && !passed.contains(&reference.span().start)
                {
                    read.extend(asked.ways());
                }
            });
        }
    }
    read
}

/// What the names of every rule stand for; `names` are those of the modules.
pub(in crate::policy) fn scopes<'a>(
    program: &'a Program<'a>,
    names: &'a [Names<'a>],
) -> Vec<(&'a Rule, Scope<'a>)> {
    let arguments = arguments(program);
    let modules = program.modules.iter().zip(names);
    let rules =
        modules.flat_map(|(module, names)| module.policy.iter().map(move |rule| (rule, names)));
    rules
        .map(|(rule, names)| (rule.as_ref(), Scope::of(program, names, rule, &arguments)))
        .collect()
}

fn arguments(program: &Program<'_>) -> Arguments {
    let mut given = Arguments::new();
    for module in program.modules {
        let names = Names::of(module);
        for rule in &module.policy {
            let scope = Scope::of(program, &names, rule, &Arguments::new());
            walk::rule(rule, &mut |site| {
                let (called, arguments) = match site {
                    Site::Call {
                        function,
                        arguments,
                    } => (function, arguments),
                    // It is called by who calls the one that it replaces.
                    Site::With(expr) => (expr, [].as_slice()),
                    _ => return,
                };
                let called = program::dotted(called).unwrap_or_default();
                let Some((function, arity)) = program.function(&names, &called) else {
                    return;
                };
                let known = given
                    .entry(function.clone())
                    .or_insert_with(|| vec![Some(Vec::new()); arity]);
                for (place, known) in known.iter_mut().enumerate() {
                    let asked = arguments.get(place).and_then(|given| scope.asked(given));
                    match (&mut *known, asked.filter(|asked| asked.is_certain)) {
                        (Some(known), Some(asked)) => known.extend(asked.ways()),
                        _ => *known = None,
                    }
                }
            });
        }
    }
    given
}

impl<'a> Scope<'a> {
    fn of(
        program: &'a Program<'a>,
        names: &'a Names<'a>,
        rule: &Rule,
        arguments: &Arguments,
    ) -> Self {
        let mut scope = Self {
            program,
            names,
            meant: BTreeMap::new(),
        };
        // Twice in one rule, a name may mean two things; and outside of where it is bound, what has its name.
        let mut times: BTreeMap<String, usize> = BTreeMap::new();
        walk::rule(rule, &mut |site| {
            if let Site::Binding(span) = site {
                *times.entry(span.text().to_owned()).or_default() += 1;
            }
        });
        let is_plain = |name: &str| {
            times.get(name) == Some(&1)
                && !names.imports.contains_key(name)
                && !program.is_rule(names, &[name.to_owned()])
        };
        if let Rule::Spec {
            head: RuleHead::Func { args, .. },
            ..
        } = rule
            && let Some((function, _)) = program::function(rule)
            && let Some(given) = arguments.get(&[names.package.clone(), function].concat())
        {
            for (argument, ways) in args.iter().zip(given) {
                if let (Expr::Var { span, .. }, Some(ways)) = (argument.as_ref(), ways)
                    && is_plain(span.text())
                {
                    scope.meant.insert(span.text().to_owned(), ways.clone());
                }
            }
        }
        // A name may stand for what begins with another.
        for _ in 0..MOST_NAMES {
            let before = scope.meant.len();
            walk::queries(rule, &mut |query| {
                for statement in &query.stmts {
                    if let Some((name, value, is_each)) = bound(statement)
                        && is_plain(name)
                        && let Some(asked) = scope.asked(value).filter(|asked| asked.is_certain)
                    {
                        let mut ways = asked.ways();
                        if is_each {
                            for way in &mut ways {
                                way.push(None);
                            }
                        }
                        scope.meant.insert(name.to_owned(), ways);
                    }
                }
            });
            if scope.meant.len() == before {
                break;
            }
        }
        scope
    }

    /// The ways that an expression may mean, where it is not in doubt.
    pub(in crate::policy) fn ways(&self, expr: &Expr) -> Vec<Read> {
        let asked = self.asked(expr).filter(|asked| !asked.has_default);
        asked.map(|asked| asked.ways()).unwrap_or_default()
    }

    /// The ways that an expression takes where it says itself what to take if they lead nowhere.
    pub(in crate::policy) fn defaulted(&self, expr: &Expr) -> Vec<Read> {
        let asked = self.asked(expr).filter(|asked| asked.has_default);
        asked.map(|asked| asked.ways()).unwrap_or_default()
    }

    /// What an expression asks for, if it is of the input or the data.
    fn asked<'e>(&self, expr: &'e Expr) -> Option<Asked<'e>> {
        if let Expr::Call { fcn, params, .. } = expr {
            return self.got(fcn, params);
        }
        let mut steps = walk::path(expr)?.into_iter();
        let first = steps.next()?.name?;
        let named = self.meant.get(&first);
        let starts = named.cloned().unwrap_or_else(|| {
            let start = self.names.resolve(&[first]);
            vec![start.into_iter().map(Some).collect()]
        });
        let leads_in = |start: &Read| {
            let root = start.first().and_then(Option::as_deref);
            root == Some("input") || root == Some("data")
        };
        starts.iter().all(leads_in).then(|| Asked {
            is_named: named.is_some(),
            starts,
            steps: steps.collect(),
            place: expr.span(),
            has_default: false,
            is_certain: true,
        })
    }

    /// What `object.get` asks for.
    fn got<'e>(&self, function: &'e Expr, arguments: &'e [Ref<Expr>]) -> Option<Asked<'e>> {
        let [object, key, default] = arguments else {
            return None;
        };
        let name = program::dotted(function)?;
        if name != ["object", "get"] || self.program.is_function(self.names, &name) {
            return None;
        }
        let mut asked = self.asked(object).filter(|asked| asked.is_certain)?;
        let keys = match key.as_ref() {
            Expr::Array { items, .. } => items.as_slice(),
            _ => std::slice::from_ref(key),
        };
        asked.steps.extend(keys.iter().map(|key| Step {
            name: walk::written(key).map(str::to_owned),
            span: key.span(),
        }));
        asked.place = key.span();
        asked.has_default = true;
        asked.is_certain = match default.as_ref() {
            Expr::Array { items, .. } | Expr::Set { items, .. } => items.is_empty(),
            Expr::Object { fields, .. } => fields.is_empty(),
            Expr::String { .. } | Expr::Number { .. } | Expr::Bool { .. } | Expr::Null { .. } => {
                true
            }
            _ => false,
        };
        Some(asked)
    }
}

impl Asked<'_> {
    fn ways(&self) -> Vec<Read> {
        let names: Read = self.steps.iter().map(|step| step.name.clone()).collect();
        let starts = self.starts.iter();
        starts
            .map(|start| [start.as_slice(), &names].concat())
            .collect()
    }

    /// What is wrong with it, and where: `missing` says which step of a way is not there, and why. One way that leads
    /// somewhere is enough.
    pub(in crate::policy) fn problem(
        &self,
        missing: impl Fn(&Read) -> Option<(usize, String)>,
    ) -> Option<Problem> {
        let mut said = None;
        for (start, way) in self.starts.iter().zip(self.ways()) {
            let (step, message) = missing(&way)?;
            let written = step.checked_sub(start.len());
            if self.is_named && written.is_none() {
                return None;
            }
            // Steps that an import brought along have no place here.
            let span = written.and_then(|step| self.steps.get(step));
            let span = span.map_or(self.place, |step| step.span);
            said.get_or_insert_with(|| program::at(span, message));
        }
        said
    }
}

/// The name that a statement binds, to what, and whether to each member of that.
fn bound(statement: &LiteralStmt) -> Option<(&str, &Expr, bool)> {
    if !statement.with_mods.is_empty() {
        return None;
    }
    let (name, value, is_each) = match &statement.literal {
        Literal::Expr { expr, .. } => match expr.as_ref() {
            Expr::AssignExpr {
                op: AssignOp::ColEq,
                lhs,
                rhs,
                ..
            } => (lhs, rhs, false),
            _ => return None,
        },
        Literal::SomeIn {
            value, collection, ..
        } => (value, collection, true),
        Literal::Every { value, domain, .. } => return Some((value.text(), domain, true)),
        Literal::NotExpr { .. } | Literal::SomeVars { .. } => return None,
    };
    match name.as_ref() {
        Expr::Var { span, .. } => Some((span.text(), value, is_each)),
        _ => None,
    }
}

/// How many names may stand for one another.
const MOST_NAMES: usize = 5;

#[cfg(test)]
mod tests;
