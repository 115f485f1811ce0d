"""A run's outcomes query by query, for comparing runs: which queries, and what one metric says of each.

`summary` needs only kinds of queries; a paired comparison needs to know which query is which.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from bon_hydra.report.counts import CurveSums
from bon_hydra.report.elections import Elections
from bon_hydra.report.groups import NONE, Labels
from bon_hydra.runs import column_names, read_batches, read_metadata
from bon_hydra.schema import ConfigError
from bon_hydra.statistics import Floats, Ints, pass_at_k, pass_hat_k

if TYPE_CHECKING:
    import pyarrow as pa

COLUMNS = (
    *("query_id", "split", "candidate_idx", "is_verified", "is_scored", "finish_reason", "answer_class", "score"),
    *("verifier", "candidate_id"),
)
METRICS = "pass@K, majority@K, best@K, weighted_majority@K, pass^K, first or any"


@dataclass(frozen=True)
class Outcomes:
    """One run's rows in order of its queries, which are numbered as they first appear."""

    path: Path
    metadata: dict[str, str]
    keys: list[tuple[str, str]]
    """(queries): split and id of each."""
    group: list[str]
    """(queries): the name of its group where one was asked for, else its split."""
    verifier: list[str]
    """(queries): of its first row."""
    query: Ints
    """(rows,): ascending; all below (rows,) too."""
    index: Ints
    scored: NDArray[np.bool_]
    right: NDArray[np.bool_]
    cut_off: NDArray[np.bool_]
    classes: Ints
    """-1 where there is no answer."""
    scores: Floats
    """NaN where there is none."""
    candidate: Ints
    """Hashes of the candidate ids; 0 where there is none."""

    @property
    def width(self) -> int:
        """N: candidate indexes in the file."""
        return int(self.index.max(initial=-1)) + 1

    def total(self, mask: NDArray[np.bool_]) -> Ints:
        """(queries,): how many of each query's rows `mask` (rows,) marks."""
        return np.bincount(self.query, mask, len(self.keys)).astype(np.int64)


def read_outcomes(path: Path, by: str | None = None) -> Outcomes:
    """Read a run's outcomes, some 40 bytes a row. Raises ConfigError as `runs` does, and for a wrong `by`."""
    labels = Labels(by, column_names(path)) if by else None
    metadata = read_metadata(path)
    numbers: dict[tuple[str, str], int] = {}
    groups: list[str] = []
    verifiers: list[str] = []
    parts: list[tuple[NDArray[Any], ...]] = []
    for batch in read_batches(path, [*COLUMNS, *(labels.columns if labels else ())]):
        rows = _Columns(batch)
        split, ids = rows.texts("split"), rows.texts("query_id")
        names = labels.of(rows.table).to_pylist() if labels else split
        verifier = rows.texts("verifier")
        query = np.empty(len(ids), np.int64)
        for at, key in enumerate(zip(split, ids, strict=True)):
            number = numbers.get(key)
            if number is None:
                number = numbers[key] = len(numbers)
                groups.append(names[at] or NONE)
                verifiers.append(verifier[at])
            query[at] = number
        parts.append((query, *rows.figures()))
    if labels:
        labels.check()
    if not parts:
        raise ConfigError(f"{path}: an empty run, it has no candidates")
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    order = np.argsort(columns[0], kind="stable")
    return Outcomes(path, metadata, list(numbers), groups, verifiers, *(column[order] for column in columns))


class _Columns:
    """A batch's columns, with what stands in for those that the file lacks."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        import pyarrow as pa

        self.table = pa.Table.from_batches([batch])

    def texts(self, name: str) -> list[str]:
        if name not in self.table.column_names:
            return [""] * len(self.table)
        values = self.table[name].combine_chunks().dictionary_encode()
        names = [*values.dictionary.to_pylist(), NONE]
        return [names[at] for at in values.indices.fill_null(len(names) - 1).to_pylist()]

    def figures(self) -> tuple[NDArray[Any], ...]:
        rows = len(self.table)
        verified = self._read("is_verified", lambda values: values.fill_null(False).to_numpy(), np.zeros(rows, bool))
        scored = self._read("is_scored", lambda values: values.fill_null(False).to_numpy(), np.ones(rows, bool))
        candidates = [hash(one) if one else 0 for one in self.texts("candidate_id")]
        return (
            self.table["candidate_idx"].fill_null(0).to_numpy().astype(np.int64),
            scored,
            verified & scored,
            np.array([reason == "length" for reason in self.texts("finish_reason")], bool),
            self._read("answer_class", lambda values: values.fill_null(-1).to_numpy().astype(np.int64), -np.ones(rows)),
            self._read("score", lambda values: values.cast("float64").to_numpy(), np.full(rows, np.nan)),
            np.array(candidates, np.int64),
        )

    def _read(self, name: str, read: Callable[[Any], Any], instead: NDArray[Any]) -> Any:
        return read(self.table[name]) if name in self.table.column_names else instead


@dataclass(frozen=True)
class Metric:
    """What is compared: a value in [0, 1] for each query."""

    kind: str
    k: int | None
    """None where it takes all candidates, or the first."""

    def __str__(self) -> str:
        return f"{self.kind}{self.k}" if self.k else self.kind


def metric(name: str, a: Outcomes, b: Outcomes) -> Metric:
    """The metric called `name`, found to be the same of both runs.

    Raises ConfigError for an unknown name, a k that one of the runs does not reach, and any-candidate rates of
    different N, which differ by N alone.
    """
    least = min(a.width, b.width)
    if name in ("first", "first_candidate_rate"):
        return Metric("first", None)
    if name in ("any", "any_candidate", "any_candidate_rate", "any-candidate"):
        if a.width != b.width:
            said = f"N is {a.width} and {b.width}, so that any-candidate rates differ by N alone"
            raise ConfigError(f"--metric {name}: {said}; compare --metric pass@{least}")
        return Metric("any", None)
    found = re.fullmatch(r"(pass@|pass\^|majority@|maj@|best@|weighted_majority@)([1-9]\d*)", name)
    if not found:
        hint = "; the verification rate by query is pass@1" if name.startswith("verif") else ""
        raise ConfigError(f"--metric {name}: no such metric, wanted {METRICS}, with a number for K{hint}")
    k = int(found[2])
    if k > least:
        short = a if a.width == least else b
        raise ConfigError(f"--metric {name}: {short.path} has N={least}, so both reach K={least} at most")
    return Metric("majority@" if found[1] == "maj@" else found[1], k)


def values(metric: Metric, run: Outcomes) -> Floats:
    """(queries,): what the metric says of each query of a run, over its scored candidates; NaN where it can't."""
    scored, verified = run.total(run.scored), run.total(run.right)
    if metric.kind == "first":
        first = run.index == 0
        n, c = run.total(run.scored & first), run.total(run.right & first)
        return np.where(n > 0, c > 0, np.nan)
    if metric.kind == "any":
        return np.where(scored > 0, verified > 0, np.nan)
    k = metric.k or 1
    if metric.kind in ("pass@", "pass^"):
        curve = pass_at_k if metric.kind == "pass@" else pass_hat_k
        return curve(scored, verified, k)[:, k - 1]
    return _elected(metric.kind, k, run, scored)


def _elected(kind: str, k: int, run: Outcomes, scored: Ints) -> Floats:
    """majority@k and its kin, one query after the other."""
    found = np.full(len(run.keys), np.nan)
    elections = Elections(len(run.query))
    ends = np.cumsum(run.total(run.scored))
    classes, scores = run.classes[run.scored].astype(np.int64), run.scores[run.scored]
    right = run.right[run.scored].astype(np.float64)
    # A split whose answers have no classes (code) has no majorities; a query all of which abstain has a wrong one.
    voting = {run.keys[query][0] for query in np.unique(run.query[run.scored & (run.classes >= 0)]).tolist()}
    for query in np.flatnonzero(scored >= k).tolist():
        own = slice(ends[query] - scored[query], ends[query])
        curve, one = CurveSums(), np.zeros(scored[query], np.int64)
        if kind == "majority@" and run.keys[query][0] in voting:
            elections.majority(curve, one, classes[own], right[own])
        elif kind == "weighted_majority@":
            elections.weighted_majority(curve, one, classes[own], scores[own], right[own])
        elif kind == "best@":
            elections.best(curve, one, scores[own], right[own])
        if curve.times:
            found[query] = curve.at(k, k)[0].wv
    return found


def reference_hashes(path: Path) -> dict[tuple[str, str], int] | None:
    """A hash of each query's reference; None where the file has no such column."""
    if "reference" not in column_names(path):
        return None
    found: dict[tuple[str, str], int] = {}
    for batch in read_batches(path, ["split", "query_id", "reference"], few=True):
        rows = _Columns(batch)
        for split, query, reference in zip(
            rows.texts("split"), rows.texts("query_id"), rows.texts("reference"), strict=True
        ):
            found.setdefault((split, query), hash(reference))
    return found
