// One trace: its spans as a tree, beside it the waterfall drawn to scale, and the details of the chosen span.

import * as api from "./api.js";
import { lacksFiles, renewDetails, showDetails } from "./details.js";
import { copyButton, h, replace } from "./dom.js";
import { brief, extent, plant, visible } from "./forest.js";
import { Rows } from "./rows.js";
import { duration, moment, number, say, sayFailure } from "./text.js";

const INDENT = 14; // px a level
const DEEPEST = 16; // levels that are told apart by indentation
const TICKS = 4;

export async function tracePage(main, id, row, alive) {
  replace(main, h("p", { class: "quiet" }, say("loading")));
  const view = new TraceView(main, id, row);
  let since = api.exported ? "" : (await api.changes("")).since; // of before: nothing falls between
  const first = await whenThere(main, id, alive);
  if (!first) return;
  view.take(first);
  if (api.exported) return;
  await api.watch(alive, async () => {
    try {
      const answer = await api.changes(since);
      const changed = answer.reset || answer.traces.some((one) => one.trace_id === id);
      const found = changed && alive() ? await api.trace(id) : null;
      if (!alive()) return;
      if (found) view.take(found);
      if (changed || lacksFiles(view.pane)) await view.renew();
      since = answer.since; // only now: what failed is asked for again
      view.trouble.replaceChildren();
    } catch (error) { // what is shown remains
      if (alive()) view.fail(error);
    }
  });
}

// The trace, once there is one; null when the page has become another meanwhile.
async function whenThere(main, id, alive) {
  while (alive()) {
    try {
      return await api.trace(id);
    } catch (error) {
      if (error.status !== 404) throw error;
    }
    if (alive()) replace(main, h("h1", { class: "unseen" }, say("traces")), h("p", { role: "status" }, say("noTrace", id)), h("p", null, h("a", { href: "#/" }, `← ${say("back")}`)));
    await new Promise((resolve) => setTimeout(resolve, 1000));
  }
  return null;
}

class TraceView {
  constructor(main, id, row) {
    this.main = main;
    this.id = id;
    this.wanted = row;
    this.folded = new Set();
    this.rows = new Rows({
      role: "tree", label: say("tree"), height: 28, draw: (index) => this.draw(index), onchoose: (index) => this.open(index),
      onopen: () => this.pane.focus(), onkey: (event, index) => this.key(event, index),
    });
    this.pane = h("section", { class: "details", tabindex: 0, "aria-label": say("details") }, h("p", { class: "quiet" }, say("choose")));
    this.pane.addEventListener("keydown", (event) => { if (event.key === "Escape") this.rows.box.focus(); });
    this.head = h("div", { class: "sums" });
    this.axis = h("div", { class: "axis" });
    this.found = h("span", { class: "quiet", role: "status" });
    this.finder = h("input", { type: "search", class: "find", "aria-label": say("find"), placeholder: say("find") });
    this.finder.addEventListener("keydown", (event) => { if (event.key === "Enter") this.find(event.shiftKey ? -1 : 1); });
    const fold = (key, action) => h("button", { type: "button", class: "small", onclick: action }, say(key));
    const tools = h("div", { class: "tools" }, this.finder, this.found, fold("expandAll", () => this.foldAll(false)), fold("collapseAll", () => this.foldAll(true)));
    this.trouble = h("div", { role: "alert" });
    this.frame = [this.trouble, this.head, h("div", { class: "split" }, h("div", { class: "left" }, tools, h("div", { class: "scale", "aria-hidden": "true" }, this.axis), this.rows.box), this.pane)];
  }

  take({ trace, more, spans }) {
    const chosen = this.shown ? (this.shown[this.rows.chosen] || {}).row : this.wanted;
    const first = !this.shown;
    Object.assign(this, plant(spans.map(brief)));
    this.scale = extent(this.order);
    this.shown = visible(this.roots, this.folded);
    replace(this.head, this.summary(trace, more));
    replace(this.axis, Array.from({ length: TICKS + 1 }, (_, i) => {
      const tick = h("span", null, duration(Math.round((this.scale.length * i) / TICKS)));
      tick.style.setProperty("left", `${(100 * i) / TICKS}%`);
      return tick;
    }));
    if (first) {
      replace(this.main, this.frame);
      document.title = `${trace.name || "?"} · CozeLoop`;
    }
    this.rows.refresh(this.shown.length);
    const index = this.shown.findIndex((node) => node.row === chosen);
    if (first) {
      this.rows.choose(index < 0 ? 0 : index);
      this.rows.box.focus({ preventScroll: true });
    } else if (index >= 0) this.rows.choose(index, true);
    else this.rows.chosen = -1;
  }

  summary(trace, more) {
    const failed = trace.status === "error";
    const fact = (label, value, kind) => h("div", { class: "fact" }, h("dt", null, label), h("dd", { class: kind }, value));
    return [
      h("div", { class: "head" }, api.exported ? null : h("a", { href: "#/" }, `← ${say("back")}`), h("h1", { class: "name" }, trace.name || "?"),
        h("code", { class: "quiet" }, trace.trace_id), copyButton(trace.trace_id, say("traceId"))),
      h("dl", { class: "facts" },
        fact(say("status"), failed ? `✕ ${say("error")}` : `✓ ${say("ok")}`, failed ? "bad" : "good"), fact(say("started"), moment(trace.started_at_micros)),
        fact(say("duration"), duration(trace.duration_micros)), fact(say("spans"), number(trace.spans)),
        trace.errors ? fact(say("errors"), number(trace.errors), "bad") : null, fact(say("inputTokens"), number(trace.input_tokens)),
        fact(say("outputTokens"), number(trace.output_tokens)), trace.warnings ? fact(say("warnings"), `⚠ ${number(trace.warnings)}`, "warn") : null,
        trace.services && trace.services.length ? fact(say("services"), trace.services.join(", ")) : null),
      more ? h("p", { class: "warn" }, say("tooMany", number(this.order.length))) : null,
      trace.has_root ? null : h("p", { class: "warn" }, say("root")),
      h("details", null, h("summary", null, say("sums")), this.sums()),
    ];
  }

  sums() {
    const types = new Map();
    for (const { span, length, failed } of this.order) {
      const sum = types.get(span.span_type) || { count: 0, errors: 0, total: 0, longest: 0, input: 0, output: 0 };
      sum.count += 1;
      sum.errors += failed ? 1 : 0;
      sum.total += length;
      sum.longest = Math.max(sum.longest, length);
      sum.input += Number(span.input_tokens) || 0;
      sum.output += Number(span.output_tokens) || 0;
      types.set(span.span_type, sum);
    }
    const rows = [...types].sort((a, b) => b[1].total - a[1].total).slice(0, 100);
    return h("table", { class: "sum" }, h("thead", null, h("tr", null, ["type", "count", "errors", "total", "longest", "inputTokens", "outputTokens"].map((key) => h("th", { scope: "col" }, say(key))))),
      h("tbody", null, rows.map(([type, sum]) => h("tr", null, h("th", { scope: "row" }, type || "?"), h("td", null, number(sum.count)), h("td", null, number(sum.errors)),
        h("td", null, duration(sum.total)), h("td", null, duration(sum.longest)), h("td", null, number(sum.input)), h("td", null, number(sum.output))))));
  }

  draw(index) {
    const node = this.shown[index];
    const { span } = node;
    const open = !this.folded.has(node.row);
    const fold = h("span", { class: "fold", "aria-hidden": "true" }, node.children.length ? (open ? "▾" : "▸") : "");
    if (node.children.length) fold.addEventListener("click", (event) => { event.stopPropagation(); this.fold(index, open); });
    const name = h("span", { class: "cell tree" }, fold, node.failed ? h("span", { class: "bad", "aria-hidden": "true" }, "✕ ") : null, span.dropped || span.warnings.length ? h("span", { class: "warn", "aria-hidden": "true" }, "⚠ ") : null,
      h("span", { class: "name" }, span.span_name || "?"), " ", h("span", { class: "kind" }, span.span_type || "?"));
    name.style.setProperty("padding-left", `${Math.min(node.depth, DEEPEST) * INDENT}px`);
    const bar = h("span", { class: `bar ${node.failed ? "failed" : ""} ${span.dropped ? "dropped" : ""}` });
    const percent = (micros) => Math.max(0, Math.min(100, (100 * micros) / this.scale.length));
    const left = percent(node.start - this.scale.start);
    bar.style.setProperty("left", `${left}%`);
    const right = percent(node.start + node.length - this.scale.start);
    bar.style.setProperty("width", `${Math.max(0, right - left)}%`);
    const words = h("span", { class: "length" }, duration(node.length), span.tokens ? h("span", { class: "quiet" }, ` ${number(span.tokens)} tok`) : null);
    if (right < 65) words.style.setProperty("left", `calc(${right}% + 5px)`); // after the bar, else before it, else in it
    else if (left > 35) words.style.setProperty("right", `calc(${100 - left}% + 5px)`);
    else {
      words.classList.add("inside");
      words.style.setProperty("right", `calc(${100 - right}% + 5px)`);
    }
    const told = [node.failed && say("error"), span.warnings.length && say("warnings")].filter(Boolean).join(", ");
    return h("div", { role: "treeitem", "aria-level": node.depth + 1, "aria-expanded": node.children.length ? String(open) : null },
      name, h("span", { class: "cell line" }, bar, words), told ? h("span", { class: "unseen" }, told) : null);
  }

  open(index) {
    const node = this.shown[index];
    if (this.current === node.row) return;
    this.current = node.row;
    if (!api.exported) history.replaceState(null, "", `#/trace/${encodeURIComponent(this.id)}?row=${node.row}`);
    clearTimeout(this.waiting); // who walks through many spans wants only the last
    this.waiting = setTimeout(() => showDetails(this.pane, node, this.scale.start), 60);
  }

  async renew() {
    const node = this.order.find((one) => one.row === this.current);
    if (node) await renewDetails(this.pane, node, this.scale.start);
  }

  fail(error) {
    const text = error.status === 0 ? say("again") : sayFailure(error);
    if (this.trouble.textContent !== text) replace(this.trouble, h("p", { class: "error" }, text));
  }

  key(event, index) {
    const node = this.shown[index];
    if (!node) return false;
    const open = node.children.length && !this.folded.has(node.row);
    if (event.key === "ArrowRight") {
      if (open) this.rows.choose(index + 1);
      else if (node.children.length) this.fold(index, false);
    } else if (event.key === "ArrowLeft") {
      if (open) this.fold(index, true);
      else if (node.parent) this.rows.choose(this.shown.indexOf(node.parent));
    } else if (event.key === "/") this.finder.focus();
    else return false;
    return true;
  }

  fold(index, folded) {
    const { row } = this.shown[index];
    if (folded) this.folded.add(row);
    else this.folded.delete(row);
    this.reshow(this.shown[this.rows.chosen] || this.shown[index]);
  }

  foldAll(folded) {
    this.folded = new Set(folded ? this.order.filter((node) => node.children.length).map((node) => node.row) : []);
    this.reshow(this.shown[Math.max(0, this.rows.chosen)]);
  }

  // Draw the rows again, and keep the choice; when it has been folded away, choose the one that hides it.
  reshow(chosen) {
    this.shown = visible(this.roots, this.folded);
    this.rows.refresh(this.shown.length);
    const places = new Map(this.shown.map((node, index) => [node, index]));
    let node = chosen;
    while (node && !places.has(node)) node = node.parent;
    if (node) this.rows.choose(places.get(node));
  }

  find(step) {
    const query = this.finder.value.trim().toLowerCase();
    const hits = query ? this.order.filter(({ span }) => [span.span_name, span.span_type, span.span_id, span.error].some((text) => String(text || "").toLowerCase().includes(query))) : [];
    if (!hits.length) {
      this.found.textContent = query ? say("notFound") : "";
      return;
    }
    const at = hits.findIndex((node) => node.row === this.current);
    const next = at < 0 ? 0 : (at + step + hits.length) % hits.length;
    for (let above = hits[next].parent; above; above = above.parent) this.folded.delete(above.row);
    this.reshow(hits[next]);
    this.found.textContent = say("found", next + 1, hits.length);
  }
}
