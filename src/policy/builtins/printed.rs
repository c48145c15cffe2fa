//! What `print` writes down: values share their parts, and a few lines make one that would fill all memory as a text.

use regorus::Value;

use super::{Answer, Arguments, Own, PRINTED};
use crate::policy::extent;

pub(super) const OWN: &[Own] = &[Own::new(PRINTED, 1, printed)];

/// The same value where it is short, else how its text begins.
fn printed(given: Arguments<'_>) -> Answer {
    let value = given.any(0)?;
    Ok(extent::beginning(value, LONGEST).map_or_else(|| value.clone(), Value::from))
}

/// Bytes of one argument: the longest body of a request, unless configured otherwise.
const LONGEST: usize = 64 << 10;

#[cfg(test)]
mod tests {
    use super::super::tests::said;

    #[test]
    fn what_is_printed_is_the_value_or_how_its_text_begins() {
        assert_eq!(said(r#"internal.printed({"a": [1]})"#), r#"{"a":[1]}"#);
        let long = said(r#"internal.printed(sprintf("%70000s", [""]))"#);
        assert!(long.len() < 66_000, "{}", long.len());
        assert!(long.ends_with(r#" … (cut)""#));
    }
}
