//! All YAML that others wrote comes in here.
//!
//! The library takes time with the square of how deep brackets go and of how many tags a document declares, and makes of a
//! few names for parts a value of any size. So a text is scanned once before, as the library does it, in time that grows
//! with the text alone; what goes beyond a bound is refused. It refuses nothing that the library could read into a value:
//! that ends at 128 brackets.

mod scan;
#[cfg(test)]
mod tests;

use std::cell::Cell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, MapAccess, SeqAccess,
    VariantAccess, Visitor,
};

/// What is wrong, and where; line 0: nobody knows.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    pub line: usize,
    pub column: usize,
    pub message: String,
}

impl Fault {
    fn of(error: &yaml_serde::Error) -> Self {
        let place = error.location();
        let (line, column) = place.map_or((0, 0), |place| (place.line(), place.column()));
        Self {
            line,
            column,
            message: error.to_string(),
        }
    }
}

/// How many values a text may come to that repeats parts of it by their names (`*name`), beyond those that stand there.
const MOST_REPEATED: usize = 1_000_000;

/// Reads the one document of a text.
pub fn from_str<T: DeserializeOwned>(text: &str) -> Result<T, Fault> {
    read_with(text, std::marker::PhantomData)
}

/// The same by a seed.
pub(in crate::policy) fn read_with<'de, S: DeserializeSeed<'de>>(
    text: &'de str,
    seed: S,
) -> Result<S::Value, Fault> {
    documents(text)?;
    let read = seed.deserialize(yaml_serde::Deserializer::from_str(text));
    read.map_err(|error| Fault::of(&error))
}

/// The first document of several, where all of them are YAML.
pub(in crate::policy) fn first<T: DeserializeOwned>(text: &str) -> Result<Option<T>, Fault> {
    documents(text)?;
    let mut first = None;
    for document in yaml_serde::Deserializer::from_str(text) {
        let read = T::deserialize(document).map_err(|error| Fault::of(&error))?;
        first.get_or_insert(read);
    }
    Ok(first)
}

/// What stands in a text without quotation marks, as it stands there; of what has several lines the first.
pub(in crate::policy) fn plain_texts(text: &str) -> BTreeSet<&str> {
    let scanned = scan::text(text).unwrap_or_default();
    let plain = scanned.plain.into_iter();
    plain
        .filter_map(|range| text.get(range).map(str::trim))
        .collect()
}

/// Refuses a text that nobody could read in time.
fn documents(text: &str) -> Result<(), Fault> {
    let scanned = scan::text(text)?;
    if scanned.repeats {
        let count = Count {
            left: &Cell::new(scanned.tokens.saturating_add(MOST_REPEATED)),
        };
        for document in yaml_serde::Deserializer::from_str(text) {
            match count.deserialize(document) {
                Err(error) if error.to_string().contains(TOO_MANY) => {
                    return Err(Fault::of(&error));
                }
                // Whoever reads it says what is wrong.
                Err(_) => break,
                Ok(()) => {}
            }
        }
    }
    Ok(())
}

const TOO_MANY: &str = "parts of this are repeated by their names (*name) until it is too much to be held: write it out";

/// Counts what a document comes to, and keeps none of it.
#[derive(Clone, Copy)]
struct Count<'a> {
    left: &'a Cell<usize>,
}

impl Count<'_> {
    fn one<E: Error>(self) -> Result<(), E> {
        match self.left.get().checked_sub(1) {
            Some(left) => {
                self.left.set(left);
                Ok(())
            }
            None => Err(E::custom(TOO_MANY)),
        }
    }
}

impl<'de> DeserializeSeed<'de> for Count<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Count<'_> {
    type Value = ();

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("YAML")
    }

    fn visit_bool<E: Error>(self, _: bool) -> Result<(), E> {
        self.one()
    }

    fn visit_i64<E: Error>(self, _: i64) -> Result<(), E> {
        self.one()
    }

    fn visit_i128<E: Error>(self, _: i128) -> Result<(), E> {
        self.one()
    }

    fn visit_u64<E: Error>(self, _: u64) -> Result<(), E> {
        self.one()
    }

    fn visit_u128<E: Error>(self, _: u128) -> Result<(), E> {
        self.one()
    }

    fn visit_f64<E: Error>(self, _: f64) -> Result<(), E> {
        self.one()
    }

    fn visit_str<E: Error>(self, _: &str) -> Result<(), E> {
        self.one()
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.one()
    }

    fn visit_none<E: Error>(self) -> Result<(), E> {
        self.one()
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        self.one()?;
        while from.next_element_seed(self)?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut from: A) -> Result<(), A::Error> {
        self.one()?;
        while from.next_key_seed(self)?.is_some() {
            from.next_value_seed(self)?;
        }
        Ok(())
    }

    // A tag of somebody's own.
    fn visit_enum<A: EnumAccess<'de>>(self, from: A) -> Result<(), A::Error> {
        let ((), value) = from.variant_seed(self)?;
        value.newtype_variant_seed(self)
    }
}
