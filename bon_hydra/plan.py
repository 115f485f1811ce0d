"""What a run would ask, reuse and cost, found out without asking: `dry_run=true`, and the first lines of a run."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean, variance

from bon_hydra import prompts
from bon_hydra.bodies import read_choices
from bon_hydra.choices import most_at_once
from bon_hydra.keys import Keys, prompt_bytes
from bon_hydra.names import dataset_name
from bon_hydra.preflight import Prepared
from bon_hydra.prices import Prices
from bon_hydra.queries.load import DatasetError
from bon_hydra.sampling import OVERHEAD_TOKENS
from bon_hydra.schema import ConfigError, in_one_line
from bon_hydra.store import CandidateStore, Stored

HISTORY = 200
"""So many earlier answers of a model over a data set say enough of its next ones."""
FEWEST = 10
"""Fewer say nothing."""
LOOKED_UP = 256
"""So many queries are looked up in the store before a run starts."""
QUICKLY_READ = 1_000_000
"""Bytes of local files that are read before a run starts, so that its first lines need not guess."""
BYTES_A_TOKEN = 4
"""Of a prompt, roughly, in the lower end of a range; the upper takes every byte for a token."""


@dataclass(frozen=True)
class Forecast:
    """What so many calls are going to cost: a likely range of each figure, and what they cannot exceed."""

    prompt_tokens: tuple[int, int]
    completion_tokens: tuple[int, int | None]
    cost_usd: tuple[float, float] | None
    """None where a price is unknown, or an answer may be of any length."""
    at_most_usd: float | None
    earlier: int
    """Answers that the range was learned from; 0 where it is what is possible."""


@dataclass(frozen=True)
class Plan:
    """Figures of a run that has not started."""

    splits: dict[str, int]
    """Queries a split."""
    candidates: int
    reused: int
    forecast: Forecast

    @property
    def calls(self) -> int:
        """Requests to send, retries aside."""
        return self.candidates - self.reused


def make_plan(prepared: Prepared) -> Plan:
    """Reads the queries and looks each of their candidates up in the store."""
    return asyncio.run(_plan(prepared))


def refuse_unreachable(prepared: Prepared) -> None:
    """A run whose server does not answer may live on its store alone, where that holds all it needs.

    Raises:
        ConfigError: it does not.
    """
    if prepared.unreachable and make_plan(prepared).calls:
        raise ConfigError(
            f"model.base_url: nobody answers at {prepared.config.model.base_url} ({prepared.unreachable}). "
            "Is the server running?"
        )


async def _plan(prepared: Prepared) -> Plan:
    config = prepared.config
    path = Path(config.output.store) if config.output.store else None
    store = CandidateStore(path) if path and path.exists() else None
    splits = dict.fromkeys(prepared.source.splits, 0)
    candidates = reused = sent_bytes = 0
    history: Sequence[Stored] = ()
    keys = Keys(config, prepared.identity)
    try:
        for query in prepared.source:
            messages = prompts.render(query, config.prompt)
            splits[query.split] += 1
            candidates += config.num_candidates
            there = 0
            if store:
                there = await store.count(keys.of(messages, query.tools))
            reused += there
            sent_bytes += prompt_bytes(messages, query.tools) * (config.num_candidates - there)
        if store:
            history = await earlier_answers(prepared, store)
    finally:
        if store:
            store.close()
    return Plan(splits, candidates, reused, forecast(prepared, candidates - reused, sent_bytes, history))


async def earlier_answers(prepared: Prepared, store: CandidateStore) -> list[Stored]:
    """What the store has of this model over this data set."""
    name = prepared.config.model.name or ""
    return await store.history(prepared.identity, name, dataset_name(prepared.config), HISTORY)


@dataclass(frozen=True)
class FirstLook:
    """What of a run's first queries the store has, found out before it starts."""

    queries: int
    candidates: int
    there: int
    """Of `candidates`, those that the store has."""
    sent_bytes: int
    """Of the prompts of the rest, each counted once a candidate."""
    whole: bool
    """There are no other queries."""


async def first_look(prepared: Prepared, store: CandidateStore, history: Sequence[Stored]) -> FirstLook | None:
    """At the first queries, where the store may have answers to them, or all of the data is quickly read.

    None where nothing was looked at, or not all of them can be read: the run meets that too, and says what it is.
    """
    config, source = prepared.config, prepared.source
    if not history and source.source.local_bytes() > QUICKLY_READ:
        return None
    each = max(1, LOOKED_UP // len(source.splits))
    most = each if source.max_queries is None else min(each, source.max_queries)
    makes, keys, sizes = Keys(config, prepared.identity), list[list[bytes]](), list[int]()
    looked = replace(source, max_queries=most, counts={})
    try:
        for query in looked:
            messages = prompts.render(query, config.prompt)
            keys.append(makes.of(messages, query.tools))
            sizes.append(prompt_bytes(messages, query.tools))
    except (ConfigError, DatasetError):
        return None
    there = [await store.count(of_one) for of_one in keys]
    whole = all(most == source.max_queries or counts.sample == "whole" for counts in looked.counts.values())
    sent = sum(size * (len(of_one) - had) for size, of_one, had in zip(sizes, keys, there, strict=True))
    return FirstLook(len(keys), sum(map(len, keys)), sum(there), sent, whole)


def reused(look: FirstLook | None, history: Sequence[Stored]) -> str:
    """What of the first queries the store has, in a few words."""
    if not history:
        return "nothing: the store has no answer of this model on this data set"
    if look is None:
        return "unknown: not all of the first queries can be read"
    return f"{look.there:,} of {'' if look.whole else 'the first '}{look.candidates:,} candidates are in the store"


def forecast(prepared: Prepared, calls: int, sent_bytes: int, history: Sequence[Stored]) -> Forecast:
    """The range for `calls` requests with `sent_bytes` of prompts in all.

    From `history` it is the 95 % prediction interval of a sum of `calls` draws like those; without, it reaches from
    answers of one token to answers of `max_tokens` each. A prompt that was paid once for several candidates is shared
    by as many as can share one here.
    """
    config, prices = prepared.config, prepared.prices
    most_prompt = sent_bytes + OVERHEAD_TOKENS * calls
    most_answer = None if config.max_tokens is None else config.max_tokens * calls
    at_most = None if prices is None or most_answer is None else prices.cost(most_prompt, most_answer)
    known = list(_draws(history, min(config.num_candidates, most_at_once(config)), prices))
    if len(known) < FEWEST:
        low, high = (sent_bytes // BYTES_A_TOKEN, most_prompt), (calls, most_answer)
        return Forecast(low, high, _cost_range(prices, low, high), at_most, 0)
    prompt, completion, cost = (_sum_of(calls, [one[i] for one in known]) for i in range(3))
    assert prompt
    assert completion
    return Forecast(
        (round(prompt[0]), round(prompt[1])), (round(completion[0]), round(completion[1])), cost, at_most, len(known)
    )


def _draws(history: Sequence[Stored], sharing: int, prices: Prices | None) -> Iterator[tuple[float, int, float | None]]:
    """Of each earlier answer its part of the prompt's tokens, its own, and its cost, where the server told them."""
    prompt, cached = None, 0
    for stored, answer in zip(history, read_choices(history), strict=True):
        if stored.choice == 0:
            prompt, cached = answer.prompt_tokens, answer.cached_tokens or 0
        if prompt is None or answer.completion_tokens is None:
            continue
        sharers = min(stored.choices, sharing)
        cost = None
        if prices is not None:
            cost = prices.cost(prompt, 0, cached) / sharers + prices.cost(0, answer.completion_tokens)
        yield prompt / sharers, answer.completion_tokens, cost


def _cost_range(
    prices: Prices | None, prompt: tuple[int, int], completion: tuple[int, int | None]
) -> tuple[float, float] | None:
    if prices is None or completion[1] is None:
        return None
    return prices.cost(prompt[0], completion[0]), prices.cost(prompt[1], completion[1])


def _sum_of(draws: int, seen: Sequence[float | None]) -> tuple[float, float] | None:
    """Where the sum of so many further draws falls with 95 % (normal: it is a sum); None where one is unknown."""
    values = [value for value in seen if value is not None]
    if len(values) < len(seen):
        return None
    middle = draws * fmean(values)
    half = 1.96 * (draws * variance(values) * (1 + draws / len(values))) ** 0.5
    return max(0.0, middle - half), middle + half


def as_text(plan: Plan, prepared: Prepared) -> str:
    """The plan as lines to read."""
    config = prepared.config
    queries = sum(plan.splits.values())
    by_split = " + ".join(f"{count} {split}" for split, count in plan.splits.items())
    each, splits = next(iter(plan.splits.values())), len(plan.splits)
    alike = splits > 1 and set(plan.splits.values()) == {each}
    factors = f"{each} queries x {splits} splits" if alike else f"{queries} queries"
    return "\n".join(
        [
            f"experiment  {config.experiment_name}",
            f"asks        {config.model.name} at {in_one_line(config.model.base_url)}",
            f"queries     {queries} ({by_split})",
            f"calls       {factors} x N={config.num_candidates} = {plan.candidates} candidates; "
            f"{plan.reused} are in the store, {plan.calls} to ask for",
            *told(plan.forecast, prepared),
        ]
    )


def told(forecast: Forecast, prepared: Prepared) -> list[str]:
    """A forecast as lines: tokens, and cost."""
    budget = prepared.config.budget_usd
    return cost_lines(forecast, prepared.prices is None, None if budget is None else f"{budget:g} USD")


def cost_lines(forecast: Forecast, price_unknown: bool, budget: str | None) -> list[str]:
    """The same, of a run or of several together."""
    tokens = f"{_range(forecast.prompt_tokens)} prompt + {_range(forecast.completion_tokens)} completion"
    learned = f"as {forecast.earlier} earlier answers of this model on this data set"
    source = learned if forecast.earlier else "from answers of one token to all of max_tokens"
    if forecast.cost_usd is not None:
        low, high = forecast.cost_usd
        most = forecast.at_most_usd or high
        cost = f"{_usd(low)} to {_usd(high)} USD; at most {_usd(most)} USD" if most else "0 USD"
    elif price_unknown:
        cost = "unknown: no prices for this model (model.prices.input=… model.prices.output=…)"
    else:
        cost = "unbounded: max_tokens is null"
    return [
        f"tokens      {tokens} ({source})",
        f"cost        {cost}" + ("" if budget is None else f"; budget {budget}"),
    ]


def _range(ends: tuple[int, int | None]) -> str:
    return f"{ends[0]:,} to {'any number' if ends[1] is None else f'{ends[1]:,}'}"


def _usd(amount: float) -> str:
    return f"{amount:,.2f}" if amount >= 0.1 or amount == 0 else f"{amount:.2g}"
