"""Asking from the cluster's nodes: an actor on each has the project's own client, and the run has them as one.

What is asked, how often and of which endpoint is decided by the run, as on one machine.
"""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import ray

from bon_hydra import __version__
from bon_hydra.client import ChatClient, Reply, api_key
from bon_hydra.cluster.crew import Crew, MemberLost
from bon_hydra.cluster.start import Node, fitness, on
from bon_hydra.failures import RequestFailed
from bon_hydra.schema import Config, ModelConfig


class Asker:
    """The actor: a client for each endpoint, opened when it is first asked."""

    def __init__(self, version: str, model: ModelConfig, concurrency: int) -> None:
        self._version, self._model, self._concurrency = version, model, concurrency
        self._clients: dict[str, ChatClient] = {}

    async def ready(self) -> None:
        """Raises ConfigError where the node has another bon_hydra."""
        fitness(self._version, None)

    async def complete(self, url: str, key: str | None, body: dict[str, Any]) -> Reply | tuple[str, dict[str, Any]]:
        """One request to an endpoint; a failure comes back as its message and the rest of it.

        The key comes with it, so that it is in nothing that Ray keeps to make the actor anew.
        """
        if url not in self._clients:
            if self._model.api_key_env and key:
                os.environ[self._model.api_key_env] = key
            self._clients[url] = ChatClient(self._model, url, self._concurrency)
        try:
            return await self._clients[url].complete(body)
        except RequestFailed as error:
            return str(error), vars(error) | {"headers": dict(error.headers)}


class RemoteClient:
    """One endpoint, asked by whichever actor is least busy; stands where a ChatClient would."""

    def __init__(self, crew: Crew, url: str, key: str | None) -> None:
        self._crew, self._url, self._key = crew, url, key

    async def complete(self, body: dict[str, Any]) -> Reply:
        """One request.

        Raises:
            RequestFailed: as a ChatClient's; and to be asked again where the actor that asked was lost.
        """
        try:
            answer = await self._crew.call("complete", self._url, self._key, body)
        except MemberLost as lost:
            raise RequestFailed("retry", f"{lost} while it asked", perhaps_billed=True) from lost
        if isinstance(answer, Reply):
            return answer
        message, fields = answer
        failure = RequestFailed(fields["kind"], message)
        vars(failure).update(fields)
        raise failure

    async def close(self) -> None:
        """The actors are the crew's to end."""


@asynccontextmanager
async def remote_clients(
    config: Config, say: Callable[[str], None]
) -> AsyncIterator[Callable[[str], Awaitable[RemoteClient]]]:
    """Yields what makes the client of an endpoint; one actor a node asks for all of them."""
    key, model = api_key(config.model), config.model
    actor = ray.remote(Asker)

    def hire(node: Node) -> Any:
        most = max(1000, config.concurrency)
        return actor.options(**on(node, 0), max_concurrency=most).remote(__version__, model, config.concurrency)

    async with Crew(hire, lambda _: 1, config.concurrency, say) as crew:

        async def client_of(url: str) -> RemoteClient:
            await crew.staffed()
            return RemoteClient(crew, url, key)

        yield client_of
