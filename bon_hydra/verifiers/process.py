"""One worker process with its pipes, as the run sees it: start it, ask it, read its answers, kill it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
from collections import deque
from pathlib import Path
from typing import Any

import bon_hydra

log = logging.getLogger(__name__)

OUT_OF_CPU = "killed by SIGVTALRM"
"""What a child dies of that used up its CPU time without coming back to Python."""

_START_S = 120.0
_LAST_WORDS_S = 1.0
_LINE_BYTES = 16 * 2**20


class WorkerLost(Exception):
    """The worker ended, or was ended, without an answer; the message says of what."""


class WallTimeUp(WorkerLost):
    """Nothing came back within the wall time."""

    def __init__(self, wall_s: float, cpu_used: float | None) -> None:
        super().__init__(f"no result within {wall_s:g} s")
        self.cpu_used = cpu_used
        """Seconds of CPU spent meanwhile; None where the system does not tell."""


class Worker:
    """One worker process with its pipes."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._child: int | None = None
        self._cpu_reported = 0.0
        self._said: deque[str] = deque(maxlen=20)
        self._listening = asyncio.create_task(self._listen())

    @classmethod
    async def start(cls, cpu_s: float, memory_mb: int) -> Worker:
        """Start a process and wait until it is warm. Raises WorkerLost with what it said where it cannot start."""
        package = str(Path(bon_hydra.__file__).parent.parent)
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "bon_hydra.verifiers.worker", str(cpu_s), str(memory_mb), str(os.getpid())),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            limit=_LINE_BYTES,
            env={**os.environ, "PYTHONPATH": path, "PYTHONHASHSEED": "0"},
            start_new_session=True,
        )
        worker = cls(process)
        try:
            await worker._line(_START_S, until="ready")
        except BaseException:
            await worker.kill()
            raise
        return worker

    async def ask(self, job: dict[str, Any]) -> None:
        """Send one job; its answers are read with `answer`."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(job).encode() + b"\n")
            await self._process.stdin.drain()
        except (BrokenPipeError, ConnectionResetError):
            raise WorkerLost(await self._end()) from None

    async def answer(self, wall_s: float) -> dict[str, Any]:
        """The next answer, or `{"died": OUT_OF_CPU}` in its place where the kernel had to end the judging child.

        Raises WallTimeUp after so many seconds, WorkerLost where the worker ended of anything else.
        """
        return await self._line(wall_s, until="cpu")

    async def _line(self, wall_s: float, until: str) -> dict[str, Any]:
        assert self._process.stdout is not None
        try:
            async with asyncio.timeout(wall_s):
                while True:
                    raw = await self._process.stdout.readline()
                    if not raw:
                        raise WorkerLost(await self._end())
                    line = _object(raw)
                    if "ready" in line:
                        self._child, self._cpu_reported = line["ready"], 0.0
                    if "died" in line:
                        if line["died"] != OUT_OF_CPU:
                            raise WorkerLost(line["died"])
                        return {**line, "retired": True}
                    if until in line:
                        self._cpu_reported = line.get("cpu", 0.0)
                        return line
        except TimeoutError:
            raise WallTimeUp(wall_s, self._cpu_since_answer()) from None

    def _cpu_since_answer(self) -> float | None:
        """Seconds of CPU the judging child has used since its last answer; None where the system does not tell."""
        try:
            stat = Path(f"/proc/{self._child}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK") - self._cpu_reported

    async def _listen(self) -> None:
        assert self._process.stderr is not None
        async for line in self._process.stderr:
            self._said.append(line.decode(errors="replace").rstrip())
            log.debug("verifier worker %d: %s", self._process.pid, self._said[-1])

    async def _end(self) -> str:
        """Of what the process ended, for a reason."""
        code = await self._process.wait()
        await asyncio.wait([self._listening], timeout=_LAST_WORDS_S)
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"{how}: {self._said[-1]}" if self._said else how

    async def kill(self) -> None:
        """End the process and its child, whatever they are doing."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            # Where the kernel does not end the child with its parent, the group may outlive its leader.
            if self._process.returncode is None or sys.platform != "linux":
                os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        self._listening.cancel()
        await asyncio.wait([self._listening])


def _object(raw: bytes) -> dict[str, Any]:
    """A worker's line; empty where a dying child left it half written."""
    try:
        line = json.loads(raw)
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}
