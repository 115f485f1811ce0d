"""Running the program as a user does: whole processes in a folder of their own, and reading what they leave."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from warm import Started, command_line, run_warm

SECRET = "sk-test-3f9a77c1"
"""The API key of every test; it must be in no file that a run leaves."""


def environment(**extra: str) -> dict[str, str]:
    """This process's, without what would lead a test out of the machine or to somebody's key."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("OPENAI", "HF_", "HYDRA"))}
    return kept | {"OPENAI_API_KEY": SECRET, "HF_HUB_OFFLINE": "1", "NO_PROXY": "*", "COLUMNS": "200"} | extra


def run(cwd: Path, *arguments: str, module: str = "bon_hydra", **env: str) -> subprocess.CompletedProcess[str]:
    """`python -m bon_hydra …` (or another module, or a script by its path), to its end."""
    # A launcher's own worker processes end with a process that was started as such, and with no other.
    own_workers = any(argument.startswith("hydra/launcher=") for argument in arguments)
    if not own_workers and not any(name.startswith("HF_") for name in env):
        return run_warm(module, arguments, cwd, environment(**env), 900)
    command = command_line(module, arguments)
    return subprocess.run(
        command, cwd=cwd, env=environment(**env), capture_output=True, text=True, timeout=900, check=False
    )


def start(cwd: Path, *arguments: str, module: str = "bon_hydra") -> Started:
    """The same, running; in a session of its own, so that a signal meets it alone."""
    return Started(module, arguments, cwd, environment())


def start_afresh(cwd: Path, *arguments: str, module: str = "bon_hydra", **env: str) -> subprocess.Popen[str]:
    """The same, with a start-up of its own."""
    return subprocess.Popen(
        command_line(module, arguments),
        cwd=cwd,
        env=environment(**env),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def additions(folder: Path, count: int = 6) -> Path:
    """A JSONL file of GSM8K's columns: `What is 3+2?`, whose answer is 5, and so on."""
    rows = [{"question": f"What is {i}+2?", "answer": f"Adding them gives #### {i + 2}"} for i in range(count)]
    return jsonl(folder / "additions.jsonl", rows)


def jsonl(path: Path, rows: Iterable[Mapping[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


def sum_of(request: Any, _: int = 0) -> str:
    """The right answer to a query of `additions`."""
    return f"It is \\boxed{{{int(request.question.split('What is ')[1].split('+')[0]) + 2}}}."


def asking(url: str, data: Path, *more: str) -> list[str]:
    """The arguments that ask the server at `url` the queries of a file in GSM8K's columns."""
    return [
        "dataset=gsm8k",
        "dataset.path=json",
        f"dataset.data_files={data}",
        "dataset.splits=[train]",
        "model=openai-compatible",
        f"model.base_url={url}",
        "model.name=fake-model",
        "model.api_key_env=OPENAI_API_KEY",
        "model.choices_per_request=1",
        "runner.workers=1",
        *more,
    ]


def parquets(cwd: Path) -> list[Path]:
    """The runs' files below `outputs`, oldest first."""
    found = {path.resolve() for path in (cwd / "outputs").rglob("*.parquet")}
    return sorted(found, key=lambda path: path.stat().st_mtime_ns)


def rows_of(path: Path) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return rows


def metadata_of(path: Path) -> dict[str, str]:
    return {key.decode(): value.decode() for key, value in pq.read_schema(path).metadata.items()}
