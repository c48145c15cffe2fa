//! Paths that try to be taken for others, and text that makes work.

use std::sync::LazyLock;

use proptest::prelude::*;

use crate::dynatrace::catalogue::{Catalogue, Overrides};

static CATALOGUE: LazyLock<Catalogue> =
    LazyLock::new(|| Catalogue::new(&Overrides::default()).unwrap());

/// The words of the catalogue, and some that are none.
fn words() -> Vec<String> {
    let words = CATALOGUE.rows().iter().flat_map(|row| row.segments.iter());
    let mut words: Vec<String> = words
        .map(|word| word.replace(['{', '}', '*'], ""))
        .collect();
    words.extend(
        [
            "",
            ".",
            "..",
            "e",
            "abc-1",
            "lookup",
            "v9",
            "tokens-2",
            "classic",
            "environment-api",
        ]
        .map(str::to_owned),
    );
    words.sort();
    words.dedup();
    words
}

/// Segments of the catalogue, cut, joined and changed.
pub(in crate::guard) fn segment() -> impl Strategy<Value = String> {
    (
        prop::sample::select(words()),
        prop_oneof![12 => Just(""), 1 => Just(".json"), 1 => Just("~"), 1 => Just("s"), 1 => Just("Tokens")],
        0..12_u8,
    )
        .prop_map(|(word, end, change)| match change {
            0 => word.to_uppercase() + end,
            1 => word.to_lowercase() + end,
            2 => word.chars().skip(1).collect::<String>() + end,
            _ => word + end,
        })
}

/// A row's own segments, so that paths come near to what is guarded.
fn row() -> impl Strategy<Value = String> {
    let rows = CATALOGUE.rows().iter().filter(|row| row.is_guarded());
    let paths = rows.map(|row| {
        row.segments
            .join("/")
            .replace("{*}", "a/b")
            .replace("{id}", "x1")
    });
    prop::sample::select(paths.collect::<Vec<_>>())
}

/// What can be done to a path at any place.
fn strange() -> impl Strategy<Value = String> {
    let nothing = prop::sample::select(vec![
        "/",
        "\\",
        "?",
        "#",
        ";",
        ";a",
        ";a=b/",
        "..",
        ".",
        "/../",
        "/./",
        "%",
        "%u",
        "½",
        "\u{2044}",
        "\u{2026}",
        "\u{fdfa}",
        "\u{200b}",
        "\u{ff0f}",
        "\u{ff05}2f",
        "\u{301}",
        "ﬅ",
        "\u{b2}",
        "a",
        " ",
        "\0",
        "4",
        "1",
        "E0",
        "x",
        "\u{fffd}",
        "%c2",
        "%bd",
        "%c0",
        "%af",
        "%e0%80",
        "%f0%80%80%af",
        "%u2044",
        "%u002f",
    ]);
    (nothing, 0..4_u8).prop_map(|(text, depth)| encoded(text, depth))
}

/// All characters encoded so often.
pub(in crate::guard) fn encoded(text: &str, depth: u8) -> String {
    (0..depth).fold(text.to_owned(), |text, _| {
        let bytes = text.bytes().map(|byte| format!("%{byte:02x}"));
        bytes.collect()
    })
}

/// A path near to a row's, with strange things put in and letters encoded.
pub(in crate::guard) fn path() -> impl Strategy<Value = String> {
    let inserted = prop::collection::vec((any::<prop::sample::Index>(), strange()), 0..5);
    let changed = prop::collection::vec((any::<prop::sample::Index>(), 0..4_u8), 0..4);
    let begin = prop::sample::select(vec![
        "/",
        "/",
        "/api/",
        "//",
        "/e/x/",
        "/x/",
        "/platform/classic/environment-api/",
    ]);
    let path = prop_oneof![
        row(),
        prop::collection::vec(segment(), 0..6).prop_map(|segments| segments.join("/")),
    ];
    (begin, path, inserted, changed).prop_map(|(begin, path, inserted, changed)| {
        let mut path = format!("{begin}{path}");
        for (index, depth) in changed {
            let places: Vec<(usize, char)> = path.char_indices().skip(1).collect();
            if let Some((at, c)) = places.get(index.index(places.len().max(1))) {
                path.replace_range(*at..at + c.len_utf8(), &encoded(&c.to_string(), depth));
            }
        }
        for (index, text) in inserted {
            let places: Vec<usize> = path.char_indices().map(|(at, _)| at).skip(1).collect();
            let at = places.get(index.index(places.len() + 1)).copied();
            path.insert_str(at.unwrap_or(path.len()), &text);
        }
        path
    })
}
