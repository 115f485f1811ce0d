"""The panels of the picture that `plot` puts together: one function each, from sections of a summary to axes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from bon_hydra.report.tables import dollars
from bon_hydra.statistics import binary_rate

if TYPE_CHECKING:
    from matplotlib.axes import Axes

INK, FAINT, PAPER = "#1f2933", "#8792a2", "#ffffff"
OUTCOMES = {
    "verified": "#2f8f5b",
    "wrong": "#d98880",
    "cut off": "#e0a93b",
    "unverifiable": "#c5ccd6",
    "errors": "#6b7280",
}


@dataclass(frozen=True)
class Series:
    """One line or bar: a split, a group, a whole run."""

    name: str
    section: dict[str, Any]
    colour: str
    is_whole: bool = False


def plain(text: str, most: int = 34) -> str:
    """A text of others as it stands: no formulas, not too long."""
    line = " ".join(text.split())
    return (line if len(line) <= most else f"{line[: most - 1]}…").replace("$", r"\$")


def draw_curves(axes: Axes, series: Sequence[Series]) -> None:
    """pass@k with bands; majority@k and best@k of the whole run, or of each run, dashed and dotted."""
    from matplotlib.lines import Line2D

    axes.set_title("What do k candidates give?")
    extra, ends = {}, []
    for one in series:
        ks, rates, low, high = _curve(one.section["pass_at_k"])
        if not ks:
            continue
        width = 2.6 if one.is_whole else 1.9
        axes.fill_between(ks, low, high, color=one.colour, alpha=0.13, linewidth=0)
        axes.plot(ks, rates, color=one.colour, linewidth=width, marker="o", markersize=4.2, markeredgecolor=PAPER)
        ends.append((rates[-1], ks[-1], one))
        if one.is_whole or not any(other.is_whole for other in series):
            for key, style, name in (("majority_at_k", "--", "majority@k"), ("best_at_k", ":", "best@k by score")):
                at, elected, *_ = _curve(one.section[key])
                if at:
                    axes.plot(at, elected, color=one.colour, linestyle=style, linewidth=1.5)
                    extra[name] = style
    most = max((k for _, k, _ in ends), default=1)
    _label_ends(axes, ends, most)
    if most > 24:
        axes.set_xscale("log", base=2)
    else:
        axes.set_xlim(1 - 0.02 * most, most * 1.01 + 0.14 * max(most - 1, 1))
    axes.set_xticks([k for k in range(1, most + 1) if most <= 16 or k & (k - 1) == 0 or k == most])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
    axes.xaxis.set_minor_locator(_nothing())
    axes.set_xlabel("k", color="#52606d")
    _percent_axis(axes.yaxis)
    lowest, highest = axes.get_ylim()
    axes.set_ylim(max(-0.005, lowest), min(1.02, highest))
    lines = [Line2D([], [], color=FAINT, linewidth=2, marker="o", markersize=4.2, label="pass@k, 95 % band")]
    for name, style in extra.items():
        lines.append(Line2D([], [], color=FAINT, linestyle=cast(Any, style), linewidth=1.5, label=name))
    axes.legend(handles=lines, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=3, fontsize=8.5, borderpad=0.1)


def _label_ends(axes: Axes, ends: list[tuple[float, int, Series]], most: int) -> None:
    """Names at the ends of the lines, moved apart where they would meet."""
    if not ends:
        return
    low, high = axes.get_ylim()
    gap = (high - low) * 0.052
    taken = -1.0
    for rate, k, one in sorted(ends, key=lambda end: end[0]):
        ends_here = k == most
        at = max(rate, taken + gap) if ends_here else rate
        taken = at if ends_here else taken
        axes.annotate(
            f"{one.name}  {100 * rate:.0f} %",
            (k, at),
            xytext=(9, 0) if ends_here else (0, 9),
            textcoords="offset points",
            color=one.colour,
            ha="left" if ends_here else "center",
            va="center",
            fontsize=9,
            fontweight="bold" if one.is_whole else "normal",
            annotation_clip=False,
        )


def _curve(points: dict[str, Any]) -> tuple[list[int], list[float], list[float], list[float]]:
    known = [(int(k), point) for k, point in points.items() if point["estimate"] is not None]
    ends = [point["ci95"] or (point["estimate"], point["estimate"]) for _, point in known]
    return [k for k, _ in known], [p["estimate"] for _, p in known], [e[0] for e in ends], [e[1] for e in ends]


def _nothing() -> Any:
    from matplotlib.ticker import NullLocator

    return NullLocator()


def _percent_axis(axis: Any) -> None:
    axis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")


def draw_index(axes: Axes, series: Sequence[Series]) -> None:
    """Rates by candidate index: flat, if all is well. Of one run with splits, the whole alone."""
    axes.set_title("Does the first win?")
    shown = [one for one in series if one.is_whole] or list(series)
    width = max((len(one.section["candidate_idx"]) for one in shown), default=1)
    for at, one in enumerate(shown):
        shift = (at - (len(shown) - 1) / 2) * min(0.16, 0.7 / len(shown))
        for index, counts in one.section["candidate_idx"].items():
            rate = binary_rate(counts["verified"], counts["scored"])
            if rate.estimate is not None and rate.ci95 is not None:
                x = int(index) + shift
                axes.plot([x, x], rate.ci95, color=one.colour, linewidth=1.6, alpha=0.45, solid_capstyle="round")
                axes.plot(x, rate.estimate, "o", color=one.colour, markersize=5, markeredgecolor=PAPER)
        if (mean := one.section["verification_rate"]) is not None:
            axes.axhline(mean, color=one.colour, linewidth=1, linestyle=(0, (4, 3)), alpha=0.6, zorder=1)
    axes.set_xlim(-0.6, width - 0.4)
    axes.set_xticks(range(width) if width <= 16 else range(0, width, max(1, width // 8)))
    axes.set_xlabel("candidate index", color="#52606d")
    axes.grid(visible=False, axis="x")
    _percent_axis(axes.yaxis)
    low, high = axes.get_ylim()
    axes.set_ylim(max(0.0, low - 0.02), min(1.0, high + 0.02))
    said = [one.section["index_test"] for one in shown]
    faults = [test for test in said if test["says"].startswith(("not flat", "all candidates"))]
    if faults:
        axes.set_title("not flat: see bon inspect", loc="right", fontsize=9, color="#b3261e", fontweight="normal")
    elif known := [test["p_value"] for test in said if test["p_value"] is not None]:
        least = f"p = {min(known):.2g}" if len(known) == 1 else f"p ≥ {min(known):.2g}"
        axes.set_title(f"flat ({least})", loc="right", fontsize=9, color="#52606d", fontweight="normal")


def _bars(axes: Axes, series: Sequence[Series], title: str, named: bool = False) -> list[tuple[float, Series]]:
    """Axes for a horizontal bar a series, the first on top."""
    axes.set_title(title)
    axes.grid(visible=False, axis="y")
    axes.spines["left"].set_visible(False)
    places = [(float(len(series) - 1 - at), one) for at, one in enumerate(series)]
    axes.set_ylim(-0.65, len(series) - 0.35)
    axes.set_yticks([place for place, _ in places] if named else [])
    if named:
        axes.set_yticklabels([one.name for _, one in places])
        for label, (_, one) in zip(axes.get_yticklabels(), places, strict=True):
            label.set_color(one.colour)
            label.set_fontweight("bold" if one.is_whole else "normal")
    return places


def draw_outcomes(axes: Axes, series: Sequence[Series]) -> None:
    from matplotlib.patches import Patch

    used: dict[str, str] = {}
    for place, one in _bars(axes, series, "What became of the candidates", named=True):
        left = 0.0
        for name, share in outcome_shares(one.section).items():
            if share:
                used[name] = OUTCOMES[name]
                axes.barh(place, share, 0.62, left=left, color=OUTCOMES[name], edgecolor=PAPER, linewidth=0.8)
                if share > 0.09:
                    ink = PAPER if name in ("verified", "errors") else INK
                    told = f"{100 * share:.0f} %"
                    axes.text(left + share / 2, place, told, ha="center", va="center", fontsize=8, color=ink)
                left += share
    axes.set_xlim(0, 1)
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    patches = [Patch(color=colour, label=name) for name, colour in OUTCOMES.items() if name in used]
    axes.legend(
        handles=patches,
        loc="upper left",
        bbox_to_anchor=(-0.02, 0.0),
        ncols=5,
        fontsize=8.5,
        columnspacing=1.0,
        handlelength=0.9,
        handletextpad=0.4,
        borderpad=0.0,
    )


def outcome_shares(section: dict[str, Any]) -> dict[str, float]:
    """What became of a section's candidates, as shares of all of them; cut-off answers that are right are verified."""
    total = section["candidates"] or 1
    verdicts = section["verdicts"]
    uncut = section["uncut"]
    cut_off = (section["scored"] - section["verified"]) - (uncut["scored"] - uncut["verified"])
    errors = sum(verdicts.get(name, 0) for name in ("verifier_error", "api_error"))
    return {
        "verified": section["verified"] / total,
        "wrong": (uncut["scored"] - uncut["verified"]) / total,
        "cut off": cut_off / total,
        "unverifiable": verdicts.get("unverifiable", 0) / total,
        "errors": errors / total,
    }


def draw_spread(axes: Axes, series: Sequence[Series], key: str, title: str) -> None:
    """The middle half and the middle nine tenths, with the median."""
    drawn = False
    for place, one in _bars(axes, series, title):
        quantiles = one.section["quantiles"][key]
        if quantiles["0.5"] is None:
            continue
        drawn = True
        axes.plot([quantiles["0.05"], quantiles["0.95"]], [place] * 2, color=one.colour, linewidth=2, alpha=0.35)
        axes.plot(
            [quantiles["0.25"], quantiles["0.75"]],
            [place] * 2,
            color=one.colour,
            linewidth=9,
            alpha=0.45,
            solid_capstyle="butt",
        )
        axes.plot(quantiles["0.5"], place, "o", color=one.colour, markersize=6, markeredgecolor=PAPER)
        label = f"{quantiles['0.5']:,.0f}" if quantiles["0.5"] >= 10 else f"{quantiles['0.5']:.2g}"
        axes.annotate(
            label,
            (quantiles["0.5"], place),
            xytext=(0, 8),
            textcoords="offset points",
            ha="center",
            fontsize=8,
            color=one.colour,
        )
    if drawn:
        axes.set_xlim(left=0)
        axes.margins(x=0.08)
    else:
        _nothing_known(axes)


def draw_cost(axes: Axes, series: Sequence[Series]) -> None:
    known = []
    for place, one in _bars(axes, series, "Cost per verified answer"):
        if (cost := one.section["cost_per_verified"]) is not None:
            known.append(cost)
            axes.barh(place, cost, 0.5, color=one.colour, alpha=0.75)
            axes.annotate(
                plain(dollars(cost)),
                (cost, place),
                xytext=(5, 0),
                textcoords="offset points",
                va="center",
                fontsize=8.5,
            )
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    if known:
        axes.set_xlim(0, max(known) * 1.35 or 1.0)
    else:
        _nothing_known(axes)


def _nothing_known(axes: Axes) -> None:
    axes.set_xticks([])
    axes.spines["bottom"].set_visible(False)
    axes.text(0.0, 0.5, "not known", transform=axes.transAxes, color=FAINT, va="center")
