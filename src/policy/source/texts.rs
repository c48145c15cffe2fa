//! The files of a set as texts, and a set made of texts: for whoever tries other policies than those in force, without a
//! directory.

use serde::{Deserialize, Serialize};

use super::data;
use super::files::{File, Kind, Tree};

/// A file of policies or data.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
pub struct Text {
    /// What it is called where several sources are one set: each path is there once.
    pub path: String,
    /// Below its source, with slashes: where its data belong.
    pub name: String,
    pub text: String,
}

impl Tree {
    /// Below its source; of a bundle with the bundle's name before it.
    pub(in crate::policy) fn called(&self, file: &File) -> String {
        match self.part_of(&file.path) {
            Some(part) => format!("{}/{}", part.release.name, file.name),
            None => file.name.clone(),
        }
    }

    /// What judges, and the data. Without tests.
    pub(in crate::policy) fn texts(&self) -> Vec<Text> {
        let files = [&self.policies, &self.masks, &self.data_files];
        let mut texts: Vec<Text> = Vec::new();
        for file in files.into_iter().flatten() {
            let path = self.called(file);
            let is_there = texts.iter().any(|it| it.path == path);
            texts.push(Text {
                path: if is_there { file.path.clone() } else { path },
                name: file.name.clone(),
                text: file.text.clone(),
            });
        }
        texts.sort_by(|one, other| one.path.cmp(&other.path));
        texts
    }

    /// Of texts alone. What is neither policy nor data is left out, as in a directory; so are tests.
    pub(in crate::policy) fn of_texts(texts: Vec<Text>) -> Self {
        let mut tree = Self::default();
        for Text { path, name, text } in texts {
            let kind = Kind::of(&name);
            let file = File { path, name, text };
            match kind {
                Kind::Policy => tree.policies.push(file),
                Kind::Data => {
                    let added = data::add(&mut tree.data, &tree.data_files, &file);
                    tree.problems.extend(added.err());
                    tree.data_files.push(file);
                }
                Kind::Test | Kind::Disguised(_) | Kind::Other => {}
            }
        }
        tree.own_data.clone_from(&tree.data);
        tree
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use crate::policy::{DEFAULT_LIMIT, Policy};

    #[test]
    fn a_set_of_the_texts_of_another_is_the_same_set() {
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("policies");
        let shipped = Policy::load(directory, DEFAULT_LIMIT).unwrap();
        let texts = shipped.texts();
        let data = texts
            .iter()
            .find(|it| it.path == "dynatrace/scopes/data.json");
        assert_eq!(data.unwrap().name, "dynatrace/scopes/data.json");
        assert!(texts.iter().all(|it| !it.path.ends_with("_test.rego")));
        let again = Policy::of_texts(texts, &[], DEFAULT_LIMIT).unwrap();
        assert_eq!(again.revision(), shipped.revision());
        assert_eq!(again.rules(), shipped.rules());
        assert!(Policy::of_texts(Vec::new(), &[], DEFAULT_LIMIT).is_err());
    }
}
