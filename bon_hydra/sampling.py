"""N candidates of a query: what is in the store, and requests for the rest.

A candidate's key says what determines it and nothing else, not N and not the run, so that a rerun, a
larger N and a sweep are the same draws met again.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from bon_hydra.bodies import read_choice
from bon_hydra.client import ChatClient
from bon_hydra.complaints import refuses_name
from bon_hydra.failures import EARLY, EarlyRefusals, RequestFailed
from bon_hydra.limits import Budget, BudgetReached, Limits
from bon_hydra.prices import Prices, cost_of
from bon_hydra.records import Candidate, Message, Query, Response
from bon_hydra.schema import Config, ConfigError
from bon_hydra.store import CandidateStore, Stored
from bon_hydra.tool_names import refused_for_names, with_allowed_names

log = logging.getLogger(__name__)

KEY_VERSION = 1
OVERHEAD_TOKENS = 200
"""What a chat template adds to a prompt, at the most."""
LONGEST_WAIT_S = 3600.0
"""A server that asks for more patience than this is asked again all the same."""
BACKOFF = wait_random_exponential(multiplier=0.5, max=60)
SENT = ("temperature", "top_p", "reasoning_effort", "stop")
"""Sampling keys that go out under their own names; null is not sent."""


class Halt:
    """Whether the run is to end early, and why. Once set, nothing new is asked."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.status = ""
        self.message = ""

    def now(self, status: str, message: str) -> None:
        """Sets it; the first reason stays."""
        if not self.event.is_set():
            self.status, self.message = status, message
            self.event.set()


class NotAsked(Exception):
    """The run is halting: this candidate was not asked for, or its retries were given up."""


@dataclass
class Tally:
    """What this sitting asked and paid."""

    requests: int = 0
    failed_attempts: int = 0
    missing: int = 0
    """Candidates given up after all retries: another sitting may get them."""
    refused: int = 0
    """Candidates that can't be had at all."""
    refusals: dict[str, int] = field(default_factory=dict)
    """Why: `context_length`, `content_filter`, `too_large`, `other`."""
    reused: int = 0
    bought: int = 0
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached_tokens: int = 0
    reasoning_tokens: int = 0
    cost_usd: float = 0.0
    cost_known: bool = True

    def pay(self, response: Response, cost: float | None) -> None:
        """Adds what one candidate that this sitting bought has cost."""
        self.bought += 1
        self.prompt_tokens += response.prompt_tokens or 0
        self.completion_tokens += response.completion_tokens or 0
        self.cached_tokens += response.cached_tokens or 0
        self.reasoning_tokens += response.reasoning_tokens or 0
        self.cost_usd += cost or 0.0
        self.cost_known = self.cost_known and cost is not None

    def cost(self) -> float | None:
        """USD, None where a price or a usage was unknown."""
        return self.cost_usd if self.cost_known else None

    def totals(self) -> dict[str, Any]:
        """For the metadata `totals`."""
        figures = {name: value for name, value in asdict(self).items() if name != "cost_known"}
        return figures | {"cost_usd": self.cost()}


def hash30(seed: int, query_id: str) -> int:
    """30 bits, so that adding a candidate's index stays an int32."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{query_id}".encode()).digest()[:4], "big") >> 2


def candidate_keys(
    config: Config, identity: str, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None
) -> list[bytes]:
    """The store's keys of candidates 0 … N-1, 16 bytes each."""
    sampling = {name: getattr(config, name) for name in (*SENT, "max_tokens", "seed")}
    # A map's keys are texts on the wire, and sorting them needs that here too (`logit_bias: {50256: -100}`).
    extra_body = json.loads(json.dumps(config.model.extra_body, default=str))
    determines = [KEY_VERSION, identity, config.model.name, messages, tools, sampling, extra_body]
    text = json.dumps(determines, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)
    base = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return [hashlib.sha256(base + index.to_bytes(4, "big")).digest()[:16] for index in range(config.num_candidates)]


class Sampler:
    """Draws candidates for queries; `open_client` is awaited when the first request is due, not before."""

    def __init__(
        self,
        config: Config,
        run_id: str,
        identity: str,
        store: CandidateStore,
        limits: Limits,
        budget: Budget,
        prices: Prices | None,
        halt: Halt,
        open_client: Callable[[], Awaitable[ChatClient]],
    ) -> None:
        self._config, self._run_id, self._identity = config, run_id, identity
        self._store, self._limits, self._budget, self._prices, self._halt = store, limits, budget, prices, halt
        self._open_client = open_client
        wanted = config.model.max_tokens_field
        openai_itself = "://api.openai.com/" in str(config.model.base_url)
        self._max_tokens_field = (
            wanted if wanted != "auto" else "max_completion_tokens" if openai_itself else "max_tokens"
        )
        self._model = config.model.name or ""
        self._asking: set[asyncio.Task[Candidate | None]] = set()
        self._given_up = False
        self._rename_tools = False
        self._refused_fields: set[str] = set()
        self._early = EarlyRefusals()
        self.tally = Tally()

    async def draw(self, query: Query, messages: Sequence[Message]) -> list[Candidate]:
        """The query's candidates in order of index; shorter than N only when the run is halting."""
        keys = candidate_keys(self._config, self._identity, messages, query.tools)
        stored = await self._store.get(keys)
        if any(stored):
            self._early.answered()
        seeds, body = self._seeds(query), self._body(query, messages)
        tokens = prompt_bytes(messages, query.tools) + (self._config.max_tokens or 0)
        candidates: list[Candidate | None] = [
            None if found is None else self._known(index, keys[index], found) for index, found in enumerate(stored)
        ]
        async with asyncio.TaskGroup() as group:
            # Tasks start in the order they are made, so requests go out in order of candidate index.
            tasks = {
                index: group.create_task(self._ask(query.query_id, index, keys[index], body, seeds[index], tokens))
                for index, found in enumerate(stored)
                if found is None and not self._halt.event.is_set()
            }
            self._asking.update(tasks.values())
        self._asking.difference_update(tasks.values())
        for index, task in tasks.items():
            candidates[index] = task.result()
        return [candidate for candidate in candidates if candidate is not None]

    def give_up(self) -> None:
        """Lets go of every request in flight, when the run has halted and cannot wait longer."""
        self._given_up = True
        for task in self._asking:
            task.cancel()

    async def _ask(
        self, query_id: str, index: int, key: bytes, body: dict[str, Any], sent: int | None, tokens: int
    ) -> Candidate | None:
        """Asks until there is an answer, commits it, and only then returns; None when the run is halting."""
        attempts = 0

        async def once() -> Stored:
            nonlocal attempts
            async with self._limits.slot(tokens), self._budget.reserved(self._worst_usd(tokens)) as billed:
                client = None if self._halt.event.is_set() else await self._open_client()
                if client is None or self._halt.event.is_set():
                    billed(0.0)
                    raise NotAsked
                attempts += 1
                self.tally.requests += 1
                field = self._max_tokens_field
                try:
                    request = with_allowed_names(body) if self._rename_tools else body
                    reply = await client.complete({**request, **self._sent(sent)})
                except RequestFailed as error:
                    self.tally.failed_attempts += 1
                    if not error.perhaps_billed:
                        billed(0.0)
                    raise self._explained(error, field, body) from error
                # Still in its slot: nothing else is asked in its place before this answer is committed.
                new = Stored(
                    reply.body, 0, sent, self._run_id, reply.created_at, reply.latency_s, attempts, reply.request_id
                )
                arrived = read_choice(new)
                self._early.answered()
                cost = cost_of(arrived, self._prices)
                billed(cost)
                self.tally.pay(arrived, cost)
                return (await self._store.put([key], new, self._identity, self._model))[0]

        try:
            kept = await self._retrying(index, once)
        except NotAsked:
            return None
        except BudgetReached:
            self._halt.now("budget_reached", "the budget is spent: the next request's worst case does not fit any more")
            return None
        except ConfigError as error:  # the embedded model can't be had
            self._halt.now("failed", str(error))
            return None
        except asyncio.CancelledError:
            if self._given_up:
                return None
            raise
        except RequestFailed as error:
            if error.kind == "stop":
                self._halt.now("failed", str(error))
                return None
            if self._early.refused(query_id, error.status):
                told = f"the first {EARLY} queries were all refused, so every other would be too. The last: {error}"
                self._halt.now("failed", told)
            log.warning("candidate %d was given up after %d attempts: %s", index, attempts, error)
            self.tally.missing += error.kind != "refused"
            if error.kind == "refused":
                self.tally.refused += 1
                self.tally.refusals[error.refusal] = self.tally.refusals.get(error.refusal, 0) + 1
            return Candidate(index, key.hex(), None, str(error), attempts, final=error.kind == "refused")
        return self._known(index, key, kept)  # where another run stored its answer first, both files hold that one

    async def _retrying(self, index: int, once: Callable[[], Awaitable[Stored]]) -> Stored:
        """`once` until it succeeds, fails for good, or the retries are used up; sleeps outside the slot."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception(lambda e: isinstance(e, RequestFailed) and e.kind == "retry"),
            stop=stop_after_attempt(self._config.model.max_retries + 1),
            wait=_pause,
            sleep=self._sleep,
            before_sleep=lambda state: log.info(
                "candidate %d: attempt %d failed, next in %.1f s: %s", index, *_told(state)
            ),
            reraise=True,
        ):
            with attempt:
                return await once()
        raise AssertionError("tenacity returns or raises")

    async def _sleep(self, seconds: float) -> None:
        """Sleeps, but no longer than until the run halts."""
        try:
            await asyncio.wait_for(self._halt.event.wait(), seconds)
        except TimeoutError:
            return

    def _sent(self, seed: int | None) -> dict[str, Any]:
        limits = {self._max_tokens_field: self._config.max_tokens, "seed": seed}
        return {name: value for name, value in limits.items() if value is not None}

    def _explained(self, error: RequestFailed, field: str, body: dict[str, Any]) -> RequestFailed:
        """What the server refuses under one name it may take under another: of a tool, of max_tokens.

        `field` is the one that carried max_tokens when this request was sent: others may have renamed it since.
        """
        if error.status not in (400, 422):
            return error
        message = str(error)
        if refused_for_names(message) and with_allowed_names(body) is not body:
            log.info("the server refuses names of tools; sending names it takes from now on")
            self._rename_tools = True
            return RequestFailed("retry", message, error.status, headers=error.headers)
        if error.parameter == field and self._config.model.max_tokens_field == "auto" and refuses_name(message):
            other = "max_tokens" if field == "max_completion_tokens" else "max_completion_tokens"
            self._refused_fields.add(field)
            if other not in self._refused_fields:
                log.info("the server wants %s; sending that from now on", other)
                self._max_tokens_field = other
                return RequestFailed("retry", message, error.status, retry_after_s=0.0, headers=error.headers)
        return error

    def _worst_usd(self, tokens: int) -> float:
        if self._prices is None:
            return 0.0
        longest = self._config.max_tokens or 0
        return self._prices.cost(tokens - longest + OVERHEAD_TOKENS, longest)

    def _known(self, index: int, key: bytes, stored: Stored) -> Candidate:
        reused = stored.run_id != self._run_id
        self.tally.reused += reused
        return self._candidate(index, key, stored, reused)

    def _candidate(self, index: int, key: bytes, stored: Stored, reused: bool) -> Candidate:
        response = read_choice(stored)
        return Candidate(
            index,
            key.hex(),
            response,
            attempts=stored.attempts,
            reused=reused,
            cost_usd=cost_of(response, self._prices),
        )

    def _seeds(self, query: Query) -> list[int | None]:
        if self._config.seed is None or not self._config.model.send_seed:
            return [None] * self._config.num_candidates
        first = hash30(self._config.seed, query.query_id)
        return [first + index for index in range(self._config.num_candidates)]

    def _body(self, query: Query, messages: Sequence[Message]) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self._config.model.name, "messages": list(messages)}
        body |= {name: value for name in SENT if (value := getattr(self._config, name)) is not None}
        if query.tools:
            body["tools"] = list(query.tools)
        return {**body, **self._config.model.extra_body}


def prompt_bytes(messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None) -> int:
    """Bytes of what is sent, a bound on its tokens: no token is shorter than a byte."""
    return len(json.dumps([messages, tools], ensure_ascii=False).encode("utf-8", "surrogatepass"))


def _pause(state: RetryCallState) -> float:
    """Seconds until the next attempt: jittered exponential backoff, and never before the server's Retry-After."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_s if isinstance(error, RequestFailed) else None
    if asked == 0:
        return 0.0
    return min(LONGEST_WAIT_S, asked or 0.0) + min(60.0, BACKOFF(state))


def _told(state: RetryCallState) -> tuple[int, float, BaseException | None]:
    return state.attempt_number, state.upcoming_sleep, state.outcome.exception() if state.outcome else None
