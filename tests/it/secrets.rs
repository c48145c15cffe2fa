//! Promise 4, whatever a client does: a secret in every place that a request has, in every encoding, and then a search
//! through all that was written: the journal, the log, the answers, the metrics, and what `audit tail` makes of them.

mod places;

use std::collections::HashSet;
use std::io::Write;
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::process::Command;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};

use crate::harness::{
    Gate, Upstream, eventually, exchange, files, program, read_answer, serving, unless_gone,
};
use places::PLACES;

/// A policy that repeats all that it can see of a request: denies, but for what is deleted.
const ECHO: &str = r#"package dtgate.echo

seen contains sprintf("%v", [input.attributes])

seen contains sprintf("%v", [input.parsed_path])

seen contains sprintf("%v", [input.parsed_query])

seen contains sprintf("%v", [input.parsed_body])

seen contains sprintf("%v", [input.change])

seen contains sprintf("%v", [input.unknown_members])

seen contains sprintf("%v", [input.environment.id])

deny contains {"message": message, "path": message, "code": message, "more": [message]} if {
	input.attributes.request.http.method != "DELETE"
	some message in seen
	message != ""
}

warn contains message if {
	some message in seen
	message != ""
}
"#;

/// A credential, and what of it nobody may read.
struct Credential {
    /// As it is shown.
    field: String,
    /// As people paste it.
    token: String,
    secret: String,
    /// Whether it has a mark by which to know it, whoever has it.
    has_shape: bool,
}

/// Letters at random, the same each time: `alphabet` begins with the capitals.
fn random(seed: u64, length: usize, alphabet: &[u8]) -> String {
    let mut state = seed;
    let mut letter = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        let number = usize::try_from(state >> 33).unwrap();
        char::from(alphabet[number % alphabet.len()])
    };
    (0..length).map(|_| letter()).collect()
}

const CAPITALS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
const LETTERS: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/// One of each format, made of `seed`.
fn credentials(seed: u64) -> Vec<Credential> {
    let new = |prefix: &str, scheme: &str, public: usize, secret: usize| {
        let (public, secret) = (
            random(seed, public, CAPITALS),
            random(seed + 1, secret, CAPITALS),
        );
        let token = format!("{prefix}.{public}.{secret}");
        Credential {
            field: format!("{scheme} {token}"),
            token,
            secret,
            has_shape: true,
        }
    };
    let old = random(seed + 2, 21, LETTERS);
    let jwt = {
        let header = BASE64URL_NOPAD.encode(br#"{"alg":"RS256","typ":"JWT"}"#);
        let payload = BASE64URL_NOPAD
            .encode(format!(r#"{{"sub":"{}"}}"#, random(seed + 3, 24, LETTERS)).as_bytes());
        let signature = random(seed + 4, 200, LETTERS);
        Credential {
            field: format!("Bearer {header}.{payload}.{signature}"),
            token: format!("{header}.{payload}.{signature}"),
            secret: signature,
            has_shape: true,
        }
    };
    vec![
        new("dt0c01", "Api-Token", 24, 64),
        new("dt0g02", "Api-Token", 8, 64),
        new("dt0s16", "Bearer", 8, 64),
        Credential {
            field: format!("Api-Token {old}"),
            token: old.clone(),
            secret: old,
            has_shape: false,
        },
        jwt,
    ]
}

/// Every letter by its escape.
fn every(text: &str, escape: &dyn Fn(u8) -> String) -> String {
    text.bytes().map(escape).collect()
}

/// A token in every encoding in which people and programs write one.
fn encodings(credential: &Credential, is_own: bool) -> Vec<String> {
    let token = &credential.token;
    let mut all = vec![
        token.clone(),
        token.to_ascii_lowercase(),
        token.to_ascii_uppercase(),
        token.replace('.', "%2E"),
        token.replace('.', "%252e"),
        token.replace('.', r"\u002e"),
        every(token, &|byte| format!("%{byte:02x}")),
        every(token, &|byte| format!("%25{byte:02X}")),
        every(token, &|byte| format!("\\u{byte:04x}")),
        HEXLOWER.encode(token.as_bytes()),
        HEXUPPER.encode(token.as_bytes()),
        format!("ci-{token}"),
        format!("x{token}"),
        format!("{token}y"),
    ];
    all.push(BASE64URL_NOPAD.encode(token.as_bytes()));
    for before in ["", "x", "xy", "Api-Token "] {
        all.push(BASE64.encode(format!("{before}{token}").as_bytes()));
    }
    if is_own {
        let secret = &credential.secret;
        let (first, second) = secret.split_at(secret.len() / 2);
        let short = &secret[..secret.len() - 4];
        let parts = [secret.as_str(), first, second, short].map(str::to_owned);
        all.extend(parts.iter().filter(|part| part.len() >= SHORTEST).cloned());
        all.extend([
            format!("{secret}x"),
            format!("ci-{}", secret.to_ascii_lowercase()),
        ]);
        // Nobody could restore the case of a JWT: it is no credential any more.
        if token.len() <= 256 {
            all.push(BASE64.encode(secret.to_ascii_lowercase().as_bytes()));
        }
    }
    if !credential.has_shape && !is_own {
        // Nobody can know such a token but by the place where it stands.
        all = vec![token.clone()];
    }
    all
}

/// Every run of so many letters that must not be found, small letters.
struct Forbidden(HashSet<[u8; SHORTEST]>);

impl Forbidden {
    fn new(secrets: &[String]) -> Self {
        let mut runs = HashSet::new();
        for secret in secrets {
            let (lower, upper) = (secret.to_ascii_lowercase(), secret.to_ascii_uppercase());
            for secret in [secret, &lower, &upper] {
                let mut spellings = vec![secret.to_owned(), HEXLOWER.encode(secret.as_bytes())];
                spellings.push(every(secret, &|byte| format!("%{byte:02x}")));
                spellings.push(every(secret, &|byte| format!("\\u{byte:04x}")));
                for before in ["", "x", "xy"] {
                    let text = BASE64.encode(format!("{before}{secret}").as_bytes());
                    spellings.push(text[4..text.len() - 4].to_owned());
                }
                for spelling in spellings {
                    let spelling = spelling.to_ascii_lowercase();
                    runs.extend(
                        spelling
                            .as_bytes()
                            .windows(SHORTEST)
                            .map(|run| <[u8; SHORTEST]>::try_from(run).unwrap()),
                    );
                }
            }
        }
        Self(runs)
    }

    fn check(&self, what: &str, written: &[u8]) {
        let lower = written.to_ascii_lowercase();
        let Some(at) = lower.windows(SHORTEST).position(|run| self.0.contains(run)) else {
            return;
        };
        let begin = lower[..at]
            .iter()
            .rposition(|byte| *byte == b'\n')
            .map_or(0, |end| end + 1);
        let around = at.saturating_sub(200).max(begin)..(at + 200).min(written.len());
        panic!(
            "{what} shows {}:\n{}\n…{}…",
            String::from_utf8_lossy(&written[at..at + SHORTEST]),
            String::from_utf8_lossy(&written[begin..(begin + 600).min(written.len())]),
            String::from_utf8_lossy(&written[around]),
        );
    }
}

/// Starts a gate that records everything, and repeats to policies and clients whatever it may.
fn gate(upstream: &Upstream, more: &str) -> Gate {
    let directory = tempfile::tempdir().unwrap();
    let policies = directory.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    std::fs::write(policies.join("echo.rego"), ECHO).unwrap();
    let config = directory.path().join("dtgate.toml");
    let text = format!("[limits]\nrefusals = 1000000\ndenials = 1000000\n{more}");
    std::fs::write(&config, text).unwrap();
    let mut command = serving(&directory);
    command
        .arg("--config")
        .arg(config)
        .arg("--policies")
        .arg(policies);
    if more.is_empty() {
        command.args(["--upstream", &format!("http://{}", upstream.address)]);
    }
    Gate::spawn(directory, command)
}

/// Sends a request as it is, and gives what was answered, if anything was.
fn send(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    drop(stream.write_all(bytes));
    drop(stream.shutdown(Shutdown::Write));
    let mut reader = std::io::BufReader::new(stream);
    format!("{:?}", read_answer(&mut reader))
}

/// What a credential is to the request that it is pasted into.
#[derive(Clone, Copy, PartialEq)]
enum Whose {
    Its,
    Anothers,
}

/// All places and encodings; the credentials, of which there is one of each format, take turns at them.
fn requests(whose: Whose) -> Vec<(&'static str, Vec<u8>)> {
    let (own, others) = (credentials(OWN), credentials(OTHERS));
    let mut requests = Vec::new();
    for (number, (shown, other)) in own.iter().zip(&others).enumerate() {
        let pasted = if whose == Whose::Its { shown } else { other };
        let encodings = encodings(pasted, whose == Whose::Its);
        for (place_number, place) in PLACES.iter().enumerate() {
            let is_known = pasted.has_shape || whose == Whose::Its || place.knows_old;
            for (encoding_number, text) in encodings.iter().enumerate() {
                let has_turn = (place_number + encoding_number) % own.len() == number;
                if is_known && (has_turn || encodings.len() == 1) {
                    let request = (place.request)(&shown.field, text);
                    requests.push((place.name, request.into_bytes()));
                }
            }
        }
    }
    requests
}

fn forbidden() -> Forbidden {
    let all = [credentials(OWN), credentials(OTHERS)];
    let secrets = all
        .into_iter()
        .flatten()
        .map(|credential| credential.secret);
    Forbidden::new(&secrets.collect::<Vec<_>>())
}

/// Sends them all, a few at a time, and looks through the answers.
fn send_all(address: SocketAddr, requests: &[(&'static str, Vec<u8>)], forbidden: &Forbidden) {
    std::thread::scope(|scope| {
        for part in requests.chunks(requests.len().div_ceil(SENDERS)) {
            scope.spawn(move || {
                for (name, bytes) in part {
                    let answer = send(address, bytes);
                    let request = String::from_utf8_lossy(bytes);
                    forbidden.check(
                        &format!("the answer to {name}\n{request}\n"),
                        answer.as_bytes(),
                    );
                }
            });
        }
    });
}

/// Looks through all that a gate has written.
fn check_written(gate: &Gate, forbidden: &Forbidden) {
    send(
        gate.address,
        b"GET /the/last/request HTTP/1.1\r\nHost: gate\r\n\r\n",
    );
    let log = eventually("the last line is logged", || {
        let log = gate.log();
        log.contains("/the/last/request").then_some(log)
    });
    forbidden.check("the log", log.as_bytes());
    for path in files(&gate.journal()) {
        let content = unless_gone(std::fs::read(&path)).unwrap_or_default();
        forbidden.check(&path.display().to_string(), &content);
    }
    let metrics = exchange(
        gate.admin,
        b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    );
    forbidden.check("the metrics", format!("{metrics:?}").as_bytes());
    let mut tail: Command = program();
    tail.args(["audit", "tail", "--lines", "1000000", "--journal"])
        .arg(gate.journal());
    let told = tail.output().unwrap();
    assert!(told.status.success(), "{told:?}");
    forbidden.check("audit tail", &told.stdout);
    forbidden.check("audit tail", &told.stderr);
}

#[test]
fn promise_4_no_secret_is_written_wherever_it_stands_and_whatever_it_is_encoded_as() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, "");
    let forbidden = forbidden();
    let all = [requests(Whose::Its), requests(Whose::Anothers)].concat();
    send_all(gate.address, &all, &forbidden);
    check_written(&gate, &forbidden);

    // It has tried what it says.
    let records = gate.records();
    assert!(
        records.len() > all.len() / 3,
        "{} records of {} requests",
        records.len(),
        all.len()
    );
    let mut decided = records.iter().filter(|record| record["input"].is_object());
    assert!(
        decided.any(|record| record["result"]["violations"]
            .to_string()
            .contains("[secret]")),
        "no policy repeats a text that holds a secret"
    );
    let mut callers = records
        .iter()
        .filter_map(|record| record["caller"]["id"].as_str());
    assert!(
        callers.any(|id| id.starts_with("dt0s16.")),
        "no public id is shown"
    );
    let mut kinds = records.iter().map(|record| &record["kind"]);
    assert!(kinds.any(|kind| kind == "outcome"), "nothing was let pass");
}

#[test]
fn promise_4_no_secret_is_written_where_no_environment_is_found() {
    let upstream = Upstream::lenient();
    let table = format!(
        "[environments.one]\nhosts = [\"one\"]\nid = \"one\"\nupstream.url = \"http://{}\"\n",
        upstream.address
    );
    let gate = gate(&upstream, &table);
    let forbidden = forbidden();
    let mut all = [requests(Whose::Its), requests(Whose::Anothers)].concat();
    all.retain(|(name, _)| {
        matches!(
            *name,
            "environment" | "guarded environment" | "host" | "absolute target"
        )
    });
    send_all(gate.address, &all, &forbidden);
    check_written(&gate, &forbidden);
}

/// What goes upstream stays as it came, byte for byte, secrets in it too.
#[test]
fn what_is_not_written_is_sent_on_all_the_same() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, "");
    let [own, ..] = &credentials(OWN)[..] else {
        panic!("there is one")
    };
    let target = format!("/api/v2/events/{}?x={}", own.secret, own.token);
    let request = format!(
        "POST {target} HTTP/1.1\r\nHost: gate\r\nAuthorization: {}\r\nX-Own: {}\r\nContent-Length: {}\r\n\r\n{}",
        own.field,
        own.secret,
        own.token.len(),
        own.token
    );
    send(gate.address, request.as_bytes());
    let seen = &upstream.seen()[0];
    assert_eq!(seen.line, format!("POST {target} HTTP/1.1"));
    assert_eq!(seen.header("authorization"), Some(own.field.as_str()));
    assert_eq!(seen.header("x-own"), Some(own.secret.as_str()));
    assert_eq!(seen.body, own.token.as_bytes());
}

/// What the credentials are made of.
const OWN: u64 = 7;
const OTHERS: u64 = 1007;

/// Letters in a row of which nobody may read more.
const SHORTEST: usize = 16;

/// Requests on their way at once.
const SENDERS: usize = 8;
