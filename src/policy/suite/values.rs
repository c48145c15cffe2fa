//! What the parts of a statement were that kept a test from passing.
//!
//! The test is run once more with a `print` of each part before the statement. Where that cannot be compiled, nothing is
//! told.

use std::collections::BTreeMap;

use regorus::unstable::{Expr, Literal, LiteralStmt, Module, Ref, Rule};
use serde_json::{Map, Value as Json};

use super::listed::Test;
use super::report::Location;
use super::{LIMIT, ask};
use crate::policy::interpreter::prepare;
use crate::policy::read;
use crate::policy::rego::program::at;
use crate::policy::rego::syntax::end_of;
use crate::policy::source::files::File;

/// Each part as it is written, and what it was: more than once where the statement was reached more than once.
///
/// Of several statements in one line it is the last that was reached.
pub(super) fn values(
    test: &Test,
    place: &Location,
    files: &[File],
    data: &Map<String, Json>,
) -> Vec<String> {
    let all: Vec<&File> = files.iter().collect();
    let (mut rego, _broken) = read::compile(&all, data);
    let modules = rego.get_modules().clone();
    let statements = statements(&modules, place).into_iter().rev();
    let mut told = statements.filter_map(|statement| told(test, statement, place, files, data));
    told.next().unwrap_or_default()
}

/// `None`: the statement was not reached, or nobody can say.
fn told(
    test: &Test,
    statement: &LiteralStmt,
    place: &Location,
    files: &[File],
    data: &Map<String, Json>,
) -> Option<Vec<String>> {
    let parts = parts(statement);
    let mut found: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for print in prints(test, &with_prints(statement, &parts)?, place, files, data)? {
        let said = print
            .split_once(MARK)
            .and_then(|(_, said)| said.trim_start().split_once(' '));
        let Some((number, value)) =
            said.and_then(|(number, value)| Some((number.parse().ok()?, value)))
        else {
            continue;
        };
        let values = found.entry(number).or_default();
        let value = cut(value);
        if values.len() < MOST_VALUES && !values.contains(&value) {
            values.push(value);
        }
    }
    if found.is_empty() {
        return None;
    }
    let told = found.into_iter().filter_map(|(number, values)| {
        let part = cut(text(parts.get(number)?)?);
        Some(format!("{part} is {}", values.join(", then ")))
    });
    Some(told.collect())
}

/// What is printed by the first of these texts that can be compiled in the place of the file.
fn prints(
    test: &Test,
    texts: &[String],
    place: &Location,
    files: &[File],
    data: &Map<String, Json>,
) -> Option<Vec<String>> {
    let mut ready = texts.iter().filter_map(|text| {
        let changed = File {
            path: place.file.clone(),
            name: place.file.clone(),
            text: text.clone(),
        };
        let with_it = |file| if file_is(file, place) { &changed } else { file };
        let all: Vec<&File> = files.iter().map(with_it).collect();
        prepare::ready(&all, data).ok()
    });
    let (mut rego, _origins) = ready.next()?;
    rego.set_execution_timer_config(LIMIT);
    // That it fails is known.
    drop(ask(&mut rego, &test.path()));
    rego.take_prints().ok()
}

fn file_is(file: &File, place: &Location) -> bool {
    file.path == place.file
}

/// Those that begin in that line, up to that place.
fn statements<'a>(modules: &'a [Ref<Module>], place: &Location) -> Vec<&'a LiteralStmt> {
    let rules = modules.iter().flat_map(|module| &module.policy);
    let bodies = rules.filter_map(|rule| match &**rule {
        Rule::Spec { bodies, .. } => Some(bodies),
        Rule::Default { .. } => None,
    });
    let statements = bodies.flatten().flat_map(|body| &body.query.stmts);
    let there = statements.filter(|statement| {
        let begins = at(&statement.span, "");
        begins.path == place.file && begins.line == place.row && begins.column <= place.col
    });
    there.collect()
}

fn text(part: &Expr) -> Option<&str> {
    let span = part.span();
    let start = usize::try_from(span.start).ok()?;
    span.source.get_contents().get(start..end_of(span)?)
}

/// What of it has a value that is not written there.
fn parts(statement: &LiteralStmt) -> Vec<&Ref<Expr>> {
    let (Literal::Expr { expr, .. } | Literal::NotExpr { expr, .. }) = &statement.literal else {
        return Vec::new();
    };
    let parts = match &**expr {
        Expr::BoolExpr { lhs, rhs, .. } | Expr::BinExpr { lhs, rhs, .. } => vec![lhs, rhs],
        // What gets a value here had none before.
        Expr::AssignExpr { lhs, rhs, .. } => match &**lhs {
            Expr::Var { .. } => vec![rhs],
            _ => vec![lhs, rhs],
        },
        Expr::Membership {
            value, collection, ..
        } => vec![value, collection],
        Expr::Call { params, .. } => params.iter().collect(),
        _ => vec![expr],
    };
    let is_written = |part: &&Ref<Expr>| {
        matches!(
            &***part,
            Expr::String { .. }
                | Expr::RawString { .. }
                | Expr::Number { .. }
                | Expr::Bool { .. }
                | Expr::Null { .. }
        )
    };
    parts.into_iter().filter(|part| !is_written(part)).collect()
}

/// The whole file, with what prints the parts before the statement, under the same `with`: as it can be written if the
/// statement stands among others, and if it is all that stands behind `if`. The more likely one comes first.
fn with_prints(statement: &LiteralStmt, parts: &[&Ref<Expr>]) -> Option<Vec<String>> {
    let (Literal::Expr { span, .. } | Literal::NotExpr { span, .. }) = &statement.literal else {
        return None;
    };
    let source = statement.span.source.get_contents();
    let from = usize::try_from(statement.span.start).ok()?;
    let to = end_of(&statement.span)?;
    let with = if statement.with_mods.is_empty() {
        ""
    } else {
        source.get(end_of(span)?..to)?
    };
    let own = parts.iter().enumerate().map(|(number, part)| {
        let text = text(part)?;
        Some(format!("print(\"{MARK}\", {number}, {text}) {with}\n"))
    });
    let own: Option<String> = own.collect();
    let prints = format!("print(\"{MARK}\", {REACHED}, 0)\n{}", own?);
    let (before, after) = source.split_at_checked(from)?;
    let (own, behind) = (source.get(from..to)?, source.get(to..)?);
    let among = format!("{before}{prints}{after}");
    let alone = format!("{before}{{\n{prints}{own}\n}}{behind}");
    Some(if before.trim_end().ends_with("if") {
        vec![alone, among]
    } else {
        vec![among, alone]
    })
}

/// On one line, as long as somebody reads it.
fn cut(text: &str) -> String {
    let mut text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.len() > LONGEST {
        text.truncate(text.floor_char_boundary(LONGEST));
        text.push('…');
    }
    text
}

const MARK: &str = "value of a part:";
/// In the place of a part's number: the statement was reached.
const REACHED: usize = usize::MAX >> 12;
const MOST_VALUES: usize = 3;
/// Bytes of a part, and of its value.
const LONGEST: usize = 200;
