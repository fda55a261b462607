// Elements out of untrusted data. What spans hold becomes text nodes and checked attributes here, and never HTML.

import { say } from "./text.js";

// h("p", {class: "note", onclick: f}, "text", element, [more], null). Only names written in these files are passed on.
export function h(tag, attributes, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes || {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value" || name === "checked" || name === "open") element[name] = value;
    else element.setAttribute(name, value === true ? "" : String(value));
  }
  add(element, children);
  return element;
}

export function add(element, children) {
  for (const child of children.flat(Infinity)) {
    if (child === null || child === undefined || child === false) continue;
    element.append(child instanceof Node ? child : String(child));
  }
  return element;
}

export function replace(element, ...children) {
  element.replaceChildren();
  return add(element, children);
}

function webAddress(text) {
  if (typeof text !== "string" || !/^https?:\/\//i.test(text)) return null;
  try {
    return new URL(text).href;
  } catch {
    return null;
  }
}

export function link(address, text) {
  const href = webAddress(address);
  return href ? h("a", { href, rel: "noopener noreferrer", target: "_blank" }, text || address) : h("span", null, text || address);
}

const IMAGE = /^data:image\/(png|jpeg|gif|webp);base64,[A-Za-z0-9+/=\s]*$/;

export function isImage(address) {
  return typeof address === "string" && (IMAGE.test(address) || /^\/api\/files\/[^/?#]+(\?workspace=[^&#]*)?$/.test(address));
}

// text: the text itself, or a function that says it.
export function copyButton(text, what) {
  const button = h("button", { type: "button", class: "small", "aria-label": what ? `${say("copy")}: ${what}` : say("copy") }, say("copy"));
  button.addEventListener("click", async () => {
    await copy(typeof text === "function" ? await text() : text);
    button.textContent = say("copied");
    setTimeout(() => { button.textContent = say("copy"); }, 1500);
  });
  return button;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
  } catch { // not a secure context, or not allowed
    const field = h("textarea", { value: text, class: "unseen", "aria-hidden": "true" });
    document.body.append(field);
    field.select();
    document.execCommand("copy");
    field.remove();
  }
}

export function choice(label, options, value, onchange) {
  const select = h("select", { onchange: () => onchange && onchange(select.value) },
    options.map(([key, text]) => h("option", { value: key }, text)));
  select.value = value;
  return h("label", { class: "field" }, h("span", null, label), select);
}

// A text that may be large: the beginning, and more on demand. `more` is a button or nothing, shown at the end.
const PIECE = 20000; // characters; then four times as many

export function longText(text, more) {
  const pre = h("pre", { class: "text" });
  const box = h("div", null, pre, more);
  let [shown, piece] = [0, PIECE];
  const button = h("button", { type: "button", class: "small", onclick: show });
  function show() {
    pre.append(text.slice(shown, shown + piece));
    shown += piece;
    piece *= 4;
    if (shown < text.length) {
      button.textContent = say("showMore", text.length - shown);
      pre.after(button);
    } else button.remove();
  }
  show();
  return box;
}

let unique = 0;

export function uniqueId(prefix) {
  unique += 1;
  return `${prefix}-${unique}`;
}
