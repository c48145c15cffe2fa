//! Records as they are written, one line each: raw, or [as people read them](render()).

mod render;

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::{Path, PathBuf};

use super::segment::{open_regular, segments};

pub use render::{name, render};

/// Reads the records of a journal in order, and goes on where it stopped when more are written.
#[derive(Debug)]
pub struct Tail {
    directory: PathBuf,
    current: Option<(PathBuf, BufReader<File>)>,
    partial: Vec<u8>,
}

impl Tail {
    pub fn new(directory: &Path) -> Self {
        Self {
            directory: directory.to_owned(),
            current: None,
            partial: Vec::new(),
        }
    }

    /// The next complete line, whatever is in it, or `None` when everything written so far was read.
    pub fn next_line(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            if let Some((_, reader)) = &mut self.current {
                reader.read_until(b'\n', &mut self.partial)?;
                if self.partial.ends_with(b"\n") {
                    let line = std::mem::take(&mut self.partial);
                    return Ok(Some(line.trim_ascii_end().to_owned()));
                }
            }
            let after = self.current.as_ref().map(|(path, _)| path.clone());
            let next = segments(&self.directory)?
                .into_iter()
                .find(|path| after.as_ref().is_none_or(|after| path > after));
            let Some(path) = next else {
                return Ok(None);
            };
            let file = open_regular(&path).map_err(|error| {
                io::Error::new(error.kind(), format!("{}: {error}", path.display()))
            })?;
            self.partial.clear();
            self.current = Some((path, BufReader::new(file)));
        }
    }
}
