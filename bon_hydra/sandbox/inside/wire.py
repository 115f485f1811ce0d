"""What crosses between judge, candidate and parent: length-prefixed JSON, and values of exact built-in types in it.

JSON itself carries None, bool, str, float (NaN and infinities too) and list; the rest is a one-key object whose key
says the type, so that `==` in tests means what it means in Python. Nothing is ever pickled or evaluated, subclasses
never cross, and sizes and depths are bounded on both sides. Surrogates cross escaped.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from typing import Any

MAX_FRAME = 16 << 20
MAX_DEPTH = 100

_PLAIN = frozenset({bool, str, float, type(None)})
_SMALL = 1 << 62


class WireError(Exception):
    """What came does not follow the rules above, or what is to be sent does not fit into them."""


class Gone(Exception):
    """The other side has closed the channel."""


def send(fd: int, message: dict[str, Any], limit: int = MAX_FRAME) -> None:
    """One frame: 4 bytes of length, big-endian, then JSON. Raises WireError if too large, Gone if nobody listens."""
    try:
        body = json.dumps(message, ensure_ascii=True, separators=(",", ":"), check_circular=False).encode("ascii")
    except (RecursionError, ValueError, TypeError) as error:
        raise WireError(f"cannot be sent: {error}") from None
    if len(body) > limit:
        raise WireError(f"{len(body)} bytes, more than {limit}")
    view = memoryview(len(body).to_bytes(4, "big") + body)
    try:
        while view:
            view = view[os.write(fd, view) :]
    except (BrokenPipeError, ConnectionResetError):
        raise Gone from None


def receive(fd: int, limit: int = MAX_FRAME) -> dict[str, Any]:
    """The next frame. Raises Gone at the end of the channel, WireError on anything that is not one JSON object."""
    length = int.from_bytes(_exactly(fd, 4), "big")
    if length > limit:
        raise WireError(f"{length} bytes, more than {limit}")
    return parse(_exactly(fd, length))


def parse(body: bytes) -> dict[str, Any]:
    """One JSON object out of a frame's body. Raises WireError."""
    try:
        message = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise WireError(f"not JSON: {type(error).__name__}") from None
    if type(message) is not dict:
        raise WireError("not an object")
    return message


def _exactly(fd: int, size: int) -> bytes:
    chunks = bytearray()
    while len(chunks) < size:
        try:
            chunk = os.read(fd, min(size - len(chunks), 1 << 20))
        except ConnectionResetError:
            chunk = b""
        if not chunk:
            raise Gone
        chunks += chunk
    return bytes(chunks)


def encode(value: object, other: Callable[[object], Any] | None = None, depth: int = 0) -> Any:
    """`value` as JSON data. `other` says what to send for a value of no built-in type; without it that is WireError."""
    kind = type(value)
    if kind in _PLAIN:
        return value
    if kind is int:
        assert isinstance(value, int)
        return value if -_SMALL < value < _SMALL else {"i": hex(value)}
    if depth > MAX_DEPTH:
        raise WireError(f"nested deeper than {MAX_DEPTH}")
    tag = _SEQUENCES.get(kind)
    if tag is not None:
        items = _encode_items(value, other, depth + 1)
        return {tag: items} if tag else items
    if kind is dict:
        assert isinstance(value, dict)
        return {"d": [[encode(k, other, depth + 1), encode(v, other, depth + 1)] for k, v in value.items()]}
    if kind in (bytes, bytearray):
        assert isinstance(value, bytes | bytearray)
        return {"b" if kind is bytes else "a": value.hex()}
    if kind is complex:
        assert isinstance(value, complex)
        return {"c": [value.real, value.imag]}
    if kind is range:
        assert isinstance(value, range)
        return {"r": [encode(part) for part in (value.start, value.stop, value.step)]}
    if other is None:
        raise WireError(f"a {kind.__name__} cannot cross")
    return other(value)


_SEQUENCES: dict[type, str] = {list: "", tuple: "t", set: "s", frozenset: "f"}


def _encode_items(items: Any, other: Callable[[object], Any] | None, depth: int) -> list[Any]:
    kinds = set(map(type, items))
    if kinds <= _PLAIN or (kinds == {int} and min(items) > -_SMALL and max(items) < _SMALL):
        return list(items)
    return [encode(item, other, depth) for item in items]


def decode(data: Any, remote: Callable[[int, str], object] | None = None) -> Any:
    """The value behind JSON data. `remote` makes something of an object that stayed on the other side.

    Raises WireError on anything `encode` would not have sent.
    """
    kind = type(data)
    if kind in _PLAIN or kind is int:
        return data
    if kind is list:
        if set(map(type, data)) <= _PLAIN_OR_INT:
            return data
        return [decode(item, remote) for item in data]
    if kind is not dict or len(data) != 1:
        raise WireError("no known value")
    ((tag, content),) = data.items()
    try:
        return _decode_tagged(tag, content, remote)
    except (TypeError, ValueError) as error:
        raise WireError(f"malformed {tag!r}: {type(error).__name__}") from None


_PLAIN_OR_INT = _PLAIN | {int}


def _decode_tagged(tag: str, content: Any, remote: Callable[[int, str], object] | None) -> Any:
    match tag:
        case "i" if type(content) is str:
            return int(content, 16)
        case "t":
            return tuple(_decode_list(content, remote))
        case "s":
            return set(_decode_list(content, remote))
        case "f":
            return frozenset(_decode_list(content, remote))
        case "d":
            return {decode(key, remote): decode(value, remote) for key, value in _checked_list(content)}
        case "b" if type(content) is str:
            return bytes.fromhex(content)
        case "a" if type(content) is str:
            return bytearray.fromhex(content)
        case "c":
            real, imaginary = _checked_list(content)
            if type(real) is float and type(imaginary) is float:
                return complex(real, imaginary)
        case "r":
            return range(*_decode_list(content, None))
        case "n":
            return iter(_decode_list(content, remote))
        case "o" if remote is not None:
            number, name = _checked_list(content)
            if type(number) is int and type(name) is str:
                return remote(number, name[:100])
    raise WireError(f"unknown tag {tag[:20]!r}")


def _checked_list(content: Any) -> list[Any]:
    if type(content) is not list:
        raise WireError("no list")
    return content


def _decode_list(content: Any, remote: Callable[[int, str], object] | None) -> list[Any]:
    return [decode(item, remote) for item in _checked_list(content)]
