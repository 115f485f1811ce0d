// The view of figures: what the runs are, their rates, and the plots. Every number comes from the summary.

import { columns, curves, dispose, histograms, points, shares } from "./charts.js";
import { VERDICTS, letterOf, page, verdictName } from "./data.js";
import { counted, dollars, el, folded, interval, isNumber, percent, significant, whole } from "./dom.js";
import { badge, colorOf, isScored, legend, swatch, symbolOf, verdictMark } from "./marks.js";
import { NO_FILTERS, change, state, toggled } from "./state.js";

const FEW_DIFFERENCES = 6;
const METRICS = { pass_at_k: "pass@k", majority_at_k: "majority@k", best_at_k: "best@k" };

let chosenMetrics = new Set(["pass_at_k"]);

// --- Which lines are drawn ---

const sectionName = (split) => split ?? "all splits";
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
            [whatNBuys, firstWins, howManyRight, outcomes, lengths, times, costs].map((figure) => figure(series)),
          ),
        ]
      : [el("p", { class: "empty" }, "No run is chosen: choose one above.")]),
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

// --- Rates ---

function ratesTable(series) {
  const priced = series.some(({ rates }) => rates.cost_usd > 0);
  const head = ["", "verified", "first candidate", "any candidate", "queries", "candidates", "cut off", "not scored"];
  return el(
    "section",
    { class: "panel" },
    el("h3", {}, "How often is a candidate right?"),
    el(
      "p",
      { class: "about" },
      "Verified: of the scored candidates. First and any: of the queries. With 95 % intervals over queries.",
    ),
    el(
      "div",
      { class: "scroll" },
      el(
        "table",
        { class: "data rates" },
        el(
          "thead",
          {},
          el(
            "tr",
            {},
            [...head, ...(priced ? ["cost", "per verified"] : [])].map((name) => el("th", { scope: "col" }, name)),
          ),
        ),
        el(
          "tbody",
          {},
          series.map((each) => ratesRow(each, priced)),
        ),
      ),
    ),
    samples(),
  );
}

function ratesRow(each, priced) {
  const { name, color, rates } = each;
  const unscored = rates.candidates - rates.scored;
  const share = (count) => (count ? `${whole(count)} (${percent(count / rates.candidates)})` : "0");
  const of = (key) => el("td", {}, rateWithInterval(rates[key], rates.ci95[key], color));
  return el(
    "tr",
    {},
    el("th", { scope: "row" }, swatch(each), name),
    ["verification_rate", "first_candidate_rate", "any_candidate_rate"].map(of),
    el("td", {}, whole(rates.queries)),
    el("td", {}, whole(rates.candidates)),
    el("td", {}, share(rates.truncated)),
    el("td", {}, share(unscored)),
    priced && [el("td", {}, dollars(rates.cost_usd)), el("td", {}, dollars(perVerified(rates)))],
  );
}

const perVerified = ({ cost_usd: cost, verified }) => (isNumber(cost) && verified ? cost / verified : null);

function rateWithInterval(rate, ci95, color) {
  if (!isNumber(rate)) return "–";
  const [low, high] = ci95 ?? [rate, rate];
  const place = (value) => `${100 * value}%`;
  return el(
    "span",
    { class: "rate" },
    el("b", {}, percent(rate)),
    el("small", {}, interval(ci95)),
    el("i", {
      class: "range",
      "aria-hidden": "true",
      style: { "--low": place(low), "--high": place(high), "--at": place(rate), "--color": color },
    }),
  );
}

// Where not all candidates can be read here, that is said: the figures are over all of them.
function samples() {
  const parts = page.runs
    .map(({ summary: { overall }, shown: here }, at) => ({ overall, here, at }))
    .filter(({ overall, here }) => here.candidates < overall.candidates)
    .map(({ overall, here, at }) => {
      const whose = page.runs.length > 1 ? `${letterOf(at)}: ` : "";
      return `${whose}${whole(here.candidates)} of ${whole(overall.candidates)} candidates (${whole(here.queries)} of ${whole(overall.queries)} queries)`;
    });
  return parts.length
    ? el(
        "p",
        { class: "about sample" },
        `Figures are over all candidates. To read there is a sample, drawn by a hash of each query's id, the same in every run: ${parts.join("; ")}.`,
      )
    : null;
}

// --- The plots ---

function card(title, about, parts, table) {
  return el(
    "section",
    { class: "card panel" },
    el("h3", {}, title),
    el("p", { class: "about" }, about),
    parts,
    table && folded("As a table", () => dataTable(table), { class: "as-table" }),
  );
}

function dataTable({ head, rows }) {
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

const nothing = (why) => el("p", { class: "empty" }, why);

// The points of a curve such as pass@k.
const curvePoints = (curve, noun = "query") =>
  Object.entries(curve ?? {})
    .filter(([, { estimate }]) => isNumber(estimate))
    .map(([k, { estimate, ci95, queries }]) => ({
      x: Number(k),
      y: estimate,
      ci95,
      more: `${interval(ci95)}, ${counted(queries, noun, "queries")}`,
    }));

function whatNBuys(series) {
  const known = Object.keys(METRICS).filter((metric) => series.some(({ rates }) => curvePoints(rates[metric]).length));
  const metrics = known.filter((metric) => chosenMetrics.has(metric));
  const lines = series.flatMap((each) =>
    metrics.map((metric, at) => ({
      ...each,
      name: metrics.length > 1 ? `${each.name} · ${METRICS[metric]}` : each.name,
      dashed: at > 0,
      points: curvePoints(each.rates[metric]),
    })),
  );
  const xs = [...new Set(lines.flatMap((line) => line.points.map(({ x }) => x)))].sort((a, b) => a - b);
  const toggles = known.map((metric) =>
    el(
      "button",
      {
        type: "button",
        class: "chip",
        "aria-pressed": String(chosenMetrics.has(metric)),
        onclick: () => toggleMetric(metric),
      },
      METRICS[metric],
    ),
  );
  const drawing = xs.length
    ? [curves("pass@k and its like by k", { lines, xs, xName: "k" }), legend(lines)]
    : nothing("Nothing to draw: choose a curve, or a split that has scored candidates.");
  return card(
    "What do more candidates buy?",
    "pass@k: one of k candidates is right. majority@k: the answer most of them give is. Bands: 95 %.",
    [el("div", { class: "chips", role: "group", "aria-label": "Curves" }, toggles), drawing],
    {
      head: ["", ...xs.map((k) => `k = ${k}`)],
      rows: lines.map(({ name, points: own }) => [name, ...xs.map((k) => rateCell(own.find(({ x }) => x === k)))]),
    },
  );
}

const rateCell = (point) => (point ? [percent(point.y), el("small", {}, ` ${interval(point.ci95)}`)] : "–");

function toggleMetric(metric) {
  const metrics = toggled(chosenMetrics, metric);
  if (metrics.size) chosenMetrics = metrics;
  change({});
}

function firstWins(series) {
  const groups = series.map((each) => ({
    ...each,
    points: each.drawn.by_index
      .filter(({ rate }) => isNumber(rate))
      .map(({ index, rate, ci95, scored, verified }) => ({
        x: index,
        y: rate,
        ci95,
        more: `${whole(verified)} of ${whole(scored)}`,
      })),
  }));
  const xs = [...new Set(groups.flatMap((group) => group.points.map(({ x }) => x)))].sort((a, b) => a - b);
  return card(
    "Does the first win?",
    "Verified candidates by candidate index. Draws are alike, so only chance should tell one index from another.",
    xs.length
      ? [points("Rate by candidate index", { groups, xs, xName: "candidate" }), legend(groups)]
      : nothing("No candidate is scored."),
    {
      head: ["", ...xs.map(String)],
      rows: groups.map(({ name, points: own }) => [
        name,
        ...xs.map((index) => rateCell(own.find(({ x }) => x === index))),
      ]),
    },
  );
}

function howManyRight(series) {
  const most = Math.max(...series.map(({ drawn }) => drawn.right.length), 1);
  const xs = Array.from({ length: most }, (_, at) => at);
  const groups = series.map((each) => {
    const queries = each.drawn.right.reduce((sum, count) => sum + count, 0);
    const bars = xs
      .map((at) => each.drawn.right[at] ?? 0)
      .map((count) => ({ y: queries ? count / queries : 0, count, more: counted(count, "query", "queries") }));
    return { ...each, bars };
  });
  const read = ({ run, split }, right) =>
    change({
      view: "queries",
      query: null,
      candidate: null,
      filters: { ...NO_FILTERS, split, right: { run, count: right } },
    });
  return card(
    "How many of N are right?",
    "Queries by the number of their candidates that are right: none, some (mixed queries, the ones to learn from), or all. A column opens its queries.",
    [columns("Queries by right candidates", { groups, xs, xName: "right candidates", clicked: read }), legend(groups)],
    {
      head: ["", ...xs.map((right) => `${right} right`), "mixed", "none scored"],
      rows: groups.map((group) => [
        group.name,
        ...group.bars.map(({ count }, right) =>
          count
            ? el("button", { type: "button", class: "link-button", onclick: () => read(group, right) }, whole(count))
            : "0",
        ),
        whole(group.drawn.coverage.some),
        whole(group.drawn.coverage.unscored),
      ]),
    },
  );
}

function outcomes(series) {
  const names = VERDICTS.filter((verdict) => series.some(({ rates }) => rates.verdicts[verdict]));
  const rows = series.map((each) => ({
    name: each.name,
    mark: swatch(each),
    parts: names
      .filter((verdict) => each.rates.verdicts[verdict])
      .map((verdict) => ({
        name: verdictName(verdict),
        verdict,
        count: each.rates.verdicts[verdict],
        share: each.rates.verdicts[verdict] / each.rates.candidates,
        clicked: () =>
          change({
            view: "queries",
            query: null,
            candidate: null,
            filters: { ...NO_FILTERS, split: each.split, verdict },
          }),
      })),
  }));
  const key = names.map((verdict) =>
    el("li", {}, verdictMark(verdict), isScored(verdict) ? null : el("small", {}, " not scored")),
  );
  return card(
    "What became of the answers?",
    "All candidates by verdict. Those that are not scored never count as wrong. A part opens its queries.",
    [shares(rows), el("ul", { class: "legend verdicts" }, key)],
    {
      head: ["", ...names.map(verdictName), "cut off"],
      rows: series.map(({ name, rates }) => [
        name,
        ...names.map((verdict) => whole(rates.verdicts[verdict] ?? 0)),
        whole(rates.truncated),
      ]),
    },
  );
}

const OUTCOMES = { right: "right", wrong: "wrong", unscored: "not scored" };

function lengths(series) {
  return distributions(series, "completion_tokens", {
    title: "How long are the answers?",
    about: "Tokens of a completion: shares of the answers.",
    xName: "completion tokens",
    format: significant,
  });
}

function times(series) {
  return distributions(series, "latency_s", {
    title: "How long do they take?",
    about: "Seconds from request to response: shares of the answers. Candidates of one request share its time.",
    xName: "seconds",
    format: significant,
  });
}

function distributions(series, column, { title, about, xName, format }) {
  const known = series.filter(({ drawn }) => drawn[column]);
  if (!known.length) return card(title, about, nothing("The runs say nothing of it."));
  const shapes =
    known.length === 1 ? outcomeShapes(known[0], column) : known.map((each) => shapeOf(each, each.drawn[column]));
  return card(title, about, [histograms(xName, { shapes, format, xName }), legend(shapes)], {
    head: ["", "known", "10 %", "median", "90 %", "mean", "max"],
    rows: known.map(({ name, drawn: { [column]: all } }) => [
      name,
      whole(all.known),
      ...[all.p10, all.p50, all.p90, all.mean, all.max].map(format),
    ]),
  });
}

function shapeOf(each, { edges, counts, known }) {
  const sums = edges.slice(1).map((_, bin) => Object.values(counts).reduce((sum, of) => sum + of[bin], 0));
  return { ...each, edges, shares: sums.map((count) => count / known), more: sums.map(whole) };
}

// One series alone is told apart by what the verdict says.
function outcomeShapes(each, column) {
  const { edges, counts } = each.drawn[column];
  const colors = { right: "var(--pass)", wrong: "var(--fail)", unscored: "var(--unverifiable)" };
  return Object.keys(OUTCOMES)
    .filter((outcome) => counts[outcome])
    .map((outcome) => {
      const of = counts[outcome];
      const known = of.reduce((sum, count) => sum + count, 0);
      return {
        name: OUTCOMES[outcome],
        color: colors[outcome],
        dashed: outcome === "wrong",
        edges,
        shares: of.map((count) => count / known),
        more: of.map(whole),
      };
    });
}

function costs(series) {
  const known = series.filter(({ rates }) => isNumber(rates.cost_usd) && rates.cost_usd > 0);
  if (!known.length) return null;
  const most = Math.max(...known.map(({ rates }) => perVerified(rates) ?? 0));
  const bar = (series) => {
    const { name, color, rates } = series;
    const each = perVerified(rates);
    return el(
      "div",
      { class: "share-row" },
      el("span", { class: "share-name" }, swatch(series), name),
      el(
        "div",
        { class: "cost-bar" },
        el("i", { style: { width: `${each === null ? 0 : (70 * each) / most}%`, "--color": color } }),
        el("b", {}, dollars(each)),
        el("small", {}, `${dollars(rates.cost_usd)} for ${whole(rates.verified)}`),
      ),
    );
  };
  return card(
    "What does a verified answer cost?",
    "Dollars for all candidates, by the verified ones among them; what they cost when drawn.",
    el("div", { class: "shares" }, known.map(bar)),
    {
      head: ["", "cost", "verified", "per verified answer", "prompt tokens", "completion tokens"],
      rows: known.map(({ name, rates }) => [
        name,
        dollars(rates.cost_usd),
        whole(rates.verified),
        dollars(perVerified(rates)),
        whole(rates.prompt_tokens),
        whole(rates.completion_tokens),
      ]),
    },
  );
}
