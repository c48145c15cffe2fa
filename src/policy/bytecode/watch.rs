//! Builtins of the bytecode engine that tell when they fail.
//!
//! Its rules take an error for undefined, where the interpreter denies. So every builtin that it may call goes
//! through here: one failure on the way, and the whole answer counts for nothing. The same holds for [`iterable`],
//! which stands before everything that is walked through. Refuses to know what the builtins compute.

use std::cell::Cell;
use std::sync::LazyLock;

use regorus::Value;
use regorus::unstable::{BUILTINS, Expr, Ref, Span};

use crate::policy::builtins::{self, Own};

/// A builtin as regorus has it; the error type is its own.
pub(in crate::policy) type Builtin =
    fn(&Span, &[Ref<Expr>], &[Value], bool) -> anyhow::Result<Value>;

thread_local! {
    /// Whether a builtin failed on this thread since somebody asked.
    static FAILED: Cell<bool> = const { Cell::new(false) };
}

/// Whether a builtin failed on this thread since the last time.
pub(in crate::policy) fn has_failed() -> bool {
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
pub(in crate::policy) const ITERABLE: &str = "trace";

/// Its argument, when it has members. The engine finds nothing in what has none, the interpreter an error.
fn iterable(_: &Span, _: &[Ref<Expr>], arguments: &[Value], _: bool) -> anyhow::Result<Value> {
    match arguments {
        [value @ (Value::Array(_) | Value::Object(_) | Value::Set(_))] => Ok(value.clone()),
        _ => note(Err(anyhow::anyhow!("it has no members"))),
    }
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
        Some(Known::Own(own)) if arguments.len() == usize::from(own.arity) => {
            note(own.answer(arguments))
        }
        Some(Known::Own(_)) => note(Err(anyhow::anyhow!("it takes other arguments"))),
        Some(Known::Engine(builtin)) => note(builtin(span, parameters, arguments, strict)),
        None => note(Err(anyhow::anyhow!("there is no such builtin"))),
    }
}

/// Calls a builtin of our own that the engine has not.
fn by_name(
    span: &Span,
    parameters: &[Ref<Expr>],
    arguments: &[Value],
    strict: bool,
) -> anyhow::Result<Value> {
    ask(
        builtin(builtins::BY_NAME),
        span,
        parameters,
        arguments,
        strict,
    )
}

macro_rules! watched {
    ($($name:literal,)*) => {
        /// The builtin that stands for one of that name; `None`: the bytecode engine may not call it.
        pub(in crate::policy) fn watched(name: &str) -> Option<Builtin> {
            match name {
                ITERABLE => Some(iterable),
                builtins::BY_NAME => Some(by_name),
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
        pub(in crate::policy) const WATCHED: &[&str] = &[$($name,)*];
    };
}

// What always answers the same, and the same in both engines.
watched! {
    "__builtin_sets.intersection", "__builtin_sets.union", "abs", "array.concat", "array.reverse",
    "array.slice", "base64.decode", "base64.encode", "base64.is_valid", "base64url.decode",
    "base64url.encode", "base64url.encode_no_pad", "bits.and", "bits.lsh", "bits.negate", "bits.or",
    "bits.rsh", "bits.xor", "ceil", "concat", "contains", "count", "endswith", "floor",
    "format_int", "glob.match", "glob.quote_meta", "graph.reachable", "graph.reachable_paths",
    "hex.decode", "hex.encode", "indexof", "indexof_n", "intersection", "is_array", "is_boolean",
    "is_null", "is_number", "is_object", "is_set", "is_string", "json.filter", "json.is_valid",
    "json.marshal", "json.patch", "json.remove", "json.unmarshal", "lower", "max", "min",
    "net.cidr_contains", "net.cidr_expand", "net.cidr_is_valid", "numbers.range",
    "numbers.range_step", "object.filter", "object.get", "object.keys", "object.remove",
    "object.subset", "object.union", "object.union_n", "product",
    "regex.find_all_string_submatch_n", "regex.find_n", "regex.globs_match", "regex.is_valid",
    "regex.match", "regex.replace", "regex.split", "regex.template_match", "replace", "round",
    "semver.compare", "semver.is_valid", "sort", "split", "sprintf", "startswith",
    "strings.any_prefix_match", "strings.any_suffix_match", "strings.count", "strings.replace_n",
    "strings.reverse", "substring", "sum", "time.add_date", "time.clock", "time.date", "time.diff",
    "time.format", "time.parse_duration_ns", "time.parse_ns", "time.parse_rfc3339_ns",
    "time.weekday", "to_number", "trim", "trim_left", "trim_prefix", "trim_right", "trim_space",
    "trim_suffix", "type_name", "union", "units.parse", "units.parse_bytes", "upper",
    "urlquery.decode", "urlquery.decode_object", "urlquery.encode", "urlquery.encode_object",
    "uuid.parse", "yaml.is_valid", "yaml.unmarshal",
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::builtins::refusal;

    #[test]
    fn what_is_watched_exists_and_is_allowed() {
        for name in WATCHED.iter().chain(&[ITERABLE]) {
            assert!(builtins::is_known(name), "{name}");
            assert!(refusal(name).is_none(), "{name}");
        }
    }
}
