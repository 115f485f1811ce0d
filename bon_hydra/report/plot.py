"""A run, or several beside each other, as one picture: `bon inspect RUN… --plot FILE.png`.

Curves of pass@k with their bands, the rate by candidate index, what became of the candidates, tokens and latency,
and what a verified answer cost. What is drawn comes from `summary`; this module knows matplotlib and how it looks.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bon_hydra.report.panels import (
    INK,
    PAPER,
    Series,
    draw_cost,
    draw_curves,
    draw_index,
    draw_outcomes,
    draw_spread,
    plain,
)
from bon_hydra.schema import ConfigError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

FORMATS = (".png", ".svg")
COLOURS = ("#2563a8", "#d1622b", "#2f8f5b", "#8a4fa3", "#b8860b", "#2aa1a8", "#c2407a", "#6b7280")
"""Told apart by most eyes, also in grey; one a split, group or run."""
WHOLE = "#1f2933"
"""A run as a whole, among its splits."""
MOST = 8
"""Series in one picture; with more nothing can be read."""
STYLE: dict[str, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["Inter", "Helvetica Neue", "Arial", "Liberation Sans", "DejaVu Sans"],
    "font.size": 9.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": "#c5ccd6",
    "axes.titlesize": 11,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlepad": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8ecf1",
    "grid.linewidth": 0.8,
    "xtick.color": "#52606d",
    "ytick.color": "#52606d",
    "xtick.major.size": 0,
    "ytick.major.size": 0,
    "legend.frameon": False,
    "svg.hashsalt": "bon_hydra",
}


def check_plot(path: Path) -> None:
    """Raises ConfigError where a picture cannot be written there, before anything is counted."""
    if path.suffix.lower() not in FORMATS:
        raise ConfigError(f"--plot {path}: wanted a file that ends in {' or '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise ConfigError(f"--plot {path}: no folder {path.parent}")


def plot(runs: Sequence[dict[str, Any]], path: Path) -> None:
    """Draw runs, elements of `bon inspect --json`, into a PNG or SVG file.

    One run is drawn with its splits (or the groups of `--by`), several are laid over each other.
    Raises ConfigError where they are too many to tell apart, or the file cannot be written.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    check_plot(path)
    series = _series_of_one(runs[0]) if len(runs) == 1 else _series_of_runs(runs)
    if len(series) > MOST + 1:
        raise ConfigError(f"--plot: {len(series)} runs or groups in one picture, at most {MOST} can be told apart")
    more = 0.3 * max(0, len(series) - 3)
    height = 7.9 + more
    left = max(0.055, 0.0068 * max(len(one.name) for one in series))
    with mpl.rc_context(cast(Any, STYLE)):
        figure = Figure(figsize=(12.4, height), dpi=150, facecolor=PAPER)
        edges = {"left": left, "right": 0.985, "hspace": 0.0}
        top = figure.add_gridspec(1, 2, width_ratios=(1.75, 1), wspace=0.2, **edges)
        top.update(top=1 - 1.45 / height, bottom=(3.1 + more) / height)
        bottom = figure.add_gridspec(1, 4, width_ratios=(1.6, 1, 1, 0.9), wspace=0.14, **edges)
        bottom.update(top=(2.15 + more) / height, bottom=0.62 / height)
        curves, index = (figure.add_subplot(top[0, at]) for at in range(2))
        bars = [figure.add_subplot(bottom[0, at]) for at in range(4)]
        _headline(figure, runs, left)
        draw_curves(curves, series)
        draw_index(index, series)
        draw_outcomes(bars[0], series)
        draw_spread(bars[1], series, "completion_tokens", "Completion tokens")
        draw_spread(bars[2], series, "latency_s", "Latency, seconds")
        draw_cost(bars[3], series)
        try:
            figure.savefig(path, metadata={"Date": None} if path.suffix.lower() == ".svg" else {})
        except OSError as error:
            raise ConfigError(f"--plot {path}: cannot be written: {error.strerror or error}") from None


def _series_of_one(run: dict[str, Any]) -> list[Series]:
    parts = run["by"]["groups"] if run.get("by") else run["splits"]
    series = [Series(plain(name), section, _colour(at)) for at, (name, section) in enumerate(parts.items())]
    return series if len(series) == 1 else [*series, Series("overall", run["overall"], WHOLE, is_whole=True)]


def _series_of_runs(runs: Sequence[dict[str, Any]]) -> list[Series]:
    return [Series(name, run["overall"], _colour(at)) for at, (name, run) in enumerate(_named(runs))]


def _colour(at: int) -> str:
    return COLOURS[at % len(COLOURS)]


def _named(runs: Sequence[dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Each run with what tells it apart from the others."""
    told = []
    for run in runs:
        metadata = run["metadata"]
        told.append(
            {
                "experiment": metadata.get("experiment", ""),
                "model": metadata.get("model", ""),
                "N": f"N={metadata.get('num_candidates', '?')}",
                "T": f"T={metadata.get('temperature', '?')}",
            }
        )
    differing = [key for key in told[0] if len({one[key] for one in told}) > 1]
    names = [" ".join(one[key] for key in differing) for one in told]
    if len(set(names)) < len(names):
        names = [Path(run["path"]).parent.name or Path(run["path"]).stem for run in runs]
    if len(set(names)) < len(names):
        names = [f"{at}: {name}" for at, name in enumerate(names, 1)]
    return [(plain(name), run) for name, run in zip(names, runs, strict=True)]


def _headline(figure: Figure, runs: Sequence[dict[str, Any]], left: float) -> None:
    metadata = runs[0]["metadata"]
    if len(runs) == 1:
        named = (metadata.get("experiment") or Path(runs[0]["path"]).stem, metadata.get("model"))
        title = " · ".join(plain(part, 60) for part in named if part)
        overall = runs[0]["overall"]
        facts = [
            f"N = {metadata.get('num_candidates', len(overall['candidate_idx']))}",
            f"temperature {metadata['temperature']}" if "temperature" in metadata else "",
            f"{overall['queries']:,} queries",
            f"{overall['candidates']:,} candidates",
        ]
        notes = metadata.get("notes", "").strip().splitlines()
        below = [" · ".join(fact for fact in facts if fact), *([plain(notes[0], 150)] if notes else [])]
    else:
        title = f"{len(runs)} runs"
        experiments = dict.fromkeys(run["metadata"].get("experiment") or Path(run["path"]).stem for run in runs)
        below = [plain(", ".join(experiments), 150)]
    height = figure.get_figheight()
    figure.text(left, 1 - 0.36 / height, title, fontsize=16, fontweight="bold", va="center")
    for at, line in enumerate(below):
        figure.text(left, 1 - (0.66 + 0.23 * at) / height, line, fontsize=10, color="#52606d", va="center")
