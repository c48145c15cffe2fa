//! Writes policies by chance as people write them, from what the bytecode is trusted with more often than not.

use std::fmt::Write as _;

use super::author::Author;

/// What rules ask for by names of their own: the bytecode is not trusted with the input within a query and outside.
const ASKED: &str = "import future.keywords\n\nlist := input.list\n\nmap := input.map\n\nnested := input.nested\n\na := input.a\n\nb := input.b\n\nnames := data.settings.names\n";

/// Helpers that rest on none that is written later, and what objects.
pub(super) fn policy(author: &mut Author) -> String {
    let mut rules = ASKED.to_owned();
    let mut writer = Writer {
        author,
        known: vec!["v"],
        depth: 0,
        helpers: Vec::new(),
    };
    let test = writer.test();
    writeln!(rules, "\nf(v) if {{ {test} }}").unwrap();
    let test = writer.test();
    writeln!(rules, "\nf(v) if {{ {test} }}").unwrap();
    writer.helpers.push("f");
    let (first, second) = (writer.test(), writer.test());
    let last = writer.word(&["", " else := \"g3\""]);
    writeln!(
        rules,
        "\ng(v) := \"g1\" if {{ {first} }} else := \"g2\" if {{ {second} }}{last}"
    )
    .unwrap();
    writer.helpers.push("g");
    writer.known.clear();
    let body = writer.body();
    let value = writer.term();
    writeln!(rules, "\ns contains {value} if {{\n{body}}}").unwrap();
    writer.helpers.push("s");
    writer.known.clear();
    let default = writer.word(&["", "default r := 1\n\n"]);
    let body = writer.body();
    writeln!(rules, "\n{default}r := 2 if {{\n{body}}}").unwrap();
    writer.helpers.push("r");
    writer.known.clear();
    let body = writer.body();
    let (key, value) = (writer.term(), writer.term());
    let head = match writer.author.below(8) {
        0 => format!("o[{key}].k := {value}"),
        1 => format!("o[{key}] contains {value}"),
        2 => format!("o[{key}].k contains {value}"),
        3 => format!("o[{key}].k[{value}] := 1"),
        4 => format!("o.x[{key}].k := {value}"),
        _ => format!("o[{key}] := {value}"),
    };
    writeln!(rules, "\n{head} if {{\n{body}}}").unwrap();
    writer.helpers.push("o");
    writer.known = vec!["v"];
    let test = writer.test();
    let pattern = writer.word(&["\"x\"", "[v, _]", "{\"k\": v}", "[\"x\", v]"]);
    let test = if pattern == "\"x\"" {
        "true".to_owned()
    } else {
        test
    };
    writeln!(rules, "\np({pattern}, _) if {{ {test} }}").unwrap();
    writer.helpers.push("p");
    for _ in 0..=writer.author.below(2) {
        writer.known.clear();
        let body = writer.body();
        let value = writer.term();
        let value = match writer.author.below(5) {
            0 => format!("sprintf(\"%v\", [{value}])"),
            1 => format!("$\"a {{{value}}}\""),
            _ => value,
        };
        writeln!(rules, "\ndeny contains {value} if {{\n{body}}}").unwrap();
    }
    rules
}

struct Writer<'a> {
    author: &'a mut Author,
    known: Vec<&'static str>,
    depth: u32,
    helpers: Vec<&'static str>,
}

impl Writer<'_> {
    fn word(&mut self, words: &[&'static str]) -> &'static str {
        words[self.author.below(words.len())]
    }

    fn has(&self, name: &str) -> bool {
        self.helpers.contains(&name)
    }

    fn fresh(&self) -> Option<&'static str> {
        ["u", "w", "x", "y", "z"]
            .into_iter()
            .find(|name| !self.known.contains(name))
    }

    fn body(&mut self) -> String {
        let mut text = String::new();
        for _ in 0..=self.author.below(3) {
            let line = self.statement();
            writeln!(text, "\t{line}").unwrap();
        }
        text
    }

    fn statement(&mut self) -> String {
        let Some(name) = self.fresh() else {
            return self.test();
        };
        let (many, term) = (self.many(), self.term());
        let looked_into = self.looked_into();
        let declared = match self.author.below(21) {
            16 if self.has("o") => format!("{name} := o[_][_]"),
            17 if self.has("o") => format!("some {name}; o[{name}].k != {term}"),
            18 => format!("list[{name}] == nested[{name}].k"),
            19 => format!("{name} := {looked_into}[_] with input.list as [{term}, 5]"),
            20 => format!("[{name}, {term}] = [list[_], nested[_].k]"),
            6 => format!("{name} := {looked_into}[_]"),
            7 => format!("some {name}; {looked_into}[{name}] == {term}"),
            8 => format!("some {name}; {looked_into}[{name}]"),
            9 => format!("{name} := nested[_].k"),
            10 => format!("some {{\"k\": {name}}} in nested"),
            11 => format!("[{name}, _] := [{term}, {many}]"),
            12 => format!("{{\"k\": {name}}} = nested[_]"),
            13 => format!("walk({many}, [_, {name}])"),
            14 => format!("[{name}, \"x\"] = walk(nested)"),
            15 => format!("{name} = data.settings[_][{term}]"),
            0 | 1 => format!("some {name} in {many}"),
            2 => format!("some {name}, _ in {many}"),
            3 => format!("{name} := {many}"),
            4 => format!("{name} := {term}"),
            _ => return self.test(),
        };
        self.known.push(name);
        format!("{declared}; {name} != 9")
    }

    fn test(&mut self) -> String {
        let not = self.word(&["", "", "not "]);
        let term = self.term();
        let same = self.word(&["==", "!="]);
        self.depth += 1;
        let test = match self.author.below(if self.depth > 3 { 7 } else { 22 }) {
            19 if self.has("o") => format!("{not}o {same} {{}}"),
            20 if self.has("o") => format!("{not}o[{term}].k {same} {}", self.term()),
            21 if self.has("o") => format!("{not}o.x[{term}]"),
            14 if self.has("o") => format!("{not}o[{term}] {same} {}", self.term()),
            15 if self.has("p") => format!("{not}p({term}, {})", self.term()),
            16 => format!("{}[_] {same} {term}", self.looked_into()),
            17 => format!("[{term}, {}] {same} [{}, \"x\"]", self.term(), self.term()),
            0 | 1 => format!("{not}{term} {same} {}", self.term()),
            2 if self.has("f") => format!("{not}f({term})"),
            3 if self.has("g") => format!("{not}g({term}) {same} \"g2\""),
            4 if self.has("s") => format!("{not}s[{term}]"),
            5 => format!("{not}data.settings.map[{term}]"),
            6 if self.has("r") => format!("{not}r {same} 2"),
            7 | 8 => {
                let many = self.many();
                let before = self.known.clone();
                let name = self.word(&["e", "h"]);
                self.known.push(name);
                let mut tests = format!("{name} != 7; {}", self.test());
                if self.author.below(3) == 0 {
                    tests = format!("{}; {tests}", self.statement());
                }
                self.known = before;
                format!("every {name} in {many} {{ {tests} }}")
            }
            9 | 10 => {
                let many = self.many();
                let number = self.word(&["0", "1", "2"]);
                let compared = self.word(&["==", "!=", ">", "<="]);
                format!("{not}count({many}) {compared} {number}")
            }
            11 => {
                let inner = self.inner();
                format!("not {{ {inner} }}")
            }
            12 => {
                let word = self.word(&["and", "or"]);
                format!("{term} == {} {word} {} != 1", self.term(), self.term())
            }
            13 => format!("{not}({} + 1) * 2 == 4", self.word(&["b", "1", "map.x"])),
            _ => format!("{not}{term} in {}", self.many()),
        };
        self.depth -= 1;
        test
    }

    /// A query within another.
    fn inner(&mut self) -> String {
        let before = self.known.clone();
        let (many, name) = (self.many(), self.fresh());
        let mut text = String::new();
        if let Some(name) = name {
            self.known.push(name);
            write!(text, "some {name} in {many}; {name} != 8; ").unwrap();
        }
        text.push_str(&self.test());
        self.known = before;
        text
    }

    /// The engine's parser looks into nothing that stands in parentheses.
    fn looked_into(&mut self) -> String {
        let many = self.many();
        if many.starts_with('(') {
            return "list".to_owned();
        }
        many
    }

    fn many(&mut self) -> String {
        self.depth += 1;
        let many = match self.author.below(if self.depth > 3 { 6 } else { 9 }) {
            0 => "list".to_owned(),
            1 => "map".to_owned(),
            2 => "names".to_owned(),
            3 => "nested".to_owned(),
            4 if self.has("s") => "s".to_owned(),
            5 if self.has("o") && self.author.below(2) == 0 => "o".to_owned(),
            5 => "{\"x\", \"y\"}".to_owned(),
            6 => self.comprehension(false),
            7 => {
                let (one, other) = (self.comprehension(true), self.comprehension(true));
                format!("({one} {} {other})", self.word(&["-", "|", "&"]))
            }
            _ => "[\"x\", 1, \"z\"]".to_owned(),
        };
        self.depth -= 1;
        many
    }

    fn comprehension(&mut self, is_set: bool) -> String {
        let before = self.known.clone();
        let (many, name) = (self.many(), self.fresh().unwrap_or("q"));
        self.known.push(name);
        let test = match self.author.below(4) {
            0 => String::new(),
            1 => format!("; {}; {}", self.statement(), self.test()),
            _ => format!("; {}", self.test()),
        };
        let value = self.term();
        self.known = before;
        match self.author.below(if is_set { 2 } else { 5 }) + 2 * usize::from(is_set) {
            0 => format!("[{value} | some {name} in {many}; {name} != 6{test}]"),
            1 => format!("{{{name}: 1 | some {name}, _ in {many}{test}}}"),
            2 => format!("{{{name} | some {name} in {many}{test}}}"),
            _ => format!("{{{value} | some {name} in {many}; {name} != 6{test}}}"),
        }
    }

    fn term(&mut self) -> String {
        if !self.known.is_empty() && self.author.below(5) < 3 {
            let known = self.known.clone();
            return known[self.author.below(known.len())].to_owned();
        }
        if self.has("g") && self.author.below(9) == 0 {
            return "g(a)".to_owned();
        }
        if self.has("r") && self.author.below(9) == 0 {
            return "r".to_owned();
        }
        self.word(&[
            "\"x\"",
            "\"y\"",
            "1",
            "2",
            "a",
            "a",
            "b",
            "list[0]",
            "map.x",
            "input.a",
            "input.none",
            "{\"x\": a}",
            "[a]",
            "map[a]",
            "names[b]",
            "[\"x\", a][b]",
        ])
        .to_owned()
    }
}
