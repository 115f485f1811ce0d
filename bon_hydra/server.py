"""Whom a run asks, opened when the first request is due: an API, or the embedded model's own server."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from bon_hydra.client import ChatClient
from bon_hydra.embedded import embedded_server, weights
from bon_hydra.endpoints import Client, Endpoints
from bon_hydra.schema import EMBEDDED, Config, addresses

CONTEXT = 2048
"""Tokens of prompt and answer together that a slot of the embedded server holds at least."""
MOST_SLOTS = 8
"""More answers at once are no faster on one machine; further requests queue in the server."""


@asynccontextmanager
async def client_when_needed(
    config: Config, say: Callable[[str], None], client_of: Callable[[str], Awaitable[Client]] | None = None
) -> AsyncIterator[Callable[[], Awaitable[Endpoints]]]:
    """Yields a function that gives the endpoints of the run; a run that needs none starts no server.

    The embedded server has a slot for each request in flight, and ends with this context. It is asked from here; so are
    others, unless `client_of` makes of their address who asks them.
    """
    one_at_a_time = asyncio.Lock()
    endpoints: Endpoints | None = None

    async def here(url: str) -> Client:
        return ChatClient(config.model, url, config.concurrency)

    async with AsyncExitStack() as stack:

        async def opened() -> Endpoints:
            nonlocal endpoints
            async with one_at_a_time:
                if endpoints is None:
                    urls, client = addresses(config.model.base_url), client_of
                    if urls == [EMBEDDED]:
                        path = await asyncio.to_thread(weights, config.model.gguf, say)
                        context = max(CONTEXT, 2 * (config.max_tokens or 0))
                        say(f"starting {config.model.name} here …")
                        slots = min(config.concurrency, MOST_SLOTS)
                        server = embedded_server(path, slots=slots, context_per_slot=context)
                        urls = [await stack.enter_async_context(server)]
                        client = None
                    endpoints = Endpoints([await (client or here)(url) for url in urls])
                    stack.push_async_callback(endpoints.close)
            return endpoints

        yield opened
