"""Two runs never share a folder, however they start."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from app import additions, asking, environment, metadata_of, parquets, rows_of, sum_of
from fake_api import FakeApi

CLAIMING = """
import os, sys
from pathlib import Path
from bon_hydra.launch import claim_folder
wanted, count = Path(sys.argv[1]), int(sys.argv[2])
gate, hold = os.pipe()
children = []
for _ in range(count):
    child = os.fork()
    if child == 0:
        os.close(hold)
        os.read(gate, 1)  # until the last one is there
        os.write(1, f"{claim_folder(wanted)}\\n".encode())
        os._exit(0)
    children.append(child)
os.close(hold)
for child in children:
    os.waitpid(child, 0)
"""


def test_fifty_processes_that_want_one_folder_at_once_get_fifty(tmp_path: Path) -> None:
    """The same name with a number after it, and `latest` points at one of them."""
    wanted = tmp_path / "outputs" / "2026-11-23" / "14-05-33_custom"
    command = [sys.executable, "-c", CLAIMING, str(wanted), "50"]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    names = {wanted.name, *(f"{wanted.name}-{number}" for number in range(1, 50))}
    assert sorted(done.stdout.split()) == sorted(str(wanted.with_name(name)) for name in names)
    assert {path.name for path in wanted.parent.iterdir()} == names
    assert (tmp_path / "outputs" / "latest").resolve().name in names
    assert [path.name for path in (tmp_path / "outputs").iterdir() if path.name.startswith(".")] == []


def test_runs_started_together_from_a_shell_have_each_a_folder_and_share_what_they_ask(tmp_path: Path) -> None:
    """Four that want the same second's folder: four whole files, and every candidate asked for once."""
    with FakeApi(reply=sum_of, latency=0.02) as api:
        arguments = asking(
            api.url, additions(tmp_path), "runner.workers=1", "hydra.run.dir=outputs/2026-11-23/14-05-33_custom"
        )
        loop = 'for i in 1 2 3 4; do "$@" & all="$all $!"; done; for one in $all; do wait $one || echo bad; done'
        command = ["bash", "-c", loop, "-", sys.executable, "-m", "bon_hydra", *arguments]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=280, check=False
        )
        assert "bad" not in done.stdout.split(), done.stderr
        assert api.choices == 24
    files = parquets(tmp_path)
    assert len({path.parent for path in files}) == len(files) == 4
    assert [len(rows_of(path)) for path in files] == [24] * 4
    assert len({metadata_of(path)["run_id"] for path in files}) == 4
    assert sum(not row["reused"] for path in files for row in rows_of(path)) == 24
    assert os.path.realpath(tmp_path / "outputs" / "latest") in {str(path.parent) for path in files}
