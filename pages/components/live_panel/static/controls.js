// Controls made from a Step's fields, as the server describes them.

import { h, setText, uniqueId } from "./dom.js";

/** Write a value the way a reader expects it: 45 %, 4 bits, off. */
export function valueText(control, value) {
  if (control.kind === "choice") {
    const option = control.options.find((o) => o.value === value);
    const text = option ? option.label : String(value);
    return control.unit && typeof value === "number" ? `${text} ${control.unit}` : text;
  }
  if (control.scale === "percent") return `${Math.round(value * 100)} %`;
  const text = Number.isInteger(value) ? String(value) : String(Number(value.toPrecision(3)));
  return control.unit ? `${text} ${control.unit}` : text;
}

/** Stops of a control that lies on a line; null for one that does not. */
export function stopsOf(control) {
  if (control.kind === "range") return control.stops;
  if (control.kind === "choice" && control.ordered) return control.options.map((o) => o.value);
  return null;
}

/** Index of the stop nearest to a value. */
export function nearestStop(stops, value) {
  const exact = stops.indexOf(value);
  if (exact >= 0 || typeof value !== "number") return Math.max(0, exact);
  let best = 0;
  stops.forEach((stop, i) => {
    if (typeof stop === "number" && Math.abs(stop - value) < Math.abs(stops[best] - value)) best = i;
  });
  return best;
}

/**
 * A slider over stops. `onInput` is called while it is dragged, `onChange` when it is released.
 * The element has `update(value)`.
 */
export function slider(control, value, { onInput, onChange, stops = stopsOf(control), name = "" }) {
  const id = uniqueId("optim-slider");
  const output = h("output", { class: "optim-value", for: id, text: valueText(control, value) });
  const input = h("input", {
    type: "range", id, min: 0, max: stops.length - 1, step: 1, "data-field": name || control.name,
  });
  const show = (current) => {
    setText(output, valueText(control, current));
    input.setAttribute("aria-valuetext", valueText(control, current));
    const share = stops.length > 1 ? input.value / (stops.length - 1) : 0;
    input.style.setProperty("--optim-share", `${share * 100}%`);
  };
  input.addEventListener("input", () => {
    show(stops[input.value]);
    onInput(stops[input.value]);
  });
  input.addEventListener("change", () => onChange(stops[input.value]));
  const label = h("label", { for: id, text: control.label });
  const row = h("div", { class: "optim-slider" },
    h("div", { class: "optim-slider-head" }, h("span", { class: "optim-label" }, label, hint(control.help)), output),
    input);
  row.update = (current) => {
    input.value = nearestStop(stops, current);
    show(current);
  };
  row.update(value);
  return row;
}

/** A question mark that explains; readable by keyboard and screen reader. */
export function hint(text) {
  if (!text) return null;
  const id = uniqueId("optim-hint");
  return h("span", { class: "optim-hint" },
    h("button", { type: "button", "aria-label": "Help", "aria-describedby": id, text: "?" }),
    h("span", { role: "tooltip", id, class: "optim-tip", text }));
}

/** One of a few values as a row of buttons; two plain truth values become a switch. */
function choice(control, value, onChange) {
  const name = uniqueId("optim-choice");
  const group = h("div", { class: "optim-segments", role: "radiogroup", "aria-label": control.label });
  control.options.forEach((option) => {
    const id = uniqueId("optim-option");
    const input = h("input", { type: "radio", id, name, onchange: () => onChange(option.value) });
    input.checked = option.value === value;
    group.append(input, h("label", { for: id, text: option.label }));
  });
  return h("div", { class: "optim-choice" },
    h("div", { class: "optim-label" }, h("span", { text: control.label }), hint(control.help)), group);
}

/** One member of a family, with the fields of the chosen one below. */
function method(control, value, handlers) {
  const [name, fields] = splitMethod(value);
  const id = uniqueId("optim-method");
  const select = h("select", {
    id,
    onchange: () => handlers.onChange(select.value, true),
  });
  Object.entries(control.family).forEach(([key, member]) => {
    const option = h("option", { value: key, text: member.title });
    option.selected = key === name;
    select.append(option);
  });
  const make = (field) => makeControl(field, fields[field.name] ?? field.default, {
    onInput: (v) => handlers.onInput({ [name]: { ...fields, [field.name]: v } }),
    onChange: (v) => handlers.onChange({ [name]: { ...fields, [field.name]: v } }),
  });
  const nested = control.family[name].fields;
  return h("div", { class: "optim-method" },
    h("div", { class: "optim-label" }, h("label", { for: id, text: control.label }), hint(control.help)),
    select, ...nested.filter((f) => !f.expert).map(make), moreSettings(nested.filter((f) => f.expert).map(make)));
}

/** Settings few people need, folded away; null if there are none. */
export function moreSettings(elements) {
  if (!elements.length) return null;
  return h("details", { class: "optim-more" }, h("summary", { text: "More settings" }), ...elements);
}

function splitMethod(value) {
  if (typeof value === "string") return [value, {}];
  const [name, fields] = Object.entries(value)[0];
  return [name, fields];
}

/**
 * Make any control. `onInput(value)` while dragging; `onChange(value, rebuild)` when settled, where
 * `rebuild` says that other controls may appear or go.
 */
export function makeControl(control, value, handlers) {
  if (stopsOf(control)) return slider(control, value, handlers);
  if (control.kind === "choice") return choice(control, value, (v) => handlers.onChange(v, true));
  if (control.kind === "method") return method(control, value, handlers);
  if (control.kind === "models") {
    return h("p", { class: "optim-note", text: `${control.label}: ${[value].flat().join(", ")}.` });
  }
  const count = Object.keys(value || {}).length;
  const text = count ? `${count} layer${count > 1 ? "s" : ""} set apart; edit them under Layers below.`
                     : "Single layers are set under Layers below.";
  return h("p", { class: "optim-note", text });
}

/** Whether a control has an effect with the present values of the others. */
export function applies(control, fields) {
  return Object.entries(control.when).every(([name, allowed]) => allowed.includes(fields[name]));
}
