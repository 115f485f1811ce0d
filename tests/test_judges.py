"""Judges survive every answer: what hangs, swells or dies costs its own verdict and nobody else's."""

from __future__ import annotations

import asyncio
import json
import os
import select
import signal
import subprocess
import sys
import textwrap
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

import pytest

from bon_hydra.records import Candidate, Query, Response, Verdict
from bon_hydra.verifiers import VERIFIERS, UnknownVerifier
from bon_hydra.verifiers.bench import Bench
from bon_hydra.verifiers.completion import Completion, Task
from bon_hydra.verifiers.pool import Judges
from bon_hydra.verifiers.worker import Limits, serve

T = TypeVar("T")

ENDLESS = r"\boxed{9^{9^{9^{9}}}}"
"""Its value never fits: comparing it with a number stays in one C call until the kernel ends it."""


def query(reference: str | None, verifier: str = "math") -> Query:
    return Query("q", "math", "?", (), None, reference, verifier)


def candidates(*texts: str | None) -> list[Candidate]:
    return [
        Candidate(i, str(i), None if text is None else Response(text), error="HTTP 500" if text is None else None)
        for i, text in enumerate(texts)
    ]


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def judged(
    reference: str | None, *texts: str | None, cpu_s: float = 5.0, verifier: str = "math"
) -> tuple[list[Verdict], list[int | None]]:
    async with Judges(1, cpu_s=cpu_s) as judges:
        return await judges.judge(query(reference, verifier), candidates(*texts))


def verdicts(of: list[Verdict]) -> list[str]:
    return [verdict.verdict for verdict in of]


def descendants(pid: int) -> list[int]:
    """All processes below one, parents first, but for the fork server of other tests and its tracker (Linux)."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
            if b"from multiprocessing." in status.with_name("cmdline").read_bytes():
                continue
        except OSError:  # it ended meanwhile
            continue
        parents[int(status.parent.name)] = int(fields[1])
    found = [pid]
    for parent in found:
        found += [child for child, its_parent in parents.items() if its_parent == parent]
    return found[1:]


def wait_until_gone(pids: list[int]) -> None:
    """Return when no process of these runs any more."""
    for pid in pids:
        try:
            watched = os.pidfd_open(pid)
        except ProcessLookupError:
            continue
        assert select.select([watched], [], [], 60)[0], f"process {pid} still runs"
        os.close(watched)


def test_each_candidate_gets_its_verdict_and_its_class() -> None:
    """Equivalent answers share a class, and what is no answer has neither."""
    found, classes = run(judged("1/2", r"\boxed{0.5}", r"\boxed{1/3}", r"\boxed{\frac12}", "", None, "no idea"))
    assert verdicts(found) == ["pass", "fail", "pass", "no_answer", "api_error", "no_answer"]
    assert classes == [0, 1, 0, None, None, None]
    assert found[4].reason == found[4].error == "HTTP 500"
    assert {verdict.verifier.split()[0] for verdict in found} == {"math"}


def test_formulas_that_only_sympy_finds_equal_share_a_class() -> None:
    """Classes go by value, not by writing."""
    _, classes = run(judged("7", r"\boxed{2\sqrt{3}}", r"\boxed{x+1}", r"\boxed{\sqrt{12}}", r"\boxed{1+x}"))
    assert classes == [0, 1, 0, 1]


def test_what_needs_no_judge_starts_no_process() -> None:
    """Errors, empty answers and missing references are settled on the spot, and the parent never loads SymPy."""

    async def settle() -> tuple[list[str], list[int]]:
        async with Judges(1) as judges:
            found, _ = await judges.judge(query("1"), candidates("", None))
            unreferenced, _ = await judges.judge(query(None), candidates("1"))
            unjudged, _ = await judges.judge(query("1", "none"), candidates("1"))
            return verdicts(found + unreferenced + unjudged), descendants(os.getpid())

    assert run(settle()) == (["no_answer", "api_error", "unverifiable", "unverifiable"], [])


def test_the_parent_never_imports_sympy() -> None:
    """Only workers parse answers, so only they can hang."""
    script = """
        import asyncio, sys
        from test_judges import judged
        found, _ = asyncio.run(judged("2", r"\\boxed{\\sqrt{4}}"))
        print(found[0].verdict, {"sympy", "math_verify"} & set(sys.modules))
    """
    output = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
    )
    assert output.stdout == "pass set()\n"


PATHOLOGICAL = [
    ENDLESS,
    r"\boxed{1000000!}",
    r"\boxed{" + r"\frac{1}{1+" * 200 + "1" + "}" * 200 + "}",
    r"\boxed{" + "7" * 10**6 + "}",
    r"\boxed{" + "(" * 3000 + "1" + ")" * 3000 + "}",
    r"\boxed{\{" + ",".join(map(str, range(10000))) + r"\}}",
]


def test_no_pathological_answer_harms_the_next_candidate() -> None:
    """Each ends as timeout or fail within its own limits, and the right answer behind each still passes."""
    texts = [text for hard in PATHOLOGICAL for text in (hard, f"{len(hard)} steps, so \\boxed{{42}}")]
    found, _ = run(judged("42", *texts, cpu_s=0.5))
    assert set(verdicts(found[0::2])) <= {"timeout", "fail"}
    assert found[0].verdict == "timeout"
    assert found[0].reason == "more than 0.5 s of CPU time"
    assert verdicts(found[1::2]) == ["pass"] * len(PATHOLOGICAL)


def test_a_limit_met_because_of_the_reference_is_unverifiable() -> None:
    """The answer is not to blame for what its reference costs, nor right because it equals it letter by letter."""
    found, _ = run(judged("9^{9^{9^{9}}}", r"\boxed{4}", ENDLESS, r"\boxed{5}", cpu_s=0.5))
    assert verdicts(found) == ["unverifiable"] * 3
    found, _ = run(judged("9^{9^{9^{9}}}", ENDLESS, cpu_s=0.5))
    assert verdicts(found) == ["unverifiable"]


def test_an_unknown_verifier_is_refused() -> None:
    """The caller hears of it before anything is judged."""
    with pytest.raises(UnknownVerifier):
        run(judged("1", "1", verifier="maths"))


def test_a_worker_that_cannot_start_is_no_wrong_answer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where there is no process to judge in, every answer is a verifier_error with the fault named."""
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    found, _ = run(judged("1", r"\boxed{1}", None))
    assert verdicts(found) == ["verifier_error", "api_error"]
    assert "did not start" in (found[0].error or "")


def judge(completion: Completion, task: Task) -> Verdict:
    """This module as a verifier: it fails on every other answer, and swells on "much"."""
    if completion.text == "much":
        bytearray(1 << 62)
    if completion.text != task.reference:
        raise KeyError("a fault of ours")
    return Verdict("pass")


def test_a_fault_of_a_verifier_is_not_the_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    """An exception is a verifier_error that names it, lack of memory a fail that names it; the job goes on."""
    monkeypatch.setitem(VERIFIERS, "math", __name__)
    lines: list[dict[str, Any]] = []
    job = {
        "judge": "math",
        "task": {"reference": "1"},
        "completions": [{"text": "2"}, {"text": "1"}, {"text": "much"}, {"text": "1"}],
    }
    serve([json.dumps(job).encode()], lines.append, Limits(cpu_s=5, memory_mb=512))
    _, error, good, much = lines
    assert error["verdict"]["verdict"] == "verifier_error"
    assert "KeyError at test_judges.py" in error["verdict"]["error"]
    assert (good["verdict"]["verdict"], good["retired"]) == ("pass", False)
    assert (much["verdict"]["verdict"], much["verdict"]["reason"]) == ("fail", "more than 512 MB of memory")
    assert much["retired"]


@pytest.mark.parametrize("victim", [0, 1])
def test_a_worker_killed_in_mid_job_is_replaced_and_its_job_completed(victim: int) -> None:
    """Neither the judging child nor the process above it can take a verdict along."""

    async def kill_in_mid_job() -> list[str]:
        async with Judges(1) as judges:
            await judges.judge(query("1"), candidates(r"\boxed{1}"))
            workers = descendants(os.getpid())
            os.kill(workers[1], signal.SIGSTOP)
            job = asyncio.create_task(judges.judge(query("42"), candidates(r"\boxed{42}", r"\boxed{41}")))
            await asyncio.sleep(0)
            os.kill(workers[victim], signal.SIGKILL)
            found, _ = await job
            assert not set(workers) & set(descendants(os.getpid()))
            return verdicts(found)

    assert run(kill_in_mid_job()) == ["pass", "fail"]


def test_a_worker_that_got_no_cpu_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wall time without CPU time is a busy machine, not a slow answer."""

    async def stall() -> list[str]:
        bench = Bench(1)
        async with Judges(bench) as judges:
            await judges.judge(query("1"), candidates(r"\boxed{1}"))
            monkeypatch.setattr(bench, "_wall_s", 2.0)
            os.kill(descendants(os.getpid())[1], signal.SIGSTOP)
            found, _ = await judges.judge(query("42"), candidates(r"\boxed{42}", r"\boxed{41}"))
            return verdicts(found)

    assert run(stall()) == ["pass", "fail"]


def test_a_cancelled_job_leaves_nothing_for_the_next_one_to_read() -> None:
    """The worker of a cancelled job is gone with its unread answers."""

    async def cancel() -> list[str]:
        async with Judges(1) as judges:
            await judges.judge(query("1"), candidates(r"\boxed{1}"))
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.05):
                    await judges.judge(query("1"), candidates(ENDLESS, r"\boxed{1}"))
            found, _ = await judges.judge(query("42"), candidates(r"\boxed{41}"))
            return verdicts(found)

    assert run(cancel()) == ["fail"]


def test_queries_are_judged_by_several_workers_at_once() -> None:
    """Every query gets its own verdicts back, however many wait for a worker."""

    async def many() -> list[list[str]]:
        async with Judges(2) as judges:
            jobs = [judges.judge(query(str(i)), candidates(*(f"it is {i + k}" for k in range(3)))) for i in range(40)]
            return [verdicts(found) for found, _ in await asyncio.gather(*jobs)]

    assert run(many()) == [["pass", "fail", "fail"]] * 40


def test_an_answer_too_large_for_a_worker_fails_alone() -> None:
    """What needs more memory than allowed fails, named, and the next answer is judged."""

    async def swell() -> list[Verdict]:
        async with Judges(1, memory_mb=64) as judges:
            text = "x" * (30 * 2**20)
            found, _ = await judges.judge(query("42"), candidates(text + r"\boxed{41}", r"\boxed{42}"))
            return found

    large, small = run(swell())
    assert (large.verdict, small.verdict) == ("fail", "pass")
    assert "out of memory" in large.reason


def test_workers_are_gone_when_the_block_ends() -> None:
    """Nothing is left behind."""

    async def look() -> list[int]:
        async with Judges(2) as judges:
            await asyncio.gather(*(judges.judge(query("1"), candidates(r"\boxed{1}")) for _ in range(4)))
            return descendants(os.getpid())

    workers = run(look())
    assert workers
    wait_until_gone(workers)


def test_workers_die_with_a_killed_parent() -> None:
    """Not even SIGKILL of the run leaves a process behind, though the judging one cannot read that it ended."""
    script = """
        import asyncio, os, signal
        from test_judges import Judges, candidates, descendants, query
        async def main():
            async with Judges(1) as judges:
                await judges.judge(query("1"), candidates("1"))
                workers = descendants(os.getpid())
                os.kill(workers[1], signal.SIGSTOP)
                print(*workers, flush=True)
                await judges.judge(query("1"), candidates("1"))
        asyncio.run(main())
    """
    with subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])},
        stdout=subprocess.PIPE,
    ) as parent:
        assert parent.stdout is not None
        workers = [int(pid) for pid in parent.stdout.readline().split()]
        parent.kill()
        parent.wait()
    assert len(workers) == 2
    wait_until_gone(workers)
