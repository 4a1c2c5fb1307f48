// A lesson: one control, one picture, a few figures, one question. Everything was computed before, so
// that moving the control asks nobody.

import { CONFIG, fade, layout, readTheme } from "./charts.js";
import { slider } from "./controls.js";
import { h, loadScript, setText, uniqueId } from "./dom.js";
import { NumberCard } from "./numbers.js";

const HEIGHT = 340;
const ROLES = {
  before: "--optim-original", after: "--st-primary-color", other: "--optim-front", faint: "--optim-faint",
  warning: "--st-red-color",
};

/** Fill the element of a component; called by Streamlit whenever the page runs. */
export function mount(component) {
  const root = component.parentElement.querySelector(".optim-lesson");
  const { data } = component;
  if (root.lesson?.key !== data.key) {
    root.lesson?.destroy();
    root.lesson = new Lesson(root, data);
  }
  return () => {
    root.lesson?.destroy();
    root.lesson = null;
  };
}

class Lesson {
  constructor(root, data) {
    this.root = root;
    this.key = data.key;
    this.data = data;
    this.index = data.shown.start;
    this.timer = null;
    this.build();
    this.observer = new MutationObserver(() => this.draw());
    this.observer.observe(document.documentElement, { attributes: true, subtree: false });
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(this.picture);
    loadScript(`${data.base}/plotly.min.js?v=${data.plotly}`).then(() => this.draw());
    this.show();
  }

  destroy() {
    this.stop();
    this.observer.disconnect();
    this.resize.disconnect();
  }

  get frames() {
    return this.data.shown.frames;
  }

  // --- structure --------------------------------------------------------------------------------

  build() {
    const first = this.frames[this.index];
    this.cards = first.readouts.map((readout) => new NumberCard(readout.name));
    this.panels = first.panels.map(() => ({
      heading: h("h3"),
      plot: h("div", { class: "optim-plot", role: "img" }),
    }));
    this.picture = h("div", { class: "optim-lesson-picture" }, ...this.panels.map((panel) =>
      h("div", { class: "optim-chart" }, panel.heading, panel.plot)));
    this.caption = h("p", { class: "optim-note optim-lesson-caption", "aria-live": "polite" });
    this.lab = h("a", { class: "optim-button optim-link", text: "Open this setting in the Lab" });
    this.root.replaceChildren(
      h("div", { class: "optim-lesson-columns" },
        h("div", { class: "optim-card optim-lesson-left" },
          this.control(), this.caption, this.lab, this.question()),
        h("div", { class: "optim-lesson-right" },
          h("div", { class: "optim-cards" }, ...this.cards.map((card) => card.element)),
          h("div", { class: "optim-card" }, this.picture),
          h("p", { class: "optim-note", text: this.data.shown.basis }))));
  }

  control() {
    const labels = this.frames.map((frame) => frame.label);
    if (this.data.kind === "slider") {
      const spec = {
        name: "lesson", label: this.data.control, help: "", kind: "choice", ordered: true, unit: "",
        options: labels.map((label, value) => ({ value, label })),
      };
      const moved = (value) => this.go(value);
      this.input = slider(spec, this.index, { onInput: moved, onChange: moved });
      return this.input;
    }
    const name = uniqueId("optim-lesson-choice");
    this.radios = labels.map((label, value) => {
      const input = h("input", {
        type: "radio", name, id: `${name}-${value}`, value,
        onchange: () => { this.stop(); this.go(value); },
      });
      return [input, h("label", { for: input.id, text: label })];
    });
    const group = h("fieldset", { class: "optim-lesson-choice" },
      h("legend", { class: "optim-label", text: this.data.control }),
      h("div", { class: "optim-segments" }, ...this.radios.flat()));
    if (!this.data.play_s) return group;
    this.play = h("button", {
      type: "button", class: "optim-button", text: "Play", onclick: () => this.toggle(),
    });
    this.next = h("button", {
      type: "button", class: "optim-button optim-quiet", text: "Next",
      onclick: () => { this.stop(); this.go((this.index + 1) % this.frames.length); },
    });
    return h("div", {}, group, h("div", { class: "optim-lesson-buttons" }, this.play, this.next));
  }

  question() {
    const { question } = this.data.shown;
    const name = uniqueId("optim-lesson-answer");
    const inputs = question.options.map((option, value) => {
      const input = h("input", { type: "radio", name, id: `${name}-${value}`, value });
      const label = h("label", { class: "optim-lesson-option", for: input.id }, input,
        h("span", { text: option }));
      input.addEventListener("change", () => { this.reveal.disabled = false; });
      return { input, label };
    });
    this.answer = h("div", { class: "optim-lesson-answer", role: "status" });
    this.reveal = h("button", {
      type: "button", class: "optim-button", text: "Reveal", disabled: true,
      onclick: () => this.tell(inputs),
    });
    return h("div", { class: "optim-lesson-question" },
      h("fieldset", {},
        h("legend", {}, h("span", { class: "optim-label", text: "Predict first" }),
          h("p", { class: "optim-lesson-asked", text: question.text })),
        ...inputs.map(({ label }) => label)),
      this.reveal, this.answer);
  }

  tell(inputs) {
    const { question } = this.data.shown;
    const chosen = inputs.findIndex(({ input }) => input.checked);
    const isRight = chosen === question.right;
    inputs.forEach(({ label }, i) => {
      label.classList.toggle("optim-lesson-true", i === question.right);
      label.classList.toggle("optim-lesson-false", i === chosen && !isRight);
    });
    this.answer.replaceChildren(
      h("strong", { text: isRight ? "As you predicted." : `It came out: ${lower(question.options[question.right])}.` }),
      h("p", { text: question.why }));
  }

  // --- moving -----------------------------------------------------------------------------------

  go(index) {
    this.index = index;
    this.show();
    this.draw();
  }

  toggle() {
    if (this.timer) { this.stop(); return; }
    if (this.index === this.frames.length - 1) this.go(0);
    setText(this.play, "Pause");
    this.timer = setInterval(() => {
      if (this.index === this.frames.length - 1) this.stop();
      else this.go(this.index + 1);
    }, 1000 * this.data.play_s);
  }

  stop() {
    clearInterval(this.timer);
    this.timer = null;
    if (this.play) setText(this.play, "Play");
  }

  show() {
    const frame = this.frames[this.index];
    if (this.radios) this.radios[this.index][0].checked = true;
    this.cards.forEach((card, i) => {
      const readout = frame.readouts[i];
      card.element.hidden = !readout;
      if (!readout) return;
      card.name(readout.name);
      card.show(readout.figure, null, readout.note);
    });
    setText(this.caption, frame.caption);
    this.lab.hidden = !frame.link;
    if (frame.link) this.lab.setAttribute("href", `${this.data.lab}?r=${frame.link}`);
  }

  // --- the picture ------------------------------------------------------------------------------

  draw() {
    if (!window.Plotly || !this.root.isConnected) return;
    const theme = readTheme(this.root), named = colours(this.root);
    this.frames[this.index].panels.forEach((panel, i) => {
      const { heading, plot } = this.panels[i];
      const width = plot.clientWidth;
      if (!width) return;
      setText(heading, panel.title);
      plot.setAttribute("aria-label", describe(panel));
      const { data, axes } = figure(theme, named, panel, width);
      window.Plotly.react(plot, data, { ...axes, width, height: HEIGHT }, CONFIG);
    });
  }
}

function lower(text) {
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function describe(panel) {
  const series = panel.series.map((one) => one.text.join(", ") || one.name).filter(Boolean);
  return [panel.title, ...series].join(". ");
}

/** The colours of roles, as the browser resolves them: the theme writes some as mixtures. */
function colours(root) {
  const probe = h("span", { hidden: true });
  root.append(probe);
  const found = {};
  for (const [role, name] of Object.entries(ROLES)) {
    probe.style.color = `var(${name})`;
    found[role] = hex(getComputedStyle(probe).color);
  }
  probe.remove();
  return found;
}

function figure(theme, named, panel, width) {
  const axes = layout(theme, panel.x, panel.y);
  for (const letter of ["x", "y"]) {
    const axis = axes[`${letter}axis`];
    const range = panel[`${letter}_range`];
    axis.automargin = true;
    if (panel.log.includes(letter)) {
      axis.type = "log";
      if (range) axis.range = range.map(Math.log10);
      axis.dtick = 1;
      axis.exponentformat = "power";
    } else if (range) axis.range = range;
  }
  if (panel.log === "x" && panel.x_range && panel.x_range[1] / panel.x_range[0] < 200) {
    axes.xaxis.tickvals = [1, 2, 5].flatMap((d) => [0, 1, 2, 3].map((e) => d * 10 ** e));
  }
  axes.barmode = "overlay";
  axes.annotations = [];
  axes.shapes = [];
  const data = panel.matrix ? [heat(named, panel.matrix)]
    : panel.series.flatMap((series) => traces(theme, series, named[series.role]));
  for (const series of panel.series) if (series.is_labelled) axes.annotations.push(label(panel, series, named, width));
  for (const line of panel.lines) {
    axes.shapes.push(shape(line, named[line.role]));
    if (line.name) axes.annotations.push({ ...lineLabel(panel, line, named[line.role]), bgcolor: theme.background });
  }
  if (panel.matrix) {
    axes.xaxis.showgrid = axes.yaxis.showgrid = false;
    axes.yaxis.tickformat = axes.xaxis.tickformat = "d";
  }
  if (panel.series.length > 1 && !panel.series.some((series) => series.is_labelled)) {
    axes.showlegend = true;
    axes.legend = { orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: { size: 12 } };
    axes.margin.t = 34;
  }
  return { data, axes };
}

function traces(theme, series, colour) {
  const base = {
    x: series.x, y: series.y, name: series.name,
    text: series.text.length ? series.text : undefined,
    hovertemplate: series.text.length ? "%{text}<extra></extra>" : "%{x}: %{y}<extra></extra>",
  };
  if (series.kind === "bars") {
    const lies = typeof series.y[0] === "string";
    return [{ ...base, type: "bar", orientation: lies ? "h" : "v", textposition: "none",
      marker: { color: series.role === "faint" ? fade(colour, 0.25) : colour } }];
  }
  if (series.kind === "area") {
    return [{ ...base, type: "scatter", mode: "lines", fill: "tozeroy", line: { color: colour, width: 1.5, shape: "spline" },
      fillcolor: fade(colour, 0.22) }];
  }
  if (series.kind === "dots") {
    return [{ ...base, type: "scatter", mode: "markers",
      marker: { color: colour, size: series.is_labelled ? 13 : 9, line: { color: theme.background, width: 1.5 } },
      error_y: series.low.length ? {
        type: "data", symmetric: false, color: fade(colour, 0.55), thickness: 1.5, width: 0,
        array: series.high.map((v, i) => v - series.y[i]), arrayminus: series.low.map((v, i) => series.y[i] - v),
      } : undefined }];
  }
  const band = series.low.length ? [{
    type: "scatter", mode: "lines", hoverinfo: "skip", fill: "toself", showlegend: false,
    x: [...series.x, ...[...series.x].reverse()], y: [...series.high, ...[...series.low].reverse()],
    line: { width: 0 }, fillcolor: fade(colour, 0.14),
  }] : [];
  return [...band, { ...base, type: "scatter", mode: series.role === "faint" ? "lines" : "lines+markers",
    line: { color: colour, width: 2, dash: series.role === "faint" ? "dot" : "solid" }, marker: { color: colour, size: 6 } }];
}

/** A colour as six digits, however it is written. */
function hex(colour) {
  const context = document.createElement("canvas").getContext("2d");
  context.fillStyle = colour;
  return context.fillStyle;
}

function heat(named, matrix) {
  return {
    type: "heatmap", z: matrix.values.map((row) => row.map((value) => (value === 0 ? null : value))),
    zmin: -matrix.most, zmax: matrix.most, showscale: false, hoverongaps: false, xgap: 1, ygap: 1,
    colorscale: [[0, named.other], [0.5, fade(named.faint, 0.14)], [1, named.after]],
    hovertemplate: "channel %{y}, weight %{x}: %{z}<extra></extra>",
  };
}

function place(panel, letter, value) {
  return panel.log.includes(letter) ? Math.log10(value) : value;
}

function label(panel, series, named) {
  const last = series.x.length - 1;
  const isLine = series.kind === "line";
  return {
    x: place(panel, "x", series.x[last]), y: place(panel, "y", series.y[last]), text: series.name,
    showarrow: false, xanchor: isLine ? "left" : "left", xshift: 12, yshift: isLine ? 0 : 12,
    font: { color: named[series.role], size: 12 },
  };
}

function shape(line, colour) {
  const across = line.axis === "x";
  const at = across ? { x0: line.at, x1: line.at, yref: "paper", y0: 0, y1: 1 }
    : { y0: line.at, y1: line.at, xref: "paper", x0: 0, x1: 1 };
  return { type: "line", ...at, layer: line.name ? "above" : "below",
    line: { color: line.name ? colour : fade(colour, 0.7), width: line.name ? 1.5 : 1, dash: line.name ? "dash" : "solid" } };
}

function lineLabel(panel, line, colour) {
  const across = line.axis === "x";
  return {
    text: line.name, showarrow: false, font: { color: colour, size: 12 },
    ...(across
      ? { x: place(panel, "x", line.at), yref: "paper", y: 1, yanchor: "top", xanchor: "left", xshift: 5 }
      : { y: place(panel, "y", line.at), xref: "paper", x: 0, xanchor: "left", yanchor: "bottom" }),
  };
}
