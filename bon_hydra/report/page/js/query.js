// One query: what was asked, what is right, and its candidates side by side, for each run that is shown.

import { candidateCard, copyable } from "./candidate.js";
import { calls, callsOf, json, parsed, tools, written } from "./code.js";
import { bodyOf, page } from "./data.js";
import { byId, choice, el, folded, icon, whole } from "./dom.js";
import { badge, tally, verdictClass, verdictIcon } from "./marks.js";
import { placeOf, step } from "./queries.js";
import { addressOf, change, state } from "./state.js";
import { answer, long, reference, rendered, source } from "./text.js";

let drawnFor = null; // what the pane shows now, as a text; drawing takes a while, and only the last one counts

export async function drawQuery() {
  const { query } = state;
  const pane = byId("query");
  document.body.classList.toggle("reading", state.view === "queries" && query !== null);
  if (!query) {
    drawnFor = null;
    pane.replaceChildren(el("p", { class: "empty" }, "Choose a query to read its candidates."));
    return;
  }
  const runs = [...state.runs].sort((a, b) => a - b).filter((run) => query.runs[run]);
  const wanted = JSON.stringify([query.id, query.split, runs, state.stacked, state.source]);
  if (wanted === drawnFor) {
    pane.querySelector(".where")?.replaceWith(where(query));
    showCandidate();
    return;
  }
  const sameQuery = pane.dataset.query === query.id;
  drawnFor = wanted;
  const bodies = await Promise.all(runs.map((run) => bodyOf(query, run)));
  if (drawnFor !== wanted) return;
  pane.dataset.query = query.id;
  const parts = runs.map((run, at) => ({ run, body: bodies[at], entry: query.runs[run] }));
  const { scrollTop } = pane;
  pane.replaceChildren(
    heading(query, parts[0]?.body),
    ...(parts.length
      ? [asked(parts[0].body), ...parts.map((part) => answers(query, part, parts))]
      : [el("p", { class: "empty" }, "None of the chosen runs has this query.")]),
  );
  pane.scrollTo(sameQuery ? { top: scrollTop } : { top: 0, left: 0 });
  showCandidate();
  markFound();
}

// --- Above ---

function heading(query, body) {
  return el(
    "header",
    { class: "query-head" },
    el(
      "button",
      { type: "button", class: "back", onclick: () => change({ query: null, candidate: null }) },
      icon("back"),
      "Queries",
    ),
    where(query),
    el("span", { class: "split" }, query.split),
    copyable(query.id, addressOf({ view: "queries", query }), "query-id"),
    body?.source_id &&
      body.source_id !== query.id &&
      el("span", { class: "source-id", title: "The data set's own id", dir: "auto" }, body.source_id),
    el(
      "span",
      { class: "ways" },
      choice(
        "Candidates",
        [
          [false, "Side by side"],
          [true, "Stacked"],
        ],
        state.stacked,
        (stacked) => change({ stacked }),
      ),
      choice(
        "Texts",
        [
          [false, "Rendered"],
          [true, "Source"],
        ],
        state.source,
        (asSource) => change({ source: asSource }),
      ),
    ),
  );
}

function where(query) {
  const { at, of, before, after } = placeOf(query);
  const button = (name, label, to, by) =>
    el(
      "button",
      { type: "button", class: "step", "aria-label": label, title: label, disabled: !to, onclick: () => step(by) },
      icon(name),
    );
  return el(
    "span",
    { class: "where" },
    button("up", "Previous query (k)", before, -1),
    button("down", "Next query (j)", after, 1),
    el("span", {}, at < 0 ? "not in the list" : `${whole(at + 1)} of ${whole(of)}`),
  );
}

// --- What was asked ---

const show = (text) => long(text, state.source ? source : rendered);

function asked(body) {
  const messages = messagesOf(body.prompt);
  const question = body.question ?? messages.findLast(({ role }) => role === "user")?.text ?? body.prompt ?? "";
  const meta = parsed(body.source_meta);
  return el(
    "section",
    { class: "asked" },
    el(
      "div",
      { class: "question" },
      el("h3", {}, "Question"),
      show(question),
      promptOf(messages),
      body.tools && folded(`Tools${sized(parsed(body.tools))}`, () => tools(parsed(body.tools) ?? body.tools)),
      meta !== undefined && folded("From the data set's row", () => json(meta)),
    ),
    body.reference !== undefined &&
      el(
        "div",
        { class: "reference" },
        el("h3", {}, "Reference"),
        state.source ? source(body.reference) : reference(body.reference, body.verifier),
        body.verifier && el("p", { class: "quiet" }, `judged by ${body.verifier}`),
      ),
  );
}

const sized = (value) => (Array.isArray(value) ? ` · ${value.length}` : "");

function promptOf(messages) {
  const count = messages.length;
  return (
    count > 0 &&
    folded(`Prompt as it was sent · ${count} message${count === 1 ? "" : "s"}`, () =>
      el("div", { class: "messages" }, messages.map(message)),
    )
  );
}

function messagesOf(prompt) {
  const list = parsed(prompt);
  if (!Array.isArray(list)) return prompt ? [{ role: "prompt", text: prompt, list: null }] : [];
  return list.map((each) => {
    const { role = "message", content, tool_calls: list } = Object(each);
    const text = typeof content === "string" ? content : content ? written(content) : "";
    return { role: String(role), text, list: callsOf(list) };
  });
}

function message({ role, text, list }) {
  return el(
    "div",
    { class: `message ${role === "user" ? "from-user" : ""}` },
    el("span", { class: "role" }, role),
    el("div", {}, text && show(text), list && calls(list)),
  );
}

// --- What was answered ---

function answers(query, { run, body, entry }, parts) {
  const many = page.runs.length > 1;
  const another = body.prompt !== parts[0].body.prompt && promptOf(messagesOf(body.prompt));
  return el(
    "section",
    { class: "answers", "data-run": run },
    el(
      "header",
      { class: "answers-head" },
      el("h3", {}, many && badge(run), many ? page.runs[run].label : "Candidates"),
      el("span", { class: "tally" }, tally(entry)),
      ballot(body),
    ),
    another,
    el(
      "div",
      {
        class: state.stacked ? "candidates stacked" : "candidates",
        style: { "--count": String(body.candidates.length) },
      },
      body.candidates.map((candidate) => candidateCard(query, run, body, candidate, sameDraw(candidate, run, parts))),
    ),
  );
}

// How the candidates vote: the distinct answers, the most frequent first.
function ballot({ candidates, verifier }) {
  const classes = new Map();
  for (const candidate of candidates) {
    const key = candidate.answer_class;
    if (key !== undefined && candidate.answer !== undefined) classes.set(key, [...(classes.get(key) ?? []), candidate]);
  }
  if (classes.size === 0) return null;
  const votes = [...classes.values()].sort((a, b) => b.length - a.length);
  return el(
    "span",
    { class: "ballot" },
    votes.slice(0, 6).map((voters) =>
      el(
        "span",
        {
          class: `vote ${verdictClass(voters[0].verdict)}`,
          title: `${voters.length} of ${candidates.length} candidates give this answer`,
        },
        verdictIcon(voters[0].verdict),
        answer(voters[0].answer, verifier),
        el("small", {}, `×${voters.length}`),
      ),
    ),
    votes.length > 6 && el("small", {}, `and ${votes.length - 6} more`),
  );
}

// The first of the runs before this one that holds the same draw.
function sameDraw({ candidate_id: id }, run, parts) {
  if (!id) return null;
  const other = parts.find((part) => part.run < run && part.body.candidates.some((each) => each.candidate_id === id));
  return other ? other.run : null;
}

// --- Where to look ---

function showCandidate() {
  const pane = byId("query");
  pane.querySelector(".candidate.named")?.classList.remove("named");
  if (!state.candidate) return;
  const { run, index } = state.candidate;
  const card = pane.querySelector(`.candidate[data-run="${run}"][data-index="${index}"]`);
  card?.classList.add("named");
  card?.scrollIntoView({ block: "nearest", inline: "center" });
}

// What was searched for is marked where it stands, without touching the text.
export function markFound() {
  if (!globalThis.Highlight) return;
  CSS.highlights.delete("found");
  const wanted = state.filters.text.toLowerCase();
  if (!wanted) return;
  const ranges = [];
  const walker = document.createTreeWalker(byId("query"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode() && ranges.length < 500) {
    const text = walker.currentNode.data.toLowerCase();
    if (text.length !== walker.currentNode.data.length) continue; // a letter whose small form is longer
    for (let at = text.indexOf(wanted); at >= 0; at = text.indexOf(wanted, at + wanted.length)) {
      const range = new Range();
      range.setStart(walker.currentNode, at);
      range.setEnd(walker.currentNode, at + wanted.length);
      ranges.push(range);
    }
  }
  CSS.highlights.set("found", new Highlight(...ranges));
}
