"""What a sweep as a whole would ask, reuse and cost: draws that several of its points share count once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from bon_hydra import prompts
from bon_hydra.keys import Keys, prompt_bytes
from bon_hydra.plan import Forecast, cost_lines, earlier_answers, forecast
from bon_hydra.preflight import Prepared
from bon_hydra.store import CandidateStore


@dataclass(frozen=True)
class SweepPlan:
    """Figures of a sweep that has not started."""

    points: int
    candidates: int
    """Different draws of all points together."""
    by_points: int
    """The same if no two points shared any."""
    reused: int
    """Of `candidates`, those that a store has already."""
    forecast: Forecast
    """Summed over what each point is the first to ask for."""

    @property
    def calls(self) -> int:
        """Requests to send, retries aside."""
        return self.candidates - self.reused


@dataclass
class _Share:
    """What falls to one point of the draws that nobody before it asked for."""

    candidates: int = 0
    calls: int = 0
    sent_bytes: int = 0


def plan_sweep(points: Sequence[Prepared]) -> SweepPlan:
    """Reads the queries, once for all points that read the same, and looks their candidates up in the stores.

    Raises:
        DatasetError: the data set cannot be read to its end.
    """
    return asyncio.run(_plan(points))


async def _plan(points: Sequence[Prepared]) -> SweepPlan:
    with ExitStack() as opened:
        stores = {path: opened.enter_context(CandidateStore(path)) for path in _store_paths(points)}
        shares = [_Share() for _ in points]
        by_points = 0
        sources = {id(point.source): point.source for point in points}
        makers = [Keys(point.config, point.identity) for point in points]
        # Several points may read the same query from sources of their own, such as another max_queries.
        told_before: dict[bytes, tuple[int, int]] | None = {} if len(sources) > 1 else None
        for key, source in sources.items():
            reading, ours = _largest([at for at, point in enumerate(points) if id(point.source) == key], points)
            for query in source:
                by_points += ours
                known: dict[bytes, tuple[int, int]] = {}
                for at in reading:
                    point = points[at]
                    n = point.config.num_candidates
                    messages = prompts.render(query, point.config.prompt)
                    keys = makers[at].of(messages, query.tools)
                    if keys[0] in known:  # the one before it has them all
                        continue
                    store = _store_of(point, stores)
                    there = await store.count(keys) if store else 0
                    known[keys[0]] = n, n - there
                    before = (told_before or {}).get(keys[0], (0, 0))
                    calls = max(0, n - there - before[1])
                    shares[at].candidates += max(0, n - before[0])
                    shares[at].calls += calls
                    shares[at].sent_bytes += calls * prompt_bytes(messages, query.tools)
                if told_before is not None:
                    told_before |= {base: max(told_before.get(base, (0, 0)), each) for base, each in known.items()}
        forecasts = []
        for point, share in zip(points, shares, strict=True):
            if share.calls:
                store = _store_of(point, stores)
                history = await earlier_answers(point, store) if store else ()
                forecasts.append(forecast(point, share.calls, share.sent_bytes, history))
    candidates = sum(share.candidates for share in shares)
    calls = sum(share.calls for share in shares)
    return SweepPlan(len(points), candidates, by_points, candidates - calls, _sum(forecasts))


def _largest(reading: Sequence[int], points: Sequence[Prepared]) -> tuple[list[int], int]:
    """Of points that differ in N alone the largest, the largest N first; and the sum of all their N."""
    kept: dict[str, int] = {}
    for at in sorted(reading, key=lambda at: -points[at].config.num_candidates):
        kept.setdefault(repr(replace(points[at].config, num_candidates=1)), at)
    return list(kept.values()), sum(points[at].config.num_candidates for at in reading)


def _store_path(point: Prepared) -> Path | None:
    return Path(point.config.output.store) if point.config.output.store else None


def _store_of(point: Prepared, stores: dict[Path, CandidateStore]) -> CandidateStore | None:
    path = _store_path(point)
    return stores.get(path) if path else None


def _store_paths(points: Iterable[Prepared]) -> list[Path]:
    paths = dict.fromkeys(path for point in points if (path := _store_path(point)))
    return [path for path in paths if path.exists()]


def _sum(parts: Sequence[Forecast]) -> Forecast:
    """Ranges whose ends are the sums of the ends; unknown where one of them is."""
    completions = [part.completion_tokens[1] for part in parts]
    costs = [part.cost_usd for part in parts]
    most = [part.at_most_usd for part in parts]
    known = [cost for cost in costs if cost is not None]
    return Forecast(
        prompt_tokens=(sum(part.prompt_tokens[0] for part in parts), sum(part.prompt_tokens[1] for part in parts)),
        completion_tokens=(
            sum(part.completion_tokens[0] for part in parts),
            None if None in completions else sum(end for end in completions if end is not None),
        ),
        cost_usd=(sum(low for low, _ in known), sum(high for _, high in known)) if len(known) == len(costs) else None,
        at_most_usd=None if None in most else sum(end for end in most if end is not None),
        earlier=min((part.earlier for part in parts), default=0),
    )


def as_lines(plan: SweepPlan, points: Sequence[Prepared]) -> list[str]:
    """The plan as lines to read."""
    apart = f" ({plan.by_points:,} if no two points shared any)" if plan.by_points > plan.candidates else ""
    budgets = dict.fromkeys(point.config.budget_usd for point in points if point.config.budget_usd is not None)
    budget = " or ".join(f"{amount:g}" for amount in budgets) + " USD for the sweep as a whole" if budgets else None
    first = f"sweep       {plan.points} points: {plan.candidates:,} candidates{apart}; "
    first += f"{plan.reused:,} are in the store, {plan.calls:,} to ask for"
    if not plan.calls:
        return [first]
    return [first, *cost_lines(plan.forecast, any(point.prices is None for point in points), budget)]
