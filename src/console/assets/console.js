// What every page does: times in the zone of whoever looks on, which they name. Without scripts each page says the same, in
// UTC.
"use strict";
const SHOWN = { year: "numeric", month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit",
  timeZoneName: "short" };

// In a column whose head names the zone there is less to say.
const SHORT = { month: "short", day: "numeric", hour: "2-digit", minute: "2-digit", second: "2-digit", hourCycle: "h23" };

function zone(moment) {
  const parts = new Intl.DateTimeFormat(undefined, SHOWN).formatToParts(moment);
  return parts.find((part) => part.type === "timeZoneName")?.value;
}

function told(moment, isInColumn) {
  const now = new Date();
  if (!isInColumn || zone(moment) !== zone(now)) return [moment.toLocaleString(undefined, SHOWN)];
  const year = moment.getFullYear() === now.getFullYear() ? {} : { year: "numeric" };
  // Where there is no room for a head, it is told in each row.
  const named = document.createElement("span");
  named.className = "zone";
  named.textContent = " " + zone(moment);
  return [moment.toLocaleString(undefined, { ...SHORT, ...year }), named];
}

// Below a picture there is no room for all of it.
const CLOCK = { hour: "2-digit", minute: "2-digit" };
const FORMS = { clock: CLOCK, seconds: { ...CLOCK, second: "2-digit" }, day: { month: "short", day: "numeric" } };

function local(written, form) {
  const moment = new Date(written);
  return Number.isNaN(moment.getTime()) ? written : moment.toLocaleString(undefined, form);
}

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (Number.isNaN(moment.getTime())) continue;
    time.title = time.dateTime;
    const form = FORMS[time.dataset.form];
    const named = "zone" in time.dataset ? { timeZoneName: "short" } : {};
    if (form) time.textContent = moment.toLocaleString(undefined, { ...form, ...named });
    else time.replaceChildren(...told(moment, time.closest("td[data-title=When]")));
  }
  for (const title of root.querySelectorAll("title[data-at]")) {
    const text = title.textContent;
    title.textContent = local(title.dataset.at, SHOWN) + text.slice(text.indexOf(": "));
  }
  for (const head of root.querySelectorAll("th[data-zone]")) {
    head.textContent = "When (" + zone(new Date()) + ")";
  }
}
localTimes(document);

// What is newer in the place of what is there. Tables that are open stay so, and the focus stays where it is.
function swap(there, newer) {
  for (const open of there.querySelectorAll("details[open][data-of]")) {
    const same = newer.querySelector(`details[data-of="${CSS.escape(open.dataset.of)}"]`);
    if (same) same.open = true;
  }
  const path = [];
  let focus = document.activeElement;
  if (!there.contains(focus)) focus = null;
  for (let it = focus; it && it !== there; it = it.parentElement) {
    path.unshift([...it.parentElement.children].indexOf(it));
  }
  localTimes(newer);
  there.replaceWith(newer);
  if (!focus) return;
  let again = newer;
  for (const at of path) again = again?.children[at];
  again?.focus({ preventScroll: true });
}

// New decisions on the page "Now". A browser comes again by itself only where the connection was lost; where it was
// answered otherwise, this does.
const live = document.getElementById("live");
const list = document.getElementById("decisions");
if (live && list && window.EventSource) watch();

function watch() {
  const MOST = 100;
  const AGAIN = 5000;
  const query = new URLSearchParams(live.dataset.query);
  let isLost = false;

  function say(text) {
    if (isLost) text += " Some decisions were too many to show: load the page again.";
    if (live.textContent !== text) live.textContent = text;
  }
  function sayGood() { say("New decisions appear by themselves."); }

  function show(event) {
    if (event.lastEventId) query.set("from", event.lastEventId);
    const holder = document.createElement("template");
    holder.innerHTML = event.data;
    const row = holder.content.querySelector("tr");
    if (!row) return;
    const there = list.querySelector(`tr[data-id="${CSS.escape(row.dataset.id || "")}"]`);
    if (there) {
      // There is more to say of it.
      if (there.dataset.asOf !== row.dataset.asOf) swap(there, row);
      return;
    }
    if (event.type === "again") return;
    localTimes(row);
    row.classList.add("fresh");
    list.prepend(row);
    while (list.rows.length > MOST) list.deleteRow(-1);
  }

  // All else of the page, once a minute, while somebody sees it. Where that is not to be had, the page says of when it is.
  const MINUTE = 60000;
  let asOf = Date.now();
  async function refresh() {
    if (document.hidden || Date.now() - asOf < MINUTE) return;
    asOf = Date.now();
    try {
      const answer = await fetch(live.dataset.page, { redirect: "error" });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const there of document.querySelectorAll("[data-again]")) {
        const newer = page.getElementById(there.id);
        if (newer) swap(there, newer);
      }
    } catch { /* The next time. */ }
  }
  setInterval(refresh, 2000);
  document.addEventListener("visibilitychange", refresh);

  // Whether somebody has to log in: it is asked in a way that opens nothing.
  async function isOut() {
    try {
      const answer = await fetch(live.dataset.live, { method: "HEAD", redirect: "manual" });
      return answer.type === "opaqueredirect";
    } catch {
      return false;
    }
  }

  async function again() {
    if (await isOut()) {
      say("Your session has ended, and nothing new appears. Load the page again to log in.");
      return;
    }
    say("Nothing new appears at this moment: it is tried again.");
    setTimeout(open, AGAIN);
  }

  function open() {
    const events = new EventSource(live.dataset.live + "?" + query);
    events.addEventListener("open", sayGood);
    events.addEventListener("error", () => {
      if (events.readyState === EventSource.CLOSED) again();
      else say("The connection is lost. It is tried again.");
    });
    events.addEventListener("lost", () => { isLost = true; sayGood(); });
    events.addEventListener("unread", () => {
      say("Nothing new can be read at this moment: the log of dtgate says why. It is tried again.");
    });
    events.addEventListener("read", sayGood);
    events.addEventListener("decision", show);
    events.addEventListener("again", show);
  }
  open();
}
