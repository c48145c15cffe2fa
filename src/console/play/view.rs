//! The page of the playground, and what is said on it.

use std::collections::BTreeMap;

use maud::{Markup, html};

use super::draft::{Draft, LONGEST_FILE, MOST};
use super::saved::Test;
use super::{Answer, Example, Flip, Group, Judged, Opinion, Replayed, Sets, examples};
use crate::console::page::{Page, sentence, shown};
use crate::console::params::encoded;
use crate::console::row::{breaking, cut, cut_at, time};
use crate::console::{Asked, Viewer};
use crate::dynatrace::redact::Redactor;
use crate::policy::{Problem, Violation};
use crate::value::visible_json;

/// The page, with what was said.
pub(super) fn page(asked: &Asked<'_>, draft: &Draft, sets: &Sets, said: Option<Markup>) -> Page {
    let body = html! {
        h1 { "Playground" }
        p.soft {
            "A request beside policies. Edit either until the answer is the one that you want. Nothing here is enforced, recorded or kept."
        }
        @if sets.policy.is_none() {
            p.note { "No policies are known here, so there is nothing in force to compare with: start with --policies DIR." }
        }
        form id="play" method="post" action=(PATH) data-path=(PATH) {
            // Enter in a field judges.
            button.hidden type="submit" name="do" value="judge" tabindex="-1" aria-hidden="true" { "Judge" }
            input type="hidden" name="edited" value=(serde_json::to_string(&draft.changed).unwrap_or_default());
            div.play {
                div { (request(draft)) }
                div { (policies(draft, sets)) }
            }
            (buttons(asked.viewer, draft))
        }
        section id="answer" aria-live="polite" aria-label="Answer" { @if let Some(said) = said { (said) } }
    };
    Page {
        scripts: &["editor.js", "playground.js"],
        ..Page::new("Playground", "Playground", body)
    }
}

fn request(draft: &Draft) -> Markup {
    // It is given back to whoever wrote it, and yet without the secrets that were pasted, into whichever field.
    let redactor = Redactor::default();
    let shown = |text: &str| redactor.text(text).to_string();
    html! {
        h2 { "Request" }
        label { "A curl line, a request as HTTP writes it, or an input document"
            textarea id="request" name="request" rows="12" spellcheck="false" autocomplete="off" { "\n" (shown(&draft.request)) }
        }
        p.examples {
            span { "Examples: " }
            @for example in &examples::ALL {
                button type="submit" name="example" value=(example.name) { (example.title) }
                " "
            }
        }
        details {
            summary { "Write a request" }
            div.search {
                label { "What is asked"
                    select id="wish-operation" name="wish_operation" {
                        @for (value, title) in WISHES {
                            option value=(value) selected[draft.wish.operation == value] { (title) }
                        }
                    }
                }
                label { "Token id" input name="wish_id" value=(shown(&draft.wish.id)) autocomplete="off"; }
                label { "Name" input name="wish_name" value=(shown(&draft.wish.name)) autocomplete="off"; }
                label { "Scopes" textarea name="wish_scopes" rows="2" spellcheck="false" { "\n" (shown(&draft.wish.scopes)) } }
                button id="write-request" type="submit" name="do" value="write" { "Write it" }
            }
        }
        details open[!known(draft)] {
            summary { "What the gate knows about it" }
            div.search {
                label { "Name of the token now" input id="before-name" name="before_name" value=(shown(&draft.before_name)) autocomplete="off"; }
                label { "Its scopes now" textarea id="before-scopes" name="before_scopes" rows="3" spellcheck="false" { "\n" (shown(&draft.before_scopes)) } }
                label { "Environment" input id="environment" name="environment" value=(shown(&draft.environment)) placeholder="default" autocomplete="off"; }
                label { "Caller (public id of a token)" input id="caller" name="token" value=(shown(&draft.token)) placeholder="dt0c01.…" autocomplete="off"; }
                label { "Teams of the caller" input id="teams" name="teams" value=(shown(&draft.teams)) autocomplete="off"; }
            }
            p.soft { "An input document says all of this itself." }
        }
    }
}

/// Whether there is something to fold away.
fn known(draft: &Draft) -> bool {
    [
        &draft.before_name,
        &draft.before_scopes,
        &draft.environment,
        &draft.token,
        &draft.teams,
    ]
    .iter()
    .all(|text| text.is_empty())
}

fn policies(draft: &Draft, sets: &Sets) -> Markup {
    let mut paths: Vec<&str> = sets.in_force.iter().map(|it| &*it.path).collect();
    paths.extend(draft.changed.keys().map(|path| &**path));
    paths.push(&draft.path);
    paths.sort_unstable();
    paths.dedup();
    let source = draft.source(sets);
    html! {
        h2 { "Policies" }
        div.files {
            label { "File"
                select id="file" name="file" {
                    @for path in paths {
                        @let is_edited = draft.changed.contains_key(path);
                        option value=(path) selected[path == draft.path] data-new[sets.text(path).is_none()]
                            aria-label=[is_edited.then(|| format!("{}, edited", cut(path)))] {
                            @if is_edited { "• " } (cut(path))
                        }
                    }
                }
            }
            label { "Or a new one" input id="new-file" name="new_file" placeholder="my_policy.rego" autocomplete="off"; }
            button id="open-file" type="submit" name="do" value="open" { "Open" }
            button id="as-in-force" type="submit" name="do" value="restore"
                title="Takes back the text in force of the file that is shown" { "As in force" }
        }
        input type="hidden" name="path" value=(draft.path);
        @if source.len() > LONGEST_FILE {
            p.note { "The file is too long to be edited here: more than " (LONGEST_FILE >> 10) " KiB." }
        } @else {
            div id="editor" {
                label { "Source of " (cut(&draft.path))
                    textarea id="source" name="source" rows="24" spellcheck="false" autocomplete="off" wrap="off" { "\n" (source) }
                }
            }
        }
        p id="problems" role="status" {}
        p.soft { "• before a file: it is edited. An emptied file is left out." span.keys { " In the editor, Tab indents; Esc and then Tab leaves it." } }
    }
}

fn buttons(viewer: &Viewer, draft: &Draft) -> Markup {
    html! {
        div.deeds {
            button.main id="judge" type="submit" name="do" value="judge" { "Judge" }
            div.deed {
                label { "Name of the test" input name="test_name" value=(Redactor::default().text(&draft.test_name)) placeholder="saved" autocomplete="off"; }
                button id="save-test" type="submit" name="do" value="test" { "Save as test" }
            }
            @if viewer.is_auditor {
                div.deed {
                    label { "Newest decisions" input id="last" name="last" type="number" min="1" max=(MOST) value=(draft.last); }
                    button id="would-change" type="submit" name="do" value="change" { "What would this change?" }
                }
            }
            span id="busy" role="status" {}
        }
    }
}

/// What was said to a draft.
pub(super) fn answer(answer: &Answer, draft: &Draft, sets: &Sets) -> Markup {
    let is_edited = !draft.changed.is_empty();
    match answer {
        Answer::Failed(why) => html! { p.fault role="alert" { (long(why)) } },
        Answer::Unloaded(found) => problems("The edited policies cannot be loaded", found),
        Answer::Checked {
            problems: found, ..
        } => problems("The edited policies", found),
        Answer::Judged { edited, in_force } => judged(
            edited,
            in_force.as_ref().filter(|_| is_edited),
            is_edited,
            sets,
        ),
        Answer::Replayed(replayed) => html! {
            (changes(replayed))
            @if !is_edited {
                p.note { "Nothing is edited: what is decided otherwise is so by what has changed in force since then." }
            }
        },
    }
}

/// `in_force`: `None`, where nothing is edited, or nobody knows what is in force.
fn judged(edited: &Judged, in_force: Option<&Judged>, is_edited: bool, sets: &Sets) -> Markup {
    let flips = in_force.is_some_and(|it| {
        matches!(
            (word(it).1, word(edited).1),
            ("allow", "deny") | ("deny", "allow")
        )
    });
    let limit = sets
        .policy
        .as_ref()
        .map(|policy| policy.limit().as_secs_f64() * 1000.0);
    html! {
        h2 { "Answer" }
        div.cards {
            div.card {
                div.soft { @if is_edited { "Edited" } @else { "As it is: nothing is edited" } }
                (verdict("verdict", edited))
            }
            @if let Some(in_force) = in_force {
                div.card {
                    div.soft { "In force" }
                    (verdict("verdict-before", in_force))
                }
            }
        }
        @if flips { p.note id="flips" { strong { "It flips." } " The edited policies decide otherwise than those in force." } }
        (details(edited, limit))
    }
}

/// A word, and the class that colours it.
fn word(judged: &Judged) -> (&'static str, &'static str) {
    match judged {
        Judged::Decided(opinion) if opinion.allowed => ("allow", "allow"),
        Judged::Decided(_) => ("deny", "deny"),
        Judged::Open => ("allow: open traffic, no policy is asked", "allow"),
        Judged::Refused { .. } => ("deny: refused before any policy", "deny"),
        Judged::Unloaded(_) => ("cannot be loaded", "warn"),
    }
}

fn verdict(id: &str, judged: &Judged) -> Markup {
    let (word, class) = word(judged);
    let by = match judged {
        Judged::Decided(opinion) => opinion.violations.iter().map(|it| &*it.policy).collect(),
        _ => Vec::new(),
    };
    let mut by: Vec<&str> = by;
    by.dedup();
    html! {
        div.number id=(id) { span class={ "verdict " (class) } { (word) } }
        @if !by.is_empty() { div.soft { (cut(&by.join(", "))) } }
    }
}

fn details(judged: &Judged, limit: Option<f64>) -> Markup {
    match judged {
        Judged::Open => html! {},
        Judged::Refused { status, error } => html! { p.fault { (long(error)) " (" (status) ")" } },
        Judged::Unloaded(found) => problems("The edited policies cannot be loaded", found),
        Judged::Decided(opinion) => decided(opinion, limit),
    }
}

fn decided(opinion: &Opinion, limit: Option<f64>) -> Markup {
    let input = serde_json::to_string_pretty(&opinion.input).unwrap_or_default();
    let input = visible_json(&input);
    let beginning = input
        .get(..input.floor_char_boundary(LONGEST_INPUT))
        .unwrap_or_default();
    html! {
        @if let Some(limit) = limit.filter(|limit| opinion.took_ms > *limit) {
            p.note {
                "The policies need " (format!("{:.0}", opinion.took_ms)) " ms of a processor. A rule that takes longer than "
                (format!("{limit:.0}")) " ms in the gate denies."
            }
        }
        @if !opinion.has_credential {
            p.note { "The request shows no credential: the gate would answer 401 before any policy. Say who calls, above." }
        }
        @for violation in &opinion.violations { (objection(violation, opinion.files.get(&violation.policy))) }
        @if opinion.more > 0 { p { "and " (opinion.more) " more" } }
        @if opinion.violations.is_empty() { p { "No policy objected." } }
        @if let Some(remedy) = &opinion.remedy { p.note { strong { "Remedy: " } (long(remedy)) } }
        @if !opinion.prints.is_empty() {
            h3 { "Printed" }
            pre tabindex="0" { @for line in &opinion.prints { (shown(line)) "\n" } }
        }
        details {
            summary { "Lines that were evaluated" }
            dl { @for (file, rows) in opinion.lines.iter().take(MOST_FILES) { dt { (cut(file)) } dd { (cut(&ranges(rows))) } } }
        }
        details {
            summary { "What the policies saw" }
            pre tabindex="0" { (beginning) @if beginning.len() < input.len() { "\n…" } }
        }
    }
}

/// With the file of the policy, which a button opens.
fn objection(violation: &Violation, file: Option<&String>) -> Markup {
    let what = violation.does();
    html! {
        section.card.objection {
            h3 { (cut(&violation.policy)) " " span class=(if what == "denies" { "deny" } else { "warn" }) { (what) } }
            p { (long(&violation.message)) }
            dl {
                @for (title, told) in [("Code", &violation.code), ("Where", &violation.path)] {
                    @if let Some(told) = told { dt { (title) } dd { (cut(told)) } }
                }
                dt { "Mode" } dd { (violation.mode.to_string()) }
                @if let Some(file) = file {
                    dt { "File" }
                    dd { button.link type="submit" form="play" name="open" value=(file) { (cut(file)) } }
                }
                @if let Some(exception) = &violation.exception {
                    dt { "Exception" } dd { (cut(&exception.ticket)) ", until " (cut(&exception.until)) }
                }
            }
        }
    }
}

fn problems(title: &str, found: &[Problem]) -> Markup {
    html! {
        @if !found.is_empty() {
            div.fault role="alert" {
                strong { (title) ":" }
                ul { @for problem in found { li { code { (cut(&problem.place())) } " " (long(&problem.message)) } } }
            }
        }
    }
}

fn changes(replayed: &Replayed) -> Markup {
    let sums = [
        ("are decided alike", replayed.same),
        ("were allowed and would be denied", replayed.new_denials),
        ("were denied and would be allowed", replayed.new_allows),
        (
            "have the same verdict and other violations",
            replayed.changed,
        ),
        (
            "could not be judged again",
            replayed.not_replayed.values().sum(),
        ),
    ];
    html! {
        h2 { "What would this change?" }
        p id="changes" { "Of the newest " (replayed.looked_at) " decisions, " (replayed.replayed) " were judged again by the edited policies:" }
        dl.card { @for (what, count) in sums { dt { (count) } dd { (what) } } }
        @if !replayed.not_by.is_empty() {
            h3 { "Not judged again by one policy, compared by the others" }
            ul id="not-by" {
                @for (policy, reasons) in replayed.not_by.iter().take(MOST_FILES) {
                    @for (reason, count) in reasons.iter().take(REASONS) { li { (count) " " strong { (cut(policy)) } ": " (cut(reason)) } }
                }
            }
        }
        @if replayed.granted > 0 {
            p.soft { (replayed.granted) " had passed by a one-time grant: compared is what the policies said, and they denied." }
        }
        @if replayed.damaged > 0 { p.note { (replayed.damaged) " could not be read as records: run dtgate audit verify." } }
        @for text in &replayed.beside { p.note { (sentence(text)) } }
        @if replayed.failed > 0 { p.note { "A policy failed on " (replayed.failed) " of them: that denies, as in the gate." } }
        @if replayed.of_other_policies > 0 {
            p.soft { (replayed.of_other_policies) " were decided then by other policies or other data than the edited ones." }
        }
        @if !replayed.not_replayed.is_empty() {
            h3 { "Not judged again" }
            ul { @for (reason, count) in replayed.not_replayed.iter().take(MOST_FILES) { li { (count) " " (cut(reason)) } } }
        }
        @for (flip, title) in [(Flip::Denial, "New denials"), (Flip::Allow, "New allows"), (Flip::Violations, "Other violations, same verdict")] {
            @let groups: Vec<&Group> = replayed.groups.iter().filter(|it| it.change == flip).collect();
            @if !groups.is_empty() {
                h3 { (title) }
                div.wide role="region" aria-label=(title) tabindex="0" {
                    table.stack {
                        thead { tr {
                            th scope="col" { "Policy" } th scope="col" data-zone { "When" }
                            @for title in ["Operation", "Environment", "Token", "By", "What"] { th scope="col" { (title) } }
                        } }
                        tbody { @for group in groups { @for example in &group.examples { (flipped(group, example)) } } }
                    }
                }
            }
        }
    }
}

fn flipped(group: &Group, example: &Example) -> Markup {
    html! {
        tr {
            td data-title="Policy" { (breaking(&cut(&group.policy))) @if group.count > 1 { div.soft { "of " (group.count) } } }
            td.nowrap data-title="When" {
                a href={ "/console/decisions/" (id_of(example)) } { (time(&example.timestamp)) }
            }
            td data-title="Operation" { (breaking(&cut(&example.operation))) }
            td data-title="Environment" { (cut(&example.environment)) }
            td data-title="Token" { (cut(&example.token)) }
            td data-title="By" { (cut(&example.by)) }
            td data-title="What" { (cut(&example.says)) }
        }
    }
}

/// A test, to copy or to download.
pub(super) fn test(test: &Test) -> Markup {
    html! {
        h2 { "Test" }
        p { "Put it beside the policies, as " code id="test-name" { (test.name) } ". dtgate test and opa test run it. It asks with the data that are there." }
        label { "The file" textarea id="test-text" rows="20" readonly spellcheck="false" wrap="off" data-name=(test.name) { "\n" (test.text) } }
        p id="test-download" {}
    }
}

/// By which a decision is found: a record may have no id.
fn id_of(example: &Example) -> String {
    match &*example.decision_id {
        "" => example.seq.to_string(),
        id => encoded(id).into_owned(),
    }
}

/// Rows in their order, neighbours as one.
fn ranges(rows: &[u32]) -> String {
    let mut told: BTreeMap<u32, u32> = BTreeMap::new();
    let mut first = None;
    for &row in rows {
        let begins = first.filter(|begins| {
            told.get(begins)
                .is_some_and(|last| last.checked_add(1) == Some(row))
        });
        let begins = begins.unwrap_or(row);
        told.insert(begins, row);
        first = Some(begins);
    }
    let told = told.iter().map(|(first, last)| {
        if first == last {
            first.to_string()
        } else {
            format!("{first}-{last}")
        }
    });
    told.collect::<Vec<_>>().join(", ")
}

/// A text that may be a paragraph.
fn long(text: &str) -> String {
    cut_at(text, PARAGRAPH)
}

const PATH: &str = "/console/playground";
const WISHES: [(&str, &str); 4] = [
    ("token.update", "Change a token"),
    ("token.create", "Make a token"),
    ("token.disable", "Disable a token"),
    ("token.delete", "Delete a token"),
];
/// Bytes of an input document.
const LONGEST_INPUT: usize = 30_000;
/// Letters of a message.
const PARAGRAPH: usize = 1_000;
/// Files of which lines are told.
const MOST_FILES: usize = 50;
/// Reasons that are told of each policy.
const REASONS: usize = 10;
