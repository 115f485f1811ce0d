"""A run's rates: what was counted, as the shares, curves and intervals that people and scripts read.

`summarise` is the run's element of `bon inspect --json`. This module does not know how numbers are shown.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from bon_hydra.report.counts import Counts, Run, read_run
from bon_hydra.statistics import (
    Ballot,
    Estimate,
    any_rate,
    binary_rate,
    candidate_rate,
    majority_curve,
    pass_curve,
)


def summarise(path: Path) -> dict[str, Any]:
    """The run's element of `bon inspect --json`: path, metadata, and rates overall and by split."""
    return as_json(read_run(path))


def write_summary(path: Path, status: str) -> dict[str, Any]:
    """`summary.json` in the run's folder, replaced atomically; returns what it says."""
    summary = {"status": status, **summarise(path)}
    part = path.with_name("summary.json.part")
    part.write_text(json.dumps(summary, ensure_ascii=False, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    part.replace(path.with_name("summary.json"))
    return summary


def as_json(run: Run) -> dict[str, Any]:
    """The same of a run that has been read."""
    most = len(run.overall.by_index)
    return {
        "path": str(run.path),
        "metadata": run.metadata,
        "overall": rates(run.overall, most, run.ballots),
        "splits": {name: rates(counts, most, run.ballots) for name, counts in run.splits.items()},
    }


def rates(counts: Counts, most: int, ballots: list[Ballot]) -> dict[str, Any]:
    """Rates, pass@1 … pass@`most` and totals of one split or run, as the contract names them; None where unknown."""
    scored, verified = (int(n) for n in counts.by_index.sum(axis=0))
    first = binary_rate(*(int(n) for n in counts.by_index[0, ::-1])) if len(counts.by_index) else binary_rate(0, 0)
    named = {
        "verification_rate": candidate_rate(counts.scored, counts.verified),
        "first_candidate_rate": first,
        "any_candidate_rate": any_rate(counts.scored, counts.verified),
    }
    curve = pass_curve(counts.scored, counts.verified, most)
    majority = majority_curve(ballots, counts.votes, most)
    return {
        "queries": len(counts.scored),
        "candidates": counts.candidates,
        "scored": scored,
        "verified": verified,
        **{name: rate.estimate for name, rate in named.items()},
        "ci95": {name: _interval(rate) for name, rate in named.items()},
        "pass_at_k": {str(k): _estimate(rate) for k, rate in enumerate(curve, 1)},
        "majority_at_k": {str(k): _estimate(rate) for k, rate in enumerate(majority, 1)},
        "candidate_idx": {
            str(index): {"scored": int(n), "verified": int(c), "rate": int(c) / int(n) if n else None}
            for index, (n, c) in enumerate(counts.by_index)
        },
        "verdicts": counts.verdicts,
        "truncated": counts.truncated,
        "prompt_tokens": counts.prompt_tokens,
        "completion_tokens": counts.completion_tokens,
        "cost_usd": counts.cost_usd,
    }


def _interval(rate: Estimate) -> list[float] | None:
    return None if rate.ci95 is None else list(rate.ci95)


def _estimate(rate: Estimate) -> dict[str, Any]:
    return {"estimate": rate.estimate, "ci95": _interval(rate), "queries": rate.queries}
