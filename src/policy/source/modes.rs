//! How much each policy may do, and until when: `data.modes`. Whether a lookup may fail: `data.lookup`.
//!
//! It guarantees that a mode nobody can understand is refused, never taken for a lenient one.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use crate::policy::decision::Mode;
use crate::policy::input;

#[derive(Clone, Debug, Eq, PartialEq)]
pub(in crate::policy) struct Enforcement {
    pub(in crate::policy) mode: Mode,
    /// From here on the policy is enforced, whatever the mode was.
    pub(in crate::policy) until: Option<jiff::Timestamp>,
}

impl Enforcement {
    pub(in crate::policy) fn at(&self, time: jiff::Timestamp) -> Mode {
        match self.until {
            Some(until) if time >= until => Mode::Enforce,
            _ => self.mode,
        }
    }
}

/// Reads `data.modes`; calls `complain` with the path of what is wrong and why.
pub(in crate::policy) fn read(
    modes: Option<&Json>,
    policies: &[&str],
    mut complain: impl FnMut(&[&str], String),
) -> BTreeMap<String, Enforcement> {
    let mut read = BTreeMap::new();
    let modes = match modes {
        None | Some(Json::Null) => return read,
        Some(Json::Object(modes)) => modes,
        Some(_) => {
            complain(
                &["modes"],
                "data.modes must be an object: one mode a policy".to_owned(),
            );
            return read;
        }
    };
    for (policy, setting) in modes {
        if !policies.contains(&policy.as_str()) {
            let guess = input::guess(policy, "", policies);
            let message = format!("data.modes.{policy} names a policy that does not exist{guess}");
            complain(&["modes", policy], message);
            continue;
        }
        match enforcement(setting) {
            Ok(enforcement) => {
                read.insert(policy.clone(), enforcement);
            }
            Err(message) => complain(
                &["modes", policy],
                format!("data.modes.{policy}: {message}"),
            ),
        }
    }
    read
}

/// Reads `data.lookup.required`; calls `complain` as [`read`] does. What is not said is required.
pub(in crate::policy) fn lookup_required(
    lookup: Option<&Json>,
    mut complain: impl FnMut(&[&str], String),
) -> bool {
    let members = match lookup {
        None | Some(Json::Null) => return true,
        Some(Json::Object(members)) => members,
        Some(_) => {
            let message = "data.lookup must be an object with the member required";
            complain(&["lookup"], message.to_owned());
            return true;
        }
    };
    let mut required = true;
    for (name, value) in members {
        match (name.as_str(), value) {
            ("required", Json::Bool(wanted)) => required = *wanted,
            ("required", other) => complain(
                &["lookup", "required"],
                format!("data.lookup.required is true or false, not {other}"),
            ),
            (other, _) => complain(
                &["lookup", other],
                format!("data.lookup has no member {other}: only required"),
            ),
        }
    }
    required
}

fn enforcement(setting: &Json) -> Result<Enforcement, String> {
    let mode = |value: &Json| {
        let mode = value.as_str().and_then(Mode::parse);
        mode.ok_or_else(|| format!("a mode is enforce, warn or dry_run, not {value}"))
    };
    match setting {
        Json::Object(members) => {
            let mut found = Enforcement {
                mode: Mode::Enforce,
                until: None,
            };
            if !members.contains_key("mode") {
                return Err("the member mode is missing".to_owned());
            }
            for (name, value) in members {
                match name.as_str() {
                    "mode" => found.mode = mode(value)?,
                    "until" => found.until = Some(until(value)?),
                    other => {
                        return Err(format!("there is no member {other}: only mode and until"));
                    }
                }
            }
            Ok(found)
        }
        other => Ok(Enforcement {
            mode: mode(other)?,
            until: None,
        }),
    }
}

/// A date includes its whole day (UTC); a timestamp is exact.
fn until(value: &Json) -> Result<jiff::Timestamp, String> {
    let wrong = || {
        format!(
            "until is a date such as 2027-01-31 or a timestamp such as 2027-01-31T18:00:00Z, not {value}"
        )
    };
    let text = value.as_str().ok_or_else(wrong)?;
    if let Ok(timestamp) = text.parse() {
        return Ok(timestamp);
    }
    // A time without a zone would read as a date: whoever wrote it meant more than the day.
    if text.len() != "2027-01-31".len() {
        return Err(wrong());
    }
    let date: jiff::civil::Date = text.parse().map_err(|_error| wrong())?;
    let next = date.tomorrow().map_err(|_error| wrong())?;
    jiff::tz::Offset::UTC
        .to_timestamp(next.to_datetime(jiff::civil::Time::midnight()))
        .map_err(|_error| wrong())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn at(text: &str) -> jiff::Timestamp {
        text.parse().unwrap()
    }

    #[test]
    fn a_date_includes_its_whole_day() {
        let found = enforcement(&json!({"mode": "warn", "until": "2027-01-31"})).unwrap();
        assert_eq!(found.at(at("2027-01-31T23:59:59Z")), Mode::Warn);
        assert_eq!(found.at(at("2027-02-01T00:00:00Z")), Mode::Enforce);
    }

    #[test]
    fn a_timestamp_is_exact() {
        let found =
            enforcement(&json!({"mode": "dry_run", "until": "2027-01-31T18:00:00+01:00"})).unwrap();
        assert_eq!(found.at(at("2027-01-31T16:59:59Z")), Mode::DryRun);
        assert_eq!(found.at(at("2027-01-31T17:00:00Z")), Mode::Enforce);
    }

    #[test]
    fn a_mode_that_cannot_be_understood_is_refused() {
        for wrong in [
            json!("Warn"),
            json!("off"),
            json!(null),
            json!({}),
            json!({"until": "2027-01-31"}),
            json!({"mode": "warn", "till": "2027-01-31"}),
            json!({"mode": "warn", "until": "31.01.2027"}),
            json!({"mode": "warn", "until": "2027-01-31T18:00:00"}),
            json!({"mode": "warn", "until": "2027-02-30"}),
            json!({"mode": "warn", "until": null}),
        ] {
            assert!(enforcement(&wrong).is_err(), "{wrong}");
        }
    }
}
