//! A whole set of policies in one file: every source, file by file, so that it is read back as the same set, with the
//! same revision.
//!
//! It is an archive as bundles are, with a folder for each source: `0000` is the directory, `0001` the first bundle. The
//! file `.dtgate-set` says what they are, and the digest of all files. It is for looking at what was in force, and is never
//! put in force.

use std::collections::BTreeMap;
use std::io::{self, Read};

use flate2::read::GzDecoder;
use serde::{Deserialize, Serialize};

use super::data;
use super::files::{File, Kind, Tree};
use super::packed::Release;
use crate::policy::archive::manifest;
use crate::policy::archive::{Archive, MOST_BYTES, Refusal, content_without, write};
use crate::policy::problem::Problem;

/// What says that an archive is a set, and of what it was made.
pub(in crate::policy) const NAME: &str = ".dtgate-set";

/// What the file says.
#[derive(Deserialize, Serialize)]
struct Said {
    revision: String,
    /// The bundles among the sources.
    bundles: Vec<Release>,
    /// What each of them owns.
    #[serde(default)]
    roots: Vec<Vec<String>>,
    /// Rules that judge besides the policies.
    #[serde(default)]
    entrypoints: Vec<String>,
    /// SHA-256 of all its files: the revision says nothing of tests.
    files: String,
}

impl Tree {
    /// Everything that it was made from, in one file.
    pub(in crate::policy) fn kept(&self, revision: &str) -> io::Result<Vec<u8>> {
        let mut files = self.kept_files();
        let said = Said {
            revision: revision.to_owned(),
            bundles: self.parts.iter().map(|it| it.release.clone()).collect(),
            roots: self
                .parts
                .iter()
                .map(|it| it.release.roots.clone())
                .collect(),
            entrypoints: self.entrypoints.iter().map(ToString::to_string).collect(),
            files: content_without(&files, NAME),
        };
        files.insert(NAME.to_owned(), serde_json::to_vec(&said)?);
        let packed = write::packed(&files)?;
        // Several sources can be more together than one archive may be.
        match Archive::read(&packed) {
            _ if packed.len() > MOST_BYTES => {
                let message = format!("it has more than {} MiB", MOST_BYTES >> 20);
                Err(io::Error::other(message))
            }
            Err(refusal) => Err(io::Error::other(refusal.message)),
            Ok(_) => Ok(packed),
        }
    }

    /// SHA-256 of what such a file holds.
    pub(in crate::policy) fn kept_content(&self) -> String {
        content_without(&self.kept_files(), NAME)
    }

    fn kept_files(&self) -> BTreeMap<String, Vec<u8>> {
        let texts = [&self.policies, &self.masks, &self.tests, &self.data_files];
        let files = texts.into_iter().flatten().map(|file| {
            let source = self.parts.iter().position(|part| {
                let below = file.path.strip_prefix(&part.place);
                below.is_some_and(|below| below.starts_with('/'))
            });
            let number = source.map_or(0, |source| source + 1);
            let name = format!("{number:04}/{}", file.name);
            (name, file.text.clone().into_bytes())
        });
        // Without it, nobody could build the bundle again.
        let manifests = self.parts.iter().enumerate().filter_map(|(place, part)| {
            let text = part.manifest_text.as_ref()?;
            let name = format!("{:04}/{}", place + 1, manifest::NAME);
            Some((name, text.clone().into_bytes()))
        });
        files.chain(manifests).collect()
    }

    /// Puts in what another tree was made from. `place` is what stands before the names of files.
    pub(in crate::policy) fn add_kept(&mut self, place: &str, archive: Archive) {
        let set = match archive.set() {
            Ok(set) => set,
            Err(refusal) => {
                let problem = Problem::new(place, 0, 0, refusal.message);
                return self.unread.push(problem);
            }
        };
        let entrypoints = set.into_iter().flat_map(|set| set.entrypoints);
        for entrypoint in entrypoints.filter_map(|it| it.parse().ok()) {
            if !self.entrypoints.contains(&entrypoint) {
                self.entrypoints.push(entrypoint);
            }
        }
        for (entry, bytes) in archive.files {
            let path = format!("{place}/{entry}");
            let Some((_source, name)) = entry.split_once('/') else {
                continue;
            };
            let Ok(text) = String::from_utf8(bytes) else {
                let problem = Problem::new(&path, 0, 0, "it is not text in UTF-8");
                self.unread.push(problem);
                continue;
            };
            let file = File {
                name: name.to_owned(),
                path,
                text,
            };
            match Kind::of(name) {
                Kind::Policy => self.policies.push(file),
                Kind::Test => self.tests.push(file),
                Kind::Data => {
                    let added = data::add(&mut self.data, &self.data_files, &file);
                    self.problems.extend(added.err());
                    self.data_files.push(file);
                }
                Kind::Disguised(_) | Kind::Other => {}
            }
        }
    }
}

/// What a set says of the bundles that it was made of: that stands at its beginning, and no more is read.
pub(in crate::policy) fn bundles(set: impl Read) -> Option<Vec<Release>> {
    let mut archive = tar::Archive::new(GzDecoder::new(set));
    let mut first = archive.entries().ok()?.next()?.ok()?;
    if first.path_bytes() != NAME.as_bytes() {
        return None;
    }
    let mut text = Vec::new();
    first.by_ref().take(LONGEST).read_to_end(&mut text).ok()?;
    let mut said: Said = serde_json::from_slice(&text).ok()?;
    for (bundle, roots) in said.bundles.iter_mut().zip(said.roots) {
        bundle.roots = roots;
    }
    Some(said.bundles)
}

/// Of what a set says of itself, in bytes.
const LONGEST: u64 = 1 << 20;

/// A set, as far as it says itself what it is, with the files that it says it has.
pub(in crate::policy) struct Set {
    pub(in crate::policy) revision: String,
    pub(in crate::policy) bundles: Vec<Release>,
    /// SHA-256 of its files.
    pub(in crate::policy) content: String,
    entrypoints: Vec<String>,
}

impl Archive {
    /// What a set says of itself; one whose files are others is refused. `None`: the archive is no set.
    pub(in crate::policy) fn set(&self) -> Result<Option<Set>, Refusal> {
        let Some(text) = self.text(NAME)? else {
            return Ok(None);
        };
        let said: Said = serde_json::from_str(text)
            .map_err(|error| Refusal::of_file(NAME, error.to_string()))?;
        let content = self.content_without(NAME);
        if said.files != content {
            return Err(Refusal::new(format!(
                "somebody has changed it: it says that its files have the digest {}, and they have {content}",
                said.files
            )));
        }
        Ok(Some(Set {
            revision: said.revision,
            bundles: said.bundles,
            content,
            entrypoints: said.entrypoints,
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each source may be as large as it can be, and all together are more than an archive may have.
    #[test]
    fn what_nobody_could_read_again_is_not_kept() {
        let file = |number: usize| File {
            path: format!("p/{number}_test.rego"),
            name: format!("{number}_test.rego"),
            text: String::new(),
        };
        let with = |files: usize| Tree {
            tests: (0..files).map(file).collect(),
            ..Tree::default()
        };
        let error = with(10_001).kept("a").unwrap_err();
        assert!(
            error.to_string().contains("more than 10000 files"),
            "{error}"
        );
        let kept = with(3).kept("a").unwrap();
        assert!(Archive::read(&kept).unwrap().set().unwrap().is_some());
    }
}
