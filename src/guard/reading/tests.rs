use super::*;

fn read(text: &str) -> Reading {
    Reading::of(text, &mut Work::default()).unwrap()
}

/// The reading as text: `\` for what some take for a slash, `?` for an end, `~` for a letter and `^` for anything
/// else that is not ASCII.
fn shown(text: &str) -> String {
    let reading = read(text);
    let shown = reading.text.iter().map(|byte| match *byte {
        LETTER => '~',
        0x80.. => '^',
        ascii => char::from(ascii),
    });
    shown.collect()
}

#[test]
fn everything_is_undone_in_one_pass() {
    for (text, undone) in [
        ("/Api/V1", "/api/v1"),
        ("/%74okens", "/tokens"),
        ("/%2574okens", "/tokens"),
        ("/%25%37%34okens", "/tokens"),
        ("/%%37%34okens", "/tokens"),
        ("/%u0074okens", "/tokens"),
        ("/%u%30074okens", "/tokens"),
        ("/%uD800x", "/%ud800x"),
        ("/a%2fb%5cc\\d", "/a\\b\\c\\d"),
        ("/a%3fb%23c", "/a?b?c"),
        ("/a%c0%afb%e0%80%afc%f0%80%80%afd", "/a\\b\\c\\d"),
        ("/½%C2%BD", "/1\\21\\2"),
        ("/%EF%BC%852f", "/\\"),
        ("/\u{ff05}\u{ff12}f", "/\\"),
        ("/to%20ken\u{200b}s%00", "/tokens"),
        ("/ﬅ\u{17f}ı\u{212a}\u{df}", "/stsikss"),
        ("/\u{2026}", "/..."),
        ("/日本語\u{fdfa}é", "/~~~~e"),
        ("/%c2x%bd%ff", "/^x^^"),
        ("/100%25", "/100%"),
        ("/%", "/%"),
        ("/%2", "/%2"),
        ("/%zz", "/%zz"),
    ] {
        assert_eq!(shown(text), undone, "{text}");
    }
}

#[test]
fn what_is_encoded_too_often_is_not_read_to_the_end() {
    let encoded = |depth: usize| format!("/%{}41/x", "25".repeat(depth - 1));
    for depth in 1..=3 {
        assert_eq!(shown(&encoded(depth)), "/a/x");
        assert!(!read(&encoded(depth)).is_too_deep());
    }
    assert!(read(&encoded(4)).is_too_deep());
    // What has to go before an escape is one counts, and what stands before it not.
    assert!(!read("%6%25201%20%20%20%20%41").is_too_deep());
    assert!(read("%6%2525201").is_too_deep());
    assert!(read("%6%252520%31").is_too_deep());
    // Escapes whose digits are encoded, each in the next: one a character, if nobody stopped.
    let chain = "%3".repeat(40_000) + "1";
    assert!(read(&chain).is_too_deep());
}

#[test]
fn parts_are_split_where_anybody_splits_them() {
    let reading = read("/a;x%2fb\\c/%20/d?e");
    let parts: Vec<(&str, bool, bool)> = reading
        .parts()
        .iter()
        .map(|part| {
            (
                std::str::from_utf8(part.word).unwrap(),
                part.joined,
                part.ends,
            )
        })
        .collect();
    assert_eq!(
        parts,
        [
            ("", false, false),
            ("a", false, false),
            ("b", true, false),
            ("c", true, false),
            ("", false, false),
            ("d", false, true),
            ("e", true, false),
        ]
    );
    let unsure: Vec<bool> = reading.parts().iter().map(|part| part.unsure).collect();
    assert_eq!(unsure, [false, true, true, true, true, true, true]);
}

#[test]
fn a_word_ends_where_somebody_saw_an_escape() {
    for (text, is) in [
        ("rest", true),
        ("rest.json", true),
        ("rest%41", true),
        ("rest%2541", true),
        ("rest%00a", true),
        ("r%65st", true),
        ("restA", false),
        ("rest日", false),
        ("res%74a", false),
        ("a%2drest", false),
    ] {
        let reading = read(text);
        assert_eq!(reading.parts()[0].is_word("rest"), is, "{text}");
    }
}

#[test]
fn a_text_that_can_be_read_in_two_ways_says_why() {
    for (text, strange) in [
        ("/api/v2/x", None),
        ("/api/v2/builtin%3Ax.y~(z)%20%22%41", None),
        ("/a%20%20%20%20%20%22b%20%20", None),
        ("/100%25", None),
        ("/a%2fb", Some(Strange::Slash)),
        ("/a%2eb", Some(Strange::Dot)),
        ("/a%3fb", Some(Strange::End)),
        ("/a%23b", Some(Strange::End)),
        ("/a%3bb", Some(Strange::Semicolon)),
        ("/a;b", None),
        ("/a\\b", Some(Strange::Backslash)),
        ("/a%5cb", Some(Strange::Backslash)),
        ("/a%00b", Some(Strange::Control)),
        ("/a%7fb", Some(Strange::Control)),
        ("/%2541", Some(Strange::Twice)),
        ("/%c3%a9", Some(Strange::NotAscii)),
        ("/é", Some(Strange::NotAscii)),
        ("/%u00e9", Some(Strange::Utf16)),
        ("/%u0041", Some(Strange::Utf16)),
        ("/%c0%af", Some(Strange::NotAscii)),
    ] {
        assert_eq!(read(text).strange(), strange, "{text}");
    }
}

#[test]
fn parameters_begin_wherever_somebody_sees_one() {
    let reading = read("a=1&B=c=d;e?f%26g%3d=1&%2525x");
    let names: Vec<&[u8]> = reading.names().collect();
    let wanted: [&[u8]; 6] = [b"a", b"b", b"e", b"f", b"g", b"%x"];
    assert_eq!(names, wanted);
}
