// The view of runs: what each file says of itself, and what the page is made with.

import { code, parsed, written } from "./code.js";
import { page } from "./data.js";
import { el, folded, icon, isNumber, percent, significant, whole } from "./dom.js";
import { badge } from "./marks.js";

const FIRST = [
  "experiment",
  "status",
  "model",
  "num_candidates",
  "temperature",
  "splits",
  "total_records",
  "dataset",
  "dataset_revision",
];
const THEN = [
  "base_url",
  "identity",
  "started_at",
  "generated_at",
  "run_id",
  "config_file",
  "overrides",
  "sandbox_level",
  "bon_hydra_version",
  "git_commit",
  "schema_version",
];
const APART = new Set(["notes", "config_yaml", "packages", "totals"]);

export function drawRuns(into) {
  if (into.childElementCount) return;
  into.append(...page.runs.map(aRun), madeWith());
}

function aRun({ label, summary: { path, metadata } }, at) {
  const others = Object.keys(metadata).filter((key) => ![...FIRST, ...THEN].includes(key) && !APART.has(key));
  const known = [...FIRST, ...THEN, ...others].filter((key) => metadata[key]);
  const notes = (metadata.notes ?? "").trim();
  return el(
    "section",
    { class: "panel run" },
    el("h2", {}, page.runs.length > 1 && badge(at), label),
    el("p", { class: "path" }, path),
    notes && el("p", { class: "notes", dir: "auto" }, notes),
    el(
      "dl",
      { class: "facts-list" },
      known.map((key) => [el("dt", {}, key.replaceAll("_", " ")), el("dd", { dir: "auto" }, value(metadata[key]))]),
    ),
    metadata.totals && totals(metadata.totals),
    metadata.packages && folded("Packages", () => packages(metadata.packages)),
    metadata.config_yaml && folded("The whole configuration (resolved.yaml)", () => config(metadata.config_yaml)),
  );
}

// A list a line each; any other text as it is.
function value(text) {
  const list = text.startsWith("[") ? parsed(text) : undefined;
  if (!Array.isArray(list)) return text;
  return list.map((each) => (typeof each === "string" ? each : written(each))).join("\n") || "–";
}

const IN_PERCENT = new Set(["verification_rate"]);

function totals(text) {
  const figures = Object.entries(parsed(text) ?? {}).filter(([, figure]) => figure !== null);
  const figure = (name, value) => {
    const number = Number(value?.text ?? value);
    if (!isNumber(number)) return written(value).replaceAll(/["{}]/g, "");
    if (IN_PERCENT.has(name)) return percent(number);
    return Number.isInteger(number) ? whole(number) : significant(number);
  };
  return el(
    "div",
    { class: "totals" },
    figures.map(([name, value]) =>
      el("div", {}, el("b", {}, figure(name, value)), el("span", {}, name.replaceAll("_", " "))),
    ),
  );
}

function packages(text) {
  return el(
    "dl",
    { class: "facts-list" },
    Object.entries(parsed(text) ?? {}).map(([name, version]) => [el("dt", {}, name), el("dd", {}, String(version))]),
  );
}

function config(text) {
  const button = el(
    "button",
    {
      type: "button",
      class: "copy",
      onclick: () =>
        navigator.clipboard.writeText(text).then(
          () => button.classList.add("done"),
          () => {},
        ),
    },
    "Copy",
    icon("copy"),
  );
  return el("div", {}, button, code(text, "yaml"));
}

function madeWith() {
  const [about] = page.licenses.split("\n## ");
  const rows = about
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("| package"))
    .map((line) =>
      line
        .split("|")
        .slice(1, 4)
        .map((cell) => cell.trim()),
    );
  return el(
    "section",
    { class: "panel made" },
    el("h2", {}, "This page"),
    el("p", {}, `Written by bon_hydra ${page.version}. It holds all that it shows, and asks no network for anything.`),
    folded("Libraries in it", () =>
      el(
        "table",
        { class: "data" },
        el(
          "tbody",
          {},
          rows.map(([name, ...rest]) =>
            el(
              "tr",
              {},
              el("th", { scope: "row" }, name),
              rest.map((cell) => el("td", {}, cell)),
            ),
          ),
        ),
      ),
    ),
    folded("Their licences", () => el("pre", { class: "source" }, page.licenses)),
  );
}
