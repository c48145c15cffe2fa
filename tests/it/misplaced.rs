//! Secrets that stand in the configuration by mistake: whatever `check` says, it repeats none of them.

use std::path::Path;

use clap::Parser;
use dtgate::cli::{self, Cli};
use dtgate::dynatrace::redact::Redactor;

use crate::harness::{Gate, Upstream, eventually, exchange, files, policies, program};

/// A line of the configuration that gives a key a text, or a list of them.
struct Line {
    section: String,
    key: String,
    is_list: bool,
}

/// All of `deploy/dtgate.toml`, also those that stand in comments.
fn lines() -> (Vec<Line>, Vec<(String, Vec<String>)>) {
    let text = include_str!("../../deploy/dtgate.toml");
    let (mut keys, mut sections) = (Vec::new(), vec![(String::new(), Vec::new())]);
    for line in text.lines() {
        let line = line.trim_start_matches("# ").trim();
        if line.starts_with('[') && line.ends_with(']') {
            sections.push((line.to_owned(), Vec::new()));
            continue;
        }
        let Some((key, value)) = line.split_once(" = ") else {
            continue;
        };
        let is_key = key
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        let whole = format!("x = {value}").parse::<toml::Table>();
        if !is_key || whole.is_err() {
            continue;
        }
        let (section, lines) = sections.last_mut().unwrap();
        lines.push(line.to_owned());
        if value.starts_with('"') || value.starts_with('[') {
            keys.push(Line {
                section: section.clone(),
                key: key.to_owned(),
                is_list: value.starts_with('['),
            });
        }
    }
    (keys, sections)
}

/// What nobody may read, by what it stands in.
fn secrets() -> Vec<(String, &'static str)> {
    let of = |before: &str, secret: &'static str| (format!("{before}{secret}"), secret);
    vec![
        of(
            "PRIVATE+KEY+bob+9becd972+",
            "AVwJD9dNaRNJwPO5PuZNiJGpKA9SQGohvaQrJmUs3PvV",
        ),
        of(
            "dt0c01.ST2EY72KQINMH574WMNVI7YN.",
            "NOTAREAL5ECRET7OTHER12X4K9QWNB3V8ZMTA2LDPY6RJGHC5EUSFN7XWKQ3B",
        ),
        of("", "Kx9#mP2$vL8@nQ4wTz71"),
        of("Authorization: Bearer ", "q7W3e9R1t5Y8u2I6o4P0"),
        of("", "e7b1d09c3fa24586b0c1d2e3f4a5b6c7"),
        of(
            "-----BEGIN PRIVATE KEY-----\n",
            "MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp",
        ),
        of(
            "https://127.0.0.1:1/services/T0AB1CD2E/B0/",
            "aB3dE5fG7hJ9kL1mN3pQ5rS7",
        ),
        (
            "https://user:hunter2wins@127.0.0.1:1/x".to_owned(),
            "hunter2wins",
        ),
        (
            "postgres://dtgate:hunter2wins@127.0.0.1:1/x".to_owned(),
            "hunter2wins",
        ),
    ]
}

/// What `check` says, and what of it the program prints.
fn said(file: &Path, form: &str) -> String {
    let file = file.to_str().unwrap();
    let arguments = [
        "dtgate",
        "check",
        "--compare",
        "0",
        "--format",
        form,
        "--config",
        file,
    ];
    let mut out = Vec::new();
    let error = match cli::run(Cli::parse_from(arguments), &mut out) {
        Ok(_) => String::new(),
        Err(error) => Redactor::default().text(&format!("{error:#}")).to_string(),
    };
    String::from_utf8(out).unwrap() + &error
}

/// One key with a secret, alone in its section, or with the others.
fn configured(line: &Line, secret: &str, others: &[String], base: &str) -> String {
    let list = if line.is_list { ["[", "]"] } else { ["", ""] };
    let value = toml::Value::String(secret.to_owned());
    let mut text = format!("{}\n", line.section);
    for other in others {
        let key = other.split(" = ").next().unwrap();
        if key != line.key && key != "url" {
            text.extend([other, "\n"]);
        }
    }
    let own = format!("{} = {}{value}{}\n", line.key, list[0], list[1]);
    if line.section.is_empty() {
        format!("{own}{base}")
    } else {
        format!("{base}\n{text}{own}")
    }
}

#[test]
fn no_secret_in_any_place_of_the_configuration_is_repeated() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dtgate.toml");
    let (keys, sections) = lines();
    assert!(keys.len() > 150, "{}", keys.len());
    let journal = directory.path().join("journal");
    // As small as can be: where a secret is accepted, the policies are read, too.
    let rego =
        "package dtgate.mine\n\ndeny contains \"no\" if input.change.name.requested == \"x\"\n";
    let mine = directory.path().join("policies");
    std::fs::create_dir(&mine).unwrap();
    std::fs::write(mine.join("mine.rego"), rego).unwrap();
    let mut repeated = Vec::new();
    for line in &keys {
        let of_it = sections.iter().find(|(name, _)| *name == line.section);
        let (_, others) = of_it.unwrap();
        let mut base = String::new();
        for (section, key) in [
            ("[upstream]", "url = \"http://127.0.0.1:9\"".to_owned()),
            ("[policies]", format!("directory = {mine:?}")),
            ("[journal]", format!("directory = {journal:?}")),
        ] {
            if section != line.section {
                base.extend([section, "\n", &key, "\n"]);
            }
        }
        for (text, secret) in secrets() {
            for others in [&[][..], others] {
                std::fs::write(&file, configured(line, &text, others, &base)).unwrap();
                let said = said(&file, "pretty");
                let place = format!("{} {} = {text}", line.section, line.key);
                if said.contains(secret) {
                    repeated.push(format!("{place}\n{said}"));
                }
            }
        }
    }
    assert!(repeated.is_empty(), "{}", repeated.join("\n\n"));
}

/// A gate that runs is given such a configuration: the log, the journal and `/status` have nothing of it.
#[test]
fn a_reload_repeats_no_private_key() {
    let upstream = Upstream::lenient();
    let config = |more: &str| {
        format!(
            "reload.interval = \"1s\"\npolicies.directory = {:?}\n{more}",
            policies()
        )
    };
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dtgate.toml");
    std::fs::write(&file, config("")).unwrap();
    let gate = Gate::start(
        tempfile::tempdir().unwrap(),
        upstream.address,
        &["--config", file.to_str().unwrap()],
    );
    let key = "AVwJD9dNaRNJwPO5PuZNiJGpKA9SQGohvaQrJmUs3PvV";
    let grants = format!(
        "[grants]\ndirectory = \"grants\"\napprovers = [\"alice+4bfc43ae+AZRv5NysLF8FhllmG12FmSiEFXxYBqe23U7Fb4Y+aP1/\", \
         \"PRIVATE+KEY+bob+9becd972+{key}\"]\n"
    );
    std::fs::write(&file, config(&grants)).unwrap();
    let wanted = "entry 2 of grants.approvers is a private key: put the line there that `dtgate grant key` printed; and make \
                  a new pair";
    eventually("the reload is refused", || {
        gate.log().contains(wanted).then_some(())
    });
    let status = exchange(
        gate.admin,
        b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n",
    )
    .body;
    assert!(status.contains("entry 2 of grants.approvers"), "{status}");
    let journal = eventually("the refusal is recorded", || {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        let journal: String = files(&gate.journal()).into_iter().map(read).collect();
        journal.contains("\"ok\":false").then_some(journal)
    });
    assert!(journal.contains("entry 2 of grants.approvers"), "{journal}");
    for all in [gate.log(), status, journal] {
        assert!(!all.contains(key), "{all}");
    }
}

#[test]
fn a_private_key_on_the_command_line_is_not_repeated() {
    let key = "PRIVATE+KEY+bob+9becd972+AVwJD9dNaRNJwPO5PuZNiJGpKA9SQGohvaQrJmUs3PvV";
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("checkpoint.key");
    std::fs::write(&file, key).unwrap();
    for given in [key, file.to_str().unwrap()] {
        let ran = program()
            .current_dir(directory.path())
            .args(["audit", "verify", "--journal", ".", "--key", given])
            .output()
            .unwrap();
        let said = String::from_utf8(ran.stderr).unwrap();
        assert!(
            said.contains("a private key where a public one belongs"),
            "{said}"
        );
        assert!(!said.contains("AVwJD9dN"), "{said}");
    }
}
