//! What the configuration says about callers, taken together: what nobody could ever use is refused, and what lets in
//! more than was meant, or nobody, is told.

use super::Config;
use crate::gateway::credential::{self, Traffic};
use crate::gateway::upstream;
use crate::identity::{Everybodys, Teams, Ways, forwarded};
use crate::policy::{LoadError, Problem};
use crate::ship;
use crate::store;
use crate::telemetry::otlp;
use crate::value::Duration;

/// An environment of the configuration: the keys that lead to it, and what is looked at.
struct Reached<'c> {
    keys: Vec<&'c str>,
    upstream: &'c upstream::Config,
    credential: Option<&'c credential::Config>,
}

impl Config {
    /// Finds credentials that nobody could ever use.
    pub fn check_callers(&self, teams: &Teams) -> Result<(), LoadError> {
        let mut problems = Vec::new();
        for reached in self.reached() {
            let Some(credential) = reached.credential else {
                continue;
            };
            let keys = reached.of_credential();
            if self.identity.jwt.is_empty() && !self.asks_for_certificates() {
                problems.push(self.problem(
                    &keys,
                    "nobody can prove who he is, so nobody can ever use it: say whose tokens are believed \
                     ([identity.jwt.NAME]), or who issues certificates to clients ([listener.tls.clients])",
                ));
                continue;
            }
            for (number, team) in credential.teams.iter().enumerate() {
                if let Some(reason) = self.shut(team, teams) {
                    let number = number.to_string();
                    let place = [&keys[..], &["teams", &number]].concat();
                    problems.push(self.problem(&place, &reason));
                }
            }
        }
        if problems.is_empty() {
            Ok(())
        } else {
            Err(LoadError { problems })
        }
    }

    /// Why nobody of a team can use a credential.
    fn shut(&self, team: &str, teams: &Teams) -> Option<String> {
        match teams.ways(team) {
            None => {
                let guess = nearest(team, teams.names());
                let guess = guess.map_or_else(
                    || "the data of the policies has no such team in `callers`".to_owned(),
                    |name| format!("did you mean {name:?}?"),
                );
                Some(format!(
                    "no caller belongs to a team {team:?}, so nobody of it could use this credential: {guess}"
                ))
            }
            Some(Ways {
                certificate: false,
                jwt: false,
            }) => Some(format!(
                "team {team:?} has nothing but `tokens` in data.callers, and whoever shows a token of his own is not sent \
                 with this credential: give the team certificates or jwt"
            )),
            Some(Ways {
                certificate: true,
                jwt: false,
            }) if !self.asks_for_certificates() => Some(format!(
                "team {team:?} has nothing but certificates (and tokens) in data.callers, and clients are not asked for \
                 certificates: add [listener.tls.clients], or give the team jwt"
            )),
            Some(_) => None,
        }
    }

    /// What may not be meant, and is in force.
    pub fn doubts(&self) -> Vec<Problem> {
        let mut doubts = Vec::new();
        for reached in self.reached() {
            if let Some(credential) = reached.credential
                && credential.teams.is_empty()
            {
                self.doubt_everybody(&reached, credential, &mut doubts);
            }
            self.doubt_the_way(&reached, &mut doubts);
        }
        for (name, issuer) in &self.identity.jwt {
            if issuer.pause < SHORTEST_PAUSE {
                doubts.push(self.problem(
                    &["identity", "jwt", name.as_str(), "pause"],
                    "anybody can make the gate ask the issuer so often, by tokens with unknown keys: the default is 10s",
                ));
            }
            if issuer.max_age < SHORTEST_AGE {
                doubts.push(self.problem(
                    &["identity", "jwt", name.as_str(), "max_age"],
                    "tokens are answered 503 as soon as the issuer cannot be reached for so long: the default is 12h",
                ));
            }
        }
        let console = self.console.as_ref();
        let forwarded = [
            ("identity", Some(&self.identity.forwarded)),
            ("console", console.map(|it| &it.forwarded)),
        ];
        for (section, forwarded) in forwarded {
            if forwarded.is_some_and(forwarded::Config::is_never_read) {
                doubts.push(self.problem(
                    &[section, "forwarded"],
                    "nobody is believed, so the field is never read: give the networks of your proxies as `from`",
                ));
            }
        }
        if console.is_some_and(|it| it.is_behind_a_stranger(self.admin.tls.is_some())) {
            doubts.push(self.problem(
                &["console", "public_url"],
                "another program does TLS before the console, and it is not known whom it asks for: wrong passwords of \
                 strangers count for all who come by it; give its network as `console.forwarded.from`",
            ));
        }
        for (keys, reason) in self.otlp.iter().flat_map(otlp::doubts) {
            doubts.push(self.problem(&[&["otlp"], keys].concat(), &reason));
        }
        for (key, reason) in self.store.iter().flat_map(store::Config::doubts) {
            doubts.push(self.problem(&["store", key], reason));
        }
        for (keys, reason) in ship::doubts(&self.ship) {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            doubts.push(self.problem(&[&["ship"], &*keys].concat(), &reason));
        }
        doubts
    }

    /// A credential that names no teams.
    fn doubt_everybody(
        &self,
        reached: &Reached<'_>,
        credential: &credential::Config,
        doubts: &mut Vec<Problem>,
    ) {
        let keys = reached.of_credential();
        for (name, issuer) in &self.identity.jwt {
            let Some(Everybodys {
                who, any_audience, ..
            }) = Everybodys::of(&issuer.issuer)
            else {
                continue;
            };
            let audience = if any_audience {
                ", for any audience that they ask for"
            } else {
                ""
            };
            doubts.push(self.problem(
                &keys,
                &format!(
                    "everybody in the world with an account at {who} may use it: identity.jwt.{name} believes tokens that \
                     {who} gives to each of them{audience}; name the teams that may use it (`teams`)"
                ),
            ));
        }
        if credential.traffic == Traffic::All {
            let place = [&keys[..], &["traffic"]].concat();
            doubts.push(self.problem(
                &place,
                "whoever proves who he is may send whatever this credential allows, and open traffic is not judged: name \
                 the teams that may use it (`teams`)",
            ));
        }
    }

    fn doubt_the_way(&self, reached: &Reached<'_>, doubts: &mut Vec<Problem>) {
        let upstream = reached.upstream;
        let Some(url) = upstream.url.as_ref().filter(|url| !url.is_encrypted()) else {
            return;
        };
        let place = |key| [&reached.keys[..], &["upstream", key]].concat();
        if !url.is_here() {
            doubts.push(self.problem(
                &place("url"),
                "credentials cross the network readable, and whoever is on the way can change requests that were judged: \
                 write https://",
            ));
        }
        for (key, is_there) in [
            ("ca", upstream.ca.is_some()),
            ("client_certificate", upstream.client_certificate.is_some()),
        ] {
            if is_there {
                let reason = "it is never used, because upstream.url is http://: write https://";
                doubts.push(self.problem(&place(key), reason));
            }
        }
    }

    /// Whether clients are asked for certificates.
    pub fn asks_for_certificates(&self) -> bool {
        let tls = self.listener.tls.as_ref();
        tls.is_some_and(|tls| tls.clients.is_some())
    }

    fn reached(&self) -> Vec<Reached<'_>> {
        if self.environments.is_empty() {
            return vec![Reached {
                keys: Vec::new(),
                upstream: &self.upstream,
                credential: self.credential.as_ref(),
            }];
        }
        let several = self.environments.iter().map(|(name, of)| Reached {
            keys: vec!["environments", name],
            upstream: &of.upstream,
            credential: of.credential.as_ref(),
        });
        several.collect()
    }
}

impl<'c> Reached<'c> {
    fn of_credential(&self) -> Vec<&'c str> {
        [&self.keys[..], &["credential"]].concat()
    }
}

pub(super) fn nearest<'n>(name: &str, names: impl Iterator<Item = &'n str>) -> Option<&'n str> {
    let likely = names.map(|known| (strsim::jaro_winkler(name, known), known));
    likely
        .filter(|(likeness, _)| *likeness >= super::NEAR)
        .max_by(|(one, _), (other, _)| one.total_cmp(other))
        .map(|(_, known)| known)
}

/// Between two fetches that strangers can cause.
const SHORTEST_PAUSE: Duration = Duration::from_secs(1);
/// As long as an issuer may well be away.
const SHORTEST_AGE: Duration = Duration::from_secs(600);

#[cfg(test)]
mod tests;
