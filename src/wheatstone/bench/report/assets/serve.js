// Follows the runs: asks for their state every few seconds, and draws the curves of those that are unfolded.
(() => {
  const COLOURS = ["#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#7F7F7F", "#8C7A00"];
  const SVG = "http://www.w3.org/2000/svg";
  const make = (name, attributes, ...children) => {
    const element = name.startsWith("svg:") ? document.createElementNS(SVG, name.slice(4)) : document.createElement(name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    element.append(...children);
    return element;
  };
  const short = (value) => (Math.abs(value) >= 1e5 || (value && Math.abs(value) < 1e-3) ? value.toExponential(1) : String(+value.toPrecision(4)));

  // One small plot: a polyline a seed, one colour an arm.
  const plot = (title, byArm, arms) => {
    const width = 340, height = 190, left = 46, right = 10, top = 10, bottom = 26;
    const points = Object.values(byArm).flatMap((seeds) => Object.values(seeds).flat()).filter(([, y]) => y !== null);
    const svg = make("svg:svg", { viewBox: `0 0 ${width} ${height}`, width: "100%", role: "img", "aria-label": title, "font-size": 11 });
    const box = make("figure", { style: "flex:1 1 300px;max-width:520px" }, make("figcaption", {}, title), svg);
    if (!points.length) return box;
    const xs = points.map(([x]) => x), ys = points.map(([, y]) => y);
    const [x0, x1] = [Math.min(...xs), Math.max(...xs)];
    let [y0, y1] = [Math.min(...ys), Math.max(...ys)];
    if (y0 === y1) [y0, y1] = [y0 - 0.5, y1 + 0.5];
    const px = (x) => left + ((width - left - right) * (x - x0)) / (x1 - x0 || 1);
    const py = (y) => top + ((height - top - bottom) * (y1 - y)) / (y1 - y0);
    for (const y of [y0, (y0 + y1) / 2, y1]) {
      svg.append(make("svg:line", { x1: left, x2: width - right, y1: py(y), y2: py(y), style: "stroke:var(--grid)" }));
      svg.append(make("svg:text", { x: left - 6, y: py(y) + 4, "text-anchor": "end", style: "fill:var(--muted)" }, short(y)));
    }
    svg.append(make("svg:text", { x: left, y: height - 8, style: "fill:var(--muted)" }, short(x0)));
    svg.append(make("svg:text", { x: width - right, y: height - 8, "text-anchor": "end", style: "fill:var(--muted)" }, `step ${short(x1)}`));
    Object.entries(byArm).forEach(([arm, seeds]) => Object.values(seeds).forEach((curve) => {
      const path = curve.map(([x, y], at) => (y === null ? "" : `${at && curve[at - 1][1] !== null ? "L" : "M"}${px(x).toFixed(1)} ${py(y).toFixed(1)}`)).join("");
      svg.append(make("svg:path", { d: path, fill: "none", stroke: COLOURS[arms.indexOf(arm) % COLOURS.length], "stroke-width": 1.6, opacity: 0.85 }));
    }));
    return box;
  };
  const legend = (arms) => make("p", { class: "about" }, ...arms.flatMap((arm, at) => [
    make("span", { class: "nowrap", style: "margin-right:1.2em" },
      make("span", { class: "swatch", style: `background:${COLOURS[at % COLOURS.length]}` }), arm),
  ]));

  const draw = async (details) => {
    const reply = await fetch(`/api/runs/${encodeURIComponent(details.dataset.run)}/metrics`);
    if (!reply.ok) return;
    const { arms, curves } = await reply.json();
    const plots = Object.entries(curves).map(([metric, byArm]) => plot(metric, byArm, arms));
    const row = make("div", { style: "display:flex;flex-wrap:wrap;gap:16px" }, ...plots);
    details.querySelector(".curves").replaceChildren(...(plots.length ? [legend(arms), row] : ["Nothing is logged yet."]));
  };
  document.addEventListener("toggle", (event) => {
    if (event.target.matches?.("details[data-run]") && event.target.open) draw(event.target);
  }, true);

  const refresh = async () => {
    try {
      const reply = await fetch("/api/runs");
      const runs = await reply.json();
      // A run that is new, or has come to its end, changes more than a number: the server draws the page anew.
      const isNew = runs.length !== document.querySelectorAll("article").length;
      const hasEnded = runs.some((run) => {
        const card = document.getElementById(`run-${run.name}`);
        return card && JSON.parse(card.dataset.state)[0] !== run.state;
      });
      if (isNew || hasEnded) return location.reload();
      for (const run of runs) {
        const card = document.getElementById(`run-${run.name}`);
        if (!card) continue;
        card.querySelector(".trials").textContent = `${run.finished} of ${run.trials} trials`;
        const details = card.querySelector("details[data-run]");
        if (run.state === "running" && details.open) draw(details);
      }
    } catch { /* the server has ended: the page keeps what it shows */ }
    return undefined;
  };
  document.querySelector("article[data-state*='running'] details")?.setAttribute("open", "");
  setInterval(refresh, 3000);
})();
