//! `dtgate policies diff`: how two sets of policies differ, and the smallest request that they decide differently.

use std::fmt::Display;
use std::io::{self, Write};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};
use similar::TextDiff;

use super::show::{Kept, is_it};
use crate::app;
use crate::cli::{Format, print_json};
use crate::policy::{Decision, Effect, Entrypoint, Example, Generation, Policy, Requests};
use crate::value::{Visible, VisibleLines, counted};

#[derive(Debug, Args)]
pub(in crate::cli) struct Diff {
    /// A directory of policies, a bundle, or the revision of policies that were in force, or its first digits
    #[arg(value_name = "OLD")]
    old: String,
    /// The same of the policies to compare with
    #[arg(value_name = "NEW")]
    new: String,
    #[command(flatten)]
    from: Kept,
    /// A rule that judges besides the policies, as those of OPA's Envoy plugin do: envoy/authz/allow; may be repeated
    #[arg(long = "entrypoint", value_name = "PATH")]
    entrypoints: Vec<Entrypoint>,
    /// How many requests are made up to be decided by both, besides those in the policies' tests
    #[arg(long, value_name = "NUMBER", default_value_t = 2000)]
    requests: usize,
    /// Start of the random numbers that make up these requests
    #[arg(long, value_name = "NUMBER", default_value_t = app::SEED)]
    seed: u64,
    /// Form of the output
    #[arg(long, value_enum, default_value_t = Format::Pretty)]
    format: Format,
}

impl Diff {
    pub(super) fn run(&self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let (old, new) = (self.read(&self.old)?, self.read(&self.new)?);
        self.exist(&old, &new)?;
        let diff = crate::policy::Diff::of(&old, &new, self.requests, self.seed);
        match self.format {
            Format::Json => print_json(out, &self.told(&old, &new, &diff))?,
            Format::Pretty => self.show(out, &old, &new, &diff)?,
        }
        let is_same = diff.is_none() && diff.requests.examples.is_empty();
        Ok(if is_same {
            ExitCode::SUCCESS
        } else {
            ExitCode::from(2)
        })
    }

    /// An entrypoint that neither has is misspelt.
    fn exist(&self, old: &Policy, new: &Policy) -> anyhow::Result<()> {
        let (lacks, lack) = (self.lacks(old), self.lacks(new));
        match lacks.iter().find(|name| lack.contains(name)) {
            Some(name) => bail!("neither set has a rule {name}, which --entrypoint names"),
            None => Ok(()),
        }
    }

    /// The entrypoints for which one of them has no rule.
    fn lacks(&self, policy: &Policy) -> Vec<&str> {
        let names = self.entrypoints.iter().map(Entrypoint::name);
        let lacks = names.filter(|name| policy.names().all(|known| known != *name));
        lacks.collect()
    }

    /// Those of a path that is there, or those that were in force.
    fn read(&self, given: &str) -> anyhow::Result<Policy> {
        let path = Path::new(given);
        let is_path = path.exists() || given.contains(['/', '.']) || given.is_empty();
        if is_path {
            return app::policies_with_those_of(path, &self.entrypoints);
        }
        let path = self.from.find(given).with_context(|| {
            let shown = Visible(given);
            format!("there is no directory and no bundle {shown}, and as a revision of policies that were in force")
        })?;
        // As it was kept: entrypoints of today would be in its revision.
        is_it(&path, &Generation::open(&path)?.revision)?;
        app::policies_with_those_of(&path, &self.entrypoints)
    }

    fn told(&self, old: &Policy, new: &Policy, diff: &crate::policy::Diff) -> Value {
        let settings = diff.settings.iter();
        let settings =
            settings.map(|(path, old, new)| json!({"path": path, "old": old, "new": new}));
        let modes = diff.modes.iter();
        let modes =
            modes.map(|(policy, old, new)| json!({"policy": policy, "old": old, "new": new}));
        let files = diff.files.iter();
        let files = files.map(|(name, old, new)| json!({"name": name, "old": old, "new": new}));
        let Requests {
            asked,
            denied,
            allowed,
            examples,
            ..
        } = &diff.requests;
        let examples = examples.iter();
        let examples = examples.map(
            |Example {
                 input, old, new, ..
             }| json!({"input": input, "old": old, "new": new}),
        );
        json!({
            "old": old.revision(), "new": new.revision(),
            "lacks": {"old": self.lacks(old), "new": self.lacks(new)},
            "files": files.collect::<Vec<_>>(),
            "settings": settings.collect::<Vec<_>>(),
            "modes": modes.collect::<Vec<_>>(),
            "requests": {
                "asked": asked, "new_denials": denied, "new_allows": allowed,
                "examples": examples.collect::<Vec<_>>(),
            },
        })
    }

    fn show(
        &self,
        out: &mut impl Write,
        old: &Policy,
        new: &Policy,
        diff: &crate::policy::Diff,
    ) -> io::Result<()> {
        writeln!(
            out,
            "old: {}, revision {}",
            Visible(&self.old),
            old.revision()
        )?;
        writeln!(
            out,
            "new: {}, revision {}",
            Visible(&self.new),
            new.revision()
        )?;
        for (which, policy) in [("old", old), ("new", new)] {
            for name in self.lacks(policy) {
                writeln!(out, "{which}: has no rule {name}, which is not asked there")?;
            }
        }
        if diff.is_none() {
            writeln!(out, "\nrules, settings and modes are the same")?;
        }
        for (name, before, after) in &diff.files {
            writeln!(out)?;
            // A tab would be shown as what it is written like.
            let text =
                |text: &Option<String>| text.as_deref().unwrap_or_default().replace('\t', "    ");
            let (before, after) = (text(before), text(after));
            let lines = TextDiff::from_lines(&before, &after);
            let mut lines = lines.unified_diff();
            let (one, other) = (format!("old/{name}"), format!("new/{name}"));
            let lines = lines.context_radius(3).header(&one, &other);
            write!(out, "{}", VisibleLines(lines))?;
        }
        let settings: Vec<_> = diff.settings.iter().map(shorter).collect();
        section(out, "settings", &settings)?;
        section(out, "modes", &diff.modes)?;
        requests(out, &diff.requests)
    }
}

/// Of lists, what one has and the other has not.
fn shorter(
    (path, old, new): &(String, Option<Value>, Option<Value>),
) -> (String, Option<Value>, Option<Value>) {
    let (Some(Value::Array(one)), Some(Value::Array(other))) = (old, new) else {
        return (path.clone(), old.clone(), new.clone());
    };
    let without = |one: &[Value], other: &[Value]| -> Value {
        let only = one.iter().filter(|it| !other.contains(it));
        only.cloned().collect()
    };
    let (gone, come) = (without(one, other), without(other, one));
    if gone == come {
        // Another order.
        return (path.clone(), old.clone(), new.clone());
    }
    (
        format!("{path} (what only one has)"),
        Some(gone),
        Some(come),
    )
}

fn section<T: Display>(
    out: &mut impl Write,
    title: &str,
    found: &[(String, Option<T>, Option<T>)],
) -> io::Result<()> {
    if !found.is_empty() {
        writeln!(out, "\n{title}")?;
    }
    for (name, before, after) in found {
        let shown = |value: &Option<T>| {
            let shown = value.as_ref().map(|value| Visible(value).to_string());
            shown.unwrap_or_else(|| "(none)".to_owned())
        };
        writeln!(out, "  {}", Visible(name))?;
        writeln!(out, "    old: {}", shown(before))?;
        writeln!(out, "    new: {}", shown(after))?;
    }
    Ok(())
}

fn requests(out: &mut impl Write, requests: &Requests) -> io::Result<()> {
    let Requests {
        asked,
        denied,
        allowed,
        examples,
        ..
    } = requests;
    writeln!(
        out,
        "\n{} made up and judged by both: the new policies deny {denied} that the old ones allow, and allow \
        {allowed} that the old ones deny",
        counted(*asked, "request")
    )?;
    for example in examples {
        let by = if example.new.verdict == crate::policy::Verdict::Deny {
            "new"
        } else {
            "old"
        };
        writeln!(
            out,
            "\nthe smallest that only the {by} policies deny (an input document, for dtgate eval --request):"
        )?;
        writeln!(out, "{}", VisibleLines(format!("{:#}", example.input)))?;
        for (which, decision) in [("old", &example.old), ("new", &example.new)] {
            for (policy, message) in denials(decision) {
                writeln!(out, "  {which}: {}: {}", Visible(policy), Visible(message))?;
            }
        }
    }
    Ok(())
}

/// What denies.
fn denials(decision: &Decision) -> impl Iterator<Item = (&str, &str)> {
    let denials = decision.violations.iter();
    let denials = denials.filter(|it| it.effect() == Effect::Deny);
    denials.map(|it| (&*it.policy, &*it.message))
}
