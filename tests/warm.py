"""Runs of the program in processes that have imported what every run imports: as whole as a fresh one, and quicker.

Python's own fork server does it. What a run reads of its surroundings while it imports (`HF_HOME`, say) must be as it
is here; a run with other such settings is started afresh (`app.run`).
"""

from __future__ import annotations

import atexit
import multiprocessing
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NoReturn

IMPORTED = [
    "bon_hydra.experiment",
    "bon_hydra.launch",
    "bon_hydra.cli",
    "bon_hydra.report.sweep",
    "datasets",
    "hydra",
    "openai",
    "pandas",
    "pyarrow.parquet",
    "scipy.stats",
    "genai_prices.data",
    "scipy.io",
    "uvloop",
    "frozen",
]
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(IMPORTED)


def command_line(module: str, arguments: Sequence[str]) -> list[str]:
    """What one types for a module, or for a script by its path."""
    return [sys.executable, *([] if module.endswith(".py") else ["-m"]), module, *arguments]


class Started:
    """A running program: what `subprocess.Popen(…, stdout=PIPE, stderr=PIPE, text=True)` offers of it."""

    def __init__(self, module: str, arguments: Sequence[str], cwd: Path, env: Mapping[str, str]) -> None:
        self.args = command_line(module, arguments)
        (out, to_out), (err, to_err) = _server.Pipe(duplex=False), _server.Pipe(duplex=False)
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(env)  # the server's own surroundings are those of the first program
        try:
            given = (module, list(arguments), str(cwd), dict(env), to_out, to_err)
            self._process = _server.Process(target=_child, args=given)
            self._process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        self.pid = self._process.pid or 0
        to_out.close()
        to_err.close()
        self._out, self.stderr = (open(os.dup(end.fileno()), encoding="utf-8") for end in (out, err))  # noqa: SIM115, PTH123 - until communicate
        out.close()
        err.close()

    @property
    def returncode(self) -> int | None:
        return self._process.exitcode

    def poll(self) -> int | None:
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self._process.kill()

    def wait(self, timeout: float | None = None) -> int:
        self._process.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0)
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[str, str]:
        """All that it says, once it has ended; one that does not end in time is killed."""
        with self._out, self.stderr, ThreadPoolExecutor(2) as readers:
            reading = [readers.submit(file.read) for file in (self._out, self.stderr)]
            self._process.join(timeout)
            late = self.returncode is None
            if late:
                self.kill()
            out, err = (each.result() for each in reading)
        if late:
            raise subprocess.TimeoutExpired(self.args, timeout or 0, out, err)
        return out, err


def run_warm(
    module: str, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run(command_line(module, arguments), capture_output=True, text=True)`."""
    started = Started(module, arguments, cwd, env)
    out, err = started.communicate(timeout)
    return subprocess.CompletedProcess(started.args, started.wait(), out, err)


def _child(
    module: str, arguments: Sequence[str], cwd: str, env: Mapping[str, str], out: Connection, err: Connection
) -> None:
    os.setsid()
    for number, end in ((1, out), (2, err)):
        os.dup2(end.fileno(), number)
        end.close()
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115 - for as long as the process
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    more = env.get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:] = [cwd, *more, *(path for path in sys.path if not path.endswith("/tests"))]
    os.execve = _become  # type: ignore[assignment]  # it takes only what `bon` gives it
    try:
        _program(module, arguments)
    finally:
        atexit._run_exitfuncs()
        sys.stdout.flush()


def _program(module: str, arguments: Sequence[str]) -> None:
    sys.argv[:] = [module, *arguments]
    if module.endswith(".py"):
        runpy.run_path(module, run_name="__main__")
        return
    sys.modules.pop(module, None)  # runpy warns of a program that was imported before
    runpy.run_module(module, run_name="__main__", alter_sys=True)


def _become(_: str, command: Sequence[str], env: Mapping[str, str]) -> NoReturn:
    """What `python -m module …` would do in this process's place, without a second start of Python."""
    assert (command[0], command[1]) == (sys.executable, "-m")
    os.environ.clear()
    os.environ.update(env)
    if env.get("PYTHONSAFEPATH"):
        del sys.path[0]
    _program(command[2], command[3:])
    sys.exit()
