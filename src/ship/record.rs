//! A record, looked into. Masks may have put anything in any place: what is not as expected is not there.

use jiff::Timestamp;
use serde_json::Value;

/// A record of any kind.
#[derive(Clone, Debug)]
pub(super) struct Record(Value);

/// What one policy said.
pub(super) struct Violation<'a> {
    pub(super) policy: &'a str,
    pub(super) mode: &'a str,
    pub(super) code: &'a str,
    pub(super) message: &'a str,
}

impl Record {
    /// From its line. One that is not JSON has nothing that could be looked for.
    pub(super) fn read(line: &[u8]) -> Self {
        Self(serde_json::from_slice(line).unwrap_or_default())
    }

    pub(super) fn text(&self, pointer: &str) -> Option<&str> {
        let text = self.0.pointer(pointer)?.as_str()?;
        (!text.is_empty()).then_some(text)
    }

    pub(super) fn number(&self, pointer: &str) -> Option<i64> {
        self.0.pointer(pointer)?.as_i64()
    }

    pub(super) fn says(&self, pointer: &str) -> Option<bool> {
        self.0.pointer(pointer)?.as_bool()
    }

    pub(super) fn kind(&self) -> &str {
        self.text("/kind").unwrap_or("unknown")
    }

    pub(super) fn seq(&self) -> i64 {
        self.number("/seq").unwrap_or_default()
    }

    pub(super) fn time(&self) -> Option<Timestamp> {
        self.text("/timestamp")?.parse().ok()
    }

    pub(super) fn is_denied(&self) -> bool {
        self.text("/verdict") == Some("deny")
    }

    /// `allow`, `deny`; and `granted`, where policies deny what a grant has let pass.
    pub(super) fn verdict(&self) -> Option<&str> {
        let granted = self.text("/grant/id").map(|_id| "granted");
        granted.or_else(|| self.text("/verdict"))
    }

    /// The environment by its name, wherever it stands.
    pub(super) fn environment(&self) -> Option<&str> {
        let within = || self.text("/input/environment/name");
        self.text("/environment").or_else(within)
    }

    /// The token that it is about, or that was made.
    pub(super) fn token(&self) -> Option<&str> {
        let made = || self.text("/credential/id");
        self.text("/input/token/id").or_else(made)
    }

    /// The name of that token.
    pub(super) fn token_name(&self) -> Option<&str> {
        let now = self.text("/input/token/current/name");
        now.or_else(|| self.text("/input/change/name/requested"))
    }

    /// Those that the caller belongs to.
    pub(super) fn teams(&self) -> impl Iterator<Item = &str> {
        self.list("/caller/teams").filter_map(Value::as_str)
    }

    /// Of all policies, enforced or not.
    pub(super) fn violations(&self) -> impl Iterator<Item = Violation<'_>> {
        self.list("/result/violations").map(|said| {
            let text = |name: &str| said.get(name).and_then(Value::as_str).unwrap_or_default();
            Violation {
                policy: text("policy"),
                mode: text("mode"),
                code: text("code"),
                message: text("message"),
            }
        })
    }

    /// Everything else that it says, for people.
    pub(super) fn others(&self) -> impl Iterator<Item = (&str, &Value)> {
        let members = self.0.as_object().into_iter().flatten();
        members
            .map(|(name, value)| (name.as_str(), value))
            .filter(|(name, _)| !OF_ALL.contains(name))
    }

    fn list(&self, pointer: &str) -> impl Iterator<Item = &Value> {
        self.0
            .pointer(pointer)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    }
}

/// What every record has.
const OF_ALL: [&str; 5] = ["seq", "prev", "synced", "kind", "timestamp"];
