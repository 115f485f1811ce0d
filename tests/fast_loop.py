"""An event loop whose clock runs as fast as the test: hours pass in milliseconds, and exactly."""

from __future__ import annotations

import asyncio
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class FastLoop(asyncio.SelectorEventLoop):
    """An event loop that never waits: where it would, its clock jumps."""

    def __init__(self) -> None:
        self._now = 1000.0
        loop = self

        class Jumping(selectors.DefaultSelector):  # type: ignore[misc, valid-type, unused-ignore]
            def select(self, timeout: float | None = None) -> list[Any]:
                loop._now += (timeout or 0.0) + 1e-7  # a turn takes a moment too, as it does in earnest
                return super().select(0)

        super().__init__(Jumping())

    def time(self) -> float:
        return self._now


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    with asyncio.Runner(loop_factory=FastLoop) as runner:
        return runner.run(main())
