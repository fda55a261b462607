// The server's read API, or, in an exported file, the one trace that lies in it.

// Numbers beyond 2**53 stay exact where the browser tells their digits.
export function parse(text) {
  try {
    return JSON.parse(text, (_, value, context) =>
      typeof value === "number" && !Number.isSafeInteger(value) && context && /^-?\d+$/.test(context.source) ? BigInt(context.source) : value);
  } catch (error) {
    if (error instanceof RangeError) return JSON.parse(text); // deeper than a reviver goes
    throw error;
  }
}

export function stringify(value, indent = 2) {
  const exact = (_, item) => (typeof item === "bigint" ? (JSON.rawJSON ? JSON.rawJSON(String(item)) : String(item)) : item);
  return JSON.stringify(value, exact, indent);
}

class Failure extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

async function ask(path, options) {
  const response = await fetch(path, options);
  const text = await response.text();
  if (!response.ok) {
    let message = `HTTP ${response.status}`;
    try {
      message = JSON.parse(text).error || message;
    } catch { /* plain text */ }
    throw new Failure(response.status, message);
  }
  return text;
}

const part = encodeURIComponent;
const island = document.getElementById("exported-trace");

export const exported = island ? parse(island.textContent) : null;

export async function traces(filters, before, limit) {
  const asked = new URLSearchParams({ limit });
  for (const [name, value] of Object.entries(filters)) for (const item of [value].flat()) if (item) asked.append(name, item);
  if (before) asked.set("before", before);
  return JSON.parse(await ask(`/api/traces?${asked}`));
}

export async function changes(since) {
  return JSON.parse(await ask(`/api/events?since=${part(since)}`));
}

export async function trace(id) {
  return exported || JSON.parse(await ask(`/api/traces/${part(id)}`));
}

const spans = new Map(); // the last few

export async function span(brief) {
  if (exported) return brief.whole;
  const path = spanPath(brief);
  if (!spans.has(path)) {
    if (spans.size > 30) spans.delete(spans.keys().next().value);
    const asked = ask(path).then(parse);
    spans.set(path, asked);
    asked.catch(() => spans.delete(path));
  }
  return spans.get(path);
}

export function spanText(brief, which) {
  return ask(`${spanPath(brief)}&part=${which}`);
}

export function fileText(file) {
  return ask(file.url);
}

function spanPath(brief) {
  return `/api/traces/${part(brief.trace_id)}/spans/${part(brief.span_id)}?row=${brief.row}`;
}

export async function prompts() {
  return JSON.parse(await ask("/api/prompts")).prompts;
}

export async function prompt(key) {
  return parse(await ask(`/api/prompts/${part(key)}`));
}

export async function render(key, version, variables) {
  const body = stringify({ version, variables });
  const headers = { "Content-Type": "application/json" };
  return parse(await ask(`/api/prompts/${part(key)}/render`, { method: "POST", headers, body })).messages;
}
