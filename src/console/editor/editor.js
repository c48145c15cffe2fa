// The editor of the playground: CodeMirror in a shadow root, where its styles need no exception from the
// Content-Security-Policy (they are adopted style sheets, and no <style> in the page).
import { EditorState, StateEffect, StateField } from "@codemirror/state";
import {
  Decoration, EditorView, drawSelection, highlightActiveLine, highlightActiveLineGutter, keymap, lineNumbers,
} from "@codemirror/view";
import { defaultKeymap, history, historyKeymap, indentWithTab } from "@codemirror/commands";
import {
  HighlightStyle, StreamLanguage, bracketMatching, indentOnInput, indentUnit, syntaxHighlighting,
} from "@codemirror/language";
import { lintGutter, lintKeymap, setDiagnostics } from "@codemirror/lint";
import { highlightSelectionMatches, search, searchKeymap } from "@codemirror/search";
import { tags } from "@lezer/highlight";

const KEYWORDS = new Set(["as", "contains", "default", "else", "every", "if", "import", "in", "not", "package", "some", "with"]);
const ATOMS = new Set(["true", "false", "null"]);

// Rego, line by line: comments, texts (raw ones go over lines), numbers, keywords, calls, and the two documents.
const rego = StreamLanguage.define({
  name: "rego",
  startState: () => ({ raw: false }),
  token(stream, state) {
    if (state.raw) {
      if (stream.skipTo("`")) { stream.next(); state.raw = false; } else stream.skipToEnd();
      return "string";
    }
    if (stream.eatSpace()) return null;
    if (stream.match(/^#.*/)) return "comment";
    if (stream.match(/^\$?"(?:[^"\\]|\\.)*"?/)) return "string";
    if (stream.match(/^\$?`/)) { state.raw = true; return "string"; }
    if (stream.match(/^-?\d+(\.\d+)?([eE][-+]?\d+)?/)) return "number";
    const word = stream.match(/^[A-Za-z_][A-Za-z0-9_]*/);
    if (word) {
      const name = word[0];
      if (KEYWORDS.has(name)) return "keyword";
      if (ATOMS.has(name)) return "atom";
      if (name === "input" || name === "data") return "variableName.special";
      if (stream.match(/^(\.[A-Za-z_][A-Za-z0-9_]*)*\(/, false)) return "variableName.function";
      return "variableName";
    }
    if (stream.match(/^(:=|==|!=|<=|>=|[-+*/%|&<>=])/)) return "operator";
    stream.next();
    return null;
  },
  languageData: { commentTokens: { line: "#" }, closeBrackets: { brackets: ["(", "[", "{", '"', "`"] } },
});

const colours = HighlightStyle.define([
  { tag: tags.comment, class: "ed-comment" },
  { tag: tags.string, class: "ed-string" },
  { tag: [tags.number, tags.atom], class: "ed-number" },
  { tag: tags.keyword, class: "ed-keyword" },
  { tag: tags.special(tags.variableName), class: "ed-document" },
  { tag: tags.function(tags.variableName), class: "ed-call" },
]);

// The colours are variables of the page, so that dark and light follow it; they reach into the shadow root.
const look = EditorView.theme({
  "&": { backgroundColor: "var(--card)", color: "var(--text)", border: "1px solid var(--line)", borderRadius: "6px", fontSize: "13.5px" },
  "&.cm-focused": { outline: "3px solid var(--link)", outlineOffset: "1px" },
  ".cm-scroller": { fontFamily: "var(--mono)", lineHeight: "1.5", height: "34rem", maxHeight: "75vh", overflow: "auto" },
  ".cm-content": { caretColor: "var(--text)" },
  ".cm-cursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--back)", color: "var(--soft)", borderRight: "1px solid var(--line)" },
  ".cm-activeLine": { backgroundColor: "transparent", boxShadow: "inset 0 0 0 1px var(--line)" },
  ".cm-activeLineGutter": { backgroundColor: "var(--mark)" },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": { background: "var(--kept)" },
  ".cm-matchingBracket, &.cm-focused .cm-matchingBracket": { backgroundColor: "var(--kept)", outline: "1px solid var(--soft)" },
  ".cm-selectionMatch": { backgroundColor: "var(--kept)" },
  ".ed-evaluated": { backgroundColor: "var(--added)" },
  ".cm-tooltip, .cm-panels": { backgroundColor: "var(--card)", color: "var(--text)", border: "1px solid var(--line)" },
  ".cm-panel button, .cm-panel input": { color: "var(--text)", background: "var(--card)", border: "1px solid var(--line)" },
  // Instead of pictures in data: URLs, which the Content-Security-Policy does not let in.
  ".cm-lint-marker": { width: "0.7em", height: "0.7em", marginTop: "0.4em", borderRadius: "50%" },
  ".cm-lint-marker-error": { content: "normal", backgroundColor: "var(--deny)" },
  ".cm-lint-marker-warning": { content: "normal", backgroundColor: "var(--warn)" },
  ".cm-lintRange-error": { backgroundImage: "none", textDecoration: "underline wavy var(--deny)" },
  ".cm-lintRange-warning": { backgroundImage: "none", textDecoration: "underline wavy var(--warn)" },
  ".cm-lintRange-active": { backgroundColor: "var(--mark)" },
  ".cm-diagnostic": { fontFamily: "system-ui, sans-serif" },
  ".ed-comment": { color: "var(--soft)", fontStyle: "italic" },
  ".ed-string": { color: "var(--allow)" },
  ".ed-number": { color: "var(--warn)" },
  ".ed-keyword": { color: "var(--link)", fontWeight: "600" },
  ".ed-document": { color: "var(--deny)" },
  ".ed-call": { color: "var(--link)" },
});

const setMarked = StateEffect.define();
const evaluatedLine = Decoration.line({ class: "ed-evaluated" });
const marked = StateField.define({
  create: () => Decoration.none,
  update(now, transaction) {
    let next = now.map(transaction.changes);
    for (const effect of transaction.effects) {
      if (effect.is(setMarked)) {
        const lines = effect.value.filter((line) => line >= 1 && line <= transaction.state.doc.lines);
        next = Decoration.set(lines.map((line) => evaluatedLine.range(transaction.state.doc.line(line).from)), true);
      }
    }
    return next;
  },
  provide: (field) => EditorView.decorations.from(field),
});

// Ctrl and Enter is for the page, which judges: it edits nothing, neither here (an empty line) nor by the panel of the search
// (a replacement). Cmd is for the page, too.
const judges = ["Ctrl-Enter", "Meta-Enter"].map((key) => ({ key, scope: "editor search-panel", run: () => true, shift: () => true }));

// Takes the place of a text area, which keeps its part in the form. `changed` is called when somebody types.
window.dtgateEditor = function dtgateEditor(host, area, path, changed) {
  const root = host.attachShadow({ mode: "open" });
  let quiet = false;
  const extensions = (name) => [
    lineNumbers(), history(), drawSelection(), highlightActiveLine(), highlightActiveLineGutter(), bracketMatching(),
    indentOnInput(), indentUnit.of("\t"), EditorState.tabSize.of(4), search({ top: true }), highlightSelectionMatches(),
    lintGutter(), marked, look, syntaxHighlighting(colours),
    keymap.of([...judges, ...defaultKeymap, ...historyKeymap, ...searchKeymap, ...lintKeymap, indentWithTab]),
    EditorView.contentAttributes.of({ "aria-label": "Source of " + name, spellcheck: "false", autocapitalize: "off", tabindex: "0" }),
    name.endsWith(".rego") ? rego : [],
    EditorView.updateListener.of((update) => { if (update.docChanged && !quiet) changed(); }),
  ];
  const state = (name, text) => EditorState.create({ doc: text, extensions: extensions(name) });
  const view = new EditorView({ state: state(path, area.value), root, parent: root });
  const put = (text) => view.dispatch({ changes: { from: 0, to: view.state.doc.length, insert: text } });
  // Tests and other scripts read and write it as they would a text area.
  Object.defineProperty(host, "value", { get: () => view.state.doc.toString(), set: put });
  return {
    text: () => view.state.doc.toString(),
    open(name, text) { quiet = true; view.setState(state(name, text)); quiet = false; },
    mark(lines) { view.dispatch({ effects: setMarked.of([...lines].sort((one, other) => one - other)) }); },
    problems(list) {
      const found = list.map((it) => {
        const line = view.state.doc.line(Math.min(Math.max(it.line, 1), view.state.doc.lines));
        // Columns count characters from 1.
        const before = [...line.text].slice(0, Math.max(it.column - 1, 0)).join("").length;
        const from = Math.min(line.from + before, line.to);
        return { from, to: Math.max(from, line.to), severity: it.severity, message: it.message };
      });
      view.dispatch(setDiagnostics(view.state, found));
    },
    focus: () => view.focus(),
  };
};
