"""A data set becomes queries: what is read, what is left out and counted, and what a user is told."""

from __future__ import annotations

import dataclasses
import gc
import hashlib
import json
import random
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bon_hydra.queries import aime, gsm8k, humaneval, math500, mbpp, nemotron, tool_calls
from bon_hydra.queries import columns as named_columns
from bon_hydra.queries.dedupe import Seen
from bon_hydra.queries.load import Counts, QuerySource, open_queries
from bon_hydra.queries.parts import Parts, SkippedRow
from bon_hydra.queries.sources import Sources
from bon_hydra.records import Query
from bon_hydra.schema import ColumnsConfig, ConfigError, DatasetConfig

QA = ColumnsConfig(prompt="q", reference="a")
NO_SOURCES = Sources({})


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network, caches and working directory in the test's folder."""
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for name in ("DOWNLOADED_DATASETS_PATH", "EXTRACTED_DATASETS_PATH"):
        monkeypatch.setattr(datasets.config, name, tmp_path / "cache" / name)
    monkeypatch.chdir(tmp_path)


def lines(path: Path | str, rows: Sequence[dict[str, Any]]) -> str:
    """Write rows as JSON lines."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return str(path)


Rows = Sequence[dict[str, Any]]


def opened(rows: Rows, max_queries: int | None = None, **keys: Any) -> tuple[QuerySource, list[Query]]:
    """Rows through a JSONL file; format `columns` over q and a where nothing else is said."""
    keys = {"path": "json", "data_files": lines("my.jsonl", rows), "columns": QA, "splits": ["train"], **keys}
    source = open_queries(DatasetConfig(**keys), None, max_queries)
    return source, list(source)


def one(row: dict[str, Any], **keys: Any) -> Query:
    (query,) = opened([row], **keys)[1]
    return query


def refused(**keys: Any) -> str:
    """The message with which a configuration is refused before any query."""
    splits = keys.pop("top_splits", None)
    with pytest.raises(ConfigError) as error:
        open_queries(DatasetConfig(**{"path": "json", "columns": QA, **keys}), splits, None)
    return str(error.value)


NEMOTRON = pa.schema(
    [
        *((name, pa.string()) for name in ("uuid", "license", "generator", "version", "category", "reasoning")),
        (
            "messages",
            pa.list_(
                pa.struct(
                    {
                        "role": pa.string(),
                        "content": pa.string(),
                        "tool_calls": pa.list_(
                            pa.struct(
                                {
                                    "id": pa.string(),
                                    "type": pa.string(),
                                    "function": pa.struct({"name": pa.string(), "arguments": pa.string()}),
                                }
                            )
                        ),
                    }
                )
            ),
        ),
        ("metadata", pa.string()),
    ]
)


def turn(role: str, content: str, *calls: tuple[str, str]) -> dict[str, Any]:
    functions = [{"name": name, "arguments": arguments} for name, arguments in calls]
    return {
        "role": role,
        "content": content,
        "tool_calls": [{"id": f"c{i}", "type": "function", "function": f} for i, f in enumerate(functions)],
    }


def nemo(category: str, metadata: Any, *turns: dict[str, Any], uuid: str = "u-1") -> dict[str, Any]:
    """A row as published."""
    text = metadata if isinstance(metadata, str) else json.dumps(metadata)
    rest = {"license": "cc-by-4.0", "generator": "g", "version": "v1", "reasoning": "on"}
    return {"uuid": uuid, "category": category, "messages": list(turns), "metadata": text, **rest}


def math_row(question: str, answer: str, uuid: str = "u-1") -> dict[str, Any]:
    metadata = {"expected_answer": answer, "problem_source": "s"}
    return nemo("math", metadata, turn("system", ""), turn("user", question), turn("assistant", "…"), uuid=uuid)


def function(name: str, required: Sequence[str] = (), **properties: str) -> dict[str, Any]:
    types = {name: {"type": kind} for name, kind in properties.items()}
    parameters = {"type": "object", "properties": types, "required": [*required]}
    return {"type": "function", "function": {"name": name, "parameters": parameters}}


WEATHER = function("get_weather", ["city"], city="string", days="integer")


def tool_row(*calls: tuple[str, str], tools: Any = (WEATHER,), question: str = "Weather in Oslo?") -> dict[str, Any]:
    return nemo("tool_calling", {"tools": tools}, turn("user", question), turn("assistant", "", *calls))


def layout(folder: Path, readme: bool, **splits: Sequence[dict[str, Any]]) -> str:
    """A local copy in Nemotron's layout: Parquet files named by the first word of their split."""
    (folder / "data").mkdir(parents=True)
    for split, rows in splits.items():
        table = pa.Table.from_pylist(list(rows), schema=NEMOTRON)
        pq.write_table(table, folder / f"data/{split.partition('_')[0]}-00000-of-00001.parquet")
    if readme:
        configs = "".join(f"  - split: {s}\n    path: data/{s.partition('_')[0]}-*\n" for s in splits)
        (folder / "README.md").write_text(f"---\nconfigs:\n- config_name: default\n  data_files:\n{configs}---\n")
    return str(folder)


class TestNemotron:
    """Rows as published."""

    @pytest.mark.parametrize("readme", [True, False])
    def test_a_local_copy_is_read_with_and_without_a_readme(self, tmp_path: Path, readme: bool) -> None:
        """Files data/tool-* are split tool_calling, whoever says so."""
        rows = {"math": [math_row("1 + 1?", "2")], "tool_calling": [tool_row(("get_weather", '{"city": "Oslo"}'))]}
        path = layout(tmp_path / "copy", readme, **rows)
        source = open_queries(DatasetConfig(path=path, format="nemotron"), ["tool_calling", "math"], None)
        tool, math = source
        assert source.splits == ("tool_calling", "math")
        assert (tool.split, tool.question, tool.verifier) == ("tool_calling", "Weather in Oslo?", "tool_calls")
        assert json.loads(tool.reference or "") == [{"name": "get_weather", "arguments": {"city": "Oslo"}}]
        assert tool.tools == (WEATHER,)
        assert (math.reference, math.verifier, math.source_id, math.tools) == ("2", "math", "u-1", None)
        assert math.row["category"] == "math"

    def test_all_splits_of_a_copy_without_a_readme_have_their_published_names(self, tmp_path: Path) -> None:
        """`splits: null` of such a copy is all of them, tool_calling among them."""
        path = layout(tmp_path / "copy", False, math=[math_row("1?", "1")], tool_calling=[tool_row()])
        assert open_queries(DatasetConfig(path=path, format="nemotron"), None, None).splits == ("math", "tool_calling")

    def test_the_prompt_ends_before_the_first_assistant_turn(self) -> None:
        """Empty system messages are dropped, others stay; later turns are not shown; no call wanted is `[]`."""
        row = nemo(
            "tool_calling",
            {"tools": [WEATHER]},
            turn("system", "Be brief."),
            turn("user", "Hello"),
            turn("assistant", "Hi! Which city?"),
            turn("user", "Oslo"),
            turn("assistant", "", ("get_weather", '{"city": "Oslo"}')),
        )
        parts = nemotron.parts(row, "tool_calling", NO_SOURCES)
        assert parts.messages == ({"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hello"})
        assert parts.reference == "[]"
        assert nemotron.parts(math_row("1?", "1"), "math", NO_SOURCES).messages == ({"role": "user", "content": "1?"},)

    def test_stem_is_multiple_choice_and_chat_is_not_judged(self) -> None:
        """Each kind of row has its verifier; `category` says the kind where the split's name does not."""
        stem = nemo("stem", '{"expected_answer": "\\\\text{A}"}', turn("user", "A or B?"), turn("assistant", "A"))
        chat = nemo("chat", "", turn("user", "Hello"), turn("assistant", "Hi"))
        assert (parts := nemotron.parts(stem, "stem", NO_SOURCES)).reference == "\\text{A}"
        assert parts.verifier == nemotron.parts(stem, "train", NO_SOURCES).verifier == "choice"
        parts = nemotron.parts(chat, "chat", NO_SOURCES)
        assert (parts.reference, parts.verifier) == (None, "none")

    def test_numbers_in_metadata_and_arguments_keep_their_digits(self) -> None:
        """JSON inside a column is read as exactly as JSON outside."""
        row = nemo("math", '{"expected_answer": 1e400}', turn("user", "?"))
        assert nemotron.parts(row, "math", NO_SOURCES).reference == "1E+400"
        call = ("get_weather", '{"city": "Oslo", "days": 0.12345678901234567890}')
        assert "0.12345678901234567890" in str(nemotron.parts(tool_row(call), "tool_calling", NO_SOURCES).reference)

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (tool_row(tools=[WEATHER, WEATHER]), "two tools are called 'get_weather'"),
            (tool_row(tools=[{"type": "function", "function": {}}]), "without a name"),
            (tool_row(("get_wether", "{}")), "'get_wether', which is not among the tools"),
            (tool_row(("get_weather", "{}")), "lacks its required argument 'city'"),
            (tool_row(("get_weather", '{"city": "Oslo", "town": 1}')), "'town' that its tool does not know"),
            (tool_row(("get_weather", "city=Oslo")), "are not JSON"),
            (tool_row(("get_weather", "[1]")), "are not an object"),
            (nemo("tool_calling", "{'tools'", turn("user", "?"), turn("assistant", "")), "'metadata' is not JSON"),
            (nemo("tool_calling", {"tools": []}, turn("user", "?")), "no assistant turn"),
            (nemo("math", "[]", turn("user", "?")), "not a JSON object"),
            (nemo("math", {}, turn("assistant", "!")), "no user turn"),
        ],
    )  # fmt: skip
    def test_a_malformed_row_is_skipped_with_its_reason(self, row: dict[str, Any], reason: str) -> None:
        """Such a row could not be judged fairly, so it is not asked."""
        with pytest.raises(SkippedRow, match=reason):
            nemotron.parts(row, row["category"], NO_SOURCES)

    def test_skipped_rows_are_counted_and_named(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """All are logged, five are kept, and the good ones come through."""
        rows = [tool_row(("nobody", "{}"), question=f"{n}?") for n in range(9)] + [tool_row()]
        path = layout(tmp_path / "copy", True, tool_calling=rows)
        source = open_queries(DatasetConfig(path=path, format="nemotron"), ["tool_calling"], None)
        with caplog.at_level("INFO"):
            assert len(list(source)) == 1
        counts = source.counts["tool_calling"]
        assert (counts.rows_read, counts.skipped, counts.distinct, len(counts.reasons)) == (10, 9, 1, 5)
        assert counts.reasons[0].startswith("tool_calling row 1: the reference calls 'nobody'")
        assert caplog.text.count("Row skipped") == 9


KEYS = ["role", "content", "tool_calls", "function", "name", "arguments", "tools"]
any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner),
    max_leaves=12,
)
any_turns = st.lists(
    st.fixed_dictionaries(
        {"role": st.sampled_from(["system", "user", "assistant", "tool"]) | any_json},
        optional={"content": any_json, "tool_calls": any_json},
    ),
    max_size=4,
)
any_row = st.fixed_dictionaries(
    {},
    optional={
        "messages": any_turns | any_json,
        "metadata": any_json.map(json.dumps)
        | any_json
        | st.fixed_dictionaries({"tools": any_json, "expected_answer": any_json}),
        **dict.fromkeys(("uuid", "question", "answer", "problem", "unique_id", "id", "category", "tools"), any_json),
        **dict.fromkeys(("tool_calls", "function", "ground_truth", "test_list", "test_imports", "code"), any_json),
        **dict.fromkeys(
            ("prompt", "test", "entry_point"), st.sampled_from(["def check(f): 0", "f", "f(", ""]) | any_json
        ),
    },
)


@given(any_row, st.sampled_from(["math", "code", "stem", "tool_calling", "chat", "train"]))
def test_no_row_of_any_shape_breaks_a_format(row: dict[str, Any], split: str) -> None:
    """A row becomes parts, or is skipped with a reason; it never ends the run."""
    formats: list[Callable[[], Parts]] = [
        lambda: nemotron.parts(row, split, NO_SOURCES),
        lambda: gsm8k.parts(row),
        lambda: math500.parts(row),
        lambda: aime.parts(row),
        lambda: humaneval.parts(row),
        lambda: mbpp.parts(row),
        lambda: tool_calls.parts(row),
        lambda: named_columns.parts(row, ColumnsConfig(prompt="question", reference="answer", id="id", tools="tools")),
        lambda: named_columns.parts(row, ColumnsConfig(messages="messages", reference="metadata")),
    ]
    for parts_of in formats:
        try:
            parts = parts_of()
        except SkippedRow:
            continue
        assert any(m["role"] == "user" for m in parts.messages)
        assert parts.reference is None or isinstance(parts.reference, str)


class TestBenchmarks:
    """Small published sets."""

    def test_gsm8k_takes_what_follows_the_hashes(self) -> None:
        """Commas of thousands are stripped; a row without a final answer is skipped."""
        query = one({"question": "How many?", "answer": "She has #### two.\n#### 1,234,567 "}, format="gsm8k")
        assert (query.question, query.reference, query.verifier) == ("How many?", "1234567", "math")
        with pytest.raises(SkippedRow, match="####"):
            gsm8k.parts({"question": "How many?", "answer": "12"})

    def test_math500_keeps_what_is_asked_for(self) -> None:
        """unique_id names the row; kept columns are JSON."""
        row = {"problem": "$1+1$?", "answer": "2", "subject": "Algebra", "level": 2, "unique_id": "t/1.json"}
        query = one(row, format="math500", keep=["subject", "level"])
        assert (query.reference, query.source_id) == ("2", "t/1.json")
        assert query.source_meta == '{"subject": "Algebra", "level": 2}'

    def test_aime_may_hold_its_answers_as_numbers(self) -> None:
        """204 and "204" are one reference."""
        assert one({"id": 60, "problem": "?", "answer": 204}, format="aime").reference == "204"
        assert one({"id": 60, "problem": "?", "answer": "204"}, format="aime").source_id == "60"


class TestColumns:
    """Any data set by its columns' names."""

    def test_a_row_by_its_columns(self) -> None:
        """Prompt, reference and id; lists become JSON; without a reference nothing is judged."""
        names = ColumnsConfig(prompt="q", reference="a", id="n")
        query = one({"q": "Which?", "a": ["x", 0.95], "n": 7}, columns=names)
        assert (query.question, query.reference, query.source_id) == ("Which?", '["x", 0.95]', "7")
        assert query.verifier == "exact"
        assert one({"q": "Which?"}, columns=ColumnsConfig(prompt="q")).verifier == "none"

    @pytest.mark.parametrize("as_json", [True, False])
    def test_a_conversation_with_tools(self, as_json: bool) -> None:
        """Lists, or JSON texts of them; the assistant's last turns are the answer, earlier ones are context."""
        said = [("user", "Hi"), ("assistant", "Yes?"), ("user", "Oslo?"), ("assistant", "!")]
        turns = [{"role": role, "content": content} for role, content in said]
        row: dict[str, Any] = {"m": turns, "t": [WEATHER], "a": "x"}
        row = {key: json.dumps(value) if as_json else value for key, value in row.items()}
        query = one(row, columns=ColumnsConfig(messages="m", tools="t", reference="a"))
        assert query.messages == tuple(turns[:3])
        assert (query.question, query.tools) == ("Oslo?", (WEATHER,))

    def test_a_split_column_says_which_row_is_of_which_split(self) -> None:
        """Rows of other values are not this split's, nor counted as such."""
        rows = [{"q": f"{n}", "a": n, "s": "odd" if n % 2 else "even"} for n in range(10)]
        names = ColumnsConfig(prompt="q", reference="a", split="s")
        queries = opened(rows, 3, columns=names, splits=["odd", "even"])[1]
        assert [(q.split, q.question) for q in queries] == [("odd", n) for n in "135"] + [("even", n) for n in "024"]
        assert opened(rows, columns=names, splits=["odd"])[0].counts["odd"].rows_read == 5

    def test_an_unknown_value_of_the_split_column_is_refused_before_any_query(self) -> None:
        """The values there are stand in the message."""
        file = lines("my.jsonl", [{"q": "1", "a": 1, "s": "easy"}, {"q": "2", "a": 1, "s": "hard"}])
        names = ColumnsConfig(prompt="q", reference="a", split="s")
        message = refused(data_files=file, columns=names, splits=["easy", "hrad"])
        assert message == "dataset.splits: got 'hrad', and column 's' has easy, hard; did you mean hard?"
        assert "needs the values of column 's'" in refused(data_files=file, columns=names)

    def test_any_format_reads_a_file_of_ones_own(self) -> None:
        """`dataset.path=json dataset.data_files=my.jsonl dataset.splits=[train]`, here with Nemotron's rows."""
        query = one(math_row("1 + 1?", "2"), format="nemotron")
        assert (query.split, query.reference, query.verifier) == ("train", "2", "math")

    def test_text_in_csv_stays_as_it_is_written(self) -> None:
        """007 is no 7, 0.10 no 0.1, NA no null; an empty cell is."""
        Path("my.csv").write_text("q,a\n007,0.10\nNA,123456789012345678901234567890\nx,\n")
        source = open_queries(DatasetConfig(path="csv", data_files="my.csv", columns=QA), ["train"], None)
        found = [(q.question, q.reference) for q in source]
        assert found == [("007", "0.10"), ("NA", "123456789012345678901234567890"), ("x", None)]

    def test_verifiers_may_be_named_for_all_or_by_split(self) -> None:
        """A split that the map leaves out keeps the format's own; an unknown split is refused."""
        assert one({"q": "1", "a": 1}, verifier="math").verifier == "math"
        assert one({"q": "1", "a": 1}, verifier={"train": "math"}).verifier == "math"
        message = refused(data_files="my.jsonl", verifier={"tain": "math"})
        assert message == "dataset.verifier: there is no split 'tain'; did you mean train?"


class TestIdentity:
    """query_id, duplicates and how many."""

    def test_ids_depend_on_the_row_alone(self) -> None:
        """Other rows, their order, kept columns, verifier or max_queries change no id; another reference does."""
        rows = [{"q": f"question {n}", "a": n} for n in range(20)]
        ids = {q.question: q.query_id for q in opened(rows)[1]}
        backwards = opened(rows[::-1][:7], 5, keep=["a"], verifier="math", shuffle_seed=3)[1]
        assert all(ids[q.question] == q.query_id for q in backwards)
        assert len(set(ids.values())) == 20
        assert one({"q": "question 3", "a": 4}).query_id != ids["question 3"]

    def test_an_id_is_what_it_was_when_it_was_first_written_down(self) -> None:
        """The start of a sha256 over split, messages, tools and reference; old files rely on it."""
        text = '["train",[{"content":"What is 1 + 1?","role":"user"}],null,"2"]'
        query_id = one({"q": "What is 1 + 1?", "a": 2}).query_id
        assert query_id == hashlib.sha256(text.encode()).hexdigest()[:16] == "04e45e0057a18c5c"

    def test_duplicates_are_dropped_and_those_that_disagree_are_counted(self) -> None:
        """The first row of a question wins."""
        rows = [{"q": "A?", "a": 1}, {"q": "B?", "a": 1}, {"q": "A?", "a": 1}, {"q": "A?", "a": 2}, {"q": "B?", "a": 3}]
        source, queries = opened(rows)
        assert [(q.question, q.reference) for q in queries] == [("A?", "1"), ("B?", "1")]
        assert source.counts["train"] == Counts("whole", rows_read=5, distinct=2, duplicates=3, disagreeing=2)

    def test_one_question_with_other_tools_is_another_question(self) -> None:
        """Tools are part of what is asked."""
        rows = [{"q": "A?", "a": 1, "t": [function("f")]}, {"q": "A?", "a": 1, "t": [function("g")]}]
        assert len(opened(rows, columns=ColumnsConfig(prompt="q", reference="a", tools="t"))[1]) == 2

    def test_without_dedupe_repeated_rows_are_queries_of_their_own(self) -> None:
        """The first keeps the id it has with dedupe, and occurrences keep theirs whatever stands between them."""
        rows = [{"q": "A?", "a": 1}] * 3 + [{"q": "A?", "a": 2}]
        with_dedupe = opened(rows)[1][0].query_id
        ids = [q.query_id for q in opened(rows, dedupe=False)[1]]
        assert len(set(ids)) == 4
        assert ids[0] == with_dedupe
        mixed = [rows[0], rows[3], {"q": "B?", "a": 1}, rows[1], rows[2]]
        again = opened(mixed, dedupe=False)[1]
        assert [q.query_id for q in again if q.question == "A?" and q.reference == "1"] == ids[:3]

    def test_max_queries_counts_queries_of_each_split_and_says_what_was_taken(self, tmp_path: Path) -> None:
        """`head` where more rows follow, `whole` where the split was read to its end."""
        rows = [math_row(f"{n // 2}?", "1") for n in range(10)]
        path = layout(tmp_path / "copy", True, math=rows, stem=[math_row("x?", "1")])
        source = open_queries(DatasetConfig(path=path, format="nemotron"), ["math", "stem"], 2)
        assert [q.split for q in source] == ["math", "math", "stem"]
        assert (source.counts["math"].sample, source.counts["stem"].sample) == ("head", "whole")
        assert source.counts["math"].rows_read == 3
        shuffled = dataclasses.replace(source, dataset=dataclasses.replace(source.dataset, shuffle_seed=0))
        list(shuffled)
        assert (shuffled.counts["math"].sample, shuffled.counts["stem"].sample) == ("shuffled", "whole")

    def test_a_source_can_be_read_again(self) -> None:
        """The second time gives the same queries and counts."""
        source, queries = opened([{"q": "A?", "a": 1}, {"q": "A?", "a": 1}])
        counts = dataclasses.replace(source.counts["train"])
        assert list(source) == queries
        assert source.counts["train"] == counts


class TestSeen:
    """The table of questions."""

    @given(st.lists(st.tuples(st.integers(0, 2**64 - 1) | st.integers(0, 300), st.integers(0, 99)), max_size=400))
    def test_it_behaves_like_a_dict(self, pairs: list[tuple[int, int]]) -> None:
        """The first value of a key stands, until it is replaced."""
        seen, known = Seen(), dict[int, int]()
        for key, value in pairs:
            key = key or 1
            assert seen.add(key, value) == known.get(key)
            known.setdefault(key, value)
            if value % 3 == 0:
                seen.replace(key, value)
                known[key] = value
        assert len(seen) == len(known)

    def test_it_takes_at_most_32_bytes_a_question_also_while_it_grows(self) -> None:
        """Measured by the allocator over 60,000 questions, at every thousandth and at its peak."""
        draw = random.Random(0)
        tracemalloc.start()
        seen = Seen()
        for count in range(1, 60_001):
            seen.add(draw.getrandbits(64), 0)
            if count % 1000 == 0:
                assert tracemalloc.get_traced_memory()[1] <= 32 * count + 16_000 + 200 * 64
                assert seen.nbytes <= 32 * count
        tracemalloc.stop()
        assert len(seen) == 60_000

    def test_memory_does_not_grow_with_the_rows_beside_it(self, tmp_path: Path) -> None:
        """Ten times the rows, and hardly more memory at the peak."""

        def peak(rows: int) -> int:
            file = tmp_path / f"{rows}.jsonl"
            file.write_text("".join(f'{{"q": "question {n}", "a": {n}}}\n' for n in range(rows)))
            source = open_queries(DatasetConfig(path="json", data_files=str(file), columns=QA), ["train"], None)
            gc.collect()
            tracemalloc.start()
            assert sum(1 for _ in source) == rows
            highest = tracemalloc.get_traced_memory()[1]
            tracemalloc.stop()
            return highest

        peak(10)
        assert peak(8_000) - peak(800) <= 32 * 7_200


class TestMistakes:
    """What a user can get wrong is told before the first query, by its key."""

    def test_a_file_that_is_not_there_is_named_with_the_nearest(self) -> None:
        """The full path, so that a wrong working directory is seen."""
        lines("mine.jsonl", [{"q": "1", "a": 1}])
        path = Path.cwd() / "mine.json"
        assert refused(data_files="mine.json") == (
            f"dataset.data_files: got 'mine.json', and there is no file {path}; did you mean mine.jsonl?"
        )
        assert "there is no file" in refused(data_files=["mine.jsonl", "other.jsonl"])
        assert "split 'test' has no such file" in refused(data_files={"train": "mine.jsonl", "test": "x*.jsonl"})

    def test_a_folder_that_is_not_there(self) -> None:
        """A path is not taken for a name on the Hub."""
        Path("copies").mkdir()
        assert refused(path="./copis").endswith("got './copis', and there is no such folder; did you mean copies?")
        assert "no such folder" in refused(path="/no/such/place")

    def test_files_and_folders_in_the_wrong_key(self) -> None:
        """Each says which key it belongs to."""
        file = lines("data/mine.jsonl", [{"q": "1", "a": 1}])
        assert f"dataset.path=json dataset.data_files={file}" in refused(path=file)
        assert "is a folder" in refused(data_files="data")
        assert refused().startswith("dataset.data_files: needs a file")
        assert refused(data_files=7).startswith("dataset.data_files: got 7")

    def test_without_a_network_the_hub_is_told_apart_from_a_folder(self) -> None:
        """The message says what to do instead."""
        message = refused(path="openai/gsm8k", name="main", format="gsm8k")
        assert message.startswith("dataset.path: got 'openai/gsm8k', which is no folder here, and the Hub cannot be")
        assert "HF_HUB_OFFLINE" in message

    def test_an_unknown_split(self, tmp_path: Path) -> None:
        """What it got, which there are, and the nearest; under the key that said it."""
        path = layout(tmp_path / "copy", True, math=[math_row("1?", "1")], stem=[math_row("1?", "1")])
        assert refused(path=path, format="nemotron", splits=["mth"]) == (
            "dataset.splits: got 'mth', and the data set has math, stem; did you mean math?"
        )
        message = refused(path=path, format="nemotron", splits=["math"], top_splits=["stm"])
        assert message.startswith("splits: got 'stm'")
        assert refused(path=path, format="nemotron", splits=[]).startswith("dataset.splits: got an empty list")

    def test_an_unknown_format_or_column(self) -> None:
        """The columns there are stand in the message."""
        file = lines("my.jsonl", [{"question": "1", "answer": 1}])
        assert refused(data_files=file, format="gms8k").endswith("did you mean gsm8k?")
        assert refused(data_files=file, format="math500").startswith(
            "dataset.format: math500 needs a column 'problem', and split 'train' has the columns question, answer."
        )
        columns = ColumnsConfig(prompt="questoin")
        assert refused(data_files=file, columns=columns) == (
            "dataset.columns.prompt: got 'questoin', and split 'train' has the columns question, answer; "
            "did you mean question?"
        )
        assert refused(data_files=file, columns=ColumnsConfig()).startswith("dataset.columns.prompt: needs the name")
        assert "one of the two" in refused(data_files=file, columns=ColumnsConfig(prompt="question", messages="answer"))
        keep = {"columns": ColumnsConfig(prompt="question"), "keep": ["levl"]}
        assert refused(data_files=file, **keep).startswith("dataset.keep: got 'levl'")

    def test_a_configuration_of_the_set_that_is_missing_or_unknown(self, tmp_path: Path) -> None:
        """Sets with several ask for dataset.name."""
        path = layout(tmp_path / "copy", False, math=[math_row("1?", "1")])
        configs = "".join(f"- config_name: {name}\n  data_files: data/math-*\n" for name in ("main", "socratic"))
        Path(path, "README.md").write_text(f"---\nconfigs:\n{configs}---\n")
        names = ColumnsConfig(prompt="uuid")
        assert refused(path=path, columns=names) == "dataset.name: needs a value: one of main, socratic"
        assert refused(path=path, columns=names, name="socrtic") == (
            "dataset.name: got 'socrtic', wanted one of main, socratic; did you mean socratic?"
        )

    @pytest.mark.parametrize(
        ("name", "content", "said"),
        [
            ("empty.jsonl", b"", "holds no rows"),
            ("bad.jsonl", b"{\n{\n", "bad.jsonl:1: not JSON"),
            ("bad.parquet", b"PAR0", "bad.parquet is no Parquet file"),
            ("bad.jsonl.gz", b"\x1f\x8bnot gzip", "cannot be read"),
        ],
    )
    def test_files_that_hold_nothing_readable(self, name: str, content: bytes, said: str) -> None:
        """Nothing is asked of a file that is empty, broken or of another kind."""
        Path(name).write_bytes(content)
        kind = "parquet" if name.endswith("parquet") else "json"
        message = refused(path=kind, data_files=name)
        assert message.startswith("dataset.data_files: split 'train' ")
        assert said in message

    def test_an_empty_folder(self) -> None:
        """A folder without data files is not a data set."""
        Path("nothing").mkdir()
        assert refused(path="nothing").startswith("dataset.path: nothing holds no data files")


class TestProvenance:
    """What a saved configuration needs to find the same rows again."""

    def test_paths_are_absolute_and_the_revision_follows_the_content(self) -> None:
        """The same content elsewhere has the same revision; one changed character has another."""
        rows = [{"q": "1", "a": 1}]
        first, second = (opened(rows, data_files=lines(f"{d}/my.jsonl", rows))[0] for d in ("here", "there"))
        changed = opened(rows, data_files=lines("here/my.jsonl", [{"q": "1", "a": 2}]))[0]
        assert first.data_files == str(Path.cwd() / "here/my.jsonl")
        assert first.revision == second.revision != changed.revision
        assert first.revision.startswith("sha256:")

    def test_a_folder_is_absolute_and_only_the_splits_in_use_count(self, tmp_path: Path) -> None:
        """Another split's file may change."""
        rows = [math_row("1?", "1")]
        path = layout(tmp_path / "copy", True, math=rows, stem=rows)
        dataset = DatasetConfig(path="copy", format="nemotron")
        before = open_queries(dataset, ["math"], None)
        pq.write_table(pa.Table.from_pylist(rows * 2, schema=NEMOTRON), Path(path, "data/stem-00000-of-00001.parquet"))
        assert before.path == path
        assert open_queries(dataset, ["math"], None).revision == before.revision
        assert open_queries(dataset, ["stem"], None).revision != before.revision

    def test_the_demo_is_found_by_its_name_in_any_folder(self) -> None:
        """It keeps its name, so that a saved configuration works elsewhere."""
        source = open_queries(DatasetConfig(path="demo", format="nemotron"), ["math", "tool_calling"], 5)
        assert source.path == "demo"
        assert [q.split for q in source] == ["math"] * 5 + ["tool_calling"] * 5

    def test_no_row_of_the_demo_is_skipped_or_double(self) -> None:
        """What we ship is clean."""
        source = open_queries(DatasetConfig(path="demo", format="nemotron"), ["math", "tool_calling"], None)
        assert len(list(source)) >= 50
        assert all(c.sample == "whole" and not c.skipped and not c.duplicates for c in source.counts.values())
