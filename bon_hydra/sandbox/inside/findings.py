"""What is found out about a program: the outcome, tests counted, and the words for it. It asks nobody anything."""

from __future__ import annotations

import signal
from dataclasses import dataclass

from .ending import WHY

_REASON = 300


@dataclass(slots=True)
class Found:
    """What is found out about a program, as `outcome.Outcome` has it; `retry` asks for one more try, alone."""

    verdict: str
    reason: str
    passed: int = 0
    total: int = 0
    error: str | None = None
    retry: bool = False


class Tally:
    """Tests counted; the first that fails decides the verdict."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.passed = 0
        self.first: Found | None = None

    def fail(self, reason: str, verdict: str = "fail", retry: bool = False) -> None:
        """Another test that was not passed."""
        if self.first is None:
            self.first = Found(verdict, reason, retry=retry)

    def found(self) -> Found:
        """The outcome of all."""
        outcome = self.first
        if outcome is None and self.passed == self.total:
            outcome = Found("pass", "")
        elif outcome is None:
            outcome = Found("fail", "not every test was reached")
        outcome.passed, outcome.total = self.passed, self.total
        return outcome


def meaning(ended: tuple[int, int, float, float], reason: str, where: str, cpu_s: float) -> Found:
    """What it means that a candidate ended like this (see `ending`); `reason` is what the channel saw of it."""
    code, why, cpu, wall = ended
    match WHY[why]:
        case "cpu":
            return Found("timeout", f"timeout after {cpu_s:g} s of CPU in {where}")
        case "program cpu":
            return Found("timeout", f"timeout in {where}: all tests together used up the program's CPU time")
        case "wall":
            said = f"timeout after {wall:.1f} s in {where}, with {cpu:.1f} s of CPU"
            return Found("timeout", said, retry=cpu < cpu_s / 2)
        case "itself":
            return _own_end(code, reason, where)
        case limit:
            return Found("fail", f"{limit.removesuffix('s')} limit in {where}")


def _own_end(code: int, reason: str, where: str) -> Found:
    if code == -signal.SIGXFSZ:
        return Found("fail", f"output limit in {where}")
    if code == -signal.SIGXCPU:
        return Found("timeout", f"timeout in {where}: CPU limit")
    if code == -signal.SIGKILL and reason == "ended":
        # Not killed by us, for it cannot kill itself so: the kernel was out of memory or its CPU limit struck.
        return Found("fail", f"killed in {where}", retry=True)
    if code < 0 and reason == "ended":
        name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
        return Found("fail", f"{name} in {where}")
    if reason == "ended":
        return Found("fail", f"the program ended its process in {where} (exit code {code})")
    return Found("fail", f"{reason} in {where}")


def one_line(text: str) -> str:
    """`text` in one short line that any file can hold."""
    text = " ".join(text[: 2 * _REASON].split()).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= _REASON else text[: _REASON - 1] + "…"


def short(value: object) -> str:
    """The value as people read it, short, whatever it is."""
    if type(value) is int and value.bit_length() > 400:
        return f"an integer of {value.bit_length()} bits"
    if isinstance(value, list | tuple | set | dict | str | bytes) and len(value) > 200:
        return f"a {type(value).__name__} of length {len(value)}"
    try:
        text = repr(value)
    except Exception:
        return f"a {type(value).__name__}"
    return text if len(text) <= 80 else text[:79] + "…"


def said(error: BaseException) -> str:
    """What was raised, by a program or by a test."""
    if isinstance(error, MemoryError):
        return "memory limit"
    name = type(error).__name__
    text = one_line(str(error))
    return text if name == "CandidateError" else f"{name}: {text}".removesuffix(": ")
