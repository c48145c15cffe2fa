//! Reads a directory of policies: Rego, tests and data, in one order that never changes.
//!
//! It reads what `opa test` reads: every file that ends in `.rego`, `.json`, `.yaml` or `.yml`. It guarantees that nothing
//! which looks like one is skipped in silence: what cannot be read becomes a problem. Hidden files and other kinds
//! of files are not ours. It does not know what Rego means.

use std::{
    fs::{self, FileType},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use serde_json::{Map, Value as Json};
use sha2::{Digest, Sha256};

use super::data;
use super::packed::{Part, Sources, is_bundle};
use crate::dynatrace::redact::Redactor;
use crate::policy::entrypoint::Entrypoint;
use crate::policy::problem::Problem;
use crate::value::{read_file, unread};

#[derive(Clone, Debug, PartialEq)]
pub(in crate::policy) struct File {
    /// As the user would write it: the given directory, then the way down.
    pub(in crate::policy) path: String,
    /// Below the given directory, with slashes.
    pub(in crate::policy) name: String,
    pub(in crate::policy) text: String,
}

impl File {
    pub(in crate::policy) fn is_json(&self) -> bool {
        Path::new(&self.name)
            .extension()
            .is_some_and(|extension| extension == "json")
    }
}

/// What a file is, by the end of its name.
pub(super) enum Kind {
    Data,
    Policy,
    Test,
    /// `blocked.YAML`: OPA reads it on no system, and people on some take it for the same.
    Disguised(String),
    Other,
}

impl Kind {
    pub(super) fn of(name: &str) -> Self {
        let Some(extension) = Path::new(name).extension().and_then(|it| it.to_str()) else {
            return Self::Other;
        };
        match extension {
            "rego" if name.ends_with("_test.rego") => Self::Test,
            "rego" => Self::Policy,
            "json" | "yaml" | "yml" => Self::Data,
            _ => match extension.to_ascii_lowercase() {
                lower if matches!(lower.as_str(), "rego" | "json" | "yaml" | "yml") => {
                    Self::Disguised(lower)
                }
                _ => Self::Other,
            },
        }
    }
}

#[derive(Default)]
pub(in crate::policy) struct Tree {
    pub(in crate::policy) policies: Vec<File>,
    pub(in crate::policy) tests: Vec<File>,
    /// What says how decisions are written down. They are among the policies until their packages are known.
    pub(in crate::policy) masks: Vec<File>,
    pub(in crate::policy) data_files: Vec<File>,
    pub(in crate::policy) data: Map<String, Json>,
    /// With what stands in the data files.
    pub(in crate::policy) problems: Vec<Problem>,
    /// Files and directories that could not be read: nobody knows what else would be wrong.
    pub(in crate::policy) unread: Vec<Problem>,
    /// The bundles among the sources.
    pub(in crate::policy) parts: Vec<Part>,
    /// What of the data comes from no bundle.
    pub(super) own_data: Map<String, Json>,
    /// What is worth a second look.
    pub(in crate::policy) warnings: Vec<Problem>,
    /// Rules that judge besides the policies.
    pub(in crate::policy) entrypoints: Vec<Entrypoint>,
    /// Whether those without a rule are left out.
    pub(in crate::policy) may_lack: bool,
}

impl Tree {
    /// Reads everything below the given directories or files, and bundles, whose signatures nobody asks for here.
    pub(in crate::policy) fn read<P: AsRef<Path>>(roots: &[P]) -> Self {
        let mut tree = Self::default();
        for root in roots {
            let root = root.as_ref();
            if !is_bundle(root) {
                tree.root(root);
            }
        }
        tree.own_data.clone_from(&tree.data);
        for root in roots.iter().map(AsRef::as_ref).filter(|it| is_bundle(it)) {
            for bundle in Sources::at(root).bundles {
                tree.add_bundle(&bundle);
            }
        }
        tree
    }

    pub(super) fn read_directory(directory: &Path) -> Self {
        let mut tree = Self::default();
        tree.root(directory);
        tree
    }

    fn root(&mut self, root: &Path) {
        match fs::metadata(root) {
            Ok(metadata) if metadata.is_dir() => self.directory(root, &mut Way::default()),
            Ok(_) => {
                let name = root
                    .file_name()
                    .unwrap_or_default()
                    .to_string_lossy()
                    .into_owned();
                self.file(root, &[], &name);
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                let message = "there is no such directory of policies";
                self.unread.push(Problem::of_file(root, &message));
            }
            Err(error) => self.unread.push(unreadable(root, &error)),
        }
    }

    /// The bundle that a file is in, by its path.
    pub(in crate::policy) fn part_of(&self, path: &str) -> Option<&Part> {
        self.parts.iter().find(|part| {
            let name = path.strip_prefix(&part.place);
            name.is_some_and(|name| name.starts_with('/'))
        })
    }

    fn directory(&mut self, directory: &Path, way: &mut Way) {
        match directory.canonicalize() {
            Ok(real) if way.real.contains(&real) => {
                let message = "a symbolic link leads to a directory that it is in: take it away";
                return self.unread.push(Problem::of_file(directory, &message));
            }
            Ok(real) => way.real.push(real),
            Err(error) => return self.unread.push(unreadable(directory, &error)),
        }
        if way.links > MOST_LINKS {
            let message = format!("symbolic links lead through more than {MOST_LINKS} directories");
            self.unread.push(Problem::of_file(directory, &message));
        } else {
            self.entries(directory, way);
        }
        way.real.pop();
    }

    fn entries(&mut self, directory: &Path, way: &mut Way) {
        let entries: Result<Vec<_>, _> = fs::read_dir(directory).and_then(Iterator::collect);
        let mut entries = match entries {
            Ok(entries) => entries,
            Err(error) => return self.unread.push(unreadable(directory, &error)),
        };
        // The order of a directory is the file system's business; ours must not be.
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let path = entry.path();
            let name = entry.file_name();
            let Some(name) = name.to_str() else {
                self.unread.push(Problem::of_file(
                    &path,
                    &"the name is not UTF-8: give it another",
                ));
                continue;
            };
            if name.starts_with('.') {
                continue;
            }
            // Links to files and directories are how Kubernetes mounts a ConfigMap.
            match entry.file_type() {
                Ok(kind) if is_directory(&path, kind) => {
                    way.links += usize::from(kind.is_symlink());
                    way.below.push(name.to_owned());
                    self.directory(&path, way);
                    way.below.pop();
                }
                Ok(_) => self.file(&path, &way.below, name),
                Err(error) => self.unread.push(unreadable(&path, &error)),
            }
        }
    }

    fn file(&mut self, path: &Path, below: &[String], name: &str) {
        let kind = Kind::of(name);
        match &kind {
            Kind::Other => return,
            Kind::Disguised(extension) => {
                let message = format!(
                    "a file whose name ends like this is not read: write .{extension} in small letters"
                );
                return self.unread.push(Problem::of_file(path, &message));
            }
            Kind::Data | Kind::Policy | Kind::Test => {}
        }
        let text = match text(path, LONGEST_FILE.min(self.left())) {
            Ok(text) => text,
            Err(error) => return self.unread.push(unreadable(path, &error)),
        };
        let mut whole_name = below.join("/");
        if !whole_name.is_empty() {
            whole_name.push('/');
        }
        whole_name.push_str(name);
        self.add(File {
            path: path.display().to_string(),
            name: whole_name,
            text,
        });
    }

    /// Puts in one file that was read.
    pub(super) fn add(&mut self, file: File) {
        match Kind::of(&file.name) {
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

    /// How many bytes may still be read.
    fn left(&self) -> u64 {
        let files = [&self.policies, &self.tests, &self.masks, &self.data_files];
        let read: usize = files.into_iter().flatten().map(|it| it.text.len()).sum();
        MOST_BYTES.saturating_sub(read as u64)
    }

    /// SHA-256 over all that was read, tests included, and what could not be.
    pub(in crate::policy) fn fingerprint(&self) -> [u8; 32] {
        let mut hash = Sha256::new();
        let files = [&self.policies, &self.tests, &self.masks, &self.data_files];
        for file in files.into_iter().flatten() {
            for part in [&file.path, &file.text] {
                hash.update(part.len().to_be_bytes());
                hash.update(part);
            }
        }
        for problem in &self.unread {
            hash.update(problem.to_string());
        }
        hash.finalize().into()
    }

    /// Tokens that stand in the data with their secrets: they are told by their places, not repeated.
    pub(in crate::policy) fn tokens(&self) -> Vec<Problem> {
        let redactor = Redactor::default();
        let lines = self.data_files.iter().flat_map(|file| {
            let lines = file.text.lines().enumerate();
            lines.map(move |(number, line)| (file, number + 1, line))
        });
        let shown = lines.filter(|(_, _, line)| line.contains("dt0") && redactor.holds_token(line));
        let message = "a whole token stands here, with its secret: write its public part only (for dt0c01 tokens, up to \
                       the second dot), and revoke the token";
        shown
            .map(|(file, number, _)| Problem::new(&file.path, number, 1, message))
            .collect()
    }

    /// A problem with a member of the data, at its key, or at the nearest one around it that is there.
    pub(in crate::policy) fn problem_in_data(
        &self,
        path: &[&str],
        message: impl Into<String>,
    ) -> Problem {
        data::problem(&self.data_files, path, message)
    }
}

/// Itself, or where a link leads.
fn is_directory(path: &Path, kind: FileType) -> bool {
    kind.is_dir() || kind.is_symlink() && fs::metadata(path).is_ok_and(|target| target.is_dir())
}

/// The way down to a directory.
#[derive(Default)]
struct Way {
    /// Names below the given directory.
    below: Vec<String>,
    /// The directories themselves, links resolved.
    real: Vec<PathBuf>,
    /// Links to directories that were followed, wherever they stand.
    links: usize,
}

fn text(path: &Path, most: u64) -> io::Result<String> {
    let text = String::from_utf8(read_file(path, most)?);
    text.map_err(|_no_text| ErrorKind::InvalidData.into())
}

/// Bytes of one file.
pub const LONGEST_FILE: u64 = 64 << 20;
/// Bytes of all files of a directory, at least: of links to one file there can be many.
const MOST_BYTES: u64 = 4 * LONGEST_FILE;

/// So many: a few that lead to one another could be followed without end.
const MOST_LINKS: usize = 1000;

/// Why a file or a directory cannot be read, and what to do.
fn unreadable(path: &Path, error: &io::Error) -> Problem {
    let message = match error.kind() {
        ErrorKind::PermissionDenied => {
            format!("{}, or take it away", unread(error))
        }
        _ => unread(error),
    };
    Problem::of_file(path, &message)
}
