"""A hard cap on what is spent: every request's worst case is set aside in the store before it is sent.

The store's account is the run's (or the sweep's) over all its sittings and processes, so that a killed one leaves
what its requests in flight may have cost. Does not know what is asked, or how a bill is reckoned.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from bon_hydra.store import CandidateStore
from bon_hydra.store.ledger import Payment, Refused

ANOTHERS_S = 0.5
"""How often to look whether another process's requests have settled."""


class BudgetReached(Exception):
    """The next request's worst case does not fit any more, and nothing is in flight that could make room."""


class Reserved:
    """Room for one request. What becomes of it sets `bill_usd`; whoever commits the bill takes the `payment`."""

    def __init__(self, account: str, worst_usd: float, number: int | None) -> None:
        self.bill_usd: float | None = None
        """None: unknown, so that it counts as its worst case."""
        self.paid = False
        self._account, self._worst_usd, self._number = account, worst_usd, number

    def payment(self) -> Payment:
        """The bill as the store takes it, once."""
        self.paid = True
        return Payment(self._account, self._worst_usd if self.bill_usd is None else self.bill_usd, self._number)


class Budget:
    """The cap of one run.

    Args:
        account: whose spending it is in the store.
        usd: the cap; None is no cap, and then bills are kept all the same.
    """

    def __init__(self, store: CandidateStore, account: str, usd: float | None) -> None:
        self._store, self._account, self._usd = store, account, usd
        self._settled = asyncio.Event()

    @asynccontextmanager
    async def reserved(self, worst_usd: float) -> AsyncIterator[Reserved]:
        """Room for one request that may cost `worst_usd`; what is in flight is waited for where it doesn't fit.

        Raises:
            BudgetReached: it doesn't fit, and waiting for others would not help.
        """
        room = Reserved(self._account, worst_usd, None if self._usd is None else await self._reserve(worst_usd))
        try:
            yield room
        finally:
            if not room.paid and (self._usd is not None or room.bill_usd != 0):
                await asyncio.shield(self._store.pay(room.payment()))
            self._settled.set()

    async def _reserve(self, worst_usd: float) -> int:
        assert self._usd is not None
        while True:
            self._settled.clear()
            asking = asyncio.ensure_future(self._store.reserve(self._account, worst_usd, self._usd))
            try:
                found = await asyncio.shield(asking)
            except asyncio.CancelledError:
                found = await asking
                if not isinstance(found, Refused):  # nothing was sent for it
                    await self._store.pay(Payment(self._account, 0.0, found))
                raise
            if not isinstance(found, Refused):
                return found
            if not found.in_flight:
                raise BudgetReached
            try:
                await asyncio.wait_for(self._settled.wait(), ANOTHERS_S)
            except TimeoutError:
                continue
