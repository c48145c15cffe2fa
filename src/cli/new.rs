//! `dtgate new policy NAME`: a policy that works, and a test that shows it, to be changed into what one wants.

use std::fs::OpenOptions;
use std::io::{BufRead, ErrorKind, Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};

use super::place::POLICIES;
use crate::console;
use crate::value::is_name;

#[derive(Debug, Subcommand)]
pub(super) enum New {
    /// Print a line for the file `console.passwords`: who may log in to the console
    ConsoleUser(ConsoleUser),
    /// Write `NAME.rego` and `NAME_test.rego`
    Policy(Policy),
}

#[derive(Debug, Args)]
#[command(after_help = USERS)]
pub(super) struct ConsoleUser {
    /// The name to log in with
    #[arg(value_name = "NAME")]
    name: String,
    /// What they may do besides looking on: may stand several times
    #[arg(long, value_enum)]
    role: Vec<Role>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Role {
    /// Sees names and ids of tokens and callers
    Auditor,
    /// Tries policies
    Author,
}

const USERS: &str = "The password is read from standard input, one line. Example:
  dtgate new console-user alice --role auditor < password >> console-users";

#[derive(Debug, Args)]
pub(super) struct Policy {
    /// Its name, in small letters: `team_tokens`
    #[arg(value_name = "NAME")]
    name: String,
    /// Directory of policies
    #[arg(long, value_name = "DIR", default_value = "policies")]
    policies: PathBuf,
}

impl New {
    pub(super) fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        match self {
            Self::ConsoleUser(user) => user.run(out),
            Self::Policy(policy) => policy.run(out),
        }
    }
}

impl ConsoleUser {
    fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        if !is_name(&self.name) {
            bail!("a name has letters, digits, hyphens and underscores: alice");
        }
        let mut password = String::new();
        let stdin = std::io::stdin().lock().take(LONGEST);
        std::io::BufReader::new(stdin)
            .read_line(&mut password)
            .context("standard input")?;
        let password = password.trim_end_matches(['\r', '\n']);
        if password.chars().count() < SHORTEST {
            bail!("the password on standard input has to have {SHORTEST} characters or more");
        }
        let roles = self.role.iter().map(|role| match role {
            Role::Auditor => "auditor",
            Role::Author => "author",
        });
        let roles: Vec<&str> = roles.collect();
        let line = console::password_line(&self.name, &roles, password);
        writeln!(out, "{}", line.context("the password cannot be hashed")?)?;
        Ok(ExitCode::SUCCESS)
    }
}

/// Characters of a password.
const SHORTEST: usize = 12;
/// Bytes of standard input.
const LONGEST: u64 = 4096;

impl Policy {
    fn run(self, out: &mut impl Write) -> anyhow::Result<ExitCode> {
        let Self { name, policies } = self;
        refuse(&name)?;
        if policies == Path::new("policies") {
            POLICIES.expect(&policies, None)?;
        }
        let (rule, test) = (
            policies.join(format!("{name}.rego")),
            policies.join(format!("{name}_test.rego")),
        );
        // Neither without the other.
        for path in [&rule, &test] {
            if path.exists() {
                bail!("{} is there already: take another name", path.display());
            }
        }
        write(&rule, &RULE.replace("NAME", &name))?;
        write(&test, &TEST.replace("NAME", &name))?;
        let folder = policies.display();
        writeln!(
            out,
            "{}\n{}\n\n\
             It denies tokens whose name begins with \"tmp-\". Change both files into what you want, and look:\n\n\
             \u{20}   dtgate test --watch {folder}\n\n\
             It denies at once where it is loaded. To try it first, write into the data:\n\n\
             \u{20}   modes:\n\u{20}     {name}: dry_run",
            rule.display(),
            test.display()
        )?;
        Ok(ExitCode::SUCCESS)
    }
}

fn refuse(name: &str) -> anyhow::Result<()> {
    let is_word = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_';
    let begins = name.starts_with(|c: char| c.is_ascii_lowercase());
    if !begins || !name.chars().all(is_word) {
        bail!(
            "a policy's name has small letters, digits and underscores, and begins with a letter: team_tokens"
        );
    }
    // Names that begin so are made while policies are compiled.
    if name.ends_with("_test") || name.starts_with("dtgate_") || RESERVED.contains(&name) {
        bail!("{name} is no name for a policy: take another");
    }
    Ok(())
}

fn write(path: &Path, text: &str) -> anyhow::Result<()> {
    let file = OpenOptions::new().write(true).create_new(true).open(path);
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written
        .map_err(|error| match error.kind() {
            ErrorKind::NotFound => anyhow::anyhow!("there is no such directory: make it first"),
            _ => error.into(),
        })
        .with_context(|| path.display().to_string())
}

/// Packages below `dtgate` that are no policies, and words of Rego.
const RESERVED: [&str; 17] = [
    "as", "contains", "data", "default", "else", "every", "false", "if", "import", "in", "input",
    "lib", "not", "null", "package", "some", "true",
];

const RULE: &str = r#"# METADATA
# title: Say in a few words what it is about
# description: |
#   Say who is refused what, and why.
package dtgate.NAME

deny contains violation if {
	name := input.change.name.requested
	startswith(name, "tmp-")
	violation := {
		"code": "NAME",
		"message": sprintf("the name %q begins with tmp-: give the token a name that says what it is for", [name]),
		"path": "name",
	}
}
"#;

const TEST: &str = r#"package dtgate.NAME_test

import data.dtgate.NAME

test_another_name_passes if {
	count(_denied({"change": {"name": {"requested": "payments-prod-ci"}}})) == 0
}

test_a_request_without_a_name_passes if {
	count(_denied({"change": {"name": {}}})) == 0
}

test_the_name_is_denied if {
	some violation in _denied({"change": {"name": {"requested": "tmp-1"}}})
	violation.path == "name"
}

_denied(request) := denied if {
	denied := NAME.deny with input as request
}
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_policy_is_called_neither_like_what_dtgate_makes_nor_like_a_test() {
        for name in ["dtgate_x", "dtgate_", "naming_test", "Naming", "1a", ""] {
            assert!(refuse(name).is_err(), "{name}");
        }
        for name in ["naming", "team_tokens", "a1", "my_dtgate"] {
            assert!(refuse(name).is_ok(), "{name}");
        }
        assert!(RESERVED.iter().all(|name| refuse(name).is_err()));
    }
}
