//! Which arguments of builtins are texts and nothing else.

/// Whether the builtin takes a text there, and fails, or says nothing, of what is none.
pub(super) fn is_text(builtin: &str, place: usize) -> bool {
    let found = TEXTS.iter().find(|(name, _)| *name == builtin);
    found.is_some_and(|(_, places)| places.contains(&place))
}

const TEXTS: [(&str, &[usize]); 23] = [
    ("concat", &[0]),
    ("contains", &[0, 1]),
    ("endswith", &[0, 1]),
    ("glob.match", &[0, 2]),
    ("indexof", &[0, 1]),
    ("lower", &[0]),
    ("net.cidr_contains", &[0, 1]),
    ("regex.find_n", &[0, 1]),
    ("regex.match", &[0, 1]),
    ("regex.replace", &[0, 1, 2]),
    ("regex.split", &[0, 1]),
    ("replace", &[0, 1, 2]),
    ("split", &[0, 1]),
    ("startswith", &[0, 1]),
    ("substring", &[0]),
    ("time.parse_rfc3339_ns", &[0]),
    ("trim", &[0, 1]),
    ("trim_left", &[0, 1]),
    ("trim_prefix", &[0, 1]),
    ("trim_right", &[0, 1]),
    ("trim_space", &[0]),
    ("trim_suffix", &[0, 1]),
    ("upper", &[0]),
];
