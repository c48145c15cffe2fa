//! Documents of records whose masks took away what must be there, or put something of another kind in its place: they
//! can be read all the same, with a default for it. Who asks about such a member is not to be asked.

use serde_json::Value as Json;

use super::members::{OPEN, SAMPLE};

/// Makes a document readable that has been masked. `is_masked` says whether a member was, as in `input.token.id`; nothing
/// else is touched.
pub fn with_defaults(input: &mut Json, is_masked: &dyn Fn(&str) -> bool) {
    fit("input", input, &SAMPLE, is_masked);
}

fn fit(path: &str, here: &mut Json, sample: &Json, is_masked: &dyn Fn(&str) -> bool) {
    let is_other_kind = std::mem::discriminant(here) != std::mem::discriminant(sample)
        || is_time(path) && !is_moment(here);
    if is_other_kind && is_masked(path) {
        *here = default(path, sample);
        return;
    }
    match (here, sample) {
        (Json::Object(members), Json::Object(sampled)) if !OPEN.contains(&path) => {
            for (name, sampled) in sampled {
                let below = format!("{path}.{name}");
                match members.get_mut(name) {
                    Some(member) => fit(&below, member, sampled, is_masked),
                    None if is_required(&below) && is_masked(&below) => {
                        members.insert(name.clone(), default(&below, sampled));
                    }
                    None => {}
                }
            }
        }
        (Json::Array(elements), Json::Array(sampled)) => {
            let Some(sampled) = sampled.first() else {
                return;
            };
            for (at, element) in elements.iter_mut().enumerate() {
                fit(&format!("{path}.{at}"), element, sampled, is_masked);
            }
        }
        _ => {}
    }
}

/// The least that can be read.
fn default(path: &str, sample: &Json) -> Json {
    match sample {
        Json::Null => Json::Null,
        Json::Bool(_) => false.into(),
        Json::Number(_) => 0.into(),
        Json::String(_) if is_time(path) => sample.clone(),
        Json::String(_) => "".into(),
        Json::Array(_) => Json::Array(Vec::new()),
        Json::Object(members) => {
            let members = members.iter().filter_map(|(name, sample)| {
                let below = format!("{path}.{name}");
                is_required(&below).then(|| (name.clone(), default(&below, sample)))
            });
            Json::Object(members.collect())
        }
    }
}

/// Without it the document cannot be read, where that in which it stands is there.
fn is_required(path: &str) -> bool {
    REQUIRED.contains(&path)
}

fn is_time(path: &str) -> bool {
    ["input.time", "input.change.expiration.at"].contains(&path)
}

fn is_moment(value: &Json) -> bool {
    let moment = value.as_str().map(str::parse::<jiff::Timestamp>);
    moment.is_some_and(|moment| moment.is_ok())
}

const REQUIRED: [&str; 10] = [
    "input.operation",
    "input.api",
    "input.environment",
    "input.environment.name",
    "input.time",
    "input.caller.token.id",
    "input.caller.token.kind",
    "input.token.id",
    "input.token.current.scopes",
    "input.settings.schemas",
];

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::{Input, members};
    use super::*;

    /// What a mask can put in a member's place; `None`: it takes it away.
    fn masks() -> Vec<Option<Json>> {
        let mut all: Vec<Option<Json>> = [
            json!(null),
            json!(true),
            json!(7),
            json!("***"),
            json!([]),
            json!([1]),
            json!({}),
            json!({"a": 1}),
        ]
        .into_iter()
        .map(Some)
        .collect();
        all.push(None);
        all
    }

    fn masked(path: &str, with: Option<&Json>) -> Json {
        let mut input = SAMPLE.clone();
        let pointer = path.replacen("input", "", 1).replace('.', "/");
        let (within, last) = pointer.rsplit_once('/').unwrap();
        let within = input.pointer_mut(within).unwrap().as_object_mut().unwrap();
        match with {
            Some(value) => within.insert(last.to_owned(), value.clone()),
            None => within.remove(last),
        };
        input
    }

    #[test]
    fn whatever_a_mask_does_to_one_member_the_rest_can_be_read() {
        let whole: Input = serde_json::from_value(SAMPLE.clone()).unwrap();
        for path in members() {
            for with in masks() {
                let mut input = masked(&path, with.as_ref());
                let below = format!("{path}.");
                with_defaults(&mut input, &|it| it == path || it.starts_with(&below));
                let read: Result<Input, _> = serde_json::from_value(input);
                let read = read.unwrap_or_else(|error| panic!("{path} is {with:?}: {error}"));
                if path != "input.operation" {
                    assert_eq!(read.operation, whole.operation);
                }
            }
        }
    }

    #[test]
    fn what_no_mask_touched_stays_as_it_is() {
        let mut input = masked("input.token.id", None);
        let before = input.clone();
        with_defaults(&mut input, &|it| it.starts_with("input.caller"));
        assert_eq!(input, before);
    }
}
