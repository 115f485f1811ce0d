"""`bon ls` as text. On a narrow terminal the less telling columns are left out, and said to be."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from rich.cells import cell_len
from rich.console import Console, Group, RenderableType
from rich.text import Text

from bon_hydra.report.listing import Line, Listed
from bon_hydra.report.tables import GAP, Grid, dollars, percent, whole

LEFT_OUT_FIRST = ("run", "splits", "T", "cost", "candidates", "model")
LEFT_OUT_LAST = ("N", "status")
"""Where the others do not fit without the notes either."""
NOTES_LEAST = 14


def listing_table(lines: Sequence[Line], out: Console) -> RenderableType:
    """A line a run or sweep, the newest last, right above the prompt."""
    columns: dict[str, list[str]] = {
        "when": [_when(line) for line in lines],
        "experiment": [_each(line, lambda run: run.experiment) for line in lines],
        "model": [_each(line, lambda run: run.model) for line in lines],
        "status": [line.status() for line in lines],
        "N": [_each(line, lambda run: run.num_candidates) for line in lines],
        "T": [_each(line, lambda run: run.temperature) for line in lines],
        "candidates": [whole(_sum(run.total_records for run in line.runs)) for line in lines],
        "verified": [_verified(line) for line in lines],
        "cost": [dollars(_sum(run.cost_usd for run in line.runs)) for line in lines],
        "splits": [_splits(line) for line in lines],
        "run": [line.path for line in lines],
        "notes": [_first_line(line) for line in lines],
    }
    dropped = []
    if not any(columns["notes"]):
        del columns["notes"]
    least = NOTES_LEAST if "notes" in columns else 0
    if out.is_terminal:
        for name in LEFT_OUT_FIRST:
            if _room(columns, out.width) < least:
                dropped.append(name)
                del columns[name]
        room = _room(columns, out.width)
        if least and room < least:
            dropped.append("notes")
            del columns["notes"]
        elif least:
            columns["notes"] = [text if cell_len(text) <= room else text[: room - 1] + "…" for text in columns["notes"]]
        for name in LEFT_OUT_LAST:
            if _room(columns, out.width) + GAP < 0:
                dropped.append(name)
                del columns[name]
    figures = [name for name in ("N", "T", "candidates", "verified", "cost") if name in columns]
    texts = [name for name in columns if name not in figures]
    ordered = [name for name in ("when", "experiment", "model", *figures, "status") if name in columns]
    ordered += [name for name in texts if name not in ordered]
    rows = list(zip(*(columns[name] for name in ordered), strict=True))
    parts: list[RenderableType] = [Grid("", ordered, rows, figures=figures, space=False)]
    if dropped:
        names = ", ".join(reversed(dropped))
        parts.append(Text(f"No room for: {names} (a wider terminal, a pipe and --json have them).", style="dim"))
    return Group(*parts)


def _room(columns: dict[str, list[str]], width: int) -> int:
    """What is left for the notes."""
    taken = sum(max(map(cell_len, [name, *cells])) + GAP for name, cells in columns.items() if name != "notes")
    return width - taken


def _when(line: Line) -> str:
    times = [run.when for run in line.runs if run.when]
    return f"{min(times):%Y-%m-%d %H:%M}" if times else "–"


def _each(line: Line, read: Callable[[Listed], Any]) -> str:
    """The value, or those of a sweep."""
    values = list(dict.fromkeys(value for run in line.runs if (value := read(run)) is not None))
    if not values:
        return "–"
    if all(isinstance(value, int | float) for value in values):
        values.sort()
    if len(values) > 4:
        return f"{values[0]}…{values[-1]}"
    return ",".join(map(str, values))


def _sum(values: Iterable[Any]) -> Any:
    known = [value for value in values if value is not None]
    return sum(known) if known else None


def _verified(line: Line) -> str:
    rates = [run.verification_rate for run in line.runs if run.verification_rate is not None]
    if not rates:
        return "–"
    low, high = percent(min(rates)), percent(max(rates))
    return low if low == high else f"{low.removesuffix(' %')}–{high}"


def _splits(line: Line) -> str:
    return ",".join(dict.fromkeys(split for run in line.runs for split in run.splits)) or "–"


def _first_line(line: Line) -> str:
    notes = next((notes for run in line.runs if (notes := run.notes.strip())), "")
    return notes.splitlines()[0].strip() if notes else ""
