//! Signatures: ours, and those that OPA made.

use super::*;
use crate::policy::archive::algorithm::Algorithm;
use crate::policy::archive::sign::{SignedBy, signatures};

/// A bundle that was signed, and who has to have signed it.
struct Case {
    shelf: Shelf,
    files: BTreeMap<String, Vec<u8>>,
    signer: Signer,
}

/// A key, as files: private and public.
fn key(shelf: &Shelf) -> (PathBuf, PathBuf) {
    let pair = rcgen::KeyPair::generate().unwrap();
    let [private, public] = ["private.pem", "public.pem"].map(|name| shelf.0.path().join(name));
    std::fs::write(&private, pair.serialize_pem()).unwrap();
    std::fs::write(&public, pair.public_key_pem()).unwrap();
    (private, public)
}

fn algorithm(name: &str) -> Algorithm {
    name.parse().unwrap()
}

impl Case {
    fn new() -> Self {
        let shelf = Shelf::new();
        let (key_file, public) = key(&shelf);
        let by = SignedBy {
            key_file,
            algorithm: algorithm("ES256"),
            key_id: Some("k".to_owned()),
            scope: Some("s".to_owned()),
        };
        let mut files = files(&[X, ("data.json", "{\"guardrails\": {\"x\": {\"a\": 1}}}")]);
        let token = signatures(&files, &by).unwrap();
        files.insert(signature::NAME.to_owned(), token.into_bytes());
        let signer = Signer {
            key_file: public,
            algorithm: algorithm("ES256"),
            key_id: None,
            scope: "s".to_owned(),
        };
        Self {
            shelf,
            files,
            signer,
        }
    }

    /// With another file in the place of one, or without it.
    fn with(&self, name: &str, text: Option<&str>) -> Result<(), String> {
        let mut files = self.files.clone();
        match text {
            Some(text) => files.insert(name.to_owned(), text.as_bytes().to_vec()),
            None => files.remove(name),
        };
        self.load(&files, Signature::By(Box::new(self.signer.clone())))
    }

    fn load(&self, files: &BTreeMap<String, Vec<u8>>, signature: Signature) -> Result<(), String> {
        let bundle = Packed {
            signature,
            ..self.shelf.put_files("one", files)
        };
        self.shelf.load(None, vec![bundle]).map(|_loaded| ())
    }
}

#[test]
fn a_signature_is_over_all_files_and_no_others() {
    let case = Case::new();
    // Blanks in data count for nothing.
    case.with("data.json", Some("{\"guardrails\":{\"x\":{\"a\":1}}}"))
        .unwrap();
    let token = String::from_utf8(case.files[signature::NAME].clone()).unwrap();
    let twice = token.replace("[\"", "[\"a.b.c\",\"");
    let plugin = token.replace("{\"signatures", "{\"plugin\":\"own\",\"signatures");
    for (name, text, said) in [
        (
            "x.rego",
            Some("package dtgate.x\n"),
            "one.tar.gz/x.rego: it is not what was signed",
        ),
        (
            "data.json",
            Some("{\"guardrails\":{\"x\":{\"a\":1.0}}}"),
            "one.tar.gz/data.json: it is not what was signed",
        ),
        (
            "more.txt",
            Some(""),
            "more.txt: it is in the bundle, and the signature has it not",
        ),
        (
            "data.json",
            None,
            "data.json: it is signed, and the bundle has it not",
        ),
        (
            signature::NAME,
            None,
            "it is not signed, and the configuration has a key for it",
        ),
        (
            signature::NAME,
            Some("{\"signatures\": []}"),
            "it has no signature",
        ),
        (signature::NAME, Some(&twice), "it has several signatures"),
        (signature::NAME, Some(&plugin), "a plugin \"own\""),
    ] {
        let refused = case.with(name, text).unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
    // A signature that nobody can check is none.
    let said = case.load(&case.files, Signature::None).unwrap_err();
    assert!(said.contains("it is signed, and nobody can tell"), "{said}");
}

#[test]
fn a_signature_is_by_the_key_for_the_scope_and_with_the_algorithm_of_the_configuration() {
    let case = Case::new();
    let other = Shelf::new();
    let (private, public) = key(&other);
    let signer = || case.signer.clone();
    for (signer, said) in [
        (
            Signer {
                key_file: public,
                ..signer()
            },
            "the signature is wrong",
        ),
        (
            Signer {
                algorithm: algorithm("ES384"),
                ..signer()
            },
            "was made with \"ES256\", and the configuration says ES384",
        ),
        (
            Signer {
                scope: String::new(),
                ..signer()
            },
            "for the scope \"s\"",
        ),
        (
            Signer {
                key_id: Some("other".to_owned()),
                ..signer()
            },
            "is called \"k\", and key_id is \"other\"",
        ),
        (
            Signer {
                key_file: private,
                ..signer()
            },
            "holds a private key",
        ),
    ] {
        let refused = case.load(&case.files, Signature::By(Box::new(signer)));
        let refused = refused.unwrap_err();
        assert!(refused.contains(said), "{refused}");
    }
}

/// Bundles that `opa build` and `opa sign` of OPA 1.22 have made, with all kinds of numbers and letters in their data.
#[test]
fn bundles_that_opa_made_are_accepted() {
    let made = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/bundles");
    for (name, key, by, scope) in [
        ("rs256", "rsa.pem", "RS256", ""),
        ("ps384", "rsa.pem", "PS384", ""),
        ("es256", "p256.pem", "ES256", ""),
        ("es512", "p521.pem", "ES512", ""),
        ("hs256", "hs.secret", "HS256", ""),
        // `opa sign`, and tar; with data in YAML.
        ("tar", "rsa.pem", "RS256", "gates"),
    ] {
        let load = |scope: &str| {
            let signer = Signer {
                key_file: made.join(key),
                algorithm: algorithm(by),
                key_id: None,
                scope: scope.to_owned(),
            };
            Bundle::load_all(&Sources {
                directory: None,
                bundles: vec![Packed {
                    name: name.to_owned(),
                    file: made.join(format!("{name}.tar.gz")),
                    signature: Signature::By(Box::new(signer)),
                    roots: None,
                    is_shared: false,
                    before: vec![Before {
                        name: name.to_owned(),
                        roots: Vec::new(),
                        least: Some(crate::policy::Least {
                            sequence: 6,
                            digest: String::new(),
                            content: String::new(),
                        }),
                        has_rego: true,
                        is_in_force: true,
                    }],
                }],
                ..Sources::default()
            })
        };
        let loaded = load(scope).unwrap();
        let release = &loaded.tree.parts[0].release;
        assert_eq!(release.revision.as_deref(), Some("r7"), "{name}");
        assert!(load("another").is_err(), "{name}");
    }
}
