//! Header fields that are in no input: those that carry a secret, and those by which proxies say for whom they ask.

use std::collections::BTreeMap;

use crate::dynatrace::redact::Redactor;
use crate::policy::problem::Problem;
use crate::policy::rego::program::{self, Program};
use crate::policy::rego::walk::{self, Site};

/// Warns of each place where a policy asks for one.
pub(in crate::policy) fn never_there(program: &Program<'_>) -> Vec<Problem> {
    let mut told = BTreeMap::new();
    for definition in &program.definitions {
        walk::rule(definition.rule, &mut |site| {
            let Site::Reference(reference) = site else {
                return;
            };
            if let Some(way) = definition.names.way(reference) {
                let steps: Vec<&str> = way.iter().map_while(Option::as_deref).collect();
                if let [
                    "input",
                    "attributes",
                    "request",
                    "http",
                    "headers",
                    name,
                    ..,
                ] = *steps
                    && is_hidden(name)
                {
                    let message = format!(
                        "the header field {name} is in no input, and this is undefined: who asks is in input.caller"
                    );
                    let problem = program::at(reference.span(), &message);
                    let place = (problem.path.clone(), problem.line, name.to_owned());
                    told.insert(place, problem);
                }
            }
        });
    }
    told.into_values().collect()
}

fn is_hidden(name: &str) -> bool {
    let is_of_proxies = name.contains("forwarded") || name == "x-real-ip";
    is_of_proxies || Redactor::default().header(name, "value").is_none()
}
