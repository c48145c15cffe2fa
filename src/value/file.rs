//! Files that others can exchange: read as far as they may be long, and never waited for.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use rustix::fs::OFlags;

/// What is in a regular file, if it has no more bytes than this. A device or a pipe is an error, not a wait.
pub fn read_file(path: &Path, most: u64) -> io::Result<Vec<u8>> {
    let mut options = OpenOptions::new();
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let file = options.read(true).custom_flags(flags).open(path)?;
    let found = file.metadata()?;
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !found.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = Vec::new();
    // It can grow while it is read.
    file.take(most.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|length| length > most) {
        let error = format!("it is longer than {most} bytes");
        return Err(io::Error::other(error));
    }
    Ok(bytes)
}

/// The text of a file that an operator gives: a certificate, a key, a secret, a configuration.
pub fn read_setting(path: &Path) -> io::Result<String> {
    let text = String::from_utf8(read_file(path, LONGEST_SETTING)?);
    text.map_err(|_no_text| io::ErrorKind::InvalidData.into())
}

/// Bytes of it. Lists of revoked certificates can be long.
pub const LONGEST_SETTING: u64 = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_regular_file_is_read_and_no_more_of_it_than_it_may_have() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("whole"), "12345").unwrap();
        assert_eq!(read_file(&path("whole"), 5).unwrap(), b"12345");
        std::os::unix::fs::symlink("/dev/zero", path("zero")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            path("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
            0,
        )
        .unwrap();
        for (name, most, said) in [
            ("whole", 4, "longer than 4 bytes"),
            ("zero", 5, "no regular file"),
            ("pipe", 5, "no regular file"),
            ("none", 5, "No such file"),
            (".", 5, "directory"),
        ] {
            let error = read_file(&path(name), most).unwrap_err().to_string();
            assert!(error.contains(said), "{name}: {error}");
        }
    }
}
