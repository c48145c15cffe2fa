//! Documents below `data`, as OPA's data API answers them: what rules say, and the data between them.
//!
//! The engine's own reading of a whole package is not OPA's: so every rule is asked by itself, and the document is put
//! together here. A rule that fails is an error, where OPA would leave it out.

use std::time::Instant;

use regorus::Value;
use serde_json::{Map, Value as Json};

use super::Engine;
use crate::policy::extent;
use crate::policy::input::to_rego;
use crate::policy::interpreter::Interpreter;

impl Engine {
    /// The document at this path below `data`; nothing where it is undefined. Each rule has the time limit of a request,
    /// and all of them together some more.
    ///
    /// # Errors
    ///
    /// Says which rule failed and where, or that the document is too large.
    pub fn document(
        &self,
        path: &[String],
        input: Option<&Json>,
        now: jiff::Timestamp,
    ) -> Result<Option<Json>, String> {
        let began = Instant::now();
        let mut interpreter = Interpreter::clone_of(&self.written);
        let input = input.map_or(Value::Undefined, to_rego);
        let now_ns = now.as_millisecond().saturating_mul(1_000_000);
        let mut ask = |rule: &[String]| {
            if began.elapsed() > self.timer.limit * MOST_TIMES {
                return Err("the evaluation took too long".to_owned());
            }
            interpreter.begin(&input, now_ns);
            let said = interpreter.value(&written(rule));
            said.map_err(|problem| self.origins.in_file(problem).to_string())
        };
        let path: Vec<String> = std::iter::once("data")
            .map(str::to_owned)
            .chain(path.iter().cloned())
            .collect();
        let around = (2..=path.len()).filter_map(|length| path.get(..length));
        let mut around = around.filter(|rule| self.documents.contains(*rule));
        let document = if let Some(rule) = around.next() {
            let rest = path.get(rule.len()..).unwrap_or_default();
            let found = within(ask(rule)?, rest);
            json(&found)?
        } else {
            let mut document = data_at(&self.tree.data, path.get(1..).unwrap_or_default());
            let below = self.documents.iter().filter(|rule| rule.starts_with(&path));
            for rule in below {
                let value = json(&ask(rule)?)?;
                let within = document.get_or_insert_with(|| Json::Object(Map::new()));
                insert(within, rule.get(path.len()..).unwrap_or_default(), value);
            }
            document
        };
        let length = document
            .as_ref()
            .map_or(0, |document| document.to_string().len());
        if length > MOST_BYTES {
            return Err(format!(
                "the document is longer than {} MiB",
                MOST_BYTES >> 20
            ));
        }
        Ok(document)
    }
}

/// A rule as a query names it.
fn written(rule: &[String]) -> String {
    rule.join(".")
}

fn json(value: &Value) -> Result<Option<Json>, String> {
    if *value == Value::Undefined {
        return Ok(None);
    }
    extent::recordable(value)?;
    let long = extent::too_long(value);
    if long.is_some()
        && let Some(json) = with_exponents(value)
    {
        return Ok(Some(json));
    }
    if let Some(number) = long {
        return Err(format!(
            "the document has the integer {number}, which JSON is not written with here: 64 bits hold no such; let the rule give it \
             as a text, as sprintf(\"%d\", [number]) does"
        ));
    }
    let json = serde_json::to_value(value).map_err(|error| error.to_string())?;
    Ok(Some(json))
}

/// The same with integers that are too long for 64 bits, as far as an exponent says all their digits: `1e21`.
fn with_exponents(value: &Value) -> Option<Json> {
    let number = match value {
        Value::Number(number) => number,
        Value::Array(members) => return members.iter().map(with_exponents).collect(),
        Value::Set(members) => return members.iter().map(with_exponents).collect(),
        Value::Object(members) => {
            let members = members.iter().map(|(name, value)| {
                let name = match with_exponents(name)? {
                    Json::String(name) => name,
                    other => other.to_string(),
                };
                Some((name, with_exponents(value)?))
            });
            return members.collect::<Option<Map<_, _>>>().map(Json::Object);
        }
        other => return serde_json::to_value(other).ok(),
    };
    let Some(digits) = extent::too_long(value) else {
        return serde_json::to_value(number).ok();
    };
    let float: f64 = digits.parse().ok()?;
    (float.to_string() == digits).then(|| Json::from(float))
}

/// What is at these steps in the value of a rule.
fn within(value: Value, steps: &[String]) -> Value {
    steps.iter().fold(value, |value, step| {
        let number = step.parse::<u64>().ok();
        let key = number.map_or_else(|| Value::from(step.as_str()), Value::from);
        match &value {
            Value::Object(members) => members.get(&key).cloned(),
            Value::Set(members) => members.get(&key).cloned(),
            Value::Array(members) => number
                .and_then(|number| members.get(usize::try_from(number).ok()?))
                .cloned(),
            _ => None,
        }
        .unwrap_or(Value::Undefined)
    })
}

fn data_at(data: &Map<String, Json>, steps: &[String]) -> Option<Json> {
    let Some((first, rest)) = steps.split_first() else {
        return Some(Json::Object(data.clone()));
    };
    let mut found = data.get(first)?;
    for step in rest {
        found = match found {
            Json::Object(members) => members.get(step)?,
            Json::Array(members) => members.get(step.parse::<usize>().ok()?)?,
            _ => return None,
        };
    }
    Some(found.clone())
}

/// Puts a value where it belongs. A package is there also where nothing in it is defined.
fn insert(within: &mut Json, steps: &[String], value: Option<Json>) {
    let (Some((first, rest)), Json::Object(members)) = (steps.split_first(), within) else {
        return;
    };
    if rest.is_empty() {
        if let Some(value) = value {
            members.insert(first.clone(), value);
        }
        return;
    }
    let next = members
        .entry(first.clone())
        .or_insert_with(|| Json::Object(Map::new()));
    insert(next, rest, value);
}

/// The time of all rules, in limits of one.
const MOST_TIMES: u32 = 10;
const MOST_BYTES: usize = 4 << 20;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::policy::bundle::tests::directory;
    use crate::policy::{DEFAULT_LIMIT, Policy};

    const RULES: &str = "package dtgate.naming\n\ndefault fine := false\n\nfine if input.operation == \"a\"\n\ndeny contains \"no\" if not fine\n\ndeny contains sprintf(\"%v\", [input.operation]) if input.operation == \"b\"\n\nlist := [1, {\"x\": [true]}]\n\nnone if input.unknown_members.nothing\n\nonly(x) := x\n\nparts.of[name] := 1 if some name in [\"a\", \"b\"]\n\nbad := to_number(input.operation) if input.operation == \"bad\"\n";

    fn ask(path: &[&str], input: Option<&Json>) -> Result<Option<Json>, String> {
        let files = [
            ("naming.rego", RULES),
            (
                "data.yaml",
                "guardrails: {naming: {}}\nteams: [{name: a}]\nx: {\"1\": no}\n",
            ),
        ];
        let directory = directory(&files);
        let policy = Policy::load(directory.path(), DEFAULT_LIMIT).unwrap();
        let path: Vec<String> = path.iter().map(|step| (*step).to_owned()).collect();
        policy.document(&path, input, jiff::Timestamp::UNIX_EPOCH)
    }

    /// OPA has all digits: another number would be a wrong answer.
    #[test]
    fn an_integer_that_would_lose_digits_is_refused() {
        let rules = "package dtgate.a\n\ndeny contains \"x\" if input.operation == \"a\"\n\nsmall := 9223372036854775807 + 1\n\nlarge := {\"a\": [18446744073709551615 + 1]}\n\nmillion := [1e21, -1e25, 1e100, 1, {\"x\": 1.5}]\n";
        let directory = directory(&[("a.rego", rules)]);
        let policy = Policy::load(directory.path(), DEFAULT_LIMIT).unwrap();
        let ask = |rule: &str| {
            let path = ["dtgate", "a", rule].map(str::to_owned);
            policy.document(&path, None, jiff::Timestamp::UNIX_EPOCH)
        };
        assert_eq!(ask("small"), Ok(Some(json!(9_223_372_036_854_775_808_u64))));
        let million = json!([1e21, -1e25, 1e100, 1, {"x": 1.5}]);
        assert_eq!(ask("million"), Ok(Some(million)));
        let error = ask("large").unwrap_err();
        assert!(
            error.contains("the integer 18446744073709551616"),
            "{error}"
        );
    }

    #[test]
    fn rules_and_data_are_documents() {
        let (a, b) = (json!({"operation": "a"}), json!({"operation": "b"}));
        let rule = ["dtgate", "naming", "fine"];
        assert_eq!(ask(&rule, Some(&a)), Ok(Some(json!(true))));
        assert_eq!(ask(&rule, None), Ok(Some(json!(false))));
        let deny = ["dtgate", "naming", "deny"];
        assert_eq!(ask(&deny, Some(&a)), Ok(Some(json!([]))));
        assert_eq!(ask(&deny, Some(&b)), Ok(Some(json!(["b", "no"]))));
        assert_eq!(
            ask(&["dtgate", "naming", "deny", "no"], None),
            Ok(Some(json!("no")))
        );
        assert_eq!(
            ask(&["dtgate", "naming", "list", "1", "x", "0"], None),
            Ok(Some(json!(true)))
        );
        assert_eq!(ask(&["teams", "0", "name"], None), Ok(Some(json!("a"))));
        let package = json!({
            "fine": true, "deny": [], "list": [1, {"x": [true]}], "parts": {"of": {"a": 1, "b": 1}},
        });
        assert_eq!(
            ask(&["dtgate", "naming"], Some(&a)),
            Ok(Some(package.clone()))
        );
        assert_eq!(
            ask(&["dtgate"], Some(&a)),
            Ok(Some(json!({"naming": package})))
        );
        let all = ask(&[], Some(&a)).unwrap().unwrap();
        assert_eq!(all["dtgate"]["naming"], package);
        assert_eq!(all["teams"], json!([{"name": "a"}]));
        assert_eq!(all.as_object().unwrap().len(), 4, "{all}");
    }

    #[test]
    fn what_is_not_there_is_undefined_and_what_fails_is_an_error() {
        for path in [
            &["nothing"][..],
            &["dtgate", "naming", "none"],
            &["dtgate", "naming", "only"],
            &["dtgate", "naming", "nothing"],
            &["dtgate", "naming", "list", "7"],
            &["dtgate", "naming", "list", "x"],
            &["dtgate", "naming", "fine", "x"],
            &["teams", "x"],
            &["teams", "0", "name", "x"],
            &["dtgate_known"],
            &["a\"]) ; true #"],
        ] {
            assert_eq!(ask(path, None), Ok(None), "{path:?}");
        }
        let bad = json!({"operation": "bad"});
        for path in [&["dtgate", "naming", "bad"][..], &["dtgate", "naming"], &[]] {
            let error = ask(path, Some(&bad)).unwrap_err();
            assert!(error.contains("naming.rego:"), "{path:?}: {error}");
        }
    }
}
