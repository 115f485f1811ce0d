"""What a run, its folder and its file are called."""

from __future__ import annotations

import io
import os
import re
import shlex
import sys
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from bon_hydra.schema import Config, OutputConfig

CONTROL = {code: f"\\x{code:02x}" for code in (*range(32), *range(127, 160)) if chr(code) not in "\n\t"}
"""What a terminal would take for a command is shown as its code."""
LOCAL_DIR = "outputs"
"""Where runs work whose `output.dir` is a URL."""
GROUPS = ("dataset", "prompt", "model", "sampling", "output", "runner", "experiment")


def safe(text: Any) -> str:
    """A text as one part of a path: characters that are unsafe there become `-`."""
    return re.sub(r"[^\w.,=+-]+", "-", str(text)).strip("-.")[:80] or "run"


def is_url(text: str) -> bool:
    """Whether a file or folder is named by a URL, which something must be fetched from or put to."""
    return "://" in text


def local_dir(output: OutputConfig) -> Path:
    """Where runs work: `output.dir`, or where that is a URL, the local folder that the store is in."""
    if not is_url(output.dir):
        return Path(output.dir)
    return Path(output.store).parent if output.store else Path(LOCAL_DIR).absolute()


def dotted(content: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """A configuration's keys with their dots, and their values; a list is a value, and so is a map without keys."""
    for name, value in content.items():
        if isinstance(value, Mapping) and value:
            yield from dotted(value, f"{before}{name}.")
        else:
            yield f"{before}{name}", value


def dated_folder(folder: str, name: str | None) -> str:
    """`<folder>/2026-11-23/14-05-33_<name>`, of this moment; a URL's runs work in the local `outputs`."""
    now = datetime.now()
    folder = LOCAL_DIR if is_url(folder) else folder
    return f"{folder}/{now:%Y-%m-%d}/{now:%H-%M-%S}_{safe(name)}"


def experiment_name(config: Config, overrides: Sequence[str], config_name: str, has_experiment: bool) -> str:
    """The name a run was given, else the one after -cn, else quickstart or custom."""
    if config.experiment_name:
        return config.experiment_name
    if config_name != "config":
        return config_name.removesuffix(".yaml")
    keys = override_keys(overrides)
    own = has_experiment or any(key in GROUPS or key.startswith(("dataset.", "model.")) for key in keys)
    return "custom" if own else "quickstart"


def override_keys(overrides: Sequence[str]) -> list[str]:
    """The keys that `key=value`, `+key=value` or `group=option` speak of."""
    return [override.partition("=")[0].lstrip("+~").partition("@")[0] for override in overrides]


def parquet_path(config: Config, folder: Path) -> Path:
    """Where a run writes its file: `output.file` with its names filled in, in `folder` unless it is a path itself."""
    values = {
        "experiment": config.experiment_name,
        "model": config.model.name,
        "num_candidates": config.num_candidates,
        "temperature": "default" if config.temperature is None else f"{config.temperature:g}",
    }
    name = config.output.file
    for key, value in values.items():
        name = name.replace("{" + key + "}", safe(value))
    return folder / name


def dataset_name(config: Config) -> str:
    """What a run reads, as runs whose answers may be alike have it."""
    return "/".join(filter(None, [config.dataset.path, config.dataset.name, str(config.dataset.data_files or "")]))


def store_file(config: Config, folder: Path) -> Path:
    """Where a run's candidate store is: `output.store`, or a private one in its folder."""
    return Path(config.output.store) if config.output.store else folder / "store.sqlite"


def shown_path(path: Path) -> str:
    """A path as one would type it here, quoted for a shell."""
    relative = os.path.relpath(path)
    return shlex.quote(str(path) if relative.startswith("..") else relative)


def clean(text: str) -> str:
    """A text of others that is safe to print: no escape sequences."""
    return text.translate(CONTROL)


def printable(text: str) -> str:
    """A text that may hold anything, as one line that does nothing to a terminal."""
    return "".join(character if character.isprintable() else ascii(character)[1:-1] for character in text)


def print_anything() -> None:
    """From here on, what an output's encoding lacks is printed as its code; it would end the program otherwise."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
