//! Values of options of which is known what they can be: another one is refused with what there is.

use std::ffi::OsStr;
use std::str::FromStr;

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::{Arg, Command};

use crate::audit::index::Pattern;
use crate::dynatrace::catalogue::Operation;
use crate::value::Network;

/// allow, deny, granted, or the id of a decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Allowed(bool),
    /// Policies deny it, and a one-time grant has let it pass: as records and the console say it.
    Granted,
    Id(String),
}

/// Addresses, or what stands for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Client {
    Network(Network),
    Pseudonym(String),
}

/// Reads a [`Decision`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Decisions;

/// Reads the name of an operation, or how names begin: `token.*`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Operations;

impl TypedValueParser for Decisions {
    type Value = Decision;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Decision, clap::Error> {
        match value.to_str() {
            Some("allow") => Ok(Decision::Allowed(true)),
            Some("deny") => Ok(Decision::Allowed(false)),
            Some("granted") => Ok(Decision::Granted),
            Some(id) if uuid::Uuid::try_parse(id).is_ok() => Ok(Decision::Id(id.to_owned())),
            _ => {
                let known = PossibleValuesParser::new(["allow", "deny", "granted", A_DECISION]);
                known.parse_ref(command, argument, value).map(Decision::Id)
            }
        }
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(
            ["allow", "deny", "granted"]
                .into_iter()
                .map(PossibleValue::new),
        ))
    }
}

impl TypedValueParser for Operations {
    type Value = Pattern;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Pattern, clap::Error> {
        let text = value.to_str().unwrap_or_default();
        if let Ok(pattern) = text.parse::<Pattern>()
            && Operation::recorded().any(|name| pattern.fits(name))
        {
            return Ok(pattern);
        }
        // Those of the same family, if it is one: all of them fill a screen.
        let family = text.split('.').next().unwrap_or_default();
        let is_alike = |name: &&str| name.split('.').next() == Some(family);
        let alike: Vec<&str> = Operation::recorded().filter(is_alike).collect();
        let known = match alike.as_slice() {
            [] => PossibleValuesParser::new(Operation::recorded()),
            alike => PossibleValuesParser::new(alike.iter().copied()),
        };
        known
            .parse_ref(command, argument, value)
            .map(Pattern::Exactly)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(Operation::recorded().map(PossibleValue::new)))
    }
}

impl FromStr for Client {
    type Err = <Network as FromStr>::Err;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.starts_with(PSEUDONYM) {
            return Ok(Self::Pseudonym(text.to_owned()));
        }
        text.parse().map(Self::Network)
    }
}

/// How ids are written.
const A_DECISION: &str = "an id such as 019ab533-0040-7000-8000-000000000001";
/// How pseudonyms begin.
const PSEUDONYM: &str = "hmac-sha256:";
