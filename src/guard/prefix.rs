//! The path prefix `/e/{environment-id}` of any path, open traffic included.
//!
//! It is read strictly from the raw path. Then the path is read as servers might: decoded again and again,
//! folded, with dots resolved in more than one way. If any of them would find another environment, or
//! climb above the root (an upstream may itself lie below a prefix), nobody can say which one is meant.

use thiserror::Error;

use super::fold::fold;
use super::path::{MAX_ROUNDS, decode, is_environment, word};
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
#[error("the path can be read as one of more than one environment")]
pub struct Ambiguous;

/// Reads the prefix, and refuses what can be read in two ways.
pub fn prefix(path: &str) -> Result<Prefix<'_>, Ambiguous> {
    let found = strict(path);
    let id = found.id.map(fold);
    let mut text = path.to_owned();
    for _ in 0..=MAX_ROUNDS {
        let folded = fold(&text);
        if !all_read(&folded, id.as_deref()) {
            return Err(Ambiguous);
        }
        let decoded = decode(&folded);
        if decoded == text {
            return Ok(found);
        }
        text = decoded;
    }
    Err(Ambiguous)
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

/// Whether every reading of one round finds this environment.
fn all_read(folded: &str, id: Option<&str>) -> bool {
    let segments: Vec<&str> = folded
        .split(['/', '\\', '?', '#', '\u{2044}', '\u{2215}', '\u{29f8}'])
        .skip(usize::from(folded.starts_with(['/', '\\'])))
        .map(word)
        .filter(|segment| *segment != ".")
        .collect();
    let merged = filled(&segments);
    // Some servers resolve dots before they merge slashes, some after.
    let (Some(one), Some(other)) = (resolve(&merged), resolve(&segments)) else {
        return false;
    };
    [merged, one, filled(&other)]
        .iter()
        .all(|segments| match segments.as_slice() {
            [ENVIRONMENT, found, ..] => id == Some(*found),
            _ => id.is_none(),
        })
}

fn filled<'a>(segments: &[&'a str]) -> Vec<&'a str> {
    let filled = segments.iter().filter(|segment| !segment.is_empty());
    filled.copied().collect()
}

/// `None`: the dots climb above the root.
fn resolve<'a>(segments: &[&'a str]) -> Option<Vec<&'a str>> {
    let mut resolved = Vec::new();
    for segment in segments {
        if *segment == ".." {
            resolved.pop()?;
        } else {
            resolved.push(*segment);
        }
    }
    Some(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;

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
        ] {
            assert_eq!(prefix(path), Err(Ambiguous), "{path}");
        }
    }
}
