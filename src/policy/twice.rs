//! Files that are there twice: a folder that was copied into itself, or left beside its successor.
//!
//! Rego takes all files of a package together, wherever they are. So both copies judge, and whoever changes or removes
//! one of them changes nothing.

use std::collections::{BTreeMap, BTreeSet};

use super::problem::Problem;
use super::rego::program::Program;
use crate::value::counted;

/// Warns of folders with files of the same names that define the same rules: one line for two folders.
pub(super) fn told(program: &Program<'_>) -> Vec<Problem> {
    let mut copies: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (_, definitions) in program.roots() {
        let files = definitions.iter().map(|definition| definition.names.file);
        let files: BTreeSet<&str> = files.collect();
        for one in &files {
            for other in files.iter().filter(|other| other > &one) {
                // What is further down is the copy.
                let (first, copy) = if depth(one) <= depth(other) {
                    (*one, *other)
                } else {
                    (*other, *one)
                };
                let ((folder, name), (of_copy, same)) = (parts(first), parts(copy));
                if name == same {
                    let between = copies.entry((folder, of_copy)).or_default();
                    between.insert((first, copy));
                }
            }
        }
    }
    let told = copies.values().filter_map(|files| {
        let (first, copy) = files.first()?;
        let more = match files.len() - 1 {
            0 => String::new(),
            more => format!(" (and {} there)", counted(more, "other file")),
        };
        let message = format!(
            "it defines the same rules as {first}{more}, and both judge: if it is a copy, take one of them away"
        );
        Some(Problem::new(copy, 0, 0, message))
    });
    told.collect()
}

/// The folder and the name of a file.
fn parts(path: &str) -> (&str, &str) {
    path.rsplit_once('/').unwrap_or(("", path))
}

fn depth(path: &str) -> usize {
    path.matches('/').count()
}

#[cfg(test)]
mod tests {
    use crate::policy::bundle::{Bundle, tests::directory};

    fn told(files: &[(&str, &str)]) -> Vec<String> {
        let directory = directory(files);
        let prefix = format!("{}/", directory.path().display());
        let bundle = Bundle::load(directory.path()).unwrap();
        let told = bundle.warnings.iter();
        told.map(|problem| problem.to_string().replace(&prefix, ""))
            .collect()
    }

    const NAMING: &str = "package dtgate.naming\n\ndeny contains \"x\" if input.api == \"v9\"\n";
    const OTHER: &str = "package dtgate.other\n\ndeny contains \"y\" if input.api == \"v8\"\n";

    #[test]
    fn a_folder_within_itself_is_told_in_one_line() {
        let files = [
            ("naming.rego", NAMING),
            ("other.rego", OTHER),
            ("policies/naming.rego", NAMING),
            ("policies/other.rego", OTHER),
        ];
        assert_eq!(
            told(&files),
            [
                "policies/naming.rego: it defines the same rules as naming.rego (and 1 other file there), and both judge: if \
                 it is a copy, take one of them away"
            ]
        );
    }

    #[test]
    fn one_policy_may_be_in_several_files() {
        let more = "package dtgate.naming\n\ndeny contains \"z\" if input.api == \"v7\"\n";
        assert_eq!(
            told(&[("naming.rego", NAMING), ("more/names.rego", more)]),
            [""; 0]
        );
        assert_eq!(
            told(&[("a/rules.rego", NAMING), ("b/rules.rego", OTHER)]),
            [""; 0]
        );
    }
}
