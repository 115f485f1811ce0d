"""Runs as tables: with colour and rules on a terminal, as plain aligned text in a pipe.

What is shown comes from `summary`; this module knows how it looks, not where it was counted.
Print with `console()`, which never wraps or cuts a table in a pipe.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Sequence
from typing import Any, TextIO

from rich import box
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from bon_hydra.records import METADATA, SCORED
from bon_hydra.report.counts import Run
from bon_hydra.report.summary import as_json, rates
from bon_hydra.statistics import binary_rate

PIPE_WIDTH = 100_000
"""Columns of a pipe: more than any table takes."""

TOLD_APART = frozenset({"config_yaml", "packages", "notes", "totals", "overrides"})
"""Metadata that the table of metadata shows in a way of its own, or leaves to `--json`."""

CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What a terminal would take for a command is shown as its code."""


def console(file: TextIO | None = None) -> Console:
    """A console for results: texts are taken as they are (no markup), and a pipe is as wide as its lines."""
    out = Console(file=file or sys.stdout, markup=False, emoji=False, highlight=False)
    if not out.is_terminal:
        out.width = PIPE_WIDTH
    return out


def clean(text: str) -> str:
    """A text of others that is safe to print: no escape sequences."""
    return text.translate(CONTROL)


class Grid:
    """A table with a title: the first column to the left, figures to the right; rules only on a terminal."""

    def __init__(self, title: str, header: Sequence[str], rows: Iterable[Sequence[str]], texts: int = 1) -> None:
        """`texts`: so many columns from the left hold text, the others figures."""
        self._title, self._header, self._rows, self._texts = title, header, list(rows), texts

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As rich asks for it."""
        plain = not console.is_terminal
        table = Table(box=None if plain else box.SIMPLE_HEAD, pad_edge=False, header_style="" if plain else "bold")
        for at, name in enumerate(self._header):
            table.add_column(name, justify="left" if at < self._texts else "right", overflow="fold", no_wrap=plain)
        for row in self._rows:
            table.add_row(*(Text(clean(cell)) for cell in row))
        if self._title:
            yield Text(clean(self._title), style="bold cyan")
        yield table
        yield Text("")


def percent(rate: float | None) -> str:
    """`41.7 %`, or a dash where there is no rate."""
    return "–" if rate is None else f"{100 * rate:.1f} %"


def interval(ci95: Sequence[float] | None) -> str:
    """`[32.1, 52.0]`, in per cent."""
    return "–" if ci95 is None else f"[{100 * ci95[0]:.1f}, {100 * ci95[1]:.1f}]"


def whole(number: int | None) -> str:
    """With thousands separated; a dash where unknown."""
    return "–" if number is None else f"{number:,}"


def dollars(amount: float | None) -> str:
    """In cents, or finer where it is less than one; a dash where the price is unknown."""
    if amount is None:
        return "–"
    return f"${amount:,.2f}" if amount >= 0.01 or amount == 0 else f"${amount:.2g}"


def final_table(summary: dict[str, Any]) -> RenderableType:
    """What a run shows when it is done, from `summarise`'s result: rates by split, and what they leave out."""
    sections = _sections(summary)
    last = max((int(k) for _, section in sections for k in section["pass_at_k"]), default=1)
    header = ["split", "queries", "candidates", "verified", "95 %", "first", "any", f"pass@{last}"]
    rows = [
        [
            name,
            whole(section["queries"]),
            whole(section["candidates"]),
            percent(section["verification_rate"]),
            interval(section["ci95"]["verification_rate"]),
            percent(section["first_candidate_rate"]),
            percent(section["any_candidate_rate"]),
            percent(section["pass_at_k"].get(str(last), {}).get("estimate")),
        ]
        for name, section in sections
    ]
    told = [*_left_out(summary["overall"]), *_sample(summary["metadata"])]
    return Group(Grid("", header, rows), *(Text(line) for line in told))


def _left_out(overall: dict[str, Any]) -> list[str]:
    lines = []
    if unscored := {name: count for name, count in overall["verdicts"].items() if name not in SCORED}:
        named = ", ".join(f"{name} {count:,}" for name, count in unscored.items())
        lines.append(f"Not scored, and not counted as wrong: {named}.")
    if overall["truncated"]:
        share = percent(overall["truncated"] / overall["candidates"])
        lines.append(f"Cut off at the token limit: {overall['truncated']:,} candidates ({share}).")
    return lines


def _sample(metadata: dict[str, str]) -> list[str]:
    """How the queries were chosen; a head of a larger set is no sample of it."""
    sample = json.loads(metadata.get("totals") or "{}").get("sample")
    if not isinstance(sample, dict):
        return []
    lines = ["Queries: " + ", ".join(f"{split} {how}" for split, how in sample.items()) + "."]
    if "head" in sample.values():
        lines.append("A head is the first rows of a larger set, no sample of it; dataset.shuffle_seed=0 draws one.")
    return lines


def _sections(summary: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    splits = list(summary["splits"].items())
    return splits if len(splits) == 1 else [*splits, ("overall", summary["overall"])]


def inspect_one(run: Run) -> RenderableType:
    """Everything there is to see of one run."""
    summary = as_json(run)
    sections = _sections(summary)
    parts: list[RenderableType] = [
        _metadata(run),
        *(Text(line) for line in _sample(run.metadata)),
        _rates(sections),
        _verdicts(sections),
        _by_index(sections),
        _coverage(run),
        _pass_at_k(sections),
        _costs(sections),
    ]
    return Group(*parts)


def _metadata(run: Run) -> RenderableType:
    known = [*(key for key in METADATA if key in run.metadata), *(key for key in run.metadata if key not in METADATA)]
    rows = [[key, run.metadata[key]] for key in known if key not in TOLD_APART and run.metadata[key]]
    rows += [[key, _in_line(run.metadata[key])] for key in ("overrides", "totals") if run.metadata.get(key)]
    parts: list[RenderableType] = [Grid(str(run.path), ["metadata", ""], rows, texts=2)]
    if notes := run.metadata.get("notes", "").strip():
        parts += [Text("Notes", style="bold cyan"), Text(clean(notes)), Text("")]
    return Group(*parts)


def _in_line(text: str) -> str:
    """A JSON object as `key value, key value`; anything else as it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return ", ".join(f"{key} {figure}" for key, figure in value.items()) if isinstance(value, dict) else text


def _rates(sections: list[tuple[str, dict[str, Any]]]) -> Grid:
    names = {"verification_rate": "verified", "first_candidate_rate": "first", "any_candidate_rate": "any"}
    header = ["split", "queries", "candidates", "scored"]
    rows = [
        [
            split,
            *(whole(section[key]) for key in ("queries", "candidates", "scored")),
            *(cell for key in names for cell in (percent(section[key]), interval(section["ci95"][key]))),
        ]
        for split, section in sections
    ]
    header += [title for name in names.values() for title in (name, "95 %")]
    return Grid("Verification rates: of scored candidates, of first candidates, of queries (any)", header, rows)


def _verdicts(sections: list[tuple[str, dict[str, Any]]]) -> Grid:
    names = list(dict.fromkeys(name for _, section in sections for name in section["verdicts"]))
    header = ["split", *names, "cut off", "of all"]
    rows = [
        [
            split,
            *(whole(section["verdicts"].get(name, 0)) for name in names),
            whole(section["truncated"]),
            percent(section["truncated"] / section["candidates"] if section["candidates"] else None),
        ]
        for split, section in sections
    ]
    return Grid("Verdicts", header, rows)


def _by_index(sections: list[tuple[str, dict[str, Any]]]) -> Grid:
    rows = [
        [split, index, whole(counts["scored"]), whole(counts["verified"]), percent(rate.estimate), interval(rate.ci95)]
        for split, section in sections
        for index, counts in section["candidate_idx"].items()
        for rate in [binary_rate(counts["verified"], counts["scored"])]
    ]
    header = ["split", "candidate", "scored", "verified", "rate", "95 %"]
    return Grid("Does the first win? Rate by candidate index", header, rows)


def _coverage(run: Run) -> Grid:
    parts = [*run.splits.items(), ("overall", run.overall)] if len(run.splits) != 1 else list(run.splits.items())
    rows = []
    for name, counts in parts:
        covered = counts.coverage
        queries = len(counts.scored)
        shown = [covered["none"], covered["some"], covered["all"], covered["some"] + covered["all"]]
        cells = [f"{whole(count)} ({percent(count / queries)})" if queries else whole(count) for count in shown]
        rows.append([name, whole(queries), *cells, whole(covered["unscored"])])
    header = ["split", "queries", "none right", "some right", "all right", "any right", "none scored"]
    return Grid("Query coverage", header, rows)


def _pass_at_k(sections: list[tuple[str, dict[str, Any]]]) -> Grid:
    rows = []
    for split, section in sections:
        for k, rate in section["pass_at_k"].items():
            majority = section["majority_at_k"][k]
            cells = [percent(rate["estimate"]), interval(rate["ci95"]), whole(rate["queries"])]
            rows.append([split, k, *cells, percent(majority["estimate"]), interval(majority["ci95"])])
    title = "pass@k (any of k is right) and majority@k (what most of k say is right)"
    return Grid(title, ["split", "k", "pass@k", "95 %", "queries", "majority@k", "95 %"], rows)


def _costs(sections: list[tuple[str, dict[str, Any]]]) -> Grid:
    rows = [
        [
            split,
            whole(section["prompt_tokens"]),
            whole(section["completion_tokens"]),
            dollars(section["cost_usd"]),
            dollars(section["cost_usd"] / section["verified"])
            if section["cost_usd"] is not None and section["verified"]
            else "–",
        ]
        for split, section in sections
    ]
    header = ["split", "prompt tokens", "completion tokens", "cost when drawn", "per verified"]
    return Grid("Tokens and cost", header, rows)


def inspect_several(runs: Sequence[Run]) -> RenderableType:
    """Runs side by side, a row each; the last columns give each split's verification rate."""
    splits = list(dict.fromkeys(name for run in runs for name in run.splits))
    header = ["run", "model", "N", "T", "queries", "verified", "95 %", "first", "any", *splits]
    rows = []
    for run in runs:
        most = len(run.overall.by_index)
        overall = rates(run.overall, most, run.ballots)
        by_split = {name: rates(counts, most, run.ballots)["verification_rate"] for name, counts in run.splits.items()}
        rows.append(
            [
                str(run.path),
                run.metadata.get("model", "–"),
                run.metadata.get("num_candidates", str(most)),
                run.metadata.get("temperature") or "–",
                whole(overall["queries"]),
                percent(overall["verification_rate"]),
                interval(overall["ci95"]["verification_rate"]),
                percent(overall["first_candidate_rate"]),
                percent(overall["any_candidate_rate"]),
                *(percent(by_split.get(name)) for name in splits),
            ]
        )
    return Grid("", header, rows, texts=2)


def json_document(document: dict[str, Any]) -> str:
    """One JSON document; NaN, which JSON does not have, would be a fault of ours and raises ValueError."""
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
