//! Which policies the bytecode engine answers for, compiled, and which are left to the interpreter.

use std::collections::{BTreeMap, BTreeSet};

use regorus::utils::limits::ExecutionTimerConfig;
use serde::{Deserialize, Serialize};

use super::shipped::Shipped;
use crate::policy::bytecode::Bytecode;
use crate::policy::bytecode::specialise::Left;
use crate::policy::interpreter::{constants, prepare};
use crate::policy::rego::program::{self, Path};
use crate::policy::source::files::{File, Tree};

/// Which policies the bytecode engine may answer for, where it was found equal to the interpreter.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum AnswersFor {
    /// All that it can be trusted with.
    #[default]
    All,
    /// Those that come with dtgate, as long as they are as they came, whatever their settings.
    Shipped,
    None,
}

/// A policy that is left to the interpreter.
#[derive(Clone, Debug, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Other {
    pub policy: String,
    pub reason: String,
}

/// The bytecode, and what it does not answer for.
pub(in crate::policy) struct Share {
    pub(in crate::policy) bytecode: Bytecode,
    /// Its rules.
    pub(in crate::policy) rules: Vec<String>,
    /// The others, which are the interpreter's.
    pub(in crate::policy) others: BTreeSet<String>,
    /// The policies of the others.
    pub(in crate::policy) left: Vec<Other>,
}

/// What the bytecode is made of.
pub(in crate::policy) struct Sources<'a> {
    /// The policies as the interpreter has them, without what was evaluated beforehand.
    pub(in crate::policy) written: &'a regorus::Engine,
    pub(in crate::policy) tree: &'a Tree,
    /// The rules of all policies, as `data.dtgate.naming.deny`.
    pub(in crate::policy) rules: Vec<String>,
    pub(in crate::policy) names: Vec<&'a str>,
    pub(in crate::policy) timer: ExecutionTimerConfig,
}

impl Sources<'_> {
    /// Compiles these policies.
    ///
    /// # Errors
    ///
    /// Says why all are left to the interpreter.
    pub(in crate::policy) fn share(&self, wanted: AnswersFor) -> Result<Share, String> {
        if self.rules.is_empty() {
            return Err(ENTRYPOINT.to_owned());
        }
        match wanted {
            AnswersFor::None => Err("policies.bytecode = \"none\"".to_owned()),
            AnswersFor::All => match self.compiled(self.written.clone(), &self.rules) {
                Ok(bytecode) => Ok(self.share_of(bytecode, self.rules.clone(), |_| None)),
                Err(Left::Policies(left)) => self.all_but(&left),
                Err(Left::All(reason)) => Err(reason),
            },
            AnswersFor::Shipped => {
                let shipped = Shipped::of(self.tree, self.written.clone().get_modules())?;
                let rules = self.rules.iter().filter(|rule| shipped.has(rule));
                let rules: Vec<String> = rules.cloned().collect();
                let bytecode = self.compiled_of(&shipped.files, &rules)?;
                Ok(self.share_of(bytecode, rules, |_| Some("it is not as shipped".to_owned())))
            }
        }
    }

    /// All policies but these, by their packages.
    fn all_but(&self, left: &BTreeMap<Path, String>) -> Result<Share, String> {
        let first = left.values().next().cloned().unwrap_or_default();
        let is_left = |path: &[String]| left.keys().any(|package| path.starts_with(package));
        let mut written = self.written.clone();
        let packages: BTreeMap<String, Path> = written
            .get_modules()
            .iter()
            .map(|module| {
                let path = module.package.span.source.get_path();
                (path.clone(), program::package(module))
            })
            .collect();
        let kept = |file: &&File| !packages.get(&file.path).is_some_and(|path| is_left(path));
        let files: Vec<&File> = self.tree.policies.iter().filter(kept).collect();
        let of_left =
            |rule: &String| is_left(&rule.split('.').map(str::to_owned).collect::<Path>());
        let rules = self.rules.iter().filter(|rule| !of_left(rule));
        let rules: Vec<String> = rules.cloned().collect();
        if rules.is_empty() {
            return Err(first);
        }
        let bytecode = self.compiled_of(&files, &rules)?;
        let reason = |name: &str| {
            let package = ["data", "dtgate", name].map(str::to_owned);
            left.get(&package[..]).cloned()
        };
        Ok(self.share_of(bytecode, rules, reason))
    }

    fn compiled_of(&self, files: &[&File], rules: &[String]) -> Result<Bytecode, String> {
        let alone = prepare::ready(files, &self.tree.data);
        let (alone, _) = alone.map_err(|problem| problem.to_string())?;
        self.compiled(alone, rules).map_err(|left| left.to_string())
    }

    fn compiled(&self, mut rego: regorus::Engine, rules: &[String]) -> Result<Bytecode, Left> {
        rego.set_execution_timer_config(ExecutionTimerConfig {
            limit: constants::LIMIT,
            ..self.timer
        });
        Bytecode::compile(&mut rego, rules, self.timer)
    }

    /// What the bytecode answers for, and why not for the other policies.
    fn share_of(
        &self,
        bytecode: Bytecode,
        rules: Vec<String>,
        reason: impl Fn(&str) -> Option<String>,
    ) -> Share {
        let answered: BTreeSet<&String> = rules.iter().collect();
        let others = self.rules.iter().filter(|rule| !answered.contains(rule));
        let others: BTreeSet<String> = others.cloned().collect();
        let left = self.names.iter().filter(|name| {
            let package = format!("data.dtgate.{name}.");
            let next = others.range(package.clone()..).next();
            next.is_some_and(|rule| rule.starts_with(&package))
        });
        let left = left.map(|name| Other {
            policy: (*name).to_owned(),
            reason: reason(name).unwrap_or_default(),
        });
        let entrypoints = self.tree.entrypoints.iter().map(|entrypoint| Other {
            policy: entrypoint.name().to_owned(),
            reason: ENTRYPOINT.to_owned(),
        });
        Share {
            bytecode,
            rules,
            left: left.chain(entrypoints).collect(),
            others,
        }
    }
}

const ENTRYPOINT: &str = "entrypoints are always the interpreter's";
