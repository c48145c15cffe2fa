//! Where a key of the configuration belongs. The parser is asked which keys it expects in which section, so that there
//! is no list of them here.

use super::Config;

/// What to do with a key that stands in the wrong section; nothing for one that no section has.
pub(super) fn belongs(key: &str) -> Option<String> {
    let mut places = Vec::new();
    let mut sections = vec![Vec::new()];
    while let Some(section) = sections.pop() {
        let Some(Expected { keys, are_names }) = expected(&section) else {
            continue;
        };
        if are_names && keys.iter().any(|known| known == key) {
            let own = below(&section, key);
            let of_that_name = [own.clone(), below(&own, ANY_NAME)];
            let is_section = |own: &&Vec<String>| expected(own).is_some_and(|it| it.are_names);
            places.push(match of_that_name.iter().find(is_section) {
                Some(own) => format!("as a section of its own, [{}]", own.join(".")),
                None if section.is_empty() => "above the first section".to_owned(),
                None => format!("in the section [{}]", section.join(".")),
            });
        }
        if section.len() < DEEPEST {
            let further = keys.iter().map(|key| below(&section, key));
            sections.extend(further.flat_map(|section| [below(&section, ANY_NAME), section]));
        }
    }
    places.sort();
    places.dedup();
    (!places.is_empty()).then(|| format!("it belongs {}", places.join(", or ")))
}

fn below(section: &[String], key: &str) -> Vec<String> {
    [section, &[key.to_owned()]].concat()
}

struct Expected {
    keys: Vec<String>,
    /// Not the kinds that a value may be of.
    are_names: bool,
}

/// What the parser expects in a section; nothing when it is none.
fn expected(section: &[String]) -> Option<Expected> {
    let header = match section {
        [] => String::new(),
        section => format!("[{}]\n", section.join(".")),
    };
    let error = toml::from_str::<Config>(&format!("{header}{NOBODYS} = 0\n")).err()?;
    // unknown field `…`, expected one of `url`, `ca`, … | unknown variant `…`, expected `files` or `off` |
    // unexpected keys in table: …, available keys: certificate, key
    let (before, listed) = error.message().split_once(NOBODYS)?;
    let (keys, are_names): (Vec<&str>, _) = match listed.strip_prefix(", available keys: ") {
        Some(listed) => (listed.split(", ").collect(), true),
        None => (
            listed
                .strip_prefix("`, expected ")?
                .split('`')
                .skip(1)
                .step_by(2)
                .collect(),
            before.starts_with("unknown field "),
        ),
    };
    Some(Expected {
        keys: keys.into_iter().map(str::to_owned).collect(),
        are_names,
    })
}

/// A key that no section has.
const NOBODYS: &str = "no-key-has-this-name";

/// Where sections have names that the operator chooses.
const ANY_NAME: &str = "NAME";

/// Sections within sections.
const DEEPEST: usize = 4;
