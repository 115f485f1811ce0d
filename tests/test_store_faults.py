"""A store on a full disk, in a read-only place, on a network, or damaged in mid-use: told, and left as it is."""

from __future__ import annotations

import asyncio
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import pytest
from app import environment
from stores import PROJECT, assert_whole, get, key, keys, mounting, put, stored

from bon_hydra.schema import ConfigError
from bon_hydra.store import CandidateStore, StoreFailed
from bon_hydra.store import file as store_file
from bon_hydra.store.file import network_mount
from bon_hydra.store.transactions import Transactions

FULL = """
import asyncio, os, subprocess, sys
from datetime import UTC, datetime
from pathlib import Path
from bon_hydra.store import CandidateStore, Stored, StoreFailed

folder, real = Path(sys.argv[1]), sys.argv[2] == "real"

def put(store, number):
    new = Stored(os.urandom(4000), 0, None, "run", datetime.now(UTC), 0.5, 1, None)
    kept[number] = asyncio.run(store.put([number.to_bytes(16, "big")], new, "i", "m"))[0]

def assert_all_there(store):
    assert asyncio.run(store.get([number.to_bytes(16, "big") for number in kept])) == list(kept.values())

kept = {}
if real:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", folder], check=True)
filler = folder / "filler"
filler.write_bytes(bytes(3_000_000))
with CandidateStore(folder / "s", "run") as store:
    if not real:
        store._connection.execute("PRAGMA max_page_count = 500")
    for _ in range(2):  # it goes on failing, and breaks nothing by it
        try:
            for number in range(len(kept), 2000):
                put(store, number)
        except StoreFailed as error:
            print(error)
        assert_all_there(store)
    filler.unlink()
    if not real:
        store._connection.execute("PRAGMA max_page_count = 1000")
    before = len(kept)
    for number in range(before, before + 50):
        put(store, number)
    assert_all_there(store)
with CandidateStore(folder / "s") as store:
    assert_all_there(store)
    assert store._connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
print("kept", before > 50)
"""


def run_python(program: str, *arguments: object, prefix: list[str] | None = None) -> str:
    """What a program prints that runs in a process of its own, or in a name space where it may mount."""
    done = subprocess.run(
        [*(prefix or []), sys.executable, "-c", program, *map(str, arguments)],
        env=environment(PYTHONPATH=PROJECT),
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_on_a_full_disk_what_was_acknowledged_is_kept_and_with_room_it_goes_on(tmp_path: Path) -> None:
    """A small disk of its own where one may be mounted, else a bound on the file's pages."""
    told = run_python(FULL, tmp_path, "real" if mounting() else "bound", prefix=mounting()).splitlines()
    assert told[-1] == "kept True"
    assert len(told) == 3
    for line in told[:2]:
        assert line.startswith("output.store: ")
        assert "the disk is full. Free some space, then resume. What was committed is kept." in line


READ_ONLY = """
import os, subprocess, sys
from pathlib import Path
from bon_hydra.schema import ConfigError
from bon_hydra.store import CandidateStore

path = Path(sys.argv[1])
if sys.argv[2] == "real":
    subprocess.run(["mount", "--bind", path.parent, path.parent], check=True)
    subprocess.run(["mount", "-o", "remount,ro,bind", path.parent], check=True)
else:
    path.chmod(0o400)
    path.parent.chmod(0o500)
for run_id in (None, "run"):
    try:
        CandidateStore(path, run_id)
    except ConfigError as error:
        print(error)
"""


def test_a_read_only_file_is_refused_and_left_as_it_is(tmp_path: Path) -> None:
    """On a read-only mount where one may be made, else by its mode."""
    path = tmp_path / "folder" / "s"
    with CandidateStore(path) as store:
        put(store, keys(3), stored())
    before = path.read_bytes()
    try:
        # Root may write what its mode forbids, but for one that has let go of that right.
        as_root = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
        told = run_python(READ_ONLY, path, "real" if mounting() else "mode", prefix=mounting() or as_root).splitlines()
    finally:
        path.parent.chmod(0o700)
        path.chmod(0o600)
    assert len(told) == 2
    for line in told:
        assert line.startswith(f"output.store: {path} can't be used as the candidate store (")
        assert line.endswith("It was left as it is.")
    assert path.read_bytes() == before
    assert list(path.parent.iterdir()) == [path]


def filled(path: Path) -> list[bytes]:
    """A store of 300 answers that do not compress, all moved into the file itself; its keys."""
    with CandidateStore(path) as store:
        for number in range(300):
            put(store, [key(number)], stored(os.urandom(3000)))
    return keys(300)


def overwrite(path: Path, at: int, data: bytes) -> None:
    with path.open("r+b") as file:
        file.seek(at)
        file.write(data)


def test_pages_damaged_in_mid_use_are_told_and_not_mended(tmp_path: Path) -> None:
    """Reading it fails for everybody who waits; nothing is written over the damage, at the end neither."""
    path = tmp_path / "s"
    wanted = filled(path)
    size = path.stat().st_size
    with CandidateStore(path) as store:
        garbage = b"\xa5" * (size // 2 // 4096 * 4096)
        overwrite(path, size // 4 // 4096 * 4096, garbage)
        with pytest.raises(StoreFailed, match=r"it is damaged .*It was left as it is; bring back a copy"):
            get(store, wanted)
        with pytest.raises(StoreFailed):
            get(store, wanted)
    assert garbage in path.read_bytes()


def test_an_answer_whose_bytes_changed_on_disk_is_not_handed_out(tmp_path: Path) -> None:
    """Each body has a checksum of its own, since SQLite keeps none: one flipped bit is damage, not an answer."""
    path = tmp_path / "s"
    body = os.urandom(3000)
    with CandidateStore(path) as store:
        put(store, [key(1)], stored(body))
        put(store, [key(2)], stored(b"whole"))
    at = path.read_bytes().index(body[:1000]) + 500
    overwrite(path, at, bytes([body[500] ^ 1]))
    with CandidateStore(path) as store:
        with pytest.raises(StoreFailed, match="damaged"):
            get(store, [key(1)])
        (found,) = get(store, [key(2)])
        assert found is not None
        assert found.body == b"whole"


def test_a_store_that_another_process_holds_for_too_long_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At opening, and in mid-use; when it is let go, it goes on."""
    monkeypatch.setattr(store_file, "BUSY_S", 0.05)
    path = tmp_path / "s"
    with CandidateStore(path) as store:
        put(store, [key(0)], stored())
        holder = sqlite3.connect(path, isolation_level=None)
        holder.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreFailed, match="another process has held it"):
            put(store, [key(1)], stored())
        with pytest.raises(ConfigError, match=r"^output\.store: .*locked"):
            CandidateStore(path, "run")
        holder.close()
        put(store, [key(1)], stored())
        assert asyncio.run(store.count(keys(2))) == 2
    assert_whole(path)


def test_no_cursor_leaves_the_thread_that_alone_touches_the_file(tmp_path: Path) -> None:
    """Freed elsewhere it would reset a statement in use there, and once in many thousand calls one would fail."""
    connection = sqlite3.connect(tmp_path / "s", isolation_level=None, check_same_thread=False)
    transactions = Transactions(tmp_path / "s", connection, lambda: None)

    async def main() -> None:
        assert await transactions.do(lambda: connection.execute("CREATE TABLE t (a)"), True) is None
        assert await transactions.do(lambda: connection.executemany("INSERT INTO t VALUES (?)", [(1,)]), True) is None
        assert await transactions.do(lambda: connection.execute("SELECT a FROM t").fetchall()) == [(1,)]

    asyncio.run(main())
    transactions.close()
    connection.close()


MOUNTS = """\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
30 22 0:40 / /home rw,relatime shared:2 - nfs4 server:/home rw,vers=4.2
31 30 254:1 / /home/me/scratch rw - xfs /dev/vdb rw
32 22 0:41 / /mnt/with\\040space rw - cifs //server/share rw
33 22 0:42 / /work rw shared:3 master:4 - fuse.sshfs me@host: rw
34 22 0:43 / /twice rw - ext4 /dev/vdc rw
35 22 0:44 / /twice rw - ceph host:/ rw
36 22 0:45 / /portal rw - fuse.portal portal rw
37 22 0:46 / /shm rw - tmpfs tmpfs rw
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/var/store.sqlite", None),
        ("/home/me/store.sqlite", "nfs4"),
        ("/home/me/scratch/deep/store.sqlite", None),
        ("/homes/store.sqlite", None),
        ("/mnt/with space/store.sqlite", "cifs"),
        ("/mnt/without/store.sqlite", None),
        ("/work/store.sqlite", "fuse.sshfs"),
        ("/twice/store.sqlite", "ceph"),
        ("/portal/store.sqlite", None),
        ("/shm/store.sqlite", None),
    ],
)
def test_the_file_system_of_a_path_is_that_of_the_mount_nearest_to_it(
    tmp_path: Path, path: str, kind: str | None
) -> None:
    """A local disk below a network's is local, and of two mounts on one point the later counts."""
    mounts = tmp_path / "mountinfo"
    mounts.write_text(MOUNTS)
    assert network_mount(Path(path), mounts) == kind


def test_where_the_system_names_no_mounts_a_path_counts_as_local(tmp_path: Path) -> None:
    """As on macOS."""
    assert network_mount(Path("/home/me/store.sqlite"), tmp_path / "none") is None


def test_a_store_on_a_network_file_system_is_refused_before_it_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In one line that says what to do."""
    monkeypatch.setattr(store_file, "network_mount", lambda _: "nfs4")
    with pytest.raises(ConfigError, match=r"^output\.store: .* network file system \(nfs4\).* Name a file on a local"):
        CandidateStore(tmp_path / "folder" / "s")
    assert list(tmp_path.iterdir()) == []
