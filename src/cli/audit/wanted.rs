//! The options of `query` and `stats` that say which decisions.

use std::collections::HashMap;
use std::path::Path;

use clap::{Args, ValueEnum};

use super::named::{Client, Decision, Decisions, Operations};
use super::pseudonyms;
use super::times::{Shown, Span};
use crate::audit::index::{Filter, Otherwise, Pattern, Which};

/// Which decisions are meant.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Wanted {
    #[command(flatten)]
    span: Span,
    /// Public id of the caller's credential (`*` at the end: how it begins, for all that take names)
    #[arg(long, value_name = "ID")]
    caller: Vec<Pattern>,
    /// Subject, SPIFFE id or fingerprint of the caller's certificate
    #[arg(long, value_name = "NAME")]
    certificate: Vec<Pattern>,
    /// Issuer or subject of the caller's JSON Web Token, or any of its claims: `NAME=VALUE`
    #[arg(long, value_name = "NAME|NAME=VALUE")]
    claim: Vec<Pattern>,
    /// Team of the caller
    #[arg(long, value_name = "NAME")]
    team: Vec<Pattern>,
    /// Id or name of the token that a request is about, or that it made
    #[arg(long, value_name = "TOKEN")]
    token: Vec<Pattern>,
    /// Environment
    #[arg(long, value_name = "NAME")]
    environment: Vec<Pattern>,
    /// Operation, as `dtgate endpoints` names it: token.update, token.*
    #[arg(long, value_name = "NAME", value_parser = Operations, hide_possible_values = true)]
    operation: Vec<Pattern>,
    /// Scope that was asked for
    #[arg(long, value_name = "SCOPE")]
    scope: Vec<Pattern>,
    /// Scope that the token would get, and has not
    #[arg(long, value_name = "SCOPE")]
    added: Vec<Pattern>,
    /// Scope that the token would lose
    #[arg(long, value_name = "SCOPE")]
    removed: Vec<Pattern>,
    /// Policy that objected or warned
    #[arg(long, value_name = "NAME")]
    policy: Vec<Pattern>,
    /// Code of an objection
    #[arg(long, value_name = "CODE")]
    code: Vec<Pattern>,
    /// allow, deny, granted, or the id of a decision
    #[arg(long, value_name = "VERDICT|ID", value_parser = Decisions, hide_possible_values = true)]
    decision: Option<Decision>,
    /// How an allowed request ended
    #[arg(long, value_enum)]
    outcome: Option<Which>,
    /// Only requests that policies deny and a one-time grant has let pass
    #[arg(long)]
    granted: bool,
    /// What the challenger would have decided otherwise
    #[arg(long, value_enum)]
    challenger_differs: Option<Otherwise>,
    /// Address of the client, a network (10.1.0.0/16), or the pseudonym of an address
    #[arg(long, value_name = "ADDRESS")]
    client: Vec<Client>,
    /// Words that all stand in names, paths, messages, errors and outcomes (`word*`: how one begins); for scopes: --scope, for
    /// addresses: --client, for credentials: --caller, for ids of tokens that were made: --token
    #[arg(long, value_name = "WORDS")]
    text: Option<String>,
    /// Requests that change nothing, as Terraform sends them
    #[arg(long, value_enum, default_value_t = NoOp::Show)]
    no_op: NoOp,
}

/// What becomes of requests that change nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum NoOp {
    /// They are left out
    Hide,
    /// Nothing else is shown
    Only,
    /// They are shown like all others
    #[default]
    Show,
}

impl Wanted {
    pub(super) fn filter(&self, shown: &Shown, keys: Option<&Path>) -> anyhow::Result<Filter> {
        let (since, until) = self.span.read(shown)?;
        let (allowed, id) = match &self.decision {
            None | Some(Decision::Granted) => (None, None),
            Some(Decision::Allowed(allowed)) => (Some(*allowed), None),
            Some(Decision::Id(id)) => (None, Some(id.clone())),
        };
        let granted = self.granted || self.decision == Some(Decision::Granted);
        let wanted = self.clone();
        let (mut networks, mut addresses) = (Vec::new(), Vec::new());
        for client in wanted.client {
            match client {
                Client::Network(network) => networks.push(network),
                Client::Pseudonym(name) => addresses.push(name),
            }
        }
        let filter = Filter {
            since,
            until,
            caller: wanted.caller,
            certificate: wanted.certificate,
            claim: wanted.claim,
            team: wanted.team,
            token: wanted.token,
            environment: wanted.environment,
            operation: wanted.operation,
            scope: wanted.scope,
            added: wanted.added,
            removed: wanted.removed,
            policy: wanted.policy,
            code: wanted.code,
            client: networks,
            client_named: addresses,
            // What passed by a grant was allowed.
            allowed: allowed.or_else(|| granted.then_some(true)),
            id,
            outcome: self.outcome,
            challenger: self.challenger_differs,
            no_op: match self.no_op {
                NoOp::Hide => Some(false),
                NoOp::Only => Some(true),
                NoOp::Show => None,
            },
            granted,
            hidden: Vec::new(),
            text: wanted.text,
            before: None,
            known_as: HashMap::new(),
        };
        pseudonyms::added(filter, keys)
    }
}
