"""`bon` as tests call it: in this process, in a process of its own, or by its console script as a user does."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from app import environment, run

from bon_hydra.cli import main

SCRIPT = Path(sys.executable).parent / "bon"


def bon(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    try:
        main([str(argument) for argument in arguments])
        code: Any = 0
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    return code or 0, out, err


def apart(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """In a process of its own."""
    return run(cwd, *arguments, module="bon_hydra.cli")


def script(cwd: Path, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    """The console script, as a user has it."""
    return subprocess.run(
        [SCRIPT, *arguments], cwd=cwd, env=environment(**env), capture_output=True, text=True, timeout=300, check=False
    )
