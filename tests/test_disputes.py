"""Verdicts for a human look: what speaks against them, a seeded sample of them, and what another verifier would say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bon_command import bon
from sample_runs import judged, write

from bon_hydra.report.disputes import disputes


def candidate(verdict: str, answer: str | None, text: str = "", number: int | None = None) -> dict[str, Any]:
    return {
        "verdict": verdict,
        "is_verified": verdict == "pass",
        "answer": answer,
        "answer_class": number,
        "reference": "12",
        "response": text,
    }


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([("pass", "12"), ("fail", "13"), ("fail", "14")], ["", "", ""]),
        ([("pass", "12"), ("fail", "12")], ["the same answer was judged both ways"] * 2),
        (
            [("fail", "13"), ("fail", "13"), ("pass", "12")],
            ["judged wrong, and 2 of 3 answers agree on it"] * 2
            + ["judged right, and 2 of 3 answers agree on another one"],
        ),
        ([("fail", "13"), ("fail", "13"), ("fail", "14"), ("fail", "15")], [""] * 4),
        ([("timeout", None), ("unverifiable", "x")], ["not settled: timeout", "not settled: unverifiable"]),
        ([("api_error", None), ("no_answer", None)], ["", ""]),
    ],
)
def test_other_answers_of_a_query_speak_against_a_verdict(
    rows: list[tuple[str, str | None]], wanted: list[str]
) -> None:
    """A majority is more than half of those that gave an answer, and more than one."""
    assert disputes([candidate(verdict, answer) for verdict, answer in rows]) == wanted


def test_equal_answers_are_those_of_one_class() -> None:
    """However they are spelt."""
    rows = [candidate("pass", "1/2", number=0), candidate("fail", "0.5", number=0)]
    assert disputes(rows) == ["the same answer was judged both ways"] * 2


@pytest.mark.parametrize(
    ("text", "doubtful"),
    [
        ("So it is $12$.", True),
        ("So it is 112.", False),
        ("12 was wrong, so it is 13", False),
        ("It is 3.12", False),
        ("", False),
    ],
)
def test_a_wrong_answer_that_ends_with_the_reference_is_disputed(text: str, doubtful: bool) -> None:
    """As a whole word."""
    assert disputes([candidate("no_answer", None, text)]) == [
        "judged wrong, and it ends with the reference" if doubtful else ""
    ]


def test_show_prints_what_is_disputed_with_the_reason(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """And nothing else of the query."""
    queries = [
        judged("one", ["pass", "fail", "fail"], classes=[0, 1, 1]),
        judged("two", ["pass", "fail"], classes=[0, 1], text="\\boxed{6}"),
    ]
    run = write(tmp_path / "run.parquet", queries)
    code, out, err = bon(capsys, "show", run, "--disputed", "--verdict", "fail")
    assert (code, err) == (0, "")
    assert out.count("== Query") == 1
    assert out.count("disputed: judged wrong, and 2 of 3 answers agree on it") == 2
    settled = write(tmp_path / "settled.parquet", [judged("one", ["pass"])])
    assert bon(capsys, "show", settled, "--disputed")[:2] == (
        0,
        "Nothing in this file speaks against any of its verdicts.\n",
    )
    code, _, err = bon(capsys, "show", run, "--disputed", "--verdict", "no_answer")
    assert (code, "no candidate with --verdict no_answer --disputed" in err) == (2, True)


def test_a_sample_is_drawn_by_its_seed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The same queries each time, others by another seed, in the file's order; more than there are is all of them."""
    run = write(tmp_path / "run.parquet", [judged(str(at), ["pass"]) for at in range(50)])

    def shown(*arguments: str) -> list[int]:
        _, out, _ = bon(capsys, "show", run, *arguments)
        return [int(line.split()[2].removeprefix("id-")) for line in out.splitlines() if line.startswith("== Query")]

    first = shown("--sample", "5")
    assert first == shown("--sample", "5", "--seed", "0") == sorted(first)
    assert len(set(first)) == 5
    assert first != list(range(5))
    assert first != shown("--sample", "5", "--seed", "1")
    assert shown("--sample", "99") == list(range(50))
