//! Whoever has no journal beside them looks at a grant by the store, and approves it.

use serde_json::Value;

use super::{Desk, id_of};
use crate::harness::{BAD, TOKEN, Upstream, eventually, verify};
use crate::postgres::database;

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_grant_is_approved_and_shown_by_the_store() {
    let database = database();
    let upstream = Upstream::lenient();
    let desk = Desk::new("");
    let config = std::fs::read_to_string(desk.config()).unwrap();
    let section = database.section(desk.files.path());
    let config = format!("{config}{section}[journal]\norigin = \"gate-a\"\n");
    std::fs::write(desk.config(), config).unwrap();
    let gate = desk.start(tempfile::tempdir().unwrap(), &upstream, &[]);
    let denied = id_of(&gate.send("PUT", TOKEN, BAD));
    assert!(
        desk.request(&gate, &["--decision", &denied])
            .status
            .success()
    );
    let run = |command: &[&str]| {
        let by_store = ["--config", "dtgate.toml", "--store", "config"];
        let output = desk.run(&[&["grant"], command, &by_store].concat());
        let all = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&all).into_owned(),
        )
    };
    let shown = || run(&["show", "asked.grant"]);
    let says = |wanted: &str| {
        eventually(wanted, || {
            let (_, said) = shown();
            said.contains(wanted).then_some(said)
        })
    };
    let said = says("what it asks for");
    assert!(
        said.contains("only alice has signed it") && said.contains("forbidden_scopes"),
        "{said}"
    );
    let approve = ["approve", "asked.grant", "--key", "bob.key", "--yes"];
    let (code, said) = run(&approve);
    assert!(
        code == Some(0) && said.contains("what it asks for"),
        "{said}"
    );
    says("it can be used, once");
    let good = std::fs::read_to_string(desk.path("asked.grant")).unwrap();
    desk.give(&gate, "a.grant", &good);
    assert_eq!(gate.send("PUT", TOKEN, BAD).status, 204);
    says("it was used, by decision ");
    let (code, said) = run(&["list", "--format", "json"]);
    let listed: Value = serde_json::from_str(&said).unwrap();
    assert!(code == Some(0) && listed["usable"] == false, "{said}");
    // Nobody approves by the store what was used.
    assert!(
        desk.request(&gate, &["--decision", &denied])
            .status
            .success()
    );
    let text = std::fs::read_to_string(desk.path("asked.grant")).unwrap();
    let other = text.replace("\"gate\": \"gate-a\"", "\"gate\": \"gate-b\"");
    std::fs::write(desk.path("other.grant"), other).unwrap();
    let (code, said) = run(&["approve", "other.grant", "--key", "bob.key", "--yes"]);
    assert!(code == Some(1) && said.contains("gate-b"), "{said}");
    // It never came to the store.
    database.asked("DELETE FROM dtgate.record").unwrap();
    let (_, said) = shown();
    assert!(
        said.contains("the store does not have its record"),
        "{said}"
    );
    verify(&gate.journal());
}
