"""The code split's questions and tests are joined from their sources, reading only the rows that are pointed to."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fsspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bon_hydra.queries import lookup, sources
from bon_hydra.queries.load import DatasetError, QuerySource, open_queries
from bon_hydra.queries.lookup import Table
from bon_hydra.queries.parts import SkippedRow
from bon_hydra.queries.sources import ORIGINS, Sources
from bon_hydra.records import Query
from bon_hydra.schema import ConfigError, DatasetConfig, SourcesConfig
from bon_hydra.verifiers.code import tests_of as read_tests

Row = dict[str, Any]


@pytest.fixture(autouse=True)
def alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No network; caches in the test's folder."""
    import datasets.config
    import huggingface_hub.constants

    monkeypatch.setattr(datasets.config, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))


def taco(number: int, **cases: Any) -> Row:
    cases = cases or {"inputs": [f"{number}\n"], "outputs": [f"{2 * number}\n"]}
    return {
        "question": f"Double it, {number}.",
        "starter_code": "",
        "input_output": json.dumps(cases),
        "solutions": "[]",
    }


def parquet(path: Path, rows: list[Row], row_group_size: int = 1000) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows), path, row_group_size=row_group_size)
    return path


def nemotron(folder: Path, *points: Row, question: str = "-") -> Path:
    """A code split whose rows point so."""
    rows = [
        {
            "uuid": f"u-{number}",
            "category": "code",
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": "…"}],
            "metadata": json.dumps(point),
        }
        for number, point in enumerate(points)
    ]
    return parquet(folder / "data" / "code-00000-of-00001.parquet", rows).parent.parent


def at(index: Any, dataset: str = "taco", split: str = "train") -> Row:
    return {"source": "codechef", "dataset": dataset, "split": split, "index": index}


def opened(path: Path | str, **given: str) -> tuple[QuerySource, list[Query]]:
    config = DatasetConfig(path=str(path), format="nemotron", sources=SourcesConfig(**given))
    source = open_queries(config, ["code"], None)
    return source, list(source)


def test_a_row_is_joined_with_its_question_and_tests(tmp_path: Path) -> None:
    """By data set, split and index, which may be a number or a text."""
    copy = tmp_path / "TACO"
    parquet(copy / "ALL/train-00000-of-00002.parquet", [taco(n) for n in range(3)])
    parquet(copy / "ALL/train-00001-of-00002.parquet", [taco(n) for n in range(3, 7)], row_group_size=2)
    parquet(copy / "ALL/test-00000-of-00001.parquet", [taco(100)])
    parquet(copy / "EASY/train-00000-of-00001.parquet", [taco(200)])
    rows = nemotron(tmp_path / "copy", at("5"), at(2), at("0", split="test"))
    _, queries = opened(rows, taco=str(copy))
    assert [query.question for query in queries] == ["Double it, 5.", "Double it, 2.", "Double it, 100."]
    assert queries[0].messages == ({"role": "user", "content": "Double it, 5."},)
    assert (queries[0].verifier, queries[0].source_id) == ("code", "u-0")
    assert read_tests(queries[0].reference) == {"kind": "stdio", "inputs": ["5\n"], "outputs": ["10\n"]}


LAYOUTS: dict[str, Callable[[Path, list[Row]], Path | str]] = {
    "the Hub's folder": lambda folder, rows: parquet(folder / "ALL/train-00000-of-00001.parquet", rows).parent.parent,
    "the folder of its files": lambda folder, rows: parquet(folder / "train-00000-of-00001.parquet", rows).parent,
    "the Hub's converted files": lambda folder, rows: parquet(folder / "all/train/0000.parquet", rows).parents[2],
    "a part of them": lambda folder, rows: parquet(folder / "default/partial-train/0000.parquet", rows).parents[2],
    "one file": lambda folder, rows: parquet(folder / "mine.parquet", rows),
    "one file named after its split": lambda folder, rows: parquet(folder / "train.parquet", rows),
    "a pattern": lambda folder, rows: f"{parquet(folder / 'train-1.parquet', rows).parent}/*.parquet",
    "lines of JSON": lambda folder, rows: lines(folder / "train.jsonl", rows).parent,
    "what datasets saved": lambda folder, rows: saved(folder, rows),
}


def lines(path: Path, rows: list[Row]) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n\n" for row in rows))
    return path


def saved(folder: Path, rows: list[Row]) -> Path:
    from datasets import Dataset, DatasetDict

    DatasetDict({"train": Dataset.from_list(rows)}).save_to_disk(str(folder))
    return folder


@pytest.mark.parametrize("layout", LAYOUTS.values(), ids=LAYOUTS)
def test_a_local_copy_may_be_a_folder_a_file_or_a_pattern(
    tmp_path: Path, layout: Callable[[Path, list[Row]], Path | str]
) -> None:
    """Of a copy in whatever layout the same row has the same number; another split is not there."""
    path = layout(tmp_path / "source", [taco(n) for n in range(5)])
    found = Sources({"taco": str(path)})
    assert found.problem("taco", "train", 3).question == "Double it, 3."
    with pytest.raises(SkippedRow, match="taco train has 5 rows, none of index 5"):
        found.problem("taco", "train", "5")
    if Path(str(path)).name != "mine.parquet":
        with pytest.raises(SkippedRow, match="taco has no split 'test'"):
            found.problem("taco", "test", "0")


def test_missing_rows_are_skipped_named_and_counted(tmp_path: Path) -> None:
    """The good ones come through."""
    copy = parquet(tmp_path / "t/train-0.parquet", [taco(0), taco(1, inputs=["1"], outputs=[])]).parent
    points = [at("0"), at("7"), at("0", split="test"), at("0", "leetcode"), at("x"), at(None), at("1"), at("-1"), {}]
    source, queries = opened(nemotron(tmp_path / "copy", *points), taco=str(copy))
    counts = source.counts["code"]
    assert (len(queries), counts.rows_read, counts.skipped) == (1, 9, 8)
    assert [reason.partition(": ")[2] for reason in counts.reasons] == [
        "taco train has 2 rows, none of index 7",
        "taco has no split 'test'",
        "metadata.dataset is 'leetcode', none of taco, apps, code_contests, codeforces",
        "metadata.split and index are 'train' and 'x', no row of taco",
        "metadata.split and index are 'train' and None, no row of taco",
    ]


def test_the_demo_brings_its_own_source() -> None:
    """Nothing need be said for it, and every row finds its task."""
    source, queries = opened("demo")
    assert source.counts["code"].skipped == 0
    assert len(queries) == source.counts["code"].rows_read >= 24
    kinds = [read_tests(query.reference)["kind"] for query in queries]
    assert {"calls", "stdio"} == set(kinds)
    assert all(query.question.strip() != "-" for query in queries)


def test_a_row_that_has_a_question_keeps_it(tmp_path: Path) -> None:
    """Only the dash stands for the source's."""
    copy = parquet(tmp_path / "t/train-0.parquet", [taco(0)]).parent
    _, (query,) = opened(nemotron(tmp_path / "copy", at("0"), question="Halve it."), taco=str(copy))
    assert query.question == "Halve it."


def test_only_the_row_groups_that_are_needed_are_read(tmp_path: Path) -> None:
    """All others may be destroyed, and columns that nobody needs."""
    path = parquet(tmp_path / "train-0.parquet", [taco(n) | {"tags": "x" * 500} for n in range(40)], row_group_size=10)
    group = pq.ParquetFile(path).metadata.row_group(2)
    needed = [group.column(i) for i in range(group.num_columns)]
    spans = [
        (column.dictionary_page_offset or column.data_page_offset, column.total_compressed_size)
        for column in needed
        if column.path_in_schema in {"question", "starter_code", "input_output"}
    ]
    content = bytearray(path.read_bytes())
    footer = int.from_bytes(content[-8:-4], "little") + 8
    for position in range(4, len(content) - footer):
        if not any(start <= position < start + size for start, size in spans):
            content[position] = 0xFF
    path.write_bytes(content)
    found = Sources({"taco": str(path)})
    assert [found.problem("taco", "train", n).question for n in (20, 29)] == ["Double it, 20.", "Double it, 29."]
    with pytest.raises(sources.SourceError, match=r"dataset\.sources\.taco=PATH"):
        found.problem("taco", "train", 19)


@given(
    sizes=st.lists(st.tuples(st.integers(1, 30), st.integers(1, 12)), min_size=1, max_size=4),
    chosen=st.lists(st.integers(0, 200), min_size=1, max_size=5),
)
def test_every_number_finds_its_row_whatever_the_files(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[tuple[int, int]], chosen: list[int]
) -> None:
    """Files in the order of their names, row groups in theirs; over the network and from the cache alike."""
    folder, first = tmp_path_factory.mktemp("table"), 0
    for number, (rows, group) in enumerate(sizes):
        parquet(folder / f"data/train-{number:05}.parquet", [{"n": first + n} for n in range(rows)], group)
        first += rows
    for root in (str(folder), f"file://{folder}", f"file://{folder}"):
        table = Table(root, "train", ["n"], [], folder / "cache")
        assert len(table) == first
        assert [table.row(n % first) for n in chosen] == [{"n": n % first} for n in chosen]


class TestCache:
    """Row groups of what is not local."""

    @pytest.fixture
    def remote(self, tmp_path: Path) -> str:
        """A source that is gone once it was read: in memory, at an URL."""
        path = parquet(tmp_path / "train-0.parquet", [taco(n) for n in range(30)], row_group_size=10)
        folder = f"/taco-{tmp_path.name}"
        files = fsspec.filesystem("memory")
        files.pipe(f"{folder}/data/train-00000-of-00001.parquet", path.read_bytes())
        return f"memory:/{folder}"

    def test_a_row_group_is_fetched_once(self, tmp_path: Path, remote: str) -> None:
        """Then it is on disk, for other processes too; another one is not."""
        assert Sources({"taco": remote}).problem("taco", "train", 12).question == "Double it, 12."
        files = fsspec.filesystem("memory")
        name = remote.removeprefix("memory:/") + "/data/train-00000-of-00001.parquet"
        files.pipe(name, b"\0" * files.info(name)["size"])
        again = Sources({"taco": remote})
        assert again.problem("taco", "train", 19).question == "Double it, 19."
        with pytest.raises(sources.SourceError, match="cannot be read"):
            again.problem("taco", "train", 5)
        assert [path.name for path in (tmp_path / "xdg/bon_hydra/sources").rglob("*-1.parquet")] != []

    def test_only_columns_that_are_needed_are_kept(self, tmp_path: Path, remote: str) -> None:
        """Solutions are what makes sources large."""
        Sources({"taco": remote}).problem("taco", "train", 12)
        (kept,) = (tmp_path / "xdg").rglob("*.parquet")
        assert pq.read_schema(kept).names == ["question", "input_output", "starter_code"]

    def test_a_changed_source_is_read_anew(self, tmp_path: Path, remote: str) -> None:
        """The cache knows the files' sizes; the Hub's are pinned to a commit anyway."""
        Sources({"taco": remote}).problem("taco", "train", 12)
        path = parquet(tmp_path / "new.parquet", [taco(n + 1000) for n in range(30)])
        name = remote.removeprefix("memory:/") + "/data/train-00000-of-00001.parquet"
        fsspec.filesystem("memory").pipe(name, path.read_bytes())
        assert Sources({"taco": remote}).problem("taco", "train", 12).question == "Double it, 1012."

    def test_nothing_half_written_is_ever_in_the_cache(self, tmp_path: Path) -> None:
        """A file is there whole or not at all."""
        lookup._write(tmp_path / "a/b.json", b"1")
        assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.json"]


def test_a_hub_that_cannot_be_reached_ends_the_reading_with_what_to_do(tmp_path: Path) -> None:
    """It is no row's fault, so no row is skipped."""
    with pytest.raises(DatasetError) as error:
        opened(nemotron(tmp_path / "copy", at("0", "apps")))
    assert "questions and tests in codeparrot/apps cannot be read" in str(error.value)
    assert str(error.value).endswith("dataset.sources.apps=PATH")


def test_a_source_without_its_columns_says_so(tmp_path: Path) -> None:
    """It is another data set."""
    copy = parquet(tmp_path / "t/train-0.parquet", [{"question": "?"}]).parent
    with pytest.raises(DatasetError, match=r"dataset\.sources\.taco: .* has no column 'input_output'"):
        opened(nemotron(tmp_path / "copy", at("0")), taco=str(copy))


def test_a_local_copy_that_is_not_there_is_refused_at_once(tmp_path: Path) -> None:
    """Before any row is read, with the nearest name."""
    (tmp_path / "TACO").mkdir()
    with pytest.raises(ConfigError) as error:
        opened("demo", taco=str(tmp_path / "TACOS"))
    assert str(error.value).startswith(f"dataset.sources.taco: got '{tmp_path / 'TACOS'}', and there is no such folder")
    assert "TACO" in str(error.value).rpartition("file")[2]


def read(name: str, row: Row) -> tuple[str, Row]:
    problem = ORIGINS[name].read(row)
    return problem.question, read_tests(problem.tests)


class TestTaco:
    """TACO, and APPS with the same columns."""

    def test_calls_keep_their_arguments_and_results(self) -> None:
        """Results stay as they are, wrapped or not; a bare argument becomes a list of one."""
        row = taco(0, fn_name="twice", inputs=[[1], [[2, 3]], "ab"], outputs=[[2], [[4, 6]], "abab"])
        question, tests = read("taco", row | {"question": "Write `twice(x)`."})
        assert question == "Write `twice(x)`."
        assert tests == {
            "kind": "calls",
            "fn_name": "twice",
            "inputs": [[1], [[2, 3]], ["ab"]],
            "outputs": [[2], [[4, 6]], "abab"],
        }

    @pytest.mark.parametrize(
        ("starter", "shown"),
        [
            ("def twice(x):\n\t", "Double it, 0.\n\nStart from this code:\n\ndef twice(x):"),
            ("", "Double it, 0.\n\nThe function is called twice."),
            (None, "Double it, 0.\n\nThe function is called twice."),
        ],
    )
    def test_a_question_that_does_not_name_its_function_is_told_it(self, starter: str | None, shown: str) -> None:
        """Or no answer could be right."""
        row = taco(0, fn_name="twice", inputs=[[1]], outputs=[2]) | {"starter_code": starter}
        assert read("apps", row)[0] == shown

    def test_lines_of_a_text_may_be_a_list(self) -> None:
        """A list is never several accepted outputs here."""
        _, tests = read("taco", taco(0, inputs=[["2", "3 4"], "5"], outputs=[["1", 2], 7]))
        assert (tests["inputs"], tests["outputs"]) == (["2\n3 4", "5"], ["1\n2", "7"])

    def test_numbers_keep_their_digits(self) -> None:
        """Results are compared; they must be what they were."""
        cases = '{"fn_name": "f", "inputs": [[12345678901234567890123]], "outputs": [0.1000000000000000055]}'
        problem = ORIGINS["taco"].read({"question": "f", "input_output": cases})
        assert "[[12345678901234567890123]]" in problem.tests
        assert "0.1000000000000000055" in problem.tests

    @pytest.mark.parametrize(
        ("row", "reason"),
        [
            (taco(0) | {"input_output": "{"}, "input_output is not JSON"),
            (taco(0) | {"input_output": ""}, "input_output is not JSON"),
            (taco(0) | {"input_output": None}, "input_output is not JSON"),
            (taco(0) | {"input_output": "[]"}, "no lists of inputs and outputs"),
            (taco(0, inputs=[], outputs=[]), "it has no tests"),
            (taco(0, inputs=["1", "2"], outputs=["1"]), "2 inputs and 1 outputs"),
            (taco(0, inputs=["1"], outputs=["1", "2"]), "1 inputs and 2 outputs"),
            (taco(0, fn_name="a b", inputs=[[1]], outputs=[1]), "no function's name"),
            (taco(0, fn_name="f", inputs=[[1]], outputs=[]), "1 inputs and 0 outputs"),
            (taco(0) | {"question": " "}, "no text in column 'question'"),
        ],
    )
    def test_a_row_that_cannot_be_tested_is_skipped(self, row: Row, reason: str) -> None:
        """With its reason."""
        with pytest.raises(SkippedRow, match=reason):
            read("taco", row)


def test_code_contests_has_three_sets_of_tests(tmp_path: Path) -> None:
    """All of them count; they are a struct of lists, or in copies a list of structs."""
    row = {
        "description": "Double it.",
        "public_tests": {"input": ["1\n"], "output": ["2\n"]},
        "private_tests": {"input": ["2\n"], "output": ["4\n"]},
        "generated_tests": {"input": ["3\n", "4\n"], "output": ["6\n", "8\n"]},
        "solutions": {"solution": ["…"]},
    }
    copy = parquet(tmp_path / "cc/data/valid-00000-of-00001-5e672c5751f060d3.parquet", [row]).parents[1]
    _, (query,) = opened(nemotron(tmp_path / "copy", at(0, "code_contests", "valid")), code_contests=str(copy))
    tests = read_tests(query.reference)
    assert (tests["inputs"], tests["outputs"]) == (["1\n", "2\n", "3\n", "4\n"], ["2\n", "4\n", "6\n", "8\n"])
    assert query.question == "Double it."
    listed = {"description": "Double it.", "public_tests": [{"input": "1\n", "output": "2\n"}], "private_tests": None}
    assert read("code_contests", listed)[1]["outputs"] == ["2\n"]
    with pytest.raises(SkippedRow, match="no tests"):
        read("code_contests", {"description": "?", "public_tests": {"input": [], "output": []}})


CODEFORCES: Row = {
    "description": "Double it.",
    "input_format": "A number.",
    "output_format": "Its double.",
    "interaction_format": None,
    "note": "Twice.",
    "input_mode": "stdio",
    "examples": [{"input": "1", "output": "2"}],
    "official_tests": [{"input": "2", "output": "4"}, {"input": "3", "output": "6"}],
    "generated_checker": None,
}


def test_codeforces_questions_are_put_together_from_their_parts(tmp_path: Path) -> None:
    """Description, formats, examples and note; the official tests judge."""
    copy = parquet(tmp_path / "cf/data/train-00000-of-00001.parquet", [CODEFORCES]).parents[1]
    point = at("0", "open-r1/codeforces")
    _, (query,) = opened(nemotron(tmp_path / "copy", point), codeforces=str(copy))
    sections = "Double it.|Input|A number.|Output|Its double.|Examples|Input|1|Output|2|Note|Twice."
    assert query.question == sections.replace("|", "\n\n")
    assert read_tests(query.reference)["inputs"] == ["2", "3"]
    few = CODEFORCES | {"official_tests": None, "note": None, "examples": [{"input": "1", "output": "2"}]}
    assert read("codeforces", few)[1]["inputs"] == ["1"]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"input_mode": "file"}, "it reads from a file"),
        ({"interaction_format": "Ask, then flush."}, "interactive"),
        ({"generated_checker": "import sys"}, "several answers are right"),
        ({"official_tests": [], "examples": []}, "no tests"),
        ({"description": None}, "no text in column 'description'"),
    ],
)
def test_a_codeforces_problem_that_comparing_outputs_cannot_judge_is_skipped(changed: Row, reason: str) -> None:
    """A right answer would count as wrong."""
    with pytest.raises(SkippedRow, match=reason):
        read("codeforces", CODEFORCES | changed)


any_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=4),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["fn_name", "inputs", "outputs"]), inner)
    ),
    max_leaves=8,
)


@given(st.fixed_dictionaries({}, optional={"inputs": any_json, "outputs": any_json, "fn_name": any_json}) | any_json)
def test_no_input_output_of_any_shape_ends_the_run(cases: Any) -> None:
    """A problem whose reference the verifier can read, or a skipped row."""
    try:
        problem = ORIGINS["taco"].read({"question": "Which?", "input_output": json.dumps(cases)})
    except SkippedRow:
        return
    tests = read_tests(problem.tests)
    assert len(tests["inputs"]) == len(tests["outputs"]) > 0
