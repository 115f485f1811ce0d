"""Shared storage behind a URL (`output.dir=s3://…`): finished runs are put there, and fetched from there to be read.

A run itself works in a local folder, since its store, its log and its links need a real file system. What is put there
is whole whenever it can be seen: object stores show an object when all of it has arrived, and elsewhere a name is given
at the end. The parquet file comes last, so a folder that has one has everything.
"""

from __future__ import annotations

import atexit
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from bon_hydra.names import LOCAL_DIR
from bon_hydra.schema import ConfigError

T = TypeVar("T")

OBJECT_STORES = frozenset({"s3", "s3a", "gs", "gcs", "abfs", "abfss", "az", "adl", "oss", "hf", "memory"})
"""They have no rename, and need none: an object is there whole or not at all."""
PACKAGES = {"s3": "pip install 'bon_hydra[s3]'", "s3a": "pip install 'bon_hydra[s3]'", "gs": "pip install gcsfs"}
CLAIM = "run_id"
"""A file in a published folder that says whose it is; made before all others, by whoever is first."""


def check(url: str) -> None:
    """Whether files can be put there, tried with one that is removed again.

    Raises:
        ConfigError: no package opens such URLs, nobody answers, or it is not allowed.
    """

    def tried(files: Any, path: str) -> None:
        _make(files, path)
        files.pipe_file(f"{path}/.writable", b"")
        files.rm_file(f"{path}/.writable")

    _opened(f"output.dir: {url} cannot be written", url, tried)


def publish(folder: Path, run_id: str, url: str) -> str:
    """Puts a run's folder below `url`, where it is below the local folder; the URL where it is now.

    `-1`, `-2` … follows its name where another run was there first. Repeated, it replaces its own.

    Raises:
        ConfigError: it cannot be put there.
    """
    below = folder.absolute().relative_to(_local_home(folder))

    def put(files: Any, root: str) -> str:
        place = _claimed(files, f"{root}/{below.as_posix()}", run_id)
        own = [path for path in sorted(folder.rglob("*")) if path.is_file() and not _is_left_out(path)]
        for path in sorted(own, key=lambda path: path.suffix == ".parquet"):
            _put(files, path, f"{place}/{path.relative_to(folder).as_posix()}")
        return url.rstrip("/") + place.removeprefix(root)

    return _opened(f"output.dir: {folder} cannot be put to {url}", url, put)


def put_file(local: Path, url: str) -> None:
    """Puts one file where none is yet.

    Raises:
        ConfigError: it cannot be put there, or something is there.
    """

    def put(files: Any, path: str) -> None:
        if files.exists(path):
            raise ConfigError(f"{url}: is there already; name another file, or remove it")
        _put(files, local, path)

    _opened(f"{url} cannot be written", url, put)


def fetched(url: str) -> list[Path]:
    """Local copies of the runs' files that a URL stands for: a file, a folder, or a glob of either.

    They go when the process ends.

    Raises:
        ConfigError: there are none, or they cannot be had.
    """

    def fetch(files: Any, path: str) -> list[Path]:
        found = [one for match in files.glob(path) for one in _files_of(files, match)]
        if not found:
            raise ConfigError(f"{url}: no run there, wanted a parquet file, a run's folder, or a glob of either")
        home = Path(tempfile.mkdtemp(prefix="bon-fetched-"))
        atexit.register(shutil.rmtree, home, ignore_errors=True)
        copies = []
        for number, one in enumerate(found):
            copies.append(home / f"{number}_{Path(one).parent.name}" / Path(one).name)
            copies[-1].parent.mkdir()
            files.get_file(one, str(copies[-1]))
        return copies

    return _opened(f"{url} cannot be read", url, fetch)


def _files_of(files: Any, match: str) -> list[str]:
    if match.endswith(".parquet"):
        return [match]
    return [str(file) for file in files.glob(f"{match.rstrip('/')}/*.parquet")]


def _opened(what: str, url: str, work: Callable[[Any, str], T]) -> T:
    import fsspec

    scheme = url.partition("://")[0]
    try:
        return work(*fsspec.core.url_to_fs(url))
    except ImportError as error:
        how = PACKAGES.get(scheme, f"{error}")
        raise ConfigError(f"{what}: {scheme}:// needs a package that is not installed ({how})") from error
    except ConfigError:
        raise
    except Exception as error:  # each storage has exceptions of its own
        first = str(error).strip().partition("\n")[0] or type(error).__name__
        raise ConfigError(f"{what} ({first})") from error


def _claimed(files: Any, wanted: str, run_id: str) -> str:
    number = 0
    while True:
        place = f"{wanted}-{number}" if number else wanted
        _make(files, place)
        try:
            files.pipe_file(f"{place}/{CLAIM}", run_id.encode(), mode="create")
            return place
        except FileExistsError:
            if files.cat_file(f"{place}/{CLAIM}") == run_id.encode():
                return place
            number += 1


def _has_objects(files: Any) -> bool:
    schemes = {files.protocol} if isinstance(files.protocol, str) else set(files.protocol)
    return bool(schemes & OBJECT_STORES)


def _make(files: Any, folder: str) -> None:
    """Makes a folder where there are any; an object store would make a bucket of it."""
    if not _has_objects(files):
        files.makedirs(folder, exist_ok=True)


def _put(files: Any, local: Path, path: str) -> None:
    if _has_objects(files):
        files.put_file(str(local), path)
        return
    _make(files, path.rpartition("/")[0])
    files.put_file(str(local), f"{path}.part")
    files.mv(f"{path}.part", path)


def _is_left_out(path: Path) -> bool:
    return path.name.endswith(".part") or ".sqlite" in path.name


def _local_home(folder: Path) -> Path:
    """The local `outputs` that the folder is in, dated folders between them."""
    found = next((parent for parent in folder.absolute().parents if parent.name == LOCAL_DIR), None)
    return found or folder.absolute().parent
