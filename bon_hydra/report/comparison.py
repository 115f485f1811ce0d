"""`bon compare`: did the change help? Two runs on the queries they share, as the document that `--json` prints."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bon_hydra.names import dotted
from bon_hydra.report.outcomes import Metric, Outcomes, metric, read_outcomes, reference_hashes, values
from bon_hydra.schema import ConfigError
from bon_hydra.statistics import Floats, Ints, compare, holm

CUT_OFF = 0.02
"""A larger share of cut-off answers in a run is warned of."""
MISSING = 0.01
FEW_QUERIES = 30
NOT_COMPARED = ("notes", "experiment_name", "output.", "concurrency", "budget_usd", "dry_run", "runner.", "hydra.")
"""Keys of a configuration that change no answer."""


def compare_runs(path_a: Path, path_b: Path, metric_name: str = "pass@1", by: str | None = None) -> dict[str, Any]:
    """Everything `bon compare` says of run b against run a, with the contract's names.

    Beside them: `cut_off` (shares of the answers to shared queries), `changed` (what differs between the two
    configurations), `notes`, and in each difference `queries`, `p_value_exact`, `p_holm` (adjusted for the number of
    splits, or groups) and `uncut` (verified among the answers that were not cut off). Raises ConfigError where the
    runs share no query or the metric is not one of both.
    """
    a, b = read_outcomes(path_a, by), read_outcomes(path_b, by)
    chosen = metric(metric_name, a, b)
    places = {key: at for at, key in enumerate(b.keys)}
    shared = [(at, places[key]) for at, key in enumerate(a.keys) if key in places]
    if not shared:
        raise ConfigError(f"{path_a} and {path_b} share no queries: {_of_splits(a)}; {_of_splits(b)}")
    in_a, in_b = (np.array(side) for side in zip(*shared, strict=True))
    value_a, value_b = values(chosen, a)[in_a], values(chosen, b)[in_b]
    told = ~(np.isnan(value_a) | np.isnan(value_b))
    if not told.any():
        raise ConfigError(f"--metric {chosen}: no shared query has it in both runs{_why_not(chosen)}")
    pair = _Pair(a, b, in_a[told], in_b[told], value_a[told], value_b[told])
    warnings = [
        *_warn_of_judging(a, b, in_a, in_b),
        *_warn_of_files(a, b, in_a, in_b),
        *_warn_of_few(chosen, int(told.sum()), len(shared)),
    ]
    document = {
        "a": str(path_a),
        "b": str(path_b),
        "metric": str(chosen),
        "shared_queries": len(shared),
        "only_a": len(a.keys) - len(shared),
        "only_b": len(b.keys) - len(shared),
        "shared_candidates": _shared_candidates(a, b, in_a, in_b),
        "overall": pair.difference(np.ones(len(pair.a), bool), strata=True),
        "splits": pair.apart([a.keys[at][0] for at in pair.in_a]),
        "warnings": warnings,
        "cut_off": {side: _cut_off(run, where) for side, run, where in (("a", a, in_a), ("b", b, in_b))},
        "changed": changed(a.metadata, b.metadata),
        "notes": {"a": a.metadata.get("notes", ""), "b": b.metadata.get("notes", "")},
    }
    if by is not None:
        document["by"] = {"key": by, "groups": pair.apart([a.group[at] for at in pair.in_a])}
    return document


class _Pair:
    """The values of the queries that both runs have the metric of."""

    def __init__(self, a: Outcomes, b: Outcomes, in_a: Ints, in_b: Ints, value_a: Floats, value_b: Floats) -> None:
        self.runs, self.in_a, self.in_b = (a, b), in_a, in_b
        self.a, self.b = value_a, value_b
        names = [a.keys[at][0] for at in in_a]
        self._split = np.unique(names, return_inverse=True)[1]
        self._uncut = [(one.total(one.scored & ~one.cut_off), one.total(one.right & ~one.cut_off)) for one in (a, b)]

    def difference(self, mask: NDArray[np.bool_], strata: bool = False) -> dict[str, Any]:
        """The comparison on some of the queries."""
        found = asdict(compare(self.a[mask], self.b[mask], self._split[mask] if strata else None))
        found["ci95"] = None if found["ci95"] is None else list(found["ci95"])
        uncut = {}
        for side, where, (scored, verified) in zip("ab", (self.in_a, self.in_b), self._uncut, strict=True):
            n = int(scored[where[mask]].sum())
            uncut[f"rate_{side}"] = int(verified[where[mask]].sum()) / n if n else None
        return {**found, "uncut": uncut}

    def apart(self, names: Sequence[str]) -> dict[str, dict[str, Any]]:
        """The comparison by split or group, p-values adjusted for their number beside the plain ones."""
        labels = np.array(names)
        found = {name: self.difference(labels == name) for name in dict.fromkeys(names)}
        adjusted = holm([one["p_value"] for one in found.values()])
        return {name: {**one, "p_holm": p} for (name, one), p in zip(found.items(), adjusted, strict=True)}


def _of_splits(run: Outcomes) -> str:
    counts = Counter(split for split, _ in run.keys)
    return f"{run.path} has " + ", ".join(f"{count:,} of {split}" for split, count in counts.items())


def _why_not(chosen: Metric) -> str:
    if chosen.kind == "majority@":
        return ": their answers have no classes (code and tool calls have none)"
    if chosen.kind in ("best@", "weighted_majority@"):
        return ": it takes answers with scores"
    return ": too few of their candidates are scored"


def _warn_of_judging(a: Outcomes, b: Outcomes, in_a: Ints, in_b: Ints) -> list[str]:
    """What makes the two runs' verdicts mean different things."""
    warnings = []
    pairs = Counter(
        (a.verifier[i], b.verifier[j]) for i, j in zip(in_a, in_b, strict=True) if a.verifier[i] != b.verifier[j]
    )
    for (one, other), count in pairs.most_common():
        judged = (
            f"{count:,} shared queries were judged by {one or 'an unnamed verifier'} in a and {other or 'one'} in b"
        )
        warnings.append(f"verifiers differ: {judged}; judge both again: bon verify RUN --write")
    first, second = (reference_hashes(run.path) for run in (a, b))
    if first is not None and second is not None:
        differing = sum(first[a.keys[i]] != second[b.keys[j]] for i, j in zip(in_a, in_b, strict=True))
        if differing:
            warnings.append(f"references differ in {differing:,} shared queries: their verdicts mean different things")
    for side, run, where in (("a", a, in_a), ("b", b, in_b)):
        rows = np.isin(run.query, where)
        if (cut_off := _cut_off(run, where)) > CUT_OFF:
            said = f"{100 * cut_off:.1f} % of the answers were cut off at the token limit"
            warnings.append(f"{side}: {said}; the rates among uncut answers stand beside")
        missing = 1 - float(run.scored[rows].sum()) / (len(where) * run.width)
        if missing > MISSING:
            warnings.append(f"{side}: {100 * missing:.1f} % of the candidates are not scored, and not counted as wrong")
    return warnings


def _cut_off(run: Outcomes, where: Ints) -> float:
    """The share of the candidates of some queries that were cut off."""
    return float(run.cut_off[np.isin(run.query, where)].mean())


def _warn_of_files(a: Outcomes, b: Outcomes, in_a: Ints, in_b: Ints) -> list[str]:
    warnings = []
    for side, run, where in (("a", a, in_a), ("b", b, in_b)):
        status = run.metadata.get("status", "complete")
        if status != "complete":
            warnings.append(f"{side}: the run is not complete ({status}): bon resume finishes it")
        if len(where) < len(run.keys) / 2:
            warnings.append(f"{side}: only {len(where):,} of its {len(run.keys):,} queries are shared")
    if a.path.resolve() == b.path.resolve():
        warnings.append("a and b are the same file")
    return warnings


def _warn_of_few(chosen: Metric, told: int, shared: int) -> list[str]:
    warnings = []
    if told < shared:
        warnings.append(f"{shared - told:,} of {shared:,} shared queries lack {chosen} in one of the runs: left out")
    if told < FEW_QUERIES:
        warnings.append(f"{told} queries are few: only large differences can be told")
    return warnings


def _shared_candidates(a: Outcomes, b: Outcomes, in_a: Ints, in_b: Ints) -> int:
    """Draws that stand in both runs, in shared queries."""
    ours = a.candidate[np.isin(a.query, in_a) & (a.candidate != 0)]
    theirs = b.candidate[np.isin(b.query, in_b) & (b.candidate != 0)]
    return int(np.isin(ours, theirs).sum())


def changed(a: dict[str, str], b: dict[str, str]) -> dict[str, list[Any]]:
    """What differs between two runs' configurations, key: [in a, in b], without what changes no answer."""
    sides = [_configuration(one) for one in (a, b)]
    keys = dict.fromkeys([*sides[0], *sides[1]])
    return {
        key: [side.get(key) for side in sides]
        for key in keys
        if sides[0].get(key) != sides[1].get(key) and not key.startswith(NOT_COMPARED)
    }


def _configuration(metadata: dict[str, str]) -> dict[str, Any]:
    """The saved configuration as dotted keys; of older files, what their metadata says."""
    import yaml

    saved: Any = None
    if text := metadata.get("config_yaml"):
        try:
            saved = yaml.load(text, yaml.CSafeLoader)
        except yaml.YAMLError:
            saved = None
    if isinstance(saved, dict):
        saved.pop("defaults", None)
        # As JSON has it: what is compared is printed as JSON too.
        return {key: json.loads(json.dumps(value, default=str)) for key, value in dotted(saved)}
    return {key: metadata[key] for key in ("model", "num_candidates", "temperature", "dataset") if key in metadata}
