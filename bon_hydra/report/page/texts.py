"""What was asked and answered, packed for the page: gzip in base64, some hundred KB at a time.

Text of others never stands in the page as itself, so none of it can end an element or begin one; and a packet is
opened only when one of its queries is read, so that the page opens quickly however much it holds.
"""

from __future__ import annotations

import base64
import gzip
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from bon_hydra.report.page.queries import Key, Outcomes, key_of
from bon_hydra.runs import read_rows

PACKET_CHARACTERS = 1 << 18
"""A packet is closed when it holds so much text."""
MOST_CHARACTERS = 200_000
"""A longer text is shown without its middle."""
TITLE_CHARACTERS = 160

QUERY_COLUMNS = ("question", "prompt", "tools", "reference", "source_id", "source_meta", "verifier")
CANDIDATE_COLUMNS = (
    *("candidate_idx", "verdict", "verdict_reason", "score", "scorer", "answer", "answer_class"),
    *("response", "reasoning", "tool_calls", "finish_reason", "error", "prompt_tokens", "completion_tokens"),
    *("cached_tokens", "reasoning_tokens", "cost_usd", "latency_s", "reused", "candidate_id", "seed", "attempts"),
    *("response_model", "request_id", "created_at"),
)
COLUMNS = ("query_id", "split", "is_verified", *QUERY_COLUMNS, *CANDIDATE_COLUMNS)


@dataclass(frozen=True, slots=True)
class Shown:
    """A query as a run answered it: where its text is, and what its list entry says."""

    packet: int
    place: int
    """Its place among the packet's queries."""
    title: str
    verdicts: list[str]
    cut_off: list[bool]
    """Both by candidate, in the file's order."""


def pack(value: Any) -> str:
    """A JSON document, gzipped, in base64; the same value gives the same text. NaN and infinities become null."""
    document = orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)
    return base64.b64encode(gzip.compress(document, 6, mtime=0)).decode()


def read_texts(path: Path, outcomes: Outcomes, keys: Sequence[Key]) -> tuple[dict[Key, Shown], list[str]]:
    """The chosen queries of a run's file with all of their candidates: what the list needs, and the packets."""
    wanted = {key: outcomes[key].rows for key in keys if key in outcomes}
    shown: dict[Key, Shown] = {}
    packets: list[str] = []
    packet: list[dict[str, Any]] = []
    characters = 0
    waiting: dict[Key, list[dict[str, Any]]] = {}
    for row in read_rows(path, COLUMNS, sorted(at for rows in wanted.values() for at in rows)):
        key = key_of(row["split"], row["query_id"])
        rows = waiting.setdefault(key, [])
        rows.append(row)
        if len(rows) < len(wanted[key]):
            continue
        query = _query(waiting.pop(key))
        shown[key] = Shown(
            packet=len(packets),
            place=len(packet),
            title=_title(query, key),
            verdicts=[candidate["verdict"] for candidate in query["candidates"]],
            cut_off=[candidate.get("finish_reason") == "length" for candidate in query["candidates"]],
        )
        packet.append(query)
        characters += sum(len(text) for part in (query, *query["candidates"]) for text in part.values() if _is(text))
        if characters >= PACKET_CHARACTERS:
            packets.append(pack(packet))
            packet, characters = [], 0
    return shown, [*packets, pack(packet)] if packet else packets


def _is(value: object) -> bool:
    return isinstance(value, str)


def _query(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """One query's part of a packet: what its rows share, and `candidates`; without what is null."""
    query = _known(rows[0], QUERY_COLUMNS)
    candidates = [_known(row, CANDIDATE_COLUMNS) for row in rows]
    for row, candidate in zip(rows, candidates, strict=True):
        # Files of the seed's system know only whether a candidate is verified.
        candidate.setdefault("verdict", "pass" if row["is_verified"] else "fail")
    return {**query, "candidates": candidates}


def _known(row: dict[str, Any], columns: Sequence[str]) -> dict[str, Any]:
    values = {name: row[name] for name in columns if row.get(name) is not None}
    return {name: shortened(value) if isinstance(value, str) else value for name, value in values.items()}


def shortened(text: str) -> str:
    """A text without its middle where it is longer than any reader wants."""
    if len(text) <= MOST_CHARACTERS:
        return text
    half = MOST_CHARACTERS // 2
    return f"{text[:half]}\n\n[… {len(text) - 2 * half:,} characters are left out of this page …]\n\n{text[-half:]}"


def _title(query: dict[str, Any], key: Key) -> str:
    """The question's first words, on one line."""
    text = query.get("question") or _last_message(query.get("prompt", "")) or key[1]
    line = " ".join(text[: 4 * TITLE_CHARACTERS].split())
    return line if len(line) <= TITLE_CHARACTERS else line[: TITLE_CHARACTERS - 1] + "…"


def _last_message(prompt: str) -> str:
    try:
        content = json.loads(prompt)[-1]["content"]
    except (ValueError, LookupError, TypeError):
        return prompt
    return content if isinstance(content, str) else prompt
