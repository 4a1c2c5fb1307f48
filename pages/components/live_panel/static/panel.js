// The live panel: sliders that answer while they are dragged.
//
// The browser holds a copy of the recipe's entries. While a slider moves, known answers are drawn at
// once and the newest position is asked of the server; when it is released, the recipe is committed
// to Python, which checks it, remembers it for undo and puts it into the address of the page.

import { Connection } from "./connection.js";
import { Curve, TradeOff, onAxis, paretoFront, readTheme, unitOf } from "./charts.js";
import { applies, slider, stopsOf, valueText } from "./controls.js";
import { h, loadScript, setText } from "./dom.js";
import { NumberCard } from "./numbers.js";
import { drawStack } from "./stack.js";

const COMMIT_MS = 200;
const LATE_MS = 5000;
const MAX_SLIDERS = 24;
const MAX_VISITED = 400;
const MENTIONED_S = 3;

/** Called by Streamlit with fresh data on every rerun; makes the panel once and updates it then. */
export function mount(component) {
  const root = component.parentElement.querySelector(".optim-lab");
  if (!root.panel) root.panel = new Panel(root);
  root.panel.update(component);
  return () => {
    root.panel?.destroy();
    root.panel = null;
  };
}

class Panel {
  constructor(root) {
    this.root = root;
    this.answers = new Map();
    this.sized = null;
    this.asked = new Map();
    this.visited = new Map();
    this.focus = null;
    this.dragging = false;
    this.mode = "simple";
    this.frame = null;
    this.build();
    this.observer = new MutationObserver(() => this.retheme());
    this.observer.observe(document.documentElement, { attributes: true, subtree: false });
    this.resize = new ResizeObserver(() => this.draw());
    this.resize.observe(root);
  }

  destroy() {
    this.connection?.close();
    this.observer.disconnect();
    this.resize.disconnect();
    clearTimeout(this.commitTimer);
  }

  // --- structure --------------------------------------------------------------------------------

  build() {
    this.verdict = h("h2", { class: "optim-verdict", "aria-live": "polite", text: "Measuring the original…" });
    this.basis = h("p", { class: "optim-note optim-basis", role: "status" });
    const lines = h("div", {}, this.verdict, this.basis);
    this.head = h("div", {}, lines);
    this.keepLines(lines);
    this.message = h("p", { class: "optim-message", role: "alert" });
    this.numbers = {
      quality: new NumberCard("Accuracy"),
      file: new NumberCard("Size", "writing"),
      latency: new NumberCard("Latency"),
      macs: new NumberCard("MACs"),
    };
    this.tradeOff = new TradeOff();
    this.curve = new Curve();
    this.controls = h("div", { class: "optim-controls" });
    this.presets = h("div", { class: "optim-presets", role: "group", "aria-label": "Presets" });
    this.history = h("div", { class: "optim-history" });
    this.modes = this.buildModes();
    const left = h("div", { class: "optim-left" },
      h("div", { class: "optim-card" },
        h("div", { class: "optim-card-head" }, h("h3", { text: "Compression" }), this.modes),
        this.presets, this.controls, this.history));
    this.charts = h("div", { class: "optim-charts" }, this.tradeOff.element, this.curve.element);
    const right = h("div", { class: "optim-right" },
      h("div", { class: "optim-cards" }, ...Object.values(this.numbers).map((n) => n.element)), this.charts);
    this.root.replaceChildren(
      h("div", { class: "optim-top" }, this.head, this.message),
      h("div", { class: "optim-columns" }, left, right));
  }

  buildModes() {
    const group = h("div", { class: "optim-segments optim-small", role: "radiogroup", "aria-label": "Controls shown" });
    for (const [mode, text] of [["simple", "Simple"], ["steps", "All steps"]]) {
      const id = `optim-mode-${mode}`;
      const input = h("input", { type: "radio", name: "optim-mode", id, onchange: () => this.setMode(mode) });
      input.checked = mode === this.mode;
      group.append(input, h("label", { for: id, text }));
    }
    return group;
  }

  setMode(mode) {
    this.mode = mode;
    this.root.dataset.mode = mode;
    const input = this.root.querySelector(`#optim-mode-${mode}`);
    if (input) input.checked = true;
    this.buildControls();
    this.ask();
    this.draw();
  }

  // --- data from Python ---------------------------------------------------------------------------

  update(component) {
    this.component = component;
    const data = component.data;
    const first = !this.data;
    const subjectChanged = !first && data.subject !== this.data.subject;
    const trained = !first && data.trained !== this.data.trained;
    this.data = data;
    this.numbers.quality.name(data.metric.title, data.metric.about);
    if (first || subjectChanged) this.restore();
    if (trained) this.forget();
    if (!this.connection) this.connect();
    if (!this.isLate(data) && !this.dragging && data.revision !== this.revision) {
      this.revision = data.revision;
      const open = new Map((this.entries || []).map((e) => [e.id, e.open]));
      this.entries = data.entries.map((e) => ({ ...structuredClone(e), open: open.get(e.id) }));
      this.rebuild(); // a hand on the keys stays where it is
    }
    this.buildHistory();
    if (first) this.setMode(data.mode || this.mode);
    this.ask();
    loadScript(`${data.base}/plotly.min.js?v=${data.plotly}`).then(() => this.draw());
  }

  connect() {
    const url = new URL(`${this.data.base}/live`, window.location.href);
    url.protocol = url.protocol.replace("http", "ws");
    this.connection = new Connection(url.href, {
      onMessage: (message) => this.receive(message),
      onSend: (id, position) => this.sent(id, position),
      onState: (up) => this.root.classList.toggle("optim-offline", !up),
    });
  }

  restore() {
    this.answers.clear();
    this.sized = null;
    this.visited.clear();
    try {
      const saved = JSON.parse(sessionStorage.getItem(`optim:${this.data.subject}`) || "[]");
      saved.forEach(([key, point]) => this.visited.set(key, point));
    } catch {
      sessionStorage.removeItem(`optim:${this.data.subject}`);
    }
  }

  /** Ask anew: answers from before may lack a result that was trained since. */
  forget() {
    this.answers.clear();
    this.sized = null;
    this.askedText = null;
  }

  remember() {
    const points = [...this.visited].slice(-MAX_VISITED);
    try {
      sessionStorage.setItem(`optim:${this.data.subject}`, JSON.stringify(points));
    } catch {
      // Storage may be full or forbidden; the points are then kept until the tab closes.
    }
  }

  // --- controls -----------------------------------------------------------------------------------

  buildControls() {
    if (!this.entries) return;
    this.sliders = this.mode === "simple" ? this.quickSliders() : this.stackSliders();
    this.controls.replaceChildren(...(this.mode === "simple" ? this.quickControls() : [this.stack()]));
    this.presets.replaceChildren(...this.data.presets.map((preset) => h("button", {
      type: "button", class: "optim-chip", text: preset.title, title: preset.about,
      onclick: () => this.command("preset", preset.name),
    })));
    this.markPreset();
  }

  /** Mark the preset that the sliders stand on, while they move as well. */
  markPreset() {
    const key = this.key();
    this.data.presets.forEach((preset, index) => {
      const stands = this.key(stepsOf(preset.entries)) === key;
      this.presets.children[index]?.setAttribute("aria-pressed", String(stands));
    });
  }

  quickSliders() {
    return this.data.quick
      .filter((q) => this.entries.some((e) => e.id === q.entry && e.enabled && !this.data.refused[e.technique]))
      .map((q) => ({ entry: q.entry, field: q.field, control: { ...this.control(q.entry, q.field), ...q.show }, stops: q.stops }));
  }

  stackSliders() {
    const found = [];
    for (const entry of this.entries) {
      if (this.data.refused[entry.technique]) continue;
      found.push({ entry: entry.id, field: "enabled", stops: [true, false] });
      if (!entry.enabled) continue;
      const lines = this.data.schema[entry.technique].controls
        .filter((control) => !control.expert && applies(control, entry.fields) && stopsOf(control));
      // Of a closed card the first slider is enough to draw its curve.
      for (const control of entry.open ? lines : lines.slice(0, 1)) {
        found.push({ entry: entry.id, field: control.name, control, stops: stopsOf(control) });
      }
    }
    const switchesLast = (a, b) => (a.field === "enabled") - (b.field === "enabled");
    return found.sort(switchesLast).slice(0, MAX_SLIDERS);
  }

  control(entryId, field) {
    const entry = this.entries.find((e) => e.id === entryId);
    return this.data.schema[entry.technique].controls.find((c) => c.name === field);
  }

  quickControls() {
    const rows = this.sliders.map((s) => {
      const entry = this.entries.find((e) => e.id === s.entry);
      const row = slider(s.control, entry.fields[s.field], {
        stops: s.stops,
        name: `${s.entry}.${s.field}`,
        onInput: (value) => this.input(entry, s.field, value),
        onChange: () => this.commit(),
      });
      row.dataset.entry = s.entry;
      row.append(h("p", { class: "optim-note optim-slider-note", "data-note": `${s.entry}.${s.field}` }));
      return row;
    });
    const refused = this.refusedControls();
    rows.push(...refused);
    if (rows.length < this.data.quick.length) {
      rows.push(h("p", { class: "optim-note", text: "Some steps are off or removed; see All steps." }));
    }
    return rows;
  }

  /** The sliders of what cannot change the model: there, at rest, and saying why. */
  refusedControls() {
    return this.data.quick.filter((q) => q.entry in this.data.refused).map((q) => {
      const control = this.data.schema[q.entry].controls.find((c) => c.name === q.field);
      const row = slider(control, q.stops[0], { stops: q.stops, name: `${q.entry}.${q.field}` });
      row.querySelector("input").disabled = true;
      row.classList.add("optim-refused");
      row.append(h("p", { class: "optim-note", text: this.data.refused[q.entry] }));
      return row;
    });
  }

  stack() {
    return drawStack({ entries: this.entries, schema: this.data.schema, refused: this.data.refused, advice: this.data.advice }, {
      order: () => this.command("order"),
      input: (entry, field, value) => this.input(entry, field, value),
      open: () => {
        this.sliders = this.stackSliders();
        this.ask();
        this.drawSoon();
      },
      change: (entry, field, value, rebuild) => {
        entry.fields[field] = value;
        if (rebuild) this.rebuild();
        this.moved();
        this.commit();
      },
      toggle: (entry) => {
        entry.enabled = !entry.enabled;
        this.rebuild();
        this.moved();
        this.commit();
      },
      move: (entry, step) => this.edit((list) => {
        const from = list.indexOf(entry);
        list.splice(from, 1);
        list.splice(from + step, 0, entry);
      }),
      remove: (entry) => this.edit((list) => list.splice(list.indexOf(entry), 1)),
      add: (technique) => this.edit((list) => list.push(this.freshEntry(technique))),
    });
  }

  freshEntry(technique) {
    const taken = new Set(this.entries.map((e) => e.id));
    let id = technique;
    for (let n = 2; taken.has(id); n += 1) id = `${technique}-${n}`;
    const fields = Object.fromEntries(this.data.schema[technique].controls.map((c) => [c.name, c.default]));
    return { id, technique, enabled: true, fields, open: true };
  }

  edit(change) {
    change(this.entries);
    this.rebuild();
    this.moved();
    this.commit();
  }

  rebuild() {
    const active = document.activeElement;
    const name = active && this.root.contains(active) && active.dataset.field;
    this.buildControls();
    if (name) this.root.querySelector(`[data-field="${CSS.escape(name)}"]`)?.focus();
  }

  buildHistory() {
    const button = (name, text, enabled) => h("button", {
      type: "button", class: "optim-button optim-quiet", text, disabled: !enabled,
      onclick: () => this.command(name),
    });
    this.history.replaceChildren(
      button("undo", "Undo", this.data.can_undo), button("redo", "Redo", this.data.can_redo),
      button("reset", "Reset", true));
  }

  // --- moving -------------------------------------------------------------------------------------

  input(entry, field, value) {
    clearTimeout(this.commitTimer);
    this.dragging = true;
    entry.fields[field] = value;
    this.focus = `${entry.id}.${field}`;
    this.pressed = { at: performance.now(), hit: this.answers.has(this.key()) };
    this.moved();
  }

  /** Index of the slider moved last, or of the first one. */
  focusIndex() {
    const index = this.sliders.findIndex((s) => s.control && `${s.entry}.${s.field}` === this.focus);
    return index >= 0 ? index : this.sliders.findIndex((s) => s.control);
  }

  moved() {
    this.showMessage("");
    this.markPreset();
    this.show();
    this.ask();
  }

  steps() {
    return stepsOf(this.entries);
  }

  key(steps = this.steps()) {
    return JSON.stringify(steps);
  }

  ask() {
    if (!this.connection || !this.entries) return;
    const steps = structuredClone(this.steps());
    const sliders = this.sliders.map((s) => ({ entry: s.entry, field: s.field, stops: s.stops }));
    const position = {
      recipe: { ...this.data.head, steps }, sliders, focus: this.focusIndex(), latency: this.data.latency,
    };
    const text = JSON.stringify(position);
    if (text === this.askedText) return;
    this.askedText = text;
    this.connection.ask(position);
  }

  sent(id, position) {
    this.asked.set(id, { steps: position.recipe.steps, sliders: position.sliders });
    if (this.asked.size > 50) this.asked.delete(this.asked.keys().next().value);
  }

  commit() {
    clearTimeout(this.commitTimer);
    this.commitTimer = setTimeout(() => {
      this.dragging = false;
      this.tell("commit", { steps: this.steps() });
    }, COMMIT_MS);
  }

  command(name, value = null) {
    clearTimeout(this.commitTimer);
    this.dragging = false;
    this.revision = null;
    this.tell("command", { name, value });
  }

  /** Tell Python, and know its answer from one to an older message. */
  tell(what, content) {
    const id = `${performance.timeOrigin}:${performance.now()}`;
    this.told = { id, at: performance.now(), before: new Set([...(this.told?.before || []), this.told?.id, this.data.heard]) };
    this.component.setTriggerValue(what, { ...content, id, mode: this.mode });
  }

  /** Whether data from Python were made before it heard what it was told last. */
  isLate({ heard }) {
    return Boolean(this.told) && performance.now() - this.told.at < LATE_MS && this.told.before.has(heard);
  }

  // --- answers ------------------------------------------------------------------------------------

  receive(message) {
    if (message.type === "error") {
      this.showMessage(`${message.message} ${message.hint || ""}`.trim());
      return;
    }
    if (!["answer", "sizes"].includes(message.type)) return;
    const asked = this.asked.get(message.request_id);
    if (!asked) return;
    const key = this.key(message.stop ? this.atStop(asked, message.stop) : asked.steps);
    if (message.type === "sizes") {
      this.sized = { key, ...message };
      this.drawSoon();
      return;
    }
    const known = this.answers.get(key);
    if (!known || message.n >= known.n || (known.draft && !message.draft)) this.answers.set(key, { ...known, ...message, sizes: message.sizes || known?.sizes });
    if (!message.stop && key === this.key()) this.show();
    else this.drawSoon();
    if (message.final && !message.stop && key === this.key()) this.settled(key);
  }

  settled(key) {
    const answer = this.answers.get(key);
    const state = `${key}:${answer.latency?.how}:${Boolean(answer.sizes)}`;
    if (!this.data.wants_settled || !answer.sizes || answer.latency?.how !== "measured" || state === this.settledState) return;
    this.settledState = state;
    this.component.setTriggerValue("settled", { revision: this.revision, key: answer.key });
  }

  atStop(asked, [index, value]) {
    const steps = structuredClone(asked.steps);
    const { entry, field } = asked.sliders[index];
    const step = steps.find((s) => s.id === entry);
    if (field === "enabled") step.enabled = value;
    else step[Object.keys(step)[0]][field] = value;
    return steps;
  }

  // --- drawing ------------------------------------------------------------------------------------

  show() {
    const answer = this.answers.get(this.key());
    this.root.classList.toggle("optim-pending", !answer);
    if (answer) {
      this.shown = answer;
      this.visit(answer);
    }
    this.drawSoon();
  }

  visit(answer) {
    const key = this.key();
    this.visited.delete(key);
    this.visited.set(key, pointOf(answer, this.data.metric));
    if (this.visited.size > MAX_VISITED) this.visited.delete(this.visited.keys().next().value);
    this.remember();
  }

  drawSoon() {
    if (this.frame) return;
    this.frame = requestAnimationFrame(() => {
      this.frame = null;
      this.draw();
    });
  }

  draw() {
    const answer = this.shown;
    this.drawSizes();
    if (!answer) return;
    setText(this.verdict, answer.verdict);
    setText(this.basis, `${basisText(answer, this.data)}${this.leftOut(answer)}`);
    this.numbers.quality.show(answer.quality, answer.quality_change, answer.draft ? "draft" : "");
    this.numbers.latency.show(answer.latency, answer.latency_change);
    this.drawNotes(answer);
    this.root.style.setProperty("--optim-measured", `${(100 * answer.n) / answer.of}%`);
    if (window.Plotly) this.drawCharts(answer);
    this.reportDelay(answer);
  }

  /** Keep the place of a head that took a line more once: what stands below must not jump.
   *
   * The browser tells heights when it knows them: asking for one makes it lay out the page at once. */
  keepLines(lines) {
    let width = 0;
    let tallest = 0;
    new ResizeObserver(([{ contentRect: now }]) => {
      tallest = now.width === width ? Math.max(tallest, now.height) : now.height;
      width = now.width;
      this.head.style.minHeight = `${tallest}px`;
    }).observe(lines);
  }

  /** Size and MACs of this position, which are there before its quality where a model is large. */
  drawSizes() {
    const key = this.key();
    const ahead = !this.answers.has(key) && this.sized?.key === key ? this.sized : null;
    const known = ahead || this.shown;
    if (!known) return;
    this.numbers.file.show(known.file, known.file_change, Object.values(known.containers).join(" "));
    this.numbers.macs.show(known.macs, known.macs_change, `${known.params.text.trim()} params`);
    this.root.classList.toggle("optim-sized", Boolean(ahead));
  }

  /** Leave a measure from a moved slider to its drawn answer, for bench/interactive.py. */
  reportDelay(answer) {
    const { pressed } = this;
    if (!pressed || this.answers.get(this.key()) !== answer) return;
    this.pressed = null;
    requestAnimationFrame(() => performance.measure("optim:answer", {
      start: pressed.at, end: performance.now(), detail: { hit: pressed.hit, n: answer.n, draft: answer.draft },
    }));
  }

  drawNotes(answer) {
    this.root.querySelectorAll("[data-note]").forEach((note) => {
      const [entryId, field] = note.dataset.note.split(".");
      setText(note, this.sliderNote(answer, this.entries.find((e) => e.id === entryId), field));
    });
    this.root.querySelectorAll("[data-gain]").forEach((gain) => setText(gain, this.gainText(gain.dataset.gain)));
  }

  /** What has to be known about a slider's value before a file is asked for. */
  sliderNote(answer, entry, field) {
    if (!entry) return "";
    const { cost } = this.data.schema[entry.technique];
    if (cost !== "training") return answer.containers[field] || "";
    if (!entry.fields.epochs) return "";
    return answer.omitted.includes(entry.id)
      ? "Nothing trained for these settings; shown without. Recover accuracy trains it."
      : "From a stored student (precomputed).";
  }

  /** Steps that train, have no result for these settings, and have no line of their own in view. */
  leftOut(answer) {
    const hidden = this.mode === "simple"
      ? answer.omitted.filter((id) => !this.sliders.some((s) => s.entry === id)) : [];
    const titles = hidden.map((id) => this.entries.find((e) => e.id === id))
      .filter(Boolean).map((e) => this.data.schema[e.technique].title);
    return titles.length ? ` Left out, nothing is trained for these settings: ${titles.join(", ")}.` : "";
  }

  /** What the model would be without one step. */
  gainText(entryId) {
    const steps = this.steps();
    const step = steps.find((s) => s.id === entryId);
    if (!step || !step.enabled) return "off";
    const without = this.answers.get(this.key(steps.map((s) => (s === step ? { ...s, enabled: false } : s))));
    if (!without) return "";
    if (this.shown.omitted.includes(entryId)) return "nothing trained for these settings; left out until Recover accuracy trains it";
    if (without.key === this.shown.key) return "changes nothing here";
    if (without.omitted.length > this.shown.omitted.length) return "no stored student without it";
    const { metric } = this.data;
    const gain = onAxis(metric, this.shown.quality.value) - onAxis(metric, without.quality.value);
    const size = 100 * (this.shown.file.value / without.file.value - 1);
    const signed = (value, digits) => `${value >= 0 ? "+" : "−"}${Math.abs(value).toFixed(digits)}`;
    return `brings ${signed(gain, 1)} ${unitOf(metric) || metric.short}, ${signed(size, 0)} % size`;
  }

  drawCharts(answer) {
    const theme = readTheme(this.root);
    const { metric } = this.data;
    const original = originalOf(answer, metric);
    // What was measured on fewer samples stands where its difference to the original puts it.
    const placed = (list) => list.filter((p) => p.gap !== null).map((p) => ({ ...p, y: (original?.y ?? 0) + p.gap }));
    const points = placed([...this.visited.values()]);
    const without = this.mode === "steps" ? placed(this.withoutPoints()) : [];
    const current = pointOf(answer, metric);
    this.tradeOff.draw(theme, {
      metric,
      points: [...points, ...without],
      front: paretoFront([...points.filter((p) => !p.draft), original].filter(Boolean)),
      original,
      current: current.y === null ? null : current,
    });
    this.drawCurve(theme, original);
  }

  withoutPoints() {
    return this.entries.filter((e) => e.enabled).flatMap((entry) => {
      const steps = this.steps().map((s) => (s.id === entry.id ? { ...s, enabled: false } : s));
      const answer = this.answers.get(this.key(steps));
      if (!answer || answer.key === this.shown.key || answer.omitted.length > this.shown.omitted.length) return [];
      const point = pointOf(answer, this.data.metric);
      return [{ ...point, label: `without ${this.data.schema[entry.technique].title}: ${point.label}` }];
    });
  }

  drawCurve(theme, original) {
    const index = this.focusIndex();
    const focused = this.sliders[index];
    if (!focused) return;
    const { entry, field, control, stops } = focused;
    const asked = { steps: this.steps(), sliders: this.sliders };
    const points = stops.flatMap((value, i) => {
      const answer = this.answers.get(this.key(this.atStop(asked, [index, value])));
      if (!answer || answer.quality.value === null) return [];
      const text = `${valueText(control, value)}: ${answer.quality.text}, ${answer.file.text}`;
      return [{ i, ...spread(answer, this.data.metric), label: text }];
    });
    const every = Math.max(1, Math.ceil(stops.length / 6));
    const ticks = stops.map((value, i) => ({ i, text: valueText({ ...control, unit: "" }, value).replace(" %", ""), last: stops.length - 1 }))
      .filter((t) => t.i % every === 0);
    const unit = control.scale === "percent" ? "%" : control.unit;
    const here = stops.indexOf(this.entries.find((e) => e.id === entry).fields[field]);
    this.curve.draw(theme, {
      metric: this.data.metric, name: control.label, unit: unit === control.label.toLowerCase() ? "" : unit, points,
      index: here >= 0 ? here : null, ticks, baseline: original?.y ?? null,
    });
  }

  retheme() {
    this.drawSoon();
  }

  showMessage(text) {
    setText(this.message, text);
  }
}

/** The entries as the server reads them. */
function stepsOf(entries) {
  return entries.map((e) => ({ [e.technique]: e.fields, id: e.id, enabled: e.enabled }));
}

/** The figure on its axis with its interval; no figure where there is no difference to relate to. */
function spread(answer, metric) {
  const q = answer.quality;
  if (q.value === null) return { y: null, up: 0, down: 0 };
  return { y: onAxis(metric, q.value), up: onAxis(metric, q.high - q.value), down: onAxis(metric, q.value - q.low) };
}

function pointOf(answer, metric) {
  const quality = answer.quality_change?.text ?? answer.quality.text;
  const label = [quality, answer.file.text, answer.latency?.text].filter(Boolean).join(", ");
  const place = spread(answer, metric);
  const gap = place.y === null ? null : place.y - (originalOf(answer, metric)?.y ?? 0);
  return { x: answer.file.value / 1000, gap, ...place, label, draft: answer.draft };
}

/** The original in the charts; null where its figure is no finite number. */
function originalOf(answer, metric) {
  const { quality, file } = answer.original;
  return quality && { x: file.value / 1000, y: onAxis(metric, quality.value), label: `original: ${quality.text}, ${file.text}` };
}

function basisText(answer, data) {
  const count = (n) => n.toLocaleString("en-US");
  const how = answer.n < answer.of ? `${count(answer.n)} of ${count(answer.of)}` : `all ${count(answer.of)}`;
  const latency = `Latency in ONNX Runtime on this machine, ${data.batch}, ${data.latency.threads} thread${data.latency.threads > 1 ? "s" : ""}.`;
  const draft = answer.draft ? " Draft: calibrated on few samples." : "";
  const left = answer.left?.value >= MENTIONED_S ? `, about ${answer.left.text} left` : "";
  return `${data.metric.short} on ${how} ${data.samples}${left}, original and compressed on the same ones; ± is a 95 % interval. ${latency}${draft}`;
}
