//! What is refused before a policy may judge anything: functions it must not call, calls that can never
//! end, and members of the input that do not exist.
//!
//! It reads syntax only. Whether a policy is a good one is not its question.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{Expr, Module, Ref, Rule, RuleHead, Span};

use super::walk;
use super::walk::Site;
use crate::policy::problem::Problem;
use crate::policy::{builtins, input, lexical};
use crate::value::counted;

/// A path with every step known, as in `data.dtgate.lib.plain`.
pub(in crate::policy) type Path = Vec<String>;

/// One reference below `input`; `None` where a step is computed.
pub(in crate::policy) type Read = Vec<Option<String>>;

/// All modules that are compiled together, and the functions that they define.
pub(in crate::policy) struct Program<'a> {
    pub(in crate::policy) modules: &'a [Ref<Module>],
    functions: BTreeMap<Path, usize>,
    /// All rules, functions among them.
    rules: BTreeSet<Path>,
    /// Whether there is no file that could not be read: it may have defined what is missing.
    is_whole: bool,
}

impl<'a> Program<'a> {
    pub(in crate::policy) fn new(modules: &'a [Ref<Module>]) -> Self {
        let mut functions = BTreeMap::new();
        let mut rules = BTreeSet::new();
        for module in modules {
            let package = package(module);
            for rule in &module.policy {
                rules.insert([package.clone(), known(head(rule))].concat());
                if let Some((name, arity)) = function(rule) {
                    functions.insert([package.clone(), name].concat(), arity);
                }
            }
        }
        Self {
            modules,
            functions,
            rules,
            is_whole: true,
        }
    }

    /// What is left of one of which some files cannot be read.
    pub(in crate::policy) fn without_the_broken(mut self) -> Self {
        self.is_whole = false;
        self
    }

    /// Refuses functions that do not exist, are called wrongly, or that a decision must not rest on.
    ///
    /// A test may use whatever works: it decides nothing.
    pub(in crate::policy) fn calls(
        &self,
        is_test: impl Fn(&str) -> bool,
        problems: &mut Vec<Problem>,
    ) {
        let mut graph: BTreeMap<Path, BTreeMap<Path, Problem>> = BTreeMap::new();
        for module in self.modules {
            let names = Names::of(module);
            let lenient = is_test(names.file);
            for rule in &module.policy {
                let this = function(rule).map(|(name, _)| [names.package.clone(), name].concat());
                walk::rule(rule, &mut |site| {
                    let (Site::Call { function: name, .. } | Site::With(name)) = site else {
                        return;
                    };
                    match self.call(&names, lenient, site) {
                        Err(message) => problems.push(at(name.span(), message)),
                        Ok(Some(target)) => {
                            if let Some(this) = &this {
                                let text = format!("{} calls itself", this.join("."));
                                let problem = at(name.span(), text);
                                graph
                                    .entry(this.clone())
                                    .or_default()
                                    .entry(target)
                                    .or_insert(problem);
                            }
                        }
                        Ok(None) => {}
                    }
                });
            }
        }
        problems.extend(cycles(&graph));
    }

    /// The function of the policies that is meant, if it is one.
    fn call(
        &self,
        names: &Names<'_>,
        lenient: bool,
        site: Site<'_>,
    ) -> Result<Option<Path>, String> {
        let (expression, arguments) = match site {
            Site::Call {
                function,
                arguments,
            } => (function, Some(arguments.len())),
            Site::With(expression) => (expression, None),
            Site::Binding(_)
            | Site::Declared(_)
            | Site::Every { .. }
            | Site::Members(_)
            | Site::Operation(_)
            | Site::Pattern(_)
            | Site::Reference(_)
            | Site::Replacing(_) => {
                return Ok(None);
            }
        };
        let Some(path) = dotted(expression) else {
            // The engine drops computed steps from the name of a function: `http[x].send` would be `http.send`.
            return match arguments {
                Some(_) => Err("a function must be called by its plain name".to_owned()),
                None => Ok(None),
            };
        };
        if let Some((callee, arity)) = self.function(names, &path) {
            return match arguments {
                // One argument more receives the result.
                Some(arguments) if arguments != arity && arguments != arity + 1 => Err(format!(
                    "{} takes {}, not {arguments}",
                    path.join("."),
                    counted(arity, "argument")
                )),
                _ => Ok(Some(callee.clone())),
            };
        }
        let name = path.join(".");
        match (builtins::refusal(&name), arguments) {
            // Tests may ask for what only the engine has.
            (Some(reason), arguments)
                if !lenient || (arguments.is_some() && !builtins::is_known(&name)) =>
            {
                Err(format!("{name} may not be used: {reason}"))
            }
            (_, Some(_)) if self.is_whole && !builtins::is_known(&name) => {
                Err(self.unknown(&name, names))
            }
            _ => Ok(None),
        }
    }

    /// The function of the policies that a name means, and how many arguments it takes.
    pub(in crate::policy) fn function(
        &self,
        names: &Names<'_>,
        name: &[String],
    ) -> Option<(&Path, usize)> {
        let meant = names.functions(name);
        let found = meant
            .iter()
            .find_map(|path| self.functions.get_key_value(path));
        found.map(|(path, arity)| (path, *arity))
    }

    pub(in crate::policy) fn is_function(&self, names: &Names<'_>, name: &[String]) -> bool {
        self.function(names, name).is_some()
    }

    /// Whether a reference asks for a rule of the policies, or for what is below one.
    pub(in crate::policy) fn is_rule(&self, names: &Names<'_>, reference: &[String]) -> bool {
        let is_package = |path: &Path| {
            let mut packages = self.modules.iter().map(|module| package(module));
            packages.any(|package| package.starts_with(path))
        };
        let meant = names.functions(reference);
        let mut meant = meant.iter().filter(|path| !is_package(path));
        meant.any(|path| self.rules.iter().any(|rule| joined(rule, path)))
    }

    fn unknown(&self, name: &str, names: &Names<'_>) -> String {
        let mut candidates: Vec<&str> = builtins::allowed();
        candidates.extend(
            self.functions
                .keys()
                .filter_map(|path| match path.split_last() {
                    Some((last, package)) if package == names.package => Some(last.as_str()),
                    _ => None,
                }),
        );
        let guess = input::guess(name, "", &candidates);
        format!("there is no function {name}{guess}")
    }

    /// Refuses references to rules below `data.dtgate` that nobody defines: they would be undefined for ever,
    /// and a policy that rests on one would never object.
    pub(in crate::policy) fn references(&self, problems: &mut Vec<Problem>) {
        if !self.is_whole {
            return;
        }
        for module in self.modules {
            let names = Names::of(module);
            for rule in &module.policy {
                walk::rule(rule, &mut |site| {
                    let Site::Reference(reference) = site else {
                        return;
                    };
                    let path = names.resolve(&known(reference));
                    let exists = |rule: &Path| joined(rule, &path);
                    if matches!(path.as_slice(), [data, dtgate, ..] if data == "data" && dtgate == "dtgate")
                        && !self.rules.iter().any(exists)
                    {
                        problems.push(at(
                            reference.span(),
                            format!("there is no rule {}", path.join(".")),
                        ));
                    }
                });
            }
        }
    }

    /// Everything that the rules read from the input.
    pub(in crate::policy) fn reads(&self) -> BTreeSet<Read> {
        let mut reads = BTreeSet::new();
        for module in self.modules {
            let names = Names::of(module);
            for rule in &module.policy {
                walk::rule(rule, &mut |site| {
                    if let Site::Reference(reference) = site {
                        reads.extend(names.input(reference));
                    }
                });
            }
        }
        reads
    }
}

/// Whether one of two paths begins with the other.
fn joined(one: &[String], other: &[String]) -> bool {
    one.iter().zip(other).all(|(one, other)| one == other)
}

/// What names mean in one module.
pub(in crate::policy) struct Names<'a> {
    pub(in crate::policy) file: &'a str,
    pub(in crate::policy) package: Path,
    pub(in crate::policy) imports: BTreeMap<String, Path>,
}

impl<'a> Names<'a> {
    pub(in crate::policy) fn of(module: &'a Module) -> Self {
        Self {
            file: module.package.span.source.get_path(),
            package: package(module),
            imports: imports(module)
                .map(|(alias, path, _)| (alias, path))
                .collect(),
        }
    }

    /// The path with an import at its start written out.
    pub(in crate::policy) fn resolve(&self, path: &[String]) -> Path {
        match path
            .split_first()
            .map(|(first, rest)| (self.imports.get(first), rest))
        {
            Some((Some(import), rest)) => [import, rest].concat(),
            _ => path.to_vec(),
        }
    }

    /// The functions of the policies that a name could mean, the first that exists being meant.
    pub(in crate::policy) fn functions(&self, name: &[String]) -> [Path; 2] {
        let local = [self.package.as_slice(), name].concat();
        [self.resolve(name), local]
    }

    /// The reference as a way into the input, if it is one.
    fn input(&self, reference: &Expr) -> Option<Read> {
        let mut steps = walk::path(reference)?.into_iter().map(|step| step.name);
        let start = self.resolve(&[steps.next()??]);
        if start.first()? != "input" {
            return None;
        }
        Some(start.into_iter().map(Some).chain(steps).collect())
    }
}

/// A problem at a place in a policy.
pub(in crate::policy) fn at(span: &Span, message: impl Into<String>) -> Problem {
    let start = usize::try_from(span.start).unwrap_or(usize::MAX);
    // The engine counts a tab as four columns; editors and OPA count one.
    let before = span.source.get_contents().get(..start).unwrap_or_default();
    let column = before
        .chars()
        .rev()
        .take_while(|character| *character != '\n')
        .count()
        + 1;
    let line = usize::try_from(span.line).unwrap_or(usize::MAX);
    let column = lexical::column(span.source.get_contents(), line, column);
    Problem::new(span.source.get_path(), line, column, message)
}

/// The imports of a module: the name, what it stands for, and where that is written.
pub(in crate::policy) fn imports(module: &Module) -> impl Iterator<Item = (String, Path, &Span)> {
    module.imports.iter().filter_map(|import| {
        let path = walk::fixed_path(&import.refr)?;
        let alias = import.r#as.as_ref().map(|alias| alias.text().to_owned());
        let alias = alias.or_else(|| path.last().cloned())?;
        Some((alias, path, &import.span))
    })
}

/// `data.dtgate.naming`
pub(in crate::policy) fn package(module: &Module) -> Path {
    let mut path = vec!["data".to_owned()];
    path.extend(walk::fixed_path(&module.package.refr).unwrap_or_default());
    path
}

/// Every package, and every one around it.
pub(in crate::policy) fn packages(modules: &[Ref<Module>]) -> BTreeSet<Path> {
    let packages = modules.iter().map(|module| package(module));
    packages
        .flat_map(|package| {
            let lengths = 1..=package.len();
            lengths.map(move |length| package.iter().take(length).cloned().collect())
        })
        .collect()
}

/// Package and first name of a rule.
pub(in crate::policy) fn path_of(names: &Names<'_>, rule: &Rule) -> Option<Path> {
    let first = known(head(rule)).into_iter().next()?;
    Some([names.package.clone(), vec![first]].concat())
}

pub(in crate::policy) fn head(rule: &Rule) -> &Expr {
    match rule {
        Rule::Spec {
            head:
                RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } | RuleHead::Func { refr, .. },
            ..
        }
        | Rule::Default { refr, .. } => refr,
    }
}

/// The steps of a reference up to the first that is computed.
pub(in crate::policy) fn known(reference: &Expr) -> Path {
    walk::path(reference)
        .unwrap_or_default()
        .into_iter()
        .map_while(|step| step.name)
        .collect()
}

/// The name, without the package, and the number of arguments, if the rule is a function.
pub(in crate::policy) fn function(rule: &Rule) -> Option<(Path, usize)> {
    match rule {
        Rule::Spec {
            head: RuleHead::Func { refr, args, .. },
            ..
        } => Some((walk::fixed_path(refr)?, args.len())),
        Rule::Default { refr, args, .. } if !args.is_empty() => {
            Some((walk::fixed_path(refr)?, args.len()))
        }
        _ => None,
    }
}

/// The path when it is written with dots only.
pub(in crate::policy) fn dotted(mut expression: &Expr) -> Option<Path> {
    let whole = expression;
    loop {
        match expression {
            Expr::Var { .. } => return walk::fixed_path(whole),
            Expr::RefDot { refr, .. } => expression = refr,
            _ => return None,
        }
    }
}

/// The name that is called and its arguments; of a builtin that is called by its name, that one.
pub(in crate::policy) fn called<'a>(
    function: &Expr,
    arguments: &'a [Ref<Expr>],
) -> (Option<Path>, &'a [Ref<Expr>]) {
    let name = dotted(function);
    let is_by_name = |name: &Path| name.join(".") == builtins::BY_NAME;
    if name.as_ref().is_some_and(is_by_name)
        && let [call] = arguments
        && let Expr::Array { items, .. } = call.as_ref()
        && let Some((name, arguments)) = items.split_first()
        && let Some(name) = walk::written(name)
    {
        let name = name.split('.').map(str::to_owned).collect();
        return (Some(name), arguments);
    }
    (name, arguments)
}

/// Functions that can call themselves. The engine would follow them until the stack ends, and the process with it.
fn cycles(graph: &BTreeMap<Path, BTreeMap<Path, Problem>>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (function, calls) in graph {
        for (callee, problem) in calls {
            let mut seen = BTreeSet::new();
            let mut pending = vec![callee];
            while let Some(next) = pending.pop() {
                if next == function {
                    problems.push(problem.clone());
                    break;
                }
                if seen.insert(next) {
                    pending.extend(graph.get(next).into_iter().flat_map(BTreeMap::keys));
                }
            }
        }
    }
    problems
}
