//! The rows by their segments, as a tree that is built once: to look a path up takes a step or two a segment,
//! however many rows there are.
//!
//! It is for readers who are not sure how a path is meant: words are in lower case, all versions are one, and most
//! rows may begin anywhere. Only rows that are guarded are in it: who could be meant otherwise, does not matter.

use super::{ENVIRONMENT, REST, Row, is_open, is_version};

#[derive(Debug)]
pub struct Tree {
    nodes: Vec<Node>,
    /// What rows end in, apart from what they leave open.
    names: Vec<(String, Vec<usize>)>,
}

/// A place in the tree.
#[derive(Debug, Default)]
struct Node {
    edges: Vec<(Edge, usize)>,
    rows: Vec<usize>,
}

/// A way from one place to a place below.
#[derive(Debug, PartialEq, Eq)]
pub enum Edge {
    /// Any one segment.
    Any,
    /// This segment and no longer one.
    Exactly(&'static str),
    Version,
    Word(String),
}

impl Tree {
    /// Where rows begin that may stand behind any root. They are without a leading `api`, which the platform's
    /// proxy does not have.
    pub const ANYWHERE: usize = 0;

    /// Where the rows begin that are about everything below one word.
    pub const ROOT: usize = 1;

    /// Where a path may name its environment first.
    pub const ENVIRONMENT: usize = 2;

    pub(super) fn new(rows: &[Row]) -> Self {
        let mut tree = Self {
            nodes: vec![Node::default(), Node::default(), Node::default()],
            names: Vec::new(),
        };
        let guarded = rows.iter().enumerate().filter(|(_, row)| row.is_guarded());
        for (index, row) in guarded {
            let segments = match row.segments.as_slice() {
                [before @ .., REST] => before,
                all => all,
            };
            let (from, segments) = match segments {
                _ if row.anchored => (Self::ROOT, segments),
                ["api", below @ ..] => (Self::ANYWHERE, below),
                _ => (Self::ANYWHERE, segments),
            };
            let end = tree.insert(from, segments.iter().map(|segment| edge(segment)));
            tree.at(end).rows.push(index);
            if let Some(name) = segments.iter().rev().find(|segment| !is_open(segment)) {
                tree.name(&name.to_lowercase(), index);
            }
        }
        // The same below an environment, and below several.
        let environment = tree.insert(Self::ENVIRONMENT, [Edge::Exactly(ENVIRONMENT)]);
        let below = [Self::ROOT, Self::ENVIRONMENT];
        let edges = &mut tree.at(environment).edges;
        edges.extend(below.map(|place| (Edge::Any, place)));
        tree
    }

    /// The ways on from a place.
    pub fn edges(&self, place: usize) -> &[(Edge, usize)] {
        self.nodes.get(place).map_or(&[], |node| &node.edges)
    }

    /// The rows that end at a place, by their number in the catalogue.
    pub fn rows(&self, place: usize) -> &[usize] {
        self.nodes.get(place).map_or(&[], |node| &node.rows)
    }

    /// The last words of rows, with the rows.
    pub fn names(&self) -> impl Iterator<Item = (&str, &[usize])> {
        let names = self.names.iter();
        names.map(|(word, rows)| (word.as_str(), rows.as_slice()))
    }

    /// The place at the end of such a way, which is made where it is not there.
    fn insert(&mut self, from: usize, way: impl IntoIterator<Item = Edge>) -> usize {
        way.into_iter().fold(from, |place, edge| {
            let known = self.edges(place).iter().find(|(known, _)| *known == edge);
            if let Some((_, below)) = known {
                return *below;
            }
            let below = self.nodes.len();
            self.nodes.push(Node::default());
            self.at(place).edges.push((edge, below));
            below
        })
    }

    fn at(&mut self, place: usize) -> &mut Node {
        self.nodes.get_mut(place).expect("a place is in the tree")
    }

    fn name(&mut self, word: &str, row: usize) {
        match self.names.iter_mut().find(|(known, _)| known == word) {
            Some((_, rows)) => rows.push(row),
            None => self.names.push((word.to_owned(), vec![row])),
        }
    }
}

fn edge(segment: &str) -> Edge {
    let word = segment.to_lowercase();
    if is_open(&word) {
        Edge::Any
    } else if is_version(&word) {
        Edge::Version
    } else {
        Edge::Word(word)
    }
}
