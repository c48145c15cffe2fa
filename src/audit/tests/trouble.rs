//! What whoever waits for a record hears when the writer cannot write it: always something, and in time.

use std::sync::{Condvar, Mutex};

use super::*;

/// Only a writer in trouble asks for the time while it is open: so a clock can end it, or hold it.
fn broken_clock() -> jiff::Timestamp {
    let thread = std::thread::current();
    assert!(thread.name() != Some("journal"), "the clock is broken");
    now()
}

static CLOCK: (Mutex<bool>, Condvar) = (Mutex::new(false), Condvar::new());

/// Stands still until it is let go.
fn stopped_clock() -> jiff::Timestamp {
    if std::thread::current().name() == Some("journal") {
        let mut goes = CLOCK.0.lock().unwrap();
        while !*goes {
            goes = CLOCK.1.wait(goes).unwrap();
        }
    }
    now()
}

fn open_with(config: &Config, clock: fn() -> jiff::Timestamp) -> (Audit, Writer) {
    let directory = Directory::hold(&config.directory).unwrap();
    Audit::open(directory, config, "r", Configured::default(), clock).unwrap()
}

#[tokio::test]
async fn a_writer_that_panics_refuses_everybody_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (audit, writer) = open_with(&config, broken_clock);
    audit.record(event(1)).await.unwrap();
    let (path, away) = (segment(&config), directory.path().join("away"));
    fs::rename(&path, &away).unwrap();
    audit.record(event(2)).await.unwrap_err();
    // It panics when it tries again, with these in its hands.
    let waiting: Vec<_> = (0..100)
        .map(|number| {
            let audit = audit.clone();
            tokio::spawn(async move {
                until("ended", || audit.queue.is_closed() || number % 2 == 0).await;
                audit.record(event(number)).await
            })
        })
        .collect();
    for task in waiting {
        task.await.unwrap().unwrap_err();
    }
    until("ended", || audit.health() == Err(writer::ENDED.to_owned())).await;
    let refused = audit.record(event(3)).await.unwrap_err();
    assert!(
        refused.to_string().contains("its writer has ended"),
        "{refused}"
    );
    drop(audit);
    writer.join().await;
    fs::rename(&away, &path).unwrap();
    written(&config, 1).await;
    verify(&config.directory, None).unwrap();
}

#[tokio::test]
async fn nobody_waits_long_for_a_disk_that_hangs_and_nothing_is_allowed_late() {
    let directory = tempfile::tempdir().unwrap();
    let mut config = config(directory.path());
    config.timeout = crate::value::Duration::from_millis(300);
    let (audit, writer) = open_with(&config, stopped_clock);
    audit.record(event(1)).await.unwrap();
    let (path, away) = (segment(&config), directory.path().join("away"));
    fs::rename(&path, &away).unwrap();
    audit.record(event(2)).await.unwrap_err();
    fs::rename(&away, &path).unwrap();
    // It hangs when it tries again.
    until("silent", || audit.shared.silence() > Duration::ZERO).await;
    let allowed = || {
        audit.written(
            decision("allowed"),
            Wanted::WhileAwaited,
            |place, pending| {
                place.send(pending);
                Ok(())
            },
        )
    };
    let first = allowed().await;
    assert!(matches!(first, Err(RecordError::Late(_))), "{first:?}");
    until("known", || audit.health().is_err()).await;
    let said = audit.health().unwrap_err();
    assert!(said.contains("the disk has not answered for"), "{said}");
    // From now on nobody waits at all; what is true in any case is written later.
    for refused in [
        audit.record(event(3)).await.map(drop),
        allowed().await.map(drop),
        audit.record(decision("denied")).await.map(drop),
    ] {
        assert!(
            matches!(refused, Err(RecordError::Silent(_))),
            "{refused:?}"
        );
    }
    *CLOCK.0.lock().unwrap() = true;
    CLOCK.1.notify_all();
    until("back", || audit.health().is_ok()).await;
    audit.record(event(4)).await.unwrap();
    drop(audit);
    writer.join().await;
    let content: String = segments(&config.directory)
        .unwrap()
        .iter()
        .map(|path| fs::read_to_string(path).unwrap())
        .collect();
    for (id, is_there) in [
        ("allowed", false),
        ("denied", true),
        ("id-3", true),
        ("id-4", true),
    ] {
        assert_eq!(
            content.contains(&format!("\"decision_id\":\"{id}\"")),
            is_there,
            "{id}"
        );
    }
    let report = verify(&config.directory, None).unwrap();
    let told = report
        .recoveries
        .iter()
        .map(|recovered| recovered.refused_events);
    // The one that failed, and the one that was given up; what was refused at once was never queued.
    assert_eq!(told.sum::<u64>(), 2, "{report:?}");
}

fn decision(id: &str) -> Record {
    Record::of(
        &serde_json::json!({"kind": "decision", "decision_id": id}),
        64,
    )
}

#[tokio::test]
async fn a_segment_that_somebody_writes_to_or_cuts_acknowledges_nothing() {
    for change in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let config = config(directory.path());
        let (audit, writer) = open(&config).unwrap();
        audit.record(event(1)).await.unwrap();
        let path = segment(&config);
        let whole = fs::read(&path).unwrap();
        let mut changed = whole.clone();
        if change {
            changed.extend(b"{}\n");
        } else {
            changed.truncate(whole.len() - 3);
        }
        fs::write(&path, changed).unwrap();
        audit.record(event(2)).await.unwrap_err();
        drop(audit);
        writer.join().await;
        // What was added is taken out again, and kept; what was lost is not papered over.
        assert_eq!(verify(&config.directory, None).is_ok(), change);
        let aside = fs::read(path.with_extension("jsonl.torn-1"));
        assert_eq!(aside.is_ok_and(|it| it.starts_with(b"{}\n")), change);
        assert_eq!(open(&config).is_ok(), change);
    }
}

/// A copy made of hard links, with a gate of its own: what that one was told is on disk is somewhere.
#[tokio::test]
async fn what_another_gate_wrote_into_the_same_file_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    let (audit, writer) = open(&config).unwrap();
    audit.record(event(1)).await.unwrap();
    let path = segment(&config);
    let copy = Config {
        directory: directory.path().join("copy"),
        ..config.clone()
    };
    anew(&copy);
    let before = fs::read(&path).unwrap();
    let same = copy.directory.join(path.file_name().unwrap());
    fs::write(&same, &before).unwrap();
    written(&copy, 1).await;
    let theirs = fs::read(&same).unwrap();
    // All at once, as if the file were the same.
    fs::write(&path, &theirs).unwrap();
    drop(audit.record(event(2)).await);
    let aside = path.with_extension("jsonl.torn-1");
    until("it is kept", || aside.exists() && audit.health().is_ok()).await;
    audit.record(event(3)).await.unwrap();
    drop(audit);
    writer.join().await;
    let report = verify(&config.directory, None).unwrap();
    assert_eq!(report.problems, [""; 0]);
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(
        fs::read(&aside)
            .unwrap()
            .starts_with(&theirs[before.len()..])
    );
    // The next start has nothing to add.
    written(&config, 1).await;
    assert_eq!(verify(&config.directory, None).unwrap().problems, [""; 0]);
}

/// Times are told, and nothing depends on them.
#[tokio::test]
async fn a_clock_that_goes_backwards_breaks_nothing() {
    fn backwards() -> jiff::Timestamp {
        static SECONDS: std::sync::atomic::AtomicI64 = std::sync::atomic::AtomicI64::new(1_000_000);
        let seconds = SECONDS.fetch_sub(1000, Ordering::Relaxed);
        jiff::Timestamp::from_second(seconds).unwrap()
    }
    let directory = tempfile::tempdir().unwrap();
    let config = config(directory.path());
    for _ in 0..3 {
        let (audit, writer) = open_with(&config, backwards);
        audit.record(event(1)).await.unwrap();
        drop(audit);
        writer.join().await;
    }
    assert_eq!(verify(&config.directory, None).unwrap().records, 12);
}
