//! Who is calling, through the gate as it runs: certificates, JSON Web Tokens, teams, and the credential that the gate
//! has for its callers.

mod brokering;
mod callers;
mod changes;
mod forwarded;
mod load;
mod multiplexed;
pub(crate) mod oauth;
mod recent;
mod said;
mod shares;
mod tokens;
mod told;
mod wire;

use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, SanType};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::authority::Authority;
use crate::harness::{Answered, Gate, Seen, TOKEN, Upstream, exchange, is_lookup, serving, token};
use crate::signer::Signer;
use crate::tls::clients::now;
use crate::tls::{certified, write};

/// What the gate has, and its callers have not.
const PUBLIC: &str = "dt0c01.GATEPUBLICGATEPUBLICGATE";
const SECRET: &str = "Q7XK2MVT4HPLR5ZC3NWBY6SDJFGAE2U5TQ4KXM3ZP6RVN7HCWLBYSD2GJFTAEUQK";

const ISSUER: &str = "https://ci.example";
/// One whose tokens have a field of their own.
const FIELD: &str = "https://field.example";

/// Clients may show a certificate.
const TLS: &str = "[listener.tls]
files = { certificate = 'certificate.pem', key = 'key.pem' }
clients = { ca = 'ca.pem', required = false }
";

const JWT: &str = "[identity.jwt.ci]
issuer = 'https://ci.example'
audience = 'dtgate'
jwks_file = 'keys.json'
[identity.jwt.field]
issuer = 'https://field.example'
audience = 'dtgate'
jwks_file = 'keys.json'
header = 'x-dtgate-token'
";

const BROKERED: &str = "[credential]\nfile = 'gate.token'\n";

/// Asks who is calling, what the token is called now, and what the request looks like.
const POLICY: &str = r#"package dtgate.names

deny contains "only payments may call a token payments" if {
	input.change.name.requested == "payments"
	count([team | some team in input.caller.teams; team == "payments"]) == 0
}

deny contains "no token may be called forbidden" if input.change.name.requested == "forbidden"

deny contains "it is protected" if input.change.name.current == "protected"

deny contains "it is for robots" if input.attributes.request.http.headers["x-robot"] == "no"
"#;

const DATA: &str = "callers:
  - name: payments
    certificates:
      - spiffe: spiffe://example/ns/payments/*
    jwt:
      - issuer: https://ci.example
        claim: repository
        value: example/payments
      - issuer: https://field.example
        claim: repository
        value: example/payments
";

/// Files of a gate that does not run yet.
struct Making {
    directory: TempDir,
    authority: Authority,
    signer: Signer,
    upstream: Upstream,
}

/// A gate that runs in the folder of its files.
struct Stand {
    gate: Gate,
    authority: Authority,
    signer: Signer,
    upstream: Upstream,
}

/// Tells everybody what tokens are, counts that, and answers 204 to everything else.
fn telling() -> Upstream {
    Upstream::answering_all(|seen| {
        if is_lookup(&seen.line) {
            token().into_bytes()
        } else {
            b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
        }
    })
}

impl Making {
    fn new() -> Self {
        Self::before(Upstream::lenient())
    }

    fn before(upstream: Upstream) -> Self {
        let making = Self {
            directory: tempfile::tempdir().unwrap(),
            authority: Authority::new("Root", now()),
            signer: Signer::es256("k"),
            upstream,
        };
        write(making.directory.path(), &certified());
        std::fs::create_dir(making.path("policies")).unwrap();
        making.file("policies/names.rego", POLICY);
        making.file("policies/data.yaml", DATA);
        making.file("ca.pem", &making.authority.pem);
        making.file("keys.json", &keys(&[&making.signer]));
        making.file("gate.token", &format!("{PUBLIC}.{SECRET}\n"));
        making
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn file(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn start(self, configuration: &[&str]) -> Stand {
        let mut configuration = configuration.concat();
        if !configuration.contains("[environments.") {
            let upstream = self.upstream.address.to_string();
            configuration.extend(["\n[upstream]\nurl = 'http://", &upstream, "'\n"]);
        }
        self.file("dtgate.toml", &configuration);
        let mut command = serving(&self.directory);
        command.current_dir(self.directory.path()).args([
            "--config",
            "dtgate.toml",
            "--policies",
            "policies",
        ]);
        Stand {
            gate: Gate::spawn(self.directory, command),
            authority: self.authority,
            signer: self.signer,
            upstream: self.upstream,
        }
    }
}

/// A set of keys as an issuer publishes it.
fn keys(signers: &[&Signer]) -> String {
    let keys: Vec<Value> = signers.iter().map(|signer| signer.jwk()).collect();
    json!({ "keys": keys }).to_string()
}

/// What a job of the team says about itself, and more.
fn claims(more: Value) -> Value {
    let mut claims = json!({
        "iss": ISSUER, "aud": "dtgate", "sub": "repo:example/payments:ref:refs/heads/main",
        "repository": "example/payments", "exp": now() + 600,
    });
    if let Value::Object(more) = more {
        claims.as_object_mut().unwrap().extend(more);
    }
    claims
}

/// A client's certificate of the team's.
fn of_payments(params: &mut CertificateParams) {
    let uri = "spiffe://example/ns/payments/sa/ci".try_into().unwrap();
    params.subject_alt_names = vec![
        SanType::URI(uri),
        SanType::DnsName("ci.payments.example".try_into().unwrap()),
        SanType::Rfc822Name("ci@payments.example".try_into().unwrap()),
        SanType::IpAddress("192.0.2.1".parse().unwrap()),
    ];
}

/// The bytes of a request that shows nothing but these fields; `body` makes it JSON.
fn request(method: &str, target: &str, fields: &[(&str, &str)], body: &str) -> String {
    let mut text = format!("{method} {target} HTTP/1.1\r\n");
    if fields.iter().all(|(name, _)| *name != "Host") {
        text.push_str("Host: gate\r\n");
    }
    for (name, value) in fields {
        text.extend([name, ": ", value, "\r\n"]);
    }
    if !body.is_empty() {
        text.push_str("Content-Type: application/json\r\n");
    }
    format!("{text}Content-Length: {}\r\n\r\n{body}", body.len())
}

/// Calls the token by a name.
fn naming(name: &str, fields: &[(&str, &str)]) -> String {
    request("PUT", TOKEN, fields, &json!({ "name": name }).to_string())
}

impl Stand {
    /// A good token with these claims and the usual ones.
    fn token(&self, more: Value) -> String {
        self.signer.token(&claims(more))
    }

    fn bearer(&self, more: Value) -> String {
        format!("Bearer {}", self.token(more))
    }

    /// Calls the token by a name.
    fn name(&self, name: &str, fields: &[(&str, &str)]) -> Answered {
        self.gate.raw(naming(name, fields))
    }

    fn get(&self, target: &str, fields: &[(&str, &str)]) -> Answered {
        self.gate.raw(request("GET", target, fields, ""))
    }

    /// As an editor does: never half of it.
    fn write(&self, name: &str, text: &str) {
        let (path, new) = (self.path(name), self.path(".new"));
        std::fs::write(&new, text).unwrap();
        std::fs::rename(new, path).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.gate.directory.path().join(name)
    }

    fn decisions(&self) -> Vec<Value> {
        let mut records = self.gate.records();
        records.retain(|record| record["kind"] == "decision");
        records
    }

    fn status(&self) -> Value {
        exchange(
            self.gate.admin,
            b"GET /status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        )
        .json()
    }

    /// None of these stands anywhere that people look.
    fn hides(&self, secrets: &[&str]) {
        let mut places = vec![("the log".to_owned(), self.gate.log())];
        for page in ["status", "metrics"] {
            let page = format!("GET /{page} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            let answer = exchange(self.gate.admin, page.as_bytes());
            places.push((page, answer.body));
        }
        places.extend(texts(&self.gate.journal()));
        for secret in secrets {
            for (place, text) in &places {
                assert!(!text.contains(secret), "{secret} is in {place}: {text}");
            }
        }
    }
}

fn texts(directory: &Path) -> Vec<(String, String)> {
    let entries = std::fs::read_dir(directory).unwrap().flatten();
    let read = |path: PathBuf| {
        let text = std::fs::read(&path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text).into_owned();
        (path.display().to_string(), text)
    };
    entries.map(|entry| read(entry.path())).collect()
}

/// What a token is made of: none of it may be written.
fn parts(token: &str) -> Vec<&str> {
    token.split('.').collect()
}

/// What the upstream was shown.
fn shown(seen: &[Seen]) -> Vec<Option<&str>> {
    seen.iter()
        .map(|seen| seen.header("authorization"))
        .collect()
}
