//! Ways into the input and the data, as the rules of the policies go.
//!
//! A name that a rule gives such a way stands for it (`change := input.change`, `some team in data.teams`), and so does
//! the argument of a function that every call gives one. It reads syntax only: whether a way leads anywhere is for its
//! callers to say.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Ref, Rule, RuleHead, Span};

use crate::policy::input;
use crate::policy::problem::Problem;
use crate::policy::rego::program::{self, Definition, Path, Program, Read};
use crate::policy::rego::syntax::{self, Binding, Form, Step, given, variable};
use crate::policy::rego::walk::{self, Site};

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
    pub(in crate::policy) definition: &'a Definition<'a>,
    meant: BTreeMap<String, Vec<Read>>,
}

/// Refuses members of the input that do not exist.
pub(in crate::policy) fn refuse(program: &Program<'_>, problems: &mut Vec<Problem>) {
    each(program, &mut |_, asked| {
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
    see: &mut dyn FnMut(&Definition<'_>, &Asked<'_>),
) {
    sites(program, &mut |scope, site| {
        let asked = match site {
            Site::Call {
                function,
                arguments,
            } => scope.got(function, arguments),
            Site::Reference(reference) => scope.asked(reference),
            _ => None,
        };
        if let Some(asked) = asked {
            see(scope.definition, &asked);
        }
    });
}

/// Calls `see` for every site of every rule, with what the names of the rule stand for.
pub(in crate::policy) fn sites(program: &Program<'_>, see: &mut dyn FnMut(&Scope<'_>, Site<'_>)) {
    for scope in scopes(program) {
        walk::rule(scope.definition.rule, &mut |site| see(&scope, site));
    }
}

/// The ways that the rules take, each to its end. What is only given a name, or is only there for `object.get` to look
/// into it, is no end.
pub(in crate::policy) fn read(program: &Program<'_>) -> BTreeSet<Read> {
    let mut read = BTreeSet::new();
    for scope in scopes(program) {
        let rule = scope.definition.rule;
        let mut passed = BTreeSet::new();
        walk::queries(rule, &mut |query| {
            for statement in &query.stmts {
                if statement.with_mods.is_empty()
                    && let Some((name, value, Binding::Assigned)) = given(statement)
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
    read
}

/// What the names of each definition stand for.
pub(in crate::policy) fn scopes<'a>(program: &'a Program<'a>) -> impl Iterator<Item = Scope<'a>> {
    let arguments = arguments(program);
    let all = program.definitions.iter();
    all.map(move |definition| Scope::of(program, definition, &arguments))
}

fn arguments(program: &Program<'_>) -> Arguments {
    let mut found = Arguments::new();
    for definition in &program.definitions {
        let scope = Scope::of(program, definition, &Arguments::new());
        walk::rule(definition.rule, &mut |site| {
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
            let Some((function, arity)) = program.function(&definition.names, &called) else {
                return;
            };
            let known = found
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
    found
}

impl<'a> Scope<'a> {
    fn of(program: &'a Program<'a>, definition: &'a Definition<'a>, arguments: &Arguments) -> Self {
        let mut scope = Self {
            program,
            definition,
            meant: BTreeMap::new(),
        };
        // Twice in one rule, a name may mean two things; and outside of where it is bound, what has its name.
        let is_plain = |name: &str| {
            definition.bound.get(name) == Some(&1) && !program.is_global(&definition.names, name)
        };
        if let Rule::Spec {
            head: RuleHead::Func { args, .. },
            ..
        } = definition.rule
            && let Some(ways) = arguments.get(&definition.path)
        {
            for (argument, ways) in args.iter().zip(ways) {
                if let (Some(name), Some(ways)) = (variable(argument), ways)
                    && is_plain(name.text())
                {
                    scope.meant.insert(name.text().to_owned(), ways.clone());
                }
            }
        }
        // A name may stand for what begins with another.
        for _ in 0..MOST_NAMES {
            let before = scope.meant.len();
            walk::queries(definition.rule, &mut |query| {
                for statement in &query.stmts {
                    if statement.with_mods.is_empty()
                        && let Some((name, value, how)) = given(statement)
                        && how != Binding::Unified
                        && is_plain(name)
                        && let Some(asked) = scope.asked(value).filter(|asked| asked.is_certain)
                    {
                        let mut ways = asked.ways();
                        if how == Binding::Each {
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
        let mut steps = syntax::path(expr)?.into_iter();
        let first = steps.next()?.name?;
        let named = self.meant.get(&first);
        let starts = if let Some(ways) = named {
            ways.clone()
        } else {
            let start = syntax::start_of(expr);
            let meaning = self.program.meaning(self.definition, start);
            vec![meaning.path()?.into_iter().map(Some).collect()]
        };
        Some(Asked {
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
        let names = &self.definition.names;
        if self.program.builtin(names, function)? != "object.get" {
            return None;
        }
        let mut asked = self.asked(object).filter(|asked| asked.is_certain)?;
        let keys = match key.as_ref() {
            Expr::Array { items, .. } => items.as_slice(),
            _ => std::slice::from_ref(key),
        };
        asked.steps.extend(keys.iter().map(|key| Step {
            name: syntax::written(key).map(str::to_owned),
            span: key.span(),
        }));
        asked.place = key.span();
        asked.has_default = true;
        asked.is_certain = match syntax::form(default) {
            Form::Array | Form::Object | Form::Set => {
                syntax::comprehension(default).is_none() && syntax::parts(default).is_empty()
            }
            Form::Flag | Form::Null | Form::Number | Form::Text => true,
            Form::Call | Form::Operation | Form::Reference => false,
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

/// How many names may stand for one another.
const MOST_NAMES: usize = 5;

#[cfg(test)]
mod tests;
