// The figures. Each is a function of the series that figures.js chooses, and gives a card, or null.

import { card, nothing } from "./cards.js";
import { columns, curves, histograms, points } from "./charts.js";
import { VERDICTS, verdictName } from "./data.js";
import { counted, dollars, el, interval, isNumber, percent, significant, whole } from "./dom.js";
import { isScored, legend, swatch, verdictClass, verdictIcon, verdictMark } from "./marks.js";
import { pairCard } from "./pairs.js";
import { perVerified } from "./rates.js";
import { NO_FILTERS, change, toggled } from "./state.js";

const METRICS = {
  pass_at_k: ["pass@k", "one of k candidates is right"],
  pass_hat_k: ["pass^k", "all of k are"],
  majority_at_k: ["majority@k", "the answer that most of k give is"],
  weighted_majority_at_k: ["weighted majority@k", "the same, votes weighted by score"],
  best_at_k: ["best@k", "the one with the best score is"],
};

let chosenMetrics = new Set(["pass_at_k"]);

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
      name: metrics.length > 1 ? `${each.name} · ${METRICS[metric][0]}` : each.name,
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
      METRICS[metric][0],
    ),
  );
  const drawing = xs.length
    ? [curves("pass@k and its like by k", { lines, xs, xName: "k" }), legend(lines), told(series, whatItTakes)]
    : nothing("Nothing to draw: choose a curve, or a split that has scored candidates.");
  return card(
    "What do more candidates buy?",
    `${known.map((metric) => METRICS[metric].join(": ")).join("; ")}. Bands: 95 %.`,
    [el("div", { class: "chips", role: "group", "aria-label": "Curves" }, toggles), drawing],
    {
      head: ["", ...xs.map((k) => `k = ${k}`)],
      rows: lines.map(({ name, points: own }) => [name, ...xs.map((k) => rateCell(own.find(({ x }) => x === k)))]),
    },
  );
}

// The number of candidates that reaches each pass rate one may want, where the summary says so.
function whatItTakes({ candidates_for: wanted }) {
  const known = Object.entries(wanted ?? {}).filter(([, { k }]) => isNumber(k));
  const range = ([low, high]) => (low === high ? "" : isNumber(high) ? ` (${low}–${high})` : ` (${low} or more)`);
  return known.map(([rate, { k, ci95 }]) => `${percent(Number(rate), 0)} takes k = ${k}${range(ci95)}`).join(", ");
}

const MOST_TOLD = 4;

// What `say` has to say of the first few series, a line each.
function told(series, say) {
  const lines = series.slice(0, MOST_TOLD).map(({ name, rates }) => ({ name, text: say(rates) }));
  return lines
    .filter(({ text }) => text)
    .map(({ name, text }) => el("p", { class: "about told" }, el("b", {}, name), ` ${text}`));
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
      ? [
          points("Rate by candidate index", { groups, xs, xName: "candidate" }),
          legend(groups),
          told(series, ({ index_test: test }) => test?.says),
        ]
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
      filters: { ...NO_FILTERS, split, right: [{ run, count: right }] },
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
        whole(group.drawn.mixed),
        whole(group.drawn.unscored),
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

// Bars of parts of a whole, one under the other. `rows`: {name, parts: [{name, share, count, verdict, clicked}]}.
function shares(rows) {
  return el(
    "div",
    { class: "shares" },
    rows.map(({ mark, name, parts }) =>
      el(
        "div",
        { class: "share-row" },
        el("span", { class: "share-name" }, mark, name),
        el("div", { class: "share-bar" }, parts.map(segment)),
      ),
    ),
  );
}

function segment({ name, share, count, verdict, clicked }) {
  const label = `${name}: ${count} (${percent(share)})`;
  return el(
    "button",
    {
      type: "button",
      class: `segment ${verdictClass(verdict)}`,
      style: { "flex-grow": String(share) },
      title: label,
      "aria-label": label,
      onclick: clicked,
    },
    share > 0.05 && [verdictIcon(verdict), el("span", {}, percent(share, 0))],
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

export const PLOTS = [whatNBuys, firstWins, pairCard, howManyRight, outcomes, lengths, times, costs];
