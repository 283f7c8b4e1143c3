// Inflates plotly from the page itself and replaces each picture by its interactive figure; without script, or in a
// browser without DecompressionStream, the pictures stay.
(async () => {
  const packed = document.getElementById("plotly-gzip");
  const plots = [...document.querySelectorAll(".plot[data-figure]")];
  if (!packed || !plots.length || !("DecompressionStream" in window)) return;
  const bytes = Uint8Array.from(atob(packed.textContent.trim()), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  const script = document.createElement("script");
  script.textContent = await new Response(stream).text();
  document.head.append(script);
  packed.remove();

  const colours = () => {
    const style = getComputedStyle(document.documentElement);
    const of = (name) => style.getPropertyValue(name).trim();
    return { ink: of("--ink"), muted: of("--muted"), paper: of("--paper"), grid: of("--grid"), line: of("--line") };
  };
  const axis = (own, theme) => ({
    gridcolor: theme.grid, zerolinecolor: theme.grid, linecolor: theme.line, tickcolor: theme.line, ...own,
  });
  const themed = (layout) => {
    const theme = colours();
    return {
      ...layout,
      autosize: true,
      font: { family: "system-ui, -apple-system, Segoe UI, Roboto, Arial, sans-serif", size: 13, color: theme.ink },
      paper_bgcolor: "rgba(0,0,0,0)",
      plot_bgcolor: layout.plot_bgcolor ?? "rgba(0,0,0,0)",
      hoverlabel: { bgcolor: theme.paper, bordercolor: theme.line, font: { color: theme.ink } },
      xaxis: axis(layout.xaxis, theme),
      yaxis: axis(layout.yaxis, theme),
    };
  };
  const settings = { displayModeBar: false, responsive: true };
  const inked = (data) => {
    const { ink } = colours();
    return data.map((trace) => (trace.error_y ? { ...trace, error_y: { ...trace.error_y, color: ink } } : trace));
  };
  const drawn = [];
  for (const plot of plots) {
    const { data, layout } = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
    const target = document.createElement("div");
    plot.append(target);
    try {
      await Plotly.newPlot(target, inked(data), themed(layout), settings);
      plot.classList.add("live");
      drawn.push({ target, data, layout });
      await Plotly.Plots.resize(target);
    } catch (fault) {
      target.remove();
      console.error(fault);
    }
  }
  const redraw = () => drawn.forEach(({ target, data, layout }) => Plotly.react(target, inked(data), themed(layout), settings));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  matchMedia("print").addEventListener("change", redraw);
})();
