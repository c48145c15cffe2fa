//! Now: what comes in and what is refused, and how the gate is.

mod faults;

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::Value;

use super::decisions::{counted_notes, rows, table};
use crate::audit::index::{By, Filter, MINUTE, Pattern, QUARTER, SHORT, Sum, Took, Which};
use crate::console::live::{FROM, GATES, Last};
use crate::console::page::{Page, shown};
use crate::console::params::Params;
use crate::console::plot::{Axis, Latencies, Plot};
use crate::console::row::{cut, many, time};
use crate::console::search::patterns;
use crate::console::{Asked, Fault};
use crate::store::Found;
use crate::trail::Source;
use crate::value::rfc3339_millis;

/// A time to look back, as the page names it.
struct Span {
    name: &'static str,
    /// In milliseconds.
    long: i64,
    parts: i64,
    /// What decisions are counted by in it, in milliseconds.
    counted: i64,
}

/// What is shown of a time: cards, decisions and latencies are all of it.
struct Looked {
    span: &'static Span,
    axis: Axis,
    filter: Filter,
    sums: Vec<Sum>,
}

pub(in crate::console) fn page(asked: &Asked<'_>) -> Result<Page, Fault> {
    let source = asked.gate.open()?;
    let now = asked.now.as_millisecond();
    let environment = patterns(asked.params, "environment");
    let Looked {
        span,
        axis,
        filter,
        sums,
    } = looked_back(&source, asked.params.get("last"), now, &environment)?;
    let plot = Plot::of(&sums, axis);
    let newest = Filter {
        environment: environment.clone(),
        ..Filter::default()
    };
    // Before the decisions: what comes between the two is new.
    let of_gates = source.newest_of_gates()?;
    let found = source.find(&newest, None, NEWEST)?;
    let (rows, _lost) = rows(&source, &found.decisions, asked.gate.wait())?;
    let has_gates = source.has_several_gates()?;
    let live = asked.params.with("last", None);
    let live = live.with(GATES, has_gates.then_some("1"));
    // What comes behind the newest of these is new.
    let shown = found.decisions.iter().map(Found::key);
    let last = Last::of(shown.chain(of_gates));
    let live = live.with(FROM, Some(&last.text()));
    let status = asked.gate.status.as_ref().map(|status| status());
    let (cards, left_out) = cards(asked, &source, &filter)?;
    // What has `data-again` is put there again each minute, by its id.
    let body = html! {
        h1 { "Now" }
        @if let Some(status) = &status { div id="faults" data-again { (faults::html(status)) } }
        p.soft id="as-of" data-again {
            "As of " (time(&rfc3339_millis(asked.now))) ", over the last "
            @for it in SPANS {
                a href={ "/console?" (asked.params.with("last", Some(it.name)).query()) }
                    aria-current=[(it.name == span.name).then_some("true")] { (it.name) } " "
            }
        }
        (narrowed(asked.params))
        div id="sums" data-again {
            (counted_notes(&source, &filter, &[By::Environment], left_out)?)
            (cards)
            (plot.html("Decisions"))
            (latencies(&source, &filter, axis, &environment)?)
        }
        h2 { "As they come" }
        p.soft id="live" data-live="/console/live" data-query=(live.query()) data-page={ "/console/now?" (asked.params.query()) }
            role="status" {
            "The newest " (NEWEST) ". With scripts, new ones appear by themselves."
        }
        (table(&rows, asked.viewer, has_gates))
        p { a.button href="/console/decisions" { "Search all decisions" } }
        h2 { "The gate" }
        div id="gate" data-again {
            @match &status {
                Some(status) => (gate(status)),
                None => (gates(&source)?),
            }
        }
    };
    Ok(Page::new("Now", "Now", body))
}

/// Of which environments the page tells.
fn narrowed(params: &Params) -> Markup {
    let last = params.get("last");
    let is_narrow = params.get("environment").is_some();
    html! {
        form.search method="get" action="/console" {
            @if let Some(last) = last { input type="hidden" name="last" value=(last); }
            label { "Environment" input name="environment" value=(params.get("environment").unwrap_or_default()) placeholder="prod, eu*"; }
            @for more in params.all("environment").skip(1) { input name="environment" value=(more) aria-label="Environment"; }
            div {
                button type="submit" { "Show" }
                @if is_narrow { " " a.button href={ "/console?" (params.with("environment", None).query()) } { "All" } }
            }
        }
    }
}

/// Numbers, by environment, and how many decisions are left out of them.
fn cards(asked: &Asked<'_>, source: &Source, filter: &Filter) -> Result<(Markup, u64), Fault> {
    let mut environments: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let sums = source.totals(filter, By::Environment)?;
    for sum in sums.all {
        let (allowed, denied) = environments.entry(sum.name).or_default();
        *allowed += sum.allowed;
        *denied += sum.denied;
    }
    let ended = |which: Which, since: Option<i64>| -> Result<u64, Fault> {
        let ended = Filter {
            outcome: Some(which),
            since,
            ..filter.clone()
        };
        let sums = source.totals(&ended, By::Verdict)?.all;
        Ok(sums.iter().map(|it| it.allowed).sum())
    };
    // As long as an answer may come, nothing is in doubt.
    let waiting = asked.gate.wait().since().max(filter.since);
    let waiting = ended(Which::None, waiting)?;
    let doubts = ended(Which::Doubt, filter.since)?.saturating_sub(waiting);
    // The same time and environments as the number.
    let params = asked.params;
    let moment = |ms: Option<i64>| {
        let moment = jiff::Timestamp::from_millisecond(ms?).ok()?;
        Some(moment.to_string())
    };
    let look = params.with("last", None).with("outcome", Some("doubt"));
    let look = look.with("since", moment(filter.since).as_deref());
    let look = look.with("until", moment(filter.until).as_deref());
    let cards = html! {
        div.cards {
            @for (name, (allowed, denied)) in environments.iter().take(ENVIRONMENTS) {
                div.card {
                    div.soft {
                        "environment "
                        @if name.is_empty() { "not known" }
                        @else { a href={ "/console?" (params.with("environment", Some(name)).query()) } { (cut(name)) } }
                    }
                    div.number { (many(allowed + denied)) }
                    div { span.allow { (many(*allowed)) " allowed" } ", " span.deny { (many(*denied)) " denied" } }
                }
            }
            @if environments.is_empty() { div.card { div.soft { "decisions" } div.number { "0" } } }
            @if environments.len() > ENVIRONMENTS { div.card { "and " (environments.len() - ENVIRONMENTS) " more environments" } }
            div.card {
                div.soft { "in doubt" }
                div.number { (many(doubts)) }
                @if doubts > 0 { div { a href={ "/console/decisions?" (look.query()) } { "look at them" } } }
                @if waiting > 0 { div.soft { (many(waiting)) " more: no answer yet" } }
            }
        }
    };
    Ok((cards, sums.left_out))
}

/// The time that is shown, and its decisions. Where nobody says which, it is a day; an hour or a quarter of one, where all
/// of the day are of it: in a day they would be one bar. Then it begins where they begin.
fn looked_back(
    source: &Source,
    wanted: Option<&str>,
    now: i64,
    environment: &[Pattern],
) -> Result<Looked, Fault> {
    let look = |span: &'static Span| -> Result<Looked, Fault> {
        let axis = span.axis(now);
        let until = now.div_euclid(span.counted).saturating_add(1);
        let filter = Filter {
            since: Some(axis.from()),
            // What says that it is of a later time is of none that is shown.
            until: Some(until.saturating_mul(span.counted)),
            environment: environment.to_vec(),
            ..Filter::default()
        };
        let sums = match span.counted {
            QUARTER => source.sums(&filter, By::Verdict)?,
            shorter => source.by_parts(&filter, By::Verdict, shorter)?,
        };
        Ok(Looked {
            span,
            axis,
            filter,
            sums: sums.all,
        })
    };
    if let Some(wanted) = wanted {
        let span = SPANS.iter().find(|span| span.name == wanted);
        let unknown = || Fault::Invalid("last: write 15m, 1h, 24h, 7d or 30d".to_owned());
        return look(span.ok_or_else(unknown)?);
    }
    let mut looked = look(&DAY)?;
    for shorter in [&LAST_HOUR, &LAST_QUARTER] {
        let first = looked.sums.iter().map(|sum| sum.from).min();
        if first.is_none_or(|first| first < shorter.axis(now).from()) {
            break;
        }
        looked = look(shorter)?;
        let first = looked.sums.iter().map(|sum| sum.from).min();
        looked.axis = looked.axis.beginning(first.unwrap_or(now), LEAST);
    }
    Ok(looked)
}

impl Span {
    fn axis(&self, now: i64) -> Axis {
        Axis::until(now, self.long / self.parts, self.parts)
    }
}

/// How long policies and Dynatrace took.
fn latencies(
    source: &Source,
    filter: &Filter,
    axis: Axis,
    environment: &[Pattern],
) -> Result<Markup, Fault> {
    let times = (axis.from(), filter.until.unwrap_or(i64::MAX));
    let found = source.latencies(times, axis.part(), environment)?;
    let of = found
        .of
        .map(|of| format!("of the newest {of} decisions of each part"));
    let of = of.as_deref();
    let plot = |took| Latencies::of(&found.all, took, axis);
    Ok(html! {
        (plot(Took::Policies).html("Policies, for one decision", of))
        (plot(Took::Dynatrace).html("Dynatrace, until its answer began", of))
    })
}

/// How the gate of this process is: what `/status` says, for people.
fn gate(status: &Value) -> Markup {
    let text = |pointer: &str| match status.pointer(pointer) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => cut(text),
        Some(other) => cut(&other.to_string()),
    };
    let short = |pointer: &str| text(pointer).chars().take(12).collect::<String>();
    let mib = |pointer: &str| {
        let bytes = status.pointer(pointer).and_then(Value::as_u64);
        bytes.map_or_else(String::new, |bytes| format!("{} MiB", bytes >> 20))
    };
    let rows = [
        ("Version", text("/version")),
        ("Runs since", text("/started")),
        ("Policies", short("/policies/revision")),
        ("Generation", text("/generation")),
        ("In force since", text("/since")),
        ("Last reload", text("/reload/last/at")),
        ("Head", text("/journal/head_seq")),
        ("Newest checkpoint over", text("/journal/checkpoint/size")),
        ("Free on its disk", mib("/journal/free_bytes")),
        ("Kept", mib("/journal/kept/bytes")),
        ("Challenger", short("/challenger/revision")),
    ];
    let list = |member: &str| {
        let found = status[member].as_array().cloned();
        found.unwrap_or_default()
    };
    html! {
        dl.card {
            @for (title, text) in rows.iter().filter(|(_, text)| !text.is_empty()) { dt { (title) } dd { (moment(text)) } }
            @for it in list("certificates").iter().take(LISTED) {
                dt { "Certificate shown to " (it["shown_to"].as_str().unwrap_or_default()) }
                dd { @if let Some(days) = it["days_left"].as_i64() { @if days < 14 { strong.warn { (days) " days left" } } @else { (days) " days left" } } }
            }
            @for it in list("environments").iter().take(LISTED) {
                dt { "Environment " (cut(it["name"].as_str().unwrap_or_default())) }
                dd {
                    (it["connections"]) " connections, " (it["waiting"]) " waiting"
                    @if let Some(error) = it["error"].as_str() { " " strong.deny { (cut(error)) } }
                }
            }
            (sinks(status))
        }
    }
}

/// A moment as everywhere, and any other text as it is.
fn moment(text: &str) -> Markup {
    match text.parse::<jiff::Timestamp>() {
        Ok(_) => time(text),
        Err(_other) => html! { (text) },
    }
}

/// Where records go, and how far they are.
fn sinks(status: &Value) -> Markup {
    let head = status.pointer("/journal/head_seq").and_then(Value::as_u64);
    let sinks = status["sinks"].as_object().cloned().unwrap_or_default();
    html! {
        @for (name, sink) in sinks.iter().take(LISTED) {
            dt { "Sink " (cut(name)) }
            dd {
                @let behind = head.unwrap_or_default().saturating_sub(sink["seq"].as_u64().unwrap_or_default());
                (many(behind)) " records behind"
                @if let Some(error) = sink["error"].as_str() { " " strong.deny { (cut(error)) } }
            }
        }
    }
}

/// Beside a journal nobody knows how its gate is; a store knows a little of each gate.
fn gates(source: &Source) -> Result<Markup, Fault> {
    let Source::Store { asked, .. } = source else {
        return Ok(html! {
            p.soft { "These pages read a journal. How its gate is says /status of its admin listener, and the console there." }
        });
    };
    let gates = asked.gates().map_err(crate::trail::Error::Store)?;
    Ok(html! {
        div.wide role="region" aria-label="Gates" tabindex="0" {
            table.stack {
                thead { tr { @for title in ["Gate", "Version", "Policies", "Head", "Behind", "Seen"] { th scope="col" { (title) } } } }
                tbody {
                    @for gate in gates.iter().take(LISTED) {
                        tr {
                            td data-title="Gate" { (shown(&gate.name)) }
                            td data-title="Version" { (cut(&gate.version)) }
                            td data-title="Policies" { (cut(gate.revision.get(..12).unwrap_or(&gate.revision))) }
                            td data-title="Head" { (gate.head_seq) }
                            td data-title="Behind" { (gate.head_seq.saturating_sub(gate.shipped)) }
                            td data-title="Seen" { (time(&gate.seen.to_string())) }
                        }
                    }
                }
            }
        }
    })
}

static LAST_QUARTER: Span = Span {
    name: "15m",
    long: QUARTER,
    parts: 60,
    counted: SHORT,
};
static LAST_HOUR: Span = Span {
    name: "1h",
    long: HOUR,
    parts: 60,
    counted: MINUTE,
};
static DAY: Span = Span {
    name: "24h",
    long: 24 * HOUR,
    parts: 96,
    counted: QUARTER,
};
static WEEK: Span = Span {
    name: "7d",
    long: 7 * 24 * HOUR,
    parts: 84,
    counted: QUARTER,
};
static MONTH: Span = Span {
    name: "30d",
    long: 30 * 24 * HOUR,
    parts: 60,
    counted: QUARTER,
};
static SPANS: [&Span; 5] = [&LAST_QUARTER, &LAST_HOUR, &DAY, &WEEK, &MONTH];
const HOUR: i64 = 3_600_000;
/// Parts of a time that begins where decisions begin.
const LEAST: i64 = 20;
/// Decisions that are shown.
const NEWEST: usize = 20;
/// Environments with a card.
const ENVIRONMENTS: usize = 12;
/// Rows of anything else.
const LISTED: usize = 50;
