"""The judge's side of a candidate: starting one, asking it, and the stand-ins for what stays in its process.

What comes back is decoded into exact built-in types. A stand-in can be called and has attributes, and is equal to
itself only; it has no truth value, so nothing the candidate makes can pass for an expected value.
"""

from __future__ import annotations

import builtins
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any, cast

from . import wire
from .ending import ENDED


class CandidateError(Exception):
    """An exception in the program whose type is none of the built-in ones that may be raised here."""


class CandidateEnded(BaseException):
    """There is no candidate any more: it ended, was ended, or broke the protocol. No `except Exception` hides it."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class CannotCross(BaseException):
    """The tests give the program something that cannot leave their process."""


class Trouble(BaseException):
    """Our own fault: a candidate could not be started."""


_NEVER_RAISED_HERE = (StopIteration, StopAsyncIteration, GeneratorExit, SystemExit, KeyboardInterrupt)


class Zygote:
    """The judge's line to the zygote."""

    def __init__(self, fd: int) -> None:
        self._socket = socket.socket(fileno=fd)

    def test_begins(self) -> None:
        """From here on CPU and wall time count for the next test."""
        self._socket.sendall(b"T")

    def start(self, files: bool) -> list[int]:
        """A new candidate, the old one is gone: its channel and, with `files`, its standard input and output."""
        self._socket.sendall(b"S" if files else b"s")
        data, descriptors, _, _ = socket.recv_fds(self._socket, 1, 3)
        if not data:
            raise Trouble("the zygote is gone")
        try:
            answer = wire.receive(descriptors[0])
        except wire.Gone:
            raise Trouble("a candidate ended before it was confined") from None
        if "trouble" in answer:
            raise Trouble(answer["trouble"])
        return descriptors

    def end(self) -> bytes:
        """Ends the candidate; how it ended, packed as `ending.ENDED`."""
        self._socket.sendall(b"K")
        data = b""
        while len(data) < ENDED.size:
            chunk = self._socket.recv(ENDED.size - len(data))
            if not chunk:
                raise Trouble("the zygote is gone")
            data += chunk
        return data


class Candidate:
    """A program loaded in a process of its own."""

    def __init__(self, zygote: Zygote, on_first_call: Callable[[], None]) -> None:
        self._zygote = zygote
        self._on_first_call = on_first_call
        self._channel = zygote.start(files=False)[0]
        self._number = 0
        self._stand_ins: dict[int, StandIn] = {}
        self.calls = 0
        self.last: object = None
        """What the last call returned."""
        self.ended: str | None = None
        """Why there is no candidate any more; stays, whatever the tests do with the exception."""

    def load(self, setup: str, program: str) -> None:
        """Runs the program. Raises what it raised."""
        self._ask({"op": "load", "setup": setup, "program": program})

    def get(self, name: str) -> Any:
        """What the program calls `name`. Raises NameError."""
        return self._decode(self._ask({"op": "get", "name": name}))

    def call(self, number: int, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Calls the object `number`; lists, dicts and sets among `args` are changed as the program changed them."""
        if not self.calls:
            self._on_first_call()
        self.calls += 1
        mutable = [position for position, value in enumerate(args) if type(value) in (list, dict, set, bytearray)]
        request = {
            "op": "call",
            "object": number,
            "args": [_encode(value) for value in args],
            "kwargs": {name: _encode(value) for name, value in kwargs.items()},
            "mutable": mutable,
        }
        self._zygote.test_begins()
        answer = self._ask(request)
        if type(answer) is not list or len(answer) != 2 or type(answer[1]) is not dict:
            raise self._broken("answered out of form")
        self.last = result = self._decode(answer[0])
        for position, after in answer[1].items():
            if position not in map(str, mutable):
                raise self._broken("answered out of form")
            self._change(args[int(position)], self._decode(after))
        return result

    def attribute(self, number: int, name: str) -> Any:
        """An attribute of the object `number`."""
        return self._decode(self._ask({"op": "getattr", "object": number, "name": name}))

    def set_attribute(self, number: int, name: str, value: object) -> None:
        """Sets an attribute of the object `number`."""
        self._ask({"op": "setattr", "object": number, "name": name, "value": _encode(value)})

    def _change(self, value: Any, after: Any) -> None:
        if type(after) is not type(value):
            raise self._broken("answered out of form")
        if isinstance(value, list | bytearray):
            value[:] = after
        else:
            value.clear()
            value.update(after)

    def _decode(self, data: Any) -> Any:
        try:
            return wire.decode(data, self._stand_in)
        except (wire.WireError, RecursionError):
            raise self._broken("answered out of form") from None
        except MemoryError:
            raise self._broken("result too large") from None

    def _stand_in(self, number: int, name: str) -> StandIn:
        return self._stand_ins.setdefault(number, StandIn(self, number, name))

    def _broken(self, reason: str) -> CandidateEnded:
        self.ended = self.ended or reason
        return CandidateEnded(self.ended)

    def _ask(self, request: dict[str, Any]) -> Any:
        if self.ended:
            raise CandidateEnded(self.ended)
        self._number += 1
        try:
            wire.send(self._channel, request | {"n": self._number})
            reply = wire.receive(self._channel)
        except (wire.Gone, OSError):
            raise self._broken("ended") from None
        except wire.WireError as error:
            raise self._broken(f"result too large or out of form: {error}") from None
        except MemoryError:
            raise self._broken("result too large") from None
        if type(reply.get("n")) is not int or reply["n"] != self._number:
            raise self._broken("answered out of turn")
        if "error" not in reply:
            return reply.get("ok")
        raise _exception(reply["error"])

    def close(self) -> None:
        """Closes the channel; the candidate's process ends with that."""
        os.close(self._channel)


_LIST_ITERATOR: type = type(iter([0]))


def _encode(value: object) -> Any:
    def other(value: object) -> Any:
        if type(value) is StandIn:
            return {"o": [object.__getattribute__(value, "_number"), ""]}
        if type(value) is _LIST_ITERATOR:  # what an iterator of the program's came as
            return {"n": [wire.encode(item, other) for item in cast(Iterator[object], value)]}
        raise CannotCross(f"a test gives the program a {type(value).__name__}, which cannot cross to its process")

    return wire.encode(value, other)


def _exception(data: Any) -> Exception:
    name, text = "CandidateError", ""
    if type(data) is list and len(data) == 2 and type(data[0]) is str and type(data[1]) is str:
        name, text = data[0][:100], data[1][:500]
    kind = getattr(builtins, name, None)
    if isinstance(kind, type) and issubclass(kind, Exception) and not issubclass(kind, _NEVER_RAISED_HERE):
        try:
            return kind(text)
        except TypeError:  # UnicodeDecodeError and its like want more
            pass
    return CandidateError(f"{name}: {text}")


class StandIn:
    """Stands for a function or an object that stays in the candidate's process."""

    __slots__ = ("_candidate", "_name", "_number")
    __hash__ = object.__hash__

    def __init__(self, candidate: Candidate, number: int, name: str) -> None:
        object.__setattr__(self, "_candidate", candidate)
        object.__setattr__(self, "_number", number)
        object.__setattr__(self, "_name", name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        get = object.__getattribute__
        return get(self, "_candidate").call(get(self, "_number"), args, kwargs)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        get = object.__getattribute__
        return get(self, "_candidate").attribute(get(self, "_number"), name)

    def __setattr__(self, name: str, value: object) -> None:
        get = object.__getattribute__
        get(self, "_candidate").set_attribute(get(self, "_number"), name, value)

    def __eq__(self, other: object) -> bool:
        return self is other

    def __bool__(self) -> bool:
        raise TypeError(f"the program returned a {object.__getattribute__(self, '_name')}, which has no truth here")

    def __repr__(self) -> str:
        return f"<{object.__getattribute__(self, '_name')} object>"
