// Texts of models and data sets as elements: Markdown, math, code, tool calls. Each goes from its parser's tokens to
// elements made here; no link, image or HTML of theirs becomes one, so that a text can do nothing but be read.

import { calls, callsOf, code, isObject, json, parsed, written } from "./code.js";
import { el, folded, icon } from "./dom.js";

const { MarkdownIt, katex, tex } = libraries;

const LONGEST_FORMULA = 4000;
const LONGEST_MARKDOWN = 100_000;
const MOST_FORMULAS = 800; // of one text; what comes after them is shown as its source
const FOLDED_CHARACTERS = 6000; // a longer text shows its beginning first

// Math in a line is the plug-in's matter; its displays, which swallow what follows a closing $$, are read here.
const markdown = new MarkdownIt({ html: false, breaks: true }).use(tex, { delimiters: "all", render: String });
markdown.block.ruler.disable(["math_block_dollar", "math_block_bracket"]);
markdown.block.ruler.after("blockquote", "display_block", displayBlock, {
  alt: ["paragraph", "reference", "blockquote", "list"],
});
markdown.inline.ruler.before("escape", "display_inline", displayInline);

const ENVIRONMENT = String.raw`\\begin\{((?:align|equation|gather|multline|cases|array|[bpv]?matrix)\*?)\}`;
const OPENING = new RegExp(String.raw`\$\$|\\\[|${ENVIRONMENT}`, "y");
const CLOSING = { $$: "$$", "\\[": "\\]" };

// The display that opens at a place of a text: what opens and closes it, and whether these are LaTeX themselves.
function openingAt(text, at) {
  OPENING.lastIndex = at;
  const found = OPENING.exec(text);
  if (!found) return null;
  const [open, environment] = found;
  return { open, close: environment ? `\\end{${environment}}` : CLOSING[open], isLatex: Boolean(environment) };
}

const contentOf = ({ open, close, isLatex }, inner) => (isLatex ? open + inner + close : inner);

// A display that begins a line and may go on over several; what follows it on its last line is a paragraph.
function displayBlock(block, start, end, silent) {
  const lineAt = (line) => block.src.slice(block.bMarks[line] + block.tShift[line], block.eMarks[line]);
  const display = openingAt(lineAt(start), 0);
  if (!display) return false;
  const lines = [];
  for (let line = start; line < end; line++) {
    if (line > start && block.sCount[line] < block.blkIndent && !block.isEmpty(line)) return false; // out of its list
    const text = line === start ? lineAt(line).slice(display.open.length) : lineAt(line);
    const closes = text.indexOf(display.close);
    if (closes < 0) {
      lines.push(text);
      continue;
    }
    if (silent) return true;
    block.line = line + 1;
    const token = block.push("math_block", "math", 0);
    token.content = contentOf(display, [...lines, text.slice(0, closes)].join("\n"));
    const rest = text.slice(closes + display.close.length).trim();
    if (rest) paragraph(block, rest, line);
    return true;
  }
  return false;
}

function paragraph(block, text, line) {
  block.push("paragraph_open", "p", 1);
  const inline = block.push("inline", "", 0);
  Object.assign(inline, { content: text, map: [line, line + 1], children: [] });
  block.push("paragraph_close", "p", -1);
}

// A display in the middle of a line, or a bare \boxed{…}, as models write them.
function displayInline(inline, silent) {
  const { src, pos } = inline;
  const boxed = src.startsWith("\\boxed{", pos) ? closingBrace(src, pos + 6) : 0;
  const display = boxed ? null : openingAt(src, pos);
  const closes = display ? src.indexOf(display.close, pos + display.open.length) : -1;
  if (!boxed && closes < 0) return false;
  if (!silent) {
    const token = inline.push(boxed ? "math_inline" : "math_display", "math", 0);
    token.content = boxed ? src.slice(pos, boxed) : contentOf(display, src.slice(pos + display.open.length, closes));
  }
  inline.pos = boxed || closes + display.close.length;
  return true;
}

// Where the group that opens at `start` has closed; 0 where it doesn't.
function closingBrace(text, start) {
  let depth = 0;
  for (let at = start; at < text.length; at++) {
    if (text[at] === "\\") at++;
    else if (text[at] === "{") depth++;
    else if (text[at] === "}" && --depth === 0) return at + 1;
  }
  return 0;
}

// --- Markdown ---

const BLOCKS = new Set(["p", "ul", "ol", "li", "blockquote", "table", "thead", "tbody", "tr", "th", "td"]);
const INLINES = new Set(["strong", "em", "s"]);

export function rendered(text) {
  const body = el("div", { class: "text" });
  if (text.length > LONGEST_MARKDOWN) body.append(source(text));
  else build(markdown.parse(text, {}), body, { formulas: 0 });
  return body;
}

// The text as it came, to the character.
export const source = (text) => el("pre", { class: "source", dir: "auto" }, text);

function build(tokens, into, seen) {
  const open = [into];
  for (const token of tokens) {
    if (token.nesting < 0) {
      if (token.type === "link_close") open.at(-1).after(...address(open.at(-1)));
      open.pop();
      continue;
    }
    const node = token.nesting > 0 ? container(token, open.at(-1)) : leaf(token, seen);
    if (node !== open.at(-1)) open.at(-1).append(node);
    if (token.nesting > 0) open.push(node);
  }
}

function container(token, parent) {
  if (token.hidden) return parent; // the paragraph of a tight list's item
  if (/^h[1-6]$/.test(token.tag)) {
    return el("p", { class: "heading", role: "heading", "aria-level": 5, dir: "auto" });
  }
  if (token.type === "link_open") return el("span", { class: "link", title: token.attrGet("href") });
  if (INLINES.has(token.tag)) return el(token.tag);
  const node = el(BLOCKS.has(token.tag) ? token.tag : "div", { dir: "auto" });
  if (token.tag === "ol" && token.attrGet("start") !== null) node.start = Number(token.attrGet("start"));
  const align = /^text-align:(left|right|center)$/.exec(token.attrGet("style") ?? "");
  if (align) node.style.textAlign = align[1];
  return node;
}

// A link's address as text, where its own text is another.
function address(link) {
  return link.title && link.title !== link.textContent ? [el("span", { class: "url" }, ` (${link.title})`)] : [];
}

function leaf(token, seen) {
  switch (token.type) {
    case "inline": {
      const fragment = document.createDocumentFragment();
      build(token.children, fragment, seen);
      return fragment;
    }
    case "softbreak":
    case "hardbreak":
      return el("br");
    case "hr":
      return el("hr");
    case "code_inline":
      return el("code", {}, token.content);
    case "code_block":
      return code(token.content, "");
    case "fence":
      return code(token.content, token.info.trim().split(/[\s{]/)[0].toLowerCase());
    case "image":
      return el("span", { class: "url" }, `[image: ${token.content}] (${token.attrGet("src")})`);
    case "math_inline":
      return limited(token.content, false, seen);
    case "math_block":
    case "math_display":
      return limited(token.content, true, seen);
    default:
      return document.createTextNode(token.content);
  }
}

const limited = (text, display, seen) => (seen.formulas++ < MOST_FORMULAS ? math(text, display) : formula(text));

// --- Math ---

export function math(text, display = false) {
  const node = el("span", { class: display ? "math display" : "math", dir: "ltr" });
  if (text.length > LONGEST_FORMULA) return formula(text);
  try {
    katex.render(text, node, { displayMode: display, strict: "ignore", trust: refused, maxSize: 20, maxExpand: 300 });
    return node;
  } catch {
    return formula(text); // not LaTeX, or LaTeX that does not end, or that wants more than to be read
  }
}

// Links, images and attributes in LaTeX: the whole formula is shown as its source.
function refused({ command }) {
  throw new TypeError(`${command} is not rendered`);
}

// Whether a text without delimiters is math and not words.
function isMath(text) {
  return (
    text.length < 200 &&
    !/[$\n]|\\[([]|\p{L}{4}/u.test(text.replace(/\\(text|mathrm|operatorname)\{[^{}]*\}|\\[a-zA-Z]+/g, " "))
  );
}

const formula = (text) => el("code", { class: "formula", dir: "ltr" }, text.trim());

// --- A reference, a message, an answer ---

export function reference(text, verifier = "") {
  const value = parsed(text);
  const list = callsOf(value);
  if (list && verifier.startsWith("tool_calls")) return calls(list);
  if (isObject(value)) return json(value);
  if (/^(math|choice)/.test(verifier) && isMath(text)) return el("p", {}, math(text));
  return long(text, rendered);
}

// A short answer as a verifier extracted it, in a line.
export function answer(text, verifier = "") {
  const list = verifier.startsWith("tool_calls") && callsOf(parsed(text));
  if (list) return el("code", {}, list.map(inLine).join(", ") || "no call");
  if (verifier.startsWith("math") && isMath(text)) return math(text);
  return el("code", { dir: "auto" }, text);
}

function inLine({ name, args }) {
  const pairs = isObject(args) ? Object.entries(args) : [];
  return `${name}(${pairs.map(([key, value]) => `${key}=${written(value)}`).join(", ")})`;
}

// A text's beginning, and a button for the rest of it where it is long.
export function long(text, show) {
  if (text.length <= FOLDED_CHARACTERS * 1.25) return show(text);
  const cut = text.lastIndexOf("\n", FOLDED_CHARACTERS);
  const beginning = text.slice(0, cut > FOLDED_CHARACTERS / 2 ? cut : FOLDED_CHARACTERS);
  const whole = el("div", { class: "long" }, show(beginning));
  const label = `Show all ${text.length.toLocaleString("en")} characters`;
  whole.append(
    el("button", { type: "button", class: "more", onclick: () => whole.replaceChildren(show(text)) }, label),
  );
  return whole;
}

// What a model said: its thinking folded away, then the answer.
export function said(text, { asSource, language = "" }) {
  const [thinking, spoken] = thoughts(text);
  const show = asSource ? source : language && !text.includes("```") ? (each) => code(each, language) : rendered;
  return [thinking && thought(thinking, asSource), spoken.trim() && long(asSource ? spoken : spoken.trim(), show)];
}

export function thought(text, asSource) {
  const words = text.split(/\s+/).filter(Boolean).length;
  return folded(
    [icon("thought"), ` Thinking · ${words.toLocaleString("en")} words`],
    () => long(text.trim(), asSource ? source : rendered),
    { class: "thought" },
  );
}

// What stands up to the last </think>, where verifiers stop reading, and what comes after it.
function thoughts(text) {
  const end = text.lastIndexOf("</think>");
  if (end >= 0) return [text.slice(0, end).replace(/^\s*<think>/, ""), text.slice(end + "</think>".length)];
  return /^\s*<think>/.test(text) ? [text.replace(/^\s*<think>/, ""), ""] : ["", text];
}
