//! Histories at random of journals, of their names, of losses that were sent again, of months that were dropped and of
//! copies: an honest store holds by all that may be demanded of it, and whatever is cut, changed or moved is found.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::LazyLock;

use data_encoding::BASE64;
use serde_json::{Value, json};

use super::fleet::{End, Wanted};
use super::source::Source;
use super::*;
use crate::audit::checkpoint::note::{Note, PublicKey, SigningKey};
use crate::audit::checkpoint::{Checkpoint, handover};
use crate::audit::tree::{Compact, leaf};
use crate::store::rows::prev;

/// Numbers that look like chance, and are the same each time.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % end.max(1)
    }

    fn of<T: Clone>(&mut self, all: &[T]) -> Option<T> {
        let at = self.below(all.len() as u64);
        all.get(usize::try_from(at).unwrap()).cloned()
    }
}

/// One key for each name.
fn key(name: &str) -> &'static SigningKey {
    static KEYS: LazyLock<HashMap<String, SigningKey>> = LazyLock::new(|| {
        let names = (0..NAMES).map(|at| format!("gate-{at}"));
        names
            .map(|name| (name.clone(), SigningKey::generate(&name).unwrap()))
            .collect()
    });
    &KEYS[name]
}

#[derive(Clone, Default)]
struct Journal {
    /// All that it ever wrote.
    lines: Vec<String>,
    /// Its names, the oldest first.
    names: Vec<String>,
    /// The first name that is no other journal's.
    own: usize,
    /// Checkpoints: how many records each covers, and the note.
    checkpoints: Vec<(u64, String)>,
}

impl Journal {
    fn hash(&self, seq: u64) -> String {
        let before = seq.checked_sub(1).map(|at| usize::try_from(at).unwrap());
        let hash = before.map(|at| Sha256Hex::of(self.lines[at].as_bytes()));
        hash.unwrap_or(Sha256Hex::ZERO).as_str().to_owned()
    }

    fn head(&self) -> u64 {
        self.lines.len() as u64
    }

    fn name(&self) -> &str {
        self.names.last().unwrap()
    }

    fn add(&mut self, record: &Value) {
        let (seq, prev) = (self.head() + 1, self.hash(self.head()));
        let opening = format!(
            "{{\"seq\":{seq},\"prev\":\"{prev}\",\"synced\":{},",
            seq - 1
        );
        self.lines
            .push(record.to_string().replacen('{', &opening, 1));
    }

    fn tree(&self, size: u64) -> Compact {
        let mut tree = Compact::default();
        for line in self.lines.iter().take(usize::try_from(size).unwrap()) {
            tree.push(leaf(line.as_bytes()), |_hash| {});
        }
        tree
    }

    fn checkpoint(&mut self) {
        let key = key(self.name());
        let (size, origin) = (self.head(), key.name().to_owned());
        let root = self.tree(size).root();
        let note = Checkpoint { origin, size, root }.sign(key);
        self.add(&json!({"kind": "checkpoint", "timestamp": TIME, "size": size, "root": BASE64.encode(&root),
            "key": key.public().to_string(), "note": note}));
        self.checkpoints.push((size, note));
    }

    fn rename(&mut self, name: &str) {
        let (old, new) = (key(self.name()), key(name));
        let text = handover(&old.public(), &new.public());
        let signatures = vec![old.sign(&text), new.sign(&text)];
        let note = Note { text, signatures }.to_string();
        let (old, new) = (old.public().to_string(), new.public().to_string());
        self.add(&json!({"kind": "key", "timestamp": TIME, "old": old, "new": new, "note": note}));
        self.names.push(name.to_owned());
    }

    /// The journal's beginning was deleted: what says so. The store keeps it.
    fn prune(&mut self, last: u64) {
        let tree = self.tree(last);
        let tree: Vec<String> = tree.roots().iter().map(|it| BASE64.encode(it)).collect();
        let hash = self.hash(last);
        self.add(&json!({"kind": "pruned", "timestamp": TIME, "first": 1, "last": last, "hash": hash, "tree": tree,
            "oldest": TIME, "newest": TIME, "reason": "max_age"}));
    }
}

/// What a store has.
#[derive(Clone, Default)]
struct Model {
    rows: BTreeMap<String, BTreeMap<u64, String>>,
    said: BTreeMap<String, (u64, String, u64)>,
}

impl Model {
    fn last(&self, gate: &str) -> u64 {
        let rows = self.rows.get(gate);
        rows.and_then(|rows| rows.last_key_value())
            .map_or(0, |(seq, _)| *seq)
    }

    fn delete(&mut self, gate: &str, which: impl Fn(u64) -> bool) -> bool {
        let rows = self.rows.get_mut(gate).unwrap();
        let before = rows.len();
        rows.retain(|seq, _| !which(*seq));
        let is_less = rows.len() < before;
        self.rows.retain(|_, rows| !rows.is_empty());
        is_less
    }

    /// As a gate sends what is not there of its journal, under any of its names.
    fn send(&mut self, journal: &Journal, up_to: u64, tells: bool) {
        let there = journal.names.iter().map(|name| {
            let rows = self.rows.get(name).into_iter().flatten();
            let mut ours = rows.filter(|(seq, line)| {
                journal.lines.get(usize::try_from(**seq - 1).unwrap()) == Some(*line)
            });
            ours.next_back().map_or(0, |(seq, _)| *seq)
        });
        let from = there.max().unwrap_or_default() + 1;
        let name = journal.name().to_owned();
        for seq in from..=up_to {
            let line = journal.lines[usize::try_from(seq - 1).unwrap()].clone();
            self.rows.entry(name.clone()).or_default().insert(seq, line);
        }
        if tells {
            let head = journal.head();
            self.said.insert(name, (head, journal.hash(head), up_to));
        }
    }

    /// What is wrong with any of these gates.
    fn wrong(
        &self,
        gates: &BTreeSet<String>,
        noted: Option<&NotedHead>,
        trust: &Trust,
    ) -> Option<String> {
        let fleet = Fleet::of(self, self.gates(), None).unwrap();
        gates.iter().find_map(|gate| {
            let mut problems = Problems::default();
            let begins = trust.begins.as_ref().map(|it| it.seq);
            let demand = Demand {
                noted,
                trust,
                begins,
            };
            let mut proof = Proof::begin(self, &fleet, gate, demand, &mut problems).unwrap();
            let span = (begins.unwrap_or_default(), u64::MAX);
            proof.chain.walk(self, gate, span, &mut problems).unwrap();
            let proven = proof.end(self, &mut problems).unwrap();
            let chain = proven.chain.map(|chain| match chain {
                Ok(report) => report.problems,
                Err(error) => vec![error.to_string()],
            });
            let mut wrong = problems.all();
            wrong.extend(chain.into_iter().flatten());
            let wrong = (!wrong.is_empty()).then(|| wrong.join("; "));
            wrong.map(|wrong| format!("{gate}: {wrong}"))
        })
    }

    fn gates(&self) -> Vec<Gate> {
        let gate = |(name, (head, hash, shipped)): (&String, &(u64, String, u64))| Gate {
            name: name.clone(),
            version: String::new(),
            revision: String::new(),
            listen: String::new(),
            head_seq: *head,
            head_hash: hash.clone(),
            shipped: *shipped,
            started: Moment::default(),
            seen: Moment::default(),
            asked: Moment::default(),
            key: key(name).public().to_string(),
        };
        self.said.iter().map(gate).collect()
    }

    fn names(&self) -> BTreeSet<String> {
        self.rows.keys().chain(self.said.keys()).cloned().collect()
    }
}

impl Source for Model {
    fn walk(
        &self,
        gate: &str,
        (behind, up_to): (u64, u64),
        problems: &mut Problems,
        see: &mut dyn FnMut(Step<'_>, &mut Problems) -> Result<bool, StoreError>,
    ) -> Result<(), StoreError> {
        let Some(rows) = self.rows.get(gate) else {
            return Ok(());
        };
        let mut rows = rows
            .iter()
            .filter(|(seq, _)| **seq > behind && **seq <= up_to)
            .peekable();
        while let Some((seq, line)) = rows.next() {
            let ahead = rows.peek().map(|(_, line)| line.as_bytes());
            let step = Step {
                seq: *seq,
                line: line.as_bytes(),
                ahead,
            };
            if !see(step, problems)? {
                break;
            }
        }
        Ok(())
    }

    fn hashes(&self, gate: &str, seq: u64) -> Result<Option<(String, Option<String>)>, StoreError> {
        let line = self.rows.get(gate).and_then(|rows| rows.get(&seq));
        Ok(line.map(|line| {
            (
                Sha256Hex::of(line.as_bytes()).as_str().to_owned(),
                prev(line),
            )
        }))
    }

    fn first(&self, gate: &str) -> Result<Option<(u64, Option<String>)>, StoreError> {
        let first = self.rows.get(gate).and_then(|rows| rows.first_key_value());
        Ok(first.map(|(seq, line)| (*seq, prev(line))))
    }

    fn keys(&self, gates: &[String]) -> Result<Vec<String>, StoreError> {
        let rows = gates.iter().filter_map(|gate| self.rows.get(gate));
        let lines = rows.flat_map(|rows| rows.values());
        Ok(lines
            .filter(|line| line.contains("\"kind\":\"key\""))
            .cloned()
            .collect())
    }

    fn removals(&self, gates: &[String], first: u64) -> Result<Vec<Vec<u8>>, StoreError> {
        let rows = gates.iter().filter_map(|gate| self.rows.get(gate));
        let lines = rows.flat_map(|rows| rows.values());
        let removals = lines.filter(|line| first > 1 && line.contains("\"kind\":\"pruned\""));
        Ok(removals.map(|line| line.as_bytes().to_vec()).collect())
    }

    fn ends(&self, most: usize) -> Result<Vec<End>, StoreError> {
        let ends = self.rows.iter().take(most).map(|(gate, rows)| {
            let (first, line) = rows.first_key_value().unwrap();
            let (last, end) = rows.last_key_value().unwrap();
            End {
                gate: gate.clone(),
                first: *first,
                prev: prev(line),
                last: *last,
                hash: Sha256Hex::of(end.as_bytes()).as_str().to_owned(),
            }
        });
        Ok(ends.collect())
    }

    fn there(&self, wanted: &[Wanted]) -> Result<Vec<usize>, StoreError> {
        let is_there = |(_, it): &(usize, &Wanted)| {
            let hashes = self.hashes(&it.gate, it.seq).unwrap();
            hashes.is_some_and(|(hash, _)| hash == it.hash)
        };
        Ok(wanted
            .iter()
            .enumerate()
            .filter(is_there)
            .map(|(at, _)| at)
            .collect())
    }
}

/// One or two journals, and the store to which they were sent. No record is there twice.
fn history(chance: &mut Chance) -> (Vec<Journal>, Model) {
    let (mut names, mut model) = ((0..NAMES).map(|at| format!("gate-{at}")), Model::default());
    let mut first = Journal::default();
    first.names.push(names.next().unwrap());
    let mut journals = vec![first];
    let mut at = 0;
    for _ in 0..8 + chance.below(10) {
        let count = journals.len();
        let journal = &mut journals[at];
        match chance.below(9) {
            0..=2 => {
                for _ in 0..=chance.below(4) {
                    journal
                        .add(&json!({"kind": "x", "timestamp": TIME, "n": chance.below(1 << 20)}));
                }
            }
            3 if journal.head() > 0 => journal.checkpoint(),
            4 | 5 => {
                let up_to = journal.head() - chance.below(3).min(journal.head());
                model.send(journal, up_to.max(model.last(journal.name())), true);
            }
            6 if journal.head() > 0 => {
                let (up_to, tells) = (journal.head() - chance.below(2), chance.below(2) == 0);
                model.send(journal, up_to.max(model.last(journal.name())), tells);
                journal.checkpoint();
                if let Some(name) = names.next() {
                    journal.rename(&name);
                }
            }
            // A loss from one record on, as a restore leaves it, or as the page says it of earlier names.
            7 if count == 1 => {
                let from = chance.below(journal.head() + 1) + 1;
                for name in &journal.names {
                    if model.rows.contains_key(name) {
                        model.delete(name, |seq| seq >= from);
                    }
                }
            }
            // Somebody copies it, and gives the copy a name of its own.
            8 if count == 1 && journal.head() > 0 && chance.below(3) == 0 => {
                journal.checkpoint();
                model.send(journal, journal.head(), true);
                let mut copy = journal.clone();
                if let Some(name) = names.next() {
                    copy.own = copy.names.len();
                    copy.rename(&name);
                    journals.push(copy);
                }
            }
            _ => {}
        }
        at = usize::try_from(chance.below(journals.len() as u64)).unwrap();
    }
    for journal in &mut journals {
        journal.add(&json!({"kind": "x", "timestamp": TIME}));
        journal.checkpoint();
        model.send(journal, journal.head(), true);
    }
    (journals, model)
}

/// Something that is demanded of a gate, and which it meets.
fn demand(
    chance: &mut Chance,
    journal: &Journal,
    gate: &str,
    model: &Model,
) -> (Option<NotedHead>, Trust) {
    let shipped = model.said.get(gate).map_or(0, |(_, _, shipped)| *shipped);
    let shipped = shipped.max(model.last(gate));
    let seq = 1 + chance.below(shipped);
    let noted = (chance.below(2) == 0 && shipped > 0).then(|| NotedHead {
        seq,
        hash: journal.hash(seq),
    });
    let own = journal.names.iter().position(|it| it == gate).unwrap();
    let is_signed = journal
        .checkpoints
        .iter()
        .any(|(size, note)| *size < shipped && note.starts_with(&format!("{gate}\n")));
    let older: Vec<PublicKey> = journal.names[..=own]
        .iter()
        .map(|it| key(it).public())
        .collect();
    let keys = (chance.below(2) == 0 && is_signed)
        .then(|| chance.of(&older))
        .flatten();
    let kept: Vec<&(u64, String)> = journal
        .checkpoints
        .iter()
        .filter(|(size, _)| *size < shipped)
        .collect();
    let kept = (chance.below(2) == 0 && keys.is_none())
        .then(|| chance.of(&kept))
        .flatten();
    let kept = kept.map(|(_, note)| Note::parse(note).unwrap());
    let trust = Trust {
        keys: keys.into_iter().collect(),
        kept,
        ..Trust::default()
    };
    (noted, trust)
}

#[test]
fn an_honest_store_holds_and_whatever_is_changed_in_it_is_found() {
    let (mut gone_on, mut changed) = (0, 0);
    for seed in 0..HISTORIES {
        let mut chance = Chance(seed);
        let (journals, model) = history(&mut chance);
        let wrong = model.wrong(&model.names(), None, &Trust::default());
        assert_eq!(wrong, None, "{seed}");
        gone_on += model
            .said
            .iter()
            .filter(|(gate, said)| said.2 > model.last(gate))
            .count();
        for journal in &journals {
            let is_of = |it: &&String| journal.names[journal.own..].contains(it);
            for gate in model.names().iter().filter(is_of) {
                let (noted, trust) = demand(&mut chance, journal, gate, &model);
                let wrong = model.wrong(&BTreeSet::from([gate.clone()]), noted.as_ref(), &trust);
                assert_eq!(
                    wrong,
                    None,
                    "{seed} {gate} {noted:?} {:?} {:?} {:?} {:?}",
                    trust.keys,
                    journal
                        .checkpoints
                        .iter()
                        .map(|(size, note)| (size, note.lines().next()))
                        .collect::<Vec<_>>(),
                    model.ends(100),
                    model.said
                );
            }
            months_are_dropped(seed, &mut chance, journal, &model);
        }
        changed += usize::from(is_found(seed, &mut chance, &journals, &model));
    }
    assert!(gone_on > 30 && changed > 150, "{gone_on} {changed}");
}

/// What comes behind a head that was noted is proven without what comes before it.
fn months_are_dropped(seed: u64, chance: &mut Chance, journal: &Journal, model: &Model) {
    let mut model = model.clone();
    let seq = 1 + chance.below(journal.head());
    let all: Vec<String> = model.rows.keys().cloned().collect();
    for gate in all {
        model.delete(&gate, |it| it <= seq);
    }
    let begins = Some(NotedHead {
        seq,
        hash: journal.hash(seq),
    });
    let trust = Trust {
        begins,
        ..Trust::default()
    };
    let gates = model
        .names()
        .into_iter()
        .filter(|gate| journal.names[journal.own..].contains(gate));
    // Of one whose rows begin further on, the beginning is here under an earlier name: that one is asked.
    let gates = gates.filter(|gate| {
        model
            .rows
            .get(gate)
            .is_none_or(|rows| rows.contains_key(&(seq + 1)))
    });
    let wrong = model.wrong(&gates.collect(), None, &trust);
    assert_eq!(wrong, None, "{seed} behind {seq}");
}

/// Changes something.
fn is_found(seed: u64, chance: &mut Chance, journals: &[Journal], model: &Model) -> bool {
    let mut worse = model.clone();
    let gates: Vec<String> = model.rows.keys().cloned().collect();
    let gate = chance.of(&gates).unwrap();
    let seqs: Vec<u64> = model.rows[&gate].keys().copied().collect();
    let seq = chance.of(&seqs).unwrap();
    let what = chance.below(6);
    match what {
        0 => drop(worse.delete(&gate, |it| it == seq)),
        1 => drop(worse.delete(&gate, |it| it >= seq)),
        2 => drop(worse.delete(&gate, |_| true)),
        // The end of all names of a journal.
        3 => {
            let journal = journals.iter().find(|it| it.names.contains(&gate)).unwrap();
            for name in journal.names.iter().filter(|it| gates.contains(it)) {
                worse.delete(name, |it| it >= seq);
            }
        }
        4 => {
            let line = worse
                .rows
                .get_mut(&gate)
                .and_then(|rows| rows.get_mut(&seq))
                .unwrap();
            *line = line.replace(TIME, "2026-11-24T10:00:01.000Z");
        }
        // To another gate. What stands then as if it had been sent so is no change.
        _ => {
            let line = worse.rows[&gate][&seq].clone();
            let other = chance.of(&gates).unwrap();
            let rows = worse.rows.get_mut(&other).unwrap();
            let is_beside = rows.contains_key(&(seq + 1)) || rows.contains_key(&(seq - 1));
            if is_beside || rows.contains_key(&seq) {
                return false;
            }
            rows.insert(seq, line);
            worse.delete(&gate, |it| it == seq);
        }
    }
    let names = model.names();
    let wrong = worse.wrong(&names, None, &Trust::default());
    assert!(
        wrong.is_some(),
        "{seed}: nobody finds {what} of {gate} {seq}: {:?} {:?}",
        model.ends(100),
        model.said
    );
    true
}

/// What is left of the first names was deleted, and one record is put in the place of another gate's.
#[test]
fn a_gate_of_which_nothing_is_left_is_not_hidden_by_another() {
    let mut journal = Journal {
        names: vec!["gate-0".to_owned()],
        ..Journal::default()
    };
    let mut model = Model::default();
    for _ in 0..10 {
        journal.add(&json!({"kind": "x", "timestamp": TIME}));
    }
    journal.checkpoint();
    model.send(&journal, 11, true);
    journal.rename("gate-1");
    for _ in 0..30 {
        journal.add(&json!({"kind": "x", "timestamp": TIME}));
    }
    journal.checkpoint();
    journal.prune(40);
    journal.checkpoint();
    model.send(&journal, journal.head(), true);
    let honest = model.clone();
    let trust = Trust {
        keys: vec![key("gate-0").public()],
        ..Trust::default()
    };
    let first = BTreeSet::from(["gate-0".to_owned()]);
    assert_eq!(honest.wrong(&honest.names(), None, &Trust::default()), None);
    assert_eq!(honest.wrong(&first, None, &trust), None);
    model.delete("gate-0", |_| true);
    model.delete("gate-1", |seq| seq <= 40);
    // As the owner adds it, with the record by which the key took over.
    let mut forged = journal.clone();
    let handover = journal
        .lines
        .iter()
        .find(|it| it.contains("\"kind\":\"key\""))
        .unwrap();
    let mut record: Value = serde_json::from_str(handover).unwrap();
    for own in ["seq", "prev", "synced"] {
        record.as_object_mut().unwrap().remove(own);
    }
    forged.add(&record);
    let last = forged.lines.last().unwrap().clone();
    model
        .rows
        .get_mut("gate-1")
        .unwrap()
        .insert(forged.head(), last);
    for trust in [&Trust::default(), &trust] {
        let wrong = model.wrong(&first, None, trust);
        assert!(wrong.unwrap().contains("cut off"));
    }
    // Nor by all that another gate has, whose head is written into its row.
    let mut other = Journal {
        names: vec!["gate-2".to_owned()],
        ..Journal::default()
    };
    other.add(&json!({"kind": "x", "timestamp": TIME}));
    other.checkpoint();
    let mut model = Model::default();
    model.send(&other, 2, true);
    model
        .said
        .insert("gate-0".to_owned(), (2, other.hash(2), 2));
    let keys = ["gate-0", "gate-2"].map(|it| key(it).public());
    let trust = Trust {
        keys: keys.to_vec(),
        ..Trust::default()
    };
    for trust in [&Trust::default(), &trust] {
        let wrong = model.wrong(&first, None, trust);
        assert!(wrong.unwrap().contains("cut off"));
    }
}

const TIME: &str = "2026-11-24T10:00:00.000Z";
const NAMES: usize = 8;
const HISTORIES: u64 = 500;
