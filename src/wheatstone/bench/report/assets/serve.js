// Follows the runs through the server's own stream of events: rows of the list change in place, and the curves of a run
// grow, except for a plot that somebody is looking at closely.
(() => {
  const list = document.querySelector("table.runs tbody"), live = document.getElementById("live");

  // The list: filter, mark two, follow.
  const filter = document.getElementById("filter");
  const apply = () => {
    if (!list || !filter) return;
    const text = filter.elements.text.value.trim().toLowerCase();
    const [state, family, verdict] = ["state", "family", "verdict"].map((name) => filter.elements[name].value);
    for (const row of list.rows) {
      if (row.dataset.sweep !== undefined) continue;
      const { dataset } = row;
      row.hidden = (text && !(dataset.text ?? row.id.toLowerCase()).includes(text)) || (state && dataset.state !== state)
        || (family && dataset.family !== family) || (verdict && !(dataset.verdict ?? "").split(" ").includes(verdict));
    }
  };
  filter?.addEventListener("input", apply);
  filter?.addEventListener("submit", (event) => event.preventDefault());
  const marks = () => [...document.querySelectorAll("input[name=run]:checked")];
  const mark = () => {
    const count = marks().length, button = document.getElementById("compare");
    if (!button) return;
    button.disabled = count !== 2;
    document.getElementById("marked").textContent = count === 2 ? "" : count > 2 ? "More than two are marked." : "Mark two runs first.";
  };
  document.addEventListener("change", (event) => { if (event.target.name === "run") mark(); });
  mark();

  const element = (html) => { const box = document.createElement("template"); box.innerHTML = html; return box.content; };
  const follow = (address, heard) => {
    const source = new EventSource(address);
    source.addEventListener("message", (event) => heard(JSON.parse(event.data), source));
    addEventListener("pagehide", () => source.close());
  };
  if (live) {
    if (live.dataset.state !== "finished") follow(`/api/runs/${live.dataset.run.split("/").map(encodeURIComponent).join("/")}/events`, ({ html, state }, source) => {
      const fresh = element(html), busy = new Map();
      for (const plot of live.querySelectorAll(".plot")) {
        if (plot.matches(":hover, :focus-within") || plot.querySelector('.numbers[open], [aria-pressed="false"], [data-zoom]')) busy.set(plot.dataset.figure, plot);
      }
      for (const plot of fresh.querySelectorAll(".plot")) if (busy.has(plot.dataset.figure)) plot.replaceWith(busy.get(plot.dataset.figure));
      live.replaceChildren(fresh);
      live.dataset.state = state;
      wheatstonePlots(live);
      if (state === "finished") source.close();
    });
  } else {
    follow(`/api/events?seen=${document.getElementById("runs")?.dataset.seen ?? ""}`, ({ count, rows, gone, order }) => {
      if (!list) { if (order.length) location.reload(); return; }
      document.getElementById("count").textContent = count;
      for (const name of gone) document.getElementById(`run-${name}`)?.remove();
      for (const [name, html] of Object.entries(rows)) {
        const old = document.getElementById(`run-${name}`), box = document.createElement("tbody");
        box.innerHTML = html;
        const row = box.rows[0];
        if (old) {
          const checked = old.querySelector("input[name=run]")?.checked;
          old.replaceWith(row);
          if (checked) row.querySelector("input[name=run]").checked = true;
        } else if (name.includes("/points/")) { location.reload(); return; } // a new sweep brings a heading with it
        else {
          const next = order.slice(order.indexOf(name) + 1).map((one) => document.getElementById(`run-${one}`)).find(Boolean);
          list.insertBefore(row, next ?? null);
        }
      }
      apply();
      mark();
    });
  }
})();
