// The recipe as a stack of cards: one technique each, in the order they are applied.

import { applies, makeControl, moreSettings, valueText } from "./controls.js";
import { h } from "./dom.js";

/**
 * Draw the stack.
 *
 * @param {object} model  {entries, schema, refused: {technique: why it cannot change the model},
 *                         advice: {entry id: why it is better placed later}}
 * @param {object} on  {input(entry, field, value), change(entry, field, value, rebuild),
 *                      open(entry), toggle(entry), move(entry, step), remove(entry),
 *                      add(technique), order()}
 */
export function drawStack({ entries, schema, refused, advice }, on) {
  const cards = entries.map((entry, i) => {
    const why = refused[entry.technique];
    return card(entry, schema[entry.technique], i, entries.length, on, why);
  });
  const select = h("select", { "aria-label": "Technique to add" },
    ...Object.entries(schema).map(([name, technique]) => h("option", {
      value: name, text: technique.title, disabled: name in refused, title: refused[name],
    })));
  const add = h("div", { class: "optim-add" }, select,
    h("button", { type: "button", class: "optim-button", text: "Add step", onclick: () => on.add(select.value) }));
  return h("div", { class: "optim-stack" }, ...cards, ...better(advice, on), add);
}

/** Say which steps undo what others did, with a button that moves them. */
function better(advice, on) {
  const reasons = Object.values(advice || {});
  if (!reasons.length) return [];
  return [h("div", { class: "optim-advice" },
    ...reasons.map((text) => h("p", { class: "optim-note", text })),
    h("button", { type: "button", class: "optim-button", text: "Put in order", onclick: () => on.order() }))];
}

function card(entry, technique, index, count, on, why) {
  const head = h("div", { class: "optim-step-head" },
    toggle(entry, technique, on, why),
    h("strong", { class: "optim-step-title", text: technique.title }),
    iconButton("Earlier", "↑", index === 0, () => on.move(entry, -1)),
    iconButton("Later", "↓", index === count - 1, () => on.move(entry, 1)),
    iconButton("Remove", "×", false, () => on.remove(entry)));
  const handlers = (control) => ({
    onInput: (value) => on.input(entry, control.name, value),
    onChange: (value, rebuild) => on.change(entry, control.name, value, rebuild),
    name: `${entry.id}.${control.name}`,
  });
  const usable = technique.controls.filter((control) => applies(control, entry.fields));
  const make = (control) => {
    const element = makeControl(control, entry.fields[control.name], handlers(control));
    element.dataset.entry = entry.id;
    element.dataset.control = control.name;
    return element;
  };
  const main = usable.filter((control) => !control.expert).map(make);
  const expert = usable.filter((control) => control.expert).map(make);
  const body = h("div", { class: "optim-step-body" },
    h("p", { class: "optim-note", text: technique.about }), ...main,
    moreSettings(expert),
    technique.paper ? h("details", { class: "optim-paper" }, h("summary", { text: "Source" }),
      h("p", { class: "optim-note", text: technique.paper })) : null);
  const details = h("details", { class: "optim-step-details" },
    h("summary", { text: summaryOf(entry, technique) }), body);
  details.open = entry.open === true;
  details.addEventListener("toggle", () => {
    if (entry.open === details.open) return;
    entry.open = details.open;
    on.open(entry);
  });
  return h("section", {
    class: `optim-card optim-step${entry.enabled ? "" : " optim-off"}${why ? " optim-refused" : ""}`,
    "aria-label": technique.title, "data-step": entry.id,
  }, head, why ? h("p", { class: "optim-note", text: why }) : details,
  h("p", { class: "optim-gain", "data-gain": entry.id }));
}

/** A step that cannot change the model can be switched off and not on. */
function toggle(entry, technique, on, why) {
  const input = h("input", {
    type: "checkbox", role: "switch", class: "optim-switch", "aria-label": `${technique.title} on`,
    disabled: Boolean(why) && !entry.enabled, title: why,
    onchange: () => on.toggle(entry),
  });
  input.checked = entry.enabled;
  return input;
}

function iconButton(label, text, disabled, onclick) {
  return h("button", { type: "button", class: "optim-icon", "aria-label": label, title: label, disabled, onclick, text });
}

/** Say in a few words what a step is set to. */
function summaryOf(entry, technique) {
  const first = technique.controls.filter((c) => c.kind !== "per_layer" && !c.expert && applies(c, entry.fields)).slice(0, 2);
  const parts = first.map((control) => {
    const value = entry.fields[control.name];
    if (control.kind === "method") {
      const name = typeof value === "string" ? value : Object.keys(value)[0];
      return control.family[name].title;
    }
    return control.unit || control.kind === "choice" || control.scale === "percent"
      ? valueText(control, value)
      : `${control.label.toLowerCase()} ${valueText(control, value)}`;
  });
  return parts.join(" · ") || technique.about;
}
