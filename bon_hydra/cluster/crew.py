"""Actors of one kind on all nodes of a cluster: the least busy is asked, a lost one is replaced, new nodes join in.

Knows Ray; does not know what the actors do. An actor has a method `ready`, which refuses with a ConfigError.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import ray
from ray.exceptions import RayActorError, RayError, RayTaskError

from bon_hydra.cluster.start import Node, cause_of, nodes
from bon_hydra.schema import ConfigError

log = logging.getLogger(__name__)

LOOK_S = 1.0
"""How often the crew is held against the nodes that there are."""
TRIES = 3
"""A node whose actors did not start so often is left alone."""


class MemberLost(Exception):
    """The actor that had the work is gone, or its node is; how far it came nobody knows."""


@dataclass(eq=False)
class _Member:
    node: Node
    actor: Any
    in_flight: int = 0


class Crew:
    """The actors, started when the first is needed; all are gone when the block ends.

    Args:
        hire: makes an actor on a node.
        per_node: how many of them a node is to have.
        at_once: calls in flight at one of them; what is beyond waits here.
        say: gets one line for each that is lost, refused or replaced.
    """

    def __init__(
        self, hire: Callable[[Node], Any], per_node: Callable[[Node], int], at_once: int, say: Callable[[str], None]
    ) -> None:
        self._make, self._per_node, self._at_once, self._say = hire, per_node, at_once, say
        self._members: list[_Member] = []
        self._hiring: Counter[str] = Counter()
        self._failed: Counter[str] = Counter()
        # Never fewer than there are free places; one of a lost member is found out when it is taken.
        self._places = asyncio.Semaphore(0)
        self._tasks: set[asyncio.Task[None]] = set()
        self._staffed = asyncio.Event()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for member in self._members:
            _end(member.actor)

    async def staffed(self) -> None:
        """Returns when the first of them is there."""
        if not self._tasks:
            self._start(self._keep_staffed())
        await self._staffed.wait()

    async def call(self, method: str, *arguments: Any) -> Any:
        """What a method of the least busy actor returns; its own exceptions are RayTaskErrors.

        Raises:
            MemberLost: the actor was lost meanwhile.
        """
        await self.staffed()
        member = await self._place()
        try:
            return await getattr(member.actor, method).remote(*arguments)
        except RayActorError as error:
            self._lose(member)
            raise MemberLost(f"the worker on {member.node.host} was lost") from error
        finally:
            member.in_flight -= 1
            if member in self._members:
                self._places.release()

    async def _place(self) -> _Member:
        while True:
            await self._places.acquire()
            free = [member for member in self._members if member.in_flight < self._at_once]
            if free:
                member = min(free, key=lambda one: one.in_flight)
                member.in_flight += 1
                return member

    def _start(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _keep_staffed(self) -> None:
        """Until it is cancelled."""
        while True:
            found = await asyncio.to_thread(nodes)
            there = Counter(member.node.id for member in self._members) + self._hiring
            for node in found:
                if self._failed[node.id] < TRIES:
                    for _ in range(self._per_node(node) - there[node.id]):
                        self._hiring[node.id] += 1
                        self._start(self._hire(node))
            await asyncio.sleep(LOOK_S)

    async def _hire(self, node: Node) -> None:
        actor = self._make(node)
        try:
            await actor.ready.remote()
        except RayTaskError as error:
            self._failed[node.id] += TRIES if isinstance(error.cause, ConfigError) else 1
            self._say(f"refused as a worker: {node.host}: {cause_of(error)}")
        except RayError:  # the node has gone meanwhile, or nothing can be started on it
            self._failed[node.id] += 1
        except asyncio.CancelledError:
            _end(actor)
            raise
        else:
            self._members.append(_Member(node, actor))
            self._staffed.set()
            log.info("a worker on %s joined; there are %d of its kind", node.host, len(self._members))
            for _ in range(self._at_once):
                self._places.release()
        finally:
            self._hiring[node.id] -= 1

    def _lose(self, member: _Member) -> None:
        if member in self._members:
            self._members.remove(member)
            self._say(f"a worker on {member.node.host} was lost; {len(self._members)} of its kind are left")
            _end(member.actor)  # cut off, it may live on elsewhere


def _end(actor: Any) -> None:
    with contextlib.suppress(RayError, ValueError):  # it has gone already, or its cluster has
        ray.kill(actor)
