//! Functions that a policy must not call, does not call as they are, or that do not exist; and calls that can never end.

use std::collections::{BTreeMap, BTreeSet};

use crate::policy::problem::Problem;
use crate::policy::rego::program::{Definition, Path, Program, at, dotted};
use crate::policy::rego::walk::{self, Site};
use crate::policy::{builtins, input};
use crate::value::counted;

/// Refuses them. A test may use whatever works: it decides nothing.
pub(in crate::policy) fn refuse(program: &Program<'_>, problems: &mut Vec<Problem>) {
    let mut graph: BTreeMap<Path, BTreeMap<Path, Problem>> = BTreeMap::new();
    for caller in &program.definitions {
        walk::rule(caller.rule, &mut |site| {
            let (Site::Call { function: name, .. } | Site::With(name)) = site else {
                return;
            };
            match call(program, caller, site) {
                Err(message) => problems.push(at(name.span(), message)),
                Ok(Some(target)) if caller.arity.is_some() => {
                    let text = format!("{} calls itself", caller.path.join("."));
                    let problem = at(name.span(), text);
                    let calls = graph.entry(caller.path.clone()).or_default();
                    calls.entry(target).or_insert(problem);
                }
                Ok(_) => {}
            }
        });
    }
    problems.extend(cycles(&graph));
}

/// The function of the policies that is meant, if it is one.
fn call(
    program: &Program<'_>,
    caller: &Definition<'_>,
    site: Site<'_>,
) -> Result<Option<Path>, String> {
    let (expression, arguments) = match site {
        Site::Call {
            function,
            arguments,
        } => (function, Some(arguments.len())),
        Site::With(expression) => (expression, None),
        _ => return Ok(None),
    };
    let Some(path) = dotted(expression) else {
        // The engine drops computed steps from the name of a function: `http[x].send` would be `http.send`.
        return match arguments {
            Some(_) => Err("a function must be called by its plain name".to_owned()),
            None => Ok(None),
        };
    };
    if let Some((callee, arity)) = program.function(&caller.names, &path) {
        return match arguments {
            // One argument more receives the result.
            Some(arguments) if arguments != arity && arguments != arity + 1 => Err(format!(
                "{} takes {}, not {arguments}",
                path.join("."),
                counted(arity, "argument")
            )),
            _ => Ok(Some(callee.clone())),
        };
    }
    let name = path.join(".");
    let is_test = program.tests.contains(caller.names.file);
    match (builtins::refusal(&name), arguments) {
        // Tests may ask for what only the engine has.
        (Some(reason), arguments)
            if !is_test || (arguments.is_some() && !builtins::is_known(&name)) =>
        {
            Err(format!("{name} may not be used: {reason}"))
        }
        (_, Some(_)) if program.is_whole && !builtins::is_known(&name) => {
            Err(unknown(program, caller, &name))
        }
        _ => Ok(None),
    }
}

fn unknown(program: &Program<'_>, caller: &Definition<'_>, name: &str) -> String {
    let mut candidates: Vec<&str> = builtins::allowed();
    candidates.extend(program.function_names(caller.package()));
    let guess = input::guess(name, "", &candidates);
    format!("there is no function {name}{guess}")
}

/// Functions that can call themselves. The engine would follow them until the stack ends, and the process with it.
fn cycles(graph: &BTreeMap<Path, BTreeMap<Path, Problem>>) -> Vec<Problem> {
    let mut problems = Vec::new();
    for (function, calls) in graph {
        for (callee, problem) in calls {
            let mut seen = BTreeSet::new();
            let mut pending = vec![callee];
            while let Some(next) = pending.pop() {
                if next == function {
                    problems.push(problem.clone());
                    break;
                }
                if seen.insert(next) {
                    pending.extend(graph.get(next).into_iter().flat_map(BTreeMap::keys));
                }
            }
        }
    }
    problems
}
