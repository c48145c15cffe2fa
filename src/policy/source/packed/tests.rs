use std::collections::BTreeMap;

use tempfile::TempDir;

use super::*;
use crate::policy::archive::write;
use crate::policy::build::{Recipe, build};
use crate::policy::bundle::Bundle;

mod signed;

const X: (&str, &str) = (
    "x.rego",
    "package dtgate.x\n\ndeny contains \"x\" if input.change.name.requested == \"x\"\n",
);
const Y: (&str, &str) = (
    "a/y.rego",
    "package dtgate.y\n\ndeny contains \"y\" if input.change.name.requested == \"y\"\n",
);

fn manifest_of(roots: &[&str]) -> (&'static str, String) {
    (
        manifest::NAME,
        serde_json::json!({ "roots": roots }).to_string(),
    )
}

fn files(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
    let files = files.iter();
    files
        .map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()))
        .collect()
}

/// A directory with bundles in it.
struct Shelf(TempDir);

impl Shelf {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    fn put(&self, name: &str, of: &[(&str, &str)]) -> Packed {
        self.put_files(name, &files(of))
    }

    fn put_files(&self, name: &str, files: &BTreeMap<String, Vec<u8>>) -> Packed {
        let file = self.0.path().join(format!("{name}.tar.gz"));
        std::fs::write(&file, write::packed(files).unwrap()).unwrap();
        Packed {
            name: name.to_owned(),
            file,
            signature: Signature::None,
            roots: None,
            is_shared: false,
            before: Vec::new(),
        }
    }

    fn directory(&self, files: &[(&str, &str)]) -> PathBuf {
        let directory = self.0.path().join("policies");
        for (name, text) in files {
            let path = directory.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        directory
    }

    fn load(&self, directory: Option<&Path>, bundles: Vec<Packed>) -> Result<Bundle, String> {
        let sources = Sources {
            directory: directory.map(Path::to_owned),
            bundles,
            ..Sources::default()
        };
        let loaded = Bundle::load_all(&sources);
        loaded.map_err(|error| {
            let here = format!("{}/", self.0.path().display());
            error.to_string().replace(&here, "")
        })
    }
}

#[test]
fn bundles_and_a_directory_are_one_set_and_a_problem_names_bundle_and_file() {
    let shelf = Shelf::new();
    let (manifest, roots) = manifest_of(&["dtgate/x", "guardrails/x"]);
    let data = ("guardrails/x/data.json", "{\"name\": \"x\"}");
    let using = (
        "x.rego",
        "package dtgate.x\n\ndeny contains \"x\" if input.change.name.requested == data.guardrails.x.name\n",
    );
    let one = shelf.put("one", &[(manifest, &roots), using, data]);
    let (manifest, roots) = manifest_of(&["dtgate/y"]);
    let two = shelf.put("two", &[(manifest, &roots), Y]);
    let directory = shelf.directory(&[(
        "z.rego",
        "package dtgate.z\n\ndeny contains \"z\" if input.change.name.requested == \"z\"\n",
    )]);
    let loaded = shelf
        .load(Some(&directory), vec![one.clone(), two])
        .unwrap();
    assert!(loaded.names().eq(["x", "y", "z"]));
    let names: Vec<&str> = loaded
        .tree
        .parts
        .iter()
        .map(|part| &*part.release.name)
        .collect();
    assert_eq!(names, ["one", "two"]);
    // Each of them counts.
    let fewer = shelf.load(Some(&directory), vec![one.clone()]).unwrap();
    assert_ne!(loaded.revision(), fewer.revision());

    let broken = shelf.put(
        "two",
        &[
            (manifest, &roots),
            (
                "a/y.rego",
                "package dtgate.y\n\ndeny contains input.nosuch.member if true\n",
            ),
        ],
    );
    let said = shelf.load(Some(&directory), vec![one, broken]).unwrap_err();
    assert!(said.starts_with("two.tar.gz/a/y.rego:3:"), "{said}");
}

#[test]
fn a_bundle_of_a_directory_has_its_revision() {
    let shelf = Shelf::new();
    let directory = shelf.directory(&[X]);
    let bundle = shelf.put("one", &[X]);
    let of_directory = Bundle::load(&directory).unwrap();
    let of_bundle = shelf.load(None, vec![bundle]).unwrap();
    assert_eq!(of_directory.revision(), of_bundle.revision());
}

#[test]
fn what_lies_beyond_the_roots_is_refused_with_its_place() {
    let shelf = Shelf::new();
    let (manifest, roots) = manifest_of(&["dtgate/x", "guardrails/x"]);
    for (more, said) in [
        (
            Y,
            "one.tar.gz/a/y.rego:1:1: package dtgate.y lies beyond the roots of the bundle, \"dtgate/x\", \"guardrails/x\": build it with --root dtgate/y, too",
        ),
        (
            ("y_test.rego", "package dtgate.y_test\n\ntest_a if true\n"),
            "one.tar.gz/y_test.rego:1:1: package dtgate.y_test lies beyond",
        ),
        (
            ("data.json", "{\"guardrails\": {\"x\": {}, \"y\": 1}}"),
            "one.tar.gz/data.json:1:27: data.guardrails.y lies beyond",
        ),
        (("modes/data.yaml", "x: warn\n"), "data.modes lies beyond"),
        (
            ("data.json", "{\"guardrails\": 1}"),
            "data.guardrails lies beyond",
        ),
    ] {
        let bundle = shelf.put("one", &[(manifest, &roots), X, more]);
        let refused = shelf.load(None, vec![bundle]).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
}

#[test]
fn overlapping_sources_are_refused() {
    let shelf = Shelf::new();
    let (manifest, below) = manifest_of(&["dtgate/y"]);
    let two = shelf.put("two", &[(manifest, &below), Y]);
    for roots in [vec![""], vec!["dtgate"], vec!["dtgate/x", "dtgate/y/z"]] {
        let (manifest, text) = manifest_of(&roots);
        let one = shelf.put("one", &[(manifest, &text), X]);
        let said = shelf.load(None, vec![one, two.clone()]).unwrap_err();
        assert!(
            said.contains("two.tar.gz: its root \"dtgate/y\" overlaps with the root"),
            "{said}"
        );
    }
    // A bundle that says nothing owns all.
    let all = shelf.put("all", &[X]);
    assert!(shelf.load(None, vec![all, two]).is_err());
    let (manifest, roots) = manifest_of(&["dtgate/x", "guardrails/x"]);
    let one = shelf.put(
        "one",
        &[(manifest, &roots), X, ("guardrails/x/data.json", "{}")],
    );
    for (file, said) in [
        (
            ("y.rego", "package dtgate.x.more\n\na := 1\n"),
            "policies/y.rego:1:1: package dtgate.x.more overlaps with the root \"dtgate/x\" of the bundle one",
        ),
        (
            ("data.yaml", "guardrails:\n  x:\n    a: 1\n"),
            "one.tar.gz: its root \"guardrails/x\" overlaps with the data",
        ),
        (("data.yaml", "guardrails: 1\n"), "overlaps with the data"),
    ] {
        let shelf_of = Shelf::new();
        let directory = shelf_of.directory(&[file]);
        let refused = shelf.load(Some(&directory), vec![one.clone()]).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
    let shelf_of = Shelf::new();
    let directory = shelf_of.directory(&[
        ("data.yaml", "guardrails:\n  y:\n    a: 1\n"),
        ("y.rego", Y.1),
    ]);
    shelf.load(Some(&directory), vec![one]).unwrap();
}

#[test]
fn what_is_no_snapshot_of_rego_is_refused_with_the_reason() {
    let shelf = Shelf::new();
    for (name, text, said) in [
        ("patch.json", "{}", "it is a delta bundle"),
        ("policy.wasm", "", "WebAssembly"),
        ("a/plan.json", "{}", "WebAssembly"),
        (".manifest.pb", "", "manifests that are JSON"),
        ("a/.manifest", "{}", "belongs at the root"),
        ("a/.signatures.json", "{}", "belongs at the root"),
        (
            ".manifest",
            "{\"rego_version\": 0}",
            "one.tar.gz/x.rego: the manifest says that it is written in the Rego of OPA 0",
        ),
        ("a.REGO", "", ""),
    ] {
        let bundle = shelf.put("one", &[X, (name, text)]);
        match shelf.load(None, vec![bundle]) {
            Err(refused) => assert!(refused.contains(said) && !said.is_empty(), "{refused}"),
            Ok(loaded) => {
                assert!(said.is_empty(), "{name}");
                let told = &loaded.warnings[0];
                assert!(told.path.ends_with("one.tar.gz/a.REGO"), "{told}");
            }
        }
    }
}

/// What OPA Control Plane makes of its defaults says version 0 of policies that import `rego.v1`.
#[test]
fn a_bundle_of_old_rego_is_taken_where_each_policy_says_that_it_is_not() {
    let shelf = Shelf::new();
    let newer = |text: &str| text.replacen("\n\n", "\n\nimport rego.v1\n\n", 1);
    let (x, y) = (newer(X.1), newer(Y.1));
    let taken = |manifest: &str, x: &str, y: &str| {
        let files = [(manifest::NAME, manifest), ("x.rego", x), ("a/y.rego", y)];
        let bundle = shelf.put("one", &files);
        shelf
            .load(None, vec![bundle])
            .map(drop)
            .map_err(|refused| refused.lines().next().unwrap_or_default().to_owned())
    };
    let all = r#"{"revision": "", "roots": ["dtgate"], "rego_version": 0}"#;
    taken(all, &x, &y).unwrap();
    let without = taken(all, &x, Y.1).unwrap_err();
    assert!(
        without.contains("one.tar.gz/a/y.rego: ")
            && without
                .contains("the source of the bundle a file .manifest with \"rego_version\": 1"),
        "{without}"
    );
    // A comment, another name, a word of a rule: none of them is the import.
    for said in [
        "# import rego.v1",
        "import rego.v1 as v",
        "import future.keywords.if",
        "import rego.v2",
    ] {
        let text = X.1.replacen("\n\n", &format!("\n\n{said}\n\n"), 1);
        assert!(taken(all, &text, &y).is_err(), "{said}");
    }
    for (versions, x_has, y_has, is_taken) in [
        (r#""file_rego_versions": {"x.rego": 0}"#, true, false, true),
        (r#""file_rego_versions": {"x.rego": 0}"#, false, true, false),
        (r#""file_rego_versions": {"x.rego": 0}"#, false, true, false),
        (
            r#""file_rego_versions": {"*/y.rego": 0}"#,
            true,
            false,
            false,
        ),
        (
            r#""rego_version": 0, "file_rego_versions": {"x.rego": 1}"#,
            false,
            true,
            true,
        ),
        (
            r#""rego_version": 0, "file_rego_versions": {"x.rego": 1}"#,
            true,
            false,
            false,
        ),
        (
            r#""file_rego_versions": {"*": 0, "x.rego": 1}"#,
            false,
            true,
            false,
        ),
        (
            r#""rego_version": 1, "file_rego_versions": {"z.rego": 0}"#,
            false,
            false,
            true,
        ),
    ] {
        let manifest = format!("{{{versions}}}");
        let x = if x_has { &x } else { X.1 };
        let y = if y_has { &y } else { Y.1 };
        let found = taken(&manifest, x, y);
        assert_eq!(found.is_ok(), is_taken, "{versions}: {found:?}");
    }
}

/// Whoever copies the directory has a source of bundles.
#[test]
fn the_shipped_policies_are_a_bundle() {
    let policies = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
    let built = build(&[&policies], &Recipe::default(), Path::new("b")).unwrap();
    let archive = Archive::read(&built.bytes).unwrap();
    let manifest = Manifest::of(&archive).unwrap();
    let data: Map<String, serde_json::Value> =
        serde_json::from_slice(&archive.files["data.json"]).unwrap();
    for name in data.keys() {
        assert!(manifest.permits(&[name]), "{name}");
    }
    assert!(!manifest.permits(&["anything"]));
}

#[test]
fn an_older_bundle_is_refused() {
    let shelf = Shelf::new();
    let sequence = |text: &str| {
        let manifest = format!("{{\"metadata\": {{\"dtgate\": {{{text}}}}}}}");
        shelf.put("one", &[(manifest::NAME, &manifest), X])
    };
    let same = Archive::open(&sequence("\"sequence\": 7").file).unwrap();
    let seven = crate::policy::Least {
        sequence: 7,
        // Packed by somebody else.
        digest: "00".to_owned(),
        content: content(&same),
    };
    for (text, said) in [
        (
            "\"sequence\": 6",
            Some("its sequence is 6, and 7 was in force already"),
        ),
        ("", Some("it has no sequence, and 7 was")),
        (
            "\"sequence\": 7}, \"more\": {",
            Some("its sequence is 7, as that of what was in force, and its files are others"),
        ),
        ("\"sequence\": 7", None),
        ("\"sequence\": 8", None),
    ] {
        let bundle = Packed {
            before: vec![Before {
                name: "one".to_owned(),
                roots: Vec::new(),
                least: Some(seven.clone()),
                has_rego: true,
                is_in_force: true,
            }],
            ..sequence(text)
        };
        match (shelf.load(None, vec![bundle]), said) {
            (Ok(_), None) => {}
            (Err(refused), Some(said)) => assert!(refused.contains(said), "{refused}"),
            (loaded, _) => panic!("{text}: {loaded:?}"),
        }
    }
}

#[test]
fn a_bundle_owns_nothing_that_the_configuration_does_not_let_it_have() {
    let shelf = Shelf::new();
    let with = |name: &str, roots: &[&str], allowed: &[&str]| {
        let (manifest, text) = manifest_of(roots);
        let bundle = shelf.put(name, &[(manifest, &text), X]);
        let allowed = allowed.iter().map(ToString::to_string).collect();
        let roots = Some(allowed);
        shelf.load(None, vec![Packed { roots, ..bundle }])
    };
    for (number, allowed) in [&["dtgate/x"][..], &["modes", "dtgate"], &[""]]
        .into_iter()
        .enumerate()
    {
        with(&format!("good-{number}"), &["dtgate/x"], allowed).unwrap();
    }
    for (number, (roots, allowed)) in [
        (&["dtgate/x", "modes"][..], &["dtgate/x"][..]),
        (&["dtgate/x"], &["dtgate/xy"]),
        (&["dtgate/x"], &["dtgate/x/y"]),
        (&["dtgate"], &["dtgate/x"]),
        (&[""], &["dtgate/x", "modes"]),
        (&["dtgate/x"], &[]),
    ]
    .into_iter()
    .enumerate()
    {
        let said = with(&format!("bad-{number}"), roots, allowed).unwrap_err();
        assert!(said.contains(".roots lets it have"), "{roots:?}: {said}");
    }
    // One without a manifest owns everything.
    let bundle = shelf.put("whole", &[X]);
    let roots = Some(vec!["dtgate".to_owned()]);
    let said = shelf
        .load(None, vec![Packed { roots, ..bundle }])
        .unwrap_err();
    assert!(said.contains("it has the root \"\""), "{said}");
}

#[test]
fn data_of_more_values_than_a_gate_has_room_for_is_refused_before_it_is_read() {
    let shelf = Shelf::new();
    let many = |number: usize| format!("{{\"x\": [{}[]]}}", "[],".repeat(number));
    let bundle = shelf.put("few", &[X, ("guardrails/data.json", &many(1000))]);
    bundle.vet(&std::fs::read(&bundle.file).unwrap()).unwrap();
    for (name, text) in [
        ("guardrails/data.json", many(600_000)),
        ("guardrails/data.yaml", "- 1\n".repeat(1_100_000)),
        (manifest::NAME, many(600_000)),
    ] {
        let bundle = shelf.put("many", &[X, (name, &text)]);
        let said = bundle.vet(&std::fs::read(&bundle.file).unwrap());
        assert_eq!(
            said,
            Err("its data has more than 1000000 values".to_owned())
        );
    }
}
