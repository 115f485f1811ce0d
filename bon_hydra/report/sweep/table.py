"""A sweep as text: every point with its rates, and which can't be told from the best."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from bon_hydra.names import clean
from bon_hydra.report.sweep.rows import View
from bon_hydra.report.tables import INTERVAL, Grid, dollars, interval, percent, whole

BEST, NOT_TOLD, SAME_DRAWS, WORSE = "best", "not told from it", "overlaps it", "worse"
RANKED = {
    "pass@1": "pass@1, the chance that one candidate of a point is right",
    "pass@N": "pass@N, the chance that one or more of a point's N candidates are right",
}


def sweep_table(view: View) -> RenderableType:
    """The table of a sweep's points, and what it must be read with."""
    rows = view.overall
    prefixes = any(row["prefix_of_job"] is not None for row in rows)
    header = ["job", *view.swept, "status", *(["draws"] if prefixes else [])]
    header += [f"by {view.ranked_by}"] if view.ranked_by else []
    texts = len(header)
    header += ["queries", "verified", INTERVAL, "pass@N", INTERVAL, "majority", "tokens", "cost"]
    cells = []
    for row in rows:
        within = row["prefix_of_job"]
        texts_ = [str(row["job"]), *(shown(row.get(key)) for key in view.swept), row["status"]]
        texts_ += [("own" if within is None else f"within {within}")] if prefixes else []
        texts_ += [mark(row)] if view.ranked_by else []
        cells.append([*texts_, *_figures(row), *[""] * (0 if row.get("queries") else 8)])
    grid = Grid(f"sweep of {clean(view.experiment)}: {view.status}", header, cells, texts=texts)
    return Group(grid, *(Text(line) for line in notes(view)))


def shown(value: Any) -> str:
    """A swept value as one types it."""
    if value is None:
        return "null"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else f"{value:g}"
    return str(value)


def mark(row: dict[str, Any]) -> str:
    """How a row's point stands against the best."""
    if row.get("best") is None:
        return "–"
    if row["best"]:
        return BEST
    if row["overlaps"]:
        return SAME_DRAWS
    if row["not_told_from_best"]:
        return NOT_TOLD
    return WORSE if row.get("p_holm") is not None else "–"


def _figures(row: dict[str, Any]) -> list[str]:
    if not row.get("queries"):
        return []
    majority = row["majority_at_k"] or [None]
    return [
        whole(row["queries"]),
        percent(row["verification_rate"]),
        _between(row, "verification_rate"),
        percent(row["pass_at_n"]),
        _between(row, "pass_at_n"),
        percent(majority[-1]),
        whole(row["completion_tokens"]),
        dollars(row["cost_usd"]),
    ]


def _between(row: dict[str, Any], name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return interval(None if low is None or high is None else (low, high))


def named(view: View, row: dict[str, Any]) -> str:
    """`num_candidates=4 temperature=0.7`, of one of the view's rows."""
    return clean(" ".join(f"{key}={shown(row.get(key))}" for key in view.swept) or row["folder"])


def notes(view: View) -> list[str]:
    """What the table must be read with, a sentence or two each."""
    lines = []
    if any(row["prefix_of_job"] is not None for row in view.overall):
        lines.append(
            "Points that differ in N alone share draws: a smaller N is a prefix of the largest. Their rates overlap, "
            "are not tested against each other, and pass@N is read from the curve of the largest that is finished."
        )
    best = next((row for row in view.overall if row.get("best")), None)
    if view.ranked_by is None or best is None:
        finished = [row for row in view.overall if row.get("queries")]
        apart = sum(row["prefix_of_job"] is None for row in finished)
        why = "it takes two finished points"
        if len(finished) > 1:
            why = "no query is in all finished points" if apart > 1 else "all finished points are the same draws"
        return [*lines, f"No best point is named: {why}."]
    by = RANKED.get(view.ranked_by, view.ranked_by)
    lines.append(f"Ranked by {by}, over the {view.ranked_queries:,} queries that all finished points have.")
    rate = best["pass_at_n" if view.ranked_by == "pass@N" else "verification_rate"]
    told = f"Best: job {best['job']} ({named(view, best)}), {percent(rate)}."
    if view.tests:
        told += (
            f' "{NOT_TOLD}" marks every point that a paired test can\'t tell from it (0.05, Holm over all '
            f"that might have been the best; {view.tests} tested)."
        )
    lines.append(told)
    lines.append(
        "The best was chosen on these queries, so its rate is likely to be lower on others: judge it on some that had "
        "no part in the choice."
    )
    return lines
