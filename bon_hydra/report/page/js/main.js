// Starts the page, and ties keys, buttons and the address to what is looked at.

import { page } from "./data.js";
import { byId, el, icon } from "./dom.js";
import { drawFigures } from "./figures.js";
import { badge, colorOf } from "./marks.js";
import { drawQueries, reveal, startList, step } from "./queries.js";
import { drawQuery, markFound } from "./query.js";
import { drawRuns } from "./runs.js";
import { change, fromAddress, onChange, state, toggled } from "./state.js";

const TITLES = { figures: "Figures", queries: "Queries", runs: "Runs" };

function draw(before) {
  const { view } = state;
  for (const name of Object.keys(TITLES)) {
    byId(`view-${name}`).hidden = name !== view;
    byId(`to-${name}`).toggleAttribute("aria-current", name === view);
  }
  document.body.dataset.view = view;
  drawRunChoice();
  if (view === "figures") drawFigures(byId("view-figures"));
  if (view === "queries") {
    drawQueries();
    drawQuery();
    if (before?.query !== state.query && state.query) reveal(state.query);
    if (before && before.filters.text !== state.filters.text) markFound();
  }
  if (view === "runs") drawRuns(byId("view-runs"));
  if (before && before.view !== view) scrollTo(0, 0);
}

function drawRunChoice() {
  const bar = byId("run-choice");
  bar.hidden = page.runs.length < 2 || state.view === "runs";
  bar.replaceChildren(
    el("span", { class: "label" }, "Runs"),
    ...page.runs.map((run, at) =>
      el(
        "button",
        {
          type: "button",
          class: "chip run-chip",
          "aria-pressed": String(state.runs.has(at)),
          title: run.label,
          style: { "--color": colorOf(at) },
          onclick: () => change({ runs: toggled(state.runs, at) }),
        },
        badge(at),
        el("span", {}, run.label),
      ),
    ),
  );
}

// --- Light and dark ---

const THEMES = { auto: "as the system", light: "light", dark: "dark" };

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  byId("theme").replaceChildren(icon(`theme-${theme}`));
  byId("theme").title = `Colours: ${THEMES[theme]}`;
  byId("theme").setAttribute("aria-label", `Colours: ${THEMES[theme]}. Change`);
  try {
    localStorage.setItem("bon-theme", theme);
  } catch {
    // Pages of files may have no storage: then the choice lasts as long as the page.
  }
}

function storedTheme() {
  try {
    return localStorage.getItem("bon-theme");
  } catch {
    return null;
  }
}

function nextTheme() {
  const themes = Object.keys(THEMES);
  setTheme(themes[(themes.indexOf(document.documentElement.dataset.theme) + 1) % themes.length]);
  redrawPlots();
}

const redrawPlots = () => state.view === "figures" && drawFigures(byId("view-figures"));

// --- Keys ---

const KEYS = {
  j: ["next query", () => step(1)],
  k: ["previous query", () => step(-1)],
  l: ["next candidate", () => toCandidate(1)],
  h: ["previous candidate", () => toCandidate(-1)],
  "/": ["search", toSearch],
  f: ["figures", () => change({ view: "figures" })],
  q: ["queries", () => change({ view: "queries" })],
  r: ["runs", () => change({ view: "runs" })],
  m: [
    "mixed queries only",
    () =>
      change({
        view: "queries",
        filters: { ...state.filters, outcome: state.filters.outcome === "mixed" ? null : "mixed" },
      }),
  ],
  s: ["side by side or stacked", () => change({ stacked: !state.stacked })],
  x: ["rendered or source", () => change({ source: !state.source })],
  t: ["light or dark", nextTheme],
  "?": ["these keys", () => byId("help").showModal()],
};

// Scrolls by one candidate's width.
function toCandidate(by) {
  const card = byId("query").querySelector(".candidate");
  if (card) byId("query").scrollBy({ left: by * (card.offsetWidth + 12), behavior: "smooth" });
}

function toSearch() {
  change({ view: "queries" });
  byId("search").focus();
  byId("search").select();
}

function onKey(event) {
  if (event.ctrlKey || event.metaKey || event.altKey || byId("help").open) return;
  const typing = event.target.matches?.("input, select, textarea");
  if (event.key === "Escape" && typing) event.target.blur();
  else if (event.key === "Escape" && state.view === "queries" && state.query) change({ query: null, candidate: null });
  else if (!typing && Object.hasOwn(KEYS, event.key)) {
    event.preventDefault();
    KEYS[event.key][1]();
  }
}

function drawHelp() {
  byId("keys").replaceChildren(
    ...Object.entries(KEYS).map(([key, [does]]) => el("div", {}, el("dt", {}, el("kbd", {}, key)), el("dd", {}, does))),
  );
}

// --- Start ---

function start() {
  setTheme(Object.hasOwn(THEMES, storedTheme() ?? "") ? storedTheme() : "auto");
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redrawPlots);
  for (const name of Object.keys(TITLES))
    byId(`to-${name}`).addEventListener("click", (event) => {
      event.preventDefault();
      change({ view: name });
    });
  byId("theme").addEventListener("click", nextTheme);
  byId("to-help").addEventListener("click", () => byId("help").showModal());
  document.addEventListener("keydown", onKey);
  addEventListener("popstate", () => change(fromAddress(location.hash)));
  drawHelp();
  startList();
  onChange(draw);
  Object.assign(state, fromAddress(location.hash));
  draw(null);
  document.documentElement.dataset.ready = performance.now().toFixed(); // milliseconds since it was opened
}

start();
