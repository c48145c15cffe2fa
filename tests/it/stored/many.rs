//! Clients, of which a store may have more than anybody can hold.

use std::time::Instant;

use serde_json::Value;

use super::{Way, decision, journal};
use crate::postgres::database;

/// Decisions of these clients, one a second.
fn of(clients: &[&str]) -> Vec<Value> {
    let decisions = clients.iter().zip(0..).map(|(client, second)| {
        let mut decision = decision(second, "payments", "ci");
        decision["requested_by"] = (*client).into();
        decision
    });
    decisions.collect()
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_clients_are_found_however_many_there_are() {
    let database = database();
    let way = Way::to(&database);
    let ship = |gate: &str, clients: &[&str]| {
        let records = of(clients);
        let (directory, hash) = journal(&records);
        way.ship(gate, directory.path(), records.len() as u64, &hash);
    };
    ship("a", &["10.1.2.3"]);
    // Of a network, and in front of those that come, by whatever order.
    database.sql(
        "INSERT INTO dtgate.name
         SELECT 'client', format('1.%s.%s.%s', 16 + n / 65536, n / 256 % 256, n % 256)
         FROM generate_series(0, 1099999) AS n",
    );
    let clients = [
        "10.1.2.30",
        "10.1.16.5",
        "2001:db8::5",
        "1.16.5.5",
        "::ffff:10.9.9.9",
        "v1:CDEF",
    ];
    ship("b", &clients);
    for (asked, wanted) in [
        (vec!["10.1.2.3"], 1),
        (vec!["10.1.2.30", "10.9.9.9", "192.0.2.1"], 2),
        (vec!["10.1.0.0/20"], 2),
        (vec!["2001:db8::/32", "10.1.16.5"], 2),
        (vec!["1.16.0.0/12", "10.1.2.3"], 2),
        (vec!["1.32.0.0/16"], 0),
        (vec!["0.0.0.0/0"], 5),
    ] {
        let begun = Instant::now();
        let mut arguments = vec!["query", "--format", "csv"];
        arguments.extend(asked.iter().flat_map(|it| ["--client", it]));
        let output = way.audit(&arguments);
        assert!(output.status.success(), "{output:?}");
        let lines = String::from_utf8(output.stdout).unwrap();
        assert_eq!(lines.lines().count(), wanted + 1, "{asked:?}: {lines}");
        let notes = String::from_utf8(output.stderr).unwrap();
        let unknown = usize::from(asked.contains(&"192.0.2.1"));
        assert_eq!(notes.lines().count(), unknown, "{asked:?}: {notes}");
        assert!(begun.elapsed().as_secs() < 120, "{asked:?}");
    }
    let sums = way.said(&[
        "stats",
        "--by",
        "client",
        "--client",
        "0.0.0.0/0",
        "--format",
        "json",
    ]);
    let sums: Value = serde_json::from_str(&sums).unwrap();
    let names = sums["names"].as_array().unwrap();
    assert_eq!(names.len(), 5, "{sums}");
}
