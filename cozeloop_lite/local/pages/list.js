// The list of traces: searched, read page by page as one scrolls, and growing by itself.

import * as api from "./api.js";
import { choice, copyButton, h, replace } from "./dom.js";
import { Rows } from "./rows.js";
import { duration, moment, number, say, sayFailure } from "./text.js";

const PAGE = 200; // traces of the first answer
const PAGES = 1000; // of those that follow
const BELOW = 2000; // traces kept below those in sight while new ones appear above
const FIELDS = ["tag", "trace_id", "log_id", "user_id"];
const LABELS = { tag: "tag", trace_id: "traceId", log_id: "logId", user_id: "userId" };

export async function listPage(main, asked, alive) {
  const view = new ListView(main, asked, alive);
  await view.read();
  await api.watch(alive, () => view.listen());
}

const SETTINGS = `export COZELOOP_API_BASE_URL=${location.origin}
export COZELOOP_WORKSPACE_ID=1
export COZELOOP_API_TOKEN=local  # or the token that the server printed when it started`;
const PROGRAM = `import cozeloop_lite

with cozeloop_lite.start_span("hello", "custom") as span:
    span.set_input("who is there?")
    span.set_output("the first trace")`;

function snippet(key, text) {
  return h("section", { class: "content" }, h("div", { class: "head" }, h("h2", null, say(key)), copyButton(text, say(key))), h("pre", null, text));
}

class ListView {
  constructor(main, asked, alive) {
    this.alive = alive;
    this.filters = Object.fromEntries([...asked].filter(([name]) => ["q", "status", "from", "to", ...FIELDS].includes(name)));
    this.forget();
    this.rows = new Rows({
      role: "grid", label: say("traces"), height: 36, draw: (index) => this.draw(index), onopen: (index) => { location.hash = address(this.traces[index]); }, onend: () => this.more(),
    });
    this.status = h("p", { class: "quiet", role: "status" });
    this.trouble = h("div", { role: "alert" });
    const columns = ["time", "name", "status", "duration", "spans", "tokens", "warnings"];
    const titles = h("div", { class: "titles", "aria-hidden": "true" }, columns.map((key) => h("span", { class: `cell ${key}` }, say(key))));
    this.first = h("div", { class: "first" });
    this.list = h("div", { class: "list" }, titles, this.rows.box);
    replace(main, h("h1", { class: "unseen" }, say("traces")), this.form(), this.status, this.trouble, this.first, this.list);
    document.title = say("title");
  }

  forget() {
    this.traces = [];
    this.known = new Map();
    this.next = null;
    this.since = "";
    this.behind = false; // so much has come that it must be read anew
  }

  form() {
    const input = (name, label, type = "search") => h("label", { class: "field" }, h("span", null, say(label)), h("input", {
      type, name, maxlength: 200, step: type === "datetime-local" ? "1" : null, placeholder: name === "q" ? say("searchHint") : name === "tag" ? "key=value" : null,
      value: type === "datetime-local" ? localTime(this.filters[name]) : this.filters[name] || "",
    }));
    const status = choice(say("status"), ["", "ok", "error", "warned"].map((key) => [key, say(key || "any")]), this.filters.status || "", () => this.submit());
    status.querySelector("select").name = "status";
    const beyond = [...FIELDS, "from", "to"].some((name) => this.filters[name]);
    const wide = h("div", { class: "field wide" }, input("q", "search"));
    this.fields = h("form", { class: "filters", role: "search", "aria-label": say("search") }, wide, status,
      h("details", { open: beyond }, h("summary", null, say("more")), h("div", { class: "filters" }, FIELDS.map((name) => input(name, LABELS[name])), input("from", "from", "datetime-local"), input("to", "to", "datetime-local"))),
      h("button", { type: "submit" }, say("search")), h("button", { type: "button", onclick: () => { this.fields.reset(); this.submit(); } }, say("clear")));
    this.fields.addEventListener("submit", (event) => { event.preventDefault(); this.submit(); });
    this.fields.addEventListener("input", (event) => {
      if (event.target.name === "status") return;
      clearTimeout(this.typing);
      this.typing = setTimeout(() => this.submit(), 400);
    });
    return this.fields;
  }

  // Ask anew. The address changes along, so that it can be kept and gone back to; the form stays as it is.
  submit() {
    clearTimeout(this.typing);
    const given = [...this.fields.querySelectorAll("[name]")].map((field) => [field.name, field.type === "datetime-local" ? micros(field.value) : field.value.trim()]);
    this.filters = Object.fromEntries(given.filter(([name, value]) => value && (name !== "tag" || /^[^=]+=/.test(value))));
    const query = new URLSearchParams(this.filters).toString();
    history.replaceState(null, "", query ? `#/?${query}` : "#/");
    this.read();
  }

  async read() {
    const filters = this.filters;
    try {
      const answer = await api.traces(filters, null, PAGE);
      if (filters !== this.filters || !this.alive()) return;
      this.forget();
      Object.assign(this, { next: answer.next, since: answer.since });
      this.rows.chosen = -1;
      this.rows.box.scrollTop = 0;
      this.add(answer.traces);
      this.trouble.replaceChildren();
      this.show();
    } catch (error) {
      if (filters === this.filters) this.fail(error);
    }
  }

  async more() {
    if (!this.next || this.reading) return;
    const filters = this.filters;
    this.reading = true;
    try {
      const answer = await api.traces(filters, this.next, PAGES);
      if (filters === this.filters) {
        this.next = answer.next;
        this.add(answer.traces);
      }
    } catch (error) {
      this.next = filters === this.filters && error.status ? null : this.next;
      this.fail(error);
      await new Promise((resolve) => setTimeout(resolve, 1000));
    } finally {
      this.reading = false;
    }
    if (filters === this.filters && this.alive()) this.show(0, true);
  }

  // Traces that are new have their place by number; those that are known are replaced.
  add(traces) {
    let added = 0;
    for (const trace of traces) {
      const place = this.known.get(trace.trace_id);
      if (place) Object.assign(place, trace);
      else {
        this.known.set(trace.trace_id, trace);
        this.traces.push(trace);
        added += 1;
      }
    }
    const place = this.traces.length - added;
    if (place && added && this.traces[place].number > this.traces[place - 1].number) this.traces.sort((a, b) => b.number - a.number);
    return added;
  }

  async listen() {
    const filters = this.filters;
    try {
      if (!this.since) return void (await this.read());
      const answer = await api.changes(this.since);
      if (filters !== this.filters) return;
      this.trouble.replaceChildren();
      if (answer.reset && serverOf(answer.since) === serverOf(this.since)) this.behind = true;
      else if (answer.reset) return void (await this.read());
      if (this.behind && !this.rows.box.scrollTop) return void (await this.read());
      if (this.behind || !answer.traces.length) {
        this.since = answer.since;
        if (this.behind) this.status.textContent = say("above"); // not read while someone reads below: all would move
        return;
      }
      const filtered = Object.keys(filters).length;
      const traces = filtered ? (await api.traces(filters, null, PAGE)).traces : answer.traces;
      if (filters !== this.filters || !this.alive()) return;
      this.since = answer.since; // only now: what failed is asked for again
      const chosen = this.traces[this.rows.chosen];
      const top = this.rows.box.scrollTop;
      const added = this.add(traces);
      if (chosen) this.rows.chosen = this.traces.indexOf(chosen);
      this.forgetBelow();
      this.show(filtered ? 0 : answer.traces.length);
      if (top > 0) this.rows.box.scrollTop = top + added * this.rows.height; // what one reads stays in its place
    } catch (error) {
      this.fail(error);
    }
  }

  // A page that stays open for days must not grow for days: what is far below is read again by who goes there.
  forgetBelow() {
    const kept = Math.max(this.rows.last(), this.rows.chosen) + BELOW;
    if (this.traces.length <= kept || this.reading) return;
    for (const { trace_id: id } of this.traces.splice(kept)) this.known.delete(id);
    this.next = this.traces[kept - 1].number;
  }

  fail(error) {
    const text = error.status === 0 ? say("again") : sayFailure(error);
    if (this.trouble.textContent !== text) replace(this.trouble, h("p", { class: "error" }, text));
  }

  show(fresh = 0, below = false) {
    const count = number(this.traces.length);
    const counted = say(this.next ? "tracesCountMore" : "tracesCount", count);
    if (!this.traces.length && this.next) replace(this.status, say("searching"));
    else if (this.traces.length) replace(this.status, fresh ? `${counted}; ${say("newTraces", fresh)}` : counted);
    else if (Object.keys(this.filters).length) replace(this.status, say("noneFound"));
    else replace(this.status, say("noTraces"));
    const first = !this.traces.length && !this.next && !Object.keys(this.filters).length;
    if (first !== Boolean(this.first.firstChild)) replace(this.first, first ? [snippet("pointHere", SETTINGS), snippet("begin", PROGRAM)] : null);
    this.list.hidden = first;
    if (below) this.rows.grow(this.traces.length);
    else this.rows.refresh(this.traces.length);
  }

  draw(index) {
    const trace = this.traces[index];
    const failed = trace.status === "error";
    const cell = (kind, ...content) => h("span", { role: "gridcell", class: `cell ${kind}` }, content);
    const [date, clock] = moment(trace.started_at_micros).split(" ");
    const services = (trace.services || []).slice(0, 3).join(", ");
    return h("div", { role: "row", "aria-rowindex": index + 1 },
      cell("time", h("span", { class: "date" }, date, clock ? " " : ""), clock),
      cell("name", h("a", { href: address(trace), tabindex: -1 }, trace.name || "?"), " ", h("span", { class: "kind" }, trace.type || "?"), services ? h("span", { class: "quiet" }, ` ${services}`) : null),
      cell("status", h("span", { class: failed ? "bad" : "good" }, failed ? `✕ ${say("error")}` : `✓ ${say("ok")}`)),
      cell("duration", duration(trace.duration_micros)), cell("spans", number(trace.spans)),
      cell("tokens", number(Number(trace.input_tokens) + Number(trace.output_tokens))),
      cell("warnings", trace.warnings || trace.dropped ? h("span", { class: "warn" }, `⚠ ${number(Math.max(trace.warnings, trace.dropped))}`) : ""));
  }
}

const serverOf = (since) => since.split("-")[0];

function address(trace) {
  return `#/trace/${encodeURIComponent(trace.trace_id)}`;
}

function micros(text) {
  const time = new Date(text).getTime();
  return Number.isFinite(time) && time > 0 ? String(time * 1000) : "";
}

function localTime(text) {
  return /^\d{1,16}$/.test(text || "") ? moment(text).slice(0, 19).replace(" ", "T") : "";
}
