"""A run that was: its configuration, and what it was made with, from its folder, its parquet file or its YAML alone.

All of it is data that somebody else may have written. Knows where runs keep what; decides nothing.
"""

from __future__ import annotations

import glob
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bon_hydra.runs import SWEEP_TABLE, read_columns, read_metadata
from bon_hydra.saved import config_from, load_config
from bon_hydra.schema import Config, ConfigError

RESOLVED = "resolved.yaml"


@dataclass(frozen=True)
class SavedRun:
    """What is known of a run."""

    file: Path
    """The file that says how it was configured: `resolved.yaml`, a parquet file, or another YAML file."""
    config: Config
    metadata: Mapping[str, str]
    """As in the parquet file; empty where there is a YAML file alone."""
    verifiers: tuple[str, ...]
    """Names with versions, as in the parquet file's column."""
    home: Path | None
    """The `output.dir` that the run lies in; None where the file lies elsewhere."""


def saved_run(spec: str) -> SavedRun:
    """The one run that `spec` stands for: a run folder, a parquet file, a YAML file, or a glob of one of these.

    Raises:
        ConfigError: there is none, or more than one, or its configuration cannot be read.
    """
    file = _file(spec)
    if file.suffix == ".parquet":
        metadata = read_metadata(file)
        if "config_yaml" not in metadata:
            raise ConfigError(f"{file}: says nothing of its run's configuration, so it cannot be run again")
        config = config_from(metadata["config_yaml"], f"{file} (config_yaml)")
        return SavedRun(file, config, metadata, _verifiers(file), _home(file))
    config = load_config(file)
    beside = _parquets(file.parent) if file.name == RESOLVED else []
    if beside:
        return SavedRun(file, config, read_metadata(beside[0]), _verifiers(beside[0]), _home(file))
    return SavedRun(file, config, _begun(file.parent), (), _home(file))


def _file(spec: str) -> Path:
    path = Path(spec).expanduser()
    if path.exists():
        matches = [path]
    else:
        named = [Path(match) for match in sorted(glob.glob(str(path)))]  # noqa: PTH207 (absolute or not)
        matches = [match for match in named if match.is_dir() or match.suffix == ".parquet"]
    found: dict[Path, Path] = {}
    for file in (file for match in matches for file in _files(match)):
        found.setdefault(file.parent if (file.parent / RESOLVED).is_file() else file, file)
    first, *others = [*found.values(), None]
    if first is None:
        raise ConfigError(f"{spec}: no such run, wanted a run folder, or a parquet file or resolved.yaml of one")
    if len(others) > 1:
        raise ConfigError(f"{spec}: {len(found)} runs, wanted one: {first}, {others[0]}, …")
    return first


def _files(match: Path) -> list[Path]:
    """What configures the run, or the runs of a sweep, that one path stands for."""
    place = Path(os.path.realpath(match if match.is_dir() else match.parent))
    if not match.is_dir():
        return [place / match.name]
    here = [place / RESOLVED] if (place / RESOLVED).is_file() else _parquets(place)
    return here or sorted(file for file in place.glob(f"*/{RESOLVED}") if not file.parent.is_symlink())


def _parquets(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.parquet") if path.name != SWEEP_TABLE)


def _home(file: Path) -> Path | None:
    """`<dir>` of `<dir>/<date>/<run>/` and of `<dir>/<date>/<sweep>/<job>/`, where the folder is a run's."""
    if not (file.parent / RESOLVED).is_file():
        return None
    above = list(file.parents)[1:3]
    return next((folder.parent for folder in above if re.fullmatch(r"\d{4}-\d\d-\d\d", folder.name)), None)


def _verifiers(parquet: Path) -> tuple[str, ...]:
    table = read_columns(parquet, ["verifier"])
    return tuple(sorted(filter(None, table.column("verifier").unique().to_pylist()))) if table.num_columns else ()


def _begun(folder: Path) -> Mapping[str, str]:
    """What a run that left no parquet file said of itself when it began."""
    try:
        metadata: Any = json.loads((folder / "summary.json").read_text(encoding="utf-8"))["metadata"]
        return {str(name): str(value) for name, value in metadata.items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return {}
