"""A run's rates: what was counted, as the shares, curves and intervals that people and scripts read.

`summarise` is the run's element of `bon inspect --json`. This module does not know how numbers are shown.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bon_hydra.records import VERDICTS
from bon_hydra.report.counts import Counts, CurveSums, merged
from bon_hydra.report.tally import Run, read_run
from bon_hydra.saved import replace_file
from bon_hydra.statistics import (
    Estimate,
    Floats,
    Ints,
    Sums,
    average,
    candidates_for,
    first_reaching,
    index_test,
    pass_at_k,
    pass_hat_k,
    reach,
    resampled_means,
)

MISSING = 0.01
"""Bounds are given where a larger share of the candidates is missing."""
WANTED_RATES = (0.5, 0.8, 0.9, 0.95)
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
FAULT = 0.01
"""A rate by index this unlikely is called a fault."""


def summarise(path: Path) -> dict[str, Any]:
    """The run's element of `bon inspect --json`: path, metadata, and rates overall and by split."""
    return as_json(read_run(path))


def write_summary(path: Path, status: str) -> dict[str, Any]:
    """`summary.json` in the run's folder, replaced atomically; returns what it says."""
    summary = {"status": status, **summarise(path)}
    text = json.dumps(summary, ensure_ascii=False, indent=2, allow_nan=False)
    replace_file(path.with_name("summary.json"), f"{text}\n")
    return summary


def as_json(run: Run) -> dict[str, Any]:
    """The same of a run that has been read; with `by`, its groups too."""
    splits = list(run.splits.values())
    document = {
        "path": str(run.path),
        "metadata": run.metadata,
        "overall": rates(splits or [Counts()], run.width),
        "splits": {name: rates([counts], run.width) for name, counts in run.splits.items()},
    }
    if run.by is not None:
        groups = {name: rates([counts], run.width) for name, counts in run.groups.items()}
        document["by"] = {"key": run.by, "groups": groups}
    return document


def rates(parts: Sequence[Counts], width: int) -> dict[str, Any]:
    """Rates, curves for k = 1 … `width` and totals of splits together, as the contract names them; None if unknown.

    Beside the contract's names:

    - `plain_mean`: verified among all candidates, what pandas' mean of `is_verified` is; the same as
      `verification_rate` where every candidate is scored.
    - `coverage`: how many queries were judged, with none, some or all of their scored candidates right, and how many
      were left out and why.
    - `missing`: candidates without a score of queries that can be judged; `bounds` are the rates with all of them
      wrong and all of them right, where they are more than 1 %.
    - `reach`: curves stop at this k; all their points are over the `common_queries` that have so many scored.
    - `pass_hat_k` (all of k right), `weighted_majority_at_k`, `marginal_at_k` (what the k-th candidate adds),
      `candidates_for` (the k that reaches a pass rate, with its bootstrap interval), `index_test`.
    - `uncut`: the rate among candidates that were not cut off; `cost_per_verified`; `quantiles` of tokens and seconds.
    """
    whole = merged(list(parts))
    scored, verified = (int(n) for n in whole.by_index.sum(axis=0))
    kinds = [part.kind_counts() for part in parts]
    named = _rates(parts, kinds)
    curves, reached, common = _curves(parts, kinds, width)
    return {
        "queries": whole.queries,
        "candidates": whole.candidates,
        "scored": scored,
        "verified": verified,
        **{name: rate.estimate for name, rate in named.items()},
        "plain_mean": verified / whole.candidates if whole.candidates else None,
        "ci95": {name: _interval(rate) for name, rate in named.items()},
        "coverage": _coverage(whole),
        "missing": _missing(whole, width),
        "bounds": _bounds(whole, width),
        "reach": reached,
        "common_queries": common,
        **curves,
        "candidates_for": _candidates_for(kinds, reached),
        "candidate_idx": {
            str(index): {"scored": int(n), "verified": int(c), "rate": int(c) / int(n) if n else None}
            for index, (n, c) in enumerate(whole.by_index)
        },
        "index_test": _index_test(whole, width),
        "verdicts": _in_order(whole.verdicts),
        "truncated": whole.truncated,
        "uncut": _uncut(scored, verified, whole.cut_off),
        "prompt_tokens": whole.prompt_tokens,
        "completion_tokens": int(whole.completion_tokens.total) if whole.completion_tokens.count else None,
        "cost_usd": whole.cost_usd,
        "cost_per_verified": whole.cost_usd / verified if whole.cost_usd is not None and verified else None,
        "quantiles": {
            name: {str(share): histogram.quantile(share) for share in QUANTILES}
            for name, histogram in (("completion_tokens", whole.completion_tokens), ("latency_s", whole.latency_s))
        },
    }


Kinds = tuple[Ints, Ints, Ints]
"""Scored and verified candidates of each kind of query, and how many queries (kinds,) each."""


def _rates(parts: Sequence[Counts], kinds: Sequence[Kinds]) -> dict[str, Estimate]:
    candidates, any_right = [], []
    for scored, verified, times in kinds:
        judged = scored > 0
        n, c, count = scored[judged].astype(np.float64), verified[judged], times[judged]
        candidates.append(Sums.of(c / n, n, count))
        any_right.append(Sums.binary(int(count[c > 0].sum()), int(count.sum())))
    first = [Sums.binary(int(part.by_index[0, 1]), int(part.by_index[0, 0])) for part in parts if len(part.by_index)]
    return {
        "verification_rate": average(candidates, sum(sums.w for sums in candidates)),
        "first_candidate_rate": average(first, sum(sums.w for sums in first)),
        "any_candidate_rate": average(any_right, sum(sums.w for sums in any_right)),
    }


def _curves(parts: Sequence[Counts], kinds: Sequence[Kinds], width: int) -> tuple[dict[str, Any], int, int]:
    """All curves for k = 1 … `width`, how far they reach, and the number of queries they rest on."""
    reached = reach(np.concatenate([one[0] for one in kinds]), np.concatenate([one[2] for one in kinds]))
    draws = sum(float((times * scored)[scored >= reached].sum()) for scored, _, times in kinds)
    having = [sum(int(times[scored >= k].sum()) for scored, _, times in kinds) for k in range(1, width + 1)]
    curves: dict[str, Any] = {}
    for name, values in (("pass_at_k", pass_at_k), ("pass_hat_k", pass_hat_k), ("marginal_at_k", _marginal)):
        sums = []
        for scored, verified, times in kinds:
            kept = scored >= max(reached, 1)
            sums.append((values(scored[kept], verified[kept], reached), times[kept]))
        curves[name] = {
            str(k): _point(average([Sums.of(table[:, k - 1], times=times) for table, times in sums], draws))
            if k <= reached
            else {"estimate": None, "ci95": None, "queries": having[k - 1]}
            for k in range(1, width + 1)
        }
    voting = [part.majority for part in parts if part.has_classes]
    curves["majority_at_k"] = _elected(voting, reached, width)
    for name, sums_of in (("weighted_majority_at_k", "weighted_majority"), ("best_at_k", "best")):
        elections = [found for part in parts if (found := getattr(part, sums_of)).times]
        curves[name] = _elected(elections, reached, width) if elections else {}
    return curves, reached, having[reached - 1] if having else 0


def _marginal(scored: Ints, verified: Ints, most: int) -> Floats:
    """What each further candidate adds to pass@k of a query; the first adds pass@1."""
    return np.diff(pass_at_k(scored, verified, most), axis=1, prepend=0.0)


def _elected(elections: Sequence[CurveSums], reached: int, width: int) -> dict[str, Any]:
    points: dict[str, Any] = {}
    for k in range(1, width + 1):
        if k > reached:
            having = sum(one.having(k) for one in elections)
            points[str(k)] = {"estimate": None, "ci95": None, "queries": having}
            continue
        found = [one.at(k, reached) for one in elections]
        draws = sum(n * count for one in elections for n, count in one.times.items() if n >= reached)
        points[str(k)] = _point(average([sums for sums, _ in found], draws))
        if noise := sum(noise for _, noise in found):
            points[str(k)]["monte_carlo_error"] = noise**0.5 / sum(sums.queries for sums, _ in found)
    return points


def _coverage(whole: Counts) -> dict[str, Any]:
    kinds = whole.kinds
    scored = np.arange(len(kinds))
    left_out = {**whole.unscored, **({"unverifiable": whole.unverifiable} if whole.unverifiable else {})}
    none, full = int(kinds[1:, 0].sum()), int(kinds[scored[1:], scored[1:]].sum())
    judged = int(kinds[1:].sum())
    return {
        "judged": judged,
        "none_right": none,
        "some_right": judged - none - full,
        "all_right": full,
        "left_out": _in_order(left_out),
    }


def _missing(whole: Counts, width: int) -> dict[str, Any]:
    scored, _, times = whole.kind_counts()
    wanted = width * int(times.sum())
    missing = wanted - int((scored * times).sum())
    return {"candidates": missing, "share": missing / wanted if wanted else None}


def _bounds(whole: Counts, width: int) -> dict[str, Any] | None:
    """The rates with all missing candidates wrong, and with all right; None where hardly any is missing."""
    scored, verified, times = whole.kind_counts()
    queries = int(times.sum())
    share = _missing(whole, width)["share"]
    if share is None or share <= MISSING:
        return None
    all_there = np.full(len(scored), width)
    curves = [times @ pass_at_k(all_there, right, width) / queries for right in (verified, verified + width - scored)]
    passes = [[float(low), float(high)] for low, high in zip(*curves, strict=True)]
    candidates = [float(times @ right) / (queries * width) for right in (verified, verified + width - scored)]
    n, c = (int(count) for count in whole.by_index[0])
    first = [c / queries, min(1.0, (c + max(0, queries - n)) / queries)]
    return {
        "verification_rate": candidates,
        "first_candidate_rate": first,
        "any_candidate_rate": passes[-1],
        "pass_at_k": {str(k): bound for k, bound in enumerate(passes, 1)},
    }


def _candidates_for(kinds: Sequence[Kinds], reached: int) -> dict[str, Any]:
    """The number of candidates that reaches each wanted pass rate; None where `reached` candidates do not."""
    strata = []
    for scored, verified, times in kinds:
        kept = scored >= max(reached, 1)
        if kept.any():
            strata.append((pass_at_k(scored[kept], verified[kept], reached), times[kept]))
    if not strata:
        return {}
    queries = sum(int(times.sum()) for _, times in strata)
    curve = np.sum([times @ values for values, times in strata], axis=0) / queries
    means = resampled_means(strata)
    return {
        str(wanted): {"k": candidates_for(curve.tolist(), wanted), "ci95": list(first_reaching(means, wanted))}
        for wanted in WANTED_RATES
    }


def _index_test(whole: Counts, width: int) -> dict[str, Any]:
    """Whether the rate depends on the candidate index, and what that means in one sentence."""
    test = index_test(list(whole.patterns.values()), width)
    kinds = whole.kinds
    mixed = int(kinds.sum() - kinds[:, 0].sum() - np.trace(kinds[1:, 1:]))
    told = {"p_value": test.p_value, "p_first": test.p_first, "queries": test.queries, "queries_left_out": 0}
    told["queries_left_out"] = max(0, mixed - test.queries)
    return {**told, "says": _what_the_index_says(test.p_value, test.p_first, whole, mixed)}


def _what_the_index_says(p_value: float | None, p_first: float | None, whole: Counts, mixed: int) -> str:
    if len(whole.by_index) < 2:
        return "one candidate a query: there is no order to test"
    if p_value is None:
        alike = int(whole.kinds[2:].sum())
        if alike >= 20 and not mixed:
            return (
                "all candidates of each query agree, in all queries: perhaps each is the same answer N times "
                "(temperature 0, one seed for all, n= or a cache that repeats it)"
            )
        return "no query has both right and wrong candidates: nothing to test"
    first_alone = p_first is not None and p_first <= FAULT
    if p_value <= FAULT or first_alone:
        which = "the first differs from the others" if first_alone else "the rates differ by candidate index"
        p = min(p for p in (p_value, p_first) if p is not None)
        return (
            f"not flat (p = {p:.3g}): {which} by more than chance. Draws are exchangeable, so this points at a fault "
            "in drawing: one seed for several candidates, n= that the server treats unevenly, or a cache"
        )
    return f"flat (p = {p_value:.2g}): the first candidate is as good as any other, as it should be"


def _uncut(scored: int, verified: int, cut_off: Ints) -> dict[str, Any]:
    n, c = scored - int(cut_off[0]), verified - int(cut_off[1])
    return {"scored": n, "verified": c, "rate": c / n if n else None}


def _in_order(verdicts: dict[str, int]) -> dict[str, int]:
    known = {name: verdicts[name] for name in VERDICTS if name in verdicts}
    return {name: count for name, count in (known | verdicts).items() if count}


def _interval(rate: Estimate) -> list[float] | None:
    return None if rate.ci95 is None else list(rate.ci95)


def _point(rate: Estimate) -> dict[str, Any]:
    return {"estimate": rate.estimate, "ci95": _interval(rate), "queries": rate.queries}
