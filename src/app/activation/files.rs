//! The directory of the requests: what has to become of each is said by where it is.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{anyhow, bail};

use super::{Become, Wanted};
use crate::value::unread;

/// Everything below `deny`, `allow` and `refused`. A directory below `deny` is called like the policy that has to
/// deny: `deny/naming`, or `deny/envoy/authz/allow`.
pub(super) fn all(directory: &Path) -> anyhow::Result<Vec<Wanted>> {
    let mut found = Vec::new();
    for (path, name, is_directory) in entries(directory)? {
        match name.as_str() {
            "deny" if is_directory => denied(&path, None, &mut found)?,
            "allow" if is_directory => add(&path, &|| Become::Allowed, &mut found)?,
            "refused" if is_directory => add(&path, &|| Become::Refused, &mut found)?,
            _ => bail!(
                "{}: nothing is read here but the directories deny, allow and refused: give it another place",
                path.display()
            ),
        }
    }
    found.sort_by(|one, other| one.path.cmp(&other.path));
    Ok(found)
}

/// `by`: the policy that the directory is called like, if it is called like one.
fn denied(directory: &Path, by: Option<&str>, found: &mut Vec<Wanted>) -> anyhow::Result<()> {
    if by.is_some_and(|by| by.split('/').count() > MOST_STEPS) {
        bail!(
            "{}: there are more than {MOST_STEPS} directories within each other",
            directory.display()
        );
    }
    for (path, name, is_directory) in entries(directory)? {
        if is_directory {
            // The name of an entrypoint has slashes, and is as many directories.
            let name = by.map_or_else(|| name.clone(), |by| format!("{by}/{name}"));
            denied(&path, Some(&name), found)?;
        } else {
            let become_of_it = Become::Denied(by.map(str::to_owned));
            found.push(Wanted { path, become_of_it });
        }
    }
    few(found)
}

fn add(
    directory: &Path,
    become_of_it: &dyn Fn() -> Become,
    found: &mut Vec<Wanted>,
) -> anyhow::Result<()> {
    let all = entries(directory)?.into_iter();
    found.extend(all.map(|(path, ..)| Wanted {
        path,
        become_of_it: become_of_it(),
    }));
    few(found)
}

fn few(found: &[Wanted]) -> anyhow::Result<()> {
    if found.len() > MOST_REQUESTS {
        bail!("there are more than {MOST_REQUESTS} requests");
    }
    Ok(())
}

/// Each entry that is not hidden: its path, its name, and whether it is a directory.
fn entries(directory: &Path) -> anyhow::Result<Vec<(PathBuf, String, bool)>> {
    let failed = |error: &std::io::Error| anyhow!("{}: {}", directory.display(), unread(error));
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).map_err(|error| failed(&error))? {
        let entry = entry.map_err(|error| failed(&error))?;
        let (path, name) = (entry.path(), entry.file_name());
        let name = name.to_string_lossy();
        if !name.starts_with('.') {
            let is_directory = path.is_dir();
            found.push((path, name.into_owned(), is_directory));
        }
        if found.len() > MOST_REQUESTS {
            bail!(
                "{}: there are more than {MOST_REQUESTS} files",
                directory.display()
            );
        }
    }
    Ok(found)
}

const MOST_REQUESTS: usize = 1000;
/// Of the name of an entrypoint.
const MOST_STEPS: usize = 32;
