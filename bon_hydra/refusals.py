"""Refusals (429) counted, and the test that tells those by chance from those at a limit.

At a limit, refusals stop as soon as the pace is below what was accepted; by chance, their share is the same at any
pace.
Knows no clock: requests are counted in the order they were sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

FALLEN = 0.15
"""A trial tells the share before it from this part of that share."""
SURE = math.log(100)
"""The odds at which a trial is decided, either way."""
HABIT = 0.2
"""A share up to this is believed to be the server's habit after three trials. A larger one, or one that seemed larger
at first, after six: each goes a fifth below what was accepted, and no limit lasts so far down."""


@dataclass(slots=True, eq=False)
class Sent:
    """One request under way: when it was sent, how many were before it, and whether it was refused."""

    at: float
    number: int
    refused: bool = False


@dataclass(slots=True)
class Stretch:
    """The requests from number `first` on, the first of them sent at `since`, and what became of them."""

    since: float
    first: int
    refused: int = 0
    accepted: int = 0
    last: int = -1
    """The number of the last one that was refused."""

    def count(self, sent: Sent) -> None:
        """Takes in what became of a request; of one before this stretch, nothing."""
        if sent.number < self.first:
            return
        if sent.refused:
            self.refused += 1
            self.last = max(self.last, sent.number)
        else:
            self.accepted += 1

    @property
    def seen(self) -> int:
        """Requests up to the last refused one. What is not refused by then is taken: answers take longer."""
        return self.last - self.first + 1 if self.refused else 0

    @property
    def share(self) -> float:
        """The refused ones' among those seen."""
        return self.refused / self.seen if self.seen else 0.0

    @property
    def at_least(self) -> float:
        """That share less its standard error."""
        return at_least(self.refused, self.seen)

    def beyond(self, tolerated: float) -> float:
        """Refusals more than that share."""
        return self.refused - self.seen * tolerated


@dataclass(slots=True)
class Trial:
    """A pace below what was accepted, to see whether the share of refusals falls with it."""

    refused: int
    """Before this trial, of those in `seen`, trials before it included."""
    seen: int
    share: float
    """What led to the first trial, at the least."""
    old_rate: float | None
    """The pace before the first trial, requests a second; None: as fast as they came."""
    known_by: int
    """So many accepted requests the trial's pace was reckoned from."""
    which: int
    """1 for the first one; the share stayed in those before."""
    here: Stretch

    @property
    def all_refused(self) -> int:
        """With those of this trial."""
        return self.refused + self.here.refused

    @property
    def all_seen(self) -> int:
        """With those of this trial."""
        return self.seen + self.here.seen

    def stayed(self) -> bool:
        """The share is as it was."""
        return self._odds(self.here.seen - self.here.refused) > SURE

    def fell(self) -> bool:
        """The share is next to nothing. Only answers count as accepted here."""
        return self._odds(self.here.accepted) < -SURE

    def is_habit(self) -> bool:
        """The share stayed so often that it depends on no pace; each trial goes lower than the last."""
        small = max(self.share, at_least(self.all_refused, self.all_seen)) <= HABIT
        return self.which >= (3 if small else 6)

    def _odds(self, accepted: int) -> float:
        """The logarithm of Wald's likelihood ratio: the share as before against a part of it."""
        same = min(at_least(self.refused, self.seen), HABIT)
        fallen = FALLEN * same
        return self.here.refused * math.log(same / fallen) + accepted * math.log((1 - same) / (1 - fallen))


def at_least(refused: int, seen: int) -> float:
    """A share less its standard error: what led to a trial was chosen for its many refusals."""
    return (refused - refused**0.5) / seen if seen else 0.0
