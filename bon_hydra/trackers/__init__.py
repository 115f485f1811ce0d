"""Trackers: a run's configuration, figures and file, also where people already look (docs/tracking.md).

Each tracker's client works in a process of its own (`client`), which a run starts, tells how it ended, and waits for a
while (`process`): whatever goes wrong there is one line on the terminal, and never the run's affair.
"""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

from bon_hydra.names import clean
from bon_hydra.schema import Config
from bon_hydra.trackers.process import started, tell

log = logging.getLogger(__name__)


def installed(tracker: str) -> bool:
    """Whether the tracker's package is there; a folder of that name, as the clients leave them, is none."""
    spec = find_spec(tracker)
    return spec is not None and spec.origin is not None


@contextmanager
def tracked(config: Config, folder: Path, sweep: str) -> Iterator[Callable[[str, int], None]]:
    """Tells the trackers of `output.trackers` that the run of `folder` is at work; `sweep`: the id of the one it is of.

    Yields what tells them how it ended, by status and exit code, when everything stands in the folder; that returns
    when they have written it down, or their time is up. Nothing of it raises.
    """
    clients = started(config.output.trackers, folder, sweep, config.model.api_key_env, _say)
    try:
        yield lambda status, exit_code: tell(clients, status, exit_code)
    finally:
        for client in clients:
            client.leave()


def _say(line: str) -> None:
    log.info("%s", line)
    print(clean(line), file=sys.stderr)
