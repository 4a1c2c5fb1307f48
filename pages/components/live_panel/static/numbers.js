// The cards with the numbers: value, interval, change to the original, and how it was obtained.

import { h, setText } from "./dom.js";

const ORIGIN = {
  measured: "Observed on real samples, real bytes or a real runtime.",
  estimated: "Computed by a model of this machine; a measurement follows when it is quiet.",
  simulated: "Computed with rounded weights and activations, as the exported file will compute.",
  published: "Taken from a paper or a vendor's table.",
};

/** One card; `show(quantity, change)` fills it, null means it is still being measured. */
export class NumberCard {
  constructor(title, waiting = "measuring") {
    this.waiting = waiting;
    this.value = h("span", { class: "optim-big", text: "–" });
    this.spread = h("span", { class: "optim-spread" });
    this.badge = h("span", { class: "optim-badge" });
    this.change = h("span", { class: "optim-change" });
    this.note = h("span", { class: "optim-note" });
    this.label = h("span", { class: "optim-label" });
    this.element = h("div", { class: "optim-card optim-number" },
      h("div", { class: "optim-number-head" }, this.label, this.badge),
      h("div", { class: "optim-number-value" }, this.value, this.spread),
      h("div", { class: "optim-number-foot" }, this.change, this.note));
    this.name(title);
  }

  name(title, about = "") {
    setText(this.label, title);
    this.label.title = about;
    this.element.dataset.number = title.toLowerCase();
  }

  show(quantity, change, note = "") {
    this.element.classList.toggle("optim-waiting", !quantity);
    if (!quantity) {
      setText(this.value, this.waiting);
      setText(this.spread, "");
      setText(this.badge, "");
      setText(this.change, "");
      return;
    }
    const [value, spread] = quantity.spread
      ? [quantity.text, quantity.spread] : splitText(quantity.text.replace(/ MACs$/, ""));
    setText(this.value, value);
    setText(this.spread, spread);
    setText(this.badge, quantity.how);
    this.badge.title = ORIGIN[quantity.how];
    this.badge.dataset.how = quantity.how;
    setText(this.change, change ? change.text : "");
    this.change.dataset.direction = change ? change.direction : "same";
    this.change.title = change ? change.verdict : "";
    setText(this.note, note);
  }
}

/** "93.4 ± 0.8 %" becomes ["93.4 %", "± 0.8"]. */
export function splitText(text) {
  const match = /^(\S+) ± (\S+)(.*)$/.exec(text);
  return match ? [`${match[1]}${match[3]}`, `± ${match[2]}`] : [text, ""];
}
