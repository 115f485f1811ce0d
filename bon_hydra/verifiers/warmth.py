"""Loading what reads mathematics takes a second of CPU: a worker does it for the first answer that needs it.

Most answers are judged as texts and numbers. A judge that is about to use more says so, and a worker that has not
loaded it yet does so outside of that answer's limits.
"""

from __future__ import annotations

cold = False
"""Set by a worker until it has loaded; elsewhere what is needed is just imported."""


class Cold(BaseException):
    """Not loaded yet: load it and judge again. A BaseException, so that no `except Exception` on the way keeps it."""


def needed() -> None:
    """To be called before math-verify and SymPy are used. Raises Cold in a worker that has not loaded them."""
    if cold:
        raise Cold
