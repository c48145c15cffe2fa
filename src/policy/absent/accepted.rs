//! What the METADATA of rules accepts: `custom: {silent_when_absent: true}`.
//!
//! It reads annotations as OPA does: a block of comments that begins with `# METADATA`, about what stands below it, with
//! a scope. What cannot be read accepts nothing; `opa check` says what is wrong with it.

use std::collections::BTreeSet;

use regorus::unstable::{Module, Rule};
use serde::Deserialize;

use crate::policy::rego::program::{self, Path, Program};

#[derive(Default)]
pub(super) struct Accepted {
    /// Rules, by file and line.
    rules: BTreeSet<(String, usize)>,
    /// All rules of one name.
    documents: BTreeSet<Path>,
    packages: BTreeSet<Path>,
    /// With all below them.
    subpackages: BTreeSet<Path>,
    all: Vec<(String, usize, Path)>,
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
            accepted.add(module);
        }
        accepted
    }

    fn add(&mut self, module: &Module) {
        let package = program::package(module);
        let file = module.package.span.source.get_path();
        let line_of = |rule: &Rule| program::at(rule.span(), "").line;
        for rule in &module.policy {
            let path = [package.clone(), program::known(program::head(rule))].concat();
            self.all.push((file.clone(), line_of(rule), path));
        }
        for (below, text) in blocks(module.package.span.source.get_contents()) {
            let Ok(annotation) = yaml_serde::from_str::<Annotation>(&text) else {
                continue;
            };
            if !annotation.custom.silent_when_absent {
                continue;
            }
            let rule = module.policy.iter().find(|rule| line_of(rule) >= below);
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
                Some("document") => {
                    let known = rule.map(|rule| program::known(program::head(rule)));
                    self.documents
                        .extend(known.map(|known| [package.clone(), known].concat()));
                }
                _ => self
                    .rules
                    .extend(rule.map(|rule| (file.clone(), line_of(rule)))),
            }
        }
    }

    pub(super) fn has(&self, rule: Option<&Rule>) -> bool {
        let Some(place) = rule.map(|rule| program::at(rule.span(), "")) else {
            return false;
        };
        let of_rule = self
            .all
            .iter()
            .find(|(file, line, _)| *file == place.path && *line == place.line);
        let Some((file, line, path)) = of_rule else {
            return false;
        };
        self.rules.contains(&(file.clone(), *line))
            || self.documents.contains(path)
            || self
                .packages
                .iter()
                .any(|package| path.starts_with(package) && path.len() == package.len() + 1)
            || self
                .subpackages
                .iter()
                .any(|package| path.starts_with(package))
    }
}

/// The annotations of a file, each with the line below it.
fn blocks(text: &str) -> Vec<(usize, String)> {
    let mut found: Vec<(usize, String)> = Vec::new();
    let mut is_open = false;
    for (number, line) in text.lines().enumerate() {
        let comment = line.trim_start().strip_prefix('#');
        match (comment, is_open) {
            (Some(comment), _) if comment.trim() == "METADATA" => {
                is_open = true;
                found.push((number + 2, String::new()));
            }
            (Some(comment), true) => {
                if let Some((below, block)) = found.last_mut() {
                    *below = number + 2;
                    // One space belongs to the comment, and further ones to the YAML.
                    block.push_str(comment.strip_prefix(' ').unwrap_or(comment));
                    block.push('\n');
                }
            }
            _ => is_open = false,
        }
    }
    found
}
