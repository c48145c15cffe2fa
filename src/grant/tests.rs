use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use uuid::Uuid;

use super::*;
use crate::audit::checkpoint::note::SigningKey;
use crate::telemetry::Metrics;
use crate::value::Sha256Hex;

const NAME: &str = "dtgate/here";
const DECISION: &str = "019ab533-0000-7000-8000-000000000001";

/// A journal, a directory of grants, and the people who sign them.
pub(crate) struct Place {
    files: tempfile::TempDir,
    alice: SigningKey,
    bob: SigningKey,
    config: Arc<Config>,
    grants: Grants,
}

fn now() -> Timestamp {
    "2026-11-29T12:00:00Z".parse().unwrap()
}

fn after(seconds: i64) -> Timestamp {
    now() + SignedDuration::from_secs(seconds)
}

fn config(directory: &Path, keys: &[&SigningKey]) -> Config {
    let keys: Vec<String> = keys.iter().map(|key| key.public().to_string()).collect();
    serde_json::from_value(json!({"directory": directory, "approvers": keys})).unwrap()
}

/// The record of a denial.
fn denial() -> Value {
    json!({
        "seq": 2, "kind": "decision", "decision_id": DECISION, "verdict": "deny", "operation": "token.update",
        "input": {"environment": {"name": "prod"}, "token": {"id": "dt0c01.T"}},
        "request": {"method": "PUT", "path": "/api/v2/apiTokens/dt0c01.T", "received_sha256": "aa", "query": "q", "caller_hash": "h"},
        "caller": {"id": "dt0c01.C", "certificate": {"fingerprint": "f"}, "jwt": {"issuer": "i", "subject": "s"}},
    })
}

fn facts() -> Facts {
    Facts::of(&denial()).unwrap()
}

impl Place {
    pub(crate) fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        std::fs::create_dir(files.path().join("grants")).unwrap();
        std::fs::create_dir(files.path().join("journal")).unwrap();
        let [alice, bob] = ["alice", "bob"].map(|name| SigningKey::generate(name).unwrap());
        let config = Arc::new(config(&files.path().join("grants"), &[&alice, &bob]));
        let place = Self {
            files,
            alice,
            bob,
            config,
            grants: Grants::new(Metrics::new("0")),
        };
        place.record(&json!({"seq": 1, "kind": "start"}));
        place.record(&denial());
        place
    }

    fn journal(&self) -> PathBuf {
        self.files.path().join("journal")
    }

    fn record(&self, record: &Value) {
        use std::io::Write;
        let path = self.journal().join("00000000000000000001.jsonl");
        let mut file = std::fs::OpenOptions::new();
        let mut file = file.create(true).append(true).open(path).unwrap();
        writeln!(file, "{record}").unwrap();
    }

    /// What a decision by this grant would leave.
    fn used(&self, id: Uuid) {
        self.record(
            &json!({"seq": 3, "kind": "decision", "decision_id": "x", "grant": {"id": id.to_string()}}),
        );
    }

    pub(crate) fn asked() -> Grant {
        Grant {
            id: Uuid::now_v7(),
            gate: NAME.to_owned(),
            after: After {
                seq: 2,
                sha256: Sha256Hex::of(denial().to_string().as_bytes())
                    .as_str()
                    .to_owned(),
            },
            allows: Allows::Request(Box::new(Request {
                decision: DECISION.to_owned(),
                facts: facts(),
            })),
            policies: vec!["naming".to_owned()],
            failed_policies: Vec::new(),
            reason: "the old deployment".to_owned(),
            ticket: "OPS-1".to_owned(),
            requested_by: "alice".to_owned(),
            requested_at: now(),
            until: after(3600),
        }
    }

    pub(crate) fn signed(&self, grant: Grant) -> Signed {
        let mut signed = Signed::new(grant, &self.alice);
        signed.approve(&self.bob).unwrap();
        signed
    }

    pub(crate) fn put(&self, name: &str, text: &str) {
        std::fs::write(self.config.directory.join(name), text).unwrap();
    }

    pub(crate) fn look(&self) {
        self.look_at(now());
    }

    /// When the journal has so many records.
    pub(crate) fn look_when(&self, records: u64) {
        self.look_with(&self.grants, records, now());
    }

    fn look_at(&self, now: Timestamp) {
        self.look_with(&self.grants, 2, now);
    }

    /// As the gate does, with the search between two looks.
    fn look_with(&self, grants: &Grants, records: u64, now: Timestamp) {
        let new = grants.look(&self.config, NAME, records, now);
        grants.search(&self.journal(), &new);
        let rest = grants.look(&self.config, NAME, records, now);
        assert!(rest.is_empty(), "it is searched for once");
    }

    pub(crate) fn claim(&self) -> Option<Claim> {
        self.grants
            .claim(&self.config, &facts(), false, |_| true, now())
    }

    fn stands(&self, signed: &Signed) -> Result<Approved, Flaw> {
        let gate = Gate {
            config: &self.config,
            name: Some(NAME),
        };
        gate.approved(signed.clone())
    }
}

#[test]
fn a_grant_is_read_as_it_was_written_and_no_other_way() {
    let place = Place::new();
    let signed = place.signed(Place::asked());
    let text = signed.to_string();
    assert_eq!(Signed::parse(&text), Ok(signed.clone()));
    assert_eq!(place.stands(&signed).unwrap().approved_by, "bob");
    // Whatever is changed, added or left out: nobody has signed that.
    for at in 0..text.len() {
        for change in ["", " ", "x", "0", "\n", "\""] {
            let Some((before, behind)) = text.split_at_checked(at) else {
                continue;
            };
            let mut rest = behind.chars();
            let first = rest.next().unwrap();
            for other in [
                format!("{before}{change}{behind}"),
                format!("{before}{change}{}", rest.as_str()),
            ] {
                let stands = Signed::parse(&other).map(|it| place.stands(&it));
                let is_same = other == text || change.contains(first) && other.len() == text.len();
                assert!(is_same || !matches!(stands, Ok(Ok(_))), "{other}");
            }
        }
    }
    for (before, behind) in [
        (
            "\"ticket\": \"OPS-1\"",
            "\"ticket\": \"OPS-1\", \"ticket\": \"OPS-1\"",
        ),
        ("  \"gate\"", "\"gate\""),
        ("OPS-1", "\\u004fPS-1"),
        ("dtgate grant v1", "dtgate grant v2"),
    ] {
        let edited = text.replace(before, behind);
        assert_ne!(edited, text);
        Signed::parse(&edited).unwrap_err();
    }
}

#[test]
fn what_cannot_be_shown_is_not_signed() {
    let with = |change: &dyn Fn(&mut Grant)| {
        let mut grant = Place::asked();
        change(&mut grant);
        grant.check()
    };
    with(&|_| {}).unwrap();
    with(&|it| it.reason = "a\nb".to_owned()).unwrap_err();
    with(&|it| it.reason = "a\u{202e}b".to_owned()).unwrap_err();
    with(&|it| it.reason = " ".to_owned()).unwrap_err();
    with(&|it| it.reason = "x".repeat(501)).unwrap_err();
    with(&|it| it.ticket = String::new()).unwrap_err();
    with(&|it| it.policies = Vec::new()).unwrap_err();
    with(&|it| it.policies = vec!["p".to_owned(); 65]).unwrap_err();
    with(&|it| it.until = it.requested_at).unwrap_err();
    with(&|it| {
        it.allows = Allows::Change(Change {
            environment: "x".repeat(5000),
            token: "t".to_owned(),
            operation: None,
            caller: None,
        });
    })
    .unwrap_err();
}

#[test]
fn two_people_have_to_sign_it() {
    let place = Place::new();
    let carol = SigningKey::generate("carol").unwrap();
    let alone = Signed::new(Place::asked(), &place.alice);
    let only = Err(Flaw::OnlyRequester("alice".to_owned()));
    assert_eq!(place.stands(&alone), only);
    let mut own = alone.clone();
    assert_eq!(
        own.approve(&place.alice),
        Err(Refused::OwnRequest("alice".to_owned()))
    );
    // The same key under another name.
    let secret = place.alice.to_secret_text();
    let secret = secret.splitn(5, '+').nth(4).unwrap();
    let renamed = renamed("mallory", secret.trim());
    assert_eq!(
        own.approve(&renamed),
        Err(Refused::SameKey("alice".to_owned()))
    );
    let both: Vec<String> = [&place.alice, &renamed]
        .map(|key| key.public().to_string())
        .to_vec();
    Approvers::try_from(both).unwrap_err();
    // As many as the record of a start has room for.
    let many = |count: usize| {
        let keys = (0..count).map(|number| SigningKey::generate(&format!("k{number}")).unwrap());
        Approvers::try_from(keys.map(|key| key.public().to_string()).collect::<Vec<_>>())
    };
    many(32).unwrap();
    many(33).unwrap_err();
    let one = vec![place.alice.public().to_string()];
    Approvers::try_from(one.clone()).unwrap_err();
    Approvers::try_from([one.clone(), one].concat()).unwrap_err();
    // Somebody whom the gate does not know.
    let mut strange = alone.clone();
    strange.approve(&carol).unwrap();
    assert!(matches!(place.stands(&strange), Err(Flaw::Stranger(_))));
    // With a signature that she has taken from elsewhere.
    let other = place.signed(Place::asked()).to_string();
    let line = other.lines().last().unwrap();
    let taken = Signed::parse(&format!("{alone}{line}\n")).unwrap();
    assert_eq!(place.stands(&taken), Err(Flaw::Forged("bob".to_owned())));
    // Whoever asks has to sign as well, and has to be known.
    let unsigned = Signed::new(Place::asked(), &place.bob);
    assert_eq!(
        place.stands(&unsigned),
        Err(Flaw::Unsigned("alice".to_owned()))
    );
    let mut hers = Place::asked();
    hers.requested_by = "carol".to_owned();
    let mut hers = Signed::new(hers, &carol);
    hers.approve(&place.bob).unwrap();
    assert_eq!(
        place.stands(&hers),
        Err(Flaw::UnknownRequester("carol".to_owned()))
    );
    // The same signature again is one.
    let twice = format!("{alone}{}\n", alone.to_string().lines().last().unwrap());
    assert_eq!(place.stands(&Signed::parse(&twice).unwrap()), only);
}

/// A key of this name with the bytes of another one.
fn renamed(name: &str, bytes: &str) -> SigningKey {
    use sha2::{Digest, Sha256};
    let seed = data_encoding::BASE64.decode(bytes.as_bytes()).unwrap();
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&seed[1..]).unwrap();
    let public = aws_lc_rs::signature::KeyPair::public_key(&pair);
    let hash = Sha256::new_with_prefix(name)
        .chain_update([b'\n', 1])
        .chain_update(public.as_ref())
        .finalize();
    let hash = data_encoding::HEXLOWER.encode(&hash[..4]);
    SigningKey::from_secret_text(&format!("PRIVATE+KEY+{name}+{hash}+{bytes}")).unwrap()
}

#[test]
fn a_grant_is_for_one_gate_and_one_time() {
    let place = Place::new();
    let mut elsewhere = Place::asked();
    elsewhere.gate = "dtgate/there".to_owned();
    let stands = place.stands(&place.signed(elsewhere));
    assert!(matches!(stands, Err(Flaw::OtherGate { .. })));
    let mut long = Place::asked();
    long.until = after(4 * 3600 + 1);
    assert!(matches!(
        place.stands(&place.signed(long)),
        Err(Flaw::TooLong(_))
    ));
    let grant = Place::asked();
    for (at, is_good) in [
        (after(0), true),
        (after(3599), true),
        (after(3600), false),
        (after(1_000_000), false),
        (after(-300), true),
        (after(-301), false),
    ] {
        assert_eq!(grant.is_timely(at).is_ok(), is_good, "{at}");
    }
}

/// Masks of what is read, of what is around it, and of what has a name that begins alike.
#[test]
fn a_mask_hides_a_request_only_where_it_is_read() {
    for place in [
        "/caller",
        "/caller/id",
        "/caller/id/x",
        "/caller/jwt",
        "/request",
        "/request/caller_hash",
        "/request/path",
        "/input",
        "/input/token",
        "/input/token/id",
        "/result",
        "/result/violations",
        "/result/violations/0",
        "/result/violations/0/policy",
        "/result/violations/12/mode",
        "/operation",
        "/input/%74oken",
        "/input/token/i%64",
        "",
    ] {
        assert!(Facts::hidden_by(place), "{place}");
    }
    for place in [
        "/requested_by",
        "/request/client_id",
        "/request/id",
        "/input/token/current",
        "/input/token/current/owner",
        "/input/token/identity",
        "/input/caller/address",
        "/input/environment/data",
        "/caller/teams",
        "/result/violations/0/message",
        "/result/violations/3/details/name",
        "/result/violations_of/0",
        "/result/remedy",
        "/error",
        "/operations",
    ] {
        assert!(!Facts::hidden_by(place), "{place}");
    }
}

/// Every member of a request: another value, and none.
#[test]
fn any_difference_is_another_request() {
    let grant = Place::asked();
    assert!(grant.is_for(&facts(), false));
    let pointers = [
        "/operation",
        "/input/environment/name",
        "/input/token/id",
        "/request/method",
        "/request/path",
        "/request/received_sha256",
        "/request/query",
        "/caller/id",
        "/request/caller_hash",
        "/caller/certificate/fingerprint",
        "/caller/jwt/issuer",
        "/caller/jwt/subject",
    ];
    let members = serde_json::to_value(facts()).unwrap();
    let caller = members["caller"].as_object().unwrap().len();
    let count = members.as_object().unwrap().len() + caller - 1;
    assert_eq!(pointers.len(), count);
    for pointer in pointers {
        for value in [json!("other"), Value::Null, json!(1)] {
            let mut record = denial();
            *record.pointer_mut(pointer).unwrap() = value;
            let is_same = Facts::of(&record).is_ok_and(|it| grant.is_for(&it, false));
            assert!(!is_same, "{pointer}");
        }
    }
}

#[test]
fn the_next_change_is_one_of_that_token_and_no_read() {
    let with = |operation: Option<&str>, caller: Option<&str>| {
        let mut grant = Place::asked();
        grant.allows = Allows::Change(Change {
            environment: "prod".to_owned(),
            token: "dt0c01.T".to_owned(),
            operation: operation.map(str::to_owned),
            caller: caller.map(str::to_owned),
        });
        grant
    };
    let any = with(None, None);
    assert!(any.is_for(&facts(), false));
    assert!(!any.is_for(&facts(), true));
    assert!(with(Some("token.update"), Some("h")).is_for(&facts(), false));
    assert!(!with(Some("token.delete"), None).is_for(&facts(), false));
    assert!(!with(None, Some("dt0c01.D")).is_for(&facts(), false));
    assert!(with(None, Some("h")).is_for(&facts(), false));
    // Anybody can show a public id.
    assert!(!with(None, Some("dt0c01.C")).is_for(&facts(), false));
    assert!(!with(None, Some("g")).is_for(&facts(), false));
    for pointer in ["/input/environment/name", "/input/token/id"] {
        let mut record = denial();
        *record.pointer_mut(pointer).unwrap() = json!("other");
        assert!(
            !any.is_for(&Facts::of(&record).unwrap(), false),
            "{pointer}"
        );
    }
    let mut none = facts();
    none.token = None;
    assert!(!any.is_for(&none, false));
}

#[test]
fn a_grant_is_claimed_by_one_and_never_again_once_it_may_be_on_record() {
    let place = Place::new();
    let signed = place.signed(Place::asked());
    let id = signed.grant.id;
    // Copies are the same one.
    for name in ["a.grant", "b.grant", "c.grant"] {
        place.put(name, &signed.to_string());
    }
    assert!(place.claim().is_none());
    place.look();
    // What was given back is free, and so is what was let go before it was handed over.
    place.claim().unwrap().give_back();
    drop(place.claim().unwrap());
    let mut refused = place.claim().unwrap();
    refused.hand_over();
    refused.give_back();
    // Somebody with the right request, and no cover.
    let none = place
        .grants
        .claim(&place.config, &facts(), false, |_| false, now());
    assert!(none.is_none());
    // Of many at once, one.
    let got = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..16 {
            scope.spawn(|| {
                if let Some(mut claim) = place.claim() {
                    claim.hand_over();
                    got.fetch_add(1, Ordering::SeqCst);
                    // The journal has not answered.
                    drop(claim);
                }
            });
        }
    });
    assert_eq!(got.load(Ordering::SeqCst), 1);
    for name in ["a.grant", "b.grant", "c.grant"] {
        std::fs::remove_file(place.config.directory.join(name)).unwrap();
        place.look();
        assert!(place.claim().is_none());
    }
    place.put("again.grant", &signed.to_string());
    place.look();
    assert!(place.claim().is_none(), "it may be on record");
    // After a restart the journal says whether it is.
    let again = Grants::new(Metrics::new("0"));
    place.look_with(&again, 2, now());
    let claim = || again.claim(&place.config, &facts(), false, |_| true, now());
    drop(claim().unwrap());
    let other = Grants::new(Metrics::new("0"));
    place.used(id);
    place.look_with(&other, 2, now());
    let claim = other.claim(&place.config, &facts(), false, |_| true, now());
    assert!(claim.is_none(), "it is on record");
}

/// Until the next look it is among those that were found.
#[test]
fn a_grant_that_was_just_used_is_said_to_be_used() {
    let place = Place::new();
    let signed = place.signed(Place::asked());
    place.put("a.grant", &signed.to_string());
    place.look();
    let approved = place.stands(&signed).unwrap();
    let why = |facts: &Facts| place.grants.why_unused(&approved, facts).unwrap();
    let mut other = facts();
    other.body_sha256 = "x".to_owned();
    assert_eq!(why(&other), "it is not for the body of this one");
    let mut claim = place.claim().unwrap();
    claim.hand_over();
    claim.used("d1");
    assert!(place.claim().is_none());
    for facts in [facts(), other] {
        assert_eq!(why(&facts), "it was used, by decision d1");
    }
}

#[test]
fn a_used_grant_stays_used_whatever_becomes_of_its_file_and_the_clock() {
    let place = Place::new();
    let signed = place.signed(Place::asked());
    place.put("a.grant", &signed.to_string());
    place.look();
    let mut claim = place.claim().unwrap();
    claim.hand_over();
    place.used(signed.grant.id);
    claim.used("x");
    assert!(place.claim().is_none());
    let path = place.config.directory.join("a.grant");
    for at in [after(1), after(10_000), after(-100_000), after(2)] {
        std::fs::remove_file(&path).unwrap();
        place.look_at(at);
        place.put("a.grant", &signed.to_string());
        place.look_at(at);
        assert!(place.claim().is_none(), "{at}");
    }
}

#[test]
fn what_is_taken_away_or_over_grants_nothing() {
    let place = Place::new();
    let text = place.signed(Place::asked()).to_string();
    place.put("a.grant", &text);
    place.look();
    drop(place.claim().unwrap());
    // The clock moves past its end between two looks.
    let late = place
        .grants
        .claim(&place.config, &facts(), false, |_| true, after(3600));
    assert!(late.is_none());
    // An approver is taken out.
    let others = SigningKey::generate("carol").unwrap();
    let others = config(&place.config.directory, &[&place.alice, &others]);
    let claim = place
        .grants
        .claim(&others, &facts(), false, |_| true, now());
    assert!(claim.is_none());
    std::fs::remove_file(place.config.directory.join("a.grant")).unwrap();
    place.look();
    assert!(place.claim().is_none());
    place.put("a.grant", &text);
    place.look();
    drop(place.claim().unwrap());
    std::fs::remove_dir_all(&place.config.directory).unwrap();
    place.look();
    assert!(place.claim().is_none());
}

#[test]
fn a_directory_full_of_junk_hides_no_grant_and_holds_nobody_up() {
    let place = Place::new();
    let directory = &place.config.directory;
    let text = place.signed(Place::asked()).to_string();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        directory.join("1.grant"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RWXU,
        0,
    )
    .unwrap();
    std::fs::create_dir(directory.join("2.grant")).unwrap();
    for (name, to) in [
        ("3.grant", "/dev/zero"),
        ("4.grant", "4.grant"),
        ("5.grant", "/nowhere"),
        ("6.grant", "1.grant"),
    ] {
        std::os::unix::fs::symlink(to, directory.join(name)).unwrap();
    }
    let huge = std::fs::File::create(directory.join("7.grant")).unwrap();
    huge.set_len(1 << 40).unwrap();
    std::fs::write(directory.join("8.grant"), [0xff; 100]).unwrap();
    place.put("9.grant", "");
    place.put("90.grant", &text.replace("OPS-1", "OPS-2"));
    place.put("91.grant", &text.repeat(2));
    for number in 0..200 {
        place.put(&format!("junk-{number}"), "junk");
        place.put(&format!("0{number}.grant"), "junk");
    }
    // A link leads to what it leads to.
    let elsewhere = place.files.path().join("elsewhere");
    std::fs::write(&elsewhere, &text).unwrap();
    std::os::unix::fs::symlink(&elsewhere, directory.join("z.grant")).unwrap();
    place.look();
    let listing = read_all(directory).unwrap();
    assert!(listing.has_more);
    let mut claim = place.claim().unwrap();
    claim.hand_over();
    claim.used("x");
    place.look();
    assert!(place.claim().is_none());
}

#[test]
fn the_journal_says_whose_grant_it_is_and_whether_it_was_used() {
    let place = Place::new();
    let grant = Place::asked();
    let found = |grant: &Grant| {
        let found = find_uses(&place.journal(), &[grant]).unwrap();
        found.into_iter().next().unwrap()
    };
    assert_eq!(found(&grant), Ok(()));
    let with = |change: &dyn Fn(&mut Grant)| {
        let mut other = grant.clone();
        change(&mut other);
        found(&other)
    };
    let not_here = Err(Flaw::OtherJournal(2));
    assert_eq!(with(&|it| it.after.sha256 = "0".repeat(64)), not_here);
    assert_eq!(with(&|it| it.after.seq = 9), Err(Flaw::OtherJournal(9)));
    assert_eq!(with(&|it| it.after.seq = 0), Err(Flaw::Pruned(0)));
    let other = |change: &dyn Fn(&mut Request)| {
        with(&|it| {
            if let Allows::Request(request) = &mut it.allows {
                change(request);
            }
        })
    };
    assert_eq!(other(&|it| it.decision = "x".to_owned()), not_here);
    assert_eq!(
        other(&|it| it.facts.body_sha256 = "bb".to_owned()),
        not_here
    );
    // What a client sends can look like it.
    let id = grant.id.to_string();
    place.record(&json!({"seq": 3, "kind": "decision", "decision_id": "c",
        "input": {"parsed_body": {"grant": {"id": id}}, "x": format!("\"grant\":{{\"id\":\"{id}\"}}")}}));
    assert_eq!(found(&grant), Ok(()));
    assert!(record(&place.journal(), &grant).unwrap().is_some());
    place.used(Uuid::now_v7());
    assert_eq!(found(&grant), Ok(()));
    place.used(grant.id);
    assert_eq!(found(&grant), Err(Flaw::Used("x".to_owned())));
    // A torn end is none.
    let torn = Place::new();
    let path = torn.journal().join("00000000000000000001.jsonl");
    let mut text = std::fs::read_to_string(&path).unwrap();
    text.push_str("{\"seq\":3,\"decision_id\":\"x\",\"grant\":{\"id\":\"");
    std::fs::write(&path, text).unwrap();
    assert_eq!(
        find_uses(&torn.journal(), &[&Place::asked()]).unwrap(),
        [Ok(())]
    );
}

/// A journal whose segments begin with these records; each has as many as the next one leaves room for.
fn segmented(place: &Place, firsts: &[u64], last: u64) -> Vec<PathBuf> {
    let journal = place.journal();
    std::fs::remove_dir_all(&journal).unwrap();
    std::fs::create_dir(&journal).unwrap();
    let ends = firsts.iter().skip(1).copied().chain([last + 1]);
    let written = firsts.iter().zip(ends).map(|(first, end)| {
        let path = journal.join(format!("{first:020}.jsonl"));
        let lines: Vec<String> = (*first..end).map(line).collect();
        std::fs::write(&path, lines.join("\n") + "\n").unwrap();
        path
    });
    written.collect()
}

fn line(seq: u64) -> String {
    json!({"seq": seq, "kind": "reload"}).to_string()
}

/// The next change of a token, behind this record.
fn behind(seq: u64) -> Grant {
    let mut grant = Place::asked();
    grant.allows = Allows::Change(Change {
        environment: "prod".to_owned(),
        token: "dt0c01.T".to_owned(),
        operation: None,
        caller: None,
    });
    grant.after = After {
        seq,
        sha256: Sha256Hex::of(line(seq).as_bytes()).as_str().to_owned(),
    };
    grant
}

/// Of a grant behind each record, by what is known of it.
fn stand(place: &Place, last: u64, most: u64) -> Vec<&'static str> {
    let grants: Vec<Grant> = (1..=last).map(behind).collect();
    let all: Vec<&Grant> = grants.iter().collect();
    let found = used::find_within(&place.journal(), &all, most).unwrap();
    let told = found.iter().map(|found| match found {
        Ok(()) => "good",
        Err(Flaw::Journal(_)) => "unread",
        Err(Flaw::TooFar) => "far",
        Err(Flaw::Pruned(_)) => "pruned",
        Err(Flaw::OtherJournal(_)) => "other",
        Err(_) => "?",
    });
    told.collect()
}

/// What one grant needs and is not there, damaged, or too much, takes none of the others with it.
#[test]
fn one_grant_takes_no_other_with_it() {
    let place = Place::new();
    let firsts = [1, 4, 6, 9];
    let fresh = || segmented(&place, &firsts, 10);
    let all = |from: usize, flaw: &'static str| -> Vec<&'static str> {
        (1..=10)
            .map(|seq| if seq < from { flaw } else { "good" })
            .collect()
    };
    fresh();
    assert_eq!(stand(&place, 10, 1 << 20), all(0, ""));
    for (at, from) in [(1, 4), (2, 6), (3, 9)] {
        // Deleted: the first by retention, another by hand.
        let paths = fresh();
        std::fs::remove_file(&paths[at - 1]).unwrap();
        let flaw = if at == 1 { "pruned" } else { "unread" };
        let mut wanted = all(from, flaw);
        if at > 1 {
            // The journal has no such record, or it cannot be said: neither is good.
            let found = stand(&place, 10, 1 << 20);
            assert!(
                found[..from - 1].iter().all(|it| *it != "good"),
                "{at}: {found:?}"
            );
            wanted[..from - 1].copy_from_slice(&found[..from - 1]);
        }
        assert_eq!(stand(&place, 10, 1 << 20), wanted, "{at}");
        // Damaged: it says that it is compressed, and is not.
        let paths = fresh();
        let damaged = paths[at - 1].with_extension("jsonl.zst");
        std::fs::rename(&paths[at - 1], damaged).unwrap();
        assert_eq!(stand(&place, 10, 1 << 20), all(from, "unread"), "{at}");
        // Too much: as many segments as are allowed, from the end.
        let paths = fresh();
        let rest = paths[at..].iter();
        let most = rest.map(|path| path.metadata().unwrap().len()).sum();
        assert_eq!(stand(&place, 10, most), all(from, "far"), "{at}");
    }
    fresh();
    assert_eq!(stand(&place, 10, 0), all(11, "far"));
}

#[test]
fn a_grant_used_in_a_later_segment_is_used_and_one_behind_a_gap_is_not_said_to_be_good() {
    let place = Place::new();
    let grant = behind(2);
    let paths = segmented(&place, &[1, 4, 6], 8);
    let used = json!({"seq": 4, "kind": "decision", "decision_id": "x", "grant": {"id": grant.id.to_string()}});
    std::fs::write(&paths[1], format!("{used}\n{}\n", line(5))).unwrap();
    let found = || find_uses(&place.journal(), &[&grant]).unwrap().remove(0);
    assert_eq!(found(), Err(Flaw::Used("x".to_owned())));
    // Moved away by hand, that it was used cannot be seen.
    let away = place.files.path().join("away");
    std::fs::rename(&paths[1], &away).unwrap();
    assert!(matches!(found(), Err(Flaw::Journal(_))), "{:?}", found());
    std::fs::rename(&away, &paths[1]).unwrap();
    assert_eq!(found(), Err(Flaw::Used("x".to_owned())));
}

/// One grant may be there several times, as whoever lists a directory has it.
#[test]
fn of_copies_each_was_used() {
    let place = Place::new();
    let (grant, other) = (behind(2), behind(4));
    let paths = segmented(&place, &[1, 4, 6], 8);
    let used = json!({"seq": 6, "kind": "decision", "decision_id": "x", "grant": {"id": grant.id.to_string()}});
    std::fs::write(&paths[2], format!("{used}\n{}\n{}\n", line(7), line(8))).unwrap();
    let found = find_uses(&place.journal(), &[&grant, &other, &grant]).unwrap();
    let is_used = Err(Flaw::Used("x".to_owned()));
    assert_eq!(found, [is_used.clone(), Ok(()), is_used]);
}

/// Segments that are compressed, or deleted by retention, the oldest first: a grant that was used is never good again.
#[test]
fn a_used_grant_stays_used_when_segments_are_compressed_and_deleted() {
    let place = Place::new();
    let (grant, later) = (behind(2), behind(5));
    let paths = segmented(&place, &[1, 4, 6], 8);
    let used = json!({"seq": 4, "kind": "decision", "decision_id": "x", "grant": {"id": grant.id.to_string()}});
    std::fs::write(&paths[1], format!("{used}\n{}\n", line(5))).unwrap();
    let found = || find_uses(&place.journal(), &[&grant, &later]).unwrap();
    let is_used = Err(Flaw::Used("x".to_owned()));
    for path in &paths[..2] {
        crate::audit::pack_for_tests(path);
        assert!(!path.exists());
        assert_eq!(found(), [is_used.clone(), Ok(())]);
    }
    let packed = |path: &PathBuf| path.with_extension("jsonl.zst");
    // The record behind which it could be used goes first; then that it was used goes with its segment.
    std::fs::remove_file(packed(&paths[0])).unwrap();
    assert_eq!(found(), [is_used, Ok(())]);
    std::fs::remove_file(packed(&paths[1])).unwrap();
    assert_eq!(found(), [Err(Flaw::Pruned(2)), Err(Flaw::Pruned(5))]);
    // So does the gate, also one that starts anew.
    let config = config(&place.config.directory, &[&place.alice, &place.bob]);
    let signed = place.signed(grant.clone());
    place.put("a.grant", &signed.to_string());
    let anew = Grants::new(Metrics::new("0"));
    place.look_with(&anew, 8, now());
    assert!(
        anew.claim(&config, &facts(), false, |_| true, now())
            .is_none()
    );
}

/// While the journal is searched for one grant, the others are as good as they were, and looks go on.
#[test]
fn a_search_holds_up_no_look_and_is_made_once() {
    let place = Place::new();
    let first = place.signed(Place::asked());
    place.put("a.grant", &first.to_string());
    place.look();
    let other = place.signed(Place::asked()).to_string();
    place.put("b.grant", &other);
    let looks = || place.grants.look(&place.config, NAME, 2, now());
    for _ in 0..3 {
        assert_eq!(looks().len(), 1, "it is searched for");
        drop(place.claim().unwrap());
    }
    std::fs::remove_file(place.config.directory.join("a.grant")).unwrap();
    assert_eq!(looks().len(), 1);
    assert!(
        place.claim().is_none(),
        "it was taken away, and the other one is not known"
    );
    // Put back, it need not be looked for again.
    place.put("a.grant", &first.to_string());
    assert_eq!(looks().len(), 1);
    drop(place.claim().unwrap());
    // What cannot be found out is not asked every second.
    let path = place.journal().join("00000000000000000001.jsonl");
    std::fs::rename(&path, path.with_extension("jsonl.zst")).unwrap();
    place.look();
    assert!(looks().is_empty());
}

/// The journal did not say whether it has the record: the grant is good again when it is certain that it has not.
#[test]
fn a_grant_in_doubt_is_good_again_when_the_journal_has_gone_on_without_it() {
    for is_recorded in [false, true] {
        let place = Place::new();
        let signed = place.signed(Place::asked());
        place.put("a.grant", &signed.to_string());
        place.look();
        let mut claim = place.claim().unwrap();
        claim.hand_over();
        claim.in_doubt("d", 2);
        place.look();
        assert!(place.claim().is_none(), "the journal has not gone on");
        if is_recorded {
            place.used(signed.grant.id);
        } else {
            place.record(&json!({"seq": 3, "kind": "recovery"}));
        }
        place.look();
        assert!(place.claim().is_none(), "nobody has said that it has");
        place.look_with(&place.grants, 3, now());
        assert_eq!(place.claim().is_some(), !is_recorded);
    }
}

/// Grants of one id that say different things: the gate knows grants by their ids, and so does the journal.
#[test]
fn of_two_grants_with_one_id_none_is_good_and_none_is_used_twice() {
    let place = Place::new();
    let first = Place::asked();
    let mut other = behind(3);
    other.id = first.id;
    let texts = [&first, &other].map(|it| place.signed(it.clone()).to_string());
    let claim = |grants: &Grants| grants.claim(&place.config, &facts(), false, |_| true, now());
    // Both are there, from the start on: none is used, whatever is restarted.
    place.put("a.grant", &texts[0]);
    place.put("b.grant", &texts[1]);
    let gate = Gate {
        config: &place.config,
        name: Some(NAME),
    };
    for grant in [&first, &other] {
        let doubled = gate.not_doubled(grant, now());
        assert_eq!(doubled, Err(Flaw::Doubled(first.id)));
    }
    place.look();
    assert!(place.claim().is_none());
    // Alone, one is as good as any.
    let path = |name| place.config.directory.join(name);
    std::fs::remove_file(path("b.grant")).unwrap();
    assert_eq!(gate.not_doubled(&first, now()), Ok(()));
    place.look();
    let mut used = place.claim().unwrap();
    used.hand_over();
    place.record(
        &json!({"seq": 3, "kind": "decision", "decision_id": "x", "grant": {"id": first.id.to_string()}}),
    );
    used.used("x");
    // The next one comes, and is behind that use: with the first one and without it, before a restart.
    place.put("b.grant", &texts[1]);
    place.look();
    assert!(place.claim().is_none());
    std::fs::remove_file(path("a.grant")).unwrap();
    place.look();
    assert!(place.claim().is_none());
    place.put("a.grant", &texts[0]);
    // A restart: what the first one lets pass stays denied.
    let anew = Grants::new(Metrics::new("0"));
    place.look_with(&anew, 3, now());
    assert!(claim(&anew).is_none());
    std::fs::remove_file(path("b.grant")).unwrap();
    place.look_with(&anew, 3, now());
    assert!(claim(&anew).is_none());
}

/// One that was looked for says nothing of another one with its id.
#[test]
fn a_grant_is_looked_for_again_when_its_text_is_another_one() {
    let place = Place::new();
    let first = place.signed(Place::asked());
    place.put("a.grant", &first.to_string());
    place.look();
    drop(place.claim().unwrap());
    let mut other = behind(9);
    other.id = first.grant.id;
    place.put("a.grant", &place.signed(other).to_string());
    assert_eq!(place.grants.look(&place.config, NAME, 2, now()).len(), 1);
    place.look();
    assert!(place.claim().is_none(), "the journal has no such record");
}
