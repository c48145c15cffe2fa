//! Now: what comes in and what is refused, and how the gate is.

mod faults;

use std::collections::BTreeMap;

use maud::{Markup, html};
use serde_json::Value;

use super::decisions::{counted_notes, rows, table};
use crate::audit::index::{By, Filter, MINUTE, Pattern, QUARTER, Sum, Took, Which};
use crate::console::live::{FROM, GATES, NOTHING, id};
use crate::console::page::{Page, shown};
use crate::console::params::Params;
use crate::console::plot::{Axis, Latencies, Plot};
use crate::console::row::{cut, time};
use crate::console::search::patterns;
use crate::console::{Asked, Fault};
use crate::trail::Source;

/// A time to look back, as the page names it.
struct Span {
    name: &'static str,
    hours: i64,
    parts: usize,
    /// What decisions are counted by in it, in milliseconds.
    counted: i64,
}

pub(in crate::console) fn page(asked: &Asked<'_>) -> Result<Page, Fault> {
    let source = asked.gate.open()?;
    let now = asked.now.as_millisecond();
    let environment = patterns(asked.params, "environment");
    let since = |span: &Span| Filter {
        since: Some(now.saturating_sub(span.hours * HOUR)),
        environment: environment.clone(),
        ..Filter::default()
    };
    let (span, sums) = looked_back(&source, asked.params.get("last"), now, since)?;
    let filter = since(span);
    let from = filter.since.unwrap_or_default();
    let axis = Axis::of(from, now, span.parts, span.counted);
    let plot = Plot::of(&sums, axis);
    let newest = Filter {
        environment: environment.clone(),
        ..Filter::default()
    };
    let found = source.find(&newest, None, NEWEST)?;
    let (rows, _lost) = rows(&source, &found.decisions)?;
    let has_gates = source.has_several_gates()?;
    let live = asked.params.with("last", None);
    let live = live.with(GATES, has_gates.then_some("1"));
    // What comes behind the newest of these is new.
    let newest = found.decisions.first().map(|newest| id(&newest.key()));
    let live = live.with(FROM, Some(newest.as_deref().unwrap_or(NOTHING)));
    let status = asked.gate.status.as_ref().map(|status| status());
    // The same time and environments as the number.
    let since = asked
        .now
        .as_second()
        .saturating_sub(span.hours * HOUR / 1000);
    let since = jiff::Timestamp::from_second(since).map(|it| it.to_string());
    let look = asked
        .params
        .with("last", None)
        .with("outcome", Some("doubt"));
    let look = look.with("since", since.ok().as_deref());
    let (cards, left_out) = cards(&source, &filter, asked.params, &look)?;
    let body = html! {
        h1 { "Now" }
        @if let Some(status) = &status { (faults::html(status)) }
        p.soft { "As of " (time(&crate::value::rfc3339_millis(asked.now))) ", over the last "
            @for it in &SPANS {
                a href={ "/console?" (asked.params.with("last", Some(it.name)).query()) }
                    aria-current=[(it.name == span.name).then_some("true")] { (it.name) } " "
            }
        }
        (narrowed(asked.params))
        (counted_notes(&source, &filter, &[By::Environment], left_out)?)
        (cards)
        (plot.html("Decisions"))
        (latencies(&source, (from, now), axis, &environment)?)
        h2 { "As they come" }
        p.soft id="live" data-live="/console/live" data-query=(live.query()) role="status" {
            "The newest " (NEWEST) ". With scripts, new ones appear by themselves."
        }
        (table(&rows, asked.viewer, has_gates))
        p { a.button href="/console/decisions" { "Search all decisions" } }
        h2 { "The gate" }
        @match &status {
            Some(status) => (gate(status)),
            None => (gates(&source)?),
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
fn cards(
    source: &Source,
    filter: &Filter,
    params: &Params,
    look: &Params,
) -> Result<(Markup, u64), Fault> {
    let mut environments: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    let sums = source.totals(filter, By::Environment)?;
    for sum in sums.all {
        let (allowed, denied) = environments.entry(sum.name).or_default();
        *allowed += sum.allowed;
        *denied += sum.denied;
    }
    let doubtful = Filter {
        outcome: Some(Which::Doubt),
        ..filter.clone()
    };
    let doubts: u64 = source
        .totals(&doubtful, By::Verdict)?
        .all
        .iter()
        .map(|it| it.allowed)
        .sum();
    let cards = html! {
        div.cards {
            @for (name, (allowed, denied)) in environments.iter().take(ENVIRONMENTS) {
                div.card {
                    div.soft {
                        "environment "
                        @if name.is_empty() { "not known" }
                        @else { a href={ "/console?" (params.with("environment", Some(name)).query()) } { (cut(name)) } }
                    }
                    div.number { (allowed + denied) }
                    div { span.allow { (allowed) " allowed" } ", " span.deny { (denied) " denied" } }
                }
            }
            @if environments.is_empty() { div.card { div.soft { "decisions" } div.number { "0" } } }
            @if environments.len() > ENVIRONMENTS { div.card { "and " (environments.len() - ENVIRONMENTS) " more environments" } }
            div.card {
                div.soft { "in doubt" }
                div.number { (doubts) }
                @if doubts > 0 { a href={ "/console/decisions?" (look.query()) } { "look at them" } }
            }
        }
    };
    Ok((cards, sums.left_out))
}

/// The time that is shown, and its decisions. Where nobody says which, and all of the last day are of the last hour, it is
/// that hour: in a day they would be one bar.
fn looked_back(
    source: &Source,
    wanted: Option<&str>,
    now: i64,
    since: impl Fn(&Span) -> Filter,
) -> Result<(&'static Span, Vec<Sum>), Fault> {
    let span = match wanted {
        Some(wanted) => SPANS.iter().find(|span| span.name == wanted),
        None => Some(&DAY),
    };
    let span = span.ok_or_else(|| Fault::Invalid("last: write 1h, 24h, 7d or 30d".to_owned()))?;
    let counted = |span: &Span| -> Result<Vec<Sum>, Fault> {
        let sums = match span.counted {
            MINUTE => source.by_minutes(&since(span), By::Verdict)?,
            _ => source.sums(&since(span), By::Verdict)?,
        };
        Ok(sums.all)
    };
    let sums = counted(span)?;
    let hour = now.saturating_sub(HOUR);
    if wanted.is_none() && !sums.is_empty() && sums.iter().all(|sum| sum.from > hour) {
        return Ok((&LAST_HOUR, counted(&LAST_HOUR)?));
    }
    Ok((span, sums))
}

/// How long policies and Dynatrace took.
fn latencies(
    source: &Source,
    times: (i64, i64),
    axis: Axis,
    environment: &[Pattern],
) -> Result<Markup, Fault> {
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
            @for (title, text) in rows.iter().filter(|(_, text)| !text.is_empty()) { dt { (title) } dd { (text) } }
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

/// Where records go, and how far they are.
fn sinks(status: &Value) -> Markup {
    let head = status.pointer("/journal/head_seq").and_then(Value::as_u64);
    let sinks = status["sinks"].as_object().cloned().unwrap_or_default();
    html! {
        @for (name, sink) in sinks.iter().take(LISTED) {
            dt { "Sink " (cut(name)) }
            dd {
                @let behind = head.unwrap_or_default().saturating_sub(sink["seq"].as_u64().unwrap_or_default());
                (behind) " records behind"
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

const LAST_HOUR: Span = Span {
    name: "1h",
    hours: 1,
    parts: 60,
    counted: MINUTE,
};
const DAY: Span = Span {
    name: "24h",
    hours: 24,
    parts: 96,
    counted: QUARTER,
};
static SPANS: [Span; 4] = [
    LAST_HOUR,
    DAY,
    Span {
        name: "7d",
        hours: 7 * 24,
        parts: 84,
        counted: QUARTER,
    },
    Span {
        name: "30d",
        hours: 30 * 24,
        parts: 90,
        counted: QUARTER,
    },
];
const HOUR: i64 = 3_600_000;
/// Decisions that are shown.
const NEWEST: usize = 20;
/// Environments with a card.
const ENVIRONMENTS: usize = 12;
/// Rows of anything else.
const LISTED: usize = 50;
