//! Sets of characters as RE2 has them: Perl's and POSIX's are ASCII, Unicode's have `\p`.

use regex_syntax::hir::{Class, ClassUnicode, ClassUnicodeRange, HirKind};

/// The characters from one to the other; there are none for surrogates.
pub(in crate::policy::builtins) fn range(low: u32, high: u32) -> ClassUnicode {
    const SURROGATES: std::ops::RangeInclusive<u32> = 0xd800..=0xdfff;
    let low = if SURROGATES.contains(&low) {
        0xe000
    } else {
        low
    };
    let high = if SURROGATES.contains(&high) {
        0xd7ff
    } else {
        high
    };
    match (char::from_u32(low), char::from_u32(high)) {
        (Some(low), Some(high)) if low <= high => {
            ClassUnicode::new([ClassUnicodeRange::new(low, high)])
        }
        _ => ClassUnicode::empty(),
    }
}

/// Adds all that differ from one of them by case alone.
pub(super) fn fold(class: &mut ClassUnicode) {
    class
        .try_case_fold_simple()
        .expect("the tables of cases are built in");
}

type Ranges = &'static [(char, char)];

const DIGIT: Ranges = &[('0', '9')];
const SPACE: Ranges = &[('\t', '\n'), ('\u{c}', '\r'), (' ', ' ')];
const WORD: Ranges = &[('0', '9'), ('A', 'Z'), ('_', '_'), ('a', 'z')];

/// `\d` and its like, by their letter.
pub(super) fn perl(letter: char, is_folded: bool) -> Option<ClassUnicode> {
    let ranges = match letter.to_ascii_lowercase() {
        'd' => DIGIT,
        's' => SPACE,
        'w' => WORD,
        _ => return None,
    };
    Some(ascii(ranges, letter.is_ascii_uppercase(), is_folded))
}

/// `[:alpha:]` and its like, by what stands between the colons.
pub(super) fn posix(name: &str, is_folded: bool) -> Option<ClassUnicode> {
    let (name, is_negated) = match name.strip_prefix('^') {
        Some(name) => (name, true),
        None => (name, false),
    };
    let ranges: Ranges = match name {
        "alnum" => &[('0', '9'), ('A', 'Z'), ('a', 'z')],
        "alpha" => &[('A', 'Z'), ('a', 'z')],
        "ascii" => &[('\0', '\u{7f}')],
        "blank" => &[('\t', '\t'), (' ', ' ')],
        "cntrl" => &[('\0', '\u{1f}'), ('\u{7f}', '\u{7f}')],
        "digit" => DIGIT,
        "graph" => &[('!', '~')],
        "lower" => &[('a', 'z')],
        "print" => &[(' ', '~')],
        "punct" => &[('!', '/'), (':', '@'), ('[', '`'), ('{', '~')],
        "space" => &[('\t', '\r'), (' ', ' ')],
        "upper" => &[('A', 'Z')],
        "word" => WORD,
        "xdigit" => &[('0', '9'), ('A', 'F'), ('a', 'f')],
        _ => return None,
    };
    Some(ascii(ranges, is_negated, is_folded))
}

fn ascii(ranges: Ranges, is_negated: bool, is_folded: bool) -> ClassUnicode {
    let ranges = ranges.iter();
    let mut class =
        ClassUnicode::new(ranges.map(|(low, high)| ClassUnicodeRange::new(*low, *high)));
    if is_folded {
        fold(&mut class);
    }
    if is_negated {
        class.negate();
    }
    class
}

/// Scripts whose name has four letters; all others of four letters are short for a longer one, which Go does not know.
const SHORT_SCRIPTS: [&str; 9] = [
    "ahom", "cham", "kawi", "lisu", "miao", "modi", "newa", "thai", "toto",
];

/// What `\p` has, by the name of a category or a script.
pub(super) fn unicode(name: &str) -> Option<ClassUnicode> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "_- ".contains(letter);
    let plain: String = name.chars().filter(char::is_ascii_alphanumeric).collect();
    let plain = plain.to_ascii_lowercase();
    if !name.chars().all(is_plain) || plain.is_empty() || plain.starts_with("is") {
        return None;
    }
    if ["cs", "surrogate"].contains(&plain.as_str()) {
        return Some(ClassUnicode::empty());
    }
    let is_script = plain.len() != 4 || SHORT_SCRIPTS.contains(&plain.as_str());
    table("gc", &plain).or_else(|| is_script.then(|| table("sc", &plain)).flatten())
}

fn table(property: &str, name: &str) -> Option<ClassUnicode> {
    let hir = regex_syntax::parse(&format!("\\p{{{property}={name}}}")).ok()?;
    match hir.into_kind() {
        HirKind::Class(Class::Unicode(class)) => Some(class),
        // A category of one.
        HirKind::Literal(literal) => {
            let only = u32::from(std::str::from_utf8(&literal.0).ok()?.chars().next()?);
            Some(range(only, only))
        }
        _ => None,
    }
}
