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

function localTimes(root) {
  for (const time of root.querySelectorAll("time[datetime]")) {
    const moment = new Date(time.dateTime);
    if (!Number.isNaN(moment.getTime())) {
      time.title = time.dateTime;
      time.replaceChildren(...told(moment, time.closest("td[data-title=When]")));
    }
  }
  for (const head of root.querySelectorAll("th[data-zone]")) {
    head.textContent = "When (" + zone(new Date()) + ")";
  }
}
localTimes(document);

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
    if (!row || list.querySelector(`tr[data-id="${CSS.escape(row.dataset.id || "")}"]`)) return;
    localTimes(row);
    row.classList.add("fresh");
    list.prepend(row);
    while (list.rows.length > MOST) list.deleteRow(-1);
  }

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
  }
  open();
}
