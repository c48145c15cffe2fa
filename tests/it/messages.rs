//! What people read, as a whole: somebody has read each text below `tests/data/messages`, and it stays as it was read.
//!
//! `DTGATE_SNAPSHOTS=write cargo test --test it messages` writes them anew. Read what `git diff` then shows.

use std::path::{Path, PathBuf};

use dtgate::audit::tail::render;

/// Compares a text with the one that somebody has read.
pub(crate) fn assert_read(name: &str, text: &str) {
    let path = folder().join(name);
    if std::env::var("DTGATE_SNAPSHOTS").is_ok_and(|wish| wish == "write") {
        std::fs::write(&path, text).unwrap();
        return;
    }
    let read = std::fs::read_to_string(&path).unwrap();
    for (number, (line, read)) in text.lines().zip(read.lines()).enumerate() {
        assert_eq!(line, read, "{name}:{}", number + 1);
    }
    assert_eq!(text, read, "{name}");
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/messages")
}

#[test]
fn records_are_shown_to_people() {
    let records = std::fs::read_to_string(folder().join("tail.jsonl")).unwrap();
    let shown: Vec<String> = records.lines().map(render).collect();
    let shown = shown.join("\n") + "\n";
    assert!(shown.contains("\u{1b}[31mdeny"), "no colour: {shown}");
    assert_read(
        "tail.txt",
        &anstream::adapter::strip_str(&shown).to_string(),
    );
}
