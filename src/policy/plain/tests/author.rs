//! Writes policies by chance, from parts that fit together more often than not.

use std::fmt::Write as _;

/// `SplitMix64` behind it: short, and good enough to choose words.
pub(super) struct Author {
    seed: u64,
    /// Variables that have a value here.
    known: Vec<&'static str>,
    depth: u32,
    /// Whether the rules that objections may rest on are there.
    has_helpers: bool,
}

const VARIABLES: [&str; 4] = ["v", "w", "k", "i"];

impl Author {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            // No multiple of the step: one author would write what the next one does.
            seed: seed.wrapping_mul(0xd134_2543_de82_ef95),
            known: Vec::new(),
            depth: 0,
            has_helpers: false,
        }
    }

    pub(super) fn below(&mut self, most: usize) -> usize {
        self.seed = self.seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.seed;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % most as u64).unwrap()
    }

    fn word(&mut self, words: &[&'static str]) -> &'static str {
        words[self.below(words.len())]
    }

    /// Helpers that rest on none that is written later, and what objects.
    pub(super) fn policy(&mut self) -> String {
        let mut text = String::new();
        let helper = self.helpers();
        text.push_str(&helper);
        self.has_helpers = true;
        for _ in 0..=self.below(2) {
            let (body, value) = self.rule();
            writeln!(text, "deny contains {value} if {{\n{body}}}\n").unwrap();
        }
        text
    }

    fn helpers(&mut self) -> String {
        let mut text = String::new();
        for name in ["f", "g"] {
            self.known = vec!["v"];
            let body = self.body(1, true);
            let value = self.term();
            self.known = vec!["v"];
            let other = self.term();
            let head = match self.below(6) {
                0 => format!("{name}({{\"k\": v}})"),
                1 => format!("{name}([v, _])"),
                _ => format!("{name}(v)"),
            };
            match self.below(6) {
                4 => {
                    let last = self.test(true);
                    writeln!(
                        text,
                        "{head} := {value} if {{\n{body}}} else := {other} if {{ {last} }} else := \"last\"\n"
                    )
                    .unwrap();
                }
                5 => {
                    let last = self.test(true);
                    writeln!(
                        text,
                        "{head} := \"x\" if {{\n{body}}}\n\n{name}(w) := \"x\" if {{ w == {other} }}\n\n{name}([v, w]) := \"x\" if {{ {last} }}\n"
                    )
                    .unwrap();
                }
                0 => writeln!(text, "{head} := {value} if {{\n{body}}} else := {other}\n").unwrap(),
                1 => writeln!(
                    text,
                    "default {name}(_) := 0\n\n{head} := {value} if {{\n{body}}}\n"
                )
                .unwrap(),
                2 => writeln!(text, "{head} if {{\n{body}}}\n").unwrap(),
                _ => writeln!(text, "{head} := {value} if {{\n{body}}}\n").unwrap(),
            }
        }
        for name in ["r", "s", "o"] {
            let (body, value) = self.rule();
            let (second, other) = self.rule();
            match (name, self.below(4)) {
                ("r", 0) => writeln!(
                    text,
                    "r := {value} if {{\n{body}}} else := {other} if {{\n{second}}}\n"
                ),
                ("r", 1) => writeln!(
                    text,
                    "default r := \"none\"\n\nr := {value} if {{\n{body}}}\n"
                ),
                ("r", 2) => writeln!(text, "r if {{\n{body}}}\n\nr if {{\n{second}}}\n"),
                ("r", _) => writeln!(text, "r := {value} if {{\n{body}}}\n"),
                ("s", _) => writeln!(
                    text,
                    "s contains {value} if {{\n{body}}}\n\ns contains {other} if {{\n{second}}}\n"
                ),
                (_, 0) => writeln!(
                    text,
                    "o.x := {value} if {{\n{body}}}\n\no.y := {other} if {{\n{second}}}\n"
                ),
                (_, 1) => writeln!(
                    text,
                    "o.x := {value} if {{\n{body}}}\n\no[{other}] := 1 if {{\n{second}}}\n"
                ),
                (_, 2) => writeln!(text, "o[\"x\"] contains {value} if {{\n{body}}}\n"),
                _ => writeln!(text, "o[{value}] := 1 if {{\n{body}}}\n"),
            }
            .unwrap();
        }
        text
    }

    /// A body, and a term of what it gives a value.
    fn rule(&mut self) -> (String, String) {
        self.known = Vec::new();
        self.depth = 0;
        let body = self.body(3, false);
        let value = self.term();
        (body, value)
    }

    fn body(&mut self, most: usize, is_early: bool) -> String {
        let mut lines = Vec::new();
        for _ in 0..=self.below(most) {
            lines.push(self.statement(is_early));
        }
        // OPA finds an order.
        if self.below(6) == 0 {
            lines.reverse();
        }
        lines.iter().fold(String::new(), |mut text, line| {
            writeln!(text, "\t{line}").unwrap();
            text
        })
    }

    fn fresh(&mut self) -> Option<&'static str> {
        let left: Vec<&'static str> = VARIABLES
            .into_iter()
            .filter(|name| !self.known.contains(name))
            .collect();
        (!left.is_empty()).then(|| left[self.below(left.len())])
    }

    fn statement(&mut self, is_early: bool) -> String {
        let term = self.term();
        let many = self.many(is_early);
        let new = self.fresh();
        let test = self.test(is_early);
        let Some(new) = new else {
            return test;
        };
        let declared = match self.below(16) {
            0 => format!("some {new} in {many}"),
            1 => format!("some {new}, _ in {many}"),
            2 => format!("{new} := {term}"),
            3 => format!("{new} = {many}[_]"),
            4 => format!("some {new}; {many}[{new}] == {term}"),
            5 => format!("{many}[{new}]"),
            6 => format!("[{new}, _] = {many}"),
            7 => format!("{{\"k\": {new}}} = {many}[_]"),
            8 => format!("some {{\"k\": {new}}} in {many}"),
            9 => format!("count({many}, {new})"),
            _ => return self.with(test),
        };
        self.known.push(new);
        declared
    }

    fn with(&mut self, test: String) -> String {
        let value = self.word(&["\"x\"", "2", "[\"x\"]", "{\"x\": 1}"]);
        match self.below(12) {
            0 => format!("{test} with input.a as {value}"),
            1 => format!("{test} with input.list as {value}"),
            2 => format!("{test} with data.settings.names as {value}"),
            _ => test,
        }
    }

    fn test(&mut self, is_early: bool) -> String {
        let (one, other, many) = (self.term(), self.term(), self.many(is_early));
        let not = self.word(&["", "", "not "]);
        match self.below(12) {
            0 => format!("{not}{one} == {other}"),
            1 => format!("{not}{one} != {other}"),
            2 => format!("{not}{one} in {many}"),
            3 => format!("{not}{many}[{one}]"),
            4 if !is_early => format!("{not}f({one})"),
            5 if !is_early => format!("{not}f({one}) == {other}"),
            6 => format!("{not}{one}, {other} in {many}"),
            10 => format!(
                "{not}walk({many}, [[{one}], {}])",
                self.word(&["\"x\"", "1", "input.a", "_"])
            ),
            7 => format!("{not}count({many}) > 1"),
            8 if self.depth < 2 => {
                let before = self.known.clone();
                self.depth += 1;
                let test = match self.below(4) {
                    0 => format!("e == {one}"),
                    1 => format!("not e in {}", self.many(is_early)),
                    2 => format!("{}[e]", self.many(is_early)),
                    _ => {
                        self.known.push("e");
                        format!("e != 7; {}", self.test(is_early))
                    }
                };
                self.depth -= 1;
                self.known = before;
                format!("every e in {many} {{ {test} }}")
            }
            9 => format!("{not}{one} = {other}"),
            _ => format!("{not}{one}"),
        }
    }

    /// What has members, more often than not.
    fn many(&mut self, is_early: bool) -> String {
        if self.has_helpers && self.below(4) == 0 {
            return self.word(&["s", "o", "s", "o", "data.settings"]).to_owned();
        }
        match self.below(if is_early { 6 } else { 9 }) {
            0 => "input.list".to_owned(),
            1 => "input.map".to_owned(),
            2 => "input.nested".to_owned(),
            3 => "data.settings.map".to_owned(),
            4 => "data.settings.names".to_owned(),
            5 if self.depth < 2 => self.comprehension(),
            5 => "[\"x\", 1]".to_owned(),
            6 => "data.settings".to_owned(),
            _ => "{\"x\", \"y\"}".to_owned(),
        }
    }

    fn comprehension(&mut self) -> String {
        let before = self.known.clone();
        self.depth += 1;
        let body = self.statement(true);
        let value = self.term();
        let kind = self.below(3);
        self.depth -= 1;
        self.known = before;
        match kind {
            0 => format!("[{value} | {body}]"),
            1 => format!("{{{value} | {body}}}"),
            _ => format!("{{{value}: 1 | {body}}}"),
        }
    }

    fn term(&mut self) -> String {
        if self.has_helpers && self.below(6) == 0 {
            return self
                .word(&[
                    "r",
                    "o.x",
                    "o[input.a]",
                    "g(input.a)",
                    "f(input.nested[0])",
                    "r",
                ])
                .to_owned();
        }
        if !self.known.is_empty() && self.below(2) == 0 {
            let known = self.known.clone();
            return known[self.below(known.len())].to_owned();
        }
        let simple = self.word(&[
            "\"x\"",
            "1",
            "2",
            "input.a",
            "input.a",
            "input.b",
            "input.flag",
            "input.none",
            "input.map.x",
            "data.settings.limit",
            "input.list[0]",
            "input.nested[0].k",
            "input.list[_]",
        ]);
        match self.below(20) {
            7 => format!("json.marshal([{simple}])"),
            8 => format!("{{[{simple}], {{{simple}}}}}"),
            9 => format!("object.get(input.map, {simple}, 1.5)"),
            10 => format!("({simple} in input.list)"),
            11 => format!("sprintf(\"%v %s\", [{simple}, 1])"),
            12 => format!("(input.b - {simple})"),
            0 => format!("[{simple}, {simple}]"),
            1 => format!("{{\"k\": {simple}}}"),
            2 => "count(input.list)".to_owned(),
            3 => format!("{{{simple}: 1, \"x\": 2}}"),
            4 => "lower(input.a)".to_owned(),
            5 => format!("({} + input.b)", self.word(&["1", "0.1", "input.a"])),
            6 => format!("[{simple}][0]"),
            _ => simple.to_owned(),
        }
    }
}
