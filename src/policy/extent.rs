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

/// An integer in it that 64 bits do not hold: as JSON it would lose digits.
pub(super) fn too_long(value: &Value) -> Option<String> {
    match value {
        Value::Number(number) => {
            let is_held = number.as_i64().is_some() || number.as_u64().is_some();
            (number.is_integer() && !is_held).then(|| number.format_decimal())
        }
        Value::Array(members) => members.iter().find_map(too_long),
        Value::Set(members) => members.iter().find_map(too_long),
        Value::Object(members) => {
            let mut both = members.iter().flat_map(|(name, value)| [name, value]);
            both.find_map(too_long)
        }
        _ => None,
    }
}

/// How the text of a value begins that would be longer than so many bytes, about; nothing of one that is shorter.
pub(super) fn beginning(value: &Value, most: usize) -> Option<String> {
    if fits(value, usize::MAX, &mut most.clone()) {
        return None;
    }
    let mut text = match value {
        // Nobody prints a text within quotation marks.
        Value::String(text) => text.get(..text.floor_char_boundary(most))?.to_owned(),
        other => {
            let mut text = String::new();
            write(other, most, &mut text);
            text
        }
    };
    text.truncate(text.floor_char_boundary(most));
    text.push_str("… (cut)");
    Some(text)
}

/// Writes a value down as the engine prints it, until the text is long enough. One part may be longer.
fn write(value: &Value, most: usize, text: &mut String) {
    let (open, close) = match value {
        Value::Array(_) => ('[', ']'),
        Value::Set(_) | Value::Object(_) => ('{', '}'),
        simple => {
            text.push_str(&simple.to_string());
            return;
        }
    };
    text.push(open);
    let mut is_first = true;
    let mut part = |name: Option<&Value>, value: &Value| {
        if text.len() >= most {
            return false;
        }
        if !std::mem::take(&mut is_first) {
            text.push_str(", ");
        }
        if let Some(name) = name {
            write(name, most, text);
            text.push_str(": ");
        }
        write(value, most, text);
        true
    };
    // Whatever order they come in: to sort them all would take longer than there is to say.
    let _is_whole = match value {
        Value::Array(members) => members.iter().all(|it| part(None, it)),
        Value::Set(members) => members.iter().all(|it| part(None, it)),
        Value::Object(members) => members.iter().all(|(name, it)| part(Some(name), it)),
        _ => true,
    };
    text.push(close);
}

/// As much of a message as somebody reads: what failed is repeated whole in it, and may be megabytes of a request.
pub(super) fn in_short(message: &str) -> String {
    match message.get(..message.floor_char_boundary(MESSAGE)) {
        Some(beginning) if beginning.len() < message.len() => format!("{beginning}… (cut)"),
        _ => message.to_owned(),
    }
}

/// The text of a value for a log or for people, as long as somebody reads it.
pub(super) fn shown(value: &Value) -> String {
    beginning(value, SHOWN).unwrap_or_else(|| value.to_string())
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
/// Bytes of a message of a failure.
const MESSAGE: usize = 1000;
/// Bytes of a value in a log.
const SHOWN: usize = 16 << 10;
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
    fn the_text_of_a_large_value_is_cut_before_it_is_built() {
        assert_eq!(beginning(&tower(3, true), 1000), None);
        let text = beginning(&tower(60, true), 1000).unwrap();
        assert!(text.starts_with("[[[[["), "{text}");
        assert!(text.ends_with("… (cut)"), "{text}");
        assert!(text.len() < 1100, "{}", text.len());
        let of_names = Value::from(std::collections::BTreeMap::from([(
            tower(60, true),
            tower(60, true),
        )]));
        assert!(beginning(&of_names, 1000).unwrap().len() < 1100);
        assert_eq!(
            beginning(&Value::from("ä".repeat(9)), 5).unwrap(),
            "ää… (cut)"
        );
        assert_eq!(shown(&tower(1, true)), tower(1, true).to_string());
        assert!(shown(&tower(60, true)).len() < SHOWN + 100);
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
