"""The groups' options: the YAML files of `conf/`. Reads names and data; composes nothing."""

from __future__ import annotations

from pathlib import Path

PACKAGE = Path(__file__).parent
CONF = next(folder for folder in (PACKAGE / "conf", PACKAGE.parent / "conf") if (folder / "config.yaml").exists())
"""Inside the package when installed from a wheel, beside it in the source tree."""


def options(group: str) -> list[str]:
    """The names that `group=` takes; none where there is no such group."""
    return sorted(path.stem for path in CONF.glob(f"{group}/*.yaml"))
