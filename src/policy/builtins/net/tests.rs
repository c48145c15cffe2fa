use crate::policy::builtins::tests::assert_said;

#[test]
fn networks_are_those_of_go() {
    assert_said(&[
        (
            r#"net.cidr_contains("10.0.0.0/8", "::ffff:10.0.0.1")"#,
            "true",
        ),
        (
            r#"net.cidr_contains("::ffff:10.0.0.0/104", "10.1.1.1")"#,
            "true",
        ),
        (r#"net.cidr_contains("::/0", "10.0.0.1")"#, "false"),
        (r#"net.cidr_contains("10.0.0.0/8", "10.1.0.0/16")"#, "true"),
        (r#"net.cidr_contains("10.0.0.0/8", "10.0.0.0/7")"#, "false"),
        (r#"net.cidr_contains("::/80", "::/80")"#, "true"),
        (r#"net.cidr_contains("010.0.0.0/8", "10.0.0.1")"#, "fails"),
        (r#"net.cidr_contains("10.0.0.0/8", "x")"#, "fails"),
        (r#"net.cidr_contains("fe80::/10", "fe80::1%eth0")"#, "fails"),
        (r#"net.cidr_contains("10.0.0.0/08", "10.9.9.9")"#, "true"),
        (r#"net.cidr_is_valid("10.0.0.0/33")"#, "false"),
        ("net.cidr_is_valid(1)", "false"),
        (
            r#"net.cidr_intersects("10.0.0.0/8", "10.1.0.0/16")"#,
            "true",
        ),
        (
            r#"net.cidr_intersects("10.0.0.0/8", "11.0.0.0/8")"#,
            "false",
        ),
    ]);
}

#[test]
fn networks_are_expanded_and_merged_to_sets() {
    assert_said(&[
        (
            r#"net.cidr_expand("10.0.0.2/31") == {"10.0.0.2", "10.0.0.3"}"#,
            "true",
        ),
        (r#"net.cidr_expand("10.0.0.0/8")"#, "fails"),
        (r#"net.cidr_expand("::/0")"#, "fails"),
        (
            r#"net.cidr_merge(["10.0.0.0/25", "10.0.0.128/25"])"#,
            r#"["10.0.0.0/24"]"#,
        ),
        (
            r#"net.cidr_merge(["10.0.0.1/32", "10.0.0.2/31"])"#,
            r#"["10.0.0.1/32","10.0.0.2/31"]"#,
        ),
        (r#"net.cidr_merge({"10.0.0.1"})"#, r#"["10.0.0.1/8"]"#),
        (r#"net.cidr_merge(["::1"])"#, "fails"),
        (
            r#"net.cidr_contains_matches({"a": "10.0.0.0/8"}, ["10.0.0.1", "11.0.0.1"])"#,
            r#"[["a",0]]"#,
        ),
        (r#"net.cidr_contains_matches([1], "10.0.0.1")"#, "fails"),
    ]);
}
