// Small helpers to build elements. Text is always set as text, never as HTML.

/** Make an element: h("p", {class: "note", text: "..."}, child, child). */
export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "text") element.textContent = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

/** Set text only when it changes, so that screen readers and layout are left alone. */
export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

let serial = 0;

/** Return an id that is unique on the page. */
export function uniqueId(prefix) {
  serial += 1;
  return `${prefix}-${serial}`;
}

/** Load a script once a page. */
export function loadScript(src) {
  const loaded = (window.__optimScripts = window.__optimScripts || {});
  loaded[src] =
    loaded[src] ||
    new Promise((resolve, reject) => {
      const script = h("script", { src });
      script.onload = resolve;
      script.onerror = () => reject(new Error(`cannot load ${src}`));
      document.head.append(script);
    });
  return loaded[src];
}
