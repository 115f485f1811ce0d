"""Judging on all CPUs of a cluster: an actor for each has the project's own bench, its processes and its sandbox."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from types import TracebackType
from typing import Any, Self

import ray
from ray.exceptions import RayTaskError

from bon_hydra import __version__
from bon_hydra.cluster.crew import Crew, MemberLost
from bon_hydra.cluster.start import Node, fitness, nodes, on
from bon_hydra.records import Verdict
from bon_hydra.schema import ConfigError, RunnerConfig, SandboxConfig
from bon_hydra.verifiers.bench import Bench
from bon_hydra.verifiers.completion import Completion, Task

AT_ONCE = 2
"""Queries at one actor: it judges one and has the next already."""
TRIES = 3
"""Work that was lost so often with whoever had it is not given to another."""


class Judge:
    """The actor: a bench with one place."""

    def __init__(self, version: str, sandbox: SandboxConfig, programs: bool) -> None:
        self._version, self._sandbox, self._programs = version, sandbox, programs
        self._bench: Bench | None = None

    async def ready(self) -> None:
        """Raises ConfigError where the node is not fit to judge."""
        await asyncio.to_thread(fitness, self._version, self._sandbox if self._programs else None)
        self._bench = await Bench(1, sandbox=self._sandbox).__aenter__()

    async def verdicts(self, *arguments: Any) -> list[Verdict]:
        """As `Bench.verdicts`."""
        assert self._bench is not None
        return await self._bench.verdicts(*arguments)

    async def equivalent(self, *arguments: Any) -> tuple[list[int], bool]:
        """As `Bench.equivalent`."""
        assert self._bench is not None
        return await self._bench.equivalent(*arguments)


class RemoteBench:
    """All judges of the cluster, as one bench; `places`: how many there are to begin with."""

    def __init__(self, crew: Crew, places: int) -> None:
        self._crew, self.places = crew, places

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """The actors are the crew's to end."""

    async def verdicts(
        self, name: str, task: Task, completions: list[Completion], tests: dict[str, Any] | None
    ) -> list[Verdict]:
        """As `Bench.verdicts`; a judge that is lost says nothing of an answer."""
        try:
            verdicts: list[Verdict] = await self._done("verdicts", name, task, completions, tests)
        except MemberLost as lost:
            return [Verdict("verifier_error", f"{lost}, {TRIES} times", error=str(lost))] * len(completions)
        return verdicts

    async def equivalent(self, name: str, answers: list[str]) -> tuple[list[int], bool]:
        """As `Bench.equivalent`."""
        try:
            classes: tuple[list[int], bool] = await self._done("equivalent", name, answers)
        except MemberLost:
            return list(range(len(answers))), False
        return classes

    async def _done(self, method: str, *arguments: Any) -> Any:
        for left in reversed(range(TRIES)):
            try:
                return await self._crew.call(method, *arguments)
            except MemberLost:
                if not left:
                    raise
            except RayTaskError as error:
                raise (error.cause if isinstance(error.cause, ConfigError) else error) from None
        raise AssertionError("it is returned or raised")


@asynccontextmanager
async def remote_bench(runner: RunnerConfig, programs: bool, say: Callable[[str], None]) -> AsyncIterator[RemoteBench]:
    """A judge for each CPU of the cluster, or at most `runner.workers` on a node.

    `programs`: whether there is code to run.
    """
    actor = ray.remote(Judge)

    def hire(node: Node) -> Any:
        return actor.options(**on(node, 1)).remote(__version__, runner.sandbox, programs)

    def judges(node: Node) -> int:
        return min(node.cpus, runner.workers or node.cpus)

    async with Crew(hire, judges, AT_ONCE, say) as crew:
        yield RemoteBench(crew, sum(map(judges, nodes())))
