"use strict";
{
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const drawn = JSON.parse(document.getElementById("drawn").textContent);

  const layout = (more) => ({
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", font: { color: colour("text"), family: "system-ui, sans-serif", size: 12 },
    margin: { l: 56, r: 12, t: 8, b: 36 }, legend: { orientation: "h", y: 1.15 }, hovermode: "closest", hoverlabel: { namelength: -1 },
    ...more,
    xaxis: { gridcolor: colour("line"), zerolinecolor: colour("line"), automargin: true, ...(more.xaxis || {}) },
    yaxis: { gridcolor: colour("line"), zerolinecolor: colour("line"), automargin: true, ...(more.yaxis || {}) },
  });

  const show = (place, traces, more) =>
    Plotly.react(place, traces, layout(more), { displayModeBar: false, responsive: true, doubleClick: "reset" });

  const INKS = { alert: "critical", acknowledged: "good", deployment: "info", retraining: "warning" };
  const marks = () => (drawn.marks || []).map((each) => ({
    type: "line", xref: "x", yref: "paper", x0: each.at, x1: each.at, y0: 0, y1: 1,
    line: { width: 1.5, dash: "dot", color: colour(INKS[each.kind] || "none") },
  }));

  const named = () => ({
    x: (drawn.marks || []).map((each) => each.at), y: (drawn.marks || []).map(() => 1), yaxis: "y2", mode: "markers", name: "events", showlegend: false,
    text: (drawn.marks || []).map((each) => escaped(each.text)), hovertemplate: "%{text}<br>%{x}<extra></extra>",
    marker: { symbol: "triangle-down", size: 9, color: (drawn.marks || []).map((each) => colour(INKS[each.kind] || "none")) },
  });
  const above = { overlaying: "y", range: [0, 1], visible: false, fixedrange: true };

  const band = (line, shade) => {
    const known = line.x.map((x, place) => [x, line.lower[place], line.upper[place]]).filter((each) => each[1] !== null && each[2] !== null);
    return {
      x: [...known.map((each) => each[0]), ...known.map((each) => each[0]).reverse()], y: [...known.map((each) => each[2]), ...known.map((each) => each[1]).reverse()],
      fill: "toself", fillcolor: shade, line: { width: 0 }, hoverinfo: "skip", showlegend: false, mode: "lines",
    };
  };

  const performance = (place) => {
    const { realised, estimated, metric } = drawn.performance;
    const traces = [];
    for (const [line, name, dash, shade, ink] of [[estimated, "estimated", "dot", "rgba(127,127,127,.18)", "soft"], [realised, "realised", "solid", "rgba(60,130,220,.2)", "link"]]) {
      if (!line.x.length) continue;
      traces.push(band(line, shade));
      traces.push({ x: line.x, y: line.value, name, mode: "lines+markers", line: { dash, color: colour(ink), width: 2 }, marker: { size: 6 }, customdata: line.run,
        hovertemplate: `${name} %{y:.4g}<br>%{x}<extra></extra>` });
      for (const side of ["threshold_lower", "threshold_upper"]) {
        if (line[side].some((each) => each !== null)) {
          traces.push({ x: line.x, y: line[side], name: `limit, ${name}`, mode: "lines", line: { shape: "hv", width: 1.2, dash: "dash", color: colour("critical") }, hovertemplate: "limit %{y:.4g}<extra></extra>" });
        }
      }
    }
    show(place, [...traces, named()], { shapes: marks(), xaxis: { type: "date" }, yaxis: { title: { text: escaped(metric) } }, yaxis2: above });
    place.on("plotly_click", (event) => {
      const run = event.points[0].customdata;
      if (run) location.href = new URL(`../runs/${encodeURIComponent(run)}`, location.href);
    });
  };

  // A cell is coloured by what was found of the column in the window: what is fine is never red.
  const LEVELS = ["fine", "changed", "warning", "critical"];
  const steps = () => ["good-ground", "info-ground", "warning", "critical"].flatMap((ink, place) => [[place / 4, colour(ink)], [(place + 1) / 4, colour(ink)]]);
  const drift = (place) => show(place,
    [{ type: "heatmap", x: drawn.drift.x, y: drawn.drift.y.map(escaped), z: drawn.drift.z, customdata: drawn.drift.scores, colorscale: steps(), zmin: -0.5, zmax: 3.5,
      colorbar: { thickness: 12, tickvals: [0, 1, 2, 3], ticktext: LEVELS }, hovertemplate: "%{y}<br>%{x}<br>drift score %{customdata:.3g}<extra></extra>", xgap: 1, ygap: 1 }],
    { margin: { l: 130, r: 12, t: 8, b: 36 }, shapes: marks(), xaxis: { type: "date" }, yaxis: { type: "category" } });

  // The metric of an alert: windows that alert are shaded.
  const curve = (place) => {
    const { name, x, value, lower, upper, limits, bad } = drawn.curve;
    const traces = [band({ x, lower, upper }, "rgba(60,130,220,.2)"),
      { x, y: value, name: escaped(name), mode: "lines+markers", line: { color: colour("link"), width: 2 }, marker: { size: 6 }, hovertemplate: "%{y:.4g}<br>%{x}<extra></extra>" }];
    limits.forEach((side, number) => {
      if (side.some((each) => each !== null)) {
        traces.push({ x, y: side, name: "limit", showlegend: number === 0 || limits[0].every((each) => each === null), mode: "lines",
          line: { shape: "hv", width: 1.2, dash: "dash", color: colour("critical") }, hovertemplate: "limit %{y:.4g}<extra></extra>" });
      }
    });
    const shade = (own) => ({ type: "rect", xref: "x", yref: "paper", x0: own[0], x1: own[1], y0: 0, y1: 1, line: { width: 0 }, fillcolor: colour("critical-ground"), opacity: 0.6, layer: "below" });
    show(place, traces, { showlegend: true, shapes: bad.map(shade), xaxis: { type: "date" }, yaxis: { title: { text: escaped(name) } } });
  };

  const volume = (place) => show(place,
    [{ type: "bar", x: drawn.volume.x, y: drawn.volume.y, marker: { color: colour("link") }, name: "predictions", showlegend: false, hovertemplate: "%{y} predictions<br>%{x}<extra></extra>" }, named()],
    { shapes: marks(), xaxis: { type: "date" }, yaxis: { title: { text: "predictions" } }, yaxis2: above });

  const column = (place) => {
    const plot = drawn.columns[place.dataset.column];
    const numbers = "edges" in plot;
    const at = numbers ? plot.edges.slice(1).map((edge, number) => (edge + plot.edges[number]) / 2) : plot.names.map(escaped);
    const bars = [["reference", "none"], ["window", "critical"]].map(([side, ink]) => ({
      type: "bar", name: side, x: at, y: plot[side], marker: { color: colour(ink) }, opacity: numbers ? 0.6 : 1, hovertemplate: `${side} %{y:.1%}<br>%{x}<extra></extra>`,
    }));
    show(place, bars, { barmode: numbers ? "overlay" : "group", bargap: numbers ? 0.02 : 0.25, xaxis: numbers ? {} : { type: "category" }, yaxis: { tickformat: ".0%" } });
  };

  // All plots over time show the same span: what is zoomed in one is zoomed in the others.
  const OVER_TIME = ["performance", "drift", "volume"];
  let shared = null;
  const follow = (place) => place.on("plotly_relayout", (change) => {
    const span = change["xaxis.autorange"] ? "all" : [change["xaxis.range[0]"], change["xaxis.range[1]"]];
    if ((span !== "all" && span.some((each) => each === undefined)) || String(span) === String(shared)) return;
    shared = span;
    for (const other of seen) {
      if (other !== place && OVER_TIME.includes(other.dataset.plot)) {
        Plotly.relayout(other, span === "all" ? { "xaxis.autorange": true } : { "xaxis.range": span });
      }
    }
  });

  const draw = (place) => {
    if (place.dataset.column) column(place);
    else ({ performance, drift, volume, curve })[place.dataset.plot](place);
    if (OVER_TIME.includes(place.dataset.plot)) {
      place.removeAllListeners("plotly_relayout");
      if (Array.isArray(shared)) Plotly.relayout(place, { "xaxis.range": shared });
      follow(place);
    }
  };
  const seen = new Set();
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (entry.isIntersecting && !seen.has(entry.target)) { seen.add(entry.target); draw(entry.target); }
    }
  }, { rootMargin: "300px" });
  for (const place of document.querySelectorAll(".plot")) watch.observe(place);
  document.addEventListener("theme", () => seen.forEach(draw));
}
