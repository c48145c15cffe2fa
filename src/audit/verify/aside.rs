//! Files that were set aside, compared with what the records say of them.

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;

use super::report::Recovered;
use crate::audit::aside::{is_aside, name};
use crate::audit::segment::open_regular;
use crate::value::{Sha256Hex, counted};

/// What is not as the records say.
pub(super) fn problems(directory: &Path, recoveries: &[&Recovered]) -> io::Result<Vec<String>> {
    let mut found = Vec::new();
    let mut named = BTreeSet::new();
    for recovered in recoveries {
        let Some(aside) = &recovered.set_aside else {
            continue;
        };
        named.insert(aside.clone());
        if let Some(problem) = differs(directory, aside, recovered) {
            let seq = recovered.seq;
            found.push(format!(
                "record {seq} says that {aside} was set aside: {problem}"
            ));
        }
    }
    let mut unnamed = BTreeSet::new();
    for entry in std::fs::read_dir(directory)? {
        let name = name(&entry?.path());
        if is_aside(&name) && !named.contains(&name) {
            unnamed.insert(name);
        }
    }
    found.extend(unnamed.iter().map(|name| {
        format!(
            "{name} was set aside, and no record says so: dtgate records it when it starts next, or somebody \
             put it there"
        )
    }));
    Ok(found)
}

fn differs(directory: &Path, aside: &str, recovered: &Recovered) -> Option<String> {
    if !is_aside(aside) || aside.contains('/') {
        return Some("that is no name of such a file".to_owned());
    }
    let file = match open_regular(&directory.join(aside)) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Some("it is gone".to_owned());
        }
        Err(error) => return Some(format!("it cannot be read: {error}")),
    };
    let length = match file.metadata() {
        Ok(metadata) => metadata.len(),
        Err(error) => return Some(format!("it cannot be read: {error}")),
    };
    // The first dtgate recorded the name only.
    let (Some(bytes), Some(sha256)) = (recovered.set_aside_bytes, &recovered.set_aside_sha256)
    else {
        return None;
    };
    if length != bytes {
        return Some(format!(
            "it was changed, and has {} instead of {bytes}",
            counted(length, "byte")
        ));
    }
    let mut content = Vec::new();
    if let Err(error) = file.take(bytes).read_to_end(&mut content) {
        return Some(format!("it cannot be read: {error}"));
    }
    (Sha256Hex::of(&content).as_str() != sha256).then(|| "it was changed".to_owned())
}
