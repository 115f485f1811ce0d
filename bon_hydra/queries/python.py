"""Code in a row, looked at and never run: whether it compiles, what it defines and calls."""

from __future__ import annotations

import ast
import warnings
from typing import Any

from bon_hydra.queries.parts import SkippedRow


def parsed(code: Any, what: str) -> ast.Module:
    """The syntax tree of code in a row.

    Raises:
        SkippedRow: no text, or none that compiles; the reason starts with `what`.
    """
    if not isinstance(code, str) or not code.strip():
        raise SkippedRow(f"{what}: no code")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            tree = ast.parse(code)
            compile(tree, "<row>", "exec", dont_inherit=True)
        except SyntaxError as error:
            raise SkippedRow(f"{what} cannot be compiled: {error.msg} (line {error.lineno})") from None
        except (ValueError, RecursionError, MemoryError, OverflowError) as error:
            raise SkippedRow(f"{what} cannot be compiled: {error}") from None
    return tree


def defined(tree: ast.Module) -> list[str]:
    """The functions and classes of a module, in their order."""
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return [node.name for node in tree.body if isinstance(node, kinds)]


def called(tree: ast.Module) -> list[str]:
    """The names called anywhere in a module, outermost first."""
    calls = (node.func for node in ast.walk(tree) if isinstance(node, ast.Call))
    return list(dict.fromkeys(function.id for function in calls if isinstance(function, ast.Name)))
