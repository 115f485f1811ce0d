"""One or more servers of the same model: which of them is asked next, and which is left out for a while.

Knows what is in flight where; does not know what is asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from bon_hydra.client import Reply
from bon_hydra.failures import RequestFailed

FIRST_S, LONGEST_S = 1.0, 60.0
"""How long an endpoint that failed is left out; doubled each time that it fails again."""


class Client(Protocol):
    """Whoever asks one endpoint: a `ChatClient`, or what stands for one elsewhere."""

    async def complete(self, body: dict[str, Any]) -> Reply: ...

    async def close(self) -> None: ...


@dataclass(slots=True, eq=False)
class _Endpoint:
    client: Client
    in_flight: int = 0
    asked: int = 0
    out_until: float = 0.0
    pause_s: float = 0.0
    """Above 0 from a failure until the next answer: meanwhile it is asked for one thing at a time."""


@dataclass(slots=True, eq=False)
class Home:
    """Where a query's candidates are drawn: the servers keep what they have worked out of a prompt."""

    at: _Endpoint | None = None


class Endpoints:
    """The clients of one run. `now` gives seconds."""

    def __init__(self, clients: Sequence[Client], now: Callable[[], float] = time.monotonic) -> None:
        self._endpoints = [_Endpoint(client) for client in clients]
        self._now = now

    async def complete(self, body: dict[str, Any], home: Home) -> Reply:
        """One request, to the endpoint that the query has been asked at, else to the least busy one.

        Raises:
            RequestFailed: as the client's.
        """
        endpoint = home.at = self._place(home.at)
        endpoint.in_flight += 1
        endpoint.asked += 1
        try:
            reply = await endpoint.client.complete(body)
            endpoint.pause_s = 0.0
            return reply
        except RequestFailed as error:
            if error.kind == "retry" and (error.status is None or error.status >= 500):
                self._leave_out(endpoint)
            raise
        finally:
            endpoint.in_flight -= 1

    async def close(self) -> None:
        """Closes all connections."""
        for endpoint in self._endpoints:
            await endpoint.client.close()

    def _place(self, before: _Endpoint | None) -> _Endpoint:
        serving = [one for one in self._endpoints if self._serves(one)]
        if before is not None and before in serving:
            return before
        if serving:
            return min(serving, key=lambda one: (one.in_flight, one.asked))
        return min(self._endpoints, key=lambda one: one.out_until)

    def _serves(self, endpoint: _Endpoint) -> bool:
        return endpoint.out_until <= self._now() and not (endpoint.pause_s and endpoint.in_flight)

    def _leave_out(self, endpoint: _Endpoint) -> None:
        now = self._now()
        if endpoint.out_until <= now:  # what else was in flight there fails of the same cause
            endpoint.pause_s = min(LONGEST_S, 2 * endpoint.pause_s or FIRST_S)
            endpoint.out_until = now + endpoint.pause_s
