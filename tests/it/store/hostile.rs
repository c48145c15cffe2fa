//! Servers and tables that somebody has in his hands: nothing ends by them, and nothing of theirs fills a log or memory.

use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixListener;
use std::path::Path;

use dtgate::store::Config;
use serde_json::Value;

use super::refused::said;
use super::rows::config;
use super::{end, failures, start};
use crate::harness::{GOOD, TOKEN, Upstream, eventually, exchange};
use crate::postgres::{Database, Postgres, database};

fn message(kind: u8, content: &[u8]) -> Vec<u8> {
    let length = u32::try_from(content.len() + 4).unwrap();
    [&[kind][..], &length.to_be_bytes(), content].concat()
}

/// What a server says to whoever is welcome.
fn hello() -> Vec<u8> {
    [
        message(b'R', &[0; 4]),
        message(b'S', b"server_encoding\0UTF8\0"),
        message(b'K', &[0; 8]),
        message(b'Z', b"I"),
    ]
    .concat()
}

/// Reads what a client begins with, and says this.
fn begun(stream: &mut (impl Read + Write), says: &[u8]) {
    let mut length = [0; 4];
    stream.read_exact(&mut length).unwrap();
    let mut rest = vec![0; u32::from_be_bytes(length) as usize - 4];
    stream.read_exact(&mut rest).unwrap();
    stream.write_all(says).unwrap();
}

/// A server that says `first`, and after the first question `then`, again and again.
fn server(first: Vec<u8>, then: Vec<u8>) -> Config {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            says(&mut stream, &first, &then);
        }
    });
    let url = format!("postgres://dtgate@127.0.0.1:{port}/dtgate");
    Config::at(url.parse().unwrap())
}

/// The same at a socket of this machine, in a directory.
fn local(directory: &Path, first: Vec<u8>, then: Vec<u8>) -> Config {
    let listener = UnixListener::bind(directory.join(".s.PGSQL.5432")).unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            says(&mut stream, &first, &then);
        }
    });
    let host = directory.to_str().unwrap().replace('/', "%2F");
    Config::at(format!("postgres://dtgate@{host}/dtgate").parse().unwrap())
}

fn says(stream: &mut (impl Read + Write), first: &[u8], then: &[u8]) {
    begun(stream, first);
    if matches!(stream.read(&mut [0; 4096]), Ok(1..)) {
        while !then.is_empty() && stream.write_all(then).is_ok() {}
    }
}

#[test]
fn a_server_that_sends_without_end_is_not_read_without_end() {
    let row = message(b'D', b"\0\x01\0\0\0\x01\x01").repeat(1000);
    let notice = message(b'N', b"SNOTICE\0VNOTICE\0C00000\0Mflood\0\0").repeat(1000);
    let settings: Vec<u8> = (0..1000)
        .flat_map(|number| message(b'S', format!("p{number}\0{}\0", "v".repeat(100)).as_bytes()))
        .collect();
    let huge = [&b"D\x7f\xff\xff\xf0"[..], &vec![0; 100_000]].concat();
    for flood in [row, notice, settings, huge] {
        let kind = char::from(flood[0]);
        let directory = tempfile::tempdir().unwrap();
        for server in [
            server(hello(), flood.clone()),
            local(directory.path(), hello(), flood),
        ] {
            let refused = said(&server);
            assert!(
                refused.contains("as one answer") || refused.contains("unexpected message"),
                "{kind}: {refused}"
            );
        }
    }
}

#[test]
fn what_a_server_says_is_cut() {
    let words = format!("SERROR\0VERROR\0C58000\0M{}\0\0", "long ".repeat(100_000));
    let refused = said(&server(hello(), message(b'E', words.as_bytes())));
    assert!(refused.contains("long long"), "{refused}");
    assert!(refused.chars().count() < 400, "{}", refused.len());
}

#[test]
fn a_password_is_not_sent_so_that_others_could_find_it() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("password");
    std::fs::write(&file, "secret").unwrap();
    let with = |config: Config| Config {
        password_file: Some(file.clone()),
        ..config
    };
    for (asks, wanted) in [
        (&b"\0\0\0\x03"[..], "in clear text"),
        (b"\0\0\0\x05salt", "by md5"),
    ] {
        let asks = message(b'R', asks);
        let refused = said(&with(server(asks.clone(), Vec::new())));
        assert!(refused.contains(wanted), "{refused}");
        // Where nobody else reads it, it is, and this server says nothing to it.
        let socket = tempfile::tempdir().unwrap();
        let refused = said(&with(local(socket.path(), asks, Vec::new())));
        assert!(refused.contains("closed"), "{refused}");
    }
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_socket_of_this_machine_will_do() {
    let directory = tempfile::tempdir().unwrap();
    let everybody = std::os::unix::fs::PermissionsExt::from_mode(0o777);
    std::fs::set_permissions(directory.path(), everybody).unwrap();
    let path = directory.path().to_str().unwrap();
    let server = Postgres::with(&format!("unix_socket_directories = '{path}'"));
    let database = server.database();
    let by_socket = format!("dtgate@{}:{}", path.replace('/', "%2F"), server.port);
    let url = database.url();
    let (_, name) = url.rsplit_once('/').unwrap();
    let config = Config {
        url: format!("postgres://{by_socket}/{name}").parse().unwrap(),
        ..config(&database)
    };
    assert_eq!(said(&config), "");
    assert_eq!(database.count(), 1);
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_column_of_another_type_is_said() {
    let database = database();
    let config = config(&database);
    assert_eq!(said(&config), "");
    let changed = |table: &str, column: &str, kind: &str| {
        database.sql(&format!(
            "ALTER TABLE dtgate.{table} ALTER {column} TYPE {kind} USING NULL"
        ));
    };
    database.sql("ALTER TABLE dtgate.version ALTER version TYPE text");
    let told = "the tables are not as dtgate made them (column version)";
    assert_eq!(said(&config), told);
    database.sql("ALTER TABLE dtgate.version ALTER version TYPE integer USING version::integer");
    database.sql("ALTER TABLE dtgate.record ALTER hash DROP NOT NULL");
    changed("record", "hash", "text");
    let refused = said(&config);
    assert!(
        refused.contains("(column hash)") || refused.contains("(42804)"),
        "{refused}"
    );
}

/// A gate that is there, whose tables are made.
fn with_tables(upstream: &Upstream, database: &Database<'_>) -> crate::harness::Gate {
    let gate = start(tempfile::tempdir().unwrap(), upstream, database, "gate-a");
    eventually("records arrive", || (database.count() > 0).then_some(()));
    gate
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_a_server_writes_no_lines_into_the_log() {
    let upstream = Upstream::lenient();
    let database = database();
    let gate = with_tables(&upstream, &database);
    database.sql(
        "CREATE FUNCTION public.shout() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN RAISE WARNING ''forged line''; RETURN new; END';
         CREATE TRIGGER shout BEFORE INSERT ON dtgate.record FOR EACH ROW EXECUTE FUNCTION public.shout()",
    );
    let before = database.count();
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    eventually("records arrive", || {
        (database.count() > before).then_some(())
    });
    let gate = end(gate);
    assert!(!gate.log().contains("forged line"), "{}", gate.log());
}

#[test]
#[ignore = "needs PostgreSQL"]
fn needs_postgres_the_same_reason_in_other_words_is_told_once() {
    let upstream = Upstream::lenient();
    let database = database();
    let gate = with_tables(&upstream, &database);
    database.sql(
        "CREATE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS
           'BEGIN RAISE EXCEPTION ''no, at %'', clock_timestamp(); END';
         CREATE TRIGGER refuse BEFORE INSERT ON dtgate.record FOR EACH ROW EXECUTE FUNCTION public.refuse()",
    );
    let before = failures(&gate);
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    eventually("it was refused several times", || {
        (failures(&gate) > before + 2).then_some(())
    });
    let status: Value = exchange(gate.admin, b"GET /status HTTP/1.1\r\nHost: a\r\n\r\n").json();
    let error = status["sinks"]["store"]["error"].as_str().unwrap();
    assert!(error.contains("(P0001)"), "{error}");
    let gate = end(gate);
    let told = gate.log().matches("records do not arrive").count();
    assert_eq!(told, 1, "{}", gate.log());
}
