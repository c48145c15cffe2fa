//! Texts of others in a real browser: nothing of them runs, not either where a script puts them into a page.

use serde_json::{Value, json};

use super::browser::DESKTOP;
use super::chromium::Chromium;
use super::{HOSTILE, OPEN, decisions, gate};
use crate::harness::{Gate, TOKEN, Upstream};

/// Elements that no page of ours has, and what a script of others would have done.
const TAKEN: &str = "document.querySelectorAll('main img, main svg:not(.plot), main script, [onerror], [onload], [onfocus]').length \
                     + [...document.querySelectorAll('a')].filter((it) => it.protocol === 'javascript:').length";

fn send(gate: &Gate) -> usize {
    for hostile in HOSTILE {
        let body = json!({"name": hostile, "scopes": [hostile], hostile: hostile});
        gate.send("PUT", TOKEN, &body.to_string());
    }
    HOSTILE.len()
}

fn is_untouched(browser: &mut Chromium, target: &str) {
    assert_eq!(browser.run(TAKEN), 0, "{target}");
    assert_eq!(browser.complaints(), Vec::<Value>::new(), "{target}");
}

#[test]
#[ignore = "needs chromium"]
fn needs_chromium_texts_of_others_run_nowhere() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    let count = send(&gate);
    let mut all = decisions(gate.admin, count);
    let id = TOKEN.rsplit('/').next().unwrap();
    all.extend(
        [
            "/console/decisions",
            "/console/callers",
            "/console/policies",
            &format!("/console/tokens/{id}"),
        ]
        .map(str::to_owned),
    );
    let mut browser = Chromium::start();
    browser.look(DESKTOP);
    for target in &all {
        browser.open(&format!("http://{}{target}", gate.admin));
        is_untouched(&mut browser, target);
    }
    it_comes_by_itself(&gate, &mut browser);
    it_is_judged(&gate, &mut browser);
    // It would have seen one.
    browser.run("document.querySelector('main').insertAdjacentHTML('beforeend', '<img src=x onerror=\"1\">')");
    assert_ne!(browser.run(TAKEN), 0);
}

/// As rows that a script puts into the page.
fn it_comes_by_itself(gate: &Gate, browser: &mut Chromium) {
    browser.open(&format!("http://{}/console", gate.admin));
    browser.wait("document.getElementById('live').textContent.startsWith('New decisions appear')");
    // What the reader found first is not new.
    for _ in 0..20 {
        send(gate);
        std::thread::sleep(std::time::Duration::from_millis(500));
        if browser.run("document.querySelectorAll('#decisions tr.fresh').length") != 0 {
            return is_untouched(browser, "what comes");
        }
    }
    panic!("nothing came");
}

/// As the answer of the playground, which a script puts into the page, too.
fn it_is_judged(gate: &Gate, browser: &mut Chromium) {
    browser.open(&format!("http://{}/console/playground", gate.admin));
    browser.wait("typeof document.getElementById('editor').value === 'string'");
    let hostile = HOSTILE.concat();
    let body = json!({"name": hostile, "scopes": [hostile, "WriteConfig"]}).to_string();
    let request = format!(
        "PUT {TOKEN} HTTP/1.1\nHost: gate.example\nContent-Type: application/json\n\n{body}"
    );
    let request = json!(request);
    browser.run(&format!(
        "document.getElementById('request').value = {request}; document.getElementById('judge').click()"
    ));
    browser.wait("(document.getElementById('verdict')?.textContent ?? '').includes('deny')");
    is_untouched(browser, "what is judged");
}
