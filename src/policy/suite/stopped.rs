//! Where a test stopped that failed: the statement that nothing got past.

use std::collections::BTreeSet;

use regorus::unstable::{Module, Ref, Rule};

use super::report::Location;
use crate::policy::plain::Origins;
use crate::policy::rego::program::{self, at};

/// Statements are asked in their order, as they are written out for the engine, until one is not true. So it is the last of
/// which a line was reached.
pub(super) fn stopped(
    rego: &regorus::Engine,
    modules: &[Ref<Module>],
    origins: &Origins,
    test: &Location,
) -> Option<Location> {
    let is_it = |rule: &&Ref<Rule>| {
        let place = origins.in_file(at(program::head(rule).span(), ""));
        place.path == test.file && place.line == test.row
    };
    let mut rules = modules.iter().flat_map(|module| &module.policy);
    let rule = rules.find(is_it)?;
    let Rule::Spec { bodies, span, .. } = &**rule else {
        return None;
    };
    let path = span.source.get_path();
    let report = rego.get_coverage_report().ok()?;
    let file = report.files.into_iter().find(|file| file.path == *path)?;
    let reached: BTreeSet<u32> = file.covered;
    let mut statements = bodies.iter().flat_map(|body| &body.query.stmts);
    let last = statements.rfind(|statement| {
        let first = statement.span.line;
        let more = statement.span.text().matches('\n').count();
        let last = first.saturating_add(u32::try_from(more).unwrap_or(u32::MAX));
        reached.range(first..=last).next().is_some()
    })?;
    let place = origins.in_file(at(&last.span, ""));
    Some(Location {
        file: place.path,
        row: place.line,
        col: place.column,
    })
}
