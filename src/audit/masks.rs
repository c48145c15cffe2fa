//! What masks have taken out of a record, or put something else in its place, by its own word.

use serde_json::Value;

use crate::policy::members_of_mask;

/// The members that a record has not as they were, by their steps: those of its lists `erased` and `masked`.
#[derive(Clone, Debug, Default)]
pub struct Masks(Vec<Vec<String>>);

impl Masks {
    /// Of the paths in both lists.
    pub fn new(paths: impl Iterator<Item = impl AsRef<str>>) -> Self {
        Self(
            paths
                .flat_map(|path| members_of_mask(path.as_ref()))
                .collect(),
        )
    }

    pub fn of(record: &Value) -> Self {
        Self::listed(record, &["erased", "masked"])
    }

    /// The same, and those that have pseudonyms.
    pub fn with_pseudonyms(record: &Value) -> Self {
        Self::listed(record, &["erased", "masked", "pseudonyms"])
    }

    fn listed(record: &Value, lists: &[&str]) -> Self {
        let lists = lists.iter().map(|list| record.get(list));
        let paths = lists.filter_map(|list| list?.as_array()).flatten();
        Self::new(paths.filter_map(Value::as_str))
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a member, `input.token.id`, or a part of it, is not as it was. `*` stands for each element of a list:
    /// `result.violations.*.policy`.
    pub fn hide(&self, member: &str) -> bool {
        let mut all = self.0.iter();
        all.any(|masked| {
            // Where the one ends, the other is in it.
            let mut both = member.split('.').zip(masked);
            both.all(|(step, masked)| step == "*" || step == masked)
        })
    }

    /// Whether a member stands in what masks have taken out as a whole.
    pub fn is_within(&self, member: &str) -> bool {
        let mut all = self.0.iter();
        all.any(|masked| {
            let mut steps = member.split('.');
            masked.iter().all(|masked| steps.next() == Some(masked))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_member_is_hidden_with_what_it_is_in_and_by_what_is_in_it() {
        let masks = Masks::of(&json!({"erased": ["/input/token"], "masked": ["/request/path", 5]}));
        for member in ["input", "input.token", "input.token.id", "request.path"] {
            assert!(masks.hide(member), "{member}");
        }
        for member in ["input.tokens", "input.change", "request.method", "path"] {
            assert!(!masks.hide(member), "{member}");
        }
        assert!(Masks::of(&json!({"erased": []})).is_empty());
    }

    #[test]
    fn a_member_of_a_list_is_hidden_in_any_of_its_elements() {
        let hides = |path: &str| Masks::new([path].iter()).hide("result.violations.*.policy");
        for path in [
            "/result",
            "/result/violations",
            "/result/violations/3",
            "/result/violations/3/policy",
        ] {
            assert!(hides(path), "{path}");
        }
        for path in ["/result/allow", "/result/violations/3/message"] {
            assert!(!hides(path), "{path}");
        }
    }
}
