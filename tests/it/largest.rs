//! The largest number that can be written for each key: `check` refuses it, or the gate serves with it. It never panics.

use crate::harness::{GOOD, Gate, TOKEN, Upstream, program};

/// A key, and the largest value of its kind.
type Largest = (String, &'static str);

/// Every key of the shipped file with a number, a size or a duration.
fn keys() -> Vec<Largest> {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR"));
    let shipped = std::fs::read_to_string(root.join("deploy/dtgate.toml")).unwrap();
    let mut section = String::new();
    let mut keys = Vec::new();
    for line in shipped.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        if line.starts_with('[') {
            line.trim_matches(['[', ']']).clone_into(&mut section);
        } else if let Some((key, value)) = line.split_once(" = ") {
            // Who has to be there for them is asked by nobody here; their durations are of the same type.
            let needs_more = [
                "identity",
                "credential",
                "listener.proxy_protocol",
                "environments",
            ];
            let is_needy = needs_more.iter().any(|it| section.starts_with(it));
            if let Some(largest) = largest(value).filter(|_| !is_needy) {
                keys.push((format!("{section}.{key}"), largest));
            }
        }
    }
    keys
}

fn largest(value: &str) -> Option<&'static str> {
    let text = value.trim_matches('"');
    let (digits, unit) = text.split_at(
        text.find(|c: char| !c.is_ascii_digit())
            .unwrap_or(text.len()),
    );
    match unit {
        _ if digits.is_empty() => None,
        "" | " KiB" | " MiB" => Some("9223372036854775807"),
        "ms" | "s" | "m" | "h" => Some("\"36600days\""),
        _ => None,
    }
}

/// What the gate does with these values: whether `check` takes them.
fn check(file: &std::path::Path, policies: &str, keys: &[Largest]) -> bool {
    let others = "upstream.url = 'http://127.0.0.1:1'\notlp.endpoint = 'http://127.0.0.1:1'\n";
    let lines = keys.iter().map(|(key, value)| format!("{key} = {value}\n"));
    let config: String = std::iter::once(others.to_owned()).chain(lines).collect();
    std::fs::write(file, config).unwrap();
    let output = program()
        .args([
            "check",
            "--policies",
            policies,
            "--compare",
            "0",
            "--config",
            file.to_str().unwrap(),
        ])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(!said.contains("panic"), "{keys:?}: {said}");
    // 101 is a panic, and no code is a signal.
    assert!(
        matches!(output.status.code(), Some(0..=2)),
        "{keys:?}: {said}"
    );
    output.status.success()
}

/// A smaller one, where the largest that can be written is too much: the largest of 32 and of 16 bits, and round ones.
const SMALLER: [&str; 8] = [
    "4294967295",
    "2147483647",
    "1000000",
    "65535",
    "1024",
    "127",
    "\"9h\"",
    "\"1h\"",
];

#[test]
fn the_largest_values_are_refused_or_served_with() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dtgate.toml");
    // One small policy: what is asked here is not about policies.
    let policies = directory.path().join("policies");
    std::fs::create_dir(&policies).unwrap();
    let policy =
        "package dtgate.small\n\ndeny contains \"no\" if input.operation == \"token.delete\"\n";
    std::fs::write(policies.join("small.rego"), policy).unwrap();
    let policies = policies.to_str().unwrap().to_owned();
    let mut accepted = Vec::new();
    let keys = keys();
    assert!(keys.len() > 50, "{keys:?}");
    for (key, value) in keys {
        let values = std::iter::once(value).chain(SMALLER);
        let mut largest = values.map(|value| (key.clone(), value));
        let taken = largest.find(|one| check(&file, &policies, std::slice::from_ref(one)));
        accepted.extend(taken);
    }
    assert!(accepted.len() > 50, "{accepted:?}");
    // So much free space no disk has: changes would be refused for it, as they should.
    accepted.retain(|(key, _)| key != "journal.min_free");
    assert!(check(&file, &policies, &accepted));
    let upstream = Upstream::lenient();
    let mut gate = Gate::start(
        directory,
        upstream.address,
        &["--policies", &policies, "--config", file.to_str().unwrap()],
    );
    for _ in 0..2 {
        assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
        assert_eq!(gate.send("GET", "/api/v2/metrics", "").status, 204);
    }
    gate.signal("TERM");
    assert!(gate.wait().success());
    assert!(
        !gate.log().contains("a fault of the program"),
        "{}",
        gate.log()
    );
}
