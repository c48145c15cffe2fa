//! Which functions a policy may call.
//!
//! Everything else is refused when the policy is loaded: what the engine lacks, what it only pretends to
//! have, and what could make the same request decide differently tomorrow. `time.now_ns` is allowed,
//! because here it answers `input.time`; `print` and `trace` are, because they only talk.

use regorus::unstable::BUILTINS;

/// Names, or families of names when they end in a dot, and why a decision cannot rest on them.
const REFUSED: [(&str, &str); 9] = [
    ("crypto.", "dtgate has no cryptography for policies"),
    ("http.send", "a decision may not depend on another service"),
    (
        "io.jwt.",
        "dtgate does not verify JSON web tokens in policies",
    ),
    (
        "net.lookup_ip_addr",
        "a decision may not depend on another service",
    ),
    (
        "opa.runtime",
        "a decision may not depend on where it is made",
    ),
    ("providers.", "dtgate has no credentials for policies"),
    ("rand.", "a decision must come out the same again"),
    ("rego.", "dtgate does not have policies that read policies"),
    ("uuid.rfc4122", "a decision must come out the same again"),
];

/// Why the builtin is refused, if it is.
pub(super) fn refusal(name: &str) -> Option<&'static str> {
    REFUSED
        .iter()
        .find(|(refused, _)| {
            if refused.ends_with('.') {
                name.starts_with(refused)
            } else {
                name == *refused
            }
        })
        .map(|(_, reason)| *reason)
}

/// Whether the engine has it.
pub(super) fn is_known(name: &str) -> bool {
    name == "print" || BUILTINS.contains_key(name)
}

/// How many arguments a builtin takes.
pub(super) fn arity(name: &str) -> Option<usize> {
    BUILTINS.get(name).map(|(_, arity)| usize::from(*arity))
}

/// Every name a policy may call.
pub(super) fn allowed<'a>() -> Vec<&'a str> {
    let names = BUILTINS.keys().copied();
    names.filter(|name| refusal(name).is_none()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_repeat_is_refused() {
        for name in [
            "http.send",
            "io.jwt.decode_verify",
            "crypto.sha256",
            "rand.intn",
            "rego.metadata.rule",
        ] {
            assert!(refusal(name).is_some(), "{name}");
        }
        for name in ["time.now_ns", "print", "count", "regex.match", "randomly"] {
            assert!(refusal(name).is_none(), "{name}");
        }
    }

    /// A new version of the engine must not slip in a builtin that nobody has looked at.
    #[test]
    fn the_engine_has_no_unexamined_builtin_that_could_reach_outside() {
        let suspicious: Vec<_> = allowed()
            .into_iter()
            .filter(|name| {
                ["http", "jwt", "rand", "runtime", "lookup", "now", "uuid"]
                    .iter()
                    .any(|part| name.contains(part))
            })
            .collect();
        assert_eq!(suspicious, ["time.now_ns"]);
    }
}
