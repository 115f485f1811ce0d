"""The end of a sweep: its record closed, its table written and shown, its plot drawn."""

from __future__ import annotations

import sys
from pathlib import Path

from bon_hydra.names import shown_path
from bon_hydra.report.sweep.points import read_points
from bon_hydra.report.sweep.ranking import rank
from bon_hydra.report.sweep.rows import View, make_view, write_table
from bon_hydra.report.sweep.table import sweep_table
from bon_hydra.report.tables import console
from bon_hydra.schema import ConfigError
from bon_hydra.sweeps import Sweep, end_sweep

PLOT = "sweep.png"


def record_sweep(folder: Path) -> tuple[Sweep, View]:
    """Closes a sweep's record and writes its table."""
    sweep = end_sweep(folder)
    points = read_points(folder, sweep)
    try:
        ranking = rank(points)
    except ConfigError as error:  # a file is gone or damaged, which is no reason to lose the others' table
        print(f"not ranked: {error}", file=sys.stderr)
        ranking = None
    view = make_view(sweep, points, ranking)
    write_table(folder, view)
    return sweep, view


def finish_sweep(folder: Path) -> int:
    """Closes a sweep's record, shows what it found, and says how to go on; returns its exit code."""
    sweep, view = record_sweep(folder)
    console().print(sweep_table(view))
    for point in sweep.points:
        if point.exit_code:
            print(f"{point.folder}: {point.status}: {point.reason or 'see its run.log'}", file=sys.stderr)
    if sweep.exit_code:
        print(f"What arrived is kept. For the rest: bon resume {shown_path(folder)}", file=sys.stderr)
    print(f"table: {shown_path(folder / 'sweep.parquet')}", file=sys.stderr)
    _draw(view, folder / PLOT)
    print(f"Next: bon inspect {shown_path(folder)}", file=sys.stderr)
    return sweep.exit_code


def _draw(view: View, path: Path) -> None:
    """The plot, where there are two points to draw; a sweep does not fail for its picture."""
    from bon_hydra.report.sweep.plot import can_plot, plot_sweep

    if not can_plot(view):
        return
    try:
        plot_sweep(view, path)
    except ConfigError as error:
        print(f"no plot: {error}", file=sys.stderr)
    else:
        print(f"plot: {shown_path(path)}", file=sys.stderr)
