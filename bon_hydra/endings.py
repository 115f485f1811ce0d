"""How a job ended; and that whatever goes wrong in one is said, logged and returned, so that a sweep's others go on."""

from __future__ import annotations

import logging
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass

from bon_hydra.names import clean
from bon_hydra.schema import ConfigError

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ended:
    """How a job ended."""

    exit_code: int
    status: str
    reason: str = ""
    """Why, if early."""
    value: float = 0.0
    """What a sweeper that looks for the best gets to see."""


def refuse(message: str) -> int:
    """One message on stderr; the exit code of a wrong configuration."""
    print(f"bon_hydra: {clean(message)}", file=sys.stderr)
    return 2


def ended(job: Callable[[], Ended]) -> Ended:
    """What the job returns, or what went wrong in it."""
    try:
        return job()
    except ConfigError as error:
        log.error("%s", error)
        return Ended(refuse(str(error)), "failed", str(error))
    except Exception as error:  # whatever it is, it is this job's alone
        log.exception("the run went wrong")
        traceback.print_exc()
        return Ended(1, "failed", f"{type(error).__name__}: {error}")
