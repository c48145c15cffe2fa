use std::fmt::Write as _;
use std::time::{Duration, Instant};

use super::chains::{MOST_NESTED, MOST_RULES, MOST_STATEMENTS};
use crate::policy::bundle::tests::{directory, problems};
use crate::policy::input::tests::input;
use crate::policy::lexical::MOST_DEEP;
use crate::policy::{AnswersFor, Policy, suite};
use crate::value::threads;

/// Runs on a thread as the program has them: that of a test has another stack.
fn as_in_the_program<T: Send>(work: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let running = threads::named("test").spawn_scoped(scope, work).unwrap();
        running.join().unwrap()
    })
}

/// What is said of a policy that has this in it.
fn said(rego: &str) -> Vec<String> {
    let text = format!("package dtgate.a\n\nimport rego.v1\n\n{rego}\n");
    as_in_the_program(|| problems(&[("a.rego", &text)]))
}

/// Read, tested, proven, asked and explained.
fn holds(rego: &str) {
    let text = format!("package dtgate.a\n\nimport rego.v1\n\n{rego}\n");
    let its_test =
        "package dtgate.a_test\n\nimport rego.v1\n\ntest_it if count(data.dtgate.a.deny) == 1\n";
    let directory = directory(&[("a.rego", &text), ("a_test.rego", its_test)]);
    as_in_the_program(|| {
        let policy = Policy::load(directory.path(), Duration::from_mins(1));
        let policy = policy.unwrap_or_else(|error| panic!("{}: {error}", start(rego)));
        policy.prove(AnswersFor::All, 3, 1);
        let input = input();
        let decided = policy.decide(&input);
        assert_eq!(decided.violations.len(), 1, "{}: {decided:?}", start(rego));
        assert!(
            decided.violations.iter().all(|it| it.message == "it"),
            "{}: {decided:?}",
            start(rego)
        );
        assert_eq!(policy.explain(&input).decision.violations.len(), 1);
        let mut out = Vec::new();
        let options = suite::Options::default();
        suite::run(&[directory.path()], &options, &mut out).unwrap();
        drop(policy);
    });
}

fn start(text: &str) -> String {
    text.chars().take(300).collect()
}

type Made = fn(usize) -> String;

/// Kinds of which the engine's parser takes as many as are permitted here; of others it may take fewer, and says so.
const TAKEN: [&str; 4] = ["differences", "products", "remainders", "sums"];

/// Each goes so deep into itself: what stands before it, what is repeated, and what stands behind it.
fn deep() -> Vec<(&'static str, Made, usize)> {
    vec![
        (
            "sums",
            |times| within("1", " + 1", times, ""),
            MOST_DEEP - 2,
        ),
        (
            "differences",
            |times| within("1", "-1", times, ""),
            MOST_DEEP - 2,
        ),
        (
            "products",
            |times| within("1", "*1", times, ""),
            MOST_DEEP - 2,
        ),
        (
            "remainders",
            |times| within("1", " % 7", times, ""),
            MOST_DEEP - 2,
        ),
        (
            "unions",
            |times| {
                let all = " | {1}".repeat(times);
                format!("u := {{1}}{all}\n\ndeny contains \"it\" if count(u) == 1")
            },
            MOST_DEEP - 2,
        ),
        (
            "cuts",
            |times| within("{1}", " & {1}", times, ""),
            MOST_DEEP - 3,
        ),
        ("signs", |times| within("", "-", times, "1"), MOST_DEEP - 2),
        (
            "lines",
            |times| within("1", "\n + 1", times, ""),
            MOST_DEEP - 2,
        ),
        (
            "brackets",
            |times| within("", "(", times, &format!("1{}", ")".repeat(times))),
            MOST_DEEP - 2,
        ),
        (
            "calls",
            |times| within("", "abs(", times, &format!("1{}", ")".repeat(times))),
            MOST_DEEP - 2,
        ),
        ("steps", |times| if_not("o", ".a", times), MOST_DEEP - 2),
        (
            "places",
            |times| if_not("o", "[\"a\"]", times),
            MOST_DEEP - 2,
        ),
        (
            "in",
            |times| if_not("1", " in [true]", times),
            MOST_DEEP - 4,
        ),
        ("equal", |times| if_not("1", " == 1", times), MOST_DEEP - 4),
        (
            "replaced",
            |times| if_not("1 == 2", " with input.api as \"x\"", times),
            MOST_DEEP - 4,
        ),
        (
            "others",
            |times| {
                let others = " else := 1 if input.api == \"a\"".repeat(times);
                format!("r := 0 if input.api == \"b\"{others}\n\ndeny contains \"it\" if not r")
            },
            MOST_DEEP - 3,
        ),
    ]
}

fn if_not(first: &str, unit: &str, times: usize) -> String {
    let all = unit.repeat(times);
    format!("o := {{}}\n\ndeny contains \"it\" if not {first}{all}")
}

fn within(first: &str, unit: &str, times: usize, last: &str) -> String {
    let all = unit.repeat(times);
    format!("deny contains \"it\" if {{\n\tx := {first}{all}{last}\n\tcount([x]) == 1\n}}")
}

#[test]
fn an_expression_as_deep_as_may_be_is_judged_and_a_deeper_one_is_refused() {
    for (kind, make, most) in deep() {
        let told = said(&make(most + 10)).join("\n");
        assert!(
            told.contains("stand within one another up to here: give a part a name")
                || told.contains("brackets are open here"),
            "{kind}: {told:?}"
        );
        // Far beyond: nothing reads it.
        let told = said(&make(20_000)).join("\n");
        assert!(
            told.contains("stand within") || told.contains("brackets are open"),
            "{kind}: {told:?}"
        );
        let told = said(&make(most)).join("\n");
        assert!(
            !told.contains("stand within") && !told.contains("brackets are open"),
            "{kind}: {told}"
        );
        if told.is_empty() || TAKEN.contains(&kind) {
            holds(&make(most));
        }
    }
}

#[test]
fn what_stands_side_by_side_is_not_deep() {
    let list = format!(
        "x := [{}]\n\ndeny contains \"it\" if count(x) > 1",
        "1 + 1, ".repeat(5_000)
    );
    holds(&list);
    let object: String = (0..500).fold(String::new(), |mut all, number| {
        writeln!(all, "\t\"a{number}\": input.change.name.requested,").unwrap();
        all
    });
    holds(&format!(
        "x := {{\n{object}}}\n\ndeny contains \"it\" if count(x) > 1"
    ));
    let body = (0..500).fold(String::new(), |mut all, number| {
        writeln!(all, "\tx{number} := 1 + {number}").unwrap();
        all
    });
    holds(&format!("deny contains \"it\" if {{\n{body}}}"));
}

fn chain(times: usize, rule: impl Fn(usize) -> String) -> String {
    (0..times).map(|number| rule(number) + "\n\n").collect()
}

/// `deny`, and so many rules behind it.
fn chains() -> Vec<(&'static str, Made)> {
    vec![
        ("rules", |times| {
            chain(times, |number| match number {
                0 => {
                    "r0 := input.api_version_that_is_not".replace("api_version_that_is_not", "api")
                }
                _ => format!("r{number} := r{}", number - 1),
            }) + &format!("deny contains \"it\" if not r{} == \"x\"", times - 1)
        }),
        ("functions", |times| {
            chain(times, |number| match number {
                0 => "f0(x) := x".to_owned(),
                _ => format!("f{number}(x) := f{}(x)", number - 1),
            }) + &format!("deny contains \"it\" if f{}(input.api) != \"x\"", times - 1)
        }),
        ("sets", |times| {
            chain(times, |number| match number {
                0 => "s0 contains input.api".to_owned(),
                _ => format!("s{number} contains x if some x in s{}", number - 1),
            }) + &format!("deny contains \"it\" if count(s{}) == 1", times - 1)
        }),
        ("objects", |times| {
            chain(times, |number| match number {
                0 => "o0[\"a\"] := input.api".to_owned(),
                _ => format!("o{number}[k] := v if some k, v in o{}", number - 1),
            }) + &format!("deny contains \"it\" if count(o{}) == 1", times - 1)
        }),
        ("parts", |times| {
            chain(times, |number| match number {
                0 => "p.a0 := input.api".to_owned(),
                _ => format!("p.a{number} := data.dtgate.a.p.a{}", number - 1),
            }) + &format!("deny contains \"it\" if p.a{} != \"x\"", times - 1)
        }),
    ]
}

#[test]
fn a_way_over_as_many_rules_as_may_be_is_judged_and_a_longer_one_is_refused() {
    for (kind, make) in chains() {
        assert_eq!(said(&make(MOST_RULES - 1)), Vec::<String>::new(), "{kind}");
        // A test asks them, too.
        holds(&make(MOST_RULES - 2));
        for beyond in [MOST_RULES, 20_000] {
            let began = Instant::now();
            let told = said(&make(beyond)).join("\n");
            assert!(
                told.contains(&format!(
                    "rules and functions, one asking the next, and {MOST_RULES} are the most"
                )),
                "{kind}, {beyond}: {}",
                start(&told)
            );
            assert!(
                began.elapsed() < Duration::from_mins(1),
                "{kind}: {:?}",
                began.elapsed()
            );
        }
    }
    // Over packages and imports.
    let files = |times: usize| {
        let mut files = vec![(
            "first.rego".to_owned(),
            "package dtgate.lib.p0\n\nv := input.api\n".to_owned(),
        )];
        for number in 1..times {
            let before = number - 1;
            let text = format!(
                "package dtgate.lib.p{number}\n\nimport data.dtgate.lib.p{before} as q\n\nv := q.v\n"
            );
            files.push((format!("p{number}.rego"), text));
        }
        let last = times - 1;
        files.push((
            "a.rego".to_owned(),
            format!("package dtgate.a\n\nimport rego.v1\n\ndeny contains \"it\" if data.dtgate.lib.p{last}.v == \"x\"\n"),
        ));
        files
    };
    let told = |times: usize| {
        let files = files(times);
        let files: Vec<(&str, &str)> = files
            .iter()
            .map(|(name, text)| (&**name, &**text))
            .collect();
        as_in_the_program(|| problems(&files).join("\n"))
    };
    assert_eq!(told(MOST_RULES - 1), "");
    assert!(told(MOST_RULES).contains("one asking the next"));
    // What all packages are asked for, as tests do, and members of the data, lead in no circle.
    let many = chain(MOST_RULES + 20, |number| {
        format!("r{number} := object.get(data.guardrails, \"a{number}\", {number})")
    });
    let many = format!("{many}\n\ndeny contains \"it\" if r0 == 1");
    assert!(!said(&many).join("\n").contains("rests on itself"));
    // Rules that rest on themselves, so many that nothing would come back that follows them.
    let circle = chain(20_000, |number| {
        format!("r{number} := r{}", (number + 1) % 20_000)
    });
    assert!(said(&circle).join("\n").contains("rests on itself"));
}

/// The most rules, each as deep as all together may be.
#[test]
fn ways_that_are_long_and_deep_are_judged_as_far_as_may_be() {
    let deep = |times: usize, sum: usize| {
        chain(times, |number| match number {
            0 => "r0 := 1".to_owned(),
            _ => format!("r{number} := r{}{}", number - 1, " + 1".repeat(sum)),
        }) + &format!("deny contains \"it\" if r{} > 0", times - 1)
    };
    holds(&deep(MOST_RULES - 2, 6));
    holds(&deep(10, MOST_DEEP - 5));
    assert!(
        said(&deep(MOST_RULES - 1, 20))
            .join("\n")
            .contains(&format!("{MOST_NESTED} are the most"))
    );
    // Each statement stands within those before it that have several answers.
    let wide = |times: usize, statements: usize| {
        let statements = "\tsome _ in [input.api]\n".repeat(statements);
        chain(times, |number| match number {
            0 => "r0 := 1".to_owned(),
            _ => format!(
                "r{number} := x if {{\n{statements}\tx := r{}\n}}",
                number - 1
            ),
        }) + &format!("deny contains \"it\" if r{} > 0", times - 1)
    };
    holds(&wide(2, MOST_STATEMENTS - 1));
    holds(&wide(18, 100));
    assert!(
        said(&wide(30, 100))
            .join("\n")
            .contains(&format!("{MOST_NESTED} are the most"))
    );
}

#[test]
fn a_body_as_long_as_may_be_is_read_in_time_and_a_longer_one_is_refused() {
    let body = |times: usize| {
        let statements: String = (1..times).fold("\tx0 := 1\n".to_owned(), |mut all, number| {
            writeln!(all, "\tx{number} := x{}", number - 1).unwrap();
            all
        });
        format!("deny contains \"it\" if {{\n{statements}}}")
    };
    let began = Instant::now();
    holds(&body(MOST_STATEMENTS));
    assert!(
        began.elapsed() < Duration::from_mins(1),
        "{:?}",
        began.elapsed()
    );
    let told = said(&body(MOST_STATEMENTS + 1)).join("\n");
    assert!(
        told.contains("a.rego:1006:2: more than 1000 statements stand in one body"),
        "{told}"
    );
    let began = Instant::now();
    assert!(
        said(&body(20_000))
            .join("\n")
            .contains("more than 1000 statements")
    );
    assert!(
        began.elapsed() < Duration::from_mins(1),
        "{:?}",
        began.elapsed()
    );
}

/// Tests are judged by the same engine.
#[test]
fn tests_have_the_same_bounds() {
    let chain = chain(MOST_RULES + 1, |number| match number {
        0 => "r0 := 1".to_owned(),
        _ => format!("r{number} := r{}", number - 1),
    });
    let policy =
        "package dtgate.a\n\nimport rego.v1\n\ndeny contains \"it\" if input.api == \"x\"\n";
    for test in [
        format!("{chain}\n\ntest_it if r{MOST_RULES} == 1"),
        format!("test_it if 1{} > 0", " + 1".repeat(2_000)),
    ] {
        let test = format!("package dtgate.a_test\n\nimport rego.v1\n\n{test}\n");
        let directory = directory(&[("a.rego", policy), ("a_test.rego", &test)]);
        let run = as_in_the_program(|| {
            let mut out = Vec::new();
            let run = suite::run(&[directory.path()], &suite::Options::default(), &mut out);
            let run = run.map(|_| ()).map_err(|error| format!("{error:#}"));
            format!("{run:?} {}", String::from_utf8(out).unwrap())
        });
        let told = run;
        assert!(
            told.contains("one asking the next") || told.contains("stand within"),
            "{}",
            start(&told)
        );
    }
}
