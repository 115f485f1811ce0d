"""Numbers in JSON survive reading, hashing and writing with every digit."""

from __future__ import annotations

import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bon_hydra.queries.json_numbers import as_text, canonical, dumps, iter_array, loads, plain
from bon_hydra.queries.load import open_queries
from bon_hydra.schema import ColumnsConfig, DatasetConfig

THIRTY_DIGITS = "123456789012345678901234567890"
LITERALS = ["0.95", "8.854e-12", "1e400", "-1e-400", THIRTY_DIGITS, f"{THIRTY_DIGITS}.5", "0.1", "5e-324", "1E5"]

number_literals = st.one_of(
    st.integers().map(str),
    st.decimals(allow_nan=False, allow_infinity=False).map(str),
    st.builds("{}.{}e{}".format, st.integers(), st.integers(0, 10**30), st.integers(-500, 500)),
)
json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=10,
)


@pytest.mark.parametrize("literal", LITERALS)
def test_a_number_is_equal_after_reading_and_after_writing(literal: str) -> None:
    """What is read equals the literal, and so does what is written of it."""
    assert Decimal(str(loads(literal))) == Decimal(literal)
    assert Decimal(dumps(loads(literal))) == Decimal(literal)
    assert Decimal(canonical(loads(literal))) == Decimal(literal)


@given(number_literals)
def test_no_number_loses_a_digit(literal: str) -> None:
    """For any literal, reading and writing it in a list changes nothing of its value."""
    assert Decimal(dumps(loads(f"[{literal}]"))[1:-1]) == Decimal(literal)


@given(json_values)
def test_ordinary_json_reads_and_writes_as_pythons_json_does(value: Any) -> None:
    """Values that floats and ints hold are plain Python objects, in both directions."""
    assert loads(json.dumps(value)) == value
    assert json.loads(dumps(value)) == json.loads(canonical(value)) == value


@given(st.dictionaries(st.text(), st.integers(), min_size=2), st.randoms())
def test_canonical_json_does_not_depend_on_the_order_of_keys(value: dict[str, int], random: Any) -> None:
    """The same object with its keys shuffled has the same text, also where a number needs the slow way."""
    items = list(value.items())
    random.shuffle(items)
    assert canonical(dict(items)) == canonical(value)
    exact = Decimal("1e400")
    assert canonical({**dict(items), "x": exact}) == canonical({**value, "x": exact})


def test_ordinary_numbers_are_floats_and_ints() -> None:
    """Only what a float cannot hold is a Decimal, so templates and servers meet plain numbers."""
    assert [type(v) for v in loads("[0.95, 8.854e-12, 7, 1e400, 0.12345678901234567890]")] == [
        float, float, int, Decimal, Decimal,
    ]  # fmt: skip


def test_nan_and_the_infinities_are_read_and_written_as_text() -> None:
    """Python's extensions of JSON are understood; what is written is strict JSON."""
    value = loads('{"a": NaN, "b": [Infinity, -Infinity]}')
    assert math.isnan(value["a"])
    assert json.loads(dumps(value)) == {"a": "NaN", "b": ["Infinity", "-Infinity"]}


def test_an_integer_longer_than_python_converts_is_kept() -> None:
    """5,000 digits are beyond int(), not beyond us."""
    literal = "7" * 5000
    assert dumps(loads(f"[{literal}]")) == f"[{literal}]"


@pytest.mark.parametrize("text", ["{", '{"a": 1}}', "", "nul", '"\\ud800"', "[" * 100_000, b'"\xff"', "{'a': 1}"])
def test_what_is_not_json_is_a_value_error(text: str | bytes) -> None:
    """One kind of error for every way to be malformed, deep nesting and half surrogates included."""
    with pytest.raises(ValueError, match=r"."):
        loads(text)


def test_a_whole_surrogate_pair_is_a_character() -> None:
    """Escaped emoji are fine."""
    assert loads('"\\ud83d\\ude00"') == "😀"


@given(st.lists(json_values), st.sampled_from(["", " ", "\n\t"]))
def test_an_array_is_read_element_by_element(values: list[Any], space: str) -> None:
    """The elements of an array are those of the whole parse."""
    text = space + "[" + space + f"{space},{space}".join(dumps(v) for v in values) + space + "]" + space
    assert [value for _, value in iter_array(text)] == values


@pytest.mark.parametrize("text", ["[1, 2", "[1 2]", "[1, nul]", "[1] [2]"])
def test_a_broken_array_fails_where_it_breaks(text: str) -> None:
    """What stands before the break is there; the break is an error, not the end."""
    elements = iter_array(text)
    assert next(elements)[1] == 1
    with pytest.raises(ValueError, match="char"):
        list(elements)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("as it is", "as it is"), (None, None), (7, "7"), (0.5, "0.5"), (Decimal("1e400"), "1E+400"), (True, "true"),
        ([1, Decimal("1e400")], "[1, 1E+400]"), ({"a": "é"}, '{"a": "é"}'),
    ],
)  # fmt: skip
def test_a_column_as_text(value: Any, text: str | None) -> None:
    """Text stays, numbers keep their digits, lists and objects become JSON."""
    assert as_text(value) == text


@given(json_values)
def test_what_goes_to_a_server_is_plain_and_equal(value: Any) -> None:
    """Any JSON encoder takes it; only numbers beyond floats are approximated."""
    assert plain(value) == value
    json.dumps(plain({"v": value, "d": Decimal("0.12345678901234567890"), "e": Decimal("1e400")}), allow_nan=False)


def read(tmp_path: Path, text: str | bytes, name: str = "my.jsonl", **changes: Any) -> Any:
    """The opened queries of a JSON file with columns q and a, and the queries."""
    file = tmp_path / name
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    columns = ColumnsConfig(prompt="q", reference="a")
    changes.setdefault("columns", columns)
    opened = open_queries(DatasetConfig(path="json", data_files=str(file), **changes), ["train"], None)
    return opened, list(opened)


def lines(*literals: str) -> str:
    return "".join(f'{{"q": "question {i}", "a": {literal}}}\n' for i, literal in enumerate(literals))


def test_references_from_jsonl_are_the_numbers_that_were_written(tmp_path: Path) -> None:
    """0.95 is not 0.9500000000000001 and 8.854e-12 is not 0, as the loader of `datasets` has it."""
    _, queries = read(tmp_path, lines(*LITERALS), keep=["a"])
    assert [Decimal(q.reference) for q in queries] == [Decimal(x) for x in LITERALS]
    for query, literal in zip(queries, LITERALS, strict=True):
        assert json.loads(query.source_meta, parse_float=Decimal, parse_int=Decimal) == {"a": Decimal(literal)}
        assert Decimal(str(query.row["a"])) == Decimal(literal)


def test_a_column_may_change_its_type_after_many_megabytes(tmp_path: Path) -> None:
    """Rows after the first 10 MB may be of another shape; nothing is guessed from the first ones."""
    filler = "x" * 1200
    rows = 10_000
    text = "".join(f'{{"q": "{filler} {i}", "a": {i}}}\n' for i in range(rows))
    text += '{"q": "last", "a": {"nested": [0.95, "text"]}, "new": 1}\n'
    opened, queries = read(tmp_path, text)
    assert len(text) > 12_000_000
    assert opened.counts["train"].skipped == 0
    assert len(queries) == rows + 1
    assert queries[-1].reference == '{"nested": [0.95, "text"]}'


def test_malformed_rows_are_skipped_named_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A bad line ends nothing; file and line stand in the counts and in the log; blank lines are no rows."""
    good = b'{"q": "one", "a": 1}\n'
    bad = [b'{"q": "two", ', b"[1, 2]", b'{"q": "\xff", "a": 3}', b'{"q": "\\ud800", "a": 4}', b"[" * 99_999]
    opened, queries = read(tmp_path, good + b"\n" + b"\n".join(bad) + b'\n{"q": "last", "a": 9}')
    counts = opened.counts["train"]
    assert [q.question for q in queries] == ["one", "last"]
    assert (counts.rows_read, counts.skipped, counts.distinct) == (7, 5, 2)
    places = [reason.split(": ")[0].rpartition("/")[2] for reason in counts.reasons]
    assert places == [f"my.jsonl:{n}" for n in range(3, 8)]
    assert all(reason in caplog.text for reason in counts.reasons)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("a.json", '[{"q": "one", "a": 0.95},\n {"q": "two", "a": 1e400}]'),
        ("b.json", '{"q": "one", "a": 0.95}\n{"q": "two", "a": 1e400}\n'),
        ("c.json", '\ufeff{"q": "one", "a": 0.95}\n{"q": "two", "a": 1e400}\n'),
        ("d.json", '\n\n[{"q": "one", "a": 0.95}, {"q": "two", "a": 1e400}]\n'),
    ],
)
def test_a_json_file_is_one_array_or_lines(tmp_path: Path, name: str, text: str) -> None:
    """Both spellings of .json give the same rows."""
    opened, queries = read(tmp_path, text, name)
    assert [(q.question, q.reference) for q in queries] == [("one", "0.95"), ("two", "1E+400")]
    assert opened.counts["train"].skipped == 0


def test_a_json_file_may_be_one_object_over_several_lines(tmp_path: Path) -> None:
    """A pretty-printed object is one row."""
    _, queries = read(tmp_path, '{\n  "q": "one",\n  "a": 0.95\n}\n', "my.json")
    assert [(q.question, q.reference) for q in queries] == [("one", "0.95")]


def test_a_json_array_that_breaks_keeps_the_rows_before(tmp_path: Path) -> None:
    """What is lost after the break is said."""
    opened, queries = read(tmp_path, '[{"q": "one", "a": 1}, {"q": "two" "a": 2}, {"q": "three", "a": 3}]', "my.json")
    assert [q.question for q in queries] == ["one"]
    assert opened.counts["train"].skipped == 1
    assert "all after it is lost" in opened.counts["train"].reasons[0]
