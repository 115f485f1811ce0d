"""A process that judges answers and may be killed at any moment.

Run as `python -m bon_hydra.verifiers.worker CPU_S MEMORY_MB PARENT_PID`, by `process` only. The first process
never judges; it forks a child that does. A child that has met a limit is replaced by a fresh fork in milliseconds, so
that no answer is judged in a process that another one spoilt; before the first such fork this process loads what is
slow to load, which a child does by itself for the first answer that needs it (`warmth`).

Jobs are lines of JSON on stdin, what comes back are lines of JSON on what was stdout:

    {"judge": name, "task": …, "completions": […]}    one {"verdict": …} for each, in their order
    {"reference": name, "task": …}                    {"reference": "read"}, or the limit it met
    {"classes": name, "answers": […]}                 {"classes": […]}, the answers that time allowed for
    (a child starts)                                  {"ready": its process id}
    (a child dies)                                    {"died": of what}

Each line but the last two carries `cpu`, the seconds of CPU this child has used so far, and perhaps `retired`: it met
a limit, ends here, and the rest of its job must be sent again.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import json
import os
import resource
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from importlib import import_module
from pathlib import Path
from types import FrameType, ModuleType
from typing import Any

from bon_hydra.records import VERDICTS, Verdict
from bon_hydra.verifiers import VERIFIERS, judge_of, warmth
from bon_hydra.verifiers.completion import Completion, Task, one_line

CLASSES_CPU_S = 1.0
"""How long the answers of one query may be compared with each other, in seconds of CPU."""

_RETIRED = 75
"""Exit code of a child that met a limit."""

_OUT_OF_MEMORY = 76
"""Exit code of a child whose memory was too small even for its job."""


_REPEAT_S = 0.25
_GRACE_S = 1.0
"""After this much more CPU the kernel ends a child that does not come back to Python, as in a huge integer power."""


class OutOfTime(BaseException):
    """The CPU time of one judgement is used up. A BaseException, so that no `except Exception` on the way keeps it."""


_armed = False


def _alarm(signum: int, frame: FrameType | None) -> None:  # noqa: ARG001 - the signature of a signal handler
    if _armed:
        raise OutOfTime


@contextlib.contextmanager
def _cpu_limit(seconds: float) -> Iterator[None]:
    """Raise OutOfTime in the block after so much CPU time, again and again where something swallows it."""
    global _armed
    _armed = True
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds + _GRACE_S)
    signal.setitimer(signal.ITIMER_PROF, seconds, _REPEAT_S)
    try:
        yield
    finally:
        _armed = False
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)


@dataclass(frozen=True, slots=True)
class Limits:
    """What one judgement may use."""

    cpu_s: float
    memory_mb: int


def _limit_met(work: Callable[[], None], limits: Limits) -> Verdict | None:
    """Do the work; None where it stayed within the limits, else the verdict that the limit amounts to."""
    try:
        try:
            with _cpu_limit(limits.cpu_s):
                work()
        except warmth.Cold:
            _limit_memory(None)
            _warm_up()
            _limit_memory(limits.memory_mb)
            with _cpu_limit(limits.cpu_s):
                work()
    except OutOfTime:
        return Verdict("timeout", f"more than {limits.cpu_s:g} s of CPU time")
    except MemoryError:
        return Verdict("fail", f"more than {limits.memory_mb} MB of memory")
    return None


def serve(lines: Iterable[bytes], write: Callable[[dict[str, Any]], None], limits: Limits) -> int:
    """Do the jobs until there are none, or one has met a limit; the exit code that says which."""
    write({"ready": os.getpid()})
    for line in lines:
        job = json.loads(line)
        results = _answers(job, limits)
        for result in results:
            write({**result, "cpu": time.process_time()})
            if result["retired"]:
                return _RETIRED
    return 0


def _answers(job: dict[str, Any], limits: Limits) -> Iterator[dict[str, Any]]:
    if "classes" in job:
        yield _classes(job["classes"], job["answers"], limits)
    elif "reference" in job:
        yield _reference(job["reference"], Task(**job["task"]), limits)
    else:
        task = Task(**job["task"])
        for completion in job["completions"]:
            yield _verdict(job["judge"], Completion(**completion), task, limits)


def _verdict(name: str, completion: Completion, task: Task, limits: Limits) -> dict[str, Any]:
    verdicts: list[Verdict] = []

    def judged() -> None:
        try:
            verdicts.append(_stamped(name, judge_of(name)(completion, task)))
        except MemoryError:
            raise
        except Exception as fault:
            verdicts.append(_our_fault(name, fault))

    met = _limit_met(judged, limits)
    return {"verdict": asdict(met or verdicts[0]), "retired": met is not None}


def _reference(name: str, task: Task, limits: Limits) -> dict[str, Any]:
    read: Callable[[Task], None] | None = getattr(_module(name), "read_reference", None)
    met = None if read is None else _limit_met(lambda: read(task), limits)
    return {"reference": "read" if met is None else met.reason, "retired": met is not None}


def _classes(name: str, answers: list[str], limits: Limits) -> dict[str, Any]:
    """For each answer the first one that it equals; answers that time did not allow for equal only themselves."""
    same: Callable[[str, str], bool] = getattr(_module(name), "same", str.__eq__)
    first = list(range(len(answers)))

    def compared() -> None:
        for i, answer in enumerate(answers):
            first[i] = next((j for j in range(i) if first[j] == j and same(answers[j], answer)), i)

    met = _limit_met(compared, replace(limits, cpu_s=min(CLASSES_CPU_S, limits.cpu_s)))
    return {"classes": first, "retired": met is not None}


def _our_fault(name: str, fault: Exception) -> Verdict:
    """The verdict where the verifier itself failed. Only text that is text already is shown of the exception."""
    frame = traceback.extract_tb(fault.__traceback__)[-1]
    said = " ".join(argument for argument in fault.args if isinstance(argument, str))
    where = f"{Path(frame.filename).name}:{frame.lineno}"
    error = one_line(f"{type(fault).__name__} at {where}: {said}")
    return Verdict("verifier_error", f"the {name} verifier failed", error=error)


def _stamped(name: str, verdict: Any) -> Verdict:
    """A verdict as it may be kept; a plug-in that gives something else has failed."""
    if not isinstance(verdict, Verdict) or verdict.verdict not in VERDICTS:
        raise TypeError(f"a verifier returns a Verdict with one of {', '.join(VERDICTS)}")
    scorer = verdict.scorer or (name if verdict.score is not None else None)
    return replace(verdict, reason=one_line(verdict.reason), scorer=scorer)


def _module(name: str) -> ModuleType | None:
    """Where a verifier of ours keeps what it knows beside `judge`; None of a plug-in."""
    return import_module(VERIFIERS[name]) if name in VERIFIERS else None


def _limit_memory(memory_mb: int | None) -> None:
    """Allow so much address space beyond what is mapped now, None any (elsewhere than on Linux nobody holds to it)."""
    if sys.platform == "linux":
        mapped = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
        hard = resource.getrlimit(resource.RLIMIT_AS)[1]
        limit = hard if memory_mb is None else mapped + memory_mb * 2**20
        resource.setrlimit(resource.RLIMIT_AS, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def _die_with(parent: int) -> None:
    """End this process when its parent does, however that ends. (Elsewhere than on Linux the end of stdin does it.)"""
    if sys.platform == "linux":
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def _warm_up() -> None:
    """Load and use what reads mathematics, once."""
    if not warmth.cold:
        return
    from bon_hydra.verifiers import math

    warmth.cold = False
    math.same(r"\frac{1}{2}x+(1,2)", r"x/2+\sqrt{1}")
    gc.collect()
    gc.freeze()


def _end_of(code: int) -> str:
    if code == _OUT_OF_MEMORY:
        return "out of memory"
    return f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"


def main(cpu_s: float, memory_mb: int, parent: int) -> None:
    """Fork one judging child after the other until stdin ends, or a child dies of something that was no limit."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    _die_with(parent)
    results = os.dup(1)
    os.dup2(2, 1)

    def write(line: dict[str, Any]) -> None:
        data = json.dumps(line).encode() + b"\n"
        while data:
            data = data[os.write(results, data) :]

    warmth.cold = True
    while True:
        own_pid = os.getpid()
        child = os.fork()
        if child == 0:
            try:
                _die_with(own_pid)
                signal.signal(signal.SIGPROF, _alarm)
                _limit_memory(memory_mb)
                os._exit(serve(sys.stdin.buffer, write, Limits(cpu_s, memory_mb)))
            except MemoryError:
                os._exit(_OUT_OF_MEMORY)
            except BaseException:
                traceback.print_exc()
                os._exit(1)
        _, status = os.waitpid(child, 0)
        code = os.waitstatus_to_exitcode(status)
        if code == _RETIRED:
            _warm_up()
            continue
        if code == 0:
            return
        os.write(results, b"\n")
        write({"died": _end_of(code)})
        if code != -signal.SIGVTALRM:
            return


if __name__ == "__main__":
    main(float(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
