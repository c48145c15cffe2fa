//! Packages that are not below `dtgate`: those of entrypoints, and what these ask.
//!
//! Nobody would ask the rules of another. A misspelt `dtgate` must not silence a policy.

use std::collections::BTreeSet;

use crate::policy::entrypoint::Entrypoint;
use crate::policy::problem::Problem;
use crate::policy::rego::program::{Path, Program};

/// The packages beside those of dtgate that may be there, and the rules of them that are asked.
pub(in crate::policy) struct Others {
    /// `None`: any, because nobody says which rules judge.
    reached: Option<BTreeSet<Path>>,
    rules: BTreeSet<Path>,
}

impl Others {
    /// Those of these entrypoints. Tests without any may be of whatever they like.
    pub(in crate::policy) fn of(
        program: &Program<'_>,
        entrypoints: &[Entrypoint],
        are_in_force: bool,
        problems: &mut Vec<Problem>,
    ) -> Self {
        for (number, entrypoint) in entrypoints.iter().enumerate() {
            let path = entrypoint.path();
            let earlier = entrypoints.iter().take(number);
            let message = if earlier.clone().any(|other| other == entrypoint) {
                "it stands twice among the entrypoints".to_owned()
            } else if !program.root(&path).iter().all(|it| it.arity.is_none()) {
                format!("{} is a function: an entrypoint is a rule", path.join("."))
            } else if program.is_whole && !program.has_below(&path) {
                format!(
                    "there is no rule {}, which policies.entrypoints or --entrypoint names",
                    path.join(".")
                )
            } else if program.is_whole && program.package_of(&path).is_none() {
                format!("{} is a package: name a rule of it", path.join("."))
            } else {
                continue;
            };
            problems.push(Problem::new(entrypoint.name(), 0, 0, message));
        }
        let is_anything_tested = !are_in_force && entrypoints.is_empty();
        Self {
            reached: (!is_anything_tested).then(|| program.reached_from(entrypoints)),
            rules: entrypoints.iter().map(Entrypoint::path).collect(),
        }
    }

    /// Whether a package that is not below `dtgate` may be there.
    pub(super) fn may_be(&self, package: &Path) -> bool {
        let reached = self.reached.as_ref();
        !is_ours(package) && reached.is_none_or(|reached| reached.contains(package))
    }

    /// The rules that are entrypoints.
    pub(super) fn rules(&self) -> &BTreeSet<Path> {
        &self.rules
    }

    /// Whether an entrypoint is a rule of this package.
    pub(super) fn judge_in(&self, package: &Path) -> bool {
        let rules = self.rules.iter();
        rules
            .filter_map(|rule| rule.split_last())
            .any(|(_, of)| of == package.as_slice())
    }
}

/// Whether a package is `dtgate`, or below it.
pub(in crate::policy) fn is_ours(package: &[String]) -> bool {
    package.get(1).is_some_and(|step| step == "dtgate")
}

#[cfg(test)]
mod tests {
    use crate::policy::bundle::tests::directory;
    use crate::policy::{DEFAULT_LIMIT, Entrypoint, Policy, Sources};

    fn load(files: &[(&str, &str)], entrypoints: &[&str]) -> Result<Policy, String> {
        let directory = directory(files);
        let entrypoints: Vec<Entrypoint> = entrypoints
            .iter()
            .map(|text| text.parse().unwrap())
            .collect();
        let sources = Sources::at(directory.path()).with(&entrypoints);
        let prefix = format!("{}/", directory.path().display());
        Policy::load_all(&sources, DEFAULT_LIMIT)
            .map_err(|error| error.to_string().replace(&prefix, ""))
    }

    const ENVOY: (&str, &str) = (
        "envoy.rego",
        "package envoy.authz\n\nimport data.helpers.paths\n\ndefault allow := false\n\nallow if paths.ok\n\nresult[\"allowed\"] := allow\n\nmay(x) if x\n",
    );
    const HELPERS: (&str, &str) = (
        "helpers.rego",
        "package helpers.paths\n\nok if input.parsed_path[0] == \"api\"\n",
    );
    const NAMING: (&str, &str) = (
        "naming.rego",
        "package dtgate.naming\n\ndeny contains \"no\" if false\n",
    );

    #[test]
    fn a_rule_of_any_package_can_judge() {
        let files = [ENVOY, HELPERS];
        let policy = load(&files, &["envoy/authz/allow"]).unwrap();
        assert_eq!(policy.names().collect::<Vec<_>>(), ["envoy/authz/allow"]);
        assert!(policy.reads_envoy());
        let readers = policy.readers(&["input", "parsed_path"], None);
        assert_eq!(readers, ["envoy/authz/allow"]);
        let both = ["envoy/authz/allow", "/envoy/authz/result"];
        let policy = load(&[ENVOY, HELPERS, NAMING], &both).unwrap();
        let names: Vec<&str> = policy.names().collect();
        assert_eq!(names, ["envoy/authz/allow", "envoy/authz/result", "naming"]);
        // Also below dtgate.
        let own = (
            "own.rego",
            "package dtgate.authz\n\ndefault allow := true\n",
        );
        let policy = load(&[own], &["dtgate/authz/allow"]).unwrap();
        assert_eq!(policy.names().collect::<Vec<_>>(), ["dtgate/authz/allow"]);
    }

    #[test]
    fn which_rules_judge_is_part_of_the_revision() {
        let files = [ENVOY, HELPERS, NAMING];
        let revision =
            |entrypoints: &[&str]| load(&files, entrypoints).unwrap().revision().to_owned();
        let (one, two) = ("envoy/authz/allow", "envoy/authz/result");
        assert_ne!(revision(&[one]), revision(&[two]));
        assert_ne!(revision(&[one]), revision(&[one, two]));
    }

    #[test]
    fn what_nobody_asks_is_refused() {
        let files = [ENVOY, HELPERS, NAMING];
        for (entrypoints, told) in [
            (&[][..], "must be directly below dtgate"),
            (
                &["envoy/authz/alow"],
                "envoy/authz/alow: there is no rule data.envoy.authz.alow",
            ),
            (&["envoy/authz/may"], "is a function"),
            (&["envoy/authz"], "is a package"),
            (&["envoy/authz/allow", "/envoy/authz/allow"], "stands twice"),
        ] {
            let error = load(&files, entrypoints).unwrap_err();
            assert!(error.contains(told), "{entrypoints:?}: {error}");
        }
        let misspelt = (
            "typo.rego",
            "package dtgte.naming\n\ndeny contains \"no\"\n",
        );
        let error = load(&[ENVOY, HELPERS, misspelt], &["envoy/authz/allow"]).unwrap_err();
        assert!(error.starts_with("typo.rego:1:"), "{error}");
        let data = ("data.yaml", "helpers: {paths: {ok: true}}\n");
        let error = load(&[ENVOY, HELPERS, data], &["envoy/authz/allow"]).unwrap_err();
        assert!(error.contains("data.helpers.paths is a package"), "{error}");
    }

    #[test]
    fn modes_and_exceptions_know_entrypoints_by_name() {
        let data = ("data.yaml", "modes: {envoy/authz/allow: warn}\n");
        let policy = load(&[ENVOY, HELPERS, data], &["envoy/authz/allow"]).unwrap();
        let listed = policy.listed();
        assert_eq!(
            (&*listed[0].name, &*listed[0].mode),
            ("envoy/authz/allow", "warn")
        );
        assert!(listed[0].file.ends_with("/envoy.rego"));
        let data = ("data.yaml", "modes: {envoy/authz/alow: warn}\n");
        let error = load(&[ENVOY, HELPERS, data], &["envoy/authz/allow"]).unwrap_err();
        assert!(error.contains("did you mean envoy/authz/allow?"), "{error}");
    }
}
