"""A sweep as one picture: what N candidates give at each setting, and a heat map where two parameters were swept.

What is drawn comes from the rows of `sweep.parquet`. Numbers get colours of one scale, names get colours far apart;
both are told apart by colour-blind eyes, by their order in grey, and by their marker.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bon_hydra.report.panels import INK, PAPER, plain
from bon_hydra.report.plot import STYLE, check_plot
from bon_hydra.report.sweep.points import FINISHED
from bon_hydra.report.sweep.rows import View
from bon_hydra.report.sweep.table import shown
from bon_hydra.schema import ConfigError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

N, T = "num_candidates", "temperature"
SHORT = {N: "N", T: "T"}
FAR_APART = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8a6d3b")
"""Okabe and Ito's (2008), which colour-blind eyes tell apart."""
MARKERS = "osD^vPX*"
MARKED: dict[str, Any] = {"markersize": 7, "markeredgecolor": PAPER, "markeredgewidth": 0.7}
MOST = 8
"""Lines in one picture; of more, the best are drawn."""
GREY = "#52606d"
LEFT = 0.72
"""Inches to the left of the axes."""
MOST_CELLS = 14
"""Columns or rows of a heat map whose cells have room for their figures."""


@dataclass(frozen=True)
class Line:
    """Points that differ in N alone, by the largest of them."""

    name: str
    row: dict[str, Any]
    colour: Any
    marker: str


def can_plot(view: View) -> bool:
    """Whether there are two finished points to draw."""
    return len(_finished(view)) > 1


def _finished(view: View) -> list[dict[str, Any]]:
    return [row for row in view.overall if row["status"] in FINISHED and row.get("queries")]


def plot_sweep(view: View, path: Path) -> None:
    """Draw the finished points into a PNG or SVG file.

    Raises ConfigError where fewer than two points are finished, or the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    check_plot(path)
    rows = _finished(view)
    if len(rows) < 2:
        raise ConfigError(f"--plot: {len(rows)} of {len(view.overall)} points finished; it takes two to draw a sweep")
    axes_of = heat_axes(view, rows)
    lines, left_out = _lines(view, rows)
    has_curves = max(len(_known(line.row)) for line in lines) > 1
    columns = 4 if max(len(line.name) for line in lines) <= 9 else 2
    below = 0.68 + (0.22 * -(-len(lines) // columns) + 0.12 if has_curves else 0.0)
    height, width = 4.9 + below, 12.4 if axes_of else 8.2
    with mpl.rc_context(cast(Any, STYLE)):
        figure = Figure(figsize=(width, height), dpi=150, facecolor=PAPER)
        edges = {"left": LEFT / width, "right": 1 - 0.32 / width, "top": 1 - 1.38 / height, "bottom": below / height}
        grid = figure.add_gridspec(1, 2 if axes_of else 1, wspace=0.24, **edges)
        _headline(figure, view, rows)
        first = figure.add_subplot(grid[0, 0])
        if has_curves:
            _draw_curves(first, lines, left_out)
            _legend(first, lines, columns)
        else:
            _draw_points(first, view, rows)
        if axes_of:
            _draw_heat(figure.add_subplot(grid[0, 1]), view, rows, *axes_of)
        try:
            figure.savefig(path, metadata={"Date": None} if path.suffix.lower() == ".svg" else {})
        except OSError as error:
            raise ConfigError(f"--plot {path}: cannot be written: {error.strerror or error}") from None


def _headline(figure: Figure, view: View, rows: Sequence[dict[str, Any]]) -> None:
    width, height = figure.get_size_inches()
    models = ", ".join(dict.fromkeys(str(row["model"]) for row in rows))
    queries = {row["queries"] for row in rows}
    counted = f"{min(queries):,}" if len(queries) == 1 else f"{min(queries):,} to {max(queries):,}"
    points = f"{len(rows)} of {len(view.overall)} points" if len(rows) < len(view.overall) else f"{len(rows)} points"
    facts = f"{plain(models, 50)} · {points} · {counted} queries each"
    figure.text(
        LEFT / width,
        1 - 0.36 / height,
        f"Sweep of {plain(view.experiment, 50)}",
        fontsize=16,
        fontweight="bold",
        va="center",
    )
    figure.text(LEFT / width, 1 - 0.68 / height, facts, fontsize=10, color=GREY, va="center")


def _lines(view: View, rows: Sequence[dict[str, Any]]) -> tuple[list[Line], int]:
    """A line for each setting but N, and how many were left out for want of colours."""
    keys = [key for key in view.swept if key != N]
    largest: dict[tuple[Any, ...], dict[str, Any]] = {}
    for row in rows:
        setting = tuple(row.get(key) for key in keys)
        if setting not in largest or row[N] > largest[setting][N]:
            largest[setting] = row
    ordered = sorted(largest.items(), key=lambda item: tuple(_place(value) for value in item[0]))
    if left_out := max(0, len(ordered) - MOST):
        best = sorted(ordered, key=lambda item: -(item[1]["pass_at_n"] or 0))[:MOST]
        ordered = [item for item in ordered if item in best]
    scale = len(keys) == 1 and all(isinstance(setting[0], int | float) for setting, _ in ordered)
    return [
        Line(_setting(keys, setting), row, _colour(at, len(ordered), scale), MARKERS[at % len(MARKERS)])
        for at, (setting, row) in enumerate(ordered)
    ], left_out


def _setting(keys: Sequence[str], values: Sequence[Any]) -> str:
    text = " ".join(f"{SHORT.get(key, key)}={shown(value)}" for key, value in zip(keys, values, strict=True))
    return plain(text or "all points", 40)


def _colour(at: int, count: int, scale: bool) -> Any:
    """Of one scale from dark blue to orange where the settings are numbers, else far apart."""
    if not scale:
        return FAR_APART[at % len(FAR_APART)]
    import matplotlib as mpl

    return mpl.colormaps["plasma"](0.05 + 0.72 * (at / max(1, count - 1)))


def _place(value: Any) -> tuple[int, float, str]:
    """Numbers by their size, before names; null first."""
    if value is None:
        return 0, 0.0, ""
    return (1, float(value), "") if isinstance(value, int | float) else (2, 0.0, str(value))


def _known(row: dict[str, Any]) -> list[tuple[int, float, float, float]]:
    """k, pass@k and its interval, as far as the curve goes."""
    curve = zip(row["pass_at_k"], row["pass_at_k_low"], row["pass_at_k_high"], strict=True)
    return [
        (k, rate, rate if low is None else low, rate if high is None else high)
        for k, (rate, low, high) in enumerate(curve, 1)
        if rate is not None
    ]


def _draw_curves(axes: Axes, lines: Sequence[Line], left_out: int) -> None:
    most = 1
    for line in lines:
        ks, rates, low, high = zip(*_known(line.row), strict=True)
        most = max(most, ks[-1])
        axes.fill_between(ks, low, high, color=line.colour, alpha=0.11, linewidth=0)
        axes.plot(ks, rates, color=line.colour, linewidth=2, label=line.name)
        marked = [at for at, k in enumerate(ks) if len(ks) <= 16 or k & (k - 1) == 0 or k == ks[-1]]
        axes.plot(
            [ks[at] for at in marked],
            [rates[at] for at in marked],
            linestyle="",
            color=line.colour,
            marker=line.marker,
            **MARKED,
        )
    if most > 8:
        axes.set_xscale("log", base=2)
    ticks = [k for k in range(1, most + 1) if most <= 8 or k & (k - 1) == 0 or k == most]
    axes.set_xticks(ticks)
    axes.minorticks_off()
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
    axes.set_xlabel("N, candidates a query")
    axes.set_ylabel("queries with a verified candidate")
    of = f"; the best {len(lines)} of {len(lines) + left_out}" if left_out else ""
    _titled(axes, "What do N candidates give?", f"pass@N, 95 % bands{of}")
    _percent(axes)


def _legend(axes: Axes, lines: Sequence[Line], columns: int) -> None:
    """Below the axes, where no line can be."""
    from matplotlib.lines import Line2D

    handles = [Line2D([], [], color=line.colour, linewidth=2, marker=line.marker, **MARKED) for line in lines]
    down = -0.5 / (axes.get_position().height * _inches(axes)[1])
    axes.legend(
        handles,
        [line.name for line in lines],
        loc="upper left",
        bbox_to_anchor=(-0.01, down),
        ncols=columns,
        fontsize=9,
        handlelength=2.4,
        columnspacing=1.4,
        borderpad=0.0,
    )


def _inches(axes: Axes) -> tuple[float, float]:
    """Width and height of the whole picture."""
    width, height = cast(Any, axes.figure).get_size_inches()
    return float(width), float(height)


def _draw_points(axes: Axes, view: View, rows: Sequence[dict[str, Any]]) -> None:
    """One rate a point: over the one number that was swept, else by name."""
    keys = [key for key in view.swept if len({row.get(key) for row in rows}) > 1]
    ordered = sorted(rows, key=lambda row: tuple(_place(row.get(key)) for key in keys))
    if left_out := max(0, len(ordered) - 24):
        best = sorted(ordered, key=lambda row: -(row["verification_rate"] or 0))[:24]
        ordered = [row for row in ordered if row in best]
    values: list[Any] = [row.get(keys[0]) for row in ordered] if len(keys) == 1 else []
    rates = [row["verification_rate"] for row in ordered]
    ends = [
        [abs(row["verification_rate"] - (row[f"verification_rate_{end}"] or 0)) for row in ordered]
        for end in ("low", "high")
    ]
    drawn: Any = {"color": FAR_APART[0], "fmt": "o", "markersize": 7, "markeredgecolor": PAPER, "elinewidth": 1.6}
    subtitle = "pass@1, 95 % intervals" + (f", the best 24 of {len(rows)}" if left_out else "")
    if values and all(isinstance(value, int | float) for value in values) and len(set(values)) == len(values):
        axes.errorbar(values, rates, yerr=ends, **drawn)
        axes.plot(values, rates, color=FAR_APART[0], linewidth=1.2, alpha=0.5)
        axes.set_xticks(values)
        axes.xaxis.set_major_formatter(lambda value, _: shown(float(value)))
        axes.set_xlabel(keys[0])
        axes.set_ylabel("verified among candidates")
        _titled(axes, f"What does {keys[0]} do?", subtitle)
        _percent(axes)
        return
    places = list(range(len(ordered) - 1, -1, -1))
    axes.errorbar(rates, places, xerr=ends, **drawn)
    names = [_setting(keys, [row.get(key) for key in keys]) if keys else plain(row["folder"], 40) for row in ordered]
    axes.set_yticks(places, names)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")
    axes.set_xlabel("verified among candidates")
    position = axes.get_position()
    position.x0 = (0.35 + 0.078 * max(map(len, names))) / _inches(axes)[0]
    axes.set_position(position)
    axes.set_ylim(-0.6, len(ordered) - 0.4)
    _titled(axes, "How often is a candidate right?", subtitle)


def _titled(axes: Axes, title: str, subtitle: str) -> None:
    axes.set_title(title, pad=24)
    axes.text(0, 1.035, subtitle, transform=axes.transAxes, fontsize=9, color=GREY)


def _percent(axes: Axes) -> None:
    low, high = axes.get_ylim()
    axes.set_ylim(max(-0.01, low), min(1.02, high))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.0f} %")


def heat_axes(view: View, rows: Sequence[dict[str, Any]]) -> tuple[str, str] | None:
    """The two swept parameters of a heat map, across and up; None where there are not two.

    Of three, one of them N, it is the other two at the largest N.
    """
    keys = [key for key in view.swept if len({row.get(key) for row in rows}) > 1]
    if len(keys) == 3 and N in keys:
        keys = [key for key in keys if key != N]
    if len(keys) != 2:
        return None
    across, up = (keys[0], keys[1]) if keys[0] == N or keys[1] != N else (keys[1], keys[0])
    return across, up


def _draw_heat(axes: Axes, view: View, rows: Sequence[dict[str, Any]], across: str, up: str) -> None:
    import numpy as np

    if N not in (across, up):
        most = max(row[N] for row in rows)
        rows = [row for row in rows if row[N] == most]
    rate = "pass_at_n" if view.ranked_by == "pass@N" else "verification_rate"
    columns, lines = (sorted({row.get(key) for row in rows}, key=_place) for key in (across, up))
    values = np.full((len(lines), len(columns)), np.nan)
    found = {(lines.index(row.get(up)), columns.index(row.get(across))): row for row in rows}
    for place, row in found.items():
        values[place] = np.nan if row[rate] is None else row[rate]
    known = values[~np.isnan(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    axes.imshow(values, cmap="cividis", aspect="auto", origin="lower", vmin=low, vmax=max(high, low + 0.02))
    axes.grid(visible=False)
    for side in axes.spines.values():
        side.set_visible(False)
    axes.set_xticks(range(len(columns)), [plain(shown(value), 14) for value in columns])
    axes.set_yticks(range(len(lines)), [plain(shown(value), 14) for value in lines])
    axes.set_xlabel("N, candidates a query" if across == N else across)
    axes.set_ylabel(up)
    crowded = len(columns) > 7 or len(lines) > 6
    if max(len(columns), len(lines)) <= MOST_CELLS:
        for (line, column), row in found.items():
            _cell(axes, column, line, row, rate, (values[line, column] - low) / max(high - low, 0.02), crowded)
    of = "queries with a verified candidate" if rate == "pass_at_n" else "verified among candidates"
    at = f" at N={rows[0][N]}" if N not in (across, up) and rate == "pass_at_n" else ""
    _titled(axes, f"Where is the best?{at}", f"{of}; ★ the best, ≈ not told from it, # overlaps it")


def _cell(axes: Axes, x: int, y: int, row: dict[str, Any], rate: str, bright: float, crowded: bool) -> None:
    sign = "★" if row.get("best") else "≈" if row.get("not_told_from_best") else "#" if row.get("overlaps") else ""
    text = "–" if row[rate] is None else f"{100 * row[rate]:.0f} %"
    axes.text(
        x,
        y,
        f"{text} {sign}".rstrip() if crowded else f"{text}\n{sign}".rstrip(),
        ha="center",
        va="center",
        color=PAPER if bright < 0.55 else INK,
        fontsize=8 if crowded else 10.5,
        linespacing=1.5,
        family="DejaVu Sans",  # it has the signs, whatever the others are set in
        fontweight="bold" if sign in ("★", "≈") else "normal",
    )
