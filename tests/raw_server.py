"""Servers that do on the wire what no library would: bytes as a test gives them, on this machine's loopback."""

from __future__ import annotations

import contextlib
import gzip
import json
import re
import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

CERTIFICATE = Path(__file__).parent / "certificates" / "self_signed.pem"
"""For localhost and 127.0.0.1, with its key, of nobody's authority; valid for a hundred years."""

Answer = bytes | Iterable[bytes]


def completion(content: Any = "The answer is 3.", **more: Any) -> dict[str, Any]:
    """The least that is an answer, and `more` fields of the body."""
    return {"choices": [{"message": {"role": "assistant", "content": content}, "finish_reason": "stop"}], **more}


def http(body: bytes | dict[str, Any], status: str = "200 OK", version: str = "1.1", **headers: str) -> bytes:
    """A whole response, after which the connection ends; header names with `_` for `-`, an empty one is left out."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    fields = {"Content-Type": "application/json", "Content-Length": str(len(data)), "Connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"HTTP/{version} {status}", *(f"{name}: {value}" for name, value in fields.items() if value)]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + data


def zipped(body: dict[str, Any]) -> bytes:
    return http(gzip.compress(json.dumps(body).encode()), Content_Encoding="gzip")


class RawServer:
    """`answer` is given each request's bytes and says what to send, in one piece or in several.

    After each answer the connection is closed, unless `keep_alive`. `requests` has what arrived.
    """

    def __init__(
        self,
        answer: Callable[[bytes], Answer] | Answer,
        *,
        host: str = "127.0.0.1",
        keep_alive: bool = False,
        tls: bool = False,
        path: str = "/v1",
    ) -> None:
        self.requests: list[bytes] = []
        self._answer, self._keep_alive, self._tls = answer, keep_alive, None
        if tls:
            self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._tls.load_cert_chain(CERTIFICATE)
        self._listener = socket.create_server((host, 0), family=socket.AF_INET6 if ":" in host else socket.AF_INET)
        self.port = self._listener.getsockname()[1]
        shown = f"[{host}]" if ":" in host else host
        self.url = f"http{'s' if tls else ''}://{shown}:{self.port}{path}"
        self._open: list[socket.socket] = []

    def __enter__(self) -> RawServer:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        for connection in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            connection.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            self._open.append(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError, ssl.SSLError):
            if self._tls:
                connection = self._tls.wrap_socket(connection, server_side=True)
                self._open.append(connection)
            with connection:
                while (request := _received(connection)) is not None:
                    self.requests.append(request)
                    answer = self._answer(request) if callable(self._answer) else self._answer
                    for piece in [answer] if isinstance(answer, bytes) else answer:
                        connection.sendall(piece)
                    if not self._keep_alive:
                        return


def _received(connection: socket.socket) -> bytes | None:
    """One request with its body; None at the connection's end."""
    data = b""
    while b"\r\n\r\n" not in data:
        piece = connection.recv(65536)
        if not piece or piece[:2] == b"\x16\x03":  # a greeting in TLS
            return None
        data += piece
    length = re.search(rb"(?i)content-length: (\d+)", data)
    whole = data.index(b"\r\n\r\n") + 4 + (int(length[1]) if length else 0)
    while len(data) < whole:
        data += connection.recv(65536)
    return data
