//! Made-up requests: input documents that use the words of the policies, with everything missing that may be.
//!
//! The same seed makes the same documents. They are for comparing engines: whoever reads one sees no request
//! that ever was.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json, json};

use crate::dynatrace::catalogue::ENDPOINTS;
use crate::dynatrace::redact::{Redacted, Redactor};
use crate::policy::input::{
    Amounts, Attributes, AttributesAddress, AttributesHttp, AttributesRequest, AttributesSource,
    Caller, CallerCertificate, CallerJwt, CallerToken, Change, Current, Environment, Envoy,
    Expiration, Input, Requested, Scopes, Settings, SocketAddress, Target, Wish,
};
use crate::policy::rego::program::Read;

/// Makes documents, one after the other.
pub(in crate::policy) struct Sampler<'a> {
    /// What the policies and their data say, and what nobody expects.
    words: &'a BTreeSet<String>,
    all: Vec<&'a str>,
    reads: &'a BTreeSet<Read>,
    /// There is no request whose credentials it could know.
    redactor: Redactor,
    state: u64,
}

impl<'a> Sampler<'a> {
    pub(in crate::policy) fn new(
        words: &'a BTreeSet<String>,
        reads: &'a BTreeSet<Read>,
        seed: u64,
    ) -> Self {
        let all = words.iter().map(String::as_str).chain(ODD).collect();
        Self {
            words,
            all,
            reads,
            redactor: Redactor::default(),
            state: seed,
        }
    }

    pub(in crate::policy) fn input(&mut self) -> Input {
        let current = self.maybe(Self::current);
        let requested = self.maybe(Self::scopes);
        let change = Change {
            name: Wish {
                requested: self.maybe(Self::text),
                current: current.as_ref().and_then(|current| current.name.clone()),
            },
            enabled: Wish {
                requested: self.maybe(Self::coin),
                current: current.as_ref().and_then(|current| current.enabled),
            },
            scopes: self.difference(requested, current.as_ref()),
            expiration: Expiration {
                requested: self.maybe(Self::text),
                at: self.maybe(Self::time),
            },
            personal: Requested {
                requested: self.maybe(Self::coin),
            },
            differs: self.maybe(|sampler| {
                let members = ["name", "enabled", "scopes"];
                let some = members.into_iter().filter(|_| sampler.coin());
                some.map(str::to_owned).collect()
            }),
        };
        let target = |sampler: &mut Self| Target {
            id: sampler.id(),
            current,
            lookup_error: sampler.seldom(Self::text),
        };
        Input {
            operation: self.operation(),
            api: self.one_of(&["v1", "v2", "cluster/v2"]),
            environment: Environment {
                name: self.word(),
                id: self.text(),
                data: self.open("input.environment.data"),
            },
            caller: Caller {
                address: self.one_of(&["10.1.2.3", "::1", ""]),
                token: self.maybe(Self::caller).unwrap_or_default(),
                certificate: self.seldom(Self::certificate).unwrap_or_default(),
                jwt: self.seldom(Self::jwt).unwrap_or_default(),
                teams: self.seldom(Self::words).unwrap_or_default(),
                recent: self.maybe(Self::amounts),
            },
            token: self.maybe(target),
            change,
            settings: self.seldom(|sampler| Settings {
                schemas: sampler.words(),
            }),
            unknown_members: self.members("input.unknown_members"),
            time: self.time(),
            envoy: self.reads_envoy().then(|| self.envoy()),
        }
    }

    /// Around what somebody may set for a limit.
    fn amounts(&mut self) -> Amounts {
        let mut number = || u64::try_from(self.below(2200)).unwrap_or_default();
        Amounts {
            created: number() % 220,
            scopes_gained: number(),
            removed: number() % 220,
        }
    }

    fn current(&mut self) -> Current {
        Current {
            id: self.maybe(Self::id),
            name: self.maybe(Self::text),
            enabled: self.maybe(Self::coin),
            owner: self.maybe(Self::text),
            scopes: self.scopes(),
            personal: self.maybe(Self::coin),
            expiration: self.maybe(Self::text),
        }
    }

    fn caller(&mut self) -> CallerToken {
        let kind = self.one_of(&["api-token", "bearer", "other"]);
        CallerToken {
            id: self.id(),
            kind: self.redactor.text(&kind),
        }
    }

    fn certificate(&mut self) -> CallerCertificate {
        CallerCertificate {
            subject: self.text(),
            issuer: self.text(),
            serial: self.id(),
            dns: self.scopes(),
            uris: self.scopes(),
            emails: self.scopes(),
            addresses: self.scopes(),
            spiffe_id: self.text(),
            fingerprint: self.id(),
            not_after: "2027-11-24T10:00:00.000Z".to_owned(),
        }
    }

    fn jwt(&mut self) -> CallerJwt {
        CallerJwt {
            issuer: self.text(),
            subject: self.text(),
            audiences: self.scopes(),
            id: self.id(),
            claims: self.members("input.caller.jwt.claims"),
        }
    }

    /// Mostly as the gate makes it, sometimes as it would only be by mistake.
    fn difference(
        &mut self,
        requested: Option<Vec<Redacted>>,
        current: Option<&Current>,
    ) -> Scopes {
        let has = current.map(|current| current.scopes.clone());
        let asked = requested.clone().unwrap_or_default();
        let had = has.clone().unwrap_or_default();
        let without = |one: &[Redacted], other: &[Redacted]| -> Vec<Redacted> {
            let rest = one.iter().filter(|scope| !other.contains(scope));
            rest.cloned().collect()
        };
        let known = has.is_some();
        let added = without(&asked, &had);
        let kept = without(&asked, &added);
        let removed = without(&had, &asked);
        Scopes {
            requested,
            current: has,
            added: known.then_some(added).filter(|_| self.usually()),
            removed: known.then_some(removed).filter(|_| self.usually()),
            kept: known.then_some(kept).filter(|_| self.usually()),
        }
    }

    fn operation(&mut self) -> String {
        // The policies are about tokens first of all.
        if self.usually() {
            return self.one_of(&["token.create", "token.update", "token.delete"]);
        }
        let row = self.below(ENDPOINTS.len());
        let operation = ENDPOINTS
            .get(row)
            .map(|endpoint| endpoint.operation.as_str());
        operation.unwrap_or("token.update").to_owned()
    }

    fn scopes(&mut self) -> Vec<Redacted> {
        let words = self.words();
        words.iter().map(|word| self.redactor.text(word)).collect()
    }

    fn words(&mut self) -> Vec<String> {
        let most = if self.usually() { 6 } else { 40 };
        (0..self.below(most)).map(|_| self.word()).collect()
    }

    fn text(&mut self) -> Redacted {
        let word = self.word();
        self.redactor.text(&word)
    }

    fn id(&mut self) -> Redacted {
        match self.below(3) {
            0 => Redacted::ours("dt0c01.ST2EY72KQINMH574WMNVI7YN"),
            1 => Redacted::ours("d5836312-5790-4e80-afcf-09971954c3ea"),
            _ => self.text(),
        }
    }

    fn time(&mut self) -> jiff::Timestamp {
        // A time of day and a day of the week for every policy that asks for one.
        let milliseconds = 1_780_000_000_000_i64 + i64::try_from(self.below(1 << 35)).unwrap_or(0);
        jiff::Timestamp::from_millisecond(milliseconds).unwrap_or_default()
    }

    /// An object that is not ours to name, with the members in it that policies read.
    fn open(&mut self, path: &str) -> Map<String, Json> {
        let mut members = Map::new();
        let depth = path.split('.').count();
        let reads = self.reads;
        for read in reads {
            let steps: Vec<&str> = read
                .iter()
                .map(|step| step.as_deref().unwrap_or("0"))
                .collect();
            if steps.len() > depth
                && path.split('.').eq(steps.iter().take(depth).copied())
                && self.usually()
            {
                let value = self.json(2);
                place(&mut members, steps.get(depth..).unwrap_or_default(), value);
            }
        }
        if !self.usually() {
            let (name, value) = (self.word(), self.json(2));
            members.entry(name).or_insert(value);
        }
        members
    }

    fn members(&mut self, path: &str) -> Redacted<Map<String, Json>> {
        let members = self.open(path);
        self.redactor.members(&members)
    }

    fn headers(&mut self) -> BTreeMap<Redacted, Redacted> {
        let open = self.open("input.attributes.request.http.headers");
        let text = |text: &str| self.redactor.text(text);
        let named = |(name, value): (&String, &Json)| {
            let value = value
                .as_str()
                .map_or_else(|| value.to_string(), str::to_owned);
            (text(name), text(&value))
        };
        open.iter().map(named).collect()
    }

    fn body(&mut self) -> Redacted<Json> {
        let body = if self.usually() {
            Json::Object(self.open("input.parsed_body"))
        } else {
            self.json(2)
        };
        self.redactor.json(&body)
    }

    fn json(&mut self, depth: usize) -> Json {
        match self.below(if depth == 0 { 5 } else { 7 }) {
            0 => Json::Null,
            1 => json!(self.coin()),
            2 => self.number(),
            3 | 4 => json!(self.word()),
            5 => (0..self.below(3)).map(|_| self.json(depth - 1)).collect(),
            _ => json!({ self.word(): self.json(depth - 1) }),
        }
    }

    fn number(&mut self) -> Json {
        let numbers = [
            json!(-1),
            json!(0.5),
            json!(1e30),
            json!(9_007_199_254_740_993_u64),
        ];
        let small = json!(self.below(20));
        numbers.get(self.below(8)).cloned().unwrap_or(small)
    }

    fn reads_envoy(&self) -> bool {
        let members = [
            "attributes",
            "parsed_body",
            "parsed_path",
            "parsed_query",
            "truncated_body",
        ];
        self.reads.iter().any(|read| match read.get(1) {
            Some(Some(member)) => members.contains(&member.as_str()),
            Some(None) | None => true,
        })
    }

    fn envoy(&mut self) -> Envoy {
        let method = self.one_of(&["PUT", "POST", "DELETE", "GET"]);
        let path = self.one_of(&["/api/v1/tokens/x", "/api/v2/apiTokens", "/"]);
        Envoy {
            attributes: Attributes {
                request: AttributesRequest {
                    http: AttributesHttp {
                        method: self.redactor.text(&method),
                        path: self.redactor.text(&path),
                        host: self.text(),
                        headers: self.headers(),
                    },
                },
                source: AttributesSource {
                    address: AttributesAddress {
                        socket_address: SocketAddress {
                            address: self.one_of(&["10.1.2.3", "::1", ""]),
                        },
                    },
                },
            },
            parsed_path: (0..self.below(5)).map(|_| self.text()).collect(),
            parsed_query: self.members("input.parsed_query"),
            parsed_body: self.maybe(Self::body),
            truncated_body: false,
        }
    }

    /// A word, or two in one.
    fn word(&mut self) -> String {
        let word = self.one_word();
        match self.below(12) {
            0 => format!(
                "{word}{}{}",
                self.one_of(&["-", ".", "", ","]),
                self.one_word()
            ),
            1 => self.number().to_string(),
            _ => word,
        }
    }

    fn one_word(&mut self) -> String {
        // Half of the time a plain name of something, such as a scope.
        for _ in 0..self.below(3) {
            let place = self.below(self.words.len());
            if let Some(word) = self.all.get(place)
                && !word.contains(' ')
            {
                return (*word).to_owned();
            }
        }
        let place = self.below(self.all.len());
        self.all.get(place).copied().unwrap_or_default().to_owned()
    }

    fn one_of(&mut self, words: &[&str]) -> String {
        let place = self.below(words.len());
        words.get(place).copied().unwrap_or_default().to_owned()
    }

    fn maybe<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(3) > 0).then(|| make(self))
    }

    fn seldom<T>(&mut self, make: impl FnOnce(&mut Self) -> T) -> Option<T> {
        (self.below(8) == 0).then(|| make(self))
    }

    fn usually(&mut self) -> bool {
        self.below(8) > 0
    }

    fn coin(&mut self) -> bool {
        self.below(2) == 0
    }

    fn below(&mut self, limit: usize) -> usize {
        below(&mut self.state, limit)
    }
}

/// A number below another, by chance: `SplitMix64`, which is short and good enough to choose words.
pub(in crate::policy) fn below(state: &mut u64, limit: usize) -> usize {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let mut mixed = *state;
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    mixed ^= mixed >> 31;
    let limit = u64::try_from(limit.max(1)).unwrap_or(u64::MAX);
    usize::try_from(mixed % limit).unwrap_or(0)
}

/// Puts a value where a path leads, through objects that are made on the way.
fn place(members: &mut Map<String, Json>, steps: &[&str], value: Json) {
    match steps {
        [] => {}
        [last] => drop(members.insert((*last).to_owned(), value)),
        [first, rest @ ..] => {
            let next = members.entry(*first).or_insert_with(|| json!({}));
            if let Json::Object(next) = next {
                place(next, rest, value);
            }
        }
    }
}

/// What no policy has a word for.
const ODD: [&str; 8] = [
    "",
    " ",
    "WriteConfig",
    "writeconfig ",
    "Writ\u{435}Config",
    "payments-prod-ci",
    "a\u{0}b",
    "%q (\\",
];
