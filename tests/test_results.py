"""A run's parquet file has the promised columns and metadata, in order, whole or not at all, in bounded memory."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sample_runs import ARRIVED, METADATA, RUN, judged, write, write_mixed

from bon_hydra import results
from bon_hydra.records import Judged
from bon_hydra.results import SCHEMA, ResultsWriter, RunFields

CONTRACT = {
    "query_id": "string",
    "split": "string",
    "candidate_idx": "int32",
    "is_verified": "bool",
    "is_scored": "bool",
    "verdict": "string",
    "verdict_reason": "string",
    "verifier": "string",
    "score": "double",
    "scorer": "string",
    "answer": "string",
    "answer_class": "int32",
    "question": "string",
    "prompt": "string",
    "tools": "string",
    "reference": "string",
    "source_id": "string",
    "source_meta": "string",
    "response": "string",
    "reasoning": "string",
    "tool_calls": "string",
    "finish_reason": "string",
    "prompt_tokens": "int64",
    "completion_tokens": "int64",
    "cached_tokens": "int64",
    "reasoning_tokens": "int64",
    "cost_usd": "double",
    "latency_s": "double",
    "reused": "bool",
    "candidate_id": "string",
    "seed": "int64",
    "attempts": "int32",
    "error": "string",
    "model": "string",
    "response_model": "string",
    "temperature": "double",
    "request_id": "string",
    "run_id": "string",
    "created_at": "timestamp[us, tz=UTC]",
}


def rows(path: Path) -> list[dict[str, Any]]:
    """The file's rows."""
    return pq.read_table(path).to_pylist()  # type: ignore[no-any-return]


def put_in(order: Sequence[int], queries: Sequence[Judged], path: Path) -> list[dict[str, Any]]:
    """The rows of a file whose queries came in that order."""
    with ResultsWriter(path, RUN) as writer:
        for number in order:
            writer.put(number, queries[number])
        writer.close(METADATA)
    return rows(path)


def test_the_file_has_exactly_the_contracts_columns(tmp_path: Path) -> None:
    """Names, order and types, as read back from the file."""
    schema = pq.read_schema(write_mixed(tmp_path / "run.parquet"))
    assert {field.name: str(field.type) for field in schema} == CONTRACT
    assert schema.names == list(CONTRACT)


def test_metadata_shows_in_every_way_of_reading_it(tmp_path: Path) -> None:
    """Through the table's schema, the file's schema and the file's metadata, as the seed's snippet has it."""
    path = write_mixed(tmp_path / "run.parquet")
    for metadata in (
        pq.read_table(path).schema.metadata,
        pq.read_schema(path).metadata,
        pq.read_metadata(path).metadata,
    ):
        assert metadata[b"model"].decode() == "mock"
        assert metadata[b"notes"].decode() == "What: a test"
        assert metadata[b"total_records"] == b"9"
        assert metadata[b"schema_version"] == b"1"


def test_a_row_says_what_was_asked_answered_and_judged(tmp_path: Path) -> None:
    """Every value lands in its column."""
    one = judged("one", ["pass"], response={"reasoning": "hm", "seed": 7, "cached_tokens": 3, "attempts": 2})
    one = replace(
        one,
        query=replace(one.query, tools=({"type": "function"},), source_id="s1", source_meta='{"a": 1}'),
        candidates=(replace(one.candidates[0], reused=True),),
        verdicts=(replace(one.verdicts[0], answer="5", score=0.5, scorer="tests"),),
        classes=(0,),
    )
    (row,) = rows(write(tmp_path / "run.parquet", [one]))
    assert row == {
        "query_id": "id-one",
        "split": "math",
        "candidate_idx": 0,
        "is_verified": True,
        "is_scored": True,
        "verdict": "pass",
        "verdict_reason": "because pass",
        "verifier": "math 1",
        "score": 0.5,
        "scorer": "tests",
        "answer": "5",
        "answer_class": 0,
        "question": "What is one?",
        "prompt": one.prompt,
        "tools": json.dumps([{"type": "function"}]),
        "reference": "5",
        "source_id": "s1",
        "source_meta": '{"a": 1}',
        "response": "Thinking. \\boxed{5}",
        "reasoning": "hm",
        "tool_calls": None,
        "finish_reason": "stop",
        "prompt_tokens": 50,
        "completion_tokens": 20,
        "cached_tokens": 3,
        "reasoning_tokens": None,
        "cost_usd": 0.001,
        "latency_s": 0.25,
        "reused": True,
        "candidate_id": "one/0",
        "seed": 7,
        "attempts": 2,
        "error": None,
        "model": "mock",
        "response_model": "mock-2026",
        "temperature": 0.7,
        "request_id": "req-1",
        "run_id": "run-1",
        "created_at": ARRIVED,
    }


def test_verdicts_say_what_counts(tmp_path: Path) -> None:
    """Only four verdicts are scored, only `pass` is verified, and only our faults and the API's carry an error."""
    verdicts = ["pass", "fail", "timeout", "no_answer", "unverifiable", "verifier_error", "api_error"]
    table = rows(write(tmp_path / "run.parquet", [judged("one", verdicts)]))
    assert [row["verdict"] for row in table] == verdicts
    assert [row["is_verified"] for row in table] == [True] + 6 * [False]
    assert [row["is_scored"] for row in table] == 4 * [True] + 3 * [False]
    assert [row["error"] for row in table] == 5 * [None] + ["boom", "HTTP 500 from the server"]
    assert table[-1]["attempts"] == 9
    assert table[-1]["response"] is None


def test_a_candidate_without_a_response_is_never_a_wrong_answer(tmp_path: Path) -> None:
    """Whatever a verifier made of nothing: without a response it is `api_error`, and not scored."""
    one = judged("one", ["fail"])
    one = replace(one, candidates=(replace(one.candidates[0], response=None, error="dropped", attempts=9),))
    (row,) = rows(write(tmp_path / "run.parquet", [one]))
    assert (row["verdict"], row["is_scored"], row["error"]) == ("api_error", False, "dropped")


def test_a_temperature_that_was_not_sent_is_null(tmp_path: Path) -> None:
    """Reasoning models refuse it."""
    with ResultsWriter(tmp_path / "run.parquet", RunFields("run-1", "o9", None)) as writer:
        writer.put(0, judged("one", ["pass"]))
        writer.close({})
    assert rows(tmp_path / "run.parquet")[0]["temperature"] is None


def test_half_a_surrogate_pair_in_an_answer_does_not_end_the_run(tmp_path: Path) -> None:
    """UTF-8 cannot hold it: it becomes the replacement character, and all else stays as it was."""
    (row,) = rows(write(tmp_path / "run.parquet", [judged("one", ["pass"], text="a \ud83d b 😀 \ud83d\ude00")]))
    assert row["response"] == "a \ufffd b 😀 😀"


@settings(max_examples=30)
@given(st.permutations(range(7)), st.sampled_from([0, 600, 1 << 20]))
def test_queries_may_come_in_any_order(order: list[int], in_memory: int) -> None:
    """The file is the same, whether what waits for its turn stays in memory or goes to disk."""
    queries = [judged(str(number), ["pass", "fail"], text=f"answer {number}") for number in range(7)]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(results, "WAITING_BYTES", in_memory)
        expected = put_in(range(7), queries, Path(folder) / "straight.parquet")
        assert put_in(order, queries, Path(folder) / "mixed.parquet") == expected
        assert (Path(folder) / "mixed.parquet").read_bytes() == (Path(folder) / "straight.parquet").read_bytes()
        assert [row["query_id"] for row in expected[::2]] == [f"id-{number}" for number in range(7)]
        assert sorted(path.name for path in Path(folder).iterdir()) == ["mixed.parquet", "straight.parquet"]


def test_what_waits_for_a_late_query_goes_to_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory keeps the first few MB of it and then one offset a query; the disk's share is freed once it is written."""
    monkeypatch.setattr(results, "WAITING_BYTES", 100_000)
    writer = ResultsWriter(tmp_path / "run.parquet", RUN)
    waiting = writer._waiting
    for number in range(1, 200):
        writer.put(number, judged(str(number), ["pass"], text="x" * 10_000))
    assert waiting._memory_bytes <= 100_000
    assert waiting._file is not None
    assert os.fstat(waiting._file.fileno()).st_size > 150 * 10_000
    writer.put(0, judged("0", ["pass"]))
    assert waiting._memory == {}
    assert waiting._memory_bytes == 0
    assert os.fstat(waiting._file.fileno()).st_size == 0
    writer.close({})
    assert [row["query_id"] for row in rows(tmp_path / "run.parquet")] == [f"id-{number}" for number in range(200)]


def test_an_interrupted_run_keeps_what_there_is(tmp_path: Path) -> None:
    """Queries that never came leave no gap: the others stand in order."""
    path = tmp_path / "run.parquet"
    with ResultsWriter(path, RUN) as writer:
        for number in (5, 0, 3):
            writer.put(number, judged(str(number), ["pass"]))
        writer.close({"status": "interrupted"})
    assert [row["query_id"] for row in rows(path)] == ["id-0", "id-3", "id-5"]
    assert pq.read_metadata(path).metadata[b"total_records"] == b"3"


def test_a_run_without_any_answer_is_a_file_without_rows(tmp_path: Path) -> None:
    """Interrupted before the first answer came."""
    path = write(tmp_path / "run.parquet", [])
    assert pq.read_table(path).num_rows == 0
    assert pq.read_schema(path).equals(SCHEMA)


def test_an_exception_leaves_only_the_part(tmp_path: Path) -> None:
    """A file with the run's own name is always whole."""
    with pytest.raises(RuntimeError), ResultsWriter(tmp_path / "run.parquet", RUN) as writer:  # noqa: PT012
        writer.put(0, judged("one", ["pass"]))
        raise RuntimeError
    assert [path.name for path in tmp_path.iterdir()] == ["run.parquet.part"]


def test_a_query_is_taken_once(tmp_path: Path) -> None:
    """Twice would be twice in every rate."""
    with ResultsWriter(tmp_path / "run.parquet", RUN) as writer:
        writer.put(0, judged("one", ["pass"]))
        writer.put(2, judged("three", ["pass"]))
        for number in (0, 2):
            with pytest.raises(ValueError, match="twice"):
                writer.put(number, judged("one", ["pass"]))


def test_row_groups_are_bounded_and_never_split_a_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a reader needs little memory, and finds a query in one place."""
    monkeypatch.setattr(results, "GROUP_BYTES", 200_000)
    monkeypatch.setattr(results, "BATCH_CHARACTERS", 50_000)
    path = write(tmp_path / "run.parquet", [judged(str(n), ["pass"] * 3, text=f"{n:04d}" * 2_500) for n in range(60)])
    file = pq.ParquetFile(path)
    groups = [file.read_row_group(number) for number in range(file.num_row_groups)]
    assert len(groups) > 5
    assert all(group.nbytes < 300_000 for group in groups)
    assert sum(len(set(group["query_id"].to_pylist())) for group in groups) == 60
    assert file.metadata.row_group(0).column(0).compression == "ZSTD"


def test_the_tally_counts_what_was_put_and_what_it_cost_this_run(tmp_path: Path) -> None:
    """Also what still waits for its turn; reused candidates are counted, and cost nothing."""
    writer = ResultsWriter(tmp_path / "run.parquet", RUN)
    bought = judged("one", ["pass", "fail", "api_error"])
    reused = judged("two", ["pass"])
    writer.put(4, replace(reused, candidates=(replace(reused.candidates[0], reused=True),)))
    assert (writer.tally.cost_usd, writer.tally.bought) == (0.0, 0)
    writer.put(2, bought)
    tally = writer.tally
    assert (tally.queries, tally.candidates, tally.scored, tally.verified, tally.reused) == (2, 4, 3, 2, 1)
    assert (tally.prompt_tokens, tally.completion_tokens) == (100, 40)
    assert tally.cost_usd == pytest.approx(0.002)
    writer.close({})


def test_the_seeds_pandas_snippets_run_unchanged(tmp_path: Path) -> None:
    """Word for word from the seed, but for the paths."""
    baseline_path = write_mixed(tmp_path / "baseline.parquet")
    improved_path = write(
        tmp_path / "improved.parquet",
        [judged("one", ["pass"] * 4), judged("two", ["pass"] * 4), judged("four", ["pass"])],
    )
    df = pd.read_parquet(baseline_path)
    assert df.groupby("split")["is_verified"].mean().to_dict() == {"math": 3 / 8, "tools": 0.0}
    first_wins = df[df.candidate_idx == 0]["is_verified"].mean()
    any_wins = df.groupby("query_id")["is_verified"].max().mean()
    assert f"First: {first_wins:.2%}, Best: {any_wins:.2%}" == "First: 33.33%, Best: 66.67%"

    baseline = pd.read_parquet(baseline_path)
    improved = pd.read_parquet(improved_path)
    comparison = baseline.merge(improved, on="query_id", suffixes=["_baseline", "_improved"])
    comparison["improved"] = comparison["is_verified_improved"] > comparison["is_verified_baseline"]
    assert comparison.groupby("split_baseline")["improved"].mean().to_dict() == {"math": 5 / 8}

    parquet_file = pq.read_table(baseline_path)
    metadata = parquet_file.schema.metadata
    assert metadata[b"model"].decode() == "mock"
    assert metadata[b"notes"].decode() == "What: a test"
