"""The limits that this project is held against: a bare loop over aiohttp, and the openai client at its leanest.

    python benchmarks/generation/loops.py aiohttp|openai URL CANDIDATES CONCURRENCY

Each sends one request a candidate and parses the answer; neither keeps anything.
"""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import uvloop


def body(number: int) -> dict[str, Any]:
    """A request as the project sends it."""
    messages = [
        {"role": "user", "content": f"What is {number // 4}+2? Think step by step, and put the answer in a box."}
    ]
    return {"model": "fake-model", "messages": messages, "temperature": 0.7, "max_tokens": 2048}


async def with_aiohttp(url: str, count: int, concurrency: int) -> None:
    """JSON by orjson, one session."""
    import aiohttp

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:

        async def ask(number: int) -> Any:
            data, headers = orjson.dumps(body(number)), {"Content-Type": "application/json"}
            async with session.post(f"{url}/chat/completions", data=data, headers=headers) as answer:
                return orjson.loads(await answer.read())

        await in_turn(ask, count, concurrency)


async def with_openai(url: str, count: int, concurrency: int) -> None:
    """`client.post` for the raw response, aiohttp below."""
    import httpx2
    import openai

    limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
    http = openai.DefaultAioHttpClient(limits=limits, timeout=60)
    async with openai.AsyncOpenAI(base_url=url, api_key="none", max_retries=0, http_client=http) as client:

        async def ask(number: int) -> Any:
            answer = await client.post("/chat/completions", body=body(number), cast_to=httpx2.Response)
            return orjson.loads(answer.content)

        await in_turn(ask, count, concurrency)


async def in_turn(ask: Callable[[int], Awaitable[Any]], count: int, concurrency: int) -> None:
    """As many at once as `concurrency`."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            found = await ask(number)
            assert found["choices"][0]["message"]["content"]

    gc.freeze()
    await asyncio.gather(*(worker() for _ in range(concurrency)))


if __name__ == "__main__":
    loop = {"aiohttp": with_aiohttp, "openai": with_openai}[sys.argv[1]]
    uvloop.run(loop(sys.argv[2], int(sys.argv[3]), int(sys.argv[4])))
