"""A pool of sandboxes: `Sandboxes` judges programs against tests, several at once, whatever they do.

Waiting for a free worker never counts as a program's time. A worker that breaks is replaced.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from .launch import Limits
from .outcome import Outcome, malformed
from .probe import probed
from .worker import Broken, Judged, NotStarted, Worker


class _Slot:
    """A place for one worker, started when it is first needed."""

    worker: Worker | None = None


class Sandboxes:
    """Workers that judge programs: `async with Sandboxes(2, "auto", False) as sandboxes: await sandboxes.judge(…)`.

    `level` as in `runner.sandbox.level`, or what `probe` returned. Entering it raises ConfigError where the level
    does not hold here.
    """

    level: str
    """What was probed: `namespaces`, `landlock` or `unsafe`."""

    def __init__(
        self,
        workers: int,
        level: str,
        allow_unsafe: bool,
        cpu_s: float = 5.0,
        program_cpu_s: float = 60.0,
        memory_mb: int = 1024,
    ) -> None:
        self.level = level
        self._allow_unsafe = allow_unsafe
        self._limits = Limits(cpu_s, program_cpu_s, memory_mb)
        self._slots = [_Slot() for _ in range(workers)]
        self._free: asyncio.LifoQueue[_Slot] = asyncio.LifoQueue()
        self._collecting = asyncio.Lock()

    async def __aenter__(self) -> Self:
        self.level = await probed(self.level, self._allow_unsafe)
        for slot in self._slots:
            self._free.put_nowait(slot)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(*(self._empty(slot) for slot in self._slots))

    async def judge(self, program: str, tests: Mapping[str, Any]) -> Outcome:
        """Judges one program against `tests` (see docs/sandbox.md for their form). Never raises for either's sake."""
        if wrong := malformed(tests):
            return Outcome("unverifiable", wrong, 0, 0)
        slot = await self._free.get()
        try:
            judged = await self._judge(slot, program, tests)
        finally:
            self._free.put_nowait(slot)
        if judged is None or judged.retry:
            judged = await self._alone(program, tests)
        if judged is None:
            return Outcome("fail", "the program broke its sandbox twice", 0, 1)
        return judged.outcome

    async def _judge(self, slot: _Slot, program: str, tests: Mapping[str, Any]) -> Judged | None:
        """None when the worker broke."""
        try:
            if slot.worker is None:
                slot.worker = await Worker.start(self.level, self._limits)
            return await slot.worker.judge(program, tests)
        except NotStarted as error:
            return Judged(Outcome("verifier_error", "a sandbox could not be started", 0, 0, str(error)))
        except Broken:
            await self._empty(slot)
            return None
        except BaseException:
            await self._empty(slot)  # cancelled in the middle of a job
            raise

    async def _alone(self, program: str, tests: Mapping[str, Any]) -> Judged | None:
        """Once more in a new worker, while no other runs anything."""
        async with self._collecting:
            held: list[_Slot] = []
            try:
                for _ in self._slots:
                    held.append(await self._free.get())  # noqa: PERF401 (those got so far must be given back)
                await self._empty(held[0])
                return await self._judge(held[0], program, tests)
            finally:
                for slot in held:
                    self._free.put_nowait(slot)

    async def _empty(self, slot: _Slot) -> None:
        worker, slot.worker = slot.worker, None
        if worker is not None:
            await worker.close()
