use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use super::*;
use crate::audit::outgoing::Bookmark;
use crate::ship::tests::{Does, Receiver, TAKEN, Written, decision};

const GATE: &str = "gate.example/journal";

/// Files with secrets, and what they are named in.
struct Files(tempfile::TempDir);

impl Files {
    fn new(url: &str) -> Self {
        let files = Self(tempfile::tempdir().unwrap());
        files.write("url", url);
        files.write("key", "hunter2\n");
        files
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn config(&self, shape: &str, more: &str) -> Config {
        let key = if shape == "pagerduty" {
            format!("routing_key_file = '{}'\n", self.path("key").display())
        } else {
            String::new()
        };
        let url = self.path("url");
        let text = format!(
            "shape = '{shape}'\nurl_file = '{}'\n{key}{more}",
            url.display()
        );
        toml::from_str(&text).unwrap()
    }
}

/// Records as they leave the journal.
fn outgoing(records: impl IntoIterator<Item = Value>) -> Vec<Outgoing> {
    let mut journal = Written::new();
    let mut last = 0;
    for record in records {
        journal.write(record);
        last += 1;
    }
    let mut bookmark = Bookmark::open(journal.path(), "a", 0).unwrap();
    bookmark.next(last, MOST).unwrap().records
}

fn denials(count: u64) -> Vec<Outgoing> {
    outgoing((1..=count).map(|number| decision(number, "deny")))
}

/// What the records make of a hand.
fn hand(records: &[Outgoing], shape: Shape, most: usize) -> Hand {
    let mut hand = Hand::default();
    for outgoing in records {
        let record = Record::read(&outgoing.line);
        let line = (shape == Shape::Json).then_some(&*outgoing.line);
        hand.take(outgoing.seq, most, || Told::of(outgoing.seq, &record, line));
    }
    hand
}

fn message(records: &[Outgoing], shape: Shape) -> Value {
    shape::message(shape, &hand(records, shape, 10), GATE, "hunter2")
}

fn bodies(server: &Receiver) -> Vec<Value> {
    let taken = server.taken();
    let read = |got: &crate::ship::tests::Got| serde_json::from_slice(&got.body).unwrap();
    taken.iter().map(read).collect()
}

#[test]
fn slack_gets_a_block_for_each_and_no_mark_of_a_client() {
    let mut record = decision(1, "deny");
    let hostile = "<!channel> @here `*_& \u{202e}<http://evil|click>";
    record["input"]["token"]["current"]["name"] = json!(hostile);
    record["input"]["environment"]["name"] = json!("<!everyone>");
    let message = message(&outgoing([record]), Shape::Slack);
    let text = message["blocks"][0]["text"].clone();
    assert_eq!(text["type"], "mrkdwn");
    assert_eq!(text["verbatim"], true);
    let text = text["text"].as_str().unwrap();
    assert_eq!(
        text,
        "*Denied:\u{2060} token.update in &lt;!everyone&gt;*\n\
         who: `dt0c01.abc123 (team payments) from 10.1.2.3`\n\
         what: `PUT /api/v1/tokens/d5836312`\n\
         decision: `id-1 (record 1)`\n\
         token: `&lt;!channel&gt; @here '*_&amp; \\u{202e}&lt;http://evil|click&gt;`\n\
         policy: `forbidden_scopes: scope \"WriteConfig\" may not be granted`"
    );
    assert_eq!(
        message["text"],
        "dtgate:\u{2060} Denied:\u{2060} token.update in &lt;!everyone&gt;"
    );
    let whole = message.to_string();
    assert!(
        !whole.contains(['<', '>']) && !whole.contains("hunter2"),
        "{whole}"
    );
}

#[test]
fn teams_gets_a_card_in_which_no_text_is_markdown() {
    let mut record = decision(1, "deny");
    let hostile = "[click](http://evil) **b** <at>all</at> {{{DATE(2026-01-01T00:00:00Z)}}}";
    record["input"]["token"]["current"]["name"] = json!(hostile);
    let message = message(&outgoing([record]), Shape::Teams);
    let attachment = &message["attachments"][0];
    assert_eq!(
        attachment["contentType"],
        "application/vnd.microsoft.card.adaptive"
    );
    let card = &attachment["content"];
    assert_eq!(
        (&card["type"], &card["version"]),
        (&json!("AdaptiveCard"), &json!("1.4"))
    );
    let body = card["body"].as_array().unwrap();
    // Only runs of text: what stands in them is no Markdown, and nothing else in the card has a text.
    assert!(body.iter().all(|block| block["type"] == "RichTextBlock"));
    let runs = body[0]["inlines"].as_array().unwrap();
    assert!(runs.iter().all(|run| run["type"] == "TextRun"));
    let shown = hostile.replace('{', "{\u{2060}");
    assert!(runs.iter().any(|run| run["text"] == shown));
    assert!(!card.to_string().contains("{{"));
    assert_eq!(card["fallbackText"], "dtgate: Denied: token.update in prod");
}

#[test]
fn a_pager_gets_one_event_for_each_decision_and_knows_it_again() {
    let records = denials(3);
    let one = message(&records[..1], Shape::PagerDuty);
    assert_eq!(one["routing_key"], "hunter2");
    assert_eq!(one["event_action"], "trigger");
    assert_eq!(one["dedup_key"], "id-1");
    let payload = &one["payload"];
    for (name, value) in [
        ("summary", "dtgate: Denied: token.update in prod"),
        ("source", GATE),
        ("severity", "warning"),
        ("timestamp", "2026-11-24T06:50:48.268Z"),
        ("component", "prod"),
        ("group", "token.update"),
        ("class", "forbidden_scopes"),
    ] {
        assert_eq!(payload[name], value, "{name}");
    }
    assert_eq!(payload["custom_details"]["decision"], "id-1 (record 1)");
    let several = message(&records, Shape::PagerDuty);
    assert_eq!(several["dedup_key"], "gate.example/journal/1-3");
    assert_eq!(several["payload"]["summary"], "dtgate: 3 records, 1 to 3");
}

#[test]
fn others_get_the_records_as_they_are() {
    let records = denials(2);
    let message = message(&records, Shape::Json);
    assert_eq!(message["gate"], GATE);
    assert_eq!((&message["more"], &message["last"]), (&json!(0), &json!(2)));
    let line: Value = serde_json::from_slice(&records[1].line).unwrap();
    assert_eq!(message["records"][1], line);
}

#[test]
fn messages_are_short_whatever_is_in_the_records() {
    let long = |number| {
        let mut record = decision(number, "deny");
        let text = "\u{1f600}&\u{202e}".repeat(300);
        for place in ["name", "id"] {
            record["input"]["token"]["current"][place] = json!(text);
        }
        record["requested_by"] = json!(text);
        record["input"]["environment"]["name"] = json!(text);
        record["decision_id"] = json!(text);
        record["request"]["path"] = json!(text);
        let said = json!({"policy": text, "mode": "dry_run", "message": text, "code": text});
        record["result"]["violations"] = json!(vec![said; 5]);
        record
    };
    let records = outgoing((1..=15).map(long));
    for (shape, most) in [
        (Shape::Slack, 40_000),
        (Shape::Teams, 28_000),
        (Shape::PagerDuty, 100_000),
    ] {
        let message = message(&records, shape);
        let whole = message.to_string();
        assert!(whole.len() < most, "{shape:?}: {}", whole.len());
        for block in message["blocks"].as_array().into_iter().flatten() {
            let text = block["text"]["text"].as_str().unwrap_or_default();
            assert!(text.chars().count() <= 3000);
        }
    }
    let text = message(&records, Shape::Slack).to_string();
    assert!(
        text.contains("more; all are among the records 1 to 15"),
        "{text}"
    );
    // Of other kinds what they say is told, too.
    let recovery = json!({"kind": "recovery", "reason": "a torn end", "refused_events": 2});
    let text = message(&outgoing([recovery]), Shape::Slack).to_string();
    assert!(
        text.contains("*Recovery*") && text.contains("`reason: a torn end`"),
        "{text}"
    );
    let odd =
        json!({"kind": "decision", "verdict": "deny", "caller": [], "result": 7, "request": null});
    for shape in [Shape::Slack, Shape::Teams, Shape::PagerDuty, Shape::Json] {
        message(&outgoing([odd.clone()]), shape);
    }
}

#[test]
fn a_filter_selects_denials_unless_it_says_otherwise() {
    let files = Files::new("http://127.0.0.1:1");
    let allowed = decision(1, "allow");
    let denied = decision(2, "deny");
    let start = json!({"kind": "start", "version": "0.1.0"});
    let recovery = json!({"kind": "recovery", "reason": "torn"});
    let mut warned = decision(5, "allow");
    warned["result"]["violations"] = json!([{"policy": "naming", "mode": "warn", "code": "name"}]);
    let mut granted = denied.clone();
    granted["verdict"] = json!("allow");
    granted["grant"] = json!({"id": "g", "ticket": "OPS-1"});
    let records = [&allowed, &denied, &start, &recovery, &warned, &granted];
    for (filter, wanted) in [
        ("", "010001"),
        ("verdict = ['allow']", "100010"),
        ("verdict = ['allow', 'deny']", "110010"),
        ("verdict = ['granted']", "000001"),
        ("kind = ['recovery', 'st*']", "001100"),
        ("kind = ['*']", "011101"),
        ("operation = ['token.*']", "010001"),
        ("operation = ['token.create']", "000000"),
        ("environment = ['prod', 'dev']", "010001"),
        ("environment = ['dev']", "000000"),
        ("policy = ['forbidden_scopes']", "010001"),
        ("policy = ['*']\nverdict = ['allow', 'deny']", "010010"),
        ("code = ['forbidden-*']", "010001"),
        ("code = ['other']", "000000"),
    ] {
        let config = files.config("slack", filter);
        let selected = records.map(|record| {
            let record = Record::read(record.to_string().as_bytes());
            char::from(b'0' + u8::from(config.selects(&record)))
        });
        assert_eq!(String::from_iter(selected), wanted, "{filter}");
    }
}

#[test]
fn what_the_files_lack_is_said_and_nothing_of_them() {
    for (url, key, shape, wanted) in [
        ("https://hooks.slack.com/a?b=c\n", "k", "slack", None),
        ("http://127.0.0.1:1/a", "k", "teams", None),
        (
            "http://hunter2.example/a",
            "k",
            "slack",
            Some("is a secret"),
        ),
        ("hunter2", "k", "slack", Some("not a URL")),
        ("ftp://hunter2", "k", "json", Some("not a URL")),
        ("https://a hunter2", "k", "json", Some("one word")),
        ("", "k", "json", Some("one word")),
        ("https://a", "", "pagerduty", Some("routing_key_file")),
    ] {
        let files = Files::new(url);
        files.write("key", key);
        let made = Webhook::new("webhook.a", &files.config(shape, ""), GATE);
        match (made, wanted) {
            (Ok(_), None) => {}
            (Err(error), Some(wanted)) => {
                let said = error.to_string();
                assert!(said.contains(wanted) && !said.contains("hunter2"), "{said}");
            }
            (made, wanted) => panic!("{url}: {:?} {wanted:?}", made.err()),
        }
    }
    let files = Files::new("https://a");
    let with = |text: &str| toml::from_str::<Config>(text).unwrap();
    let key = files.path("key").display().to_string();
    for (text, wanted) in [
        ("shape = 'slack'".to_owned(), Some("url_file")),
        ("shape = 'pagerduty'".to_owned(), Some("routing_key_file")),
        (
            format!("shape = 'pagerduty'\nrouting_key_file = '{key}'"),
            None,
        ),
        (
            format!("shape = 'slack'\nurl_file = '{key}'\nrouting_key_file = '{key}'"),
            Some(""),
        ),
        (
            "shape = 'slack'\nurl_file = '/nowhere/url'".to_owned(),
            Some("/nowhere/url"),
        ),
    ] {
        let made = Webhook::new("webhook.a", &with(&text), GATE).map(drop);
        let said = made.err().map(|error| error.to_string());
        assert_eq!(said.is_some(), wanted.is_some(), "{text}: {said:?}");
        assert!(
            said.unwrap_or_default()
                .contains(wanted.unwrap_or_default()),
            "{text}"
        );
    }
}

#[tokio::test]
async fn a_flood_is_told_by_its_number() {
    let server = Receiver::new(|_| TAKEN);
    let files = Files::new(&format!("http://{}/hook", server.address));
    let config = files.config("slack", "per_minute = 2");
    let mut hook = Webhook::new("webhook.a", &config, GATE).unwrap();
    let records = denials(340);
    assert_eq!(hook.send(&records[..1]).await, Ok(Sent::Arrived(1)));
    assert_eq!(hook.send(&records[1..20]).await, Ok(Sent::Arrived(19)));
    for part in records[20..].chunks(100) {
        assert_eq!(hook.send(part).await, Ok(Sent::Held));
    }
    assert!(hook.holds());
    assert_eq!(hook.send_held(false).await, Ok(Sent::Held));
    assert_eq!(bodies(&server).len(), 2);
    tokio::time::pause();
    tokio::time::advance(Duration::from_mins(1)).await;
    tokio::time::resume();
    assert_eq!(hook.send_held(false).await, Ok(Sent::Arrived(320)));
    assert!(!hook.holds());
    let bodies = bodies(&server);
    assert_eq!(bodies[1]["text"], "dtgate:\u{2060} 19 records, 2 to 20");
    assert_eq!(bodies[1]["blocks"].as_array().unwrap().len(), 12);
    assert!(
        bodies[2]
            .to_string()
            .contains("and 310 more; all are among the records 21 to 340")
    );
    // What is held does not wait for the minute when the gate ends.
    assert_eq!(hook.send(&records[..1]).await, Ok(Sent::Arrived(1)));
    assert_eq!(hook.send(&records[1..3]).await, Ok(Sent::Held));
    assert_eq!(hook.send_held(true).await, Ok(Sent::Arrived(2)));
    // Nothing that is selected is no message.
    let before = server.asked();
    assert_eq!(
        hook.send(&outgoing([decision(1, "allow")])).await,
        Ok(Sent::Arrived(0))
    );
    assert_eq!(server.asked(), before);
}

#[tokio::test]
async fn a_pager_gets_what_fits_one_by_one_and_the_rest_as_one() {
    let server = Receiver::new(|_| Does::Answer("202 Accepted"));
    let files = Files::new(&format!("http://{}/", server.address));
    let config = files.config("pagerduty", "per_minute = 4");
    let mut hook = Webhook::new("webhook.a", &config, GATE).unwrap();
    let records = denials(30);
    assert_eq!(hook.send(&records[..2]).await, Ok(Sent::Arrived(2)));
    assert_eq!(hook.send(&records[2..9]).await, Ok(Sent::Arrived(7)));
    assert_eq!(hook.send(&records[9..30]).await, Ok(Sent::Held));
    let keys: Vec<Value> = bodies(&server)
        .iter()
        .map(|body| body["dedup_key"].clone())
        .collect();
    assert_eq!(keys, ["id-1", "id-2", "id-3", "gate.example/journal/4-9"]);
}

#[tokio::test]
async fn what_fails_is_told_again_and_what_a_client_wrote_stops_nothing() {
    let server = Receiver::new(|_| Does::Answer("503 Service Unavailable"));
    let files = Files::new(&format!("http://{}/old", server.address));
    let config = files.config("teams", "");
    let mut hook = Webhook::new("webhook.a", &config, GATE).unwrap();
    let records = denials(3);
    for _ in 0..2 {
        hook.send(&records).await.unwrap_err();
        assert!(!hook.holds());
    }
    // The URL is exchanged while the gate runs.
    files.write("url", &format!("http://{}/new\n", server.address));
    server.does_now(|got| {
        let text = String::from_utf8_lossy(&got.body);
        if text.contains("payments-prod-ci") {
            Does::Answer("400 Bad Request")
        } else {
            TAKEN
        }
    });
    assert_eq!(hook.send(&records).await, Ok(Sent::Arrived(3)));
    let taken = server.taken();
    assert_eq!(taken.len(), 1);
    assert_eq!(taken[0].line, "POST /new HTTP/1.1");
    let text = String::from_utf8_lossy(&taken[0].body).into_owned();
    assert!(
        text.contains("3 more; they are among the records 1 to 3"),
        "{text}"
    );
    // A URL that others could read on the way is not used.
    files.write("url", "http://elsewhere.example/");
    let Err(Refusal::Now(reason, None)) = hook.send(&records).await else {
        panic!("it is sent");
    };
    assert!(reason.contains("is a secret"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn no_more_messages_are_sent_within_a_minute_than_may_be() {
    let mut rate = Rate::new(3);
    for _ in 0..3 {
        assert!(rate.free() > 0);
        rate.take();
        tokio::time::advance(Duration::from_secs(10)).await;
    }
    assert_eq!(rate.free(), 0);
    tokio::time::advance(Duration::from_secs(30)).await;
    assert_eq!(rate.free(), 1);
    tokio::time::advance(Duration::from_mins(1)).await;
    assert_eq!(rate.free(), 3);
}
