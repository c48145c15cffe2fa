//! The files of a directory as a set was made of them: another set can be made of them when they are gone, or wrong.

use std::path::Path;
use std::sync::Arc;

use super::files::{File, Tree};

/// All of them, tests among them.
#[derive(Clone, Debug, PartialEq)]
pub struct Held(Arc<[File]>);

impl Tree {
    /// Those that are in no bundle.
    pub(in crate::policy) fn held(&self) -> Held {
        let files = [&self.policies, &self.masks, &self.tests, &self.data_files];
        let files = files.into_iter().flatten();
        let own = files.filter(|file| self.part_of(&file.path).is_none());
        let mut own: Vec<File> = own.cloned().collect();
        // As they are read: step by step.
        own.sort_by(|one, other| Path::new(&one.name).cmp(Path::new(&other.name)));
        Held(own.into())
    }

    pub(super) fn holding(held: &Held) -> Self {
        let mut tree = Self::default();
        for file in held.0.iter() {
            tree.add(file.clone());
        }
        tree
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::Path;

    use crate::policy::{DEFAULT_LIMIT, Policy, Sources};

    /// The shipped ones have all that there can be: data in folders, tests, and a mask.
    #[test]
    fn a_set_of_what_a_directory_held_is_the_same_set() {
        let folder = tempfile::tempdir().unwrap();
        let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let copied = folder.path().join("policies");
        copy(&shipped, &copied);
        let mask = "package system.log\n\nmask contains \"/input/change/name\"\n";
        fs::write(copied.join("a_mask.rego"), mask).unwrap();
        let before = Policy::load(&copied, DEFAULT_LIMIT).unwrap();
        assert!(before.mask().is_some());
        fs::remove_dir_all(&copied).unwrap();
        let sources = Sources {
            held: Some(before.held()),
            ..Sources::at(&copied)
        };
        let again = Policy::load_all(&sources, DEFAULT_LIMIT).unwrap();
        assert_eq!(again.revision(), before.revision());
        assert_eq!(again.kept_content(), before.kept_content());
        assert_eq!(again.rules(), before.rules());
        assert_eq!(again.held(), before.held());
    }

    fn copy(from: &Path, to: &Path) {
        fs::create_dir(to).unwrap();
        for entry in fs::read_dir(from).unwrap().map(Result::unwrap) {
            let to = to.join(entry.file_name());
            if entry.path().is_dir() {
                copy(&entry.path(), &to);
            } else {
                fs::copy(entry.path(), to).unwrap();
            }
        }
    }
}
