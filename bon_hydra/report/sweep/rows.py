"""`sweep.parquet`: one row a job and split (and `overall`), which all that is shown of a sweep is made from."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bon_hydra.report.sweep.points import Found, largest_of_each, read_points, record_of
from bon_hydra.report.sweep.ranking import Ranking, rank
from bon_hydra.runs import SWEEP_TABLE, sweep_folder
from bon_hydra.schema import ConfigError
from bon_hydra.sweeps import Sweep

if TYPE_CHECKING:
    import pyarrow as pa

RATES = ("verification_rate", "first_candidate_rate", "any_candidate_rate")
CURVES = ("pass_at_k", "majority_at_k")
OVERALL = "overall"
MARKS = ("best", "not_told_from_best", "overlaps", "p_holm", "from_best", "from_best_low", "from_best_high")
"""How a point stands against the best; of `overall` alone, and null where it is not finished."""
TYPES = {
    **dict.fromkeys(("job", "prefix_of_job", "num_candidates"), "int32"),
    **dict.fromkeys(("queries", "candidates", "scored", "verified", "truncated"), "int64"),
    **dict.fromkeys(("prompt_tokens", "completion_tokens"), "int64"),
    **dict.fromkeys(("folder", "status", "reason", "model", "split", "ranked_by"), "string"),
    **dict.fromkeys(("best", "not_told_from_best", "overlaps"), "bool"),
    **dict.fromkeys(("temperature", "paid_usd", "cost_usd", "p_holm"), "double"),
    **{f"{name}{end}": "double" for name in (*RATES, "pass_at_n", "from_best") for end in ("", "_low", "_high")},
    **{f"{name}{end}": "list<double>" for name in CURVES for end in ("", "_low", "_high")},
}
"""Columns that every table has, in a job without results as null; what was swept besides stands among them."""


@dataclass(frozen=True)
class View:
    """A sweep as its table tells it."""

    experiment: str
    sweep_id: str
    status: str
    swept: list[str]
    ranked_by: str | None
    """`pass@1` or `pass@N`; None where there was nothing to rank."""
    ranked_queries: int
    tests: int
    rows: list[dict[str, Any]]

    @property
    def overall(self) -> list[dict[str, Any]]:
        """One row a job."""
        return [row for row in self.rows if row["split"] == OVERALL]


def view_of(spec: str) -> View | None:
    """The sweep that `spec` stands for, read anew from its record, or from a table that lies alone; None: no sweep.

    Raises ConfigError where it cannot be read.
    """
    if folder := sweep_folder(spec):
        sweep = record_of(folder)
        points = read_points(folder, sweep)
        return make_view(sweep, points, rank(points))
    path = Path(spec).expanduser()
    return read_table(path) if path.name == SWEEP_TABLE and path.is_file() else None


def make_view(sweep: Sweep, points: Sequence[Found], ranking: Ranking | None) -> View:
    """The view of a sweep's record, of what its points found and how they rank."""
    swept = list(dict.fromkeys(key for point in sweep.points for key in point.swept))
    numeric = {key for key in swept if all(_is_number(point.swept.get(key)) for point in sweep.points)}
    largest, finished = largest_of_each(points), largest_of_each([one for one in points if one.finished])
    rows = []
    for one in points:
        holds = finished.get(one.point.number, largest[one.point.number])
        rows += _rows(one, largest[one.point.number], holds, ranking, numeric)
    return View(
        experiment=sweep.experiment,
        sweep_id=sweep.sweep_id,
        status=sweep.status,
        swept=swept,
        ranked_by=ranking.metric if ranking else None,
        ranked_queries=ranking.queries if ranking else 0,
        tests=ranking.tests if ranking else 0,
        rows=rows,
    )


def _rows(one: Found, largest: Found, holds: Found, ranking: Ranking | None, numeric: set[str]) -> list[dict[str, Any]]:
    """`largest` of all points with its draws, `holds`: the largest of them that is finished, where it is too."""
    point = one.point
    job: dict[str, Any] = {
        "job": point.number,
        "folder": point.folder,
        "status": point.status,
        "reason": point.reason,
        "prefix_of_job": None if largest.point.number == point.number else largest.point.number,
        **{key: _value(text, key in numeric) for key, text in point.swept.items() if key not in TYPES},
        "num_candidates": _number(point.swept.get("num_candidates"), int),
        "temperature": _number(point.swept.get("temperature"), float),
    }
    summary = one.summary
    if summary is None:
        return [{**job, "split": OVERALL}]
    metadata = summary["metadata"]
    totals = json.loads(metadata.get("totals") or "{}")
    job |= {
        "model": metadata.get("model"),
        "num_candidates": _number(metadata.get("num_candidates"), int),
        "temperature": _number(metadata.get("temperature"), float),
    }
    rows = [
        {**job, "split": name, **_at_n(holds, name, one.num_candidates), **_figures(section)}
        for name, section in {OVERALL: summary[OVERALL], **summary["splits"]}.items()
    ]
    rows[0] |= {"paid_usd": totals.get("cost_usd"), **_marks(ranking, point.number)}
    return rows


def _marks(ranking: Ranking | None, number: int) -> dict[str, Any]:
    """How the point stands against the best one."""
    if ranking is None or number not in ranking.standings:
        return {}
    standing = ranking.standings[number]
    against = standing.difference
    low, high = (against.ci95 if against else None) or (None, None)
    return {
        "ranked_by": ranking.metric,
        "best": standing.is_best,
        "not_told_from_best": standing.as_good and not standing.is_best,
        "overlaps": standing.overlaps,
        "p_holm": standing.p_holm,
        "from_best": against.difference if against else None,
        "from_best_low": low,
        "from_best_high": high,
    }


def _at_n(holds: Found, split: str, n: int) -> dict[str, Any]:
    """pass@k at k = N, from the run with the most of the same draws."""
    assert holds.summary is not None
    section = holds.summary[OVERALL] if split == OVERALL else holds.summary["splits"].get(split, {})
    known = section.get("pass_at_k", {}).get(str(n)) or {"estimate": None, "ci95": None}
    low, high = known["ci95"] or (None, None)
    return {"pass_at_n": known["estimate"], "pass_at_n_low": low, "pass_at_n_high": high}


def _figures(section: dict[str, Any]) -> dict[str, Any]:
    row = {name: section[name] for name in ("queries", "candidates", "scored", "verified", "truncated")}
    for name in RATES:
        low, high = section["ci95"].get(name) or (None, None)
        row |= {name: section[name], f"{name}_low": low, f"{name}_high": high}
    for name in CURVES:
        curve = [section[name][k] for k in sorted(section[name], key=int)]
        row[name] = [one["estimate"] for one in curve]
        row[f"{name}_low"] = [(one["ci95"] or (None, None))[0] for one in curve]
        row[f"{name}_high"] = [(one["ci95"] or (None, None))[1] for one in curve]
    return row | {name: section[name] for name in ("prompt_tokens", "completion_tokens", "cost_usd")}


def _number(text: str | None, kind: type[int] | type[float]) -> float | None:
    """None for `null`, and for what is no number."""
    try:
        return None if text is None else kind(text)
    except ValueError:
        return None


def _is_number(text: str | None) -> bool:
    return text in (None, "null") or _number(text, float) is not None


def _value(text: str, numeric: bool) -> str | float | None:
    return _number(text, float) if numeric else text


def write_table(folder: Path, view: View) -> None:
    """`sweep.parquet` in the sweep's folder, replaced atomically."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    others = [key for key in view.swept if key not in TYPES]
    first = ("job", "folder", "status", "reason", "prefix_of_job")
    last = ("num_candidates", "temperature", "model", "split", "ranked_by", *MARKS, "pass_at_n", "queries")
    names = [*first, *others, *last, *(name for name in TYPES if name not in (*first, *last))]
    columns = {name: _column([row.get(name) for row in view.rows], TYPES.get(name)) for name in names}
    metadata = {
        "sweep_id": view.sweep_id,
        "experiment": view.experiment,
        "status": view.status,
        "swept": json.dumps(view.swept),
        "ranked_by": view.ranked_by or "",
        "ranked_queries": str(view.ranked_queries),
        "tests": str(view.tests),
    }
    part = folder / f"{SWEEP_TABLE}.part"
    part.unlink(missing_ok=True)  # a link of that name would lead elsewhere
    pq.write_table(pa.table(columns).replace_schema_metadata(metadata), part)
    part.replace(folder / SWEEP_TABLE)


def _column(values: list[Any], kind: str | None) -> pa.Array:
    import pyarrow as pa

    if kind == "list<double>":
        return pa.array(values, pa.list_(pa.float64()))
    if kind is None:
        numeric = all(value is None or isinstance(value, float) for value in values)
        return pa.array(values, pa.float64() if numeric else pa.string())
    return pa.array(values, pa.type_for_alias(kind))


def read_table(path: Path) -> View:
    """The view of a table that lies alone. Raises ConfigError where it is none."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: not a sweep's table ({str(error).splitlines()[0]})") from None
    metadata = {key.decode(): value.decode() for key, value in (table.schema.metadata or {}).items()}
    missing = [name for name in ("sweep_id", "swept") if name not in metadata]
    if missing:
        raise ConfigError(f"{path}: not a sweep's table: it lacks {', '.join(missing)}")
    return View(
        experiment=metadata["experiment"],
        sweep_id=metadata["sweep_id"],
        status=metadata["status"],
        swept=json.loads(metadata["swept"]),
        ranked_by=metadata["ranked_by"] or None,
        ranked_queries=int(metadata["ranked_queries"]),
        tests=int(metadata["tests"]),
        rows=table.to_pylist(),
    )
