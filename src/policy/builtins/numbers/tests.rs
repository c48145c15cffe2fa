use crate::policy::builtins::tests::assert_said;

#[test]
fn numbers_are_read_as_opa_reads_them() {
    assert_said(&[
        (r#"to_number(" 1")"#, "fails"),
        (r#"to_number("0x1")"#, "fails"),
        (r#"to_number("1_0")"#, "fails"),
        (r#"to_number("1e400")"#, "fails"),
        (r#"to_number("nan")"#, "fails"),
        (r#"to_number("9007199254740993.0")"#, "fails"),
        ("1e-300 * 1e-300", "fails"),
        ("1e-300 / 1e300", "fails"),
        ("1e-300 * 0", "0"),
        (r#"to_number("1e3") == 1000"#, "true"),
        (r#"to_number("+1") == 1"#, "true"),
        ("to_number(null)", "0"),
        ("to_number(true)", "1"),
        ("to_number([])", "fails"),
        (
            r#"to_number("123456789012345678901234567890") == 123456789012345678901234567890"#,
            "true",
        ),
        ("format_int(15.9, 16)", r#""f""#),
        ("format_int(-15.9, 16)", r#""-f""#),
        (
            "format_int(18446744073709551617, 16)",
            r#""10000000000000001""#,
        ),
        ("format_int(1, 3)", "fails"),
    ]);
}

#[test]
fn numbers_are_rounded_as_opa_rounds_them() {
    assert_said(&[
        ("round(0.5)", "1"),
        ("round(-2.5)", "-3"),
        ("ceil(-0.5)", "1"),
        ("floor(-0.5)", "0"),
        ("floor(-1.5)", "-2"),
        ("ceil(1.2)", "2"),
        ("abs(-3.7)", "3.7"),
        // 64 bits are kept.
        (
            "abs(-12345678901234567890123) == 12345678901234567890000",
            "true",
        ),
        (r#"round("1")"#, "fails"),
    ]);
}

#[test]
fn operators_have_the_precision_of_opa() {
    assert_said(&[
        ("div(15.3, 3)", "5.1"),
        ("plus(0.1, 0.2)", "0.3"),
        ("mul(1.1, 3)", "3.3"),
        ("minus(0.3, 0.1)", "0.2"),
        ("minus({1, 2}, {1})", "[2]"),
        ("minus({1}, 2)", "fails"),
        ("div(10, 4)", "2.5"),
        ("div(1, 0)", "fails"),
        ("rem(-7, 3)", "-1"),
        ("rem(10, 18446744073709551616)", "10"),
        ("rem(7, 0)", "fails"),
        ("rem(7.5, 2)", "fails"),
    ]);
}

#[test]
fn ranges_and_shifts_have_an_end() {
    assert_said(&[
        ("numbers.range(3, 1)", "[3,2,1]"),
        ("numbers.range_step(1, 6, 2)", "[1,3,5]"),
        ("numbers.range_step(1, 6, 0)", "fails"),
        ("numbers.range(1, 1000000000000)", "fails"),
        (
            "numbers.range_step(1, 1000000000000, 500000000000)",
            "[1,500000000001]",
        ),
        ("bits.lsh(1, 70) == 1180591620717411303424", "true"),
        ("bits.lsh(1, 1000000000000)", "fails"),
        ("bits.lsh(1, -1)", "fails"),
        ("bits.rsh(-5, 1000000000000)", "-1"),
        ("bits.and(-1, 5)", "5"),
        ("bits.negate(0)", "-1"),
        ("bits.or(1.5, 1)", "fails"),
    ]);
}
