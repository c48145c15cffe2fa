//! Stores that cannot be used: each says why, and everything stays in the journal.

use dtgate::audit::verify::Trust;
use dtgate::store::{Asked, Config, StoreError, Url};
use serde_json::json;

use super::rows::{config, outgoing, run, sink};
use super::{end, holds, start};
use crate::harness::{GOOD, TOKEN, Upstream, eventually, program};
use crate::postgres::{Database, PASSWORD, Postgres, database};
use crate::tls::certified;

pub(super) fn said(config: &Config) -> String {
    said_to(config, "gate")
}

/// The same, of a record that is not there yet under another name.
fn said_to(config: &Config, gate: &str) -> String {
    let records = outgoing(&[json!({"kind": "stop", "timestamp": "2026-11-24T09:30:00Z"})]);
    match run(sink(config, gate).send(&records)) {
        Ok(()) => String::new(),
        Err(error) => error.to_string(),
    }
}

fn at(database: &Database<'_>, url: &str) -> Config {
    Config {
        url: url.parse().unwrap(),
        ..config(database)
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_what_keeps_a_store_from_being_used_is_said() {
    let database = database();
    let url = database.url();
    for (config, wanted) in [
        (Config::at(url.parse::<Url>().unwrap()), "password missing"),
        (
            at(&database, &url.replace("dtgate@", "nobody@")),
            "password authentication failed",
        ),
        (
            at(&database, &url.replace(&database.name, "nothing")),
            "database \"nothing\" does not exist",
        ),
        (
            at(
                &database,
                &format!("postgres://dtgate@127.0.0.1:1/{}", database.name),
            ),
            "refused",
        ),
        (at(&database, &format!("{url}?sslmode=require")), "TLS"),
    ] {
        let said = said(&config);
        assert!(said.contains(wanted), "{wanted}: {said}");
        assert!(!said.contains(PASSWORD));
    }
    database.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0 LOCALE 'C'");
    let latin = at(&database, &url.replace(&database.name, "latin"));
    assert_eq!(
        said(&latin),
        "its encoding is LATIN1: make the database with ENCODING 'UTF8'"
    );
    assert_eq!(said(&config(&database)), "");
    database.sql("UPDATE dtgate.version SET version = 0");
    let version = said(&config(&database));
    assert!(version.contains("are of version 0"), "{version}");
    database.sql("UPDATE dtgate.version SET version = 1");
    // A standby, as far as a session can tell.
    let name = &database.name;
    database.sql(&format!(
        "ALTER DATABASE {name} SET default_transaction_read_only = on"
    ));
    let standby = said_to(&config(&database), "another");
    assert!(standby.contains("name the primary"), "{standby}");
    database.server.named("postgres").sql(&format!(
        "ALTER DATABASE {name} RESET default_transaction_read_only"
    ));
    assert_eq!(said(&config(&database)), "");
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_role_needs_the_rights_that_the_page_names_and_no_more() {
    let database = database();
    let (name, directory) = (&database.name, tempfile::tempdir().unwrap());
    let roles = [
        format!("maker_{name}"),
        format!("gate_{name}"),
        format!("auditor_{name}"),
    ];
    for role in &roles {
        database.sql(&format!("CREATE ROLE {role} LOGIN PASSWORD '{PASSWORD}'"));
    }
    let [maker, gate, auditor] = roles
        .each_ref()
        .map(|role| at(&database, &database.url_of(role)));
    let said_of = |config: &Config| said(config);
    let refused = said_of(&maker);
    assert!(
        refused.contains("docs/store.md has the rights"),
        "{refused}"
    );
    database.sql(&format!("GRANT CREATE ON DATABASE {name} TO {}", roles[0]));
    assert_eq!(said_of(&maker), "");
    // One that may only add, where somebody else makes the tables.
    let refused = said_of(&gate);
    assert!(
        refused.contains("permission denied for schema dtgate"),
        "{refused}"
    );
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/store.md")).unwrap();
    let granted = |role: &str, to: &str| {
        let beginning = format!("```sql\n-- {role}\n");
        let (_, rest) = page.split_once(&beginning).unwrap();
        let (grants, _) = rest.split_once("```").unwrap();
        database.sql(&grants.replace(&format!("TO {role}"), &format!("TO {to}")));
    };
    granted("dtgate_gate", &roles[1]);
    assert_eq!(said_of(&gate), "");
    let later = outgoing(&[
        json!({"kind": "decision", "timestamp": "2026-11-24T09:30:00Z"}),
        json!({"kind": "outcome", "timestamp": "2026-11-24T09:30:00Z", "decision_seq": 1, "outcome": "answered", "status": 204,
               "detail": "a handshake failed"}),
    ]);
    let mut adds = sink(&gate, "adds");
    for record in &later {
        run(adds.send(std::slice::from_ref(record))).unwrap();
    }
    let ended = "SELECT outcome FROM dtgate.record WHERE gate = 'adds' AND seq = 1";
    assert_eq!(database.sql(ended), "answered");
    let found = "SELECT words @@ 'handshake' FROM dtgate.record WHERE gate = 'adds' AND seq = 1";
    assert_eq!(database.sql(found), "t");
    a_role_of_an_earlier_page(&database, &gate, &roles[1]);
    let month = outgoing(&[json!({"kind": "stop", "timestamp": "2031-01-01T00:00:00Z"})]);
    let refused = run(sink(&gate, "month").send(&month)).unwrap_err();
    assert!(
        refused.to_string().contains("permission denied"),
        "{refused}"
    );
    for forbidden in [
        "DELETE FROM dtgate.record",
        "UPDATE dtgate.record SET line = ''",
        "DELETE FROM dtgate.gate",
    ] {
        let refused = database.asked(&format!("SET ROLE {}; {forbidden}", roles[1]));
        assert!(
            refused.unwrap_err().contains("permission denied"),
            "{forbidden}"
        );
    }
    each_in_its_own_name(&database, &page, &roles[1]);
    granted("dtgate_auditor", &roles[2]);
    let counted = database.asked(&format!(
        "SET ROLE {}; SELECT count(*) FROM dtgate.record",
        roles[2]
    ));
    assert_eq!(counted.as_deref(), Ok("3"));
    let asked = Asked::open(&auditor).unwrap();
    assert!(!asked.gates().unwrap().is_empty());
    assert!(can_verify(&asked));
    let refused = said_to(&auditor, "another");
    assert!(refused.contains("permission denied"), "{refused}");
    drop(directory);
}

fn can_verify(asked: &Asked) -> bool {
    let fleet = asked.fleet(None).unwrap();
    let verified = asked.verify(&fleet, "adds", None, &Trust::default());
    verified.is_ok()
}

/// One that was never granted `words`: it is refused only where an outcome has some.
fn a_role_of_an_earlier_page(database: &Database<'_>, gate: &Config, role: &str) {
    database.sql(&format!(
        "REVOKE UPDATE (words) ON dtgate.record FROM {role}"
    ));
    let decision = json!({"kind": "decision", "timestamp": "2026-11-24T09:30:00Z"});
    for (name, detail, wanted) in [("plain", "", true), ("worded", "handshake", false)] {
        let outcome = json!({"kind": "outcome", "timestamp": "2026-11-24T09:30:00Z", "decision_seq": 1,
                             "outcome": "answered", "detail": detail});
        let mut adds = sink(gate, name);
        let records = outgoing(&[decision.clone(), outcome]);
        run(adds.send(&records[..1])).unwrap();
        let sent = run(adds.send(&records[1..]));
        assert_eq!(sent.is_ok(), wanted, "{name}: {sent:?}");
    }
    database.sql(&format!("GRANT UPDATE (words) ON dtgate.record TO {role}"));
    database.sql("DELETE FROM dtgate.record WHERE gate IN ('plain', 'worded')");
}

/// Where each gate has a role of its name, and the triggers of the page are there.
fn each_in_its_own_name(database: &Database<'_>, page: &str, rights: &str) {
    let (_, rest) = page
        .split_once("```sql\n-- each gate in its own name\n")
        .unwrap();
    let (triggers, _) = rest.split_once("```").unwrap();
    database.sql(triggers);
    let [ours, others] = ["own", "other"].map(|it| format!("{it}-{}", database.name));
    for role in [&ours, &others] {
        database.sql(&format!(
            "CREATE ROLE \"{role}\" LOGIN PASSWORD '{PASSWORD}' IN ROLE {rights}"
        ));
        let config = at(database, &database.url_of(role));
        let records = outgoing(&[
            json!({"kind": "decision", "timestamp": "2026-11-24T09:30:00Z"}),
            json!({"kind": "outcome", "timestamp": "2026-11-24T09:30:00Z", "decision_seq": 1, "outcome": "answered"}),
        ]);
        let mut own = sink(&config, role);
        for record in &records {
            run(own.send(std::slice::from_ref(record))).unwrap();
        }
        run(own.rest(true)).unwrap();
        let foreign = run(sink(&config, "another").send(&outgoing(&[
            json!({"seq": 2, "kind": "stop", "timestamp": "2026-11-24T09:30:00Z"}),
        ])));
        let said = foreign.unwrap_err().to_string();
        assert!(
            said.contains(&format!("role {role} is not gate another")),
            "{said}"
        );
    }
    let turn = format!("'prod', 'a', '{others}', gen_random_uuid(), now(), now() - interval '1 s'");
    database.sql(&format!(
        "SET ROLE \"{others}\"; INSERT INTO dtgate.turn VALUES ({turn})"
    ));
    for (statement, is_allowed) in [
        (
            format!("UPDATE dtgate.record SET outcome = 'failed' WHERE gate = '{others}'"),
            false,
        ),
        (
            format!("UPDATE dtgate.gate SET gate = '{ours}x' WHERE gate = '{others}'"),
            false,
        ),
        (
            format!("UPDATE dtgate.gate SET seen = now() WHERE gate = '{others}'"),
            false,
        ),
        (
            format!(
                "INSERT INTO dtgate.turn VALUES ({})",
                turn.replace("'a'", "'b'")
            ),
            false,
        ),
        (
            "UPDATE dtgate.turn SET until = 'infinity'".to_owned(),
            false,
        ),
        (
            format!("UPDATE dtgate.turn SET wanted_by = '{ours}', wanted = now()"),
            true,
        ),
        (
            format!("UPDATE dtgate.turn SET gate = '{ours}', until = now() WHERE until < now()"),
            true,
        ),
    ] {
        let done = database.asked(&format!("SET ROLE \"{ours}\"; {statement}"));
        assert_eq!(done.is_ok(), is_allowed, "{statement}: {done:?}");
    }
    database.sql(&format!(
        "DELETE FROM dtgate.record WHERE gate IN ('{ours}', '{others}'); DELETE FROM dtgate.turn;
         DELETE FROM dtgate.gate WHERE gate IN ('{ours}', '{others}')"
    ));
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_the_server_has_to_be_the_one_that_is_meant() {
    let mut server = Postgres::start();
    let ours = certified();
    server.put("server.crt", &ours.cert.pem());
    server.put("server.key", &ours.signing_key.serialize_pem());
    let name = server.database().name;
    server.named(&name).sql("ALTER SYSTEM SET ssl = on");
    server.stop("fast");
    server.start_again();
    let database = server.named(&name);
    let files = tempfile::tempdir().unwrap();
    let trusted = |who: &str, pem: String| {
        let path = files.path().join(who);
        std::fs::write(&path, pem).unwrap();
        Some(path)
    };
    let url = format!("{}?sslmode=require", database.url());
    let ask = |ca, url: &str| {
        said(&Config {
            ca,
            ..at(&database, url)
        })
    };
    let right = trusted("right.pem", ours.cert.pem());
    assert_eq!(ask(right.clone(), &url), "");
    let encrypted =
        "SELECT count(*) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) WHERE NOT s.ssl AND
        a.application_name LIKE 'dtgate%'";
    assert_eq!(database.sql(encrypted), "0");
    let wrong = trusted("wrong.pem", certified().cert.pem());
    for said in [
        ask(wrong, &url),
        ask(None, &url),
        // Its certificate is of 127.0.0.1 and localhost.
        ask(right, &url.replace("127.0.0.1", "127.0.0.2")),
    ] {
        assert!(
            said.contains("certificate") || said.contains("refused"),
            "{said}"
        );
    }
    let no_file = Config {
        ca: Some(files.path().join("none.pem")),
        ..config(&database)
    };
    assert!(matches!(
        dtgate::store::check(&no_file),
        Err(StoreError::Outbound(_))
    ));
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_gate_serves_while_its_records_are_refused_and_ships_them_later() {
    let upstream = Upstream::lenient();
    let database = database();
    let first = end(start(
        tempfile::tempdir().unwrap(),
        &upstream,
        &database,
        "gate-a",
    ));
    holds(&database, "gate-a", &first.journal());
    let before = database.sql("SELECT * FROM dtgate.record ORDER BY seq");
    // Another machine by the same name.
    let other = start(tempfile::tempdir().unwrap(), &upstream, &database, "gate-a");
    assert_eq!(other.send("PUT", TOKEN, GOOD).status, 204);
    eventually("it is said", || {
        let log = other.log();
        (log.contains("of gate") && log.contains("and nothing is ")).then_some(())
    });
    assert_eq!(
        database.sql("SELECT * FROM dtgate.record ORDER BY seq"),
        before
    );
    let directory = end(other).crash();
    let rotated = program()
        .args([
            "audit",
            "key",
            "--rotate",
            "--origin",
            "gate-b",
            "--journal",
        ])
        .arg(directory.path().join("journal"))
        .output()
        .unwrap();
    assert!(rotated.status.success(), "{rotated:?}");
    let other = end(start(directory, &upstream, &database, "gate-b"));
    holds(&database, "gate-b", &other.journal());
    holds(&database, "gate-a", &first.journal());
}

#[test]
fn what_is_wrong_with_the_files_of_a_store_is_found_before_the_start() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("dtgate.toml");
    let check = |section: &str| {
        std::fs::write(
            &file,
            format!("[upstream]\nurl = \"http://127.0.0.1:1\"\n[store]\n{section}"),
        )
        .unwrap();
        let output = program()
            .args(["check", "--compare", "0", "--config"])
            .arg(&file)
            .arg("--policies")
            .arg(crate::harness::policies())
            .current_dir(&directory)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.success(), String::from_utf8(text).unwrap())
    };
    let url = "url = \"postgres://dtgate@db.example.com/dtgate\"\n";
    let (is_fine, said) = check(url);
    assert!(is_fine && !said.contains("to the store"), "{said}");
    for (section, wanted) in [
        (
            format!("{url}password_file = \"none\"\n"),
            "password_file none",
        ),
        (format!("{url}ca = \"none\"\n"), "none"),
        (
            "url = \"postgres://dtgate:secret@db.example.com/dtgate\"\n".to_owned(),
            "the password belongs in",
        ),
        (
            "url = \"http://db.example.com/dtgate\"\n".to_owned(),
            "write postgres://",
        ),
    ] {
        let (is_fine, said) = check(&section);
        assert!(!is_fine && said.contains(wanted), "{section}: {said}");
        assert!(!said.contains("secret"), "{said}");
    }
    let (is_fine, said) =
        check("url = \"postgres://dtgate@db.example.com/dtgate?sslmode=disable\"\n");
    assert!(
        is_fine && said.contains("can be read on the way to the store"),
        "{said}"
    );
}
