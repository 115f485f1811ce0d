// A figure's card: a question, what is drawn, the drawing, and the same as a table.

import { el, folded } from "./dom.js";

export function card(title, about, parts, table) {
  return el(
    "section",
    { class: "card panel" },
    el("h3", {}, title),
    el("p", { class: "about" }, about),
    parts,
    table && folded("As a table", () => dataTable(table), { class: "as-table" }),
  );
}

export function dataTable({ head, rows }) {
  return el(
    "div",
    { class: "scroll" },
    el(
      "table",
      { class: "data" },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          head.map((name) => el("th", { scope: "col" }, name)),
        ),
      ),
      el(
        "tbody",
        {},
        rows.map(([first, ...rest]) =>
          el(
            "tr",
            {},
            el("th", { scope: "row" }, first),
            rest.map((cell) => el("td", {}, cell)),
          ),
        ),
      ),
    ),
  );
}

export const nothing = (why) => el("p", { class: "empty" }, why);
