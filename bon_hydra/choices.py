"""How many candidates one request asks for (its `n`): as configured, or as one trial shows.

Several choices of one request share its prompt, which is billed once. Knows nothing of queries or of the wire.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence

from bon_hydra.records import Response
from bon_hydra.schema import EMBEDDED, Config

log = logging.getLogger(__name__)

MOST = 8
"""What `auto` asks for at once: seven of eight prompts are saved, and a request that fails loses no more than this."""
TRIAL_S = 5.0
"""How long others wait for the trial's outcome before they go one at a time."""
REASONING = re.compile(
    r"(^|[/-])(o[1-9]|gpt-5|gpt-oss|qwq|deepseek-(r\d|reasoner)|magistral)|think|reason", re.IGNORECASE
)


def most_at_once(config: Config) -> int:
    """How many candidates a request may ask for, before a server has shown that it takes fewer."""
    wanted = config.model.choices_per_request
    if wanted == "auto":
        return 1 if _asks_one(config) else MOST
    return int(wanted)


class Choices:
    """Says how many candidates the next request is to ask for.

    With `auto` the first request that could ask for several is a trial; where the server refuses, answers with fewer,
    reasons before it answers or bills for less than it sent, each request asks for one from then on.
    """

    def __init__(self, config: Config) -> None:
        self._auto: bool = config.model.choices_per_request == "auto"
        self._most = most_at_once(config)
        self._known = asyncio.Event()
        self._trying = False
        if not self._auto or self._most == 1:
            self._known.set()

    async def next(self, wanted: int) -> int:
        """How many of `wanted` candidates, at least 1, the next request asks for; `over` is to follow."""
        if self._known.is_set() or wanted == 1:
            return min(wanted, self._most)
        if not self._trying:
            self._trying = True
            return min(wanted, self._most)
        try:
            await asyncio.wait_for(self._known.wait(), TRIAL_S)
        except TimeoutError:
            return 1
        return min(wanted, self._most)

    def answered(self, asked: int, came: Sequence[Response]) -> None:
        """A request that asked for so many was answered with these."""
        if asked == 1 or not self._auto:
            return
        if len(came) < asked:
            self.one_at_a_time(f"asked for {asked} choices, the server answered with {len(came)}")
        elif any(one.reasoning or one.reasoning_tokens for one in came):
            self.one_at_a_time("the model reasons before it answers")
        elif not _all_counted(came):
            self.one_at_a_time("the server does not count the tokens of all choices")
        else:
            self._known.set()

    def is_trial(self, asked: int) -> bool:
        """Whether a request for so many may have failed for that very reason."""
        return asked > 1 and self._auto and not self._known.is_set()

    def refused(self, asked: int) -> bool:
        """The server takes no `n`; True where the same candidates may be asked for one at a time."""
        if self._auto:
            self.one_at_a_time(f"the server refuses n={asked}")
        return self._auto

    def one_at_a_time(self, why: str) -> None:
        """From now on."""
        if self._most > 1:
            log.info("%s; each request asks for one candidate from now on", why)
        self._most = 1
        self._known.set()

    def over(self, asked: int) -> None:
        """A request has ended; where a trial brought nothing, another may try."""
        if asked > 1:
            self._trying = False


def _asks_one(config: Config) -> bool:
    """Where several choices at once bring nothing: they are slower here, or long thoughts are lost all at once."""
    model, name = config.model, config.model.name or ""
    return model.base_url == EMBEDDED or config.reasoning_effort is not None or bool(REASONING.search(name))


def _all_counted(came: Sequence[Response]) -> bool:
    """Whether the bill covers all choices (llama.cpp's covers the first): no token holds more than one word."""
    counts = [one.completion_tokens for one in came]
    words = sum(len((one.text or "").split()) for one in came)
    return None in counts or sum(count or 0 for count in counts) >= words
