//! Graphs, as OPA 1.22 has them (`topdown/reachable.go`).

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use regorus::Value;

use super::arguments::wrong;
use super::{Answer, Arguments, Own};

pub(super) const OWN: &[Own] = &[Own::new("graph.reachable_paths", 2, reachable_paths)];

/// Steps of all paths together, those too that are found twice. Of a graph in which everything is connected there are
/// more paths than anybody can wait for, and OPA waits.
const MOST_STEPS: usize = 500_000;

/// Steps of one path.
const MOST_DEPTH: usize = 1000;

fn reachable_paths(arguments: Arguments<'_>) -> Answer {
    let graph = arguments.any(0)?;
    if !matches!(graph, Value::Object(_)) {
        return Err(wrong(0, "object", graph));
    }
    let starts = arguments.any(1)?;
    if !matches!(starts, Value::Array(_) | Value::Set(_)) {
        return Err(wrong(1, "one of {array, set}", starts));
    }
    let mut search = Search {
        graph,
        path: Vec::new(),
        on_path: BTreeSet::new(),
        found: BTreeSet::new(),
        steps: MOST_STEPS,
    };
    for start in neighbours(starts) {
        // One that the graph does not know has no path, not even one of itself.
        if search.edges(start).is_some() {
            search.from(start)?;
        }
    }
    Ok(Value::from(search.found))
}

/// What is no collection has none.
fn neighbours(edges: &Value) -> Vec<&Value> {
    match edges {
        Value::Array(members) => members.iter().collect(),
        Value::Set(members) => members.iter_sorted().collect(),
        _ => Vec::new(),
    }
}

struct Search<'a> {
    graph: &'a Value,
    path: Vec<&'a Value>,
    on_path: BTreeSet<&'a Value>,
    found: BTreeSet<Value>,
    /// How many may be made yet.
    steps: usize,
}

impl<'a> Search<'a> {
    fn edges(&self, node: &Value) -> Option<&'a Value> {
        self.graph.as_object().ok()?.get(node)
    }

    /// Finds the paths that go on with this node: to one without edges, or to one before another that is not in the
    /// graph, or on the path already.
    fn from(&mut self, node: &'a Value) -> Result<(), String> {
        let Some(edges) = self.edges(node) else {
            return self.ends();
        };
        if self.path.len() == MOST_DEPTH {
            return Err("a path has more than 1,000 steps".to_owned());
        }
        self.path.push(node);
        self.on_path.insert(node);
        let next = neighbours(edges);
        if next.is_empty() {
            self.ends()?;
        }
        for neighbour in next {
            if self.on_path.contains(neighbour) {
                self.ends()?;
            } else {
                self.from(neighbour)?;
            }
        }
        self.on_path.remove(node);
        self.path.pop();
        Ok(())
    }

    fn ends(&mut self) -> Result<(), String> {
        let left = self.steps.checked_sub(self.path.len());
        self.steps = left.ok_or("all paths together have more than 500,000 steps")?;
        let path = self.path.iter().map(|it| (*it).clone());
        self.found.insert(Value::from(path.collect::<Vec<_>>()));
        Ok(())
    }
}
