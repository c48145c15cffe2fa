// The playground without loading the page again: judging, errors as one types, other files. Without scripts its form does
// the same. What is inserted as markup comes from the server, which has made all texts of others harmless.
"use strict";
const form = document.getElementById("play");
const area = document.getElementById("source");
if (form) begin();

function begin() {
  const here = form.dataset.path;
  const fields = form.elements;
  const select = document.getElementById("file");
  const answer = document.getElementById("answer");
  const busy = document.getElementById("busy");
  const problemsLine = document.getElementById("problems");
  const editedTexts = new Map(Object.entries(JSON.parse(fields.edited.value || "{}")));
  const textsInForce = new Map();
  let openPath = fields.path.value;
  let evaluated = {};
  let found = [];
  let typing = null;
  let checking = null;
  let asked = 0;
  let openings = 0;
  // Somebody has chosen the file that is shown: no other one is opened without being asked for.
  let isChosen = new URLSearchParams(location.search).has("file");
  let isSent = false;

  const editor = area && window.dtgateEditor
    ? window.dtgateEditor(document.getElementById("editor"), area, openPath, changed)
    : null;
  if (area && !editor) area.addEventListener("input", changed);
  document.body.classList.toggle("with-editor", Boolean(editor));
  if (area && !editedTexts.has(openPath) && !isNew(openPath)) textsInForce.set(openPath, text());

  function text() {
    if (!area) return null;
    return editor ? editor.text() : area.value;
  }

  function optionOf(path) { return [...select.options].find((it) => it.value === path); }

  // No file in force has that path.
  function isNew(path) {
    const option = optionOf(path);
    return !option || option.hasAttribute("data-new");
  }

  // Whether a file is otherwise than in force. One that came with the page as edited is.
  function isEdited(path) {
    const now = path === openPath ? text() : editedTexts.get(path);
    if (now === undefined || now === null) return false;
    return isNew(path) ? now.trim() !== "" : now !== textsInForce.get(path);
  }

  function editedFiles() { return [...new Set([...editedTexts.keys(), openPath])].filter(isEdited); }

  // What somebody typed, and would have to type again: besides files, all that the form asks for.
  function hasEdits() {
    const typed = [...form.elements].filter((it) => it !== area && it.matches("textarea, input:not([type=hidden])"));
    return editedFiles().length > 0 || typed.some((it) => it.value !== it.defaultValue);
  }

  // A dot before each edited file, and what it means for those who hear the page.
  function showEdited() {
    if (!area) return;
    for (const option of select.options) {
      const name = option.textContent.trim().replace(/^• /, "");
      const is = isEdited(option.value);
      option.textContent = is ? "• " + name : name;
      if (is) option.setAttribute("aria-label", name + ", edited");
      else option.removeAttribute("aria-label");
    }
    document.getElementById("as-in-force").disabled = !isEdited(openPath);
  }

  // What the form sends, with the editor's text in it.
  function keep() {
    const now = text();
    if (now !== null) {
      area.value = now;
      editedTexts.set(openPath, now);
    }
    fields.edited.value = JSON.stringify(Object.fromEntries(editedTexts));
    fields.path.value = openPath;
  }

  function changed() {
    evaluated = {};
    if (editor) editor.mark([]);
    showEdited();
    clearTimeout(typing);
    typing = setTimeout(check, 500);
  }

  async function send(deed, signal) {
    keep();
    const response = await fetch(here + "/" + deed, {
      method: "POST",
      body: new URLSearchParams(new FormData(form)),
      headers: { "Content-Type": "application/x-www-form-urlencoded" },
      signal,
    });
    if (response.redirected) throw new Error("Your session has ended. Log in again.");
    if (response.ok) return response.json();
    // A page that says why.
    const page = new DOMParser().parseFromString(await response.text(), "text/html");
    const why = page.querySelector(".fault");
    const fault = new Error(why ? why.textContent : "There is no answer (" + response.status + ").");
    fault.isBusy = response.status === 503;
    throw fault;
  }

  async function check() {
    if (checking) checking.abort();
    checking = new AbortController();
    try {
      const told = await send("check", checking.signal);
      show(told.problems, told.warnings || []);
    } catch (error) {
      if (error.isBusy) typing = setTimeout(check, 3000);
      else if (error.name !== "AbortError") problemsLine.textContent = error.message;
    }
  }

  // Problems in the file that is open are in the editor; those of others are told here, too.
  function show(problems, warnings) {
    found = problems.map((it) => ({ ...it, severity: "error" })).concat(
      (warnings || []).map((it) => ({ ...it, severity: "warning" })));
    if (editor) editor.problems(found.filter((it) => it.path === openPath));
    const told = problems.map((it) => (it.line ? it.path + ":" + it.line + ":" + it.column : it.path) + ": " + it.message);
    problemsLine.textContent = told.slice(0, 5).join("\n");
    problemsLine.classList.toggle("deny", told.length > 0);
  }

  async function act(deed, button) {
    clearTimeout(typing);
    const number = ++asked;
    button.disabled = true;
    busy.textContent = "Judging …";
    try {
      const told = await send(deed);
      if (number !== asked) return;
      answer.innerHTML = told.html;
      if (told.problems) show(told.problems, []);
      if (told.lines) {
        evaluated = told.lines;
        if (editor) editor.mark(evaluated[openPath] || []);
      }
      if (told.opens && !isChosen && editedFiles().length === 0) open(told.opens);
      if (deed === "test") offer();
      localTimes(answer);
      answer.scrollIntoView({ block: "nearest" });
    } catch (error) {
      const fault = document.createElement("p");
      fault.className = "fault";
      fault.setAttribute("role", "alert");
      fault.textContent = error.message;
      answer.replaceChildren(fault);
    } finally {
      button.disabled = false;
      busy.textContent = "";
    }
  }

  // The test as a file.
  function offer() {
    const test = document.getElementById("test-text");
    const place = document.getElementById("test-download");
    if (!test || !place) return;
    const link = document.createElement("a");
    link.className = "button";
    link.download = test.dataset.name;
    link.href = URL.createObjectURL(new Blob([test.value], { type: "text/plain" }));
    link.textContent = "Download";
    const copy = document.createElement("button");
    copy.type = "button";
    copy.textContent = "Copy";
    copy.addEventListener("click", () => { test.select(); navigator.clipboard?.writeText(test.value); });
    place.replaceChildren(link, " ", copy);
  }

  // The text of a file in force. A path that none of them has begins a new file: nobody is asked for it, since a browser
  // logs each answer 404 as an error.
  async function load(path) {
    if (isNew(path)) return "";
    const response = await fetch(here + "/file?path=" + encodeURIComponent(path));
    if (response.redirected) throw new Error("Your session has ended. Log in again.");
    if (!response.ok) throw new Error(path + " cannot be opened: the answer is " + response.status + ".");
    // As editors have it.
    const next = (await response.text()).replace(/\r\n?/g, "\n");
    textsInForce.set(path, next);
    return next;
  }

  async function open(path) {
    const opening = ++openings;
    keep();
    let next = editedTexts.get(path) ?? textsInForce.get(path);
    if (next === undefined) {
      try {
        next = await load(path);
      } catch (error) {
        if (opening === openings) {
          select.value = openPath;
          problemsLine.textContent = error.message;
          problemsLine.classList.add("deny");
        }
        return;
      }
      // Somebody has chosen another one meanwhile.
      if (opening !== openings) return;
      // What was typed meanwhile belongs to the file that was open.
      keep();
    }
    openPath = path;
    fields.path.value = path;
    if (!optionOf(path)) {
      const option = new Option(path, path);
      option.setAttribute("data-new", "");
      select.add(option);
    }
    select.value = path;
    area.value = next;
    if (editor) {
      editor.open(path, next);
      editor.mark(evaluated[path] || []);
      editor.problems(found.filter((it) => it.path === path));
    }
    showEdited();
  }

  // Takes back the text in force. The editor can undo it.
  async function restore() {
    const path = openPath;
    try {
      const known = textsInForce.get(path) ?? await load(path);
      if (path !== openPath) return;
      if (editor) document.getElementById("editor").value = known;
      else area.value = known;
      changed();
    } catch (error) {
      problemsLine.textContent = error.message;
      problemsLine.classList.add("deny");
    }
  }

  const deeds = { judge: "judge", test: "test", change: "would-change" };
  form.addEventListener("submit", (event) => {
    const button = event.submitter;
    const deed = button && button.name === "do" ? deeds[button.value] : null;
    if (deed) {
      event.preventDefault();
      act(deed, button.id ? button : document.getElementById("judge"));
    } else if (area && button && button.value === "restore") {
      event.preventDefault();
      restore();
    } else if (area && button && (button.name === "open" || button.value === "open")) {
      event.preventDefault();
      const isNamed = button.name === "open";
      const path = isNamed ? button.value : fields.new_file.value.trim() || select.value;
      if (!isNamed) fields.new_file.value = "";
      isChosen = true;
      open(path).then(() => {
        if (!isNamed) return;
        document.getElementById("editor").scrollIntoView({ block: "nearest" });
        if (editor) editor.focus();
      });
    } else {
      keep();
      isSent = true;
    }
  });
  if (area) {
    select.addEventListener("change", () => {
      isChosen = true;
      open(select.value);
    });
  }
  // What somebody typed is nowhere but here.
  window.addEventListener("beforeunload", (event) => {
    if (isSent || !hasEdits()) return;
    event.preventDefault();
    // Older browsers ask by that.
    event.returnValue = true;
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      act("judge", document.getElementById("judge"));
    }
  });
  offer();
  showEdited();
}
