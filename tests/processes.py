"""Whatever belongs to a running program, found in /proc (Linux): children's children, and who bears its mark."""

from __future__ import annotations

import contextlib
import os
import signal
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PATIENCE_S = 120.0
"""Of a busy machine; what is waited for takes a moment."""


@dataclass(frozen=True)
class Process:
    """One process for good: a number may be given away again, but not with the same start."""

    pid: int
    started: str
    command: str

    def state(self) -> list[str]:
        """The fields of its `stat` from the state on; empty where it is gone."""
        fields = _stat(self.pid)
        return fields if fields and fields[19] == self.started else []

    def alive(self) -> bool:
        return self.state()[:1] not in ([], ["Z"], ["X"])

    def cpu_s(self) -> float:
        fields = self.state()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if fields else 0.0

    def threads(self) -> int:
        fields = self.state()
        return int(fields[17]) if fields else 0


class Family:
    """All processes of a program that was started with `environment` in its environment.

    `seen` collects them as `look` meets them: descendants, those that bear the mark in their environment or their
    arguments (a folder for temporary files is one), and those of a process namespace that one of them lives in.
    """

    def __init__(self, folder: Path) -> None:
        self.mark = f"family-{uuid.uuid4().hex}"
        temporary = folder / self.mark
        temporary.mkdir()
        self.environment = {"BON_TEST_FAMILY": self.mark, "TMPDIR": str(temporary)}
        self.seen: set[Process] = set()
        self._namespaces: set[str] = set()
        self._here = str(Path("/proc/self/ns/pid").readlink())

    def look(self, root: int | None = None) -> list[Process]:
        """Those that live now; `root` is the program itself, while it lives."""
        parents: dict[int, int] = {}
        for path in Path("/proc").glob("[0-9]*"):
            if fields := _stat(int(path.name)):
                parents[int(path.name)] = int(fields[1])
        wanted = {root} if root else set()
        while more := {pid for pid, parent in parents.items() if parent in wanted} - wanted:
            wanted |= more
        wanted |= {pid for pid in parents if self._marked(pid)}
        self._namespaces |= {_namespace(pid) for pid in wanted} - {"", self._here}
        wanted |= {pid for pid in parents if _namespace(pid) in self._namespaces}
        self.seen |= {process for pid in wanted - {root} if (process := _process(pid))}
        return [process for process in self.seen if process.alive()]

    def gone(self) -> list[str]:
        """Waits until none of them is left; else the commands of those that are."""
        eventually(lambda: not self.look(), seconds=30)
        return [f"{process.pid} {process.command}" for process in self.look()]

    def end(self) -> None:
        """Kills what a failed test found alive."""
        for process in self.look():
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)

    def _marked(self, pid: int) -> bool:
        mark = self.mark.encode()
        return pid != os.getpid() and any(mark in _read(pid, name) for name in ("environ", "cmdline"))


def eventually(condition: Callable[[], object], seconds: float = PATIENCE_S) -> bool:
    """Whether the condition comes true before the deadline."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True


def _process(pid: int) -> Process | None:
    fields = _stat(pid)
    command = _read(pid, "cmdline").replace(b"\0", b" ").decode(errors="replace")[:200]
    return Process(pid, fields[19], command) if fields else None


def _stat(pid: int) -> list[str]:
    return _read(pid, "stat").decode(errors="replace").rpartition(")")[2].split()


def _read(pid: int, name: str) -> bytes:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/{name}").read_bytes()
    return b""


def _namespace(pid: int) -> str:
    with contextlib.suppress(OSError):
        return str(Path(f"/proc/{pid}/ns/pid").readlink())
    return ""
