"""The judge's process: it holds the tests and the expected values, asks the candidate, and tells the parent.

The candidate is in another process and reaches this one through `remote` only. The tests are run here and may be
anybody's too, so this process is confined like the candidate's.
"""

from __future__ import annotations

import contextlib
import importlib
import os
import random
import sys
import types
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from . import compare, sources, wire
from .confine import MAX_FILE_BYTES
from .ending import ENDED
from .findings import Found, Tally, meaning, one_line, said, short
from .remote import Candidate, CandidateEnded, CannotCross, StandIn, Trouble, Zygote

MAX_JOB = 512 << 20


@dataclass(slots=True)
class Job:
    """One program and its tests."""

    program: str
    tests: dict[str, Any]
    cpu_s: float
    zygote: Zygote
    called: Callable[[], None]

    def candidate(self) -> Candidate:
        """A candidate without its program."""
        return Candidate(self.zygote, self.called)

    def end_of(self, ended: CandidateEnded, where: str) -> Found:
        """What it means that there is no candidate any more."""
        return meaning(ENDED.unpack(self.zygote.end()), ended.reason, where, self.cpu_s)


def serve(parent: int, control: int) -> None:
    """Judges the one job that comes from the parent and answers it."""
    message = wire.receive(parent, MAX_JOB)
    random.seed(0)
    job = Job(message["program"], message["tests"], message["cpu_s"], Zygote(control), lambda: _tell_called(parent))
    try:
        outcome = _judge(job)
    except (sources.NotTests, CannotCross) as error:
        outcome = Found("unverifiable", str(error))
    except Trouble as error:
        outcome = Found("verifier_error", "the sandbox could not start the program", error=str(error))
    except MemoryError:
        outcome = Found("fail", "memory limit while judging the results")
    except Exception as error:
        outcome = Found("verifier_error", "the judge failed", error=said(error))
    outcome.reason = one_line(outcome.reason)
    wire.send(parent, asdict(outcome))


def _tell_called(parent: int) -> None:
    wire.send(parent, {"called": True})


def _judge(job: Job) -> Found:
    kinds = {"check": _check, "asserts": _asserts, "calls": _calls, "stdio": _stdio}
    return kinds[job.tests["kind"]](job)


def _load(job: Job, candidate: Candidate, setup: str, total: int) -> Found | None:
    """Runs the program in its process; what there is to say if that already fails."""
    try:
        candidate.load(setup, job.program)
    except CandidateEnded as ended:
        outcome = job.end_of(ended, "loading the program")
    except Exception as error:
        outcome = Found("fail", said(error))
    else:
        return None
    outcome.total = total
    return outcome


def _function(job: Job, candidate: Candidate, name: str, total: int) -> StandIn | Found:
    """What is tested, or what there is to say when the program has no such thing."""
    try:
        function = candidate.get(name)
    except CandidateEnded as ended:
        return job.end_of(ended, "loading the program")
    except Exception:
        return Found("fail", f"the program does not define {name}", total=total)
    if type(function) is not StandIn:
        return Found("fail", f"{name} is {short(function)}, which cannot be called", total=total)
    return function


def _namespace() -> dict[str, Any]:
    """A module of its own for the tests; dataclasses look theirs up by name."""
    module = types.ModuleType("tests")
    sys.modules["tests"] = module
    return module.__dict__


def _set_up(setup: str, names: dict[str, Any]) -> None:
    try:
        exec(sources.compiled(setup, "setup"), names)
    except Exception as error:
        raise sources.NotTests(f"the setup fails: {said(error)}") from None


def _check(job: Job) -> Found:
    """`check(candidate)`, or test code that calls the entry point by its name when it defines no `check`."""
    setup, entry_point = job.tests.get("setup") or "", job.tests["entry_point"]
    code, asserts = sources.compiled_check(job.tests["test"])
    names = _namespace()
    _set_up(setup, names)
    candidate = job.candidate()
    tally = Tally(len(asserts) or 1)
    if failed := _load(job, candidate, setup, tally.total):
        return failed

    def record(number: int, error: Exception | None) -> None:
        if error is None and candidate.ended is None:
            tally.passed += 1
        elif error is not None:
            if not candidate.calls:
                raise sources.NotTests(f"test {number + 1} fails before it calls the program: {said(error)}")
            tally.fail(f"test {number + 1}: {_difference(asserts[number], error, candidate)}")

    names[sources.RECORD] = record
    function = _function(job, candidate, entry_point, tally.total)
    if isinstance(function, Found):
        return function
    names[entry_point] = function
    try:
        exec(code, names)
        if "check" in names:
            names["check"](names[entry_point])
        if not asserts:
            tally.passed = 1
    except CandidateEnded:
        pass
    except Exception as error:
        if not candidate.calls:
            raise sources.NotTests(f"the tests fail before they call the program: {said(error)}") from None
        tally.fail(f"{said(error)}; the last call returned {short(candidate.last)}")
    return _settled(job, candidate, tally, f"call {candidate.calls}")


def _settled(job: Job, candidate: Candidate, tally: Tally, where: str) -> Found:
    """The outcome, where neither a swallowed end of the candidate nor tests that never ask it can count as passed."""
    if candidate.ended:
        end = job.end_of(CandidateEnded(candidate.ended), where)
        tally.fail(end.reason, end.verdict, end.retry)
        tally.passed = min(tally.passed, tally.total - 1)
    elif not candidate.calls and tally.first is None:
        raise sources.NotTests("the tests never call the program")
    return tally.found()


def _difference(described: sources.Assert, error: Exception, candidate: Candidate) -> str:
    if not isinstance(error, AssertionError):
        return said(error)
    expected = described.expected()
    if expected is not None:
        return f"expected {expected[:100]}, got {short(candidate.last)}"
    return f"not so: {described.source()[:200]}"


def _asserts(job: Job) -> Found:
    setup, texts = job.tests.get("setup") or "", job.tests["asserts"]
    compiled = sources.compiled_asserts(texts)
    entry_point, theirs, modules = sources.names_of_program(setup, texts, job.tests.get("entry_point"))
    names = _namespace()
    for module in modules:
        names[module] = importlib.import_module(module)
    candidate = job.candidate()
    tally = Tally(len(compiled))
    if failed := _load(job, candidate, setup, tally.total):
        return failed
    function = _function(job, candidate, entry_point, tally.total)
    if isinstance(function, Found):
        return function
    helpers = theirs - {entry_point}
    for name in sorted(helpers):
        with contextlib.suppress(Exception):
            names[name] = candidate.get(name)
    try:
        _set_up(setup, names)
    except sources.NotTests as error:
        # Where the setup uses what the program defines, that it fails may be the program's doing.
        if helpers:
            return Found("fail", str(error), total=tally.total)
        raise
    names[entry_point] = function  # which the setup must not hide
    for number, (code, described) in enumerate(compiled, 1):
        calls = candidate.calls
        try:
            exec(code, names)
            if candidate.calls == calls:
                raise sources.NotTests(f"test {number} does not call the program")
            tally.passed += 1
        except CandidateEnded:
            break
        except Exception as error:
            if isinstance(error, sources.NotTests):
                raise
            if not candidate.calls and not helpers:
                raise sources.NotTests(f"test {number} fails before it calls the program: {said(error)}") from None
            tally.fail(f"test {number}: {_difference(described, error, candidate)}")
    return _settled(job, candidate, tally, f"test {min(number, tally.total)}")


def _calls(job: Job) -> Found:
    name, inputs, outputs = job.tests["fn_name"], job.tests["inputs"], job.tests["outputs"]
    candidate = job.candidate()
    tally = Tally(len(inputs))
    if failed := _load(job, candidate, job.tests.get("setup") or "", tally.total):
        return failed
    function = _function(job, candidate, name, tally.total)
    if isinstance(function, Found):
        return function
    number = 0
    for number, (given, expected) in enumerate(zip(inputs, outputs, strict=True), 1):
        arguments = [_with_int_keys(value) for value in given] if type(given) is list else [given]
        try:
            got = function(*arguments)
            if compare.same_result(got, expected):
                tally.passed += 1
            else:
                tally.fail(f"test {number}: expected {short(expected)}, got {short(got)}")
        except CandidateEnded:
            break
        except Exception as error:
            tally.fail(f"test {number}: {said(error)}")
    return _settled(job, candidate, tally, f"test {number}")


def _with_int_keys(value: Any) -> Any:
    """JSON made text of the integer keys that TACO and APPS mean."""
    if type(value) is dict and value and all(key.lstrip("-").isdecimal() for key in value):
        return {int(key): item for key, item in value.items()}
    return value


def _stdio(job: Job) -> Found:
    inputs, outputs = job.tests["inputs"], job.tests["outputs"]
    tally = Tally(len(inputs))
    job.called()
    for number, (given, expected) in enumerate(zip(inputs, outputs, strict=True), 1):
        accepted = [expected] if type(expected) is str else list(expected)
        failed = _run_once(job, given, accepted, f"test {number}")
        if failed is None:
            tally.passed += 1
            continue
        tally.fail(failed.reason, failed.verdict, failed.retry)
        if failed.verdict == "timeout":
            break
    return tally.found()


def _run_once(job: Job, given: str, accepted: list[str], where: str) -> Found | None:
    """None when the program printed what it should."""
    channel, standard_input, standard_output = job.zygote.start(files=True)
    try:
        _write_all(standard_input, given.encode("utf-8", "surrogateescape"))
        error = None
        try:
            wire.send(channel, {"program": job.program})
            error = wire.receive(channel).get("error")
        except (wire.Gone, wire.WireError):
            pass
        code, why, _, _ = ended = ENDED.unpack(job.zygote.end())
        size = os.fstat(standard_output).st_size
        if size >= MAX_FILE_BYTES:
            return Found("fail", f"output limit in {where}")
        if why or code:
            return meaning(ended, "ended", where, job.cpu_s)
        if error:
            return Found("fail", f"{where}: {_said_there(error)}")
        got = os.pread(standard_output, size, 0).decode("utf-8", "replace")
    finally:
        for fd in (channel, standard_input, standard_output):
            os.close(fd)
    if compare.same_output(got, accepted):
        return None
    return Found("fail", f"{where}: expected {short(accepted[0] if accepted else None)}, got {short(got)}")


def _said_there(error: Any) -> str:
    if type(error) is not list or [type(part) for part in error] != [str, str]:
        return "error"
    return "memory limit" if error[0] == "MemoryError" else ": ".join(error)


def _write_all(fd: int, data: bytes) -> None:
    done = 0
    while done < len(data):
        done += os.pwrite(fd, data[done : done + (1 << 20)], done)
