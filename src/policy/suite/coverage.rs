//! Which statements of the policies the tests reached, written as `opa test --coverage` writes it.
//!
//! The engine counts lines: of several statements in one line all count as reached if one of them was. OPA tells besides of
//! heads of rules, and of parts of statements.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use regorus::unstable::{Literal, Module, Ref, Span};
use serde_json::{Map, Value as Json, json};

use super::super::plain::Origins;
use crate::policy::rego::program::at;
use crate::policy::rego::syntax::end_of;
use crate::policy::rego::walk::{self, Site};
use crate::policy::source::files::File;
use crate::policy::{lexical, read};

#[derive(Default)]
pub(super) struct Coverage {
    files: BTreeMap<String, Rows>,
}

/// A row and a column, as editors count them.
type Point = (u32, u32);
/// The end is behind the last letter.
type Range = (Point, Point);

struct Rows {
    /// Each statement, those within others too, but for declarations; in their order.
    statements: BTreeSet<Range>,
    /// Where the text of each line begins and ends.
    widths: BTreeMap<u32, Point>,
    /// Lines as the user wrote them; what was added behind them does not count.
    written: u32,
    all: BTreeSet<u32>,
    covered: BTreeSet<u32>,
}

impl Coverage {
    pub(super) fn of(
        modules: &[Ref<Module>],
        files: &[File],
        data: &Map<String, Json>,
        origins: &Origins,
    ) -> Self {
        let mut coverage = Self::default();
        let sources: BTreeMap<&String, &String> =
            files.iter().map(|file| (&file.path, &file.text)).collect();
        let mut statements = statements(files, data);
        for module in modules {
            let path = module.package.span.source.get_path();
            let written = sources
                .get(path)
                .and_then(|text| u32::try_from(text.lines().count()).ok())
                .unwrap_or(u32::MAX);
            let rows = Rows {
                statements: statements.remove(path).unwrap_or_default(),
                widths: sources
                    .get(path)
                    .map(|text| widths(text))
                    .unwrap_or_default(),
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
        let mut files = Map::new();
        for (path, rows) in &self.files {
            let mut file = counts(rows.covered().count(), rows.not_covered().count());
            if let Json::Object(file) = &mut file {
                let (covered, not_covered) = rows.parts();
                for (name, ranges) in [("covered", covered), ("not_covered", not_covered)] {
                    if !ranges.is_empty() {
                        let point = |(row, column)| json!({"row": row, "col": column});
                        let ranges = ranges.into_iter();
                        let ranges = ranges
                            .map(|(start, end)| json!({"start": point(start), "end": point(end)}));
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
    /// The statements that were reached and those that were not; whole rows, where values stand and no statement does.
    fn parts(&self) -> (Vec<Range>, Vec<Range>) {
        let rows = |(start, end): &Range| start.0..=end.0;
        let known: BTreeSet<u32> = self.statements.iter().flat_map(rows).collect();
        let others = self.all.iter().copied();
        let others = others.filter(|row| *row <= self.written && !known.contains(row));
        let others = others.filter_map(|row| Some((row, *self.widths.get(&row)?)));
        let others = others.map(|(row, (first, last))| ((row, first), (row, last)));
        let mut all: Vec<Range> = self.statements.iter().copied().chain(others).collect();
        all.sort_unstable();
        all.into_iter()
            .partition(|range| rows(range).any(|row| self.covered.contains(&row)))
    }

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

/// The statements of each file, by its path.
fn statements(files: &[File], data: &Map<String, Json>) -> BTreeMap<String, BTreeSet<Range>> {
    let all: Vec<&File> = files.iter().collect();
    let (mut rego, _broken) = read::compile(&all, data);
    let modules = rego.get_modules().clone();
    let mut found: BTreeMap<String, BTreeSet<Range>> = BTreeMap::new();
    for module in &modules {
        let of_file = found
            .entry(module.package.span.source.get_path().clone())
            .or_default();
        for rule in &module.policy {
            walk::queries(rule, &mut |query| {
                let statements = query.stmts.iter();
                let statements =
                    statements.filter(|it| !matches!(it.literal, Literal::SomeVars { .. }));
                of_file.extend(statements.filter_map(|it| range(&it.span)));
            });
        }
    }
    found
}

fn widths(text: &str) -> BTreeMap<u32, Point> {
    let lines = (1..).zip(text.lines());
    let widths = lines.filter_map(|(row, line)| {
        let first = line.chars().position(|it| !it.is_whitespace())?;
        let last = line.trim_end().chars().count() + 1;
        Some((
            row,
            (u32::try_from(first + 1).ok()?, u32::try_from(last).ok()?),
        ))
    });
    widths.collect()
}

fn range(span: &Span) -> Option<Range> {
    let begins = at(span, "");
    let text = span.source.get_contents();
    let before = text.get(..end_of(span)?)?;
    let (row, last) = (
        before.matches('\n').count() + 1,
        before.rsplit('\n').next().unwrap_or_default(),
    );
    let column = lexical::column(text, row, last.chars().count() + 1);
    let point =
        |row: usize, column: usize| Some((u32::try_from(row).ok()?, u32::try_from(column).ok()?));
    Some((point(begins.line, begins.column)?, point(row, column)?))
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
