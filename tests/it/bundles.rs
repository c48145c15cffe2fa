//! OPA bundles: what is wrong with one changes nothing of what is enforced, and OPA and dtgate take each other's.

mod made;
mod page;
pub(crate) mod remote;

use std::collections::BTreeMap;
use std::io::Read;
use std::path::PathBuf;
use std::process::Command;

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::alerts::{Scrape, look};
use crate::harness::{Gate, TOKEN, Upstream, eventually, exchange, program, serving, verify};

/// Objects to every name but this one.
fn names_are(package: &str, name: &str) -> String {
    format!(
        "package dtgate.{package}\n\ndeny contains \"the name is not {name}\" if input.change.name.requested != \"{name}\"\n"
    )
}

/// A folder in which bundles are made.
struct Works(TempDir);

impl Works {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let pair = rcgen::KeyPair::generate().unwrap();
        std::fs::write(folder.path().join("key.pem"), pair.serialize_pem()).unwrap();
        std::fs::write(folder.path().join("public.pem"), pair.public_key_pem()).unwrap();
        Self(folder)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    /// A signed bundle, as bytes, of a policy that wants this name.
    fn bundle(&self, package: &str, name: &str, sequence: u32) -> Vec<u8> {
        let folder = format!("{package}-{name}-{sequence}");
        self.write(
            &format!("{folder}/{package}.rego"),
            &names_are(package, name),
        );
        let bundle = self.path("made.tar.gz");
        let made = program()
            .arg("build")
            .arg(self.path(&folder))
            .args(["--root", &format!("dtgate/{package}"), "--revision", name])
            .args([
                "--sequence",
                &sequence.to_string(),
                "--signing-alg",
                "ES256",
            ])
            .arg("--signing-key")
            .arg(self.path("key.pem"))
            .arg("--output")
            .arg(&bundle)
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        std::fs::read(bundle).unwrap()
    }

    /// As whoever distributes does: never half of it.
    fn put(&self, name: &str, bytes: &[u8]) {
        let new = self.path(".new");
        std::fs::write(&new, bytes).unwrap();
        std::fs::rename(new, self.path(name)).unwrap();
    }

    /// Of a gate with these bundles.
    fn configuration(&self, names: &[&str]) {
        let path = |name: &str| self.path(name).display().to_string();
        let mut text = format!(
            "upstream.url = \"http://127.0.0.1:9\"\nreload.interval = \"20ms\"\npolicies.state = \"{}\"\n",
            path("state")
        );
        for name in names {
            let (file, key) = (path(&format!("{name}.tar.gz")), path("public.pem"));
            let section = format!(
                "[policies.bundles.{name}]\nfile = \"{file}\"\n\
                 signature = {{ key_file = \"{key}\", algorithm = \"ES256\" }}\n"
            );
            text.push_str(&section);
        }
        self.write("dtgate.toml", &text);
    }

    fn serving(&self, upstream: &Upstream, directory: &TempDir) -> Command {
        let mut command = serving(directory);
        command
            .arg("--config")
            .arg(self.path("dtgate.toml"))
            .args(["--upstream", &format!("http://{}", upstream.address)]);
        command
    }
}

/// What is in a bundle, in its order.
fn unpacked(bundle: &[u8]) -> BTreeMap<String, Vec<u8>> {
    let mut archive = tar::Archive::new(GzDecoder::new(bundle));
    let entries = archive.entries().unwrap().map(|entry| {
        let mut entry = entry.unwrap();
        let name = entry.path().unwrap().to_str().unwrap().to_owned();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).unwrap();
        (name, bytes)
    });
    entries.collect()
}

fn packed(files: &BTreeMap<String, Vec<u8>>) -> Vec<u8> {
    let mut archive = tar::Builder::new(GzEncoder::new(Vec::new(), Compression::fast()));
    for (name, bytes) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, &**bytes).unwrap();
    }
    archive.into_inner().unwrap().finish().unwrap()
}

pub(crate) fn changed(
    bundle: &[u8],
    change: impl FnOnce(&mut BTreeMap<String, Vec<u8>>),
) -> Vec<u8> {
    let mut files = unpacked(bundle);
    change(&mut files);
    packed(&files)
}

fn status(gate: &Gate) -> Value {
    exchange(
        gate.admin,
        b"GET /status HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    )
    .json()
}

fn named(gate: &Gate, name: &str) -> u16 {
    gate.send("PUT", TOKEN, &json!({ "name": name }).to_string())
        .status
}

/// What is in force. Who judges by it is found out meanwhile.
fn in_force(status: &Value) -> [Value; 3] {
    ["revision", "names", "bundles"].map(|member| status["policies"][member].clone())
}

/// Waits until the last reload is another one than that.
fn after(gate: &Gate, before: &Value) -> Value {
    eventually("files are read again", || {
        let status = status(gate);
        (status["reload"]["last"] != before["reload"]["last"]).then_some(status)
    })
}

/// What can be wrong with a bundle that would be in force next, and what is said of it.
fn faults(works: &Works, next: &[u8]) -> Vec<(Vec<u8>, &'static str)> {
    let other = Works::new();
    let rego = || "names.rego".to_owned();
    let cut = next.len() / 2;
    vec![
        (other.bundle("names", "b", 4), "the signature is wrong"),
        (
            changed(next, |files| {
                files.remove(".signatures.json");
            }),
            "it is not signed",
        ),
        (
            changed(next, |files| {
                files.remove("names.rego");
            }),
            "it is signed, and the bundle has it not",
        ),
        (
            changed(next, |files| {
                files.insert("more.rego".to_owned(), b"package dtgate.names".to_vec());
            }),
            "the signature has it not",
        ),
        (
            changed(next, |files| {
                files.insert(rego(), names_are("names", "c").into_bytes());
            }),
            "it is not what was signed",
        ),
        (
            changed(next, |files| {
                files.insert(
                    ".manifest".to_owned(),
                    b"{\"roots\": [\"dtgate/names\"]}".to_vec(),
                );
            }),
            "it is not what was signed",
        ),
        (
            works.bundle("names", "b", 2),
            "its sequence is 2, and 3 was in force already",
        ),
        (next[..cut].to_vec(), "it is cut"),
        (b"<html>not found</html>".to_vec(), "it is no bundle"),
        (Vec::new(), "it is no bundle"),
        (
            works
                .bundle("naming", "b", 4)
                .into_iter()
                .chain([0])
                .collect(),
            "something stands behind its end",
        ),
    ]
}

#[test]
fn a_bundle_that_is_wrong_changes_nothing_and_the_status_says_why() {
    let works = Works::new();
    let good = works.bundle("names", "a", 3);
    works.put("platform.tar.gz", &good);
    works.configuration(&["platform"]);
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let command = works.serving(&upstream, &directory);
    let gate = Gate::spawn(directory, command);
    assert_eq!((named(&gate, "a"), named(&gate, "b")), (204, 403));
    let first = status(&gate);
    let bundle = &first["policies"]["bundles"][0];
    assert_eq!(bundle["name"], "platform");
    assert_eq!(
        (&bundle["revision"], &bundle["sequence"]),
        (&json!("a"), &json!(3))
    );

    let next = works.bundle("names", "b", 4);
    let mut before = first.clone();
    for (bytes, said) in faults(&works, &next) {
        works.put("platform.tar.gz", &bytes);
        before = after(&gate, &before);
        assert_eq!(before["reload"]["last"]["ok"], false, "{said}");
        let error = before["reload"]["last"]["error"].as_str().unwrap();
        assert!(
            error.contains(said) && error.contains("platform.tar.gz"),
            "{said}: {error}"
        );
        assert_eq!(in_force(&before), in_force(&first), "{said}");
        assert_eq!((named(&gate, "a"), named(&gate, "b")), (204, 403), "{said}");
    }

    works.put("platform.tar.gz", &next);
    let second = after(&gate, &before);
    assert_eq!(second["reload"]["last"]["ok"], true, "{second}");
    assert_eq!((named(&gate, "a"), named(&gate, "b")), (403, 204));
    let records = gate.records();
    let start = &records[0];
    assert_eq!(start["bundles"], first["policies"]["bundles"]);
    let reload = records
        .iter()
        .rfind(|record| record["kind"] == "reload")
        .unwrap();
    assert_eq!(reload["bundles"], second["policies"]["bundles"]);
    assert_eq!(reload["bundles"][0]["sequence"], 4);
    verify(&gate.journal());
}

#[test]
fn sources_that_overlap_are_refused_while_the_gate_runs() {
    let works = Works::new();
    works.put("platform.tar.gz", &works.bundle("names", "a", 1));
    works.put("team.tar.gz", &works.bundle("more", "a", 1));
    works.configuration(&["platform", "team"]);
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let command = works.serving(&upstream, &directory);
    let gate = Gate::spawn(directory, command);
    let first = status(&gate);
    assert_eq!(first["policies"]["names"], json!(["more", "names"]));
    works.put("team.tar.gz", &works.bundle("names", "b", 2));
    let second = after(&gate, &first);
    let error = second["reload"]["last"]["error"].as_str().unwrap();
    assert!(
        error.contains("overlaps with the root \"dtgate/names\" of the bundle platform"),
        "{error}"
    );
    assert_eq!(in_force(&second), in_force(&first));
    assert_eq!((named(&gate, "a"), named(&gate, "b")), (204, 403));
}

#[test]
fn after_a_restart_an_older_bundle_needs_a_reason_and_the_reason_is_recorded() {
    let works = Works::new();
    let older = works.bundle("names", "b", 4);
    works.put("platform.tar.gz", &works.bundle("names", "a", 5));
    works.configuration(&["platform"]);
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let command = works.serving(&upstream, &directory);
    drop(Gate::spawn(directory, command));
    works.put("platform.tar.gz", &older);

    let directory = tempfile::tempdir().unwrap();
    let refused = works.serving(&upstream, &directory).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("its sequence is 4, and 5 was in force already"),
        "{said}"
    );
    assert!(said.contains("policies.allow_rollback"), "{said}");

    let mut command = works.serving(&upstream, &directory);
    command.args(["--allow-rollback", "incident 4711"]);
    let gate = Gate::spawn(directory, command);
    assert_eq!((named(&gate, "a"), named(&gate, "b")), (403, 204));
    assert_eq!(status(&gate)["policies"]["without_memory"], json!([]));
    let start = &gate.records()[0];
    assert_eq!(start["bundles"][0]["allow_rollback"], "incident 4711");
    assert_eq!(start["bundles"][0]["sequence"], 4);
    let log = gate.log();
    assert!(log.contains("incident 4711"), "{log}");
    drop(gate);

    // What was gone back to is what was in force now.
    let directory = tempfile::tempdir().unwrap();
    let command = works.serving(&upstream, &directory);
    let gate = Gate::spawn(directory, command);
    assert_eq!(named(&gate, "b"), 204);
}

/// A gate whose state is lost, with the journal that it had.
#[test]
fn without_its_state_a_gate_knows_the_highest_sequence_by_the_sets_that_it_has_kept() {
    let works = Works::new();
    let older = works.bundle("names", "b", 4);
    works.put("platform.tar.gz", &older);
    works.configuration(&["platform"]);
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let gate = Gate::spawn(
        tempfile::tempdir().unwrap(),
        works.serving(&upstream, &directory),
    );
    let first = status(&gate);
    assert_eq!(first["policies"]["without_memory"], json!(["platform"]));
    let log = gate.log();
    assert!(
        log.contains("nobody knows a sequence of this bundle"),
        "{log}"
    );
    works.put("platform.tar.gz", &works.bundle("names", "a", 5));
    assert_eq!(after(&gate, &first)["reload"]["last"]["ok"], true);
    drop(gate);
    std::fs::remove_dir_all(works.path("state")).unwrap();

    works.put("platform.tar.gz", &older);
    let refused = works.serving(&upstream, &directory).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("its sequence is 4, and 5 was in force already"),
        "{said}"
    );

    works.put("platform.tar.gz", &works.bundle("names", "c", 6));
    let gate = Gate::spawn(
        tempfile::tempdir().unwrap(),
        works.serving(&upstream, &directory),
    );
    assert_eq!(status(&gate)["policies"]["without_memory"], json!([]));
    assert!(!gate.log().contains("nobody knows a sequence"));
}

/// The state is set back, as by a backup, or could not be written in time.
#[test]
fn a_state_that_is_older_than_the_journal_opens_no_way_back() {
    let works = Works::new();
    let older = works.bundle("names", "b", 4);
    works.put("platform.tar.gz", &older);
    works.configuration(&["platform"]);
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let gate = Gate::spawn(
        tempfile::tempdir().unwrap(),
        works.serving(&upstream, &directory),
    );
    let metric = || {
        let wanted = "\ndtgate_bundles_unremembered ";
        let told = exchange(gate.admin, METRICS).body;
        told.split_once(wanted).unwrap().1[..1].to_owned()
    };
    assert_eq!(status(&gate)["policies"]["unremembered"], Value::Null);
    assert_eq!(metric(), "0");
    let first = status(&gate);
    std::fs::create_dir(works.path("state/platform.new")).unwrap();
    works.put("platform.tar.gz", &works.bundle("names", "a", 5));
    assert_eq!(after(&gate, &first)["reload"]["last"]["ok"], true);
    let told = status(&gate)["policies"]["unremembered"].to_string();
    assert!(told.contains("platform.new: "), "{told}");
    assert_eq!(metric(), "1");
    drop(gate);

    works.put("platform.tar.gz", &older);
    let refused = works.serving(&upstream, &directory).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(
        said.contains("its sequence is 4, and 5 was in force already"),
        "{said}"
    );
    std::fs::remove_dir(works.path("state/platform.new")).unwrap();
    let mut command = works.serving(&upstream, &directory);
    command.args(["--allow-rollback", "incident 4711"]);
    drop(Gate::spawn(tempfile::tempdir().unwrap(), command));
    // That stands in the newest set.
    let command = works.serving(&upstream, &directory);
    let gate = Gate::spawn(tempfile::tempdir().unwrap(), command);
    assert_eq!(named(&gate, "b"), 204);
}

/// For the alarm.
pub(crate) fn bundles_unremembered() -> [Scrape; 2] {
    let works = Works::new();
    works.put("platform.tar.gz", &works.bundle("names", "a", 1));
    works.configuration(&["platform"]);
    let (upstream, directory) = (Upstream::lenient(), tempfile::tempdir().unwrap());
    let command = works.serving(&upstream, &directory);
    let gate = Gate::spawn(directory, command);
    let before = (look(gate.admin), status(&gate));
    std::fs::create_dir(works.path("state/platform.new")).unwrap();
    works.put("platform.tar.gz", &works.bundle("names", "a", 2));
    assert_eq!(after(&gate, &before.1)["reload"]["last"]["ok"], true);
    [before.0, look(gate.admin)]
}

#[test]
fn a_signed_bundle_without_a_sequence_is_told() {
    let works = Works::new();
    works.write("source/names.rego", &names_are("names", "a"));
    let made = program()
        .current_dir(works.0.path())
        .args([
            "build",
            "source",
            "--root",
            "dtgate",
            "--output",
            "platform.tar.gz",
        ])
        .args(["--signing-alg", "ES256", "--signing-key", "key.pem"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
    works.configuration(&["platform"]);
    let mut check = program();
    check
        .arg("check")
        .arg("--config")
        .arg(works.path("dtgate.toml"));
    let checked = format!("{:?}", check.output().unwrap());
    assert!(
        checked.contains("the bundle is signed, and has no sequence: an older one"),
        "{checked}"
    );
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let command = works.serving(&upstream, &directory);
    let gate = Gate::spawn(directory, command);
    assert_eq!(
        status(&gate)["policies"]["without_sequence"],
        json!(["platform"])
    );
}

const METRICS: &[u8] = b"GET /metrics HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";

#[test]
fn other_files_with_the_same_sequence_are_refused_and_the_same_signed_again_are_not() {
    let works = Works::new();
    works.put("platform.tar.gz", &works.bundle("names", "a", 5));
    works.configuration(&["platform"]);
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let gate = Gate::spawn(
        tempfile::tempdir().unwrap(),
        works.serving(&upstream, &directory),
    );
    let first = status(&gate);
    works.put("platform.tar.gz", &works.bundle("names", "b", 5));
    let second = after(&gate, &first);
    let error = second["reload"]["last"]["error"].as_str().unwrap();
    assert!(
        error.contains("its sequence is 5, as that of what was in force, and its files are others"),
        "{error}"
    );
    assert_eq!(named(&gate, "a"), 204);
    // ES256 signs anew each time: other bytes, the same files.
    works.put("platform.tar.gz", &works.bundle("names", "a", 5));
    let third = after(&gate, &second);
    let bundles = |status: &Value, member: &str| status["policies"]["bundles"][0][member].clone();
    assert_eq!(third["reload"]["last"]["ok"], true, "{third}");
    assert_ne!(bundles(&third, "digest"), bundles(&first, "digest"));
    assert_eq!(bundles(&third, "content"), bundles(&first, "content"));
    drop(gate);
    works.put("platform.tar.gz", &works.bundle("names", "b", 5));
    let refused = works.serving(&upstream, &directory).output().unwrap();
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("and its files are others"), "{said}");
}

#[test]
fn a_start_without_its_bundle_says_what_is_missing() {
    let works = Works::new();
    works.configuration(&["platform"]);
    let upstream = Upstream::lenient();
    let directory = tempfile::tempdir().unwrap();
    let refused = works.serving(&upstream, &directory).output().unwrap();
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(said.contains("platform.tar.gz: "), "{said}");
    assert!(!directory.path().join("journal").exists());
}
