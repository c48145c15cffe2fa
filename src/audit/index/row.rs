//! What the index has to know of a line, read in one pass and without copies: the rest is stepped over.
//!
//! A journal may hold what no dtgate wrote. A member of another type than it should have is as if it were not there;
//! what is no JSON object at all is no row.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::named::EFFECT;
use crate::audit::masks::Masks;

/// A text; empty where something else stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Text<'a>(pub(super) Cow<'a, str>);

/// A number without sign; `None` where something else stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Number(pub(super) Option<u64>);

/// A measurement; `None` where something else stands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Measured(pub(super) Option<f64>);

/// An object; its default where something else stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Members<T>(pub(super) T);

/// The texts of a list; what is no text is left out, and what is no list has none.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Texts<'a>(pub(super) Vec<Cow<'a, str>>);

/// The objects of a list.
#[derive(Clone, Debug)]
pub(super) struct Objects<T>(pub(super) Vec<T>);

/// A record of any kind.
#[derive(Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Row<'a> {
    pub(super) seq: Number,
    #[serde(borrow)]
    pub(super) kind: Text<'a>,
    #[serde(borrow)]
    pub(super) timestamp: Text<'a>,
    #[serde(borrow)]
    pub(super) decision_id: Text<'a>,
    #[serde(borrow)]
    pub(super) input: Members<Input<'a>>,
    #[serde(borrow)]
    pub(super) result: Members<Findings<'a>>,
    #[serde(borrow)]
    pub(super) bundles: Members<Bundles<'a>>,
    #[serde(borrow)]
    pub(super) requested_by: Text<'a>,
    #[serde(borrow)]
    pub(super) verdict: Text<'a>,
    #[serde(borrow)]
    pub(super) operation: Text<'a>,
    #[serde(borrow)]
    pub(super) environment: Text<'a>,
    #[serde(borrow)]
    pub(super) caller: Members<Caller<'a>>,
    #[serde(borrow)]
    pub(super) request: Members<Request<'a>>,
    #[serde(borrow)]
    pub(super) error: Text<'a>,
    #[serde(borrow)]
    pub(super) grant: Members<Grant<'a>>,
    pub(super) decision_seq: Number,
    #[serde(borrow)]
    pub(super) outcome: Text<'a>,
    pub(super) status: Number,
    pub(super) duration_ms: Measured,
    pub(super) metrics: Members<Metrics>,
    #[serde(borrow)]
    pub(super) detail: Text<'a>,
    #[serde(borrow)]
    pub(super) credential: Members<Named<'a>>,
    #[serde(borrow)]
    pub(super) found: Text<'a>,
    #[serde(borrow)]
    pub(super) differs: Text<'a>,
    /// How many requests a `suppressed` record stands for.
    pub(super) count: Number,
    #[serde(borrow)]
    pub(super) erased: Texts<'a>,
    #[serde(borrow)]
    pub(super) masked: Texts<'a>,
    #[serde(borrow)]
    pub(super) pseudonyms: Texts<'a>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Metrics {
    #[serde(rename = "timer_rego_query_eval_ns")]
    pub(super) rego_query_eval_ns: Number,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Input<'a> {
    #[serde(borrow)]
    pub(super) environment: Members<WithName<'a>>,
    #[serde(borrow)]
    pub(super) caller: Members<Caller<'a>>,
    #[serde(borrow)]
    pub(super) token: Members<Target<'a>>,
    #[serde(borrow)]
    pub(super) change: Members<Change<'a>>,
    #[serde(borrow)]
    pub(super) unknown_members: Option<&'a RawValue>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct WithName<'a> {
    #[serde(borrow)]
    pub(super) name: Text<'a>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Named<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
}

/// The caller, as a record tells it in short, or as policies see it.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Caller<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) token: Members<Named<'a>>,
    #[serde(borrow)]
    pub(super) teams: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) certificate: Members<Certificate<'a>>,
    #[serde(borrow)]
    pub(super) jwt: Members<Jwt<'a>>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Certificate<'a> {
    #[serde(borrow)]
    pub(super) subject: Text<'a>,
    #[serde(borrow)]
    pub(super) spiffe_id: Text<'a>,
    #[serde(borrow)]
    pub(super) fingerprint: Text<'a>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Jwt<'a> {
    #[serde(borrow)]
    pub(super) issuer: Text<'a>,
    #[serde(borrow)]
    pub(super) subject: Text<'a>,
    /// As they stand: most callers have none.
    #[serde(borrow)]
    pub(super) claims: Option<&'a RawValue>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Target<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) current: Members<Current<'a>>,
}

/// The token as it was looked up. It may have been asked for by another of its ids.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Current<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) name: Text<'a>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Change<'a> {
    #[serde(borrow)]
    pub(super) name: Members<Wish<'a>>,
    #[serde(borrow)]
    pub(super) scopes: Members<Scopes<'a>>,
    #[serde(borrow)]
    pub(super) differs: Option<&'a RawValue>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Wish<'a> {
    #[serde(borrow)]
    pub(super) requested: Text<'a>,
    #[serde(borrow)]
    pub(super) current: Text<'a>,
}

/// Lists as they stand: most are known already, and are not read again.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Scopes<'a> {
    #[serde(borrow)]
    pub(super) requested: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) added: Option<&'a RawValue>,
    #[serde(borrow)]
    pub(super) removed: Option<&'a RawValue>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Findings<'a> {
    #[serde(borrow)]
    pub(super) violations: Option<&'a RawValue>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Violation<'a> {
    #[serde(borrow)]
    pub(super) policy: Text<'a>,
    #[serde(borrow)]
    pub(super) code: Text<'a>,
    #[serde(borrow)]
    pub(super) message: Text<'a>,
    #[serde(borrow)]
    pub(super) exception: Members<Exception<'a>>,
}

/// By what a request passed although policies deny it.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Grant<'a> {
    #[serde(borrow)]
    pub(super) id: Text<'a>,
    #[serde(borrow)]
    pub(super) ticket: Text<'a>,
    #[serde(borrow)]
    pub(super) requested_by: Text<'a>,
    #[serde(borrow)]
    pub(super) approved_by: Text<'a>,
    #[serde(borrow)]
    pub(super) reason: Text<'a>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Exception<'a> {
    #[serde(borrow)]
    pub(super) ticket: Text<'a>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Bundles<'a> {
    #[serde(borrow)]
    pub(super) policies: Members<Bundle<'a>>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Bundle<'a> {
    #[serde(borrow)]
    pub(super) revision: Text<'a>,
}

#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(default)]
pub(super) struct Request<'a> {
    #[serde(borrow)]
    pub(super) path: Text<'a>,
}

impl<'a> Row<'a> {
    /// `None`: it is no record, or one without a number.
    pub(super) fn read(line: &'a [u8]) -> Option<Self> {
        let text = std::str::from_utf8(line).ok()?;
        if !text.trim_ascii_start().starts_with('{') {
            return None;
        }
        let row: Self = serde_json::from_str(text).ok()?;
        row.seq.0.filter(|seq| *seq > 0 && *seq < MOST)?;
        Some(row)
    }

    /// Milliseconds since 1970; where nobody can say, none.
    pub(super) fn millis(&self) -> Option<i64> {
        let time: jiff::Timestamp = self.timestamp.0.parse().ok()?;
        Some(time.as_millisecond())
    }

    /// The one text, or else the other.
    pub(super) fn either<'b>(told: &'b Text<'_>, seen: &'b Text<'_>) -> &'b str {
        if told.0.is_empty() { &seen.0 } else { &told.0 }
    }

    /// What masks have taken out of it.
    pub(super) fn masks(&self) -> Masks {
        let paths = self.erased.0.iter().chain(&self.masked.0);
        Masks::new(paths)
    }

    /// What masks have taken out of it, and where pseudonyms stand.
    pub(super) fn unseen(&self) -> Masks {
        let paths = self.erased.0.iter().chain(&self.masked.0);
        Masks::new(paths.chain(&self.pseudonyms.0))
    }

    /// Where pseudonyms stand in it.
    pub(super) fn pseudonyms(&self) -> Masks {
        Masks::new(self.pseudonyms.0.iter())
    }

    /// A request that would change nothing, about something that stays, by the record's own word. What members do that the
    /// gate does not know, nobody can tell; nor what a mask has put there.
    pub(super) fn is_no_op(&self, masks: &Masks) -> bool {
        let is_empty = |list: &RawValue, [begin, end]: [u8; 2]| {
            let mut inner = list.get().trim_ascii().bytes();
            inner.next() == Some(begin)
                && inner.next_back() == Some(end)
                && inner.all(|byte| byte.is_ascii_whitespace())
        };
        let differs = self.input.0.change.0.differs;
        let others = self.input.0.unknown_members;
        differs.is_some_and(|list| is_empty(list, *b"[]"))
            && others.is_none_or(|others| is_empty(others, *b"{}"))
            && !self.operation.0.ends_with(".create")
            && !self.operation.0.ends_with(".delete")
            && !EFFECT.iter().any(|member| masks.hide(member))
    }
}

/// Numbers of records are kept as `SQLite` keeps numbers.
const MOST: u64 = 1 << 62;

struct Lenient<T>(PhantomData<T>);

/// The visits that mean "something else".
macro_rules! otherwise_default {
    ($($visit:ident: $type:ty),*) => {
        $(fn $visit<E>(self, _: $type) -> Result<Self::Value, E> { Ok(Self::Value::default()) })*
        fn visit_unit<E>(self) -> Result<Self::Value, E> { Ok(Self::Value::default()) }
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result { f.write_str("anything") }
    };
}

macro_rules! skip_list {
    ($de:lifetime) => {
        fn visit_seq<A: SeqAccess<$de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
}

macro_rules! skip_members {
    ($de:lifetime) => {
        fn visit_map<A: MapAccess<$de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            Ok(Self::Value::default())
        }
    };
}

impl<'de> Visitor<'de> for Lenient<Text<'de>> {
    type Value = Text<'de>;
    otherwise_default!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64);
    skip_list!('de);
    skip_members!('de);

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

impl<'de> Visitor<'de> for Lenient<Number> {
    type Value = Number;
    otherwise_default!(visit_bool: bool, visit_i64: i64, visit_f64: f64, visit_str: &str);
    skip_list!('de);
    skip_members!('de);

    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Number(Some(number)))
    }
}

impl<'de> Visitor<'de> for Lenient<Measured> {
    type Value = Measured;
    otherwise_default!(visit_bool: bool, visit_i64: i64, visit_str: &str);
    skip_list!('de);
    skip_members!('de);

    fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
        Ok(Measured(Some(number)))
    }

    #[expect(clippy::cast_precision_loss, reason = "a duration of 2^53 ms is none")]
    fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
        Ok(Measured(Some(number as f64)))
    }
}

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Lenient<Members<T>> {
    type Value = Members<T>;
    otherwise_default!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
    skip_list!('de);

    fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Self::Value, A::Error> {
        let members = serde::de::value::MapAccessDeserializer::new(members);
        T::deserialize(members).map(Members)
    }
}

impl<'de> Visitor<'de> for Lenient<Texts<'de>> {
    type Value = Texts<'de>;
    otherwise_default!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
    skip_members!('de);

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut texts = Vec::new();
        while let Some(Text(text)) = list.next_element()? {
            if !text.is_empty() {
                texts.push(text);
            }
        }
        Ok(Texts(texts))
    }
}

impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Lenient<Objects<T>> {
    type Value = Objects<T>;
    otherwise_default!(visit_bool: bool, visit_i64: i64, visit_u64: u64, visit_f64: f64, visit_str: &str);
    skip_members!('de);

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut objects = Vec::new();
        while let Some(Members(object)) = list.next_element()? {
            objects.push(object);
        }
        Ok(Objects(objects))
    }
}

impl<T> Default for Objects<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Lenient::<Text<'de>>(PhantomData))
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Texts<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Lenient::<Texts<'de>>(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Number {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Lenient::<Self>(PhantomData))
    }
}

impl<'de> Deserialize<'de> for Measured {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Lenient::<Self>(PhantomData))
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Members<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Lenient::<Self>(PhantomData))
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Objects<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(Lenient::<Self>(PhantomData))
    }
}
