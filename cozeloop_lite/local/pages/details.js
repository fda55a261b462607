// All of one span: error, warnings, input, output, tags, files, feedback, times, and the JSON itself.

import * as api from "./api.js";
import { contentView } from "./content.js";
import { copyButton, h, longText, replace } from "./dom.js";
import { jsonView } from "./folding.js";
import { ownTime } from "./forest.js";
import { fileView } from "./messages.js";
import { duration, moment, number, say, sayFailure, sayWarning } from "./text.js";

// Draws the span of a node into a pane. `start`: of the trace, in µs. Only the last one asked for is drawn.
export async function showDetails(pane, node, start) {
  const asked = {};
  Object.assign(pane, { asked, drawn: null });
  const slow = setTimeout(() => { if (pane.asked === asked) replace(pane, h("p", { class: "quiet" }, say("loading"))); }, 200);
  try {
    const span = await api.span(node.span);
    if (pane.asked !== asked) return;
    draw(pane, span, node, start);
    pane.scrollTop = 0;
  } catch (error) {
    if (pane.asked === asked) replace(pane, h("p", { class: "error", role: "alert" }, sayFailure(error)));
  } finally {
    clearTimeout(slow);
  }
}

// Looks whether the span that is drawn has become another one: warned of, spoken of, or its files have arrived.
export async function renewDetails(pane, node, start) {
  const { asked, drawn } = pane;
  if (!drawn) return;
  const span = await api.span(node.span);
  if (pane.asked !== asked || api.stringify(span) === api.stringify(drawn)) return;
  const [top, focused] = [pane.scrollTop, pane.contains(document.activeElement)];
  draw(pane, span, node, start);
  pane.scrollTop = top;
  if (focused) pane.focus();
}

export function lacksFiles(pane) {
  return Boolean(pane.drawn && pane.drawn.files.some((file) => file.bytes === null));
}

function draw(pane, span, node, start) {
  replace(pane, head(span, node), problems(span, node), text("input", span, node), text("output", span, node), tagTable(span, node),
    systemTags(span), files(span), feedback(span), times(span, node, start), raw(span));
  pane.drawn = span;
}

function head(span, node) {
  return h("header", null, h("h2", { class: "name" }, span.span_name || "?"),
    h("p", null, h("span", { class: "kind" }, span.span_type || "?"), " ",
      h("span", { class: node.failed ? "bad" : "good" }, node.failed ? `✕ ${say("error")} ${span.status_code || ""}` : `✓ ${say("ok")}`), " ",
      duration(span.duration_micros), node.children.length ? `, ${say("itself", duration(ownTime(node)))}, ${say("children", number(node.size))}` : ""));
}

function problems(span, node) {
  const error = (span.tags_string || {}).error;
  const notes = [node.orphan && say("orphan"), node.circle && say("cycle"), ...span.warnings.map(sayWarning)].filter(Boolean);
  const cut = (span.system_tags_string || {}).cut_off;
  if (cut) notes.push(say("cut", cut));
  if (span.dropped && !span.warnings.length) notes.unshift(say("dropped"));
  return [
    error ? h("section", { class: "content fault", "aria-label": say("error") }, h("div", { class: "head" }, h("h3", null, say("error")), copyButton(error, say("error"))), longText(error)) : null,
    notes.length ? h("section", { class: "content warned", "aria-label": say("warnings") }, h("h3", null, say("warnings")), h("ul", null, notes.map((note) => h("li", null, note)))) : null,
  ];
}

function text(which, span, node) {
  const held = span[which] || "";
  const bytes = span[`${which}_bytes`];
  const uploaded = (span.files || []).find((file) => file.type === "text" && file.field === which && file.bytes !== null && isUploaded(file));
  if (uploaded) return contentView(say(which), held, uploaded.bytes, () => api.fileText(uploaded), span.files); // held is its beginning
  const load = span[`${which}_cut`] ? () => api.spanText(node.span, which) : null;
  return contentView(say(which), held, bytes === undefined ? new TextEncoder().encode(held).length : bytes, load, span.files);
}

const isUploaded = (file) => !api.exported && String(file.url).startsWith("/api/files/");

const KINDS = ["tags_string", "tags_long", "tags_double", "tags_bool", "tags_bytes"];

function table(label, rows) {
  return h("table", { "aria-label": label }, h("tbody", null, rows));
}

function tagTable(span, node) {
  const all = KINDS.flatMap((kind) => Object.entries(span[kind] || {}).map(([key, value]) => ({ kind, key, value })))
    .filter(({ key }) => key !== "error").sort((a, b) => (a.key < b.key ? -1 : 1));
  if (!all.length) return null;
  const rows = new Map();
  for (const tag of all) rows.set(tag, h("tr", null, h("th", { scope: "row" }, tag.key), h("td", null, tagValue(tag))));
  if (node.parent) {
    api.span(node.parent.span).then((parent) => { // a tag that the parent has too has been inherited
      for (const [{ kind, key, value }, row] of rows) {
        if (kind === "tags_string" && Object.hasOwn(parent.tags_string || {}, key) && parent.tags_string[key] === value) {
          row.lastChild.append(" ", h("span", { class: "kind", title: say("baggage") }, "baggage"));
        }
      }
    }, () => {});
  }
  return section(say("tags"), table(say("tags"), [...rows.values()]), () => api.stringify(Object.fromEntries(all.map(({ key, value }) => [key, value]))));
}

function tagValue({ key, value }) {
  if (typeof value === "string" && /^[[{]/.test(value)) {
    try {
      return jsonView(api.parse(value), key);
    } catch { /* not JSON: as it is */ }
  }
  if (/^latency_|_duration$/.test(key) && typeof value === "number") return `${number(value)} (${duration(value)})`;
  if (/^start_time_/.test(key) && typeof value === "number") return `${number(value)} (${moment(value)})`;
  if (typeof value !== "string") return number(value);
  return value.length > 200 || value.includes("\n") ? longText(value) : h("span", { class: "value" }, value);
}

function systemTags(span) {
  const all = ["system_tags_string", "system_tags_long", "system_tags_double"].flatMap((kind) => Object.entries(span[kind] || {}));
  if (!all.length) return null;
  return section(say("systemTags"), table(say("systemTags"), all.map(([key, value]) =>
    h("tr", null, h("th", { scope: "row" }, key), h("td", null, tagValue({ key, value }))))));
}

function section(label, body, copied) {
  return h("section", { class: "content", "aria-label": label }, h("div", { class: "head" }, h("h3", null, label), copied ? copyButton(copied, label) : null), body);
}

function files(span) {
  if (!span.files || !span.files.length) return null;
  return section(say("files"), h("ul", { class: "plain" }, span.files.slice(0, 200).map((file) =>
    h("li", null, fileView(String(file.key), file.name, span.files, file.type)))));
}

function feedback(span) {
  if (!span.feedback || !span.feedback.length) return null;
  return section(say("feedback"), table(say("feedback"), span.feedback.map((one) =>
    h("tr", null, h("th", { scope: "row" }, one.key), h("td", null, String(one.value), one.reasoning ? h("div", { class: "quiet" }, one.reasoning) : null)))));
}

function times(span, node, start) {
  const long = span.tags_long || {};
  const first = Number(long.latency_first_resp) || 0;
  const [written, rest] = [Number(long.output_tokens) || 0, node.length - first];
  const ids = ["trace_id", "span_id", "parent_id", "log_id", "workspace_id", "service_name"];
  const labels = { trace_id: "traceId", span_id: "spanId", parent_id: "parentId", log_id: "logId", workspace_id: "workspace", service_name: "service" };
  const rows = [
    [say("started"), moment(span.started_at_micros)], [say("offset"), duration(node.start - start)], [say("duration"), duration(node.length)],
    [say("ended"), moment(node.start + node.length)], [say("received"), moment(span.received_at_micros)],
    first ? [say("firstToken"), duration(first)] : null, written && rest > 0 ? [say("speed"), (written / (rest / 1e6)).toFixed(1)] : null,
  ].filter(Boolean);
  return section(say("times"), table(say("times"), [
    rows.map(([label, value]) => h("tr", null, h("th", { scope: "row" }, label), h("td", null, value))),
    ids.filter((name) => span[name]).map((name) => h("tr", null, h("th", { scope: "row" }, say(labels[name])),
      h("td", null, h("code", null, span[name]), " ", copyButton(span[name], say(labels[name]))))),
  ]));
}

function raw(span) {
  const shown = h("details", { class: "raw" }, h("summary", null, say("raw")));
  shown.addEventListener("toggle", () => shown.append(copyButton(() => api.stringify(span), say("raw")), jsonView(span, say("raw"))), { once: true });
  return shown;
}
