"""One job as the zygote sees it: a judge and its candidates, watched and ended, and nothing of them left.

Between judge and zygote single bytes: `T` a test begins, `S` (with files) or `s` start a candidate,
`K` end the candidate and say how it ended.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import socket
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from . import folders
from .confine import MAX_THREADS
from .ending import ENDED, WHY

_MAX_SPAWNS = 10_000
_LOOK_EVERY_S = 0.05

PATIENCE = 10
"""Wall seconds that every second of CPU adds to the backstop, so that a busy machine ends nobody who gets on."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds. CPU time a test and a program; wall time a test and a program, far looser."""

    cpu_s: float
    program_cpu_s: float
    wall_s: float
    program_wall_s: float


@dataclass(slots=True)
class Child:
    """A process that is watched."""

    pid: int
    folder: str
    cpu_before: float = 0.0
    """Of earlier candidates of the same job."""
    cpu_at_test: float = 0.0

    def cpu(self) -> float:
        """CPU seconds so far, also of a zombie."""
        with contextlib.suppress(OSError):
            return time.clock_gettime((~self.pid << 3) | 2)  # clock_getcpuclockid(3)
        return 0.0


class Forks(Protocol):
    """What a job needs of its zygote."""

    control: socket.socket
    limits: Limits
    level: str
    null: int

    def fork(self, role: str, keep: list[int], standard: tuple[int, int]) -> tuple[int, str]:
        """A confined child: its process id and its folder."""


class Job:
    """One program judged: its judge, its candidate of the moment, their limits."""

    def __init__(self, zygote: Forks, descriptor: int) -> None:
        self.zygote = zygote
        self.limits = zygote.limits
        self.started = self.test_started = time.monotonic()
        self.socket, theirs = socket.socketpair()
        self.candidate: Child | None = None
        self.spent = 0.0
        self.spawns = 0
        self.why = 0
        self.judge_killed = ""
        self.judge = Child(*zygote.fork("judge", [descriptor, theirs.fileno()], (zygote.null, zygote.null)))
        theirs.close()
        os.close(descriptor)

    def run(self) -> dict[str, Any]:
        """Watches until the judge is done; then nothing of the job is left. Returns what the parent has to know."""
        poller = select.poll()
        poller.register(self.socket, select.POLLIN)
        poller.register(self.zygote.control, select.POLLIN)
        try:
            while not self.judge_killed:
                events = poller.poll(self._look() * 1000)
                if any(fd == self.zygote.control.fileno() for fd, _ in events):
                    break  # the parent says nothing during a job unless it is gone
                if events and not self._serve_judge():
                    break
        finally:
            self._end_candidate()
            cpu = self.judge.cpu()
            status = self._end(self.judge)
            self.socket.close()
            self._sweep()
        return {"judge_status": status, "judge_killed": self.judge_killed, "cpu": self.spent, "judge_cpu": cpu,
                "spawns": self.spawns}  # fmt: skip

    def _serve_judge(self) -> bool:
        try:
            requests = self.socket.recv(64)
        except ConnectionResetError:
            return False
        for request in requests:
            try:
                self._serve_request(chr(request))
            except (BrokenPipeError, ConnectionResetError):
                return False
        return bool(requests)

    def _serve_request(self, request: str) -> None:
        match request:
            case "T":
                self.test_started = time.monotonic()
                self.judge.cpu_at_test = self.judge.cpu()
                if self.candidate:
                    self.candidate.cpu_at_test = self.candidate.cpu()
            case "S" | "s":
                self._spawn(files=request == "S")
            case "K":
                code, cpu = self._end_candidate(grace=True)
                self.socket.sendall(ENDED.pack(code, self.why, cpu, time.monotonic() - self.test_started))
            case _:
                self.judge_killed = "protocol"

    def _spawn(self, files: bool) -> None:
        self._end_candidate()
        self.why = 0
        self.spawns += 1
        if self.spawns > _MAX_SPAWNS:
            self.judge_killed = "protocol"
            return
        mine, theirs = socket.socketpair()
        null = self.zygote.null
        given = [_nameless_file(), _nameless_file()] if files else []
        standard = (given[0], given[1]) if files else (null, null)
        pid, folder = self.zygote.fork("main" if files else "function", [theirs.fileno()], standard)
        self.candidate = Child(pid, folder, self.spent)
        self.test_started = time.monotonic()
        self.judge.cpu_at_test = self.judge.cpu()
        theirs.close()
        socket.send_fds(self.socket, [b"S"], [mine.fileno(), *given])
        mine.close()
        for fd in given:
            os.close(fd)

    def _look(self) -> float:
        """Ends what is over a limit; seconds until the next look."""
        limits = self.limits
        now = time.monotonic()
        judge_cpu = self.judge.cpu()
        child = self.candidate
        cpu = child.cpu() if child else 0.0
        test_cpu = cpu - child.cpu_at_test if child else 0.0
        judge_test_cpu = judge_cpu - self.judge.cpu_at_test
        wall = limits.wall_s + PATIENCE * (test_cpu + judge_test_cpu) - (now - self.test_started)
        program_wall = limits.program_wall_s + PATIENCE * (self.spent + cpu + judge_cpu) - (now - self.started)
        # The judge somewhat later than the candidate, which is ended first and leaves the judge time to say so.
        rests = [limits.cpu_s - judge_test_cpu, limits.program_cpu_s - judge_cpu, wall + 1, program_wall + 1]
        if min(rests) <= 0:
            self.judge_killed = "cpu" if min(rests[:2]) <= 0 else "wall"
            return 0
        if child and not self.why:
            own = [limits.cpu_s - test_cpu, limits.program_cpu_s - (child.cpu_before + cpu), wall, program_wall]
            names = ("cpu", "program cpu", "wall", "wall")
            over = [name for name, rest in zip(names, own, strict=True) if rest <= 0]
            if not over and now - self.test_started > _LOOK_EVERY_S / 2:
                over = _too_much_of(child, self.zygote.level)
            if over:
                self.why = WHY.index(over[0])
                os.kill(child.pid, signal.SIGKILL)
            rests += own
        return max(0.001, min(_LOOK_EVERY_S, *rests))

    def _end_candidate(self, grace: bool = False) -> tuple[int, float]:
        child = self.candidate
        if child is None:
            return 0, 0.0
        self.candidate = None
        if grace:
            _wait_a_moment(child.pid)
        cpu = child.cpu()
        self.spent += cpu
        return self._end(child), cpu - child.cpu_at_test

    def _end(self, child: Child) -> int:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child.pid, signal.SIGKILL)
        _, status = os.waitpid(child.pid, 0)
        if self.zygote.level != "namespaces":
            try:
                folders.remove(child.folder)
            except OSError:
                # Not our own trouble but the program's doing: this worker is broken.
                raise SystemExit(1) from None
        return os.waitstatus_to_exitcode(status)

    def _sweep(self) -> None:
        """Nothing but this process is left; at other levels no child could have made another process."""
        if self.zygote.level == "namespaces":
            with contextlib.suppress(ProcessLookupError):
                os.kill(-1, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def _wait_a_moment(pid: int) -> None:
    """One that has closed its channel of itself is on its way out; its exit code is wanted."""
    with contextlib.suppress(OSError, AttributeError):
        descriptor = os.pidfd_open(pid)
        select.select([descriptor], [], [], 0.1)
        os.close(descriptor)


def _nameless_file() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("io")
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _too_much_of(child: Child, level: str) -> list[str]:
    if level != "namespaces" and folders.too_large(child.folder):
        return ["files"]
    with contextlib.suppress(OSError, ValueError, IndexError):
        stat = Path(f"/proc/{child.pid}/stat").read_text()
        if int(stat.rpartition(")")[2].split()[17]) > MAX_THREADS:
            return ["threads"]
    return []
