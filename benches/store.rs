//! The store: `cargo bench --bench store -- URL RECORDS PASSWORD_FILE` writes a journal of so many records and sends it to
//! an empty database. It leaves there what it sent. With 0 records it only makes the tables.

#![expect(
    clippy::indexing_slicing,
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::cast_precision_loss,
    reason = "a bench that cannot begin has to say so, and prints what it measured"
)]

#[path = "journal.rs"]
mod journal;

use std::sync::Arc;
use std::time::Instant;

use dtgate::audit::outgoing::Bookmark;
use dtgate::store::{Config, Connected, MOST, Sink, Standing, Url};

fn main() {
    let words: Vec<String> = std::env::args().collect();
    let Some(url) = words.iter().find(|it| it.starts_with("postgres")) else {
        println!("give the URL of an empty database");
        return;
    };
    let records = words.iter().find_map(|it| it.parse::<u64>().ok());
    let records = records.unwrap_or(100_000);
    let config = Config {
        password_file: words
            .iter()
            .skip(1)
            .find(|it| it.starts_with('/'))
            .map(Into::into),
        ..Config::at(url.parse::<Url>().unwrap())
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(run(&config, records));
}

async fn run(config: &Config, records: u64) {
    if records == 0 {
        Connected::open(config, "bench").await.unwrap();
        return;
    }
    let records = records.max(1000);
    let directory = tempfile::tempdir().unwrap();
    let bytes = journal::write(directory.path(), records);
    let about = Arc::new(|| Standing {
        version: "bench",
        revision: "".into(),
        listen: String::new(),
        head: (0, String::new()),
        started: jiff::Timestamp::UNIX_EPOCH,
        key: String::new(),
    });
    let gate = format!("bench-{}", std::process::id());
    let mut sink = Sink::new(config, &gate, about).unwrap();
    let mut bookmark = Bookmark::open(directory.path(), "bench", 0).unwrap();
    let begun = Instant::now();
    loop {
        let batch = bookmark.next(records, MOST).unwrap();
        let Some(last) = batch.records.last() else {
            break;
        };
        sink.send(&batch.records).await.unwrap();
        bookmark.passed(last);
        bookmark.arrived();
    }
    let took = begun.elapsed().as_secs_f64();
    let connected = Connected::open(config, "bench").await.unwrap();
    let size = "SELECT sum(pg_total_relation_size(inhrelid))::bigint, sum(pg_relation_size(inhrelid))::bigint
      FROM pg_inherits WHERE inhparent = 'dtgate.record'::regclass";
    let size = connected.client.query_one(size, &[]).await.unwrap();
    let [all, rows]: [i64; 2] = [size.try_get(0).unwrap(), size.try_get(1).unwrap()];
    println!("records            {records}");
    println!("journal            {} MiB", bytes >> 20);
    println!("sent               {:.0} records/s", records as f64 / took);
    println!(
        "table              {} MiB, {} MiB without indexes",
        all >> 20,
        rows >> 20
    );
    println!("bytes a record     {}", all.unsigned_abs() / records);
}
