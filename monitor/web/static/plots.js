"use strict";
{
  const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
  const escaped = (text) => String(text).replace(/&/g, "&amp;").replace(/</g, "&lt;").replace(/>/g, "&gt;");
  const drawn = JSON.parse(document.getElementById("drawn").textContent);

  const layout = (more) => ({
    paper_bgcolor: "transparent", plot_bgcolor: "transparent", font: { color: colour("text"), family: "system-ui, sans-serif", size: 12 },
    margin: { l: 56, r: 12, t: 28, b: 36 }, legend: { orientation: "h", y: 1.02, yanchor: "bottom" }, hovermode: "closest", hoverlabel: { namelength: -1 },
    ...more,
    xaxis: { gridcolor: colour("line"), zerolinecolor: colour("line"), automargin: true, ...(more.xaxis || {}) },
    yaxis: { gridcolor: colour("line"), zerolinecolor: colour("line"), automargin: true, ...(more.yaxis || {}) },
  });

  // The title of an axis, over two lines where a small plot is too low for it.
  const title = (text, place) => ({ text: place.clientHeight < 250 ? escaped(text).replace(/^(.{8,18}) (.+)$/, "$1<br>$2") : escaped(text) });

  const show = (place, traces, more) =>
    Plotly.react(place, traces, layout(more), { displayModeBar: false, responsive: true, doubleClick: "reset" });

  const INKS = { alert: "critical", acknowledged: "good", deployment: "info", retraining: "warning" };
  const marks = () => (drawn.marks || []).map((each) => ({
    type: "line", xref: "x", yref: "paper", x0: each.at, x1: each.at, y0: 0, y1: 1,
    line: { width: 1.5, dash: "dot", color: colour(INKS[each.kind] || "none") },
  }));

  // The reference's own rows: what windows are compared with.
  const references = () => (drawn.references || []).map((each) => ({
    type: "rect", xref: "x", yref: "paper", x0: each.start, x1: each.end, y0: 0, y1: 1, line: { width: 0 }, fillcolor: colour("info-ground"), opacity: 0.7, layer: "below",
    label: { text: "reference", textposition: "top left", font: { size: 10, color: colour("soft") } },
  }));

  const named = () => ({
    x: (drawn.marks || []).map((each) => each.at), y: (drawn.marks || []).map(() => 1), yaxis: "y2", mode: "markers", name: "events", showlegend: false,
    text: (drawn.marks || []).map((each) => escaped(each.text)), hovertemplate: "%{text}<br>%{x}<extra></extra>",
    marker: { symbol: "triangle-down", size: 9, color: (drawn.marks || []).map((each) => colour(INKS[each.kind] || "none")) },
  });
  const above = { overlaying: "y", range: [0, 1], visible: false, fixedrange: true };

  // One polygon for each run of windows with an interval: null closes it, so that a gap stays a gap.
  const band = (line, shade) => {
    const x = [], y = [];
    let part = [];
    const close = () => {
      x.push(...part.map((each) => each[0]), ...part.map((each) => each[0]).reverse(), null);
      y.push(...part.map((each) => each[2]), ...part.map((each) => each[1]).reverse(), null);
      part = [];
    };
    line.x.forEach((at, place) => {
      if (line.lower[place] === null || line.upper[place] === null) close();
      else part.push([at, line.lower[place], line.upper[place]]);
    });
    close();
    return { x, y, fill: "toself", fillcolor: shade, line: { width: 0 }, hoverinfo: "skip", showlegend: false, mode: "lines" };
  };

  const performance = (place) => {
    const { realised, estimated, metric } = drawn.performance;
    const traces = [];
    for (const [line, name, dash, shade, ink] of [[estimated, "estimated", "dot", "rgba(127,127,127,.18)", "soft"], [realised, "realised", "solid", "rgba(60,130,220,.2)", "link"]]) {
      if (!line.value.some((each) => each !== null)) continue;
      traces.push(band(line, shade));
      traces.push({ x: line.x, y: line.value, name, mode: "lines+markers", line: { dash, color: colour(ink), width: 2 }, marker: { size: 6 }, customdata: line.run,
        hovertemplate: `${name} %{y:.4g}<br>%{x}<extra></extra>` });
      for (const side of ["threshold_lower", "threshold_upper"]) {
        if (line[side].some((each) => each !== null)) {
          traces.push({ x: line.x, y: line[side], name: `limit, ${name}`, mode: "lines", line: { shape: "hv", width: 1.2, dash: "dash", color: colour("critical") }, hovertemplate: "limit %{y:.4g}<extra></extra>" });
        }
      }
    }
    show(place, [...traces, named()], { shapes: [...references(), ...marks()], xaxis: { type: "date" }, yaxis: { title: { text: escaped(metric) } }, yaxis2: above });
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

  const shaded = (own) => ({ type: "rect", xref: "x", yref: "paper", x0: own[0], x1: own[1], y0: 0, y1: 1, line: { width: 0 }, fillcolor: colour("critical-ground"), opacity: 0.6, layer: "below" });

  // The metric of an alert: windows that alert are shaded.
  const curve = (place) => {
    const { name, x, value, lower, upper, limits, bad } = drawn.curves ? drawn.curves[place.dataset.number] : drawn.curve;
    const traces = [band({ x, lower, upper }, "rgba(60,130,220,.2)"),
      { x, y: value, name: escaped(name), mode: "lines+markers", line: { color: colour("link"), width: 2 }, marker: { size: 6 }, hovertemplate: "%{y:.4g}<br>%{x}<extra></extra>" }];
    limits.forEach((side, number) => {
      if (side.some((each) => each !== null)) {
        traces.push({ x, y: side, name: "limit", showlegend: number === 0 || limits[0].every((each) => each === null), mode: "lines",
          line: { shape: "hv", width: 1.2, dash: "dash", color: colour("critical") }, hovertemplate: "limit %{y:.4g}<extra></extra>" });
      }
    });
    show(place, traces, { showlegend: true, shapes: bad.map(shaded), xaxis: { type: "date" }, yaxis: { title: title(name, place) } });
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

  // A column in two windows.
  const pair = (place) => {
    const { names, first, second } = drawn.pairs[place.dataset.pair];
    const sides = [["first", first, "none"], ["second", second, "critical"]];
    if (names) {
      const bars = sides.map(([name, shares, ink]) => ({ type: "bar", name, x: names.map(escaped), y: shares, marker: { color: colour(ink) }, hovertemplate: `${name} %{y:.1%}<br>%{x}<extra></extra>` }));
      show(place, bars, { barmode: "group", bargap: 0.25, xaxis: { type: "category" }, yaxis: { tickformat: ".0%" } });
      return;
    }
    const steps = sides.map(([name, density, ink]) => ({ x: density.x, y: density.y, name, mode: "lines", fill: "tozeroy", line: { shape: "hv", width: 1.5, color: colour(ink), dash: name === "first" ? "dot" : "solid" }, hovertemplate: `${name}<br>%{x}<extra></extra>` }));
    show(place, steps, { showlegend: true, yaxis: { title: { text: "density" }, rangemode: "tozero" } });
  };

  // Alerts of an incident: one bar each, from their beginning to their end or the last that is known.
  const timeline = (place) => {
    const rows = [...drawn.timeline].reverse();
    const traces = rows.map((each, number) => ({
      x: [each.start, each.end], y: [number, number], mode: "lines+markers", showlegend: false, line: { width: 10, color: colour(each.severity === "critical" ? "critical" : "warning") },
      marker: { size: [10, each.is_open ? 0 : 10], color: colour("text"), symbol: "line-ns-open" }, text: [escaped(each.name), escaped(each.name)], hovertemplate: "%{text}<br>%{x}<extra></extra>",
    }));
    place.style.height = `${110 + 34 * rows.length}px`;
    const began = { ...shaded(drawn.began), label: { text: "began here", textposition: "top left", font: { size: 10, color: colour("soft") } } };
    show(place, traces, { shapes: [began], xaxis: { type: "date", title: { text: "time (UTC)" } }, yaxis: { tickmode: "array", tickvals: rows.map((_, number) => number), ticktext: rows.map((each) => escaped(each.name)), range: [-0.7, rows.length - 0.3] } });
  };

  // What other settings would have paged: asked of the service, whenever a slider rests.
  const form = document.querySelector("[data-sensitivity]");
  let outcome = null;
  const sensitivity = (place) => {
    const { realised, estimated, metric } = drawn.sensitivity;
    const traces = [[estimated, "estimated", "dot", "soft"], [realised, "realised", "solid", "link"]].filter(([line]) => line.value.some((each) => each !== null)).map(([line, name, dash, ink]) => ({
      x: line.x, y: line.value, name, mode: "lines+markers", line: { dash, color: colour(ink), width: 2 }, marker: { size: 5 }, hovertemplate: `${name} %{y:.4g}<br>%{x}<extra></extra>` }));
    const limits = outcome ? [outcome.threshold_lower, outcome.threshold_upper].filter((each) => each !== null) : [];
    const shapes = limits.map((each) => ({ type: "line", xref: "paper", yref: "y", x0: 0, x1: 1, y0: each, y1: each, line: { width: 1.5, dash: "dash", color: colour("critical") }, label: { text: "limit", textposition: "end", font: { size: 10, color: colour("critical") } } }));
    const alerts = outcome ? outcome.alerts.map((each) => shaded([each.since, each.until])) : [];
    show(place, traces, { showlegend: true, shapes: [...alerts, ...shapes], xaxis: { type: "date" }, yaxis: { title: { text: escaped(metric) } } });
  };
  if (form) {
    const { metric, harm, relative, pages, most, start, end, sensitivity: address } = form.dataset;
    const scaled = (base, name) => Number((Number(base) * 10 ** (form.elements[name].value / 20)).toPrecision(2));
    const plural = (number, word) => `${number} ${word}${number === 1 ? "" : "s"}`;
    const rounded = (number) => Number(number.toPrecision(2));
    const verdict = ({ alerts, false_pages: wrong, unlabelled }) => {
      if (!alerts.length) return "";
      if (wrong === null) return "There are no labels to tell whether any was false.";
      const unknown = unlabelled ? ` ${unlabelled} of the alerts ${unlabelled === 1 ? "has" : "have"} no labels yet.` : "";
      return (wrong === 0 ? "Labels showed none to be false." : `Labels showed ${rounded(wrong)} a month to be false: no harm in any of their windows.`) + unknown;
    };
    let asked = 0, timer = null;
    const ask = async () => {
      const changed = { harm: form.elements.harm.value !== "0", pages: form.elements.pages.value !== "0" };
      const moved = changed.harm || changed.pages;
      const query = new URLSearchParams({ metric, start, end });
      if (changed.harm) {
        const value = scaled(harm, "harm");
        query.set("harm", relative === "yes" ? `${Number((100 * value).toPrecision(3))}%` : value);
      }
      if (changed.pages) query.set("false_pages_per_month", Math.min(scaled(pages, "pages"), Number(most)));
      const { harm_text: harmText, pages_text: pagesText } = form.elements;
      harmText.value = query.get("harm") || harmText.defaultValue;
      pagesText.value = query.get("false_pages_per_month") || pagesText.defaultValue;
      const own = ++asked;
      const result = await fetch(`${address}?${query}`).then((answer) => (answer.ok ? answer.json() : null)).catch(() => null);
      if (own !== asked) return;
      const place = document.querySelector("[data-plot=sensitivity]"), summary = document.querySelector("[data-outcome]");
      outcome = result;
      if (outcome) {
        const { alerts, windows, pages: monthly } = outcome;
        summary.textContent = `${moved ? "With these settings" : "As configured"}: ${plural(alerts.length, "alert")} on performance in ${plural(windows, "window")}, ${plural(rounded(monthly), "page")} a month. ${verdict(outcome)}`;
      } else summary.textContent = "The service could not work this out.";
      if (seen.has(place)) draw(place);
    };
    const later = () => { clearTimeout(timer); timer = setTimeout(ask, 200); };
    form.addEventListener("input", later);
    form.addEventListener("submit", (event) => event.preventDefault());
    form.addEventListener("reset", () => setTimeout(ask));
    setTimeout(ask);
  }

  // All plots over time show the same span: what is zoomed in one is zoomed in the others.
  const OVER_TIME = ["performance", "drift", "volume", "sensitivity", ...(drawn.curves ? ["curve"] : [])];
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
    else if (place.dataset.pair) pair(place);
    else ({ performance, drift, volume, curve, timeline, sensitivity })[place.dataset.plot](place);
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
