use crate::policy::bundle::tests::{directory, problems};
use crate::policy::source::files::Tree;

const POLICY: (&str, &str) = (
    "p.rego",
    "package dtgate.p\n\ndeny contains \"no\" if input.api == \"v9\"\n",
);

/// The data of these files, or what is wrong with them.
fn data(files: &[(&str, &str)]) -> Result<String, Vec<String>> {
    let mut all = files.to_vec();
    all.push(POLICY);
    match problems(&all) {
        problems if problems.is_empty() => {
            let tree = Tree::read(&[directory(files).path()]);
            Ok(serde_json::Value::Object(tree.data).to_string())
        }
        problems => Err(problems),
    }
}

/// Checked with OPA 1.22: `opa eval -d DIR data`.
#[test]
fn every_file_that_opa_reads_is_read_and_put_where_its_directory_says() {
    let files = [
        ("blocked.yaml", "blocked: [a]\n"),
        ("data.yml", "yml: 1\n"),
        ("b.json", "{\"json\": 1}"),
        ("data.json", "{\"data\": 1}"),
        ("sub/dir/x.yaml", "deep: 1\n"),
        ("sub/list.yaml", "dir: {more: 1}\n"),
        ("lists/x.json", "[1, 2]"),
    ];
    assert_eq!(
        data(&files).unwrap(),
        "{\"json\":1,\"blocked\":[\"a\"],\"data\":1,\"yml\":1,\"lists\":[1,2],\
         \"sub\":{\"dir\":{\"deep\":1,\"more\":1}}}"
    );
}

#[test]
fn what_is_no_data_file_stays_out() {
    let files = [
        ("README.md", "# not ours"),
        ("p.rego~", "nonsense"),
        ("p.rego.bak", "nonsense"),
        ("x.yaml.disabled", ": nonsense"),
        ("json", "nonsense"),
        (".gitignore", "*"),
        (".hidden.yaml", "nonsense: ["),
        (".git/config.yaml", "nonsense: ["),
        ("..data/x.yaml", "nonsense: ["),
    ];
    assert_eq!(data(&files).unwrap(), "{}");
}

#[test]
fn a_name_that_only_looks_like_one_that_is_read_is_refused() {
    for (name, extension) in [
        ("blocked.YAML", "yaml"),
        ("blocked.Yml", "yml"),
        ("sub/blocked.JSON", "json"),
        ("more.REGO", "rego"),
    ] {
        let said = data(&[(name, "a: 1\n")]).unwrap_err();
        assert_eq!(
            said,
            [format!(
                "{name}: a file whose name ends like this is not read: write .{extension} in small letters"
            )]
        );
    }
}

#[test]
fn what_two_files_define_is_named_with_both() {
    for (one, other, said) in [
        (
            ("a.yaml", "x: 1\nblocked: [a]\n"),
            ("b.yml", "y: 1\nblocked: [a]\n"),
            "b.yml:2:1: data.blocked is already defined by DIR/a.yaml",
        ),
        (
            ("data.yaml", "a:\n  b: 1\n  c: 2\n"),
            ("data.json", "{\n  \"a\": {\n    \"c\": 2}}"),
            "data.yaml:3:3: data.a.c is already defined by DIR/data.json",
        ),
        (
            ("data.yaml", "a: {b: 1}\n"),
            ("a/x.json", "{\"b\": 2}"),
            "data.yaml:1:5: data.a.b is already defined by DIR/a/x.json",
        ),
        // One inside the other.
        (
            ("a/x.json", "{\"b\": {\"c\": 2}}"),
            ("data.yaml", "a:\n  b: 1\n"),
            "data.yaml:2:3: data.a.b is already defined by DIR/a/x.json",
        ),
    ] {
        let said_now = data(&[one, other]).unwrap_err();
        let [now] = said_now.as_slice() else {
            panic!("{said_now:?}");
        };
        let (before, file) = said.split_once("DIR/").unwrap();
        assert!(
            now.starts_with(before) && now.ends_with(file),
            "{said}: {now}"
        );
    }
}

#[test]
fn what_opa_reads_otherwise_is_refused() {
    for (text, said) in [
        (
            "base: &base {x: 1}\nmore:\n  <<: *base\n  y: 2\n",
            "merge keys (<<) are not read: write the members out",
        ),
        ("a: 1\na: 2\n", "a is defined twice"),
        ("a: 1\n---\nb: 1\n", "more than one document"),
        ("- a\n", "data must be an object: give the value a name"),
    ] {
        let said_now = data(&[("x.yaml", text)]).unwrap_err();
        assert!(said_now[0].contains(said), "{text}: {said_now:?}");
        assert!(said_now[0].starts_with("x.yaml:"), "{said_now:?}");
    }
}

#[test]
fn a_member_is_found_where_it_stands_and_not_in_a_comment() {
    let yaml = "# modes: {a: 1}\nlist:\n  - x\n  - modes: 1\n  - \"y\"\nmodes:\n  'quoted key': {b: [1, 2]}\n  other: 1\n";
    let json = "{\"a\": {\"modes\": 1},\n \"e\": {\"deep\": [true,\n  {\"x\": 1}]}}";
    let files = directory(&[("data.yaml", yaml), ("j/x.json", json)]);
    let tree = Tree::read(&[files.path()]);
    for (path, place) in [
        (&["modes"][..], "data.yaml:6:1"),
        (&["modes", "quoted key"], "data.yaml:7:3"),
        (&["modes", "quoted key", "b", "1"], "data.yaml:7:25"),
        (&["list", "1", "modes"], "data.yaml:4:5"),
        (&["list", "2"], "data.yaml:5:5"),
        (&["modes", "nobody"], "data.yaml:6:1"),
        (&["j", "e", "deep"], "j/x.json:2:9"),
        (&["j", "a", "modes"], "j/x.json:1:9"),
        (&["j", "e", "deep", "1", "x"], "j/x.json:3:5"),
    ] {
        let problem = tree.problem_in_data(path, "").to_string();
        assert!(
            problem.ends_with(&format!("{place}: ")),
            "{path:?}: {problem}"
        );
    }
}

#[test]
fn numbers_that_would_be_others_are_refused() {
    for (number, said) in [
        ("9007199254740993.0", "cannot hold 9007199254740993.0"),
        ("12345678901234567890.5e-1", "cannot hold"),
        ("1e-400", "cannot hold 1e-400"),
        ("18446744073709551616", "write it as a text"),
        ("-9223372036854775809", "write it as a text"),
    ] {
        let text = format!("{{\"1\\\"2.5\": \"1e400\",\n \"é\": [0, {number}]}}");
        let problems = data(&[("data.json", &text)]).unwrap_err();
        assert!(problems[0].contains("data.json:2:11: "), "{problems:?}");
        assert!(problems[0].contains(said), "{problems:?}");
    }
    for number in ["18446744073709551616", "-9223372036854775809"] {
        let problems = data(&[("data.yaml", &format!("a: {number}\n"))]).unwrap_err();
        assert!(problems[0].contains("write it as a text"), "{problems:?}");
    }
    // On the way through YAML OPA has numbers of 64 bits, and writes them so.
    let read = data(&[(
        "data.yaml",
        "a: [12345678901234567890.5, 9007199254740993.0, -0.0]\n",
    )]);
    assert_eq!(
        read.unwrap(),
        "{\"a\":[12345678901234567000,9007199254740992,0]}"
    );
    let text = "{\"a\": [18446744073709551615, -9223372036854775808, 1e3, 1.50, -0.0, 0.1, 1e23]}";
    data(&[("data.json", text)]).unwrap();
}

/// OPA reads them as numbers, and a policy that asks whether it is one would say only that it is none.
#[test]
fn what_is_a_number_to_opa_and_a_text_here_is_refused_with_the_number() {
    for (yaml, place, said) in [
        (
            "a:\n  max: 1_000\n",
            "data.yaml:2:3: ",
            "1_000 is a number to OPA and a text to dtgate, as YAML 1.2 has it: write 1000, or \"1_000\" for the text",
        ),
        ("a: [1, 017]\n", "data.yaml:1:8: ", "write 0o17"),
        ("a: {b: -1_0.5}\n", "data.yaml:1:5: ", "write -10.5"),
        ("a: 08\n", "data.yaml:1:1: ", "write 8"),
        ("a: 0x1_F\n", "data.yaml:1:1: ", "write 0x1F"),
        ("a: 00_0.5\n", "data.yaml:1:1: ", "write 0.5"),
    ] {
        let problems = data(&[("data.yaml", yaml)]).unwrap_err();
        assert!(
            problems[0].contains(place) && problems[0].contains(said),
            "{yaml}: {problems:?}"
        );
    }
    let texts = "a: \"1_000\"\nb: '017' # not 017\nc: [\"08\", _1, 1:30, 2026-11-29, 1_x, \"1_0\"]\nd: |-\n  1_000\n";
    assert!(data(&[("data.yaml", texts)]).is_ok());
}

/// Checked with OPA 1.22: `opa eval -d DIR data`.
#[test]
fn a_key_that_opa_would_write_anew_is_refused() {
    for key in [
        "0x10",
        "017",
        "0o17",
        "0b11",
        "1_000",
        "1.0",
        "1e3",
        "1E3",
        ".5",
        "-.5",
        "5.",
        "-0",
        "+5",
        "00",
        "08",
        "1.50",
        "1e30",
        "1e-7",
        "123456789.5",
        "100000000000000000000",
        "True",
        "TRUE",
        "False",
        "~",
        "null",
        "Null",
        "&a 0x10",
    ] {
        for text in [
            format!("m:\n  {key}: v\n"),
            format!("m: {{a: 1, {key}: [v]}}\n"),
        ] {
            let problems = data(&[("data.yaml", &text)]).unwrap_err();
            assert!(
                problems[0].contains("is another one to OPA")
                    && problems[0].starts_with("data.yaml:"),
                "{text}: {problems:?}"
            );
        }
    }
    let fine = "10: a\n-5: a\n1.5: a\n0.1: a\n18446744073709551615: a\n2001-01-01: a\n1:30: a\nyes: a\non: a\n\
                true: a\n\"0x10\": a\n'017': a\n\"\": a\n.inf: a\n0x1p3: a\nv1.0: a\n1.2.3: a\n";
    assert!(
        data(&[("data.yaml", fine)]).is_ok(),
        "{:?}",
        data(&[("data.yaml", fine)])
    );
}

#[test]
fn what_opa_would_unpack_is_refused() {
    let said = data(&[("x.yaml", "a:\n  b: !!binary aGVsbG8=\n")]).unwrap_err();
    assert_eq!(
        said,
        ["x.yaml:2:6: !!binary is not read: write the text that is meant"]
    );
    for (tagged, place) in [
        ("a: [x, !!binary aGk=]\n", "1:8"),
        (
            "a: |\n  !!binary is old\nb: &x !!binary aGk=\nc: *x\n",
            "3:7",
        ),
        ("a: !<tag:yaml.org,2002:binary> aGk=\n", "1:4"),
        ("? !!binary aGk=\n: 1\n", "1:3"),
        ("a: # \"no\"\n  !!binary aGk=\n", "2:3"),
    ] {
        let said = data(&[("x.yaml", tagged)]).unwrap_err();
        assert_eq!(
            said,
            [format!(
                "x.yaml:{place}: !!binary is not read: write the text that is meant"
            )],
            "{tagged}"
        );
    }
    // It is a text, or a part of one.
    for fine in [
        "a: b # !!binary\nc: \"x!!binary\"\n",
        "note: \"the tag !!binary is old\"\n",
        "note: the tag !!binary is old\n",
        "'!!binary x': 'write no !!binary here'\n",
        "a: |\n  first\n  !!binary aGk=\nb: >-\n  !!binary x\n",
    ] {
        assert!(data(&[("x.yaml", fine)]).is_ok(), "{fine}");
    }
}
