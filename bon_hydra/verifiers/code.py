"""Code: the program in an answer, and the verdict that running it against the tests amounts to.

The program is taken as people write it: the last block that defines what is asked for, an unfenced answer, the body
that goes on where the prompt stopped. Nothing is run here, only compiled; `pool` has it run in the sandbox. What
a query asks for is its reference, JSON of one of the kinds

    {"kind": "check", "setup": CODE, "test": CODE that defines check(candidate), "entry_point": NAME}
    {"kind": "asserts", "setup": CODE, "asserts": ["assert …", …], "entry_point": NAME}
    {"kind": "calls", "fn_name": NAME, "inputs": [[argument, …], …], "outputs": [result, …]}
    {"kind": "stdio", "inputs": [text, …], "outputs": [text, or a list of accepted ones, …]}
"""

from __future__ import annotations

import ast
import builtins
import json
import re
import sys
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bon_hydra.records import Verdict
from bon_hydra.verifiers.completion import Completion, Task, one_line, quoted
from bon_hydra.verifiers.fences import continues, fenced, without_marks

if TYPE_CHECKING:
    from bon_hydra.sandbox.outcome import Outcome

SCORER = "tests passed"

_KEYS: dict[str, dict[str, type]] = {
    "check": {"test": str, "entry_point": str},
    "asserts": {"asserts": list},
    "calls": {"fn_name": str, "inputs": list, "outputs": list},
    "stdio": {"inputs": list, "outputs": list},
}
"""What each kind of tests must hold."""

_READING = frozenset({"input", "stdin", "open", "fileinput"})
_PRINTING = frozenset({"print", "stdout"})


@dataclass(frozen=True, slots=True)
class Asked:
    """What a program has to be."""

    name: str | None
    """The function that the tests call; None where any may be meant, and for a program."""
    stdio: bool = False
    """A program that reads standard input and prints."""
    in_class: bool = False
    """A method of a class `Solution` counts as the function."""
    head: str = ""
    """Code that an answer may go on from, and whose names it may use."""

    @classmethod
    def of(cls, tests: dict[str, Any]) -> Asked:
        kind = tests.get("kind")
        return cls(
            name=tests.get("fn_name" if kind == "calls" else "entry_point"),
            stdio=kind == "stdio",
            in_class=kind == "calls",
            head=tests.get("setup") or "",
        )


def tests_of(reference: str | None) -> dict[str, Any]:
    """The tests in a reference.

    Raises:
        ValueError: not JSON, or of no known kind, or there is nothing to test; the message is a reason.
    """
    try:
        tests = json.loads(reference or "")
    except (ValueError, RecursionError):
        raise ValueError("the reference is not JSON") from None
    kind = tests.get("kind") if isinstance(tests, dict) else None
    if not isinstance(kind, str) or kind not in _KEYS:
        raise ValueError(f"the reference has no kind of tests that is one of {', '.join(_KEYS)}")
    for key, wanted in _KEYS[kind].items():
        if not isinstance(tests.get(key), wanted) or not tests[key]:
            raise ValueError(f"the reference has no {key}")
    if "inputs" in tests and len(tests["inputs"]) != len(tests["outputs"]):
        raise ValueError(f"the reference has {len(tests['inputs'])} inputs and {len(tests['outputs'])} outputs")
    return dict(tests)


def without_cases(tests: dict[str, Any]) -> str:
    """The reference as far as taking the program out of an answer needs it: all but the tests, which may be large."""
    return json.dumps({key: tests[key] for key in ("kind", "entry_point", "fn_name", "setup") if key in tests})


def judge(completion: Completion, task: Task) -> Verdict:
    """What can be said before anything is run: `no_answer` without a program, `fail` for one that cannot be right.

    Else `unverifiable` with the program as its `answer`, for the sandbox to judge.
    """
    asked = Asked.of(json.loads(task.reference or ""))
    program = program_of(completion, task)
    if program is None:
        return Verdict("no_answer", "cut off before the program's end" if completion.truncated else "no program")
    tree, problem = _compiled(program)
    if tree is None:
        return Verdict("fail", one_line(problem), score=0.0, scorer=SCORER)
    if not asked.stdio and not _defines(tree, asked):
        wanted = quoted(asked.name) if asked.name else "any function"
        return Verdict("fail", f"the program does not define {wanted}", score=0.0, scorer=SCORER)
    return Verdict("unverifiable", "not run", answer=program)


def verdict_of(outcome: Outcome) -> Verdict:
    """The verdict that an outcome of the sandbox is; `score` is the share of tests passed, where they were run."""
    ran = outcome.verdict in {"pass", "fail", "timeout"} and outcome.total > 0
    return Verdict(
        outcome.verdict,
        one_line(outcome.reason or f"{outcome.passed} of {outcome.total} tests passed"),
        score=outcome.passed / outcome.total if ran else None,
        scorer=SCORER if ran else None,
        error=outcome.error,
    )


def program_of(completion: Completion, task: Task) -> str | None:
    """The program in an answer, None where there is none.

    An answer that was cut off has one only where it compiles and defines what is asked for; another that fails to
    do so still has the program it gives. `task.reference` is JSON; the tests themselves are not looked at.
    """
    asked = Asked.of(json.loads(task.reference or ""))
    text = _final(completion)
    blocks = [_Block.of(block) for block in _joined_up(fenced(text))]
    found = _chosen(blocks, asked)
    if found is None and not (completion.truncated and (blocks or asked.stdio)):
        found = _chosen(_chunks(text), asked)
    if found is None and completion.truncated and asked.stdio:
        found = _chosen([_Block.of(text)], asked)
    if found is None and asked.head and asked.name:
        bodies = [block.text for block in reversed(blocks)] or [text]
        found = next(filter(None, (_on_head(asked.head, asked.name, body) for body in bodies)), None)
    if found is None and not completion.truncated:
        found = next((block.text for block in reversed(blocks) if _CODE.search(block.text)), None)
        if found is None and (start := _CODE.search(text)) and not blocks:
            found = text[start.start() :]
    return found


@dataclass(frozen=True, slots=True)
class _Block:
    """A piece of an answer that may be code."""

    text: str
    tree: ast.Module | None
    """None where it does not compile by itself."""

    @classmethod
    def of(cls, text: str) -> _Block:
        return cls(text, _compiled(text)[0])


_CODE = re.compile(
    r"""^[ \t]*(?:(?:async )?def \w+\(|class \w+.*:|@\w|from [\w.]+ import\b|import [\w.]+(?: as \w+)?$"""
    r"""|print ?[('"]|\w+ = |(?:for|while|if|with|try)\b.*:$)""",
    re.MULTILINE,
)
"""A line that is code, whether the rest compiles or not."""


def _final(completion: Completion) -> str:
    """What follows the thinking, with the indentation of its first line, and lines that end as Python's do."""
    final, text = completion.final_text, completion.text
    start = text.rfind(final)
    indent = text[text.rfind("\n", 0, max(start, 0)) + 1 : max(start, 0)]
    return without_marks((indent if indent.isspace() else "") + final)


def _joined_up(pieces: Sequence[str]) -> list[str]:
    """Blocks, one that only goes on where the one before stopped being part of that."""
    blocks: list[str] = []
    for piece in pieces:
        if blocks and continues(piece) and _compiled(piece)[0] is None:
            whole = f"{blocks[-1]}\n{piece}"
            if _compiled(whole)[0] is not None:
                blocks[-1] = whole
                continue
        blocks.append(piece)
    return blocks


def _chosen(blocks: Sequence[_Block], asked: Asked) -> str | None:
    """The last block that does what is asked for, with what it needs of the others; else all of them together."""
    good = [block for block in blocks if block.tree is not None]
    whole = _Block.of("\n\n".join(block.text for block in good))
    for does in (_reads, _prints) if asked.stdio else (_defines,):
        for index in reversed(range(len(good))):
            tree = good[index].tree
            if tree is not None and does(tree, asked):
                return _with_needs(good, index, asked)
        if len(good) > 1 and whole.tree is not None and does(whole.tree, asked):
            return whole.text
    if asked.stdio:
        loose = (b.text for b in reversed(good) if b.tree is not None and _names(b.tree) & (_READING | _PRINTING))
        return next(loose, None)
    return None


def _defines(tree: ast.Module, asked: Asked) -> bool:
    if asked.name is None:
        return any(isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) for node in tree.body)
    for node in _top_level(tree.body):
        if isinstance(node, ast.ImportFrom):
            # A block of tests imports the function from the answer's own file; only Python's own modules define one.
            if (node.module or "").partition(".")[0] in sys.stdlib_module_names and asked.name in _bound_by(node):
                return True
        elif not isinstance(node, ast.Import) and asked.name in _bound_by(node):
            return True
        if asked.in_class and isinstance(node, ast.ClassDef) and node.name == "Solution":
            methods = (inner for inner in node.body if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef))
            if any(method.name == asked.name for method in methods):
                return True
    return False


def _reads(tree: ast.Module, asked: Asked) -> bool:  # noqa: ARG001 - one of the ways to do what is asked
    return bool(_names(tree) & _READING) and _acts(tree)


def _prints(tree: ast.Module, asked: Asked) -> bool:  # noqa: ARG001
    return bool(_names(tree) & _PRINTING) and _acts(tree)


def _acts(tree: ast.Module) -> bool:
    """Whether it does something when run, rather than only define it."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    own = {node.name for node in _top_level(tree.body) if isinstance(node, kinds)}
    does = own | _READING | _PRINTING
    rest = (node for node in tree.body if not isinstance(node, (*kinds, ast.Import, ast.ImportFrom)))
    return any(_names(node) & does for node in rest)


def _names(tree: ast.AST) -> set[str]:
    """All names and attributes that are read in it."""
    found: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            found.add(node.id)
        elif isinstance(node, ast.Attribute):
            found.add(node.attr)
    return found


def _top_level(body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements that run when the module does, those in branches and loops too."""
    for node in body:
        yield node
        if isinstance(node, ast.If | ast.For | ast.While | ast.With | ast.Try):
            yield from _top_level(node.body)
            yield from _top_level(getattr(node, "orelse", []))
            yield from _top_level(getattr(node, "finalbody", []))
            for handler in getattr(node, "handlers", []):
                yield from _top_level(handler.body)


def _bound_by(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        return {node.name}
    if isinstance(node, ast.Import | ast.ImportFrom):
        return {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
    targets = getattr(node, "targets", None) or [getattr(node, "target", None)]
    return {inner.id for target in targets if target for inner in ast.walk(target) if isinstance(inner, ast.Name)}


def _bound(tree: ast.Module) -> set[str]:
    return set().union(*(_bound_by(node) for node in _top_level(tree.body)))


def _missing(tree: ast.Module) -> set[str]:
    """Names that it reads and nowhere gives a value, in whatever scope."""
    read: set[str] = set()
    given = set(dir(builtins)) | {"__name__", "__file__"} | _bound(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            (read if isinstance(node.ctx, ast.Load) else given).add(node.id)
        elif isinstance(node, ast.arg):
            given.add(node.arg)
        elif isinstance(node, ast.ExceptHandler) and node.name:
            given.add(node.name)
        elif isinstance(node, ast.stmt):
            given |= _bound_by(node)
    return set() if "*" in given else read - given


def _with_needs(blocks: Sequence[_Block], chosen: int, asked: Asked) -> str:
    """The chosen block, and in their order those that define what it and they use and do not define."""
    head = _compiled(asked.head)[0]
    given = _bound(head) if head is not None else set()
    defining: dict[str, list[int]] = {}
    for i, block in enumerate(blocks):
        for name in _bound(block.tree) if block.tree is not None else ():
            defining.setdefault(name, []).append(i)
    picked: set[int] = set()
    new = {chosen}
    while new:
        picked |= new
        trees = [tree for i in new if (tree := blocks[i].tree) is not None]
        given = given.union(*map(_bound, trees))
        wanted = set().union(*map(_missing, trees)) - given
        new = {i for name in wanted for i in defining.get(name, ())} - picked
    whole = "\n\n".join(blocks[i].text for i in sorted(picked))
    return whole if len(picked) > 1 and _compiled(whole)[0] is not None else blocks[chosen].text


_STARTS = re.compile(
    r"(?:async def|def|class|import|from|for|while|if|try|with)\b|@|[A-Za-z_][\w.]*(?:\(|[^=\n]*=[^=])"
)
"""How a line begins that may be code."""


_COMPILED_CHARS = 30_000_000
"""So much is compiled at most to find the code in an answer without fences, counting what is compiled again."""


def _chunks(text: str) -> list[_Block]:
    """The runs of lines that compile, of a text that may be code, prose or both: prose ends a run where it starts."""
    lines = text.split("\n")
    left = _COMPILED_CHARS
    found: list[_Block] = []
    start = 0
    while start < len(lines):
        end = len(lines) if _STARTS.match(lines[start]) else start
        while end > start:
            piece = "\n".join(lines[start:end])
            left -= len(piece)
            if left < 0:
                return found
            tree, _, line = _compiled_at(piece)
            if tree is not None:
                found.append(_without_words(piece, tree))
                break
            end = min(start + line - 1, end - 1)
            while end > start and (not lines[end].strip() or lines[end][0] in " \t"):
                end -= 1
        start = max(end, start + 1)
    return found


def _without_words(text: str, tree: ast.Module) -> _Block:
    """The code without words at its end, which compile as names do."""
    body = list(tree.body)
    while len(body) > 1 and isinstance(last := body[-1], ast.Expr) and not any(map(_calls, ast.walk(last))):
        body.pop()
    if len(body) == len(tree.body):
        return _Block(text, tree)
    return _Block.of("\n".join(text.split("\n")[: body[-1].end_lineno]))


def _calls(node: ast.AST) -> bool:
    return isinstance(node, ast.Call | ast.Await | ast.Yield | ast.YieldFrom | ast.NamedExpr)


def _on_head(head: str, name: str, body: str) -> str | None:
    """The head with an answer that goes on from it; its first line, or all of it, may have lost its indentation."""
    body = body.strip("\n")
    unindented = re.search(r"\n(?=\S)", body)
    for text in dict.fromkeys([body, body[: unindented.start()] if unindented else body]):
        for form in (text, f"    {text}", textwrap.indent(textwrap.dedent(text), "    ")):
            program = f"{head.rstrip()}\n{form}\n"
            tree = _compiled(program)[0]
            if tree is not None and _goes_on(tree, name, head.rstrip().count("\n") + 1):
                return program
    return None


def _goes_on(tree: ast.Module, name: str, head_lines: int) -> bool:
    """Whether the function has a statement beyond the head's lines that does something."""
    functions = [node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]
    function = next((node for node in reversed(functions) if node.name == name), None)
    if function is None or function.lineno > head_lines:
        return False
    added = [node for node in function.body if node.lineno > head_lines]
    idle = (ast.Pass, ast.Import, ast.ImportFrom, ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return any(
        not isinstance(node, (*idle, ast.Expr)) or (isinstance(node, ast.Expr) and any(map(_calls, ast.walk(node))))
        for node in added
    )


def _compiled(text: str) -> tuple[ast.Module | None, str]:
    """The syntax tree of code that compiles; else None and why it does not."""
    return _compiled_at(text)[:2]


def _compiled_at(text: str) -> tuple[ast.Module | None, str, int]:
    """As `_compiled`, with the line where it does not compile."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(text)
            compile(tree, "<answer>", "exec", dont_inherit=True)
        except SyntaxError as error:
            where = f" (line {error.lineno})" if error.lineno else ""
            return None, f"{type(error).__name__}: {error.msg}{where}", error.lineno or 1
        except (ValueError, RecursionError, MemoryError, OverflowError) as error:
            return None, f"{type(error).__name__}: {error}", 1
    return tree, "", 0
