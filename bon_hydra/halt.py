"""Whether a run is to end early, and why."""

from __future__ import annotations

import asyncio
import logging

from bon_hydra.store import StoreFailed

log = logging.getLogger(__name__)


class Halt:
    """Once set, nothing new is asked."""

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
