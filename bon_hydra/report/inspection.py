"""`bon inspect` as text: one run from its metadata to its costs, or several side by side."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from bon_hydra.records import METADATA
from bon_hydra.report.tables import (
    INTERVAL,
    Grid,
    dollars,
    interval,
    left_out,
    percent,
    sample,
    sections_of,
    whole,
)
from bon_hydra.statistics import binary_rate

TOLD_APART = frozenset({"config_yaml", "packages", "notes", "totals", "overrides"})
"""Metadata that the table of metadata shows in a way of its own, or leaves to `--json`."""

Sections = list[tuple[str, dict[str, Any]]]


def inspect_one(run: dict[str, Any]) -> RenderableType:
    """Everything there is to see of one run, from its element of `bon inspect --json`."""
    sections = sections_of(run)
    parts: list[RenderableType] = [
        _metadata(run["path"], run["metadata"]),
        *_notes(run["metadata"]),
        *(Text(line) for line in [*sample(run["metadata"]), *left_out(run["overall"])]),
        Text(""),
        *_figures(sections, "split"),
    ]
    if by := run.get("by"):
        parts += [Text(f"By {by['key']}", style="bold magenta"), Text("")]
        parts += _figures(list(by["groups"].items()), by["key"])
    return Group(*parts)


def _figures(sections: Sections, key: str) -> list[RenderableType]:
    return [
        _rates(sections, key),
        _verdicts(sections, key),
        _by_index(sections),
        *_index_tests(sections),
        _coverage(sections, key),
        *(_curves(name, section) for name, section in sections),
        *_candidates_for(sections),
        _costs(sections, key),
    ]


def _metadata(path: str, metadata: dict[str, str]) -> RenderableType:
    known = [*(key for key in METADATA if key in metadata), *(key for key in metadata if key not in METADATA)]
    rows = [[key, metadata[key]] for key in known if key not in TOLD_APART and metadata[key]]
    rows += [[key, _in_line(metadata[key])] for key in ("overrides", "totals") if metadata.get(key)]
    return Grid(path, ["metadata", ""], rows, texts=2)


def _notes(metadata: dict[str, str]) -> list[RenderableType]:
    notes = metadata.get("notes", "").strip()
    return [Text("Notes", style="bold cyan"), Text(notes), Text("")] if notes else []


def _in_line(text: str) -> str:
    """A JSON object as `key value, key value`; anything else as it is."""
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return ", ".join(f"{key} {figure}" for key, figure in value.items()) if isinstance(value, dict) else text


def _rates(sections: Sections, key: str) -> Grid:
    names = {"verification_rate": "verified", "first_candidate_rate": "first", "any_candidate_rate": "any"}
    header = [key, "queries", "candidates", "scored"]
    rows = [
        [
            name,
            *(whole(section[figure]) for figure in ("queries", "candidates", "scored")),
            *(cell for rate in names for cell in (percent(section[rate]), interval(section["ci95"][rate]))),
        ]
        for name, section in sections
    ]
    header += [title for name in names.values() for title in (name, INTERVAL)]
    return Grid("Verification rates: of scored candidates, of first candidates, of queries (any)", header, rows)


def _verdicts(sections: Sections, key: str) -> Grid:
    verdicts = list(dict.fromkeys(name for _, section in sections for name in section["verdicts"]))
    rows = [
        [
            name,
            *(whole(section["verdicts"].get(verdict, 0)) for verdict in verdicts),
            whole(section["truncated"]),
            percent(section["truncated"] / section["candidates"] if section["candidates"] else None),
            percent(section["uncut"]["rate"] if section["truncated"] else None),
        ]
        for name, section in sections
    ]
    return Grid("Verdicts", [key, *verdicts, "cut off", "of all", "verified uncut"], rows)


def _by_index(sections: Sections) -> Grid:
    width = max((len(section["candidate_idx"]) for _, section in sections), default=0)
    rows = []
    for at in map(str, range(width)):
        cells = []
        for _, section in sections:
            counts = section["candidate_idx"].get(at, {"scored": 0, "verified": 0})
            rate = binary_rate(counts["verified"], counts["scored"])
            cells += [percent(rate.estimate), interval(rate.ci95)]
        rows.append([at, *cells])
    header = ["candidate", *(title for name, _ in sections for title in (name, INTERVAL))]
    return Grid("Does the first win? Rate by candidate index", header, rows)


def _index_tests(sections: Sections) -> list[RenderableType]:
    lines = []
    for name, section in sections:
        test = section["index_test"]
        line = Text(f"{name}: {test['says']}.")
        if test["says"].startswith(("not flat", "all candidates")):
            line.stylize("bold red")
        if left := test["queries_left_out"]:
            line.append(f" ({left:,} mixed queries that lack candidates are not in the test.)")
        lines.append(line)
    return [*lines, Text("")]


def _coverage(sections: Sections, key: str) -> Grid:
    rows = []
    for name, section in sections:
        covered, queries = section["coverage"], section["queries"]
        none, some, full = (covered[f"{share}_right"] for share in ("none", "some", "all"))
        cells = [f"{whole(count)} ({percent(count / queries)})" for count in (none, some, full, some + full)]
        rows.append([name, whole(queries), *cells, whole(queries - covered["judged"])])
    header = [key, "queries", "none right", "some right", "all right", "any right", "none scored"]
    return Grid("Query coverage", header, rows)


CURVES = {
    "pass_hat_k": "pass^k",
    "majority_at_k": "majority@k",
    "weighted_majority_at_k": "weighted",
    "best_at_k": "best@k",
}


def _curves(name: str, section: dict[str, Any]) -> RenderableType:
    told = {key: title for key, title in CURVES.items() if _known(section[key])}
    bounds = (section["bounds"] or {}).get("pass_at_k", {})
    header = [
        "k",
        "pass@k",
        INTERVAL,
        "adds",
        "queries",
        *(cell for title in told.values() for cell in (title, INTERVAL)),
    ]
    rows = []
    for k, point in section["pass_at_k"].items():
        adds = section["marginal_at_k"][k]["estimate"]
        cells = [percent(point["estimate"]), interval(point["ci95"]), percent(adds), whole(point["queries"])]
        for key in told:
            elected = section[key][k]
            cells += [percent(elected["estimate"]), interval(elected["ci95"])]
        rows.append([k, *cells, *([interval(bounds[k])] if bounds else [])])
    header += ["if missing: wrong, right"] if bounds else []
    grid = Grid(f"{name}: pass@k (any of k is right) and what else k candidates give", header, rows)
    lines = []
    if section["reach"] < len(section["pass_at_k"]):
        lines.append(
            f"Curves stop at k = {section['reach']}: fewer than 95 % of the queries have more scored candidates."
        )
    noise = max((point.get("monte_carlo_error", 0.0) for key in told for point in section[key].values()), default=0.0)
    if noise:
        lines.append(f"Votes are sampled: standard error of the sampling up to {100 * noise:.2f} percentage points.")
    return Group(grid, *(Text(line) for line in [*lines, *([""] if lines else [])]))


def _known(curve: dict[str, Any]) -> bool:
    return any(point["estimate"] is not None for point in curve.values())


def _candidates_for(sections: Sections) -> list[RenderableType]:
    """N for a wanted pass rate."""
    wanted = list(dict.fromkeys(rate for _, section in sections for rate in section["candidates_for"]))
    if not wanted:
        return []
    rows = []
    for name, section in sections:
        cells = []
        for rate in wanted:
            found = section["candidates_for"].get(rate, {"k": None, "ci95": None})
            cells.append(_so_many(found["k"], found["ci95"], section["reach"]))
        rows.append([name, *cells])
    header = ["", *(f"{float(rate):.0%}".replace("%", " %") for rate in wanted)]
    return [Grid("How many candidates for a pass rate? (95 % bootstrap interval)", header, rows)]


def _so_many(k: int | None, ci95: Sequence[int | None] | None, reach: int) -> str:
    if ci95 is None:
        return "–"
    ends = [f"> {reach}" if end is None or end > reach else str(end) for end in ci95]
    if ends[0] == ends[1]:
        return ends[0]
    return f"{k if k is not None else f'> {reach}'} [{ends[0]}, {ends[1]}]"


def _costs(sections: Sections, key: str) -> Grid:
    rows = [
        [
            name,
            whole(section["prompt_tokens"]),
            whole(section["completion_tokens"]),
            *_spread(section["quantiles"]["completion_tokens"], whole),
            *_spread(section["quantiles"]["latency_s"], lambda value: f"{value:.3g}"),
            dollars(section["cost_usd"]),
            dollars(section["cost_per_verified"]),
        ]
        for name, section in sections
    ]
    header = [key, "prompt tokens", "completion tokens", "median", INTERVAL, "seconds", INTERVAL]
    return Grid("Tokens, latency and cost", [*header, "cost when drawn", "per verified"], rows)


def _spread(quantiles: dict[str, float | None], show: Any) -> list[str]:
    """The median, and what 95 % stay below."""
    values = (quantiles["0.5"], quantiles["0.95"])
    return ["–" if value is None else show(round(value) if show is whole else value) for value in values]


def inspect_several(runs: Sequence[dict[str, Any]]) -> RenderableType:
    """Runs side by side, a row each; the last columns give each split's (or group's) verification rate."""
    by = next((run["by"]["key"] for run in runs if run.get("by")), None)
    parts = [run["by"]["groups"] if by else run["splits"] for run in runs]
    names = list(dict.fromkeys(name for groups in parts for name in groups))
    header = ["run", "model", "N", "T", "queries", "verified", INTERVAL, "first", "any", *names]
    rows = []
    for run, groups in zip(runs, parts, strict=True):
        overall, metadata = run["overall"], run["metadata"]
        rows.append(
            [
                run["path"],
                metadata.get("model", "–"),
                metadata.get("num_candidates", str(len(overall["candidate_idx"]))),
                metadata.get("temperature") or "–",
                whole(overall["queries"]),
                percent(overall["verification_rate"]),
                interval(overall["ci95"]["verification_rate"]),
                percent(overall["first_candidate_rate"]),
                percent(overall["any_candidate_rate"]),
                *(percent(groups[name]["verification_rate"] if name in groups else None) for name in names),
            ]
        )
    told = []
    for run in runs:
        label = Path(run["path"]).parent.name or run["path"]
        notes = " ".join(run["metadata"].get("notes", "").split())
        lines = [f"Notes: {notes}"] if notes else []
        told += [Text(f"{label}: {line}") for line in [*lines, *left_out(run["overall"])]]
    hint = Text("Did a change help? `bon compare A B` compares two runs query by query.", style="dim")
    return Group(Grid("", header, rows, texts=2), *told, *([Text("")] if told else []), hint)
