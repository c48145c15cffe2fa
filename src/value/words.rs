//! What the system says, in words of people.

use std::io::{self, ErrorKind};

/// Why a file cannot be read.
pub fn unread(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::PermissionDenied => {
            format!("{} may not read it: give read access", user())
        }
        ErrorKind::IsADirectory => "it is a directory, and a file is expected".to_owned(),
        ErrorKind::NotADirectory => "it is no directory".to_owned(),
        ErrorKind::InvalidData => "it is not text in UTF-8".to_owned(),
        _ => plain_words(&error.to_string()),
    }
}

/// Whether a text can be what the configuration calls something: 1 to 64 letters, digits, hyphens and underscores.
pub fn is_name(text: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
    (1..=64).contains(&text.len()) && text.bytes().all(fits)
}

/// Who this process is to the system: whoever gives it access has to know.
fn user() -> String {
    let uid = rustix::process::geteuid().as_raw().to_string();
    let users = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = users.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)? == uid).then(|| name.to_owned())
    });
    let name = name.map_or_else(String::new, |name| format!(" {name}"));
    format!("the user{name} (uid {uid}), as which dtgate runs,")
}

/// Why a file cannot be written.
pub fn unwritten(error: &io::Error) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such directory: make it, or write elsewhere".to_owned(),
        ErrorKind::PermissionDenied => {
            format!("{} may not write there: give write access", user())
        }
        _ => plain_words(&error.to_string()),
    }
}

/// A text without what errors of the system look like to a programmer: "Connection refused (os error 111)".
pub fn plain_words(text: &str) -> String {
    let mut plain = text.to_owned();
    while let Some((before, rest)) = plain.split_once(MARK)
        && let Some((number, behind)) = rest.split_once(')')
        && let Ok(number) = number.parse()
    {
        let error = io::Error::from_raw_os_error(number);
        let theirs = error.to_string();
        let theirs = theirs.split(MARK).next().unwrap_or_default();
        plain = match before.strip_suffix(theirs) {
            Some(before) => format!("{before}{}{behind}", said(&error, theirs)),
            None => format!("{before}{behind}"),
        };
    }
    plain
}

/// An error with its causes, in plain words. A cause that is said already is not said again.
pub fn with_causes(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let said = error.to_string();
        if !text.ends_with(&said) {
            text = format!("{text}: {said}");
        }
        cause = error.source();
    }
    plain_words(&text)
}

/// How much alike two names are, from 0 to 1. Of short names one letter is a large part: where only one is other, left
/// out, too much or in the place of its neighbour, they are alike all the same.
pub fn likeness(one: &str, other: &str) -> f64 {
    let is_slip = one.len().min(other.len()) > 1 && strsim::damerau_levenshtein(one, other) == 1;
    let likeness = strsim::jaro_winkler(one, other);
    if is_slip {
        likeness.max(SLIP)
    } else {
        likeness
    }
}

/// In our own words, or in the system's as the end of a sentence.
fn said(error: &io::Error, theirs: &str) -> String {
    match error.kind() {
        ErrorKind::NotFound => "there is no such file or directory".to_owned(),
        ErrorKind::PermissionDenied => "the user that dtgate runs as may not do that".to_owned(),
        ErrorKind::AddrInUse => "another program listens there already".to_owned(),
        ErrorKind::StorageFull => "no space is left on the disk".to_owned(),
        _ => {
            let mut letters = theirs.chars();
            let first = letters.next().map(|letter| letter.to_ascii_lowercase());
            first.into_iter().chain(letters).collect()
        }
    }
}

/// More than what is asked of a guess, and less than what long names have.
const SLIP: f64 = 0.8;

const MARK: &str = " (os error ";

#[cfg(test)]
mod tests {
    use rustix::io::Errno;

    use super::*;

    #[test]
    fn whoever_may_not_read_is_named() {
        let said = unread(&ErrorKind::PermissionDenied.into());
        let uid = rustix::process::geteuid().as_raw();
        assert!(
            said.contains(&format!(
                "(uid {uid}), as which dtgate runs, may not read it"
            )),
            "{said}"
        );
    }

    #[test]
    fn numbers_of_the_system_are_left_out() {
        let of = |errno: Errno| io::Error::from_raw_os_error(errno.raw_os_error());
        for (errno, wanted) in [
            (Errno::NOENT, "there is no such file or directory"),
            (Errno::ADDRINUSE, "another program listens there already"),
            (Errno::CONNREFUSED, "connection refused"),
            (Errno::NOSPC, "no space is left on the disk"),
        ] {
            let said = plain_words(&format!("here: {}, and more", of(errno)));
            assert_eq!(said, format!("here: {wanted}, and more"));
        }
        let (one, other) = (of(Errno::NOENT), of(Errno::CONNREFUSED));
        assert_eq!(
            plain_words(&format!("{one}; {other}")),
            "there is no such file or directory; connection refused"
        );
    }

    #[test]
    fn a_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("file x: {source}")]
        struct Whole {
            source: io::Error,
        }
        #[derive(Debug, thiserror::Error)]
        #[error("outside")]
        struct Outside(#[source] Whole);
        let source = io::Error::from_raw_os_error(Errno::NOENT.raw_os_error());
        let said = with_causes(&Outside(Whole { source }));
        assert_eq!(said, "outside: file x: there is no such file or directory");
    }

    #[test]
    fn a_slip_of_the_pen_is_near_however_short_the_name_is() {
        for (one, other) in [("mx", "max"), ("ur", "url"), ("amx", "max"), ("max", "mux")] {
            assert!(likeness(one, other) >= SLIP, "{one} {other}");
        }
        for (one, other) in [("a", "b"), ("max", "ids"), ("mx", "ids")] {
            assert!(likeness(one, other) < 0.75, "{one} {other}");
        }
    }

    #[test]
    fn other_texts_stay_as_they_are() {
        for text in [
            "",
            "nothing of it",
            "a (os error",
            "a (os error x)",
            "(os error 2)",
        ] {
            assert_eq!(plain_words(text), text);
        }
        assert_eq!(plain_words("other words (os error 2)"), "other words");
    }
}
