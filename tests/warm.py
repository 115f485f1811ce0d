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
import tempfile
from collections.abc import Mapping, Sequence
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
]
_server = multiprocessing.get_context("forkserver")
_server.set_forkserver_preload(IMPORTED)


def run_warm(
    module: str, arguments: Sequence[str], cwd: Path, env: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run([sys.executable, "-m", module, *arguments], capture_output=True, text=True)`.

    The module may be a script's path instead.
    """
    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        before = dict(os.environ)
        os.environ.clear()
        os.environ.update(env)  # the server's own surroundings are those of the first run
        try:
            process = _server.Process(target=_child, args=(module, list(arguments), str(cwd), dict(env), out, err))
            process.start()
        finally:
            os.environ.clear()
            os.environ.update(before)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
            raise subprocess.TimeoutExpired([module, *arguments], timeout, out.read_text(), err.read_text())
        command = [sys.executable, "-m", module, *arguments]
        return subprocess.CompletedProcess(command, process.exitcode, out.read_text(), err.read_text())


def _child(module: str, arguments: Sequence[str], cwd: str, env: Mapping[str, str], out: Path, err: Path) -> None:
    for number, path in ((1, out), (2, err)):
        opened = os.open(path, os.O_WRONLY | os.O_CREAT)
        os.dup2(opened, number)
        os.close(opened)
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115 - for as long as the process
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115 - for as long as the process
    os.environ.clear()
    os.environ.update(env)
    os.chdir(cwd)
    sys.path[:] = [cwd, *(path for path in sys.path if not path.endswith("/tests"))]
    os.execve = _become  # type: ignore[assignment]
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
