// The view of figures: what the runs are, their rates, and the plots. Every number comes from the summary.

import { dispose } from "./charts.js";
import { letterOf, page } from "./data.js";
import { counted, el, folded } from "./dom.js";
import { badge, colorOf, sectionName, swatch, symbolOf } from "./marks.js";
import { PLOTS } from "./plots.js";
import { ratesTable } from "./rates.js";
import { change, state, toggled } from "./state.js";

const FEW_DIFFERENCES = 6;

// --- Which lines are drawn ---

const placeOfSplit = (split) => (split === null ? 0 : page.splits.indexOf(split) + 1);
const markOf = (place) => ({ color: colorOf(place), symbol: symbolOf(place) });

// A series for each run and each split that are chosen: `drawn` is what the page holds of it, `rates` its summary.
function chosenSeries() {
  const runs = page.runs.map((run, at) => ({ run, at })).filter(({ at }) => state.runs.has(at));
  const splits = [null, ...page.splits].filter((split) => state.sections.has(split));
  const manyRuns = page.runs.length > 1;
  return runs.flatMap(({ run, at }) =>
    splits
      .filter((split) => split === null || Object.hasOwn(run.splits, split))
      .map((split) => {
        const place = placeOfSplit(split);
        const ofRun = manyRuns ? `${letterOf(at)} · ${splits.length > 1 ? "" : run.label}` : "";
        return {
          name: ofRun + (splits.length > 1 || !manyRuns ? sectionName(split) : ""),
          run: at,
          split,
          color: colorOf(manyRuns ? at : place),
          symbol: symbolOf(manyRuns && splits.length === 1 ? at : place),
          rates: split === null ? run.summary.overall : run.summary.splits[split],
          drawn: split === null ? run.overall : run.splits[split],
        };
      }),
  );
}

export function drawFigures(into) {
  dispose(into);
  const series = chosenSeries();
  into.replaceChildren(
    ...heads(),
    sectionChoice(),
    ...(series.length
      ? [
          ratesTable(series),
          el(
            "div",
            { class: "cards" },
            PLOTS.map((draw) => draw(series)),
          ),
        ]
      : [el("p", { class: "empty" }, "Nothing is chosen: choose a run and a split above.")]),
  );
}

function sectionChoice() {
  if (page.splits.length < 2) return el("div", { hidden: true });
  const chip = (split) =>
    el(
      "button",
      {
        type: "button",
        class: "chip",
        "aria-pressed": String(state.sections.has(split)),
        onclick: () => change({ sections: toggled(state.sections, split) }),
      },
      page.runs.length === 1 && swatch(markOf(placeOfSplit(split))),
      sectionName(split),
    );
  return el(
    "div",
    { class: "chips", role: "group", "aria-label": "Splits that are drawn" },
    el("span", { class: "label" }, "Splits"),
    [null, ...page.splits].map(chip),
  );
}

// --- What the runs are ---

function heads() {
  const one = page.runs.length === 1;
  return [
    el("div", { class: one ? "heads one" : "heads" }, page.runs.map(head)),
    page.differences.length > 0 && whatDiffers(),
  ].filter(Boolean);
}

function head({ label, summary: { metadata } }, at) {
  const facts = [
    metadata.model,
    metadata.num_candidates && `N = ${metadata.num_candidates}`,
    metadata.temperature && `T = ${metadata.temperature}`,
    metadata.dataset,
    (metadata.started_at ?? metadata.generated_at ?? "").slice(0, 10),
  ];
  const notes = (metadata.notes ?? "").trim();
  const status = metadata.status && metadata.status !== "complete" && metadata.status.replace("_", " ");
  return el(
    "section",
    { class: state.runs.has(at) ? "head" : "head off" },
    el(
      "h2",
      {},
      page.runs.length > 1 && badge(at),
      el("span", {}, label),
      status && el("span", { class: "status" }, status),
    ),
    el(
      "p",
      { class: "facts" },
      facts.filter(Boolean).map((fact) => el("span", {}, fact)),
    ),
    notes && el("p", { class: "notes", dir: "auto" }, notes),
  );
}

function whatDiffers() {
  const table = () =>
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        { class: "data differences" },
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            el("th", {}, "setting"),
            page.runs.map((_, at) => el("th", {}, badge(at))),
          ),
        ),
        el(
          "tbody",
          {},
          page.differences.map(([key, values]) =>
            el(
              "tr",
              {},
              el("th", { scope: "row" }, el("code", {}, key)),
              values.map((value) => el("td", { dir: "auto" }, value ?? "–")),
            ),
          ),
        ),
      ),
    );
  const count = page.differences.length;
  const part = folded(`What differs: ${counted(count, "setting")}`, table, { class: "panel" });
  if (count <= FEW_DIFFERENCES) part.open = true;
  return part;
}
