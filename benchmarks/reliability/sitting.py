"""One sitting of a run in a process forked from a warm one: what `python -m bon_hydra` and `bon resume` do, less their
imports, which take longer here than such a sitting. Everything is real but the Hydra app, which only composes."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from multiprocessing.connection import wait
from pathlib import Path

import aiohttp  # noqa: F401 - what a first request would import, and the first row
import datasets  # noqa: F401
import openai.resources.chat  # noqa: F401
import scipy.io  # noqa: F401
import tqdm  # type: ignore[import-untyped, unused-ignore]

import bon_hydra.client
import bon_hydra.plan
import bon_hydra.preflight
import bon_hydra.resume
from bon_hydra import experiment
from bon_hydra.logs import log_to
from bon_hydra.saved import load_config
from bon_hydra.schema import ConfigError

tqdm.tqdm.set_lock(threading.RLock())  # its own is a semaphore, which a killed process leaves behind

WARM = multiprocessing.get_context("forkserver")
ONE_THREAD = threading.Lock()
"""A start looks after all processes, and two looks at one process's end lose its exit code."""


class Forked:
    """A sitting in a process of its own; its doings are `soak.Process`'s."""

    def __init__(self, sit: Callable[..., int], cwd: Path, said: Path, key: str, *arguments: object) -> None:
        self.said = said
        self._process = WARM.Process(target=_sit, args=(sit, cwd, said, key, arguments))
        with ONE_THREAD:
            self._process.start()

    def ended(self) -> bool:
        with ONE_THREAD:
            return self._process.exitcode is not None

    def wait(self) -> int:
        """The exit code; negative where a signal ended it."""
        wait([self._process.sentinel])
        with ONE_THREAD:
            code = self._process.exitcode
        assert code is not None
        return code

    def signal(self, number: signal.Signals) -> None:
        if not self.ended():
            os.kill(self._process.pid or 0, number)


def warm_up() -> None:
    """Has processes forked from one that has imported this module."""
    here = str(Path(__file__).parent)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [here, os.environ.get("PYTHONPATH")]))
    WARM.set_forkserver_preload(["__main__", __name__])


def first(folder: Path) -> int:
    """The run whose `resolved.yaml` lies in `folder`, as the Hydra app runs it once it has composed that."""
    prepared = bon_hydra.preflight.prepare(load_config(folder / "resolved.yaml"))
    bon_hydra.plan.refuse_unreachable(prepared)
    log_to(folder)
    return experiment.run(prepared, folder, experiment.Origin((), "soak")).exit_code


def resumed(folder: Path, *overrides: str) -> int:
    """`bon resume FOLDER [budget_usd=…]`."""
    return bon_hydra.resume.resume(str(folder), overrides)


def _sit(sit: Callable[..., int], cwd: Path, said: Path, key: str, arguments: tuple[object, ...]) -> None:
    with _as_a_program(cwd, said, key):
        try:
            code = sit(*arguments)
        except ConfigError as error:
            print(error, file=sys.stderr)
            code = 2
        except KeyboardInterrupt:
            code = 130
    os._exit(code)


@contextlib.contextmanager
def _as_a_program(cwd: Path, said: Path, key: str) -> Iterator[None]:
    """Its own session, folder, key and output, none of the soak's."""
    os.setsid()
    os.chdir(cwd)
    os.environ |= {"OPENAI_API_KEY": key, "NO_PROXY": "*", "HF_HUB_OFFLINE": "1"}
    descriptor = os.open(said, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
