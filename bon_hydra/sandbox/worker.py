"""One worker as its parent sees it: a process that is started, given one program at a time, and killed.

Everything here is asynchronous and waits without threads; a worker that does not keep to its part is `Broken`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .inside import folders, wire
from .inside.watch import PATIENCE
from .launch import ENVIRONMENT, Limits, command
from .outcome import VERDICTS, Outcome

_START_S = 60.0
_GRACE_S = 30.0
_CLOSE_S = 5.0
_MAX_ANSWER = 1 << 20


class Broken(Exception):
    """The worker is gone or does not answer in time; it has to be replaced."""


class NotStarted(Exception):
    """A worker could not be started here; the message says why."""


@dataclass(frozen=True, slots=True)
class Judged:
    """An outcome, and whether it is worth one more try with nothing else running."""

    outcome: Outcome
    retry: bool = False


class Worker:
    """A process that judges programs one after another. `start` makes one."""

    def __init__(self, process: subprocess.Popen[bytes], control: socket.socket, scratch: str, limits: Limits) -> None:
        self._process = process
        self._control = control
        self._scratch = scratch
        self._limits = limits
        # Far beyond what the zygote allows judge and candidate; only one that hangs itself gets there.
        self._deadline_s = limits.program_wall_s + 2 * PATIENCE * limits.program_cpu_s + _GRACE_S

    @property
    def pid(self) -> int:
        """Of the process that was started: bubblewrap, or the zygote itself."""
        return self._process.pid

    @classmethod
    async def start(cls, level: str, limits: Limits) -> Worker:
        """A worker that is ready. Raises NotStarted."""
        mine, theirs = socket.socketpair()
        mine.setblocking(False)
        scratch = "" if level == "namespaces" else tempfile.mkdtemp(prefix="bon_hydra-sandbox-")
        try:
            # It ends with the thread that starts it (see zygote.main), which is the event loop's.
            process = subprocess.Popen(
                command(level, theirs.fileno(), scratch, limits),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                env=ENVIRONMENT,
                cwd="/",
                pass_fds=[theirs.fileno()],
                start_new_session=True,
            )
        except OSError as error:
            mine.close()
            _remove(scratch)
            raise NotStarted(f"{type(error).__name__}: {error}") from error
        finally:
            theirs.close()
        worker = cls(process, mine, scratch, limits)
        try:
            async with asyncio.timeout(_START_S):
                await _frame(mine)
        except (Broken, TimeoutError) as error:
            said = await worker.close()
            raise NotStarted(said or f"it did not start: {error}") from None
        except BaseException:
            await worker.close()
            raise
        return worker

    async def close(self) -> str:
        """Kills it with everything in it; the last line of what it said on standard error."""
        self._control.close()
        said = await asyncio.to_thread(self._end)
        lines = said.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else ""

    def _end(self) -> bytes:
        """Without namespaces it is asked first, since only a zygote that lives waits for its children's end."""
        if not self._scratch:
            self._process.kill()
        try:
            _, said = self._process.communicate(timeout=_CLOSE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            _, said = self._process.communicate()
        _remove(self._scratch)
        return said

    async def judge(self, program: str, tests: Mapping[str, Any]) -> Judged:
        """Judges `program`. Raises Broken."""
        try:
            async with asyncio.timeout(self._deadline_s):
                return await self._judge(program, tests)
        except (TimeoutError, OSError, wire.WireError) as error:
            raise Broken(f"{type(error).__name__}: {error}") from None

    async def _judge(self, program: str, tests: Mapping[str, Any]) -> Judged:
        job = json.dumps({"program": program, "tests": dict(tests), "cpu_s": self._limits.cpu_s}).encode()
        mine, theirs = socket.socketpair()
        try:
            mine.setblocking(False)
            with theirs:
                head = json.dumps({"preload": ["numpy"] if b"numpy" in job else []}).encode()
                socket.send_fds(self._control, [len(head).to_bytes(4, "big") + head], [theirs.fileno()])
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # then there is an answer already, or none
                await asyncio.get_running_loop().sock_sendall(mine, len(job).to_bytes(4, "big") + job)
            answers = await _until_end(mine)
        finally:
            mine.close()
        return _combined(answers, await _frame(self._control))


def _remove(folder: str) -> None:
    if folder:
        with contextlib.suppress(OSError):
            folders.remove(folder)


def _combined(answers: list[dict[str, Any]], report: dict[str, Any]) -> Judged:
    """The outcome out of what the judge said and what the zygote saw of the judge."""
    trouble = report.get("trouble") or next((answer["trouble"] for answer in answers if "trouble" in answer), None)
    if trouble or {"ready": True} not in answers:
        text = str(trouble or "the judge ended before it was confined")
        return Judged(Outcome("verifier_error", "the sandbox could not start its judge", 0, 0, text))
    found = next((answer for answer in answers if "verdict" in answer), None)
    if found is not None and _well_formed(found):
        outcome = Outcome(found["verdict"], found["reason"], found["passed"], found["total"], found["error"])
        return Judged(outcome, found["retry"])
    if not any("called" in answer for answer in answers):
        reason = "the tests use up their time" if report["judge_killed"] else "the tests end their own process"
        return Judged(Outcome("unverifiable", f"{reason} before they call the program", 0, 0))
    if report["judge_killed"] in ("cpu", "wall"):
        retry = report["judge_killed"] == "wall"
        return Judged(Outcome("timeout", "timeout while judging what the program returned", 0, 1), retry)
    return Judged(Outcome("fail", "judging what the program returned broke the judge", 0, 1))


def _well_formed(found: dict[str, Any]) -> bool:
    types = {"verdict": str, "reason": str, "passed": int, "total": int, "retry": bool}
    return (
        all(type(found.get(key)) is kind for key, kind in types.items())
        and found["verdict"] in VERDICTS
        and type(found.get("error")) in (str, type(None))
    )


async def _frame(connection: socket.socket) -> dict[str, Any]:
    """The next frame. Raises Broken at the end."""
    size = int.from_bytes(await _exactly(connection, 4), "big")
    if size > _MAX_ANSWER:
        raise Broken(f"an answer of {size} bytes")
    return wire.parse(await _exactly(connection, size))


async def _exactly(connection: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        try:
            chunk = await asyncio.get_running_loop().sock_recv(connection, size - len(data))
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise Broken("it is gone")
        data += chunk
    return data


async def _until_end(connection: socket.socket) -> list[dict[str, Any]]:
    """All well-formed frames until the other side closes."""
    frames: list[dict[str, Any]] = []
    while len(frames) < 10:
        try:
            frames.append(await _frame(connection))
        except (Broken, wire.WireError):
            break
    return frames
