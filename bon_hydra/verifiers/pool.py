"""Judging a query's candidates: `Judges` settles what needs no judge, remembers what was judged before, and has
the rest judged at a bench of workers, here or on a cluster.

This process never parses an answer.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from types import TracebackType
from typing import Any, Protocol, Self

from bon_hydra.records import Candidate, Query, Verdict
from bon_hydra.schema import SandboxConfig
from bon_hydra.verifiers import SANDBOXED, WITHOUT_CLASSES, code, verifier_of
from bon_hydra.verifiers.bench import Bench
from bon_hydra.verifiers.completion import Completion, Task, one_line, settled
from bon_hydra.verifiers.kept import KEPT, Keeper, classes_key, packed, unpacked, verdict_keys


class Judging(Protocol):
    """Where answers are judged; `bench.Bench` says what each method does."""

    places: int
    """Answers that are judged at once."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /
    ) -> None: ...

    async def verdicts(
        self, name: str, task: Task, completions: list[Completion], tests: dict[str, Any] | None
    ) -> list[Verdict]: ...

    async def equivalent(self, name: str, answers: list[str]) -> tuple[list[int], bool]: ...


class Judges:
    """Judges for a run: `async with Judges(2) as judges: await judges.judge(query, candidates)`.

    `cpu_s`, `memory_mb` and `sandbox` are the bench's; in place of so many workers here it may be a bench elsewhere,
    which has its own limits. What `kept` has a verdict for is not judged again.
    """

    def __init__(
        self,
        workers: int | Judging,
        cpu_s: float = 5.0,
        memory_mb: int = 1024,
        sandbox: SandboxConfig | None = None,
        kept: Keeper | None = None,
    ) -> None:
        self._sandbox = sandbox or SandboxConfig()
        self._bench = Bench(workers, cpu_s, memory_mb, sandbox) if isinstance(workers, int) else workers
        self._kept = kept

    async def __aenter__(self) -> Self:
        await self._bench.__aenter__()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._bench.__aexit__(kind, error, trace)

    async def judge(self, query: Query, candidates: Sequence[Candidate]) -> tuple[list[Verdict], list[int | None]]:
        """The verdict on each candidate and the class of its answer, both in the order of the candidates.

        Equivalent answers have the same class, numbered from 0 by first appearance; None where there is no answer
        and for verifiers that know no equivalence. Raises UnknownVerifier, and ConfigError where there is code to run
        and no sandbox to run it in; all else that goes wrong is a verdict.
        """
        verifier = verifier_of(query.verifier)
        task = Task.of(query)
        tests, unreadable = _tests(task) if query.verifier in SANDBOXED else (None, None)
        completions = [None if each.response is None else Completion.of(each.response) for each in candidates]
        verdicts = [
            _without_judge(query, candidate, completion, task) or unreadable
            for candidate, completion in zip(candidates, completions, strict=True)
        ]
        open_to_judge = {
            i: completion for i, completion in enumerate(completions) if completion is not None and verdicts[i] is None
        }
        classes: list[int | None] = [None] * len(verdicts)
        if open_to_judge:
            different = list(dict.fromkeys(open_to_judge.values()))
            keys = None if self._kept is None else verdict_keys(query.verifier, task, self._sandbox, different)
            judged = await self._known(different, keys, verifier)
            if new := [completion for completion in different if completion not in judged]:
                fresh = await self._bench.verdicts(query.verifier, task, new, tests)
                judged |= zip(new, fresh, strict=True)
                await self._keep(dict(zip(different, keys or [], strict=False)), dict(zip(new, fresh, strict=True)))
            for i, completion in open_to_judge.items():
                verdicts[i] = judged[completion]
            if query.verifier not in WITHOUT_CLASSES:
                answers = [None if verdict is None else verdict.answer for verdict in verdicts]
                classes = await self._classes(query.verifier, answers)
        given = (verdict for verdict in verdicts if verdict is not None)
        return [one if one.verifier == verifier else replace(one, verifier=verifier) for one in given], classes

    async def _known(
        self, completions: list[Completion], keys: list[bytes] | None, verifier: str
    ) -> dict[Completion, Verdict]:
        """The verdicts that were given before."""
        if self._kept is None or keys is None:
            return {}
        found = await self._kept.verdicts(keys)
        pairs = zip(completions, found, strict=True)
        return {each: unpacked(data, verifier) for each, data in pairs if data is not None}

    async def _keep(self, keys: dict[Completion, bytes], verdicts: dict[Completion, Verdict]) -> None:
        lasting = [(keys[c], packed(v)) for c, v in verdicts.items() if c in keys and v.verdict in KEPT]
        if self._kept is not None and lasting:
            await self._kept.keep_verdicts(lasting)

    async def _classes(self, name: str, answers: list[str | None]) -> list[int | None]:
        different = list(dict.fromkeys(answer for answer in answers if answer is not None))
        first = await self._equivalent(name, different) if len(different) > 1 else list(range(len(different)))
        numbers = {index: number for number, index in enumerate(dict.fromkeys(first))}
        class_of = {answer: numbers[index] for answer, index in zip(different, first, strict=True)}
        return [None if answer is None else class_of[answer] for answer in answers]

    async def _equivalent(self, name: str, answers: list[str]) -> list[int]:
        """For each of the different answers the place of the first that it is equivalent to."""
        key = classes_key(name, answers) if self._kept is not None else None
        if self._kept is not None and key is not None:
            (known,) = await self._kept.verdicts([key])
            if known is not None:
                found: list[int] = json.loads(known)
                return found
        classes, lasting = await self._bench.equivalent(name, answers)
        if self._kept is not None and key is not None and lasting:
            await self._kept.keep_verdicts([(key, json.dumps(classes).encode())])
        return classes


def _without_judge(query: Query, candidate: Candidate, completion: Completion | None, task: Task) -> Verdict | None:
    if completion is None:
        error = candidate.error or "no response"
        return Verdict("api_error", one_line(error), error=error)
    if query.verifier == "none":
        return Verdict("unverifiable", "not judged")
    return settled(completion, task)


def _tests(task: Task) -> tuple[dict[str, Any] | None, Verdict | None]:
    """The tests of code, or the verdict on every answer where they cannot be read."""
    try:
        return code.tests_of(task.reference), None
    except ValueError as problem:
        return None, Verdict("unverifiable", one_line(str(problem)))
