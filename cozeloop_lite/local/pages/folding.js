// JSON as a tree to fold and to search. Branches are drawn when they are opened, and a search shows only what matches.

import { h, replace } from "./dom.js";
import { say } from "./text.js";

const MANY = 100; // children drawn at once
const OPEN = 2; // levels open at first
const LONG = 2000; // characters of a text drawn at once
const MATCHES = 1000;
const ENOUGH = 8; // entries

const isBranch = (value) => value !== null && typeof value === "object";
const keysOf = (value) => (Array.isArray(value) ? Array.from(value.keys()) : Object.keys(value));

export function jsonView(value, label) {
  const tree = h("div", { class: "json" });
  const count = h("span", { class: "quiet", role: "status" });
  const field = h("input", { type: "search", class: "find", "aria-label": say("findIn", label), placeholder: say("search") });
  const show = () => {
    const query = field.value.trim().toLowerCase();
    const found = query ? search(value, query) : null;
    count.textContent = found ? say("matches", found.count) : "";
    replace(tree, entry(null, value, 0, found, query));
  };
  let waiting = 0;
  field.addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(show, 150);
  });
  show();
  return h("div", null, isLarge(value) && h("div", { class: "tools" }, field, count), tree);
}

// Whether there is enough to be worth searching.
function isLarge(value) {
  const waiting = [value];
  let count = 0;
  while (waiting.length && count < ENOUGH) {
    const one = waiting.pop();
    if (!isBranch(one)) continue;
    const keys = keysOf(one);
    count += keys.length;
    for (const key of keys.slice(0, ENOUGH)) waiting.push(one[key]);
  }
  return count >= ENOUGH;
}

// Which branches lead to a match, and which of their keys.
function search(root, query) {
  const ways = new Map(); // branch -> its keys that match or lead on
  const matches = (text) => String(text).toLowerCase().includes(query);
  const waiting = [{ value: root, above: null, key: null }];
  let count = 0;
  while (waiting.length && count < MATCHES) {
    const way = waiting.pop();
    for (const key of keysOf(way.value)) {
      const item = way.value[key];
      if ((!Array.isArray(way.value) && matches(key)) || (!isBranch(item) && matches(item))) {
        count += 1;
        for (let [step, name] = [way, key]; step; [step, name] = [step.above, step.key]) {
          if (!ways.has(step.value)) ways.set(step.value, new Set());
          else if (ways.get(step.value).has(name)) break;
          ways.get(step.value).add(name);
        }
      }
      if (isBranch(item)) waiting.push({ value: item, above: way, key });
    }
  }
  return { ways, count };
}

function entry(key, value, depth, found, query) {
  const name = key === null ? null : [h("span", { class: "key" }, marked(String(key), query)), ": "];
  if (!isBranch(value)) return h("div", { class: "leaf" }, name, leaf(value, query));
  let keys = keysOf(value);
  const sum = Array.isArray(value) ? `[${keys.length}]` : `{${keys.length}}`;
  const ways = found && found.ways.get(value);
  if (ways) keys = keys.filter((one) => ways.has(one));
  const box = h("div", { class: "branch" });
  let shown = 0;
  const draw = () => {
    for (const one of keys.slice(shown, shown + MANY)) box.append(entry(one, value[one], depth + 1, found, query));
    shown += MANY;
    if (shown < keys.length) {
      const more = h("button", { type: "button", class: "small", onclick: () => { more.remove(); draw(); } }, say("showMore", keys.length - shown));
      box.append(more);
    }
  };
  const open = found ? Boolean(ways) : depth < OPEN;
  const branch = h("details", { open }, h("summary", null, name, h("span", { class: "quiet" }, sum)), box);
  if (open) draw();
  branch.addEventListener("toggle", () => { if (branch.open && !shown) draw(); });
  return branch;
}

function leaf(value, query) {
  if (typeof value !== "string") return h("span", { class: value === null ? "null" : typeof value }, marked(String(value), query));
  const text = h("span", { class: "string" }, '"', marked(value.slice(0, LONG), query), value.length > LONG ? "…" : '"');
  if (value.length <= LONG) return text;
  const more = h("button", { type: "button", class: "small", onclick: () => {
    replace(text, '"', marked(value, query), '"');
    more.remove();
  } }, say("showMore", value.length - LONG));
  return [text, more];
}

function marked(text, query) {
  const at = query ? text.toLowerCase().indexOf(query) : -1;
  return at < 0 ? text : [text.slice(0, at), h("mark", null, text.slice(at, at + query.length)), text.slice(at + query.length)];
}
