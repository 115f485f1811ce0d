"""How many requests at once, and how many requests and tokens a minute.

Built inside the running event loop. Does not know what is asked, or of whom.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiolimiter import AsyncLimiter

QUANTA_PER_SECOND = 10.0
"""Tokens a minute are granted in quanta of a tenth of a second's worth: a bucket that small allows no burst."""


class Limits:
    """Concurrency, requests a minute and tokens a minute together.

    Args:
        concurrency: requests in flight at once.
        requests_per_minute, tokens_per_minute: None is no limit.
    """

    def __init__(self, concurrency: int, requests_per_minute: float | None, tokens_per_minute: float | None) -> None:
        self._slots = asyncio.Semaphore(concurrency)
        # (1, 60 / rate) and not (rate, 60), which would let a whole minute's requests through at once.
        self._requests = AsyncLimiter(1, 60 / requests_per_minute) if requests_per_minute else None
        self._tokens = AsyncLimiter(1, 1 / QUANTA_PER_SECOND) if tokens_per_minute else None
        self._quantum = (tokens_per_minute or 0) / 60 / QUANTA_PER_SECOND
        self._owed = 0.0  # tokens that were let through and do not fill a quantum yet; always less than one
        self._order = asyncio.Lock()

    @asynccontextmanager
    async def slot(self, tokens: int) -> AsyncIterator[None]:
        """One request's right to be sent, in the order asked for; `tokens` is what it may use, prompt and answer."""
        async with self._slots:
            if self._requests or self._tokens:
                async with self._order:
                    if self._requests:
                        await self._requests.acquire()
                    if self._tokens:
                        self._owed += tokens
                        while self._owed >= self._quantum:
                            self._owed -= self._quantum
                            await self._tokens.acquire()
            yield
