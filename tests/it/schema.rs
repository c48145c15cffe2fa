//! The schema of records: as it is shipped, and as records are.
//!
//! `DTGATE_SNAPSHOTS=write cargo test --test it schema` writes it anew.

use std::path::Path;

use regex::Regex;
use serde_json::Value;

use crate::docs;
use crate::harness::program;
use crate::messages::is_writing;

fn schema() -> Value {
    let output = program().args(["schema", "record"]).output().unwrap();
    assert!(output.status.success());
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/record.schema.json");
    if is_writing() {
        std::fs::write(&path, &output.stdout).unwrap();
    }
    assert_eq!(std::fs::read(path).unwrap(), output.stdout);
    serde_json::from_slice(&output.stdout).unwrap()
}

/// As much of JSON Schema as ours has; what is wrong, and where.
fn wrong(root: &Value, schema: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    for (word, rule) in schema.as_object().unwrap() {
        let fits = match word.as_str() {
            "type" => {
                let types = rule
                    .as_array()
                    .cloned()
                    .unwrap_or_else(|| vec![rule.clone()]);
                types.iter().any(|name| match name.as_str().unwrap() {
                    "object" => value.is_object(),
                    "array" => value.is_array(),
                    "string" => value.is_string(),
                    "boolean" => value.is_boolean(),
                    "integer" => value.is_u64() || value.is_i64(),
                    "number" => value.is_number(),
                    "null" => value.is_null(),
                    other => panic!("{other}"),
                })
            }
            "required" => rule
                .as_array()
                .unwrap()
                .iter()
                .all(|name| value.get(name.as_str().unwrap()).is_some()),
            "properties" => {
                for (name, schema) in rule.as_object().unwrap() {
                    if let Some(member) = value.get(name) {
                        wrong(root, schema, member, &format!("{at}/{name}"), found);
                    }
                }
                true
            }
            "additionalProperties" => {
                for (name, member) in value.as_object().into_iter().flatten() {
                    wrong(root, rule, member, &format!("{at}/{name}"), found);
                }
                true
            }
            "items" => {
                for (number, element) in value.as_array().into_iter().flatten().enumerate() {
                    wrong(root, rule, element, &format!("{at}/{number}"), found);
                }
                true
            }
            "const" => value == rule,
            "enum" => rule.as_array().unwrap().contains(value),
            "minimum" => value.as_f64() >= rule.as_f64(),
            "pattern" => {
                let pattern = Regex::new(rule.as_str().unwrap()).unwrap();
                value.as_str().is_some_and(|text| pattern.is_match(text))
            }
            "$ref" => {
                let schema = root
                    .pointer(rule.as_str().unwrap().trim_start_matches('#'))
                    .unwrap();
                wrong(root, schema, value, at, found);
                true
            }
            "anyOf" => rule.as_array().unwrap().iter().any(|schema| {
                let mut here = Vec::new();
                wrong(root, schema, value, at, &mut here);
                here.is_empty()
            }),
            "allOf" => {
                for schema in rule.as_array().unwrap() {
                    wrong(root, schema, value, at, found);
                }
                true
            }
            "if" => {
                let mut here = Vec::new();
                wrong(root, rule, value, at, &mut here);
                if here.is_empty() {
                    wrong(root, &schema["then"], value, at, found);
                }
                true
            }
            "then" | "title" | "format" | "$schema" | "$defs" => true,
            other => panic!("{other} is not known here"),
        };
        if !fits {
            found.push(format!("{at}: {word} {rule}"));
        }
    }
}

#[test]
fn every_record_of_the_documentation_is_as_the_schema_says() {
    let schema = schema();
    let page = docs::page("docs/journal.md");
    let blocks: Vec<&str> = page
        .split("```json\n")
        .skip(1)
        .map(|rest| rest.split_once("```").unwrap().0)
        .collect();
    assert!(blocks.len() > 6);
    for block in blocks {
        let record: Value = serde_json::from_str(block).unwrap();
        let mut found = Vec::new();
        wrong(&schema, &schema, &record, "", &mut found);
        assert!(found.is_empty(), "{found:?}: {block}");
        // And would not be with any member gone that has to be there.
        for name in ["seq", "prev", "kind", "timestamp"] {
            let mut without = record.clone();
            without.as_object_mut().unwrap().remove(name);
            let mut found = Vec::new();
            wrong(&schema, &schema, &without, "", &mut found);
            assert!(!found.is_empty(), "{name}");
        }
        // Every member is described.
        let described = |name: &str| {
            let kind = record["kind"].as_str().unwrap();
            let common = &schema["properties"][name];
            !common.is_null() || !schema["$defs"][kind]["properties"][name].is_null()
        };
        for name in record.as_object().unwrap().keys() {
            assert!(described(name), "{name}");
        }
    }
}
