//! A set of policies that was in force, as it was kept: whether it is the one that it says it is, and what is in it.

use std::fs::File;
use std::path::Path;

use crate::policy::archive::Archive;
use crate::policy::bundle::revision;
use crate::policy::problem::{LoadError, Problem};
use crate::policy::source::files::Tree;
use crate::policy::source::kept;
use crate::policy::source::packed::Release;

/// One of them. Its files are those by which requests were judged: the revision was computed again, and the digest of all
/// files, those of tests among them.
#[derive(Debug)]
#[non_exhaustive]
pub struct Generation {
    pub revision: String,
    pub bundles: Vec<Release>,
    /// SHA-256 of all its files, as the record says it that put it in force.
    pub content: String,
    /// By name and text, in the order of their names; tests are among them.
    pub files: Vec<(String, String)>,
}

impl Generation {
    /// The bundles that a set was made of, as it says itself: nothing else of it is read. `None`: it is no set.
    pub fn bundles_of(path: &Path) -> Option<Vec<Release>> {
        kept::bundles(File::open(path).ok()?)
    }

    /// Reads one, and refuses what is not what it says.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let place = path.display().to_string();
        let refused = |message: String| LoadError {
            problems: vec![Problem::new(&place, 0, 0, message)],
        };
        let archive = Archive::open(path).map_err(|refusal| refused(refusal.message))?;
        let said = archive.set().map_err(|refusal| refused(refusal.message))?;
        let Some(set) = said else {
            return Err(refused(
                "it is no set that a gate has kept: those are below policies/ in the directory of the journal".to_owned(),
            ));
        };
        let mut files = Vec::new();
        for (name, bytes) in &archive.files {
            if let (Some((_source, _name)), Ok(text)) =
                (name.split_once('/'), str::from_utf8(bytes))
            {
                files.push((name.clone(), text.to_owned()));
            }
        }
        let mut tree = Tree::default();
        tree.add_kept(&place, archive);
        let found = revision(&tree);
        if found != set.revision {
            return Err(refused(format!(
                "somebody has changed it: it says that it is {}, and its files are {found}",
                set.revision
            )));
        }
        Ok(Self {
            revision: found,
            bundles: set.bundles,
            content: set.content,
            files,
        })
    }
}
