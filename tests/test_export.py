"""`bon export`: what is training data and what is not, who stands against whom, and a folder that `datasets` reads."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets
import pytest
from app import run
from bon_command import apart as bon
from export_rows import WEATHER, call, candidate, study, write
from fake_api import FakeApi, Reply, Request

from bon_hydra.export import files, pool
from bon_hydra.export.dataset import export
from bon_hydra.export.options import FORMATS, Options
from bon_hydra.schema import ConfigError

datasets.disable_progress_bars()

Rows = list[dict[str, Any]]

COLUMNS = {
    "sft": ["prompt", "completion", "candidate_id"],
    "preference": ["prompt", "chosen", "rejected", "chosen_id", "rejected_id"],
    "unpaired": ["prompt", "completion", "label", "candidate_id"],
    "prompts": ["prompt", "reference", "pass_rate", "scored_candidates"],
}


def loaded(folder: Path) -> Any:
    """The folder as anybody reads it; its cache lies beside it."""
    return datasets.load_dataset(str(folder), cache_dir=str(folder.with_name(f"cache-{folder.name}")))


def exported(path: Path | Sequence[Path], format_name: str, validation: float = 0.0, **choices: Any) -> Rows:
    """The rows of an export, train before validation."""
    paths = [path] if isinstance(path, Path) else path
    out = paths[0].parent / f"out-{len(list(paths[0].parent.iterdir()))}"
    export([str(p) for p in paths], Options(format_name, validation, **choices), out)
    read = loaded(out)
    return [row for side in read for row in read[side]]


def texts(rows: Rows, column: str) -> list[str]:
    return [row[column][-1]["content"] for row in rows]


@pytest.mark.parametrize("format_name", FORMATS)
def test_datasets_reads_every_format_in_both_splits(tmp_path: Path, format_name: str) -> None:
    """From the command: a folder in the Hub's layout; conversational columns, plain ones where there are no tools."""
    study(tmp_path / "run" / "study.parquet")
    done = bon(tmp_path, "export", "run", "--format", format_name, "-o", "out", "--validation", "0.2")
    assert done.returncode == 0, done.stderr
    read = loaded(tmp_path / "out")
    assert set(read) == {"train", "validation"}
    suffix = "jsonl" if format_name == "jsonl" else "parquet"
    assert sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.*")) == [
        "README.md",
        f"data/train-00000-of-00001.{suffix}",
        f"data/validation-00000-of-00001.{suffix}",
    ]
    if format_name != "jsonl":
        assert read["train"].column_names == [*COLUMNS[format_name], "query_id", "split"]
        row = read["train"][0]
        assert [message["role"] for message in row["prompt"]] == ["system", "user"]
        assert row["prompt"][0] == {"role": "system", "content": "Be terse."}
        for column in ("completion", "chosen", "rejected"):
            if column in row:
                assert [message.keys() for message in row[column]] == [{"role", "content"}]
                assert row[column][0]["role"] == "assistant"
    assert f"{read['train'].num_rows:,} rows" in done.stdout
    assert f"{read['validation'].num_rows:,} rows" in done.stdout


def test_only_what_was_judged_wrong_is_ever_rejected(tmp_path: Path) -> None:
    """Infrastructure failures, cut-off, refused, filtered and empty answers are neither chosen nor rejected."""
    neither = [
        candidate("q", "api_error"),
        candidate("q", "verifier_error", "judge broke"),
        candidate("q", "unverifiable", "no reference"),
        candidate("q", "fail", "cut off and wrong", finish_reason="length"),
        candidate("q", "pass", "cut off and right", finish_reason="length"),
        candidate("q", "no_answer", "cut off before", finish_reason="length"),
        candidate("q", "no_answer", "I cannot help", verdict_reason="refused: I cannot help"),
        candidate("q", "no_answer", "with", verdict_reason="filtered by the server", finish_reason="content_filter"),
        candidate("q", "no_answer", "", verdict_reason="empty answer"),
        candidate("q", "no_answer", "<think>only thought</think>", verdict_reason="empty answer"),
    ]
    wrong = [
        candidate("q", "fail", "wrong"),
        candidate("q", "timeout", "too slow"),
        candidate("q", "no_answer", "talks, and gives none", verdict_reason="no choice found"),
    ]
    path = write(tmp_path / "run.parquet", [*neither, *wrong, candidate("q", "pass", "right")])
    pairs = exported(path, "preference", pairs_per_query=99)
    assert texts(pairs, "chosen") == ["right"] * 3
    assert sorted(texts(pairs, "rejected")) == ["talks, and gives none", "too slow", "wrong"]
    labelled = {row["completion"][0]["content"]: row["label"] for row in exported(path, "unpaired")}
    assert labelled == {"right": True, "wrong": False, "too slow": False, "talks, and gives none": False}
    assert texts(exported(path, "sft"), "completion") == ["right"]


def test_pairs_are_matched_in_length_and_fresh_answers_come_first(tmp_path: Path) -> None:
    """The nearest lengths first; an answer is used again only when no fresh pair is left."""
    lengths = {"pass": (10, 100, 1000), "fail": (12, 90, 3000)}
    rows = [candidate("q", verdict, "x" * n) for verdict, all_of in lengths.items() for n in all_of]
    path = write(tmp_path / "run.parquet", rows)

    def pairs(**choices: Any) -> list[tuple[int, int]]:
        found = exported(path, "preference", **choices)
        return [(len(c), len(r)) for c, r in zip(texts(found, "chosen"), texts(found, "rejected"), strict=True)]

    assert pairs() == [(10, 12)]
    assert pairs(pairs_per_query=3) == [(10, 12), (100, 90), (1000, 3000)]
    assert len(set(pairs(pairs_per_query=99))) == 9
    drawn = [pairs(match="random", seed=seed, pairs_per_query=3) for seed in range(4)]
    assert drawn[1] == pairs(match="random", seed=1, pairs_per_query=3)
    assert len({tuple(one) for one in drawn}) > 1
    assert all(len({c for c, _ in one}) == len({r for _, r in one}) == 3 for one in drawn)


def test_each_text_is_there_once_and_at_most_so_many_a_prompt(tmp_path: Path) -> None:
    """Repeated draws of one text count once; one that was judged both ways counts for neither."""
    rows = [candidate("q", "pass", text, candidate_id=str(i)) for i, text in enumerate("AABBCDEF")]
    rows += [candidate("q", "fail", text, candidate_id=f"w{i}") for i, text in enumerate("XXF")]
    path = write(tmp_path / "run.parquet", rows)
    assert texts(exported(path, "sft"), "completion") == ["A", "B", "C", "D"]
    assert texts(exported(path, "sft", answers_per_query=99), "completion") == ["A", "B", "C", "D", "E"]
    unpaired = exported(path, "unpaired")
    assert [(t, row["label"]) for t, row in zip(texts(unpaired, "completion"), unpaired, strict=True)] == [
        *((text, True) for text in "ABCDE"),
        ("X", False),
    ]


def test_prompts_have_references_and_pass_rates_within_bounds(tmp_path: Path) -> None:
    """Over scored candidates; bounds are inclusive; a prompt that was never scored is none."""
    rows = []
    for name, verdicts in {"none": "ffff", "half": "pfpfe", "most": "pppf", "all": "pp", "never": "ee"}.items():
        kinds = {"p": "pass", "f": "fail", "e": "api_error"}
        rows += [candidate(name, kinds[v], f"{i}", reference=name) for i, v in enumerate(verdicts)]
    path = write(tmp_path / "run.parquet", rows)
    every = exported(path, "prompts")
    assert {row["reference"]: (row["pass_rate"], row["scored_candidates"]) for row in every} == {
        "none": (0.0, 4),
        "half": (0.5, 4),
        "most": (0.75, 4),
        "all": (1.0, 2),
    }
    some = exported(path, "prompts", min_pass_rate=0.5, max_pass_rate=0.75)
    assert [row["reference"] for row in some] == ["half", "most"]


def test_json_lines_hold_every_row_as_it_is(tmp_path: Path) -> None:
    """All columns, nulls and times too, also where the first MBs of a column are null."""
    rows = [candidate(f"{i}", "fail", "x" * 2000, candidate_idx=0) for i in range(6000)]
    rows.append(candidate("last", "verifier_error", "5", error="boom\u2028", score=0.95, answer_class=3))
    path = write(tmp_path / "run.parquet", rows)
    read = exported(path, "jsonl")
    assert len(read) == 6001
    for got, wanted in ((read[0], rows[0]), (read[-1], rows[-1])):
        assert list(got) == list(wanted)
        assert got == wanted


def test_thinking_is_dropped_or_kept_in_front(tmp_path: Path) -> None:
    """Wherever a server put it: apart, inside the text, or inside without the opening tag."""
    rows = [
        candidate("apart", response="It is 5.", reasoning="2+3\n"),
        candidate("inside", response="<think>2+3</think>\n\nIt is 5."),
        candidate("half", response="2+3</think>It is 5."),
        candidate("plain", response="It is 5."),
    ]
    path = write(tmp_path / "run.parquet", rows)
    assert texts(exported(path, "sft"), "completion") == ["It is 5."] * 4
    assert texts(exported(path, "sft", reasoning="think"), "completion") == [
        "<think>\n2+3\n</think>\n\nIt is 5.",
        "<think>2+3</think>\n\nIt is 5.",
        "<think>\n2+3</think>It is 5.",
        "It is 5.",
    ]


def test_calls_have_their_arguments_as_objects_beside_the_tools(tmp_path: Path) -> None:
    """In answers and in earlier turns; no null keys; queries without tools stand in the same file."""
    history = [
        {"role": "user", "content": "Weather?"},
        {"role": "assistant", "content": None, "tool_calls": [call("get_weather", {"city": "Ulm"})]},
        {"role": "tool", "tool_call_id": "call_1", "content": "fog"},
        {"role": "user", "content": "And in Bonn, for two days?"},
    ]
    right, wrong = {"city": "Bonn", "days": 2}, {"city": "Bonn", "nested": {"more": [1.5, None, "ü"]}}
    more: dict[str, Any] = {"messages": history, "tools": [WEATHER], "response": None}
    rows = [
        candidate("t", "pass", calls=[call("get_weather", right)], **more),
        candidate("t", "fail", calls=[call("get_weather", wrong)], **more),
        candidate("t", "fail", calls=[call("get_weather", "{city: ")], **more),
        candidate("p", "pass", "right"),
        candidate("p", "fail", "wrong"),
    ]
    tooled, plain = exported(write(tmp_path / "run.parquet", rows), "preference", pairs_per_query=5)
    assert tooled["prompt"][0] == history[0]
    assert tooled["prompt"][1]["tool_calls"][0]["function"] == {"name": "get_weather", "arguments": {"city": "Ulm"}}
    assert tooled["prompt"][1]["content"] == ""
    assert tooled["prompt"][2:] == history[2:]
    answer = {"type": "function", "function": {"name": "get_weather", "arguments": right}}
    assert tooled["chosen"] == [{"role": "assistant", "content": "", "tool_calls": [answer]}]
    assert tooled["rejected"][0]["tool_calls"][0]["function"]["arguments"] == wrong
    assert tooled["tools"] == [WEATHER]
    assert plain["tools"] is None
    assert plain["chosen"] == [{"role": "assistant", "content": "right"}]


def test_a_call_names_its_tool_as_the_tools_do(tmp_path: Path) -> None:
    """A strict API was told `weather_now`, because it takes no dots; the training data says `weather.now`."""
    tools = [{"type": "function", "function": {"name": "weather.now", "parameters": {}}}]
    rows = [candidate("t", "pass", None, tools=tools, calls=[call("weather_now", {})])]
    (row,) = exported(write(tmp_path / "run.parquet", rows), "sft")
    assert row["completion"][0]["tool_calls"][0]["function"]["name"] == row["tools"][0]["function"]["name"]


def test_numbers_of_calls_are_read_exactly_or_left_out(tmp_path: Path) -> None:
    """What `datasets` would read as 0.9500000000000001 is written so that it reads 0.95."""
    exact = {"a": 0.95, "b": 8.854e-12, "c": 2**63, "d": -17, "e": [1e22, 0.1]}
    rows = [
        candidate("a", "pass", None, tools=[WEATHER], calls=[call("get_weather", exact)]),
        candidate("b", "pass", None, tools=[WEATHER], calls=[call("get_weather", '{"n": 1' + "0" * 30 + "}")]),
        candidate("c", "pass", None, tools=[WEATHER], calls=[call("get_weather", '{"n": NaN}')]),
    ]
    (row,) = exported(write(tmp_path / "run.parquet", rows), "sft")
    assert row["completion"][0]["tool_calls"][0]["function"]["arguments"] == exact


def test_no_question_is_in_both_train_and_validation(tmp_path: Path) -> None:
    """Neither its other prompts nor a repeated row of it; and it stays on its side when other runs are added."""
    first = study(tmp_path / "a.parquet", 400)
    rows = [candidate(f"{i}+2", "pass", "new", query_id=f"repeated-{i}") for i in range(400)]
    rows += [
        candidate(f"{i}+2", "pass", "boxed", messages=[{"role": "user", "content": f"In a box: {i}"}])
        for i in range(500)
    ]
    second = write(tmp_path / "b.parquet", rows)
    sides = []
    for paths in ([first], [first, second]):
        out = tmp_path / f"out{len(paths)}"
        export([str(path) for path in paths], Options("sft", 0.2), out)
        read = loaded(out)
        sides.append({side: {json.dumps(row["prompt"][-1]["content"]) for row in read[side]} for side in read})
        asked = {side: {text.split(" ")[-1].rstrip('?"').split("+")[0] for text in sides[-1][side]} for side in read}
        assert not asked["train"] & asked["validation"]
        assert 0.1 < len(asked["validation"]) / 400 < 0.3
    assert sides[0]["train"] < sides[1]["train"]
    assert sides[0]["validation"] < sides[1]["validation"]


def test_several_runs_are_pooled_by_query_and_share_draws(tmp_path: Path) -> None:
    """One draw in two runs is one answer; what one run got and another did not is there; pairs cross runs."""
    a = [
        candidate("one", "pass", "right", candidate_id="d1"),
        candidate("one", "api_error", candidate_id="d2"),
        candidate("two", "fail", "wrong", candidate_id="d3"),
    ]
    b = [
        candidate("two", "pass", "right", candidate_id="d4"),
        candidate("one", "pass", "right", candidate_id="d1"),
        candidate("one", "fail", "wrong", candidate_id="d2"),
    ]
    runs = [write(tmp_path / "a.parquet", a), write(tmp_path / "b.parquet", b)]
    pairs = exported(runs, "preference")
    assert [(row["query_id"], row["chosen_id"], row["rejected_id"]) for row in pairs] == [
        ("id-one", "d1", "d2"),
        ("id-two", "d4", "d3"),
    ]
    assert [(row["candidate_id"], row["verdict"]) for row in exported(runs, "jsonl")] == [
        ("d1", "pass"),
        ("d2", "fail"),
        ("d3", "fail"),
        ("d4", "pass"),
    ]
    rates = {row["query_id"]: row["pass_rate"] for row in exported(runs, "prompts")}
    assert rates == {"id-one": 0.5, "id-two": 0.5}


def test_answers_to_another_prompt_are_not_compared(tmp_path: Path) -> None:
    """The same query asked in other words is a prompt of its own."""
    other = [{"role": "user", "content": "Please: what is q?"}]
    rows = [candidate("q", "pass", "right"), candidate("q", "fail", "wrong", messages=other)]
    path = write(tmp_path / "run.parquet", rows)
    with pytest.raises(ConfigError, match="nothing to export as preference"):
        exported(path, "preference")
    assert {row["pass_rate"] for row in exported(path, "prompts")} == {0.0, 1.0}


@pytest.mark.parametrize("format_name", ["preference", "jsonl"])
def test_small_blocks_and_files_change_nothing_but_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, format_name: str
) -> None:
    """Queries in another order in the second run, read a few at a time, written as many files."""
    first = study(tmp_path / "a.parquet", 40)
    rows = [candidate(f"{i}+2", verdict, f"{verdict} {i}") for i in range(60, 10, -1) for verdict in ("pass", "fail")]
    second = write(tmp_path / "b.parquet", rows, group_queries=3)
    whole = exported([first, second], format_name, validation=0.2)
    monkeypatch.setattr(pool, "BLOCK_BYTES", 1)
    monkeypatch.setattr(files, "FILE_BYTES", 2000)
    monkeypatch.setattr(files, "GROUP_BYTES", 500)
    assert exported([first, second], format_name, validation=0.2) == whole
    named = sorted(path.name for path in tmp_path.glob("out-*/data/train-*") if "-of-00001" not in path.name)
    assert len(named) > 2
    assert named[0].startswith(f"train-00000-of-{len(named):05}.")


@pytest.mark.parametrize("format_name", FORMATS)
def test_the_same_runs_give_the_same_bytes(tmp_path: Path, format_name: str) -> None:
    """Wherever the run lies, and whenever it is exported."""
    contents = []
    for name in ("here", "there"):
        path = study(tmp_path / name / "study.parquet")
        export([str(path)], Options(format_name, 0.2), tmp_path / f"out-{name}")
        files_of = sorted((tmp_path / f"out-{name}").rglob("*.*"))
        contents.append([file.read_bytes() for file in files_of])
    assert contents[0] == contents[1]


def test_nothing_is_overwritten_and_an_empty_result_leaves_nothing(tmp_path: Path) -> None:
    """Exit code 2 and one line; an empty folder may be filled."""
    study(tmp_path / "run.parquet", 20)
    write(tmp_path / "wrong.parquet", [candidate("q", "fail", "x"), candidate("q", "api_error")])
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "mine.txt").write_text("kept")
    (tmp_path / "empty").mkdir()
    for arguments, wanted in (
        (["run.parquet", "-o", "taken"], "taken: is there already"),
        (["run.parquet", "-o", "run.parquet"], "run.parquet: is there already"),
        (
            ["wrong.parquet", "-o", "new/folder"],
            "nothing to export as preference: candidates without a response: 1; prompts with nothing verified",
        ),
        (["none.parquet", "-o", "new/folder"], "none.parquet: no such run"),
    ):
        done = bon(tmp_path, "export", *arguments, "--format", "preference")
        assert done.returncode == 2
        assert len(done.stderr.splitlines()) == 1
        assert wanted in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["empty", "run.parquet", "taken", "wrong.parquet"]
    assert [path.name for path in (tmp_path / "taken").iterdir()] == ["mine.txt"]
    done = bon(tmp_path, "export", "run.parquet", "-o", "empty", "--format", "sft")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "empty" / "README.md").exists()


@pytest.mark.parametrize(
    ("choices", "wanted"),
    [
        ({"format": "dpo"}, "--format: got 'dpo', wanted one of sft, preference"),
        ({"format": "preferences"}, "did you mean preference?"),
        ({"format": "sft", "pairs_per_query": 2}, "--pairs-per-query: is for --format preference, and this is sft"),
        ({"format": "jsonl", "reasoning": "think"}, "--reasoning: is for --format sft or preference or unpaired"),
        ({"format": "sft", "reasoning": "keep"}, "--reasoning: got 'keep', wanted one of drop, think"),
        ({"format": "preference", "pairs_per_query": 0}, "--pairs-per-query: got 0"),
        ({"format": "preference", "match": "lengths"}, "did you mean length?"),
        ({"format": "prompts", "min_pass_rate": 2.0}, "--min-pass-rate: got 2"),
        ({"format": "prompts", "min_pass_rate": 0.8, "max_pass_rate": 0.2}, "above --max-pass-rate"),
        ({"format": "sft", "validation": 1.0}, "--validation: got 1"),
    ],
)
def test_a_choice_that_makes_no_sense_is_named(choices: dict[str, Any], wanted: str) -> None:
    """Also one that another format has."""
    with pytest.raises(ConfigError) as raised:
        Options(**choices)
    assert wanted in str(raised.value)


def test_files_of_the_earlier_system_are_exported_where_they_can_be(tmp_path: Path) -> None:
    """They have no prompts, so the other formats say what is missing."""
    import pandas as pd

    frame = pd.DataFrame(
        {"query_id": ["a", "b"], "split": "math", "candidate_idx": [0, 0], "is_verified": [True, False]}
    )
    frame.to_parquet(tmp_path / "old.parquet")
    rows = exported(tmp_path / "old.parquet", "jsonl")
    assert [(row["query_id"], row["is_verified"]) for row in rows] == [("a", True), ("b", False)]
    with pytest.raises(ConfigError, match="it has no column verdict, verdict_reason"):
        exported(tmp_path / "old.parquet", "sft")


def test_a_real_run_with_tools_and_without_becomes_training_data(tmp_path: Path) -> None:
    """The demo's tool calls and math: asked of a server, judged, exported by its folder, read."""

    def answer(request: Request, _: int) -> str | Reply:
        if request.order % 2:
            return "It is \\boxed{-77}."
        tools = request.body.get("tools") or []
        return Reply("Calling.", tuple((tool["function"]["name"], '{"x": 0.95}') for tool in tools[:1]))

    with FakeApi(reply=answer) as api:
        arguments = ["model=openai-compatible", f"model.base_url={api.url}", "model.name=m", "concurrency=1"]
        done = run(tmp_path, "splits=[math,tool_calling]", "num_candidates=2", *arguments)
        assert done.returncode == 0, done.stderr
        sent = [request.body for request in api.requests]
    done = bon(tmp_path, "export", "outputs/latest", "--format", "unpaired", "-o", "data", "--validation", "0.3")
    assert done.returncode == 0, done.stderr
    rows = [row for side in loaded(tmp_path / "data").values() for row in side]
    assert {row["split"] for row in rows} == {"math", "tool_calling"}
    assert all(row["prompt"] in [body["messages"] for body in sent] for row in rows if row["split"] == "math")
    tooled = [row for row in rows if row["completion"][0].get("tool_calls")]
    assert tooled
    assert all(row["tools"] in [body.get("tools") for body in sent] for row in tooled)
    assert all(
        call["function"]["arguments"] == {"x": 0.95} for row in tooled for call in row["completion"][0]["tool_calls"]
    )
    assert "demo: apache-2.0" in (tmp_path / "data" / "README.md").read_text()
