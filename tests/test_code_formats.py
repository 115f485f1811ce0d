"""HumanEval, MBPP and tool-calling rows become queries that can be asked and judged; broken ones are skipped."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bon_hydra.queries import humaneval, mbpp, tool_calls
from bon_hydra.queries.load import open_queries
from bon_hydra.queries.parts import Parts, SkippedRow, question
from bon_hydra.records import Query
from bon_hydra.schema import ConfigError, DatasetConfig
from bon_hydra.verifiers.code import tests_of as read_tests
from bon_hydra.verifiers.completion import Completion, Task
from bon_hydra.verifiers.tool_calls import judge

Row = dict[str, Any]

HUMANEVAL: Row = {
    "task_id": "HumanEval/0",
    "prompt": 'from typing import List\n\n\ndef total(xs: List[int]) -> int:\n    """The sum."""\n',
    "canonical_solution": "    return sum(xs)\n",
    "test": "METADATA = {}\n\n\ndef check(candidate):\n    assert candidate([1, 2]) == 3\n",
    "entry_point": "total",
}
SANITIZED: Row = {
    "source_file": "a.ipynb",
    "task_id": 2,
    "prompt": "Write a function to find the shared elements.",
    "code": "def helper(x):\n    return x\n\ndef shared(a, b):\n    return set(a) & set(b)",
    "test_imports": ["import math", "import re"],
    "test_list": ["assert set(shared((3, 4), (4, 5))) == set((4,))", "assert shared((1,), (2,)) == set()"],
}
FULL: Row = {
    "task_id": 601,
    "text": "Write a function to double.",
    "code": "def double(x):\r\n  return 2 * x",
    "test_list": ["assert double(2) == 4"],
    "test_setup_code": "import math",
    "challenge_test_list": [],
}
PLUS: Row = SANITIZED | {
    "test_imports": [],
    "test": "import math\ninputs = [[(3, 4), (4, 5)]]\nresults = [{4}]\n"
    "for inp, exp in zip(inputs, results):\n    assert shared(*inp) == exp\n",
}


def opened(folder: Path, rows: list[Row], **keys: Any) -> tuple[Any, list[Query]]:
    """Rows through a JSONL file."""
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = open_queries(DatasetConfig(path="json", data_files=str(file), splits=["train"], **keys), None, None)
    return source, list(source)


def test_a_humaneval_row_asks_with_its_prompt_and_is_judged_with_its_head(tmp_path: Path) -> None:
    """The prompt is the question as it stands, and the code that an answer goes on from."""
    _, (query,) = opened(tmp_path, [HUMANEVAL], format="humaneval")
    assert (query.question, query.verifier, query.source_id) == (HUMANEVAL["prompt"], "code", "HumanEval/0")
    assert read_tests(query.reference) == {
        "kind": "check",
        "setup": HUMANEVAL["prompt"],
        "test": HUMANEVAL["test"],
        "entry_point": "total",
    }


def test_an_mbpp_row_shows_the_first_assert(tmp_path: Path) -> None:
    """Without it nobody knows what the function is called; the other asserts stay hidden."""
    _, (query,) = opened(tmp_path, [SANITIZED], format="mbpp")
    assert query.question.startswith("Write a function to find the shared elements.\n")
    assert SANITIZED["test_list"][0] in query.question
    assert SANITIZED["test_list"][1] not in query.question
    assert read_tests(query.reference) == {
        "kind": "asserts",
        "setup": "import math\nimport re",
        "asserts": SANITIZED["test_list"],
        "entry_point": "shared",
    }


def test_the_full_mbpp_and_the_plus_set_have_columns_of_their_own(tmp_path: Path) -> None:
    """`text` and `test_setup_code` of the one; the script in `test` of the other takes the asserts' place."""
    _, (full, plus) = opened(tmp_path, [FULL, PLUS], format="mbpp")
    tests = read_tests(full.reference)
    assert (tests["setup"], tests["entry_point"]) == ("import math", "double")
    assert "Write a function to double." in full.question
    assert read_tests(plus.reference) == {
        "kind": "check",
        "setup": "",
        "test": PLUS["test"],
        "entry_point": "shared",
    }


@pytest.mark.parametrize(
    ("first", "code", "name"),
    [
        ("assert set(shared((1, 2))) == set((1,))", "def shared(x): ...", "shared"),
        ("assert set(shared((1, 2))) == set((1,))", None, "shared"),
        ("assert math.isclose(area(2), 4, rel_tol=0.001)", None, "area"),
        ("assert is_same(make(1), make(1)) == True", "class make: ...\ndef is_same(a, b): ...", "is_same"),
        ("assert max([1, 2]) == 2", "def max(xs): ...", "max"),
        ("assert Solution().run(1) == 2", None, "Solution"),
        ("assert x == 2", None, None),
    ],
)
def test_the_function_asked_for_is_what_the_first_assert_calls(first: str, code: str | None, name: str | None) -> None:
    """What the row's own solution defines is preferred to what only looks like it."""
    row = SANITIZED | {"test_list": [first], "code": code}
    assert read_tests(mbpp.parts(row).reference).get("entry_point") == name


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (HUMANEVAL | {"test": "def check(candidate)\n    pass"}, "the tests cannot be compiled: expected ':'"),
        (HUMANEVAL | {"test": "assert total([1]) == 1"}, "do not define check"),
        (HUMANEVAL | {"test": None}, "the tests: no code"),
        (HUMANEVAL | {"test": "x = '\0'\ndef check(f): 0"}, "the tests cannot be compiled"),
        (HUMANEVAL | {"prompt": "def total(xs)\n"}, "the prompt cannot be compiled"),
        (HUMANEVAL | {"prompt": ""}, "no text in column 'prompt'"),
        (HUMANEVAL | {"entry_point": "total()"}, "no function's name"),
    ],
)
def test_a_broken_humaneval_row_is_skipped(row: Row, reason: str) -> None:
    """With its reason."""
    with pytest.raises(SkippedRow, match=reason):
        humaneval.parts(row)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (SANITIZED | {"test_list": ["assert shared(1) ="]}, "the tests cannot be compiled"),
        (SANITIZED | {"test_list": []}, "not a list of asserts"),
        (SANITIZED | {"test_list": "assert 1"}, "not a list of asserts"),
        (SANITIZED | {"test_imports": ["import"]}, "the tests' imports cannot be compiled"),
        (SANITIZED | {"test_imports": [1]}, "imports are no text"),
        (SANITIZED | {"prompt": " "}, "no text in column 'prompt'"),
        (PLUS | {"test": "for i in"}, "the tests cannot be compiled"),
    ],
)
def test_a_broken_mbpp_row_is_skipped(row: Row, reason: str) -> None:
    """With its reason."""
    with pytest.raises(SkippedRow, match=reason):
        mbpp.parts(row)


def test_skipped_rows_are_named_and_counted_and_the_rest_is_read(tmp_path: Path) -> None:
    """A row whose tests don't compile costs itself only."""
    source, queries = opened(tmp_path, [HUMANEVAL | {"test": "def"}, HUMANEVAL], format="humaneval")
    counts = source.counts["train"]
    assert (len(queries), counts.rows_read, counts.skipped) == (1, 2, 1)
    assert counts.reasons[0].endswith("rows.jsonl:1: the tests cannot be compiled: invalid syntax (line 1)")


@pytest.mark.parametrize(
    ("name", "missing"),
    [("humaneval", "'task_id'"), ("mbpp", "'test_list'"), ("tool_calls", "'messages' or 'prompt' or 'question'")],
)
def test_a_data_set_of_another_format_is_refused(tmp_path: Path, name: str, missing: str) -> None:
    """Before anything is asked, with the columns that would do."""
    with pytest.raises(ConfigError) as error:
        opened(tmp_path, [{"q": "Which?", "a": "x"}], format=name)
    assert f"dataset.format: {name} needs a column {missing}, and split 'train' has the columns q, a" in str(
        error.value
    )


GET: Row = {
    "name": "get_weather",
    "parameters": {
        "type": "object",
        "properties": {"city": {"type": "string"}, "days": {"type": "integer"}},
        "required": ["city"],
    },
}
TOOL: Row = {"type": "function", "function": GET}
CALL: Row = {"name": "get_weather", "arguments": {"city": "Oslo"}}
ASKED: Row = {"role": "user", "content": "Weather in Oslo?"}


class TestOurShape:
    """messages or prompt, tools, tool_calls."""

    @pytest.mark.parametrize("as_json", [True, False])
    @pytest.mark.parametrize(
        "asked",
        [
            {"messages": [{"role": "system", "content": "Be brief."}, ASKED]},
            {"messages": [ASKED, {"role": "assistant", "content": "It rains."}]},
            {"prompt": "Weather in Oslo?"},
            {"prompt": [ASKED]},
        ],
    )
    def test_lists_and_json_texts_are_the_same_row(self, tmp_path: Path, asked: Row, as_json: bool) -> None:
        """The question ends before the assistant's last turns."""
        row = {"id": 7, "tools": [TOOL], "tool_calls": [CALL], **asked}
        if as_json:
            row = {key: value if key == "prompt" else json.dumps(value) for key, value in row.items()}
        _, (query,) = opened(tmp_path, [row], format="tool_calls")
        assert (query.question, query.verifier, query.source_id) == ("Weather in Oslo?", "tool_calls", "7")
        assert query.messages[-1] == ASKED
        assert query.tools == (TOOL,)
        assert json.loads(query.reference or "") == [CALL]

    @pytest.mark.parametrize("calls", [[], "[]", ""])
    def test_no_calls_are_a_reference_and_no_reference_is_none(self, calls: Any) -> None:
        """Empty means that no call is right, which differs from not saying what is."""
        row = {"prompt": "Hello", "tools": [TOOL]}
        assert tool_calls.parts(row | {"tool_calls": calls}).reference == "[]"
        assert tool_calls.parts(row | {"tool_calls": None}).reference is None

    def test_bare_functions_and_the_apis_own_calls_are_read_too(self) -> None:
        """Tools without their envelope, calls with theirs, arguments as JSON."""
        call = {"id": "1", "type": "function", "function": {"name": "get_weather", "arguments": '{"city": "Oslo"}'}}
        parts = tool_calls.parts({"prompt": "?", "tools": [GET], "tool_calls": [call]})
        assert (parts.tools, json.loads(parts.reference or "")) == ((TOOL,), [CALL])

    @pytest.mark.parametrize(
        ("changed", "reason"),
        [
            ({"tools": [{"type": "function", "function": {}}]}, "a tool definition without a name"),
            ({"tools": "[{"}, "column 'tools' is not JSON"),
            ({"tools": [TOOL, TOOL]}, "two tools are called 'get_weather'"),
            ({"tools": 3}, "column 'tools' is not a list"),
            ({"tool_calls": "get_weather"}, "column 'tool_calls' is not JSON"),
            ({"tool_calls": {"name": "get_weather"}}, "tool_calls is not a list"),
            ({"tool_calls": [{"arguments": {}}]}, "a reference call without a name"),
            ({"tool_calls": [{"name": "get_wether"}]}, "'get_wether', which is not among the tools"),
            ({"tool_calls": [{"name": "get_weather"}]}, "lacks its required argument 'city'"),
            ({"prompt": ""}, "no text in column 'prompt'"),
            ({"messages": "[{]"}, "'messages' is not JSON"),
            ({"messages": [{"content": "?"}]}, "not a list of messages with a role"),
        ],
    )
    def test_a_broken_row_is_skipped(self, changed: Row, reason: str) -> None:
        """With its reason."""
        with pytest.raises(SkippedRow, match=reason):
            tool_calls.parts({"prompt": "?", "tools": [TOOL], "tool_calls": [CALL], **changed})


AREA: Row = {
    "name": "calc.area",
    "description": "Area of a triangle.",
    "parameters": {
        "type": "dict",
        "properties": {
            "base": {"type": "float"},
            "height": {"type": "integer"},
            "unit": {"type": "string", "default": "units"},
            "points": {"type": "array", "items": {"type": "tuple", "items": {"type": "float"}}},
            "type": {"type": "any"},
        },
        "required": ["base", "height"],
    },
}
BFCL: Row = {
    "id": "simple_0",
    "question": [[ASKED, {"role": "user", "content": "Area?"}]],
    "function": [AREA],
    "ground_truth": [{"calc.area": {"base": [10], "height": [5], "unit": ["units", ""]}}],
}


class TestBfcl:
    """question, function, ground_truth."""

    def test_a_row_as_published(self, tmp_path: Path) -> None:
        """Types become JSON Schema's and dots leave the names, as BFCL's own harness does for APIs."""
        _, (query,) = opened(tmp_path, [BFCL], format="tool_calls")
        (tool,) = query.tools or ()
        parameters = tool["function"]["parameters"]
        assert (query.question, query.source_id, tool["function"]["name"]) == ("Area?", "simple_0", "calc_area")
        assert parameters["type"] == "object"
        assert {key: rule["type"] for key, rule in parameters["properties"].items()} == {
            "base": "number",
            "height": "integer",
            "unit": "string",
            "points": "array",
            "type": "string",
        }
        assert parameters["properties"]["points"]["items"] == {"type": "array", "items": {"type": "number"}}
        assert json.loads(query.reference or "") == [
            {"name": "calc.area", "accepted": {"base": [10], "height": [5], "unit": ["units", ""]}}
        ]

    @pytest.mark.parametrize(
        ("arguments", "verdict"),
        [
            ({"base": 10, "height": 5}, "pass"),
            ({"base": 10.0, "height": 5, "unit": "Units"}, "pass"),
            ({"base": 10, "height": 5, "unit": "cm"}, "fail"),
            ({"base": 10}, "fail"),
        ],
    )
    def test_a_row_is_judged_as_it_was_read(self, tmp_path: Path, arguments: Row, verdict: str) -> None:
        """The name comes back as it was sent, each argument as one of its accepted values."""
        _, (query,) = opened(tmp_path, [BFCL], format="tool_calls")
        made = json.dumps([{"function": {"name": "calc_area", "arguments": json.dumps(arguments)}}])
        assert judge(Completion("", made, "tool_calls"), Task.of(query)).verdict == verdict

    @pytest.mark.parametrize(
        "asked", ["Area?", [{"role": "user", "content": "Area?"}], '[[{"role": "user", "content": "Area?"}]]']
    )
    def test_the_question_may_be_a_text_or_one_turn(self, asked: Any) -> None:
        """Of several turns the first is asked."""
        assert question(tool_calls.parts(BFCL | {"question": asked}).messages) == "Area?"

    def test_one_function_alone_and_json_texts_are_read(self) -> None:
        """BFCL's older files have them so; keys that a table added as nulls are none."""
        truth = [{"calc.area": {"base": [10], "height": [5], "unit": None}, "other": None}]
        parts = tool_calls.parts(BFCL | {"function": json.dumps(AREA), "ground_truth": json.dumps(truth)})
        assert json.loads(parts.reference or "") == [{"name": "calc.area", "accepted": {"base": [10], "height": [5]}}]
        assert tool_calls.parts(BFCL | {"ground_truth": []}).reference == "[]"

    @pytest.mark.parametrize(
        ("truth", "reason"),
        [
            ([{"calc.area": {"base": 10, "height": [5]}}], "do not list their accepted values"),
            ([{"calc.area": {"base": [], "height": [5]}}], "do not list their accepted values"),
            ([{"calc.area": {"base": [10]}}], "lacks its required argument 'height'"),
            ([{"calc.area": {"base": [10], "height": [5], "bass": [1]}}], "'bass' that its tool does not know"),
            ([{"calc.volume": {"base": [10]}}], "'calc.volume', which is not among the tools"),
            (["calc.area(base=10)"], "not {name: {argument: .accepted values.}}"),
            ([{"a": {}, "b": {}}], "not {name: {argument: .accepted values.}}"),
            ({"calc.area": {}}, "not a list of calls"),
            ("[", "not JSON"),
        ],
    )
    def test_a_broken_ground_truth_is_skipped(self, truth: Any, reason: str) -> None:
        """With its reason."""
        with pytest.raises(SkippedRow, match=reason):
            tool_calls.parts(BFCL | {"ground_truth": truth})


values = st.none() | st.booleans() | st.integers(-9, 9) | st.text("ab ", max_size=3)


@given(st.dictionaries(st.sampled_from(["city", "days"]), values), st.booleans())
def test_what_is_kept_as_reference_is_a_call_that_the_verifier_accepts(arguments: Row, listed: bool) -> None:
    """A row that is not skipped can be passed, by making its own reference call."""
    truth: Row = {"ground_truth": [{"get_weather": {key: [value] for key, value in arguments.items()}}]}
    row = {
        "prompt": "?",
        **({"function": GET} | truth if listed else {"tools": [GET], "tool_calls": [CALL | {"arguments": arguments}]}),
    }
    try:
        parts: Parts = tool_calls.parts(row)
    except SkippedRow:
        return
    made = json.dumps([{"function": {"name": "get_weather", "arguments": json.dumps(arguments)}}])
    verdict = judge(Completion("", made, "tool_calls"), Task(parts.reference, json.dumps(parts.tools)))
    typed = all(isinstance(value, str if key == "city" else int) for key, value in arguments.items())
    if typed and not any(isinstance(value, bool) for value in arguments.values()):
        assert verdict.verdict == "pass"
