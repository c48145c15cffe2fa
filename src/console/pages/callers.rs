//! Who changes most, and who is refused most, for what.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::decisions::counted_notes;
use crate::audit::index::{By, Filter};
use crate::console::page::Page;
use crate::console::params::Params;
use crate::console::row::{self, cut};
use crate::console::search::{patterns, span};
use crate::console::{Asked, Fault};
use crate::trail::Source;

/// By what callers are counted, and by which filter they are found.
struct Kind {
    title: &'static str,
    none: &'static str,
    by: By,
    field: &'static str,
    is_private: bool,
}

/// Those of one kind.
struct Callers {
    /// Those who come first.
    all: Vec<Caller>,
    /// How many more names there are.
    more: usize,
    /// What shares are of: all of the column by which they are put in order, those who are not shown too.
    whole: u64,
    left_out: u64,
}

/// Somebody, with what was decided about them.
struct Caller {
    name: String,
    allowed: u64,
    denied: u64,
    /// Policies that objected most, and how often.
    objections: Vec<(String, u64)>,
}

pub(in crate::console) fn page(asked: &Asked<'_>) -> Result<Page, Fault> {
    let since = asked.params.get("since").unwrap_or("7d");
    let params = asked.params.with("since", Some(since));
    let (from, until) = span(&params, asked.now)?;
    let filter = Filter {
        since: from,
        until,
        environment: patterns(&params, "environment"),
        ..Filter::default()
    };
    let by_denied = match params.get("order") {
        None | Some("all") => false,
        Some("denied") => true,
        Some(_) => return Err(Fault::Invalid("order: write all or denied".to_owned())),
    };
    let source = asked.gate.open()?;
    let (mut tables, mut left_out) = (Vec::new(), 0);
    let kinds = KINDS.iter();
    let kinds: Vec<&Kind> = kinds
        .filter(|kind| asked.viewer.is_auditor || !kind.is_private)
        .collect();
    for kind in kinds.iter().copied() {
        let callers = counted(&source, &filter, kind, by_denied)?;
        left_out += callers.left_out;
        let is_shown = kind.field == "team" || callers.all.iter().any(|it| !it.name.is_empty());
        if is_shown {
            tables.push((kind, callers));
        }
    }
    let by: Vec<By> = kinds.iter().map(|kind| kind.by).collect();
    let body = html! {
        h1 { "Callers and teams" }
        form.search method="get" action="/console/callers" {
            label { "Since (UTC)" input name="since" value=(since) placeholder="7d, 2026-11-01"; }
            label { "Until (UTC)" input name="until" value=(params.get("until").unwrap_or_default()); }
            label { "Environment" input name="environment" value=(params.get("environment").unwrap_or_default()); }
            label { "First come"
                select name="order" {
                    option value="" { "most decisions" }
                    option value="denied" selected[by_denied] { "most refusals" }
                }
            }
            div { button.main type="submit" { "Show" } }
        }
        @if !asked.viewer.is_auditor { p.note { "Names of callers are for people with the role auditor." } }
        (counted_notes(&source, &filter, &by, left_out)?)
        @for (kind, callers) in &tables { (table(kind, callers, by_denied, &params)) }
    };
    Ok(Page::new("Callers", "Callers and teams", body))
}

fn counted(
    source: &Source,
    filter: &Filter,
    kind: &Kind,
    by_denied: bool,
) -> Result<Callers, Fault> {
    let sums = source.totals(filter, kind.by)?;
    let mut names: BTreeMap<String, (u64, u64)> = BTreeMap::new();
    for sum in sums.all {
        let (allowed, denied) = names.entry(sum.name).or_default();
        *allowed += sum.allowed;
        *denied += sum.denied;
    }
    let mut callers: Vec<Caller> = names
        .into_iter()
        .map(|(name, (allowed, denied))| Caller {
            name,
            allowed,
            denied,
            objections: Vec::new(),
        })
        .collect();
    callers.sort_by_key(|it| {
        let first = if by_denied { it.denied } else { 0 };
        std::cmp::Reverse((first, it.allowed + it.denied))
    });
    let counts = callers.iter().map(|it| it.counts(by_denied));
    let whole = counts.fold(0, u64::saturating_add);
    let more = callers.len().saturating_sub(SHOWN);
    callers.truncate(SHOWN);
    let mut looked_at: Vec<&mut Caller> = callers
        .iter_mut()
        .take(LOOKED_AT)
        .filter(|it| it.denied > 0)
        .collect();
    let names: Vec<&str> = looked_at.iter().map(|it| &*it.name).collect();
    let objections = source.objections(filter, kind.by, &names)?;
    for (caller, policies) in looked_at.iter_mut().zip(objections) {
        caller.objections = policies.into_iter().collect();
        let most_first = |(_, denied): &(String, u64)| std::cmp::Reverse(*denied);
        caller.objections.sort_by_key(most_first);
        caller.objections.truncate(OBJECTIONS);
    }
    Ok(Callers {
        all: callers,
        more,
        // Of what is left out nobody counted how much was refused.
        whole: if by_denied {
            whole
        } else {
            whole.saturating_add(sums.left_out)
        },
        left_out: sums.left_out,
    })
}

impl Caller {
    /// In the column by which they are put in order.
    fn counts(&self, by_denied: bool) -> u64 {
        if by_denied {
            self.denied
        } else {
            self.allowed.saturating_add(self.denied)
        }
    }
}

fn table(kind: &Kind, callers: &Callers, by_denied: bool, params: &Params) -> Markup {
    let share_of = if by_denied {
        "Share of refusals"
    } else {
        "Share of decisions"
    };
    let link = |name: &str, verdict: Option<&str>| {
        let with = params.with(kind.field, Some(name)).with("verdict", verdict);
        let with = with.with("order", None);
        format!("/console/decisions?{}", with.query())
    };
    html! {
        h2 { (kind.title) }
        div.wide role="region" aria-label=(kind.title) tabindex="0" {
            table.stack {
                thead {
                    tr {
                        th scope="col" { "Name" } th.num scope="col" { "Allowed" } th.num scope="col" { "Denied" }
                        th scope="col" { (share_of) } th scope="col" { "Objected when refused" }
                    }
                }
                tbody {
                    @for (at, it) in callers.all.iter().enumerate() {
                        tr {
                            td data-title="Name" {
                                @if it.name.is_empty() { span.soft { (kind.none) } }
                                @else { a href=(link(&it.name, None)) { (cut(&it.name)) } }
                            }
                            td.num data-title="Allowed" { (it.allowed) }
                            td.num data-title="Denied" {
                                @if it.denied > 0 && !it.name.is_empty() { a.deny href=(link(&it.name, Some("deny"))) { (it.denied) } }
                                @else { (it.denied) }
                            }
                            td.nowrap data-title=(share_of) { (share(it.counts(by_denied), callers.whole)) }
                            td data-title="Objected when refused" {
                                @for (policy, times) in &it.objections {
                                    div { (row::link("/console/policies/", policy, &cut(policy))) " " (times) "×" }
                                }
                                @if it.denied > 0 && it.objections.is_empty() { (why_empty(it, at, &link)) }
                            }
                        }
                    }
                    @if callers.more > 0 {
                        tr {
                            td colspan="5" {
                                "and " (callers.more) " more: a shorter time, or one environment, has fewer. dtgate audit stats --by has all."
                            }
                        }
                    }
                    @if callers.all.is_empty() { tr { td colspan="5" { "Nothing was decided in this time." } } }
                }
            }
        }
    }
}

/// How much of it all, as a picture and as a number.
fn share(of: u64, whole: u64) -> Markup {
    let told = match of.saturating_mul(1_000).checked_div(whole) {
        None => "–".to_owned(),
        Some(0) if of > 0 => "< 0.1 %".to_owned(),
        Some(tenths) => format!("{}.{} %", tenths / 10, tenths % 10),
    };
    html! {
        // The number stands beside it.
        progress max=(whole.max(1)) value=(of) aria-hidden="true" {} " " span.share { (told) }
    }
}

/// Why nobody is named who objected.
fn why_empty(it: &Caller, at: usize, link: &impl Fn(&str, Option<&str>) -> String) -> Markup {
    html! {
        @if at < LOOKED_AT { span.soft { "no policy: refused before they were asked" } }
        @else if it.name.is_empty() { span.soft { "not counted here" } }
        @else { span.soft { "not counted here: " } a href=(link(&it.name, Some("deny"))) { "look at them" } }
    }
}

const KINDS: &[Kind] = &[
    Kind {
        title: "Teams",
        none: "no team",
        by: By::Team,
        field: "team",
        is_private: false,
    },
    Kind {
        title: "By JSON Web Token",
        none: "no JSON Web Token",
        by: By::Subject,
        field: "claim",
        is_private: true,
    },
    Kind {
        title: "By certificate",
        none: "no certificate",
        by: By::Certificate,
        field: "certificate",
        is_private: true,
    },
    Kind {
        title: "By credential",
        none: "no credential",
        by: By::Credential,
        field: "caller",
        is_private: true,
    },
];

/// Callers of each kind.
const SHOWN: usize = 30;
/// Of so many of them it is asked who objected.
const LOOKED_AT: usize = 10;
/// Policies of each of those.
const OBJECTIONS: usize = 3;
