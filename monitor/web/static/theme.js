"use strict";
{
  const root = document.documentElement;
  try { const kept = localStorage.getItem("theme"); if (kept) root.dataset.theme = kept; } catch { /* a browser that keeps nothing */ }
  document.addEventListener("DOMContentLoaded", () => {
    document.getElementById("theme").addEventListener("click", () => {
      const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
      root.dataset.theme = dark ? "light" : "dark";
      try { localStorage.setItem("theme", root.dataset.theme); } catch { /* kept for this page alone */ }
      document.dispatchEvent(new Event("theme"));
    });
    for (const button of document.querySelectorAll("button[data-report]")) {
      button.addEventListener("click", () => {
        const frame = document.createElement("iframe");
        frame.setAttribute("sandbox", "allow-scripts");
        frame.title = "Evidently report";
        frame.src = button.dataset.report;
        document.getElementById("frame").replaceChildren(frame);
      });
    }
  });
}
