"""Whole runs started in one second from a shell: a folder each?  python benchmarks/reliability/folders.py [--short]

Against a counting server. Two rounds: each names its folder after the second it starts in; all are told the same name.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

import pyarrow.parquet as pq

SERVER = Path(__file__).parent.parent.parent / "tests" / "fake_api.py"
QUERIES, CANDIDATES = 3, 2
SHELL = 'count=$1; shift; for one in $(seq "$count"); do "$@" > /dev/null 2> err-$one & done; wait'


def main(count: int) -> None:
    with tempfile.TemporaryDirectory() as place:
        for name, more in {"as they come": [], "one name for all": ["hydra.run.dir=outputs/2026-11-23/same"]}.items():
            folder = Path(place, name.replace(" ", "-"))
            folder.mkdir()
            measure(name, folder, count, more)


def measure(name: str, folder: Path, count: int, more: list[str]) -> None:
    """Starts the runs, waits for all of them, and prints what they left."""
    rows = [{"question": f"What is {i}+2?", "answer": f"#### {i + 2}"} for i in range(QUERIES)]
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    port = folder / "port"
    server = subprocess.Popen([sys.executable, SERVER, "--port-file", port])
    try:
        while not port.exists():
            time.sleep(0.05)
        address = f"http://127.0.0.1:{port.read_text()}"
        asking = [
            *("dataset=gsm8k", "dataset.path=json", "dataset.data_files=data.jsonl", "dataset.splits=[train]"),
            *("model=openai-compatible", f"model.base_url={address}/v1", "model.name=fake-model"),
            *(f"num_candidates={CANDIDATES}", "runner.workers=1", *more),
        ]
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        began = time.monotonic()
        command = ["bash", "-c", SHELL, "-", str(count), sys.executable, "-m", "bon_hydra", *asking]
        subprocess.run(command, cwd=folder, env=os.environ | {"NO_PROXY": "*"}, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
        with urllib.request.urlopen(f"{address}/counters") as answer:
            counted = json.load(answer)
    finally:
        server.kill()
        server.wait()
    files = sorted((folder / "outputs").glob("2*/*/*.parquet"))
    tables = [pq.read_table(path, columns=["reused", "run_id"]) for path in files]
    begun = {pq.read_schema(path).metadata[b"started_at"].decode()[:19] for path in files}
    print(f"{name}: {count} runs started from one shell, {len({path.parent for path in files})} folders")
    print(f"  whole files                  {sum(len(table) == QUERIES * CANDIDATES for table in tables)}")
    print(f"  run ids                      {len({table['run_id'][0].as_py() for table in tables})}")
    print(f"  seconds in which they began  {len(begun)}")
    print(f"  candidates asked for         {counted['choices']} of {QUERIES * CANDIDATES}")
    print(f"  CPU                          {cpu / count:.1f} s a run, {time.monotonic() - began:.0f} s in all")
    for error in sorted(folder.glob("err-*")):
        if "Traceback" in error.read_text() or "bon_hydra:" in error.read_text():
            print(f"  {error.name}: {error.read_text().strip().splitlines()[-1]}")
    if len({path.parent for path in files}) != count or counted["choices"] != QUERIES * CANDIDATES:
        sys.exit("not every run has a folder and a file of its own, or a candidate was asked for twice")


if __name__ == "__main__":
    main(3 if "--short" in sys.argv else 50)
