//! How large and how deep a value of a policy is. Values share their parts: a few lines make one that would fill all memory
//! if it were written down, and one so deep that nobody could read it again.

use regorus::Value;

/// Refuses a value that is too large to be written down, before it is.
pub(super) fn writable(value: &Value) -> Result<(), String> {
    let mut left = MOST_BYTES;
    let is_small = fits(value, usize::MAX, &mut left);
    is_small.then_some(()).ok_or_else(|| {
        let most = MOST_BYTES >> 20;
        format!("the value is too large: written down, it would be longer than {most} MiB")
    })
}

/// The same, and one that is too deep to be a part of a record.
pub(super) fn recordable(value: &Value) -> Result<(), String> {
    writable(value)?;
    let is_flat = fits(value, DEEPEST, &mut { MOST_BYTES });
    is_flat
        .then_some(())
        .ok_or_else(|| format!("the value is nested deeper than {DEEPEST}"))
}

/// Whether a value has no more levels, and no more bytes, about.
fn fits(value: &Value, levels: usize, left: &mut usize) -> bool {
    let below = levels.checked_sub(1);
    let within =
        |value: &Value, left: &mut usize| below.is_some_and(|below| fits(value, below, left));
    let own = match value {
        Value::String(text) => text.len() + 3,
        _ => 2,
    };
    let Some(rest) = left.checked_sub(own) else {
        return false;
    };
    *left = rest;
    match value {
        Value::Array(members) => members.iter().all(|it| within(it, left)),
        Value::Set(members) => members.iter().all(|it| within(it, left)),
        Value::Object(members) => members
            .iter()
            .all(|(name, it)| within(name, left) && within(it, left)),
        _ => true,
    }
}

/// As long as the longest text that a builtin makes.
const MOST_BYTES: usize = 4 << 20;
/// As deep as the body of a request may be; a record has a few levels around it, and its readers stop at 128.
const DEEPEST: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    fn tower(levels: usize, twice: bool) -> Value {
        let mut value = Value::from("x");
        for _ in 0..levels {
            let mut members = vec![value.clone()];
            members.extend(twice.then(|| value.clone()));
            value = Value::from(members);
        }
        value
    }

    #[test]
    fn a_value_that_shares_its_parts_counts_as_it_would_be_written() {
        writable(&tower(16, true)).unwrap();
        let error = writable(&tower(60, true)).unwrap_err();
        assert!(error.contains("longer than 4 MiB"), "{error}");
        writable(&Value::from("x".repeat(MOST_BYTES - 3))).unwrap();
        writable(&Value::from("x".repeat(MOST_BYTES - 2))).unwrap_err();
    }

    #[test]
    fn a_value_that_is_deep_is_for_no_record() {
        recordable(&tower(DEEPEST, false)).unwrap();
        writable(&tower(200, false)).unwrap();
        let error = recordable(&tower(DEEPEST + 1, false)).unwrap_err();
        assert!(error.contains("nested deeper than 32"), "{error}");
        let error = recordable(&tower(60, true)).unwrap_err();
        assert!(error.contains("longer than 4 MiB"), "{error}");
    }
}
