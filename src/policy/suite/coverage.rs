//! Which lines of the policies the tests reached, written as `opa test --coverage` writes it.
//!
//! Rows only, no columns, and without the heads of rules: the engine counts expressions.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use regorus::unstable::{Module, Ref};
use serde_json::{Value as Json, json};

use super::super::plain::Origins;
use crate::policy::rego::walk::{self, Site};

#[derive(Default)]
pub(super) struct Coverage {
    files: BTreeMap<String, Rows>,
}

struct Rows {
    /// Lines as the user wrote them; what was added behind them does not count.
    written: u32,
    all: BTreeSet<u32>,
    covered: BTreeSet<u32>,
}

impl Coverage {
    pub(super) fn of(
        modules: &[Ref<Module>],
        sources: &BTreeMap<String, String>,
        origins: &Origins,
    ) -> Self {
        let mut coverage = Self::default();
        for module in modules {
            let path = module.package.span.source.get_path();
            let written = sources
                .get(path)
                .and_then(|text| u32::try_from(text.lines().count()).ok())
                .unwrap_or(u32::MAX);
            let rows = Rows {
                written,
                all: BTreeSet::new(),
                covered: BTreeSet::new(),
            };
            coverage.files.insert(path.clone(), rows);
        }
        for module in modules {
            let path = module.package.span.source.get_path();
            // The engine says nothing at all about a file that no test reached.
            for rule in &module.policy {
                walk::rule(rule, &mut |site| {
                    let (Site::Call {
                        function: expression,
                        ..
                    }
                    | Site::Reference(expression)) = site
                    else {
                        return;
                    };
                    let (path, line) = origins.line(path, expression.span().line);
                    if let Some(rows) = coverage.files.get_mut(path) {
                        rows.all.insert(line);
                    }
                });
            }
        }
        coverage
    }

    pub(super) fn add(&mut self, rego: &regorus::Engine, origins: &Origins) {
        for file in rego
            .get_coverage_report()
            .into_iter()
            .flat_map(|report| report.files)
        {
            let lines = file.not_covered.iter().map(|line| (line, false));
            let lines = lines.chain(file.covered.iter().map(|line| (line, true)));
            for (line, covered) in lines {
                let (path, line) = origins.line(&file.path, *line);
                if let Some(rows) = self.files.get_mut(path) {
                    rows.all.insert(line);
                    if covered {
                        rows.covered.insert(line);
                    }
                }
            }
        }
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut files = serde_json::Map::new();
        for (path, rows) in &self.files {
            let mut file = counts(rows.covered().count(), rows.not_covered().count());
            if let Json::Object(file) = &mut file {
                for (name, ranges) in [
                    ("covered", ranges(rows.covered())),
                    ("not_covered", ranges(rows.not_covered())),
                ] {
                    if !ranges.is_empty() {
                        let ranges = ranges.iter().map(
                            |(start, end)| json!({"start": {"row": start}, "end": {"row": end}}),
                        );
                        file.insert(name.to_owned(), ranges.collect());
                    }
                }
            }
            files.insert(path.clone(), file);
        }
        let (covered, not_covered) = self.totals();
        let mut whole = counts(covered, not_covered);
        if let Json::Object(whole) = &mut whole {
            whole.insert("files".to_owned(), Json::Object(files));
        }
        serde_json::to_writer_pretty(&mut *out, &whole)?;
        writeln!(out)
    }

    /// Whether enough is covered; says what is not, if it is too little.
    pub(super) fn meets(&self, threshold: f64, out: &mut dyn Write) -> io::Result<bool> {
        let (covered, not_covered) = self.totals();
        let reached = percent(covered, not_covered);
        if reached >= threshold {
            return Ok(true);
        }
        writeln!(
            out,
            "Code coverage threshold not met: got {reached:.2} instead of {threshold:.2}"
        )?;
        writeln!(out, "Lines not covered:")?;
        for (path, rows) in &self.files {
            for (start, end) in ranges(rows.not_covered()) {
                if start == end {
                    writeln!(out, "\t{path}:{start}")?;
                } else {
                    writeln!(out, "\t{path}:{start}-{end}")?;
                }
            }
        }
        Ok(false)
    }

    fn totals(&self) -> (usize, usize) {
        let files = self.files.values();
        files.fold((0, 0), |(covered, not_covered), rows| {
            (
                covered + rows.covered().count(),
                not_covered + rows.not_covered().count(),
            )
        })
    }
}

impl Rows {
    fn covered(&self) -> impl Iterator<Item = u32> {
        self.covered
            .iter()
            .copied()
            .filter(|row| *row <= self.written)
    }

    fn not_covered(&self) -> impl Iterator<Item = u32> {
        self.all
            .difference(&self.covered)
            .copied()
            .filter(|row| *row <= self.written)
    }
}

fn counts(covered: usize, not_covered: usize) -> Json {
    let mut counts = json!({"coverage": percent(covered, not_covered)});
    if let Json::Object(counts) = &mut counts {
        for (name, count) in [
            ("covered_lines", covered),
            ("not_covered_lines", not_covered),
        ] {
            if count > 0 {
                counts.insert(name.to_owned(), count.into());
            }
        }
    }
    counts
}

#[expect(clippy::cast_precision_loss, reason = "no policy has 2^52 lines")]
fn percent(covered: usize, not_covered: usize) -> f64 {
    match covered + not_covered {
        0 => 0.0,
        all => 100.0 * covered as f64 / all as f64,
    }
}

/// Neighbouring rows as one range.
fn ranges(rows: impl Iterator<Item = u32>) -> Vec<(u32, u32)> {
    let mut ranges: Vec<(u32, u32)> = Vec::new();
    for row in rows {
        match ranges.last_mut() {
            Some((_, end)) if *end + 1 == row => *end = row,
            _ => ranges.push((row, row)),
        }
    }
    ranges
}
