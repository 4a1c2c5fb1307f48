"""Points of a grid as one HTML file: sliders in the browser, nothing asked of anybody."""

from __future__ import annotations

import json
from collections.abc import Mapping
from html import escape
from typing import Any

from optim.errors import RunError

__all__ = ["MOST_BYTES", "shared_html"]

MOST_BYTES = 2_000_000
"""Of one file, so that it can be mailed."""


def shared_html(found: Mapping[str, Any]) -> str:
    """Return the page.

    Args:
        found: What :func:`optim.share.grid.evaluated` returned.

    Raises:
        RunError: If the file would be too large.
    """
    # Text of others may end a script: then it is no longer data.
    data = json.dumps(found, separators=(",", ":"), allow_nan=False)
    data = data.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")
    part = "samples" if found["part"] == "all" else f"{found['part']} samples"
    about = (
        f"{found['model']} on {found['data']}. Every position of the sliders was computed ahead, "
        f"in {found['seconds']:.0f} s, on the same {found['n']:,} {part}; nothing is computed "
        "here, and nothing is asked of any server."
    )
    text = (
        _DOCUMENT.replace("{title}", escape(f"{found['model']}: what compression costs"))
        .replace("{about}", escape(about))
        .replace("{recipe}", escape(found["recipe"]))
        .replace("{style}", _STYLE)
        .replace("{script}", _SCRIPT)
        .replace("{data}", data)
    )
    if len(text.encode()) > MOST_BYTES:
        raise RunError(
            f"The file would have {len(text.encode()):,} bytes; {MOST_BYTES:,} are the most.",
            hint="Switch off a step with a slider, and share again.",
        )
    return text


_DOCUMENT = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="default-src 'none';
 style-src 'unsafe-inline'; script-src 'unsafe-inline'; base-uri 'none'; form-action 'none'">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
<header><p class="brand">Optim Studio <span class="badge">precomputed</span></p>
<h1>{title}</h1>
<p class="note">{about}</p></header>
<main>
<form id="sliders" aria-label="Sliders" onsubmit="return false"></form>
<div id="figures" aria-live="polite"></div>
<figure><svg id="chart" role="img" viewBox="0 0 680 320"></svg>
<figcaption class="note">Every position of the sliders; the large point is this one. Bars: 95 %
interval. The dashed line is the original.</figcaption></figure>
<p id="omitted" class="note"></p>
<details><summary>Recipe</summary><pre>{recipe}</pre></details>
<details id="all"><summary>All points</summary><div class="wide"><table id="table"></table></div>
</details>
</main>
<noscript><p>The sliders need a browser that runs scripts; nothing else does.</p></noscript>
<script type="application/json" id="data">{data}</script>
<script>{script}</script>
</body>
</html>
"""

_STYLE = """
:root { color-scheme: light dark; --ink: #10151f; --dim: #5b6472; --line: #dfe3ea; --paper: #fff;
  --soft: #f5f7fb; --blue: #2a5bd7; --green: #15803d; --red: #b42318; }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ecf3; --dim: #9aa4b5; --line: #2b3342;
  --paper: #0f141c; --soft: #171d28; --blue: #7aa2ff; --green: #4ade80; --red: #ff8a80; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 880px; padding: 28px 20px 56px; background: var(--paper);
  color: var(--ink); font: 16px/1.5 system-ui, sans-serif; }
.brand { color: var(--blue); font-weight: 600; margin: 0 0 16px; }
h1 { font-size: 26px; line-height: 1.25; margin: 0 0 8px; text-wrap: balance; }
.note { color: var(--dim); font-size: 14px; }
.badge { border: 1px solid var(--line); border-radius: 6px; padding: 1px 7px; font-size: 12px;
  font-weight: 500; color: var(--dim); background: var(--soft); }
form { display: grid; gap: 12px; margin: 20px 0; padding: 16px; border: 1px solid var(--line);
  border-radius: 8px; }
label { display: flex; justify-content: space-between; gap: 12px; }
output { font-weight: 600; font-variant-numeric: tabular-nums; }
input[type=range] { width: 100%; accent-color: var(--blue); min-height: 28px; margin: 0; }
input:focus-visible, summary:focus-visible { outline: 2px solid var(--blue); outline-offset: 2px; }
#figures { display: grid; gap: 12px; grid-template-columns: repeat(auto-fit, minmax(180px, 1fr)); }
#figures > div { border: 1px solid var(--line); border-radius: 8px; padding: 12px;
  min-height: 128px; }
#figures b { display: block; font-size: 24px; font-variant-numeric: tabular-nums; }
.better { color: var(--green); } .worse { color: var(--red); } .same { color: var(--dim); }
figure { margin: 20px 0 0; } svg { width: 100%; height: auto; display: block; }
svg line { stroke: var(--line); } svg text { fill: var(--dim); font-size: 12px; }
svg circle { fill: var(--dim); opacity: .45; } svg circle.here { fill: var(--blue); opacity: 1; }
svg line.here { stroke: var(--blue); stroke-width: 2; }
svg line.original { stroke: var(--green); stroke-dasharray: 5 4; }
table { border-collapse: collapse; width: 100%; font-size: 13px; }
th, td { text-align: left; padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line);
  white-space: nowrap; font-variant-numeric: tabular-nums; } tr { break-inside: avoid; }
.wide { overflow-x: auto; } details { margin-top: 16px; }
summary { cursor: pointer; color: var(--blue); }
pre { background: var(--soft); padding: 12px; overflow-x: auto; font-size: 13px;
  border-radius: 8px; white-space: pre-wrap; }
@media print {
  :root { color-scheme: light; --ink: #10151f; --dim: #5b6472; --line: #dfe3ea; --paper: #fff;
    --soft: #f5f7fb; --blue: #2a5bd7; --green: #15803d; --red: #b42318; }
  body { max-width: none; padding: 0; } figure, #figures, form { break-inside: avoid; }
  .wide { overflow: visible; } }
"""

_SCRIPT = """
"use strict";
(() => {
  const found = JSON.parse(document.getElementById("data").textContent);
  const axes = found.axes, points = found.points;
  const at = axes.map((axis) => axis.start);
  const value = (axis, i) => axis.percent ? `${Math.round(100 * axis.values[i])} %`
    : String(axis.values[i]);
  const make = (tag, text, name) => {
    const one = document.createElement(tag);
    if (text !== undefined) one.textContent = text;
    if (name) one.className = name;
    return one;
  };
  const index = () => at.reduce((sum, i, k) => sum * axes[k].values.length + i, 0);
  const scale = (q) => q.unit === "fraction" ? 100 : 1;

  const form = document.getElementById("sliders");
  axes.forEach((axis, k) => {
    const box = make("div"), label = make("label", axis.title), shown = make("output");
    const slider = make("input");
    Object.assign(slider, { type: "range", min: 0, max: axis.values.length - 1, step: 1,
      value: axis.start, id: `slider-${k}` });
    label.htmlFor = slider.id;
    shown.setAttribute("for", slider.id);
    const tell = () => {
      shown.textContent = value(axis, at[k]);
      slider.setAttribute("aria-valuetext", shown.textContent);
    };
    slider.addEventListener("input", () => { at[k] = Number(slider.value); tell(); draw(); });
    tell();
    label.append(shown);
    box.append(label, slider);
    form.append(box);
  });

  function tile(title, figure, change, direction) {
    const box = make("div");
    box.append(make("span", title, "note"), make("b", figure ? figure.text : "not measured"),
      make("div", change || "", direction || "same"));
    const how = figure ? `precomputed, ${figure.how}` : "precomputed";
    box.append(make("span", how, "badge"));
    return box;
  }

  const svg = document.getElementById("chart");
  const ns = "http://www.w3.org/2000/svg";
  function put(tag, attributes, text) {
    const one = document.createElementNS(ns, tag);
    for (const [name, v] of Object.entries(attributes)) one.setAttribute(name, v);
    if (text) one.textContent = text;
    svg.append(one);
    return one;
  }
  const known = points.filter((p) => p.quality);
  const xs = known.map((p) => Math.log10(p.file.value));
  const all = known.flatMap((p) => [p.quality.low, p.quality.high]);
  if (found.original.quality) all.push(found.original.quality.value);
  const [x0, x1] = [Math.min(...xs) - 0.05, Math.max(...xs) + 0.05];
  const [y0, y1] = [Math.min(...all), Math.max(...all)];
  const px = (v) => 70 + (Math.log10(v) - x0) / (x1 - x0) * 590;
  const py = (v) => 270 - (v - y0) / ((y1 - y0) || 1) * 250;

  function chart(here) {
    svg.replaceChildren();
    for (let i = 0; i <= 4; i += 1) {
      const v = y0 + (y1 - y0) * i / 4;
      put("line", { x1: 70, x2: 660, y1: py(v), y2: py(v) });
      const unit = here.quality && here.quality.unit === "fraction";
      put("text", { x: 62, y: py(v) + 4, "text-anchor": "end" },
        unit ? `${(100 * v).toFixed(1)} %` : v.toPrecision(3));
    }
    const ends = [known.reduce((a, b) => a.file.value < b.file.value ? a : b),
      known.reduce((a, b) => a.file.value > b.file.value ? a : b)];
    ends.forEach((p, i) => put("text", { x: px(p.file.value), y: 290,
      "text-anchor": i ? "end" : "start" }, p.file.text));
    put("text", { x: 365, y: 312, "text-anchor": "middle" }, "File (smaller is left)");
    if (found.original.quality) {
      const y = py(found.original.quality.value);
      put("line", { x1: 70, x2: 660, y1: y, y2: y, class: "original" });
    }
    for (const p of known) if (p !== here) {
      put("circle", { cx: px(p.file.value), cy: py(p.quality.value), r: 4 });
    }
    if (here.quality) {
      const x = px(here.file.value);
      put("line", { x1: x, x2: x, y1: py(here.quality.low), y2: py(here.quality.high),
        class: "here" });
      put("circle", { cx: x, cy: py(here.quality.value), r: 7, class: "here" });
      svg.setAttribute("aria-label", `${found.metric} ${here.quality.text} at ${here.file.text}`);
    }
  }

  function draw() {
    const here = points[index()];
    const change = here.change;
    document.getElementById("figures").replaceChildren(
      tile(found.metric, here.quality, change ? change.verdict : "", change && change.direction),
      tile("File", here.file, here.file_change.verdict, here.file_change.direction),
      tile("MACs", here.macs, here.macs_change.verdict, here.macs_change.direction),
      tile("Parameters", here.params));
    document.getElementById("omitted").textContent = here.omitted.length
      ? `At this position without training: nothing is stored for ${here.omitted.join(", ")}.` : "";
    chart(here);
  }

  const table = document.getElementById("table");
  const head = table.createTHead().insertRow();
  [...axes.map((a) => a.title), found.metric, "Change", "File", "MACs"].forEach((name) => {
    const cell = make("th", name);
    cell.scope = "col";
    head.append(cell);
  });
  const body = table.createTBody();
  points.forEach((p, n) => {
    const row = body.insertRow();
    let rest = n;
    const places = axes.map((_, k) => axes.length - 1 - k).map((k) => {
      const i = rest % axes[k].values.length;
      rest = Math.floor(rest / axes[k].values.length);
      return value(axes[k], i);
    }).reverse();
    [...places, p.quality ? p.quality.text : "not measured", p.change ? p.change.verdict : "",
      p.file.text, p.macs.text].forEach((text) => row.append(make("td", text)));
  });
  draw();
  addEventListener("beforeprint", () => { document.getElementById("all").open = true; });
})();
"""
