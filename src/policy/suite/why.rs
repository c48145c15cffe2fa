//! Why a test failed, or one of its cases: where it stopped, and what the parts were of what was not true.

use regorus::unstable::{Module, Ref};

use super::listed::{Cases, Test, with_case};
use super::report::{Location, TestResult};
use super::stopped::stopped;
use super::values::values;
use super::{LIMIT, Suite, ask};
use crate::policy::interpreter::prepare;

/// A statement that nothing got past, as it is written, and what its parts were.
type Why = (String, Vec<String>);

impl Suite {
    /// Says it of one that failed, and that `rego` has run. `left`: how many may still be run once more for it.
    pub(super) fn explain(
        &self,
        test: &Test,
        rego: &regorus::Engine,
        modules: &[Ref<Module>],
        result: &mut TestResult,
        left: &mut usize,
    ) {
        if !result.fail || result.reason.is_some() {
            return;
        }
        if matches!(test.cases, Cases::Listed(_)) {
            for case in result.sub_results.values_mut().filter(|case| case.fail) {
                if *left == 0 {
                    return;
                }
                *left -= 1;
                let why = self.why_of_case(test, &case.note);
                (case.reason, case.values) = why.map_or((None, Vec::new()), |(reason, values)| {
                    (Some(reason), values)
                });
            }
            return;
        }
        let Some(place) = stopped(rego, modules, &self.origins, &test.location) else {
            return;
        };
        if *left > 0 {
            *left -= 1;
            result.values = values(test, &place, &self.files, &self.data);
        }
        result.reason = Some(self.not_true(&place));
    }

    /// The test is run with this case alone: what the others reached says nothing about it.
    fn why_of_case(&self, test: &Test, note: &str) -> Option<Why> {
        let files = with_case(test, &self.files, &self.data, note)?;
        let all: Vec<_> = files.iter().collect();
        let (mut rego, origins) = prepare::ready(&all, &self.data).ok()?;
        rego.set_enable_coverage(true);
        rego.set_execution_timer_config(LIMIT);
        // That it fails is known.
        drop(ask(&mut rego, &test.path()));
        let modules = rego.get_modules().clone();
        let place = stopped(&rego, &modules, &origins, &test.location)?;
        let values = values(test, &place, &files, &self.data);
        Some((self.not_true(&place), values))
    }

    /// The statement that stands there, as far as its first line has it.
    fn not_true(&self, place: &Location) -> String {
        let text = self.sources.get(&place.file);
        let line = text.and_then(|text| text.lines().nth(place.row.saturating_sub(1)));
        let line = line.unwrap_or_default().trim();
        format!("{}:{}: not true: {line}", place.file, place.row)
    }
}
