// The frame of the pages: what the address names is what is shown.

import * as api from "./api.js";
import { h, replace } from "./dom.js";
import { listPage } from "./list.js";
import { promptsPage } from "./prompts.js";
import { chooseLanguage, isChinese, say, sayFailure } from "./text.js";
import { tracePage } from "./trace.js";

const KEPT = "cozeloop-language";
let shown = {};

function kept(value) {
  try {
    if (value) localStorage.setItem(KEPT, value);
    return localStorage.getItem(KEPT);
  } catch { // not allowed, as in some exported files
    return value || null;
  }
}

function decode(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

async function show() {
  const mine = {};
  shown = mine;
  const alive = () => shown === mine;
  const [path, query] = (location.hash.slice(1) || "/").split(/\?(.*)/s);
  const [, page, name] = path.split("/").map(decode);
  const asked = new URLSearchParams(query || "");
  const main = h("main", { id: "main", tabindex: -1, class: page === "prompts" ? "page-prompts" : null });
  const skip = h("a", { class: "skip", href: "#main", onclick: (event) => { event.preventDefault(); main.focus(); } }, say("skip"));
  const tab = (address, key, current) => h("a", { href: address, "aria-current": current ? "page" : null }, say(key));
  const switcher = h("button", { type: "button", class: "small", lang: isChinese() ? "en" : "zh-CN", onclick: () => {
    const next = isChinese() ? "en" : "zh";
    kept(next);
    chooseLanguage(next);
    show();
  } }, say("language"));
  const tabs = api.exported ? null : h("nav", { "aria-label": "CozeLoop" }, tab("#/", "traces", page !== "prompts"), tab("#/prompts", "prompts", page === "prompts"));
  replace(document.body, skip, h("header", { class: "bar-top" }, h("strong", null, "CozeLoop"), tabs, switcher), main);
  try {
    if (api.exported) await tracePage(main, api.exported.trace.trace_id, null, alive);
    else if (page === "trace") await tracePage(main, name || "", Number(asked.get("row")) || null, alive);
    else if (page === "prompts") await promptsPage(main, name === undefined ? null : name);
    else await listPage(main, asked, alive);
  } catch (error) {
    if (alive()) replace(main, h("h1", { class: "unseen" }, "CozeLoop"), h("p", { class: "error", role: "alert" }, sayFailure(error)));
  }
}

chooseLanguage(kept() || navigator.language);
if (!api.exported) window.addEventListener("hashchange", show);
show();
