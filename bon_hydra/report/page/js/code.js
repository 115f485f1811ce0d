// Programs, JSON and tool calls as elements, highlighted.

import { el } from "./dom.js";

const { hljs } = libraries;

const LONGEST_HIGHLIGHTED = 50_000;

// What highlight.js calls while it reads a program; builds elements where its own emitter writes HTML.
class Emitter {
  constructor() {
    this.root = document.createDocumentFragment();
    this.path = [this.root];
  }
  addText(text) {
    this.path.at(-1).append(text);
  }
  openNode(scope) {
    const span = el("span", { class: `t-${scope.split(".")[0].replaceAll(/[^a-z-]/g, "-")}` });
    this.path.at(-1).append(span);
    this.path.push(span);
  }
  closeNode() {
    if (this.path.length > 1) this.path.pop();
  }
  startScope(scope) {
    this.openNode(scope);
  }
  endScope() {
    this.closeNode();
  }
  __addSublanguage(emitter) {
    this.path.at(-1).append(emitter.root);
  }
  finalize() {}
  toHTML() {
    return "";
  }
}
hljs.configure({ __emitter: Emitter });

export function code(text, language) {
  const shown = text.replace(/\n$/, "");
  const block = el("code", {});
  if (hljs.getLanguage(language) && shown.length <= LONGEST_HIGHLIGHTED) {
    block.append(hljs.highlight(shown, { language, ignoreIllegals: true })._emitter.root);
  } else block.append(shown);
  return el("pre", { class: "code", dir: "ltr", tabindex: 0 }, block);
}

// --- JSON and tool calls ---

// A number as it is written, which JavaScript's own may not hold.
class Exact {
  constructor(text) {
    this.text = text;
  }
}

// The value that a JSON text stands for, or undefined.
export function parsed(text) {
  if (typeof text !== "string") return undefined;
  try {
    return JSON.parse(text, (_, value, context) =>
      typeof value === "number" && context?.source ? new Exact(context.source) : value,
    );
  } catch {
    return undefined;
  }
}

export const isObject = (value) => typeof value === "object" && value !== null && !(value instanceof Exact);

export function written(value, indent = "") {
  if (value instanceof Exact) return value.text;
  if (!isObject(value)) return JSON.stringify(value);
  const inner = `${indent}  `;
  const parts = Array.isArray(value)
    ? value.map((each) => written(each, inner))
    : Object.entries(value).map(([key, each]) => `${JSON.stringify(key)}: ${written(each, inner)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  const line = `${open}${parts.join(", ")}${close}`;
  if (line.length <= 72 && !line.includes("\n")) return line;
  return `${open}\n${parts.map((part) => inner + part).join(",\n")}\n${indent}${close}`;
}

export const json = (value) => code(written(value), "json");

// The calls that a parsed value lists, as {name, args}, or null where it isn't a list of calls.
export function callsOf(value) {
  if (!Array.isArray(value)) return null;
  const calls = value.map((each) => (isObject(each?.function) ? each.function : each));
  if (!calls.every((call) => isObject(call) && typeof call.name === "string")) return null;
  return calls.map(({ name, arguments: args }) => ({
    name,
    args: typeof args === "string" ? (parsed(args) ?? args) : args,
  }));
}

export function calls(list) {
  if (!list.length) return el("p", { class: "quiet" }, "No call.");
  return el(
    "ol",
    { class: "calls" },
    list.map(({ name, args }) => el("li", { class: "call", dir: "ltr" }, el("b", {}, name), callArguments(args))),
  );
}

function callArguments(args) {
  if (!isObject(args) || Array.isArray(args)) return args === undefined || args === null ? null : json(args);
  const pairs = Object.entries(args);
  if (!pairs.length) return el("span", { class: "quiet" }, "()");
  return el(
    "dl",
    {},
    pairs.map(([key, value]) => [el("dt", {}, key), el("dd", {}, highlighted(value))]),
  );
}

const highlighted = (value) => {
  const block = code(written(value), "json");
  return el("code", {}, [...block.firstChild.childNodes]);
};

// The functions that a query offers, from their definitions as JSON.
export function tools(value) {
  if (!Array.isArray(value)) return json(value);
  return el(
    "div",
    { class: "tools" },
    value.map((each) => tool(isObject(each?.function) ? each.function : each)),
  );
}

function tool(definition) {
  if (!isObject(definition) || typeof definition.name !== "string") return json(definition);
  const { name, description, parameters } = definition;
  const properties = isObject(parameters?.properties) ? Object.entries(parameters.properties) : [];
  const required = new Set(Array.isArray(parameters?.required) ? parameters.required : []);
  return el(
    "section",
    { class: "tool" },
    el("b", {}, name),
    typeof description === "string" && el("p", { dir: "auto" }, description),
    el(
      "dl",
      {},
      properties.map(([key, about]) => parameter(key, about, required.has(key))),
    ),
  );
}

function parameter(key, about, required) {
  const { type, description, enum: values } = isObject(about) ? about : {};
  const kind = Array.isArray(values)
    ? values.map((value) => written(value)).join(" | ")
    : type && written(type).replaceAll('"', "");
  return [
    el("dt", {}, key, required && el("span", { class: "required", title: "required" }, "*")),
    el(
      "dd",
      {},
      kind && el("code", {}, kind),
      typeof description === "string" && el("span", { dir: "auto" }, ` ${description}`),
    ),
  ];
}
