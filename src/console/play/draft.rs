//! What somebody has written: a request, what the gate knows about it, and changes to files.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;

use super::{Before, LONGEST_REQUEST, MOST_BYTES, MOST_FILES, Request, Sets, examples};
use crate::console::row::cut;
use crate::console::{Fault, Params};
use crate::policy::Text;

/// What the form has.
#[derive(Debug, Default)]
pub(super) struct Draft {
    pub(super) request: String,
    pub(super) environment: String,
    pub(super) token: String,
    pub(super) teams: String,
    pub(super) before_name: String,
    pub(super) before_scopes: String,
    /// The file in the editor.
    pub(super) path: String,
    /// Files that are not as in force. One that is empty is left out of the set.
    pub(super) changed: BTreeMap<String, String>,
    /// The file that is wanted next.
    next: String,
    pub(super) test_name: String,
    /// So many decisions are judged again.
    pub(super) last: usize,
    pub(super) wish: Wish,
}

/// What a request is written of.
#[derive(Debug, Default)]
pub(super) struct Wish {
    pub(super) operation: String,
    pub(super) id: String,
    pub(super) name: String,
    pub(super) scopes: String,
}

impl Draft {
    pub(super) fn of(params: &Params, sets: &Sets) -> Result<Self, Fault> {
        let text = |name: &str| params.raw(name).unwrap_or_default().to_owned();
        let word = |name: &str| params.get(name).unwrap_or_default().to_owned();
        let changed = match params.get("edited") {
            None => BTreeMap::new(),
            Some(edited) => serde_json::from_str(edited).map_err(|error| {
                Fault::Invalid(format!("The edited files cannot be read: {error}."))
            })?,
        };
        let last = params.get("last").map_or(Ok(USUAL), str::parse);
        let last = last.ok().filter(|last| (1..=MOST).contains(last));
        let mut draft = Self {
            request: lines(&text("request")),
            environment: word("environment"),
            token: word("token"),
            teams: word("teams"),
            before_name: text("before_name"),
            before_scopes: text("before_scopes"),
            path: word("path"),
            changed,
            next: params
                .get("new_file")
                .map_or_else(|| word("file"), str::to_owned),
            test_name: word("test_name"),
            last: last.ok_or_else(|| {
                Fault::Invalid(format!("Decisions: write a number from 1 to {MOST}."))
            })?,
            wish: Wish {
                operation: word("wish_operation"),
                id: word("wish_id"),
                name: text("wish_name"),
                scopes: text("wish_scopes"),
            },
        };
        if draft.request.len() > LONGEST_REQUEST {
            let most = LONGEST_REQUEST >> 10;
            return Err(Fault::Invalid(format!(
                "The request is longer than {most} KiB."
            )));
        }
        if let Some(source) = params.raw("source")
            && !draft.path.is_empty()
        {
            let path = draft.path.clone();
            draft.changed.insert(path, source.to_owned());
        }
        draft.settle(sets)?;
        if draft.path.is_empty() {
            draft.open(sets);
        }
        Ok(draft)
    }

    /// Keeps only what is otherwise than in force, with line ends as files have them.
    fn settle(&mut self, sets: &Sets) -> Result<(), Fault> {
        for text in self.changed.values_mut() {
            *text = lines(text);
        }
        self.changed.retain(|path, text| match sets.text(path) {
            Some(known) => lines(known) != *text,
            None => !text.trim().is_empty(),
        });
        if let Some((path, _)) = self
            .changed
            .iter()
            .find(|(_, text)| text.len() > LONGEST_FILE)
        {
            return Err(Fault::Invalid(format!(
                "{} is too long to be edited here: a file has {} KiB at most.",
                cut(path),
                LONGEST_FILE >> 10
            )));
        }
        let bytes: usize = self.changed.values().map(String::len).sum();
        if bytes > MOST_EDITED || self.changed.len() > MOST_FILES {
            return Err(Fault::Invalid(format!(
                "The edited files are too long: {MOST_FILES} files and {} MiB at most.",
                MOST_EDITED >> 20
            )));
        }
        let odd = self
            .changed
            .keys()
            .find(|path| sets.text(path).is_none() && !is_path(path));
        match odd {
            Some(_) => Err(Fault::Invalid(
                "A new file is called like my_policy.rego: letters, digits, _, - and /, and .rego, .yaml or .json at the end, and not \
                 _test.rego."
                    .to_owned(),
            )),
            None => Ok(()),
        }
    }

    /// Opens the file that is wanted; where none is, or it is not there, the first policy.
    pub(super) fn open(&mut self, sets: &Sets) {
        let is_there = |path: &str| {
            sets.text(path).is_some() || self.changed.contains_key(path) || is_path(path)
        };
        if !self.next.is_empty() && is_there(&self.next) {
            self.path.clone_from(&self.next);
        } else if self.path.is_empty() {
            let policies = sets.in_force.iter().filter(|it| is_policy(&it.path));
            let mut policies = policies.chain(&sets.in_force);
            self.path = policies
                .next()
                .map_or_else(|| "policy.rego".to_owned(), |it| it.path.clone());
        }
    }

    /// Opens this one, where it is there.
    pub(super) fn open_this(&mut self, path: String, sets: &Sets) {
        self.next = path;
        self.open(sets);
    }

    /// The file in the editor, as it was edited.
    pub(super) fn source<'a>(&'a self, sets: &'a Sets) -> &'a str {
        let changed = self.changed.get(&self.path).map(|text| &**text);
        changed
            .or_else(|| sets.text(&self.path))
            .unwrap_or_default()
    }

    /// All files, as they were edited.
    pub(super) fn edited(&self, sets: &Sets) -> Result<Vec<Text>, Fault> {
        let mut texts = sets.in_force.clone();
        for (path, text) in &self.changed {
            match texts.iter_mut().find(|it| it.path == *path) {
                Some(known) => known.text.clone_from(text),
                None => texts.push(Text {
                    path: path.clone(),
                    name: path.clone(),
                    text: text.clone(),
                }),
            }
        }
        texts.retain(|it| !it.text.trim().is_empty());
        let bytes: usize = texts.iter().map(|it| it.text.len()).sum();
        if texts.len() > MOST_FILES || bytes > MOST_BYTES + MOST_EDITED {
            return Err(Fault::Invalid(format!(
                "There are more than {MOST_FILES} files."
            )));
        }
        Ok(texts)
    }

    /// The request with what is known about it.
    pub(super) fn asked(&self, now: Timestamp) -> Result<Request, Fault> {
        if self.request.trim().is_empty() {
            return Err(Fault::Invalid(
                "There is no request: paste a curl line, take an example, or write one with the form.".to_owned(),
            ));
        }
        let is_known =
            !(self.before_name.trim().is_empty() && self.before_scopes.trim().is_empty());
        Ok(Request {
            text: self.request.clone(),
            environment: self.environment.clone(),
            token: self.token.clone(),
            teams: words(&self.teams),
            before: is_known.then(|| Before {
                name: self.before_name.trim().to_owned(),
                scopes: words(&self.before_scopes),
                disabled: false,
            }),
            time: now.to_string(),
        })
    }

    pub(super) fn take_example(&mut self, name: &str) -> Result<(), Fault> {
        let example = examples::ALL.iter().find(|it| it.name == name);
        let example =
            example.ok_or_else(|| Fault::NotThere("There is no such example.".to_owned()))?;
        example.request.clone_into(&mut self.request);
        let before = example.before().unwrap_or_default();
        self.before_name = before.name;
        self.before_scopes = before.scopes.join("\n");
        examples::CALLER.clone_into(&mut self.token);
        Ok(())
    }

    /// Writes the request that the form asks for.
    pub(super) fn write_request(&mut self) -> Result<(), Fault> {
        let Wish {
            operation,
            id,
            name,
            scopes,
        } = &self.wish;
        let id = if id.is_empty() { SOME_TOKEN } else { id };
        let is_plain = id
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b".-_".contains(&byte));
        if !is_plain {
            return Err(Fault::Invalid(
                "Token id: letters, digits, dots and hyphens.".to_owned(),
            ));
        }
        let mut body = serde_json::Map::new();
        if !name.trim().is_empty() {
            body.insert("name".to_owned(), json!(name.trim()));
        }
        if !scopes.trim().is_empty() || operation == "token.create" {
            body.insert("scopes".to_owned(), json!(words(scopes)));
        }
        let (line, has_body) = match operation.as_str() {
            "token.create" => ("POST /api/v2/apiTokens".to_owned(), true),
            "token.delete" => (format!("DELETE /api/v2/apiTokens/{id}"), false),
            "token.disable" => {
                body.clear();
                body.insert("enabled".to_owned(), json!(false));
                (format!("PUT /api/v2/apiTokens/{id}"), true)
            }
            _ => (format!("PUT /api/v2/apiTokens/{id}"), true),
        };
        let body = serde_json::to_string_pretty(&body).unwrap_or_default();
        self.request = if has_body {
            format!("{line} HTTP/1.1\nContent-Type: application/json\n\n{body}\n")
        } else {
            format!("{line} HTTP/1.1\n")
        };
        Ok(())
    }
}

/// Forms send line ends as `\r\n`.
fn lines(text: &str) -> String {
    text.replace("\r\n", "\n")
}

/// Words between blanks, commas and line ends.
fn words(text: &str) -> Vec<String> {
    let words = text.split(|c: char| c.is_whitespace() || c == ',');
    words
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}

/// By its name, which is written in small letters where it is read.
fn is_policy(path: &str) -> bool {
    path.rsplit_once('.').is_some_and(|(_, end)| end == "rego")
}

/// What a new file may be called.
fn is_path(path: &str) -> bool {
    let is_plain = path
        .bytes()
        .all(|byte| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte));
    let steps_are_plain = path
        .split('/')
        .all(|step| !step.is_empty() && !step.starts_with('.'));
    let ends = [".rego", ".yaml", ".json"]
        .iter()
        .any(|end| path.ends_with(end));
    path.len() <= 100 && is_plain && steps_are_plain && ends && !path.ends_with("_test.rego")
}

/// Decisions that are judged again, usually and at most.
pub(super) const USUAL: usize = 500;
pub(super) const MOST: usize = 5_000;
/// Bytes of what is edited.
const MOST_EDITED: usize = 1 << 20;
/// Bytes of a file that is edited here.
pub(super) const LONGEST_FILE: usize = 100 << 10;
const SOME_TOKEN: &str = "dt0c01.AAAAAAAAAAAAAAAAAAAAAAAA";

#[cfg(test)]
mod tests {
    use super::*;

    fn sets() -> Sets {
        Sets {
            policy: None,
            in_force: vec![examples::policy()],
        }
    }

    fn draft(query: &str) -> Result<Draft, Fault> {
        Draft::of(&Params::of(query), &sets())
    }

    #[test]
    fn what_is_as_in_force_is_not_edited_and_an_emptied_file_is_left_out() {
        let known = examples::policy();
        let same = super::super::super::params::encoded(&known.text).into_owned();
        let path = &known.path;
        let unchanged = draft(&format!("path={path}&source={same}")).unwrap();
        assert!(unchanged.changed.is_empty());
        assert_eq!(unchanged.edited(&sets()).unwrap(), [examples::policy()]);
        let emptied = draft(&format!("path={path}&source=%0d%0a")).unwrap();
        assert!(emptied.edited(&sets()).unwrap().is_empty());
        let added = draft("path=my/new.rego&source=package+dtgate.x").unwrap();
        assert_eq!(added.edited(&sets()).unwrap().len(), 2);
    }

    #[test]
    fn a_new_file_has_a_plain_name() {
        for odd in [
            "../x.rego",
            "/etc/x.rego",
            "x.txt",
            "a//b.rego",
            ".hidden.rego",
            "x_test.rego",
            "a%00.rego",
        ] {
            assert!(draft(&format!("path={odd}&source=x")).is_err(), "{odd}");
        }
    }

    #[test]
    fn the_form_writes_a_request() {
        let mut draft =
            draft("wish_operation=token.create&wish_name=a-b&wish_scopes=x,+y%0az").unwrap();
        draft.write_request().unwrap();
        assert!(
            draft
                .request
                .starts_with("POST /api/v2/apiTokens HTTP/1.1\n")
        );
        assert!(draft.request.contains("\"z\""), "{}", draft.request);
        draft.wish.id = "x HTTP/1.1\nHost: y".to_owned();
        draft.write_request().unwrap_err();
    }
}
