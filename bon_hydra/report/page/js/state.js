// What is looked at: the view, the runs and splits chosen, the filters, the query. The address holds what a colleague
// needs to see the same: #figures, #queries, #runs, #q/ID, and #q/ID/B3 for candidate 3 of run B.

import { letterOf, page, queryOf } from "./data.js";

const VIEWS = ["figures", "queries", "runs"];
const MOST_SPLITS_AT_FIRST = 4;

const firstSections = page.runs.length === 1 && page.splits.length <= MOST_SPLITS_AT_FIRST ? page.splits : [];

export const NO_FILTERS = { text: "", split: null, verdict: null, outcome: null, right: null, order: "dataset" };

export const state = {
  view: "figures",
  runs: new Set(page.runs.keys()),
  sections: new Set(page.splits.length === 1 ? [null] : [null, ...firstSections]), // null: all splits together
  filters: NO_FILTERS,
  query: null,
  candidate: null, // {run, index} that the address names
  stacked: false,
  source: false, // texts as they came, not rendered
};

const listeners = [];

export const onChange = (listener) => listeners.push(listener);

export function change(news) {
  const before = { ...state };
  Object.assign(state, news);
  const address = addressOf(state);
  if (address !== location.hash) history[state.view === before.view ? "replaceState" : "pushState"](null, "", address);
  for (const listener of listeners) listener(before);
}

export function addressOf({ view, query, candidate }) {
  if (view !== "queries" || !query) return `#${view}`;
  const one = candidate ? `/${letterOf(candidate.run)}${candidate.index}` : "";
  return `#q/${encodeURIComponent(query.id)}${one}`;
}

// What an address names; a query's id alone is enough.
export function fromAddress(hash) {
  const [first, ...rest] = hash.slice(1).split("/");
  if (VIEWS.includes(first)) return { view: first, candidate: null, ...(first === "queries" && { query: null }) };
  const [id, one = ""] = first === "q" ? rest : [first, ...rest];
  const query = queryOf(decoded(id ?? ""));
  if (!query) return { view: "figures" };
  const [, letters, index] = /^([A-Z]+)(\d+)$/.exec(one) ?? [];
  const run = page.runs.findIndex((_, at) => letterOf(at) === letters);
  const candidate = query.runs[run] ? { run, index: Number(index) } : null;
  const runs = candidate ? new Set([...state.runs, run]) : state.runs;
  return { view: "queries", query, candidate, runs };
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}

export function toggled(set, value) {
  const other = new Set(set);
  if (!other.delete(value)) other.add(value);
  return other;
}
