// What the pages say, in English and Chinese, and how they write numbers, times and sizes.

const ENGLISH = {
  title: "CozeLoop traces", traces: "Traces", prompts: "Prompts", skip: "Skip to the content", language: "中文",
  search: "Search", searchHint: "in names, inputs, outputs, tags, errors", tag: "Tag", traceId: "Trace id",
  logId: "Log id", userId: "User", status: "Status", from: "From", to: "To", more: "More filters", clear: "Clear",
  any: "any", ok: "ok", error: "error", warned: "with warnings", time: "Time", name: "Name", duration: "Duration",
  spans: "Spans", tokens: "Tokens", warnings: "Warnings", tracesCount: ["{0} trace", "{0} traces"], tracesCountMore: "{0} traces, more below",
  noTraces: "No traces yet.", pointHere: "Tell a program where to send its spans:", begin: "Or begin with this one:", noneFound: "No trace is like that.", newTraces: ["{0} new or changed trace", "{0} new or changed traces"], above: "Many new traces: scroll to the top to see them.",
  searching: "Searching…", loading: "Loading…", failed: "That did not work: {0}", token: "The server wants its token: open the address with ?token=… that it printed when it started.",
  gone: "The server does not answer.", again: "The server does not answer; trying again.", back: "All traces", tree: "Spans as a tree, with a waterfall", find: "Find a span",
  found: "{0} of {1}", notFound: "none", details: "Details of the span", choose: "Choose a span to see what is in it.",
  errors: "Errors", inputTokens: "Tokens in", outputTokens: "Tokens out", started: "Started", services: "Services", sums: "Sums by type of span",
  noTrace: "There is no trace {0} here. It will be shown as soon as it arrives.", type: "Type", count: "Count", total: "Total time", longest: "Longest", root: "no root span yet", tooMany: "Only the first {0} spans are shown.",
  dropped: "The platform would have dropped this span.", orphan: "Its parent is not here.", cycle: "Its parents make a circle.",
  input: "Input", output: "Output", tags: "Tags", systemTags: "System tags", files: "Files", feedback: "Feedback", times: "Times and ids", raw: "Raw JSON",
  copy: "Copy", copied: "Copied", chat: "Messages", json: "JSON", text: "Text", view: "Show {0} as", empty: "nothing", loadAll: "Load all {0}",
  showMore: "Show more ({0} left)", findIn: "Find in {0}", matches: "{0} found", reasoning: "Reasoning", call: "Calls {0}", result: "Result of {0}",
  tools: "Tools", notUploaded: "not uploaded", image: "image", file: "file", offset: "After the start of the trace", ended: "Ended", received: "Received",
  spanId: "Span id", parentId: "Parent id", workspace: "Workspace", service: "Service", firstToken: "First token after", speed: "Output tokens per second",
  baggage: "Also on the parent: baggage.", finish: "Ended because: {0}",
  version: "Version", latest: "latest", variables: "Variables", template: "Template", compare: "Compared with", changed: "What changed",
  same: "Nothing changed.", tryOut: "Try it out", render: "Render", rendered: "Rendered", renderedChange: "What the change does with these values",
  noPrompts: "No prompts. The server reads them from a folder of JSON files:", jsonWanted: "{0} must be JSON: {1}", options: "Model options", none: "none",
  itself: "{0} by itself", children: ["{0} span inside", "{0} spans inside"], expandAll: "Expand all", collapseAll: "Collapse all", cut: "The program itself cut or left out: {0}",
};

const CHINESE = {
  title: "CozeLoop Trace", traces: "Trace", prompts: "Prompt", skip: "跳到内容", language: "English",
  search: "搜索", searchHint: "名称、输入、输出、Tag、错误", tag: "Tag", traceId: "Trace ID",
  logId: "Log ID", userId: "用户", status: "状态", from: "从", to: "到", more: "更多条件", clear: "清除",
  any: "全部", ok: "成功", error: "错误", warned: "有警告", time: "时间", name: "名称", duration: "耗时",
  spans: "Span 数", tokens: "Token", warnings: "警告", tracesCount: "{0} 条 Trace", tracesCountMore: "{0} 条 Trace，下面还有",
  noTraces: "还没有 Trace。", pointHere: "告诉程序把 Span 发到哪里：", begin: "或者从这个程序开始：", noneFound: "没有符合条件的 Trace。", newTraces: "{0} 条 Trace 有更新", above: "有许多新的 Trace：滚动到顶部即可查看。",
  searching: "搜索中…", loading: "加载中…", failed: "操作失败：{0}", token: "服务端需要令牌：请打开启动时打印的带 ?token=… 的地址。",
  gone: "服务端没有响应。", again: "服务端没有响应，正在重试。", back: "全部 Trace", tree: "Span 树与瀑布图", find: "查找 Span",
  found: "第 {0} 个，共 {1} 个", notFound: "没有", details: "Span 详情", choose: "选择一个 Span 查看内容。",
  errors: "错误", inputTokens: "输入 Token", outputTokens: "输出 Token", started: "开始", services: "服务", sums: "按 Span 类型汇总",
  noTrace: "这里没有 Trace {0}。它一到达就会显示。", type: "类型", count: "数量", total: "总耗时", longest: "最长", root: "根 Span 尚未到达", tooMany: "只显示前 {0} 个 Span。",
  dropped: "平台会丢弃这个 Span。", orphan: "父 Span 不在这里。", cycle: "父子关系成环。",
  input: "输入", output: "输出", tags: "Tag", systemTags: "系统 Tag", files: "文件", feedback: "反馈", times: "时间与 ID", raw: "原始 JSON",
  copy: "复制", copied: "已复制", chat: "消息", json: "JSON", text: "文本", view: "{0}的显示方式", empty: "空", loadAll: "加载全部 {0}",
  showMore: "显示更多（还有 {0}）", findIn: "在{0}中查找", matches: "找到 {0} 处", reasoning: "推理过程", call: "调用 {0}", result: "{0} 的结果",
  tools: "工具", notUploaded: "未上传", image: "图片", file: "文件", offset: "距 Trace 开始", ended: "结束", received: "收到",
  spanId: "Span ID", parentId: "父 Span ID", workspace: "空间", service: "服务", firstToken: "首 Token 耗时", speed: "每秒输出 Token",
  baggage: "父 Span 也有：Baggage。", finish: "结束原因：{0}",
  version: "版本", latest: "最新", variables: "变量", template: "模板", compare: "对比版本", changed: "变化",
  same: "没有变化。", tryOut: "试一试", render: "渲染", rendered: "渲染结果", renderedChange: "用这些值渲染后的变化",
  noPrompts: "没有 Prompt。服务端从存放 JSON 文件的文件夹读取 Prompt：", jsonWanted: "{0} 必须是 JSON：{1}", options: "模型参数", none: "无",
  itself: "自身 {0}", children: "内含 {0} 个 Span", expandAll: "全部展开", collapseAll: "全部折叠", cut: "程序自己截断或省略了：{0}",
};

// The server's warnings are English sentences; these are what they begin with or contain.
const WARNINGS = [
  [/^the platform would have dropped this span: /, "平台会丢弃这个 Span："],
  [/^the platform ignores unknown fields: /, "平台会忽略未知字段："],
  [/^system tags deleted, the platform does not know them: /, "平台不识别的系统 tag 已删除："],
  [/^more than (\d+) tags, (\d+) deleted: /, "tag 超过 $1 个，已删除 $2 个："],
  [/^system tag value cut to (\d+) bytes: /, "系统 tag 的值被截断为 $1 字节："],
  [/^tag value cut to (\d+) bytes: /, "tag 的值被截断为 $1 字节："],
  [/^(?:system )?tag key cut to (\d+) bytes: /, "tag 的键被截断为 $1 字节："],
  [/^(\w+) cut to (\d+) bytes/, "$1 被截断为 $2 字节"],
  [/^negative (\w+) stored as 0: /, "负的 $1 按 0 保存："],
  [/its workspace_id is empty/, "workspace_id 为空"],
  [/its (\w+) is not (\d+) lower-case hex digits, or all zero: /, "$1 不是 $2 位小写十六进制数，或全为零："],
  [/it has no start time/, "没有开始时间"],
  [/its start time is (.+) old$/, "开始时间在 $1 以前"],
  [/its start time is (.+) in the future$/, "开始时间在 $1 以后"],
];

let chinese = false;

export function chooseLanguage(tag) {
  chinese = /^zh/i.test(tag || "");
  document.documentElement.lang = chinese ? "zh-CN" : "en";
}

export function isChinese() {
  return chinese;
}

export function say(key, ...values) {
  const words = (chinese ? CHINESE : ENGLISH)[key];
  const text = Array.isArray(words) ? words[String(values[0]) === "1" ? 0 : 1] : words; // of one, of many
  return text.replace(/\{(\d)\}/g, (_, n) => String(values[n]));
}

export function sayFailure(error) {
  return error.status === 403 ? say("token") : error.status === 0 ? say("gone") : say("failed", error.message);
}

export function sayWarning(text) {
  return chinese ? WARNINGS.reduce((said, [pattern, words]) => said.replace(pattern, words), text) : text;
}

export function number(value) {
  return typeof value === "bigint" || Number.isFinite(value) ? value.toLocaleString("en-US") : String(value);
}

export function duration(micros) {
  const us = Number(micros) || 0;
  if (us < 1000) return `${us} µs`;
  if (us < 999500) return `${(us / 1e3).toPrecision(3)} ms`;
  if (us < 60e6) return `${(us / 1e6).toFixed(2)} s`;
  const seconds = Math.round(us / 1e6);
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  return `${(us / 3600e6).toFixed(1)} h`;
}

export function size(bytes) {
  if (bytes < 1024) return `${bytes} B`;
  return bytes < 1048576 ? `${(bytes / 1024).toFixed(1)} KB` : `${(bytes / 1048576).toFixed(1)} MB`;
}

// Local time; what no calendar holds is written as the number it is.
export function moment(micros) {
  const date = new Date(Number(micros) / 1000);
  if (!(Number(micros) > 0) || Number.isNaN(date.getTime())) return String(micros);
  const two = (n, width = 2) => String(n).padStart(width, "0");
  const clock = `${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}.${two(date.getMilliseconds(), 3)}`;
  return `${date.getFullYear()}-${two(date.getMonth() + 1)}-${two(date.getDate())} ${clock}`;
}
