//! Test results, written as `opa test` writes them.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    time::Duration,
};

use serde::{Serialize, Serializer};

use super::super::problem::Problem;

/// The order of the members is that of `opa test --format=json`.
#[derive(Debug, Serialize)]
pub(super) struct TestResult {
    pub(super) location: Location,
    pub(super) package: String,
    pub(super) name: String,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) fail: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) error: Option<Failure>,
    /// Why it failed. The report of `opa test` has no place for it.
    #[serde(skip)]
    pub(super) reason: Option<String>,
    /// What the parts were of what was not true.
    #[serde(skip)]
    pub(super) values: Vec<String>,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) skip: bool,
    #[serde(serialize_with = "nanoseconds")]
    pub(super) duration: Duration,
    #[serde(skip_serializing_if = "String::is_empty", serialize_with = "base64")]
    pub(super) output: String,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) sub_results: BTreeMap<String, SubResult>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Location {
    pub(super) file: String,
    pub(super) row: usize,
    pub(super) col: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct Failure {
    pub(super) code: &'static str,
    pub(super) message: String,
    pub(super) location: Location,
}

#[derive(Debug, Serialize)]
pub(super) struct SubResult {
    pub(super) name: String,
    #[serde(skip_serializing_if = "is_false")]
    pub(super) fail: bool,
    /// As Rego writes what the case is called.
    #[serde(skip)]
    pub(super) note: String,
    /// Why it failed, as of a test.
    #[serde(skip)]
    pub(super) reason: Option<String>,
    #[serde(skip)]
    pub(super) values: Vec<String>,
}

impl SubResult {
    pub(super) fn new(name: &str, note: &str) -> Self {
        Self {
            name: name.to_owned(),
            fail: false,
            note: note.to_owned(),
            reason: None,
            values: Vec::new(),
        }
    }
}

impl TestResult {
    pub(super) fn new(location: Location, package: &str, name: &str) -> Self {
        Self {
            location,
            package: package.to_owned(),
            name: name.to_owned(),
            fail: false,
            error: None,
            reason: None,
            values: Vec::new(),
            skip: false,
            duration: Duration::ZERO,
            output: String::new(),
            sub_results: BTreeMap::new(),
        }
    }

    pub(super) fn passed(&self) -> bool {
        self.word() == "PASS"
    }

    /// What is wrong with it, at its place.
    pub(super) fn failure(&self) -> Option<Problem> {
        let what = match self.word() {
            "PASS" => return None,
            "SKIPPED" => "is skipped",
            _ => "fails",
        };
        let Location { file, row, col } = &self.location;
        let message = format!("the test {} {what}", self.name);
        Some(Problem::new(file, *row, *col, message))
    }

    fn word(&self) -> &'static str {
        match self {
            Self { skip: true, .. } => "SKIPPED",
            Self { error: Some(_), .. } => "ERROR",
            Self { fail: true, .. } => "FAIL",
            _ => "PASS",
        }
    }

    fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self {
            location,
            package,
            name,
            ..
        } = self;
        writeln!(out, "{}:{}:", location.file, location.row)?;
        write!(out, "{package}.{name}: {}", self.word())?;
        if !self.skip {
            write!(out, " ({})", go_duration(self.duration))?;
        }
        writeln!(out)?;
        if let Some(reason) = &self.reason {
            writeln!(out, "  {reason}")?;
            for value in &self.values {
                writeln!(out, "    {value}")?;
            }
        }
        for case in self.sub_results.values() {
            writeln!(
                out,
                "  {}: {}",
                case.name,
                if case.fail { "FAIL" } else { "PASS" }
            )?;
            if let Some(reason) = &case.reason {
                writeln!(out, "    {reason}")?;
                for value in &case.values {
                    writeln!(out, "      {value}")?;
                }
            }
        }
        if let Some(Failure {
            code,
            message,
            location,
        }) = &self.error
        {
            writeln!(
                out,
                "  {}:{}: {code}: {message}",
                location.file, location.row
            )?;
        }
        if !self.output.is_empty() {
            writeln!(out)?;
            for line in self.output.lines() {
                writeln!(out, "  {line}")?;
            }
            writeln!(out)?;
        }
        Ok(())
    }
}

impl Failure {
    pub(super) fn new(problem: Problem) -> Self {
        let Problem {
            path,
            line,
            column,
            message,
        } = problem;
        // The engine has no codes; these are the ones of OPA that can be told apart.
        let code = if message.contains("multiple")
            || message.contains("must be unique")
            || message.contains("conflict")
        {
            "eval_conflict_error"
        } else if message.contains("time limit") {
            "eval_cancel_error"
        } else {
            "eval_builtin_error"
        };
        Self {
            code,
            message,
            location: Location {
                file: path,
                row: line,
                col: column,
            },
        }
    }
}

pub(super) fn json(results: &[TestResult], out: &mut dyn Write) -> io::Result<()> {
    serde_json::to_writer_pretty(&mut *out, results)?;
    writeln!(out)
}

/// What went wrong first; what passed only on request.
pub(super) fn pretty(results: &[TestResult], verbose: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut shown: Vec<_> = results
        .iter()
        .filter(|result| verbose || !result.passed())
        .collect();
    shown.sort_by_key(|result| result.passed() || result.skip);
    for result in &shown {
        result.write(out)?;
    }
    if !shown.is_empty() {
        writeln!(out, "{}", "-".repeat(80))?;
    }
    // A parametrised test counts once for each case.
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for result in results {
        if result.sub_results.is_empty() {
            *counts.entry(result.word()).or_default() += 1;
        }
        for case in result.sub_results.values() {
            *counts
                .entry(if case.fail { "FAIL" } else { "PASS" })
                .or_default() += 1;
        }
    }
    let total: usize = counts.values().sum();
    for word in ["PASS", "FAIL", "SKIPPED", "ERROR"] {
        if let Some(count) = counts.get(word) {
            writeln!(out, "{word}: {count}/{total}")?;
        }
    }
    Ok(())
}

/// As Go prints it: `1.417µs`, `2.5ms`, `1.2s`.
fn go_duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    let (unit, name, digits) = match nanoseconds {
        0 => return "0s".to_owned(),
        1..1_000 => return format!("{nanoseconds}ns"),
        1_000..1_000_000 => (1_000, "µs", 3),
        1_000_000..1_000_000_000 => (1_000_000, "ms", 6),
        _ => (1_000_000_000, "s", 9),
    };
    let fraction = format!("{:0digits$}", nanoseconds % unit);
    let fraction = fraction.trim_end_matches('0');
    let point = if fraction.is_empty() { "" } else { "." };
    format!("{}{point}{fraction}{name}", nanoseconds / unit)
}

fn base64<S: Serializer>(text: &str, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_str(&data_encoding::BASE64.encode(text.as_bytes()))
}

fn nanoseconds<S: Serializer>(duration: &Duration, out: S) -> Result<S::Ok, S::Error> {
    out.serialize_u64(u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX))
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference"
)]
fn is_false(value: &bool) -> bool {
    !value
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_as_those_of_go() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (999, "999ns"),
            (1_000, "1µs"),
            (1_417, "1.417µs"),
            (133_000, "133µs"),
            (2_500_000, "2.5ms"),
            (1_000_001, "1.000001ms"),
            (1_200_000_000, "1.2s"),
        ] {
            assert_eq!(go_duration(Duration::from_nanos(nanoseconds)), text);
        }
    }
}
