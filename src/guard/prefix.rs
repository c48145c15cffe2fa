//! The path prefix `/e/{environment-id}` of any path, open traffic included.
//!
//! It is read strictly from the raw path. Then it is asked whether servers might, which decode again and again, fold,
//! and resolve dots in more than one way, find another environment, or climb above the root (an upstream may itself
//! lie below a prefix). If any could, nobody can say which one is meant.

use thiserror::Error;

use super::path::is_environment;
use super::reading::{Reading, Work};
use crate::dynatrace::catalogue::ENVIRONMENT;

/// What a path begins with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Prefix<'a> {
    /// The environment's id, as written.
    pub id: Option<&'a str>,
    /// How many bytes of the path the prefix is.
    pub length: usize,
}

/// A path that servers could take for one of different environments.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error(
    "the path could lead to more than one environment; write /e/{{environment-id}} once, in plain letters"
)]
pub struct Ambiguous;

/// Reads the prefix, and refuses what can be read in two ways.
pub fn prefix(path: &str) -> Result<Prefix<'_>, Ambiguous> {
    let found = strict(path);
    let reading = Reading::of(path, &mut Work::default()).map_err(|_too_much| Ambiguous)?;
    if reading.is_too_deep() {
        return Err(Ambiguous);
    }
    // Segments that dots must not take away.
    let kept = if found.id.is_some() { 2 } else { 0 };
    // How many segments there are before a part, for the server that sees the fewest.
    let mut before = 0_usize;
    let mut begins = false;
    for part in reading.parts() {
        if begins && (part.unsure || !part.is_nothing()) {
            return Err(Ambiguous);
        }
        if part.is_nothing() {
            continue;
        }
        if part.is_up() {
            if before <= kept {
                return Err(Ambiguous);
            }
            before -= 1;
            continue;
        }
        // Another prefix, if anything follows.
        begins = before == 0 && found.id.is_none() && part.is(ENVIRONMENT);
        before += usize::from(!part.joined);
    }
    Ok(found)
}

/// The strict reading alone: the first two segments that are not empty are `e` and a valid id.
pub fn strict(path: &str) -> Prefix<'_> {
    let mut end = 0;
    let mut segments = path.split('/').filter_map(|segment| {
        let start = end;
        end = start + segment.len() + 1;
        (!segment.is_empty()).then_some((segment, start + segment.len()))
    });
    match (segments.next(), segments.next()) {
        (Some((ENVIRONMENT, _)), Some((id, length))) if is_environment(id) => Prefix {
            id: Some(id),
            length,
        },
        _ => Prefix::default(),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::guard::oracle;
    use crate::guard::tests::hostile;

    #[test]
    fn a_prefix_is_read_from_the_raw_path() {
        for (path, id, rest) in [
            ("/e/x/api/v2/metrics", Some("x"), "/api/v2/metrics"),
            ("/e/x", Some("x"), ""),
            ("/e/x/", Some("x"), "/"),
            ("//e//x//api", Some("x"), "//api"),
            (
                "/e/Ab-1_2/a%2Fb;c=d/./f/../g",
                Some("Ab-1_2"),
                "/a%2Fb;c=d/./f/../g",
            ),
            ("/e/x/%65/y", Some("x"), "/%65/y"),
            ("/api/e/x", None, "/api/e/x"),
            ("/e", None, "/e"),
            ("/e/", None, "/e/"),
            ("/entities/x", None, "/entities/x"),
            ("/", None, "/"),
            ("*", None, "*"),
            ("/a/./b/../c", None, "/a/./b/../c"),
        ] {
            let prefix = prefix(path).unwrap();
            assert_eq!(prefix.id, id, "{path}");
            assert_eq!(path.get(prefix.length..), Some(rest), "{path}");
        }
    }

    #[test]
    fn a_path_that_could_be_another_environments_is_ambiguous() {
        for path in [
            "/E/x/api",
            "/%65/x/api",
            "/%2565/x",
            "/e%2Fx/api",
            "/e/%78/api",
            "/e\\x\\api",
            "/e/x.y/api",
            "/e/x;y/api",
            "/e;y/x/api",
            "/e/x/../y/api",
            "/e/x/..%2fy/api",
            "/e/x/%2e%2e/y",
            "/e/x/..;a=b/y",
            "/e/x/../../e/y",
            "/e/../x",
            "/e/./x",
            "/./e/x",
            "/a/../e/x",
            "/a//../e/x",
            "/e/x/a//../../y",
            "/e/x/a/../../y",
            "/..",
            "/../e/x",
            "/a/../../b",
            "/a/%252e%252e/%252e%252e/b",
            "/\u{ff45}/x/api",
            "/%ef%bd%85/x/api",
            "/%u0065/x",
            "/%25252525252525252541",
            "/e/%3bx/",
        ] {
            assert_eq!(prefix(path), Err(Ambiguous), "{path}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(3_000))]

        #[test]
        fn what_was_ambiguous_round_by_round_is_so_at_once(path in hostile::path()) {
            if let Ok(found) = prefix(&path) {
                prop_assert!(oracle::is_of(&path, found.id), "{}", path);
            }
        }

        #[test]
        fn a_plain_path_is_of_one_environment(
            begin in prop::sample::select(vec!["/", "//", "/e/x/", "//e//x/", "/e/", "/a/", ""]),
            segments in prop::collection::vec(hostile::segment().prop_filter("dots have readings", |segment| segment != ".."), 0..6),
        ) {
            let path = format!("{begin}{}", segments.join("/"));
            let id = strict(&path).id;
            prop_assert_eq!(prefix(&path).is_ok(), oracle::is_of(&path, id), "{}", path);
        }
    }
}
