//! Builtins of the bytecode engine that tell when they fail.
//!
//! Its rules take an error for undefined, where the interpreter denies. So every builtin that it may call goes
//! through here: one failure on the way, and the whole answer counts for nothing. The same holds for [`iterable`],
//! which stands before everything that is walked through. Refuses to know what the builtins compute, except that a
//! pattern which [`matches()`] has kept is matched here.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::LazyLock;

use regex::Regex;

use regorus::Value;
use regorus::unstable::{BUILTINS, Expr, Ref, Span};

use super::builtins::{self, Arguments, Own};

/// A builtin as regorus has it; the error type is its own.
pub(super) type Builtin = fn(&Span, &[Ref<Expr>], &[Value], bool) -> anyhow::Result<Value>;

thread_local! {
    /// Whether a builtin failed on this thread since somebody asked.
    static FAILED: Cell<bool> = const { Cell::new(false) };
    /// Patterns that this thread has matched with.
    static PATTERNS: RefCell<HashMap<String, Regex>> = RefCell::default();
}

/// Whether a builtin failed on this thread since the last time.
pub(super) fn has_failed() -> bool {
    FAILED.replace(false)
}

fn note(result: anyhow::Result<Value>) -> anyhow::Result<Value> {
    if result.is_err() {
        FAILED.set(true);
    }
    result
}

/// The name under which a specialised policy calls [`iterable`]: a builtin that policies may not use themselves
/// where bytecode judges, because all it does is talk.
pub(super) const ITERABLE: &str = "trace";

/// Its argument, when it has members. The engine finds nothing in what has none, the interpreter an error.
fn iterable(_: &Span, _: &[Ref<Expr>], arguments: &[Value], _: bool) -> anyhow::Result<Value> {
    match arguments {
        [value @ (Value::Array(_) | Value::Object(_) | Value::Set(_))] => Ok(value.clone()),
        _ => note(Err(anyhow::anyhow!("it has no members"))),
    }
}

const MATCH: &str = "regex.match";

/// Patterns that a thread keeps. The text of a pattern may come from the input.
const MOST_PATTERNS: usize = 64;

/// Matches with a pattern that was kept. The builtin copies what it has compiled for each call, and a copy begins with
/// empty caches: to fill them takes longer than all the rest. It is asked first about each pattern, so that what it
/// refuses is never kept.
fn matches(
    span: &Span,
    parameters: &[Ref<Expr>],
    arguments: &[Value],
    strict: bool,
) -> anyhow::Result<Value> {
    static BUILTIN: LazyLock<Option<Known>> = LazyLock::new(|| builtin(MATCH));
    let [Value::String(pattern), Value::String(text)] = arguments else {
        return ask(*BUILTIN, span, parameters, arguments, strict);
    };
    PATTERNS.with_borrow_mut(|patterns| {
        if let Some(known) = patterns.get(pattern.as_ref()) {
            return Ok(Value::from(known.is_match(text)));
        }
        let answer = ask(*BUILTIN, span, parameters, arguments, strict)?;
        if patterns.len() < MOST_PATTERNS
            && let Ok(compiled) = Regex::new(pattern)
        {
            patterns.insert(pattern.to_string(), compiled);
        }
        Ok(answer)
    })
}

/// A builtin, whoever has it.
#[derive(Clone, Copy)]
enum Known {
    Own(&'static Own),
    Engine(Builtin),
}

fn builtin(name: &str) -> Option<Known> {
    let engine = || {
        BUILTINS
            .get(name)
            .map(|(builtin, _)| Known::Engine(*builtin))
    };
    builtins::own(name).map(Known::Own).or_else(engine)
}

fn ask(
    builtin: Option<Known>,
    span: &Span,
    parameters: &[Ref<Expr>],
    arguments: &[Value],
    strict: bool,
) -> anyhow::Result<Value> {
    match builtin {
        Some(Known::Own(own)) if arguments.len() == usize::from(own.arity) => note(
            (own.call)(Arguments::new(arguments))
                .map_err(|message| anyhow::anyhow!("{}: {message}", own.name)),
        ),
        Some(Known::Own(_)) => note(Err(anyhow::anyhow!("it takes other arguments"))),
        Some(Known::Engine(builtin)) => note(builtin(span, parameters, arguments, strict)),
        None => note(Err(anyhow::anyhow!("there is no such builtin"))),
    }
}

macro_rules! watched {
    ($($name:literal,)*) => {
        /// The builtin that stands for one of that name; `None`: the bytecode engine may not call it.
        pub(super) fn watched(name: &str) -> Option<Builtin> {
            match name {
                ITERABLE => Some(iterable),
                MATCH => Some(matches),
                $($name => {
                    fn call(
                        span: &Span,
                        parameters: &[Ref<Expr>],
                        arguments: &[Value],
                        strict: bool,
                    ) -> anyhow::Result<Value> {
                        static BUILTIN: LazyLock<Option<Known>> =
                            LazyLock::new(|| builtin($name));
                        ask(*BUILTIN, span, parameters, arguments, strict)
                    }
                    Some(call)
                })*
                _ => None,
            }
        }

        /// Every name that has one.
        #[cfg(test)]
        pub(super) const WATCHED: &[&str] = &[$($name,)*];
    };
}

// What always answers the same, and the same in both engines.
watched! {
    "__builtin_sets.intersection", "__builtin_sets.union", "abs", "array.concat", "array.reverse",
    "array.slice", "base64.decode", "base64.encode", "base64.is_valid", "bits.and", "bits.lsh",
    "bits.negate", "bits.or", "bits.rsh", "bits.xor", "ceil", "concat", "contains", "count", "endswith",
    "floor", "format_int", "glob.match", "indexof", "indexof_n", "intersection", "is_array",
    "is_boolean", "is_null", "is_number", "is_object", "is_set", "is_string", "json.is_valid",
    "json.marshal", "json.unmarshal", "lower", "max", "min", "net.cidr_contains", "net.cidr_expand",
    "net.cidr_is_valid", "numbers.range", "numbers.range_step", "object.filter", "object.get",
    "object.keys", "object.remove", "object.union", "object.union_n", "regex.is_valid", "regex.replace",
    "regex.split", "replace", "round", "semver.compare", "semver.is_valid", "sort", "split", "sprintf",
    "startswith", "strings.any_prefix_match", "strings.any_suffix_match", "strings.count",
    "strings.replace_n", "strings.reverse", "substring", "sum", "time.add_date", "time.clock",
    "time.date", "time.diff", "time.format", "time.parse_duration_ns", "time.parse_ns",
    "time.parse_rfc3339_ns", "time.weekday", "to_number", "trim", "trim_left", "trim_prefix",
    "trim_right", "trim_space", "trim_suffix", "type_name", "union", "upper",
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::builtins::refusal;

    #[test]
    fn what_is_watched_exists_and_is_allowed() {
        for name in WATCHED.iter().chain(&[ITERABLE, MATCH]) {
            assert!(builtins::is_known(name), "{name}");
            assert!(refusal(name).is_none(), "{name}");
        }
    }

    #[test]
    fn a_pattern_matches_the_same_whether_it_is_kept_or_not() {
        let span = Span {
            source: regorus::unstable::Source::from_contents("x".to_owned(), "x".to_owned())
                .unwrap(),
            line: 1,
            col: 1,
            start: 0,
            end: 1,
        };
        let expr = Ref::new(Expr::Null {
            span: span.clone(),
            value: Value::Null,
            eidx: 0,
        });
        let parameters = [expr.clone(), expr];
        let ask = |pattern: Value, text: &str| {
            let answer = matches(&span, &parameters, &[pattern, text.into()], true);
            (answer.ok(), has_failed())
        };
        let texts = ["ab", "b", "\u{e9}b", ""];
        let many = (0..2 * MOST_PATTERNS).map(|number| format!("^a{{0,{number}}}b$"));
        for pattern in many.chain(["^.b$".to_owned(), String::new(), "(?i)B".to_owned()]) {
            let compiled = Regex::new(&pattern).unwrap();
            for text in texts.iter().chain(&texts) {
                let expected = (Some(compiled.is_match(text).into()), false);
                assert_eq!(
                    ask(pattern.as_str().into(), text),
                    expected,
                    "{pattern} {text}"
                );
            }
        }
        assert_eq!(PATTERNS.with_borrow(HashMap::len), MOST_PATTERNS);
        for refused in ["(".into(), "(?:a{1000}){1000}".into(), Value::Null] {
            for _again in 0..2 {
                assert_eq!(ask(Value::clone(&refused), "ab"), (None, true), "{refused}");
            }
        }
    }
}
