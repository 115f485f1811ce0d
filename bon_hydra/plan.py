"""What a run would ask, reuse and cost, found out without asking: `dry_run=true`."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

from bon_hydra import prompts
from bon_hydra.keys import candidate_keys, prompt_bytes
from bon_hydra.preflight import Prepared
from bon_hydra.sampling import OVERHEAD_TOKENS
from bon_hydra.schema import ConfigError
from bon_hydra.store import CandidateStore


@dataclass(frozen=True)
class Plan:
    """Figures of a run that has not started."""

    splits: dict[str, int]
    """Queries a split."""
    candidates: int
    reused: int
    prompt_tokens_at_most: int
    """Of the requests that are to be sent, as a budget reserves them: no token is shorter than a byte."""
    completion_tokens_at_most: int | None
    cost_usd_at_most: float | None

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
    candidates = reused = prompt_tokens = 0
    try:
        for query in prepared.source:
            messages = prompts.render(query, config.prompt)
            splits[query.split] += 1
            candidates += config.num_candidates
            there = 0
            if store:
                there = await store.count(candidate_keys(config, prepared.identity, messages, query.tools))
            reused += there
            prompt_tokens += (prompt_bytes(messages, query.tools) + OVERHEAD_TOKENS) * (config.num_candidates - there)
    finally:
        if store:
            store.close()
    completion = None if config.max_tokens is None else config.max_tokens * (candidates - reused)
    cost = prepared.prices.cost(prompt_tokens, completion) if prepared.prices and completion is not None else None
    return Plan(splits, candidates, reused, prompt_tokens, completion, cost)


def as_text(plan: Plan, prepared: Prepared) -> str:
    """The plan as lines to read."""
    config = prepared.config
    queries = sum(plan.splits.values())
    by_split = " + ".join(f"{count} {split}" for split, count in plan.splits.items())
    completion = plan.completion_tokens_at_most
    answers = "any number of" if completion is None else f"{completion:,}"
    cost = plan.cost_usd_at_most
    no_cost = "unbounded: max_tokens is null" if prepared.prices else "unknown: no prices for this model"
    return "\n".join(
        [
            f"experiment  {config.experiment_name}",
            f"asks        {config.model.name} at {config.model.base_url}",
            f"queries     {queries} ({by_split})",
            f"calls       {queries} queries x N={config.num_candidates} = {plan.candidates} candidates; "
            f"{plan.reused} are in the store, {plan.calls} to ask for",
            f"tokens      at most {plan.prompt_tokens_at_most:,} prompt + {answers} completion",
            "cost        " + (no_cost if cost is None else f"at most {cost:.2f} USD"),
        ]
    )
