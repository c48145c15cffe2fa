//! Who may import whom. A new edge fails here until it is written down; so does one that went away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Module, and the modules of ours that it imports.
const ALLOWED: &[(&str, &[&str])] = &[
    ("admin", &["telemetry", "value"]),
    (
        "app",
        &[
            "admin",
            "audit",
            "config",
            "dynatrace",
            "gateway",
            "listener",
            "policy",
            "telemetry",
            "value",
        ],
    ),
    ("audit", &["dynatrace", "policy", "value"]),
    (
        "cli",
        &[
            "app",
            "audit",
            "config",
            "dynatrace",
            "gateway",
            "listener",
            "policy",
            "simulate",
            "telemetry",
            "value",
        ],
    ),
    (
        "config",
        &[
            "admin",
            "audit",
            "dynatrace",
            "gateway",
            "listener",
            "policy",
            "telemetry",
            "value",
        ],
    ),
    ("dynatrace", &["value"]),
    (
        "gateway",
        &[
            "audit",
            "dynatrace",
            "guard",
            "listener",
            "policy",
            "telemetry",
            "value",
        ],
    ),
    ("guard", &["dynatrace", "value"]),
    ("listener", &["telemetry", "value"]),
    ("policy", &["dynatrace", "value"]),
    ("simulate", &["value"]),
    ("telemetry", &["value"]),
    ("value", &[]),
];

#[test]
fn modules_import_only_what_the_table_allows() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    for (module, allowed) in ALLOWED {
        let mut found = BTreeSet::new();
        for file in files(&source, module) {
            let text = std::fs::read_to_string(&file).unwrap();
            for (at, _) in text.match_indices("crate::") {
                let rest = text.get(at + "crate::".len()..).unwrap_or_default();
                let names = match rest.strip_prefix('{') {
                    Some(list) => list.split('}').next().unwrap_or_default(),
                    None => rest
                        .split(|c: char| !c.is_alphanumeric() && c != '_')
                        .next()
                        .unwrap_or_default(),
                };
                for name in names
                    .split(',')
                    .map(|name| name.trim().split("::").next().unwrap_or_default())
                {
                    if ALLOWED.iter().any(|(known, _)| known == &name) && name != *module {
                        found.insert(name.to_owned());
                    }
                }
            }
        }
        let allowed: BTreeSet<String> = allowed.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(found, allowed, "what {module} imports");
    }
}

/// The files of a module: `module.rs` and everything below `module/`.
fn files(source: &Path, module: &str) -> Vec<PathBuf> {
    let mut files = vec![source.join(format!("{module}.rs"))];
    let mut directories = vec![source.join(module)];
    while let Some(directory) = directories.pop() {
        for entry in std::fs::read_dir(directory).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                directories.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                files.push(path);
            }
        }
    }
    files
}
