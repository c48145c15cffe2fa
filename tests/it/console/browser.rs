//! The console in a real browser: what a test without one cannot see. `DTGATE_SCREENSHOTS` names a directory for pictures
//! of all pages, at both widths, light and dark:
//!
//! ```text
//! DTGATE_SCREENSHOTS=pictures cargo test --test it -- --ignored needs_chromium_every_page
//! ```

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::{Value, json};

use super::chromium::{Chromium, Look};
use super::demo::Demo;
use crate::harness::{GOOD, TOKEN, Upstream, eventually, exchange};

pub(super) const DESKTOP: Look = Look {
    width: 1280,
    height: 900,
    is_dark: false,
};
const PHONE: Look = Look {
    width: 360,
    height: 800,
    is_dark: false,
};

fn dark(look: Look) -> Look {
    Look {
        is_dark: true,
        ..look
    }
}

/// Every page that there is, by a name: those of single decisions and tokens by what the journal has.
fn pages(demo: &Demo) -> Vec<(&'static str, String)> {
    let first = |arguments: &[&str]| {
        let mut all = vec!["query", "--limit", "1"];
        all.extend(arguments);
        demo.audit(&all).swap_remove(0)
    };
    let text = |record: &Value, pointer: &str| {
        record
            .pointer(pointer)
            .unwrap()
            .as_str()
            .unwrap()
            .to_owned()
    };
    let decision = |record: &Value| {
        format!(
            "/console/decisions/{}",
            text(record, "/decision/decision_id")
        )
    };
    let denied = first(&["--decision", "deny", "--policy", "forbidden_scopes"]);
    let widened = first(&[
        "--decision",
        "allow",
        "--operation",
        "token.update",
        "--no-op",
        "hide",
    ]);
    let doubt = first(&["--outcome", "doubt"]);
    let token = text(&widened, "/decision/input/token/id");
    let tried = denied.pointer("/decision/seq").unwrap();
    eventually("a checkpoint covers what was denied", || {
        let page = demo.ask(&decision(&denied)).body;
        page.contains("The chain holds").then_some(())
    });
    vec![
        ("now", "/console".to_owned()),
        ("decisions", "/console/decisions".to_owned()),
        ("denied", decision(&denied)),
        ("allowed", decision(&widened)),
        ("doubt", decision(&doubt)),
        ("token", format!("/console/tokens/{token}")),
        ("callers", "/console/callers".to_owned()),
        (
            "playground",
            format!("/console/playground?decision={tried}"),
        ),
        ("policies", "/console/policies".to_owned()),
        ("policy", "/console/policies/forbidden_scopes".to_owned()),
        ("login", "/console/login".to_owned()),
    ]
}

fn keep(browser: &mut Chromium, name: &str) {
    let Some(directory) = std::env::var_os("DTGATE_SCREENSHOTS") else {
        return;
    };
    let directory = PathBuf::from(directory);
    std::fs::create_dir_all(&directory).unwrap();
    std::fs::write(directory.join(name), browser.picture()).unwrap();
}

#[test]
#[ignore = "needs chromium"]
fn needs_chromium_every_page_loads_without_a_complaint_and_fits_wherever_it_is_shown() {
    let demo = Demo::start();
    let mut browser = Chromium::start();
    let mut faults = Vec::new();
    for (name, path) in pages(&demo) {
        let url = format!("http://{}{path}", demo.admin);
        browser.look(DESKTOP);
        browser.open(&url);
        let complaints = browser.complaints();
        faults.extend(complaints.iter().map(|it| format!("{path}: {it}")));
        let light = browser.run("getComputedStyle(document.body).backgroundColor");
        keep(&mut browser, &format!("{name}-desktop.png"));
        for look in [PHONE, dark(PHONE), dark(DESKTOP)] {
            browser.look(look);
            let wide = browser.run(
                "[...document.querySelectorAll('body *')].filter((it) => !it.closest('.wide, .source, pre, .skip, .hidden, thead')\
                 && it.getBoundingClientRect().right > innerWidth + 1).map((it) => it.outerHTML.slice(0, 120))",
            );
            let width = browser.run("document.documentElement.scrollWidth");
            if width.as_u64().unwrap() > u64::from(look.width) || wide != json!([]) {
                faults.push(format!("{path}: {look:?}: {width}: {wide}"));
            }
            let width = if look.width == PHONE.width {
                "phone"
            } else {
                "desktop"
            };
            let scheme = if look.is_dark { "-dark" } else { "" };
            keep(&mut browser, &format!("{name}-{width}{scheme}.png"));
        }
        let dark = browser.run("getComputedStyle(document.body).backgroundColor");
        assert_ne!(light, dark, "{path}");
    }
    // It would have seen a fault: that of a script, and what the Content-Security-Policy refuses.
    browser.run("console.error('a fault')");
    browser.run("document.body.insertAdjacentHTML('beforeend', '<p style=\"color: red\">')");
    let seen = json!(browser.complaints()).to_string();
    for wanted in ["a fault", "Content Security Policy"] {
        assert!(seen.contains(wanted), "{wanted}: {seen}");
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
#[ignore = "needs chromium"]
fn needs_chromium_people_find_what_the_journal_has_and_see_what_comes() {
    let demo = Demo::start();
    let mut browser = Chromium::start();
    browser.look(DESKTOP);
    rows_are_low(&demo, &mut browser);
    searched_by_keyboard(&demo, &mut browser);
    followed_to_its_token(&demo, &mut browser);
    a_denial_comes_by_itself(&demo, &mut browser);
}

/// A time took three lines, so that twenty rows were two windows high.
fn rows_are_low(demo: &Demo, browser: &mut Chromium) {
    browser.open(&format!("http://{}/console/decisions", demo.admin));
    let times = "[...document.querySelectorAll('#decisions td[data-title=When] time')]";
    let lines = browser.run(&format!(
        "Math.max(...{times}.map((it) => it.getClientRects().length))"
    ));
    assert_eq!(lines, 1);
    let high = browser.run(
        "[...document.querySelectorAll('#decisions tr')].slice(0, 20).reduce((all, it) => all + it.getBoundingClientRect().height, 0)",
    );
    assert!(high.as_f64().unwrap() < 1_500.0, "{high}");
    // The head names the zone; where there is no room for it, each row does.
    let head = browser.run("document.querySelector('th[data-zone]').textContent");
    let zone = head
        .as_str()
        .unwrap()
        .strip_prefix("When (")
        .unwrap()
        .trim_end_matches(')');
    let shown = format!("document.querySelector('#decisions time').innerText.endsWith(' {zone}')");
    assert_eq!(browser.run(&shown), false);
    browser.look(PHONE);
    assert_eq!(browser.run(&shown), true);
    browser.look(DESKTOP);
}

/// With no mouse: from the top of the page into the form, and to what it finds.
fn searched_by_keyboard(demo: &Demo, browser: &mut Chromium) {
    browser.open(&format!("http://{}/console", demo.admin));
    browser.press("Tab");
    assert_eq!(browser.run("document.activeElement.className"), "skip");
    tab_to(
        browser,
        "document.activeElement.textContent === 'Decisions'",
    );
    browser.press("Enter");
    browser.loaded();
    tab_to(browser, "document.activeElement.name === 'policy'");
    browser.write("forbidden_scopes");
    browser.press("Enter");
    browser.loaded();
    let found = browser.run(
        "[...document.querySelectorAll('#decisions a')].map((it) => it.pathname.split('/')).filter((it) => it[2] === 'decisions')\
         .map((it) => it[3])",
    );
    let found: Vec<&str> = found
        .as_array()
        .unwrap()
        .iter()
        .map(|it| it.as_str().unwrap())
        .collect();
    let known = demo.audit(&["query", "--policy", "forbidden_scopes", "--limit", "50"]);
    let known: Vec<&str> = known
        .iter()
        .map(|it| it["decision"]["decision_id"].as_str().unwrap())
        .collect();
    assert!(
        found.len() > 5 && found.iter().all(|it| known.contains(it)),
        "{found:?}: {known:?}"
    );
}

/// Presses Tab until the right thing has the focus, which has to be seen.
fn tab_to(browser: &mut Chromium, condition: &str) {
    for _ in 0..40 {
        browser.press("Tab");
        let outline = browser.run("getComputedStyle(document.activeElement).outlineStyle");
        assert_ne!(outline, "none", "nobody sees where the focus is");
        if browser.run(condition) == true {
            return;
        }
    }
    panic!("not reached by the keyboard: {condition}");
}

/// The timeline of a token shows each change that the journal has of it.
fn followed_to_its_token(demo: &Demo, browser: &mut Chromium) {
    let (_, path) = pages(demo)
        .into_iter()
        .find(|(name, _)| *name == "token")
        .unwrap();
    browser.open(&format!("http://{}{path}", demo.admin));
    let shown = browser.run("document.querySelectorAll('.timeline > li').length");
    let id = path.rsplit('/').next().unwrap();
    let known = demo.audit(&["query", "--token", id]).len();
    assert!(
        shown.as_u64().unwrap() >= 1 && shown.as_u64().unwrap() <= u64::try_from(known).unwrap(),
        "{shown} {known}"
    );
}

fn a_denial_comes_by_itself(demo: &Demo, browser: &mut Chromium) {
    browser.open(&format!("http://{}/console", demo.admin));
    browser.wait("document.getElementById('live').textContent.startsWith('New decisions appear')");
    let body = r#"{"name":"payments-prod-ci","scopes":["apiTokens.write"]}"#;
    let length = body.len();
    let denied = || {
        let answer = exchange(
            demo.gate,
            format!(
                "POST /api/v2/apiTokens HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Api-Token dt0c01.WATCHERAAAAAAAAAAAAAAAAA.{}\r\n\
                 Content-Type: application/json\r\nContent-Length: {length}\r\n\r\n{body}",
                "A".repeat(64)
            )
            .as_bytes(),
        );
        assert_eq!(answer.status, 403, "{answer:?}");
    };
    // What the reader found first is not new: so one is sent again until it is seen.
    let seen = "[...document.querySelectorAll('#decisions tr.fresh')].some((it) => it.textContent.includes('WATCHER'))";
    for _ in 0..20 {
        denied();
        std::thread::sleep(Duration::from_secs(1));
        if browser.run(seen) == true {
            assert_eq!(browser.complaints(), Vec::<Value>::new());
            return;
        }
    }
    panic!("no denial was shown");
}

/// With a Dynatrace that takes its time: its answer comes into the row, and the numbers above go on by themselves.
#[test]
#[ignore = "needs chromium"]
fn needs_chromium_what_is_shown_goes_on_until_it_has_its_answer() {
    let upstream = Upstream::answering(|_| {
        std::thread::sleep(Duration::from_secs(4));
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec()
    });
    let gate = super::gate(&upstream, "[console]\nlogin = \"none\"\n");
    assert_eq!(gate.send("PUT", TOKEN, GOOD).status, 204);
    let mut browser = Chromium::start();
    browser.look(DESKTOP);
    browser.open(&format!("http://{}/console", gate.admin));
    browser.wait("document.getElementById('live').textContent.startsWith('New decisions appear')");
    browser.wait("document.querySelector('#decisions tr').textContent.includes('204')");
    browser.run("document.querySelector('#sums details').open = true");
    browser.run("document.querySelector('#sums summary').focus()");
    // The reader begins with what is there.
    std::thread::sleep(Duration::from_secs(3));
    std::thread::scope(|scope| {
        let sent = scope.spawn(|| gate.send("PUT", TOKEN, GOOD).status);
        browser
            .wait("document.querySelector('#decisions tr').textContent.includes('no answer yet')");
        browser.run("document.querySelector('#decisions tr a').focus()");
        browser.wait("!document.getElementById('decisions').textContent.includes('no answer yet')");
        assert_eq!(sent.join().unwrap(), 204);
    });
    let rows = browser.run("[...document.querySelectorAll('#decisions tr')].map((it) => it.lastElementChild.textContent)");
    assert_eq!(rows, json!(["204", "204"]));
    let focused =
        browser.run("document.activeElement === document.querySelector('#decisions tr a')");
    assert_eq!(focused, true);
    browser.run("document.querySelector('#sums summary').focus()");
    let number = "document.querySelector('#sums .number').textContent";
    assert_eq!(browser.run(number), "1");
    browser.run("(() => { const now = Date.now; Date.now = () => now() + 120000; })()");
    browser.wait(&format!("{number} === '2'"));
    let stays = "document.querySelector('#sums details').open && document.activeElement === document.querySelector('#sums summary')";
    assert_eq!(browser.run(stays), true);
    assert_eq!(browser.complaints(), Vec::<Value>::new());
}

/// The checker of the rules for pages that everybody can use. `.ci/run` fetches it.
fn axe() -> String {
    let target = Path::new(env!("CARGO_BIN_EXE_dtgate")).ancestors().nth(2);
    let file = target
        .unwrap()
        .join("clients-npm/node_modules/axe-core/axe.min.js");
    std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

#[test]
#[ignore = "needs axe-core and chromium"]
fn needs_axe_no_page_shuts_anybody_out() {
    let axe = axe();
    let demo = Demo::start();
    let mut browser = Chromium::start();
    let mut found = Vec::new();
    for (_, path) in pages(&demo) {
        for look in [DESKTOP, dark(DESKTOP)] {
            browser.look(look);
            browser.open(&format!("http://{}{path}", demo.admin));
            browser.run(&format!("{axe}\n;0"));
            let broken = browser.run(AXE);
            let broken = broken.as_array().unwrap();
            found.extend(broken.iter().map(|it| format!("{path} {look:?}: {it}")));
        }
    }
    assert!(found.is_empty(), "{found:#?}");
    // It would have seen a fault.
    browser.run("document.querySelector('main').insertAdjacentHTML('beforeend', '<input>')");
    assert!(browser.run(AXE).to_string().contains("label"));
}

/// What is worse than minor.
const AXE: &str = "axe.run().then((it) => it.violations.filter((it) => it.impact !== 'minor').map((it) => \
     `${it.id}: ${it.help}: ${it.nodes.slice(0, 3).map((it) => it.html.slice(0, 150) + ' ' + it.failureSummary).join(' | ')}`))";
