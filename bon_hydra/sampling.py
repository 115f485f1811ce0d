"""N candidates of a query: what is in the store, and requests for the rest.

A candidate's key says what determines it and nothing else, not N and not the run (`keys`), so that a rerun, a
larger N and a sweep are the same draws met again. What somebody else is drawing already is waited for.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bon_hydra.bodies import read_choice, read_choices
from bon_hydra.budget import Budget, BudgetReached, Reserved
from bon_hydra.choices import Choices
from bon_hydra.client import Reply
from bon_hydra.endpoints import Endpoints, Home
from bon_hydra.failures import EARLY, EarlyRefusals, RequestFailed
from bon_hydra.halt import Halt
from bon_hydra.keys import Keys, prompt_bytes, seeds
from bon_hydra.limits import Limits
from bon_hydra.prices import Prices, cost_of
from bon_hydra.records import Candidate, Message, Query, Response
from bon_hydra.retries import retrying
from bon_hydra.schema import Config, ConfigError
from bon_hydra.spelling import Spelling
from bon_hydra.store import CandidateStore, Stored, StoreFailed

log = logging.getLogger(__name__)

OVERHEAD_TOKENS = 200
"""What a chat template adds to a prompt, at the most."""
OTHERS_S = (0.05, 1.0)
"""How often to look for what others are drawing: at first, and after a while."""
COMMIT_TRIES = 10
"""How often, a second apart, an answer that has arrived is offered to a store that cannot take it (a full disk)."""


class NotAsked(Exception):
    """The run is halting: this candidate was not asked for, or its retries were given up."""


class Fewer(Exception):
    """The server does not take requests for several candidates: these are asked for again one at a time."""


@dataclass
class Asked:
    """What this sitting asked."""

    failed_attempts: int = 0
    missing: int = 0
    """Candidates given up after all retries: another sitting may get them."""
    last_error: str = ""
    """Why the last of them was."""
    refused: Counter[str] = field(default_factory=Counter)
    """Candidates that can't be had at all, by reason: `context_length`, `content_filter`, `too_large`, `other`."""
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
    home: Home = field(default_factory=Home)


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
        open_client: Callable[[], Awaitable[Endpoints]],
    ) -> None:
        self._config, self._run_id, self._identity = config, run_id, identity
        self._store, self._limits, self._budget, self._prices, self._halt = store, limits, budget, prices, halt
        self._open_client = open_client
        self._keys = Keys(config, identity)
        self._spelling = Spelling(config)
        self._model = config.model.name or ""
        self._choices = Choices(config)
        self._asking: set[asyncio.Task[dict[int, Candidate]]] = set()
        self._given_up = False
        self._early = EarlyRefusals()
        self._overhead_tokens = OVERHEAD_TOKENS
        self._longest = config.max_tokens or 0
        self.asked = Asked()

    async def draw(self, query: Query, messages: Sequence[Message]) -> list[Candidate]:
        """The query's candidates in order of index; shorter than N only when the run is halting."""
        keys = self._keys.of(messages, query.tools)
        candidates: dict[int, Candidate] = {}
        size = prompt_bytes(messages, query.tools)
        found = {index: stored for index, stored in enumerate(await self._store.get(keys)) if stored is not None}
        for (index, stored), response in zip(found.items(), read_choices(found.values()), strict=True):
            candidates[index] = self._candidate(index, keys[index], stored, response)
            self.asked.met += stored.run_id == self._run_id
            self._learn(size, response)
        if found:
            self._early.answered()
        if len(candidates) < len(keys):
            sent_seeds, body = seeds(self._config, query.query_id), self._spelling.body(query, messages)
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
            mine = [index for index in left if found[index] is True]
            for request in await self._ask_for(mine, draw):
                candidates.update(request)
            for index, stored in found.items():
                if isinstance(stored, Stored):
                    candidates[index] = self._known(index, draw.keys[index], stored)
            if not_had := [draw.keys[index] for index in mine if _not_had(candidates.get(index))]:
                await self._store.release(not_had)
            left = [index for index in left if index not in candidates]
            if left and not mine:
                await self._halt.sleep(pause)
                pause = min(longest, 2 * pause)

    async def _ask_for(self, indices: Sequence[int], draw: _Draw) -> list[dict[int, Candidate]]:
        """As few requests as may be, all at once; what each of them brought."""
        tasks = []
        async with asyncio.TaskGroup() as group:
            while indices:
                count = await self._choices.next(_in_one_request(indices, draw))
                # Tasks start in the order they are made, so requests go out in order of candidate index.
                tasks.append(group.create_task(self._ask(indices[:count], draw)))
                self._asking.add(tasks[-1])
                indices = indices[count:]
        self._asking.difference_update(tasks)
        return [task.result() for task in tasks]

    async def _ask(self, indices: Sequence[int], draw: _Draw) -> dict[int, Candidate]:
        """One request for these candidates, repeated until it is answered; what came is committed before it returns.

        Without some of them where the server sent fewer choices, and without any when the run is halting.
        """
        attempts, asked = 0, len(indices)
        named = ", ".join(map(str, indices))
        where = f"query {draw.query_id} candidate{'s' if asked > 1 else ''} {named}"

        async def once() -> dict[int, Candidate]:
            nonlocal attempts
            if self._halt.event.is_set():
                raise NotAsked
            # Before the slot: turns that wait for a first connection would all be used at once when it is there.
            client = await self._open_client()
            tokens = draw.prompt_tokens + asked * self._longest
            # The worst case is reckoned in the slot: what waited for it knows what others have learned meanwhile.
            async with self._limits.slot(tokens) as turn, self._budget.reserved(self._worst_usd(draw, asked)) as room:
                if self._halt.event.is_set():
                    room.bill_usd = 0.0
                    raise NotAsked
                attempts += 1
                request = self._spelling.request(draw.body, draw.seeds[indices[0]], asked)
                try:
                    reply = await client.complete(request, draw.home)
                except RequestFailed as error:
                    self.asked.failed_attempts += 1
                    await self._store.failed(self._run_id)
                    if not error.perhaps_billed:
                        room.bill_usd = 0.0
                    if error.status == 429 and error.kind == "retry":
                        turn.refused(error.headers, error.retry_after_s)
                    if error.parameter == "n" and self._choices.refused(asked):
                        raise Fewer from error
                    raise self._spelling.learn(error, request, draw.body) from error
                self._early.answered()
                self._choices.answered(asked, reply.responses)
                turn.answered(_used(reply.responses), reply.headers)
                # Still in its slot: nothing else is asked in its place before this answer is committed.
                return await self._commit(draw, indices[: len(reply.responses)], reply, attempts, room)

        def tell(attempt: int, seconds: float, error: BaseException | None) -> None:
            log.info("%s: attempt %d failed, next in %.1f s: %s", where, attempt, seconds, error)

        try:
            return await retrying(once, self._config.model.max_retries, self._halt.sleep, tell)
        except (NotAsked, Fewer):
            return {}
        except BudgetReached:
            self._halt.now("budget_reached", "the budget is spent: the next request's worst case does not fit any more")
            return {}
        except (ConfigError, StoreFailed) as error:  # the embedded model can't be had; the disk is full
            self._halt.now("failed", str(error))
            return {}
        except asyncio.CancelledError:
            if self._given_up:
                log.warning("%s: given up in flight", where)
                return {}
            raise
        except RequestFailed as error:
            return self._given_up_on(indices, draw, error, attempts)
        finally:
            self._choices.over(asked)

    def _given_up_on(
        self, indices: Sequence[int], draw: _Draw, error: RequestFailed, attempts: int
    ) -> dict[int, Candidate]:
        """What stands in the place of candidates that can't be had, now or at all."""
        if error.kind == "stop":
            self._halt.now("failed", str(error))
            return {}
        if self._choices.is_trial(len(indices)):
            self._choices.one_at_a_time(f"a request for {len(indices)} choices failed ({error})")
            return {}
        if self._early.refused(draw.query_id, error.status):
            told = f"the first {EARLY} queries were all refused, so every other would be too. The last: {error}"
            self._halt.now("failed", told)
        final = error.kind == "refused"
        for index in indices:
            log.warning("query %s candidate %d: given up after %d attempts: %s", draw.query_id, index, attempts, error)
        if final:
            self.asked.refused[error.refusal] += len(indices)
        else:
            self.asked.missing += len(indices)
            self.asked.last_error = str(error)
        return {
            index: Candidate(index, draw.keys[index].hex(), None, str(error), attempts, final=final)
            for index in indices
        }

    async def _commit(
        self, draw: _Draw, indices: Sequence[int], reply: Reply, attempts: int, room: Reserved
    ) -> dict[int, Candidate]:
        """Keeps an answer with its bill; a store without room for it halts the run and is tried again for a while.

        Where another run was first, both files hold its answers.
        """
        seed, keys = draw.seeds[indices[0]], [draw.keys[index] for index in indices]
        self._learn(draw.prompt_tokens, *reply.responses)
        costs = [cost_of(response, self._prices) for response in reply.responses]
        room.bill_usd = None if None in costs else sum(cost for cost in costs if cost is not None)
        payment = room.payment() if self._prices is not None else None
        at, latency_s, request_id = reply.created_at, reply.latency_s, reply.request_id
        new = Stored(reply.body, 0, seed, self._run_id, at, latency_s, attempts, request_id, len(keys))
        for left in reversed(range(COMMIT_TRIES)):
            try:
                kept = await self._store.put(keys, new, self._identity, self._model, payment)
                break
            except StoreFailed as error:
                self._halt.now("failed", str(error))
                if not left:
                    log.error("query %s candidates %s: an answer is lost: %s", draw.query_id, indices, error)
                    raise
                await asyncio.sleep(1.0)
        candidates = {}
        for index, stored, response in zip(indices, kept, reply.responses, strict=True):
            if stored.body is reply.body:
                own = replace(response, seed=stored.seed, run_id=stored.run_id, attempts=attempts)
                candidates[index] = self._candidate(index, draw.keys[index], stored, own)
            else:
                candidates[index] = self._known(index, draw.keys[index], stored)
        return candidates

    def _learn(self, prompt_tokens: int, *arrived: Response) -> None:
        """A server that bills more than the bound has a larger overhead than thought: later reservations hold it.

        Also those of a later sitting, from the answers it meets; else one at the end of its budget would exceed it.
        """
        if arrived[0].prompt_tokens is not None:
            self._overhead_tokens = max(self._overhead_tokens, arrived[0].prompt_tokens - prompt_tokens)
        if arrived[0].completion_tokens is not None and self._config.max_tokens is not None:
            # Of a request's choices only the sum is known.
            together = sum(one.completion_tokens or 0 for one in arrived)
            self._longest = max(self._longest, math.ceil(together / len(arrived)))

    def _worst_usd(self, draw: _Draw, asked: int) -> float:
        if self._prices is None:
            return 0.0
        prompt = draw.prompt_tokens + self._overhead_tokens
        # Nobody knows beforehand how much of it comes from the cache, which need not be the cheaper.
        return max(self._prices.cost(prompt, asked * self._longest, cached) for cached in (0, prompt))

    def _known(self, index: int, key: bytes, stored: Stored) -> Candidate:
        return self._candidate(index, key, stored, read_choice(stored))

    def _candidate(self, index: int, key: bytes, stored: Stored, response: Response) -> Candidate:
        return Candidate(
            index,
            key.hex(),
            response,
            attempts=stored.attempts,
            reused=stored.run_id != self._run_id,
            cost_usd=cost_of(response, self._prices),
        )


def _in_one_request(indices: Sequence[int], draw: _Draw) -> int:
    """How many of the first candidates one request could ask for: from one seed come choices with the next ones."""
    if draw.seeds[indices[0]] is None:
        return len(indices)
    return next((place for place, index in enumerate(indices) if index != indices[0] + place), len(indices))


def _used(responses: Sequence[Response]) -> int | None:
    """Tokens of a prompt and its answers; None where the server does not say."""
    counts = [count for one in responses for count in (one.prompt_tokens, one.completion_tokens)]
    return None if None in counts else sum(count for count in counts if count is not None)


def _not_had(candidate: Candidate | None) -> bool:
    return candidate is None or candidate.response is None
