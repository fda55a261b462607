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
  let [response, text] = [null, ""];
  try {
    response = await fetch(path, options);
    text = await response.text();
  } catch (error) { // nobody answers
    throw new Failure(0, error.message);
  }
  if (!response.ok) {
    let message = `HTTP ${response.status}`;
    try {
      message = JSON.parse(text).error || message;
    } catch { /* plain text */ }
    throw new Failure(response.status, message);
  }
  return text;
}

// Calls `look` once a second as long as the page is in sight and `alive`; less often when an answer takes long.
export async function watch(alive, look) {
  let pause = 1000; // ms
  while (alive()) {
    await new Promise((resolve) => setTimeout(resolve, pause));
    if (document.hidden || !alive()) continue;
    const began = performance.now();
    await look();
    pause = Math.max(1000, 4 * (performance.now() - began));
  }
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

export async function span(brief) {
  return exported ? brief.whole : parse(await ask(spanPath(brief)));
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
