//! Which statements and heads of the policies the tests reached, written as `opa test --coverage` writes it.
//!
//! The engine counts lines, so that the tests run once more where each statement and each head has a line of its own. A
//! head is reached where its body has held. Rows are OPA's, where OPA evaluates what the engine does: it leaves out
//! bodies whose comparison with the input its index finds wrong, and rules behind the first that gives the only value
//! there can be. OPA tells besides of parts of statements, and why its index left a statement out.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use regorus::unstable::{Expr, Literal, Rule, RuleHead, Span};
use serde_json::{Map, Value as Json, json};

use super::super::plain::{Layout, Origins};
use super::{LIMIT, Test, ask};
use crate::policy::interpreter::prepare;
use crate::policy::rego::program::at;
use crate::policy::rego::syntax::end_of;
use crate::policy::rego::walk;
use crate::policy::source::files::File;
use crate::policy::{lexical, read};

pub(super) struct Coverage {
    files: BTreeMap<String, Rows>,
    /// What is evaluated to count, and where that is written. `None`: it cannot be.
    spread: Option<(regorus::Engine, Origins)>,
}

/// A row and a column, as editors count them.
type Point = (u32, u32);
/// The end is behind the last letter.
type Range = (Point, Point);

#[derive(Default)]
struct Rows {
    /// Each statement, those within others too, but for declarations, and each head.
    parts: BTreeMap<Range, Part>,
    /// Where something begins that was reached.
    reached: BTreeSet<Point>,
}

#[derive(Clone, Copy)]
struct Part {
    /// As the engine says it: behind the quotation mark of a text.
    begins: Point,
    /// Whether it is a statement: what is moved out of one still stands within it. What a head takes its arguments apart
    /// by does, too, and says nothing of the head.
    is_statement: bool,
}

impl Coverage {
    pub(super) fn of(files: &[File], data: &Map<String, Json>) -> Self {
        let all: Vec<&File> = files.iter().collect();
        let (mut written, _broken) = read::compile(&all, data);
        let mut found: BTreeMap<String, Rows> = BTreeMap::new();
        for module in written.get_modules() {
            let of_file = found
                .entry(module.package.span.source.get_path().clone())
                .or_default();
            for rule in &module.policy {
                of_file.add_heads(rule);
                walk::queries(rule, &mut |query| {
                    let statements = query.stmts.iter();
                    let statements =
                        statements.filter(|it| !matches!(it.literal, Literal::SomeVars { .. }));
                    let ranges = statements.filter_map(|it| range(&it.span, end_of(&it.span)?));
                    of_file
                        .parts
                        .extend(ranges.map(|(range, begins)| (range, Part::statement(begins))));
                });
            }
        }
        let spread = prepare::laid_out(&mut written, data, Layout::EachItsOwn).ok();
        let spread = spread.map(|(mut engine, origins)| {
            engine.set_enable_coverage(true);
            engine.set_execution_timer_config(LIMIT);
            (engine, origins)
        });
        Self {
            files: found,
            spread,
        }
    }

    /// Counts what a test reaches.
    pub(super) fn run(&mut self, test: &Test) {
        let Some((engine, origins)) = &self.spread else {
            return;
        };
        let mut engine = engine.clone();
        // What it comes to was told when it ran before.
        drop(ask(&mut engine, &test.path()));
        let report = engine.get_coverage_report();
        for file in report.into_iter().flat_map(|report| report.files) {
            for line in file.covered {
                let place = origins.place(&file.path, line);
                let Some((path, row, column)) = place else {
                    continue;
                };
                if let (Some(rows), Ok(row), Ok(column)) = (
                    self.files.get_mut(path),
                    u32::try_from(row),
                    u32::try_from(column),
                ) {
                    rows.reached.insert((row, column));
                }
            }
        }
    }

    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let mut files = Map::new();
        for (path, rows) in &self.files {
            let mut file = counts(rows.covered().len(), rows.not_covered().len());
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
            for (start, end) in ranges(rows.not_covered().into_iter()) {
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
                covered + rows.covered().len(),
                not_covered + rows.not_covered().len(),
            )
        })
    }
}

impl Rows {
    /// What of a rule is no body: its head and those of its `else`, each reached where its value was asked for.
    fn add_heads(&mut self, rule: &Rule) {
        let end = end_of_head(rule);
        let Some((whole, begins)) = end.and_then(|end| range(rule.span(), end)) else {
            return;
        };
        let head = Part::head(begins);
        match rule {
            Rule::Default { refr, .. } => {
                let (first, end) = whole;
                let keyword = (first, (first.0, first.1 + DEFAULT));
                let name = range(refr.span(), 0).map_or(first, |((name, _), _)| name);
                self.parts.extend([(keyword, head), ((name, end), head)]);
            }
            Rule::Spec { bodies, .. } => {
                self.parts.insert(whole, head);
                for body in bodies.iter().filter(|body| body.is_else) {
                    let value = body.assign.as_ref().map(|it| it.value.span());
                    let end = value.map_or_else(|| keyword_end(&body.span), end_of);
                    let range = end.and_then(|end| range(&body.span, end));
                    self.parts
                        .extend(range.map(|(range, begins)| (range, Part::head(begins))));
                }
            }
        }
    }

    /// What was reached, and what was not.
    fn parts(&self) -> (Vec<Range>, Vec<Range>) {
        let mut reached: BTreeSet<Range> = BTreeSet::new();
        for point in &self.reached {
            let parts = self.parts.iter();
            let exact = parts.clone().filter(|(_, part)| part.begins == *point);
            let before = reached.len();
            reached.extend(exact.map(|(range, _)| *range));
            if reached.len() > before {
                continue;
            }
            let around = parts.filter(|((start, end), _)| start <= point && point < end);
            // The innermost is the one that begins last.
            let innermost = around.max_by_key(|((start, _), _)| *start);
            let innermost = innermost.filter(|(_, part)| part.is_statement);
            reached.extend(innermost.map(|(range, _)| *range));
        }
        let all = self.parts.keys().copied();
        all.partition(|range| reached.contains(range))
    }

    /// A row with something of both is among both, as in OPA.
    fn covered(&self) -> BTreeSet<u32> {
        rows(&self.parts().0)
    }

    fn not_covered(&self) -> BTreeSet<u32> {
        rows(&self.parts().1)
    }
}

impl Part {
    fn head(begins: Point) -> Self {
        Self {
            begins,
            is_statement: false,
        }
    }

    fn statement(begins: Point) -> Self {
        Self {
            begins,
            is_statement: true,
        }
    }
}

fn rows(ranges: &[Range]) -> BTreeSet<u32> {
    let rows = ranges.iter().flat_map(|(start, end)| start.0..=end.0);
    rows.collect()
}

/// Behind the head of a rule, its value among it.
fn end_of_head(rule: &Rule) -> Option<usize> {
    let of = |expr: &Expr| end_of(expr.span());
    match rule {
        Rule::Default { value, .. } => of(value),
        Rule::Spec { head, .. } => match head {
            RuleHead::Compr {
                assign: Some(assign),
                ..
            }
            | RuleHead::Func {
                assign: Some(assign),
                ..
            } => of(&assign.value),
            RuleHead::Set { key: Some(key), .. } => of(key),
            RuleHead::Compr { refr, .. } | RuleHead::Set { refr, .. } => of(refr),
            RuleHead::Func { refr, args, .. } => {
                let last = args.last().map_or_else(|| refr.span(), |last| last.span());
                let end = end_of(last)?;
                let rest = last.source.get_contents().get(end..)?;
                rest.find(')').map(|closes| end + closes + 1)
            }
        },
    }
}

fn keyword_end(span: &Span) -> Option<usize> {
    Some(usize::try_from(span.start).ok()? + ELSE)
}

/// From where something begins to a place behind it, in bytes of the text; and where it begins to the engine.
fn range(span: &Span, end: usize) -> Option<(Range, Point)> {
    let begins = at(span, "");
    let text = span.source.get_contents();
    let is_quoted = text
        .get(..usize::try_from(span.start).ok()?)?
        .ends_with(['"', '`']);
    let before = text.get(..end)?;
    let (row, last) = (
        before.matches('\n').count() + 1,
        before.rsplit('\n').next().unwrap_or_default(),
    );
    let column = lexical::column(text, row, last.chars().count() + 1);
    let point =
        |row: usize, column: usize| Some((u32::try_from(row).ok()?, u32::try_from(column).ok()?));
    let first = begins.column.saturating_sub(usize::from(is_quoted));
    Some((
        (point(begins.line, first)?, point(row, column)?),
        point(begins.line, begins.column)?,
    ))
}

/// Letters of these words.
const DEFAULT: u32 = 7;
const ELSE: usize = 4;

fn counts(covered: usize, not_covered: usize) -> Json {
    // As OPA writes it: without a point where it is whole.
    let all = covered + not_covered;
    let share = match (100 * covered).checked_rem(all) {
        Some(0) => json!(100 * covered / all),
        Some(_) => json!(percent(covered, not_covered)),
        None => json!(0),
    };
    let mut counts = json!({"coverage": share});
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
