//! A program: the rules of all modules that are compiled together, listed once, and what names mean in them.
//!
//! It reads syntax only, and refuses nothing.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::rc::Rc;

use regorus::unstable::{Expr, Module, Ref, Rule, RuleHead, Span};

use super::names::{Meaning, Names};
use super::walk::{self, Site};
use super::{scopes, syntax};
use crate::policy::problem::Problem;
use crate::policy::{builtins, lexical};

/// A path with every step known, as in `data.dtgate.lib.plain`.
pub(in crate::policy) type Path = Vec<String>;

/// One reference below `input`; `None` where a step is computed.
pub(in crate::policy) type Read = Vec<Option<String>>;

/// All modules that are compiled together, and the rules that they define.
pub(in crate::policy) struct Program<'a> {
    pub(in crate::policy) modules: &'a [Ref<Module>],
    /// In the order of the files.
    pub(in crate::policy) definitions: Vec<Definition<'a>>,
    /// The definitions of each rule, by its package and its name as far as that is known.
    by_path: BTreeMap<Path, Vec<usize>>,
    /// The same by package and first name: the parts of one document count as one.
    by_root: BTreeMap<Path, Vec<usize>>,
    /// Every package, and every one around it.
    pub(in crate::policy) packages: BTreeSet<Path>,
    /// Every package.
    whole_packages: BTreeSet<Path>,
    /// Files of tests. They may use whatever works: a test decides nothing.
    pub(in crate::policy) tests: BTreeSet<String>,
    /// Whether there is no file that could not be read: it may have defined what is missing.
    pub(in crate::policy) is_whole: bool,
}

/// One definition of a rule, which may have several.
pub(in crate::policy) struct Definition<'a> {
    /// Its place among all of the program.
    pub(in crate::policy) number: usize,
    pub(in crate::policy) rule: &'a Rule,
    /// What names mean in its module.
    pub(in crate::policy) names: Rc<Names<'a>>,
    /// Its package and its name, up to the first step that is computed.
    pub(in crate::policy) path: Path,
    /// How many arguments it takes, if it is a function.
    pub(in crate::policy) arity: Option<usize>,
    /// How often it binds each name, anywhere in it.
    pub(in crate::policy) bound: BTreeMap<String, usize>,
    /// Where its references begin that begin at a name which it binds.
    local: BTreeSet<u32>,
}

impl<'a> Program<'a> {
    pub(in crate::policy) fn new(modules: &'a [Ref<Module>]) -> Self {
        let mut program = Self {
            modules,
            definitions: Vec::new(),
            by_path: BTreeMap::new(),
            by_root: BTreeMap::new(),
            packages: packages(modules),
            whole_packages: modules.iter().map(|module| package(module)).collect(),
            tests: BTreeSet::new(),
            is_whole: true,
        };
        for module in modules {
            let names = Rc::new(Names::of(module));
            for rule in &module.policy {
                let number = program.definitions.len();
                let definition = Definition::of(number, rule, Rc::clone(&names));
                if let Some(root) = definition.root() {
                    let all = program.by_root.entry(root.to_vec()).or_default();
                    all.push(number);
                }
                let all = program.by_path.entry(definition.path.clone()).or_default();
                all.push(number);
                program.definitions.push(definition);
            }
        }
        program
    }

    /// What is left of one of which some files cannot be read.
    pub(in crate::policy) fn without_the_broken(mut self) -> Self {
        self.is_whole = false;
        self
    }

    /// The same, of which these files are tests.
    pub(in crate::policy) fn with_tests(mut self, tests: BTreeSet<String>) -> Self {
        self.tests = tests;
        self
    }

    /// What a reference means in a definition.
    pub(in crate::policy) fn meaning(
        &self,
        within: &Definition<'_>,
        reference: &Expr,
    ) -> Meaning<'_, 'a> {
        let steps = known(reference);
        let start = syntax::start_of(reference).span().start;
        if steps.is_empty() || within.local.contains(&start) {
            return Meaning::Local;
        }
        let path = within.names.whole(&steps);
        match path.first().map(String::as_str) {
            Some("input") => return Meaning::Input(path),
            Some("data") => {}
            _ => return Meaning::Local,
        }
        let mut lengths = (1..=path.len()).rev();
        if let Some(all) = lengths.find_map(|length| self.by_path.get(path.get(..length)?)) {
            return Meaning::Rule(path, self.numbered(all).collect());
        }
        match steps.first() {
            Some(first) if self.is_global(&within.names, first) => Meaning::Data(path),
            _ => Meaning::Local,
        }
    }

    /// Whether a name means something in a module outside of the rules that bind it.
    pub(in crate::policy) fn is_global(&self, names: &Names<'_>, name: &str) -> bool {
        names.has(name) || {
            let root = [names.package.as_slice(), &[name.to_owned()]].concat();
            self.by_root.contains_key(&root)
        }
    }

    /// The definitions of the function of the policies that a name means.
    pub(in crate::policy) fn functions(
        &self,
        names: &Names<'_>,
        name: &[String],
    ) -> impl Iterator<Item = &Definition<'a>> {
        let all = self.by_path.get(&names.whole(name));
        let all = self.numbered(all.map(Vec::as_slice).unwrap_or_default());
        all.filter(|definition| definition.arity.is_some())
    }

    /// The function of the policies that a name means, and how many arguments it takes.
    pub(in crate::policy) fn function(
        &self,
        names: &Names<'_>,
        name: &[String],
    ) -> Option<(&Path, usize)> {
        let definition = self.functions(names, name).next()?;
        Some((&definition.path, definition.arity?))
    }

    /// The builtin that a name means: the policies have no function of that name.
    pub(in crate::policy) fn builtin(&self, names: &Names<'_>, called: &Expr) -> Option<String> {
        let name = dotted(called)?;
        self.function(names, &name)
            .is_none()
            .then(|| name.join("."))
    }

    /// Whether something is defined at a path, or below it.
    pub(in crate::policy) fn has_below(&self, path: &[String]) -> bool {
        let mut next = self
            .by_path
            .range::<[String], _>((Bound::Included(path), Bound::Unbounded));
        next.next().is_some_and(|(next, _)| next.starts_with(path))
    }

    /// Whether a path leads into a package.
    pub(in crate::policy) fn is_within_a_package(&self, path: &[String]) -> bool {
        let around = (2..path.len()).filter_map(|length| path.get(..length));
        around
            .into_iter()
            .any(|path| self.whole_packages.contains(path))
    }

    /// Whether a path leads to a package or into one, as that of no member of the data does.
    pub(in crate::policy) fn is_of_a_package(&self, path: &[String]) -> bool {
        self.packages.contains(path) || self.is_within_a_package(path)
    }

    /// The names of the functions of a package.
    pub(in crate::policy) fn function_names(&self, package: &[String]) -> Vec<&str> {
        let functions = self.definitions.iter().filter(|it| it.arity.is_some());
        let names = functions.filter_map(|it| match it.path.split_last() {
            Some((last, around)) if around == package => Some(last.as_str()),
            _ => None,
        });
        names.collect()
    }

    /// The definitions of each rule, by package and first name.
    pub(in crate::policy) fn roots(&self) -> impl Iterator<Item = (&Path, Vec<&Definition<'a>>)> {
        let all = self.by_root.iter();
        all.map(|(root, numbers)| (root, self.numbered(numbers).collect()))
    }

    /// The rules that have a value by themselves, by package and first name.
    pub(in crate::policy) fn documents(&self) -> BTreeSet<Path> {
        let rules = self.roots();
        let rules = rules.filter(|(_, all)| all.iter().any(|it| it.arity.is_none()));
        rules.map(|(root, _)| root.clone()).collect()
    }

    /// Those of one rule.
    pub(in crate::policy) fn root(&self, root: &[String]) -> Vec<&Definition<'a>> {
        let numbers = self.by_root.get(root);
        self.numbered(numbers.map(Vec::as_slice).unwrap_or_default())
            .collect()
    }

    fn numbered<'p>(&'p self, numbers: &'p [usize]) -> impl Iterator<Item = &'p Definition<'a>> {
        let numbers = numbers.iter();
        numbers.filter_map(|number| self.definitions.get(*number))
    }

    /// Everything that the rules may read from the input.
    pub(in crate::policy) fn reads(&self) -> BTreeSet<Read> {
        let mut reads = BTreeSet::new();
        for definition in &self.definitions {
            walk::rule(definition.rule, &mut |site| {
                if let Site::Reference(reference) = site {
                    let way = definition.names.way(reference);
                    reads.extend(way.filter(|way| way.first() == Some(&Some("input".to_owned()))));
                }
            });
        }
        reads
    }
}

impl<'a> Definition<'a> {
    fn of(number: usize, rule: &'a Rule, names: Rc<Names<'a>>) -> Self {
        let mut bound = BTreeMap::new();
        let names_of_rule = walk::bound(|see| walk::rule(rule, see)).into_iter();
        for name in names_of_rule.filter(|name| name.text() != "_") {
            *bound.entry(name.text().to_owned()).or_default() += 1;
        }
        Self {
            number,
            rule,
            path: [names.package.clone(), known(head(rule))].concat(),
            arity: function(rule).map(|(_, arity)| arity),
            names,
            bound,
            local: scopes::local(rule),
        }
    }

    pub(in crate::policy) fn package(&self) -> &Path {
        &self.names.package
    }

    /// Its package and first name.
    pub(in crate::policy) fn root(&self) -> Option<&[String]> {
        self.path.get(..=self.names.package.len())
    }

    /// Its name without the package, up to the first step that is computed.
    pub(in crate::policy) fn name(&self) -> &[String] {
        let package = self.names.package.len();
        self.path.get(package..).unwrap_or_default()
    }

    /// Whether it says one member at a time what is below its path, by keys that are computed.
    pub(in crate::policy) fn is_open(&self) -> bool {
        let steps = syntax::path(head(self.rule)).unwrap_or_default();
        steps.len() > self.name().len()
    }

    pub(in crate::policy) fn binds(&self, name: &str) -> bool {
        self.bound.contains_key(name)
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
        let path = syntax::fixed_path(&import.refr)?;
        let alias = import.r#as.as_ref().map(|alias| alias.text().to_owned());
        let alias = alias.or_else(|| path.last().cloned())?;
        Some((alias, path, &import.span))
    })
}

/// `data.dtgate.naming`
pub(in crate::policy) fn package(module: &Module) -> Path {
    let mut path = vec!["data".to_owned()];
    path.extend(syntax::fixed_path(&module.package.refr).unwrap_or_default());
    path
}

/// Every package, and every one around it.
fn packages(modules: &[Ref<Module>]) -> BTreeSet<Path> {
    let packages = modules.iter().map(|module| package(module));
    packages
        .flat_map(|package| {
            let lengths = 1..=package.len();
            lengths.map(move |length| package.iter().take(length).cloned().collect())
        })
        .collect()
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
    syntax::path(reference)
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
        } => Some((syntax::fixed_path(refr)?, args.len())),
        Rule::Default { refr, args, .. } if !args.is_empty() => {
            Some((syntax::fixed_path(refr)?, args.len()))
        }
        _ => None,
    }
}

/// The path when it is written with dots only.
pub(in crate::policy) fn dotted(mut expression: &Expr) -> Option<Path> {
    let whole = expression;
    loop {
        match expression {
            Expr::Var { .. } => return syntax::fixed_path(whole),
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
        && let Some(name) = syntax::written(name)
    {
        let name = name.split('.').map(str::to_owned).collect();
        return (Some(name), arguments);
    }
    (name, arguments)
}

#[cfg(test)]
mod tests;
