"""The packaged demo data set: equal to its sources, in Nemotron's layout, and right in every reference."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sympy
from math_verify import parse
from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parent.parent
DEMO = ROOT / "bon_hydra" / "queries" / "demo"
SOURCES = ROOT / "scripts" / "demo"
FILES = {
    "math": "data/math-00000-of-00001.parquet",
    "tool_calling": "data/tool-00000-of-00001.parquet",
    "code": "data/code-00000-of-00001.parquet",
}
TACO = "sources/taco/data/train-00000-of-00001.parquet"

Item = dict[str, Any]


def rows(path: str) -> list[Item]:
    """Rows of a packaged file, metadata and input_output parsed."""
    parsed: list[Item] = pq.read_table(DEMO / path).to_pylist()
    for row in parsed:
        for column in {"metadata", "input_output"} & row.keys():
            row[column] = json.loads(row[column])
    return parsed


def source(name: str) -> Any:
    """What a readable source holds."""
    return OmegaConf.to_container(OmegaConf.load(SOURCES / f"{name}.yaml"))


def first_assistant_turn(row: Item) -> int:
    return next(i for i, message in enumerate(row["messages"]) if message["role"] == "assistant")


def reference_calls(row: Item) -> list[Item]:
    """Calls of the first assistant turn, as `{name, arguments}`."""
    calls = row["messages"][first_assistant_turn(row)]["tool_calls"]
    return [{**call["function"], "arguments": json.loads(call["function"]["arguments"])} for call in calls]


# What is in the package


def test_packaged_files_are_what_the_builder_makes(tmp_path: Path) -> None:
    """Nobody edited a source without building, or a parquet file by hand; and no other parquet file is packaged."""
    subprocess.run([sys.executable, ROOT / "scripts" / "build_demo.py", tmp_path], check=True, capture_output=True)
    built = sorted(path.relative_to(tmp_path) for path in tmp_path.rglob("*.parquet"))
    assert built == sorted(path.relative_to(DEMO) for path in DEMO.rglob("*.parquet"))
    for path in built:
        assert pq.read_table(DEMO / path).equals(pq.read_table(tmp_path / path)), path


@pytest.mark.parametrize("split", FILES)
def test_columns_and_types_are_nemotrons(split: str) -> None:
    """Column names, order and types of nvidia/Nemotron-Post-Training-Dataset-v1, and no null anywhere."""
    text = pa.string()
    function = pa.struct([("name", text), ("arguments", text)])
    call = pa.struct([("id", text), ("type", text), ("function", function)])
    message = pa.struct([("role", text), ("content", text), ("tool_calls", pa.list_(call))])
    table = pq.read_table(DEMO / FILES[split])
    names = ["uuid", "license", "generator", "version", "category", "reasoning", "messages", "metadata"]
    assert table.schema.names == names
    assert [table.schema.field(name).type for name in names] == [*[text] * 6, pa.list_(message), text]
    assert all(column.null_count == 0 for column in table.columns)
    assert set(table["category"].to_pylist()) == {split}


def test_code_source_has_tacos_columns() -> None:
    """Column names and order of BAAI/TACO, every column of type string."""
    schema = pq.read_schema(DEMO / TACO)
    assert schema.names == [
        *("question", "solutions", "starter_code", "input_output", "difficulty", "raw_tags", "name", "source", "tags"),
        *("skill_types", "url", "Expected Auxiliary Space", "time_limit", "date", "picture_num", "memory_limit"),
        "Expected Time Complexity",
    ]
    assert set(schema.types) == {pa.string()}


def test_metadata_has_nemotrons_keys() -> None:
    """Each split's metadata is a JSON object with the keys Nemotron has there."""
    keys = {
        "math": {"expected_answer", "problem_source"},
        "tool_calling": {"tools"},
        "code": {"source", "dataset", "index", "split"},
    }
    assert {split: set().union(*(row["metadata"] for row in rows(path))) for split, path in FILES.items()} == keys


def test_there_is_enough_of_everything() -> None:
    """The sizes and kinds of tasks that runs and other tests rely on."""
    tools, taco = rows(FILES["tool_calling"]), rows(TACO)
    numbers_of_calls = [len(reference_calls(row)) for row in tools]
    assert len(rows(FILES["math"])) >= 40
    assert len(tools) >= 24
    assert len(taco) == len(rows(FILES["code"])) >= 24
    assert numbers_of_calls.count(0) >= 3
    assert sum(number > 1 for number in numbers_of_calls) >= 3
    assert {len(row["metadata"]["tools"]) for row in tools} == {1, 2, 3, 4}
    assert sum("fn_name" not in row["input_output"] for row in taco) >= 6


def test_nothing_is_asked_twice() -> None:
    """Every question stands once, whatever its case and punctuation, and every uuid is its own."""
    asked = [row["messages"][0]["content"] for row in rows(FILES["math"])]
    asked += [
        next(message["content"] for message in row["messages"] if message["role"] == "user")
        for row in rows(FILES["tool_calling"])
    ]
    asked += [row["question"] for row in rows(TACO)]
    plain = [re.sub(r"\W+", " ", question).strip().lower() for question in asked]
    assert len(set(plain)) == len(plain)
    uuids = [row["uuid"] for path in FILES.values() for row in rows(path)]
    assert len(set(uuids)) == len(uuids)


def test_card_says_what_is_there() -> None:
    """The card's YAML header names each split's file, and every number in its text is right."""
    _, header, text = (DEMO / "README.md").read_text(encoding="utf-8").split("---\n", 2)
    card: Any = OmegaConf.to_container(OmegaConf.create(header))
    (config,) = card["configs"]
    found = {entry["split"]: list(DEMO.glob(entry["path"])) for entry in config["data_files"]}
    assert found == {split: [DEMO / path] for split, path in FILES.items()}
    assert card["license"] == "apache-2.0"

    tools, taco = rows(FILES["tool_calling"]), rows(TACO)
    calls = [len(reference_calls(row)) for row in tools]
    answers = [row["metadata"]["expected_answer"] for row in rows(FILES["math"])]
    plain = " ".join(text.split())
    for split, path in FILES.items():
        assert f"| `{split}` | {len(rows(path))} |" in plain
    whole = next(i for i, answer in enumerate(answers) if not re.fullmatch(r"-?\d+", answer))
    assert f"The first {whole} answers are whole numbers" in plain
    one, several, none = calls.count(1), sum(number > 1 for number in calls), calls.count(0)
    assert f"in {one} rows one call, in {several} rows several at once, in {none} rows none" in plain
    longer = sum(first_assistant_turn(row) + 1 < len(row["messages"]) for row in tools)
    assert f"{longer} conversations go on after that turn" in plain
    programs = sum("fn_name" not in row["input_output"] for row in taco)
    assert f"{len(taco) - programs} tasks ask for a function, {programs} for a program" in plain


LOADER = """
import json, sys
from datasets import load_dataset
folder, splits = sys.argv[1], sys.argv[2:]
counts = {s: sum(1 for _ in load_dataset(folder, split=s, streaming=True)) for s in splits}
counts["taco"] = sum(1 for _ in load_dataset(folder + "/sources/taco", split="train", streaming=True))
print(json.dumps(counts))
"""


def test_datasets_reads_every_split_offline(tmp_path: Path) -> None:
    """`load_dataset(folder, split=..., streaming=True)` finds every split by the card alone, without the Hub."""
    cache = {"HF_HOME": str(tmp_path), "HF_DATASETS_CACHE": str(tmp_path / "datasets")}
    environment = {**os.environ, **cache, "HF_HUB_OFFLINE": "1"}
    loaded = subprocess.run(
        [sys.executable, "-c", LOADER, DEMO, *FILES], check=True, capture_output=True, text=True, env=environment
    )
    expected = {split: len(rows(path)) for split, path in FILES.items()} | {"taco": len(rows(TACO))}
    assert json.loads(loaded.stdout) == expected


# Math


def value_of(latex: str) -> Any:
    """The value a reference stands for: a number (percent as a share of one), a pair, an interval, an expression."""
    if latex.endswith(r"\%"):
        return value_of(latex.removesuffix(r"\%")) / 100
    if bracketed := re.fullmatch(r"([(\[])(.+), (.+)([)\]])", latex):
        opening, low, high, closing = bracketed.groups()
        if (opening, closing) == ("(", ")"):
            return (value_of(low), value_of(high))
        return sympy.Interval(value_of(low), value_of(high), opening == "(", closing == ")")
    if re.fullmatch(r"-?\d+(\.\d+)?", latex):
        return sympy.Rational(latex)
    expression = parse(f"${latex}$", parsing_timeout=None)[0]
    # math-verify's unknowns are real, those of `check` are anything: to sympy not the same symbol.
    return expression.subs({unknown: sympy.Symbol(unknown.name) for unknown in expression.free_symbols})


def recomputed(check: str) -> Any:
    """The value of a source's `check`, with sympy's names and the unknowns w, x, y."""
    return eval(check, vars(sympy) | {name: sympy.Symbol(name) for name in ("w", "x", "y")})


def same(a: Any, b: Any) -> bool:
    if isinstance(a, tuple | sympy.Set):
        return bool(a == b)
    return bool(sympy.expand(a - b) == 0)


@pytest.mark.parametrize("item", source("math"), ids=lambda item: item["name"])
def test_math_reference_is_the_recomputed_value(item: Item) -> None:
    """The answer equals what the problem's own numbers give."""
    assert same(value_of(item["answer"]), recomputed(item["check"]))


def test_checks_compute() -> None:
    """No check merely states the answer: each one calls or calculates."""
    for item in source("math"):
        assert re.search(r"\w\(|[-+*/%]", item["check"].lstrip("-")), item["name"]
        assert item["check"] != item["answer"]


def test_math_solution_ends_with_the_boxed_reference() -> None:
    """The worked solution's last line is the expected answer in a box."""
    for row in rows(FILES["math"]):
        _, solution = row["messages"]
        assert solution["content"].splitlines()[-1] == rf"\boxed{{{row['metadata']['expected_answer']}}}"


def test_hard_kinds_of_answers_come_after_the_first_twenty() -> None:
    """The first 20 answers are whole numbers; later there is every kind of LaTeX the verifier must read."""
    answers = [row["metadata"]["expected_answer"] for row in rows(FILES["math"])]
    assert all(re.fullmatch(r"-?\d+", answer) for answer in answers[:20])
    kinds = {
        "fraction": r"\\frac\{\d+\}\{\d+\}",
        "decimal": r"\d+\.\d+",
        "percentage": r"\d+\\%",
        "pair": r"\(\d+, \d+\)",
        "expression": r".*[a-z].* \+ \d+",
        "interval": r"[(\[].+\]|\[.+\)",
    }
    for kind, pattern in kinds.items():
        assert sum(bool(re.fullmatch(pattern, answer)) for answer in answers[20:]) >= 2, kind


# Tool calls


def fits(value: Any, schema: Item) -> bool:
    """Whether a JSON value has the type a JSON Schema asks for, with all required keys and no unknown ones."""
    if "enum" in schema and value not in schema["enum"]:
        return False
    match schema["type"]:
        case "object":
            properties = schema["properties"]
            return (
                isinstance(value, dict)
                and set(schema.get("required", [])) <= value.keys() <= properties.keys()
                and all(fits(entry, properties[key]) for key, entry in value.items())
            )
        case "array":
            return isinstance(value, list) and all(fits(entry, schema["items"]) for entry in value)
        case "integer":
            return type(value) is int
        case "number":
            return type(value) in (int, float)
        case "boolean":
            return type(value) is bool
        case "string":
            return type(value) is str
    raise AssertionError(f"unknown type {schema['type']}")


def test_fits_tells_wrong_arguments() -> None:
    """The check itself refuses a missing key, an unknown key, a wrong type and a value outside an enum."""
    unit = {"type": "string", "enum": ["m", "km"]}
    schema = {"type": "object", "properties": {"n": {"type": "integer"}, "unit": unit}, "required": ["n"]}
    assert fits({"n": 1, "unit": "km"}, schema)
    for wrong in ({}, {"n": 1, "x": 2}, {"n": "1"}, {"n": 1.0}, {"n": True}, {"n": 1, "unit": "mile"}):
        assert not fits(wrong, schema), wrong


def test_every_tool_call_fits_its_tool() -> None:
    """Every call of every turn names a tool that the row offers and passes arguments that fit its parameters."""
    for row in rows(FILES["tool_calling"]):
        offered = {tool["function"]["name"]: tool["function"]["parameters"] for tool in row["metadata"]["tools"]}
        assert len(offered) == len(row["metadata"]["tools"]), "a tool is offered twice"
        for message in row["messages"]:
            for call in message["tool_calls"]:
                name, arguments = call["function"]["name"], json.loads(call["function"]["arguments"])
                assert fits(arguments, offered[name]), (name, arguments)


def test_every_tool_is_offered_in_openais_format() -> None:
    """A tool is `{type: function, function: {name, description, parameters}}`, and none is defined in vain."""
    tools = [tool for row in rows(FILES["tool_calling"]) for tool in row["metadata"]["tools"]]
    assert {tool["function"]["name"] for tool in tools} == set(source("tools"))
    for tool in tools:
        assert tool.keys() == {"type", "function"}
        assert tool["type"] == "function"
        assert tool["function"].keys() == {"name", "description", "parameters"}
        assert set(tool["function"]["parameters"]["required"]) <= tool["function"]["parameters"]["properties"].keys()


def test_conversations_run_as_the_chat_api_allows() -> None:
    """At most one system message, then the user, then the first assistant turn; each call has its own id and result."""
    for row in rows(FILES["tool_calling"]):
        roles = [message["role"] for message in row["messages"]]
        turn = first_assistant_turn(row)
        assert roles[:turn] in (["user"], ["system", "user"])
        assert all(not message["tool_calls"] for message in row["messages"] if message["role"] != "assistant")
        calls = [call["id"] for message in row["messages"] for call in message["tool_calls"]]
        assert len(set(calls)) == len(calls)
        if turn + 1 < len(roles):
            assert roles.count("tool") == len(calls)
            assert roles[-1] == "assistant"


# Code

JUDGE = """
import contextlib, io, json, sys

def failures(task):
    tests, source = task["input_output"], task["source"]
    for given, wanted in zip(tests["inputs"], tests["outputs"], strict=True):
        if "fn_name" in tests:
            names = {}
            exec(source, names)
            got, (wanted,) = names[tests["fn_name"]](*given), wanted
        else:
            sys.stdin = io.StringIO(given)
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(source, {"__name__": "__main__"})
            got = printed.getvalue()
        if got != wanted:
            yield [task["name"], given, got, wanted]

tasks = json.load(sys.stdin)
print(json.dumps([failure for task in tasks for failure in failures(task)]))
"""


def failed_tests(tasks: list[Item]) -> list[list[Any]]:
    """[name, input, output, expected output] of each test that a task's `source` fails, run in one isolated process."""
    run = subprocess.run(
        [sys.executable, "-I", "-c", JUDGE], input=json.dumps(tasks), check=True, capture_output=True, text=True
    )
    failures: list[list[Any]] = json.loads(run.stdout)
    return failures


def code_tasks() -> list[Item]:
    """The code split joined with its source as metadata says, `source` being the solution in the assistant's turn."""
    taco, tasks = rows(TACO), []
    for row in rows(FILES["code"]):
        question, answer = row["messages"]
        assert question["content"] == "-"
        assert (row["metadata"]["dataset"], row["metadata"]["split"]) == ("taco", "train")
        fenced = re.fullmatch(r"```python\n(.*)```", answer["content"], re.DOTALL)
        assert fenced is not None
        tasks.append(taco[int(row["metadata"]["index"])] | {"source": fenced[1]})
    return tasks


def test_code_solutions_pass_all_their_tests() -> None:
    """Each solution passes the tests of the task its row points to."""
    assert failed_tests(code_tasks()) == []


def test_a_wrong_program_fails_some_test_of_every_task() -> None:
    """Tests tell programs apart: one that always gives the first test's output fails another test."""
    constant = []
    for task in code_tasks():
        tests = task["input_output"]
        first = tests["outputs"][0]
        name = tests.get("fn_name")
        source = f"def {name}(*arguments): return {first[0]!r}" if name else f"print({first!r}, end='')"
        constant.append(task | {"source": source})
    assert {failure[0] for failure in failed_tests(constant)} == {task["name"] for task in constant}


def test_code_rows_point_to_each_task_once_and_not_by_position() -> None:
    """Each task of the source belongs to one row, and joining by position instead of by index would show."""
    indices = [int(row["metadata"]["index"]) for row in rows(FILES["code"])]
    assert sorted(indices) == list(range(len(rows(TACO))))
    assert indices != sorted(indices)
    assert [task["name"] for task in code_tasks()] == [item["name"] for item in source("code")]


def test_source_solution_and_starter_agree_with_the_task() -> None:
    """`solutions` holds the assistant's program; a function task names its function in question, starter and tests."""
    for task in code_tasks():
        assert json.loads(task["solutions"]) == [task["source"]]
        name = task["input_output"].get("fn_name")
        if name is None:
            assert task["starter_code"] == ""
            assert "standard input" in task["question"]
        else:
            assert task["starter_code"].startswith(f"def {name}(")
            assert f"`{task['starter_code'].split(' ', 1)[1].split(':')[0]}`" in task["question"]
        assert len(task["input_output"]["inputs"]) == len(task["input_output"]["outputs"]) >= 3
