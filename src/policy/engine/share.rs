//! Which policies the bytecode engine answers for, compiled, and which are left to the interpreter.

use regorus::utils::limits::ExecutionTimerConfig;
use serde::Deserialize;

use super::Engine;
use crate::policy::bytecode::Bytecode;
use crate::policy::shipped::Shipped;
use crate::policy::{bundle, constants};

/// Which policies the bytecode engine may answer for, where it was found equal to the interpreter.
#[derive(Clone, Copy, Debug, Default, Deserialize, Eq, PartialEq)]
#[serde(rename_all = "snake_case")]
pub enum AnswersFor {
    /// Those that come with dtgate, as long as they are as they came, whatever their settings.
    #[default]
    Shipped,
    All,
    None,
}

/// The bytecode, and what it does not answer for.
pub(in super::super) struct Share {
    pub(in super::super) bytecode: Bytecode,
    /// Its rules.
    pub(in super::super) rules: Vec<String>,
    /// The others, which are the interpreter's.
    pub(super) others: Vec<String>,
    /// The policies of the others.
    pub(super) their_names: Vec<String>,
}

impl Engine {
    /// Compiles these policies.
    ///
    /// # Errors
    ///
    /// Says why all are left to the interpreter.
    pub(in super::super) fn share(&self, wanted: AnswersFor) -> Result<Share, String> {
        let mut all = self.written.clone();
        let (mut compiled, covered): (_, Vec<String>) = match wanted {
            AnswersFor::None => return Err("policies.bytecode = \"none\"".to_owned()),
            AnswersFor::All => (all, self.rules().collect()),
            AnswersFor::Shipped => {
                let shipped = Shipped::of(&self.tree, all.get_modules())?;
                let rules = self.rules().filter(|rule| shipped.has(rule)).collect();
                let alone = bundle::ready(&shipped.files, &self.tree.data);
                let (alone, _) = alone.map_err(|problem| problem.to_string())?;
                (alone, rules)
            }
        };
        compiled.set_execution_timer_config(ExecutionTimerConfig {
            limit: constants::LIMIT,
            ..self.timer
        });
        let others: Vec<String> = self
            .rules()
            .filter(|rule| !covered.contains(rule))
            .collect();
        let names = self.names().filter(|name| {
            let package = format!("data.dtgate.{name}.");
            others.iter().any(|rule| rule.starts_with(&package))
        });
        Ok(Share {
            bytecode: Bytecode::compile(&mut compiled, &covered, self.timer)?,
            rules: covered,
            their_names: names.map(str::to_owned).collect(),
            others,
        })
    }
}
