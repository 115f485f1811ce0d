"""`bon compare` as text: what was compared, what to beware of, and whether the change helped."""

from __future__ import annotations

from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from bon_hydra.report.comparison import CUT_OFF
from bon_hydra.report.tables import INTERVAL, Grid, percent, whole


def comparison_table(found: dict[str, Any]) -> RenderableType:
    """From the document of `compare_runs`."""
    parts: list[RenderableType] = []
    for side in "ab":
        parts.append(Text(f"{side}  {found[side]}"))
        if notes := " ".join(found["notes"][side].split()):
            parts.append(Text(f"   Notes: {notes}", style="dim"))
    if found["changed"]:
        changes = (f"{key} {_short(before)} -> {_short(after)}" for key, (before, after) in found["changed"].items())
        parts.append(Text("Changed: " + ", ".join(changes)))
    parts += [Text(""), *(Text(f"WARNING {line}", style="bold red") for line in found["warnings"])]
    draws = found["shared_candidates"]
    counted = (
        f"{found['shared_queries']:,} shared queries, {found['only_a']:,} only in a, {found['only_b']:,} only in b"
    )
    same = f"; {draws:,} candidates are the same draws in both" if draws else ""
    parts += [Text(f"{counted}{same}."), Text("")]
    splits = list(found["splits"].items())
    sections = splits if len(splits) == 1 else [*splits, ("overall", found["overall"])]
    cut = any(share > CUT_OFF for share in found["cut_off"].values())
    parts.append(_differences(f"{found['metric']}, query by query", "split", sections, cut))
    if by := found.get("by"):
        parts.append(_differences(f"By {by['key']}", by["key"], list(by["groups"].items()), cut))
    parts.append(Text(_conclusion(found["metric"], found["overall"]), style="bold"))
    parts.append(Text(f"Test: {found['overall']['method']}."))
    return Group(*parts)


def _short(value: Any) -> str:
    text = "null" if value is None else " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."


def points(difference: float | None) -> str:
    """`+4.2`, in percentage points."""
    return "–" if difference is None else f"{100 * difference:+.1f}"


def _differences(title: str, key: str, sections: list[tuple[str, dict[str, Any]]], cut: bool) -> Grid:
    several = len(sections) > 1
    rows = []
    for name, one in sections:
        low, high = one["ci95"] or (None, None)
        rows.append(
            [
                name,
                whole(one["queries"]),
                percent(one["rate_a"]),
                percent(one["rate_b"]),
                points(one["difference"]),
                f"[{points(low)}, {points(high)}]",
                p_value(one["p_value"]),
                *([p_value(one.get("p_holm"))] if several else []),
                *(whole(one[count]) for count in ("wins", "losses", "ties")),
                points(one["minimum_detectable_effect"]).removeprefix("+"),
                *([percent(one["uncut"]["rate_a"]), percent(one["uncut"]["rate_b"])] if cut else []),
            ]
        )
    header = [key, "queries", "a", "b", "b - a", INTERVAL, "p", *(["p (Holm)"] if several else [])]
    header += ["wins", "losses", "ties", "detectable", *(["a uncut", "b uncut"] if cut else [])]
    return Grid(title, header, rows)


def p_value(p: float | None) -> str:
    """Two figures, and never 0."""
    if p is None:
        return "–"
    return "< 1e-9" if p < 1e-9 else f"{p:.2g}"


def _conclusion(metric: str, overall: dict[str, Any]) -> str:
    difference, p = overall["difference"], overall["p_value"]
    low, high = (points(end) for end in overall["ci95"])
    effect = 100 * overall["minimum_detectable_effect"]
    if p <= 0.05:
        which = "better" if difference > 0 else "worse"
        return f"b is {which}: {metric} {points(difference)} points [{low}, {high}], p = {p_value(p)}."
    return (
        f"No difference can be told: {points(difference)} points [{low}, {high}], p = {p_value(p)}. "
        f"So many queries find a true difference of {effect:.1f} points four times in five."
    )
