// The spans of a trace as a forest. Parents may be missing, name themselves or make circles: each span has one place.

// What lists say of a span; the whole spans of an exported trace are brought to it.
export function brief(span) {
  if (!("tags_string" in span)) return span;
  const long = span.tags_long || {};
  const [input, output] = [Number(long.input_tokens) || 0, Number(long.output_tokens) || 0];
  return {
    ...span, error: (span.tags_string || {}).error || "", whole: span, input_tokens: input, output_tokens: output,
    tokens: Number(long.tokens) || input + output, input: undefined, output: undefined,
  };
}

export function plant(briefs) {
  const nodes = briefs.map((span) => ({
    span, row: span.row, start: Number(span.started_at_micros) || 0, length: Math.max(0, Number(span.duration_micros) || 0),
    children: [], parent: null, depth: 0, size: 0, orphan: false, circle: false, failed: Boolean(span.status_code || span.error),
  }));
  nodes.sort((a, b) => a.start - b.start || a.row - b.row);
  const byId = new Map();
  for (const node of nodes) {
    const other = byId.get(node.span.span_id);
    if (!other || (other.span.dropped && !node.span.dropped)) byId.set(node.span.span_id, node);
  }
  const roots = [];
  for (const node of nodes) {
    const { parent_id: parentId } = node.span;
    const parent = parentId && parentId !== "0" ? byId.get(parentId) : null;
    if (parent && parent !== node) {
      node.parent = parent;
      parent.children.push(node);
    } else {
      node.orphan = Boolean(parentId) && !/^0+$/.test(parentId) && parent !== node;
      node.circle = parent === node;
      roots.push(node);
    }
  }
  const order = [];
  const seen = new Set();
  const walk = (root) => {
    const waiting = [root];
    while (waiting.length) {
      const node = waiting.pop();
      if (seen.has(node)) continue;
      seen.add(node);
      order.push(node);
      node.depth = node.parent ? node.parent.depth + 1 : 0;
      for (let i = node.children.length - 1; i >= 0; i -= 1) waiting.push(node.children[i]);
    }
  };
  roots.forEach(walk);
  for (const node of nodes) { // of a circle, the earliest becomes a root
    if (seen.has(node)) continue;
    node.parent.children = node.parent.children.filter((child) => child !== node);
    node.parent = null;
    node.circle = true;
    roots.push(node);
    walk(node);
  }
  for (let i = order.length - 1; i >= 0; i -= 1) if (order[i].parent) order[i].parent.size += order[i].size + 1;
  return { roots, order, byId };
}

// Where the picture begins and ends, in µs. Spans with impossible times, which the platform drops, do not stretch it.
export function extent(order) {
  let shown = order.filter((node) => !node.span.dropped);
  if (!shown.length) shown = order;
  let [start, end] = [Infinity, -Infinity];
  for (const node of shown) {
    start = Math.min(start, node.start);
    end = Math.max(end, node.start + node.length);
  }
  return start < Infinity ? { start, length: Math.max(1, end - start) } : { start: 0, length: 1 };
}

export function visible(roots, folded) {
  const rows = [];
  const waiting = [...roots].reverse();
  while (waiting.length) {
    const node = waiting.pop();
    rows.push(node);
    if (!folded.has(node.row)) for (let i = node.children.length - 1; i >= 0; i -= 1) waiting.push(node.children[i]);
  }
  return rows;
}

// Time in a span that none of its children covers.
export function ownTime(node) {
  let [covered, reached] = [0, node.start];
  const end = node.start + node.length;
  for (const child of node.children) { // sorted by start
    const [from, to] = [Math.max(child.start, reached), Math.min(child.start + child.length, end)];
    if (to > from) {
      covered += to - from;
      reached = to;
    }
  }
  return node.length - covered;
}
