//! One message in the shape that its receiver wants. Texts of clients stand only where they are read as text: nobody can
//! mention a channel, hide a link or format anything by what he calls his token.

use serde_json::{Value, json};

use super::super::Shape;
use super::hand::Hand;
use super::told::{Severity, Told};

/// Tells all that a hand holds in one message. `gate` is the name of the gate.
pub(super) fn message(shape: Shape, hand: &Hand, gate: &str, routing_key: &str) -> Value {
    match shape {
        Shape::Slack => slack(hand, gate),
        Shape::Teams => teams(hand, gate),
        Shape::PagerDuty => pagerduty(hand, gate, routing_key),
        Shape::Json => json(hand, gate),
    }
}

/// `text` is for notifications; blocks are what is read.
fn slack(hand: &Hand, gate: &str) -> Value {
    let (mut blocks, more) = fitting(hand, |told| {
        let mut text = format!("*{}*", escaped(&told.title));
        for (name, fact) in &told.facts {
            let line = format!("\n{name}: {}", code(fact));
            if text.len() + line.len() <= LONGEST_BLOCK {
                text.push_str(&line);
            }
        }
        section(&text)
    });
    if let Some(rest) = rest(hand, more) {
        blocks.push(section(&escaped(&rest)));
    }
    blocks.push(json!({"type": "context", "elements": [
        {"type": "plain_text", "text": format!("dtgate {gate}"), "emoji": false},
    ]}));
    json!({"text": escaped(&headline(hand)), "blocks": blocks})
}

fn section(text: &str) -> Value {
    // Verbatim: no name of a channel, and no address, becomes a link.
    json!({"type": "section", "text": {"type": "mrkdwn", "text": text, "verbatim": true}})
}

/// What Slack reads as text: its own escapes, and an invisible joiner behind what would be a mark.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '*' | '_' | '~' | '`' | '@' | ':' => {
                escaped.push(c);
                escaped.push(JOINER);
            }
            c => escaped.push(c),
        }
    }
    escaped
}

/// A piece of code: nothing in it is a mark but what ends it, and it can be copied as it is.
fn code(text: &str) -> String {
    let text = text.replace('`', "'");
    let text = text.replace('&', "&amp;");
    format!("`{}`", text.replace('<', "&lt;").replace('>', "&gt;"))
}

/// An adaptive card of text runs: what stands in one is never read as Markdown.
fn teams(hand: &Hand, gate: &str) -> Value {
    let (mut body, more) = fitting(hand, |told| {
        let mut runs =
            vec![json!({"type": "TextRun", "text": literal(&told.title), "weight": "Bolder"})];
        for (name, fact) in &told.facts {
            runs.push(json!({"type": "TextRun", "text": format!("\n{name}: "), "isSubtle": true}));
            runs.push(json!({"type": "TextRun", "text": literal(fact)}));
        }
        json!({"type": "RichTextBlock", "inlines": runs, "separator": true})
    });
    let line = |text: &str| json!({"type": "RichTextBlock", "inlines": [{"type": "TextRun", "text": text, "isSubtle": true}]});
    if let Some(rest) = rest(hand, more) {
        body.push(line(&rest));
    }
    body.push(line(&format!("dtgate {gate}")));
    json!({"type": "message", "attachments": [{
        "contentType": "application/vnd.microsoft.card.adaptive",
        "content": {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.4",
            "fallbackText": literal(&headline(hand)),
            "body": body,
        },
    }]})
}

/// Cards have functions, `{{DATE(…)}}`: no text of a client is one.
fn literal(text: &str) -> String {
    text.replace('{', &format!("{{{JOINER}"))
}

/// Events API v2. The same decision is the same alarm, however often it arrives.
fn pagerduty(hand: &Hand, gate: &str, routing_key: &str) -> Value {
    let one = hand.told.front().filter(|_| hand.count() == 1);
    let alone = || format!("{gate}/{}", hand.first);
    let (key, severity) = match one {
        Some(told) => (told.id.clone().unwrap_or_else(alone), told.severity),
        None => (
            format!("{gate}/{}-{}", hand.first, hand.last),
            Severity::Warning,
        ),
    };
    let mut details = serde_json::Map::new();
    for (name, fact) in one.iter().flat_map(|told| &told.facts) {
        match details.get_mut(*name) {
            // Several policies.
            Some(Value::String(said)) => {
                said.push_str("; ");
                said.push_str(fact);
            }
            _ => {
                details.insert((*name).to_owned(), json!(fact));
            }
        }
    }
    if one.is_none() {
        let titles: Vec<&str> = hand.told.iter().map(|told| told.title.as_str()).collect();
        details.insert("first".to_owned(), json!(titles));
        details.insert("records".to_owned(), json!([hand.first, hand.last]));
    }
    let mut payload = json!({
        "summary": headline(hand),
        "source": gate,
        "severity": severity.as_str(),
        "custom_details": details,
    });
    let known = |get: fn(&Told) -> Option<&String>| one.and_then(get);
    for (name, value) in [
        ("timestamp", known(|told| told.time.as_ref())),
        ("component", known(|told| told.environment.as_ref())),
        ("group", known(|told| told.operation.as_ref())),
        ("class", known(|told| told.policy.as_ref())),
    ] {
        if let (Some(value), Some(payload)) = (value, payload.as_object_mut()) {
            payload.insert(name.to_owned(), json!(value));
        }
    }
    json!({
        "routing_key": routing_key, "event_action": "trigger", "dedup_key": key, "client": "dtgate",
        "payload": payload,
    })
}

/// The records as they are in the journal.
fn json(hand: &Hand, gate: &str) -> Value {
    let (records, more) = fitting(hand, |told| json!(told.line));
    json!({
        "gate": gate, "text": headline(hand), "records": records, "more": more,
        "first": hand.first, "last": hand.last,
    })
}

/// As many as a message has room for; how many are left.
fn fitting(hand: &Hand, render: impl Fn(&Told) -> Value) -> (Vec<Value>, u64) {
    let (mut fitting, mut bytes) = (Vec::new(), 0);
    for told in &hand.told {
        let value = render(told);
        bytes += value.to_string().len();
        if bytes > LONGEST_MESSAGE && !fitting.is_empty() {
            break;
        }
        fitting.push(value);
    }
    let more = hand.count() - fitting.len() as u64;
    (fitting, more)
}

/// In one line: the record, where there is but one, and the number of them else.
fn headline(hand: &Hand) -> String {
    match hand.told.front() {
        Some(told) if hand.count() == 1 => format!("dtgate: {}", told.title),
        _ => format!(
            "dtgate: {} records, {} to {}",
            hand.count(),
            hand.first,
            hand.last
        ),
    }
}

/// What is told by number alone, and where it is.
fn rest(hand: &Hand, more: u64) -> Option<String> {
    let (first, last) = (hand.first, hand.last);
    let among = if hand.told.is_empty() {
        "they are"
    } else {
        "all are"
    };
    let and = if hand.told.is_empty() { "" } else { "and " };
    (more > 0).then(|| {
        format!("{and}{more} more; {among} among the records {first} to {last} of the journal")
    })
}

/// Slack takes 3,000 characters in a block.
const LONGEST_BLOCK: usize = 2900;
/// Teams takes 28 KB.
const LONGEST_MESSAGE: usize = 22_000;
/// Joins words, and cannot be seen.
const JOINER: char = '\u{2060}';
