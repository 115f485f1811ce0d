"""`bon compare SWEEP`: every finished point against the best one, or another, on the queries they share."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from bon_hydra.names import clean
from bon_hydra.report.comparison_table import p_value, points
from bon_hydra.report.sweep.points import Found, finished_points, largest_of_each
from bon_hydra.report.sweep.ranking import PASS_AT_N, rank
from bon_hydra.report.tables import INTERVAL, Grid, percent, whole
from bon_hydra.schema import ConfigError

BEST, FIRST = "best", "first"


def compare_sweep(folder: Path, metric: str | None = None, against: str = BEST) -> dict[str, Any]:
    """The document of `bon compare SWEEP --json`: one element a point, a the point that all are held against.

    `metric`: any that `bon compare` knows, of which points that differ in N alone have the same figure, so that the
    largest stands for them; default: what the sweep is ranked by. `against`: `best`, `first`, or a point's number.
    Raises ConfigError where there are not two finished points with shared queries, or `against` is none of them.
    """
    finished, others = finished_points(folder)
    ranking = rank(finished, metric, _number(against, finished, metric))
    if ranking is None:
        raise ConfigError(
            f"{folder}: it takes two finished points with shared queries that differ in more than N, unless they are "
            f"compared by {PASS_AT_N}; there {'is' if len(finished) == 1 else 'are'} {len(finished)} finished"
        )
    largest = largest_of_each(finished)
    document = []
    for one in finished:
        standing = ranking.standings.get(one.point.number)
        found = None if standing is None or standing.difference is None else asdict(standing.difference)
        document.append(
            {
                "job": one.point.number,
                "folder": one.point.folder,
                "swept": one.point.swept,
                "rate": standing.rate if standing else None,
                "best": bool(standing and standing.is_best),
                "overlaps": bool(standing and standing.overlaps),
                "within": None if largest[one.point.number] is one else largest[one.point.number].point.number,
                "p_holm": standing.p_holm if standing else None,
                "compared": found,
            }
        )
    return {
        "sweep": str(folder),
        "metric": ranking.metric,
        "against": ranking.against,
        "best": ranking.best,
        "queries": ranking.queries,
        "tests": ranking.tests,
        "points": document,
        "unfinished": [{"folder": one.point.folder, "status": one.point.status} for one in others],
    }


def _number(against: str, finished: list[Found], metric: str | None) -> int | None:
    if against == BEST:
        return None
    if against == FIRST:
        by_n = metric in (None, PASS_AT_N) and any("num_candidates" in one.point.swept for one in finished)
        first = finished[0]
        return (first if by_n else largest_of_each(finished)[first.point.number]).point.number
    if against.isdecimal():
        return int(against)
    raise ConfigError(f"--against {against}: wanted best, first, or the number of a point")


def sweep_comparison_table(found: dict[str, Any]) -> RenderableType:
    """From the document of `compare_sweep`."""
    held = next(one for one in found["points"] if one["job"] == found["against"])
    chosen = "the best" if found["against"] == found["best"] else "a"
    header = ["job", *held["swept"], "rate", f"- job {held['job']}", INTERVAL, "p", "p (Holm)"]
    header += ["wins", "losses", "ties", "detectable", "queries"]
    rows = []
    for one in found["points"]:
        if one["rate"] is None and one["within"] is not None:
            continue
        swept = [one["swept"].get(key, "") for key in held["swept"]]
        compared = one["compared"]
        if compared is None:
            why = chosen if one is held else f"same draws as {held['job']}" if one["overlaps"] else "nothing shared"
            rows.append([str(one["job"]), *swept, percent(one["rate"]), why, *[""] * 8])
            continue
        low, high = compared["ci95"]
        rows.append(
            [
                str(one["job"]),
                *swept,
                percent(one["rate"]),
                points(compared["difference"]),
                f"[{points(low)}, {points(high)}]",
                p_value(compared["p_value"]),
                p_value(one["p_holm"]),
                *(whole(compared[count]) for count in ("wins", "losses", "ties")),
                points(compared["minimum_detectable_effect"]).removeprefix("+"),
                whole(compared["queries"]),
            ]
        )
    title = f"{found['metric']}, query by query, against job {held['job']} ({_named(held)})"
    lines = [
        f"Rates are over the {found['queries']:,} queries that all these points have; "
        f"p (Holm) is adjusted for the comparisons that might have been made, {found['tests']} were."
    ]
    if len(rows) < len(found["points"]):
        lines.append("Points that differ in N alone have the same figure here: the largest stands for them.")
    if found["against"] == found["best"]:
        lines.append("The best was chosen on these queries, so its lead is likely to be smaller on others.")
    if found["unfinished"]:
        named = ", ".join(f"{one['folder']} ({one['status']})" for one in found["unfinished"])
        lines.append(f"Not finished, and left out: {named}.")
    grid = Grid(title, header, rows, texts=1 + len(held["swept"]))
    return Group(Text(clean(found["sweep"])), grid, *(Text(clean(line)) for line in lines))


def _named(one: dict[str, Any]) -> str:
    return clean(" ".join(f"{key}={value}" for key, value in one["swept"].items()) or one["folder"])
