//! Names that could mean two things: refused, because the engine might take the other one.
//!
//! What a name stands for must be plain from its file. The engine builds queries out of the names of packages. It refuses
//! to know what the rules say.

use crate::policy::problem::Problem;
use crate::policy::question::{KNOWN, QUESTION};
use crate::policy::rego::program::{Program, at, known, package};
use crate::policy::rego::rests::{is_of_library, is_verdict};
use crate::policy::rego::walk::{self, Site};
use crate::policy::rego::word::is_word;

/// Refuses names of packages that are no plain words; rules that have the name of a package, or that nobody asks for
/// though they object; and the names of dtgate's own rules and data.
pub(in crate::policy) fn refuse(program: &Program<'_>, problems: &mut Vec<Problem>) {
    for module in program.modules {
        if !package(module).iter().all(|step| is_word(step)) {
            let message = "the name of a package consists of words of letters, digits and underscores that begin with no digit, with dots between them";
            problems.push(at(&module.package.span, message));
        }
    }
    for definition in &program.definitions {
        let (rule, names) = (definition.rule, &definition.names);
        let (Some(root), Some(name)) = (definition.root(), definition.name().first()) else {
            continue;
        };
        if is_of_library(&names.package) && is_verdict(root) {
            let message = format!("nobody asks the library for {name}: say it in a policy");
            problems.push(at(rule.span(), message));
        }
        if program.packages.contains(root) {
            let message = format!("there is a package of the name of the rule {name}");
            problems.push(at(rule.span(), message));
        }
        walk::rule(rule, &mut |site| {
            let Site::Reference(reference) = site else {
                return;
            };
            let path = names.whole(&known(reference));
            if let [data, first, ..] = path.as_slice()
                && data == "data"
                && [KNOWN, QUESTION].contains(&first.as_str())
            {
                let message = format!("data.{first} is dtgate's own");
                problems.push(at(reference.span(), message));
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::policy::bundle::Bundle;
    use crate::policy::bundle::tests::directory;

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
    fn a_rule_has_not_the_name_of_a_package() {
        let library = "package dtgate.lib\nr := 1";
        let within = "package dtgate.lib.r\nq := 1";
        let policy = format!("package dtgate.p\n{FINE}");
        let said = refused(&[("a.rego", library), ("b.rego", within), ("c.rego", &policy)]);
        assert!(said[0].contains("of the name of the rule r"), "{said:?}");
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
                format!("package dtgate.p\n{FINE}\ndtgate_1 := 1"),
                "dtgate's own",
            ),
            (
                "package dtgate.p\ndeny contains dtgate_1 if dtgate_1 := input.api".to_owned(),
                "dtgate's own",
            ),
            (
                "package dtgate.p\ndeny contains \"x\" if { some dtgate_1; input.unknown_members[dtgate_1] }".to_owned(),
                "dtgate's own",
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
}
