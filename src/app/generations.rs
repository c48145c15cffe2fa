//! Keeps every set of policies that was in force, by its revision, in the journal's directory: whoever reads a record
//! finds the policies again by which it was decided.
//!
//! It is written before the first request is judged by it. That it cannot be written is said, and stops nobody.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use anyhow::Context;
use jiff::Timestamp;

use super::now;
use crate::bundles;
use crate::config::Config;
use crate::policy::{Generation, Least, Policy, Release};
use crate::value::{Size, absolute, read_file};

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

/// Whether sets of policies were in force here, and not this one.
pub(super) fn are_others(journal: &Path, revision: &str) -> bool {
    let kept = list(&folder(journal)).unwrap_or_default();
    !kept.is_empty() && !path(journal, revision).exists()
}

/// The set that was in force last.
pub(super) fn newest(journal: &Path) -> Option<PathBuf> {
    let kept = list(&folder(journal)).ok()?;
    kept.into_iter().next().map(|(path, ..)| path)
}

/// Of each bundle the one with the highest number that was in force here, by its name.
pub(super) fn newest_releases(journal: &Path) -> BTreeMap<String, Least> {
    let mut newest: BTreeMap<String, Least> = BTreeMap::new();
    // Of those with the same number the one that was in force last.
    for (path, ..) in list(&folder(journal)).unwrap_or_default() {
        for release in Generation::bundles_of(&path).into_iter().flatten() {
            let before = newest.remove(&release.name);
            if let Some(least) = Least::of(before, release.least()) {
                newest.insert(release.name, least);
            }
        }
    }
    newest
}

/// The bundles of the set that was in force last.
pub(super) fn last_releases(journal: &Path) -> Vec<Release> {
    let newest = newest(journal).and_then(|path| Generation::bundles_of(&path));
    newest.unwrap_or_default()
}

/// What of a bundle was in force last, whatever sets without it were in force since.
pub(super) fn last_release(journal: &Path, name: &str) -> Option<Release> {
    let kept = list(&folder(journal)).unwrap_or_default();
    let releases = kept
        .iter()
        .filter_map(|(path, ..)| Generation::bundles_of(path));
    releases.flatten().find(|release| release.name == name)
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
    for (path, size, _) in kept {
        if size <= left {
            left -= size;
            continue;
        }
        left = 0;
        fs::remove_file(&path).with_context(|| path.display().to_string())?;
        tracing::info!(
            path = absolute(&path),
            "policies that were in force, or asked as a challenger, are not kept any more (policies.archive_size)"
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
        assert!(!are_others(folder.path(), "a"));
        fs::create_dir(super::folder(folder.path())).unwrap();
        assert!(!are_others(folder.path(), "a"));
        fs::write(super::path(folder.path(), "b"), "").unwrap();
        assert!(are_others(folder.path(), "a") && !are_others(folder.path(), "b"));
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
        assert!(!are_others(folder.path(), "a") && newest(folder.path()).is_none());
        assert!(newest_releases(folder.path()).is_empty());
        // What was in force is kept once.
        fs::remove_file(&kept).unwrap();
        keep(&config, &policy);
        keep_challenger(&config, &policy);
        assert!(!kept.exists() && !are_others(folder.path(), revision));
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
}
