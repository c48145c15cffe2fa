//! Which part of `data` belongs to which source. Where two sources could define the same, nobody could tell what is in
//! force: it is refused.

use regorus::unstable::{Module, Ref};
use serde_json::{Map, Value as Json};

use super::data;
use super::files::{File, Tree};
use crate::policy::archive::manifest::{Manifest, Root};
use crate::policy::problem::Problem;
use crate::policy::rego::program;

/// What of the data of a bundle lies beyond its roots.
pub(super) fn outside(
    manifest: &Manifest,
    own: &Map<String, Json>,
    files: &[File],
) -> Vec<Problem> {
    let mut found = Vec::new();
    beyond(manifest, own, &mut Vec::new(), &mut found);
    let told = found.into_iter().map(|path| {
        let message = format!(
            "data.{} lies beyond the roots of the bundle: {}",
            path.join("."),
            manifest.roots()
        );
        let path: Vec<&str> = path.iter().map(String::as_str).collect();
        data::problem(files, &path, message)
    });
    told.collect()
}

fn beyond(
    manifest: &Manifest,
    members: &Map<String, Json>,
    path: &mut Vec<String>,
    found: &mut Vec<Vec<String>>,
) {
    for (name, value) in members {
        path.push(name.clone());
        if !manifest.permits(path) {
            let leads_there = manifest.roots.iter().any(|root| root.overlaps(path));
            match value {
                Json::Object(members) if leads_there => beyond(manifest, members, path, found),
                _ => found.push(path.clone()),
            }
        }
        path.pop();
    }
}

/// What belongs to nobody, and what would belong to two.
pub(in crate::policy) fn problems(tree: &Tree, modules: &[&Ref<Module>]) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (number, part) in tree.parts.iter().enumerate() {
        for other in tree.parts.iter().take(number) {
            let shared = part.manifest.roots.iter().find_map(|root| {
                let mut others = other.manifest.roots.iter();
                others
                    .find(|it| it.overlaps(root.steps()))
                    .map(|it| (root, it))
            });
            if let Some((root, of_other)) = shared {
                let message = format!(
                    "its root {root} overlaps with the root {of_other} of the bundle {}: each part of data belongs to one \
                     source",
                    other.release.name
                );
                problems.push(Problem::new(&part.place, 0, 0, message));
            }
        }
        let data = part.manifest.roots.iter();
        if let Some(root) = data.into_iter().find(|root| defines(&tree.own_data, root)) {
            let message = format!(
                "its root {root} overlaps with the data in the directory of policies: {WHAT_TO_DO}"
            );
            problems.push(Problem::new(&part.place, 0, 0, message));
        }
    }
    problems.extend(modules.iter().filter_map(|module| misplaced(tree, module)));
    problems
}

/// Whether these data have something there, or something else in the place of what is around it.
fn defines(members: &Map<String, Json>, root: &Root) -> bool {
    let mut within = members;
    for step in root.steps() {
        match within.get(step) {
            None => return false,
            Some(Json::Object(members)) => within = members,
            Some(_) => return true,
        }
    }
    !within.is_empty()
}

/// A package that lies where its source may define nothing.
fn misplaced(tree: &Tree, module: &Module) -> Option<Problem> {
    let path = module.package.span.source.get_path();
    let package = program::package(module);
    let steps = package.get(1..).unwrap_or_default();
    let name = steps.join(".");
    let message = match tree.part_of(path) {
        Some(part) if part.manifest.permits(steps) => return None,
        Some(part) => format!(
            "package {name} lies beyond the roots of the bundle, {}: build it with --root {}, too",
            part.manifest.roots(),
            steps.join("/")
        ),
        None => {
            let overlaps = |root: &&Root| root.overlaps(steps);
            let (part, root) = tree
                .parts
                .iter()
                .find_map(|part| Some((part, part.manifest.roots.iter().find(overlaps)?)))?;
            format!(
                "package {name} overlaps with the root {root} of the bundle {}: {WHAT_TO_DO}",
                part.release.name
            )
        }
    };
    let place = |number: u32| usize::try_from(number).unwrap_or_default();
    let (line, column) = (
        place(module.package.span.line),
        place(module.package.span.col),
    );
    Some(Problem::new(path, line, column, message))
}

const WHAT_TO_DO: &str =
    "give the bundle roots of its own in its manifest, or take away what the directory has there";
