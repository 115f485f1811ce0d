"""The warmed-up process of a worker: it forks a judge for every job and candidates for the judge.

It never sees a program, a test or a result (the judge talks to the parent and to the candidate by itself), so what
it forks inherits nothing of earlier jobs. It ends when its parent does. Between parent and zygote the frames of
`wire`; a job comes with the descriptor of the judge's own socket to the parent.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import signal
import socket
import sys
from typing import Any

from . import candidate, folders, judge, seccomp, wire
from .confine import Confinement, address_space, confine, landlock_abi, signal_at_parents_end
from .watch import Job, Limits

WARM = (
    "abc array ast atexit bisect cmath collections copy csv dataclasses datetime decimal enum fractions functools "
    "hashlib heapq io itertools json keyword linecache math numbers operator queue random re statistics string struct "
    "textwrap threading time traceback types typing unicodedata warnings"
).split()


class Zygote:
    """One worker's loop over jobs."""

    def __init__(self, control: socket.socket, how: Confinement, limits: Limits, scratch: str) -> None:
        self.control = control
        self.how = how
        self.level = how.level
        self.limits = limits
        self.scratch = scratch
        self.base_bytes = 0
        self.null = os.open(os.devnull, os.O_RDWR)

    def serve(self) -> None:
        """Takes jobs until the parent closes its end."""
        with contextlib.suppress(seccomp.Unsupported):
            seccomp.program(0, receives=True)  # what can be shared of it is built once
        self._settle()
        wire.send(self.control.fileno(), {"ready": True, "landlock": landlock_abi()})
        while True:
            message, descriptors = _receive_job(self.control)
            if message is None:
                return
            for name in message["preload"]:
                if name not in sys.modules:
                    with contextlib.suppress(ImportError):
                        importlib.import_module(name)
                    self._settle()
            try:
                report = Job(self, descriptors[0]).run()
            except OSError as error:  # no memory, no process, no descriptor left on this machine
                report = {"trouble": f"{type(error).__name__}: {error}"}
            wire.send(self.control.fileno(), report)

    def _settle(self) -> None:
        gc.collect()
        gc.freeze()
        self.base_bytes = address_space()

    def fork(self, role: str, keep: list[int], standard: tuple[int, int]) -> tuple[int, str]:
        """A confined child that runs `role`; `keep` are the descriptors it gets; on the first it says it is ready."""
        folder = self.scratch
        if self.level != "namespaces":
            folder = folders.fresh(self.scratch)
        pid = os.fork()
        if pid:
            return pid, folder
        status = 70
        try:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            for target, source in ((0, standard[0]), (1, standard[1]), (2, self.null)):
                os.dup2(source, target)
            numbers = _keep_only(keep)
            is_judge = role == "judge"
            try:
                confine(self.how, folder, self.base_bytes, is_judge)
            except BaseException as error:
                wire.send(numbers[0], {"trouble": f"{type(error).__name__}: {error}"})
                return 0, ""  # never reached: see finally
            # Sent before any code that is not ours is here, so that nobody else can claim or deny it.
            wire.send(numbers[0], {"ready": True})
            if is_judge:
                judge.serve(*numbers)
            elif role == "main":
                candidate.run_as_main(numbers[0])
            else:
                candidate.serve(numbers[0])
            status = 0
        except wire.Gone:
            status = 0
        finally:
            os._exit(status)


def _keep_only(keep: list[int]) -> list[int]:
    """Closes all but 0, 1, 2 and `keep`, which get the numbers from 3 on; returns these."""
    high = [os.dup2(fd, 200 + position) for position, fd in enumerate(keep)]
    numbers = [os.dup2(fd, 3 + position) for position, fd in enumerate(high)]
    os.closerange(3 + len(keep), 1024)
    return numbers


def _receive_job(control: socket.socket) -> tuple[dict[str, Any] | None, list[int]]:
    try:
        data, descriptors, _, _ = socket.recv_fds(control, 4096, 1)
    except ConnectionResetError:
        return None, []
    if not data:
        return None, []
    return wire.parse(data[4:]), descriptors


def main() -> None:
    """`argv[1]`: JSON with `fd`, `paths`, `scratch`, `limits` and the fields of Confinement."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    signal_at_parents_end(signal.SIGTERM)
    settings = json.loads(sys.argv[1])
    control = socket.socket(fileno=settings["fd"])
    control.set_inheritable(False)
    os.environ.clear()
    sys.argv = [""]
    sys.dont_write_bytecode = True
    sys.path[:1] = []
    sys.path += settings["paths"]
    for name in WARM:
        importlib.import_module(name)
    how = Confinement(settings["level"], tuple(settings["readable"]), settings["memory_bytes"], settings["cpu_s"])
    try:
        Zygote(control, how, Limits(**settings["limits"]), settings["scratch"]).serve()
    except (wire.Gone, OSError):
        pass  # the parent is gone
    finally:
        if how.level != "namespaces":
            folders.remove(settings["scratch"])
