//! Numbers as they are written: which of them the engine can hold.

/// Why a number is none that the engine can hold: with a fraction or an exponent it has the digits there that the shortest
/// text of a machine's number has, and all its digits with OPA.
pub(in crate::policy) fn unheld(text: &str) -> Option<String> {
    if !text.contains(['.', 'e', 'E']) {
        return None;
    }
    let float = text.parse::<f64>().ok()?;
    if !float.is_finite() {
        return Some(format!(
            "{text} is larger than any number with an exponent that dtgate can hold: write an integer, or a smaller number"
        ));
    }
    let held = format!("{float:e}");
    (decimal(text) != decimal(&held)).then(|| {
        format!(
            "dtgate cannot hold {text}, and would take {float} for it: a number with a fraction or an exponent has 64 bits; write one of at most 15 digits, or an integer"
        )
    })
}

/// The digits of a number without zeros at either end, and by which power of ten they are multiplied.
fn decimal(text: &str) -> Option<(String, i64)> {
    let text = text.trim_start_matches(['-', '+']);
    let (mantissa, exponent) = text.split_once(['e', 'E']).unwrap_or((text, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    let kept = digits.trim_end_matches('0');
    let dropped = i64::try_from(digits.len() - kept.len()).ok()?;
    let places = i64::try_from(fraction.len()).ok()?;
    let exponent = exponent.parse::<i64>().ok()?;
    let exponent = exponent.checked_sub(places)?.checked_add(dropped)?;
    Some((kept.to_owned(), if kept.is_empty() { 0 } else { exponent }))
}
