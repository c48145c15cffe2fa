//! Names that could mean two things: refused, because the engine might take the other one.
//!
//! What a name stands for must be plain from its file. The engine takes a rule for the builtin of the same name in
//! one place and not in another, reads one import for all files of a package, and builds queries out of the names
//! of packages. It refuses to know what the rules say.

use std::collections::{BTreeMap, BTreeSet};

use regorus::unstable::{BUILTINS, Module, Ref};

use super::bundle::Problem;
use super::bytecode::QUESTION;
use super::check::{self, Names, Path};
use super::rests::is_of_library;
use super::specialise::KNOWN;
use super::walk::{self, Site};

/// Refuses functions that several files define; variables that have the name of a rule; names of packages that are no
/// plain words; names of builtins for rules and imports; rules that have the name of a package, or of an import, or that
/// nobody asks for though they object; imports of one name for two things; and the names of dtgate's own data.
pub(super) fn ambiguous(modules: &[Ref<Module>], problems: &mut Vec<Problem>) {
    scattered(modules, problems);
    let reserved: BTreeSet<&str> = BUILTINS
        .keys()
        .map(|name| name.split_once('.').map_or(*name, |(family, _)| family))
        .collect();
    let packages = check::packages(modules);
    let mut imports: BTreeMap<(Path, String), Path> = BTreeMap::new();
    let mut rules: BTreeSet<(Path, String)> = BTreeSet::new();
    for module in modules {
        let names = Names::of(module);
        if !names.package.iter().all(|step| is_word(step)) {
            let message = "the name of a package consists of words of letters, digits and underscores that begin with no digit, with dots between them";
            problems.push(check::at(&module.package.span, message));
        }
        for rule in &module.policy {
            let head = check::head(rule);
            let Some(name) = check::known(head).into_iter().next() else {
                continue;
            };
            if reserved.contains(name.as_str()) {
                let message = format!("a rule may not have the name of a builtin: {name}");
                problems.push(check::at(rule.span(), message));
            }
            if is_of_library(&names.package) && (name == "deny" || name == "warn") {
                let message = format!("nobody asks the library for {name}: say it in a policy");
                problems.push(check::at(rule.span(), message));
            }
            if packages.contains(&[names.package.clone(), vec![name.clone()]].concat()) {
                let message = format!("there is a package of the name of the rule {name}");
                problems.push(check::at(rule.span(), message));
            }
            rules.insert((names.package.clone(), name));
            walk::rule(rule, &mut |site| {
                let Site::Reference(reference) = site else {
                    return;
                };
                let path = names.resolve(&check::known(reference));
                if let [data, first, ..] = path.as_slice()
                    && data == "data"
                    && [KNOWN, QUESTION].contains(&first.as_str())
                {
                    let message = format!("data.{first} is dtgate's own");
                    problems.push(check::at(reference.span(), message));
                }
            });
        }
        for (alias, path, span) in check::imports(module) {
            if reserved.contains(alias.as_str()) {
                let message = format!("an import may not have the name of a builtin: {alias}");
                problems.push(check::at(span, message));
            }
            let known = imports.entry((names.package.clone(), alias.clone()));
            if *known.or_insert_with(|| path.clone()) != path {
                let message = format!(
                    "another import of the package gives the name {alias} to something else"
                );
                problems.push(check::at(span, message));
            }
        }
    }
    for module in modules {
        let package = check::package(module);
        declared(module, &package, &rules, problems);
        for (alias, _, span) in check::imports(module) {
            if rules.contains(&(package.clone(), alias.clone())) {
                let message = format!("the package has a rule of the name of the import {alias}");
                problems.push(check::at(span, message));
            }
        }
    }
}

/// Refuses functions that several files define.
fn scattered(modules: &[Ref<Module>], problems: &mut Vec<Problem>) {
    let mut files: BTreeMap<Path, &str> = BTreeMap::new();
    for module in modules {
        let names = Names::of(module);
        for rule in &module.policy {
            let Some((name, _)) = check::function(rule) else {
                continue;
            };
            let path = [names.package.clone(), name.clone()].concat();
            // The engine takes all for the first file, and what it knows of that for the others.
            if *files.entry(path).or_insert(names.file) != names.file {
                let message = format!(
                    "another file has a part of the function {}: the engine needs all in one",
                    name.join(".")
                );
                problems.push(check::at(rule.span(), message));
            }
        }
    }
}

/// Refuses names of rules of the package for what `some` declares without a value, and for variables within `every`,
/// which the engine may ask before they have one.
fn declared(
    module: &Module,
    package: &Path,
    rules: &BTreeSet<(Path, String)>,
    problems: &mut Vec<Problem>,
) {
    for rule in &module.policy {
        let bound = walk::bound(rule);
        walk::rule(rule, &mut |site| {
            if let Site::Every { query, .. } = site {
                walk::query(query, &mut |site| {
                    if let Site::Reference(reference) = site
                        && let Some(name) = check::known(reference).into_iter().next()
                        && bound.contains(&name)
                        && rules.contains(&(package.clone(), name.clone()))
                    {
                        let message =
                            format!("the package has a rule {name}: a variable needs another name");
                        problems.push(check::at(reference.span(), message));
                    }
                });
            }
            if let Site::Declared(span) = site
                && rules.contains(&(package.clone(), span.text().to_owned()))
            {
                // The engine would not look for any that fits, and find none.
                let name = span.text();
                let message =
                    format!("the package has a rule {name}: a variable needs another name");
                problems.push(check::at(span, message));
            }
        });
    }
}

/// Whether a step of a path can be written behind a dot.
pub(super) fn is_word(step: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphabetic() || c == '_';
    step.starts_with(is_letter) && step.chars().all(|c| is_letter(c) || c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::super::bundle::{Bundle, tests::directory};

    const FINE: &str = "deny contains \"x\" if input.api == \"v1\"";

    /// What is said about these files, each a package and its rules.
    fn refused(files: &[(&str, &str)]) -> Vec<String> {
        match Bundle::load(directory(files).path()) {
            Ok(_) => Vec::new(),
            Err(error) => {
                let problems = error.problems.into_iter();
                problems.map(|problem| problem.message).collect()
            }
        }
    }

    #[test]
    fn a_name_that_could_mean_two_things_is_refused() {
        let one = |text: String| refused(&[("a.rego", &text)]);
        for (text, reason) in [
            (
                format!("package dtgate[\"q.deny, data.dtgate.q\"]\n{FINE}"),
                "words of letters",
            ),
            (
                format!("package dtgate[\"24_hours\"]\n{FINE}"),
                "begin with no digit",
            ),
            (
                format!("package dtgate.p\n{FINE}\ncount(x) := 0 if x == 1"),
                "builtin: count",
            ),
            (
                format!("package dtgate.p\n{FINE}\nobject := 1"),
                "builtin: object",
            ),
            (
                format!("package dtgate.p\nimport data.x as object\n{FINE}"),
                "builtin: object",
            ),
            (
                format!("package dtgate.p\nimport data.x as a\n{FINE}\na := 1"),
                "of the import a",
            ),
            (
                format!("package dtgate.lib.a\n{FINE}"),
                "asks the library for deny",
            ),
            (
                "package dtgate.p\ndeny contains \"x\" if not data.dtgate_known.r0".to_owned(),
                "dtgate's own",
            ),
        ] {
            let said = one(text.clone());
            assert!(
                said.iter().any(|said| said.contains(reason)),
                "{text}: {said:?}"
            );
        }
    }

    /// What is said about two files of one package, with these rules in them.
    fn files(first: &str, second: &str) -> Vec<String> {
        let (first, second) = (
            format!("package dtgate.p\n{first}\n{FINE}"),
            format!("package dtgate.p\n{second}\nwarn contains \"y\" if input.api == \"v3\""),
        );
        refused(&[("a.rego", &first), ("b.rego", &second)])
    }

    #[test]
    fn a_name_that_means_something_else_in_another_file_is_refused() {
        assert!(
            files("import data.x as a", "import data.y as a")[0]
                .contains("gives the name a to something else")
        );
        let library = "package dtgate.lib\nr := 1";
        let within = "package dtgate.lib.r\nq := 1";
        let policy = format!("package dtgate.p\n{FINE}");
        let said = refused(&[("a.rego", library), ("b.rego", within), ("c.rego", &policy)]);
        assert!(said[0].contains("of the name of the rule r"), "{said:?}");
        assert!(files("import data.x as a", "a := 1")[0].contains("of the import a"));
        for (first, second) in [
            // The second would be given the name x by the first's pattern.
            ("f([x, _]) if x == \"a\"", "f(x) if x == \"b\""),
            ("default f(_) := false", "f(x) if x == \"b\""),
            ("a.f(x) := 1 if x == 1", "a.f(x) := 2 if x == 2"),
        ] {
            assert!(
                files(first, second)[0].contains("another file has a part of the function"),
                "{first}"
            );
        }
        for second in ["i := 1", "i(x) if x == 1", "i.j := 1"] {
            let said = files(
                "r if { some i; input.change.scopes.requested[i] == \"a\" }",
                second,
            );
            assert!(
                said[0].contains("a variable needs another name"),
                "{second}: {said:?}"
            );
        }
        assert_eq!(files("f(1) := 1\nf(2) := 2", "g(1) := 1"), [""; 0]);
        assert_eq!(files("import data.x as a", "import data.x as a"), [""; 0]);
        assert_eq!(files("import data.x as a", "import data.y as b"), [""; 0]);
    }

    /// The engine asks before x has a value, and would compare with the rule.
    #[test]
    fn a_variable_within_every_has_the_name_of_no_rule() {
        let policy = "package dtgate.p\nwarn contains \"y\" if r\n\
                      r if { y := input.api; x := y; every e in [\"a\"] { e == x } }";
        let other = |rule: &str| format!("package dtgate.p\n{rule}");
        let said = refused(&[("a.rego", policy), ("b.rego", &other("x := \"q\""))]);
        assert!(said[0].contains("a variable needs another name"));
        let files = [("a.rego", policy), ("b.rego", &other("z := \"q\""))];
        assert_eq!(refused(&files), [""; 0]);
    }
}
