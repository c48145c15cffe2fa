//! A directory of policies, read and checked: whatever is wrong with it is found here, all at once.
//!
//! A [`Bundle`] that exists compiles, calls nothing it must not, names no input member that does not exist,
//! and says of every policy how it is applied. It decides nothing; that is the engine's part.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    path::Path,
};

use regorus::unstable::{Module, Ref};
use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use crate::policy::absent;
use crate::policy::decision::Rule;
use crate::policy::entrypoint::Entrypoint;
use crate::policy::interpreter::prepare::{evaluable, evaluated};
use crate::policy::mask::Mask;
use crate::policy::plain::Origins;
use crate::policy::problem::{LoadError, Problem, finish};
use crate::policy::read::compile;
use crate::policy::refuse::others::{Others, is_ours};
use crate::policy::refuse::{self, settings, verdicts};
use crate::policy::rego::program::{Path as RegoPath, Program, Read, package};
use crate::policy::source::exceptions::Exceptions;
use crate::policy::source::files::{File, Tree};
use crate::policy::source::modes::{self, Enforcement};
use crate::policy::source::packed::Sources;
use crate::policy::source::roots;
use crate::policy::source::texts::Text;
use crate::policy::twice;

/// The rules of one policy, and how it is applied.
#[derive(Debug)]
pub(super) struct Definition {
    /// None where it is an entrypoint.
    pub(super) rules: BTreeSet<Rule>,
    /// The rule of an entrypoint: `data.envoy.authz.allow`.
    pub(super) entrypoint: Option<String>,
    pub(super) enforcement: Enforcement,
}

/// What the settings in the data are there for.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Settings {
    /// Requests are judged by them.
    InForce,
    /// Tests bring their own.
    Replaced,
}

pub struct Bundle {
    /// Evaluates the policies as they are.
    pub(super) rego: regorus::Engine,
    /// The same, with the values of rules that are the same for every request in their place.
    pub(super) evaluated: regorus::Engine,
    /// Where what it evaluates is written.
    pub(super) origins: Origins,
    pub(super) policies: BTreeMap<String, Definition>,
    pub(super) revision: String,
    pub(super) reads: BTreeSet<Read>,
    /// The same by policy.
    pub(super) reads_of: BTreeMap<String, BTreeSet<Read>>,
    /// Whether a token that could not be looked up denies.
    pub(super) lookup_required: bool,
    /// Where what policies deny passes all the same.
    pub(super) exceptions: Exceptions,
    /// What is worth a second look, and yet is in force.
    pub(super) warnings: Vec<Problem>,
    /// What may be written down of a decision.
    pub(super) mask: Option<Mask>,
    /// The rules that are no functions, by package and name.
    pub(super) documents: BTreeSet<RegoPath>,
    /// What it was made from.
    pub(super) tree: Tree,
}

impl fmt::Debug for Bundle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Bundle")
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

impl Bundle {
    /// Reads and checks the policies in a directory.
    pub fn load(directory: impl AsRef<Path>) -> Result<Self, LoadError> {
        Self::load_all(&Sources {
            directory: Some(directory.as_ref().to_owned()),
            ..Sources::default()
        })
    }

    /// Reads and checks all sources.
    pub fn load_all(sources: &Sources) -> Result<Self, LoadError> {
        let bundle = Self::of(Tree::of(sources), Settings::InForce)?;
        if bundle.policies.is_empty() {
            let files = sources.bundles.iter().map(|bundle| bundle.file.as_path());
            let first = sources.directory.as_deref().into_iter().chain(files).next();
            let is_file = sources.directory.as_deref().is_some_and(Path::is_file);
            let message = if is_file {
                "it is a file: name the directory that the policies are in"
            } else {
                NO_POLICY
            };
            let place = first.unwrap_or_else(|| Path::new("policies"));
            finish(vec![Problem::of_file(place, &message)])?;
        }
        Ok(bundle)
    }

    /// Checks what these texts are.
    pub(super) fn of_texts(
        texts: Vec<Text>,
        entrypoints: &[Entrypoint],
    ) -> Result<Self, LoadError> {
        let mut tree = Tree::of_texts(texts);
        tree.entrypoints = entrypoints.to_vec();
        let bundle = Self::of(tree, Settings::InForce)?;
        if bundle.policies.is_empty() {
            finish(vec![Problem::of_file(Path::new("policies"), &NO_POLICY)])?;
        }
        Ok(bundle)
    }

    /// Checks what was read.
    pub(super) fn of(mut tree: Tree, settings: Settings) -> Result<Self, LoadError> {
        finish(std::mem::take(&mut tree.unread))?;
        // The other checks would repeat what they complain about.
        finish(tree.tokens())?;
        let mut problems = std::mem::take(&mut tree.problems);
        problems.extend(tree.tests.iter().filter_map(verdicts::hidden));
        let are_in_force = settings == Settings::InForce;
        let data_is_known = problems.is_empty() && are_in_force;
        let (mut rego, mut broken) = compile(&tree.policies.iter().collect::<Vec<_>>(), &tree.data);
        let modules = rego.get_modules().clone();
        if tree.may_lack && broken.is_empty() {
            tree.forget_what_it_lacks(&modules);
        }
        let revision = revision(&tree);
        problems.extend(misplaced(&tree, &modules));
        let mut mask = None;
        if Mask::take_files(&mut tree, &modules) {
            (rego, broken) = compile(&tree.policies.iter().collect::<Vec<_>>(), &tree.data);
            mask = Mask::of(&mut tree, &mut problems);
        }
        let is_whole = broken.is_empty();
        problems.extend(broken);

        let modules = rego.get_modules().clone();
        let mut program = Program::new(&modules);
        if !is_whole {
            program = program.without_the_broken();
        }
        let entrypoints = std::mem::take(&mut tree.entrypoints);
        let others = Others::of(&program, &entrypoints, are_in_force, &mut problems);
        let found = verdicts::policies(&program, &others, &mut problems);
        problems.extend(hiding(&tree, &modules));
        let names: Vec<&str> = (found.keys().map(String::as_str))
            .chain(entrypoints.iter().map(Entrypoint::name))
            .collect();
        let enforcement = modes::read(&tree.data, &names, |path, message| {
            // A policy that seems not to exist may be in a file that cannot be read.
            if is_whole && are_in_force {
                problems.push(tree.problem_in_data(path, message));
            }
        });
        let lookup_required = modes::lookup_required(tree.data.get("lookup"), |path, message| {
            if are_in_force {
                problems.push(tree.problem_in_data(path, message));
            }
        });
        let told = |path: &[&str], message| {
            if is_whole && are_in_force {
                problems.push(tree.problem_in_data(path, message));
            }
        };
        let exceptions = Exceptions::read(&tree.data, &names, told);
        refuse::program(&program, &mut problems);
        if data_is_known {
            settings::refuse(&program, &tree, &mut problems);
        }
        let reads = program.reads();
        let reads_of = program.reads_of_policies(&names, &entrypoints);
        finish(problems)?;
        let warnings = warnings(&program, &mut tree, &entrypoints, lookup_required);
        let (mut rego, origins) = evaluable(&mut rego, &tree.data).map_err(of_one)?;
        let evaluated =
            evaluated(&mut rego, &tree.data).map_err(|problem| of_one(origins.in_file(problem)))?;
        let policies = definitions(found, &entrypoints, enforcement);
        tree.entrypoints = entrypoints;
        Ok(Self {
            rego,
            evaluated,
            origins,
            policies,
            revision,
            reads,
            reads_of,
            lookup_required,
            exceptions,
            warnings,
            mask,
            documents: program.documents(),
            tree,
        })
    }

    /// SHA-256 over the names and contents of everything that can change a decision: policies and data, not tests.
    pub fn revision(&self) -> &str {
        &self.revision
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.keys().map(String::as_str)
    }
}

/// The policies and the entrypoints, by name, with how each is applied.
fn of_one(problem: Problem) -> LoadError {
    LoadError {
        problems: vec![problem],
    }
}

fn definitions(
    found: BTreeMap<String, BTreeSet<Rule>>,
    entrypoints: &[Entrypoint],
    mut enforcement: BTreeMap<String, Enforcement>,
) -> BTreeMap<String, Definition> {
    let policies = found.into_iter().map(|(name, rules)| (name, rules, None));
    let entrypoints = entrypoints.iter().map(|entrypoint| {
        let name = entrypoint.name().to_owned();
        (name, BTreeSet::new(), Some(entrypoint.rule()))
    });
    let all = policies
        .chain(entrypoints)
        .map(|(name, rules, entrypoint)| {
            let enforcement = enforcement.remove(&name).unwrap_or_default();
            let definition = Definition {
                rules,
                entrypoint,
                enforcement,
            };
            (name, definition)
        });
    all.collect()
}

/// What is worth a second look, and yet is in force.
fn warnings(
    program: &Program<'_>,
    tree: &mut Tree,
    entrypoints: &[Entrypoint],
    lookup_required: bool,
) -> Vec<Problem> {
    let paths: Vec<RegoPath> = entrypoints.iter().map(Entrypoint::path).collect();
    let mut warnings = std::mem::take(&mut tree.warnings);
    warnings.extend(absent::silent(program, &paths, lookup_required));
    warnings.extend(absent::never_there(program));
    warnings.extend(settings::unread(program, tree));
    warnings.extend(twice::told(program));
    warnings
}

impl Tree {
    /// Leaves entrypoints away that it has no rule for.
    fn forget_what_it_lacks(&mut self, modules: &[Ref<Module>]) {
        let program = Program::new(modules);
        self.entrypoints.retain(|it| program.has_below(&it.path()));
    }
}

/// Data below a package, which would hide its rules, or be hidden by them.
fn hiding(tree: &Tree, modules: &[Ref<Module>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    let packages: BTreeSet<RegoPath> = modules.iter().map(|module| package(module)).collect();
    let others = packages.iter().filter(|path| !is_ours(path));
    let others = others.filter_map(|path| Some((path.get(1..)?, "is a package")));
    let ours = ["dtgate".to_owned()];
    let message = "is where the policies are: settings belong to data.guardrails";
    for (path, message) in others.chain([(&ours[..], message)]) {
        let steps: Vec<&str> = path.iter().map(String::as_str).collect();
        if is_defined(&tree.data, &steps) {
            let message = format!("data.{} {message}", steps.join("."));
            problems.push(tree.problem_in_data(&steps, message));
        }
    }
    problems
}

/// Whether the data have something there, or something else in the place of what is around it.
fn is_defined(data: &Map<String, Json>, steps: &[&str]) -> bool {
    let mut within = data;
    for step in steps {
        match within.get(*step) {
            None => return false,
            Some(Json::Object(members)) => within = members,
            Some(_) => return true,
        }
    }
    !within.is_empty()
}

/// Packages that lie where their source may define nothing. Tests have to lie in the roots, too: OPA takes no other bundle.
fn misplaced(tree: &Tree, modules: &[Ref<Module>]) -> Vec<Problem> {
    if tree.parts.is_empty() {
        return Vec::new();
    }
    let tests: Vec<&File> = tree.tests.iter().collect();
    let (mut tests, _broken) = compile(&tests, &Map::new());
    let all: Vec<_> = modules.iter().chain(tests.get_modules()).collect();
    roots::problems(tree, &all)
}

/// SHA-256 over the names and contents of everything that can change a decision.
pub(super) fn revision(tree: &Tree) -> String {
    let entrypoints = tree.entrypoints.iter().map(Entrypoint::name);
    let mut files: Vec<&File> = tree.policies.iter().chain(&tree.data_files).collect();
    files.sort_by(|one, other| one.name.cmp(&other.name));
    let mut hash = Sha256::new();
    for file in files {
        // Lengths keep names and contents apart, so that no two bundles hash the same bytes.
        for part in [&file.name, &file.text] {
            hash.update(part.len().to_be_bytes());
            hash.update(part);
        }
    }
    for name in entrypoints {
        // No file has a name of this length.
        hash.update(u64::MAX.to_be_bytes());
        hash.update(name);
    }
    data_encoding::HEXLOWER.encode(&hash.finalize())
}

const NO_POLICY: &str = "there is no policy here: policies are files that end in .rego";

#[cfg(test)]
pub(super) mod tests;
