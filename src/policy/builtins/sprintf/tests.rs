use crate::policy::builtins::tests::assert_said;

#[test]
fn formats_are_those_of_go() {
    assert_said(&[
        (
            r#"sprintf("%5.2f|%-6d|%06d|%+d", [3.14159, 42, -42, 7])"#,
            r#"" 3.14|42    |-00042|+7""#,
        ),
        (
            r#"sprintf("%s %v %q", ["a", "b", "c\n"])"#,
            r#""a b \"c\\n\"""#,
        ),
        (
            r#"sprintf("%v %v", [{"b": [1, "x"], "a": null}, {2, 1}])"#,
            r#""{\"a\": null, \"b\": [1, \"x\"]} {1, 2}""#,
        ),
        (
            r#"sprintf("%x %X %o %b %c %U", [255, 255, 8, 5, 228, 228])"#,
            "\"ff FF 10 101 \u{e4} U+00E4\"",
        ),
        (
            r#"sprintf("%e %g %G", [1234.5, 1e-7, 1234567.5])"#,
            r#""1.234500e+03 1e-07 1.2345675E+06""#,
        ),
        (r#"sprintf("100%%", [])"#, r#""100%""#),
        (
            r#"sprintf("%d", [123456789012345678901234567890])"#,
            r#""123456789012345678901234567890""#,
        ),
        (r#"sprintf("%[2]d %[1]s", ["a", 1])"#, r#""1 a""#),
        (r#"sprintf("%*d|%.*f", [5, 42, 1, 2.55])"#, r#""   42|2.5""#),
    ]);
}

#[test]
fn what_does_not_fit_is_marked() {
    assert_said(&[
        (r#"sprintf("%d", ["x"])"#, r#""%!d(string=x)""#),
        (r#"sprintf("%t", [true])"#, r#""%!t(string=true)""#),
        (r#"sprintf("%f", [1])"#, r#""%!f(int64=1)""#),
        (r#"sprintf("%s", [1.5])"#, r#""%!s(float64=1.5)""#),
        (r#"sprintf("%d %d", [1])"#, r#""1 %!d(MISSING)""#),
        (r#"sprintf("%d", [1, "x"])"#, r#""1%!(EXTRA string=x)""#),
        (r#"sprintf("%[3]d", [1])"#, r#""%!d(BADINDEX)""#),
        (r#"sprintf("%", [1])"#, r#""%!(NOVERB)%!(EXTRA int64=1)""#),
        (r#"sprintf("%*d", ["x", 1])"#, r#""%!(BADWIDTH)1""#),
        (r#"sprintf("%s", "x")"#, "fails"),
        (r#"sprintf("%d", [1.0])"#, r#""%!d(float64=1)""#),
        (r#"sprintf("%d", [-1e2])"#, r#""%!d(float64=-100)""#),
    ]);
}

#[test]
fn a_number_that_was_not_written_as_an_integer_is_none() {
    assert_said(&[
        (r#"sprintf("%f %v", [1e2, 1e22])"#, r#""100.000000 1e+22""#),
        (
            r#"sprintf("%d", [to_number("1.0")])"#,
            r#""%!d(float64=1)""#,
        ),
        (
            r#"sprintf("%d", [json.unmarshal("1e2")])"#,
            r#""%!d(float64=100)""#,
        ),
        (r#"sprintf("%d", [yaml.unmarshal("1.0")])"#, r#""1""#),
        (r#"sprintf("%d", [1.0 * 3])"#, r#""3""#),
        (
            r#"sprintf("%d %d", [abs(-1.0), sum([2.0, 1])])"#,
            r#""1 3""#,
        ),
        (r#"sprintf("%d", [max([2.0, 1])])"#, r#""%!d(float64=2)""#),
        (
            "[1e2 == 100, 1e23 == 100000000000000000000000, {1e2, 100}]",
            "[true,true,[100]]",
        ),
        // How it was written is forgotten, and here OPA would show it.
        (r#"sprintf("%v", [[to_number("1.0")]])"#, "fails"),
        (r#"json.marshal(to_number("1e2"))"#, "fails"),
        (
            r#"json.marshal([to_number("1.5"), round(to_number("1e2"))])"#,
            r#""[1.5,100]""#,
        ),
    ]);
}
