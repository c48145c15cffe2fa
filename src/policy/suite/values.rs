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
use crate::policy::source::files::File;

/// Each part as it is written, and what it was: more than once where the statement was reached more than once.
pub(super) fn values(
    test: &Test,
    place: &Location,
    files: &[File],
    data: &Map<String, Json>,
) -> Vec<String> {
    let all: Vec<&File> = files.iter().collect();
    let (mut rego, _broken) = read::compile(&all, data);
    let modules = rego.get_modules().clone();
    let Some(statement) = statement(&modules, place) else {
        return Vec::new();
    };
    let parts = parts(statement);
    let Some(written) = with_prints(statement, &parts) else {
        return Vec::new();
    };
    let changed = File {
        path: place.file.clone(),
        name: place.file.clone(),
        text: written,
    };
    let with_it = |file| if file_is(file, place) { &changed } else { file };
    let all: Vec<&File> = files.iter().map(with_it).collect();
    let Ok((mut rego, _origins)) = prepare::ready(&all, data) else {
        return Vec::new();
    };
    rego.set_execution_timer_config(LIMIT);
    // That it fails is known.
    drop(ask(&mut rego, &test.path()));
    let mut found: BTreeMap<usize, Vec<String>> = BTreeMap::new();
    for print in rego.take_prints().unwrap_or_default() {
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
    let told = found.into_iter().filter_map(|(number, values)| {
        let part = cut(parts.get(number)?.span().text());
        Some(format!("{part} is {}", values.join(", then ")))
    });
    told.collect()
}

fn file_is(file: &File, place: &Location) -> bool {
    file.path == place.file
}

/// That which begins there.
fn statement<'a>(modules: &'a [Ref<Module>], place: &Location) -> Option<&'a LiteralStmt> {
    let rules = modules.iter().flat_map(|module| &module.policy);
    let bodies = rules.filter_map(|rule| match &**rule {
        Rule::Spec { bodies, .. } => Some(bodies),
        Rule::Default { .. } => None,
    });
    let mut statements = bodies.flatten().flat_map(|body| &body.query.stmts);
    statements.find(|statement| {
        let begins = at(&statement.span, "");
        begins.path == place.file && begins.line == place.row && begins.column == place.col
    })
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

/// The whole file, with what prints the parts before the statement, under the same `with`.
fn with_prints(statement: &LiteralStmt, parts: &[&Ref<Expr>]) -> Option<String> {
    if parts.is_empty() {
        return None;
    }
    let (Literal::Expr { span, .. } | Literal::NotExpr { span, .. }) = &statement.literal else {
        return None;
    };
    let source = statement.span.source.contents();
    let from = usize::try_from(statement.span.start).ok()?;
    let with = if statement.with_mods.is_empty() {
        ""
    } else {
        let begins = usize::try_from(span.end).ok()?;
        source.get(begins..usize::try_from(statement.span.end).ok()?)?
    };
    let prints = parts.iter().enumerate().map(|(number, part)| {
        let text = part.span().text();
        format!("print(\"{MARK}\", {number}, {text}) {with}\n")
    });
    let prints: String = prints.collect();
    let (before, after) = source.split_at_checked(from)?;
    Some(format!("{before}{prints}{after}"))
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
const MOST_VALUES: usize = 3;
/// Bytes of a part, and of its value.
const LONGEST: usize = 200;
