"""The parts of `bon export` that have a rule of their own: exact JSON, pairs, and the data card."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import datasets
import yaml
from export_rows import METADATA, candidate, study, write
from huggingface_hub import DatasetCard
from hypothesis import example, given
from hypothesis import strategies as st

from bon_hydra.export.dataset import export
from bon_hydra.export.exact import dumps
from bon_hydra.export.options import FORMATS, Options
from bon_hydra.export.pairs import at_random, by_length, pairs

NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.decimals(-1000, 1000, places=3).map(float),
    st.floats(allow_nan=False, allow_infinity=False),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, st.text(st.characters(exclude_categories=["Cs"]))),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=10,
)


def read_by_datasets(text: str) -> Any:
    return datasets.Json().decode_example(text)


@given(VALUES)
@example({"share": 0.95, "big": 2**64 - 1, "few": 8.854e-12, "most": 1.7976931348623157e308})
def test_datasets_reads_the_very_values_that_were_written(value: Any) -> None:
    """Objects, texts and whole numbers exactly; a float of full length at worst as its neighbour."""

    def close(read: Any, wanted: Any) -> bool:
        if isinstance(wanted, dict):
            return read.keys() == wanted.keys() and all(close(read[key], wanted[key]) for key in wanted)
        if isinstance(wanted, list):
            return len(read) == len(wanted) and all(map(close, read, wanted))
        if isinstance(wanted, float):
            return math.isclose(read, wanted, rel_tol=1e-15, abs_tol=5e-324)
        return bool(read == wanted and type(read) is type(wanted))

    text = dumps(value)
    assert json.loads(text) == value
    assert close(read_by_datasets(text), value)


@given(st.decimals(-1000, 1000, places=4).map(float))
def test_a_number_of_a_few_decimals_is_read_exactly(number: float) -> None:
    """`datasets` itself would make 0.9500000000000001 of 0.95."""
    assert read_by_datasets(dumps([number])) == [number]


@given(
    st.lists(st.integers(0, 50), max_size=5),
    st.lists(st.integers(0, 50), max_size=5),
    st.integers(1, 30),
    st.booleans(),
)
def test_pairs_are_different_as_many_as_wanted_and_use_all_answers_alike(
    chosen: list[int], rejected: list[int], most: int, random: bool
) -> None:
    """The first of them is the nearest in length, where length decides."""
    rank = at_random("7") if random else by_length(chosen, rejected)
    found = pairs(len(chosen), len(rejected), most, rank)
    assert len(found) == len(set(found)) == min(most, len(chosen) * len(rejected))
    if not found:
        return
    for side, of in ((0, chosen), (1, rejected)):
        uses = [sum(pair[side] == number for pair in found) for number in range(len(of))]
        if len(found) <= min(len(chosen), len(rejected)):
            assert max(uses) == 1
    if not random:
        i, j = found[0]
        assert abs(chosen[i] - rejected[j]) == min(abs(c - r) for c in chosen for r in rejected)


def front_matter(text: str) -> dict[str, Any]:
    """As the Hub's own library reads it."""
    data: Any = DatasetCard(text).data
    return dict(data.to_dict())


def test_the_card_says_where_the_data_came_from_and_nothing_of_the_machine(tmp_path: Path) -> None:
    """Front matter that the Hub reads; run, model, data set, revision, verifier, notes, counts, lengths, licence."""
    path = study(tmp_path / "run.parquet")
    for format_name in FORMATS:
        export([str(path)], Options(format_name, 0.2), tmp_path / format_name)
        text = (tmp_path / format_name / "README.md").read_text()
        matter = front_matter(text)
        assert matter["license"] == "mit"
        assert matter["configs"][0]["data_files"][0] == {"split": "train", "path": "data/train-*"}
        for wanted in (
            *(METADATA[key] for key in ("run_id", "experiment", "model", "dataset", "dataset_revision")),
            "math 3",
            "What: a test | of the card",
            "name: main",
            "openai/gsm8k: mit",
            "terms of that model",
            "| validation |",
        ):
            assert wanted in text, (format_name, wanted)
        for private in (str(tmp_path), "/home/somebody", "10.0.0.7"):
            assert private not in text
    preference = (tmp_path / "preference" / "README.md").read_text()
    assert "| chosen |" in preference
    assert "The chosen answer is the longer one in 100.0 % of the pairs" in preference


def test_the_card_counts_what_was_left_out_and_why(tmp_path: Path) -> None:
    """Each answer that is neither right nor wrong, and each prompt without a pair."""
    rows = [
        *(candidate("one", "fail", f"cut {i}", finish_reason="length") for i in range(3)),
        candidate("one", "pass", "right"),
        candidate("two", "pass", "right"),
        candidate("two", "fail", "wrong"),
        candidate("two", "api_error"),
    ]
    export([str(write(tmp_path / "run.parquet", rows))], Options("preference", 0), tmp_path / "out")
    text = (tmp_path / "out" / "README.md").read_text()
    assert "- answers cut off at the token limit: 3" in text
    assert "- candidates without a response: 1" in text
    assert "- prompts with nothing wrong to pair: 1" in text
    assert "| train | 1 | 1 |" in text


def test_an_unknown_licence_is_said_to_be_unknown_and_a_local_folders_is_read(tmp_path: Path) -> None:
    """A local data set is called by its folder's name, and its own card's licence holds."""
    local = tmp_path / "somewhere" / "my-sums"
    local.mkdir(parents=True)
    for number, (card, wanted) in enumerate([(None, "unknown"), ("---\nlicense: cc0-1.0\n---\n# Sums\n", "cc0-1.0")]):
        if card:
            (local / "README.md").write_text(card)
        config = yaml.safe_dump({"dataset": {"path": str(local), "data_files": None}})
        path = write(tmp_path / f"run{number}.parquet", [candidate("q")], dataset=str(local), config_yaml=config)
        export([str(path)], Options("sft", 0), tmp_path / f"out{number}")
        text = (tmp_path / f"out{number}" / "README.md").read_text()
        assert front_matter(text)["license"] == wanted
        assert "my-sums" in text
        assert "somewhere" not in text
        assert ("licence not known" in text) == (wanted == "unknown")
