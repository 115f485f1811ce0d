"""Programs that attack the sandbox (`tests/attacks`), each at both levels: none passes, none leaves anything behind.

A program returns a text with BREACH where something forbidden worked, and "held" where it did not.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bon_hydra.sandbox.outcome import Outcome
from bon_hydra.sandbox.pool import Sandboxes

ATTACKS = sorted((Path(__file__).parent / "attacks").glob("*.py"))
KEPT = Path(f"/var/tmp/bon_hydra-kept-{os.getpid()}")
"""A file that must stay as it is."""
PLACES = [Path(place) for place in ("/tmp", "/var/tmp", "/dev/shm", "/etc", "/home", str(Path.home()))]

FUNCTION = {
    "kind": "check",
    "setup": "import math",
    "test": "def check(candidate):\n    assert candidate(1) == 41\n    assert candidate(2) == 'k9-expected'\n",
    "entry_point": "f",
}
STDIO = {"kind": "stdio", "inputs": ["1\n", "2\n"], "outputs": ["k9-expected 1", "k9-expected 2"]}
HONEST = """
import math, os, random, tempfile
from typing import List

def f(x):
    assert len([1, 2]) == 2 and os.listdir(".") == [] and random.seed(1) is None
    with tempfile.NamedTemporaryFile("w", dir=".") as file:
        file.write("x")
    return 41 if x == 1 else "k9-expected"
"""
HONEST_STDIO = "print('k9-expected', input())"


class Level:
    """One worker at one level, and an event loop that it lives in."""

    def __init__(self, level: str) -> None:
        self.loop = asyncio.new_event_loop()
        self.sandboxes = Sandboxes(1, level, allow_unsafe=False, cpu_s=0.4, program_cpu_s=1.5, memory_mb=256)
        self.loop.run_until_complete(self.sandboxes.__aenter__())

    def judge(self, program: str, tests: dict[str, Any]) -> Outcome:
        """The outcome of one program."""
        return self.loop.run_until_complete(self.sandboxes.judge(program, tests))

    def close(self) -> None:
        """Ends worker and loop."""
        self.loop.run_until_complete(self.sandboxes.__aexit__(None, None, None))
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    def processes(self) -> int:
        """How many processes the worker consists of."""
        worker = self.sandboxes._slots[0].worker
        assert worker is not None
        return len(family(worker.pid))

    def scratch(self) -> list[Path]:
        """What lies in the worker's temporary folder."""
        worker = self.sandboxes._slots[0].worker
        assert worker is not None
        return list(Path(worker._scratch).iterdir()) if worker._scratch else []


def family(pid: int) -> list[int]:
    """The process and all its descendants."""
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text().rpartition(")")[2].split()
            children.setdefault(int(fields[1]), []).append(int(stat.parent.name))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


def traces() -> list[str]:
    """Files and sockets that an attack left on this machine."""
    files = [str(path) for place in PLACES for path in place.glob("bon_hydra-attack*")]
    sockets = [line for line in Path("/proc/net/unix").read_text().splitlines() if "bon_hydra-attack" in line]
    shared = [line for line in Path("/proc/sysvipc/shm").read_text().splitlines() if str(0x6B6B6B) in line]
    return files + sockets + shared


@pytest.fixture(scope="module", params=["namespaces", "landlock"])
def level(request: pytest.FixtureRequest) -> Iterator[Level]:
    """A worker at each level, which all attacks share."""
    level = Level(request.param)
    KEPT.write_text("kept")
    assert level.judge(HONEST, FUNCTION).verdict == "pass"
    yield level
    level.close()
    KEPT.unlink()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda path: path.stem)
def test_an_attack_fails_and_leaves_nothing_behind(level: Level, attack: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not pass, breaches nothing, leaves no process, file or socket, and the next program is unharmed."""
    monkeypatch.setenv("ATTACK_API_KEY", "k9-expected")
    before = KEPT.stat()
    program = attack.read_text().replace("/var/tmp/bon_hydra-kept", str(KEPT))

    outcome = level.judge(program, STDIO if attack.stem.startswith("stdio_") else FUNCTION)

    assert outcome.verdict in ("fail", "timeout"), outcome
    assert "BREACH" not in outcome.reason
    assert traces() == []
    assert (before.st_mode, before.st_ctime_ns) == (KEPT.stat().st_mode, KEPT.stat().st_ctime_ns)
    honest = level.judge(HONEST, FUNCTION)
    assert honest.verdict == "pass", honest
    assert level.judge(HONEST_STDIO, STDIO).verdict == "pass"
    assert level.processes() == (2 if level.sandboxes.level == "namespaces" else 1)
    assert level.scratch() == []


def test_there_are_at_least_forty_attacks() -> None:
    """The figure that issue and documentation name."""
    assert len(ATTACKS) >= 40
