"""A run against a server that limits requests and tokens a minute, on a clock that jumps: minutes take a moment."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from fast_loop import run
from rate_limit import RateLimit

from bon_hydra.failures import RequestFailed
from bon_hydra.limits import Limits
from bon_hydra.retries import retrying

HALVED_AT = 300.0


def halving(second: float) -> tuple[float, float]:
    """600 requests and 100,000 tokens a minute; from HALVED_AT on half of both."""
    return (600, 100_000) if second < HALVED_AT else (300, 50_000)


@dataclass(frozen=True)
class Scenario:
    """What the server allows and how it answers; and what is asked of it, as fast as the limits let go."""

    allowed: tuple[float, float] | Callable[[float], tuple[float, float]] = (600, 100_000)
    seconds: float = 600.0
    concurrency: int = 50
    latency_s: tuple[float, float] = (0.5, 2.0)
    refusal_s: float | None = 0.05
    """How soon a refusal comes; None: as late as an answer."""
    tokens: tuple[float, float] = (100, 0.0)
    """Tokens a request really uses: the median and the spread (sigma) of a log-normal."""
    estimate: int = 1000
    """What the longest answer may use, on top of the prompt; the caller reserves that."""
    depth_s: float | None = 60.0
    """As RateLimit's."""
    headers: bool = True
    retry_after: bool = True
    random_429: float = 0.0
    """The share of requests refused whatever the pace."""
    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    max_retries: int = 8
    seed: int = 0


@dataclass
class Outcome:
    """What the server saw, second by second, and what the limits said."""

    server: RateLimit
    by_chance: int = 0
    given_up: int = 0
    """Candidates that were refused `max_retries` times over."""
    said: list[tuple[float, str]] = field(default_factory=list)
    sent: list[tuple[float, float]] = field(default_factory=list)
    """(when, tokens really used) of each request sent."""

    @property
    def answered(self) -> float:
        """Requests let through in all."""
        return sum(second[0] for second in self.server.by_second.values())


def simulate(scenario: Scenario) -> Outcome:
    """Runs the scenario; the outcome is the same each time."""

    async def main() -> Outcome:
        loop, rng = asyncio.get_running_loop(), random.Random(scenario.seed)
        random.seed(scenario.seed)  # the backoff's jitter
        start = loop.time()
        server = RateLimit(
            scenario.allowed,
            depth_s=scenario.depth_s,
            headers=scenario.headers,
            retry_after=scenario.retry_after,
            clock=loop.time,
        )
        outcome = Outcome(server)
        limits = Limits(
            scenario.concurrency,
            scenario.requests_per_minute,
            scenario.tokens_per_minute,
            lambda line: outcome.said.append((loop.time() - start, line)),
        )
        limits._pace._jitter = rng.random

        async def ask(used: float) -> None:
            """One request."""
            prompt = 0.3 * used
            async with limits.slot(int(4 * prompt) + scenario.estimate) as turn:
                outcome.sent.append((loop.time() - start, used))
                by_chance = rng.random() < scenario.random_429
                admitted, headers = (False, {"Retry-After": "1"}) if by_chance else server.admit(used)
                outcome.by_chance += by_chance
                said = {name.lower(): value for name, value in headers.items() if scenario.retry_after or "x-" in name}
                latency = rng.uniform(*scenario.latency_s)
                await asyncio.sleep(latency if admitted or scenario.refusal_s is None else scenario.refusal_s)
                if admitted:
                    turn.answered(int(used), said)
                    return
                after = float(said["retry-after"]) if "retry-after" in said else None
                turn.refused(said, after)
                raise RequestFailed("retry", "refused", 429, after)

        async def worker() -> None:
            while True:
                used = rng.lognormvariate(0, scenario.tokens[1]) * scenario.tokens[0]
                try:
                    await retrying(partial(ask, used), scenario.max_retries, asyncio.sleep, lambda *_: None)
                except RequestFailed:
                    outcome.given_up += 1

        workers = [asyncio.create_task(worker()) for _ in range(2 * scenario.concurrency + 8)]
        await asyncio.sleep(scenario.seconds)
        for task in workers:
            task.cancel()
        for end in await asyncio.gather(*workers, return_exceptions=True):
            if isinstance(end, BaseException) and not isinstance(end, asyncio.CancelledError):
                raise end
        return outcome

    return run(main)
