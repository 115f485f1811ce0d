// How runs, splits and verdicts look wherever they appear: never told apart by colour alone.

import { SCORED, VERDICTS, letterOf, page, verdictName } from "./data.js";
import { el, icon } from "./dom.js";

const SYMBOLS = ["circle", "rect", "triangle", "diamond", "pin", "arrow", "roundRect"]; // of ECharts, and of page.css
const COLORS = 8;

export const colorOf = (number) => `var(--series-${number % COLORS})`;
export const symbolOf = (number) => SYMBOLS[number % SYMBOLS.length];

// A series' line and mark, as its plots draw them.
export const swatch = ({ color, symbol = "rect", dashed = false }) =>
  el("i", { class: `swatch ${symbol}${dashed ? " dashed" : ""}`, style: { "--color": color }, "aria-hidden": "true" });

// The marks of series, with their names.
export function legend(items) {
  return el(
    "ul",
    { class: "legend" },
    items.map((item) => el("li", {}, swatch(item), item.name)),
  );
}

export const sectionName = (split) => split ?? "all splits";

// A run's letter on its colour.
export const badge = (run) =>
  el("b", { class: "badge", style: { "--color": colorOf(run) }, title: page.runs[run].label }, letterOf(run));

const known = (verdict) => (VERDICTS.includes(verdict) ? verdict : "unverifiable");

export const verdictClass = (verdict) => `v-${known(verdict)}`;

export const verdictIcon = (verdict) => icon(known(verdict));

export const verdictMark = (verdict) =>
  el("span", { class: `verdict ${verdictClass(verdict)}` }, verdictIcon(verdict), verdictName(verdict));

// All candidates of a query in a few pixels each.
const MOST_CELLS = 16;

export function strip({ verdicts, cutOff }) {
  const cells = verdicts
    .slice(0, MOST_CELLS)
    .map((verdict, at) =>
      el("i", { class: `cell ${verdictClass(verdict)}${cutOff.has(at) ? " cut" : ""}` }, verdictIcon(verdict)),
    );
  const more = verdicts.length - MOST_CELLS;
  return el("span", { class: "strip", "aria-hidden": "true" }, cells, more > 0 && el("small", {}, `+${more}`));
}

// "2 of 4 right", and how many of the candidates are not scored.
export function tally({ right, scored, verdicts }) {
  const unscored = verdicts.length - scored;
  return `${right} of ${scored} right${unscored ? `, ${unscored} not scored` : ""}`;
}

export const isScored = (verdict) => SCORED.has(verdict);
