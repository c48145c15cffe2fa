//! Records as they are written, one line each: raw, or [as people read them](render()).

mod render;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::segments;

pub use render::render;

/// Reads the records of a journal in order, and goes on where it stopped when more are written.
#[derive(Debug)]
pub struct Tail {
    directory: PathBuf,
    current: Option<(PathBuf, BufReader<File>)>,
    partial: String,
}

impl Tail {
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            current: None,
            partial: String::new(),
        }
    }

    /// The next complete line, or `None` when everything written so far was read.
    pub fn next_line(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some((_, reader)) = &mut self.current {
                reader.read_line(&mut self.partial)?;
                if self.partial.ends_with('\n') {
                    let line = self.partial.trim_end().to_owned();
                    self.partial.clear();
                    return Ok(Some(line));
                }
            }
            let after = self.current.as_ref().map(|(path, _)| path.clone());
            let next = segments(&self.directory)?
                .into_iter()
                .find(|path| after.as_ref().is_none_or(|after| path > after));
            let Some(path) = next else {
                return Ok(None);
            };
            let file = File::open(&path)?;
            self.partial.clear();
            self.current = Some((path, BufReader::new(file)));
        }
    }
}
