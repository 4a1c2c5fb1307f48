// The two live charts. Data in, Plotly out; while dragging only the moving parts are restyled.

import { h, setText } from "./dom.js";

const FONT_SIZE = 12;

/** Colours and font of the page, read again when the theme changes. */
export function readTheme(element) {
  const style = getComputedStyle(element);
  const value = (name, fallback) => style.getPropertyValue(name).trim() || fallback;
  return {
    text: value("--st-text-color", "#1b2430"),
    faint: value("--optim-faint", "#5f6b7a"),
    line: value("--st-border-color", "#e1e6ed"),
    primary: value("--st-primary-color", "#2f5fd0"),
    background: value("--st-background-color", "#ffffff"),
    front: value("--optim-front", "#e0872b"),
    original: value("--optim-original", "#1a8f5a"),
    font: value("--st-font", "system-ui, sans-serif"),
  };
}

/** What every chart has: axes, font, no decoration. */
export function layout(theme, xTitle, yTitle) {
  const axis = {
    gridcolor: theme.line, zeroline: false, linecolor: theme.line, ticks: "", fixedrange: true,
    tickfont: { color: theme.faint, size: 11 },
    title: { font: { color: theme.faint, size: FONT_SIZE }, standoff: 10 },
  };
  return {
    autosize: false,
    margin: { l: 52, r: 14, t: 8, b: 44 },
    paper_bgcolor: "rgba(0,0,0,0)",
    plot_bgcolor: "rgba(0,0,0,0)",
    font: { family: theme.font, size: FONT_SIZE, color: theme.text },
    showlegend: false,
    hovermode: "closest",
    hoverlabel: { font: { family: theme.font, size: FONT_SIZE } },
    xaxis: { ...axis, title: { ...axis.title, text: xTitle } },
    yaxis: { ...axis, title: { ...axis.title, text: yTitle }, ticksuffix: "" },
  };
}

export const CONFIG = { displayModeBar: false, responsive: false };

/** A chart in a card. `draw(theme, ...)` is given by the subclasses below. */
class Chart {
  constructor(title, about) {
    this.plot = h("div", { class: "optim-plot", role: "img", "aria-label": title });
    this.heading = h("h3", { text: title });
    this.element = h("div", { class: "optim-card optim-chart" },
      this.heading, h("p", { class: "optim-note", text: about }), this.plot);
  }

  react(data, layoutData) {
    const { clientWidth: width, clientHeight: height } = this.plot;
    if (!width) return null;
    return window.Plotly.react(this.plot, data, { ...layoutData, width, height }, CONFIG);
  }

  title(text) {
    setText(this.heading, text);
  }

  describe(text) {
    this.plot.setAttribute("aria-label", text);
  }
}

/** Quality against size: every visited point, the front, the original, the current point. */
export class TradeOff extends Chart {
  constructor() {
    super("Quality against file size",
      "Every position you visit stays, drafts hollow. The line joins those that no other beats in both.");
  }

  draw(theme, { metric, points, front, original, current }) {
    const marker = (list, colour, size, symbol, extra = {}) => ({
      type: "scatter", mode: "markers",
      x: list.map((p) => p.x), y: list.map((p) => p.y), text: list.map((p) => p.label),
      hovertemplate: "%{text}<extra></extra>",
      marker: { color: colour, size, symbol, ...extra },
    });
    const data = [
      marker(points.filter((p) => !p.draft), theme.primary, 7, "circle", { opacity: 0.35 }),
      marker(points.filter((p) => p.draft), theme.primary, 7, "circle-open", { opacity: 0.35 }),
      {
        type: "scatter", mode: "lines", hoverinfo: "skip",
        x: front.map((p) => p.x), y: front.map((p) => p.y),
        line: { color: theme.front, width: 2, shape: "hv" },
      },
      marker(original ? [original] : [], theme.original, 11, "diamond"),
      {
        ...marker(current ? [current] : [], theme.primary, 13, "circle",
          { line: { color: theme.background, width: 2 } }),
        error_y: {
          type: "data", symmetric: false, color: theme.primary, thickness: 1.5, width: 5,
          array: current ? [current.up] : [], arrayminus: current ? [current.down] : [],
        },
      },
    ];
    const base = layout(theme, "File, kB (smaller is left)", axisOf(metric));
    base.xaxis.type = "log";
    base.xaxis.tickvals = [1, 2, 5].flatMap((d) => [0, 1, 2, 3, 4, 5, 6].map((e) => d * 10 ** e));
    base.xaxis.ticktext = base.xaxis.tickvals.map((v) => (v >= 1000 ? `${v / 1000} MB` : String(v)));
    base.annotations = [
      label(original, "original", theme.original, "left"),
      label(current, "now", theme.primary, "right"),
    ].filter(Boolean);
    base.xaxis.range = logRange([...points, original, current].filter(Boolean).map((p) => p.x));
    base.yaxis.range = valueRange(metric, [...points, original].filter(Boolean).map((p) => p.y).concat(
      current ? [current.y - current.down, current.y + current.up] : []));
    this.title(`${metric.short} against file size`);
    if (current) this.describe(`${metric.short} against file size; now ${current.label}`);
    return this.react(data, base);
  }
}

function label(point, text, colour, side) {
  if (!point) return null;
  return {
    x: Math.log10(point.x), y: point.y, text, showarrow: false, font: { color: colour, size: 12 },
    xanchor: side === "left" ? "right" : "left", xshift: side === "left" ? -10 : 11, yshift: 11,
  };
}

function logRange(values) {
  if (!values.length) return [1, 3];
  const low = Math.log10(Math.min(...values)), high = Math.log10(Math.max(...values));
  const pad = Math.max(0.08, (high - low) * 0.12);
  return [low - pad, high + pad];
}

function valueRange(metric, values) {
  if (!values.length) return [0, 100];
  const low = Math.min(...values), high = Math.max(...values);
  const pad = Math.max(metric.unit === "r2" ? 0.01 : 0.8, (high - low) * 0.1);
  return isShare(metric) ? [Math.max(0, low - pad), Math.min(100.5, high + pad)] : [low - pad, high + pad];
}

function isShare(metric) {
  return metric.unit === "fraction";
}

/** A figure in the unit of its axis: shares in percent, all others as they are. */
export function onAxis(metric, value) {
  return isShare(metric) ? 100 * value : value;
}

/** The unit of differences on the axis; empty where there is none. */
export function unitOf(metric) {
  return { fraction: "points", db: "dB" }[metric.unit] ?? "";
}

function axisOf(metric) {
  const unit = isShare(metric) ? "%" : unitOf(metric);
  return unit ? `${metric.short}, ${unit}` : metric.short;
}

/** Quality along the slider that was moved last, the other sliders as they are. */
export class Curve extends Chart {
  constructor() {
    super("Quality along this slider", "Move a slider: its stops are measured ahead, the rest as it is.");
  }

  draw(theme, { metric, name, unit, points, index, ticks, baseline }) {
    this.title(`${metric.short} along ${name ? name.toLowerCase() : "a slider"}`);
    const band = points.length > 1 ? [{
      type: "scatter", mode: "lines", hoverinfo: "skip", fill: "toself",
      x: [...points.map((p) => p.i), ...points.map((p) => p.i).reverse()],
      y: [...points.map((p) => p.y + p.up), ...points.map((p) => p.y - p.down).reverse()],
      line: { width: 0 }, fillcolor: fade(theme.primary, 0.14),
    }] : [];
    const data = [
      ...band,
      {
        type: "scatter", mode: "lines+markers",
        x: points.map((p) => p.i), y: points.map((p) => p.y), text: points.map((p) => p.label),
        hovertemplate: "%{text}<extra></extra>",
        line: { color: theme.primary, width: 2 }, marker: { color: theme.primary, size: 5 },
      },
    ];
    const base = layout(theme, unit ? `${name}, ${unit}` : name || "", axisOf(metric));
    base.xaxis.tickvals = ticks.map((t) => t.i);
    base.xaxis.ticktext = ticks.map((t) => t.text);
    base.xaxis.tickangle = 0;
    base.xaxis.range = [-0.4, ticks.length ? Math.max(...ticks.map((t) => t.last)) + 0.4 : 1];
    base.yaxis.range = valueRange(metric, points.map((p) => p.y).concat(baseline === null ? [] : [baseline]));
    base.shapes = [];
    if (index !== null) base.shapes.push({
      type: "line", x0: index, x1: index, yref: "paper", y0: 0, y1: 1,
      line: { color: theme.primary, width: 1.5, dash: "dash" },
    });
    if (baseline !== null) base.shapes.push({
      type: "line", xref: "paper", x0: 0, x1: 1, y0: baseline, y1: baseline,
      line: { color: theme.original, width: 1.5, dash: "dot" },
    });
    return this.react(data, base);
  }
}

/** A colour that lets through what is behind it. */
export function fade(colour, alpha) {
  const hex = colour.replace("#", "");
  if (hex.length !== 6) return `rgba(109,155,255,${alpha})`;
  const [r, g, b] = [0, 2, 4].map((i) => parseInt(hex.slice(i, i + 2), 16));
  return `rgba(${r},${g},${b},${alpha})`;
}

/** The points no other beats in both: no larger and no worse. Sorted by size. */
export function paretoFront(points) {
  const sorted = [...points].sort((a, b) => a.x - b.x || b.y - a.y);
  let best = -Infinity;
  return sorted.filter((p) => (p.y > best ? ((best = p.y), true) : false));
}
