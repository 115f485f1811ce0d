// Two runs query by query: a square of how many candidates are right in the one and in the other.

import { card } from "./cards.js";
import { letterOf, page } from "./data.js";
import { counted, el, whole } from "./dom.js";
import { badge, sectionName } from "./marks.js";

import { NO_FILTERS, change, state } from "./state.js";

// The figure for the first two of the chosen runs; null where there are no two that share queries.
export function pairCard() {
  const [a, b] = [...state.runs].sort((one, other) => one - other);
  const pair = page.pairs.find((each) => each.a === a && each.b === b);
  if (!pair) return null;
  const splits = [null, ...page.splits].filter((split) => state.sections.has(split));
  const squares = splits
    .map((split) => ({ split, section: split === null ? pair.overall : pair.splits[split] }))
    .filter(({ section }) => section)
    .map(({ split, section }) => square(pair, split, section, splits.length > 1 && sectionName(split)));
  return card(
    `Where does ${letterOf(b)} differ from ${letterOf(a)}?`,
    `The queries both have, by right candidates in ${letterOf(a)} (down) and in ${letterOf(b)} (across). Off the diagonal one run has more of them right; a cell opens its queries. Whether a difference is more than chance: bon compare.`,
    el("div", { class: "squares" }, squares),
  );
}

function square({ a, b }, split, { cells, shared, more, fewer, same }, name) {
  const most = Math.max(...cells.map(([, , count]) => count));
  const size = 1 + Math.max(...cells.map(([inA, inB]) => Math.max(inA, inB)));
  const steps = [...Array(size).keys()];
  const counts = new Map(cells.map(([inA, inB, count]) => [`${inA} ${inB}`, count]));
  const cell = (inA, inB) => {
    const count = counts.get(`${inA} ${inB}`);
    if (!count) return el("td", { class: inA === inB ? "same" : null });
    const right = [
      { run: a, count: inA },
      { run: b, count: inB },
    ];
    const label = `${counted(count, "query", "queries")} with ${inA} right in ${letterOf(a)}, ${inB} in ${letterOf(b)}`;
    const open = () =>
      change({ view: "queries", query: null, candidate: null, filters: { ...NO_FILTERS, split, right } });
    return el(
      "td",
      { class: inB > inA ? "gain" : inB < inA ? "loss" : "same" },
      el(
        "button",
        {
          type: "button",
          title: label,
          "aria-label": label,
          style: { "--share": `${8 + (34 * count) / most}%` },
          onclick: open,
        },
        whole(count),
      ),
    );
  };
  return el(
    "figure",
    {},
    name && el("figcaption", {}, name),
    el(
      "table",
      { class: "square" },
      el(
        "thead",
        {},
        el(
          "tr",
          {},
          el("td", {}),
          steps.map((step) => el("th", { scope: "col" }, step === 0 && badge(b), String(step))),
        ),
      ),
      el(
        "tbody",
        {},
        steps.map((inA) =>
          el(
            "tr",
            {},
            el("th", { scope: "row" }, inA === 0 && badge(a), String(inA)),
            steps.map((inB) => cell(inA, inB)),
          ),
        ),
      ),
    ),
    el(
      "p",
      { class: "about" },
      `${letterOf(b)} has more right in ${whole(more)}, fewer in ${whole(fewer)}, as many in ${whole(same)} of ${counted(shared, "query", "queries")}.`,
    ),
  );
}
