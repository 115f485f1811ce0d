// What the page holds. `page` is there from the start; what was asked and answered is unpacked when it is read.

import { byId } from "./dom.js";

async function unpack(element) {
  const packed = element.textContent;
  const bytes = Uint8Array.fromBase64?.(packed) ?? Uint8Array.from(atob(packed), (letter) => letter.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return JSON.parse(await new Response(stream).text());
}

export const page = await unpack(byId("content"));

export const VERDICTS = page.verdicts.map(([name]) => name);
export const SCORED = new Set(page.verdicts.filter(([, scored]) => scored).map(([name]) => name));

const NAMES = { no_answer: "no answer", verifier_error: "verifier error", api_error: "API error" };
export const verdictName = (verdict) => (Object.hasOwn(NAMES, verdict) ? NAMES[verdict] : verdict);

// A run is called by a letter where there is little room: A, B, … Z, AA, AB, …
export function letterOf(run) {
  const last = String.fromCharCode(65 + (run % 26));
  return run < 26 ? last : letterOf(Math.floor(run / 26) - 1) + last;
}

// The queries in order; `runs` has, for each run that has the query, what is known before its text is read.
export const queries = page.queries.map((query, at) => ({ ...query, at, runs: query.runs.map(entry) }));

function entry(packed) {
  if (packed === null) return null;
  const [packet, place, numbers, cutOff] = packed;
  const verdicts = numbers.map((number) => VERDICTS[number] ?? String(number));
  const right = verdicts.filter((verdict) => verdict === "pass").length;
  const scored = verdicts.filter((verdict) => SCORED.has(verdict)).length;
  return { packet, place, verdicts, cutOff: new Set(cutOff), right, scored };
}

const byQueryId = new Map(queries.map((query) => [query.id, query]));
export const queryOf = (id) => byQueryId.get(id) ?? null;

const MOST_OPEN = 48; // packets kept unpacked: of a run of 5,000 candidates all of them
const open = new Map();

function packet(run, number) {
  const name = `p-${run}-${number}`;
  const opened = open.get(name) ?? unpack(byId(name));
  open.delete(name);
  open.set(name, opened);
  if (open.size > MOST_OPEN) open.delete(open.keys().next().value);
  return opened;
}

// What was asked and answered of a query in a run: prompt, tools, reference and candidates, as they were sent.
export async function bodyOf(query, run) {
  const { packet: number, place } = query.runs[run];
  return (await packet(run, number))[place];
}

const SEARCHED_OF_QUERY = ["question", "prompt", "reference", "source_id", "tools"];
const SEARCHED_OF_CANDIDATE = ["response", "reasoning", "tool_calls", "answer", "verdict_reason", "error"];

// The queries that hold a text in one of `runs`, whatever its case, as a set; null where `isStale()` became true.
export async function search(text, runs, isStale) {
  const wanted = new RegExp(text.replace(/[.*+?^${}()|[\]\\/]/g, "\\$&"), "iu");
  const found = new Set(queries.filter(({ id, title }) => wanted.test(title) || id.startsWith(text)));
  for (const run of runs) {
    for (const [number, here] of byPacket(run)) {
      const bodies = await packet(run, number);
      if (isStale()) return null;
      for (const query of here) {
        if (!found.has(query) && holds(bodies[query.runs[run].place], wanted)) found.add(query);
      }
    }
  }
  return found;
}

function byPacket(run) {
  return Map.groupBy(
    queries.filter((query) => query.runs[run]),
    (query) => query.runs[run].packet,
  );
}

function holds(body, wanted) {
  const has = (part, names) => names.some((name) => typeof part[name] === "string" && wanted.test(part[name]));
  return has(body, SEARCHED_OF_QUERY) || body.candidates.some((each) => has(each, SEARCHED_OF_CANDIDATE));
}
