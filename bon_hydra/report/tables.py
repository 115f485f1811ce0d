"""Tables and figures as text: with colour and rules on a terminal, as plain aligned text in a pipe.

This module knows how figures look, not where they were counted. Print with `console()`, which never wraps or cuts a
table in a pipe.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import zip_longest
from typing import Any, Literal, TextIO

from rich import box
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from bon_hydra.names import clean
from bon_hydra.records import SCORED
from bon_hydra.report.terminal import Terminal
from bon_hydra.runs import json_object

INTERVAL = "95 %"
"""The title of a column that belongs to the one before it."""
GAP = 2
"""Columns of a terminal between two columns of a table."""
ESCAPED = {code: f"\\u{code:04x}" for code in range(127, 160)}
PIPE_WIDTH = 100_000
"""Columns of a pipe: more than any table takes."""


def console(file: TextIO | None = None) -> Console:
    """A console for results: texts are taken as they are (no markup), and a pipe is as wide as its lines."""
    out = Terminal(file=file or sys.stdout, markup=False, emoji=False, highlight=False)
    if not out.is_terminal:
        out.width = PIPE_WIDTH
    return out


class Grid:
    """A table with a title: texts to the left, figures to the right; rules only on a terminal.

    Where a terminal is too narrow, the columns of figures are continued below, beside the texts again.
    """

    def __init__(
        self,
        title: str,
        header: Sequence[str],
        rows: Iterable[Sequence[str]],
        texts: int = 1,
        figures: Sequence[str] | None = None,
        space: bool = True,
    ) -> None:
        """`texts`: so many columns from the left hold text, the others figures; or `figures` names those.

        With `figures` the columns stay beside each other, however narrow the terminal. `space`: an empty line below.
        """
        self._title, self._header = title, list(header)
        self._texts = texts if figures is None else len(self._header)
        self._right = set(figures or ())
        self._space = space
        self._rows = [[clean(cell) for cell in row] for row in rows]

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """As rich asks for it."""
        if self._title:
            yield Text(clean(self._title), style="bold cyan")
        if console.is_terminal:
            for number, columns in enumerate(self._blocks(options.max_width)):
                if number:
                    yield Text("")
                table = Table(
                    box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold"
                )
                for at in columns:
                    justify: Literal["left", "right"] = "right" if self._is_figure(at) else "left"
                    table.add_column(self._header[at], justify=justify, overflow="fold")
                for row in self._rows:
                    table.add_row(*(Text(row[at]) for at in columns))
                yield table
        else:
            for line in self._plain():
                yield Text(line)
        if self._space:
            yield Text("")

    def _is_figure(self, at: int) -> bool:
        return at >= self._texts or self._header[at] in self._right

    def _widths(self) -> list[int]:
        table = [self._header, *self._rows]
        return [max(cell_len(line) for row in table for line in row[at].split("\n")) for at in range(len(self._header))]

    def _blocks(self, width: int) -> list[list[int]]:
        """Columns that fit beside each other, the texts in each block; an interval stays with its rate."""
        widths = self._widths()
        texts = list(range(self._texts))
        together: list[list[int]] = []
        for at in range(self._texts, len(widths)):
            if self._header[at] == INTERVAL and together:
                together[-1].append(at)
            else:
                together.append([at])
        beside = sum(widths[at] + GAP for at in texts)
        blocks, left = [list(texts)], width - beside
        for columns in together:
            taken = sum(widths[at] + GAP for at in columns)
            if taken > left and blocks[-1] != texts:
                blocks.append(list(texts))
                left = width - beside
            blocks[-1] += columns
            left -= taken
        return blocks

    def _plain(self) -> Iterator[str]:
        """Aligned lines without anything behind the last word."""
        widths = self._widths()
        for row in [self._header, *self._rows]:
            for cells in zip_longest(*(cell.split("\n") for cell in row), fillvalue=""):
                padded = (
                    " " * (width - cell_len(cell)) + cell
                    if self._is_figure(at)
                    else cell + " " * (width - cell_len(cell))
                    for at, (cell, width) in enumerate(zip(cells, widths, strict=True))
                )
                yield "  ".join(padded).rstrip()


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
    sections = sections_of(summary)
    last = summary["overall"]["reach"]
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
    told = [*left_out(summary["overall"]), *sample(summary["metadata"])]
    return Group(Grid("", header, rows), *(Text(line) for line in told))


def left_out(overall: dict[str, Any]) -> list[str]:
    """What the rates leave out or must be read with, a sentence each."""
    lines = []
    if unscored := {name: count for name, count in overall["verdicts"].items() if name not in SCORED}:
        named = ", ".join(f"{name} {count:,}" for name, count in unscored.items())
        lines.append(f"Not scored, and not counted as wrong: {named}.")
    if reasons := overall["coverage"]["left_out"]:
        named = ", ".join(f"{name} {count:,}" for name, count in reasons.items())
        of_all = percent(sum(reasons.values()) / overall["queries"])
        lines.append(f"Queries left out, since none of their candidates is scored: {named} ({of_all}).")
    if unscored and overall["plain_mean"] is not None:
        plain = percent(overall["plain_mean"])
        lines.append(f"The plain mean of is_verified over all rows, which counts those as wrong, is {plain}.")
    if bounds := overall["bounds"]:
        low, high = (percent(bound) for bound in bounds["verification_rate"])
        missing, share = overall["missing"]["candidates"], percent(overall["missing"]["share"])
        lines.append(
            f"{_candidates(missing)} ({share}) {'is' if missing == 1 else 'are'} missing: the verification rate is "
            f"{low} with all of them wrong, {high} with all of them right."
        )
    if overall["truncated"]:
        share = percent(overall["truncated"] / overall["candidates"])
        lines.append(f"Cut off at the token limit: {_candidates(overall['truncated'])} ({share}).")
    return lines


def _candidates(count: int) -> str:
    return f"{count:,} candidate" if count == 1 else f"{count:,} candidates"


def sample(metadata: dict[str, str]) -> list[str]:
    """How the queries were chosen; a head of a larger set is no sample of it."""
    sample = json_object(metadata.get("totals")).get("sample")
    if not isinstance(sample, dict):
        return []
    lines = ["Queries: " + ", ".join(f"{split} {how}" for split, how in sample.items()) + "."]
    if "head" in sample.values():
        lines.append("A head is the first rows of a larger set, no sample of it; dataset.shuffle_seed=0 draws one.")
    return lines


def sections_of(summary: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    splits = list(summary["splits"].items())
    return splits if len(splits) == 1 else [*splits, ("overall", summary["overall"])]


def json_document(document: dict[str, Any]) -> str:
    """One JSON document; NaN, which JSON does not have, would be a fault of ours and raises ValueError.

    Control characters that JSON allows as they are (DEL and C1) are escaped: a terminal may show it.
    """
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False).translate(ESCAPED)
