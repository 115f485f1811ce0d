"""Write the packaged demo data set from its readable sources in `scripts/demo/`.

    python scripts/build_demo.py [FOLDER]

FOLDER defaults to `bon_hydra/queries/demo`. The same sources always give the same tables. The
columns are those of nvidia/Nemotron-Post-Training-Dataset-v1 and, for the code tasks' questions
and tests, those of BAAI/TACO. `README.md` of the data set is written by hand.
"""

from __future__ import annotations

import json
import sys
import uuid
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from omegaconf import OmegaConf

ROOT = Path(__file__).resolve().parent.parent
SOURCES = ROOT / "scripts" / "demo"
PACKAGED = ROOT / "bon_hydra" / "queries" / "demo"

ORIGIN = "bon_hydra_demo"
NAMESPACE = uuid.uuid5(uuid.NAMESPACE_URL, ORIGIN)

Item = dict[str, Any]

CALL = pa.struct(
    [
        ("id", pa.string()),
        ("type", pa.string()),
        ("function", pa.struct([("name", pa.string()), ("arguments", pa.string())])),
    ]
)
MESSAGE = pa.struct([("role", pa.string()), ("content", pa.string()), ("tool_calls", pa.list_(CALL))])
NEMOTRON = pa.schema(
    [
        *((name, pa.string()) for name in ("uuid", "license", "generator", "version", "category", "reasoning")),
        ("messages", pa.list_(MESSAGE)),
        ("metadata", pa.string()),
    ]
)
TACO = pa.schema(
    [
        (name, pa.string())
        for name in (
            *("question", "solutions", "starter_code", "input_output", "difficulty", "raw_tags", "name", "source"),
            *("tags", "skill_types", "url", "Expected Auxiliary Space", "time_limit", "date", "picture_num"),
            *("memory_limit", "Expected Time Complexity"),
        )
    ]
)


def read(name: str) -> Any:
    """What one source file holds; OmegaConf refuses a key that stands twice in one item."""
    return OmegaConf.to_container(OmegaConf.load(SOURCES / f"{name}.yaml"))


def message(role: str, content: str, calls: list[Item] | None = None, first_call: int = 1) -> Item:
    """One chat message; calls are `{name, arguments}` and get the ids `call_<first_call>` and on."""
    tool_calls = [
        {
            "id": f"call_{number}",
            "type": "function",
            "function": {"name": call["name"], "arguments": json.dumps(call["arguments"], ensure_ascii=False)},
        }
        for number, call in enumerate(calls or [], first_call)
    ]
    return {"role": role, "content": content, "tool_calls": tool_calls}


def row(split: str, name: str, messages: list[Item], metadata: Item) -> Item:
    """One row in Nemotron's columns; `uuid` depends on the split and the item's name only."""
    return {
        "uuid": str(uuid.uuid5(NAMESPACE, f"{split}/{name}")),
        "license": "Apache-2.0",
        "generator": ORIGIN,
        "version": "v1",
        "category": split,
        "reasoning": "off",
        "messages": messages,
        "metadata": json.dumps(metadata, ensure_ascii=False),
    }


def math_rows(items: list[Item]) -> list[Item]:
    """Rows of the math split: the problem, its worked solution, the expected answer."""
    return [
        row(
            "math",
            item["name"],
            [
                message("user", item["problem"]),
                message("assistant", f"{item['solution']}\n\n\\boxed{{{item['answer']}}}"),
            ],
            {"expected_answer": item["answer"], "problem_source": ORIGIN},
        )
        for item in items
    ]


def tool_rows(items: list[Item], tools: dict[str, Item]) -> list[Item]:
    """Rows of the tool split; a turn is `{role: content}`, or `{calls: [...]}` for an assistant that calls tools."""
    rows = []
    for item in items:
        messages: list[Item] = []
        calls_so_far = 0
        for turn in item["turns"]:
            ((role, content),) = turn.items()
            if role == "calls":
                messages.append(message("assistant", "", content, first_call=calls_so_far + 1))
                calls_so_far += len(content)
            else:
                messages.append(message(role, content))
        offered = [{"type": "function", "function": {"name": name, **tools[name]}} for name in item["tools"]]
        rows.append(row("tool_calling", item["name"], messages, {"tools": offered}))
    return rows


def taco_rows(items: list[Item]) -> list[Item]:
    """The code tasks in TACO's columns. Sorted by name, so that no row of the code split finds its task by position."""
    rows = []
    for item in sorted(items, key=lambda item: str(item["name"])):
        inputs = [case["in"] for case in item["tests"]]
        outputs = [case["out"] for case in item["tests"]]
        tests: Item = {"inputs": inputs, "outputs": outputs}
        starter = ""
        if "function" in item:
            name = item["function"].partition("(")[0]
            tests = {"fn_name": name, "inputs": inputs, "outputs": [[output] for output in outputs]}
            starter = f"def {item['function']}:\n\t"
        rows.append(
            dict.fromkeys(TACO.names)
            | {
                "question": item["question"],
                "solutions": json.dumps([item["solution"]], ensure_ascii=False),
                "starter_code": starter,
                "input_output": json.dumps(tests, ensure_ascii=False),
                "difficulty": "EASY",
                "raw_tags": "[]",
                "name": item["name"],
                "source": ORIGIN,
                "tags": "[]",
                "skill_types": "[]",
            }
        )
    return rows


def code_rows(items: list[Item]) -> list[Item]:
    """Rows of the code split: as in Nemotron the question is `-`, and metadata says where it lives."""
    index = {taco["name"]: number for number, taco in enumerate(taco_rows(items))}
    return [
        row(
            "code",
            item["name"],
            [message("user", "-"), message("assistant", f"```python\n{item['solution']}```")],
            {"source": ORIGIN, "dataset": "taco", "index": str(index[item["name"]]), "split": "train"},
        )
        for item in items
    ]


def tables() -> dict[str, pa.Table]:
    """Every file of the data set, by its path below the folder."""
    math, tool_calling, tools, code = read("math"), read("tool_calling"), read("tools"), read("code")
    return {
        "data/math-00000-of-00001.parquet": pa.Table.from_pylist(math_rows(math), NEMOTRON),
        "data/tool-00000-of-00001.parquet": pa.Table.from_pylist(tool_rows(tool_calling, tools), NEMOTRON),
        "data/code-00000-of-00001.parquet": pa.Table.from_pylist(code_rows(code), NEMOTRON),
        "sources/taco/data/train-00000-of-00001.parquet": pa.Table.from_pylist(taco_rows(code), TACO),
    }


def main(folder: Path = PACKAGED) -> None:
    """Write all files below `folder`."""
    for path, table in tables().items():
        target = folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(table, target, compression="zstd")
        print(f"{target}: {table.num_rows} rows")


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:2]))
