// The list of queries: filters, search, and rows of one height of which only those in sight are there.

import { VERDICTS, letterOf, page, queries, search, verdictName } from "./data.js";
import { byId, counted, el, icon, whole } from "./dom.js";
import { badge, strip, tally } from "./marks.js";
import { NO_FILTERS, change, state } from "./state.js";

const ROW = 62; // pixels; page.css says the same
const BEYOND = 8; // rows that are there above and below what is in sight

const OUTCOMES_OF_QUERY = {
  mixed: ["Mixed", "some candidates right, some wrong", ({ right, scored }) => right > 0 && right < scored],
  all: ["All right", "every scored candidate is right", ({ right, scored }) => scored > 0 && right === scored],
  none: ["None right", "no candidate is right", ({ right, scored }) => scored > 0 && right === 0],
  late: [
    "Later right",
    "the first candidate is not right, another is",
    ({ right, verdicts }) => right > 0 && verdicts[0] !== "pass",
  ],
  cut: ["Cut off", "a candidate met the token limit", ({ cutOff }) => cutOff.size > 0],
};
const DIFFER = ["Runs differ", "right in one of the runs, never in another"];

const ORDERS = {
  dataset: "in order",
  fewest: "fewest right",
  most: "most right",
  mixed: "most mixed",
};

let found = null; // what the search has found, null where nothing is searched for
let searched = ""; // the text and the runs that `found` is of
let listed = queries;

// --- Which queries are listed ---

const shownRuns = () => [...state.runs].sort((a, b) => a - b);

const entriesOf = (query) =>
  shownRuns()
    .map((run) => query.runs[run])
    .filter(Boolean);

function differs(query) {
  const entries = entriesOf(query).filter(({ scored }) => scored > 0);
  return entries.some(({ right }) => right > 0) && entries.some(({ right }) => right === 0);
}

function isListed(query) {
  const { split, verdict, outcome, right } = state.filters;
  const entries = entriesOf(query);
  return (
    entries.length > 0 &&
    (split === null || query.split === split) &&
    (verdict === null || entries.some(({ verdicts }) => verdicts.includes(verdict))) &&
    (outcome === null || (outcome === "differ" ? differs(query) : entries.some(OUTCOMES_OF_QUERY[outcome][2]))) &&
    (right === null || right.every(({ run, count }) => hasRight(query.runs[run], count))) &&
    (found === null || found.has(query))
  );
}

const hasRight = (entry, count) => Boolean(entry) && entry.scored > 0 && entry.right === count;

// The share of right candidates over the runs shown; what has none scored comes last.
function shareRight(query) {
  const entries = entriesOf(query);
  const scored = entries.reduce((sum, entry) => sum + entry.scored, 0);
  return scored ? entries.reduce((sum, entry) => sum + entry.right, 0) / scored : null;
}

function ordered(list) {
  const key = {
    dataset: null,
    fewest: (share) => share ?? 2,
    most: (share) => -(share ?? -1),
    mixed: (share) => (share === null ? 2 : Math.abs(share - 0.5)),
  }[state.filters.order];
  if (!key) return list;
  const keys = new Map(list.map((query) => [query, key(shareRight(query))]));
  return list.toSorted((a, b) => keys.get(a) - keys.get(b) || a.at - b.at);
}

// --- Searching ---

async function searchAgain() {
  const { text } = state.filters;
  const wanted = JSON.stringify([text, shownRuns()]);
  if (wanted === searched) return;
  searched = wanted;
  if (!text) {
    found = null;
    return;
  }
  byId("count").textContent = "Searching …";
  const result = await search(text, shownRuns(), () => searched !== wanted);
  if (result === null) return;
  found = result;
  drawList();
}

// --- Filters ---

const filter = (news) => change({ filters: { ...state.filters, ...news } });

function select(label, options, value, chosen) {
  const node = el(
    "select",
    { "aria-label": label, onchange: () => chosen(node.value) },
    options.map(([each, text]) => el("option", { value: each, selected: each === value }, text)),
  );
  return node;
}

const ANY = "";

function drawFilters() {
  const { split, verdict, outcome, right, order } = state.filters;
  const present = VERDICTS.filter((name) => page.runs.some(({ summary }) => summary.overall.verdicts[name]));
  const outcomes = Object.entries(OUTCOMES_OF_QUERY).map(([name, [label, title]]) => [name, label, title]);
  if (page.runs.length > 1) outcomes.push(["differ", ...DIFFER]);
  byId("filters").replaceChildren(
    el(
      "div",
      { class: "chips", role: "group", "aria-label": "Queries by outcome" },
      outcomes.map(([name, label, title]) =>
        el(
          "button",
          {
            type: "button",
            class: "chip",
            title,
            "aria-pressed": String(outcome === name),
            onclick: () => filter({ outcome: outcome === name ? null : name }),
          },
          label,
        ),
      ),
      right && chipOfRight(right),
    ),
    el(
      "div",
      { class: "selects" },
      page.splits.length > 1 &&
        select(
          "Split",
          [[ANY, "all splits"], ...page.splits.map((name) => [`=${name}`, name])],
          split === null ? ANY : `=${split}`,
          (value) => filter({ split: value === ANY ? null : value.slice(1) }),
        ),
      select(
        "Verdict",
        [[ANY, "any verdict"], ...present.map((name) => [name, `has ${verdictName(name)}`])],
        verdict ?? ANY,
        (value) => filter({ verdict: value === ANY ? null : value }),
      ),
      select("Order", Object.entries(ORDERS), order, (value) => filter({ order: value })),
    ),
  );
}

function chipOfRight(right) {
  const parts = right.map(({ run, count }) => `${page.runs.length > 1 ? `${letterOf(run)}: ` : ""}${count} right`);
  return el(
    "button",
    {
      type: "button",
      class: "chip",
      "aria-pressed": "true",
      title: "Remove this filter",
      onclick: () => filter({ right: null }),
    },
    parts.join(", "),
    icon("close"),
  );
}

// --- Rows ---

export function drawQueries() {
  drawFilters();
  if (byId("search").value !== state.filters.text) byId("search").value = state.filters.text;
  searchAgain();
  drawList();
}

function drawList() {
  listed = ordered(queries.filter(isListed));
  const all = queries.length;
  const shown =
    listed.length === all
      ? counted(all, "query", "queries")
      : `${whole(listed.length)} of ${counted(all, "query", "queries")}`;
  byId("count").textContent = shown;
  byId("clear").hidden = Object.keys(NO_FILTERS).every((name) => state.filters[name] === NO_FILTERS[name]);
  byId("rows").style.height = `${listed.length * ROW}px`;
  byId("none").hidden = listed.length > 0;
  drawRows();
}

// Those of the rows that are in sight, or nearly.
export function drawRows() {
  const list = byId("list");
  const first = Math.max(0, Math.floor(list.scrollTop / ROW) - BEYOND);
  const end = Math.min(listed.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW) + BEYOND);
  const rows = [];
  for (let at = first; at < end; at++) rows.push(row(listed[at], at));
  byId("rows").replaceChildren(...rows);
  const chosen = listed.indexOf(state.query);
  if (chosen >= first && chosen < end) list.setAttribute("aria-activedescendant", `row-${chosen}`);
  else list.removeAttribute("aria-activedescendant");
}

function row(query, at) {
  const runs = shownRuns().filter((run) => query.runs[run]);
  const said = runs
    .map((run) => `${page.runs.length > 1 ? `run ${letterOf(run)}: ` : ""}${tally(query.runs[run])}`)
    .join("; ");
  return el(
    "a",
    {
      class: "row",
      id: `row-${at}`,
      role: "option",
      tabindex: -1,
      href: `#q/${encodeURIComponent(query.id)}`,
      "aria-selected": String(query === state.query),
      "aria-posinset": at + 1,
      "aria-setsize": listed.length,
      "aria-label": `${query.title}, ${query.split}, ${said}`,
      style: { top: `${at * ROW}px` },
    },
    el("span", { class: "title", dir: "auto" }, query.title),
    el(
      "span",
      { class: "marks" },
      runs.map((run) =>
        el("span", { class: "marks-of-run" }, page.runs.length > 1 && badge(run), strip(query.runs[run])),
      ),
      page.splits.length > 1 && el("span", { class: "split" }, query.split),
    ),
  );
}

// --- Going from one to the next ---

export function placeOf(query) {
  const at = listed.indexOf(query);
  return {
    at,
    of: listed.length,
    before: listed[at - 1] ?? null,
    after: at < 0 ? (listed[0] ?? null) : (listed[at + 1] ?? null),
  };
}

export function step(by) {
  const at = listed.indexOf(state.query);
  const next = at < 0 ? listed[0] : listed[at + by];
  if (!next) return;
  change({ view: "queries", query: next, candidate: null });
  reveal(next);
}

// Scroll the list so that a query's row is in sight.
export function reveal(query) {
  const at = listed.indexOf(query);
  const list = byId("list");
  if (at < 0) return;
  if (at * ROW < list.scrollTop) list.scrollTop = at * ROW;
  else if ((at + 1) * ROW > list.scrollTop + list.clientHeight) list.scrollTop = (at + 1) * ROW - list.clientHeight;
  drawRows();
}

export function startList() {
  byId("list").addEventListener("scroll", drawRows, { passive: true });
  byId("list").addEventListener("keydown", (event) => {
    const by = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    step(by);
  });
  byId("search").addEventListener("input", () => filter({ text: byId("search").value }));
  byId("clear").addEventListener("click", () => filter(NO_FILTERS));
  new ResizeObserver(drawRows).observe(byId("list"));
}
