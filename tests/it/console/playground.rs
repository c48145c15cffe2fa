//! The playground in a real browser: somebody edits until it flips, and saves a test that holds.

use serde_json::Value;

use super::browser::DESKTOP;
use super::chromium::Chromium;
use super::{OPEN, gate};
use crate::harness::{Upstream, copy, policies, program};

const REQUEST: &str = "curl -X PUT https://gate.example/api/v1/tokens/d5836312-5790-4e80-afcf-09971954c3ea \
                       -H 'Content-Type: application/json' -d '{\"scopes\":[\"ReadConfig\",\"WriteConfig\"]}'";

fn click(browser: &mut Chromium, id: &str) {
    browser.run(&format!("document.getElementById('{id}').click()"));
}

fn says(browser: &mut Chromium, id: &str, word: &str) {
    browser.wait(&format!(
        "(document.getElementById('{id}')?.textContent ?? '').includes('{word}')"
    ));
}

#[test]
#[ignore = "needs chromium"]
fn needs_chromium_the_playground_flips_a_decision_and_saves_a_test_that_holds() {
    let upstream = Upstream::lenient();
    let gate = gate(&upstream, OPEN);
    let mut browser = Chromium::start();
    browser.look(DESKTOP);
    browser.open(&format!("http://{}/console/playground", gate.admin));
    browser.wait("typeof document.getElementById('editor').value === 'string'");
    assert_eq!(browser.run(LEAVES), true);
    browser.run(
        "document.getElementById('request').focus(); document.getElementById('request').select()",
    );
    browser.write(REQUEST);
    // What somebody typed is not lost without a word.
    assert_eq!(browser.run(LEAVES), false);
    the_file_of_an_objection_is_opened(&mut browser);
    browser.run(
        "const file = document.getElementById('file');\
         file.value = [...file.options].map((it) => it.value).find((it) => it.endsWith('forbidden_scopes.rego'));\
         file.dispatchEvent(new Event('change', {bubbles: true}))",
    );
    let open =
        "document.getElementById('editor').value.includes('package dtgate.forbidden_scopes')";
    browser.wait(open);
    click(&mut browser, "judge");
    says(&mut browser, "verdict", "deny");
    typing_is_judged(&mut browser);
    judged_by_keys_alone(&mut browser);
    a_new_file_is_no_error(&mut browser);
    an_edit_is_marked_and_taken_back(&mut browser);
    browser.run("window.shipped = host.value");
    browser.run(
        "host.value = window.shipped.replace('scope in _forbidden\\n\\tviolation', 'scope in _forbidden\\n\\tfalse\\n\\tviolation')",
    );
    click(&mut browser, "judge");
    says(&mut browser, "verdict", "allow");
    says(&mut browser, "verdict-before", "deny");
    let edited = browser.run("host.value");
    click(&mut browser, "save-test");
    browser.wait("Boolean(document.getElementById('test-text'))");
    let name = browser.run("document.getElementById('test-text').dataset.name");
    let test = browser.run("document.getElementById('test-text').value");
    // The saved test passes beside the edited policy, and fails beside the shipped one.
    let directory = tempfile::tempdir().unwrap();
    copy(&policies(), directory.path());
    std::fs::write(
        directory.path().join(name.as_str().unwrap()),
        test.as_str().unwrap(),
    )
    .unwrap();
    let passes = || {
        let mut command = program();
        command
            .args(["test", "--run", "saved"])
            .arg(directory.path());
        command.output().unwrap()
    };
    let shipped = passes();
    assert_eq!(shipped.status.code(), Some(2), "{shipped:?}");
    let file = directory.path().join("forbidden_scopes.rego");
    std::fs::write(file, edited.as_str().unwrap()).unwrap();
    let with_edit = passes();
    assert!(with_edit.status.success(), "{with_edit:?}");
    assert_eq!(browser.complaints(), Vec::<Value>::new());
}

/// Whether somebody could leave the page without being asked.
const LEAVES: &str = "window.dispatchEvent(new Event('beforeunload', {cancelable: true}))";

/// By itself, where nobody has chosen one.
fn the_file_of_an_objection_is_opened(browser: &mut Chromium) {
    let path = "document.getElementById('play').elements.path.value";
    assert_eq!(browser.run(path), "blast_radius.rego");
    click(browser, "judge");
    browser.wait(&format!("{path} === 'forbidden_scopes.rego'"));
    // And by its button, whatever is shown.
    browser.run(
        "const select = document.getElementById('file');\
         select.value = 'naming.rego'; select.dispatchEvent(new Event('change', {bubbles: true}))",
    );
    browser.wait(&format!("{path} === 'naming.rego'"));
    browser.run("document.querySelector('#answer button[name=open]').click()");
    browser.wait(&format!("{path} === 'forbidden_scopes.rego'"));
}

/// With a dot, and a word for those who do not see it; one button takes the text in force back, and no other file.
fn an_edit_is_marked_and_taken_back(browser: &mut Chromium) {
    let marked = "[...document.getElementById('file').options].filter((it) => it.textContent.startsWith('• '))\
                  .map((it) => it.value + '|' + it.getAttribute('aria-label')).join()";
    assert_eq!(browser.run(marked), "");
    assert_eq!(
        browser.run("document.getElementById('as-in-force').disabled"),
        true
    );
    browser.run("document.getElementById('request').value = document.getElementById('request').defaultValue");
    assert_eq!(browser.run(LEAVES), true);
    browser.run("host.value = window.untouched + '\\n# more'");
    browser.wait(&format!(
        "{marked} === 'forbidden_scopes.rego|forbidden_scopes.rego, edited'"
    ));
    assert_eq!(browser.run(LEAVES), false);
    browser.run(
        "file.value = 'naming.rego'; file.dispatchEvent(new Event('change', {bubbles: true}))",
    );
    browser.wait("host.value.includes('package dtgate.naming')");
    assert_eq!(
        browser.run(marked),
        "forbidden_scopes.rego|forbidden_scopes.rego, edited"
    );
    browser.run("file.value = 'forbidden_scopes.rego'; file.dispatchEvent(new Event('change', {bubbles: true}))");
    browser.wait("host.value.endsWith('# more')");
    click(browser, "as-in-force");
    browser.wait("host.value === window.untouched");
    browser.wait(&format!("{marked} === ''"));
    assert_eq!(browser.run(LEAVES), true);
    browser.run(
        "document.getElementById('request').select(); document.getElementById('request').focus()",
    );
    browser.write(REQUEST);
}

/// What is wrong is told as one types, at its line and column, and marked there; and it goes when it is mended.
fn typing_is_judged(browser: &mut Chromium) {
    browser.run(
        "const host = document.getElementById('editor');\
         const inside = host.shadowRoot;\
         window.untouched = host.value;\
         inside.querySelector('.cm-content').focus()",
    );
    browser.press("Control+End");
    browser.press("Enter");
    browser.write("deny contains \"x\" if input.change.scops");
    let line = browser.run("host.value.split('\\n').length");
    says(
        browser,
        "problems",
        &format!("forbidden_scopes.rego:{line}:35: "),
    );
    browser.wait("Boolean(inside.querySelector('.cm-lintRange-error'))");
    let marked = "inside.querySelector('.cm-lintRange-error').textContent";
    assert_eq!(browser.run(marked), "scops");
    // Beside the line, where somebody sees it who scrolls.
    let beside = browser.run(
        "(() => {\
            const top = (it) => Math.round(it.getBoundingClientRect().top);\
            const dot = inside.querySelector('.cm-lint-marker-error').closest('.cm-gutterElement');\
            const row = inside.querySelector('.cm-lintRange-error').closest('.cm-line');\
            return Math.abs(top(dot) - top(row)) <= 2;\
         })()",
    );
    assert_eq!(beside, true);
    browser.run("host.value = window.untouched");
    browser.wait("document.getElementById('problems').textContent === ''");
    browser.wait("!inside.querySelector('.cm-lintRange-error')");
}

/// The keys that judge were those of the editor for an empty line, too, and of its search for a replacement.
fn judged_by_keys_alone(browser: &mut Chromium) {
    let judge = |browser: &mut Chromium| {
        browser.run("document.getElementById('answer').replaceChildren()");
        browser.press("Control+Enter");
        says(browser, "verdict", "deny");
        assert_eq!(browser.run("host.value === window.untouched"), true);
    };
    browser.run("inside.querySelector('.cm-content').focus()");
    judge(browser);
    browser.press("Control+f");
    browser.wait("Boolean(inside.querySelector('.cm-search [name=replace]'))");
    browser.run("inside.querySelector('.cm-search [name=search]').focus()");
    browser.write("package");
    judge(browser);
    browser.run("inside.querySelector('.cm-search [name=replace]').focus()");
    judge(browser);
    browser.run("inside.querySelector('.cm-search [name=close]').click()");
    browser.wait("!inside.querySelector('.cm-search')");
}

/// No file in force has that path: whoever asks for it is answered 404, which a browser logs as an error.
fn a_new_file_is_no_error(browser: &mut Chromium) {
    let shipped = browser.run("document.getElementById('file').value");
    let open = |browser: &mut Chromium, path: &str| {
        browser.run(&format!(
            "document.querySelector('[name=new_file]').value = '{path}';\
             document.querySelector('button[value=open]').click()"
        ));
        browser.wait(&format!(
            "document.getElementById('play').elements.path.value === '{path}'"
        ));
    };
    open(browser, "no_del.rego");
    browser.wait("host.value === ''");
    open(browser, shipped.as_str().unwrap());
    browser.wait("host.value === window.untouched");
    assert_eq!(browser.complaints(), Vec::<Value>::new());
}
