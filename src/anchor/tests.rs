use std::collections::VecDeque;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;
use crate::audit::checkpoint::note::{Note, SigningKey};
use crate::audit::checkpoint::{Checkpoint, hash_of};
use crate::audit::tree::{Hash, is_consistent};
use crate::audit::verify::{Trust, verify_by};
use crate::audit::{Config, Configured, Directory, Writer};

fn now() -> Timestamp {
    Timestamp::UNIX_EPOCH
}

/// Somebody who answers each request by a function, and the requests.
struct Server {
    url: String,
    seen: Arc<Mutex<VecDeque<String>>>,
}

impl Server {
    async fn start(mut answer: impl FnMut(&str) -> (u16, String) + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/log", listener.local_addr().unwrap());
        let seen = Arc::new(Mutex::new(VecDeque::new()));
        let noted = seen.clone();
        tokio::spawn(async move {
            while let Ok((mut socket, _)) = listener.accept().await {
                let mut bytes = Vec::new();
                let (head, body) = loop {
                    if socket.read_buf(&mut bytes).await.unwrap_or(0) == 0 {
                        break Default::default();
                    }
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else {
                        continue;
                    };
                    let length = head.to_lowercase();
                    let length = length
                        .split("content-length: ")
                        .nth(1)
                        .and_then(|it| it.lines().next()?.parse().ok());
                    if body.len() >= length.unwrap_or(0) {
                        break (head.to_owned(), body.to_owned());
                    }
                };
                let path = head.split(' ').nth(1).unwrap_or_default();
                let (status, text) = answer(&body);
                noted.lock().unwrap().push_back(format!("{path} {body}"));
                let answer = format!(
                    "HTTP/1.1 {status} x\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{text}",
                    text.len()
                );
                drop(socket.write_all(answer.as_bytes()).await);
            }
        });
        Self { url, seen }
    }

    fn seen(&self) -> usize {
        self.seen.lock().unwrap().len()
    }
}

/// Remembers one log, as the specification has it.
fn witness(key: SigningKey) -> impl FnMut(&str) -> (u16, String) + Send {
    let mut known: (u64, Hash) = (0, [0; 32]);
    move |body| {
        let (proof, note) = body.split_once("\n\n").unwrap();
        let mut lines = proof.lines();
        let old: u64 = lines
            .next()
            .unwrap()
            .strip_prefix("old ")
            .unwrap()
            .parse()
            .unwrap();
        let note = Note::parse(note).unwrap();
        let new = Checkpoint::parse(&note.text).unwrap();
        if old != known.0 {
            return (409, format!("{}\n", known.0));
        }
        let path: Vec<Hash> = lines.map(|line| hash_of(line).unwrap()).collect();
        let grows = match old {
            0 => path.is_empty(),
            _ => is_consistent(old, &known.1, new.size, &new.root, &path),
        };
        if !grows {
            return (422, String::new());
        }
        known = (new.size, new.root);
        (200, key.cosign(&note.text, 1_700_000_000).0.to_string())
    }
}

fn config(directory: &Path, checkpoints: Destinations) -> Config {
    Config {
        directory: directory.join("journal"),
        checkpoint_interval: crate::value::Duration::from_millis(20),
        checkpoints,
        ..Config::default()
    }
}

/// A journal whose checkpoints are taken elsewhere until it is closed.
struct Running {
    audit: Audit,
    writer: Writer,
    state: State,
    drained: CancellationToken,
    closed: CancellationToken,
    keeping: tokio::task::JoinHandle<()>,
}

impl Running {
    fn start(config: &Config) -> Self {
        let held = Directory::hold(&config.directory).unwrap();
        let (audit, writer) = Audit::open(held, config, "r", Configured::default(), now).unwrap();
        let anchor = Anchor::new(&audit, &config.checkpoints, Metrics::new("0")).unwrap();
        let state = anchor.state();
        let (drained, closed) = (CancellationToken::new(), CancellationToken::new());
        let keeping = anchor.keep(audit.clone(), now, drained.clone(), closed.clone());
        let keeping = tokio::spawn(keeping);
        Self {
            audit,
            writer,
            state,
            drained,
            closed,
            keeping,
        }
    }

    async fn record(&self) {
        let event = crate::audit::event::Event::Stop(crate::audit::event::Stop {
            timestamp: String::new(),
        });
        self.audit.record(event.record()).await.unwrap();
    }

    async fn end(self) {
        self.drained.cancel();
        drop(self.audit);
        self.writer.join().await;
        self.closed.cancel();
        self.keeping.await.unwrap();
    }
}

async fn until(what: &str, happened: impl Fn() -> bool) {
    let waiting = async {
        while !happened() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let waited = tokio::time::timeout(Duration::from_secs(20), waiting).await;
    waited.unwrap_or_else(|_late| panic!("never: {what}"));
}

#[tokio::test]
async fn a_witness_confirms_what_only_grows_and_is_kept_in_the_journal() {
    let directory = tempfile::tempdir().unwrap();
    let key = SigningKey::generate("witness.example").unwrap();
    let (_, public) = key.cosign("", 0);
    let server = Server::start(witness(key)).await;
    let table = format!(
        "[[witness]]\nurl = {:?}\nkey = {:?}",
        server.url,
        public.to_string()
    );
    let config = config(directory.path(), toml::from_str(&table).unwrap());
    let confirmed = |report: &crate::audit::verify::Report| {
        (
            report.checkpoints.cosignatures,
            report.checkpoints.witnessed,
        )
    };
    let trust = Trust {
        witnesses: vec![public],
        ..Trust::default()
    };
    let mut before = 0;
    // After a restart the gate does not know any more what the witness knows: 409 tells.
    for run in 1..4_u64 {
        let running = Running::start(&config);
        for number in 0..2 {
            let state = running.state.clone();
            let size = move || {
                state
                    .all()
                    .values()
                    .map(|sent| sent.size)
                    .max()
                    .unwrap_or(0)
            };
            let reached = size();
            until("a cosignature", || size() > reached).await;
            if number == 0 {
                running.record().await;
            }
        }
        assert!(
            running
                .state
                .all()
                .values()
                .all(|sent| sent.error.is_none())
        );
        running.end().await;
        let report = verify_by(&config.directory, None, &trust).unwrap();
        let (cosignatures, size) = confirmed(&report);
        assert!(cosignatures >= 2 * run && size > before, "{report:?}");
        before = size;
    }
    assert!(
        server
            .seen
            .lock()
            .unwrap()
            .iter()
            .all(|request| request.starts_with("/log/add-checkpoint old "))
    );
}

#[tokio::test]
async fn a_witness_that_knows_more_than_the_journal_has_is_heard() {
    let directory = tempfile::tempdir().unwrap();
    let key = SigningKey::generate("witness.example").unwrap();
    let (_, public) = key.cosign("", 0);
    for (answer, said) in [
        ((409, "100000\n".to_owned()), "the journal was cut"),
        ((409, "0\n".to_owned()), "another tree"),
        ((409, "x".to_owned()), "does not say which size"),
        (
            (200, key.cosign("another text\n", 0).0.to_string()),
            "not signed by the key",
        ),
        ((200, "x".to_owned()), "no signature"),
        ((404, String::new()), "404"),
        ((302, String::new()), "redirect"),
    ] {
        let server = Server::start(move |_| answer.clone()).await;
        let table = format!(
            "[[witness]]\nurl = {:?}\nkey = {:?}",
            server.url,
            public.to_string()
        );
        let config = config(directory.path(), toml::from_str(&table).unwrap());
        let running = Running::start(&config);
        let state = running.state.clone();
        let error = move || state.all().values().find_map(|sent| sent.error.clone());
        until("an error", || error().is_some()).await;
        let error = error().unwrap();
        assert!(error.contains(said), "{error}");
        running.end().await;
    }
}

/// Somebody on the way, or a witness that was ill for a moment, answers with a size beyond all measure.
#[tokio::test]
async fn a_wrong_answer_of_a_witness_does_not_end_it_for_good() {
    let directory = tempfile::tempdir().unwrap();
    let key = SigningKey::generate("witness.example").unwrap();
    let (_, public) = key.cosign("", 0);
    let (mut honest, mut asked) = (witness(key), 0);
    let server = Server::start(move |body| {
        asked += 1;
        if asked == 1 {
            return (409, format!("{}\n", u64::MAX));
        }
        honest(body)
    })
    .await;
    let table = format!(
        "[[witness]]\nurl = {:?}\nkey = {:?}",
        server.url,
        public.to_string()
    );
    let config = config(directory.path(), toml::from_str(&table).unwrap());
    let running = Running::start(&config);
    let state = running.state.clone();
    until("a cosignature", || {
        state.all().values().any(|sent| sent.size > 0)
    })
    .await;
    running.end().await;
}

#[tokio::test]
async fn the_last_checkpoint_arrives_and_a_failure_stops_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let (mut answers, file) = (0, directory.path().join("newest"));
    let server = Server::start(move |_| {
        answers += 1;
        (if answers == 1 { 500 } else { 204 }, String::new())
    })
    .await;
    let table = format!("file = {file:?}\nlog = true\nurl = {:?}", server.url);
    let config = config(directory.path(), toml::from_str(&table).unwrap());
    let running = Running::start(&config);
    until("a failure", || server.seen() > 0).await;
    until("a file", || file.exists()).await;
    running.record().await;
    running.end().await;
    let newest = std::fs::read_to_string(&file).unwrap();
    let last = server.seen.lock().unwrap().back().cloned().unwrap();
    assert_eq!(last, format!("/log {newest}"));
    let kept = Some(Note::parse(&newest).unwrap());
    let report = verify_by(
        &config.directory,
        None,
        &Trust {
            kept,
            ..Trust::default()
        },
    )
    .unwrap();
    assert_eq!(report.checkpoints.compared, Some(report.records - 1));
}

#[test]
fn what_could_never_be_sent_is_refused() {
    let key = SigningKey::generate("w").unwrap();
    let (log, witness) = (key.public().to_string(), key.cosign("", 0).1.to_string());
    for (wrong, said) in [
        ("url = \"ftp://a\"".to_owned(), "http"),
        ("urls = 1".to_owned(), "unknown field"),
        (
            format!("[[witness]]\nurl = \"http://a\"\nkey = {log:?}"),
            "of a log",
        ),
        (
            "[[witness]]\nurl = \"http://a\"\nkey = \"x\"".to_owned(),
            "NAME+HASH+BASE64",
        ),
    ] {
        let refused = toml::from_str::<Destinations>(&wrong)
            .unwrap_err()
            .to_string();
        assert!(refused.contains(said), "{refused}");
    }
    let many = format!("[[witness]]\nurl = \"http://a\"\nkey = {witness:?}\n").repeat(MOST + 1);
    for (wrong, said) in [
        ("file = \"/nowhere/at/all\"".to_owned(), "no directory"),
        (
            "url = \"https://a\"\nca = \"/nowhere\"".to_owned(),
            "/nowhere",
        ),
        (
            "url = \"http://a\"\nproxy = \"ftp://b\"".to_owned(),
            "proxy",
        ),
        (many, "at most"),
    ] {
        let refused = check(&toml::from_str(&wrong).unwrap())
            .unwrap_err()
            .to_string();
        assert!(refused.contains(said), "{refused}");
    }
}
