//! Whom and what an entry of the data is about, and in which time: modes and exceptions say it in the same words.

use std::fmt;

use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use crate::dynatrace::token::{canonical_id, is_hashed};
use crate::policy::input::{Caller, Input, guess};

/// A member of the input by which entries say whom they are about. They read nothing else of it, so that whoever lacks one
/// knows about which requests an entry cannot be asked.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Member {
    Environment,
    Teams,
    CallerToken,
    Token,
    JwtIssuer,
    JwtSubject,
    SpiffeId,
    CertificateIssuer,
    CertificateSubject,
    Address,
    Time,
}

impl Member {
    fn path(self) -> &'static str {
        match self {
            Self::Environment => "input.environment.name",
            Self::Teams => "input.caller.teams",
            Self::CallerToken => "input.caller.token.id",
            Self::Token => "input.token.id",
            Self::JwtIssuer => "input.caller.jwt.issuer",
            Self::JwtSubject => "input.caller.jwt.subject",
            Self::SpiffeId => "input.caller.certificate.spiffe_id",
            Self::CertificateIssuer => "input.caller.certificate.issuer",
            Self::CertificateSubject => "input.caller.certificate.subject",
            Self::Address => "input.caller.address",
            Self::Time => "input.time",
        }
    }

    /// The text; empty where there is none. Teams and the time are no text.
    fn text(self, input: &Input) -> &str {
        let Caller {
            address,
            token,
            certificate,
            jwt,
            ..
        } = &input.caller;
        match self {
            Self::Environment => &input.environment.name,
            Self::CallerToken => token.id.as_str(),
            Self::Token => input.token.as_ref().map_or("", |token| token.id.as_str()),
            Self::JwtIssuer => jwt.issuer.as_str(),
            Self::JwtSubject => jwt.subject.as_str(),
            Self::SpiffeId => certificate.spiffe_id.as_str(),
            Self::CertificateIssuer => certificate.issuer.as_str(),
            Self::CertificateSubject => certificate.subject.as_str(),
            Self::Address => address,
            Self::Teams | Self::Time => "",
        }
    }

    fn is_one_of(self, wanted: &[String], input: &Input) -> bool {
        if self == Self::Teams {
            return wanted.iter().any(|team| input.caller.teams.contains(team));
        }
        let text = self.text(input);
        !text.is_empty() && wanted.iter().any(|it| it == text)
    }
}

/// What is not said is everybody, everywhere, always.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(in crate::policy) struct About {
    /// Names of environments.
    pub(in crate::policy) environments: Vec<String>,
    /// Names of teams.
    pub(in crate::policy) teams: Vec<String>,
    /// Public ids of the tokens that callers show.
    callers: Vec<String>,
    /// Ids of the tokens that are changed, as they stand in the path.
    tokens: Vec<String>,
    /// So many of a hundred callers.
    percent: Option<u64>,
    from: Option<jiff::Timestamp>,
    pub(in crate::policy) until: Option<jiff::Timestamp>,
}

impl About {
    /// Reads a member of an entry. `None`: it is none of these.
    pub(in crate::policy) fn read(
        &mut self,
        name: &str,
        value: &Json,
    ) -> Option<Result<(), String>> {
        let place = match name {
            "caller" => &mut self.callers,
            "environment" => &mut self.environments,
            "team" => &mut self.teams,
            "token" => &mut self.tokens,
            "from" => return Some(first(value).map(|from| self.from = Some(from))),
            "until" => return Some(behind(value).map(|until| self.until = Some(until))),
            "percent" => {
                let percent = value.as_u64().filter(|percent| *percent <= 100);
                let wrong = || format!("percent is a whole number from 0 to 100, not {value}");
                return Some(percent.ok_or_else(wrong).map(|it| self.percent = Some(it)));
            }
            _ => return None,
        };
        let read = texts(name, value).map(|texts| *place = texts);
        // A UUID may be written in large letters: it would be about nothing.
        for token in &mut self.tokens {
            *token = canonical_id(token).into_owned();
        }
        Some(read)
    }

    /// Refuses what contradicts itself, and teams that nobody can belong to.
    pub(in crate::policy) fn check(&self, teams: &[&str]) -> Result<(), String> {
        if let (Some(from), Some(until)) = (self.from, self.until)
            && from >= until
        {
            return Err("it ends before it begins: from is not before until".to_owned());
        }
        let known = |team: &&String| teams.contains(&team.as_str());
        match self.teams.iter().find(|team| !known(team)) {
            Some(team) => {
                let guess = guess(team, "", teams);
                Err(format!("data.callers has no team {team}{guess}"))
            }
            None => Ok(()),
        }
    }

    /// Whether it is about everything, always.
    pub(in crate::policy) fn is_everything(&self) -> bool {
        *self == Self::default()
    }

    /// Whether it is about all that another one is about.
    pub(in crate::policy) fn covers(&self, other: &Self) -> bool {
        let has = |wider: &[String], those: &[String]| {
            wider.is_empty() || !those.is_empty() && those.iter().all(|it| wider.contains(it))
        };
        // A share of all of them is a step on the way: what is behind it is left as it was.
        let share = self
            .percent
            .is_none_or(|wider| other.percent.is_some_and(|it| wider >= it));
        let begins = |about: &Self| about.from.unwrap_or(jiff::Timestamp::MIN);
        let ends = |about: &Self| about.until.unwrap_or(jiff::Timestamp::MAX);
        has(&self.environments, &other.environments)
            && has(&self.teams, &other.teams)
            && has(&self.callers, &other.callers)
            && has(&self.tokens, &other.tokens)
            && share
            && begins(self) <= begins(other)
            && ends(self) >= ends(other)
    }

    /// Whether it names a token or who asks.
    pub(in crate::policy) fn names_somebody(&self) -> bool {
        !(self.callers.is_empty() && self.teams.is_empty() && self.tokens.is_empty())
    }

    /// Whether it is about this request, whenever that is. `lot`: what the share of callers is drawn for.
    pub(in crate::policy) fn is(&self, input: &Input, lot: &str) -> bool {
        let mut named = self.named();
        named.all(|(member, wanted)| member.is_one_of(wanted, input))
            && self
                .percent
                .is_none_or(|percent| drawn(lot, input) < percent)
    }

    /// What it names, and where in the input that stands.
    fn named(&self) -> impl Iterator<Item = (Member, &[String])> {
        let named = [
            (Member::Environment, &*self.environments),
            (Member::Teams, &*self.teams),
            (Member::CallerToken, &*self.callers),
            (Member::Token, &*self.tokens),
        ];
        named.into_iter().filter(|(_, wanted)| !wanted.is_empty())
    }

    /// The members of the input that say whether it is about this request, or about any: `input.caller.address`.
    pub(in crate::policy) fn reads(&self, input: Option<&Input>) -> Vec<&'static str> {
        let named = self.named().map(|(member, _)| member);
        let drawn = self.percent.map(|_| drawn_by(input));
        let time = self.moments().next().map(|_| Member::Time);
        let reads = named.chain(drawn.into_iter().flatten()).chain(time);
        reads.map(Member::path).collect()
    }

    /// When it begins and ends.
    pub(in crate::policy) fn moments(&self) -> impl Iterator<Item = jiff::Timestamp> {
        self.from.into_iter().chain(self.until)
    }

    pub(in crate::policy) fn has_begun(&self, time: jiff::Timestamp) -> bool {
        self.from.is_none_or(|from| time >= from)
    }

    pub(in crate::policy) fn has_ended(&self, time: jiff::Timestamp) -> bool {
        self.until.is_some_and(|until| time >= until)
    }
}

impl fmt::Display for About {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = [
            ("environment", &self.environments),
            ("team", &self.teams),
            ("caller", &self.callers),
            ("token", &self.tokens),
        ];
        let named = named.into_iter().filter(|(_, texts)| !texts.is_empty());
        let mut parts: Vec<String> = named
            .map(|(name, texts)| format!("{name} {}", texts.join(", ")))
            .collect();
        parts.extend(self.percent.map(|percent| format!("{percent} %")));
        parts.extend(self.from.map(|from| format!("from {from}")));
        parts.extend(self.until.map(|until| format!("until {until}")));
        out.write_str(&parts.join("; "))
    }
}

/// The names of the teams that callers can belong to.
pub(in crate::policy) fn teams(data: &Map<String, Json>) -> Vec<&str> {
    let teams = data.get("callers").and_then(Json::as_array);
    let names = teams.into_iter().flatten();
    let names = names.filter_map(|team| team.get("name")?.as_str());
    names.collect()
}

/// What may name a caller: of which kind it is, whose word it is, and the name.
struct Named {
    kind: &'static str,
    issuer: Option<Member>,
    name: Member,
}

/// By what a share of callers is drawn: the first of what a caller has proven to be, the public id of the token that it
/// shows, and its address.
const DRAWN_BY: [Named; 4] = [
    Named {
        kind: "jwt",
        issuer: Some(Member::JwtIssuer),
        name: Member::JwtSubject,
    },
    Named {
        kind: "spiffe",
        issuer: None,
        name: Member::SpiffeId,
    },
    Named {
        kind: "certificate",
        issuer: Some(Member::CertificateIssuer),
        name: Member::CertificateSubject,
    },
    Named {
        kind: "token",
        issuer: None,
        name: Member::CallerToken,
    },
];
const BY_ADDRESS: Named = Named {
    kind: "address",
    issuer: None,
    name: Member::Address,
};

impl Named {
    /// Whether it is there, and the same at every gate. The hash of a credential without a public id is another one at each
    /// gate and for each access token of OAuth.
    fn is_stable(&self, input: &Input) -> bool {
        let name = self.name.text(input);
        !name.is_empty() && !is_hashed(name)
    }

    fn members(&self) -> impl Iterator<Item = Member> + use<> {
        self.issuer.into_iter().chain([self.name])
    }
}

/// The members that a share is drawn by for this request, or for any.
fn drawn_by(input: Option<&Input>) -> Vec<Member> {
    let mut members = Vec::new();
    for named in DRAWN_BY.iter().chain([&BY_ADDRESS]) {
        members.extend(named.members());
        if input.is_some_and(|input| named.is_stable(input)) {
            break;
        }
    }
    members
}

/// A caller's number from 0 to 99, which stays the same at every gate.
fn drawn(lot: &str, input: &Input) -> u64 {
    let mut all = DRAWN_BY.iter();
    let named = all.find(|named| named.is_stable(input));
    let Named { kind, issuer, name } = named.unwrap_or(&BY_ADDRESS);
    let issuer = issuer.map_or("", |issuer| issuer.text(input));
    let mut hash = Sha256::new();
    for part in [kind, issuer, name.text(input), lot] {
        hash.update(part.len().to_be_bytes());
        hash.update(part);
    }
    let hash: [u8; 32] = hash.finalize().into();
    let number = hash.first_chunk().copied().unwrap_or_default();
    // What is left over of 2^64 makes no difference that anybody could see.
    u64::from_be_bytes(number) % 100
}

/// One text, or a list of them.
fn texts(name: &str, value: &Json) -> Result<Vec<String>, String> {
    let wrong = || format!("{name} is a text, or a list of texts, not {value}");
    let text = |value: &Json| {
        let text = value.as_str().filter(|text| !text.is_empty());
        text.map(str::to_owned).ok_or_else(wrong)
    };
    match value {
        Json::Array(values) if values.is_empty() => Err(format!(
            "{name} is empty: it would be about nobody; leave it out"
        )),
        Json::Array(values) => values.iter().map(text).collect(),
        value => Ok(vec![text(value)?]),
    }
}

/// When a date or a timestamp begins.
fn first(value: &Json) -> Result<jiff::Timestamp, String> {
    match read(value).ok_or_else(|| wrong("from", value))? {
        Moment::Exact(moment) => Ok(moment),
        Moment::Day(date) => midnight(date).ok_or_else(|| wrong("from", value)),
    }
}

/// When it is over: a date includes its whole day (UTC), a timestamp is exact.
fn behind(value: &Json) -> Result<jiff::Timestamp, String> {
    match read(value).ok_or_else(|| wrong("until", value))? {
        Moment::Exact(moment) => Ok(moment),
        Moment::Day(date) => {
            let next = date.tomorrow().ok().and_then(midnight);
            next.ok_or_else(|| wrong("until", value))
        }
    }
}

enum Moment {
    Day(jiff::civil::Date),
    Exact(jiff::Timestamp),
}

fn read(value: &Json) -> Option<Moment> {
    let text = value.as_str()?;
    if let Ok(timestamp) = text.parse() {
        return Some(Moment::Exact(timestamp));
    }
    // A time without a zone would read as a date: whoever wrote it meant more than the day.
    let date = text
        .parse()
        .ok()
        .filter(|_| text.len() == "2027-01-31".len());
    date.map(Moment::Day)
}

fn midnight(date: jiff::civil::Date) -> Option<jiff::Timestamp> {
    let time = date.to_datetime(jiff::civil::Time::midnight());
    jiff::tz::Offset::UTC.to_timestamp(time).ok()
}

fn wrong(name: &str, value: &Json) -> String {
    format!(
        "{name} is a date such as 2027-01-31 or a timestamp such as 2027-01-31T18:00:00Z, not {value}"
    )
}

#[cfg(test)]
mod tests;
