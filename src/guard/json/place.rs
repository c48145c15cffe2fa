//! Where in a text of JSON something stands, for people: `scopes[2].name`.
//!
//! Only asked when a text is refused, so nothing is kept while one is read.

/// An object or array that has begun, and what was read of it last.
enum Open {
    Array(usize),
    Object(String),
}

/// The member or element that valid JSON is cut off in or right behind. Names that are too long to be names of
/// members are not shown: they may be anything.
pub(super) fn member(begun: &[u8]) -> Option<String> {
    let mut open: Vec<Open> = Vec::new();
    // Whether the next text of an object is a name.
    let mut named = true;
    let mut at = 0;
    while let Some(byte) = begun.get(at) {
        let mut length = 1;
        match byte {
            b'{' => {
                open.push(Open::Object(String::new()));
                named = true;
            }
            b'[' => open.push(Open::Array(0)),
            b'}' | b']' => drop(open.pop()),
            b':' => named = false,
            b',' => {
                named = true;
                if let Some(Open::Array(index)) = open.last_mut() {
                    *index += 1;
                }
            }
            b'"' => {
                let text = begun.get(at..).unwrap_or_default();
                length = text_length(text);
                if let (true, Some(Open::Object(name))) = (named, open.last_mut()) {
                    let text = text.get(..length).unwrap_or_default();
                    *name = serde_json::from_slice(text).unwrap_or_default();
                }
            }
            _ => {}
        }
        at += length;
    }
    let mut path = String::new();
    for step in &open {
        match step {
            Open::Array(index) => path.extend(["[", &index.to_string(), "]"]),
            Open::Object(name) => {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(shown(name));
            }
        }
    }
    (!path.is_empty()).then_some(path)
}

/// A name that may be shown.
pub(super) fn shown(name: &str) -> &str {
    if name.len() > LONGEST { "…" } else { name }
}

/// Bytes from quote to quote.
fn text_length(text: &[u8]) -> usize {
    let mut escaped = false;
    let inner = text.iter().skip(1).position(|byte| {
        let ends = *byte == b'"' && !escaped;
        escaped = *byte == b'\\' && !escaped;
        ends
    });
    inner.map_or(text.len(), |inner| inner + 2)
}

/// Names of members that mean something are shorter, and secret parts of tokens are longer.
const LONGEST: usize = 48;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_member_is_the_one_that_was_read_last() {
        for (begun, found) in [
            (r#"{"a":1,"b""#, Some("b")),
            (r#"{"a":{"b":[1,{"c":2,"d""#, Some("a.b[1].d")),
            (r#"{"a":[[],[{"x":"}]"},7"#, Some("a[1][1]")),
            (r#"{"a \" \\":"{[\"","b\u0041""#, Some("bA")),
            ("[[1,2", Some("[0][1]")),
            (r#"{"a":{"b":1},"c":2"#, Some("c")),
            ("{", None),
            ("1", None),
            ("", None),
        ] {
            assert_eq!(member(begun.as_bytes()).as_deref(), found, "{begun}");
        }
        let long = format!(r#"{{"a":{{"{}":{{"b""#, "x".repeat(49));
        assert_eq!(member(long.as_bytes()).as_deref(), Some("a.….b"));
    }
}
