//! Rego in, decisions out.
//!
//! A [`Policy`] is a checked bundle and an engine that asks all of it. It guarantees that a [`Judged`]
//! value was judged by it: nobody else can make one. It knows nothing of HTTP, and it does no I/O after
//! it was loaded.

use std::{
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

mod absent;
mod archive;
pub mod build;
mod builtins;
mod bundle;
mod bytecode;
mod complaint;
#[cfg(test)]
mod conformance;
mod decision;
mod diff;
mod engine;
mod entrypoint;
mod extent;
mod generation;
mod granted;
pub mod input;
mod interpreter;
mod lexical;
mod listed;
mod mask;
mod plain;
mod problem;
mod question;
mod read;
mod refuse;
mod rego;
mod remedy;
mod source;
pub mod suite;
mod trust;
mod twice;
mod yaml;

pub use archive::MOST_BYTES;
pub use archive::algorithm::Algorithm;
pub use archive::sign::SignedBy;
pub use archive::signature::Signer;
pub use bundle::Bundle;
pub use decision::{
    Answer, Decision, Effect, Evaluator, Exception, LOOKUP, Mode, POLICY_ERROR, Remedy, Rule,
    Verdict, Violation,
};
pub use diff::{Diff, Example, Requests};
pub use engine::{DEFAULT_LIMIT, Engine, Explanation};
pub use entrypoint::{Entrypoint, NoEntrypoint};
pub use generation::Generation;
pub use granted::Granted;
pub use input::Input;
pub use listed::Listed;
pub use mask::{Mask, MaskError, Masked, Unusable, members as members_of_mask};
pub use problem::{LoadError, Problem};
pub use source::files::LONGEST_FILE;
pub use source::held::Held;
pub use source::older::{Before, Least};
pub use source::packed::{Packed, Release, Signature, Sources};
pub use source::texts::Text;
pub use trust::Trusted;
pub use trust::share::{AnswersFor, Other};
pub use yaml::{Fault as YamlFault, from_str as read_yaml};

/// The policies in force. Clones share one engine.
#[derive(Clone, Debug)]
pub struct Policy {
    engine: Arc<Engine>,
}

/// Something together with the decision about it. Only [`Policy::judge`] makes one.
#[derive(Debug)]
#[must_use = "what was judged must be recorded"]
pub struct Judged<T> {
    subject: T,
    decision: Decision,
}

impl Policy {
    /// Loads the policies of a directory; `limit` is for each rule of each policy.
    pub fn load(directory: impl AsRef<Path>, limit: Duration) -> Result<Self, LoadError> {
        Ok(Self {
            engine: Arc::new(Engine::new(Bundle::load(directory)?, limit)),
        })
    }

    /// Loads those of all sources, as one set.
    pub fn load_all(sources: &Sources, limit: Duration) -> Result<Self, LoadError> {
        Ok(Self {
            engine: Arc::new(Engine::new(Bundle::load_all(sources)?, limit)),
        })
    }

    /// Loads those that these texts are. Nothing is read from a disk.
    pub fn of_texts(
        texts: Vec<Text>,
        entrypoints: &[Entrypoint],
        limit: Duration,
    ) -> Result<Self, LoadError> {
        Ok(Self {
            engine: Arc::new(Engine::new(Bundle::of_texts(texts, entrypoints)?, limit)),
        })
    }

    /// What they were made from, tests aside.
    pub fn texts(&self) -> Vec<Text> {
        self.engine.tree().texts()
    }

    /// Rules that judge besides the policies.
    pub fn entrypoints(&self) -> &[Entrypoint] {
        &self.engine.tree().entrypoints
    }

    /// The rules that are asked, as in `data.dtgate.naming.deny`, entrypoints aside.
    pub fn rules(&self) -> Vec<String> {
        self.engine.rules().collect()
    }

    /// How long a rule may take.
    pub fn limit(&self) -> Duration {
        self.engine.limit()
    }

    /// The bundles that they came in.
    pub fn releases(&self) -> impl Iterator<Item = &Release> {
        self.engine.releases()
    }

    /// Asks every policy about the input that stands for the subject. Of a denial that is `worth` it, finds the part
    /// that would pass, which takes up to three times as long again.
    pub fn judge<T>(
        &self,
        subject: T,
        input: &Input,
        worth: impl FnOnce(&Decision) -> bool,
    ) -> Judged<T> {
        let decision = self.engine.decide(input);
        Judged {
            subject,
            decision: self.with_remedy(input, decision, worth),
        }
    }

    /// Judges at once, by the bytecode engine, where that may answer and nobody objects; else the subject comes
    /// back, to be judged by [`Policy::judge`] where it may take its time.
    pub fn judge_quickly<T>(&self, subject: T, input: &Input) -> Result<Judged<T>, T> {
        match self.engine.decide_quickly(input) {
            Some(decision) => Ok(Judged { subject, decision }),
            None => Err(subject),
        }
    }

    /// Compares the engines, and lets the bytecode answer for these policies if they are equal; says who answers from
    /// now on.
    pub fn prove(&self, bytecode: AnswersFor, made_up: usize, seed: u64) -> Trusted {
        self.engine.prove(bytecode, made_up, seed)
    }

    /// Looks now and then whether the interpreter agrees with what the bytecode let pass, until the policies are gone.
    ///
    /// For a thread of its own, which must not keep a processor from others. Returns at once where somebody looks
    /// already.
    pub fn keep_checking(self) {
        let Some(to_check) = self.engine.to_check() else {
            return;
        };
        let checking = Checking(Arc::downgrade(&self.engine));
        drop(self);
        while let Ok(document) = to_check.recv()
            && let Some(engine) = checking.0.upgrade()
        {
            engine.check(&document);
        }
    }

    /// Who answers requests, and why.
    pub fn trusted(&self) -> Trusted {
        self.engine.trusted()
    }

    /// The verdict and the violations alone, as fast as requests get them: what would pass of a denial is not looked
    /// for.
    pub fn replay(&self, input: &Input) -> Decision {
        self.engine.decide(input)
    }

    /// The decision alone, for explanations: it opens no door.
    pub fn decide(&self, input: &Input) -> Decision {
        let decision = self.engine.decide(input);
        self.with_remedy(input, decision, Decision::has_few_objections)
    }

    /// The decision, and the lines that led to it.
    pub fn explain(&self, input: &Input) -> Explanation {
        let mut explanation = self.engine.explain(input);
        let decision = explanation.decision;
        explanation.decision = self.with_remedy(input, decision, Decision::has_few_objections);
        explanation
    }

    /// The lines of each file that lead to a decision, without it: what would pass of a denial is not looked for.
    pub fn reached(&self, input: &Input) -> Vec<(String, Vec<u32>)> {
        self.engine.explain(input).lines
    }

    /// A denial, with the part of the request that would pass.
    fn with_remedy(
        &self,
        input: &Input,
        mut decision: Decision,
        worth: impl FnOnce(&Decision) -> bool,
    ) -> Decision {
        if decision.verdict == Verdict::Deny && worth(&decision) {
            let remedy = remedy::find(input, &decision, |less| self.engine.decide(less));
            decision.remedy = remedy.map(Box::new);
        }
        decision
    }

    /// Whether the two are one: clones of the same.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.engine, &other.engine)
    }

    /// Everything that they were made from, in one file, from which [`Generation`] and every command that takes
    /// policies read the same again. An error if that could not be read again, because it is too large.
    pub fn kept(&self) -> std::io::Result<Vec<u8>> {
        self.engine.tree().kept(self.revision())
    }

    /// The files of the directory among the sources, as they were read.
    pub fn held(&self) -> Held {
        self.engine.tree().held()
    }

    /// SHA-256 of what is in that file: tests, too, of which the revision says nothing.
    pub fn kept_content(&self) -> String {
        self.engine.tree().kept_content()
    }

    /// The digest of everything that can change a decision.
    pub fn revision(&self) -> &str {
        self.engine.revision()
    }

    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.engine.names()
    }

    /// What is worth a second look at the policies, and yet is in force.
    pub fn warnings(&self) -> &[Problem] {
        self.engine.warnings()
    }

    /// All policies, for people.
    pub fn listed(&self) -> Vec<Listed> {
        self.engine.listed()
    }

    /// The same, with modes as they hold at a time.
    pub fn listed_at(&self, time: jiff::Timestamp) -> Vec<Listed> {
        self.engine.listed_at(time)
    }

    /// The text of a file of theirs, by its path as [`Listed`] has it.
    pub fn text_of(&self, path: &str) -> Option<&str> {
        let mut files = self.engine.tree().policies.iter();
        files.find(|file| file.path == path).map(|file| &*file.text)
    }

    /// Environments that modes and exceptions are about.
    pub fn environments(&self) -> std::collections::BTreeSet<&str> {
        self.engine.environments()
    }

    /// When modes and exceptions begin and end, after this moment.
    pub fn moments(
        &self,
        input: &Input,
        after: jiff::Timestamp,
    ) -> std::collections::BTreeSet<jiff::Timestamp> {
        self.engine.moments(input, after)
    }

    /// The same violations, with the modes and exceptions of another moment.
    pub fn applied_at(
        &self,
        violations: &[Violation],
        input: &Input,
        moment: jiff::Timestamp,
    ) -> Vec<Violation> {
        self.engine.applied_at(violations, input, moment)
    }

    /// Exceptions that have ended.
    pub fn ended(&self, now: jiff::Timestamp) -> Vec<Problem> {
        self.engine.ended(now)
    }

    /// A problem with a member of the data, at its key, or at the nearest one around it that is there.
    pub fn problem_in_data(&self, path: &[&str], message: String) -> Problem {
        self.engine.problem_in_data(path, message)
    }

    /// A member of the policies' data: `callers` is `data.callers`.
    pub fn data(&self, member: &str) -> Option<&serde_json::Value> {
        self.engine.data(member)
    }

    /// The document at this path below `data`, as OPA's data API has it; nothing where it is undefined. It decides
    /// nothing.
    pub fn document(
        &self,
        path: &[String],
        input: Option<&serde_json::Value>,
        now: jiff::Timestamp,
    ) -> Result<Option<serde_json::Value>, String> {
        self.engine.document(path, input, now)
    }

    /// The rules about what may be written down of a decision, where there are some.
    pub fn mask(&self) -> Option<&Mask> {
        self.engine.mask()
    }

    /// Whether a policy may read this member of the input, as in `input.token.current`.
    pub fn reads(&self, member: &str) -> bool {
        self.engine.reads(member)
    }

    /// The policies that may, by their own rules, by helpers, or by their modes and exceptions: about this input, or about
    /// any. Who objects to a token that could not be looked up is among them.
    pub fn readers(&self, member: &[impl AsRef<str>], input: Option<&Input>) -> Vec<&str> {
        self.engine.readers(member, input)
    }

    /// The policies whose modes and exceptions go by this member.
    pub fn applied_by(&self, member: &[impl AsRef<str>], input: Option<&Input>) -> Vec<&str> {
        self.engine.applied_by(member, input)
    }

    /// The inputs that the tests of the policies set, as far as they are whole.
    #[cfg(test)]
    pub(crate) fn inputs_of_tests(&self) -> Vec<Input> {
        self.engine.inputs_of_tests()
    }

    /// Whether a policy wants to know the token as it is.
    pub fn reads_the_token(&self) -> bool {
        input::LOOKED_UP_FOR.iter().any(|member| self.reads(member))
    }

    /// Whether a policy wants to know what the caller did before.
    pub fn reads_recent(&self) -> bool {
        self.reads(input::RECENT)
    }

    /// Whether a policy reads the request in the shape of OPA-Envoy, so that it has to be built.
    pub fn reads_envoy(&self) -> bool {
        input::OF_ENVOY.iter().any(|member| self.reads(member))
    }
}

/// Somebody compares the engines of these policies.
struct Checking(Weak<Engine>);

impl Drop for Checking {
    /// Before the policies are gone only a panic ends it, and what nobody looks at must not be trusted.
    fn drop(&mut self) {
        if let Some(engine) = self.0.upgrade() {
            engine.unchecked();
        }
    }
}

impl<T> Judged<T> {
    pub fn subject(&self) -> &T {
        &self.subject
    }

    pub fn decision(&self) -> &Decision {
        &self.decision
    }

    pub fn is_allowed(&self) -> bool {
        self.decision.verdict == Verdict::Allow
    }

    /// The same, which passes by a grant if that covers every objection; else as it was.
    pub fn pass_by(mut self, grant: Granted) -> Self {
        self.decision.pass_by(grant);
        self
    }

    /// Ends the proof: from here on the caller vouches for the two belonging together.
    pub(crate) fn into_parts(self) -> (T, Decision) {
        (self.subject, self.decision)
    }
}
