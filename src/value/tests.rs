use super::*;

#[derive(Debug, serde::Deserialize)]
struct Sample {
    limit: Option<Size>,
    wait: Option<Duration>,
}

#[test]
fn a_duration_is_read_as_people_write_it() {
    for (text, millis) in [
        ("500ms", 500),
        ("10s", 10_000),
        (" 1h 30m ", 5_400_000),
        ("1d", 86_400_000),
    ] {
        assert_eq!(text.parse(), Ok(Duration::from_millis(millis)), "{text}");
    }
}

#[test]
fn a_wrong_duration_is_refused_and_the_message_shows_a_right_one() {
    for text in [
        "",
        "10",
        "ten seconds",
        "-1s",
        "0s",
        "1000years",
        "10 parsecs",
    ] {
        let error = text.parse::<Duration>().unwrap_err().to_string();
        assert!(error.contains(r#""10s""#), "{text}: {error}");
    }
}

#[test]
fn milliseconds_have_three_decimals_at_most() {
    for (nanoseconds, written) in [
        (0, "0"),
        (499, "0"),
        (4_544_916, "4.545"),
        (1_999_000, "1.999"),
        (31_000_000_000, "31000"),
    ] {
        let elapsed = std::time::Duration::from_nanos(nanoseconds);
        assert_eq!(milliseconds(elapsed).to_string(), written);
    }
}

#[test]
fn a_share_is_read_as_people_write_it_and_anything_else_is_refused() {
    for (text, of_1024) in [("25%", 256), (" 1 % ", 10), ("100%", 1024)] {
        assert_eq!(text.parse::<Share>().unwrap().of(1024), of_1024, "{text}");
    }
    assert_eq!(Share::percent(100).of(usize::MAX), usize::MAX);
    for text in ["", "25", "0%", "101%", "-1%", "1.5%", "300%", "%"] {
        let error = text.parse::<Share>().unwrap_err().to_string();
        assert!(error.contains(r#""25%""#), "{text}: {error}");
    }
}

#[test]
fn a_size_is_read_as_people_write_it() {
    for (text, bytes) in [
        ("65536", 65_536),
        ("64 KiB", 65_536),
        ("64KiB", 65_536),
        ("1.5 MiB", 1_572_864),
        ("10 MB", 10_000_000),
    ] {
        assert_eq!(text.parse(), Ok(Size::from_bytes(bytes)), "{text}");
    }
}

#[test]
fn a_wrong_size_is_refused_and_the_message_shows_a_right_one() {
    for text in [
        "",
        "-1",
        "0",
        "0 KiB",
        "much",
        "64 furlongs",
        "1.2.3 KiB",
        "99999999999 EiB",
    ] {
        let error = text.parse::<Size>().unwrap_err().to_string();
        assert!(error.contains(r#""64 KiB""#), "{text}: {error}");
    }
}

#[test]
fn what_is_displayed_is_read_back_as_the_same_value() {
    for bytes in [
        1,
        1000,
        1023,
        1024,
        65_536,
        65_537,
        3 << 30,
        1 << 40,
        u64::MAX - 1,
    ] {
        let size = Size::from_bytes(bytes);
        assert_eq!(size.to_string().parse(), Ok(size));
    }
    for millis in [1, 999, 1000, 90_000, 86_400_001] {
        let duration = Duration::from_millis(millis);
        assert_eq!(duration.to_string().parse(), Ok(duration));
    }
    assert_eq!(Size::from_kib(64).to_string(), "64 KiB");
}

#[test]
fn a_configuration_file_holds_texts_and_a_wrong_type_is_told_what_is_expected() {
    let sample: Sample = toml::from_str("limit = '1 MiB'\nwait = '2m'").unwrap();
    assert_eq!(sample.limit, Some(Size::from_mib(1)));
    assert_eq!(sample.wait, Some(Duration::from_secs(120)));
    let sample: Sample = toml::from_str("limit = 4096").unwrap();
    assert_eq!(sample.limit, Some(Size::from_kib(4)));

    for text in [
        "wait = 10",
        "wait = '10'",
        "limit = -1",
        "limit = 0",
        "limit = true",
    ] {
        let error = toml::from_str::<Sample>(text).unwrap_err().to_string();
        assert!(
            error.contains(r#""10s""#) || error.contains(r#""64 KiB""#),
            "{error}"
        );
    }
}

#[test]
fn digests_are_written_in_lower_case_hexadecimal() {
    assert_eq!(hex(&[0, 0x0a, 0xff]), "000aff");
    assert_eq!(
        Sha256Hex::of(b"abc").as_str(),
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    );
}

#[test]
fn a_time_is_written_in_utc_with_exactly_three_digits() {
    for (text, written) in [
        ("2026-11-24T10:00:00Z", "2026-11-24T10:00:00.000Z"),
        ("2026-11-24T11:00:00.5+01:00", "2026-11-24T10:00:00.500Z"),
        ("2026-11-24T10:00:00.999999999Z", "2026-11-24T10:00:00.999Z"),
    ] {
        let time: jiff::Timestamp = text.parse().unwrap();
        assert_eq!(rfc3339_millis(time), written);
    }
}
