"""`bon inspect SWEEP`: the table anew, from the record as it is now."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from bon_hydra.names import shown_path
from bon_hydra.report.summary import as_json as summary
from bon_hydra.report.sweep.points import read_points, record_of
from bon_hydra.report.sweep.rows import View, view_of
from bon_hydra.report.sweep.table import sweep_table
from bon_hydra.report.tables import console, json_document
from bon_hydra.report.tally import read_run
from bon_hydra.runs import sweep_folder


def inspect_sweep(spec: str, plot: Path | None, as_json: bool) -> bool:
    """Shows the sweep that `spec` stands for, and draws it; False where it stands for none."""
    view = view_of(spec)
    if view is None:
        return False
    if plot is not None:
        from bon_hydra.report.sweep.plot import plot_sweep

        plot_sweep(view, plot)
        print(f"drawn: {plot}", file=sys.stderr)
    if as_json:
        print(json_document(_document(view, spec)))
        return True
    console().print(sweep_table(view))
    if folder := sweep_folder(spec):
        hint = "bon compare SWEEP: every point against the best, query by query; bon inspect SWEEP/POINT: one of them"
        print(hint.replace("SWEEP", shown_path(folder)), file=sys.stderr)
    return True


def _document(view: View, spec: str) -> dict[str, Any]:
    """The runs as of any folder, and beside them the sweep."""
    folder = sweep_folder(spec)
    points = read_points(folder, record_of(folder)) if folder else []
    sweep = asdict(view)
    rows = sweep.pop("rows")
    return {
        "runs": [summary(read_run(one.run)) for one in points if one.summary is not None],
        "sweep": {**sweep, "points": rows},
    }
