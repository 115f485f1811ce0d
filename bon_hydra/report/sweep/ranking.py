"""Which points of a sweep can't be told from its best, by which rate, on which queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bon_hydra.report.outcomes import Metric, Outcomes, metric, read_outcomes, values
from bon_hydra.report.sweep.points import Found, largest_of_each
from bon_hydra.schema import ConfigError
from bon_hydra.statistics import Floats, Ints, Standing, standings

PASS_AT_N = "pass@N"
"""Each point by pass@k at its own N, read from the largest run that shares its draws."""


@dataclass(frozen=True)
class Ranking:
    """The points that were ranked."""

    metric: str
    best: int
    """Its number."""
    against: int
    """The number of the point that the others are held against."""
    queries: int
    """Those that all points have, by which they are ranked."""
    tests: int
    standings: dict[int, Standing]
    """By number of the point."""


def rank(points: Sequence[Found], metric_name: str | None = None, against: int | None = None) -> Ranking | None:
    """The finished points, ranked; None where there are fewer than two, or no query that they share.

    By default by pass@N where N was swept, else by pass@1: where N is what two points differ in, pass@1 is the same
    figure of the same draws. With another metric only the largest of the points that share their draws is ranked.
    Raises ConfigError for a metric that they don't have.
    """
    finished = [one for one in points if one.finished]
    swept_n = any("num_candidates" in one.point.swept for one in finished)
    named = metric_name or (PASS_AT_N if swept_n else "pass@1")
    largest = largest_of_each(finished)
    if named != PASS_AT_N:
        finished = [one for one in finished if largest[one.point.number] is one]
    if against is not None and against not in {one.point.number for one in finished}:
        why = "its draws are within another point's" if against in largest else "no such finished point"
        numbers = ", ".join(str(one.point.number) for one in finished)
        raise ConfigError(f"--against {against}: {why}, wanted one of {numbers}")
    if len(finished) < 2:
        return None
    table, strata = _values(finished, largest, named)
    # Of equally good points the one with the fewest candidates is the best.
    order = sorted(finished, key=lambda one: (one.num_candidates, one.point.number))
    outcomes = {str(one.point.number): table[one.point.number] for one in order}
    draws = {str(one.point.number): one.draws for one in order}
    found = standings(outcomes, draws, strata, None if against is None else str(against))
    best = next((int(number) for number, one in found.items() if one.is_best), None)
    if best is None:
        return None
    return Ranking(
        metric=named,
        best=best,
        against=best if against is None else against,
        queries=_common(list(outcomes.values())),
        tests=sum(one.difference is not None for one in found.values()),
        standings={int(number): one for number, one in found.items()},
    )


def _common(columns: Sequence[Floats]) -> int:
    """Queries that all points which have any have."""
    known = [~np.isnan(column) for column in columns if not np.isnan(column).all()]
    return int(np.logical_and.reduce(known).sum())


def _values(finished: Sequence[Found], largest: dict[int, Found], named: str) -> tuple[dict[int, Floats], Ints]:
    """Each point's value of each query (queries,), all in one order, and the number of each query's split."""
    places: dict[tuple[str, str], int] = {}
    found: dict[int, tuple[Ints, Floats]] = {}
    for one in finished:
        if largest[one.point.number] is not one:
            continue
        outcomes = read_outcomes(one.run)
        where = np.array([places.setdefault(key, len(places)) for key in outcomes.keys], np.int64)
        for other in finished:
            if largest[other.point.number] is one:
                found[other.point.number] = where, values(_metric(named, other, outcomes), outcomes)
    table: dict[int, Floats] = {}
    for number, (places_of, own) in found.items():
        table[number] = np.full(len(places), np.nan)
        table[number][places_of] = own
    splits: dict[str, int] = {}
    strata = np.array([splits.setdefault(split, len(splits)) for split, _ in places], np.int64)
    return table, strata


def _metric(named: str, point: Found, outcomes: Outcomes) -> Metric:
    return Metric("pass@", point.num_candidates) if named == PASS_AT_N else metric(named, outcomes, outcomes)
