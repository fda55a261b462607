// The prompts of the server: versions, labels, what changed between versions, and a place to try one out.

import * as api from "./api.js";
import { changesView } from "./diff.js";
import { choice, h, replace } from "./dom.js";
import { jsonView } from "./folding.js";
import { messagesView } from "./messages.js";
import { say } from "./text.js";

export async function promptsPage(main, asked) {
  const view = h("section", { class: "prompt", "aria-label": say("prompts"), tabindex: 0 });
  const nav = h("nav", { class: "left", "aria-label": say("prompts"), tabindex: 0 });
  const found = await api.prompts();
  replace(main, h("h1", { class: "unseen" }, say("prompts")), h("div", { class: "split" }, nav, view));
  if (!found.length) return void replace(main, h("h1", { class: "unseen" }, say("prompts")), h("p", { class: "quiet" }, say("noPrompts")), h("pre", null, "python -m cozeloop_lite serve --prompts FOLDER"));
  const key = asked === null ? found[0].prompt_key : asked;
  document.title = `${key} · CozeLoop`;
  replace(nav, h("ul", { class: "plain" }, found.map((one) => h("li", null,
    h("a", { href: `#/prompts/${encodeURIComponent(one.prompt_key)}`, "aria-current": one.prompt_key === key ? "page" : null }, one.prompt_key), " ",
    h("span", { class: "quiet" }, one.latest), " ", Object.keys(one.labels || {}).map((label) => [h("span", { class: "kind" }, label), " "])))));
  const prompt = await api.prompt(key);
  for (const one of prompt.versions) one.llm_config = Object.fromEntries(Object.entries(one.llm_config).filter(([, value]) => value !== null)); // what is not set
  const numbers = prompt.versions.map((one) => one.version);
  showVersion(view, prompt, numbers[0], numbers[1] || "");
}

function showVersion(view, prompt, number, other) {
  const options = prompt.versions.map((one) => [one.version, [one.version, ...one.labels, one.version === prompt.latest ? say("latest") : ""].filter(Boolean).join(" · ")]);
  const version = prompt.versions.find((one) => one.version === number);
  const compared = prompt.versions.find((one) => one.version === other);
  if (!version) return;
  const template = [version.template_type, ...version.labels].map((text) => [h("span", { class: "kind" }, text), " "]);
  replace(view, h("h2", { class: "name" }, prompt.prompt_key), h("div", { class: "filters" },
    choice(say("version"), options, number, (chosen) => showVersion(view, prompt, chosen, other)),
    choice(say("compare"), [["", say("none")], ...options.filter(([one]) => one !== number)], compared && other !== number ? other : "", (chosen) => showVersion(view, prompt, number, chosen))),
  h("section", { class: "content" }, h("h3", null, say("template"), " ", template), messagesView(version.messages, { tools: version.tools }, [])),
  h("section", { class: "content" }, h("h3", null, say("variables")), variables(version)),
  Object.keys(version.llm_config).length ? h("section", { class: "content" }, h("h3", null, say("options")), jsonView(version.llm_config, say("options"))) : null,
  compared && compared !== version ? h("section", { class: "content" }, h("h3", null, `${say("changed")}: ${compared.version} → ${version.version}`), changesView(wholeText(compared), wholeText(version), say("changed"))) : null,
  tryOut(prompt, version, compared !== version && compared));
}

function variables(version) {
  if (!version.variables.length) return h("p", { class: "quiet" }, say("none"));
  return h("table", null, h("tbody", null, version.variables.map((one) => h("tr", null, h("th", { scope: "row" }, one.key), h("td", null, one.type || ""), h("td", null, one.desc || "")))));
}

// All of a version that may change, as lines.
function wholeText(version) {
  const { messages, variables: defined, tools, llm_config: options } = version;
  return [messagesText(messages), ...defined.map((one) => `${say("variables")}: ${one.key} (${one.type}) ${one.desc || ""}`), ...(tools.length ? [`${say("tools")}: ${api.stringify(tools)}`] : []),
    ...(Object.keys(options).length ? [`${say("options")}: ${api.stringify(options)}`] : [])].join("\n");
}

function messagesText(messages) {
  return messages.map((message) => {
    const { role, content, ...rest } = message;
    const others = Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== null && value !== "" && !(Array.isArray(value) && !value.length)));
    return `[${role}]\n${typeof content === "string" ? content : api.stringify(content)}${Object.keys(others).length ? `\n${api.stringify(others)}` : ""}`;
  }).join("\n\n");
}

const given = new Map(); // what was typed, by prompt and variable: it stays from version to version

function tryOut(prompt, version, compared) {
  const result = h("div", { role: "status" });
  const kept = (one) => `${prompt.prompt_key}\n${one.key}`;
  const fields = version.variables.map((one) => {
    const field = h("textarea", { rows: one.type === "string" ? 2 : 3, placeholder: one.type === "string" ? "" : "JSON", value: given.get(kept(one)) || "" });
    field.addEventListener("input", () => given.set(kept(one), field.value));
    return { one, field };
  });
  const render = async () => {
    try {
      const values = {};
      for (const { one, field } of fields) if (field.value) values[one.key] = read(one, field.value);
      const messages = await api.render(prompt.prompt_key, version.version, values);
      const before = compared ? await api.render(prompt.prompt_key, compared.version, values).catch((error) => [{ role: say("error"), content: error.message }]) : null;
      replace(result, h("h4", null, say("rendered")), messagesView(messages, null, []),
        before ? [h("h4", null, say("renderedChange")), changesView(messagesText(before), messagesText(messages), say("renderedChange"))] : null);
    } catch (error) {
      replace(result, h("p", { class: "error" }, error.status === 0 ? say("gone") : error.message));
    }
  };
  const form = h("form", { class: "try" }, fields.map(({ one, field }) => h("label", { class: "field" }, h("span", null, `${one.key} (${one.type || "string"})`), field)), h("button", { type: "submit" }, say("render")));
  form.addEventListener("submit", (event) => { event.preventDefault(); render(); });
  return h("section", { class: "content", "aria-label": say("tryOut") }, h("h3", null, say("tryOut")), form, result);
}

function read(one, text) {
  if (!one.type || one.type === "string") return text;
  try {
    return api.parse(text);
  } catch (error) {
    throw new Error(say("jsonWanted", one.key, error.message));
  }
}
