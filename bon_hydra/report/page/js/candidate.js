// One candidate as a card: its verdict and why, what it said, what it cost.

import { callsOf, calls, code, parsed } from "./code.js";
import { letterOf, page } from "./data.js";
import { dollars, el, folded, icon, isNumber, seconds, whole } from "./dom.js";
import { verdictClass, verdictMark } from "./marks.js";
import { addressOf, state } from "./state.js";
import { answer, said, source, thought } from "./text.js";

const LONG_ANSWER = 300; // an extracted answer this long stands among the details

export function candidateCard(query, run, body, candidate, sameAs) {
  const { candidate_idx: index, verdict, verdict_reason: reason, score, scorer } = candidate;
  const number = index ?? body.candidates.indexOf(candidate);
  const label = `${page.runs.length > 1 ? letterOf(run) : "#"}${number}`;
  return el(
    "article",
    {
      class: `candidate ${verdictClass(verdict)}`,
      "data-run": run,
      "data-index": number,
      "aria-label": `Candidate ${number}: ${verdict}`,
    },
    el(
      "header",
      {},
      el(
        "div",
        { class: "judged" },
        copyable(label, addressOf({ view: "queries", query, candidate: { run, index: number } }), "candidate-id"),
        verdictMark(verdict),
        isNumber(score) &&
          el("span", { class: "score", title: scorer ?? "score" }, `score ${Number(score.toPrecision(3))}`),
      ),
      reason && el("p", { class: "reason", dir: "auto" }, reason),
      isShort(candidate) &&
        el(
          "p",
          { class: "extracted" },
          el("span", { class: "label" }, "Answer"),
          answer(candidate.answer, body.verifier),
        ),
    ),
    el("div", { class: "body" }, answered(candidate, body)),
    el(
      "footer",
      {},
      facts(candidate, sameAs),
      folded("Details", () => details(candidate)),
    ),
  );
}

// Whether the extracted answer has a line of its own: programs and calls stand below as they are.
const isShort = ({ answer: text, tool_calls: made }) => text !== undefined && text.length < LONG_ANSWER && !made;

function answered({ response, reasoning, tool_calls: made, error, finish_reason: reason }, { verifier = "" }) {
  const list = callsOf(parsed(made));
  const language = verifier.startsWith("code") ? "python" : "";
  const parts = [
    reasoning && thought(reasoning, state.source),
    response && said(response, { asSource: state.source, language }),
    made && (list && !state.source ? calls(list) : source(made)),
    reason === "length" && el("p", { class: "cut-off" }, icon("cut"), "Cut off at the token limit."),
    error && el("p", { class: "error" }, icon("api_error"), el("span", { dir: "auto" }, error)),
  ];
  const there = parts.flat().filter(Boolean);
  return there.length ? there : [el("p", { class: "quiet" }, "It said nothing.")];
}

const ORDINARY_ENDS = new Set([undefined, "stop", "tool_calls", "length"]); // the last is said in the body

function facts(
  {
    completion_tokens: tokens,
    reasoning_tokens: thinking,
    latency_s: time,
    cost_usd: cost,
    finish_reason: reason,
    reused,
    attempts,
  },
  sameAs,
) {
  const known = [
    isNumber(tokens) && `${whole(tokens)} tokens${thinking ? ` (${whole(thinking)} thinking)` : ""}`,
    isNumber(time) && seconds(time),
    isNumber(cost) && cost > 0 && dollars(cost),
    !ORDINARY_ENDS.has(reason) && reason.replaceAll("_", " "),
    attempts > 1 && `${attempts} requests`,
    sameAs !== null ? `the same draw as in ${letterOf(sameAs)}` : reused && "drawn by another run",
  ];
  return el(
    "p",
    { class: "facts" },
    known.filter(Boolean).map((fact) => el("span", {}, fact)),
  );
}

const DETAILS = [
  "response_model",
  "finish_reason",
  "prompt_tokens",
  "cached_tokens",
  "completion_tokens",
  "reasoning_tokens",
  "cost_usd",
  "latency_s",
  "seed",
  "attempts",
  "candidate_id",
  "request_id",
  "created_at",
  "answer_class",
  "score",
  "scorer",
];

function details(candidate) {
  const rows = DETAILS.filter((name) => candidate[name] !== undefined).map((name) => [
    el("dt", {}, name),
    el("dd", { dir: "auto" }, String(candidate[name])),
  ]);
  const long =
    candidate.answer?.length >= LONG_ANSWER
      ? [el("dt", {}, "answer"), el("dd", {}, code(candidate.answer, "python"))]
      : [];
  return el("dl", { class: "details" }, rows, long);
}

// A text whose address in this page is copied by a click.
export function copyable(text, address, kind) {
  const button = el(
    "button",
    { type: "button", class: `copy ${kind}`, title: "Copy a link to this", onclick: copy },
    text,
    icon("link"),
  );
  async function copy() {
    history.replaceState(null, "", address);
    try {
      await navigator.clipboard.writeText(location.href);
      button.classList.add("done");
      setTimeout(() => button.classList.remove("done"), 1500);
    } catch {
      // Not allowed to: the address is in the address bar, to be copied by hand.
    }
  }
  return button;
}
