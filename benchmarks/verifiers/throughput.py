"""Verdicts a second beside plain tools, in the same run.  python benchmarks/verifiers/throughput.py [--short]

Math: answers to grade-school problems as models write them, judged in this process and through `Judges` as a run
does it, beside plain math-verify. Code: a trivial right program through the sandbox, beside a fresh `python -I`
process each that only runs it with its test, isolated from nothing. Rounds alternate; the figures are medians.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import resource
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

from accuracy import Pair, ours, plain_math_verify

from bon_hydra.records import Candidate, Query, Response
from bon_hydra.sandbox.pool import Sandboxes
from bon_hydra.verifiers.completion import Completion, Task
from bon_hydra.verifiers.pool import Judges

WANTED_MATH, WANTED_CODE, WANTED_CPU_MS = 10, 2.5, 15
CANDIDATES = 4
ENDINGS = (
    "#### {}",
    "The answer is {}.",
    "Therefore, she has {} of them left.",
    "So the total is $\\boxed{{{}}}$.",
    "**Final Answer:** ${}",
    "The final answer is $\\boxed{{{}\\text{{ dollars}}}}$.",
)
PROGRAM = "def add(a, b):\n    return a + b\n"
TEST = "def check(candidate):\n    assert candidate(2, 3) == 5\n    assert candidate(-1, 1) == 0\n"
TESTS = {"kind": "check", "setup": "", "test": TEST, "entry_point": "add"}


def answers(count: int) -> list[Pair]:
    """Seeded answers in numbered steps, two thirds of them right, four to a question."""
    draw = random.Random(0)
    pairs: list[Pair] = []
    while len(pairs) < count:
        each, days, spent = draw.randint(2, 90), draw.randint(2, 40), draw.randint(1, 60)
        right = each * days + spent
        for _ in range(CANDIDATES):
            said = right if draw.random() < 2 / 3 else right + draw.choice((-10, -1, 1, 10, right))
            open_, close = draw.choice((("", ""), ("$", "$"), (r"\(", r"\)")))
            text = (
                f"Let's work through this step by step.\n\n1. She earns {each} dollars a day and works for {days} days,"
                f" so that she has {open_}{each} * {days} = {each * days}{close} dollars from her work.\n\n"
                f"2. Her aunt gives her {spent} dollars more, which makes"
                f" {open_}{each * days} + {spent} = {said}{close} dollars.\n\n"
                f"{draw.choice(ENDINGS).format(f'{said:,}' if draw.random() < 0.3 else said)}"
            )
            pairs.append(Pair("number", Task(str(right)), Completion(text, finish_reason="stop"), said == right))
    return pairs[:count]


def judged(passes: Callable[[Pair], bool], pairs: list[Pair]) -> int:
    """How many of the pairs a way of judging gets right."""
    return sum(passes(pair) == pair.right for pair in pairs)


async def judged_in_workers(judges: Judges, pairs: list[Pair]) -> int:
    """The same through a run's own worker processes, a question's candidates together, two questions at once."""

    async def of_question(first: int) -> int:
        some = pairs[first : first + CANDIDATES]
        query = Query(str(first), "math", "?", (), None, some[0].task.reference, "math")
        candidates = [
            Candidate(i, str(i), Response(pair.completion.text, finish_reason="stop")) for i, pair in enumerate(some)
        ]
        verdicts, _ = await judges.judge(query, candidates)
        return sum((verdict.verdict == "pass") == pair.right for verdict, pair in zip(verdicts, some, strict=True))

    return sum(await asyncio.gather(*(of_question(first) for first in range(0, len(pairs), CANDIDATES))))


async def programs_in_sandbox(sandboxes: Sandboxes, count: int) -> int:
    """Programs that pass in the sandbox."""
    outcomes = await asyncio.gather(*(sandboxes.judge(PROGRAM, TESTS) for _ in range(count)))
    return sum(outcome.verdict == "pass" for outcome in outcomes)


async def programs_in_fresh_processes(workers: int, count: int) -> int:
    """Programs that pass in a new interpreter each."""
    free = asyncio.Semaphore(workers)
    script = f"{PROGRAM}\n{TEST}\ncheck(add)\n"

    async def run() -> bool:
        async with free:
            process = await asyncio.create_subprocess_exec(sys.executable, "-I", "-c", script)
            return await process.wait() == 0

    return sum(await asyncio.gather(*(run() for _ in range(count))))


def row(name: str, count: int, seconds: list[float], first: float) -> str:
    rate = count / statistics.median(seconds)
    return f"| {name} | {rate:.0f} | {rate / first:.1f} |"


async def math_table(count: int, rounds: int) -> str:
    """Math verdicts a second; every way must have judged every answer rightly."""
    pairs = answers(count)
    size = max(CANDIDATES, count // 20)  # the slow way judges fewer, so that a round is not all its own
    plain, here, workers, right = [], [], [], 0
    async with Judges(2) as judges:
        await judged_in_workers(judges, pairs[:size])
        judged(plain_math_verify, pairs[:CANDIDATES])
        for first in range(size, size * (rounds + 1), size):
            few = pairs[first : first + size]
            start = time.perf_counter()
            right += judged(plain_math_verify, few)
            plain.append((time.perf_counter() - start) * len(pairs) / size)
            start = time.perf_counter()
            assert judged(ours, pairs) == len(pairs), "the math verifier judged an answer wrongly"
            here.append(time.perf_counter() - start)
            start = time.perf_counter()
            assert await judged_in_workers(judges, pairs) == len(pairs), "a worker judged an answer wrongly"
            workers.append(time.perf_counter() - start)
    base = count / statistics.median(plain)
    lines = [
        "| math, GSM8K-like answers | verdicts/s | times the first |\n|---|---:|---:|",
        row("math-verify", count, plain, base),
        row("ours, in one process", count, here, base),
        row("ours, through two workers as in a run", count, workers, base),
        f"\nWanted: at least {WANTED_MATH} times. math-verify was right on {right} of {size * rounds}, ours on all.",
    ]
    return "\n".join(lines)


async def code_table(count: int, rounds: int) -> str:
    """Programs a second, two at once, and the CPU of each with all its processes."""
    fresh, sandboxed = [], []
    before = _children_cpu()
    for _ in range(rounds):
        start = time.perf_counter()
        assert await programs_in_fresh_processes(2, count) == count, "a fresh process failed"
        fresh.append(time.perf_counter() - start)
    fresh_cpu = (_children_cpu() - before) / count / rounds
    async with Sandboxes(2, "auto", allow_unsafe=False) as sandboxes:
        await programs_in_sandbox(sandboxes, 4)
        for _ in range(rounds):
            start = time.perf_counter()
            assert await programs_in_sandbox(sandboxes, count) == count, "a right program failed in the sandbox"
            sandboxed.append(time.perf_counter() - start)
        level, used = sandboxes.level, _running_cpu()
    cpu = f"{1000 * used / count / rounds:.1f}" if used else "–"
    base = count / statistics.median(fresh)
    head = "| code, a trivial program | programs/s | times the first | CPU ms each |\n|---|---:|---:|---:|"
    return "\n".join(
        [
            head,
            f"{row('a fresh `python -I` each', count, fresh, base)} {1000 * fresh_cpu:.1f} |",
            f"{row(f'the sandbox, level {level}', count, sandboxed, base)} {cpu} |",
            f"\nWanted: at least {WANTED_CODE} times, at most {WANTED_CPU_MS} ms (starting the workers included).",
        ]
    )


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _running_cpu() -> float:
    """Seconds of CPU of all processes below this one, with those they have reaped (Linux; 0 elsewhere)."""
    parents: dict[int, int] = {}
    seconds: dict[int, float] = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:  # it ended meanwhile
            continue
        parents[int(status.parent.name)] = int(fields[1])
        seconds[int(status.parent.name)] = sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")
    below = [os.getpid()]
    for parent in below:
        below += [pid for pid, its_parent in parents.items() if its_parent == parent]
    return sum(seconds[pid] for pid in below[1:])


async def main(short: bool) -> None:
    for library in ("math_verify", "latex2sympy2_extended"):
        logging.getLogger(library).setLevel(logging.CRITICAL)
    print(await math_table(1000 if short else 8000, 3 if short else 5))
    print()
    print(await code_table(100 if short else 200, 1 if short else 5))


if __name__ == "__main__":
    asyncio.run(main("--short" in sys.argv))
