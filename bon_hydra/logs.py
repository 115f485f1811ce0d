"""`run.log`, where a run is not started by Hydra, which sets it up itself (`conf/hydra/default.yaml`)."""

from __future__ import annotations

import logging
from pathlib import Path

FORMAT = "%(asctime)s %(levelname)s %(name)s: %(message)s"
QUIET = ("httpx", "httpx2", "httpcore2", "openai", "datasets", "huggingface_hub", "asyncio")
"""These log a line for every request; run.log names what was retried, and why."""


def log_to(folder: Path) -> None:
    """Everything from INFO on goes to the end of the folder's `run.log`, and nothing to the terminal."""
    file = folder / "run.log"
    if file.is_symlink():  # which would lead elsewhere
        file.unlink()
    handler = logging.FileHandler(file, encoding="utf-8")
    handler.setFormatter(logging.Formatter(FORMAT))
    root = logging.getLogger()
    for other in root.handlers[:]:
        root.removeHandler(other)
        other.close()
    root.addHandler(handler)
    root.setLevel(logging.INFO)
    for name in QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
