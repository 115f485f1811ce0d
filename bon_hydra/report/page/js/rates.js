// The table of rates, with their intervals.

import { letterOf, page } from "./data.js";
import { dollars, el, interval, isNumber, percent, whole } from "./dom.js";
import { swatch } from "./marks.js";

export function ratesTable(series) {
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

export const perVerified = ({ cost_usd: cost, verified }) => (isNumber(cost) && verified ? cost / verified : null);

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
