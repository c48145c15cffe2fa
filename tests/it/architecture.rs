//! Who may import whom. A new edge fails here until it is written down; so does one that went away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// Module, and the modules of ours that it imports.
const ALLOWED: &[(&str, &[&str])] = &[
    ("admin", &["listener", "telemetry", "value"]),
    ("anchor", &["audit", "outbound", "telemetry", "value"]),
    (
        "app",
        &[
            "admin",
            "anchor",
            "ask",
            "audit",
            "bundles",
            "config",
            "console",
            "dynatrace",
            "gateway",
            "grant",
            "identity",
            "listener",
            "policy",
            "replay",
            "ship",
            "store",
            "telemetry",
            "trail",
            "value",
        ],
    ),
    (
        "ask",
        &[
            "admin",
            "dynatrace",
            "gateway",
            "guard",
            "identity",
            "listener",
            "policy",
            "telemetry",
            "value",
        ],
    ),
    ("audit", &["dynatrace", "policy", "value"]),
    ("bundles", &["outbound", "policy", "telemetry", "value"]),
    (
        "cli",
        &[
            "anchor",
            "app",
            "audit",
            "bundles",
            "config",
            "console",
            "dynatrace",
            "gateway",
            "grant",
            "identity",
            "listener",
            "outbound",
            "policy",
            "replay",
            "ship",
            "simulate",
            "store",
            "telemetry",
            "trail",
            "value",
        ],
    ),
    (
        "config",
        &[
            "admin",
            "audit",
            "bundles",
            "console",
            "dynatrace",
            "gateway",
            "grant",
            "identity",
            "listener",
            "policy",
            "ship",
            "store",
            "telemetry",
            "value",
        ],
    ),
    (
        "console",
        &[
            "admin",
            "audit",
            "dynatrace",
            "guard",
            "identity",
            "listener",
            "outbound",
            "policy",
            "store",
            "telemetry",
            "trail",
            "value",
        ],
    ),
    ("dynatrace", &["value"]),
    (
        "gateway",
        &[
            "audit",
            "dynatrace",
            "grant",
            "guard",
            "identity",
            "listener",
            "outbound",
            "policy",
            "store",
            "telemetry",
            "value",
        ],
    ),
    ("grant", &["audit", "policy", "telemetry", "value"]),
    ("guard", &["dynatrace", "value"]),
    (
        "identity",
        &[
            "dynatrace",
            "guard",
            "listener",
            "outbound",
            "telemetry",
            "value",
        ],
    ),
    ("listener", &["telemetry", "value"]),
    ("outbound", &["value"]),
    ("policy", &["dynatrace", "value"]),
    ("replay", &["audit", "dynatrace", "policy", "value"]),
    (
        "ship",
        &["audit", "outbound", "store", "telemetry", "value"],
    ),
    ("simulate", &["value"]),
    ("store", &["audit", "outbound", "value"]),
    ("telemetry", &["dynatrace", "outbound", "value"]),
    ("trail", &["audit", "dynatrace", "store", "value"]),
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
                for name in imported(rest) {
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

/// The rooms of `policy`, from the top floor down: a room imports lower ones only, so that no circle can be.
const ROOMS: &[&str] = &[
    "diff",
    "listed",
    "engine",
    "trust",
    "suite",
    "build",
    "generation",
    "bundle",
    "mask",
    "bytecode",
    "interpreter",
    "absent",
    "twice",
    "refuse",
    "plain",
    "read",
    "source",
    "archive",
    "rego",
    "builtins",
    "lexical",
    "complaint",
    "problem",
    "question",
    "remedy",
    "entrypoint",
    "decision",
    "granted",
    "input",
    "extent",
    "yaml",
];

/// What reads or judges policies on a thread of another stack may end the program: `dtgate check` had four times that of a
/// gate.
#[test]
fn all_threads_come_from_one_place() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let ways = [
        "thread::Builder",
        "thread::spawn(",
        "scope.spawn(",
        "Builder::new_current_thread",
        "Builder::new_multi_thread",
    ];
    // The second only moves bytes.
    let known = ["value/threads.rs", "console/play/worker.rs"];
    let mut wrong = Vec::new();
    for file in files(&source, "").into_iter().skip(1) {
        let name = file.strip_prefix(&source).unwrap().display().to_string();
        let is_test = name.ends_with("tests.rs") || name.contains("/tests/");
        if is_test || known.contains(&name.as_str()) {
            continue;
        }
        let text = std::fs::read_to_string(&file).unwrap();
        let code = text.split("mod tests {").next().unwrap();
        let found = ways.iter().filter(|way| code.contains(**way));
        wrong.extend(found.map(|way| format!("{name}: {way}")));
    }
    assert!(wrong.is_empty(), "use value::threads: {wrong:#?}");
}

#[test]
fn rooms_of_the_policies_import_lower_rooms_only() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/policy");
    let floor = |room: &str| ROOMS.iter().position(|known| *known == room);
    let mut wrong = Vec::new();
    for room in ROOMS {
        for file in files(&source, room) {
            let path = file.strip_prefix(&source).unwrap().with_extension("");
            let depth = path.components().count();
            if path.components().any(|part| part.as_os_str() == "tests") {
                continue;
            }
            let text = std::fs::read_to_string(&file).unwrap();
            let code = text
                .lines()
                .filter(|line| !line.trim_start().starts_with("//"));
            let code = code.collect::<Vec<_>>().join("\n");
            let text = code.split("mod tests {").next().unwrap();
            let to_policy = ["crate::policy::".to_owned(), "super::".repeat(depth)];
            for prefix in &to_policy {
                for (at, _) in text.match_indices(prefix.as_str()) {
                    let before = text.get(..at).unwrap_or_default();
                    let rest = text.get(at + prefix.len()..).unwrap_or_default();
                    if before.ends_with("super::") || before.ends_with("(in ") {
                        continue;
                    }
                    for name in imported(rest) {
                        if floor(name).is_some_and(|floor_of| Some(floor_of) < floor(room)) {
                            wrong.push(format!("{} imports {name}", path.display()));
                        }
                    }
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let mut rooms: Vec<String> = std::fs::read_dir(&source)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned())
        .filter(|name| name != "conformance")
        .collect();
    rooms.sort();
    let mut known: Vec<&str> = ROOMS.to_vec();
    known.sort_unstable();
    assert_eq!(rooms, known, "rooms that have a floor");
}

/// The names that a path goes on with: one, or those in braces.
fn imported(rest: &str) -> Vec<&str> {
    let list = match rest.strip_prefix('{') {
        Some(list) => list.split('}').next().unwrap_or_default(),
        None => rest
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .next()
            .unwrap_or_default(),
    };
    let names = list.split(',').map(|name| {
        let name = name.trim();
        name.split("::").next().unwrap_or_default()
    });
    names.collect()
}
