//! What there is, for people: each policy with its title, its mode and how many tests it has.

use std::collections::BTreeMap;

use serde::Deserialize;

use super::engine::Engine;
use super::rego::annotations;
use super::source::files::{File, Tree};
use super::{lexical, yaml};

/// A policy, for a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    pub name: String,
    /// Of its package's METADATA.
    pub title: Option<String>,
    /// How it is applied: every entry, in order.
    pub mode: String,
    /// Where its package stands first.
    pub file: String,
    /// The same below its source, as the playground has it: the directory itself may be one that ends.
    pub file_name: String,
    /// In packages that are called like it, with `_test`.
    pub tests: usize,
}

#[derive(Deserialize)]
struct Annotation {
    scope: Option<String>,
    title: Option<String>,
}

impl Engine {
    /// The same, with modes as they hold at a time.
    pub fn listed_at(&self, time: jiff::Timestamp) -> Vec<Listed> {
        let mut listed = self.listed();
        for policy in &mut listed {
            let mode = self.mode_at(&policy.name, time);
            policy.mode = mode.unwrap_or_default();
        }
        listed
    }

    /// By name.
    pub fn listed(&self) -> Vec<Listed> {
        let tests = tests(self.tree());
        let listed = self.modes().map(|(name, mode)| {
            let package = self.package_of(name);
            let mut files = self.tree().policies.iter();
            let of_it = |file: &&File| package_of(&file.text).is_some_and(|(it, _)| it == package);
            let files: Vec<&File> = files.by_ref().filter(of_it).collect();
            Listed {
                title: files.iter().find_map(|file| title(&file.text)),
                file: files
                    .first()
                    .map_or_else(String::new, |file| file.path.clone()),
                file_name: files
                    .first()
                    .map_or_else(String::new, |file| self.tree().called(file)),
                tests: tests
                    .get(&*format!("{package}_test"))
                    .copied()
                    .unwrap_or_default(),
                name: name.to_owned(),
                mode,
            }
        });
        listed.collect()
    }
}

/// How many tests each package has.
fn tests(tree: &Tree) -> BTreeMap<&str, usize> {
    let mut tests = BTreeMap::new();
    for file in &tree.tests {
        let Some((package, _)) = package_of(&file.text) else {
            continue;
        };
        let is_test = |line: &&str| line.starts_with("test_") || line.starts_with("todo_test_");
        *tests.entry(package).or_default() += file.text.lines().filter(is_test).count();
    }
    tests
}

/// The package of a file that was compiled, and its line.
fn package_of(text: &str) -> Option<(&str, usize)> {
    let mut lines = text
        .trim_start_matches(lexical::BYTE_ORDER)
        .lines()
        .zip(1..);
    lines.find_map(|(line, number)| {
        let package = line.strip_prefix("package ")?.split('#').next()?;
        Some((package.trim(), number))
    })
}

/// The title that stands above the package.
fn title(text: &str) -> Option<String> {
    let (_, line) = package_of(text)?;
    let above = annotations::blocks(text).into_iter();
    let mut above = above.filter(|(below, _)| *below <= line);
    above.find_map(|(_, block)| {
        let annotation: Annotation = yaml::from_str(&block).ok()?;
        let is_of_package = !matches!(annotation.scope.as_deref(), Some("rule" | "document"));
        annotation.title.filter(|_| is_of_package)
    })
}

#[cfg(test)]
mod tests_of_it {
    use crate::policy::bundle::tests::directory;
    use crate::policy::{DEFAULT_LIMIT, Policy};

    #[test]
    fn a_list_has_titles_modes_and_tests() {
        let files = [
            (
                "a.rego",
                "# METADATA\n# title: About a\n# description: x\npackage dtgate.a\n\n# METADATA\n# title: Not this\ndeny contains \"a\" if false\n",
            ),
            (
                "a_test.rego",
                "package dtgate.a_test\n\ntest_one if true\n\ntest_two if {\n\ttrue\n}\n",
            ),
            (
                "b.rego",
                "package dtgate.b # no title\n\nwarn contains \"b\" if false\n",
            ),
            (
                "data.yaml",
                "modes:\n  b:\n    - {mode: enforce, environment: [dev, stage], percent: 5}\n    - {mode: warn, until: \"2027-01-31\"}\n",
            ),
        ];
        let directory = directory(&files);
        let listed = Policy::load(directory.path(), DEFAULT_LIMIT)
            .unwrap()
            .listed();
        let [a, b] = &listed[..] else {
            panic!("{listed:?}");
        };
        assert_eq!(
            (a.title.as_deref(), a.tests, &*a.mode),
            (Some("About a"), 2, "enforce")
        );
        assert!(a.file.ends_with("/a.rego"), "{}", a.file);
        assert_eq!((b.title.as_deref(), b.tests), (None, 0));
        assert_eq!(
            b.mode,
            "enforce (environment dev, stage; 5 %), then warn (until 2027-02-01T00:00:00Z)"
        );
        let policy = Policy::load(directory.path(), DEFAULT_LIMIT).unwrap();
        let at = |time: &str| policy.listed_at(time.parse().unwrap())[1].mode.clone();
        assert_eq!(at("2027-01-31T23:59:59Z"), b.mode);
        assert_eq!(
            at("2027-02-01T00:00:00Z"),
            "enforce (environment dev, stage; 5 %), then enforce (warn ended 2027-02-01T00:00:00Z)"
        );
        assert!(
            policy
                .ended("2027-01-31T23:59:59Z".parse().unwrap())
                .is_empty()
        );
        let ended = policy.ended("2027-02-01T00:00:00Z".parse().unwrap());
        let told = ended[0].to_string();
        assert!(
            told.contains(
                "/data.yaml:2:3: data.modes.b: the mode warn ended at 2027-02-01T00:00:00Z"
            ),
            "{told}"
        );
    }
}
