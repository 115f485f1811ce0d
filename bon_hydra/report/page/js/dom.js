// Building elements and writing numbers. Text goes in as text: nothing in this page reads a string as HTML.

const SVG = "http://www.w3.org/2000/svg";

// An element: `class`, `style` (an object of CSS properties), `onEVENT` and attributes; children are nodes and texts,
// and null or false where there is none.
export function el(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name === "style") for (const [key, each] of Object.entries(value)) node.style.setProperty(key, each);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// One of the page's drawings (the symbols at its top), seen but not read aloud.
export function icon(name) {
  const svg = document.createElementNS(SVG, "svg");
  svg.setAttribute("class", `icon icon-${name}`);
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(SVG, "use");
  use.setAttribute("href", `#i-${name}`);
  svg.append(use);
  return svg;
}

export const byId = (id) => document.getElementById(id);

// A part that is folded away; what is in it is made when it is first opened.
export function folded(summary, make, properties = {}) {
  const details = el("details", properties, el("summary", {}, icon("chevron"), summary));
  details.addEventListener("toggle", () => details.open && details.childElementCount === 1 && details.append(make()));
  return details;
}

// A choice among few: `options` are [value, label]; `chosen` is called with the value.
export function choice(label, options, value, chosen) {
  const buttons = options.map(([each, text]) =>
    el("button", { type: "button", "aria-pressed": String(each === value), onclick: () => chosen(each) }, text),
  );
  return el("div", { class: "choice", role: "group", "aria-label": label }, buttons);
}

const THIN = "\u202f";
const NONE = "–";

const grouped = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });

export const percent = (rate, digits = 1) => (isNumber(rate) ? `${(100 * rate).toFixed(digits)}${THIN}%` : NONE);

export const interval = (ci95) => (ci95 ? `${(100 * ci95[0]).toFixed(1)}–${(100 * ci95[1]).toFixed(1)}` : NONE);

export const whole = (number) => (isNumber(number) ? grouped.format(number) : NONE);

export function dollars(amount) {
  if (!isNumber(amount)) return NONE;
  return amount === 0 || amount >= 0.01 ? `$${amount.toFixed(2)}` : `$${amount.toPrecision(2)}`;
}

export const seconds = (time) => (isNumber(time) ? `${significant(time)}${THIN}s` : NONE);

export const significant = (number) =>
  Math.abs(number) >= 100 ? whole(number) : String(Number(Number(number).toPrecision(3)));

export const counted = (number, noun, nouns = `${noun}s`) => `${whole(number)} ${number === 1 ? noun : nouns}`;

export const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
