"""Where a run's content came from, as a stranger may be told: names, licences and settings, nothing of this machine."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped, unused-ignore]

LICENCES = {
    "demo": "apache-2.0",
    "nvidia/Nemotron-Post-Training-Dataset-v1": "cc-by-4.0",
    "openai/gsm8k": "mit",
    "openai/openai_humaneval": "mit",
    "evalplus/humanevalplus": "apache-2.0",
    "evalplus/mbppplus": "apache-2.0",
    "google-research-datasets/mbpp": "cc-by-4.0",
}
"""As the data sets' own cards have it."""

BUILDERS = ("json", "csv", "parquet", "text")
"""A `dataset.path` that names a kind of file; the files are in `dataset.data_files`."""

SHOWN = (
    "dataset",
    "prompt",
    "num_candidates",
    "temperature",
    "top_p",
    "max_tokens",
    "seed",
    "reasoning_effort",
    "stop",
)
"""What a run's configuration says of its content; the rest is about one machine, and stays in the run's own file."""


def configuration(metadata: Mapping[str, str]) -> dict[str, Any]:
    """What was asked, and how: the model's name, data set, prompt, sampling and notes, where they have a value."""
    config = _config(metadata)
    kept = {key: config.get(key) for key in SHOWN}
    for group in ("dataset", "prompt"):
        kept[group] = _filled(config.get(group) or {})
    if kept["dataset"]:
        kept["dataset"] |= {"path": dataset_name(metadata)}
        for key in ("data_files", "sources"):  # of this machine
            kept["dataset"].pop(key, None)
    return _filled({"model": metadata.get("model"), **kept, "notes": metadata.get("notes")})


def dataset_name(metadata: Mapping[str, str]) -> str:
    """The data set's name on the Hub; of a local folder or file the last part of its path."""
    path = metadata.get("dataset") or "a data set that is not named"
    files = (_config(metadata).get("dataset") or {}).get("data_files")
    if isinstance(files, dict):
        files = next(iter(files.values()), None)
    if isinstance(files, list):
        files = next(iter(files), None)
    if files and path in BUILDERS:
        path = str(files)
    return Path(path).name if path.startswith(("/", "~", ".")) else path


def licence(name: str, runs: Sequence[Mapping[str, str]]) -> str | None:
    """Of a known data set, or as a local folder's own card says it; None where neither does."""
    for metadata in runs:
        folder = Path(metadata.get("dataset") or "")
        if dataset_name(metadata) == name and folder.is_absolute() and (folder / "README.md").is_file():
            said = _front_matter(folder / "README.md").get("license")
            if isinstance(said, str):
                return said
    return LICENCES.get(name)


def _front_matter(card: Path) -> dict[str, Any]:
    parts = card.read_text(encoding="utf-8", errors="replace").split("---")
    return _mapping(parts[1]) if len(parts) > 2 else {}


def _config(metadata: Mapping[str, str]) -> dict[str, Any]:
    return _mapping(metadata.get("config_yaml") or "")


def _mapping(text: str) -> dict[str, Any]:
    try:
        content = yaml.safe_load(text)
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}


def _filled(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in values.items() if value not in (None, "", [], {})}
