//! `dtgate grant request`: what is to pass, written down and signed.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, anyhow, bail};
use clap::Args;
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Unit};
use serde_json::Value;
use uuid::Uuid;

use super::known::name_of;
use super::{confirm, named, told};
use crate::app;
use crate::audit::checkpoint::key;
use crate::audit::checkpoint::note::{Note, SigningKey};
use crate::audit::proof::Wanted;
use crate::cli::audit::note;
use crate::cli::audit::source::{Asking, Source};
use crate::cli::load;
use crate::dynatrace::catalogue::Operation;
use crate::gateway::environment::DEFAULT;
use crate::grant::{self, After, Allows, Change, ENDING, Facts, Grant, Request, Signed};
use crate::policy::{Effect, POLICY_ERROR, Violation};
use crate::store::Key;
use crate::trail::when::When;
use crate::value::{Duration, Sha256Hex, Visible, unwritten};

#[derive(Debug, Args)]
pub(in crate::cli) struct RequestArgs {
    /// Let the request of this decision pass once, exactly as it was denied
    #[arg(long, value_name = "ID", conflicts_with_all = ["token", "policy"])]
    decision: Option<String>,
    /// Let the next change of this token pass, whatever it is: its public id
    #[arg(
        long,
        value_name = "ID",
        requires = "policy",
        required_unless_present = "decision"
    )]
    token: Option<String>,
    /// Policy that may deny it; may be given several times
    #[arg(long, value_name = "NAME", requires = "token")]
    policy: Vec<String>,
    /// Environment of the token
    #[arg(long, value_name = "NAME", default_value = DEFAULT, requires = "token")]
    environment: String,
    /// Only by this caller: `request.caller_hash` of a record of its
    #[arg(long, value_name = "HASH", requires = "token")]
    caller: Option<String>,
    /// By anybody: whoever asks for the change first uses it up, also one whose credential Dynatrace refuses
    #[arg(long, requires = "token", conflicts_with = "caller")]
    any_caller: bool,
    /// Only this operation, as `dtgate endpoints` names it
    #[arg(long, value_name = "NAME", requires = "token")]
    operation: Option<Operation>,
    /// Let it pass also where these policies fail, and nobody knows what they would say
    #[arg(long)]
    even_if_unjudged: bool,
    /// Why it has to pass
    #[arg(long, value_name = "TEXT")]
    reason: String,
    /// Where that is followed up
    #[arg(long, value_name = "TEXT")]
    ticket: String,
    /// How long it is good
    #[arg(long = "for", value_name = "TIME", default_value = "1h")]
    span: Duration,
    /// Until when it is good: a date, with or without a time and a zone
    #[arg(long, value_name = "TIME", conflicts_with = "span")]
    until: Option<When>,
    /// Private key of whoever asks for it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// Where the grant is written: a file, or a directory [default: the id of the grant, with .grant]
    #[arg(long, value_name = "PATH")]
    output: Option<PathBuf>,
    /// Sign without asking
    #[arg(long)]
    yes: bool,
    #[command(flatten)]
    from: Asking,
}

impl RequestArgs {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        self.check_arguments()?;
        let key = key::of_person(&self.key)?;
        let config = load(self.from.place.config.as_ref())?;
        if self.from.place.config.is_some() && config.grants.is_none() {
            bail!("the configuration has no [grants]: its gate takes none");
        }
        let change = self.change()?;
        if self.from.place.config.is_some() && change.is_some() {
            named::environment(&config, &self.environment)?;
        }
        let config = config.grants;
        let source = self.from.find()?.open()?;
        let (at, line) = self.record(&source)?;
        let behind = Key {
            seq: at.seq.saturating_add(1),
            ..at.clone()
        };
        named::policies(&source, &behind, &self.policy)?;
        let now = app::now().round(Unit::Second)?;
        let until = self.until(now)?;
        let (allows, policies, failed_policies) = match (&self.decision, change) {
            (Some(id), _) => self.again(id, &line)?,
            (None, change) => self.any_of(change.context("--token, or --decision")?),
        };
        let grant = Grant {
            id: Uuid::now_v7(),
            gate: gate(&source, &at)?,
            after: After {
                seq: at.seq,
                sha256: Sha256Hex::of(&line).as_str().to_owned(),
            },
            allows,
            policies,
            failed_policies,
            reason: self.reason.trim().to_owned(),
            ticket: self.ticket.trim().to_owned(),
            requested_by: key.name().to_owned(),
            requested_at: now,
            until,
        };
        grant.check()?;
        let signed = Signed::new(grant, &key);
        if let Some(config) = &config {
            agree(config, &key, &signed)?;
        }
        told::show(out, &signed.grant, Some(&line))?;
        if self.any_caller {
            note(
                "warning: anybody who reaches the gate can use this grant up, also with a credential that Dynatrace refuses; \
                 --caller HASH keeps it for one",
            );
        }
        confirm(out, self.yes)?;
        let path = self.path(signed.grant.id);
        let shown = path.display();
        if std::fs::symlink_metadata(&path).is_ok() {
            bail!("{shown} is there already: name another file");
        }
        grant::write(&path, &signed.to_string())
            .map_err(|error| anyhow!("{shown}: {}", unwritten(&error)))?;
        writeln!(
            out,
            "\n{shown} is signed by {}. Another approver looks at it and signs it, too:\n  dtgate grant approve {shown} --key FILE{}",
            Visible(key.name()),
            self.beside()
        )?;
        Ok(ExitCode::SUCCESS)
    }

    /// What the parser of arguments would say in other words.
    fn check_arguments(&self) -> anyhow::Result<()> {
        if self.decision.as_ref().is_some_and(String::is_empty) {
            bail!(
                "--decision is empty: write the id of the decision, as `dtgate-decision-id` of the answer says it"
            );
        }
        if self.token.is_some() && self.caller.is_none() && !self.any_caller {
            bail!(
                "whose change may pass? Write --caller HASH, or --any-caller for whoever comes first"
            );
        }
        if let Some(file) = &self.output
            && !file.is_dir()
            && !file.to_string_lossy().ends_with(ENDING)
        {
            bail!(
                "--output {}: its name has to end in {ENDING}, a gate takes no other file for a grant",
                file.display()
            );
        }
        Ok(())
    }

    /// Where the one who approves finds the gate, as the one who asks did.
    fn beside(&self) -> String {
        let config = self.from.place.config.as_ref();
        config.map_or_else(String::new, |it| format!(" --config {}", it.display()))
    }

    /// The record behind which it can be used: that of the decision, or the last one.
    fn record(&self, source: &Source) -> anyhow::Result<(Key, Vec<u8>)> {
        let wanted = match &self.decision {
            Some(id) => Wanted::Decision(id.clone()),
            None => Wanted::Number(LAST),
        };
        let mut key = source.wanted(&wanted)?;
        if self.decision.is_none() {
            let (before, _) = source.neighbours(&key)?;
            key.seq = before.context("the journal has no record yet")?;
        }
        let line = source.line(&key)?;
        let line = line.ok_or_else(|| source.gone(&wanted))?;
        Ok((key, line))
    }

    fn until(&self, now: Timestamp) -> anyhow::Result<Timestamp> {
        let until = match self.until {
            Some(when) => when.moment(now, &TimeZone::UTC).context("--until")?,
            None => now.checked_add(SignedDuration::try_from(self.span.as_std())?)?,
        };
        if until <= now {
            bail!("--until is over: write a time that is to come");
        }
        Ok(until)
    }

    /// A denied request, as its record has it.
    fn again(&self, id: &str, line: &[u8]) -> anyhow::Result<(Allows, Vec<String>, Vec<String>)> {
        let record: Value = serde_json::from_slice(line).context("the record is no JSON")?;
        let text = |name: &str| record.get(name).and_then(Value::as_str).unwrap_or_default();
        if text("verdict") != "deny" {
            bail!(
                "decision {} denies nothing: there is nothing to grant",
                Visible(id)
            );
        }
        let places = ["erased", "masked"].map(|name| record.get(name).and_then(Value::as_array));
        let places = places
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(Value::as_str);
        let mut hidden = places.filter(|place| Facts::hidden_by(place));
        if let Some(place) = hidden.next() {
            bail!(
                "a mask has changed {} of the record: name --token and --policy instead of the decision",
                Visible(place)
            );
        }
        let violations = violations(&record);
        let denials = violations.iter().filter(|it| it.effect() == Effect::Deny);
        let denials: Vec<&Violation> = denials.collect();
        if denials.is_empty() || !text("error").is_empty() {
            bail!(
                "no policy has judged this request, it was refused before: that can never be granted; `dtgate audit show` \
                 says why it was refused"
            );
        }
        if denials.iter().any(|it| it.is_of_lookup()) {
            bail!(
                "the token could not be looked up, and so the policies could not judge this request: that can never be granted"
            );
        }
        let facts = Facts::of(&record)
            .map_err(|missing| anyhow!("{missing}: name --token and --policy instead"))?;
        let names = |has_failed: bool| {
            let those = denials
                .iter()
                .filter(|it| (it.code.as_deref() == Some(POLICY_ERROR)) == has_failed);
            let mut names: Vec<String> = those.map(|it| it.policy.clone()).collect();
            names.sort();
            names.dedup();
            names
        };
        let failed = names(true);
        if !failed.is_empty() && !self.even_if_unjudged {
            bail!(
                "{} could not judge this request: nobody knows what there is to object to. --even-if-unjudged asks for a \
                 grant all the same",
                Visible(failed.join(", "))
            );
        }
        let request = Request {
            decision: id.to_owned(),
            facts,
        };
        Ok((Allows::Request(Box::new(request)), names(false), failed))
    }

    /// The next change of a token, where one is named.
    fn change(&self) -> anyhow::Result<Option<Change>> {
        let Some(token) = &self.token else {
            return Ok(None);
        };
        let caller = self.caller.as_ref().map(|it| caller(it));
        Ok(Some(Change {
            environment: self.environment.clone(),
            token: named::id("--token", token)?,
            operation: self.operation.map(|it| it.as_str().to_owned()),
            caller: caller.transpose()?,
        }))
    }

    fn any_of(&self, change: Change) -> (Allows, Vec<String>, Vec<String>) {
        let mut policies = self.policy.clone();
        policies.sort();
        policies.dedup();
        let failed = if self.even_if_unjudged {
            policies.clone()
        } else {
            Vec::new()
        };
        (Allows::Change(change), policies, failed)
    }

    fn path(&self, id: Uuid) -> PathBuf {
        let name = format!("{id}{ENDING}");
        match &self.output {
            Some(directory) if directory.is_dir() => directory.join(name),
            Some(file) => file.clone(),
            None => PathBuf::from(name),
        }
    }
}

/// A public id is no name for it: whoever shows that could use up what is for its holder. What is none is not repeated.
fn caller(text: &str) -> anyhow::Result<String> {
    let id = named::id("--caller", text)?;
    if !id.starts_with("hmac-sha256:") {
        bail!(
            "--caller: write request.caller_hash of a record of that caller, hmac-sha256:…: `dtgate audit query --caller ID \
             --format json` shows those of a public id, which others can show, too; or --any-caller"
        );
    }
    Ok(id)
}

/// What the policies said, without the words of it: a mask may have taken those away.
pub(super) fn violations(record: &Value) -> Vec<Violation> {
    let all = record.pointer("/result/violations");
    let all = all.and_then(Value::as_array).into_iter().flatten();
    let read = all.filter_map(|violation| {
        let mut members = violation.as_object()?.clone();
        for name in ["path", "details"] {
            members.remove(name);
        }
        members.insert("message".to_owned(), "".into());
        serde_json::from_value(Value::Object(members)).ok()
    });
    read.collect()
}

/// What the gate would say about it, now rather than later.
fn agree(config: &grant::Config, key: &SigningKey, signed: &Signed) -> anyhow::Result<()> {
    if !config.approvers.keys().contains(&key.public()) {
        bail!(
            "this key of {} is none of grants.approvers",
            Visible(key.name())
        );
    }
    let grant = &signed.grant;
    let longest = SignedDuration::try_from(config.longest.as_std())?;
    if grant.until.duration_since(grant.requested_at) > longest {
        bail!(
            "a grant may be good for {} at most (grants.longest): ask for less with --for",
            config.longest
        );
    }
    Ok(())
}

/// The name of the journal: its key says it, or its last checkpoint; the store has it for every record.
fn gate(source: &Source, at: &Key) -> anyhow::Result<String> {
    let Some(journal) = source.journal() else {
        return Ok(at.gate.clone());
    };
    if let Some(name) = name_of(journal) {
        return Ok(name);
    }
    let last = Key {
        seq: LAST,
        ..at.clone()
    };
    let checkpoint = source.last_before("checkpoint", &last)?;
    let line = checkpoint.map(|seq| source.line(&Key { seq, ..at.clone() }));
    let record: Value = serde_json::from_slice(&line.transpose()?.flatten().unwrap_or_default())
        .unwrap_or_default();
    let note = record.get("note").and_then(Value::as_str);
    let note = note.and_then(|note| Note::parse(note).ok());
    let name = note.and_then(|note| note.text.lines().next().map(str::to_owned));
    name.context("the journal has no checkpoint yet, which names it: a gate makes one within a minute; try again then")
}

/// More than any record has.
const LAST: u64 = (1 << 60) + 1;
