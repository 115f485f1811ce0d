"""Which files hold a data set's splits: resolved by `datasets`, every mistake told as a ConfigError.

Knows names, folders and the Hub; reads no row.
"""

from __future__ import annotations

import glob
import hashlib
import math
import os
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bon_hydra.checks import nearest
from bon_hydra.queries import nemotron
from bon_hydra.schema import ConfigError, DatasetConfig

if TYPE_CHECKING:
    from datasets import DatasetBuilder

DEMO = Path(__file__).parent / "demo"
BUILDERS = ("json", "parquet", "csv", "text", "arrow")
"""Names that `dataset.path` may have with `dataset.data_files`; as in `datasets.load_dataset`."""
HASHED_WHOLE = 256 * 1024**2
"""Local files of together at most this many bytes are fingerprinted by their content."""
HASHED_TAIL = 64 * 1024
"""Of larger ones, this many bytes at the end (where Parquet keeps its statistics), beside name and size."""

# The Hub's client warns of each attempt; what came of them all is told by our own error.
os.environ.setdefault("HF_HUB_VERBOSITY", "error")


@dataclass(frozen=True)
class Source:
    """A data set whose files are known."""

    path: str
    """As in `dataset.path`; absolute where it is a local folder."""
    data_files: Any
    """As in `dataset.data_files`; absolute where it names local files by themselves."""
    revision: str
    """The Hub's commit, or a fingerprint of the local files."""
    builder: DatasetBuilder
    files: Mapping[str, tuple[str, ...]]
    """Paths or URLs by split; empty tuples where only `datasets` knows them."""

    @property
    def kind(self) -> str:
        """`json`, `parquet`, `csv`, or another name that `datasets` has for what reads the files."""
        return str(self.builder.name)

    def local_bytes(self) -> float:
        """How large its files are together; infinite where one of them is elsewhere."""
        paths = [Path(path) for split in self.files.values() for path in split]
        if not all(self.files.values()) or not all(path.is_file() for path in paths):
            return math.inf
        return sum(path.stat().st_size for path in paths)


def resolve(dataset: DatasetConfig, wanted: Sequence[str] | None) -> Source:
    """Find the data set and the files of its splits.

    `wanted` are the splits asked for; of a copy in Nemotron's layout without a README.md that says which file is
    which, they are found by their files' names.

    Raises:
        ConfigError: no such folder, file, data set, configuration or revision, or the Hub cannot be reached.
    """
    path = str(DEMO) if dataset.path == "demo" else dataset.path
    if path.startswith("~"):
        path = str(Path(path).expanduser())
    data_files = _check_paths(dataset, path)
    builder = _builder(dataset, path, data_files)
    splits = _splits(builder)
    if dataset.format == "nemotron" and dataset.data_files is None and _named_otherwise(splits, wanted):
        patterns = _nemotron_patterns(path, splits)
        if patterns:
            builder = _builder(dataset, path, patterns)
            splits = _splits(builder)
    shown = dataset.path if dataset.path == "demo" or not Path(path).is_dir() else _absolute(path)
    read = {split: names for split, names in splits.items() if split in (wanted or splits)} or splits
    return Source(shown, data_files, _revision(builder, read, path), builder, splits)


def _check_paths(dataset: DatasetConfig, path: str) -> Any:
    """`data_files` with local ones made absolute, all of them there."""
    got = f"got {dataset.path!r}"
    if path in BUILDERS:
        if not dataset.data_files:
            raise ConfigError(
                f"dataset.data_files: needs a file (or a list, or split: file), since dataset.path={path} says only "
                f"how to read it. Say dataset.data_files=FILE"
            )
        return _each(dataset.data_files, lambda name: _local_file(name, "."))
    if Path(path).is_file():
        reader = "json" if re.search(r"\.jsonl?(\.\w+)?$", path) else Path(path).suffix.lstrip(".") or "json"
        raise ConfigError(
            f"dataset.path: {got}, which is a file. Say dataset.path={reader} dataset.data_files={dataset.path}"
        )
    if Path(path).is_dir():
        if dataset.data_files:
            _each(dataset.data_files, lambda name: _local_file(name, path))
        return dataset.data_files
    if path.startswith(("/", "./", "../", "~")) or (path.count("/") > 1 and "://" not in path):
        raise ConfigError(f"dataset.path: {got}, and there is no such folder{_nearest_file(path)}")
    return dataset.data_files


def _each(data_files: Any, change: Callable[[str], str]) -> Any:
    if isinstance(data_files, str):
        return change(data_files)
    if isinstance(data_files, Mapping):
        return {str(split): _each(names, change) for split, names in data_files.items()}
    if isinstance(data_files, Sequence) and data_files:
        return [_each(name, change) for name in data_files]
    raise ConfigError(f"dataset.data_files: got {data_files!r}, wanted a path, a list of paths, or split: path(s)")


def _local_file(name: str, folder: str) -> str:
    if "://" in name:
        return name
    path = _absolute(Path(folder, Path(name).expanduser()))
    if Path(path).is_dir():
        raise ConfigError(f"dataset.data_files: {path} is a folder. Say dataset.path={name}, or name its files")
    if Path(path).exists():
        return glob.escape(path)
    if not glob.has_magic(name):
        raise ConfigError(f"dataset.data_files: got {name!r}, and there is no file {path}{_nearest_file(path)}")
    return path


def _absolute(path: str | Path) -> str:
    """Absolute without following links: the Hub's cache links names to blobs that have no ending."""
    return os.path.normpath(Path(path).absolute())


def _nearest_file(path: str) -> str:
    parent = Path(path).parent
    return nearest(Path(path).name, [p.name for p in parent.iterdir()]) if parent.is_dir() else ""


def _builder(dataset: DatasetConfig, path: str, data_files: Any) -> DatasetBuilder:
    import datasets
    from datasets import load_dataset_builder

    if path in BUILDERS:
        datasets.config.HF_UPDATE_DOWNLOAD_COUNTS = False  # reading a file of one's own asks nobody on the network
    try:
        builder = load_dataset_builder(path, name=dataset.name, data_files=data_files, revision=dataset.revision)
    except Exception as error:
        raise _mistake(dataset, path, error) from error
    for split, found in (builder.config.data_files or {}).items():
        if not found:
            got = f"got {dataset.data_files!r}"
            raise ConfigError(f"dataset.data_files: {got}, and split {str(split)!r} has no such file")
    return builder


def _mistake(dataset: DatasetConfig, path: str, error: Exception) -> ConfigError:
    """What `datasets` raised, as one message for the user; its exceptions' types and texts are those of datasets 5."""
    first = str(error).strip().partition("\n")[0].rstrip(".")[:300]
    names = {type(e).__name__ for e in _chain(error)}
    local = Path(path).is_dir()
    if configs := re.search(r"available configs: \[(.*)\]|Available: \[(.*)\]", str(error)):
        known = re.findall(r"'([^']+)'", configs[0])
        got = f"got {dataset.name!r}, wanted" if dataset.name else "needs a value:"
        return ConfigError(f"dataset.name: {got} one of {', '.join(known)}{nearest(dataset.name or '', known)}")
    if "Revision" in first:
        return ConfigError(
            f"dataset.revision: got {dataset.revision!r}, and {dataset.path} has no such commit, branch or tag"
        )
    if "scripts are no longer supported" in first:
        return ConfigError(
            f"dataset.path: {dataset.path} is loaded by a script, which is not run. Its converted files may be there: "
            f"dataset.revision=refs/convert/parquet"
        )
    if dataset.data_files and ("Unable to find" in first or "DataFilesNotFoundError" in names):
        missing = re.search(r"Unable to find '([^']+)'", str(error))
        file = missing[1] if missing else f"of that name in {path}"
        return ConfigError(f"dataset.data_files: got {dataset.data_files!r}, and there is no data file {file}")
    if names & {"DataFilesNotFoundError", "EmptyDatasetError"}:
        return ConfigError(
            f"dataset.path: {dataset.path} holds no data files that can be read (.parquet, .jsonl, .json, .csv, .txt)"
        )
    if names & {"DatasetNotFoundError", "RepositoryNotFoundError", "GatedRepoError"}:
        return ConfigError(
            f"dataset.path: got {dataset.path!r}, which is no folder here, and no data set on the Hub that you may "
            f"read ({first}). Private and gated ones need a login: hf auth login, or HF_TOKEN in the environment"
        )
    if not local and names & UNREACHABLE:
        reason = "HF_HUB_OFFLINE is set" if "OfflineModeIsEnabled" in names or "OfflineMode" in first else first
        return ConfigError(
            f"dataset.path: got {dataset.path!r}, which is no folder here, and the Hub cannot be asked for it "
            f"({reason}). A local copy is read by dataset.path=FOLDER; dataset=demo needs no network"
        )
    return ConfigError(f"dataset.path: {dataset.path!r} cannot be opened: {first} ({type(error).__name__})")


UNREACHABLE = {
    "ConnectionError", "OfflineModeIsEnabled", "ConnectError", "ConnectTimeout", "ReadTimeout", "TimeoutException",
    "LocalEntryNotFoundError", "MaxRetryError", "ProxyError", "gaierror",
}  # fmt: skip


def _chain(error: BaseException | None) -> list[BaseException]:
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return found


def _splits(builder: DatasetBuilder) -> dict[str, tuple[str, ...]]:
    if builder.config.data_files:
        return {str(split): tuple(map(str, files)) for split, files in builder.config.data_files.items()}
    return {str(split): () for split in builder.info.splits or {}}


def _named_otherwise(splits: Mapping[str, Any], wanted: Sequence[str] | None) -> bool:
    known = set(nemotron.VERIFIER)
    return any(split in known and split not in splits for split in wanted) if wanted else not known.issuperset(splits)


def _nemotron_patterns(path: str, splits: Mapping[str, tuple[str, ...]]) -> dict[str, str]:
    """The layout's patterns that match a file; empty where the files are not laid out so."""
    files = [name for names in splits.values() for name in names]
    if not Path(path).is_dir():
        return {}
    return {
        split: pattern
        for split, pattern in nemotron.FILES.items()
        if any(f"/data/{Path(pattern).name.rstrip('*')}" in name for name in files)
    }


def _revision(builder: DatasetBuilder, splits: Mapping[str, tuple[str, ...]], path: str) -> str:
    files = sorted({name for names in splits.values() for name in names})
    commits = {found[1] for name in files if (found := re.match(r"hf://datasets/[^@]+@([^/]+)/", name))}
    if commits:
        return ",".join(sorted(commits))
    if files and all("://" not in name for name in files):
        parents = [str(Path(name).parent) for name in files]
        return fingerprint(files, str(Path(path).resolve()) if Path(path).is_dir() else os.path.commonpath(parents))
    return str(builder.hash or "")


def fingerprint(files: Sequence[str], folder: str) -> str:
    """`sha256:…` of names (below the folder) and contents; `sha256-sizes:…` of names, sizes and ends of large ones."""
    sizes = [Path(name).stat().st_size for name in files]
    whole = sum(sizes) <= HASHED_WHOLE
    total = hashlib.sha256()
    for name, size in zip(files, sizes, strict=True):
        total.update(f"{os.path.relpath(name, folder)}\0{size}\0".encode())
        with Path(name).open("rb") as file:
            if not whole:
                file.seek(max(0, size - HASHED_TAIL))
            while piece := file.read(1 << 20):
                total.update(piece)
    return f"{'sha256' if whole else 'sha256-sizes'}:{total.hexdigest()}"
