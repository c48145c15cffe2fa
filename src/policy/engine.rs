//! Asks every policy about one input, in bounded time, and always comes back with a decision.
//!
//! Whatever goes wrong while a policy is asked (an error, a panic, too much time, an answer of the wrong
//! kind) is a violation that denies, in every mode. Interpreters are prepared once for a bundle and cloned
//! for as many threads as ask at once; no lock is held while one of them thinks. [`super::trust`] says when the
//! bytecode engine may answer instead.

mod document;
mod entrypoints;
mod moments;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, Ordering::Relaxed},
        mpsc::Receiver,
    },
    time::{Duration, Instant},
};

use regorus::{Value, utils::limits::ExecutionTimerConfig};
use serde::Serialize;

use crate::policy::bundle::{Bundle, Definition};
use crate::policy::bytecode::{Bounds, COMPARED, Silence};
use crate::policy::decision::{Decision, LOOKUP, Mode, Rule, Violation};
use crate::policy::extent;
use crate::policy::input::{self, Input};
use crate::policy::interpreter::{Interpreter, STEPS};
use crate::policy::mask::Mask;
use crate::policy::plain::Origins;
use crate::policy::problem::Problem;
use crate::policy::question::array;
use crate::policy::rego::program::{Path, Read};
use crate::policy::source::exceptions::Exceptions;
use crate::policy::source::files::Tree;
use crate::policy::source::packed::Release;
use crate::policy::trust::proof::{self, Comparison};
use crate::policy::trust::share::AnswersFor;
use crate::policy::trust::share::{Share, Sources};
use crate::policy::trust::{Trust, Trusted};

/// How long one rule of one policy may take, unless configured.
pub const DEFAULT_LIMIT: Duration = Duration::from_millis(100);

/// Requests until the hurry is tried again.
const PATIENCE: u32 = 100;

pub struct Engine {
    /// The rules that are no functions, by package and name.
    documents: BTreeSet<Path>,
    /// With the values of rules that are the same for every request.
    prepared: regorus::Engine,
    /// The policies as they are, for explanations and for the bytecode.
    written: regorus::Engine,
    origins: Origins,
    idle: Mutex<Vec<Interpreter>>,
    policies: BTreeMap<String, Definition>,
    reads: BTreeSet<Read>,
    reads_of: BTreeMap<String, BTreeSet<Read>>,
    lookup_required: bool,
    exceptions: Exceptions,
    warnings: Vec<Problem>,
    mask: Option<Mask>,
    revision: String,
    timer: ExecutionTimerConfig,
    tree: Tree,
    trust: Trust,
    /// How many requests are not tried in a hurry any more: the last that was took too long, and was begun in vain.
    patient: AtomicU32,
}

/// A decision and the lines that led to it.
#[derive(Debug, Serialize)]
#[non_exhaustive]
pub struct Explanation {
    pub decision: Decision,
    /// Per file the rows that were evaluated, whatever they came to.
    pub lines: Vec<(String, Vec<u32>)>,
    /// What the policies printed.
    pub prints: Vec<String>,
}

impl fmt::Debug for Engine {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("Engine")
            .field("revision", &self.revision)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// An engine for a bundle; `limit` is for all rules together, and past it for each on its own, so that one
    /// that runs away is named.
    ///
    /// A builtin cannot be interrupted: the limit is seen when it returns.
    pub fn new(bundle: Bundle, limit: Duration) -> Self {
        let Bundle {
            documents,
            rego: mut written,
            evaluated: mut prepared,
            origins,
            policies,
            revision,
            reads,
            reads_of,
            lookup_required,
            exceptions,
            warnings,
            mask,
            tree,
        } = bundle;
        let timer = ExecutionTimerConfig {
            limit,
            check_interval: STEPS,
        };
        for rego in [&mut prepared, &mut written] {
            rego.set_execution_timer_config(timer);
        }
        Self {
            documents,
            prepared,
            written,
            origins,
            idle: Mutex::default(),
            policies,
            reads,
            reads_of,
            lookup_required,
            exceptions,
            warnings,
            mask: mask.map(|mask| mask.within(limit)),
            revision,
            timer,
            tree,
            trust: Trust::default(),
            patient: AtomicU32::new(0),
        }
    }

    /// Lets the bytecode engine answer for these policies from now on, if it was found equal to the interpreter: on the
    /// inputs of the policies' tests and on so many made-up ones. Takes a while; requests are answered meanwhile.
    pub fn prove(&self, bytecode: AnswersFor, made_up: usize, seed: u64) -> Trusted {
        self.trust.settle(|| {
            let proven = |wanted| {
                let share = self.sources().share(wanted)?;
                let inputs = self.compare(&share, made_up, seed)?;
                Ok::<_, String>((share, inputs))
            };
            let (mut shipped_only, mut found) = (None, proven(bytecode));
            if bytecode == AnswersFor::All
                && let Err(reason) = &found
            {
                // Attacked and found equal, whatever else is loaded.
                shipped_only = Some(reason.clone());
                found = proven(AnswersFor::Shipped).map_err(|_none_shipped| reason.clone());
            }
            let (share, inputs) = found?;
            let trusted = Trusted::Bytecode {
                inputs,
                others: share.left.clone(),
                shipped_only,
            };
            Ok((share, trusted))
        })
    }

    /// Who answers requests.
    pub fn trusted(&self) -> Trusted {
        self.trust.trusted()
    }

    /// How many inputs both engines agreed on, or the first that they did not.
    fn compare(&self, share: &Share, made_up: usize, seed: u64) -> Result<usize, String> {
        let comparison = self.comparison(share);
        let names: Vec<&str> = self.names().collect();
        let of_tests = proof::inputs_of_tests(&self.tree, &names);
        let words = proof::words(&self.tree);
        let made_up = proof::made_up(&words, &self.reads, seed).take(made_up);
        let mut interpreter = Interpreter::with_time(&self.prepared, COMPARED);
        let mut compared = 0;
        for input in of_tests.into_iter().chain(made_up) {
            comparison.of(&mut interpreter, &input)?;
            compared += 1;
        }
        Ok(compared)
    }

    fn sources(&self) -> Sources<'_> {
        Sources {
            written: &self.written,
            tree: &self.tree,
            rules: self.rules().collect(),
            names: self.names().collect(),
            timer: self.timer,
        }
    }

    /// The requests that [`Engine::check`] is for: one in a second at most, of those that the bytecode let pass.
    /// Only the first who asks gets them. They end with the engine.
    pub fn to_check(&self) -> Option<Receiver<Value>> {
        self.trust.to_check()
    }

    /// Whether the interpreter agrees that nobody objects. If not, the bytecode never answers again.
    ///
    /// Takes its time, and is meant for a thread that has nothing else to do.
    pub fn check(&self, document: &Value) {
        self.trust.check(&self.prepared, document);
    }

    /// Nobody calls [`Engine::check`] any more: the bytecode never answers again.
    pub(super) fn unchecked(&self) {
        self.trust.give_up();
    }

    pub(super) fn comparison<'a>(&'a self, share: &'a Share) -> Comparison<'a> {
        Comparison {
            bytecode: &share.bytecode,
            prepared: &self.prepared,
            rules: &share.rules,
        }
    }

    /// All rules of all policies, in the order in which they are asked.
    pub fn rules(&self) -> impl Iterator<Item = String> {
        rules(&self.policies)
    }

    pub fn limit(&self) -> Duration {
        self.timer.limit
    }

    /// Decides by the bytecode alone, in bounded time: nobody objects. `None`: [`Engine::decide`] has to be asked,
    /// because somebody does, or something failed or takes long, or some policies are the interpreter's.
    pub fn decide_quickly(&self, input: &Input) -> Option<Decision> {
        let started = Instant::now();
        // The document is not made for an engine that will not be asked.
        let share = self.trust.share()?;
        if !share.others.is_empty() || self.has_entrypoints() || self.lookup_failed(input) {
            return None;
        }
        let less = |left: u32| left.checked_sub(1);
        if self.patient.fetch_update(Relaxed, Relaxed, less).is_ok() {
            return None;
        }
        let document = input.to_rego();
        let objecting = share.bytecode.objecting(&document, Bounds::FEW);
        if objecting == Err(Silence::TooManySteps) {
            self.patient.store(PATIENCE, Relaxed);
        }
        (objecting == Ok(Vec::new())).then(|| self.quiet(&document, started))
    }

    /// What the bytecode decided: nobody objects.
    fn quiet(&self, document: &Value, started: Instant) -> Decision {
        self.trust.offer(document);
        Decision::quiet(self.revision.clone(), started.elapsed())
    }

    /// Whether a token that the policies ask about could not be looked up, and that matters.
    fn lookup_failed(&self, input: &Input) -> bool {
        self.lookup_required && input.lookup_error().is_some() && !input.only_disables()
    }

    /// A member of the policies' data.
    pub fn data(&self, member: &str) -> Option<&serde_json::Value> {
        self.tree.data.get(member)
    }

    pub fn problem_in_data(&self, path: &[&str], message: String) -> Problem {
        self.tree.problem_in_data(path, message)
    }

    pub fn revision(&self) -> &str {
        &self.revision
    }

    /// The bundles that the policies came in.
    pub fn releases(&self) -> impl Iterator<Item = &Release> {
        self.tree.parts.iter().map(|part| &part.release)
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.policies.keys().map(String::as_str)
    }

    #[cfg(test)]
    pub(super) fn inputs_of_tests(&self) -> Vec<Input> {
        let names: Vec<&str> = self.names().collect();
        let inputs = proof::inputs_of_tests(&self.tree, &names).into_iter();
        let whole = |input| serde_json::from_value(serde_json::to_value(input).ok()?).ok();
        inputs.filter_map(whole).collect()
    }

    /// What they were made from.
    pub(super) fn tree(&self) -> &Tree {
        &self.tree
    }

    /// The members of the input that policies may read.
    pub(super) fn all_reads(&self) -> &BTreeSet<Read> {
        &self.reads
    }

    /// The package that a policy is in: `dtgate.naming`, or that of an entrypoint.
    pub(super) fn package_of(&self, policy: &str) -> String {
        let definition = self.policies.get(policy);
        let rule = definition.and_then(|definition| definition.entrypoint.as_deref());
        let steps = rule.and_then(|rule| rule.strip_prefix("data.")?.rsplit_once('.'));
        steps.map_or_else(
            || format!("dtgate.{policy}"),
            |(package, _)| package.to_owned(),
        )
    }

    /// How each policy is applied, in words.
    pub(super) fn modes(&self) -> impl Iterator<Item = (&str, String)> {
        let policies = self.policies.iter();
        policies.map(|(name, it)| (name.as_str(), it.enforcement.to_string()))
    }

    /// How a policy is applied at a time, in words.
    pub(super) fn mode_at(&self, policy: &str, time: jiff::Timestamp) -> Option<String> {
        let policy = self.policies.get(policy)?;
        Some(policy.enforcement.at(time))
    }

    /// Environments that modes and exceptions are about.
    pub fn environments(&self) -> BTreeSet<&str> {
        let modes = self.policies.values();
        let about = modes.flat_map(|it| it.enforcement.about());
        let about = about.chain(self.exceptions.about());
        let names = about.flat_map(|about| &about.environments);
        names.map(String::as_str).collect()
    }

    /// Modes and exceptions that have ended.
    pub fn ended(&self, now: jiff::Timestamp) -> Vec<Problem> {
        let ended = self.exceptions.ended(now);
        let told = |(place, message): (String, String)| {
            self.tree.problem_in_data(&["exceptions", &place], message)
        };
        let mut all: Vec<Problem> = ended.map(told).collect();
        for (name, policy) in &self.policies {
            all.extend(policy.enforcement.ended(now).map(|message| {
                let message = format!("data.modes.{name}: {message}");
                self.tree.problem_in_data(&["modes", name], message)
            }));
        }
        all
    }

    /// What is worth a second look at the policies, and yet is in force.
    pub fn warnings(&self) -> &[Problem] {
        &self.warnings
    }

    /// The rules about what may be written down of a decision, where there are some.
    pub fn mask(&self) -> Option<&Mask> {
        self.mask.as_ref()
    }

    /// Whether a policy may read this member of the input, or one below it, as in `input.token.current`.
    pub fn reads(&self, member: &str) -> bool {
        let member: Vec<&str> = member.split('.').collect();
        self.reads.iter().any(|read| may_be(read, &member))
    }

    /// The policies that may, or whose modes and exceptions do: for this input, or for any. Who objects to a token that could
    /// not be looked up is among them, although it is no policy. The member is given by its steps: names of claims have dots.
    pub fn readers(&self, member: &[impl AsRef<str>], input: Option<&Input>) -> Vec<&str> {
        let rules = self.reads_of.iter();
        let rules = rules.filter(|(_, reads)| reads.iter().any(|read| may_be(read, member)));
        let rules = rules.map(|(policy, _)| policy.as_str());
        let of_lookup = self.lookup_required
            && input::lookup_failed_by(input).any(|read| is_around(read, member));
        let all = rules.chain(self.applied_by(member, input));
        all.chain(of_lookup.then_some(LOOKUP)).collect()
    }

    /// The policies whose modes or exceptions go by this member of the input, or by one below or around it.
    pub fn applied_by(&self, member: &[impl AsRef<str>], input: Option<&Input>) -> Vec<&str> {
        let applied = self.policies.iter().filter(|(policy, definition)| {
            let modes = definition.enforcement.about();
            let modes = modes.flat_map(|about| about.reads(input));
            let mut reads = modes.chain(self.exceptions.reads(policy, input));
            reads.any(|read| is_around(read, member))
        });
        applied.map(|(policy, _)| policy.as_str()).collect()
    }

    /// Asks every policy, never only the first that objects: the interpreter about those that the bytecode does not say
    /// to be silent.
    pub fn decide(&self, input: &Input) -> Decision {
        let started = Instant::now();
        let document = input.to_rego();
        let all: Vec<String> = self.rules().collect();
        let (asked, is_objected) = self.left_to_ask(&document, &all);
        if asked.is_empty() && !self.has_entrypoints() && !self.lookup_failed(input) {
            return self.quiet(&document, started);
        }
        let idle = self
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let mut interpreter = idle.unwrap_or_else(|| Interpreter::clone_of(&self.prepared));
        let mut ask = |rules: &[String]| {
            self.ask(
                rules,
                input,
                &document,
                &self.prepared,
                &mut interpreter,
                |_| {},
            )
        };
        let mut violations = ask(&asked);
        if violations.is_empty() && is_objected {
            // The engines differ. It is the interpreter's word that counts, and then about everything.
            violations = ask(&all);
        }
        violations.extend(self.ask_entrypoints(
            input,
            &document,
            &self.prepared,
            &mut interpreter,
            |_| {},
        ));
        interpreter.forget();
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(interpreter);
        if violations.is_empty() && !is_objected && asked.len() < all.len() {
            let quiet = self.quiet(&document, started);
            // What an entrypoint said, the bytecode did not say.
            if !self.has_entrypoints() {
                return quiet;
            }
        }
        Decision::new(violations, self.revision.clone(), started.elapsed())
    }

    /// The rules that the bytecode does not say to be silent, of all; and whether it says of one that it is not.
    fn left_to_ask(&self, document: &Value, all: &[String]) -> (Vec<String>, bool) {
        let Some(share) = self.trust.share() else {
            return (all.to_vec(), false);
        };
        match share.bytecode.objecting(document, Bounds::MOST) {
            Ok(objecting) => {
                let is_left = |rule: &&String| {
                    share.others.contains(*rule) || objecting.contains(&rule.as_str())
                };
                let left = all.iter().filter(is_left).cloned().collect();
                (left, !objecting.is_empty())
            }
            Err(_silence) => (all.to_vec(), false),
        }
    }

    /// Decides as [`Engine::decide`] does, and says which lines were evaluated on the way.
    pub fn explain(&self, input: &Input) -> Explanation {
        let mut watched = self.written.clone();
        watched.set_enable_coverage(true);
        let mut lines: BTreeMap<String, BTreeSet<u32>> = BTreeMap::new();
        let mut prints = Vec::new();
        let mut collect = |interpreter: &mut Interpreter| {
            prints.extend(interpreter.rego.take_prints().unwrap_or_default());
            for file in interpreter
                .rego
                .get_coverage_report()
                .into_iter()
                .flat_map(|report| report.files)
            {
                lines.entry(file.path).or_default().extend(file.covered);
            }
        };
        let mut interpreter = Interpreter::clone_of(&watched);
        let started = Instant::now();
        let rules: Vec<String> = self.rules().collect();
        let document = input.to_rego();
        let mut violations = self.ask(
            &rules,
            input,
            &document,
            &watched,
            &mut interpreter,
            &mut collect,
        );
        violations.extend(self.ask_entrypoints(
            input,
            &document,
            &watched,
            &mut interpreter,
            &mut collect,
        ));
        let decision = Decision::new(violations, self.revision.clone(), started.elapsed());
        collect(&mut interpreter);
        let lines = lines
            .into_iter()
            .map(|(file, rows)| (file, rows.into_iter().collect()))
            .collect();
        Explanation {
            decision,
            lines,
            prints,
        }
    }

    /// What these rules say, in the order of all rules, and that the token could not be looked up where that matters.
    ///
    /// One question for all rules evaluates their common helpers once and takes half the time. When it has no answer, each
    /// is asked on its own, so that the decision says which policy failed. `broken` sees an interpreter that failed before
    /// it is replaced.
    fn ask(
        &self,
        asked: &[String],
        input: &Input,
        document: &Value,
        prepared: &regorus::Engine,
        interpreter: &mut Interpreter,
        mut broken: impl FnMut(&mut Interpreter),
    ) -> Vec<Violation> {
        interpreter.begin(document, input.now_ns());
        let mut violations = Vec::new();
        if self.lookup_failed(input) {
            violations.extend(input.lookup_error().map(Violation::not_looked_up));
        }
        let answers = interpreter.ask_together(&array(asked));
        if answers.is_none() {
            broken(interpreter);
            *interpreter = Interpreter::clone_of(prepared);
            interpreter.begin(document, input.now_ns());
        }
        let mut answers = answers.into_iter().flatten();
        let mut asked = asked.iter().peekable();
        for (policy, definition) in &self.policies {
            let mode = definition.enforcement.of(policy, input);
            for &rule in &definition.rules {
                let path = rule_path(policy, rule);
                // They are asked in this order.
                if asked.next_if(|next| **next == path).is_none() {
                    continue;
                }
                let answer = match answers.next() {
                    Some(elements) => Ok(elements),
                    None => interpreter.ask(&path),
                };
                match answer {
                    Ok(elements) => violations.extend(read_all(policy, mode, rule, &elements)),
                    Err(problem) => {
                        let message = self.origins.in_file(problem).to_string();
                        violations.push(Violation::failed(policy, rule, &message));
                        // What an error leaves behind in an interpreter is anybody's guess.
                        broken(interpreter);
                        *interpreter = Interpreter::clone_of(prepared);
                        interpreter.begin(document, input.now_ns());
                    }
                }
            }
        }
        for violation in &mut violations {
            self.exceptions.apply(violation, input);
        }
        violations
    }
}

/// Whether what is read may be this member, or one below or around it.
fn may_be(read: &Read, member: &[impl AsRef<str>]) -> bool {
    let mut steps = read.iter().zip(member);
    steps.all(|(step, wanted)| {
        let step = step.as_deref();
        step.is_none_or(|step| step == wanted.as_ref())
    })
}

/// Whether one of two members of the input is the other, or around it. One of them is ours: its names have no dots.
fn is_around(ours: &str, other: &[impl AsRef<str>]) -> bool {
    let mut steps = ours.split('.').zip(other);
    steps.all(|(one, other)| one == other.as_ref())
}

fn rule_path(policy: &str, rule: Rule) -> String {
    format!("data.dtgate.{policy}.{}", rule.name())
}

fn rules(policies: &BTreeMap<String, Definition>) -> impl Iterator<Item = String> {
    policies.iter().flat_map(|(policy, definition)| {
        let rules = definition.rules.iter();
        rules.map(move |rule| rule_path(policy, *rule))
    })
}

fn read_all(policy: &str, mode: Mode, rule: Rule, elements: &Value) -> Vec<Violation> {
    let elements = elements
        .as_set()
        .into_iter()
        .flat_map(|elements| elements.iter());
    elements
        .map(|element| {
            // It is for a record.
            let json = extent::recordable(element)
                .and_then(|()| serde_json::to_value(element).map_err(|error| error.to_string()));
            json.and_then(|json| Violation::read(policy, mode, rule, json))
                .unwrap_or_else(|message| Violation::failed(policy, rule, &message))
        })
        .collect()
}

#[cfg(test)]
mod tests;
