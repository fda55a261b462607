// One text of unknown nature, an input, an output or a tag: as messages, as JSON or as it is, and large ones on demand.

import { parse } from "./api.js";
import { choice, copyButton, h, longText, replace } from "./dom.js";
import { jsonView } from "./folding.js";
import { conversation, messagesView } from "./messages.js";
import { say, size } from "./text.js";

// bytes: of the whole text; load: gives the whole text when `text` is only its beginning, else null.
export function contentView(label, text, bytes, load, files) {
  const body = h("div");
  const section = h("section", { class: "content", "aria-label": label });
  const draw = (now, whole) => {
    const { views, value, messages } = read(now);
    const show = (kind) => {
      const more = whole || !load ? null : moreButton(bytes, async () => draw(await load(), true));
      if (kind === "chat") replace(body, messagesView(messages, value, files));
      else if (kind === "json") replace(body, jsonView(value, label));
      else replace(body, longText(now, more));
    };
    const pick = views.length > 1 ? choice(say("view", label), views.map((kind) => [kind, say(kind)]), views[0], show) : null;
    const head = h("div", { class: "head" }, h("h3", null, label), h("span", { class: "quiet" }, size(bytes)), pick,
      copyButton(async () => (whole || !load ? now : load()), label));
    replace(section, head, body);
    show(views[0]);
  };
  if (text) draw(text, !load);
  else replace(section, h("div", { class: "head" }, h("h3", null, label), h("span", { class: "quiet" }, say("empty"))));
  return section;
}

function moreButton(bytes, load) {
  const button = h("button", { type: "button", class: "small", onclick: async () => {
    button.disabled = true;
    try {
      await load();
    } catch (error) {
      button.disabled = false;
      button.textContent = say("failed", error.message);
    }
  } }, say("loadAll", size(bytes)));
  return button;
}

function read(text) {
  const plain = { views: ["text"], value: null, messages: null };
  if (!/^\s*[[{]/.test(text)) return plain;
  try {
    const value = parse(text);
    const messages = conversation(value);
    return { views: messages ? ["chat", "json", "text"] : ["json", "text"], value, messages };
  } catch { // no JSON
    return plain;
  }
}
