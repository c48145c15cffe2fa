//! Keeps every set of policies that was in force, by its revision, in the journal's directory: whoever reads a record
//! finds the policies again by which it was decided.
//!
//! It is written before the first request is judged by it. That it cannot be written is said, and stops nobody.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::{Context, anyhow};
use jiff::Timestamp;
use memchr::memmem;
use serde::Deserialize;

use super::now;
use crate::audit::lines::{Lines, Place};
use crate::audit::{first_record, segments};
use crate::bundles;
use crate::config::Config;
use crate::policy::{Generation, Policy, Release};
use crate::value::{Size, absolute, read_file, unread};

/// Below the journal's directory.
const FOLDER: &str = "policies";

/// Where the sets are that were in force while this journal was written.
pub fn folder(journal: &Path) -> PathBuf {
    journal.join(FOLDER)
}

/// Where the set of a revision is.
pub fn path(journal: &Path, revision: &str) -> PathBuf {
    folder(journal).join(format!("{revision}{ENDING}"))
}

/// Where the sets are that were asked as challengers: none of them counts as one that was in force.
pub fn challengers(journal: &Path) -> PathBuf {
    folder(journal).join("challengers")
}

/// Whether others were in force here, and never this one, as far as the kept sets and the journal know.
pub(super) fn is_new(journal: &Path, revision: &str) -> anyhow::Result<bool> {
    let path = path(journal, revision);
    let is_kept = path.try_exists();
    if is_kept.with_context(|| format!("journal.directory: {}", path.display()))? {
        return Ok(false);
    }
    let are_any_kept = !listed(journal)?.is_empty();
    // Sets can be lost, and there are some that could not be kept.
    let last = last_revision(journal).map_err(|error| {
        anyhow!(
            "journal.directory: {}: {}",
            journal.display(),
            unread(&error)
        )
    })?;
    Ok(match last {
        Some(last) => last != revision,
        None => are_any_kept,
    })
}

/// By which policies the journal was written last; none where no record says it. `None`: it has no records.
fn last_revision(journal: &Path) -> io::Result<Option<String>> {
    let segments = match segments(journal) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        segments => segments?,
    };
    let mut is_any = false;
    for segment in segments.iter().rev().filter_map(|path| first_record(path)) {
        let mut lines = Lines::from(journal, Place { segment, offset: 0 }).over_damage();
        let mut last = None;
        while let Some(line) = lines.next_line()?
            && line.place.segment == segment
        {
            is_any = true;
            let is = |kind: &[u8]| memmem::find(&line.bytes, kind).is_some();
            let may_tell = is(DECISION) || is(START) || is(RELOAD);
            // Others behind it may have lost it to a mask.
            if may_tell && let Some(revision) = revision_of(&line.bytes) {
                last = Some(revision);
            }
        }
        if last.is_some() {
            return Ok(last);
        }
    }
    Ok(is_any.then(String::new))
}

/// By which policies something was decided, or was to be from then on.
fn revision_of(line: &[u8]) -> Option<String> {
    #[derive(Deserialize)]
    struct Told {
        kind: String,
        revision: Option<String>,
        to: Option<String>,
        bundles: Option<serde_json::Value>,
    }
    let told: Told = serde_json::from_slice(line).ok()?;
    match told.kind.as_str() {
        "start" => told.revision,
        "reload" => told.to,
        "decision" => {
            let revision = told.bundles?;
            let revision = revision.pointer("/policies/revision")?.as_str()?;
            Some(revision.to_owned())
        }
        _ => None,
    }
}

const DECISION: &[u8] = b"\"kind\":\"decision\"";
const START: &[u8] = b"\"kind\":\"start\"";
const RELOAD: &[u8] = b"\"kind\":\"reload\"";

/// The set that was in force last.
pub(super) fn newest(journal: &Path) -> anyhow::Result<Option<PathBuf>> {
    let kept = listed(journal)?;
    Ok(kept.into_iter().next().map(|(path, ..)| path))
}

/// All bundles of the sets that are kept; those of the newest set first.
pub(super) fn releases(journal: &Path) -> anyhow::Result<Vec<Release>> {
    let kept = listed(journal)?;
    // Somebody may have put others there.
    let newest = kept.iter().take(MOST_SETS);
    let releases = newest.filter_map(|(path, ..)| Generation::bundles_of(path));
    Ok(releases.flatten().collect())
}

/// All kept sets, the newest first. None, where none was ever kept; what cannot be read is not none.
fn listed(journal: &Path) -> anyhow::Result<Vec<(PathBuf, u64, SystemTime)>> {
    let folder = folder(journal);
    match list(&folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        kept => kept.map_err(|error| {
            anyhow!(
                "journal.directory: {}: the policies that were in force cannot be read: {}",
                folder.display(),
                unread(&error)
            )
        }),
    }
}

/// Behind the revision.
pub const ENDING: &str = ".tar.gz";

/// Keeps what is in force from here on.
pub(super) fn keep(config: &Config, policy: &Policy) {
    let journal = &config.journal.directory;
    let path = path(journal, policy.revision());
    let kept = write(&path, policy).and_then(|()| make_room(&path, config.policies.archive_size));
    if let Err(error) = kept {
        tracing::error!(
            path = absolute(&path),
            error = format!("{error:#}"),
            "these policies are in force and are not kept: dtgate policies show will not find them"
        );
    }
}

/// Keeps a challenger, of which records say the revision, before it is asked.
pub(super) fn keep_challenger(config: &Config, policy: &Policy) {
    let journal = &config.journal.directory;
    if path(journal, policy.revision()).exists() {
        return;
    }
    let path = challengers(journal).join(format!("{}{ENDING}", policy.revision()));
    let kept = write(&path, policy).and_then(|()| make_room(&path, config.policies.archive_size));
    if let Err(error) = kept {
        tracing::warn!(
            path = absolute(&path),
            error = format!("{error:#}"),
            "the challenger is asked and is not kept: dtgate policies show will not find it"
        );
    }
}

fn write(path: &Path, policy: &Policy) -> anyhow::Result<()> {
    let bytes = policy.kept().context("archive")?;
    let is_whole = read_file(path, bytes.len() as u64).is_ok_and(|kept| kept == bytes);
    if !is_whole {
        bundles::replace(path, &bytes).context("write")?;
    }
    // It is the newest, also where two are put in force in one moment, or somebody has set the clock back.
    let kept = list(path.parent().unwrap_or(path)).unwrap_or_default();
    let others = kept.iter().filter(|(other, ..)| other != path);
    let after = others.map(|(.., modified)| *modified + A_LITTLE).max();
    let since = Duration::try_from(now().duration_since(Timestamp::UNIX_EPOCH));
    let now = SystemTime::UNIX_EPOCH + since.unwrap_or_default();
    let file = File::options().write(true).open(path).context("open")?;
    file.set_modified(after.map_or(now, |after| after.max(now)))
        .context("touch")
}

/// Sets that are kept: each is opened at a start, and at each reload.
const MOST_SETS: usize = 2_000;

/// What any file system tells apart.
const A_LITTLE: Duration = Duration::from_millis(1);

/// Takes away those that were in force longest ago, until the rest fits.
fn make_room(in_force: &Path, most: Size) -> anyhow::Result<()> {
    let folder = in_force.parent().unwrap_or(in_force);
    let mut kept = list(folder).context("list")?;
    kept.retain(|(path, ..)| path != in_force);
    let mut left = most
        .as_u64()
        .saturating_sub(fs::metadata(in_force).map_or(0, |found| found.len()));
    for (number, (path, size, _)) in kept.into_iter().enumerate() {
        if size <= left && number + 1 < MOST_SETS {
            left -= size;
            continue;
        }
        left = 0;
        fs::remove_file(&path).with_context(|| path.display().to_string())?;
        tracing::info!(
            path = absolute(&path),
            "policies that were in force, or asked as a challenger, are not kept any more (policies.archive_size, or more than 2000)"
        );
    }
    Ok(())
}

/// All of them, with their size and when they were put in force last; the newest first.
pub fn list(folder: &Path) -> io::Result<Vec<(PathBuf, u64, SystemTime)>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let is_one = entry.file_name().to_string_lossy().ends_with(ENDING);
        let metadata = entry.metadata()?;
        if is_one && metadata.is_file() {
            found.push((entry.path(), metadata.len(), metadata.modified()?));
        }
    }
    found.sort_by_key(|(.., modified)| std::cmp::Reverse(*modified));
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_whose_file_was_emptied_or_changed_is_written_anew() {
        let (folder, policies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let rego =
            "package dtgate.a\n\ndeny contains \"no\" if input.change.name.requested == \"a\"\n";
        fs::write(policies.path().join("a.rego"), rego).unwrap();
        let policy = crate::app::policies_at(policies.path(), &[]).unwrap();
        let path = folder.path().join("a.tar.gz");
        for before in [None, Some(""), Some("changed")] {
            if let Some(before) = before {
                fs::write(&path, before).unwrap();
            }
            write(&path, &policy).unwrap();
            assert_eq!(
                fs::read(&path).unwrap(),
                policy.kept().unwrap(),
                "{before:?}"
            );
            write(&path, &policy).unwrap();
        }
        let is_new = |revision: &str| is_new(folder.path(), revision).unwrap();
        assert!(!is_new("a"));
        fs::create_dir(super::folder(folder.path())).unwrap();
        assert!(!is_new("a"));
        fs::write(super::path(folder.path(), "b"), "").unwrap();
        assert!(is_new("a") && !is_new("b"));
    }

    #[test]
    fn a_challenger_is_kept_and_was_not_in_force() {
        let (folder, policies) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let rego = "package dtgate.a\n\ndeny contains \"no\" if false\n";
        fs::write(policies.path().join("a.rego"), rego).unwrap();
        let policy = crate::app::policies_at(policies.path(), &[]).unwrap();
        let text = format!("journal.directory = '{}'", folder.path().display());
        let config: Config = toml::from_str(&text).unwrap();
        let revision = policy.revision();
        let kept = challengers(folder.path()).join(format!("{revision}{ENDING}"));
        keep_challenger(&config, &policy);
        assert_eq!(Generation::open(&kept).unwrap().revision, revision);
        assert!(!is_new(folder.path(), "a").unwrap());
        assert!(newest(folder.path()).unwrap().is_none());
        assert!(releases(folder.path()).unwrap().is_empty());
        // What was in force is kept once.
        fs::remove_file(&kept).unwrap();
        keep(&config, &policy);
        keep_challenger(&config, &policy);
        assert!(!kept.exists() && !is_new(folder.path(), revision).unwrap());
    }

    /// Whoever took the kept sets away started what a reload had refused.
    #[test]
    fn the_journal_knows_what_was_in_force_where_the_kept_sets_are_gone() {
        let journal = tempfile::tempdir().unwrap();
        let segment = |number: u64, lines: &[&str]| {
            let path = journal.path().join(format!("{number:020}.jsonl"));
            fs::write(path, format!("{}\n", lines.join("\n"))).unwrap();
        };
        let is_new = |revision: &str| is_new(journal.path(), revision).unwrap();
        assert!(!is_new("a"));
        segment(1, &["{\"kind\":\"start\",\"revision\":\"a\"}"]);
        assert!(!is_new("a") && is_new("b"));
        let refused = "{\"kind\":\"reload\",\"ok\":false,\"from\":\"a\"}";
        segment(2, &[refused, "{\"kind\":\"stop\"}"]);
        assert!(!is_new("a") && is_new("b"));
        segment(
            4,
            &[
                "{\"kind\":\"reload\",\"ok\":true,\"from\":\"a\",\"to\":\"b\"}",
                refused,
            ],
        );
        assert!(is_new("a") && !is_new("b"));
        let decided = "{\"kind\":\"decision\",\"bundles\":{\"policies\":{\"revision\":\"c\"}}}";
        segment(9, &[decided, "{\"kind\":\"outcome\"}"]);
        assert!(is_new("b") && !is_new("c"));
        // Masks have taken it out of what came last, or put something else in its place.
        let masked = [
            "{\"kind\":\"decision\",\"erased\":[\"/bundles\"]}",
            "{\"kind\":\"decision\",\"bundles\":null}",
            "{\"kind\":\"decision\",\"bundles\":{\"policies\":{\"revision\":7}}}",
            "{\"kind\":\"reload\",\"ok\":true,\"to\":7}",
        ];
        for masked in masked {
            segment(
                11,
                &[decided, "{\"kind\":\"start\",\"revision\":\"d\"}", masked],
            );
            assert!(is_new("c") && !is_new("d"), "{masked}");
        }
        // What cannot be read is not none.
        fs::write(folder(journal.path()), "").unwrap();
        let said = format!("{:#}", super::is_new(journal.path(), "b").unwrap_err());
        assert!(said.starts_with("journal.directory: "), "{said}");
        assert!(releases(journal.path()).is_err() && newest(journal.path()).is_err());
    }

    #[test]
    fn the_oldest_make_room_and_the_one_in_force_stays() {
        let folder = tempfile::tempdir().unwrap();
        let of = |age: u64| {
            let path = folder.path().join(format!("{age}{ENDING}"));
            fs::write(&path, [0; 100]).unwrap();
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(1000 - age);
            let file = File::options().write(true).open(&path).unwrap();
            file.set_modified(modified).unwrap();
            path
        };
        let paths: Vec<PathBuf> = (1..=5).map(of).collect();
        let left = || -> Vec<bool> { paths.iter().map(|path| path.exists()).collect() };
        make_room(&paths[4], Size::from_bytes(500)).unwrap();
        assert_eq!(left(), [true; 5]);
        make_room(&paths[4], Size::from_bytes(399)).unwrap();
        assert_eq!(left(), [true, true, false, false, true]);
        make_room(&paths[4], Size::from_bytes(1)).unwrap();
        assert_eq!(left(), [false, false, false, false, true]);
    }

    /// Each is opened at a start, however little room it takes.
    #[test]
    fn no_more_sets_are_kept_than_are_opened_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let of = |age: usize| {
            let path = folder.path().join(format!("{age}{ENDING}"));
            let file = File::create(&path).unwrap();
            let modified = SystemTime::UNIX_EPOCH + Duration::from_secs(9000 - age as u64);
            file.set_modified(modified).unwrap();
            path
        };
        let paths: Vec<PathBuf> = (0..MOST_SETS + 5).map(of).collect();
        make_room(&paths[0], Size::from_bytes(500)).unwrap();
        let left = |number: usize| paths[number].exists();
        assert!(left(0) && left(MOST_SETS - 1) && !left(MOST_SETS) && !left(MOST_SETS + 4));
    }
}
