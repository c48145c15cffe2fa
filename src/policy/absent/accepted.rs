//! What the METADATA of rules accepts: `custom: {silent_when_absent: true}`.
//!
//! It reads annotations as OPA does: a block of comments that begins with `# METADATA`, about what stands below it, with
//! a scope. What cannot be read accepts nothing; `opa check` says what is wrong with it.

use std::collections::BTreeSet;

use regorus::unstable::Module;
use serde::Deserialize;

use crate::policy::rego::annotations::blocks;
use crate::policy::rego::program::{self, Definition, Path, Program};
use crate::policy::yaml;

#[derive(Default)]
pub(super) struct Accepted {
    /// Rules, by file and line.
    rules: BTreeSet<(String, usize)>,
    /// All rules of one name.
    documents: BTreeSet<Path>,
    packages: BTreeSet<Path>,
    /// With all below them.
    subpackages: BTreeSet<Path>,
}

#[derive(Deserialize)]
struct Annotation {
    scope: Option<String>,
    #[serde(default)]
    custom: Custom,
}

#[derive(Default, Deserialize)]
struct Custom {
    #[serde(default)]
    silent_when_absent: bool,
}

impl Accepted {
    pub(super) fn of(program: &Program<'_>) -> Self {
        let mut accepted = Self::default();
        for module in program.modules {
            accepted.add(program, module);
        }
        accepted
    }

    fn add(&mut self, program: &Program<'_>, module: &Module) {
        let package = program::package(module);
        let file = module.package.span.source.get_path();
        for (below, text) in blocks(module.package.span.source.get_contents()) {
            let Ok(annotation) = yaml::from_str::<Annotation>(&text) else {
                continue;
            };
            if !annotation.custom.silent_when_absent {
                continue;
            }
            let mut of_file = program.definitions.iter();
            let rule = of_file.find(|rule| rule.names.file == file && place(rule).1 >= below);
            let is_of_package = program::at(&module.package.span, "").line >= below;
            match annotation.scope.as_deref() {
                Some("subpackages") => {
                    self.subpackages.insert(package.clone());
                }
                Some("package") => {
                    self.packages.insert(package.clone());
                }
                None if is_of_package => {
                    self.packages.insert(package.clone());
                }
                Some("document") => self.documents.extend(rule.map(|rule| rule.path.clone())),
                _ => self.rules.extend(rule.map(place)),
            }
        }
    }

    pub(super) fn has(&self, rule: Option<&Definition<'_>>) -> bool {
        rule.is_some_and(|rule| {
            self.rules.contains(&place(rule))
                || self.documents.contains(&rule.path)
                || (self.packages.contains(rule.package()) && rule.name().len() == 1)
                || self
                    .subpackages
                    .iter()
                    .any(|package| rule.path.starts_with(package))
        })
    }
}

fn place(rule: &Definition<'_>) -> (String, usize) {
    let place = program::at(rule.rule.span(), "");
    (place.path, place.line)
}
