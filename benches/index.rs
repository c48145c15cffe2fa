//! The index: `cargo bench --bench index -- RECORDS` writes a journal of so many records, indexes it, and asks. With
//! `RECORDS DIRECTORY` it leaves the journal there, for commands to be tried on.
//!
//! The journal is one that Terraform, a few hundred jobs and some people could have written: half of the records are
//! outcomes, most changes change nothing, some are denied.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a bench that cannot begin has to say so, and prints what it measured"
)]

#[path = "journal.rs"]
mod journal;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use dtgate::audit::index::{By, FILE, Filter, Index, Pattern};
use journal::{START, STEP, write};

fn main() {
    let mut words = std::env::args();
    let records = words.find_map(|it| it.parse::<u64>().ok());
    let records = records.unwrap_or(100_000).max(1000);
    let passing = tempfile::tempdir().unwrap();
    let kept = words.find(|it| !it.starts_with('-')).map(PathBuf::from);
    let directory = kept.as_deref().unwrap_or_else(|| passing.path());
    let bytes = write(directory, records);
    let path = directory.join(FILE);
    let begun = Instant::now();
    let mut index = Index::open(directory, &path).unwrap();
    index.catch_up(|_| true).unwrap();
    let took = begun.elapsed();
    let size: u64 = std::fs::metadata(&path).unwrap().len();
    println!("records            {records}");
    println!("journal            {} MiB", bytes >> 20);
    println!("index              {} MiB", size >> 20);
    println!(
        "indexed            {:.0} records/s",
        records_a_second(records, took)
    );
    // As a command does, which comes later.
    drop(index);
    let index = Index::open(directory, &path).unwrap();
    for (name, filter) in queries(records) {
        let begun = Instant::now();
        let page = index.find(&filter, 100).unwrap();
        let took = begun.elapsed();
        println!(
            "{name:<40} {:>4} found {:>9.2} ms",
            page.decisions.len(),
            took.as_secs_f64() * 1e3
        );
    }
    let last_week = Filter {
        since: Some(START + i64::try_from(records / 2).unwrap() * STEP - 7 * 86_400_000),
        ..Filter::default()
    };
    for (name, filter, by) in [
        ("stats of the last week by policy", &last_week, By::Policy),
        ("stats of all by policy", &Filter::default(), By::Policy),
        ("stats of all by scope", &Filter::default(), By::Scope),
        ("stats of all by token", &Filter::default(), By::Token),
    ] {
        let begun = Instant::now();
        let sums = if name.contains("all") {
            index.totals(filter, by).unwrap()
        } else {
            index.sums(filter, by).unwrap()
        };
        println!(
            "{name:<40} {:>4} sums  {:>9.2} ms",
            sums.all.len(),
            begun.elapsed().as_secs_f64() * 1e3
        );
    }
}

#[expect(clippy::cast_precision_loss, reason = "nobody counts to 2^53")]
fn records_a_second(records: u64, took: Duration) -> f64 {
    records as f64 / took.as_secs_f64()
}

fn queries(records: u64) -> Vec<(&'static str, Filter)> {
    let pattern = |text: &str| vec![Pattern::Exactly(text.to_owned())];
    let half = START + i64::try_from(records / 4).unwrap() * STEP;
    vec![
        (
            "who gave a token a scope",
            Filter {
                token: pattern(&format!("dt0c01.TOKEN{:023}", 17)),
                added: pattern("logs.read"),
                ..Filter::default()
            },
        ),
        (
            "denials by a policy, a caller",
            Filter {
                caller: vec![Pattern::Exactly(format!("dt0c01.CALLER{:022}", 3))],
                policy: pattern("forbidden_scopes"),
                allowed: Some(false),
                ..Filter::default()
            },
        ),
        (
            "changes of an environment before a time",
            Filter {
                environment: pattern("prod"),
                no_op: Some(false),
                until: Some(half),
                ..Filter::default()
            },
        ),
        (
            "free text, no-ops hidden",
            Filter {
                text: Some("service-77 not".to_owned()),
                no_op: Some(false),
                ..Filter::default()
            },
        ),
        (
            "a network and a scope, nothing found",
            Filter {
                client: vec!["10.9.0.0/16".parse().unwrap()],
                scope: pattern("WriteConfig"),
                allowed: Some(true),
                ..Filter::default()
            },
        ),
    ]
}
