//! A value that is being changed. What nothing has touched is left as it is.

use std::collections::{BTreeMap, BTreeSet};

use num_traits::ToPrimitive;
use regorus::Value;

use crate::policy::builtins::arguments::whole;
use crate::policy::builtins::paths::MOST_STEPS;

/// Values that all operations together may look at. (OPA has no bound.)
const MOST_WORK: usize = 1_000_000;

pub(super) struct Tree {
    root: Option<Node>,
    /// What is left to do.
    work: Work,
}

impl Tree {
    pub(super) fn new(value: Value) -> Self {
        Self {
            root: Some(Node::Untouched(value)),
            work: Work(MOST_WORK),
        }
    }

    fn root(&mut self) -> Result<(&mut Node, &mut Work), String> {
        let root = self.root.as_mut().ok_or("nothing is left of the value")?;
        Ok((root, &mut self.work))
    }

    /// What is there now.
    pub(super) fn value(&mut self, path: &[Value]) -> Result<Value, String> {
        let (root, work) = self.root()?;
        root.below(path, work)?.value(work)
    }

    pub(super) fn insert(&mut self, path: &[Value], value: Value) -> Result<(), String> {
        // So that nobody who walks through the result runs out of room.
        let depth = MOST_STEPS.checked_sub(path.len());
        self.work.measure(&value, depth.unwrap_or_default())?;
        let Some((last, path)) = path.split_last() else {
            self.root = Some(Node::Untouched(value));
            return Ok(());
        };
        let (root, work) = self.root()?;
        root.below(path, work)?.insert(last, value, work)
    }

    pub(super) fn remove(&mut self, path: &[Value]) -> Result<(), String> {
        let Some((last, path)) = path.split_last() else {
            return self
                .root
                .take()
                .map(drop)
                .ok_or_else(|| "nothing is left".to_owned());
        };
        let (root, work) = self.root()?;
        root.below(path, work)?.remove(last, work)
    }
}

struct Work(usize);

impl Work {
    fn take(&mut self, values: usize) -> Result<(), String> {
        let left = self.0.checked_sub(values);
        self.0 = left.ok_or_else(|| format!("the patch touches more than {MOST_WORK} values"))?;
        Ok(())
    }

    /// Takes as much as a value has in it.
    fn measure(&mut self, value: &Value, depth: usize) -> Result<(), String> {
        self.take(1)?;
        let deep = || format!("the value would nest more than {MOST_STEPS} deep");
        let depth = depth.checked_sub(1).ok_or_else(deep)?;
        match value {
            Value::Array(members) => members
                .iter()
                .try_for_each(|member| self.measure(member, depth)),
            Value::Set(members) => members
                .iter_sorted()
                .try_for_each(|member| self.measure(member, depth)),
            Value::Object(members) => members.iter().try_for_each(|(name, value)| {
                self.measure(name, depth)?;
                self.measure(value, depth)
            }),
            _ => Ok(()),
        }
    }
}

enum Node {
    Untouched(Value),
    List(List),
    Object(BTreeMap<Value, Self>),
    Set(BTreeMap<Value, Self>),
}

impl Node {
    fn value(&self, work: &mut Work) -> Result<Value, String> {
        Ok(match self {
            Self::Untouched(value) => value.clone(),
            Self::List(list) => list.value(work)?,
            Self::Object(members) => {
                work.take(members.len())?;
                let members = members.iter();
                let members = members.map(|(name, node)| Ok((name.clone(), node.value(work)?)));
                members.collect::<Result<BTreeMap<_, _>, String>>()?.into()
            }
            Self::Set(members) => {
                work.take(members.len())?;
                let members = members.values().map(|node| node.value(work));
                members.collect::<Result<BTreeSet<_>, String>>()?.into()
            }
        })
    }

    /// Takes the value apart, to change something in it.
    fn open(&mut self, work: &mut Work) -> Result<(), String> {
        let Self::Untouched(value) = self else {
            return Ok(());
        };
        let node = |value: &Value| Self::Untouched(value.clone());
        let opened = match value {
            Value::Array(members) => {
                work.take(members.len())?;
                Self::List(List::new(members.iter().cloned().collect()))
            }
            Value::Object(members) => {
                work.take(members.len())?;
                let members = members.iter();
                Self::Object(
                    members
                        .map(|(name, value)| (name.clone(), node(value)))
                        .collect(),
                )
            }
            Value::Set(members) => {
                work.take(members.len())?;
                let members = members.iter_sorted();
                Self::Set(
                    members
                        .map(|member| (member.clone(), node(member)))
                        .collect(),
                )
            }
            _ => return Err("there is nothing below a scalar".to_owned()),
        };
        *self = opened;
        Ok(())
    }

    /// The same, for a step below it. Members of a set that were changed are known by what they are now.
    fn open_for(&mut self, step: &Value, work: &mut Work) -> Result<(), String> {
        let is_composite = matches!(step, Value::Array(_) | Value::Object(_) | Value::Set(_));
        if is_composite && matches!(self, Self::Set(_)) {
            *self = Self::Untouched(self.value(work)?);
        }
        self.open(work)
    }

    fn below(&mut self, path: &[Value], work: &mut Work) -> Result<&mut Self, String> {
        let Some((step, path)) = path.split_first() else {
            return Ok(self);
        };
        self.open_for(step, work)?;
        let below = match self {
            Self::List(list) => list.below(step, work)?,
            Self::Object(members) | Self::Set(members) => members.get_mut(step),
            Self::Untouched(_) => None,
        };
        below.ok_or("the path does not exist")?.below(path, work)
    }

    fn insert(&mut self, step: &Value, value: Value, work: &mut Work) -> Result<(), String> {
        self.open_for(step, work)?;
        match self {
            Self::List(list) => return list.insert(step, value, work),
            Self::Set(_) if *step != value => {
                return Err("the last step to a member of a set is the member".to_owned());
            }
            Self::Object(members) | Self::Set(members) => {
                members.insert(step.clone(), Self::Untouched(value));
            }
            Self::Untouched(_) => {}
        }
        Ok(())
    }

    fn remove(&mut self, step: &Value, work: &mut Work) -> Result<(), String> {
        self.open_for(step, work)?;
        let removed = match self {
            Self::List(list) => return list.remove(step, work),
            Self::Object(members) | Self::Set(members) => members.remove(step),
            Self::Untouched(_) => None,
        };
        removed
            .map(drop)
            .ok_or_else(|| "the path does not exist".to_owned())
    }
}

struct List {
    original: Vec<Value>,
    slots: Vec<Slot>,
}

enum Slot {
    /// The member that was there.
    Original(usize),
    Changed(Box<Node>),
}

impl List {
    fn new(original: Vec<Value>) -> Self {
        Self {
            slots: (0..original.len()).map(Slot::Original).collect(),
            original,
        }
    }

    fn value(&self, work: &mut Work) -> Result<Value, String> {
        work.take(self.slots.len())?;
        let members = self.slots.iter().map(|slot| match slot {
            Slot::Original(place) => Ok(self
                .original
                .get(*place)
                .cloned()
                .unwrap_or(Value::Undefined)),
            Slot::Changed(node) => node.value(work),
        });
        Ok(members.collect::<Result<Vec<_>, String>>()?.into())
    }

    fn place(&self, step: &Value) -> Result<usize, String> {
        let place = match step {
            Value::String(step) if step.as_ref() == "-" => Some(self.slots.len()),
            Value::String(step) if step.as_ref() != "0" && step.starts_with('0') => None,
            Value::String(step) => place(step),
            number => whole(number).and_then(|number| number.to_usize()),
        };
        let place = place.filter(|place| *place <= self.slots.len());
        place.ok_or_else(|| "it is no place of the list".to_owned())
    }

    /// As in OPA, a place that nothing has changed yet is that of the list before all changes.
    fn below(&mut self, step: &Value, work: &mut Work) -> Result<Option<&mut Node>, String> {
        let place = self.place(step)?;
        let Some(slot) = self.slots.get_mut(place) else {
            return Ok(None);
        };
        work.take(1)?;
        if let Slot::Original(_) = slot {
            let Some(member) = self.original.get(place) else {
                return Ok(None);
            };
            *slot = Slot::Changed(Box::new(Node::Untouched(member.clone())));
        }
        Ok(match slot {
            Slot::Changed(node) => Some(node),
            Slot::Original(_) => None,
        })
    }

    fn insert(&mut self, step: &Value, value: Value, work: &mut Work) -> Result<(), String> {
        let place = self.place(step)?;
        self.moved(work)?;
        let node = Box::new(Node::Untouched(value));
        self.slots.insert(place, Slot::Changed(node));
        Ok(())
    }

    fn remove(&mut self, step: &Value, work: &mut Work) -> Result<(), String> {
        let place = self.place(step)?;
        if place >= self.slots.len() {
            return Err("it is no place of the list".to_owned());
        }
        self.moved(work)?;
        self.slots.remove(place);
        Ok(())
    }

    /// Takes what it costs to move the places behind another.
    fn moved(&self, work: &mut Work) -> Result<(), String> {
        work.take(self.slots.len() / 1000 + 1)
    }
}

/// A place as OPA reads it: with a sign, or with zeros behind a point.
fn place(text: &str) -> Option<usize> {
    let (is_negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (number, zeros) = digits.split_once('.').unwrap_or((digits, ""));
    let is_known = number.bytes().all(|digit| digit.is_ascii_digit())
        && zeros.bytes().all(|digit| digit == b'0')
        && (1..20).contains(&digits.len());
    let number = if number.is_empty() { "0" } else { number };
    let place = number.parse().ok().filter(|_| is_known)?;
    (!is_negative || place == 0).then_some(place)
}
