//! `json.patch`, as OPA 1.22 has it (`topdown/json.go` and `internal/edittree`): RFC 6902, and sets beside lists.

#[cfg(test)]
mod tests;
mod tree;

use regorus::Value;

use super::arguments::kind;
use super::paths::steps;
use super::{Answer, Arguments, Own};
use tree::Tree;

pub(super) const OWN: &[Own] = &[Own::new("json.patch", 2, patch)];

fn patch(arguments: Arguments<'_>) -> Answer {
    let mut tree = Tree::new(arguments.any(0)?.clone());
    for operation in arguments.array(1)? {
        apply(operation, &mut tree)?;
    }
    tree.value(&[])
}

fn apply(operation: &Value, tree: &mut Tree) -> Result<(), String> {
    let Value::Object(members) = operation else {
        return Err(
            "must be an array of JSON-Patch objects, but at least one element is not an object"
                .to_owned(),
        );
    };
    let member = |name: &str| {
        let missing = || format!("missing required attribute '{name}'");
        members.get(&Value::from(name)).ok_or_else(missing)
    };
    let (path, what) = (member("path")?, member("op")?);
    let Value::String(what) = what else {
        let kind = kind(what);
        return Err(format!("attribute 'op' must be a string but found: {kind}"));
    };
    let path = steps(path)?;
    match what.as_ref() {
        "add" => tree.insert(&path, member("value")?.clone()),
        "copy" => {
            let value = tree.value(&steps(member("from")?)?)?;
            tree.insert(&path, value)
        }
        "move" => {
            let from = steps(member("from")?)?;
            let value = tree.value(&from)?;
            tree.remove(&from)?;
            tree.insert(&path, value)
        }
        "remove" => tree.remove(&path),
        "replace" => {
            tree.remove(&path)?;
            tree.insert(&path, member("value")?.clone())
        }
        "test" => {
            let is_same = tree.value(&path)? == *member("value")?;
            let differs = || "the value is not the one that the test wants".to_owned();
            is_same.then_some(()).ok_or_else(differs)
        }
        other => Err(format!("unrecognized op: '{other}'")),
    }
}
