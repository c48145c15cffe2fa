//! Policies written out and made ready for the interpreter.
//!
//! An engine that comes from here has compiled all that it was given, and reads it as OPA does. What is wrong is told at
//! its place in the files.

use regorus::utils::limits::ExecutionTimerConfig;
use serde_json::{Map, Value as Json};

use super::{STEPS, constants};
use crate::policy::complaint::engine_problem;
use crate::policy::plain::{self, Layout, Origins};
use crate::policy::problem::Problem;
use crate::policy::read::{compile, engine_of};
use crate::policy::source::files::File;

/// The engine that evaluates what another has read, and where its files are written. All is compiled now, not at
/// the first question.
pub(in crate::policy) fn evaluable(
    written: &mut regorus::Engine,
    data: &Map<String, Json>,
) -> Result<(regorus::Engine, Origins), Problem> {
    laid_out(written, data, Layout::AsInFile)
}

/// The same, with its pieces in other lines.
pub(in crate::policy) fn laid_out(
    written: &mut regorus::Engine,
    data: &Map<String, Json>,
    layout: Layout,
) -> Result<(regorus::Engine, Origins), Problem> {
    let (texts, origins) = plain::write_out(written.get_modules(), data, layout)?;
    let (mut rego, problems) = engine_of(texts.into_iter(), data);
    match problems.into_iter().next() {
        Some(problem) => Err(origins.in_file(problem)),
        None => match prepare(&mut rego) {
            Ok(()) => Ok((rego, origins)),
            Err(problem) => Err(origins.in_file(problem)),
        },
    }
}

/// The engine that has the values of rules which are the same for every request in place of these rules.
pub(in crate::policy) fn evaluated(
    rego: &mut regorus::Engine,
    data: &Map<String, Json>,
) -> Result<regorus::Engine, Problem> {
    rego.set_execution_timer_config(ExecutionTimerConfig {
        limit: constants::LIMIT,
        check_interval: STEPS,
    });
    let (texts, values) = constants::evaluated(rego)?;
    let (mut evaluated, mut problems) = engine_of(texts.into_iter(), data);
    if let Err(error) = evaluated.add_data(values) {
        problems.push(engine_problem(&error.to_string(), "data"));
    }
    match problems.into_iter().next() {
        Some(problem) => Err(problem),
        None => prepare(&mut evaluated).map(|()| evaluated),
    }
}

/// An engine that evaluates these files, and where what it evaluates differs from them; or the first problem.
pub(in crate::policy) fn ready(
    files: &[&File],
    data: &Map<String, Json>,
) -> Result<(regorus::Engine, Origins), Problem> {
    let (mut written, problems) = compile(files, data);
    match problems.into_iter().next() {
        Some(problem) => Err(problem),
        None => evaluable(&mut written, data),
    }
}

/// Makes the engine do now what it would otherwise do, and complain about, at the first question.
fn prepare(rego: &mut regorus::Engine) -> Result<(), Problem> {
    rego.eval_query("true".to_owned(), false)
        .map(drop)
        .map_err(|error| engine_problem(&error.to_string(), "policies"))
}
