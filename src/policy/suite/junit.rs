//! Test results as `JUnit` wrote them, which is what CI systems read: a suite a package, a case a test.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::io::{self, Write};
use std::time::Duration;

use super::EMPTY;
use super::report::{Failure, TestResult};

/// One `<testcase>`.
struct Case<'a> {
    of: &'a TestResult,
    name: String,
    fails: bool,
}

pub(super) fn write(results: &[TestResult], out: &mut dyn Write) -> io::Result<()> {
    let mut suites: BTreeMap<&str, Vec<Case<'_>>> = BTreeMap::new();
    for result in results {
        suites
            .entry(&result.package)
            .or_default()
            .extend(cases(result));
    }
    let all: Vec<&Case<'_>> = suites.values().flatten().collect();
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites{}>", counts("dtgate", &all))?;
    for (package, cases) in &suites {
        let cases: Vec<&Case<'_>> = cases.iter().collect();
        writeln!(out, "  <testsuite{}>", counts(package, &cases))?;
        for case in cases {
            case.write(package, out)?;
        }
        writeln!(out, "  </testsuite>")?;
    }
    writeln!(out, "</testsuites>")
}

/// There was no test, and has to be one: a report of nothing would look like one of tests that pass.
pub(super) fn without_any(out: &mut dyn Write) -> io::Result<()> {
    let counts = "tests=\"1\" failures=\"0\" errors=\"1\" skipped=\"0\" time=\"0.000000\"";
    writeln!(out, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>")?;
    writeln!(out, "<testsuites name=\"dtgate\" {counts}>")?;
    writeln!(out, "  <testsuite name=\"dtgate\" {counts}>")?;
    writeln!(
        out,
        "    <testcase name=\"tests\" classname=\"dtgate\" time=\"0.000000\"><error message=\"{EMPTY}\"/></testcase>"
    )?;
    writeln!(out, "  </testsuite>")?;
    writeln!(out, "</testsuites>")
}

/// A parametrised test has a case for each of its own.
fn cases(of: &TestResult) -> Vec<Case<'_>> {
    if of.sub_results.is_empty() {
        let (name, fails) = (of.name.clone(), of.fail);
        return vec![Case { of, name, fails }];
    }
    let cases = of.sub_results.values().map(|case| Case {
        of,
        name: format!("{}[{}]", of.name, case.name),
        fails: case.fail,
    });
    cases.collect()
}

impl Case<'_> {
    fn write(&self, package: &str, out: &mut dyn Write) -> io::Result<()> {
        let Self { of, name, fails } = self;
        let (file, line) = (escaped(&of.location.file), of.location.row);
        write!(
            out,
            "    <testcase name=\"{}\" classname=\"{}\" file=\"{file}\" line=\"{line}\" time=\"{}\"",
            escaped(name),
            escaped(package),
            seconds(self.took()),
        )?;
        let mut inside = String::new();
        if of.skip {
            inside.push_str("<skipped/>");
        } else if let Some(Failure {
            code,
            message,
            location,
        }) = &of.error
        {
            let place = format!("{}:{}: {message}", location.file, location.row);
            let _written = write!(
                inside,
                "<error type=\"{code}\" message=\"{}\"/>",
                escaped(&place)
            );
        } else if *fails {
            let place = format!("{}:{}: it is not true", of.location.file, line);
            let why = of.reason.as_deref().unwrap_or(&place);
            let why = escaped(why);
            let _written = if of.values.is_empty() {
                write!(inside, "<failure message=\"{why}\"/>")
            } else {
                let values = escaped(&of.values.join("\n"));
                write!(inside, "<failure message=\"{why}\">{values}</failure>")
            };
        }
        if !of.output.is_empty() {
            let _written = write!(inside, "<system-out>{}</system-out>", escaped(&of.output));
        }
        if inside.is_empty() {
            writeln!(out, "/>")
        } else {
            writeln!(out, ">{inside}</testcase>")
        }
    }

    /// Cases of one test share its time.
    fn took(&self) -> Duration {
        let cases = u32::try_from(self.of.sub_results.len()).unwrap_or(u32::MAX);
        self.of.duration / cases.max(1)
    }
}

fn counts(name: &str, cases: &[&Case<'_>]) -> String {
    let count = |is_it: fn(&Case<'_>) -> bool| cases.iter().filter(|case| is_it(case)).count();
    let took: Duration = cases.iter().map(|case| case.took()).sum();
    format!(
        " name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\" time=\"{}\"",
        escaped(name),
        cases.len(),
        count(|case| case.fails && case.of.error.is_none()),
        count(|case| case.of.error.is_some()),
        count(|case| case.of.skip),
        seconds(took),
    )
}

fn seconds(duration: Duration) -> String {
    format!("{:.6}", duration.as_secs_f64())
}

/// What XML takes for text. It has no place for control characters, however they are written.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\n' => escaped.push_str("&#10;"),
            '\t' => escaped.push_str("&#9;"),
            '\0'..=' ' if c != ' ' => escaped.push('\u{fffd}'),
            '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}
