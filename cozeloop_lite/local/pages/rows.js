// Many rows of one height in a box that scrolls: only those in sight are in the document.
// One row is chosen; arrow keys, Home, End and the page keys walk, and screen readers hear of it by aria-activedescendant.

import { h, uniqueId } from "./dom.js";

const AROUND = 10; // rows above and below those in sight

export class Rows {
  // role, label: of the box. draw(index): the element of a row. onchoose(index), onopen(index), onkey(event, index): optional.
  constructor({ role, label, height, draw, onchoose, onopen, onkey, onend }) {
    Object.assign(this, { height, draw, onchoose, onopen, onkey, onend });
    this.count = 0;
    this.chosen = -1;
    this.id = uniqueId("row");
    this.drawn = new Map();
    const inner = role === "grid" ? "rowgroup" : "presentation";
    this.space = h("div", { class: "space", role: inner });
    this.box = h("div", { class: "rows", role, "aria-label": label, tabindex: 0 }, this.space);
    this.box.addEventListener("scroll", () => this.later());
    this.box.addEventListener("keydown", (event) => this.key(event));
    this.box.addEventListener("click", (event) => this.click(event));
    this.watcher = new ResizeObserver(() => this.later());
    this.watcher.observe(this.box);
  }

  // Draw everything anew: the rows are others, or have changed.
  refresh(count) {
    for (const element of this.drawn.values()) element.remove();
    this.drawn.clear();
    this.grow(count);
  }

  // There are more rows below; the others are as they were.
  grow(count) {
    this.count = count;
    this.space.style.setProperty("height", `${Math.max(count, 1) * this.height}px`);
    this.paint();
  }

  // The index after that of the last row in sight.
  last() {
    return Math.min(this.count, Math.ceil((this.box.scrollTop + this.box.clientHeight) / this.height));
  }

  later() {
    if (!this.waiting) this.waiting = requestAnimationFrame(() => { this.waiting = 0; this.paint(); });
  }

  paint() {
    const top = this.box.scrollTop;
    const first = Math.max(0, Math.floor(top / this.height) - AROUND);
    const last = Math.min(this.count, this.last() + AROUND);
    for (const [index, element] of this.drawn) {
      if (index < first || index >= last) {
        element.remove();
        this.drawn.delete(index);
      }
    }
    let before = null;
    for (let index = last - 1; index >= first; index -= 1) { // in the order of reading
      let element = this.drawn.get(index);
      if (!element) {
        element = this.draw(index);
        element.id = `${this.id}-${index}`;
        element.classList.add("row");
        element.style.setProperty("top", `${index * this.height}px`);
        element.setAttribute("aria-selected", String(index === this.chosen));
        this.space.insertBefore(element, before);
        this.drawn.set(index, element);
      }
      before = element;
    }
    if (this.drawn.has(this.chosen)) this.box.setAttribute("aria-activedescendant", `${this.id}-${this.chosen}`);
    else this.box.removeAttribute("aria-activedescendant");
    if (this.onend && last >= this.count) this.onend();
  }

  choose(index, quietly = false) {
    if (!this.count) return;
    const wanted = Math.max(0, Math.min(this.count - 1, index));
    const old = this.drawn.get(this.chosen);
    if (old) old.setAttribute("aria-selected", "false");
    this.chosen = wanted;
    const top = wanted * this.height;
    if (top < this.box.scrollTop) this.box.scrollTop = top;
    else if (top + this.height > this.box.scrollTop + this.box.clientHeight) this.box.scrollTop = top + this.height - this.box.clientHeight;
    this.paint();
    const element = this.drawn.get(wanted);
    if (element) element.setAttribute("aria-selected", "true");
    if (this.onchoose && !quietly) this.onchoose(wanted);
  }

  key(event) {
    if (event.target !== this.box || event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.box.clientHeight / this.height) - 1);
    const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -Infinity, End: Infinity };
    if (event.key in steps) this.choose(this.chosen < 0 ? (event.key === "End" ? Infinity : 0) : this.chosen + steps[event.key]);
    else if (event.key === "Enter" && this.chosen >= 0 && this.onopen) this.onopen(this.chosen);
    else if (!(this.onkey && this.onkey(event, this.chosen))) return;
    event.preventDefault();
  }

  click(event) {
    const element = event.target.closest(".row");
    if (!element || event.target.closest("a,button")) return;
    for (const [index, drawn] of this.drawn) if (drawn === element) this.choose(index);
  }
}
