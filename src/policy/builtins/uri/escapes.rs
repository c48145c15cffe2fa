//! `%` and two digits in the parts of an address, as Go's `net/url` reads and writes them.

/// A part of an address.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) enum Part {
    Fragment,
    Host,
    Path,
    User,
    /// The zone of an IPv6 address.
    Zone,
}

/// What the text stands for, which may be no text.
pub(super) fn unescaped(text: &str, part: Part) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            if matches!(part, Part::Host | Part::Zone) && first.is_ascii() && !is_of_host(*first) {
                let first = char::from(*first).to_string();
                return Err(format!("invalid character {first:?} in host name"));
            }
            bytes.push(*first);
            continue;
        }
        let digit = |byte: u8| {
            char::from(byte)
                .to_digit(16)
                .and_then(|it| u8::try_from(it).ok())
        };
        let byte = match after {
            [high, low, after @ ..] => {
                rest = after;
                digit(*high)
                    .zip(digit(*low))
                    .map(|(high, low)| high << 4 | low)
            }
            _ => None,
        };
        let is_allowed = |byte: u8| match part {
            // Of ASCII, a host has escapes of `%` alone.
            Part::Host => !byte.is_ascii() || byte == b'%',
            Part::Zone => [b'%', b' '].contains(&byte) || is_of_host(byte),
            Part::Fragment | Part::Path | Part::User => true,
        };
        bytes.push(
            byte.filter(|byte| is_allowed(*byte))
                .ok_or("invalid URL escape")?,
        );
    }
    Ok(bytes)
}

fn is_of_host(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!$&'()*+,;=:[]<>\"-_.~".contains(&byte)
}

/// How Go writes a path.
pub(super) fn escaped(path: &[u8]) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path {
        if byte.is_ascii_alphanumeric() || b"-_.~$&+,/:;=@".contains(byte) {
            text.push(char::from(*byte));
        } else {
            text.push('%');
            for digit in [byte >> 4, byte & 15] {
                let digit = char::from_digit(digit.into(), 16).unwrap_or_default();
                text.push(digit.to_ascii_uppercase());
            }
        }
    }
    text
}
