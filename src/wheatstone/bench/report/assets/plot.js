// The plots of a page: values under the pointer and the arrow keys, series that can be hidden, a closer look at a
// stretch of the x axis. The drawings are complete without it.
const wheatstonePlots = (() => {
  const SVG = "http://www.w3.org/2000/svg";
  const make = (name, attributes = {}, ...children) => {
    const element = document.createElementNS(SVG, name);
    Object.entries(attributes).forEach(([key, value]) => element.setAttribute(key, value));
    element.append(...children);
    return element;
  };
  const shown = (value) => {
    if (value === null || value === undefined) return "–";
    const size = Math.abs(value);
    if (Number.isInteger(value) && size < 1e15) return String(value);
    return size >= 1e6 || size < 1e-4 ? value.toExponential(2) : String(+value.toPrecision(4));
  };
  const scale = (words) => {
    const [low, high, start, end, log] = words.split(" ").map(Number);
    const at = (value) => (log ? Math.log10(value) : value);
    return {
      low, high, start, end, log, words,
      px: (value) => (value === null || (log && value <= 0) ? NaN : start + ((end - start) * (at(value) - at(low))) / (at(high) - at(low))),
      value: (px) => { const share = (px - start) / (end - start), v = at(low) + share * (at(high) - at(low)); return log ? 10 ** v : v; },
    };
  };
  const ticks = ({ low, high, log }, count) => {
    if (log && high / low > 100) {
      const powers = [];
      for (let power = Math.ceil(Math.log10(low) - 1e-9); 10 ** power <= high * 1.000001; power += 1) powers.push(10 ** power);
      return powers;
    }
    const rough = (high - low) / count, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((one) => one >= rough * 0.999);
    const found = [];
    for (let at = Math.ceil(low / step - 1e-9); at * step <= high + step * 1e-9; at += 1) found.push(+(at * step).toPrecision(12));
    return found;
  };
  const series = (exhibit) => (exhibit.kind === "lines" ? exhibit.lines : exhibit.kind === "scatter" ? exhibit.points : exhibit.series ?? []);

  const activate = (plot) => {
    if (plot.dataset.live) return;
    plot.dataset.live = "1";
    const exhibit = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
    const all = series(exhibit), hidden = new Set();
    const drawings = [...plot.querySelectorAll(".drawing > svg")];
    const readout = document.createElement("div");
    readout.className = "readout";
    readout.setAttribute("role", "status");
    plot.append(readout);
    const hasAxes = exhibit.kind === "lines" || exhibit.kind === "scatter";
    const say = (lines, x, y) => {
      readout.replaceChildren(...lines.map((line, at) => { const row = document.createElement(at ? "div" : "b"); row.textContent = line; return row; }));
      readout.classList.add("on");
      const box = plot.getBoundingClientRect();
      const left = x - box.left > box.width / 2 ? x - box.left - readout.offsetWidth - 14 : x - box.left + 14;
      readout.style.left = `${Math.max(0, Math.min(left, box.width - readout.offsetWidth))}px`;
      readout.style.top = `${Math.max(0, y - box.top - readout.offsetHeight / 2)}px`;
    };
    const quiet = () => { readout.classList.remove("on"); plot.querySelectorAll(".cross").forEach((cross) => cross.remove()); };
    const cross = (svg, x, y) => {
      svg.querySelectorAll(".cross").forEach((one) => one.remove());
      svg.append(make("line", { class: "cross", x1: x, x2: x, y1: y.start, y2: y.end, "stroke-dasharray": "2 3" }));
    };

    // Legend entries become switches.
    plot.querySelectorAll(".legend > li").forEach((item) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...item.childNodes);
      button.setAttribute("aria-pressed", "true");
      button.title = "show or hide";
      item.append(button);
      button.addEventListener("click", () => {
        const place = Number(item.dataset.entry);
        if (!hidden.delete(place)) hidden.add(place);
        button.setAttribute("aria-pressed", String(!hidden.has(place)));
        plot.querySelectorAll(`[data-series="${place}"]`).forEach((group) => { group.style.display = hidden.has(place) ? "none" : ""; });
      });
    });

    const visible = () => all.map((one, place) => [one, place]).filter(([, place]) => !hidden.has(place));
    const readLines = (svg, px, x, y, clientX, clientY) => {
      const wanted = x.value(px);
      let best = null;
      for (const [line] of visible()) for (const at of line.x) {
        if (at < x.low || at > x.high) continue;
        const far = Math.abs(x.px(at) - px);
        if (best === null || far < best.far) best = { far, at };
      }
      if (best === null || Number.isNaN(wanted)) return quiet();
      cross(svg, x.px(best.at), y);
      const values = visible().map(([line]) => {
        const at = line.x.indexOf(best.at);
        if (at < 0 || line.y[at] === null) return null;
        const band = line.low && line.low[at] !== null ? ` [${shown(line.low[at])}, ${shown(line.high[at])}]` : "";
        return `${line.label}: ${shown(line.y[at])}${band}`;
      }).filter(Boolean);
      return say([`${exhibit.x_title}: ${shown(best.at)}`, ...values], clientX, clientY);
    };
    const readPoints = (svg, px, py, x, y, clientX, clientY) => {
      let best = null;
      for (const [one] of visible()) one.x.forEach((at, place) => {
        const far = Math.hypot(x.px(at) - px, y.px(one.y[place]) - py);
        if (!Number.isNaN(far) && (best === null || far < best.far)) best = { far, one, place };
      });
      if (best === null || best.far > 40) return quiet();
      const { one, place } = best;
      return say([one.text?.[place] || one.label, `${one.label}`, `${exhibit.x_title}: ${shown(one.x[place])}`, `${exhibit.y_title}: ${shown(one.y[place])}`], clientX, clientY);
    };
    const readCell = (px, py, x, y, clientX, clientY) => {
      const column = Math.round(x.value(px)), row = Math.round(y.value(py));
      const value = exhibit.values[row]?.[column];
      if (value === undefined) return quiet();
      return say([`${exhibit.y[row]} · ${exhibit.x[column]}`, `${exhibit.value_title}: ${shown(value)}`], clientX, clientY);
    };

    // A closer look: what is drawn is computed again from the numbers.
    const pen = (points, close = "") => { let down = false; return points.map(([a, b]) => { if (Number.isNaN(a + b)) { down = false; return ""; } const word = `${down ? "L" : "M"}${a.toFixed(1)} ${b.toFixed(1)}`; down = true; return word; }).join("") + close; };
    const redraw = (svg, x) => {
      const y = scale(svg.dataset.y);
      svg.querySelectorAll("g[data-series]").forEach((group) => {
        const one = all[Number(group.dataset.series)];
        group.querySelectorAll(".band").forEach((band, at) => { if (at) band.remove(); });
        const curve = group.querySelector(".curve"), points = group.querySelector(".points"), band = group.querySelector(".band");
        curve?.setAttribute("d", pen(one.x.map((at, place) => [x.px(at), y.px(one.y[place])])));
        points?.setAttribute("d", one.x.map((at, place) => [x.px(at), y.px(one.y[place])]).filter(([a, b]) => !Number.isNaN(a + b)).map(([a, b]) => `M${a.toFixed(1)} ${b.toFixed(1)}${points.dataset.shape}`).join(""));
        if (band && one.low) {
          const there = one.x.map((at, place) => [x.px(at), y.px(one.high[place])]).filter(([a, b]) => !Number.isNaN(a + b));
          const back = one.x.map((at, place) => [x.px(at), y.px(one.low[place])]).filter(([a, b]) => !Number.isNaN(a + b)).reverse();
          band.setAttribute("d", pen([...there, ...back], "Z"));
        }
      });
      const axis = svg.querySelector(".ticks-x");
      axis.replaceChildren(...ticks(x, x.end - x.start > 500 ? 9 : 4).filter((at) => at >= x.low && at <= x.high).flatMap((at) => [
        make("line", { x1: x.px(at), x2: x.px(at), y1: y.start, y2: y.start + 5, style: "stroke:var(--muted)" }),
        make("text", { x: x.px(at), y: y.start + 19, "text-anchor": "middle", style: "fill:var(--muted)" }, Math.abs(at) >= 1e6 || (at && Math.abs(at) < 1e-4) ? at.toExponential() : String(at)),
      ]));
      svg.querySelectorAll('.mark[data-axis="x"]').forEach((mark) => {
        const line = mark.querySelector("line"), label = mark.querySelector("text"), at = x.px(Number(mark.dataset.at));
        mark.style.display = at < x.start || at > x.end ? "none" : "";
        line.setAttribute("x1", at); line.setAttribute("x2", at); label.setAttribute("x", at + (label.getAttribute("text-anchor") === "end" ? -5 : 5));
      });
    };
    const original = drawings.map((svg) => svg.innerHTML);
    const back = document.createElement("button");
    back.type = "button"; back.className = "zoom-out"; back.textContent = "Whole axis"; back.hidden = true;
    plot.prepend(back);
    const reset = () => drawings.forEach((svg, at) => {
      svg.innerHTML = original[at];
      delete svg.dataset.zoom; back.hidden = true;
      hidden.forEach((place) => svg.querySelectorAll(`[data-series="${place}"]`).forEach((group) => { group.style.display = "none"; }));
    });
    back.addEventListener("click", reset);
    const zoom = (low, high) => {
      drawings.forEach((svg) => {
        const whole = scale(svg.dataset.x);
        svg.dataset.zoom = `${low} ${high} ${whole.start} ${whole.end} ${whole.log}`;
        redraw(svg, scale(svg.dataset.zoom));
      });
      back.hidden = false;
      quiet();
    };

    drawings.forEach((svg) => {
      if (!svg.dataset.x) return;
      const xOf = () => scale(svg.dataset.zoom ?? svg.dataset.x), y = scale(svg.dataset.y);
      const place = (event) => {
        const box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
        return [((event.clientX - box.left) / box.width) * view.width, ((event.clientY - box.top) / box.height) * view.height];
      };
      const read = (event) => {
        const [px, py] = place(event), x = xOf();
        if (exhibit.kind === "lines") readLines(svg, px, x, y, event.clientX, event.clientY);
        else if (exhibit.kind === "scatter") readPoints(svg, px, py, x, y, event.clientX, event.clientY);
        else if (exhibit.kind === "heatmap") readCell(px, py, x, y, event.clientX, event.clientY);
      };
      let from = null, frame = null;
      svg.addEventListener("pointermove", (event) => {
        if (from !== null && hasAxes) {
          const x = xOf(), [px] = place(event);
          const [a, b] = [Math.max(x.start, Math.min(from, px)), Math.min(x.end, Math.max(from, px))];
          frame ??= svg.appendChild(make("rect", { class: "frame", y: y.end, height: y.start - y.end }));
          frame.setAttribute("x", a); frame.setAttribute("width", Math.max(0, b - a));
          return quiet();
        }
        return read(event);
      });
      svg.addEventListener("pointerdown", (event) => {
        if (event.pointerType === "mouse" && event.button === 0) [from] = place(event);
        else read(event);
      });
      const drop = (event) => {
        const began = from;
        from = null; frame?.remove(); frame = null;
        if (began === null || !hasAxes || event.type !== "pointerup") return;
        const x = xOf(), [px] = place(event);
        const [a, b] = [Math.max(x.start, Math.min(began, px)), Math.min(x.end, Math.max(began, px))];
        if (b - a > 8) zoom(x.value(a), x.value(b));
      };
      svg.addEventListener("pointerup", drop);
      svg.addEventListener("pointerleave", (event) => { drop(event); quiet(); });
      svg.addEventListener("dblclick", reset);
      if (exhibit.kind !== "lines") return;
      // The arrow keys walk along the points of the first visible line.
      svg.tabIndex = 0;
      svg.setAttribute("aria-label", `${svg.getAttribute("aria-label")}. Arrow keys read the values, + looks closer, escape shows the whole axis.`);
      let step = 0;
      svg.addEventListener("keydown", (event) => {
        const x = xOf(), box = svg.getBoundingClientRect(), view = svg.viewBox.baseVal;
        const xs = [...new Set(visible().flatMap(([line]) => line.x))].filter((at) => at >= x.low && at <= x.high).sort((a, b) => a - b);
        if (event.key === "Escape") { quiet(); return reset(); }
        if (!xs.length || !["ArrowLeft", "ArrowRight", "Home", "End", "+"].includes(event.key)) return undefined;
        event.preventDefault();
        step = { ArrowLeft: step - 1, ArrowRight: step + 1, Home: 0, End: xs.length - 1, "+": step }[event.key];
        step = Math.max(0, Math.min(xs.length - 1, step));
        const at = xs[step];
        if (event.key === "+") {
          const px = x.px(at), reach = (x.end - x.start) / 4;
          const a = Math.max(x.start, Math.min(px - reach, x.end - 2 * reach));
          return zoom(x.value(a), x.value(a + 2 * reach));
        }
        return readLines(svg, x.px(at), x, y, box.left + (x.px(at) / view.width) * box.width, box.top + box.height / 2);
      });
      svg.addEventListener("blur", quiet);
    });
  };
  const start = (root = document) => root.querySelectorAll(".plot[data-figure]").forEach(activate);
  start();
  return start;
})();
