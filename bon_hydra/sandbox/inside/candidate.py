"""The candidate's process: it loads the program, calls what the judge asks for and sends plain results back.

Nothing here is trusted: the program may change or replace all of it. It knows no test and no expected value but the
arguments of the call it is answering.
"""

from __future__ import annotations

import atexit
import contextlib
import linecache
import os
import sys
import threading
import types
from collections.abc import Iterator, KeysView, ValuesView
from itertools import islice
from typing import Any

from . import wire

MAX_ITEMS = 1_000_000
"""Of an iterator that a program returned."""
_TEXT = 300
_BUILT_IN: tuple[Any, ...] = (int, float, complex, str, bytes, tuple, list, dict, set, frozenset)


class Program:
    """A loaded program: its module and the objects that stay here while the judge holds their numbers."""

    def __init__(self, name: str) -> None:
        self.module = types.ModuleType(name)
        self._objects: dict[int, object] = {}
        self._numbers: dict[int, int] = {}
        sys.modules[name] = self.module

    def load(self, setup: str, program: str) -> None:
        """Runs `setup` and then `program`, whatever `setup` does: only the judge's run of it counts."""
        if setup:
            # MBPP's set-ups may use what the program defines.
            with contextlib.suppress(Exception):
                self._run(setup, "<setup>")
        self._run(program, "<program>")

    def _run(self, source: str, name: str) -> None:
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
        exec(compile(source, name, "exec", dont_inherit=True), self.module.__dict__)

    def get(self, name: str) -> object:
        """The function, class or value called `name`; a method of class Solution counts too."""
        names = self.module.__dict__
        if name in names:
            return names[name]
        solution = names.get("Solution")
        if solution is not None and hasattr(solution, name):
            return lambda *args, **kwargs: getattr(solution(), name)(*args, **kwargs)
        raise NameError(f"name {name!r} is not defined")

    def remote(self, number: int, _name: str) -> object:
        """The object behind a number that was sent before."""
        return self._objects[number]

    def encode(self, value: object) -> Any:
        """As `wire.encode`; subclasses become their built-in type, iterators their items, the rest a number."""
        return wire.encode(value, self._other)

    def _other(self, value: object) -> Any:
        if type(value).__module__ == "numpy" and hasattr(value, "item") and getattr(value, "shape", None) == ():
            return self.encode(value.item())
        for kind in _BUILT_IN:
            if isinstance(value, kind):
                return self.encode(kind(value))
        if isinstance(value, Iterator | KeysView | ValuesView):
            items = list(islice(value, MAX_ITEMS + 1))
            if len(items) > MAX_ITEMS:
                raise wire.WireError(f"an iterator of more than {MAX_ITEMS} items")
            return {"n": [self.encode(item) for item in items]}
        number = self._numbers.get(id(value))
        if number is None:
            number = self._numbers[id(value)] = len(self._objects)
            self._objects[number] = value
        return {"o": [number, type(value).__name__]}

    def answer(self, request: dict[str, Any]) -> Any:
        """What `request` asks for, encoded."""
        match request["op"]:
            case "load":
                return self.load(request["setup"], request["program"])
            case "get":
                return self.encode(self.get(request["name"]))
            case "call":
                return self._call(request)
            case "getattr":
                return self.encode(getattr(self._objects[request["object"]], request["name"]))
            case "setattr":
                value = wire.decode(request["value"], self.remote)
                return setattr(self._objects[request["object"]], request["name"], value)
            case operation:
                raise wire.WireError(f"unknown operation {operation!r}")

    def _call(self, request: dict[str, Any]) -> Any:
        args = wire.decode(request["args"], self.remote)
        kwargs = {name: wire.decode(value, self.remote) for name, value in request["kwargs"].items()}
        function: Any = self._objects[request["object"]]
        result = self.encode(function(*args, **kwargs))
        changed = {}
        for position in request["mutable"]:
            after = self.encode(args[position])
            if after != request["args"][position]:
                changed[str(position)] = after
        return [result, changed]


def explain(error: BaseException) -> list[str]:
    """An exception as the name of its type and its text, both short."""
    try:
        text = str(error)[:_TEXT]
    except BaseException:
        text = ""
    return [type(error).__name__[:100], text]


def serve(channel: int) -> None:
    """Answers one request after another until the judge closes the channel."""
    program = Program("candidate")
    while True:
        try:
            request = wire.receive(channel)
        except wire.Gone:
            return
        try:
            reply = {"n": request["n"], "ok": program.answer(request)}
        except BaseException as error:
            reply = {"n": request["n"], "error": explain(error)}
            del error
        try:
            wire.send(channel, reply)
        except wire.WireError as error:
            wire.send(channel, {"n": request["n"], "error": explain(error)})


def run_as_main(channel: int) -> None:
    """Runs the program that comes over the channel as `__main__`, on descriptors 0 and 1, and says how it ended."""
    source = wire.receive(channel)["program"]
    for stream, fd, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
        setattr(sys, stream, open(fd, mode, encoding="utf-8", errors="surrogateescape", closefd=False))  # noqa: SIM115
        setattr(sys, f"__{stream}__", getattr(sys, stream))
    program = Program("__main__")
    error: list[str] | None = None
    try:
        program.load("", source)
    except SystemExit as end:
        if end.code not in (None, 0):
            error = ["SystemExit", str(end.code)[:_TEXT]]
    except BaseException as end:
        error = explain(end)
    try:
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
        sys.stdout.flush()
    except BaseException as end:
        error = error or explain(end)
    wire.send(channel, {"error": error})
    os._exit(0)
