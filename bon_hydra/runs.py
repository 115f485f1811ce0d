"""Finding runs on disk and reading their parquet files, whole columns or bit by bit.

A run is its parquet file; folders, sweeps and globs stand for the files in them. Files of the seed's system,
which had only its own columns and metadata, are read too. This module does not know what the numbers mean.
"""

from __future__ import annotations

import glob
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bon_hydra.names import is_url
from bon_hydra.records import SCHEMA_VERSION
from bon_hydra.running import is_running
from bon_hydra.schema import ConfigError

if TYPE_CHECKING:
    import pyarrow as pa
    import pyarrow.parquet as pq

SWEEP_TABLE = "sweep.parquet"
"""A sweep folder's own table, which is not a run."""
SWEEP_RECORD = "sweep.json"
"""What makes a folder a sweep's."""

REQUIRED = ("query_id", "split", "candidate_idx", "is_verified")
"""The columns without which a file is not one of ours, nor of the seed's system."""

TYPES = {"query_id": "string", "split": "string", "candidate_idx": "int32", "is_verified": "bool"}
"""What those are read as; other systems keep them as whole numbers, categories or floating point too."""

BATCH_ROWS = 65_536
"""Rows read at once of columns that hold numbers and short texts."""
FEW_ROWS = 256
"""Rows read at once where whole answers are read."""


def find_runs(specs: Sequence[str]) -> list[Path]:
    """The parquet files that `specs` stand for, each once, in the order given.

    A spec is a run folder, a parquet file, a glob of either, or a folder of run folders such as a sweep.
    Raises ConfigError where one of them stands for no run.
    """
    found: dict[str, Path] = {}
    for spec in specs:
        for path in _runs_of(spec):
            found.setdefault(os.path.realpath(path), path)
    return list(found.values())


def sweep_folder(spec: str) -> Path | None:
    """The folder of the sweep that `spec` names (the folder, its record or its table), None where it names none."""
    path = Path(spec).expanduser()
    if path.name in (SWEEP_TABLE, SWEEP_RECORD):
        path = path.parent
    return Path(os.path.realpath(path)) if (path / SWEEP_RECORD).is_file() else None


def run_folder(spec: str) -> Path:
    """The folder of the one run that `spec` stands for: the folder itself, or a parquet file in it.

    Raises ConfigError where there is none, or more than one.
    """
    path = Path(spec).expanduser()
    matches = [path] if path.exists() else [Path(match) for match in sorted(glob.glob(str(path)))]  # noqa: PTH207
    folders = {os.path.realpath(match if match.is_dir() else match.parent): match for match in matches}
    runs = [Path(folder) for folder in folders if (Path(folder) / "resolved.yaml").is_file()]
    if len(runs) == 1:
        return runs[0]
    if runs:
        raise ConfigError(f"{spec}: {len(runs)} runs, wanted one: {runs[0]}, {runs[1]}, …; name one of them")
    raise ConfigError(
        f"{spec}: no run folder (one holds a resolved.yaml), wanted one such as outputs/2026-11-23/14-05-33_name"
    )


def find_run(spec: str) -> Path:
    """The one parquet file that `spec` stands for. Raises ConfigError where it is none, or several."""
    paths = find_runs([spec])
    if len(paths) > 1:
        if sweep_folder(spec):
            names = ", ".join(path.parent.name for path in paths)
            raise ConfigError(f"{spec}: a sweep, wanted one of its runs: {spec}/NAME, NAME one of {names}")
        raise ConfigError(f"{spec}: {len(paths)} runs, wanted one: {paths[0]}, {paths[1]}, …; name one of them")
    return paths[0]


def _runs_of(spec: str) -> list[Path]:
    if is_url(spec):
        from bon_hydra.publishing import fetched

        return fetched(spec)
    path = Path(spec).expanduser()
    if path.is_dir():
        runs = _parquets(path) or _runs_below(path)
        if not runs:
            raise ConfigError(f"{spec}: {_why_no_run(path)}")
        return runs
    if path.exists():
        folder = sweep_folder(spec)
        return [path] if folder is None or path.is_dir() else _runs_of(str(folder))
    if path.is_symlink():
        raise ConfigError(f"{spec}: a link to {path.readlink()}, which is not there any more")
    matches = [Path(match) for match in sorted(glob.glob(str(path), recursive=True))]  # noqa: PTH207 (absolute or not)
    runs = [run for match in matches for run in _runs_of_match(match)]
    if runs:
        return runs
    if matches:
        raise ConfigError(f"{spec}: none of the {len(matches)} paths it matches is a run (a run has a parquet file)")
    raise ConfigError(f"{spec}: no such run, wanted a run folder, a parquet file, or a glob of either")


def _runs_of_match(match: Path) -> list[Path]:
    if match.is_dir():
        return _parquets(match) or _runs_below(match)
    return [match] if match.suffix == ".parquet" and match.name != SWEEP_TABLE else []


def _parquets(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.parquet") if path.name != SWEEP_TABLE)


def _runs_below(folder: Path) -> list[Path]:
    below = sorted((path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()), key=_by_number)
    return [run for path in below for run in _parquets(path)]


def _by_number(path: Path) -> tuple[int, str]:
    """A sweep's jobs in their order: `2_…` before `10_…`."""
    number = path.name.partition("_")[0]
    return (int(number) if number.isdecimal() else 0), path.name


def _why_no_run(folder: Path) -> str:
    if any(folder.glob("*.parquet.part")) or (folder / "resolved.yaml").exists():
        if is_running(folder):
            return "this run is at work; its parquet file is there when it ends"
        return f"this run ended before its parquet file was written; it goes on by: bon resume {folder}"
    return "no run in this folder, wanted a run folder such as outputs/2026-11-23/14-05-33_name, or a glob of them"


def open_run(path: Path) -> pq.ParquetFile:
    """The file, found to be a run of ours that this version can read.

    Raises ConfigError, in one line, for what is not there, not parquet, cut off, not a run, or newer.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        file = pq.ParquetFile(path)
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file") from None
    except PermissionError:
        raise ConfigError(f"{path}: may not be read by this user") from None
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: {_why_unreadable(path, error)}") from None
    missing = [name for name in REQUIRED if name not in file.schema_arrow.names]
    if missing:
        raise ConfigError(f"{path}: not a run: a parquet file that lacks {', '.join(missing)}")
    for name in ("candidate_idx", "is_verified"):
        kind = file.schema_arrow.field(name).type
        if not (pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_floating(kind)):
            raise ConfigError(f"{path}: not a run: its {name} is {kind}, wanted {TYPES[name]}")
    version = _texts(file.metadata.metadata).get("schema_version", "0")
    if not version.isdecimal() or int(version) > SCHEMA_VERSION:
        wanted = f"this bon_hydra reads up to {SCHEMA_VERSION}: upgrade it"
        raise ConfigError(f"{path}: written by a newer version (schema_version {version}); {wanted}")
    return file


def _why_unreadable(path: Path, error: Exception) -> str:
    if path.is_dir():
        return "a folder, wanted a parquet file"
    with path.open("rb") as file:
        head = file.read(4)
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - 4))
        tail = file.read(4)
    if size == 0:
        return "an empty file, wanted a parquet file"
    if head != b"PAR1":
        return "not a parquet file"
    if tail != b"PAR1":
        return f"a truncated parquet file: it ends after {size} bytes without a footer; copy it again, or: bon resume"
    return f"a damaged parquet file ({str(error).splitlines()[0]})"


def _texts(metadata: dict[bytes, bytes] | None) -> dict[str, str]:
    pairs = {key.decode(errors="replace"): value.decode(errors="replace") for key, value in (metadata or {}).items()}
    return {key: value for key, value in pairs.items() if key not in ("ARROW:schema", "pandas")}


def read_metadata(path: Path) -> dict[str, str]:
    """The file's metadata as texts, without what pandas and Arrow keep there for themselves."""
    with open_run(path) as file:
        return _texts(file.metadata.metadata)


def read_footer(path: Path) -> dict[str, str]:
    """The same without a look at the columns or the version, for lists of many files, whatever they are."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return _texts(pq.read_metadata(path).metadata)
    except PermissionError:
        raise ConfigError(f"{path}: may not be read by this user") from None
    except (pa.ArrowException, OSError) as error:
        raise ConfigError(f"{path}: {_why_unreadable(path, error)}") from None


def json_object(text: str | None) -> dict[str, Any]:
    """What a piece of metadata holds as JSON; empty where it holds no object, since anybody may have written it."""
    try:
        value = json.loads(text or "{}")
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def column_names(path: Path) -> list[str]:
    """The columns that the file has."""
    with open_run(path) as file:
        return list(file.schema_arrow.names)


def count_rows(path: Path) -> int:
    """How many candidates the file has, from its footer alone."""
    with open_run(path) as file:
        return int(file.metadata.num_rows)


def read_columns(path: Path, columns: Sequence[str]) -> pa.Table:
    """Those of `columns` that the file has, whole; the others stay unread."""
    with _opened(path) as file:
        return _as_ours(file.read(columns=_present(file, columns)))


def read_batches(path: Path, columns: Sequence[str], few: bool = False) -> Iterator[pa.RecordBatch]:
    """The same, some ten thousand rows at a time, so that a file of any size can be read; `few` for long texts."""
    with _opened(path) as file:
        for batch in file.iter_batches(FEW_ROWS if few else BATCH_ROWS, columns=_present(file, columns)):
            yield _as_ours(batch)


def read_rows(path: Path, columns: Sequence[str], positions: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The rows at `positions` (ascending, from 0) as dictionaries; row groups that hold none of them stay unread."""
    wanted = np.asarray(positions, np.int64)
    with _opened(path) as file:
        first = 0
        for group in range(file.num_row_groups):
            end = first + file.metadata.row_group(group).num_rows
            if not ((wanted >= first) & (wanted < end)).any():
                first = end
                continue
            for batch in file.iter_batches(FEW_ROWS, row_groups=[group], columns=_present(file, columns)):
                here = wanted[(wanted >= first) & (wanted < first + len(batch))] - first
                if len(here):
                    yield from _as_ours(batch.take(here)).to_pylist()
                first += len(batch)


def read_groups(path: Path) -> Iterator[list[dict[str, Any]]]:
    """All rows as dictionaries, a row group at a time; a query's candidates stand in one group."""
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            yield file.read_row_group(group).to_pylist()


@dataclass(frozen=True)
class Rows:
    """A query's candidates."""

    split: str
    query_id: str
    table: pa.Table
    nbytes: int
    """About what they take, by the mean of the rows around them."""


def read_queries(path: Path) -> Iterator[Rows]:
    """Every query's rows in the file's order, whole; memory holds one row group."""
    with _opened(path) as file:
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            names = [table.column(name).to_numpy() for name in ("split", "query_id")]
            changes = np.flatnonzero((names[0][1:] != names[0][:-1]) | (names[1][1:] != names[1][:-1])) + 1
            each = table.nbytes // max(1, table.num_rows)
            for start, end in pairwise([0, *changes.tolist(), table.num_rows] if table.num_rows else []):
                yield Rows(names[0][start], names[1][start], table.slice(start, end - start), each * (end - start))


def _as_ours(rows: Any) -> Any:
    """A table or batch with the types of ours in the columns that other systems keep otherwise."""
    for at, name in enumerate(rows.schema.names):
        if (wanted := TYPES.get(name)) and str(rows.schema.types[at]) != wanted:
            rows = rows.set_column(at, name, rows.column(at).cast(wanted))
    return rows


def _present(file: pq.ParquetFile, columns: Sequence[str]) -> list[str]:
    return [name for name in columns if name in file.schema_arrow.names]


@contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """The file while it is read; what turns out to be damaged is a ConfigError too."""
    import pyarrow as pa

    with open_run(path) as file:
        try:
            yield file
        except (pa.ArrowException, OSError) as error:
            raise ConfigError(f"{path}: {_why_unreadable(path, error)}") from None
