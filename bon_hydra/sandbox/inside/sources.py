"""Reading the tests' source: compiling it, finding the asserts, and which names in them are the program's.

Pure functions over syntax trees; nothing here runs a test.
"""

from __future__ import annotations

import ast
import builtins
import sys
from dataclasses import dataclass
from types import CodeType

RECORD = "__record__"
"""The name under which a rewritten `check` finds what notes the outcome of its asserts."""


class NotTests(Exception):
    """The tests do not compile, or do not say what they test; the message says which."""


@dataclass(frozen=True, slots=True)
class Assert:
    """One assert of the tests."""

    statement: ast.Assert

    def source(self) -> str:
        """What is asserted."""
        return ast.unparse(self.statement.test)

    def expected(self) -> str | None:
        """The source of what a call is compared to by `==`; None where it is not that simple."""
        test = self.statement.test
        if isinstance(test, ast.Compare) and isinstance(test.left, ast.Call) and isinstance(test.ops[0], ast.Eq):
            return ast.unparse(test.comparators[0]) if len(test.ops) == 1 else None
        return None


def compiled(source: str, name: str) -> CodeType:
    """Raises NotTests."""
    return _compile(_parsed(source, name), name)


def _parsed(source: str, name: str) -> ast.Module:
    try:
        return ast.parse(source)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotTests(f"the {name} does not compile: {type(error).__name__}: {error}") from None


def _compile(tree: ast.Module, name: str) -> CodeType:
    try:
        return compile(tree, f"<{name}>", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise NotTests(f"the {name} does not compile: {type(error).__name__}: {error}") from None


def compiled_check(source: str) -> tuple[CodeType, list[Assert]]:
    """The test code in which every assert directly in `check` notes its own outcome, and these asserts in order.

    So a program that fails one of them still has the others counted. Raises NotTests.
    """
    tree = _parsed(source, "test")
    asserts: list[Assert] = []
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and node.name == "check":
            node.body = [_noting(statement, asserts) for statement in node.body]
    return _compile(ast.fix_missing_locations(tree), "test"), asserts


def _noting(statement: ast.stmt, asserts: list[Assert]) -> ast.stmt:
    """`assert X` as `try: assert X / except Exception as e: RECORD(i, e) / else: RECORD(i, None)`."""
    if not isinstance(statement, ast.Assert):
        return statement
    template = ast.parse(
        f"try:\n pass\nexcept Exception as __error__:\n {RECORD}({len(asserts)}, __error__)\n"
        f"else:\n {RECORD}({len(asserts)}, None)"
    )
    attempt = template.body[0]
    assert isinstance(attempt, ast.Try)
    attempt.body = [statement]
    asserts.append(Assert(statement))
    return ast.copy_location(attempt, statement)


def compiled_asserts(sources: list[str]) -> list[tuple[CodeType, Assert]]:
    """Each assert for itself. Raises NotTests where one is none or does not compile."""
    found = []
    for source in sources:
        tree = _parsed(source, "test")
        described = [Assert(node) for node in tree.body if isinstance(node, ast.Assert)]
        if not described:
            raise NotTests(f"no assert: {source}")
        found.append((_compile(tree, "test"), described[-1]))
    return found


def names_of_program(setup: str, asserts: list[str], entry_point: str | None) -> tuple[str, set[str], set[str]]:
    """What the asserts test, the names that come from the program, and the modules that they need themselves.

    A name other than the one tested is the program's only where it makes arguments (`f(Node(1))`), never where
    it could decide the outcome (`assert close(f(1), 2)` with a `close` of the program's own). Raises NotTests.
    """
    set_up = _parsed(setup, "setup")
    trees = [_parsed(source, "test") for source in asserts]
    defined = _defined(set_up) | vars(builtins).keys()
    unknown = [_loaded(tree) - _defined(tree) - defined for tree in trees]
    modules = {name for names in (*unknown, _loaded(set_up) - defined) for name in names} & sys.stdlib_module_names
    if entry_point is None:
        common = set.intersection(*unknown) - modules if unknown else set()
        if len(common) != 1:
            raise NotTests("it cannot be told which name the asserts test")
        (entry_point,) = common
    modules -= {entry_point}
    as_arguments = _loaded(set_up) - defined
    outside: set[str] = set()
    for tree in trees:
        inside = [
            argument
            for node in ast.walk(tree)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == entry_point
            for argument in (*node.args, *(keyword.value for keyword in node.keywords))
        ]
        as_arguments |= {name for argument in inside for name in _loaded(argument)} - defined
        within = {id(node) for argument in inside for node in ast.walk(argument)}
        outside |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and id(node) not in within}
    return entry_point, {entry_point} | (as_arguments - outside - modules), modules


def _loaded(tree: ast.AST) -> set[str]:
    return {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load)}


def _defined(tree: ast.AST) -> set[str]:
    names = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load)}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= {(alias.asname or alias.name).partition(".")[0] for alias in node.names}
        if isinstance(node, ast.arg):
            names.add(node.arg)
    return names
