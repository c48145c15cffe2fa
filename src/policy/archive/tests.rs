use std::io::Write as _;

use flate2::Compression;
use flate2::write::GzEncoder;
use proptest::prelude::*;
use tar::{Builder, Header};

use super::manifest::Manifest;
use super::*;

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gzip = GzEncoder::new(Vec::new(), Compression::fast());
    gzip.write_all(bytes).unwrap();
    gzip.finish().unwrap()
}

/// An archive as anybody could write it: names are not looked at.
fn archive(entries: &[(&str, EntryType, &[u8])]) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (name, kind, bytes) in entries {
        let mut header = Header::new_gnu();
        header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
        header.set_entry_type(*kind);
        header.set_size(bytes.len() as u64);
        if kind.is_symlink() || kind.is_hard_link() {
            header.set_link_name("/etc/passwd").unwrap();
        }
        header.set_cksum();
        tar.append(&header, *bytes).unwrap();
    }
    gzip(&tar.into_inner().unwrap())
}

fn refused(packed: &[u8]) -> String {
    let Refusal { file, message } = Archive::read(packed).unwrap_err();
    format!("{}: {message}", file.unwrap_or_default())
}

fn sample() -> Vec<u8> {
    let files = [
        (".manifest", r#"{"revision":"r"}"#),
        ("a/x.rego", "package dtgate.x"),
        ("data.json", r#"{"a": [1, 2, 3]}"#),
    ];
    let files = files.map(|(name, text)| (name.to_owned(), text.as_bytes().to_vec()));
    write::packed(&BTreeMap::from(files)).unwrap()
}

#[test]
fn what_is_written_is_read_and_the_same_files_make_the_same_bytes() {
    let read = Archive::read(&sample()).unwrap();
    let names: Vec<&str> = read.files.keys().map(String::as_str).collect();
    assert_eq!(names, [".manifest", "a/x.rego", "data.json"]);
    assert_eq!(read.files["a/x.rego"], b"package dtgate.x");
    assert_eq!(write::packed(&read.files).unwrap(), sample());
    let long = format!("{}/x.rego", "d".repeat(200));
    let files = BTreeMap::from([(long, b"package x".to_vec())]);
    let read = Archive::read(&write::packed(&files).unwrap()).unwrap();
    assert_eq!(read.files, files);
}

#[test]
fn names_are_below_the_root_however_they_are_written() {
    let file = EntryType::Regular;
    for written in ["a/x.rego", "/a/x.rego", "./a/x.rego"] {
        let read = Archive::read(&archive(&[
            ("./", EntryType::Directory, b""),
            ("a/", EntryType::Directory, b""),
            (written, file, b"x"),
        ]));
        let files = read.unwrap().files;
        assert!(files.keys().eq(["a/x.rego"]), "{written}: {files:?}");
    }
    for (written, said) in [
        ("../x.rego", "leads out"),
        ("a/../../x.rego", "leads out"),
        ("/../x.rego", "leads out"),
        ("//etc/x.rego", "leads out"),
        ("a//x.rego", "steps that say nothing"),
        ("a/./x.rego", "steps that say nothing"),
        ("a\\..\\x.rego", "a backslash"),
        ("a\n.rego", "cannot be seen"),
        ("a\u{202e}oger.x", "cannot be seen"),
    ] {
        let said_of = refused(&archive(&[(written, file, b"x")]));
        assert!(said_of.contains(said), "{written}: {said_of}");
    }
    let deep = "d/".repeat(40) + "x.rego";
    assert!(refused(&archive(&[(&deep, file, b"x")])).contains("more than 32 directories"));
    assert!(refused(&archive(&[("", file, b"x")])).contains("has no name"));
}

#[test]
fn what_is_no_plain_file_is_refused() {
    for kind in [
        EntryType::Symlink,
        EntryType::Link,
        EntryType::Char,
        EntryType::Block,
        EntryType::Fifo,
    ] {
        let said = refused(&archive(&[("x.rego", kind, b"")]));
        assert!(said.starts_with("x.rego: it is a link"), "{said}");
    }
    let file = EntryType::Regular;
    let twice = [("x.rego", file, &b"a"[..]), ("/x.rego", file, b"b")];
    assert_eq!(
        refused(&archive(&twice)),
        "x.rego: it stands twice in the bundle"
    );
}

#[test]
fn what_is_large_is_refused_before_it_is_kept() {
    let bomb = gzip(&vec![0; MOST_UNPACKED + 1]);
    assert!(bomb.len() < 1 << 20);
    assert!(refused(&bomb).contains("unpacked it has more than 64 MiB"));
    let names: Vec<String> = (0..=MOST_FILES)
        .map(|number| format!("{number}.rego"))
        .collect();
    let entries: Vec<_> = names
        .iter()
        .map(|name| (name.as_str(), EntryType::Regular, &b""[..]))
        .collect();
    assert!(refused(&archive(&entries)).contains("more than 10000 files"));
    // A header that promises more than there is.
    let mut tar = Builder::new(Vec::new());
    let mut header = Header::new_gnu();
    header.set_path("x.rego").unwrap();
    header.set_size(1 << 40);
    header.set_cksum();
    tar.append(&header, &b"x"[..]).unwrap();
    let said = refused(&gzip(&tar.into_inner().unwrap()));
    assert!(said.contains("cut") || said.contains("damaged"), "{said}");
}

#[test]
fn what_is_no_archive_or_has_more_behind_it_is_refused() {
    for (bytes, said) in [
        (&b""[..], "it is no bundle"),
        (b"<html>", "it is no bundle"),
        (&gzip(b"package x"), "it is no tar archive"),
    ] {
        let said_of = refused(bytes);
        assert!(said_of.contains(said), "{said_of}");
    }
    let more = [sample(), sample()].concat();
    assert!(refused(&more).contains("something stands behind its end"));
    let mut tar = unpacked(&sample()).unwrap();
    *tar.last_mut().unwrap() = 1;
    assert!(refused(&gzip(&tar)).contains("something stands behind its end"));
}

#[test]
fn a_manifest_says_which_rego_which_roots_and_which_sequence() {
    let manifest = Manifest::parse(
        r#"{"revision": "r", "roots": ["/a/b/", "c"], "rego_version": 1,
        "metadata": {"dtgate": {"sequence": 9}}, "wasm": [], "more": 1}"#,
    );
    let manifest = manifest.unwrap();
    assert_eq!(manifest.revision.as_deref(), Some("r"));
    assert_eq!(manifest.roots(), r#""a/b", "c""#);
    assert_eq!(manifest.sequence, Some(9));
    assert!(manifest.permits(&["a", "b", "d"]) && !manifest.permits(&["a"]));
    assert!(Manifest::parse("{}").unwrap().permits(&["anything"]));
    assert!(
        !Manifest::parse(r#"{"roots": []}"#)
            .unwrap()
            .permits(&["anything"])
    );
    for (text, said) in [
        ("[]", "no JSON object"),
        ("{} {}", "no JSON object"),
        (r#"{"rego_version": 2}"#, "rego_version is 0 or 1, not 2"),
        (r#"{"rego_version": "0"}"#, "rego_version is 0 or 1"),
        (
            r#"{"file_rego_versions": {"/a.rego": 2}}"#,
            "rego_version is 0 or 1, not 2",
        ),
        (r#"{"file_rego_versions": []}"#, "it is no object"),
        (r#"{"file_rego_versions": {"[": 1}}"#, "\"[\" is no glob: "),
        (
            r#"{"file_rego_versions": {"{a": 0}}"#,
            "\"{a\" is no glob: ",
        ),
        (
            r#"{"roots": ["a"], "roots": ["b"]}"#,
            "roots is defined twice",
        ),
        (
            r#"{"metadata": {"dtgate": {"sequence": 1, "sequence": 9}}}"#,
            "sequence is defined twice",
        ),
        (
            r#"{"Roots": ["a"]}"#,
            "write \"roots\" instead of \"Roots\"",
        ),
        (r#"{"roots": "a"}"#, "no list"),
        (r#"{"roots": ["a", "a/b"]}"#, "overlap"),
        (r#"{"roots": ["", "b"]}"#, "overlap"),
        (
            r#"{"wasm": [{"entrypoint": "a", "module": "b"}]}"#,
            "WebAssembly",
        ),
        (
            r#"{"metadata": {"dtgate": {"sequence": -1}}}"#,
            "a whole number",
        ),
        (
            r#"{"metadata": {"dtgate": {"sequence": "1"}}}"#,
            "a whole number",
        ),
        (
            r#"{"metadata": {"dtgate": {"sequence": 9007199254740992}}}"#,
            "a whole number",
        ),
        (r#"{"revision": 1}"#, "no text"),
    ] {
        let said_of = Manifest::parse(text).unwrap_err();
        assert!(said_of.contains(said), "{text}: {said_of}");
    }
}

/// OPA compares globs with names as they stand in the archive.
#[test]
fn versions_of_files_are_found_as_opa_finds_them() {
    let old = |written: &str, versions: &str| {
        let text = b"package a\n";
        let read = Archive::read(&archive(&[(written, EntryType::Regular, text)])).unwrap();
        let manifest = Manifest::parse(&format!("{{{versions}}}")).unwrap();
        manifest.permit_versions(&read).is_err()
    };
    for (written, glob, is_old) in [
        ("x.rego", "x.rego", true),
        ("x.rego", "/x.rego", false),
        ("x.rego", "/*", false),
        ("x.rego", "*", true),
        ("/x.rego", "x.rego", false),
        ("/x.rego", "/x.rego", true),
        ("/x.rego", "*/x.rego", true),
        ("./x.rego", "x.rego", false),
        ("./x.rego", "/x.rego", false),
        ("./x.rego", "*.rego", true),
        ("d/x.rego", "/d/*", false),
        ("/d/x.rego", "/d/*", true),
        ("/d/x.rego", "/*", true),
        ("d/x.rego", "*/x.rego", true),
    ] {
        let of_file = |version: u8| format!("\"file_rego_versions\": {{\"{glob}\": {version}}}");
        assert_eq!(old(written, &of_file(0)), is_old, "{written} {glob}");
        let newer = format!("\"rego_version\": 0, {}", of_file(1));
        assert_eq!(old(written, &newer), !is_old, "{written} {glob}");
    }
}

proptest! {
    /// Whatever is changed is seen, or changes nothing that is read: the checksum is over all of it.
    #[test]
    fn a_changed_byte_is_refused_or_changes_nothing(at in any::<prop::sample::Index>(), by in 1_u8..) {
        let whole = sample();
        let mut changed = whole.clone();
        changed[at.index(whole.len())] ^= by;
        if let Ok(read) = Archive::read(&changed) {
            prop_assert_eq!(read.files, Archive::read(&whole).unwrap().files);
        }
    }

    #[test]
    fn a_cut_archive_is_refused(at in any::<prop::sample::Index>()) {
        let whole = sample();
        prop_assert!(Archive::read(&whole[..at.index(whole.len())]).is_err());
    }

    /// Below the checksum: what an attacker wrote is refused, or is files with names below the root.
    #[test]
    fn any_tar_is_refused_or_read(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..8),
        cut in any::<prop::sample::Index>(),
        is_cut: bool,
    ) {
        let mut tar = unpacked(&sample()).unwrap();
        for (at, byte) in changes {
            let at = at.index(tar.len());
            tar[at] = byte;
        }
        if is_cut {
            tar.truncate(cut.index(tar.len()));
        }
        if let Ok(read) = Archive::read(&gzip(&tar)) {
            prop_assert!(read.files.keys().all(|name| !name.starts_with('/') && !name.contains("..")));
        }
    }
}
