"""The program is taken out of an answer as people write it, and what it is worth before it runs is said at once."""

from __future__ import annotations

import ast
import json
import re
import warnings
from dataclasses import dataclass
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bon_hydra.records import Verdict
from bon_hydra.verifiers.code import judge, program_of, verdict_of, without_cases
from bon_hydra.verifiers.code import tests_of as read_tests
from bon_hydra.verifiers.completion import Completion, Task

HEAD = """\
from typing import List


def helper(x):
    return x + 1


def f(x: int) -> int:
    '''Twice x.
    >>> f(2)
    4
    '''
"""
CHECK = {
    "kind": "check",
    "setup": HEAD,
    "test": "def check(candidate):\n    assert candidate(2) == 4",
    "entry_point": "f",
}
ASSERTS = {"kind": "asserts", "setup": "", "asserts": ["assert f(2) == 4"], "entry_point": "f"}
CALLS = {"kind": "calls", "fn_name": "f", "inputs": [[2]], "outputs": [4]}
STDIO = {"kind": "stdio", "inputs": ["2\n"], "outputs": ["4\n"]}

DEF = "def f(x):\n    return 2 * x"


def fence(code: str, tag: str = "python", mark: str = "```") -> str:
    return f"{mark}{tag}\n{code}\n{mark}"


def said(*parts: str) -> str:
    """Prose and code blocks, each on lines of its own; code is what starts as code does."""
    return "\n".join(
        fence(part) if re.match(r"\s+|def |from |import |print|class |[A-Z] = |n = ", part) else part for part in parts
    )


def program(text: str, tests: dict[str, Any] = ASSERTS, finish_reason: str = "stop") -> str | None:
    return program_of(Completion(text, None, finish_reason), Task(json.dumps(tests)))


def run(code: str | None, tests: dict[str, Any] = ASSERTS) -> Any:
    """What f(2) is, run here (these programs are the tests' own): after the head, as the sandbox does."""
    assert code is not None
    space: dict[str, Any] = {"__name__": "__main__"}
    with warnings.catch_warnings(action="ignore"):
        exec(compile(tests.get("setup", ""), "head", "exec", dont_inherit=True), space)
        exec(compile(code, "program", "exec", dont_inherit=True), space)
    return (space["f"] if "f" in space else space["Solution"]().f)(2)


FUNCTIONS = {
    "one block": fence(DEF),
    "a block with prose around it": f"Here is it:\n\n{fence(DEF)}\n\nIt doubles x. It's `O(1)`.",
    "a block without a language": fence(DEF, ""),
    "a block in capitals": fence(DEF, "Python3"),
    "a block with attributes": fence(DEF, "{.python .numberLines}"),
    "a block of tildes": fence(DEF, "python", "~~~"),
    "a longer fence around one": fence('def f(x):\n    """\n```\nf(2)\n```\n    """\n    return x * 2', mark="````"),
    "a fence in a docstring": fence('def f(x):\n    """Like\n\n    ```\n    f(2)\n    ```\n    """\n    return 2 * x'),
    "Windows line ends": fence(DEF).replace("\n", "\r\n"),
    "old Mac line ends": fence(DEF).replace("\n", "\r"),
    "an indented block in a list": "1. Do this:\n\n   ```python\n   def f(x):\n       return 2 * x\n   ```\n2. Done.",
    "a block that opens behind prose": f"The code: ```python\n{DEF}\n```",
    "a block that closes behind code": f"```python\n{DEF}```",
    "a block in one line": "```python f = lambda x: 2 * x```",
    "a fence never closed": f"```python\n{DEF}",
    "a fence opened again instead of closed": f"```python\nimport os\n```python\n{DEF}\n```",
    "a block inside a Markdown block": f"```markdown\n# Answer\n```python\n{DEF}\n```\n```",
    "a draft, then the answer": said("def f(x):\n    return x", "No, wait.", DEF),
    "an example of use after it": said(DEF, "Use:", "print(f(2))  # 4"),
    "tests after it that import it": said(DEF, "Tests:", "from solution import f\nassert f(2) == 4"),
    "output after it": f"{fence(DEF)}\nOutput:\n{fence('4', '')}",
    "another language after it": said(DEF, "In JavaScript:", fence("function f(x) { return x }", "js")),
    "a broken draft after it": said(DEF, "Or shorter:", "def f(x): return 2 *"),
    "a helper in a block before": said("def twice(x):\n    return 2 * x", "Then", "def f(x):\n    return twice(x)"),
    "a helper in a block after": said("def f(x):\n    return twice(x)", "with", "def twice(x):\n    return 2 * x"),
    "imports in a block before": said("import math", "Then", "def f(x):\n    return math.floor(2 * x)"),
    "a helper of a helper": said("A = 2", "def twice(x):\n    return A * x", "def f(x):\n    return twice(x)"),
    "a function in two blocks": said("def f(x):\n    y = 2", "and then", "    return x * y"),
    "a lambda": fence("f = lambda x: 2 * x"),
    "a definition in a branch": fence("try:\n    import no\nexcept ImportError:\n    def f(x):\n        return 2 * x"),
    "no fence": DEF,
    "no fence, prose before": f"Sure! Here is the function:\n\n{DEF}",
    "no fence, prose around, with apostrophes": f"Here's what you'd want.\n\n{DEF}\n\nIt's simple (isn't it?",
    "no fence, imports first": f"The answer:\nimport math\n\n{DEF}\n\nDone",
    "no fence, a word at the end": f"{DEF}\n\nDone",
    "no fence, prose between": "Import:\nimport math\nThen:\ndef f(x):\n    return math.floor(x * 2)\nThat is it.",
    "marks of an answer": f"[PYTHON]\n{DEF}\n[/PYTHON]",
    "marks in angles": f"<answer>\n{fence(DEF)}\n</answer>",
    "MBPP's own marks": f"[BEGIN]\n{DEF}\n[DONE]",
    "thinking before it": said("<think>", "def f(x):\n    return 0", "</think>", DEF),
    "thinking that the server opened": f"maybe ```python\ndef f(x): return 0\n```</think>{fence(DEF)}",
    "an escape that Python warns of": fence(f"import re\nP = '\\d'\n{DEF}"),
    "postponed annotations": fence(f"from __future__ import annotations\n\n{DEF}"),
    "code of its own main": fence(f"{DEF}\n\nif __name__ == '__main__':\n    assert f(2) == 4"),
}  # fmt: skip


@pytest.mark.parametrize("text", FUNCTIONS.values(), ids=FUNCTIONS)
def test_a_function_is_found_however_the_answer_is_written(text: str) -> None:
    """It does what its author meant: doubles."""
    assert run(program(text)) == 4


BODIES = {
    "the body": "    return 2 * x\n",
    "the body, its first indentation lost": "y = 2 * x\n    return y",
    "the body, its indentation lost": "if x:\n    return 2 * x\nreturn 0",
    "the body in a fence": fence("    return 2 * x"),
    "the body in a fence, unindented": fence("return 2 * x"),
    "the body, then rambling": "    return 2 * x\n\n\ndef g(y):\n    return (y",
    "the body, then prose": "    return 2 * x\nThis doubles x, doesn't it?",
    "the body after thinking": "<think>twice</think>\n    return 2 * x",
    "the body, then another function": "    return twice(x)\n\n\ndef twice(x):\n    return 2 * x",
    "the head again": HEAD + "    return 2 * x",
    "the function without the head": fence(DEF),
    "a helper of the head": fence("def f(x):\n    return helper(x) + x - 1"),
}


@pytest.mark.parametrize("text", BODIES.values(), ids=BODIES)
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_an_answer_may_go_on_where_the_prompt_stopped(text: str, newline: str) -> None:
    """A body without its function is put on the prompt's head."""
    assert run(program(text.replace("\n", newline), CHECK), CHECK) == 4


def test_another_function_is_no_body() -> None:
    """It is the answer, under a wrong name."""
    assert judged(fence("def g(x):\n    return 2 * x"), CHECK).reason == "the program does not define f"


READ = "n = int(input())\nprint(2 * n)"
MAIN = "import sys\n\ndef main():\n    n = int(sys.stdin.readline())\n    print(2 * n)"

PROGRAMS = {
    "one block": (fence(READ), READ),
    "sample input and output after it": (f"{fence(READ)}\nInput:\n{fence('2', '')}\nOutput:\n{fence('4', '')}", READ),
    "an example call after it": (said(READ, "Or, as a function:", "print(2 * 21)"), READ),
    "a draft before it": (said("print(int(input()))", "Better:", READ), READ),
    "a main that a second block calls": (said(MAIN, "and", fence("main()")), f"{MAIN}\n\nmain()"),
    "a main with its call": (fence(f"{MAIN}\n\nmain()"), f"{MAIN}\n\nmain()"),
    "no fence": (READ, READ),
    "no fence, prose around": (f"Here's the program:\n\n{READ}\n\nIt's quick.", READ + "\n"),
    "nothing to read": (fence("print(4)"), "print(4)"),
    "nothing to read, helpers first": (said("X = 4", "print(X)"), "X = 4\n\nprint(X)"),
    "a main that nobody calls": (fence(MAIN), MAIN),
    "shell around it": (f"{fence(READ)}\nRun it:\n{fence('python solution.py < in.txt', 'bash')}", READ),
}


@pytest.mark.parametrize(("text", "expected"), PROGRAMS.values(), ids=PROGRAMS)
def test_a_program_is_the_last_block_that_reads_or_prints(text: str, expected: str) -> None:
    """What only shows its use, its input or its output is not it."""
    assert program(text, STDIO) == expected


def test_a_function_of_pythons_own_is_an_answer() -> None:
    """An import defines what is asked for where it is from the standard library."""
    assert judged(fence("from math import trunc as f"), ASSERTS).answer is not None
    assert judged(fence("from solution import f"), ASSERTS).reason == "the program does not define f"


def test_a_method_of_solution_counts_where_calls_are_tested() -> None:
    """As TACO's own tests have it; elsewhere a function is asked for."""
    text = fence("class Solution:\n    def f(self, x):\n        return 2 * x")
    assert run(program(text, CALLS)) == 4
    assert judged(text, CALLS).answer is not None
    assert judged(text, ASSERTS).reason == "the program does not define f"


NOTHING = [
    "I cannot help with that.",
    "",
    "return to sender",
    "42",
    fence("int f(int x) { return 2 * x; }", "cpp"),
    "`f(2)`",
]


@pytest.mark.parametrize("text", NOTHING)
@pytest.mark.parametrize("tests", [CHECK, ASSERTS, CALLS, STDIO], ids=lambda tests: tests["kind"])
def test_prose_is_no_program(text: str, tests: dict[str, Any]) -> None:
    """Nothing is run where nothing was written."""
    assert program(text, tests) is None
    assert judged(text, tests) == Verdict("no_answer", "no program")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (f"```python\n{DEF}", DEF),
        (f"```python\n{DEF}\n\ndef main(", None),
        ("```python\ndef f(x):\n    return 2 *", None),
        ("```python\nimport math\n", None),
        (f"{fence(DEF)}\nNow with types:\n```python\ndef f(x: int", DEF),
        (f"{DEF}\n\ndef main(", DEF + "\n"),
        (f"<think>{fence(DEF)} but", None),
        (f"{DEF}\n\n# Tests\nassert f(2", DEF + "\n\n# Tests"),
    ],
)
def test_an_answer_cut_off_is_judged_only_where_its_program_is_whole(text: str, found: str | None) -> None:
    """It must compile and define what is asked for; half a program is no answer."""
    assert program(text, finish_reason="length") == found
    if found is None:
        assert judged(text, ASSERTS, "length").verdict == "no_answer"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("```python\nn = int(input())\nprint(n", None),
        ("n = int(input())\nfor i in range(n):\n    print((", None),
        ("n = int(input())\nprint(2 * n)", "n = int(input())\nprint(2 * n)"),
        (f"{fence('print(4)')}\nIt prints 4 because", "print(4)"),
    ],
)
def test_a_program_cut_off_is_judged_only_whole(text: str, found: str | None) -> None:
    """Its first lines alone are no answer, though they compile."""
    assert program(text, STDIO, finish_reason="length") == found


def judged(text: str, tests: dict[str, Any], finish_reason: str = "stop") -> Verdict:
    return judge(Completion(text, None, finish_reason), Task(json.dumps(tests)))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (fence("def f(x)\n    return 2 * x"), "SyntaxError: expected ':' (line 1)"),
        (fence("def f(x):\nreturn 2 * x"), "IndentationError: expected an indented block after function definition"),
        (fence("def g(x):\n    return 2 * x"), "the program does not define f"),
        (fence("print 'hello'"), "SyntaxError: Missing parentheses"),
        ("def f(x)\n    return 2 * x", "SyntaxError: expected ':' (line 1)"),
        (fence("def f(x):\n    return " + "(" * 500), "SyntaxError: too many nested parentheses (line 2)"),
        (fence("def f(x):\n    return 2\nx = '\0'"), ""),
    ],
)
def test_a_program_that_cannot_be_right_fails_without_being_run(text: str, reason: str) -> None:
    """What is wrong is named; none of its tests passed."""
    verdict = judged(text, ASSERTS)
    assert (verdict.verdict, verdict.score, verdict.scorer, verdict.answer) == ("fail", 0.0, "tests passed", None)
    assert verdict.reason.startswith(reason)


def test_a_program_that_may_be_right_waits_for_the_sandbox() -> None:
    """Its judge says so, and hands it on."""
    assert judged(fence(DEF), ASSERTS) == Verdict("unverifiable", "not run", answer=DEF)


@given(st.text(), st.sampled_from(["stop", "length"]), st.sampled_from([CHECK, ASSERTS, CALLS, STDIO]))
def test_no_text_breaks_the_extraction(text: str, finish_reason: str, tests: dict[str, Any]) -> None:
    """Any text has a program or none, and cut off it has one only where that compiles."""
    found = program(text, tests, finish_reason)
    if found is not None and finish_reason == "length":
        ast.parse(found)


PIECES = st.sampled_from(
    [
        "```",
        "```python",
        "~~~",
        "def f(x):",
        "    return 2 * x",
        "class A:",
        "import os",
        "Prose.",
        "x = (",
        '"""',
        "",
        "print(1)",
    ]
)


@given(st.lists(PIECES, max_size=12), st.sampled_from(["stop", "length"]))
def test_no_mixture_of_code_and_fences_breaks_the_extraction(pieces: list[str], finish_reason: str) -> None:
    """However fences and code are mixed, a program cut off is whole or is none."""
    found = program("\n".join(pieces), ASSERTS, finish_reason)
    if found is not None and finish_reason == "length":
        assert "f" in {node.name for node in ast.walk(ast.parse(found)) if isinstance(node, ast.FunctionDef)}


@given(
    st.lists(st.sampled_from(["Prose.", "It's so (", "See below:", "1. One", "# Title", ""]), max_size=4), st.booleans()
)
def test_prose_around_a_block_never_changes_the_program(prose: list[str], after: bool) -> None:
    """The block is the program."""
    text = "\n".join([fence(DEF), *prose] if after else [*prose, fence(DEF)])
    assert program(text) == DEF


@pytest.mark.parametrize(
    ("reference", "reason"),
    [
        ("not JSON", "not JSON"),
        ("[1]", "no kind of tests"),
        ('{"kind": "guess"}', "no kind of tests"),
        ('{"kind": ["check"]}', "no kind of tests"),
        ('{"kind": "check", "entry_point": "f"}', "no test"),
        ('{"kind": "asserts", "asserts": []}', "no asserts"),
        ('{"kind": "stdio", "inputs": ["1"], "outputs": ["1", "2"]}', "1 inputs and 2 outputs"),
        ("[" * 100_000, "not JSON"),
        (None, "not JSON"),
    ],
)
def test_a_reference_that_cannot_be_used_says_why(reference: str | None, reason: str) -> None:
    """A broken row is not an answer's fault."""
    with pytest.raises(ValueError, match=reason):
        read_tests(reference)


def test_taking_the_program_out_needs_no_tests() -> None:
    """They may be large; the worker that takes programs out never gets them."""
    for tests in (CHECK, ASSERTS, CALLS, STDIO):
        small = without_cases(read_tests(json.dumps(tests)))
        assert "4" not in small.replace(json.dumps(HEAD), "")
        assert program_of(Completion(fence(f"{DEF}\nprint(f(int(input())))")), Task(small)) is not None


@dataclass(frozen=True)
class Outcome:
    """As the sandbox gives it."""

    verdict: str
    reason: str
    passed: int
    total: int
    error: str | None = None


@pytest.mark.parametrize("verdict", ["pass", "fail", "timeout"])
def test_the_score_is_the_share_of_tests_passed(verdict: str) -> None:
    """Of an outcome that says something of the program; the sandbox's words are the reason."""
    outcome: Any = Outcome(verdict, "test 4:\nexpected 5", 3, 4)
    assert verdict_of(outcome) == Verdict(verdict, "test 4: expected 5", score=0.75, scorer="tests passed")


@pytest.mark.parametrize("verdict", ["unverifiable", "verifier_error"])
def test_what_was_not_the_programs_fault_has_no_score(verdict: str) -> None:
    """An infrastructure failure is never a wrong answer."""
    outcome: Any = Outcome(verdict, "the worker is gone", 0, 4, "killed by SIGKILL")
    assert verdict_of(outcome) == Verdict(verdict, "the worker is gone", error="killed by SIGKILL")
