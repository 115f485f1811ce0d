"""A tracker's client in a process of its own, as a run sees it: start it, tell it how the run ended, wait a while.

A line of JSON goes in when the run has ended; an end of input without one means that the run was killed. Lines of JSON
come out where there is something to say to the user. All else it reads in the run's folder.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

import bon_hydra

PATIENCE_S = 60.0
"""So long a run that has ended waits for its trackers, and a second for each megabyte of its file."""


def started(
    trackers: Sequence[str], folder: Path, sweep: str, hidden: str | None, say: Callable[[str], None]
) -> list[Client]:
    """A process for each tracker. `hidden`: an environment variable that none of them is to see."""
    clients = []
    for tracker in trackers:
        try:
            clients.append(Client(tracker, folder, sweep, hidden, say))
        except OSError as error:
            say(_warning(tracker, f"its process cannot be started ({error})"))
    return clients


def tell(clients: Sequence[Client], status: str, exit_code: int) -> None:
    """Tells all of them how the run ended, and waits until they have written it down, or their time is up."""
    for client in clients:
        client.tell(status, exit_code)
    for client in clients:
        client.wait()


def _warning(tracker: str, what: str) -> str:
    return f"warning: output.trackers: {tracker}: {what}; the run itself is not touched by it"


class Client:
    """One tracker's process."""

    def __init__(self, tracker: str, folder: Path, sweep: str, hidden: str | None, say: Callable[[str], None]) -> None:
        self._tracker, self._folder, self._say, self._said = tracker, folder, say, ""
        package = str(Path(bon_hydra.__file__).parent.parent)
        path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "bon_hydra.trackers.client", tracker, str(folder), sweep],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            encoding="utf-8",
            env={name: value for name, value in os.environ.items() if name != hidden} | {"PYTHONPATH": path},
            start_new_session=True,  # a Ctrl-C in the terminal does not reach it: it has an ending to write down
        )
        self._listening = threading.Thread(target=self._listen, daemon=True)
        self._listening.start()

    def _listen(self) -> None:
        assert self._process.stdout
        with self._process.stdout as lines:
            for line in lines:
                said = json.loads(line)
                told = _warning(self._tracker, said["wrong"]) if "wrong" in said else f"{self._tracker}: {said['told']}"
                if told != self._said:
                    self._said = told
                    self._say(told)

    def tell(self, status: str, exit_code: int) -> None:
        """How the run ended."""
        assert self._process.stdin
        with contextlib.suppress(OSError):  # of a process that is gone its exit code tells
            self._process.stdin.write(json.dumps({"status": status, "exit_code": exit_code}) + "\n")
            self._process.stdin.flush()

    def wait(self) -> None:
        """Until the process has ended, or its time is up; Ctrl-C ends the waiting."""
        seconds = PATIENCE_S + sum(file.stat().st_size for file in self._folder.glob("*.parquet")) / 1e6
        wrong = ""
        try:
            code = self._process.wait(seconds)
            self._listening.join(1)
            if code and not self._said:
                wrong = f"its process ended with exit code {code}"
        except subprocess.TimeoutExpired:
            wrong = f"no answer within {seconds:.0f} s"
        except KeyboardInterrupt:
            wrong = "not waited for any longer"
        if wrong:
            with contextlib.suppress(OSError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
            self._say(_warning(self._tracker, wrong))

    def leave(self) -> None:
        """Closes its input: a run that ends without a word was killed, and does not wait."""
        assert self._process.stdin
        with contextlib.suppress(OSError):
            self._process.stdin.close()
