// Inputs and outputs as the conversations they are: roles, parts, images, files, tool calls, reasoning.

import { copyButton, h, isImage, link, longText } from "./dom.js";
import { exported, parse, stringify } from "./api.js";
import { jsonView } from "./folding.js";
import { number, say } from "./text.js";

const isObject = (value) => value !== null && typeof value === "object" && !Array.isArray(value);
const MANY = 200; // messages drawn at once

// The messages in a value, with what ended them, or null when it is no conversation.
export function conversation(value) {
  if (Array.isArray(value)) {
    const found = value.map((one) => asMessage(one));
    return found.length && found.every(Boolean) ? found : null;
  }
  if (!isObject(value)) return null;
  for (const key of ["messages", "templates", "prompts", "output", "input"]) {
    if (Array.isArray(value[key])) {
      const found = conversation(value[key]);
      if (found) return found;
    }
  }
  if (Array.isArray(value.choices)) {
    const found = value.choices.map((one) => isObject(one) && asMessage(one.message || one.delta, one.finish_reason));
    return found.length && found.every(Boolean) ? found : null;
  }
  const one = asMessage(value.message || value, value.finish_reason);
  return one && [one];
}

function asMessage(item, ended) {
  if (!isObject(item)) return null;
  if (item.type === "function_call" && typeof item.name === "string") { // of the Responses API, as the next three
    return { role: "assistant", tool_calls: [{ id: item.call_id, function: { name: item.name, arguments: item.arguments } }] };
  }
  if (item.type === "function_call_output") return { role: "tool", content: item.output, tool_call_id: item.call_id };
  if (item.type === "reasoning") return { role: "assistant", reasoning_content: [item.summary, item.content].flat().map((one) => (one || {}).text || "").join("\n") };
  if (typeof item.role !== "string") return null;
  if (!["content", "parts", "tool_calls", "reasoning_content", "function_call"].some((key) => key in item)) return null;
  return ended ? { ...item, ended } : item;
}

export function messagesView(messages, value, files) {
  const list = h("ol", { class: "messages" });
  let shown = 0;
  const draw = () => {
    for (const message of messages.slice(shown, shown + MANY)) list.append(messageView(message, files));
    shown += MANY;
    if (shown >= messages.length) return;
    const more = h("li", null, h("button", { type: "button", class: "small", onclick: () => { more.remove(); draw(); } }, say("showMore", messages.length - shown)));
    list.append(more);
  };
  draw();
  const beside = isObject(value) ? [["tools", say("tools")], ["tool_choice", "tool_choice"], ["arguments", say("variables")], ["usage", "usage"]] : [];
  return h("div", null, list, beside.filter(([key]) => value[key] && (!Array.isArray(value[key]) || value[key].length)).map(([key, label]) => {
    const shownTools = h("details", null, h("summary", null, label, Array.isArray(value[key]) ? ` (${value[key].length})` : ""));
    shownTools.addEventListener("toggle", () => shownTools.append(jsonView(value[key], label)), { once: true });
    return shownTools;
  }));
}

const KNOWN = ["system", "developer", "user", "assistant", "tool", "placeholder"];

function messageView(message, files) {
  const role = KNOWN.includes(message.role) ? message.role : "other";
  const head = h("div", { class: "role" }, message.role || "?", message.name ? ` · ${asText(message.name)}` : "",
    message.tool_call_id ? h("span", { class: "quiet" }, ` ${say("result", asText(message.tool_call_id))}`) : null,
    typeof message.content === "string" && message.content ? copyButton(message.content, message.role) : null);
  const calls = Array.isArray(message.tool_calls) ? message.tool_calls : message.function_call ? [{ function: message.function_call }] : [];
  return h("li", { class: `message ${role}` }, head,
    message.reasoning_content ? h("details", { class: "reasoning" }, h("summary", null, say("reasoning")), longText(asText(message.reasoning_content))) : null,
    content(message.content, files), Array.isArray(message.parts) ? message.parts.map((part) => partView(part, files)) : null,
    calls.map(callView), message.ended ? h("div", { class: "quiet" }, say("finish", asText(message.ended))) : null);
}

const asText = (value) => (typeof value === "string" ? value : stringify(value, 0)); // not String(): an object may have a toString of its own

function content(value, files) {
  if (value === null || value === undefined || value === "") return null;
  if (typeof value === "string") return longText(value);
  if (Array.isArray(value)) return value.map((part) => partView(part, files));
  return jsonView(value, say("chat"));
}

function callView(call) {
  const called = (isObject(call) && (call.function || call.function_call)) || {};
  let given = called.arguments;
  try {
    if (typeof given === "string") given = parse(given);
  } catch { /* not JSON: as it is */ }
  return h("div", { class: "call" }, h("div", { class: "role" }, say("call", asText(called.name || "?")), call && call.id ? h("span", { class: "quiet" }, ` ${asText(call.id)}`) : null),
    isObject(given) || Array.isArray(given) ? jsonView(given, asText(called.name || "?")) : content(given));
}

const ADDRESSED = ["image_url", "file_url", "audio_url", "video_url", "input_image", "image", "file", "base64_data"];

function partView(part, files) {
  if (typeof part === "string") return longText(part);
  if (!isObject(part)) return jsonView(part, say("chat"));
  if (typeof part.text === "string" && part.text) return part.type === "multi_part_variable" ? h("code", null, `{{${part.text}}}`) : longText(part.text);
  const key = ADDRESSED.find((name) => part[name]);
  const held = key && part[key];
  const address = isObject(held) ? held.url || held.file_data || held.file_id : held;
  if (typeof address === "string") return fileView(address, isObject(held) ? asText(held.name || held.filename || "") : "", files, key);
  return jsonView(part, say("chat"));
}

// An address may be a link, data, or the key of an uploaded file.
export function fileView(address, name, files, what) {
  const file = (files || []).find((one) => one.key === address);
  const real = file ? String(file.url || "") : address;
  const title = name || (file && file.name) || (address.startsWith("data:") ? what : address);
  const about = file ? `, ${file.bytes === null ? say("notUploaded") : `${number(file.bytes)} B`}` : "";
  const there = !exported || real.startsWith("data:"); // an exported file has no server
  if (there && isImage(real) && (!file || (file.bytes !== null && (file.type === "image" || real.startsWith("data:"))))) {
    return h("figure", null, h("img", { src: real, alt: title || say("image"), loading: "lazy" }), h("figcaption", null, title || "", about));
  }
  if (there && file && file.bytes !== null && real.startsWith("/api/files/")) {
    return h("div", { class: "file" }, h("a", { href: real, download: true }, title), about);
  }
  return h("div", { class: "file" }, `${say(what && what.includes("image") ? "image" : "file")}: `, link(address.slice(0, 2000), title.slice(0, 200)), about);
}
