//! Texts, as OPA 1.22 has them (`topdown/strings.go`).

use regorus::Value;

use super::{Answer, Arguments, Own};

pub(super) const OWN: &[Own] = &[Own::new("strings.count", 2, count)];

/// How often a text stands in another, without overlap; the empty one once more often than there are characters.
fn count(arguments: Arguments<'_>) -> Answer {
    let count = arguments.text(0)?.matches(arguments.text(1)?).count();
    Ok(Value::from(u64::try_from(count).unwrap_or(u64::MAX)))
}
