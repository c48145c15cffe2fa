use std::sync::atomic::AtomicUsize;

use super::*;
use crate::app::App;
use crate::telemetry::AccessLog;

const GOOD: &str =
    "package dtgate.names\n\ndeny contains \"no\" if input.change.name.requested == \"LETTER\"\n";
const BROKEN: &str = "package dtgate.names\n\ndeny contains x if {\n";

fn policy(letter: &str) -> String {
    GOOD.replace("LETTER", letter)
}

/// Has the files changed at certain readings of the configuration, and gives the journal's records of reloads.
///
/// The gate reads the configuration before each look at the files: the first two are those of its start, and what
/// comes is `noticed`, looked at again, read, and looked at for a last time.
async fn reloads(
    noticed: usize,
    changes: Vec<(usize, String)>,
    wanted: &str,
) -> Vec<serde_json::Value> {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("policies/names.rego");
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    std::fs::write(&file, policy("a")).unwrap();
    let config: Config = toml::from_str(&format!(
        "upstream.url = 'http://127.0.0.1:1'\nlistener.listen = '127.0.0.1:0'\nadmin.listen = '127.0.0.1:0'\n\
         policies = {{ directory = '{0}/policies', bytecode = 'none' }}\njournal.directory = '{0}/journal'\n\
         reload.interval = '20ms'\n",
        directory.path().display()
    ))
    .unwrap();
    let (given, readings) = (config.clone(), AtomicUsize::new(0));
    let read = move || {
        let reading = readings.fetch_add(1, Relaxed);
        for (at, text) in &changes {
            if noticed + at == reading {
                std::fs::write(&file, text).unwrap();
            }
        }
        Ok(given.clone())
    };
    let (source, config) = Source::new(None, read).unwrap();
    let metrics = Metrics::new("1.2.3");
    let app = App::build(&config, metrics.clone(), AccessLog::unread(metrics)).unwrap();
    let reloader = Reloader {
        state: app.state.clone(),
        services: Vec::new(),
        audit: app.audit.clone(),
        ledger: app.ledger.clone(),
        metrics: app.metrics.clone(),
        downloads: app.downloads.clone(),
        fleet: None,
        manager: Manager::default(),
        challenger: Arc::default(),
        tls: [app.listener.tls(), app.admin_listener.tls()],
    };
    let shutdown = CancellationToken::new();
    let keeping = tokio::spawn(reloader.keep(source, Hangups::default(), shutdown.clone()));
    while app.state.in_force.load().set.generation() == 0 {
        assert!(!keeping.is_finished());
        tokio::task::yield_now().await;
    }
    shutdown.cancel();
    keeping.await.unwrap();
    let expected = directory.path().join("expected");
    std::fs::create_dir(&expected).unwrap();
    std::fs::write(expected.join("names.rego"), wanted).unwrap();
    let in_force = app.state.policy().revision().to_owned();
    assert_eq!(in_force, revision(&expected));
    recorded(&directory.path().join("journal"))
}

fn revision(directory: &Path) -> String {
    let limit = Duration::from_secs(1);
    crate::policy::Policy::load(directory, limit)
        .unwrap()
        .revision()
        .to_owned()
}

fn recorded(journal: &Path) -> Vec<serde_json::Value> {
    let mut lines = crate::audit::lines::Lines::new(journal);
    let lines = std::iter::from_fn(|| lines.next_line().unwrap());
    let records = lines.filter_map(|line| serde_json::from_slice(&line.bytes).ok());
    records
        .filter(|record: &serde_json::Value| record["kind"] == "reload")
        .collect()
}

#[tokio::test]
async fn files_that_change_while_they_are_read_are_read_again() {
    // What is read in between may hold or not: it is nobody's, and neither put in force nor refused.
    for between in [BROKEN.to_owned(), policy("c")] {
        let changes = vec![(0, policy("b")), (2, between), (3, policy("d"))];
        let reloads = reloads(5, changes, &policy("d")).await;
        assert_eq!(reloads.len(), 1, "{reloads:?}");
        assert_eq!(reloads[0]["ok"], true);
    }
}

#[tokio::test]
async fn files_that_go_on_changing_are_waited_for() {
    let changes = vec![(0, policy("b")), (1, BROKEN.to_owned()), (2, policy("c"))];
    let reloads = reloads(5, changes, &policy("c")).await;
    assert_eq!(reloads.len(), 1, "{reloads:?}");
}

/// What others asked for refused policies until somebody sent SIGHUP.
#[tokio::test(start_paused = true)]
async fn what_only_decisions_have_refused_is_tried_again_now_and_then() {
    let seen = Seen::default();
    let other = Seen {
        own: Digest::of(&[PathBuf::from("Cargo.toml")]),
        ..Seen::default()
    };
    let by_decisions = anyhow::Error::from(ByDecisions("too many".to_owned()));
    let by_decisions = by_decisions.context("never in force");
    let mut refused = RefusedFiles::default();
    assert!(!refused.are(seen));
    for minutes in [1, 2, 4, 8, 16, 32, 60, 60] {
        refused = refused.and(seen, &by_decisions);
        assert!(refused.are(seen) && !refused.are(other));
        tokio::time::advance(Duration::from_secs(minutes * 60 - 1)).await;
        assert!(refused.are(seen), "{minutes}");
        tokio::time::advance(Duration::from_secs(2)).await;
        assert!(!refused.are(seen), "{minutes}");
    }
    // Others begin anew, and what is wrong with the files themselves stays wrong.
    refused = refused.and(other, &by_decisions);
    tokio::time::advance(Duration::from_secs(61)).await;
    assert!(!refused.are(other));
    refused = refused.and(other, &anyhow::anyhow!("it does not compile"));
    tokio::time::advance(Duration::from_secs(100_000)).await;
    assert!(refused.are(other));
}
