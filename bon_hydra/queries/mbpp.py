r"""google-research-datasets/mbpp and evalplus/mbppplus: short tasks, with asserts. Config `sanitized`:

    {"task_id": 2, "prompt": "Write a function to find the shared elements from the given two lists.",
     "code": "def similar_elements(test_tup1, test_tup2):\n  return …", "test_imports": [],
     "test_list": ["assert set(similar_elements((3, 4, 5, 6),(5, 7, 4, 10))) == set((4, 5))", …]}

Config `full` calls the prompt `text` and the imports `test_setup_code`, a text. The Plus set has in `test` a script
that calls the function with many more inputs.
"""

from __future__ import annotations

import builtins
from typing import Any

from bon_hydra.queries.json_numbers import as_text, dumps
from bon_hydra.queries.parts import Parts, Row, SkippedRow, user
from bon_hydra.queries.python import called, defined, parsed

COLUMNS = ("test_list", ("prompt", "text"))
VERIFIER = "code"


def parts(row: Row) -> Parts:
    """The question is the task and its first assert, since only the tests say what the function is called."""
    task = row.get("prompt") or row.get("text")
    asserts = row.get("test_list")
    if not isinstance(asserts, list) or not asserts or not all(isinstance(each, str) for each in asserts):
        raise SkippedRow("column 'test_list' is not a list of asserts")
    setup = _setup(row)
    if setup:
        parsed(setup, "the tests' imports")
    for each in asserts:
        parsed(each, "the tests")
    name = _entry_point(row, asserts[0])
    shown = f"{user(task, 'prompt')[0]['content'].strip()}\n\nYour code should pass this test:\n\n{asserts[0].strip()}"
    tests: dict[str, Any] = {"kind": "asserts", "setup": setup, "asserts": asserts}
    if script := row.get("test"):
        parsed(script, "the tests")
        if name is None:
            raise SkippedRow("the tests call no function")
        tests = {"kind": "check", "setup": setup, "test": script}
    if name is not None:
        tests["entry_point"] = name
    return Parts(user(shown, "prompt"), dumps(tests), VERIFIER, source_id=as_text(row.get("task_id")))


def _setup(row: Row) -> str:
    imports = row.get("test_imports") or row.get("test_setup_code") or ""
    if isinstance(imports, list) and all(isinstance(line, str) for line in imports):
        return "\n".join(imports)
    if not isinstance(imports, str):
        raise SkippedRow("the tests' imports are no text")
    return imports


def _entry_point(row: Row, first: str) -> str | None:
    """What the first assert calls: preferably a function that the row's solution defines, else no builtin."""
    names = called(parsed(first, "the tests"))
    try:
        own = set(defined(parsed(row.get("code"), "the solution")))
    except SkippedRow:
        own = set()
    likely = [name for name in names if name in own] or [name for name in names if not hasattr(builtins, name)]
    return likely[0] if likely else None
