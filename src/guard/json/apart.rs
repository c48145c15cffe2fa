//! Takes a list out of an object, as text: nothing of it is read but where it begins and ends.

use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The object with an empty list, and the texts of what was in the list. `None`: it is no object, or has no such list, or
/// two of them.
pub(super) fn taken<'a>(text: &'a str, list: &str) -> Option<(String, Vec<&'a str>)> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let members = deserializer.deserialize_map(Members).ok()?;
    deserializer.end().ok()?;
    let mut lists = members.iter().filter(|(name, _)| name == list);
    let (Some((_, found)), None) = (lists.next(), lists.next()) else {
        return None;
    };
    let listed: Vec<&RawValue> = serde_json::from_str(found.get()).ok()?;
    let rest = members.iter().map(|(name, value)| {
        let value = if name == list { "[]" } else { value.get() };
        format!("{}:{value}", serde_json::json!(name))
    });
    let rest: Vec<String> = rest.collect();
    let listed = listed.into_iter().map(RawValue::get);
    Some((format!("{{{}}}", rest.join(",")), listed.collect()))
}

/// The members of an object, those that stand twice as well.
struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = map.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}
