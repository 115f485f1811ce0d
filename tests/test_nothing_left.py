"""Nothing of a run goes on after it: no server, no worker, no sandbox, however it ended."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from app import additions, asking, jsonl, start_afresh
from fake_api import FakeApi
from processes import Family, Process, eventually

STUBBORN = """
import os, signal, threading, time

for number in range(1, 65):
    try:
        signal.signal(number, signal.SIG_IGN)
    except (OSError, ValueError):
        pass
for attempt in (os.setsid, os.fork):
    try:
        attempt()
    except OSError:
        pass

def rest():
    while True:
        try:
            time.sleep(1000)
        except BaseException:
            pass

for _ in range(20):
    threading.Thread(target=rest).start()
rest()
"""
"""A program that does not end when it is asked to."""


PROGRAM = f"```python\ndef f():\n    return 1\n{STUBBORN}\n```"
TESTS = "def check(candidate):\n    assert candidate() == 1\n"


def code(folder: Path) -> Path:
    row = {"task_id": "t/0", "prompt": 'def f():\n    """One."""\n', "test": TESTS, "entry_point": "f"}
    return jsonl(folder / "code.jsonl", [row])


class Running:
    """The program, with its family; `until` waits for a moment of it."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.family = Family(folder)
        self.process = start_afresh(folder, *arguments, **self.family.environment)

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.family.end()

    def until(self, what: Callable[[list[Process]], object]) -> None:
        """Until it holds of the family; fails where the program ends before."""
        assert eventually(lambda: self.process.poll() is not None or what(self.family.look(self.process.pid)))
        assert self.process.poll() is None, self.process.communicate()

    def killed(self) -> list[str]:
        """What is left of the family after SIGKILL of the program."""
        assert self.family.look(self.process.pid)
        self.process.kill()
        self.process.wait(60)
        return self.family.gone()

    def interrupted_twice(self) -> list[str]:
        """What is left of it after a second Ctrl-C, given once the first one was heard."""
        self.process.send_signal(signal.SIGINT)
        said = self._until_said("stopping")
        self.process.send_signal(signal.SIGINT)
        assert self.process.wait(60) == 130, said
        return self.family.gone()

    def _until_said(self, word: str) -> str:
        said = ""
        while word not in said:
            assert self.process.stderr
            line = self.process.stderr.readline()
            assert line, said
            said += line
        return said


def judging(cpu_s: float) -> Callable[[list[Process]], bool]:
    """Whether a child of a verification worker has been busy for so long."""

    def busy(family: list[Process]) -> bool:
        workers = [process for process in family if "bon_hydra.verifiers.worker" in process.command]
        pids = {process.pid for process in workers}
        return any(int(p.state()[1]) in pids and p.cpu_s() >= cpu_s for p in workers if p.state())

    return busy


def stubborn(family: list[Process]) -> bool:
    """Whether the program runs that does not want to end."""
    return any(process.threads() > 20 for process in family)


def embedded_server(cpu_s: float) -> Callable[[list[Process]], bool]:
    """Whether it is there and has worked for so long: at 0 it has only begun to load."""

    def working(family: list[Process]) -> bool:
        return any("embedded_server.py" in process.command and process.cpu_s() >= cpu_s for process in family)

    return working


ENDLESS = "The answer is \\boxed{9^{9^{9^{9}}}}."


def embedded(folder: Path, *more: str) -> list[str]:
    return [*asking("http://unused/v1", additions(folder, 20))[:4], "model=smollm2", "num_candidates=4", *more]


@pytest.mark.parametrize("cpu_s", [0, 3])
def test_sigkill_leaves_no_embedded_server(tmp_path: Path, cpu_s: float) -> None:
    """While it reads its weights, and in the middle of its answers."""
    with Running(tmp_path, *embedded(tmp_path)) as running:
        running.until(embedded_server(cpu_s))
        assert running.killed() == []


def test_sigkill_leaves_no_worker_in_the_middle_of_a_judgement(tmp_path: Path) -> None:
    """The worker and the child that judges, which may be anywhere in sympy."""
    with FakeApi(reply=ENDLESS) as api:
        arguments = asking(api.url, additions(tmp_path, 20), "runner.workers=2")
        with Running(tmp_path, *arguments) as running:
            running.until(judging(cpu_s=0.3))
            assert running.killed() == []


@pytest.mark.parametrize("level", ["namespaces", "landlock"])
def test_sigkill_leaves_no_program_that_ignores_signals(tmp_path: Path, level: str) -> None:
    """Nor its sandbox, nor a temporary folder of it."""
    with FakeApi(reply=PROGRAM) as api:
        arguments = [*asking(api.url, code(tmp_path), f"runner.sandbox.level={level}"), "dataset=humaneval"]
        # Its own limits would end it too, but not so soon.
        with Running(tmp_path, *arguments, "num_candidates=2", "runner.sandbox.cpu_s=100") as running:
            running.until(stubborn)
            assert running.killed() == []
    assert eventually(lambda: not list(Path(running.family.environment["TMPDIR"]).iterdir()))


def test_a_second_ctrl_c_ends_everything_at_once(tmp_path: Path) -> None:
    """A server that hangs, a program that ignores signals: exit 130, and nothing is left."""
    rows = [
        {"task_id": f"t/{i}", "prompt": f"def f():\n    {i}\n", "test": TESTS, "entry_point": "f"} for i in range(2)
    ]
    hang = lambda request: "hanging" if "1" in request.question else None  # noqa: E731
    with FakeApi(reply=PROGRAM, faults=hang) as api:
        arguments = [*asking(api.url, jsonl(tmp_path / "code.jsonl", rows)), "dataset=humaneval", "num_candidates=1"]
        with Running(tmp_path, *arguments) as running:
            running.until(lambda family: stubborn(family) and len(api.requests) == 2)
            assert running.interrupted_twice() == []


def test_a_second_ctrl_c_leaves_no_embedded_server(tmp_path: Path) -> None:
    """It would finish its answers otherwise."""
    with Running(tmp_path, *embedded(tmp_path, "max_tokens=2000")) as running:
        running.until(embedded_server(cpu_s=3))
        assert running.interrupted_twice() == []
