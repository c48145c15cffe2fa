//! What a bundle says of itself, in `.manifest`, and which parts of `data` are its own.

use std::path::Path;

use serde_json::{Map, Value as Json};

use super::once::Once;
use super::{Archive, Refusal};
use crate::policy::builtins::glob;
use crate::policy::lexical;

/// Where it stands.
pub(in crate::policy) const NAME: &str = ".manifest";

/// A part of `data`, as its steps: all of it is the one without any.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::policy) struct Root(Vec<String>);

#[derive(Clone, Debug, PartialEq)]
pub(in crate::policy) struct Manifest {
    pub(in crate::policy) revision: Option<String>,
    pub(in crate::policy) roots: Vec<Root>,
    /// Counts what was released, so that an older bundle is known as one.
    pub(in crate::policy) sequence: Option<u64>,
    versions: Versions,
}

/// In which Rego its policies are written, as far as the manifest says it.
#[derive(Clone, Debug, Default, PartialEq)]
struct Versions {
    /// All of them but for those below are written in that of OPA 0.
    is_old: bool,
    /// Globs, and whether what they are about is written in that of OPA 0.
    of_files: Vec<(String, bool)>,
}

impl Default for Manifest {
    /// What holds for a bundle without a manifest.
    fn default() -> Self {
        Self {
            revision: None,
            roots: vec![Root(Vec::new())],
            sequence: None,
            versions: Versions::default(),
        }
    }
}

impl Versions {
    fn parse(of_all: Option<&Json>, of_files: Option<&Json>) -> Result<Self, String> {
        let none = Map::new();
        let of_files = match of_files {
            None => &none,
            Some(Json::Object(versions)) => versions,
            Some(_) => return Err("file_rego_versions: it is no object".to_owned()),
        };
        let of_files = of_files.iter().map(|(glob, version)| {
            if let Some(fault) = glob::fault(glob) {
                return Err(format!("file_rego_versions: {glob:?} is no glob: {fault}"));
            }
            Ok((glob.clone(), is_old(version)?))
        });
        Ok(Self {
            is_old: of_all.map(is_old).transpose()?.unwrap_or(false),
            of_files: of_files.collect::<Result<_, String>>()?,
        })
    }

    fn say_that_any_is_old(&self) -> bool {
        self.is_old || self.of_files.iter().any(|(_, is_old)| *is_old)
    }

    /// Where several globs are about one file, OPA takes any of them. `written`: the name as the archive has it.
    fn is_old(&self, written: &str) -> bool {
        let is_about = |glob: &str| glob::is_about(glob, written);
        let mut old = self.of_files.iter().filter(|(_, is_old)| *is_old);
        let mut new = self.of_files.iter().filter(|(_, is_old)| !is_old);
        old.any(|(glob, _)| is_about(glob)) || (self.is_old && !new.any(|(glob, _)| is_about(glob)))
    }
}

impl Root {
    /// As a manifest has it: `a/b`.
    pub(in crate::policy) fn of(text: &str) -> Self {
        let text = text.trim_matches('/');
        let steps = text.split('/').filter(|_| !text.is_empty());
        Self(steps.map(str::to_owned).collect())
    }

    /// Whether that lies in it.
    pub(in crate::policy) fn has<T: AsRef<str>>(&self, path: &[T]) -> bool {
        self.0.len() <= path.len()
            && self
                .0
                .iter()
                .zip(path)
                .all(|(own, other)| own == other.as_ref())
    }

    /// Whether one of the two lies in the other.
    pub(in crate::policy) fn overlaps<T: AsRef<str>>(&self, path: &[T]) -> bool {
        self.0
            .iter()
            .zip(path)
            .all(|(own, other)| own == other.as_ref())
    }

    pub(in crate::policy) fn steps(&self) -> &[String] {
        &self.0
    }
}

impl std::fmt::Display for Root {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "{:?}", self.0.join("/"))
    }
}

impl Manifest {
    pub(in crate::policy) fn of(archive: &Archive) -> Result<Self, Refusal> {
        match archive.text(NAME)? {
            Some(text) => Self::parse(text).map_err(|message| Refusal::of_file(NAME, message)),
            None => Ok(Self::default()),
        }
    }

    /// Reads it as OPA does, but for what OPA would take for something else than who wrote it.
    pub(in crate::policy) fn parse(text: &str) -> Result<Self, String> {
        serde_json::from_str::<Once>(text)
            .map_err(|error| format!("it is no JSON object: {error}"))?;
        let members: Map<String, Json> =
            serde_json::from_str(text).map_err(|error| format!("it is no JSON object: {error}"))?;
        for name in members.keys() {
            // Go takes names in any case.
            let meant = KNOWN.iter().find(|known| name.eq_ignore_ascii_case(known));
            if let Some(meant) = meant.filter(|meant| *meant != name) {
                return Err(format!("write {meant:?} instead of {name:?}"));
            }
        }
        let member = |name: &str| members.get(name).filter(|value| !value.is_null());
        if member("wasm")
            .and_then(Json::as_array)
            .is_some_and(|it| !it.is_empty())
        {
            return Err(WASM.to_owned());
        }
        let revision = match member("revision") {
            None => None,
            Some(Json::String(text)) if text.len() > LONGEST_REVISION => {
                return Err(format!(
                    "its revision has more than {LONGEST_REVISION} bytes"
                ));
            }
            Some(Json::String(text)) => Some(text.clone()).filter(|text| !text.is_empty()),
            Some(_) => return Err("its revision is no text".to_owned()),
        };
        Ok(Self {
            revision,
            roots: roots(member("roots"))?,
            sequence: sequence(member("metadata"))?,
            versions: Versions::parse(member("rego_version"), member("file_rego_versions"))?,
        })
    }

    /// Whether it says of any policy that it is written in the Rego of OPA 0.
    pub(in crate::policy) fn is_of_old_rego(&self) -> bool {
        self.versions.say_that_any_is_old()
    }

    /// Refuses a bundle with a policy in the Rego of OPA 0. One that the manifest takes for such a policy, and that has
    /// `import rego.v1`, is read by OPA as its version 1 reads all.
    pub(in crate::policy) fn permit_versions(&self, archive: &Archive) -> Result<(), Refusal> {
        if !self.is_of_old_rego() {
            return Ok(());
        }
        for (name, bytes) in &archive.files {
            let is_rego = Path::new(name).extension().is_some_and(|it| it == "rego");
            let is_policy = is_rego && self.versions.is_old(&archive.as_written(name));
            let text = str::from_utf8(bytes).unwrap_or_default();
            if is_policy && !lexical::says_rego_v1(text) {
                return Err(Refusal::of_file(name, OLD));
            }
        }
        Ok(())
    }

    /// Whether it may define that.
    pub(in crate::policy) fn permits<T: AsRef<str>>(&self, path: &[T]) -> bool {
        self.roots.iter().any(|root| root.has(path))
    }

    /// The first of its roots that lies in none of these.
    pub(in crate::policy) fn outside(&self, allowed: &[String]) -> Option<&Root> {
        let allowed: Vec<Root> = allowed.iter().map(|text| Root::of(text)).collect();
        let mut roots = self.roots.iter();
        roots.find(|root| !allowed.iter().any(|one| one.has(root.steps())))
    }

    /// A root of it where all policies are applied, asked and recorded by what stands there.
    pub(in crate::policy) fn everybodys(&self) -> Option<&Root> {
        let mut roots = self.roots.iter();
        roots.find(|root| EVERYBODYS.iter().any(|part| root.overlaps(&[*part])))
    }

    /// Its roots, each as a manifest has it. Too many to be kept are told as all of `data`.
    pub(in crate::policy) fn shown_roots(&self) -> Vec<String> {
        let roots = self.roots.iter().map(|root| root.0.join("/"));
        let roots: Vec<String> = roots.collect();
        if roots.iter().map(String::len).sum::<usize>() > MOST_KEPT {
            return vec![String::new()];
        }
        roots
    }

    pub(in crate::policy) fn roots(&self) -> String {
        let roots: Vec<String> = self.roots.iter().map(ToString::to_string).collect();
        roots.join(", ")
    }
}

/// Whether it is the Rego of OPA 0, and not that which OPA reads since its version 1.
fn is_old(version: &Json) -> Result<bool, String> {
    match version.as_u64() {
        Some(0) => Ok(true),
        Some(1) => Ok(false),
        _ => Err(format!("rego_version is 0 or 1, not {version}")),
    }
}

fn roots(roots: Option<&Json>) -> Result<Vec<Root>, String> {
    let Some(roots) = roots else {
        return Ok(Manifest::default().roots);
    };
    let list = roots.as_array().ok_or("its roots are no list")?;
    if list.len() > MOST_ROOTS {
        return Err(format!("it has more than {MOST_ROOTS} roots"));
    }
    let mut found: Vec<Root> = Vec::new();
    for root in list {
        let root = Root::of(root.as_str().ok_or("a root in it is no text")?);
        if let Some(other) = found.iter().find(|other| other.overlaps(root.steps())) {
            return Err(format!(
                "its roots {other} and {root} overlap: one lies in the other"
            ));
        }
        found.push(root);
    }
    Ok(found)
}

/// `metadata.dtgate.sequence`.
fn sequence(metadata: Option<&Json>) -> Result<Option<u64>, String> {
    let of_a_kind = |value: &Json, name: &str| match value {
        Json::Object(members) => Ok(members.clone()),
        other => Err(format!("{name} is an object, not {other}")),
    };
    let Some(metadata) = metadata else {
        return Ok(None);
    };
    let metadata = of_a_kind(metadata, "metadata")?;
    let Some(dtgate) = metadata.get("dtgate") else {
        return Ok(None);
    };
    let dtgate = of_a_kind(dtgate, "metadata.dtgate")?;
    if let Some(other) = dtgate.keys().find(|name| *name != "sequence") {
        return Err(format!(
            "metadata.dtgate has no member {other}: only sequence"
        ));
    }
    let Some(sequence) = dtgate.get("sequence") else {
        return Ok(None);
    };
    let number = sequence.as_u64().filter(|number| *number <= LAST_SEQUENCE);
    number.map(Some).ok_or_else(|| {
        format!(
            "metadata.dtgate.sequence is a whole number from 0 to {LAST_SEQUENCE}, not {sequence}"
        )
    })
}

/// Tools for bundles write a version of 0 where nobody gives one.
pub(in crate::policy) const OLD: &str = "the manifest says that it is written in the Rego of OPA 0 (rego_version 0), which \
    dtgate does not read, and it has no `import rego.v1`: if it is written in Rego v1, give the source of the bundle a \
    file .manifest with \"rego_version\": 1; else rewrite it with `opa fmt --write --v0-v1`; and build the bundle again";
pub(in crate::policy) const WASM: &str = "it was built for another engine (WebAssembly or plans): build it with \
    `opa build --target rego`, which is the default";

const EVERYBODYS: [&str; 5] = ["callers", "exceptions", "lookup", "modes", "system"];
const KNOWN: [&str; 6] = [
    "file_rego_versions",
    "metadata",
    "rego_version",
    "revision",
    "roots",
    "wasm",
];
const LONGEST_REVISION: usize = 256;
const MOST_ROOTS: usize = 1000;
/// Of the roots of a bundle that was in force, in bytes.
const MOST_KEPT: usize = 16 << 10;
/// What every reader of JSON reads alike.
const LAST_SEQUENCE: u64 = (1 << 53) - 1;
