"""`python -m bon_hydra.trackers.client TRACKER FOLDER SWEEP`: the process that a tracker's client works in.

Its input is one line, how the run of that folder ended. Whatever the client prints goes nowhere; what the user is to
know is a line of JSON on the real standard output.
"""

from __future__ import annotations

import json
import os
import re
import sys
from importlib import import_module
from pathlib import Path
from typing import Protocol

from bon_hydra.trackers.record import Outcome, outcome_of, run_of

LONGEST = 300
"""Characters of an error that are told."""


class Tracker(Protocol):
    """One run in a tracker. What has failed may be called again: a server may be back by then."""

    def running(self) -> None:
        """Makes the run there, or finds the one of an earlier sitting; as running, with its configuration."""

    def ended(self, outcome: Outcome) -> str:
        """Writes down how it ended, its figures and files; returns where to look."""

    def killed(self) -> None:
        """Its process is gone without a word."""


def main() -> None:
    """One run, from its beginning to its end."""
    voice = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)

    def say(**line: str) -> None:
        voice.write(json.dumps(line) + "\n")
        voice.flush()

    name, folder, sweep = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
    tracker: Tracker | None = None
    try:
        tracker = import_module(f"bon_hydra.trackers.{name}").tracker(run_of(folder, sweep))
        tracker.running()
    except Exception as error:  # whatever a client raises, the run goes on
        say(wrong=_in_one_line(error))
    line = sys.stdin.readline()
    if tracker is None:
        return
    try:
        if line:
            say(told=without_login(tracker.ended(outcome_of(folder, **json.loads(line)))))
        else:
            tracker.killed()
    except Exception as error:
        say(wrong=_in_one_line(error))


def _in_one_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    line = without_login((lines or [type(error).__name__])[0])
    return line.rstrip(".") if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def without_login(text: str) -> str:
    """A text with addresses in it, without the user and password that one of them may hold."""
    return re.sub(r"//[^/@\s]*@", "//", text)


if __name__ == "__main__":
    main()
