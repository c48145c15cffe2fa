//! Rules that the engine reads otherwise than OPA unless they are written out, with the right values: by both engines,
//! and by OPA where it is there.

use std::fmt::Write as _;
use std::process::Command;
use std::time::Duration;

use regorus::Value;
use regorus::utils::limits::ExecutionTimerConfig;

use crate::policy::bytecode::{Bounds, Bytecode};
use crate::policy::interpreter::{Interpreter, prepare};
use crate::policy::source::files::File;

const INPUT: &str = r#"{"api": "v1", "x": "a", "list": ["a", "b", "c"], "pairs": [["a", 1], ["b", 2]],
    "objects": [{"k": "a"}, {"k": "b", "more": 1}], "members": {"k": {"owner": "BB"}}}"#;

const DATA: &str = r#"{"settings": {"names": {"a": true}, "reasons": {"b": "no"}, "map": {"a": 1, "b": 2},
    "numbered": {"1": "one"}, "list": ["first"]}, "library": {"base": {"k": 1}}}"#;

/// What the rules may ask for beside their own package: a package with data beside its rules, and one within it.
const LIBRARY: [(&str, &str); 2] = [
    (
        "library.rego",
        "package library\n\nnames := {\"a\": 1}\n\nnumbered := json.unmarshal(`{\"1\": \"one\"}`)\n\nnone := input.none\n\nf(x) := x\n\ntold contains x if x := input.x\n\nsets[k] contains 3 if some k in [\"1\", \"b\"]\n",
    ),
    (
        "deep.rego",
        "package library.deep\n\nd := 3\n\ne if input.none\n",
    ),
];

/// Rules, and what they make of `deny`.
const RULES: &[(&str, &str)] = &[
    // what a function's arguments are compared with
    ("deny contains f(\"aa\")\nf($\"a{input.x}\") := 1", "[1]"),
    (
        "deny contains f(input.x, [1, 2], {\"k\": 2}, 5, 3)\nf(\"a\", [a, _], {\"k\": b}, _, 3) := [a, b]",
        "[[1,2]]",
    ),
    (
        "deny contains f(input.x)\nf(\"a\") := 1 if input.none else := 5",
        "[5]",
    ),
    // what a negation computes it may look for
    (
        "deny contains 1 if not input.pairs[_][1] + 1 == 2\ndeny contains 2 if not input.pairs[_][1] + 1 > 0",
        "[1]",
    ),
    (
        "deny contains 1 if not (input.list[_] in [\"a\"]) == true\ndeny contains 2 if not (input.list[_] in input.list) == true",
        "[1]",
    ),
    (
        "deny contains x if { not t(input.list[x]); x = [0, 1][_] }\nt(x) if x == \"a\"",
        "[1]",
    ),
    (
        "deny contains 1 if not t(input.list[f(input.pairs[_][1])])\nt(x) if x == \"a\"\nf(x) := x",
        "[1]",
    ),
    // `k, v in xs` by a key that has a value
    (
        "deny contains k if { some k, _ in input.list; not k, \"a\" in input.list }",
        "[1,2]",
    ),
    (
        "deny contains [k, v] if { k, v in input.list; v = [\"a\", \"c\"][k] }",
        "[[0,\"a\"]]",
    ),
    (
        "deny contains k if { some k in [0, 1]; not (k, \"a\" in input.list) == true }",
        "[1]",
    ),
    // what walk does not find
    (
        "deny contains 1 if not walk(input, [[\"api\"], \"v1\"])\ndeny contains 2 if not walk(input, [[\"api\"], \"v2\"])\ndeny contains 3 if not walk(input.none, [[], 1])",
        "[2]",
    ),
    (
        "deny contains v if { some v in input.list; not walk(input.objects, [[_place(v), \"k\"], v]) }\n_place(v) := 0 if v == \"a\" else := 1",
        "[\"c\"]",
    ),
    (
        "deny contains v if { some v in [\"a\", \"q\"]; not walk(input, [[\"x\"], v]) with input.x as \"q\" }",
        "[\"a\"]",
    ),
    // objects that grow, and what walk finds
    (
        "o[k] := v if some k, v in input.pairs\no[\"z\"] := 1 if input.api == \"v1\"\ndeny contains [k, v] if v := o[k]",
        "[[0,[\"a\",1]],[1,[\"b\",2]],[\"z\",1]]",
    ),
    (
        "o[v] := 1 if some v in input.list\ndeny contains o if o.a",
        "[{\"a\":1,\"b\":1,\"c\":1}]",
    ),
    (
        "o[v] if some v in input.list\ndeny contains 1 if not o.d\ndeny contains x if { x := o with o as {\"d\": 1} }",
        "[1,{\"d\":1}]",
    ),
    // patterns on both sides, whose parts rest on one another
    (
        "deny contains w if { {\"a\": y, \"b\": y} = {\"a\": w, \"b\": input.x} }",
        "[\"a\"]",
    ),
    (
        "deny contains [x, z] if { {\"a\": [x, y], \"b\": y} = {\"a\": [input.x, z], \"b\": 2} }",
        "[[\"a\",2]]",
    ),
    (
        "deny contains [y, w] if { [[y, z], [y, 3]] = [[w, 2], [3, w]]; z == 2 }",
        "[[3,3]]",
    ),
    // objects that grow by several steps, or by sets: where nothing is found they are there
    (
        "o[k] contains 1 if some k in input.none\ndeny contains 1 if count(o) == 0\ndeny contains 2 if not o",
        "[1]",
    ),
    (
        "o[k].more := 1 if some k in input.none\ndeny contains o",
        "[{}]",
    ),
    (
        "o[k].z[l] contains v if { some k, v in input.none; some l in input.list }\ndeny contains o",
        "[{}]",
    ),
    (
        "o.a[k].z := 1 if some k in input.none\no.b := 2\ndeny contains o",
        "[{\"a\":{},\"b\":2}]",
    ),
    (
        "o[input.x] contains input.none\ndeny contains o\ndeny contains 1 if not o.a",
        "[1,{}]",
    ),
    (
        "o.a[input.x] contains [input.none]\ndeny contains o",
        "[{\"a\":{}}]",
    ),
    (
        "o[1] contains input.none\no[k] contains 1 if some k in input.none\ndeny contains o",
        "[{}]",
    ),
    ("o[1] contains input.none\ndeny contains o", "[{\"1\":[]}]"),
    (
        "o[k] contains v if { some k in input.list; some v in input.list; v != k }\no.a contains 1\ndeny contains o",
        "[{\"a\":[1,\"b\",\"c\"],\"b\":[\"a\",\"c\"],\"c\":[\"a\",\"b\"]}]",
    ),
    (
        "o[k].l[m] := v if { some m, v in input.pairs; k := v[0] }\no[k].n := 1 if some k in [\"a\", \"a\"]\ndeny contains o",
        "[{\"a\":{\"l\":{\"0\":[\"a\",1]},\"n\":1},\"b\":{\"l\":{\"1\":[\"b\",2]}}}]",
    ),
    (
        "o[k].l contains v if { some v in input.pairs; k := v[0] }\no.z[k] := 1 if some k in input.list\ndeny contains o",
        "[{\"a\":{\"l\":[[\"a\",1]]},\"b\":{\"l\":[[\"b\",2]]},\"z\":{\"a\":1,\"b\":1,\"c\":1}}]",
    ),
    (
        "o[k].l := v if { some v in input.pairs; k := v[0] }\ndeny contains v if v := o[_].l[_]\ndeny contains 3 if { x := o with o as {\"a\": 3}; x.a == 3 }",
        "[\"a\",1,\"b\",2,3]",
    ),
    (
        "deny contains {v[0]: v[1] | v := input.pairs[_]}",
        "[{\"a\":1,\"b\":2}]",
    ),
    (
        "s contains {\"k\": input.none}\ns contains {\"k\": input.x}\ndeny contains k if s[{\"k\": k}]",
        "[\"a\"]",
    ),
    (
        "deny contains p if [p, v] := walk([{\"a\", {\"b\"}}])\ndeny contains 1 if { some x in [1]; not walk_finds(x) }\nwalk_finds(x) if walk(input.pairs, [_, x])",
        "[[],[0],[0,\"a\"],[0,[\"b\"]],[0,[\"b\"],\"b\"]]",
    ),
    (
        "deny contains p if { [p, 3] = walk(input.pairs) with input.pairs as [[3]] }",
        "[[0,0]]",
    ),
    (
        "deny contains x if x := [v | walk([3, {\"b\": [2, 1], \"a\": {0}}], [_, v])]",
        "[[[3,{\"a\":[0],\"b\":[2,1]}],3,{\"a\":[0],\"b\":[2,1]},[0],0,[2,1],2,1]]",
    ),
    (
        "deny contains x if some [x] in [[1], [2, 3], 4, {0: 5}]\ndeny contains x if some [\"a\", x] in input.pairs",
        "[1]",
    ),
    // indexes that look for something, by what they look into
    (
        "deny contains [i, x] if { some i; x := input.list[i]; input.list[i] != \"b\" }",
        "[[0,\"a\"],[2,\"c\"]]",
    ),
    (
        "deny contains [i, j] if { some i, j; input.pairs[i][j] == 2 }",
        "[[1,1]]",
    ),
    (
        "deny contains x if { some xs in [5, \"a\", null, true, {7}, {1: 6}, [8]]; x := xs[_] }",
        "[7,6,8]",
    ),
    (
        "deny contains [k, x] if { some xs in [{7}, {1: 6}, [8]]; x := xs[k] }",
        "[[7,7],[1,6],[0,8]]",
    ),
    (
        "deny contains [a, b] if { {1, \"x\", [1, 2]}[[a, b]] }",
        "[[1,2]]",
    ),
    (
        "deny contains a if { {{\"a\": 1}, {\"a\": 2, \"b\": 3}}[{\"a\": a}] }",
        "[1]",
    ),
    ("deny contains x if { {false, 1}[x] }", "[1]"),
    ("deny contains x if { [false, 1][x] }", "[1]"),
    (
        "deny contains k if { input.objects[_].k = k; input.list[_] = k }",
        "[\"a\",\"b\"]",
    ),
    (
        "deny contains n if { n := count([1 | input.list[_] != input.x]); input.api == \"v1\" }",
        "[2]",
    ),
    (
        "deny contains x if { every y in input.pairs[x] { y != 1 } }",
        "[1]",
    ),
    (
        "deny contains x if { some x in input.pairs[_] }",
        "[\"a\",1,\"b\",2]",
    ),
    (
        "deny contains x if { some i; x := input.list[i] with input.list as {\"i\": 4} }",
        "[4]",
    ),
    ("deny contains input.list[_]", "[\"a\",\"b\",\"c\"]"),
    (
        "deny contains y if y := {x | x := input.list[_]; x != input.x}",
        "[[\"b\",\"c\"]]",
    ),
    (
        "deny contains f(input.list[_])\nf(x) := [x, y] if { y := [i | input.list[i] == x][_] }",
        "[[\"a\",0],[\"b\",1],[\"c\",2]]",
    ),
    // what is stored is looked into by the names of places, behind an index too; what `with` puts there is not
    (
        "deny contains x if { some k in [0, \"0\"]; x := data.settings[_][k] }",
        "[\"first\"]",
    ),
    (
        "deny contains x if { some i; k := [\"1\", 1][_]; x := [i, k, data.settings[i][k]] }",
        "[[\"numbered\",\"1\",\"one\"],[\"numbered\",1,\"one\"]]",
    ),
    (
        "deny contains x if { x := data.settings[_][\"0\"] }",
        "[\"first\"]",
    ),
    (
        "deny contains x if { some k in [1, \"1\", \"b\"]; x := [k, data.settings.map[k]] with data.settings.map as {\"1\": 3, \"b\": 4} }",
        "[[\"1\",3],[\"b\",4]]",
    ),
    (
        "deny contains x if { x := data.settings.map[\"1\"] with data.settings.map as [3, 4] }",
        "[]",
    ),
    (
        "deny contains x if { not data.settings.map[1] with data.settings.map as {\"1\": 3}; x := 1 }",
        "[1]",
    ),
    (
        "deny contains f(1)\nf(x) := y if { y := data.settings.map[x] with data.settings.map as {\"1\": 3} } else := 5",
        "[5]",
    ),
    (
        "deny contains x if { some k in [1, \"1\"]; x := [k, input.m[k]] with input as {\"m\": {\"1\": 3}} }",
        "[[\"1\",3]]",
    ),
    // the input and the data, first in a query that is not walked through
    (
        "h := {\"a\": [s | input.none; s := input.list[0]], \"b\": input.api}\ndeny contains h.b",
        "[\"v1\"]",
    ),
    (
        "deny contains [a, b] if { a := [1 | input.none; input.x]; b := input.x }",
        "[[[],\"a\"]]",
    ),
    (
        "deny contains [a, b] if { a := [1 | input.x != \"a\"; data.settings.names[input.x]]; b := data.settings.names[input.x] }",
        "[[[],true]]",
    ),
    (
        "deny contains x if { x := f([])[0] }\nf(y) := [input.x, z] if { z := [1 | y[0] == input.x] } else := [2]",
        "[\"a\"]",
    ),
    (
        "deny contains 1 if { every x in [] { x == input.x }; input.x == \"a\" }",
        "[1]",
    ),
    // names that stand for others
    (
        "deny contains s if { some x in input.list; s := x; not data.settings.names[s] }",
        "[\"b\",\"c\"]",
    ),
    (
        "deny contains s if { some x in input.list; s = x; t := s; every y in [1] { y == 1; not data.settings.names[t] } }",
        "[\"b\",\"c\"]",
    ),
    (
        "deny contains s if { some x in input.list; [s, t] := [x, x]; not data.settings.names[t]; count([1 | data.settings.names[s]]) == 0 }",
        "[\"b\",\"c\"]",
    ),
    (
        "deny contains {s | y := input.list[_]; s := y; not data.settings.names[s]}",
        "[[\"b\",\"c\"]]",
    ),
    (
        "deny contains s if { some x in input.list; k := {\"a\": x}; not known[k]; s := x }\nknown contains {\"a\": \"b\"}",
        "[\"a\",\"c\"]",
    ),
    (
        "deny contains x if { xs := [\"a\"]; x := input.x; every y in [x] { z := y; z in xs } }",
        "[\"a\"]",
    ),
    // `some` declares nothing that what it goes through names: it is what it is around it
    (
        "deny contains 1 if { u := 5; [] == [1 | some u in {u | some u in input.list; u != 6}; u != 8] }",
        "[1]",
    ),
    (
        "deny contains z if { u := 5; z := [u | some u in [u | some u in [1, 5]]] }",
        "[[5]]",
    ),
    (
        "deny contains z if { u := 5; z := [u | some u in [u | some u in [u | some u in [1]; u != 6]; u != 8]] }",
        "[[]]",
    ),
    (
        "deny contains z if { u := 5; z := [[k, u] | some k, u in [u | some u in [1, 5]]] }",
        "[[[1,5]]]",
    ),
    (
        "deny contains z if { u := 5; z := [[k, v] | some k, [u, v] in [[u, 7] | some u in [1, 5]]] }",
        "[[[1,7]]]",
    ),
    (
        "deny contains z if { u := 5; z := {u: v | some u, v in {u: u | some u in [1, 5]}} }",
        "[{\"5\":5}]",
    ),
    (
        "deny contains f(3)\nf(u) := [u | some u in {u | some u in [1, 2]}]",
        "[[]]",
    ),
    (
        "deny contains u if { u := 5; some u in [u | some u in [1, 2]] }",
        "[]",
    ),
    (
        "deny contains u if { some u in [u | some u in [1, 2]]; u > 1 }",
        "[2]",
    ),
    (
        "deny contains u if { u := 5; every u in {u | some u in [1, 2]; u != 6} { u != 5 } }",
        "[5]",
    ),
    // the order of values of several types
    (
        "deny contains x if { some x in [1, \"a\", null, [], {}, {1}]; x > 5 }",
        "[\"a\",[],{},[1]]",
    ),
    (
        "deny contains x if { some x in [{}, {\"a\": 1}, {1}]; x < {0} }",
        "[{},{\"a\":1}]",
    ),
    ("deny contains 1 if not input.none < 3", "[]"),
    ("deny contains 1 if input.api >= \"v1\"", "[1]"),
    (
        "deny contains [\"a\" <= 1, 1 <= 1.0, true < 0]",
        "[[false,true,true]]",
    ),
    // a comprehension without a walk, within another one
    (
        "deny contains [x | some x in [1, 2]; count([1 | x == 1]) == 0]",
        "[[2]]",
    ),
    ("deny contains [x | y := [1 | false]; x := y]", "[[[]]]"),
    (
        "deny contains [x | y := [1 | input.none]; x := count(y)]",
        "[[0]]",
    ),
    (
        "deny contains [x | some x in input.list; count({1 | startswith(x, \"a\")}) == 0]",
        "[[\"b\",\"c\"]]",
    ),
    (
        "deny contains [x | some x in input.list; y := [1 | some _ in f(x)]; count(y) == 0]\nf(x) := [1] if x == \"a\"",
        "[[\"b\",\"c\"]]",
    ),
    (
        "deny contains [x | some x in input.list; y := {1: 2 | input.list[9] == x}; count(y) == 0]",
        "[[\"a\",\"b\",\"c\"]]",
    ),
    (
        "deny contains x if { some x in input.list; not [1 | x == \"a\"] == [1] }",
        "[\"b\",\"c\"]",
    ),
    (
        "deny contains x if { some x in input.list; every y in [1, 2] { count([y | x == \"a\"]) == 0 } }",
        "[\"b\",\"c\"]",
    ),
    // walk with one argument
    (
        "deny contains v if { [_, v] := walk(input.members); v == \"BB\" }",
        "[\"BB\"]",
    ),
    (
        "deny contains v if { [_, v] = walk(input.members); v == \"BB\" }",
        "[\"BB\"]",
    ),
    (
        "deny contains p[0] if { p := walk(input.members); p[1] == \"BB\" }",
        "[[\"k\",\"owner\"]]",
    ),
    (
        "deny contains count([v | [_, v] := walk(input.members)])",
        "[3]",
    ),
    (
        "deny contains walk(input.members)[1].owner if true",
        "[\"BB\"]",
    ),
    (
        "deny contains 1 if { every x in [2] { [_, v] := walk(input.members); v == x } }",
        "[]",
    ),
    (
        "deny contains 1 if { every x in [\"BB\"] { [_, v] := walk(input.members); v == x } }",
        "[1]",
    ),
    (
        "deny contains data.settings.map[v] if walk({\"m\": \"a\"}, [_, v])",
        "[1]",
    ),
    (
        "deny contains v if walk(input.members, [[\"k\"], {\"owner\": v}])",
        "[\"BB\"]",
    ),
    // order
    (
        "deny contains s if { not data.settings.names[s]; s = input.list[_] }",
        "[\"b\",\"c\"]",
    ),
    (
        "deny contains s if { s != \"a\"; not known(s); [s, _] = input.pairs[_] }\nknown(x) if x == \"c\"",
        "[\"b\"]",
    ),
    (
        "deny contains s if { count(seen) == 1; seen = [1 | input.list[_] == s]; s = input.list[_] }",
        "[\"a\",\"b\",\"c\"]",
    ),
    (
        "deny contains i if { every x in [s] { x == \"b\" }; s = input.list[i] }",
        "[1]",
    ),
    (
        "deny contains 1 if { z = [x, 1]; x = \"a\"; pairs[z] }\npairs contains input.pairs[_]",
        "[1]",
    ),
    // membership with a key
    ("deny contains 1 if \"a\", \"a\" in {\"a\"}", "[1]"),
    ("deny contains 1 if not \"a\", \"a\" in {\"a\"}", "[]"),
    ("deny contains r if r := (0, \"a\" in input.list)", "[true]"),
    (
        "deny contains r if r := (\"b\", 1 in data.settings.map)",
        "[false]",
    ),
    (
        "deny contains r if r := (input.none, \"a\" in input.list)",
        "[]",
    ),
    ("deny contains count([1 | 1, \"b\" in input.list])", "[1]"),
    (
        "deny contains r if r := [x | some x in [(1, \"b\" in input.list)]]",
        "[[true]]",
    ),
    // what is asked for before a negation
    ("deny contains 1 if not f(input.none)\nf(x) if x == 1", "[]"),
    (
        "deny contains 1 if not lower(concat(\"\", [input.none])) == \"a\"",
        "[]",
    ),
    (
        "deny contains 1 if not [f(input.none)] == [1]\nf(x) := x",
        "[]",
    ),
    (
        "deny contains 1 if not input.none in input.list with input.api as \"v2\"",
        "[]",
    ),
    (
        "deny contains 1 if not data.settings.names[lower(input.none)]",
        "[]",
    ),
    (
        "deny contains 1 if { every x in [1] { not f(input.none, x) } }\nf(x, y) if x == y",
        "[]",
    ),
    (
        "deny contains 1 if not {\"a\": input.none} == {\"a\": 1}",
        "[]",
    ),
    ("deny contains 1 if not input.none == 1", "[1]"),
    // heads
    (
        "deny contains data.settings.reasons[s] if some s in input.list",
        "[\"no\"]",
    ),
    (
        "deny contains r if some r in rs\nrs contains data.settings.reasons[s] if some s in input.list",
        "[\"no\"]",
    ),
    (
        "deny contains o\no[s] := data.settings.reasons[s] if some s in input.list",
        "[{\"b\":\"no\"}]",
    ),
    ("deny contains p\np := input.none if true else := 2", "[2]"),
    (
        "deny contains f(1)\nf(x) := input.none if x == 1 else := input.other if x == 1 else := 3",
        "[3]",
    ),
    (
        "deny contains [data.settings.reasons[s] | some s in input.list]",
        "[[\"no\"]]",
    ),
    ("deny contains input.list[i] if i > 1", "[\"c\"]"),
    // bodies
    (
        "deny contains p\np := 5 if { input.api == \"v3\" } { input.api == \"v1\" }",
        "[5]",
    ),
    (
        "deny contains f(2)\nf(x) := x if { x == 1 } { x == 2 }",
        "[2]",
    ),
    // patterns
    (
        "deny contains x if { some o in input.objects; {\"k\": x} := o }",
        "[\"a\"]",
    ),
    (
        "deny contains x if { some {\"k\": x} in input.objects }",
        "[\"a\"]",
    ),
    (
        "deny contains x if { input.objects[_] = {\"k\": x, \"more\": 1} }",
        "[\"b\"]",
    ),
    (
        "deny contains f(input.objects[_])\nf({\"k\": x}) := x",
        "[\"a\"]",
    ),
    (
        "deny contains f(input.objects[_])\nf({\"k\": x}) := x\nf({\"k\": x, \"more\": _}) := [x]",
        "[[\"b\"],\"a\"]",
    ),
    (
        "deny contains [a, b] if { [a, {\"k\": b}] = [1, input.objects[0]] }",
        "[[1,\"a\"]]",
    ),
    (
        "deny contains a if { {\"x\": [a, 1]} = {\"x\": input.pairs[_]} }",
        "[\"a\"]",
    ),
    ("deny contains f(1, 1)\nf(x, x) := \"same\"", "[\"same\"]"),
    ("deny contains f(1, 2)\nf(x, x) := \"same\"", "[]"),
    // every
    (
        "deny contains 1 if { every s in input.list { data.settings.map[s] } }",
        "[]",
    ),
    (
        "deny contains 1 if { every s in [\"a\", \"b\"] { data.settings.map[s] } }",
        "[1]",
    ),
    (
        "deny contains 1 if { every i, s in input.list { input.list[i] == s } }",
        "[1]",
    ),
    (
        "deny contains 1 if { every s in input.list { s = \"a\" } }",
        "[]",
    ),
    (
        "deny contains 1 if { every s in input.list { not data.settings.names[lower(s)] } }",
        "[]",
    ),
    (
        "deny contains 1 if { every k, v in data.settings.map { every t in [v] { data.settings.map[k] == t } } }",
        "[1]",
    ),
    // with
    (
        "deny contains 1 if fine with f as true\nfine if f(2)\nf(x) if x == 1",
        "[1]",
    ),
    (
        "deny contains r if r := f(1) with f as g\nf(x) := x\ng(_) := 7",
        "[7]",
    ),
    (
        "deny contains 1 if matches with input.x as name\nname := \"q\"\nmatches if input.x == name",
        "[1]",
    ),
    ("deny contains r if { r := p with p as 2 }\np := 1", "[2]"),
    (
        "deny contains x if { some x in input.list with input.list as [\"z\"]; input.list[0] == \"a\" }",
        "[\"z\"]",
    ),
    (
        "deny contains 1 if not matches with input.api as input.none with input.x as \"b\"\nmatches if input.x == \"a\"",
        "[]",
    ),
    // names
    (
        "deny contains x if { x := input.api; count([x | x := 1]) == 1 }",
        "[\"v1\"]",
    ),
    (
        "deny contains 1 if { some name; input.list[name] == \"b\" }\nname := 7",
        "[1]",
    ),
    ("deny contains name if { name := 1 }\nname := 7", "[1]"),
    (
        "deny contains 1 if { y := input.api; x := y; every e in [\"v1\"] { e == x } }\nx := \"q\"",
        "[1]",
    ),
    ("deny contains n if { count(input.list, n) }", "[3]"),
    // results as last arguments
    ("deny contains 1 if not count(input.list, 2)", "[1]"),
    ("deny contains 1 if not count(input.list, 3)", "[]"),
    ("deny contains 1 if not count(input.list, input.none)", "[]"),
    ("deny contains 1 if not count(input.none, 3)", "[]"),
    ("deny contains 1 if not f(1, 3)\nf(x) := 2 if x == 1", "[1]"),
    (
        "deny contains [a, b] if split(\"a-b\", \"-\", [a, b])",
        "[[\"a\",\"b\"]]",
    ),
    (
        "deny contains x if f(1, {\"k\": x})\nf(y) := {\"k\": y}",
        "[1]",
    ),
    // arithmetic
    ("deny contains 1 if 15.3 / 3 == 5.1", "[1]"),
    ("deny contains 1 if 0.1 + 0.2 == 0.3", "[1]"),
    ("deny contains x if x := 1 - 0.9", "[0.1]"),
    ("deny contains x if x := 1.1 * 1.1", "[1.21]"),
    ("deny contains x if x := 7 % 3", "[1]"),
    ("deny contains 1 if not 0.1 + 0.2 == 0.3", "[]"),
    ("deny contains x if x := (count(input.list) + 1) * 2", "[8]"),
    (
        "deny contains {x | some x in input.list} - {input.x}",
        "[[\"b\",\"c\"]]",
    ),
    ("deny contains input.none + 1", "[]"),
    (
        "deny contains x if { some i, _ in input.list; x := (i + 1) / 10 }",
        "[0.1,0.2,0.3]",
    ),
    // members that may meet
    ("deny contains {input.x: 1, \"a\": 2}", "[{\"a\":1}]"),
    ("deny contains {\"a\": 2, input.x: 1}", "[{\"a\":1}]"),
    (
        "deny contains {input.x: 1, input.api: 2, \"b\": 3}",
        "[{\"a\":1,\"b\":3,\"v1\":2}]",
    ),
    ("deny contains {input.x: 1, input.none: 2}", "[]"),
    ("deny contains {input.x: input.none, \"b\": 2}", "[]"),
    ("deny contains {\"a\": 1, `a`: 2}", "[{\"a\":2}]"),
    (
        "deny contains 1 if not {input.x: 1, input.api: 2} == {\"a\": 1}",
        "[1]",
    ),
    // packages, and what several rules are in, as values
    ("deny contains data.library.deep", "[{\"d\":3}]"),
    (
        "deny contains k if some k, _ in data.library",
        "[\"base\",\"deep\",\"names\",\"numbered\",\"sets\",\"told\"]",
    ),
    (
        "deny contains k if data.library[k]",
        "[\"base\",\"deep\",\"names\",\"numbered\",\"sets\",\"told\"]",
    ),
    (
        "deny contains data.library[k].d if some k in [\"deep\", \"none\"]",
        "[3]",
    ),
    ("deny contains data.library[input.x]", "[]"),
    (
        "deny contains x if { x := data.library.deep with data.library.deep.d as 4 with input.none as 1 }",
        "[{\"d\":4,\"e\":true}]",
    ),
    (
        "deny contains x if { x := data.library[\"base\"] with data.library.base.k as 2 }",
        "[{\"k\":2}]",
    ),
    (
        "deny contains k if { some k, _ in data.library with data.library.more as 1 }",
        "[\"base\",\"deep\",\"more\",\"names\",\"numbered\",\"sets\",\"told\"]",
    ),
    ("deny contains 1 if not data.library.deep", "[]"),
    ("deny contains 1 if not data.library.deep.e", "[1]"),
    (
        "deny contains p\np.a := 1 if input.none\np.b := 2",
        "[{\"b\":2}]",
    ),
    ("deny contains p\np.a := 1 if input.none", "[{}]"),
    ("deny contains p\np.a.b := 1 if input.none", "[{\"a\":{}}]"),
    (
        "deny contains x if { x := p with p as {\"c\": 1} }\np.a := 1\np.b := 2",
        "[{\"c\":1}]",
    ),
    (
        "deny contains p.a\np.a := 1 if input.none\np[k] := 2 if some k in [\"a\"]",
        "[2]",
    ),
    (
        "deny contains p\np.a.b := 1\np[k].c := 2 if some k in [\"a\"]",
        "[{\"a\":{\"b\":1,\"c\":2}}]",
    ),
    (
        "deny contains p.a\np.a contains 1\np[k] contains 2 if some k in [\"a\"]",
        "[[1,2]]",
    ),
    // rules with names of builtins, and builtins in place of others
    ("deny contains count\ncount := 5", "[5]"),
    ("deny contains numbers.range(1, 2)\nobject := 1", "[[1,2]]"),
    ("deny contains lower(\"A\")\nlower(x) := [x]", "[[\"A\"]]"),
    (
        "deny contains x if { x := object with object as 2 }\nobject := 1",
        "[2]",
    ),
    (
        "deny contains x if { x := count(\"abc\") with count as upper }",
        "[\"ABC\"]",
    ),
    (
        "deny contains x if { x := f(\"abc\") with f as upper }\nf(x) := x",
        "[\"ABC\"]",
    ),
    ("deny contains foo.contains(1)\nfoo.contains(x) := x", "[1]"),
    ("deny contains contains.foo(1)\ncontains.foo(x) := x", "[1]"),
    ("deny contains a.b.c(1)\na.b.c(x) := x", "[1]"),
    (
        "deny contains a.b(11)\ndefault a.b(_) := 42\na.b(x) := x if x < 10",
        "[42]",
    ),
    (
        "deny contains a.contains.b(11)\ndefault a.contains.b(_) := 42\na.contains.b(x) := x if x < 10",
        "[42]",
    ),
    (
        "deny contains foo.contains(11)\ndefault foo.contains(_) := 42\nfoo.contains(x) := x if x < 10",
        "[42]",
    ),
    (
        "deny contains contains.foo(11)\ndefault contains.foo(_) := 42\ncontains.foo(x) := x if x < 10",
        "[42]",
    ),
    // numbers as names, and texts as places
    ("deny contains data.library.numbered[1]", "[]"),
    ("deny contains 1 if not data.library.numbered[1]", "[1]"),
    ("deny contains data.library.numbered[\"1\"]", "[\"one\"]"),
    ("deny contains data.settings.numbered[1]", "[\"one\"]"),
    ("deny contains data.settings.list[\"0\"]", "[\"first\"]"),
    ("deny contains data.settings.list[0]", "[\"first\"]"),
    // steps that are computed, in data: a number is a name, and a text may be a place
    (
        "deny contains data.settings.numbered[count([1])]",
        "[\"one\"]",
    ),
    (
        "deny contains 1 if not data.settings.numbered[input.pairs[0][1]]",
        "[]",
    ),
    (
        "import data.settings\ndeny contains settings.numbered[input.pairs[0][1]]",
        "[\"one\"]",
    ),
    (
        "import data.settings.numbered as n\ndeny contains [x | some y in [1, \"1\", 2, true, null]; x := n[y]]",
        "[[\"one\",\"one\"]]",
    ),
    (
        "deny contains x if { some name in [\"numbered\", \"list\"]; some y in [1, \"0\"]; x := data.settings[name][y] }",
        "[\"first\",\"one\"]",
    ),
    (
        "deny contains [x | some y in [0, \"0\", \"1\", \"+0\", \"a\"]; x := data.settings.list[y]]",
        "[[\"first\",\"first\",\"first\"]]",
    ),
    (
        "deny contains 1 if not data.settings.list[lower(\"0\")]",
        "[]",
    ),
    (
        "deny contains x if { some y; data.settings.list[y]; x := y }",
        "[0]",
    ),
    // and in a rule, also of another package: it is not
    (
        "deny contains 1 if not data.library.numbered[input.pairs[0][1]]",
        "[1]",
    ),
    (
        "deny contains [x | some y in [1, \"1\"]; x := data.library.numbered[y]]",
        "[[\"one\"]]",
    ),
    (
        "deny contains x if { some y; data.library.numbered[y]; x := y }",
        "[\"1\"]",
    ),
    (
        "deny contains x if { x := data.library.told[y]; y = input.pairs[0][1] }\n",
        "[]",
    ),
    (
        "deny contains 1 if { count([x | some y in [1, \"1\"]; x := data.library.numbered[y]]) == 0 with data.library.numbered as {\"2\": 1} }",
        "[1]",
    ),
    (
        "deny contains [x | some y in [1, \"1\"]; x := data.library.sets[y]]",
        "[[[3]]]",
    ),
    (
        "deny contains 4 if not data.library.sets[input.pairs[0][1]][3]",
        "[4]",
    ),
    // names in backquotes
    ("deny contains data.library.deep[`d`]", "[3]"),
    ("deny contains p[`a`]\np[`a`] := 1", "[1]"),
    (
        "deny contains p.a\ndefault p[\"a\"] := 1\np.a := 2 if input.none",
        "[1]",
    ),
    (
        "deny contains n if { n := f(1, 1) }\nf(a, b) := a + b",
        "[2]",
    ),
];

fn file(number: usize, rules: &str) -> File {
    let name = format!("c{number}.rego");
    File {
        path: name.clone(),
        name,
        text: format!("package dtgate.c{number}\n\n{rules}\n"),
    }
}

fn library() -> Vec<File> {
    let file = |(name, text): &(&str, &str)| File {
        path: (*name).to_owned(),
        name: (*name).to_owned(),
        text: (*text).to_owned(),
    };
    LIBRARY.iter().map(file).collect()
}

pub(super) fn data() -> serde_json::Map<String, serde_json::Value> {
    serde_json::from_str(DATA).unwrap()
}

/// As JSON has them, in one order: there are no sets in it.
fn elements(value: &Value) -> Vec<Value> {
    let value = Value::from_json_str(&value.to_json_str().unwrap()).unwrap();
    let mut elements = value.as_array().unwrap().to_vec();
    elements.sort();
    elements
}

/// What the two engines say wrongly of rules, and how many of these have bytecode.
pub(in crate::policy) fn by_both_engines(rules: &[(&str, &str)]) -> (String, usize) {
    let timer = ExecutionTimerConfig {
        limit: Duration::from_secs(5),
        check_interval: crate::policy::interpreter::STEPS,
    };
    let input = Value::from_json_str(INPUT).unwrap();
    let (mut wrong, mut by_bytecode, library) = (String::new(), 0, library());
    for (number, (rules, expected)) in rules.iter().enumerate() {
        let file = file(number, rules);
        let files: Vec<&File> = library.iter().chain([&file]).collect();
        let (mut rego, _) = match prepare::ready(&files, &data()) {
            Ok(ready) => ready,
            Err(problem) => {
                writeln!(wrong, "{rules}: {problem}").unwrap();
                continue;
            }
        };
        let asked = format!("data.dtgate.c{number}.deny");
        let mut interpreter = Interpreter::clone_of(&rego);
        interpreter.begin(&input, 0);
        let said = interpreter.ask(&asked);
        let said = said.map(|said| elements(&said));
        if said.as_ref() != Ok(&elements(&Value::from_json_str(expected).unwrap())) {
            writeln!(wrong, "{rules}: {said:?}, not {expected}").unwrap();
        }
        let Ok(bytecode) = Bytecode::compile(&mut rego, &[asked], timer) else {
            continue;
        };
        by_bytecode += 1;
        let said = bytecode.ask(&input, Bounds::MOST);
        let said = said.map(|said| elements(&said[0][0]));
        if said != Ok(elements(&Value::from_json_str(expected).unwrap())) {
            writeln!(wrong, "{rules}: the bytecode {said:?}, not {expected}").unwrap();
        }
    }
    (wrong, by_bytecode)
}

#[test]
fn what_is_written_out_means_what_it_means_in_opa() {
    let (wrong, by_bytecode) = by_both_engines(RULES);
    assert!(wrong.is_empty(), "{wrong}");
    assert!(by_bytecode > 15, "{by_bytecode}");
}

/// One of them is in two files, and both ask for packages as values.
#[test]
fn what_stands_for_a_package_is_told_from_that_of_another_file() {
    let named = |name: &str, text: &str| File {
        path: name.to_owned(),
        name: name.to_owned(),
        text: text.to_owned(),
    };
    let files = [
        named(
            "a.rego",
            "package dtgate.c0\n\ndeny contains data.one\n\no[k].z := 1 if some k in [1]\n",
        ),
        named(
            "b.rego",
            "package dtgate.c0\n\ndeny contains data.two\n\no[k].z := 1 if some k in [2]\n\ndeny contains o\n",
        ),
        named("one.rego", "package one\n\na := 1\n"),
        named("two.rego", "package two\n\nb := 2\n"),
    ];
    let files: Vec<&File> = files.iter().collect();
    let (rego, _) = prepare::ready(&files, &data()).unwrap();
    let mut interpreter = Interpreter::clone_of(&rego);
    interpreter.begin(&Value::from_json_str(INPUT).unwrap(), 0);
    let said = interpreter.ask("data.dtgate.c0.deny").unwrap();
    let expected = r#"[{"1": {"z": 1}, "2": {"z": 1}}, {"a": 1}, {"b": 2}]"#;
    let expected = elements(&Value::from_json_str(expected).unwrap());
    assert_eq!(elements(&said), expected);
}

/// What OPA says otherwise of rules.
pub(in crate::policy) fn by_opa(rules: &[(&str, &str)]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let numbered = rules.iter().enumerate();
    let files = numbered.map(|(number, (rules, _))| file(number, rules));
    for file in library().into_iter().chain(files) {
        std::fs::write(folder.path().join(file.name), file.text).unwrap();
    }
    std::fs::write(folder.path().join("data.json"), DATA).unwrap();
    let input = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(input.path(), INPUT).unwrap();
    let opa = std::env::var("OPA").unwrap_or_else(|_| "opa".to_owned());
    let asked = Command::new(opa)
        .args(["eval", "--format=json", "data.dtgate", "--input"])
        .arg(input.path())
        .arg("--data")
        .arg(folder.path())
        .output()
        .unwrap();
    let mut said: serde_json::Value = serde_json::from_slice(&asked.stdout)
        .unwrap_or_else(|_error| panic!("{}", String::from_utf8_lossy(&asked.stderr)));
    assert!(said["result"].is_array(), "{said}");
    let said = said["result"][0]["expressions"][0]["value"].take();
    assert!(
        said.is_object(),
        "{}",
        String::from_utf8_lossy(&asked.stdout)
    );
    let mut wrong = String::new();
    for (number, (rules, expected)) in rules.iter().enumerate() {
        let said = said[format!("c{number}")]["deny"].to_string();
        let [said, expected] =
            [said.as_str(), *expected].map(|value| elements(&Value::from_json_str(value).unwrap()));
        if said != expected {
            writeln!(wrong, "{rules}: {said:?}, not {expected:?}").unwrap();
        }
    }
    wrong
}

#[test]
#[ignore = "needs OPA"]
fn needs_opa_what_is_written_out_has_the_values_of_opa() {
    let wrong = by_opa(RULES);
    assert!(wrong.is_empty(), "{wrong}");
}
