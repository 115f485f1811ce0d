"""What the page draws: the summary of `bon inspect --json`, and beside it what only a figure needs.

Every number that a figure shows is made here or in `summary`; the page's script only chooses among them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray

from bon_hydra.report.page.queries import NO_SPLIT, Outcome, Outcomes
from bon_hydra.report.summary import summarise
from bon_hydra.runs import read_batches
from bon_hydra.statistics import binary_rate

Floats = NDArray[np.float64]

Measured = dict[tuple[str, str], Floats]
"""Values of one column by split and by what the verdict says: `right`, `wrong` or `unscored`."""

MEASURED = ("completion_tokens", "latency_s")
"""Columns whose distributions are drawn."""
BINS = 30
WIDE = 30.0
"""Where the largest value is more than so many times the smallest, bins are even in the logarithm."""
QUANTILES = {"p10": 0.1, "p50": 0.5, "p90": 0.9}

NOT_SETTINGS = frozenset({"defaults", "notes", "experiment_name"})
"""Keys of a configuration that say nothing of how candidates came about, or are shown apart."""
LONGEST_SETTING = 200


def run_figures(paths: Sequence[Path], runs: Sequence[Outcomes]) -> list[dict[str, Any]]:
    """For each run its summary, and for `overall` and each split what else is drawn:

    `right`: how many judged queries have 0, 1, … right candidates, some of them `mixed`, and how many are `unscored`;
    `by_index`: rate and interval of each candidate index; and of each of MEASURED how many right, wrong and unscored
    answers are in each bin, and quantiles.
    """
    values = [measured(path) for path in paths]
    edges = {column: bin_edges([each for run in values for each in run[column].values()]) for column in MEASURED}
    return [_figures(*each, edges) for each in zip(paths, runs, values, strict=True)]


def _figures(
    path: Path, outcomes: Outcomes, values: Mapping[str, Measured], edges: Mapping[str, Floats]
) -> dict[str, Any]:
    summary = summarise(path)
    splits: dict[str, list[Outcome]] = {name: [] for name in summary["splits"]}
    for (split, _), outcome in outcomes.items():
        splits[split].append(outcome)
    most = max(len(outcome.rows) for outcome in outcomes.values())

    def section(split: str | None, rates: dict[str, Any], judged: Sequence[Outcome]) -> dict[str, Any]:
        drawn = {column: distribution(_of_section(values[column], split), edges[column]) for column in MEASURED}
        return {**_right(judged, most), "by_index": _by_index(rates), **drawn}

    return {
        "summary": summary,
        "overall": section(None, summary["overall"], list(outcomes.values())),
        "splits": {name: section(name, summary["splits"][name], judged) for name, judged in splits.items()},
    }


def _right(outcomes: Sequence[Outcome], most: int) -> dict[str, Any]:
    counts = Counter(outcome.right for outcome in outcomes if outcome.scored)
    return {
        "right": [counts[right] for right in range(most + 1)],
        "mixed": sum(0 < outcome.right < outcome.scored for outcome in outcomes),
        "unscored": sum(not outcome.scored for outcome in outcomes),
    }


def _by_index(section: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rate and interval of each candidate index: one yes or no a query."""
    rows = []
    for index, counts in section["candidate_idx"].items():
        rate = binary_rate(counts["verified"], counts["scored"])
        rows.append({"index": int(index), **counts, "ci95": rate.ci95})
    return rows


def measured(path: Path) -> dict[str, Measured]:
    """The values of each of MEASURED in a run's file, where known."""
    found: dict[str, dict[tuple[str, str], list[Floats]]] = {column: {} for column in MEASURED}
    for batch in read_batches(path, ("split", "is_verified", "is_scored", *MEASURED)):
        columns = {name: batch[name] for name in batch.schema.names}
        split = np.array([NO_SPLIT if name is None else name for name in columns["split"].to_pylist()], object)
        right = columns["is_verified"].fill_null(False).to_numpy(zero_copy_only=False)
        known = "is_scored" in columns
        scored = columns["is_scored"].fill_null(False).to_numpy(zero_copy_only=False) if known else right | True
        said = np.where(scored, np.where(right, "right", "wrong"), "unscored")
        for column in MEASURED:
            if column not in columns:
                continue
            values = columns[column].to_numpy(zero_copy_only=False).astype(np.float64)
            known = np.isfinite(values) & (values >= 0)
            for name in dict.fromkeys(split.tolist()):
                for outcome in ("right", "wrong", "unscored"):
                    mask = known & (split == name) & (said == outcome)
                    if mask.any():
                        found[column].setdefault((name, outcome), []).append(values[mask])
    return {
        column: {key: np.concatenate(parts) for key, parts in sections.items()} for column, sections in found.items()
    }


def _of_section(values: Measured, split: str | None) -> dict[str, Floats]:
    """The values of one split (None: of all) by outcome."""
    outcomes = dict.fromkeys(outcome for _, outcome in values)
    return {
        outcome: np.concatenate(
            [part for (name, said), part in values.items() if said == outcome and split in (None, name)]
            or [np.zeros(0)]
        )
        for outcome in outcomes
    }


def bin_edges(values: Sequence[Floats]) -> Floats:
    """Edges of the bins that hold all of `values`: even, or even in the logarithm; empty where there are none."""
    everything = np.concatenate([*values, np.zeros(0)])
    if not len(everything):
        return everything
    low, high = float(everything.min()), float(everything.max())
    if low == high:
        return np.array([0.9 * low, 1.1 * high]) if low else np.array([0.0, 1.0])
    if 0 < WIDE * low < high:
        edges = np.geomspace(low, high, BINS + 1)
        edges[[0, -1]] = low, high  # exactly, so that no value falls out
        return edges
    return np.linspace(low, high, BINS + 1)


def distribution(values: Mapping[str, Floats], edges: Floats) -> dict[str, Any] | None:
    """Edges, the number of answers in each bin by outcome, and quantiles of all; None where nothing is known."""
    everything = np.concatenate([*values.values(), np.zeros(0)])
    if not len(everything):
        return None
    quantiles = np.quantile(everything, list(QUANTILES.values()))
    return {
        "edges": edges.tolist(),
        "counts": {outcome: np.histogram(each, edges)[0].tolist() for outcome, each in values.items() if len(each)},
        "known": len(everything),
        "mean": float(everything.mean()),
        "max": float(everything.max()),
        **dict(zip(QUANTILES, quantiles.tolist(), strict=True)),
    }


def differences(metadata: Sequence[Mapping[str, str]]) -> list[tuple[str, list[str | None]]]:
    """The settings in which the runs differ: dotted key, and each run's value as text (None: it has no such key)."""
    settings = [_settings(each) for each in metadata]
    keys = dict.fromkeys(key for each in settings for key in each)
    rows = [(key, [each.get(key) for each in settings]) for key in keys]
    return [(key, values) for key, values in rows if len(set(values)) > 1]


def _settings(metadata: Mapping[str, str]) -> dict[str, str]:
    try:
        config = yaml.safe_load(metadata.get("config_yaml", ""))
    except yaml.YAMLError:
        config = None
    if not isinstance(config, dict):
        config = {key: metadata[key] for key in ("model", "num_candidates", "temperature", "splits") if key in metadata}
    found = dict(_flat("", {key: value for key, value in config.items() if key not in NOT_SETTINGS}))
    versions = {
        key: metadata[key] for key in ("dataset_revision", "bon_hydra_version", "git_commit") if key in metadata
    }
    return {
        key: value if len(value) <= LONGEST_SETTING else value[:LONGEST_SETTING] + "…"
        for key, value in {**found, **versions}.items()
    }


def _flat(prefix: str, value: Any) -> Iterable[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _flat(f"{prefix}.{key}" if prefix else str(key), inner)
    else:
        yield prefix, "null" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
