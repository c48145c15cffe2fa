// What every page does: times in the zone of whoever looks on. Without scripts each page says the same, in UTC.
"use strict";
for (const time of document.querySelectorAll("time[datetime]")) {
  const moment = new Date(time.dateTime);
  if (!Number.isNaN(moment.getTime())) {
    time.title = time.dateTime;
    time.textContent = moment.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "medium" });
  }
}

// New decisions on the page "Now".
const live = document.getElementById("live");
const list = document.getElementById("decisions");
if (live && list && window.EventSource) {
  const query = live.dataset.query ? "?" + live.dataset.query : "";
  const events = new EventSource(live.dataset.live + query);
  events.addEventListener("open", () => { live.textContent = "New decisions appear by themselves."; });
  events.addEventListener("error", () => { live.textContent = "The connection is lost. It is tried again."; });
  events.addEventListener("lost", () => { live.textContent = "Some decisions were too many to show: load the page again."; });
  events.addEventListener("decision", (event) => {
    const holder = document.createElement("template");
    holder.innerHTML = event.data;
    const row = holder.content.querySelector("tr");
    if (!row) return;
    row.classList.add("fresh");
    list.prepend(row);
    while (list.rows.length > 100) list.deleteRow(-1);
  });
}
