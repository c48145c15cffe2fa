use std::fmt::Write as _;
use std::time::{Duration, Instant};

use proptest::prelude::*;
use serde_json::Value as Json;

use super::{from_str, scan};

fn refused(text: &str) -> String {
    let began = Instant::now();
    let fault = from_str::<Json>(text).unwrap_err();
    assert!(
        began.elapsed() < Duration::from_secs(40),
        "{:?}",
        began.elapsed()
    );
    format!("{}:{}: {fault}", fault.line, fault.column)
}

#[test]
fn what_the_library_reads_in_square_time_is_refused() {
    let open = format!("v: t\nw: {}", "[".repeat(400_000));
    assert_eq!(
        refused(&open),
        "2:204: more than 200 brackets are open here: nobody reads that in time"
    );
    for unit in [
        "[", "{", "{a: ", "[a, ", "[\n", "- [", "[{", "? [", "!x [", "&a [", "[[], ",
    ] {
        let said = refused(&unit.repeat(200_000));
        assert!(
            said.contains("brackets are open") || unit == "- [" || unit == "? [",
            "{unit}: {said}"
        );
    }
    let tags: String = (0..100_000).fold(String::new(), |mut all, number| {
        writeln!(all, "%TAG !a{number}! tag:a").unwrap();
        all
    });
    assert!(
        refused(&format!("{tags}---\na: 1\n")).contains("21:1: more than 20 lines begin with %")
    );
}

/// Brackets that are none, where a scanner that is not the library's could take them for some, or the other way round.
#[test]
fn what_hides_brackets_hides_them_from_the_library_as_well() {
    let open = "[".repeat(300);
    for hidden in [
        format!("a: \"{open}\"\n"),
        format!("a: '{open}'\n"),
        format!("a: 'it''s {open}'\n"),
        format!("a: \"\\\" {open}\"\n"),
        format!("a: |\n  {open}\n  \" {open}\nb: 1\n"),
        format!("a:\n  - b: >-\n      {open}\n    c: 1\n"),
        format!("a: |2\n    {open}\n  {open}\nb: 1\n"),
        format!("- |\n {open}\n- >\n {open}\n"),
        format!("a: x{open}\n"),
        format!("a: x\n  {open}\n  y\n"),
        format!("a: 1 # {open}\n# {open}\n"),
        format!("a: [1, 2] #{open}\n"),
        format!("a: [\"{open}\", '{open}', x] \n"),
        format!("--- |\n {open}\n"),
        format!("? |\n  {open}\n: 1\n"),
    ] {
        assert!(from_str::<Json>(&hidden).is_ok(), "{hidden}");
    }
    for seen in [
        format!("a: |\n  \"\nb: {open}"),
        format!("a: |\n b: \"\nb: {open}"),
        format!("a: >\n\nb: {open}"),
        format!("- |\n \"\n- {open}"),
        format!("a:\n  b: |\n   '\n  c: {open}"),
        format!("a: '''' \nb: {open}"),
        format!("a: \"\\\\\" \nb: {open}"),
        format!("a: it's\nb: {open}"),
        format!("a: x #'\nb: {open}"),
        format!("a: [x] #]\nb: {open}"),
        format!("a: x|\nb: {open}"),
        format!("a: !t\n {open}"),
        format!("a: !<t> {open}"),
        format!("a: &n {open}"),
        format!("'a': {open}"),
        format!("[a]: {open}"),
        format!("%X '\n---\n{open}"),
        format!("a: |\u{85} '\u{85}b: {open}"),
        format!("a: 1\r\nb: {open}"),
        format!("\u{feff}a: {open}"),
    ] {
        assert!(refused(&seen).contains("brackets are open"), "{seen}");
    }
}

#[test]
fn parts_that_are_repeated_over_and_over_are_refused_and_others_are_not() {
    let mut laughs = format!("a0: &a0 [{}]\n", "x, ".repeat(500));
    for level in 1..9 {
        let before = format!("*a{}, ", level - 1);
        writeln!(laughs, "a{level}: &a{level} [{}]", before.repeat(10)).unwrap();
    }
    assert!(refused(&laughs).contains("repeated by their names"));
    let many = format!(
        "a: &a [{}]\nb: [{}]\n",
        "x, ".repeat(20_000),
        "*a, ".repeat(20_000)
    );
    assert!(refused(&many).contains("repeated by their names"));
    let few = format!("a: &a {{b: [1, 2]}}\nc: [{}]\n", "*a, ".repeat(1_000));
    let read: Json = from_str(&few).unwrap();
    assert_eq!(read["c"][999]["b"][1], 2);
}

/// One a line, with the number of its line between these two.
fn lines(before: &str, behind: &str, times: usize) -> String {
    (0..times).fold(String::new(), |mut all, number| {
        writeln!(all, "{before}{number}{behind}").unwrap();
        all
    })
}

/// Blocks within blocks.
fn deep(times: usize) -> String {
    (0..times).fold(String::new(), |mut all, number| {
        writeln!(all, "{}a:", " ".repeat(number)).unwrap();
        all
    })
}

const UNITS: &str = "- ~? ~-\n~?\n~a:\n~&a ~&a\n~!t ~!t\n~!!str a\n~*a\n~\r~\n~ ~\t~#\n~# ~---\n~...\n~--- a\n~a: |\n b\n~|\n\n~>\n~\"a\" ~'a'\n~a\n~a ~a: b\n~- a\n~- - a\n~- a: b\n~[], ~{},~[a: b], ~%\n~: ~:\n~a: ~\u{85}~\u{feff}~''~\\~\"~a: [\n~]~- ]\n~a: {}\n~- [a, b]\n~<<: *a\n";

/// What takes the time: twice as much takes no more than three times as long.
#[test]
fn time_grows_with_the_text_alone() {
    let is_slow = |make: &dyn Fn(usize) -> String| {
        let took = |times: usize| {
            let text = make(times);
            let began = Instant::now();
            drop(from_str::<Json>(&text));
            began.elapsed()
        };
        let (first, second) = (took(20_000), took(40_000));
        let may_be = second > Duration::from_millis(300) && second > first * 3;
        second > Duration::from_secs(20) || (may_be && took(80_000) > second * 3)
    };
    assert!(!is_slow(&|times| deep(times / 50)));
    assert!(!is_slow(&|times| lines("k", ": 1", times)));
    assert!(!is_slow(&|times| lines("- &k", " 1", times)));
    assert!(!is_slow(&|times| format!("{}: 1", "k".repeat(times))));
    for unit in UNITS.split('~') {
        assert!(!is_slow(&|times| unit.repeat(times)), "{unit:?}");
        assert!(
            !is_slow(&|times| format!("[{}", unit.repeat(times))),
            "{unit:?} in brackets"
        );
    }
}

/// A text, and how many brackets are open in it at most.
fn made() -> impl Strategy<Value = (String, usize)> {
    let words = prop::sample::select(vec![
        "a",
        "it's",
        "x]y",
        "\"[{\"",
        "'[['",
        "'it''s ]'",
        "\"\\\"]\"",
        "!t a",
        "&a b",
        "-1",
        "a#b",
        "x: ]".trim_end_matches(": ]"),
    ]);
    let flow = words.clone().prop_map(|word| {
        let word = if word == "x]y" { "xy" } else { word };
        (word.to_owned(), 0)
    });
    let flow = flow.prop_recursive(4, 20, 3, |inner| {
        (
            prop::collection::vec(inner, 0..3),
            any::<bool>(),
            any::<bool>(),
        )
            .prop_map(|(all, is_list, is_long)| {
                let deepest = all.iter().map(|(_, deep)| *deep).max().unwrap_or(0) + 1;
                let apart = if is_long { ", # [\n   " } else { ", " };
                let texts: Vec<String> = all
                    .into_iter()
                    .enumerate()
                    .map(|(number, (text, _))| {
                        if is_list {
                            text
                        } else {
                            format!("k{number}: {text}")
                        }
                    })
                    .collect();
                let text = texts.join(apart);
                (
                    if is_list {
                        format!("[{text}]")
                    } else {
                        format!("{{{text}}}")
                    },
                    deepest,
                )
            })
    });
    let leaf = prop_oneof![
        words.prop_map(|word| (format!("{word}\n"), 0)),
        flow.prop_map(|(text, deep)| (format!("{text} # ]\n"), deep)),
        Just(("|\n@ [ \" '\n\n@  ]\n".to_owned(), 0)),
        Just((">-\n\n@ { # '\n".to_owned(), 0)),
        Just(("a\n@ [ b\n".to_owned(), 0)),
    ];
    // The sign stands for the indentation of the line, and one more.
    let block = leaf.prop_recursive(3, 12, 3, |inner| {
        (prop::collection::vec(inner, 1..4), any::<bool>()).prop_map(|(all, is_list)| {
            let deepest = all.iter().map(|(_, deep)| *deep).max().unwrap_or(0);
            let mut text = "\n".to_owned();
            for (number, (one, _)) in all.into_iter().enumerate() {
                let one = one.replace("\n@", "\n@ ");
                if is_list {
                    write!(text, "@- {one}").unwrap();
                } else {
                    write!(text, "@k{number}: {one}").unwrap();
                }
            }
            (text, deepest)
        })
    });
    block.prop_map(|(text, deep)| (text.replace('@', ""), deep))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn brackets_are_counted_as_the_library_counts_them((text, deepest) in made()) {
        let read = from_str::<yaml_serde::Value>(&text);
        if read.is_ok() {
            prop_assert_eq!(scan::text(&text).unwrap().deepest, deepest, "{}", text);
        }
    }
}
