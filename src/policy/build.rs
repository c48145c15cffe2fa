//! Makes bundles of directories of policies.
//!
//! It guarantees that what it makes is read back as what it was made of, and that the same files make the same bytes. It
//! does not compile: what a bundle calls may be in another one.

use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value as Json, json};

use crate::policy::archive::manifest::{self, Manifest};
use crate::policy::archive::sign::{self, SignedBy};
use crate::policy::archive::{Archive, signature, write};
use crate::policy::problem::{LoadError, Problem, finish};
use crate::policy::read::compile;
use crate::policy::source::files::{File, Tree};
use crate::policy::source::packed::{Packed, Signature};
use crate::policy::source::roots;
use crate::value::unread;

/// What a bundle is to say of itself; what is not given is as a `.manifest` in the directory has it.
#[derive(Clone, Debug, Default)]
pub struct Recipe {
    pub revision: Option<String>,
    /// Empty: not given.
    pub roots: Vec<String>,
    pub sequence: Option<u64>,
    pub signed_by: Option<SignedBy>,
}

/// A bundle that was made.
#[derive(Debug)]
#[non_exhaustive]
pub struct Built {
    pub bytes: Vec<u8>,
    /// SHA-256 of it.
    pub digest: String,
    pub files: usize,
}

/// Why none was made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    #[error(transparent)]
    Load(#[from] LoadError),
    #[error("signing: {0}")]
    Sign(String),
    #[error("could not write the archive")]
    Write(#[from] std::io::Error),
}

/// A bundle of everything below the paths; `name` is what problems call it.
pub fn build<P: AsRef<Path>>(
    paths: &[P],
    recipe: &Recipe,
    name: &Path,
) -> Result<Built, BuildError> {
    let mut tree = Tree::read(paths);
    finish(std::mem::take(&mut tree.unread))?;
    finish(tree.tokens())?;
    let mut problems = std::mem::take(&mut tree.problems);
    let texts: Vec<&File> = tree.policies.iter().chain(&tree.tests).collect();
    let (_, broken) = compile(&texts, &Map::new());
    problems.extend(broken);
    let mut files = BTreeMap::new();
    for file in texts {
        if files
            .insert(file.name.clone(), file.text.clone().into_bytes())
            .is_some()
        {
            let message = format!(
                "another path has a file {}, too: a bundle has one",
                file.name
            );
            problems.push(Problem::new(&file.path, 0, 0, message));
        }
    }
    finish(problems)?;
    let manifest = manifest(paths, recipe)?;
    files.insert(manifest::NAME.to_owned(), lines(&manifest));
    if !tree.data.is_empty() {
        files.insert("data.json".to_owned(), lines(&Json::Object(tree.data)));
    }
    if let Some(by) = &recipe.signed_by {
        let signatures = sign::signatures(&files, by).map_err(BuildError::Sign)?;
        files.insert(signature::NAME.to_owned(), signatures.into_bytes());
    }
    let bytes = write::packed(&files)?;
    let digest = read_back(&bytes, name)?;
    Ok(Built {
        bytes,
        digest,
        files: files.len(),
    })
}

fn lines(value: &Json) -> Vec<u8> {
    format!("{value:#}\n").into_bytes()
}

/// What it says of itself: the file in a directory, and what is given besides.
fn manifest<P: AsRef<Path>>(paths: &[P], recipe: &Recipe) -> Result<Json, LoadError> {
    let mut found: Option<(PathBuf, Map<String, Json>)> = None;
    for path in paths {
        let path = path.as_ref().join(manifest::NAME);
        let refused = |message: String| LoadError {
            problems: vec![Problem::of_file(&path, &message)],
        };
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error)
                if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) =>
            {
                continue;
            }
            Err(error) => return Err(refused(unread(&error))),
        };
        // What is built says of itself that it is Rego v1.
        if Manifest::parse(&text).map_err(refused)?.is_of_old_rego() {
            return Err(refused(manifest::OLD.to_owned()));
        }
        if let Some((other, _)) = &found {
            return Err(refused(format!(
                "{} is one, too: a bundle has one",
                other.display()
            )));
        }
        let members = serde_json::from_str(&text).map_err(|error| refused(error.to_string()))?;
        found = Some((path, members));
    }
    let mut manifest = found.map(|(_, members)| members).unwrap_or_default();
    if let Some(revision) = &recipe.revision {
        manifest.insert("revision".to_owned(), json!(revision));
    }
    if !recipe.roots.is_empty() {
        manifest.insert("roots".to_owned(), json!(recipe.roots));
    }
    manifest.entry("revision").or_insert_with(|| json!(""));
    manifest.entry("roots").or_insert_with(|| json!([""]));
    manifest.insert("rego_version".to_owned(), json!(1));
    let mut manifest = Json::Object(manifest);
    if let Some(sequence) = recipe.sequence {
        let metadata = manifest
            .pointer("/metadata/dtgate")
            .and_then(Json::as_object);
        let mut of_dtgate = metadata.cloned().unwrap_or_default();
        of_dtgate.insert("sequence".to_owned(), json!(sequence));
        let metadata = manifest.get("metadata").and_then(Json::as_object);
        let mut metadata = metadata.cloned().unwrap_or_default();
        metadata.insert("dtgate".to_owned(), Json::Object(of_dtgate));
        if let Some(members) = manifest.as_object_mut() {
            members.insert("metadata".to_owned(), Json::Object(metadata));
        }
    }
    Ok(manifest)
}

/// The digest, after whoever reads bundles has taken it.
fn read_back(bytes: &[u8], name: &Path) -> Result<String, LoadError> {
    let mut tree = Tree::default();
    let bundle = Packed {
        name: name.display().to_string(),
        file: name.to_owned(),
        signature: Signature::Unchecked,
        roots: None,
        is_shared: false,
        before: Vec::new(),
    };
    tree.add_archive(Archive::read(bytes), &bundle);
    let mut problems = std::mem::take(&mut tree.unread);
    problems.extend(std::mem::take(&mut tree.problems));
    let texts: Vec<&File> = tree.policies.iter().chain(&tree.tests).collect();
    let (mut rego, _) = compile(&texts, &Map::new());
    let modules: Vec<_> = rego.get_modules().iter().collect();
    problems.extend(roots::problems(&tree, &modules));
    finish(problems)?;
    let part = tree.parts.into_iter().next();
    Ok(part.map(|part| part.release.digest).unwrap_or_default())
}
