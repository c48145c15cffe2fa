//! What names mean: those of a module by themselves, and references in a program.

use std::collections::BTreeMap;

use regorus::unstable::{Expr, Module};

use super::program::{Definition, Path, Read, imports, package};
use super::syntax;

/// What a reference means, by the name that it begins with.
pub(in crate::policy) enum Meaning<'p, 'a> {
    /// A name that the rule gives a value, or finds one for; nothing else has it.
    Local,
    /// The input, or a member of it.
    Input(Path),
    /// The data, or a package.
    Data(Path),
    /// A rule or function of the policies, and the known steps from `data` on: those behind its own lead into its value.
    Rule(Path, Vec<&'p Definition<'a>>),
}

impl<'p, 'a> Meaning<'p, 'a> {
    /// The known steps from `input` or `data` on.
    pub(in crate::policy) fn path(self) -> Option<Path> {
        match self {
            Self::Local => None,
            Self::Input(path) | Self::Data(path) | Self::Rule(path, _) => Some(path),
        }
    }

    /// The definitions of the rule that is asked for, also where only something in its value is.
    pub(in crate::policy) fn rule(self) -> Vec<&'p Definition<'a>> {
        match self {
            Self::Rule(_, definitions) => definitions,
            _ => Vec::new(),
        }
    }

    /// Those of the rule that is asked for as a whole.
    pub(in crate::policy) fn whole_rule(self) -> Vec<&'p Definition<'a>> {
        match self {
            Self::Rule(path, mut definitions) => {
                definitions.retain(|definition| definition.path == path);
                definitions
            }
            _ => Vec::new(),
        }
    }
}

/// What names mean in one module.
pub(in crate::policy) struct Names<'a> {
    pub(in crate::policy) file: &'a str,
    pub(in crate::policy) package: Path,
    /// Those of `rego.v1` and of keywords are no names.
    imports: BTreeMap<String, Path>,
}

impl<'a> Names<'a> {
    pub(super) fn of(module: &'a Module) -> Self {
        Self {
            file: module.package.span.source.get_path(),
            package: package(module),
            imports: imports(module)
                .filter(|(_, path, _)| path.first().is_some_and(|first| is_root(first)))
                .map(|(alias, path, _)| (alias, path))
                .collect(),
        }
    }

    /// Whether it is not the package that a name is looked for in.
    pub(in crate::policy) fn has(&self, name: &str) -> bool {
        is_root(name) || self.imports.contains_key(name)
    }

    /// The path from `data` or `input` on, if no rule binds the name that it begins with: an import is written out, and
    /// what has no other name is of the package.
    pub(in crate::policy) fn whole(&self, steps: &[String]) -> Path {
        match steps.split_first() {
            Some((first, rest)) => match self.imports.get(first) {
                Some(import) => [import, rest].concat(),
                None if self.has(first) => steps.to_vec(),
                None => [self.package.as_slice(), steps].concat(),
            },
            None => Path::new(),
        }
    }

    /// The same with the steps that are computed.
    pub(in crate::policy) fn way(&self, reference: &Expr) -> Option<Read> {
        let mut steps = syntax::path(reference)?.into_iter().map(|step| step.name);
        let start = self.whole(&[steps.next()??]);
        Some(start.into_iter().map(Some).chain(steps).collect())
    }
}

fn is_root(name: &str) -> bool {
    matches!(name, "data" | "input")
}
