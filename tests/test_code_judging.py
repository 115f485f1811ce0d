"""Answers to code queries are judged from text to verdict: extraction in a worker, the program in the sandbox."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from bon_hydra.queries.load import open_queries
from bon_hydra.records import Candidate, Query, Response, Verdict
from bon_hydra.schema import ConfigError, DatasetConfig, SandboxConfig
from bon_hydra.verifiers import WITHOUT_CLASSES, verifier_of
from bon_hydra.verifiers.pool import Judges

HERE = SandboxConfig(allow_unsafe=True)
"""As safely as this machine can: the programs are the tests' own."""

ASSERTS = {"kind": "asserts", "setup": "", "asserts": ["assert f(1) == 2", "assert f(2) == 4"], "entry_point": "f"}


def query(tests: dict[str, Any] | str | None) -> Query:
    reference = json.dumps(tests) if isinstance(tests, dict) else tests
    return Query("q", "code", "?", (), None, reference, "code")


def answers(*texts: str | None, finish_reason: str = "stop") -> list[Candidate]:
    return [
        Candidate(i, str(i), None if text is None else Response(text, finish_reason=finish_reason), error="HTTP 500")
        for i, text in enumerate(texts)
    ]


def judged(tests: dict[str, Any] | str | None, *texts: str | None, sandbox: SandboxConfig = HERE) -> list[Verdict]:
    async def judging() -> list[Verdict]:
        async with Judges(1, sandbox=sandbox) as judges:
            verdicts, classes = await judges.judge(query(tests), answers(*texts))
            assert classes == [None] * len(texts)
            return verdicts

    return asyncio.run(judging())


def block(code: str) -> str:
    return f"Here it is:\n```python\n{code}\n```"


def test_each_answer_gets_the_verdict_that_its_program_earned() -> None:
    """Whatever became of the others; the program itself is not stored, and answers have no classes."""
    right, half, wrong = "return 2 * x", "return 2 if x == 1 else 0", "return x / 0"
    texts = [*(block(f"def f(x):\n    {body}") for body in (right, half, wrong)), block("def f(x"), "I can't.", None]
    verdicts = judged(ASSERTS, *texts)
    assert [verdict.verdict for verdict in verdicts] == ["pass", "fail", "fail", "fail", "no_answer", "api_error"]
    assert [verdict.score for verdict in verdicts] == [1.0, 0.5, 0.0, 0.0, None, None]
    assert [verdict.scorer for verdict in verdicts[:4]] == ["tests passed"] * 4
    assert {verdict.verifier for verdict in verdicts} == {"code 1"} == {verifier_of("code")}
    assert {verdict.answer for verdict in verdicts} == {None}
    assert verdicts[0].reason == "2 of 2 tests passed"
    assert "ZeroDivisionError" in verdicts[2].reason
    assert "code" in WITHOUT_CLASSES


def test_every_kind_of_tests_is_judged(tmp_path: Path) -> None:
    """Rows as published, answered rightly and wrongly, from the file to the verdict."""
    humaneval = {
        "task_id": "HumanEval/0",
        "prompt": 'def half(x):\n    return x // 2\n\n\ndef total(xs):\n    """The sum."""\n',
        "test": "def check(candidate):\n    assert candidate([1, 2]) == 3\n    assert half(4) == 2\n",
        "entry_point": "total",
    }
    plus = {
        "task_id": 2,
        "prompt": "Write a function to double.",
        "code": "def double(x): return 2 * x",
        "test_imports": [],
        "test_list": ["assert double(2) == 4"],
        "test": "for given, wanted in zip([1, 2, 3], [2, 4, 6]):\n    assert double(given) == wanted\n",
    }
    mbpp = {key: value for key, value in plus.items() if key != "test"}
    cases = [
        ("humaneval", humaneval, "    return sum(xs)", "    return 0"),
        ("mbpp", mbpp, block("def double(x):\n    return 2 * x"), block("def double(x):\n    return x")),
        ("mbpp", plus, block("def double(x):\n    return 2 * x"), block("def double(x):\n    return 4")),
    ]

    async def judging() -> list[list[str]]:
        found = []
        async with Judges(1, sandbox=HERE) as judges:
            for number, (name, row, right, wrong) in enumerate(cases):
                file = tmp_path / f"{number}.jsonl"
                file.write_text(json.dumps(row))
                config = DatasetConfig(path="json", data_files=str(file), splits=["train"], format=name)
                (asked,) = open_queries(config, None, None)
                verdicts, _ = await judges.judge(asked, answers(right, wrong))
                found.append([verdict.verdict for verdict in verdicts])
        return found

    assert asyncio.run(judging()) == [["pass", "fail"]] * 3


def test_the_demos_solutions_pass_and_others_fail() -> None:
    """Functions and programs alike, joined from their source."""

    async def judging() -> list[list[str]]:
        async with Judges(2, sandbox=HERE) as judges:

            async def one(asked: Query) -> list[str]:
                solution = asked.row["messages"][1]["content"]
                other = block("def nothing():\n    return None")
                verdicts, _ = await judges.judge(asked, answers(solution, other))
                return [verdict.verdict for verdict in verdicts]

            queries = open_queries(DatasetConfig(path="demo", format="nemotron"), ["code"], None)
            return await asyncio.gather(*map(one, queries))

    found = asyncio.run(judging())
    assert len(found) >= 24
    assert found == [["pass", "fail"]] * len(found)


def test_one_program_has_one_verdict_however_often_it_was_written() -> None:
    """Even one whose runs differ: what it raises holds the time."""
    code = "import os, time\nT = str(time.perf_counter_ns())\ndef f(x):\n    raise ValueError(T)"
    first, second, third = judged(ASSERTS, block(code), f"Otherwise:\n\n{block(code)}", block(code + "\n"))
    assert first.verdict == "fail"
    assert first == second == third


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("not JSON", "the reference is not JSON"),
        ('{"kind": "asserts", "asserts": []}', "the reference has no asserts"),
        ('{"kind": "calls", "fn_name": "f", "inputs": [[1]], "outputs": []}', "the reference has no outputs"),
        (None, "no reference"),
    ],
)
def test_a_reference_that_cannot_be_used_is_nobodys_fault(reference: str | None, reason: str) -> None:
    """Nothing is run, and no answer counts as wrong."""
    (verdict,) = judged(reference, block("def f(x):\n    return 2 * x"))
    assert verdict == Verdict("unverifiable", reason, verifier="code 1")


def test_tests_that_fail_by_themselves_are_nobodys_fault() -> None:
    """The sandbox finds out what compiling them does not show."""
    tests = {"kind": "check", "setup": "", "test": "def check(candidate):\n    undefined(1)", "entry_point": "f"}
    (verdict,) = judged(tests, block("def f(x):\n    return 2 * x"))
    assert (verdict.verdict, verdict.score) == ("unverifiable", None)


def test_an_answer_that_hangs_the_extraction_costs_itself_only() -> None:
    """Its text is never parsed in the run's own process; the next one is judged."""
    nested = block("f = " + "(" * 50_000 + "1" + ")" * 50_000)
    deep, right = judged(ASSERTS, nested, block("def f(x):\n    return 2 * x"))
    assert (deep.verdict, right.verdict) == ("fail", "pass")


def test_no_sandbox_is_opened_where_nothing_is_to_be_run() -> None:
    """Other verifiers, and code queries without a program, need none; else the user is told what to set."""
    nowhere = SandboxConfig(level="nowhere")
    assert judged(ASSERTS, "I can't.", None, sandbox=nowhere)[0].verdict == "no_answer"
    with pytest.raises(ConfigError, match=r"runner\.sandbox\.level"):
        judged(ASSERTS, block("def f(x):\n    return 2 * x"), sandbox=nowhere)
