"""What a run was made with: versions of packages, and the commit of the folder it was started in."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("hydra-core", "omegaconf", "openai", "datasets", "pyarrow", "pandas", "aiolimiter", "math-verify", "sympy")
"""Those that decide what is asked, how it is read, or how it is judged."""

INERT = {"core.fsmonitor": "false", "core.hooksPath": "/dev/null", "diff.ignoreSubmodules": "all"}
"""Git's settings under which it runs no program that a repository names; filters are switched off by name."""


def packages() -> dict[str, str | None]:
    """Version by name, Python's own among them; None where one is not installed."""
    return {name: _version(name) for name in PACKAGES} | {"python": sys.version.split()[0]}


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def git_commit() -> str:
    """The commit of the working directory, with `-dirty` where files differ from it; empty outside of git.

    The folder may be a stranger's, whose repository can name programs for git to run: none of them is.
    """
    try:
        filters = _git({}, "config", "--local", "--includes", "--name-only", "--get-regexp", r"^filter\.").splitlines()
        inert = INERT | {name: "false" if name.endswith(".required") else "" for name in filters}
        return _git(inert, "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _git(settings: Mapping[str, str], *arguments: str) -> str:
    environment = os.environ | {"GIT_OPTIONAL_LOCKS": "0", "GIT_ALLOW_PROTOCOL": "none"}
    environment["GIT_CONFIG_COUNT"] = str(len(settings))
    for number, (name, value) in enumerate(settings.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
    command = ["git", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=10, check=False)
    return done.stdout.strip()
