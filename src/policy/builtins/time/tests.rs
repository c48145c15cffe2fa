use crate::policy::builtins::tests::assert_said;
use crate::policy::builtins::time::unusable;

#[test]
fn days_that_there_are_not_run_over() {
    assert_said(&[
        (
            r#"time.format(time.add_date(time.parse_rfc3339_ns("2028-02-29T00:00:00Z"), 1, 0, 0))"#,
            r#""2029-03-01T00:00:00Z""#,
        ),
        (
            r#"time.format(time.add_date(time.parse_rfc3339_ns("2027-01-31T00:00:00Z"), 0, 1, 0))"#,
            r#""2027-03-03T00:00:00Z""#,
        ),
        (
            r#"time.format(time.add_date(time.parse_rfc3339_ns("2028-01-31T00:00:00Z"), 0, 1, 0))"#,
            r#""2028-03-02T00:00:00Z""#,
        ),
        ("time.add_date(0, 300, 0, 0)", "fails"),
        ("time.add_date(0, 9223372036854775807, 1, 1)", "fails"),
        (
            r#"time.diff(time.parse_rfc3339_ns("2028-03-01T00:00:00Z"), time.parse_rfc3339_ns("2028-01-31T12:00:00Z"))"#,
            "[0,1,0,12,0,0]",
        ),
        ("time.weekday(0)", r#""Thursday""#),
        (r#"time.date([0, "America/New_York"])"#, "[1969,12,31]"),
        (r#"time.clock([0, "Asia/Kathmandu"])"#, "[5,30,0]"),
    ]);
}

#[test]
fn clocks_are_changed_as_in_go() {
    assert_said(&[
        // There is no half past two on that day, and two of them on the other.
        (
            r#"time.format([time.add_date([time.parse_rfc3339_ns("2027-03-27T01:30:00Z"), "Europe/Berlin"], 0, 0, 1), "Europe/Berlin"])"#,
            r#""2027-03-28T03:30:00+02:00""#,
        ),
        (
            r#"time.format([time.add_date([time.parse_rfc3339_ns("2027-10-30T00:30:00Z"), "Europe/Berlin"], 0, 0, 1), "Europe/Berlin"])"#,
            r#""2027-10-31T02:30:00+01:00""#,
        ),
        (r#"time.format([0, "Local"])"#, "fails"),
        (r#"time.format([0, "europe/berlin"])"#, "fails"),
        (r#"time.format([0, "../Europe/Berlin"])"#, "fails"),
        ("time.format(1.5)", "fails"),
    ]);
}

#[test]
fn layouts_are_those_of_go() {
    assert_said(&[
        (
            r#"time.format([1835431872123000000, "Europe/Berlin", "RFC1123"])"#,
            r#""Tue, 29 Feb 2028 11:11:12 CET""#,
        ),
        (
            r#"time.format([1835431872123000000, "", "Mon Jan _2 3:04:05.000 PM 06 002"])"#,
            r#""Tue Feb 29 10:11:12.123 AM 28 060""#,
        ),
        (r#"time.parse_ns("2006-01-02", "2027-02-29")"#, "fails"),
        (
            r#"time.parse_ns("02 Jan 06 15:04 -0700", "29 feb 28 12:30 +0100") == 1835436600000000000"#,
            "true",
        ),
        (r#"time.parse_ns("YYYY-MM-DD", "2027-02-28")"#, "fails"),
        (
            r#"time.parse_rfc3339_ns("2028-02-29T1:02:03,5Z") == 1835398923500000000"#,
            "true",
        ),
        (r#"time.parse_rfc3339_ns("2028-02-29T01:02:03z")"#, "fails"),
        (r#"time.parse_rfc3339_ns("2300-01-01T00:00:00Z")"#, "fails"),
    ]);
}

#[test]
fn durations_have_the_units_of_opa() {
    assert_said(&[
        (r#"time.parse_duration_ns("1h30m")"#, "5400000000000"),
        (r#"time.parse_duration_ns("90d")"#, "7776000000000000"),
        (r#"time.parse_duration_ns("-1.5h")"#, "-5400000000000"),
        (r#"time.parse_duration_ns("90")"#, "fails"),
        (r#"time.parse_duration_ns("1 h")"#, "fails"),
        (r#"time.parse_duration_ns("3000000h")"#, "fails"),
        (r#"time.parse_duration_ns("")"#, "fails"),
    ]);
}

#[test]
fn what_a_policy_writes_wrongly_is_found_without_a_request() {
    for (builtin, place, member, wrong, right) in [
        ("time.parse_duration_ns", 0, None, "90 days", "90d"),
        (
            "time.parse_rfc3339_ns",
            0,
            None,
            "2027-02-29",
            "2027-02-28T00:00:00Z",
        ),
        ("time.parse_ns", 0, None, "YYYY-MM-DD", "RFC850"),
        ("time.format", 0, Some(2), "yyyy", "2006"),
        ("time.format", 0, Some(1), "CEST", "Europe/Berlin"),
        ("time.diff", 1, Some(1), "Local", "UTC"),
    ] {
        assert!(unusable(builtin, place, member, wrong).is_some(), "{wrong}");
        assert_eq!(unusable(builtin, place, member, right), None);
    }
    assert_eq!(unusable("time.parse_ns", 1, None, "x"), None);
}
