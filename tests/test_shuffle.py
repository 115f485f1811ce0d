"""A seeded order: over everything once, the same everywhere, and read only as far as it is needed."""

from __future__ import annotations

import gzip
import json
import random
import tempfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bon_hydra.queries.json_lines import BLOCK, JsonFile
from bon_hydra.queries.load import DatasetError, open_queries
from bon_hydra.queries.shuffle import permutation, shuffled
from bon_hydra.schema import ColumnsConfig, DatasetConfig


@pytest.fixture(autouse=True)
def caches_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`datasets` writes into the test's folder only."""
    import datasets.config

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    for name in ("DOWNLOADED_DATASETS_PATH", "EXTRACTED_DATASETS_PATH"):
        monkeypatch.setattr(datasets.config, name, tmp_path / "cache" / name)


@given(st.integers(0, 500), st.text())
def test_a_permutation_holds_every_number_once(size: int, seed: str) -> None:
    """Nothing is lost, nothing twice, and the same seed gives the same order."""
    assert sorted(permutation(size, seed)) == list(range(size))
    assert permutation(size, seed) == permutation(size, seed)


def test_the_order_of_a_seed_is_fixed_for_ever() -> None:
    """Values written down once: another Python, machine or hash seed must give these."""
    assert list(permutation(10, "0")) == [7, 9, 1, 4, 5, 0, 6, 2, 8, 3]
    assert list(shuffled(2, [["a", "b", "c"], ["d", "e"]].__getitem__, 7)) == ["a", "b", "c", "e", "d"]


def test_every_order_is_as_likely_as_another() -> None:
    """Over 2,400 seeds each of the 24 orders of four things comes about 100 times (chi-square, p > 0.001)."""
    orders: dict[tuple[int, ...], int] = {}
    for seed in range(2400):
        order = tuple(permutation(4, str(seed)))
        orders[order] = orders.get(order, 0) + 1
    assert len(orders) == 24
    assert sum((n - 100) ** 2 / 100 for n in orders.values()) < 49.7


@given(st.lists(st.integers(0, 20), max_size=20), st.integers(0, 2**62))
def test_every_member_of_every_group_comes_once_and_groups_are_read_when_needed(sizes: list[int], seed: int) -> None:
    """A group is read at most once, and not before a member of it is due."""
    read: list[int] = []

    def group(index: int) -> list[tuple[int, int]]:
        read.append(index)
        return [(index, member) for member in range(sizes[index])]

    seen = []
    for member in shuffled(len(sizes), group, seed):
        assert read[-1] == member[0]
        seen.append(member)
    assert sorted(seen) == [(g, m) for g, size in enumerate(sizes) for m in range(size)]
    assert len(set(read)) == len(read)


def parquet(folder: Path, files: int = 3, rows: int = 200, group: int = 25) -> Path:
    """A folder in the Hub's layout, questions numbered through."""
    (folder / "data").mkdir(parents=True)
    for f in range(files):
        numbers = range(f * rows, (f + 1) * rows)
        table = pa.table({"q": [f"question {n}" for n in numbers], "a": [str(n) for n in numbers]})
        pq.write_table(table, folder / f"data/train-{f:05}-of-{files:05}.parquet", row_group_size=group)
    return folder


def jsonl(path: Path, rows: int = 3000) -> Path:
    """Several blocks of lines of very different lengths."""
    lengths = random.Random(1)
    with path.open("w") as file:
        for n in range(rows):
            filler = "é" * lengths.choice([0, 10, 300])
            file.write(json.dumps({"q": f"question {n}", "a": n, "x": filler}, ensure_ascii=False) + "\n")
    return path


def questions(path: str, max_queries: int | None = None, seed: int | None = 0, **changes: Any) -> list[str]:
    columns = ColumnsConfig(prompt="q", reference="a")
    dataset = DatasetConfig(path=path, columns=columns, shuffle_seed=seed, **changes)
    return [query.question for query in open_queries(dataset, ["train"], max_queries)]


def source(kind: str, folder: Path) -> tuple[dict[str, Any], int]:
    """Arguments for `questions`, and how many there are."""
    if kind == "parquet":
        return {"path": str(parquet(folder / "set"))}, 600
    if kind == "csv":
        (folder / "my.csv").write_text("q,a\n" + "".join(f"question {n},{n}\n" for n in range(2500)))
        return {"path": "csv", "data_files": str(folder / "my.csv")}, 2500
    lines = jsonl(folder / "my.jsonl")
    assert lines.stat().st_size > 5 * BLOCK
    if kind == "jsonl.gz":
        packed = folder / "my.jsonl.gz"
        packed.write_bytes(gzip.compress(lines.read_bytes(), mtime=0))
        return {"path": "json", "data_files": str(packed)}, 3000
    if kind == "json array":
        array = folder / "my.json"
        array.write_text("[" + ",".join(lines.read_text().splitlines()) + "]")
        return {"path": "json", "data_files": str(array)}, 3000
    return {"path": "json", "data_files": str(lines)}, 3000


@pytest.mark.parametrize("kind", ["parquet", "jsonl", "jsonl.gz", "json array", "csv"])
def test_the_order_covers_the_split_once_and_fewer_is_a_prefix(kind: str, tmp_path: Path) -> None:
    """Every row once, not in the file's order; a smaller max_queries takes the first of a larger one's."""
    arguments, total = source(kind, tmp_path)
    whole = questions(**arguments)
    assert sorted(whole) == sorted(f"question {n}" for n in range(total))
    assert whole != questions(**arguments, seed=None)
    assert whole == questions(**arguments)
    assert whole[:50] != questions(**arguments, seed=1, max_queries=50)
    for size in (1, 7, 100, total):
        assert questions(**arguments, max_queries=size) == whole[:size]


def test_packed_and_plain_lines_have_one_order(tmp_path: Path) -> None:
    """Compressing a file changes no sample."""
    plain, _ = source("jsonl", tmp_path)
    packed, _ = source("jsonl.gz", tmp_path)
    assert questions(**plain, max_queries=40) == questions(**packed, max_queries=40)


def test_streaming_or_not_is_the_same_order(tmp_path: Path) -> None:
    """`streaming=false` changes where the bytes lie, not what is drawn."""
    folder = str(parquet(tmp_path / "set"))
    assert questions(folder, streaming=False) == questions(folder, streaming=True)
    assert questions(folder, seed=None, streaming=False) == questions(folder, seed=None, streaming=True)


def spoil(file: Path, keep: set[int]) -> None:
    """Overwrite the pages of all row groups but those to keep; the footer stays whole."""
    footer = pq.read_metadata(file)
    content = bytearray(file.read_bytes())
    for group in set(range(footer.num_row_groups)) - keep:
        for column in range(footer.num_columns):
            chunk = footer.row_group(group).column(column)
            start = chunk.dictionary_page_offset or chunk.data_page_offset
            content[start : start + chunk.total_compressed_size] = b"\xff" * chunk.total_compressed_size
    file.write_bytes(bytes(content))


def test_a_shuffled_prefix_reads_only_the_row_groups_it_needs(tmp_path: Path) -> None:
    """With the pages of every other row group destroyed, a prefix of two row groups is still there; the next fails."""
    folder = parquet(tmp_path / "set", files=3, rows=200, group=25)
    whole = questions(str(folder))
    needed = {divmod(int(q.split()[1]) // 25, 8) for q in whole[:50]}
    assert len(needed) == 2
    for number, file in enumerate(sorted((folder / "data").iterdir())):
        spoil(file, {group for f, group in needed if f == number})
    assert questions(str(folder), max_queries=49) == whole[:49]
    with pytest.raises(DatasetError, match="cannot be read on after 50 rows"):
        questions(str(folder), max_queries=51)


def test_a_shuffled_prefix_of_lines_reads_only_the_blocks_it_needs(tmp_path: Path) -> None:
    """With all other lines overwritten by garbage, a prefix from one block is the same."""
    file = jsonl(tmp_path / "my.jsonl")
    arguments: dict[str, Any] = {"path": "json", "data_files": str(file)}
    whole = questions(**arguments)
    content, offset, lines = file.read_bytes(), 0, []
    for line in content.splitlines(keepends=True):
        lines.append((offset, line))
        offset += len(line)
    block = next(start // BLOCK for start, line in lines if json.loads(line)["q"] == whole[0])
    of_block = [json.loads(line)["q"] for start, line in lines if start // BLOCK == block]
    assert sorted(whole[: len(of_block)]) == sorted(of_block)
    first = lines[0]  # checked before the run, so it stays whole
    kept = set(of_block)
    spoiled = b"".join(
        line if (start, line) == first or json.loads(line)["q"] in kept else b"#" * (len(line) - 1) + b"\n"
        for start, line in lines
    )
    file.write_bytes(spoiled)
    assert questions(**arguments, max_queries=len(of_block) - 1) == whole[: len(of_block) - 1]


@given(st.lists(st.integers(0, 3 * BLOCK // 2), min_size=1, max_size=8), st.booleans())
def test_blocks_hold_every_line_once_wherever_lines_begin(lengths: list[int], last_ends: bool) -> None:
    """Lines longer than a block, on its border or without an end are in exactly one block."""
    texts = [json.dumps({"n": n, "x": "x" * length}) for n, length in enumerate(lengths)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "my.jsonl"
        path.write_text("\n".join(texts) + ("\n" if last_ends else ""))
        file = JsonFile(str(path), "my.jsonl")
        blocks = [file.block(index) for index in range(file.block_count())]
        found = [block[i].row for block in blocks for i in range(len(block))]
    assert [row["n"] for row in found if row] == list(range(len(lengths)))


@pytest.mark.parametrize("border", [-2, -1, 0, 1, 2])
def test_a_line_that_begins_at_a_blocks_border_is_in_the_block_of_its_first_byte(tmp_path: Path, border: int) -> None:
    """The last byte of a block, its end and the first byte of the next are told apart."""
    lines = [b'{"n": 0, "x": "%s"}\n', b'{"n": 1}\n', b'{"n": 2}\n']
    lines[0] %= b"x" * (BLOCK + border - len(lines[0]) + 2)
    assert len(lines[0]) == BLOCK + border
    path = tmp_path / "my.jsonl"
    path.write_bytes(b"".join(lines))
    file = JsonFile(str(path), "my.jsonl")
    starts = [0, BLOCK + border, BLOCK + border + len(lines[1])]
    for index in range(2):
        expected = [(s, line) for s, line in zip(starts, lines, strict=True) if s // BLOCK == index]
        assert file.block(index).lines == expected


def test_a_malformed_line_of_a_shuffled_file_is_named_by_its_byte(tmp_path: Path) -> None:
    """Where lines are not counted, the byte at which the line begins says where it is."""
    file = tmp_path / "my.jsonl"
    file.write_text('{"q": "one", "a": 1}\n{"q": \n{"q": "two", "a": 2}\n')
    columns = ColumnsConfig(prompt="q", reference="a")
    dataset = DatasetConfig(path="json", data_files=str(file), columns=columns, shuffle_seed=3)
    opened = open_queries(dataset, ["train"], None)
    assert {q.question for q in opened} == {"one", "two"}
    assert "my.jsonl, line at byte 21: not JSON" in opened.counts["train"].reasons[0]


def test_a_sample_is_spread_over_the_files(tmp_path: Path) -> None:
    """Unlike the head of a set, a tenth of it comes from all over it."""
    drawn = questions(str(parquet(tmp_path / "set", files=4, rows=500, group=10)), max_queries=200)
    numbers = [int(q.split()[1]) for q in drawn]
    assert {n // 500 for n in numbers} == {0, 1, 2, 3}
    assert 700 < sum(numbers) / len(numbers) < 1300
