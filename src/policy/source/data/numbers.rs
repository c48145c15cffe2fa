//! Numbers that would be others in the engine: of JSON OPA has all their digits, and of YAML more is a number to it.

use std::collections::BTreeSet;

use serde_json::Value as Json;
use yaml_serde::Value as Yaml;

use super::place;
use crate::policy::lexical::numbers;
use crate::policy::problem::Problem;
use crate::policy::source::files::File;
use crate::policy::yaml;

/// Refuses a number that cannot be held. The file is known to be JSON.
pub(super) fn refuse(file: &File) -> Result<(), Problem> {
    let text = file.text.as_str();
    let mut at = 0;
    let begins = |c: char| c == '"' || c == '-' || c.is_ascii_digit();
    while let Some(found) = text.get(at..).and_then(|rest| rest.find(begins)) {
        at += found;
        let rest = text.get(at..).unwrap_or_default();
        if rest.starts_with('"') {
            at += text_length(rest);
            continue;
        }
        let end = rest.find(|c: char| !matches!(c, '0'..='9' | '+' | '-' | '.' | 'e' | 'E'));
        let number = rest.get(..end.unwrap_or(rest.len())).unwrap_or_default();
        if let Some(message) = unheld(number) {
            let before = text.get(..at).unwrap_or_default();
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default();
            let column = column.chars().count() + 1;
            return Err(Problem::new(&file.path, line, column, message));
        }
        at += number.len();
    }
    Ok(())
}

/// Refuses a text in YAML that stands there without quotation marks and is a number to OPA: `1_000`, `0755`. Who wrote it
/// meant a number, or one means it who reads it. The same of keys, which OPA writes anew: `0x10` is `16` to it.
pub(super) fn refuse_texts(file: &File, value: &Json) -> Result<(), Problem> {
    let mut found = Vec::new();
    texts(value, &mut Vec::new(), &mut found);
    let plain = yaml::plain_texts(&file.text);
    // Where each stands is asked of the parser, which reads the file again for it.
    let is_in_doubt = |doubt: &Doubt<'_>| match doubt {
        Doubt::Value(text) | Doubt::Key(text) => text.is_empty() || plain.contains(text),
    };
    found.retain(|(_, doubt)| is_in_doubt(doubt));
    for (number, (way, doubt)) in found.into_iter().enumerate() {
        let below = super::directories(file).map(str::to_owned);
        let way: Vec<String> = below.chain(way).collect();
        let way: Vec<&str> = way.iter().map(String::as_str).collect();
        let Some((_, line, column)) = place(std::slice::from_ref(file), &way) else {
            continue;
        };
        let message = match doubt {
            Doubt::Value(text) if is_plain(file, line, column, text) => {
                let number = of_opa(text).unwrap_or_default();
                format!(
                    "{text} is a number to OPA and a text to dtgate, as YAML 1.2 has it: write {number}, or \"{text}\" for the text"
                )
            }
            Doubt::Key(text) if is_plain_key(file, line, column, text) => format!(
                "the key {text} is another one to OPA, which reads it as a number, a truth value or nothing before it makes a \
                 text of it: write \"{text}\", in quotation marks"
            ),
            Doubt::Value(text) | Doubt::Key(text) if number >= MOST_LOOKED_FOR => format!(
                "{text} stands in quotation marks here, and without them elsewhere: whether that is a number to OPA takes too \
                 long to find out, so write it the same way everywhere"
            ),
            Doubt::Value(_) | Doubt::Key(_) => continue,
        };
        return Err(Problem::new(&file.path, line, column, message));
    }
    refuse_binary(file)
}

/// For how many texts the file is read again.
const MOST_LOOKED_FOR: usize = 200;

/// What OPA may read otherwise.
enum Doubt<'a> {
    Value(&'a str),
    Key(&'a str),
}

/// All texts and keys that OPA would read as something else, if they are without quotation marks, with the way to each.
fn texts<'a>(value: &'a Json, way: &mut Vec<String>, found: &mut Vec<(Vec<String>, Doubt<'a>)>) {
    match value {
        Json::String(text) if of_opa(text).is_some() => {
            found.push((way.clone(), Doubt::Value(text)));
        }
        Json::Array(items) => {
            for (number, item) in items.iter().enumerate() {
                way.push(number.to_string());
                texts(item, way, found);
                way.pop();
            }
        }
        Json::Object(members) => {
            for (name, member) in members {
                way.push(name.clone());
                if !is_the_same_key(name) {
                    found.push((way.clone(), Doubt::Key(name)));
                }
                texts(member, way, found);
                way.pop();
            }
        }
        _ => {}
    }
}

/// Whether OPA makes the same text of a key without quotation marks: it has numbers of 32 bits there, and writes large and
/// small ones with an exponent.
fn is_the_same_key(text: &str) -> bool {
    const OTHERS: [&str; 9] = [
        "", "~", "null", "Null", "NULL", "True", "TRUE", "False", "FALSE",
    ];
    if OTHERS.contains(&text) {
        return false;
    }
    if of_opa(text).is_none() {
        return true;
    }
    let is_whole = |it: String| it == text;
    let whole = text.parse::<i64>().map(|it| it.to_string());
    let whole = whole.or_else(|_| text.parse::<u64>().map(|it| it.to_string()));
    if let Ok(whole) = whole {
        return is_whole(whole);
    }
    let float = text.parse::<f32>().unwrap_or(f32::NAN);
    (1e-4..1e6).contains(&float.abs()) && float.to_string() == text
}

/// Whether a key stands there without quotation marks.
fn is_plain_key(file: &File, line: usize, column: usize, text: &str) -> bool {
    let line = file.text.lines().nth(line.saturating_sub(1));
    let rest: String = line
        .unwrap_or_default()
        .chars()
        .skip(column.saturating_sub(1))
        .collect();
    // An anchor may stand before it.
    let rest = match rest.split_once(' ') {
        Some((anchor, rest)) if anchor.starts_with('&') => rest.trim_start(),
        _ => rest.as_str(),
    };
    rest.starts_with(text) && !rest.starts_with(['"', '\'', '!'])
}

/// OPA unpacks what has this tag, and here it would be the text as it stands there. Where it is a tag, and where a part of a
/// text or a comment, the parser knows: it is asked with tags of our own in its place, which it tells, one for each.
fn refuse_binary(file: &File) -> Result<(), Problem> {
    let (mut text, mut places) = (String::new(), Vec::new());
    let mut at = 0;
    while let Some((begins, tag)) = next_binary(&file.text, at) {
        text.push_str(file.text.get(at..begins).unwrap_or_default());
        text.push_str(&own_tag(places.len()));
        places.push(begins);
        at = begins + tag.len();
    }
    if places.is_empty() {
        return Ok(());
    }
    text.push_str(file.text.get(at..).unwrap_or_default());
    let first = match yaml::from_str::<Yaml>(&text) {
        Ok(value) => {
            let mut tags = BTreeSet::new();
            own_tags(&value, &mut tags);
            let mut numbers = 0..places.len();
            numbers.find(|number| tags.contains(&own_tag(*number)))
        }
        // Nobody can tell.
        Err(_) => Some(0),
    };
    let Some(at) = first.and_then(|number| places.get(number)) else {
        return Ok(());
    };
    let before = file.text.get(..*at).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default();
    let column = column.chars().count() + 1;
    let message = "!!binary is not read: write the text that is meant";
    Err(Problem::new(&file.path, line, column, message))
}

/// Where one of the two ways to write the tag stands next.
fn next_binary(text: &str, from: usize) -> Option<(usize, &'static str)> {
    let marks = text.get(from..)?.match_indices('!');
    marks.map(|(at, _)| from + at).find_map(|at| {
        let rest = text.get(at..)?;
        let tag = BINARY.into_iter().find(|tag| rest.starts_with(tag))?;
        Some((at, tag))
    })
}

/// How YAML writes that a text is of bytes.
const BINARY: [&str; 2] = ["!!binary", "!<tag:yaml.org,2002:binary>"];

/// No file has it that was read before: tags of its own are refused.
fn own_tag(number: usize) -> String {
    format!("!dtgate-binary-{number}-")
}

fn own_tags(value: &Yaml, found: &mut BTreeSet<String>) {
    match value {
        Yaml::Tagged(tagged) => {
            found.insert(tagged.tag.to_string());
            own_tags(&tagged.value, found);
        }
        Yaml::Sequence(items) => items.iter().for_each(|it| own_tags(it, found)),
        Yaml::Mapping(members) => {
            for (name, member) in members {
                own_tags(name, found);
                own_tags(member, found);
            }
        }
        _ => {}
    }
}

/// Whether the text stands there without quotation marks: as an element of a list, or behind its key.
fn is_plain(file: &File, line: usize, column: usize, text: &str) -> bool {
    let line = file
        .text
        .lines()
        .nth(line.saturating_sub(1))
        .unwrap_or_default();
    let rest: String = line.chars().skip(column.saturating_sub(1)).collect();
    let mut places = rest.match_indices(text);
    places.any(|(at, _)| {
        let (before, behind) = rest.split_at(at);
        let behind = behind.strip_prefix(text).unwrap_or_default();
        let before = before.trim_end();
        (before.is_empty() || before.ends_with(':'))
            && !behind
                .starts_with(|next: char| next.is_ascii_alphanumeric() || "_.'\"".contains(next))
    })
}

/// The number that OPA's reader of YAML makes of a text, as both read it. It takes underscores away, and knows what a zero
/// in front means.
fn of_opa(text: &str) -> Option<String> {
    if !text.starts_with(|first: char| first.is_ascii_digit() || matches!(first, '+' | '-' | '.')) {
        return None;
    }
    let plain = text.replace('_', "");
    let digits = plain.trim_start_matches(['+', '-']);
    let sign = plain.get(..plain.len() - digits.len())?;
    let radix = |prefix: &str, radix: u32| {
        let digits = digits.strip_prefix(prefix)?;
        i128::from_str_radix(digits, radix).ok()?;
        Some(plain.clone())
    };
    let known = radix("0x", 16)
        .or_else(|| radix("0o", 8))
        .or_else(|| radix("0b", 2));
    if sign.len() > 1 || known.is_some() {
        return known;
    }
    let is_octal = |rest: &str| !rest.is_empty() && rest.chars().all(|it| matches!(it, '0'..='7'));
    if let Some(octal) = digits.strip_prefix('0').filter(|rest| is_octal(rest)) {
        return Some(format!("{sign}0o{octal}"));
    }
    let is_written = |it: char| it.is_ascii_digit() || matches!(it, '.' | 'e' | 'E' | '+' | '-');
    let number = digits
        .chars()
        .all(is_written)
        .then(|| digits.parse::<f64>().ok());
    number??.is_finite().then(|| {
        let digits = digits.trim_start_matches('0');
        let zero = if digits.starts_with(|it: char| it.is_ascii_digit()) {
            ""
        } else {
            "0"
        };
        format!("{sign}{zero}{digits}")
    })
}

/// How long the text at the beginning is, with its quotation marks.
fn text_length(rest: &str) -> usize {
    let mut escaped = false;
    let end = rest.bytes().skip(1).position(|byte| {
        let is_end = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        is_end
    });
    end.map_or(rest.len(), |end| end + 2)
}

fn unheld(number: &str) -> Option<String> {
    let is_integer = !number.contains(['.', 'e', 'E']);
    if is_integer && number.parse::<i64>().is_err() && number.parse::<u64>().is_err() {
        return Some(too_long(number));
    }
    numbers::unheld(number)
}

pub(super) fn too_long(integer: &str) -> String {
    format!("dtgate cannot hold {integer}: an integer in data has 64 bits; write it as a text")
}
