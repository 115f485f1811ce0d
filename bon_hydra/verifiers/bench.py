"""Workers that judge, in processes that may be killed, and the sandbox beside them: `Bench`, on one machine.

No answer can hang or kill a run: the worker limits CPU time and memory itself (see `worker`), and a looser
wall clock here ends one that does not come back. What a worker dies of is tried once more, alone in a
new one, before it counts; waiting for a free worker never counts. This process never parses an answer.

Programs are taken out of answers by a worker too, and run by `bon_hydra.sandbox`, which is opened for the first one.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import asdict, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from bon_hydra.records import Verdict
from bon_hydra.schema import SandboxConfig
from bon_hydra.verifiers import code
from bon_hydra.verifiers.completion import Completion, Task, one_line
from bon_hydra.verifiers.process import WallTimeUp, Worker, WorkerLost

if TYPE_CHECKING:
    from bon_hydra.sandbox.pool import Sandboxes


class Bench:
    """Worker processes of this machine that judge: `async with Bench(2) as bench: await bench.verdicts(…)`.

    Workers start when they are first needed, and all are gone when the block ends. `cpu_s` and `memory_mb`
    (beyond what a worker has loaded) are for judging one candidate; `sandbox` says how programs are run, as many at
    once as there are workers.
    """

    def __init__(
        self, workers: int, cpu_s: float = 5.0, memory_mb: int = 1024, sandbox: SandboxConfig | None = None
    ) -> None:
        self.places = workers
        self._slots = [_Slot(cpu_s, memory_mb) for _ in range(workers)]
        self._free: asyncio.LifoQueue[_Slot] = asyncio.LifoQueue()
        self._cpu_s = cpu_s
        self._wall_s = 3 * cpu_s + 10
        self._sandbox = sandbox or SandboxConfig()
        self._opening = asyncio.Lock()
        self._opened: Sandboxes | None = None
        self._services = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        for slot in self._slots:
            self._free.put_nowait(slot)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await asyncio.gather(self._services.aclose(), *(slot.empty() for slot in self._slots))

    async def verdicts(
        self, name: str, task: Task, completions: list[Completion], tests: dict[str, Any] | None
    ) -> list[Verdict]:
        """The verdict of verifier `name` on each of the different completions; `tests` are those of code.

        Raises ConfigError where there is code to run and no sandbox to run it in; all else that goes wrong is a
        verdict.
        """
        async with self._slot() as slot:
            seen = task if tests is None else Task(code.without_cases(tests))
            verdicts = await self._verdicts(slot, name, seen, completions)
        return verdicts if tests is None else await self._tested(verdicts, tests)

    async def equivalent(self, name: str, answers: list[str]) -> tuple[list[int], bool]:
        """For each of the different answers the place of the first that it is equivalent to.

        And whether that would be found again; not where a limit was met on the way.
        """
        async with self._slot() as slot:
            answer = await self._asked(slot, {"classes": name, "answers": answers})
        if answer is None or "classes" not in answer:
            return list(range(len(answers))), False
        return list(answer["classes"]), not answer["retired"]

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[_Slot]:
        """A place in the pool for one query; the last one used comes first, so that little work starts few workers."""
        slot = await self._free.get()
        try:
            yield slot
        except BaseException:
            await slot.empty()
            raise
        finally:
            self._free.put_nowait(slot)

    async def _tested(self, verdicts: list[Verdict], tests: dict[str, Any]) -> list[Verdict]:
        """The verdicts with each program that waits in one run against the tests, the same program once."""
        programs = list(dict.fromkeys(verdict.answer for verdict in verdicts if verdict.answer is not None))
        if not programs:
            return verdicts
        sandboxes = await self._sandboxes()
        outcomes = await asyncio.gather(*(sandboxes.judge(program, tests) for program in programs))
        ran = {program: code.verdict_of(outcome) for program, outcome in zip(programs, outcomes, strict=True)}
        return [ran[verdict.answer] if verdict.answer is not None else verdict for verdict in verdicts]

    async def _sandboxes(self) -> Sandboxes:
        """The sandbox's own pool, opened for the first program."""
        async with self._opening:
            if self._opened is None:
                from bon_hydra.sandbox.pool import Sandboxes

                config = self._sandbox
                self._opened = await self._services.enter_async_context(
                    Sandboxes(
                        len(self._slots),
                        config.level,
                        config.allow_unsafe,
                        cpu_s=config.cpu_s,
                        memory_mb=config.memory_mb,
                    )
                )
        return self._opened

    async def _verdicts(self, slot: _Slot, name: str, task: Task, completions: list[Completion]) -> list[Verdict]:
        verdicts: list[Verdict] = []
        alone = False
        while len(verdicts) < len(completions):
            rest = completions[len(verdicts) :][: 1 if alone else None]
            try:
                worker = await slot.worker()
            except (WorkerLost, OSError) as fault:
                error = one_line(f"a verifier process did not start: {fault}")
                left = len(completions) - len(verdicts)
                return verdicts + [Verdict("verifier_error", "the verifier did not start", error=error)] * left
            try:
                await worker.ask({"judge": name, "task": asdict(task), "completions": [asdict(each) for each in rest]})
                for _ in rest:
                    answer = await worker.answer(self._wall_s)
                    verdict = Verdict(**answer["verdict"]) if "verdict" in answer else self._out_of_cpu()
                    alone = False
                    if answer["retired"]:
                        break
                    verdicts.append(verdict)
                else:
                    continue
            except WorkerLost as lost:
                await slot.empty()
                busy = isinstance(lost, WallTimeUp) and lost.cpu_used is not None and lost.cpu_used >= self._cpu_s / 2
                if not alone and not busy:
                    alone = True
                    continue
                alone = False
                verdict = _of_the_lost(lost)
            if task.readable and not await self._reads_reference(slot, name, task):
                task = replace(task, readable=False)
                verdict = Verdict("unverifiable", "reading the reference met a limit of time or memory")
            verdicts.append(verdict)
        return verdicts

    def _out_of_cpu(self) -> Verdict:
        return Verdict("timeout", f"more than {self._cpu_s:g} s of CPU time")

    async def _reads_reference(self, slot: _Slot, name: str, task: Task) -> bool:
        """Whether the reference alone stays within the limits, so that a limit met was the answer's fault."""
        answer = await self._asked(slot, {"reference": name, "task": asdict(task)})
        return answer is not None and answer.get("reference") == "read"

    async def _asked(self, slot: _Slot, job: dict[str, Any]) -> dict[str, Any] | None:
        """The answer to a job of one question; None where the worker was lost over it."""
        try:
            worker = await slot.worker()
            await worker.ask(job)
            return await worker.answer(self._wall_s)
        except (WorkerLost, OSError):
            await slot.empty()
            return None


class _Slot:
    """A place in the pool: a worker, once one was needed."""

    def __init__(self, cpu_s: float, memory_mb: int) -> None:
        self._cpu_s = cpu_s
        self._memory_mb = memory_mb
        self._worker: Worker | None = None

    async def worker(self) -> Worker:
        if self._worker is None:
            self._worker = await Worker.start(self._cpu_s, self._memory_mb)
        return self._worker

    async def empty(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            await worker.kill()


def _of_the_lost(lost: WorkerLost) -> Verdict:
    if isinstance(lost, WallTimeUp):
        return Verdict("timeout", one_line(str(lost)))
    return Verdict("fail", one_line(f"judging it ended the process, twice: {lost}"))
