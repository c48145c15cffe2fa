//! `apiTokenSelector`: `owner("x"),personalAccessToken(true),scope("a","b")`.
//!
//! All criteria must hold; within one, any of its values.

use super::state::Token;

pub(super) struct Selector(Vec<Criterion>);

enum Criterion {
    Owner(Vec<String>),
    PersonalAccessToken(Vec<bool>),
    Scope(Vec<String>),
}

impl Selector {
    /// The empty text selects everything.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let mut criteria = Vec::new();
        let mut rest = text.trim();
        while !rest.is_empty() {
            let (name, after) = rest.split_once('(')?;
            let (values, after) = values(after)?;
            criteria.push(match name.trim() {
                "owner" => Criterion::Owner(values),
                "personalAccessToken" => Criterion::PersonalAccessToken(flags(&values)?),
                "scope" => Criterion::Scope(values),
                _ => return None,
            });
            rest = after.trim_start();
            if let Some(next) = rest.strip_prefix(',') {
                rest = next.trim_start();
                if rest.is_empty() {
                    return None;
                }
            } else if !rest.is_empty() {
                return None;
            }
        }
        Some(Self(criteria))
    }

    pub(super) fn admits(&self, token: &Token) -> bool {
        self.0.iter().all(|criterion| match criterion {
            Criterion::Owner(owners) => owners.contains(&token.owner),
            Criterion::PersonalAccessToken(flags) => flags.contains(&token.personal),
            Criterion::Scope(scopes) => scopes.iter().any(|scope| token.has(scope)),
        })
    }
}

fn flags(values: &[String]) -> Option<Vec<bool>> {
    values.iter().map(|value| value.parse().ok()).collect()
}

/// Quoted or bare values up to the closing parenthesis, and what follows it. `~` escapes in quotes.
fn values(text: &str) -> Option<(Vec<String>, &str)> {
    let mut values = Vec::new();
    let mut value = String::new();
    let mut quoted = false;
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '~' if quoted => value.push(characters.next()?.1),
            '"' => quoted = !quoted,
            ',' | ')' if !quoted => {
                if value.is_empty() {
                    return None;
                }
                values.push(std::mem::take(&mut value));
                if character == ')' {
                    return Some((values, text.get(at + 1..)?));
                }
            }
            ' ' if !quoted => {}
            character => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulate::state::State;

    #[test]
    fn criteria_are_joined_by_and_and_values_by_or() {
        let state = State::seeded(0);
        let count = |text: &str| {
            let selector = Selector::parse(text)?;
            Some(
                state
                    .tokens
                    .iter()
                    .filter(|token| selector.admits(token))
                    .count(),
            )
        };
        for (text, expected) in [
            ("", Some(12)),
            ("owner(\"jane.doe\")", Some(1)),
            ("owner(jane.doe), personalAccessToken(true)", Some(1)),
            ("personalAccessToken(false),owner(\"jane.doe\")", Some(0)),
            ("scope(\"LogImport\",\"ViewDashboard\")", Some(3)),
            ("owner(\"a~\"b\")", Some(0)),
            ("owner(\"x\"", None),
            ("owner(\"x\"),", None),
            ("owner()", None),
            ("personalAccessToken(maybe)", None),
            ("name(\"x\")", None),
            ("owner(\"x\")scope(\"y\")", None),
        ] {
            assert_eq!(count(text), expected, "{text}");
        }
    }
}
