// What changed from one text to another, line by line.

import { h } from "./dom.js";
import { say } from "./text.js";

const MOST = 4e6; // cells of the table; beyond, all lines between the equal ends count as changed

export function changes(before, after) {
  let start = 0;
  while (start < before.length && start < after.length && before[start] === after[start]) start += 1;
  let [endA, endB] = [before.length, after.length];
  while (endA > start && endB > start && before[endA - 1] === after[endB - 1]) {
    endA -= 1;
    endB -= 1;
  }
  const same = (lines) => lines.map((line) => [" ", line]);
  return [...same(before.slice(0, start)), ...between(before.slice(start, endA), after.slice(start, endB)), ...same(before.slice(endA))];
}

function between(a, b) {
  const wide = b.length + 1;
  if ((a.length + 1) * wide > MOST) return [...a.map((line) => ["-", line]), ...b.map((line) => ["+", line])];
  const common = new Uint32Array((a.length + 1) * wide); // length of the longest common rest
  for (let i = a.length - 1; i >= 0; i -= 1) {
    for (let j = b.length - 1; j >= 0; j -= 1) {
      common[i * wide + j] = a[i] === b[j] ? common[(i + 1) * wide + j + 1] + 1 : Math.max(common[(i + 1) * wide + j], common[i * wide + j + 1]);
    }
  }
  const lines = [];
  let [i, j] = [0, 0];
  while (i < a.length || j < b.length) {
    if (i < a.length && j < b.length && a[i] === b[j]) {
      lines.push([" ", a[i]]);
      i += 1;
      j += 1;
    } else if (j >= b.length || (i < a.length && common[(i + 1) * wide + j] >= common[i * wide + j + 1])) lines.push(["-", a[i++]]);
    else lines.push(["+", b[j++]]);
  }
  return lines;
}

export function changesView(before, after, label) {
  const lines = changes(before.split("\n"), after.split("\n"));
  if (lines.every(([sign]) => sign === " ")) return h("p", { class: "quiet" }, say("same"));
  const tags = { "+": "ins", "-": "del", " ": "span" };
  return h("pre", { class: "diff", tabindex: 0, role: "region", "aria-label": label }, lines.map(([sign, line]) => h(tags[sign], null, `${sign} ${line}\n`)));
}
