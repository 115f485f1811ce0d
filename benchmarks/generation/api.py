"""A chat API that is never the bottleneck: one process, no framework, answers after a fixed or drawn latency.

    python benchmarks/generation/api.py --port-file F [--latency 0.2 [--spread 0.1]] [--words 300]

`GET /counters` says how many requests and choices were answered and the most that were open at once; `POST /reset` sets
them to zero. It ends with its parent. Of HTTP it speaks 1.1 with Content-Length and keep-alive, as clients do.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import re
import time
from pathlib import Path
from typing import cast

import uvloop

N = re.compile(rb'"n": ?(\d+)')
LENGTH = re.compile(rb"\r\ncontent-length: ?(\d+)", re.IGNORECASE)


class State:
    """What all connections share."""

    def __init__(self, latency: float, spread: float, words: int) -> None:
        self.latency, self.spread = latency, spread
        text = " ".join(f"step{number}" for number in range(words - 4)) + r" The answer is \\boxed{42}."
        self.choice = (
            b'{"index":%%d,"message":{"role":"assistant","content":"%s"},"finish_reason":"stop"}' % text.encode()
        )
        self.words = words
        self.requests = self.choices = self.open = self.most_open = 0
        self.first_at = 0.0

    def completion(self, number: int, count: int) -> bytes:
        """A whole response for so many choices."""
        choices = b",".join(self.choice % index for index in range(count))
        body = (
            b'{"id":"chatcmpl-%d","object":"chat.completion","created":1700000000,"model":"fake-model","choices":[%s],'
            b'"usage":{"prompt_tokens":60,"completion_tokens":%d,"total_tokens":%d}}'
            % (number, choices, count * self.words, 60 + count * self.words)
        )
        return (
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nx-request-id: req_%d\r\nContent-Length: %d\r\n\r\n%s"
            % (number, len(body), body)
        )


class Connection(asyncio.Protocol):
    """One client's requests, one after another."""

    def __init__(self, state: State, loop: asyncio.AbstractEventLoop) -> None:
        self.state, self.loop, self.buffer = state, loop, b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)

    def connection_lost(self, _: Exception | None) -> None:
        self.transport = None

    def data_received(self, data: bytes) -> None:
        self.buffer = self.buffer + data if self.buffer else data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            found = LENGTH.search(self.buffer, 0, end + 2)
            size = end + 4 + (int(found[1]) if found else 0)
            if len(self.buffer) < size:
                return
            request, self.buffer = self.buffer[:size], self.buffer[size:]
            self.answer(request, request[end + 4 :])

    def answer(self, request: bytes, body: bytes) -> None:
        state = self.state
        if request.startswith(b"GET /v1/models"):
            self.send_json(b'{"object":"list","data":[{"id":"fake-model","object":"model"}]}')
        elif request.startswith(b"GET /counters"):
            text = '{"requests":%d,"choices":%d,"most_open":%d,"first_at":%f}'
            self.send_json((text % (state.requests, state.choices, state.most_open, state.first_at)).encode())
        elif request.startswith(b"POST /reset"):
            state.requests = state.choices = state.most_open = 0
            state.first_at = 0.0
            self.send_json(b"{}")
        else:
            state.first_at = state.first_at or time.time()
            found = N.search(body)
            count = int(found[1]) if found else 1
            state.open += 1
            state.most_open = max(state.most_open, state.open)
            wait = state.latency + (random.uniform(-state.spread, state.spread) if state.spread else 0.0)
            if wait > 0:
                self.loop.call_later(wait, self.complete, count)
            else:
                self.complete(count)

    def complete(self, count: int) -> None:
        state = self.state
        state.open -= 1
        state.requests += 1
        state.choices += count
        if self.transport is not None:
            self.transport.write(state.completion(state.requests, count))

    def send_json(self, body: bytes) -> None:
        if self.transport is not None:
            head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(body)
            self.transport.write(head + body)


async def serve(state: State, port_file: Path) -> None:
    """Until the parent is gone."""
    loop, parent = asyncio.get_running_loop(), os.getppid()
    server = await loop.create_server(lambda: Connection(state, loop), "127.0.0.1", 0, backlog=4096)
    part = port_file.with_suffix(".part")
    part.write_text(str(server.sockets[0].getsockname()[1]))
    part.replace(port_file)
    while os.getppid() == parent:
        await asyncio.sleep(0.5)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port-file", type=Path, required=True)
    parser.add_argument("--latency", type=float, default=0.2)
    parser.add_argument("--spread", type=float, default=0.0)
    parser.add_argument("--words", type=int, default=300)
    given = parser.parse_args()
    uvloop.run(serve(State(given.latency, given.spread, given.words), given.port_file))


if __name__ == "__main__":
    main()
