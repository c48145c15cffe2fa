//! Made-up traffic of several teams, so that the console has something to show.
//!
//! It asks for the same in the same order every time: first for one of each kind, and for so many in all; then for one
//! or two every second, until whoever watches has seen enough.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, anyhow};
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::{Value, json};
use tokio::time::{sleep, timeout};

use super::chance::Chance;
use super::wish::{Then, Token, Wish, wish};
use crate::simulate::{Simulator, seeds};

/// What the demo sends by itself.
pub(super) struct Traffic {
    callers: Vec<Caller>,
    places: Vec<Place>,
    chance: Chance,
    sent: usize,
}

/// An environment: how requests to it begin, and the tokens there that traffic has made.
pub(super) struct Place {
    pub(super) stage: &'static str,
    pub(super) prefix: String,
    pub(super) simulator: Simulator,
    pub(super) tokens: Vec<Token>,
}

/// Somebody who changes tokens.
struct Caller {
    who: &'static Who,
    /// Its own token: the public part, and whole.
    id: String,
    secret: String,
    client: Client<HttpConnector, Full<Bytes>>,
}

struct Who {
    /// Empty: it belongs to none.
    team: &'static str,
    name: &'static str,
    /// Which environment, as [`Traffic::new`] is given them.
    place: usize,
    /// The last part of its address.
    host: u8,
    agent: &'static str,
}

impl Traffic {
    /// Callers get their tokens as people do: from Dynatrace, past the gate.
    pub(super) fn new(places: Vec<Place>) -> anyhow::Result<Self> {
        let mut callers = Vec::new();
        for who in &WHO {
            let place = places.get(who.place).context("no such environment")?;
            let scopes = ["apiTokens.read", "apiTokens.write", "TenantTokenManagement"];
            let (id, secret) = made(&place.simulator, who.name, &scopes)?;
            callers.push(Caller {
                who,
                id,
                secret,
                client: client(who.host),
            });
        }
        let mut traffic = Self {
            callers,
            places,
            chance: Chance::new(SEED),
            sent: 0,
        };
        let first = traffic.places.first_mut().context("no environment")?;
        let scopes = ["metrics.ingest"];
        let (id, _secret) = made(&first.simulator, HANGS_UP, &scopes)?;
        first.tokens.push(Token::new(id, HANGS_UP, &scopes));
        Ok(traffic)
    }

    /// Who belongs to which team, as data of policies.
    pub(super) fn teams(&self) -> String {
        let mut teams: Vec<&str> = self.callers.iter().map(|it| it.who.team).collect();
        teams.sort_unstable();
        teams.dedup();
        teams.retain(|team| !team.is_empty());
        let listed = |team: &str| {
            let callers = self.callers.iter().filter(|it| it.who.team == team);
            let tokens: Vec<&str> = callers.map(|it| it.id.as_str()).collect();
            json!({"name": team, "tokens": tokens})
        };
        let teams: Vec<Value> = teams.into_iter().map(listed).collect();
        json!({ "callers": teams }).to_string()
    }

    /// As much as a few minutes bring. How many requests there were, and of how many callers.
    pub(super) async fn begin(&mut self, gate: &str) -> anyhow::Result<(usize, usize)> {
        while self.sent < FIRST {
            self.send(gate).await?;
        }
        Ok((self.sent, self.callers.len()))
    }

    /// Never ends by itself.
    pub(super) async fn go_on(&mut self, gate: &str) -> anyhow::Result<()> {
        loop {
            let pause = PAUSES.get(self.sent / EACH % PAUSES.len());
            sleep(pause.copied().unwrap_or_default()).await;
            self.send(gate).await?;
        }
    }

    async fn send(&mut self, gate: &str) -> anyhow::Result<()> {
        // Each takes its turn; some of them ask more often than others.
        let turn = match self.chance.below(3) {
            0 => self.chance.below(2),
            _ => self.sent % self.callers.len().max(1),
        };
        let caller = self.callers.get(turn).context("no caller")?;
        let who = caller.who;
        let place = self.places.get_mut(who.place);
        let place = place.context("no such environment")?;
        let team = match who.team {
            "" => "legacy",
            team => team,
        };
        let wish = wish(&mut self.chance, place, team, &caller.id, self.sent);
        self.sent += 1;
        let url = format!("{gate}{}{}", place.prefix, wish.path);
        let answer = timeout(PATIENCE, caller.ask(&url, &wish)).await;
        let (status, answer) = answer.map_err(|_late| anyhow!("{url}: no answer"))??;
        if status.is_success() {
            let id = answer.get("id").and_then(Value::as_str);
            place.remember(wish.then, id);
        }
        Ok(())
    }
}

impl Place {
    /// What has changed.
    fn remember(&mut self, then: Then, made: Option<&str>) {
        match then {
            Then::Nothing => {}
            Then::Made(mut token) => {
                let Some(id) = made else { return };
                id.clone_into(&mut token.id);
                self.tokens.push(token);
            }
            Then::Changed(token) => {
                let known = self.tokens.iter_mut().find(|it| it.id == token.id);
                if let Some(known) = known {
                    *known = token;
                }
            }
            Then::Gone(id) => self.tokens.retain(|it| it.id != id),
        }
    }
}

impl Caller {
    async fn ask(&self, url: &str, wish: &Wish) -> anyhow::Result<(StatusCode, Value)> {
        let request = Request::builder()
            .method(&wish.method)
            .uri(url)
            .header(AUTHORIZATION, format!("Api-Token {}", self.secret))
            .header(USER_AGENT, self.who.agent)
            .header(CONTENT_TYPE, "application/json")
            .body(Full::new(Bytes::from(wish.body.clone())))?;
        let response = self.client.request(request).await.context("traffic")?;
        let status = response.status();
        let body = response.into_body().collect().await?.to_bytes();
        // Not every answer is JSON: many have no body.
        let answer = serde_json::from_slice(&body).unwrap_or_default();
        Ok((status, answer))
    }
}

fn client(host: u8) -> Client<HttpConnector, Full<Bytes>> {
    let mut connector = HttpConnector::new();
    // Elsewhere only one address of loopback can be used.
    let from = cfg!(target_os = "linux").then(|| IpAddr::from([127, 0, 0, host]));
    connector.set_local_address(from);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// The id and the whole of a new token.
fn made(simulator: &Simulator, name: &str, scopes: &[&str]) -> anyhow::Result<(String, String)> {
    let body = json!({"name": name, "scopes": scopes}).to_string();
    let request = Request::builder()
        .method(Method::POST)
        .uri("/api/v2/apiTokens")
        .header(
            AUTHORIZATION,
            format!("Api-Token {}", seeds::API_TOKENS.secret),
        )
        .header(CONTENT_TYPE, "application/json")
        .body(Bytes::from(body))?;
    let answer = simulator.answer(request, IpAddr::from([127, 0, 0, 1]));
    let answer: Value = serde_json::from_slice(answer.body())?;
    let member = |name: &str| answer.get(name).and_then(Value::as_str).map(str::to_owned);
    let both = member("id").zip(member("token"));
    both.with_context(|| format!("the simulator made no token {name}"))
}

/// The token about which the simulated Dynatrace never answers: what is asked of it is in doubt.
pub(super) const HANGS_UP: &str = "edge-prod-faraway";
/// The id of the second environment.
pub(super) const STAGE: &str = "stg12345";

const WHO: [Who; 6] = [
    Who {
        team: "payments",
        name: "payments-prod-ci",
        place: 0,
        host: 11,
        agent: "Terraform/1.9.8 terraform-provider-dynatrace/1.88.0",
    },
    Who {
        team: "search",
        name: "search-stage-ci",
        place: 1,
        host: 12,
        agent: "Terraform/1.9.8 terraform-provider-dynatrace/1.88.0",
    },
    Who {
        team: "checkout",
        name: "checkout-prod-ci",
        place: 0,
        host: 13,
        agent: "Dynatrace Monitoring as Code/2.24.0",
    },
    Who {
        team: "payments",
        name: "payments-stage-ci",
        place: 1,
        host: 14,
        agent: "python-requests/2.32.3",
    },
    Who {
        team: "platform",
        name: "platform-prod-ops",
        place: 0,
        host: 15,
        agent: "curl/8.14.1",
    },
    Who {
        team: "",
        name: "nightly script",
        place: 0,
        host: 16,
        agent: "python-requests/2.28.1",
    },
];

const SEED: u64 = 19;
/// Requests at the beginning.
const FIRST: usize = 140;
/// Between two requests later: one after the other, each for so many. Traffic comes and goes, and so has a shape.
const PAUSES: [Duration; 4] = [
    Duration::from_millis(400),
    Duration::from_millis(700),
    Duration::from_millis(1_500),
    Duration::from_secs(1),
];
const EACH: usize = 40;
/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(15);
