//! Worlds in which everything is known, and journals of them in which something is not: what is said for certain is true.

use std::collections::BTreeSet;
use std::path::Path;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::doubt::doubts;
use crate::audit::event;
use crate::audit::index::{FILE, Index};
use crate::cli::audit::source::Source;
use crate::dynatrace::current::CurrentToken;
use crate::trail::history::{After, Happened, MOST, Most, What, steps};

/// So many are tried.
const WORLDS: u64 = 150;
const TOKEN: &str = "dt0c01.ST2EY72KQINMH574WMNVI7YN";
const UUID: &str = "019ab533-0040-7000-8000-00000000000a";
const NAMED: &str = "hmac-sha256:v1:00000000000000000000000000000000";

/// Numbers that only seem to be chance.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % most
    }

    fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[usize::try_from(self.below(of.len() as u64)).unwrap()]
    }
}

/// How the journal hides a change.
#[derive(Clone, Copy, Debug, PartialEq)]
enum How {
    Plain,
    Masked,
    HalfMasked,
    Named,
    HalfNamed,
    InNoEnvironment,
    WithoutScopes,
    Gone,
    Unread,
}

const HOW: [How; 9] = [
    How::Plain,
    How::Masked,
    How::HalfMasked,
    How::Named,
    How::HalfNamed,
    How::InNoEnvironment,
    How::WithoutScopes,
    How::Gone,
    How::Unread,
];

/// When something came into force, in milliseconds, what the token had then, and by which record; 0: around the gate.
type Effect = (i64, BTreeSet<String>, u64);

struct World {
    chance: Chance,
    now: i64,
    effects: Vec<Effect>,
    lines: Vec<Option<String>>,
    has_outside: bool,
    log: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
        for _ in 0..8 {
            chance.below(2);
        }
        let start = json!({"seq": 1, "kind": "start", "timestamp": time(0), "pseudonyms": {"fields": ["caller.token.id"], "key": "v1"}});
        let has_outside = chance.below(3) == 0;
        Self {
            chance,
            now: 0,
            effects: vec![(-1, BTreeSet::from(["a".to_owned()]), 0)],
            lines: vec![Some(start.to_string())],
            has_outside,
            log: Vec::new(),
        }
    }

    /// What the token has.
    fn truth(&self, at: i64) -> BTreeSet<String> {
        let mut before: Vec<&Effect> = self.effects.iter().filter(|it| it.0 <= at).collect();
        before.sort_by_key(|it| it.0);
        before.last().unwrap().1.clone()
    }

    fn effect(&self, seq: u64) -> Option<i64> {
        let mut effects = self.effects.iter();
        effects.find(|it| it.2 == seq).map(|it| it.0)
    }

    fn go_on(&mut self) {
        let seconds = self
            .chance
            .one(&[2, 3, 9, 30, 120, 290, 310, 650, 950, 2000]);
        self.now += seconds * 1000;
    }

    fn go(&mut self, most_hidden: u64) {
        self.go_on();
        if self.has_outside && self.chance.below(5) == 0 {
            let scopes = BTreeSet::from([format!("outside{}", self.now)]);
            self.effects.push((self.now, scopes, 0));
            self.log.push(format!("{} outside", self.now / 1000));
            return;
        }
        let seq = self.lines.len() as u64 + 1;
        let asked = self.chance.one(&[&["a"][..], &["b"], &["c"], &["a", "b"]]);
        let scopes: BTreeSet<String> = asked.iter().map(|it| (*it).to_owned()).collect();
        let is_looked_up = self.chance.below(3) > 0;
        let how = match self.chance.below(10) {
            it if it < most_hidden => self.chance.one(&HOW),
            _ => How::Plain,
        };
        let mut record = change(seq, self.now, &scopes);
        if is_looked_up {
            let current = self.truth(self.now);
            record["input"]["token"]["current"] =
                json!({"id": TOKEN, "name": "ci", "scopes": current});
            record["input"]["change"]["scopes"]["current"] = json!(current);
        }
        // Of the changes that nobody knows the token of some are of another one.
        let is_other = !matches!(how, How::Plain | How::WithoutScopes) && self.chance.below(3) == 0;
        hide(&mut record, how);
        let end = self.chance.below(8);
        self.log.push(format!(
            "{seq}: {} {asked:?} {how:?} end {end} looked {is_looked_up} other {is_other} truth {:?}",
            self.now / 1000,
            self.truth(self.now)
        ));
        if end == 7 {
            record["verdict"] = json!("deny");
        }
        let is_shown = !matches!(how, How::Gone | How::Unread);
        let line = |record: &Value| match how {
            How::Gone => None,
            How::Unread => Some("x".to_owned()),
            _ => Some(record.to_string()),
        };
        self.lines.push(line(&record));
        let mut outcome = json!({"seq": seq + 1, "kind": "outcome", "timestamp": time(self.now + 1000), "decision_seq": seq,
            "decision_id": record["decision_id"], "outcome": "answered", "status": 204});
        match end {
            0..=2 => {
                self.effects.push((self.now + 500, scopes, seq));
                self.lines.push(line(&outcome));
            }
            3 => {
                outcome["status"] = json!(400);
                self.lines.push(line(&outcome));
            }
            4..=6 => {
                if self.chance.below(2) == 0 {
                    outcome["outcome"] = json!("unknown");
                    self.lines.push(is_shown.then(|| outcome.to_string()));
                }
                let after = self.chance.one(&[1, 5, 40, 200, 299]);
                if self.chance.below(2) == 0 {
                    self.log.push(format!("   in force after {after}"));
                    self.effects.push((self.now + after * 1000, scopes, seq));
                }
            }
            _ => {}
        }
        if is_other {
            self.effects.retain(|it| it.2 != seq);
        }
    }

    fn write(&self, journal: &Path) -> Source {
        let lines: Vec<String> = self
            .lines
            .iter()
            .flatten()
            .map(|it| format!("{it}\n"))
            .collect();
        std::fs::write(journal.join("00000000000000000001.jsonl"), lines.concat()).unwrap();
        let mut index = Index::open(journal, &journal.join(FILE)).unwrap();
        index.catch_up(|_| true).unwrap();
        Source::Journal {
            index: Box::new(index),
            journal: journal.to_owned(),
        }
    }
}

fn time(ms: i64) -> String {
    let start: Timestamp = "2026-11-24T10:00:00Z".parse().unwrap();
    let time = Timestamp::from_millisecond(start.as_millisecond() + ms).unwrap();
    format!("{time:.3}")
}

fn change(seq: u64, now: i64, scopes: &BTreeSet<String>) -> Value {
    json!({
        "seq": seq, "kind": "decision", "timestamp": time(now), "verdict": "allow", "operation": "token.update",
        "decision_id": uuid::Uuid::from_u128(u128::from(seq) << 64).to_string(), "request": {"path": "-"},
        "input": {"environment": {"name": "prod"}, "token": {"id": TOKEN}, "change": {"scopes": {"requested": scopes}}},
    })
}

fn hide(record: &mut Value, how: How) {
    let mut erase = |around: &str, name: &str| {
        if let Some(members) = record.pointer_mut(around).and_then(Value::as_object_mut) {
            members.remove(name);
        }
        let erased = &mut record["erased"];
        if erased.is_null() {
            *erased = json!([]);
        }
        erased
            .as_array_mut()
            .unwrap()
            .push(json!(format!("{around}/{name}")));
    };
    match how {
        How::Plain | How::Gone | How::Unread => {}
        How::Masked => erase("/input", "token"),
        How::HalfMasked => {
            erase("/input/token", "current");
            record["input"]["token"]["id"] = json!(UUID);
        }
        How::InNoEnvironment => erase("/input", "environment"),
        How::WithoutScopes => {
            erase("/input/change", "scopes");
            erase("/input/token", "current");
        }
        How::Named => {
            record["input"]["token"] = json!({"id": NAMED});
            record["pseudonyms"] = json!(["/input/token/id"]);
        }
        How::HalfNamed => {
            record["input"]["token"]["id"] = json!(UUID);
            record["input"]["token"]["current"]["id"] = json!(NAMED);
            record["pseudonyms"] = json!(["/input/token/current/id"]);
        }
    }
}

/// How often something was said for certain.
#[derive(Debug, Default)]
struct Said {
    done: u32,
    not_done: u32,
    unsure: u32,
    elsewhere: u32,
    looked_up: u32,
    after: u32,
}

impl World {
    fn is_done(&self, seq: u64, found: event::Found, at: i64, why: &str) {
        let effect = self.effect(seq).filter(|it| *it <= at);
        let is_true = match found {
            event::Found::Done => effect.is_some(),
            event::Found::NotDone => self.effect(seq).is_none(),
            event::Found::Unknown => true,
        };
        assert!(is_true, "#{seq} {found:?}: {why}\n{}", self.log.join("\n"));
    }

    /// What a history says.
    fn check_history(&self, source: &Source, most: Most, said: &mut Said) {
        let found = steps(source, TOKEN, &[], most).unwrap();
        let mut tokens = found.tokens();
        for step in &found.all {
            let seen = tokens.see(step);
            let now = step.mark().ms.unwrap()
                - "2026-11-24T10:00:00Z"
                    .parse::<Timestamp>()
                    .unwrap()
                    .as_millisecond();
            if let Some(found) = seen.found {
                said.unsure += u32::from(found.is_unsure);
                if let Some((key, is_done)) = found.ends() {
                    let what = if is_done {
                        event::Found::Done
                    } else {
                        event::Found::NotDone
                    };
                    said.done += u32::from(is_done);
                    said.not_done += u32::from(!is_done);
                    self.is_done(key.seq, what, now, "history");
                }
                if matches!(found.what, What::Elsewhere { .. } | What::Otherwise)
                    && !found.is_unsure
                {
                    said.elsewhere += 1;
                    let mut outside = self.effects.iter();
                    let is_there = outside.any(|it| it.2 == 0 && (0..=now).contains(&it.0));
                    assert!(
                        is_there,
                        "#{}: elsewhere\n{}",
                        step.key.seq,
                        self.log.join("\n")
                    );
                }
            }
            let lists = match seen.after {
                After::Known(scopes) if step.happened != Happened::Yes => vec![scopes],
                After::Doubt(done, Some(before)) => vec![done, before],
                _ => Vec::new(),
            };
            if !lists.is_empty() && !self.has_outside {
                said.after += 1;
                let truth: Vec<String> = self.truth(now).into_iter().collect();
                assert!(
                    lists.contains(&truth),
                    "#{}: {lists:?}\n{}",
                    step.key.seq,
                    self.log.join("\n")
                );
            }
        }
    }

    /// What becomes of doubts, by the journal and by a look at the token now.
    fn check_settle(&mut self, source: &Source, said: &mut Said) {
        self.go_on();
        let token = CurrentToken {
            name: Some("ci".to_owned()),
            scopes: self.truth(self.now).into_iter().collect(),
            ..CurrentToken::default()
        };
        for doubt in doubts(source).unwrap() {
            let looked = match (doubt.known(), doubt.target()) {
                (Some(known), _) => known,
                (None, Ok(_)) => doubt.judged(Some(&token), time(self.now).parse().unwrap()),
                (None, Err(_)) => continue,
            };
            said.looked_up +=
                u32::from(doubt.known().is_none() && looked.found != event::Found::Unknown);
            self.is_done(doubt.seq, looked.found, self.now, &looked.why);
        }
    }
}

#[test]
fn what_is_said_for_certain_is_true_whatever_is_hidden() {
    let (mut plain, mut hidden) = (Said::default(), Said::default());
    for seed in 0..WORLDS {
        let mut world = World::new(seed);
        let most_hidden = [0, 3, 5][usize::try_from(seed % 3).unwrap()];
        for _ in 0..3 + world.chance.below(7) {
            world.go(most_hidden);
        }
        let journal = tempfile::tempdir().unwrap();
        let source = world.write(journal.path());
        let said = if most_hidden == 0 {
            &mut plain
        } else {
            &mut hidden
        };
        world.check_history(&source, MOST, said);
        world.check_settle(&source, said);
        // The oldest may be left out.
        for requests in 1..4 {
            let most = Most { requests, ..MOST };
            world.check_history(&source, most, &mut Said::default());
        }
    }
    // All of it was said, more often where nothing is hidden.
    for (said, least) in [(&plain, 3), (&hidden, 1)] {
        let all = [
            said.done,
            said.not_done,
            said.elsewhere,
            said.looked_up,
            said.after,
        ];
        assert!(all.iter().all(|it| *it >= least), "{said:?}");
    }
    assert!(
        (plain.unsure, hidden.unsure > 10) == (0, true),
        "{plain:?} {hidden:?}"
    );
}
