"""One prompt and its candidates become rows of a data set, in TRL's columns.

What is taken for right or wrong is decided here: a verified answer is right, one that was judged and found wrong is
wrong, and everything else (no response, not judged, cut off, refused, filtered, empty) is neither.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bon_hydra.export.messages import Tools, Unusable, answer
from bon_hydra.export.options import Options
from bon_hydra.export.pairs import at_random, by_length, pairs
from bon_hydra.records import SCORED, Message

Row = dict[str, Any]

COLUMNS = {
    "sft": {"prompt": "messages", "completion": "messages", "candidate_id": "text"},
    "preference": {
        "prompt": "messages",
        "chosen": "messages",
        "rejected": "messages",
        "chosen_id": "text",
        "rejected_id": "text",
    },
    "unpaired": {"prompt": "messages", "completion": "messages", "label": "flag", "candidate_id": "text"},
    "prompts": {
        "prompt": "messages",
        "reference": "text",
        "pass_rate": "rate",
        "scored_candidates": "count",
    },
}
"""Columns of each format but `jsonl`, with the kind of their values; every format has query_id and split besides."""

EVERYWHERE = {"query_id": "text", "split": "text"}


@dataclass(frozen=True)
class Asked:
    """One prompt as it was sent, with all candidates that were drawn for it."""

    query_id: str
    split: str
    prompt: list[Message]
    tools: Tools | None
    reference: str | None
    candidates: list[Row]


@dataclass(frozen=True)
class Answers:
    """The answers to a prompt that one can train on, each text once, with its candidate."""

    right: list[tuple[Message, Row]]
    wrong: list[tuple[Message, Row]]


def rows_of(asked: Asked, options: Options, left_out: Counter[str]) -> Iterator[Row]:
    """The data set's rows that come of a prompt; what gives none is counted in `left_out`."""
    common = {"query_id": asked.query_id, "split": asked.split, "prompt": asked.prompt, "tools": asked.tools}
    make = {"sft": _sft, "preference": _preference, "unpaired": _unpaired, "prompts": _prompts}[options.format]
    for row in make(asked, options, left_out):
        yield common | row


def size(message: Message) -> int:
    """Characters of an answer, calls included."""
    calls = message.get("tool_calls")
    return len(message["content"]) + (len(json.dumps(calls)) if calls else 0)


def _sft(asked: Asked, options: Options, left_out: Counter[str]) -> Iterator[Row]:
    found = _answers(asked, options, left_out)
    most = options.answers_per_query or 4
    left_out["answers that are wrong"] += len(found.wrong)
    left_out["right answers beyond --answers-per-query"] += max(0, len(found.right) - most)
    for message, row in found.right[:most]:
        yield {"completion": [message], "candidate_id": row["candidate_id"]}


def _preference(asked: Asked, options: Options, left_out: Counter[str]) -> Iterator[Row]:
    found = _answers(asked, options, left_out)
    if not found.right or not found.wrong:
        missing = "nothing verified" if not found.right else "nothing wrong"
        left_out[f"prompts with {missing} to pair"] += 1
        return
    if options.match == "random":
        rank = at_random(f"{options.seed or 0}/{asked.query_id}")
    else:
        rank = by_length([size(m) for m, _ in found.right], [size(m) for m, _ in found.wrong])
    for i, j in pairs(len(found.right), len(found.wrong), options.pairs_per_query or 1, rank):
        (chosen, better), (rejected, worse) = found.right[i], found.wrong[j]
        ids = {"chosen_id": better["candidate_id"], "rejected_id": worse["candidate_id"]}
        yield {"chosen": [chosen], "rejected": [rejected], **ids}


def _unpaired(asked: Asked, options: Options, left_out: Counter[str]) -> Iterator[Row]:
    found = _answers(asked, options, left_out)
    for label, answers in ((True, found.right), (False, found.wrong)):
        for message, row in answers:
            yield {"completion": [message], "label": label, "candidate_id": row["candidate_id"]}


def _prompts(asked: Asked, options: Options, left_out: Counter[str]) -> Iterator[Row]:
    scored = [row for row in asked.candidates if row["verdict"] in SCORED]
    if not scored:
        left_out["prompts without a scored candidate"] += 1
        return
    rate = sum(row["verdict"] == "pass" for row in scored) / len(scored)
    low, high = options.pass_rates
    if not low <= rate <= high:
        left_out[f"prompts with a pass rate {'below' if rate < low else 'above'} what was asked for"] += 1
        return
    yield {"reference": asked.reference, "pass_rate": rate, "scored_candidates": len(scored)}


def _answers(asked: Asked, options: Options, left_out: Counter[str]) -> Answers:
    right: dict[str, tuple[Message, Row]] = {}
    wrong: dict[str, tuple[Message, Row]] = {}
    for row in asked.candidates:
        neither = _neither(row)
        try:
            if neither:
                raise Unusable(neither)
            message = answer(row, asked.tools, options.reasoning or "drop")
        except Unusable as why:
            left_out[str(why)] += 1
            continue
        text = json.dumps(message, sort_keys=True)
        same = right if row["verdict"] == "pass" else wrong
        left_out["answers that repeat another one's text"] += text in same
        same.setdefault(text, (message, row))
    for text in right.keys() & wrong.keys():
        left_out["answers judged right and, the same text, wrong"] += 2
        del right[text], wrong[text]
    return Answers(list(right.values()), list(wrong.values()))


def _neither(row: Row) -> str | None:
    """Why an answer is neither right nor wrong, or None where it is one of them."""
    verdict, reason = row["verdict"], row["verdict_reason"] or ""
    if verdict == "api_error":
        return "candidates without a response"
    if verdict not in SCORED:
        return "answers that could not be judged"
    if row["finish_reason"] == "length":
        return "answers cut off at the token limit"
    if row["finish_reason"] == "content_filter" or (verdict == "no_answer" and reason.startswith(("refus", "filter"))):
        return "answers refused or filtered"
    return None
