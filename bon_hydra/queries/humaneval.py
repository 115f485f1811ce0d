r"""openai/openai_humaneval and evalplus/humanevalplus: Python functions to complete, with tests.

    {"task_id": "HumanEval/53", "prompt": "\n\ndef add(x: int, y: int):\n    \"\"\"Add two numbers x and y …\"\"\"\n",
     "canonical_solution": "    return x + y\n", "entry_point": "add",
     "test": "\n\nMETADATA = {}\n\n\ndef check(candidate):\n    assert candidate(0, 1) == 1\n    …"}

Split test. Of the Plus set the tests are longer.
"""

from __future__ import annotations

from bon_hydra.queries.json_numbers import as_text, dumps
from bon_hydra.queries.parts import Parts, Row, SkippedRow, user
from bon_hydra.queries.python import defined, parsed

COLUMNS = ("task_id", "prompt", "test", "entry_point")
VERIFIER = "code"


def parts(row: Row) -> Parts:
    """The question is the prompt as it stands; it is also the code that an answer goes on from, helpers and all."""
    prompt, test, name = row.get("prompt"), row.get("test"), row.get("entry_point")
    messages = user(prompt, "prompt")
    if not isinstance(name, str) or not name.isidentifier():
        raise SkippedRow(f"entry_point {name!r} is no function's name")
    if "check" not in defined(parsed(test, "the tests")):
        raise SkippedRow("the tests do not define check(candidate)")
    parsed(prompt, "the prompt")
    tests = {"kind": "check", "setup": prompt, "test": test, "entry_point": name}
    return Parts(messages, dumps(tests), VERIFIER, source_id=as_text(row.get("task_id")))
