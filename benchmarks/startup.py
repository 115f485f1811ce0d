"""CPU of what needs no run, beside a bare Hydra app in the same round.  python benchmarks/startup.py [--short]

A round starts each command once, in turn; the figures are medians over rounds, CPU of user and system together. So is
what a run takes until its first request is at the server, beside the imports that it cannot do without.
"""

from __future__ import annotations

import json
import os
import resource
import socket
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

BARE = """\
import hydra
@hydra.main(version_base="1.3", config_path=None)
def app(config): pass
app()
"""
MODELS = b'HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 21\r\n\r\n{"data":[{"id":"m"}]}'
IMPORTS = "import hydra, openai, datasets, pyarrow.parquet, aiohttp"
WANTED = 1.3
COMPLETION = "bon-hydra dataset="


def cpu_seconds(command: list[str] | None, folder: str) -> float:
    """Of a command; without one, of a run until its first request."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    if command is None:
        to_first_request(folder)
    else:
        env = os.environ | {"COMP_LINE": COMPLETION}
        subprocess.run(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def to_first_request(folder: str) -> None:
    """A run until its first chat request arrives; then it is killed."""
    rows = Path(folder) / "rows.jsonl"
    rows.write_text("".join(json.dumps({"question": f"{i}+1?", "answer": f"#### {i + 1}"}) + "\n" for i in range(64)))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        command = [
            sys.executable, "-m", "bon_hydra", "dataset=gsm8k", "dataset.path=json", f"dataset.data_files={rows}",
            "dataset.splits=[train]", "model=openai-compatible", "model.name=m",
            f"model.base_url=http://127.0.0.1:{listener.getsockname()[1]}/v1",
        ]  # fmt: skip
        with subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as run:
            while True:
                connection, _ = listener.accept()
                with connection:
                    asked = connection.recv(65536)
                    if b"/chat/completions" in asked:
                        break
                    listed = b'{"data":[{"id":"m"}]}'
                    connection.sendall(
                        b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(listed)
                    )
                    connection.sendall(listed)
            run.kill()


def main(rounds: int) -> None:
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # else what is installed is compiled, and this program is not
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        ours = [sys.executable, "-m", "bon_hydra"]
        commands: dict[str, list[str] | None] = {
            "a bare Hydra app, `--help`": [sys.executable, str(bare), "--help"],
            "a bare Hydra app, `--cfg job`": [sys.executable, str(bare), "--cfg", "job"],
            "`python -m bon_hydra --help`": [*ours, "--help"],
            "`python -m bon_hydra --cfg job`": [*ours, "--cfg", "job"],
            "completion of `dataset=`": [*ours, "-sc", "query=bash"],
            "`bon --help`": [str(Path(sys.executable).parent / "bon"), "--help"],
            "`bon ls`": [str(Path(sys.executable).parent / "bon"), "ls"],
            f"`{IMPORTS}`": [sys.executable, "-c", IMPORTS],
            "a run, from its command to its first request": None,
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for command in reversed(commands.values()):
            cpu_seconds(command, folder)  # once for the caches; the run leaves what `bon ls` lists
        for _ in range(rounds):
            for name, command in commands.items():
                seconds[name].append(cpu_seconds(command, folder))
    bare_help, *_, imports, _ = seconds
    print("| command | CPU ms | times a bare `--help` | times the imports |\n|---|---|---|---|")
    for name, values in seconds.items():
        of = [
            statistics.median(value / base for value, base in zip(values, seconds[other], strict=True))
            for other in (bare_help, imports)
        ]
        print(f"| {name} | {1000 * statistics.median(values):.0f} | {of[0]:.2f} | {of[1]:.2f} |")
    print(
        f"\nWanted: --help and completion at most {WANTED} times a bare Hydra app's --help, the first request at most "
        f"{WANTED} times the imports. {rounds} rounds."
    )


if __name__ == "__main__":
    main(1 if "--short" in sys.argv else 25)
