//! Policies and data that come in OPA bundles, and the sources that make one set.
//!
//! It guarantees that a bundle is read only after its signature was found right, and that what is not read is said. What
//! belongs to whom is checked in [`super::roots`].

use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Map;

use super::files::{File, Kind, Tree};
use super::held::Held;
use super::older::{Before, content, has_rego, permit};
use super::{data, kept, roots};
use crate::policy::archive::manifest::{self, Manifest};
use crate::policy::archive::signature::{self, Signer};
use crate::policy::archive::{Archive, Refusal};
use crate::policy::entrypoint::Entrypoint;
use crate::policy::problem::Problem;

/// Where policies come from: together they are one set.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sources {
    pub directory: Option<PathBuf>,
    /// What the directory is taken to hold, whatever stands there now.
    pub held: Option<Held>,
    pub bundles: Vec<Packed>,
    /// Rules that judge besides all policies, as those of OPA's Envoy plugin do.
    pub entrypoints: Vec<Entrypoint>,
    /// Whether an entrypoint without a rule is left out; else nothing is loaded.
    pub may_lack: bool,
}

/// A bundle in a file.
#[derive(Clone, Debug, PartialEq)]
pub struct Packed {
    pub name: String,
    pub file: PathBuf,
    pub signature: Signature,
    /// What it may own, as a manifest says it. None: any part of `data` that no other source has.
    pub roots: Option<Vec<String>>,
    /// Whether there are other sources beside it.
    pub is_shared: bool,
    /// What was in force, under this name and others: nothing older may take its place.
    pub before: Vec<Before>,
}

/// How a bundle has to be signed.
#[derive(Clone, Debug, PartialEq)]
pub enum Signature {
    By(Box<Signer>),
    /// Not at all: nobody has a key for it.
    None,
    /// Nobody asks, where nothing is put in force.
    Unchecked,
}

/// A bundle that was read.
#[derive(Clone, Debug, Deserialize, Eq, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Release {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revision: Option<String>,
    /// SHA-256 of the archive.
    pub digest: String,
    /// SHA-256 of what is in it, its signature aside: the same files, signed again, have the same.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub content: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sequence: Option<u64>,
    /// What it owns.
    #[serde(skip)]
    pub roots: Vec<String>,
    /// Whether it has policies, or what they share.
    #[serde(skip)]
    pub has_rego: bool,
    /// The archive: what is put in force is kept as it was judged, and another may have come into its place meanwhile.
    #[serde(skip)]
    pub packed: Arc<[u8]>,
}

impl Release {
    /// For people: `platform, revision r1, sequence 7`, as far as it says them.
    pub fn told(&self) -> String {
        let revision = self.revision.as_ref();
        let revision = revision.map(|revision| format!("revision {revision}"));
        let sequence = self.sequence.map(|sequence| format!("sequence {sequence}"));
        let parts = [Some(self.name.clone()), revision, sequence];
        parts.into_iter().flatten().collect::<Vec<_>>().join(", ")
    }
}

/// The same, as a part of a tree.
pub(in crate::policy) struct Part {
    pub(in crate::policy) release: Release,
    /// What stands before the names of its files.
    pub(in crate::policy) place: String,
    pub(in crate::policy) manifest: Manifest,
    /// What the bundle says of itself, as it stands there.
    pub(in crate::policy) manifest_text: Option<String>,
}

impl Release {
    /// Whether this file is its archive.
    pub fn is_at(&self, file: &Path) -> bool {
        Archive::digest_of(file).is_ok_and(|digest| digest == self.digest)
    }
}

impl Packed {
    /// Whether these bytes are a bundle that may be read in its place, as far as that can be said of it alone: it is whole,
    /// signed as it has to be, and owns no more than it may.
    pub fn vet(&self, bytes: &[u8]) -> Result<(), String> {
        let read = Archive::read(bytes).and_then(|archive| permitted(&archive, self));
        read.map(drop).map_err(|refusal| match refusal.file {
            Some(file) => format!("{file}: {}", refusal.message),
            None => refusal.message,
        })
    }
}

impl Sources {
    /// One directory, or one bundle, which is looked at only.
    pub fn at(path: &Path) -> Self {
        if is_bundle(path) {
            Self {
                directory: None,
                bundles: vec![Packed {
                    name: path.display().to_string(),
                    file: path.to_owned(),
                    signature: Signature::Unchecked,
                    roots: None,
                    is_shared: false,
                    before: Vec::new(),
                }],
                ..Self::default()
            }
        } else {
            Self {
                directory: Some(path.to_owned()),
                ..Self::default()
            }
        }
    }

    /// The same, with these entrypoints.
    #[must_use]
    pub fn with(self, entrypoints: &[Entrypoint]) -> Self {
        Self {
            entrypoints: entrypoints.to_vec(),
            ..self
        }
    }

    /// The same, with those of these entrypoints that are there.
    #[must_use]
    pub fn with_those_of(self, entrypoints: &[Entrypoint]) -> Self {
        Self {
            may_lack: true,
            ..self.with(entrypoints)
        }
    }
}

/// By its name.
pub(in crate::policy) fn is_bundle(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    name.is_some_and(|name| name.ends_with(".tar.gz")) && !path.is_dir()
}

impl Tree {
    /// Reads all sources. The directory has to be one.
    pub(in crate::policy) fn of(sources: &Sources) -> Self {
        let mut tree = match (&sources.directory, &sources.held) {
            (Some(_), Some(held)) => Self::holding(held),
            (Some(directory), None) => Self::read_directory(directory),
            (None, _) => Self::default(),
        };
        tree.own_data.clone_from(&tree.data);
        tree.entrypoints.clone_from(&sources.entrypoints);
        tree.may_lack = sources.may_lack;
        for bundle in &sources.bundles {
            tree.add_bundle(bundle);
        }
        tree
    }

    pub(super) fn add_bundle(&mut self, bundle: &Packed) {
        self.add_archive(Archive::open(&bundle.file), bundle);
    }

    pub(in crate::policy) fn add_archive(
        &mut self,
        archive: Result<Archive, Refusal>,
        bundle: &Packed,
    ) {
        let place = bundle.file.display().to_string();
        let archive = match archive {
            Ok(set)
                if bundle.signature == Signature::Unchecked
                    && set.files.contains_key(kept::NAME) =>
            {
                return self.add_kept(&place, set);
            }
            archive => archive,
        };
        let read = archive.and_then(|archive| Ok((permitted(&archive, bundle)?, archive)));
        let (manifest, archive) = match read {
            Ok(read) => read,
            Err(refusal) => return self.unread.push(problem(&place, &refusal)),
        };
        let (content, has_rego) = (content(&archive), has_rego(&archive));
        let manifest_text = archive.text(manifest::NAME).ok().flatten();
        let manifest_text = manifest_text.map(str::to_owned);
        let mut own = (Map::new(), Vec::new());
        for (name, bytes) in archive.files {
            self.packed_file(&place, name, bytes, &mut own);
        }
        let (own_data, own_files) = own;
        self.problems
            .extend(roots::outside(&manifest, &own_data, &own_files));
        self.data_files.extend(own_files);
        self.parts.push(Part {
            release: Release {
                name: bundle.name.clone(),
                revision: manifest.revision.clone(),
                digest: archive.digest,
                content,
                sequence: manifest.sequence,
                roots: manifest.shown_roots(),
                has_rego,
                packed: archive.packed,
            },
            place,
            manifest,
            manifest_text,
        });
    }

    /// `own`: the data of this bundle alone, and the files that it stands in.
    fn packed_file(
        &mut self,
        place: &str,
        name: String,
        bytes: Vec<u8>,
        own: &mut (Map<String, serde_json::Value>, Vec<File>),
    ) {
        let path = format!("{place}/{name}");
        let base = name.rsplit('/').next().unwrap_or(&name);
        let is_data = matches!(base, "data.json" | "data.yaml" | "data.yml");
        let kind = match Kind::of(base) {
            _ if name == manifest::NAME || name == signature::NAME => return,
            Kind::Other => return,
            kind @ (Kind::Data | Kind::Disguised(_)) if !is_data => {
                if !matches!(kind, Kind::Data) || !name.starts_with('.') {
                    let message = "this file is not read: of a bundle, OPA and dtgate read *.rego, data.json and data.yaml";
                    self.warnings.push(Problem::new(&path, 0, 0, message));
                }
                return;
            }
            kind => kind,
        };
        let Ok(text) = String::from_utf8(bytes) else {
            return self
                .unread
                .push(Problem::new(&path, 0, 0, "it is not text in UTF-8"));
        };
        let file = File { path, name, text };
        match kind {
            Kind::Policy => self.policies.push(file),
            Kind::Test => self.tests.push(file),
            Kind::Data | Kind::Disguised(_) | Kind::Other => {
                let added = data::add(&mut own.0, &own.1, &file);
                self.problems.extend(added.err());
                let added = data::add(&mut self.data, &self.data_files, &file);
                self.problems.extend(added.err());
                own.1.push(file);
            }
        }
    }
}

/// What the bundle says of itself, after it was found to be one that may be read.
fn permitted(archive: &Archive, bundle: &Packed) -> Result<Manifest, Refusal> {
    for name in archive.files.keys() {
        let base = name.rsplit('/').next().unwrap_or(name);
        let reason = match base {
            "patch.json" => DELTA,
            "policy.wasm" | "plan.json" | "plan.pb" => manifest::WASM,
            ".manifest.pb" => "dtgate reads manifests that are JSON (.manifest)",
            kept::NAME => SET,
            _ if base == signature::NAME && name != signature::NAME => MISPLACED,
            _ if base.ends_with(manifest::NAME) && name != manifest::NAME => MISPLACED,
            _ => continue,
        };
        return Err(Refusal::of_file(name, reason));
    }
    // Before anything of it is read: a value of two bytes takes hundreds in memory.
    let values = archive.files.iter().filter(|(name, _)| is_read_whole(name));
    let values: usize = values.map(|(_, bytes)| values_in(bytes)).sum();
    if values > MOST_VALUES {
        let message = format!("its data has more than {MOST_VALUES} values");
        return Err(Refusal::new(message));
    }
    match &bundle.signature {
        Signature::By(signer) => signature::check(archive, Some(signer))?,
        Signature::None => signature::check(archive, None)?,
        Signature::Unchecked => {}
    }
    let manifest = Manifest::of(archive)?;
    manifest.permit_versions(archive)?;
    if let Some(allowed) = &bundle.roots
        && let Some(root) = manifest.outside(allowed)
    {
        let allowed = allowed.join(", ");
        let message = format!(
            "it has the root {root}, and policies.bundles.{}.roots lets it have {allowed}",
            bundle.name
        );
        return Err(Refusal::of_file(manifest::NAME, message));
    }
    if bundle.is_shared
        && bundle.roots.is_none()
        && let Some(root) = manifest.everybodys()
    {
        let message = format!(
            "it has the root {root}, which is about the policies of others, too: if it may have it, write it and the others \
             into policies.bundles.{}.roots",
            bundle.name
        );
        return Err(Refusal::of_file(manifest::NAME, message));
    }
    permit(&bundle.name, &bundle.before, archive, &manifest)?;
    Ok(manifest)
}

/// Whether a file becomes a value.
fn is_read_whole(name: &str) -> bool {
    let base = name.rsplit('/').next().unwrap_or(name);
    matches!(
        base,
        manifest::NAME | "data.json" | "data.yaml" | "data.yml"
    )
}

/// No fewer values than there can be: each begins behind one of these.
fn values_in(text: &[u8]) -> usize {
    let begins = |byte: &&u8| matches!(byte, b'[' | b'{' | b',' | b':' | b'\n' | b'\r');
    text.iter().filter(begins).count()
}

fn problem(place: &str, refusal: &Refusal) -> Problem {
    match &refusal.file {
        Some(file) => Problem::new(&format!("{place}/{file}"), 0, 0, &*refusal.message),
        None => Problem::new(place, 0, 0, &*refusal.message),
    }
}

/// Of data and manifest together.
const MOST_VALUES: usize = 1_000_000;
const DELTA: &str = "it is a delta bundle, which changes what is in force without a signature: give a whole one (a snapshot)";
const SET: &str = "it is a set that a gate had in force and kept, which is for looking at it: build a bundle of its files (dtgate \
                   policies show DIGEST --extract DIR, dtgate build DIR)";
const MISPLACED: &str = "it belongs at the root of the bundle";

#[cfg(test)]
mod tests;
