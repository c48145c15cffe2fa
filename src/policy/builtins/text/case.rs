//! Upper and lower case as Go has them: one character for one character, whatever stands around it, by Unicode 15.

pub(super) fn lower(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    text.chars().map(lower_of).collect()
}

pub(super) fn upper(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_uppercase();
    }
    text.chars().map(upper_of).collect()
}

fn lower_of(c: char) -> char {
    match c {
        '\u{130}' => 'i',
        _ if is_newer(c) => c,
        _ => only(c.to_lowercase()).unwrap_or(c),
    }
}

fn upper_of(c: char) -> char {
    match c {
        // Unicode has got capitals for them since.
        '\u{19b}' | '\u{264}' => c,
        // With the iota that Unicode's full mapping makes a letter of its own.
        '\u{1f80}'..='\u{1f87}' | '\u{1f90}'..='\u{1f97}' | '\u{1fa0}'..='\u{1fa7}' => after(c, 8),
        '\u{1fb3}' | '\u{1fc3}' | '\u{1ff3}' => after(c, 9),
        _ if is_newer(c) => c,
        _ => only(c.to_uppercase()).unwrap_or(c),
    }
}

/// Whether its case came with Unicode 16 or 17.
fn is_newer(c: char) -> bool {
    matches!(c,
        '\u{1c89}'..='\u{1c8a}' | '\u{a7cb}'..='\u{a7cf}' | '\u{a7d2}'..='\u{a7d5}'
        | '\u{a7da}'..='\u{a7dc}' | '\u{10d50}'..='\u{10d85}' | '\u{16ea0}'..='\u{16ed3}')
}

fn only(mut mapped: impl Iterator<Item = char>) -> Option<char> {
    let first = mapped.next();
    mapped.next().is_none().then_some(first).flatten()
}

fn after(c: char, places: u32) -> char {
    char::from_u32(u32::from(c) + places).unwrap_or(c)
}
