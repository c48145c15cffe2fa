//! OPA's mask and drop rules: what of a decision is not to be written down, and which decisions are not.
//!
//! `data.system.log.mask` and `data.system.log.drop` are asked about the event as it would be written. It guarantees
//! that an event comes back only as the rules want it: a rule that fails, takes too long or says what cannot be done
//! gives no event at all. What it says of a failure has nothing of the event in it.

mod aims;
mod pointer;

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use regorus::utils::limits::ExecutionTimerConfig;
use serde::Deserialize;
use serde_json::{Map, Value as Json};

use super::complaint::answer;
use super::extent;
use super::input::to_rego;
use super::interpreter::{Interpreter, STEPS, prepare};
use super::plain::Origins;
use super::problem::Problem;
use super::read;
use super::refuse;
use super::rego::program::{self, Program};
use super::source::files::{File, Tree};
use pointer::Pointer;
pub use pointer::{Unusable, members};

/// The rules, ready to be asked. Clones are the same ones.
#[derive(Clone)]
pub struct Mask {
    rules: Arc<Rules>,
    /// For each of them.
    limit: Duration,
}

struct Rules {
    prepared: regorus::Engine,
    origins: Origins,
    idle: Mutex<Vec<Interpreter>>,
    masks: bool,
    drops: bool,
}

/// What the rules want of an event.
#[derive(Clone, Debug, PartialEq)]
pub struct Masked {
    pub event: Map<String, Json>,
    /// It is not to be written at all.
    pub drop: bool,
}

/// Why nobody knows what the rules want.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum MaskError {
    /// The place is one in the policies. The message may repeat what stands in the event.
    #[error("a rule of data.system.log failed at {place}")]
    Failed { place: String, message: String },
    #[error("data.system.log.{rule} {problem}")]
    Answer {
        rule: &'static str,
        problem: &'static str,
    },
    #[error(transparent)]
    Unusable(#[from] Unusable),
}

impl MaskError {
    /// All that is known, for events that were made up.
    pub fn with_values(&self) -> String {
        match self {
            Self::Failed { message, .. } => format!("{self}: {message}"),
            Self::Answer { .. } | Self::Unusable(_) => self.to_string(),
        }
    }
}

impl fmt::Debug for Mask {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Mask")
            .field("masks", &self.rules.masks)
            .field("drops", &self.rules.drops)
            .finish_non_exhaustive()
    }
}

/// One element of the mask: a path that is taken away, or an operation.
#[derive(Deserialize)]
#[serde(untagged)]
enum Element {
    Remove(String),
    Operation(Operation),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Operation {
    op: Op,
    path: String,
    /// Absent is not `null`.
    #[serde(default, deserialize_with = "given")]
    value: Option<Json>,
}

#[derive(Clone, Copy, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Op {
    Remove,
    Upsert,
}

fn given<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Option<Json>, D::Error> {
    Json::deserialize(from).map(Some)
}

impl Mask {
    /// Moves the files of the package `system.log` out of the policies: they judge nothing.
    pub(super) fn take_files(
        tree: &mut Tree,
        modules: &[regorus::unstable::Ref<regorus::unstable::Module>],
    ) -> bool {
        let is_log = |file: &File| {
            modules.iter().any(|module| {
                module.package.span.source.get_path() == &file.path
                    && program::package(module) == PACKAGE
            })
        };
        let (masks, policies) = std::mem::take(&mut tree.policies)
            .into_iter()
            .partition(is_log);
        tree.policies = policies;
        tree.masks = masks;
        !tree.masks.is_empty()
    }

    /// The rules of a tree that has some. What in them names what no event has becomes a warning of the tree.
    pub(super) fn of(tree: &mut Tree, problems: &mut Vec<Problem>) -> Option<Self> {
        let first = tree.masks.first()?;
        let is_helper = |file: &&File| {
            let (mut rego, _broken) = read::compile(&[file], &Map::new());
            let modules = rego.get_modules();
            let package = modules.first().map(|module| program::package(module));
            package.is_some_and(|package| package.get(..3) == Some(&HELPERS.map(str::to_owned)[..]))
        };
        let helpers = tree.policies.iter().filter(is_helper);
        let files: Vec<&File> = tree.masks.iter().chain(helpers).collect();
        let (mut rego, broken) = read::compile(&files, &tree.data);
        if !broken.is_empty() {
            problems.extend(broken);
            return None;
        }
        let modules = rego.get_modules().clone();
        let program = Program::new(&modules);
        let before = problems.len();
        refuse::misread(&program, problems);
        refuse_policies(&program, problems);
        let has = |rule: &str| {
            let mut roots = program.roots();
            roots.any(|(root, _)| {
                root.last().is_some_and(|it| it == rule)
                    && root.starts_with(&PACKAGE.map(str::to_owned))
            })
        };
        let (masks, drops) = (has("mask"), has("drop"));
        if !masks && !drops {
            let message = "the package system.log is asked for mask and for drop, and has neither: write `mask contains \
                           \"/input/…\" if { … }`, or `drop if { … }`";
            problems.push(Problem::new(&first.path, 0, 0, message));
        }
        if problems.len() > before {
            return None;
        }
        let doubts = aims::doubts(&program);
        match prepare::evaluable(&mut rego, &tree.data) {
            Ok((prepared, origins)) => {
                let rules = Rules {
                    prepared,
                    origins,
                    idle: Mutex::default(),
                    masks,
                    drops,
                };
                let mask = Self {
                    rules: Arc::new(rules),
                    limit: DEFAULT_LIMIT,
                };
                tree.warnings.extend(doubts);
                Some(mask)
            }
            Err(problem) => {
                problems.push(problem);
                None
            }
        }
    }

    /// Which rules there are.
    pub fn rules(&self) -> Vec<&'static str> {
        let Rules { masks, drops, .. } = &*self.rules;
        let rules = [(*drops, "drop"), (*masks, "mask")];
        let there = rules.into_iter().filter(|(is_there, _)| *is_there);
        there.map(|(_, rule)| rule).collect()
    }

    /// The same, each rule within this time.
    pub(super) fn within(self, limit: Duration) -> Self {
        Self { limit, ..self }
    }

    /// The event as the rules want it. Takes as long as policies may.
    pub fn apply(
        &self,
        mut event: Map<String, Json>,
        now: jiff::Timestamp,
    ) -> Result<Masked, MaskError> {
        let document = to_rego(&Json::Object(event.clone()));
        let rules = &*self.rules;
        let timer = ExecutionTimerConfig {
            limit: self.limit,
            check_interval: STEPS,
        };
        let idle = rules
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut interpreter =
            idle.unwrap_or_else(|| Interpreter::with_time(&rules.prepared, timer));
        interpreter.begin(&document, now.as_millisecond().saturating_mul(1_000_000));
        let mut ask = |rule: &'static str| {
            let path = format!("data.system.log.{rule}");
            let rego = &mut interpreter.rego;
            let value = answer(&path, || rego.eval_rule(path.clone())).map_err(|problem| {
                let problem = rules.origins.in_file(problem);
                MaskError::Failed {
                    place: problem.place(),
                    message: problem.message,
                }
            })?;
            Ok::<_, MaskError>(value)
        };
        let drop = match if rules.drops {
            ask("drop")?
        } else {
            regorus::Value::Undefined
        } {
            regorus::Value::Undefined => false,
            regorus::Value::Bool(drop) => drop,
            _ => return Err(DROP_IS_NO_BOOLEAN),
        };
        let elements = match if rules.masks {
            Some(ask("mask")?)
        } else {
            None
        } {
            None => Vec::new(),
            Some(regorus::Value::Set(set)) => set.iter().cloned().collect(),
            Some(regorus::Value::Array(array)) => array.to_vec(),
            Some(_) => return Err(MASK_IS_NO_SET),
        };
        interpreter.forget();
        rules
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(interpreter);
        change(&mut event, &elements)?;
        Ok(Masked { event, drop })
    }
}

/// Does what the elements say. All paths mean places in the event as it was.
fn change(event: &mut Map<String, Json>, elements: &[regorus::Value]) -> Result<(), MaskError> {
    let (mut removed, mut put) = (Vec::new(), Vec::new());
    for element in elements {
        extent::recordable(element).map_err(|_too_much| LARGE)?;
        let element = serde_json::to_value(element).map_err(|_no_json| NO_ELEMENT)?;
        let element: Element = serde_json::from_value(element).map_err(|_other| NO_ELEMENT)?;
        match element {
            Element::Remove(path)
            | Element::Operation(Operation {
                op: Op::Remove,
                path,
                ..
            }) => removed.push(Pointer::parse(&path)?),
            Element::Operation(Operation { path, value, .. }) => {
                let pointer = Pointer::parse(&path)?;
                let value = value.ok_or(NO_VALUE)?;
                pointer.may_hold(&value)?;
                put.push((pointer, value));
            }
        }
    }
    let mut masked = Vec::new();
    for (pointer, value) in put {
        pointer.upsert(event, &value)?;
        masked.push(Json::from(pointer.text()));
    }
    // From the last place to the first, so that no place moves before its turn has come.
    let mut places: Vec<(Vec<pointer::Step>, String)> = Vec::new();
    for pointer in removed {
        let found = pointer.places(event)?;
        places.extend(
            found
                .into_iter()
                .map(|place| (place, pointer.text().to_owned())),
        );
    }
    places.sort();
    places.dedup_by(|one, other| one.0 == other.0);
    let mut erased: Vec<Json> = Vec::new();
    for (place, text) in places.into_iter().rev() {
        pointer::remove(event, &place);
        erased.push(text.into());
    }
    erased.reverse();
    erased.dedup();
    for (name, list) in [("erased", erased), ("masked", masked)] {
        if !list.is_empty() {
            event.insert(name.to_owned(), list.into());
        }
    }
    Ok(())
}

/// Refuses rules that ask policies: they are not there when a mask is asked, and would be undefined.
fn refuse_policies(program: &Program<'_>, problems: &mut Vec<Problem>) {
    use super::rego::walk::{self, Site};
    for definition in &program.definitions {
        walk::rule(definition.rule, &mut |site| {
            let (Site::Reference(asked)
            | Site::Call {
                function: asked, ..
            }) = site
            else {
                return;
            };
            let path = definition.names.whole(&program::known(asked));
            let path: Vec<&str> = path.iter().map(String::as_str).collect();
            if let ["data", "dtgate", package, ..] = path.as_slice()
                && *package != "lib"
            {
                let message = "a mask cannot ask policies: what they said stands in input.result.violations; helpers for \
                               both belong to dtgate.lib";
                problems.push(program::at(asked.span(), message));
            }
        });
    }
}

const PACKAGE: [&str; 3] = ["data", "system", "log"];
const HELPERS: [&str; 3] = ["data", "dtgate", "lib"];

/// How long one rule may take, unless configured.
const DEFAULT_LIMIT: Duration = Duration::from_millis(100);

const DROP_IS_NO_BOOLEAN: MaskError = MaskError::Answer {
    rule: "drop",
    problem: "is neither true nor false",
};
const MASK_IS_NO_SET: MaskError = MaskError::Answer {
    rule: "mask",
    problem: "is no set and no array, or undefined: write `mask contains \"/input/…\" if { … }`",
};
const NO_ELEMENT: MaskError = MaskError::Answer {
    rule: "mask",
    problem: "has an element that is neither a path nor {\"op\": \"remove\" or \"upsert\", \"path\": …, \"value\": …}",
};
const LARGE: MaskError = MaskError::Answer {
    rule: "mask",
    problem: "has an element that is too large, or nested deeper than 32",
};
const NO_VALUE: MaskError = MaskError::Answer {
    rule: "mask",
    problem: "has an upsert without a value",
};

#[cfg(test)]
mod tests;
