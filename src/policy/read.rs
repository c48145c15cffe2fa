//! Policies as the engine's parser reads them.

mod chains;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::num::{NonZeroU32, NonZeroUsize};

use serde_json::{Map, Value as Json};

use super::complaint::engine_problem;
use super::problem::Problem;
use super::{builtins, input, lexical};
use crate::policy::source::files::File;

/// An engine with everything that parses in it, and what does not. It is for looking at, and for [`super::interpreter::prepare::evaluable`].
pub(super) fn compile(
    files: &[&File],
    data: &Map<String, Json>,
) -> (regorus::Engine, Vec<Problem>) {
    compile_with(files, &BTreeMap::new(), data)
}

/// The same with rules of our own behind some files, by their paths, as the parser reads them.
pub(super) fn compile_with(
    files: &[&File],
    more: &BTreeMap<String, String>,
    data: &Map<String, Json>,
) -> (regorus::Engine, Vec<Problem>) {
    let (mut texts, mut unread) = (Vec::new(), Vec::new());
    for file in files {
        match lexical::written(&file.path, &file.text) {
            Ok(text) => {
                let more = more.get(&file.path).map_or("", String::as_str);
                texts.push((file.path.clone(), lexical::appended(&text, more)));
            }
            Err(problem) => unread.push(problem),
        }
    }
    let (mut rego, problems) = engine_of(texts.into_iter(), data);
    unread.extend(problems);
    let beyond = chains::beyond_bounds(&rego.get_modules().clone());
    if !beyond.is_empty() {
        // What looks at them or evaluates them would not come back.
        unread.extend(beyond);
        rego = engine();
    }
    (rego, unread)
}

/// What a file may have, written out; the engine counts further.
const MOST_BYTES: NonZeroUsize = NonZeroUsize::new(16 << 20).expect("it is not zero");
const MOST_LINES: NonZeroUsize = NonZeroUsize::new(200_000).expect("it is not zero");

/// An engine with everything that parses of these texts in it, and what does not.
pub(super) fn engine_of(
    texts: impl Iterator<Item = (String, String)>,
    data: &Map<String, Json>,
) -> (regorus::Engine, Vec<Problem>) {
    let mut rego = engine();
    rego.set_gather_prints(true);
    let mut problems = Vec::new();
    for (path, text) in texts {
        if let Err(error) = rego.add_policy(path.clone(), text.clone()) {
            let problem = engine_problem(&error.to_string(), &path);
            problems.push(lexical::in_file(&text, problem));
        }
    }
    if let Err(error) = rego.add_data(input::to_rego(&Json::Object(data.clone()))) {
        problems.push(engine_problem(&error.to_string(), "data"));
    }
    (rego, problems)
}

/// An engine to which lines may be as long as a file.
pub(super) fn engine() -> regorus::Engine {
    let mut rego = regorus::Engine::new();
    builtins::register(&mut rego);
    rego.set_strict_builtin_errors(true);
    rego.set_policy_length_config(regorus::PolicyLengthConfig {
        max_col: NonZeroU32::MAX,
        max_file_bytes: MOST_BYTES,
        max_lines: MOST_LINES,
    });
    rego
}
