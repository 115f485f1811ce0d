"""CPU of what needs no run, beside a bare Hydra app in the same round.  python benchmarks/startup.py [--short]

A round starts each command once, in turn; the figures are medians over rounds, CPU of user and system together.
"""

from __future__ import annotations

import os
import resource
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
WANTED = 1.3
COMPLETION = "bon-hydra dataset="


def cpu_seconds(command: list[str], folder: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    env = os.environ | {"COMP_LINE": COMPLETION}
    subprocess.run(command, cwd=folder, env=env, stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        bare = Path(folder) / "bare.py"
        bare.write_text(BARE)
        ours = [sys.executable, "-m", "bon_hydra"]
        commands = {
            "a bare Hydra app, `--help`": [sys.executable, str(bare), "--help"],
            "a bare Hydra app, `--cfg job`": [sys.executable, str(bare), "--cfg", "job"],
            "`python -m bon_hydra --help`": [*ours, "--help"],
            "`python -m bon_hydra --cfg job`": [*ours, "--cfg", "job"],
            "completion of `dataset=`": [*ours, "-sc", "query=bash"],
            "`bon --help`": [str(Path(sys.executable).parent / "bon"), "--help"],
        }
        seconds: dict[str, list[float]] = {name: [] for name in commands}
        for command in commands.values():
            cpu_seconds(command, folder)  # once for the caches
        for _ in range(rounds):
            for name, command in commands.items():
                seconds[name].append(cpu_seconds(command, folder))
    first = next(iter(seconds))
    print("| command | CPU ms | times the first |\n|---|---|---|")
    for name, values in seconds.items():
        ratio = statistics.median(value / base for value, base in zip(values, seconds[first], strict=True))
        print(f"| {name} | {1000 * statistics.median(values):.0f} | {ratio:.2f} |")
    print(f"\nWanted: --help and --cfg job at most {WANTED} times a bare Hydra app. {rounds} rounds.")


if __name__ == "__main__":
    main(5 if "--short" in sys.argv else 25)
