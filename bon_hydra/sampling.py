"""N candidates of a query: what is in the store, and requests for the rest.

A candidate's key says what determines it and nothing else, not N and not the run (`keys`), so that a rerun, a
larger N and a sweep are the same draws met again. What somebody else is drawing already is waited for.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bon_hydra.budget import Budget, BudgetReached, Reserved
from bon_hydra.client import ChatClient, RequestFailed, read_choice
from bon_hydra.keys import SENT, candidate_keys, prompt_bytes, seeds
from bon_hydra.limits import Limits
from bon_hydra.prices import Prices, cost_of
from bon_hydra.records import Candidate, Message, Query, Response
from bon_hydra.retries import retrying
from bon_hydra.schema import Config, ConfigError
from bon_hydra.store import CandidateStore, Stored, StoreFailed
from bon_hydra.tool_names import refused_for_names, with_allowed_names

log = logging.getLogger(__name__)

OVERHEAD_TOKENS = 200
"""What a chat template adds to a prompt, at the most."""
OTHERS_S = (0.05, 1.0)
"""How often to look for what others are drawing: at first, and after a while."""
COMMIT_TRIES = 10
"""How often, a second apart, an answer that has arrived is offered to a store that cannot take it (a full disk)."""


class Halt:
    """Whether the run is to end early, and why. Once set, nothing new is asked."""

    def __init__(self) -> None:
        self.event = asyncio.Event()
        self.status = ""
        self.message = ""
        self.results: OSError | StoreFailed | None = None
        """What makes it pointless to write results: the store cannot be read, or the file not be written."""

    def for_good(self, error: OSError | StoreFailed) -> None:
        """Sets it where not even what is there can be written."""
        self.results = self.results or error
        self.now("failed", str(error))

    def now(self, status: str, message: str) -> None:
        """Sets it; the first reason stays."""
        if not self.event.is_set():
            self.status, self.message = status, message
            self.event.set()
            log.warning("stopping, %s: %s", status, message)

    async def sleep(self, seconds: float) -> None:
        """Sleeps, but no longer than until the run halts."""
        try:
            await asyncio.wait_for(self.event.wait(), seconds)
        except TimeoutError:
            return


class NotAsked(Exception):
    """The run is halting: this candidate was not asked for, or its retries were given up."""


@dataclass
class Asked:
    """What this sitting asked."""

    failed_attempts: int = 0
    missing: int = 0
    """Candidates given up after all retries: another sitting may get them."""
    refused: Counter[str] = field(default_factory=Counter)
    """Candidates that can't be had at all, by reason."""
    met: int = 0
    """Candidates that an earlier sitting of this run had bought."""


@dataclass(frozen=True, slots=True)
class _Draw:
    """What the requests of one query have in common."""

    query_id: str
    keys: Sequence[bytes]
    seeds: Sequence[int | None]
    body: dict[str, Any]
    prompt_tokens: int
    """At the most."""


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
        self._overhead_tokens = OVERHEAD_TOKENS
        self._longest = config.max_tokens or 0
        self.asked = Asked()

    async def draw(self, query: Query, messages: Sequence[Message]) -> list[Candidate]:
        """The query's candidates in order of index; shorter than N only when the run is halting."""
        keys = candidate_keys(self._config, self._identity, messages, query.tools)
        candidates: dict[int, Candidate] = {}
        size = prompt_bytes(messages, query.tools)
        for index, stored in enumerate(await self._store.get(keys)):
            if stored is not None:
                candidates[index] = known = self._known(index, keys[index], stored)
                self.asked.met += stored.run_id == self._run_id
                if known.response is not None:
                    self._learn(size, known.response)
        if len(candidates) < len(keys):
            sent_seeds, body = seeds(self._config, query.query_id), self._body(query, messages)
            draw = _Draw(query.query_id, keys, sent_seeds, body, size)
            try:
                await self._draw_rest(draw, candidates)
            except StoreFailed as error:  # it cannot be written: what is there may be read still
                self._halt.now("failed", str(error))
        return [candidates[index] for index in sorted(candidates)]

    def give_up(self) -> None:
        """Lets go of every request in flight, when the run has halted and cannot wait longer."""
        self._given_up = True
        for task in self._asking:
            task.cancel()

    async def _draw_rest(self, draw: _Draw, candidates: dict[int, Candidate]) -> None:
        """Asks for what nobody else is drawing, then waits for what others are; adds to `candidates`."""
        left = [index for index in range(len(draw.keys)) if index not in candidates]
        pause, longest = OTHERS_S
        while left and not self._halt.event.is_set():
            claimed = await self._store.claim([draw.keys[index] for index in left])
            found = dict(zip(left, claimed, strict=True))
            async with asyncio.TaskGroup() as group:
                # Tasks start in the order they are made, so requests go out in order of candidate index.
                tasks = {index: group.create_task(self._ask(index, draw)) for index in left if found[index] is True}
                self._asking.update(tasks.values())
            self._asking.difference_update(tasks.values())
            for index, stored in found.items():
                candidate = tasks[index].result() if index in tasks else None
                if isinstance(stored, Stored):
                    candidate = self._known(index, draw.keys[index], stored)
                if candidate is not None:
                    candidates[index] = candidate
            await self._store.release([draw.keys[index] for index in tasks if _not_had(candidates.get(index))])
            left = [index for index in left if found[index] is False]
            if left:
                await self._halt.sleep(pause)
                pause = min(longest, 2 * pause)

    async def _ask(self, index: int, draw: _Draw) -> Candidate | None:
        """Asks until there is an answer, commits it, and only then returns; None when the run is halting."""
        attempts = 0
        where = f"query {draw.query_id} candidate {index}"

        async def once() -> Stored:
            nonlocal attempts
            tokens = draw.prompt_tokens + self._longest
            # The worst case is reckoned in the slot: what waited for it knows what others have learned meanwhile.
            async with self._limits.slot(tokens), self._budget.reserved(self._worst_usd(draw)) as room:
                client = None if self._halt.event.is_set() else await self._open_client()
                if client is None or self._halt.event.is_set():
                    room.bill_usd = 0.0
                    raise NotAsked
                attempts += 1
                field_ = self._max_tokens_field
                try:
                    request = with_allowed_names(draw.body) if self._rename_tools else draw.body
                    reply = await client.complete({**request, **self._sent(draw.seeds[index])})
                except RequestFailed as error:
                    self.asked.failed_attempts += 1
                    await self._store.failed(self._run_id)
                    if not error.may_be_billed:
                        room.bill_usd = 0.0
                    raise self._explained(error, field_, draw.body) from error
                # Still in its slot: nothing else is asked in its place before this answer is committed.
                new = Stored(
                    reply.body,
                    0,
                    draw.seeds[index],
                    self._run_id,
                    reply.created_at,
                    reply.latency_s,
                    attempts,
                    reply.request_id,
                )
                return await self._commit(draw, index, new, room)

        def tell(attempt: int, seconds: float, error: BaseException | None) -> None:
            log.info("%s: attempt %d failed, next in %.1f s: %s", where, attempt, seconds, error)

        try:
            kept = await retrying(once, self._config.model.max_retries, self._halt.sleep, tell)
        except NotAsked:
            return None
        except BudgetReached:
            self._halt.now("budget_reached", "the budget is spent: the next request's worst case does not fit any more")
            return None
        except (ConfigError, StoreFailed) as error:  # the embedded model can't be had; the disk is full
            self._halt.now("failed", str(error))
            return None
        except asyncio.CancelledError:
            if self._given_up:
                log.warning("%s: given up in flight", where)
                return None
            raise
        except RequestFailed as error:
            if error.kind == "stop":
                self._halt.now("failed", str(error))
                return None
            log.warning("%s: given up after %d attempts: %s", where, attempts, error)
            self.asked.missing += error.kind != "refused"
            if error.kind == "refused":
                self.asked.refused["refused"] += 1
            final = error.kind == "refused"
            return Candidate(index, draw.keys[index].hex(), None, str(error), attempts, final=final)
        return self._known(index, draw.keys[index], kept)  # where another run was first, both files hold its answer

    async def _commit(self, draw: _Draw, index: int, new: Stored, room: Reserved) -> Stored:
        """Keeps an answer with its bill; a store without room for it halts the run and is tried again for a while."""
        arrived = read_choice(new)
        self._learn(draw.prompt_tokens, arrived)
        room.bill_usd = cost_of(arrived, self._prices)
        payment = room.payment() if self._prices is not None else None
        for left in reversed(range(COMMIT_TRIES)):
            try:
                return (await self._store.put([draw.keys[index]], new, self._identity, self._model, payment))[0]
            except StoreFailed as error:
                self._halt.now("failed", str(error))
                if not left:
                    log.error("query %s candidate %d: its answer is lost: %s", draw.query_id, index, error)
                    raise
                await asyncio.sleep(1.0)
        raise AssertionError("the last try returns or raises")

    def _learn(self, prompt_tokens: int, arrived: Response) -> None:
        """A server that bills more than the bound has a larger overhead than thought: later reservations hold it.

        Also those of a later sitting, from the answers it meets; else one at the end of its budget would exceed it.
        """
        if arrived.prompt_tokens is not None:
            self._overhead_tokens = max(self._overhead_tokens, arrived.prompt_tokens - prompt_tokens)
        if arrived.completion_tokens is not None and self._config.max_tokens is not None:
            self._longest = max(self._longest, arrived.completion_tokens)

    def _sent(self, seed: int | None) -> dict[str, Any]:
        limits = {self._max_tokens_field: self._config.max_tokens, "seed": seed}
        return {name: value for name, value in limits.items() if value is not None}

    def _explained(self, error: RequestFailed, field_: str, body: dict[str, Any]) -> RequestFailed:
        """A 400 that names one of our own parameters concerns every request, not this one alone.

        `field_` is the one that carried max_tokens when this request was sent: others may have renamed it since.
        """
        if error.status != 400:
            return error
        message = str(error)
        if refused_for_names(message) and with_allowed_names(body) is not body:
            log.info("the server refuses names of tools; sending names it takes from now on")
            self._rename_tools = True
            return RequestFailed("retry", message, error.status)
        other = "max_tokens" if field_ == "max_completion_tokens" else "max_completion_tokens"
        if (
            self._config.model.max_tokens_field == "auto"
            and re.search(rf"\b{other}\b", message)
            and "nsupported" in message
        ):
            log.info("the server wants %s; sending that from now on", other)
            self._max_tokens_field = other
            return RequestFailed("retry", message, error.status, retry_after_s=0.0)
        named = re.search(
            r"['\"`](temperature|top_p|seed|reasoning_effort|stop|tools|max_tokens|max_completion_tokens)['\"`]",
            message,
        )
        if named and "nsupported" in message:
            key = {"max_completion_tokens": "max_tokens"}.get(named[1], named[1])
            hint = "model.send_seed=false" if key == "seed" else f"{key}=null (not sent), or another value"
            return RequestFailed("stop", f"{message} The server refuses what {key} sends; try {hint}.", error.status)
        return error

    def _worst_usd(self, draw: _Draw) -> float:
        if self._prices is None:
            return 0.0
        prompt = draw.prompt_tokens + self._overhead_tokens
        # Nobody knows beforehand how much of it comes from the cache, which need not be the cheaper.
        return max(self._prices.cost(prompt, self._longest, cached) for cached in (0, prompt))

    def _known(self, index: int, key: bytes, stored: Stored) -> Candidate:
        response = read_choice(stored)
        return Candidate(
            index,
            key.hex(),
            response,
            attempts=stored.attempts,
            reused=stored.run_id != self._run_id,
            cost_usd=cost_of(response, self._prices),
        )

    def _body(self, query: Query, messages: Sequence[Message]) -> dict[str, Any]:
        body: dict[str, Any] = {"model": self._config.model.name, "messages": list(messages)}
        body |= {name: value for name in SENT if (value := getattr(self._config, name)) is not None}
        if query.tools:
            body["tools"] = list(query.tools)
        return {**body, **self._config.model.extra_body}


def _not_had(candidate: Candidate | None) -> bool:
    return candidate is None or candidate.response is None
