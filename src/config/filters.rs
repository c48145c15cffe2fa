//! What webhooks are told of, beside what there is: a filter that nothing can ever fit would keep an alarm silent.

use super::Config;
use super::callers::nearest;
use crate::audit::index::Pattern;
use crate::audit::schema;
use crate::dynatrace::catalogue::Operation;
use crate::gateway::environment::DEFAULT;
use crate::policy::{LoadError, Policy, Problem};

impl Config {
    /// Finds filters by kinds, operations and environments that no record can have.
    pub fn check_filters(&self) -> Result<(), LoadError> {
        let operations: Vec<&str> = Operation::ALL.iter().map(|it| it.as_str()).collect();
        let environments = if self.environments.is_empty() {
            vec![DEFAULT]
        } else {
            self.environments.keys().map(String::as_str).collect()
        };
        let kinds = schema::names_of_kinds();
        let mut problems = Vec::new();
        for (name, webhook) in &self.ship.webhook {
            for (key, patterns, known) in [
                ("kind", &webhook.kind, &kinds),
                ("operation", &webhook.operation, &operations),
                ("environment", &webhook.environment, &environments),
            ] {
                let missing = self.missing(&[&name.to_string(), key], patterns, known);
                problems.extend(missing);
            }
        }
        if problems.is_empty() {
            return Ok(());
        }
        Err(LoadError { problems })
    }

    /// The same by policies. These come and go while the gate runs: nobody is kept from it.
    pub(crate) fn doubt_filters(&self, policy: &Policy) -> Vec<Problem> {
        let known: Vec<&str> = policy.names().collect();
        let webhooks = self.ship.webhook.iter();
        let missing = webhooks.flat_map(|(name, it)| {
            self.missing(&[&name.to_string(), "policy"], &it.policy, &known)
        });
        missing.collect()
    }

    fn missing(
        &self,
        [name, key]: &[&str; 2],
        patterns: &[Pattern],
        known: &[&str],
    ) -> Vec<Problem> {
        let patterns = patterns.iter().enumerate();
        let unfit = patterns.filter(|(_, it)| !known.iter().any(|known| it.fits(known)));
        let problems = unfit.map(|(number, pattern)| {
            let text = pattern.shown();
            let guess = nearest(pattern.text(), known.iter().copied());
            let guess =
                guess.map_or_else(String::new, |guess| format!(": did you mean {guess:?}?"));
            let message =
                format!("there is no {key} {text:?}, so that nothing is ever told by it{guess}");
            let number = number.to_string();
            self.problem(&["ship", "webhook", name, key, &number], &message)
        });
        problems.collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_that_nothing_can_fit_is_found() {
        let read = |filters: &str, more: &str| {
            let text = format!(
                "[ship.webhook.ops]\nshape = \"json\"\nurl_file = \"u\"\n{filters}\n{more}"
            );
            toml::from_str::<Config>(&text).unwrap()
        };
        let said = |filters: &str, more: &str| {
            let refused = read(filters, more).check_filters().err();
            refused.map(|it| it.to_string()).unwrap_or_default()
        };
        for good in [
            "",
            "operation = [\"token.*\", \"token.create\"]",
            "environment = [\"default\"]",
            "environment = [\"*\"]",
            "kind = [\"*\", \"re*\", \"challenger\", \"unseen\"]",
        ] {
            assert_eq!(said(good, ""), "", "{good}");
        }
        let prod = "[environments.prod]\nupstream.url = \"http://a\"\nid = \"p\"";
        assert_eq!(said("environment = [\"prod\"]", prod), "");
        for (filters, more, wanted) in [
            (
                "operation = [\"token.creat\"]",
                "",
                "did you mean \"token.create\"?",
            ),
            (
                "operation = [\"token.*\", \"x*\"]",
                "",
                "there is no operation \"x*\"",
            ),
            (
                "kind = [\"strat\"]",
                "",
                "there is no kind \"strat\", so that nothing is ever told by it: did you mean \"start\"?",
            ),
            (
                "environment = [\"prod\"]",
                "",
                "there is no environment \"prod\"",
            ),
            (
                "environment = [\"default\"]",
                prod,
                "there is no environment \"default\"",
            ),
        ] {
            let said = said(filters, more);
            assert!(said.contains(wanted), "{filters}: {said}");
        }
    }
}
