//! Who may log in by a password: a file of lines, each with a name, roles and a hash.
//!
//! ```text
//! # NAME ROLES HASH
//! alice auditor,author $argon2id$v=19$m=19456,t=2,p=1$…
//! ```

use std::collections::{HashMap, HashSet};
use std::io;
use std::path::Path;

use argon2::password_hash::phc::PasswordHash;
use argon2::{Argon2, PasswordHasher, PasswordVerifier};

use super::viewer::Person;
use super::{Viewer, session};
use crate::value::{is_name, read_file};

/// Why the file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PasswordsError {
    #[error("{path}: {reason}")]
    Unread { path: String, reason: String },
    /// The line itself is not repeated: it may hold a password.
    #[error(
        "{path}: line {line} is no `NAME ROLES HASH`: dtgate new console-user NAME makes such a line"
    )]
    Line { path: String, line: usize },
    #[error(
        "{path}: line {line} is for {name}, and so is line {first}: take one of them out, or nobody could tell which password \
         counts"
    )]
    Twice {
        path: String,
        line: usize,
        first: usize,
        name: String,
    },
}

/// Those who may log in.
pub(super) struct Passwords(Vec<User>);

struct User {
    viewer: Viewer,
    hash: String,
}

impl Passwords {
    pub(super) fn read(path: &Path) -> Result<Self, PasswordsError> {
        let text = text_of(path).map_err(|error| PasswordsError::unread(path, &error))?;
        Self::of(path, &text)
    }

    fn of(path: &Path, text: &str) -> Result<Self, PasswordsError> {
        let shown = path.display().to_string();
        let lines = text.lines().zip(1..);
        let lines = lines.filter(|(line, _)| !line.trim().is_empty() && !line.starts_with('#'));
        let (mut users, mut names) = (Vec::new(), HashMap::new());
        for (line, number) in lines {
            let user = User::read(line).ok_or_else(|| PasswordsError::Line {
                path: shown.clone(),
                line: number,
            })?;
            if let Some(first) = names.insert(user.viewer.name.clone(), number) {
                return Err(PasswordsError::Twice {
                    path: shown,
                    line: number,
                    first,
                    name: user.viewer.name,
                });
            }
            users.push(user);
        }
        Ok(Self(users))
    }

    /// Who has this name and this password. It takes as long where nobody has this name.
    pub(super) fn who(&self, name: &str, password: &str) -> Option<Viewer> {
        let user = self.0.iter().find(|user| user.viewer.name == name);
        let hash = user.map_or(NOBODYS, |user| &*user.hash);
        let holds = PasswordHash::new(hash).is_ok_and(|hash| {
            Argon2::default()
                .verify_password(password.as_bytes(), &hash)
                .is_ok()
        });
        user.filter(|_| holds).map(|user| user.viewer.clone())
    }
}

impl PasswordsError {
    fn unread(path: &Path, error: &io::Error) -> Self {
        Self::Unread {
            path: path.display().to_string(),
            reason: error.to_string(),
        }
    }
}

/// The lines of the file, whether or not all of them can be used, and by which sessions go on.
pub(super) struct Standing(HashSet<[u8; 32]>);

impl Standing {
    /// The lines, as far as they can be read, and why the file cannot be used. A file that is gone has no lines.
    pub(super) fn read(path: &Path) -> (Option<Self>, Option<PasswordsError>) {
        match text_of(path) {
            Ok(text) => {
                let lines = text.lines().map(session::hash).collect();
                (Some(Self(lines)), Passwords::of(path, &text).err())
            }
            Err(error) => {
                let is_gone = error.kind() == io::ErrorKind::NotFound;
                let none = is_gone.then(|| Self(HashSet::new()));
                (none, Some(PasswordsError::unread(path, &error)))
            }
        }
    }

    /// Whether somebody who has logged in may go on: by a line that is still there, or by none of these.
    pub(super) fn lets_in(&self, viewer: &Viewer) -> bool {
        viewer.line.is_none_or(|line| self.0.contains(&line))
    }
}

fn text_of(path: &Path) -> io::Result<String> {
    let bytes = read_file(path, LONGEST)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

impl User {
    fn read(line: &str) -> Option<Self> {
        let mut parts = line.split_whitespace();
        let (name, roles, hash) = (parts.next()?, parts.next()?, parts.next()?);
        let is_argon = PasswordHash::new(hash).is_ok() && hash.starts_with("$argon2");
        if parts.next().is_some() || !is_name(name) || !is_argon {
            return None;
        }
        let mut viewer = Viewer {
            name: name.to_owned(),
            person: Some(Person::by_password(name)),
            is_auditor: false,
            is_author: false,
            has_session: true,
            line: Some(session::hash(line)),
        };
        for role in roles.split(',') {
            match role {
                "viewer" => {}
                "auditor" => viewer.is_auditor = true,
                "author" => viewer.is_author = true,
                _ => return None,
            }
        }
        Some(Self {
            viewer,
            hash: hash.to_owned(),
        })
    }
}

/// A line of the file.
pub fn line(name: &str, roles: &[&str], password: &str) -> Option<String> {
    let hash = Argon2::default().hash_password(password.as_bytes()).ok()?;
    let roles = if roles.is_empty() {
        "viewer".to_owned()
    } else {
        roles.join(",")
    };
    Some(format!("{name} {roles} {hash}"))
}

/// Of a password that nobody knows.
const NOBODYS: &str = "$argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IG9mIG91cnM$uVqkD4sbgsAOkZX0qMUVh0n4JMhOfsKzCZJ1VfHdUSk";
/// Bytes of the file.
const LONGEST: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_lets_its_user_in_and_nobody_else() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let alice = line("alice", &["auditor"], "correct horse").unwrap();
        let bob = line("bob", &[], "battery staple").unwrap();
        std::fs::write(&path, format!("# users\n\n{alice}\n{bob}\n")).unwrap();
        let users = Passwords::read(&path).unwrap();
        let found = users.who("alice", "correct horse").unwrap();
        assert!(found.is_auditor && !found.is_author);
        assert!(!users.who("bob", "battery staple").unwrap().is_auditor);
        for (name, password) in [
            ("alice", "battery staple"),
            ("alice", ""),
            ("carol", "correct horse"),
            ("", ""),
        ] {
            assert_eq!(users.who(name, password), None);
        }
        // It is read like any other hash, so that it takes as long.
        PasswordHash::new(NOBODYS).unwrap();
    }

    #[test]
    fn a_name_that_stands_twice_is_refused_with_both_lines() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        let hash = NOBODYS;
        let text = format!("alice viewer {hash}\n# new\nbob viewer {hash}\nalice auditor {hash}\n");
        std::fs::write(&path, text).unwrap();
        let error = Passwords::read(&path).err().unwrap().to_string();
        let wanted = "line 4 is for alice, and so is line 1";
        assert!(
            error.contains(wanted) && !error.contains("argon2"),
            "{error}"
        );
    }

    #[test]
    fn what_is_no_line_is_refused_and_not_repeated() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        for wrong in [
            "alice auditor hunter2",
            "alice hunter2",
            "alice admin $argon2id$v=19$m=19456,t=2,p=1$c29tZSBzYWx0IG9mIG91cnM$uVqkD4sbgsAOkZX0qMUVh0n4JMhOfsKzCZJ1VfHdUSk",
        ] {
            std::fs::write(&path, wrong).unwrap();
            let error = Passwords::read(&path).err().unwrap().to_string();
            assert!(error.contains("line 1"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
