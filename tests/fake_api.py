"""A chat API of the project's own: behaves like OpenAI's over real HTTP on 127.0.0.1, and fails on command.

In a test: `with FakeApi(reply="The answer is \\boxed{7}.", faults=[None, "server_error"]) as api: … api.url …`.
As a process, for benchmarks: `python tests/fake_api.py --port-file F [--latency S] [--fault server_error=0.02 …]`;
there `GET /counters` and `GET /requests` say what was asked. It never prints, and ends with its parent.
One word of an answer is one token; four bytes of a prompt are one. Knows nothing of bon_hydra.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import random
import re
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, fields, replace
from email.utils import formatdate
from pathlib import Path
from typing import Any

from aiohttp import web
from rate_limit import RateLimit


@dataclass(frozen=True, slots=True)
class Reply:
    """One choice: what the model says. `tool_calls` are (name, arguments as JSON text)."""

    content: str | None = None
    tool_calls: tuple[tuple[str, str], ...] = ()
    reasoning: str | None = None
    finish_reason: str | None = None  # None: `tool_calls` or `stop`, or `length` where max_tokens cuts


@dataclass(slots=True)
class Request:
    """One request as it arrived, the how-many-th it was (`order`, from 0), and what became of it."""

    order: int
    body: dict[str, Any]
    headers: dict[str, str]  # names in lower case
    sent: bytes = b""  # the body as it came
    fault: str | None = None
    answered: bool = False  # a whole, good response has been sent

    @property
    def question(self) -> str:
        """The text of the last user message."""
        return next((str(m["content"]) for m in reversed(self.body["messages"]) if m["role"] == "user"), "")

    @property
    def prompt(self) -> str:
        """Messages and tools as one string: equal for requests that ask the same thing."""
        return json.dumps([self.body.get("messages"), self.body.get("tools")], ensure_ascii=False, sort_keys=True)

    def seed(self, choice: int = 0) -> int | None:
        """The seed of choice i: the one sent, plus i, as vLLM and llama.cpp have it."""
        seed = self.body.get("seed")
        return None if seed is None else int(seed) + choice


@dataclass(frozen=True, slots=True)
class Faults:
    """How likely each fault is, per request; drawn in order of arrival from one RNG seeded with `seed`."""

    rate_limited: float = 0.0  # 429, Retry-After in seconds
    rate_limited_date: float = 0.0  # 429, Retry-After as an HTTP date
    rate_limited_bare: float = 0.0  # 429 without Retry-After
    quota_exhausted: float = 0.0  # 429, insufficient_quota
    server_error: float = 0.0  # 500
    unauthorized: float = 0.0  # 401
    not_found: float = 0.0  # 404
    bad_request: float = 0.0  # 400, context length exceeded
    dropped: float = 0.0  # the connection ends before the response begins
    dropped_mid_body: float = 0.0  # … or in the middle of its body
    hanging: float = 0.0  # no response, ever
    malformed_json: float = 0.0  # 200 with a body that is not JSON
    truncated_body: float = 0.0  # 200 with the first half of the JSON, its length stated right
    empty_choices: float = 0.0
    slow_body: float = 0.0  # the right body, chunked, in pieces with pauses
    seed: int = 0

    def draw(self, rng: random.Random) -> str | None:
        point = rng.random()
        for name in FAULTS:
            point -= getattr(self, name)
            if point < 0:
                return name
        return None


FAULTS = tuple(f.name for f in fields(Faults) if f.name != "seed")


@dataclass(frozen=True, slots=True)
class Raw:
    """A response as it stands, for what no named fault covers."""

    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=lambda: {"Content-Type": "application/json"})


def _error(status: int, message: str, kind: str, code: str | None = None, param: str | None = None) -> Raw:
    body = {"error": {"message": message, "type": kind, "param": param, "code": code}}
    return Raw(status, json.dumps(body, indent=2).encode())


INVALID = "invalid_request_error"
LIMITED = _error(429, "Rate limit reached on requests per min (RPM): Limit 500, Used 500, Requested 1.",
                 "requests", "rate_limit_exceeded")  # fmt: skip
ERRORS = {
    "rate_limited": LIMITED, "rate_limited_date": LIMITED, "rate_limited_bare": LIMITED,
    "quota_exhausted": _error(429, "You exceeded your current quota, please check your plan and billing details.",
                              "insufficient_quota", "insufficient_quota"),
    "server_error": _error(500, "The server had an error while processing your request. Sorry about that!",
                           "server_error"),
    "unauthorized": _error(401, "Incorrect API key provided: sk-fake. You can find your API key at your provider's.",
                           INVALID, "invalid_api_key"),
    "not_found": _error(404, "The model `gpt-99` does not exist or you do not have access to it.",
                        INVALID, "model_not_found"),
    "bad_request": _error(400, "This model's maximum context length is 8192 tokens. However, your messages resulted "
                          "in 9001 tokens. Please reduce the length of the messages.",
                          INVALID, "context_length_exceeded", "messages"),
}  # fmt: skip


def _refusal(body: dict[str, Any], reasoning_model: bool) -> Raw | None:
    """The 400 that OpenAI answers to parameters it doesn't take."""
    for name in ("model", "messages"):
        if not body.get(name):
            return _error(400, f"Missing required parameter: '{name}'.", INVALID, "missing_required_parameter", name)
    if reasoning_model and body.get("max_tokens") is not None:
        return _error(400, "Unsupported parameter: 'max_tokens' is not supported with this model. Use "
                      "'max_completion_tokens' instead.", INVALID, "unsupported_parameter", "max_tokens")  # fmt: skip
    if reasoning_model and body.get("temperature") not in (None, 1):
        return _error(400, f"Unsupported value: 'temperature' does not support {body['temperature']} with this model. "
                      "Only the default (1) value is supported.",
                      INVALID, "unsupported_value", "temperature")  # fmt: skip
    return None


class FakeApi:
    """The server, in a thread of this process, between `__enter__` and `__exit__`.

    `reply`: a text, a Reply, a list of them (one a choice in order of arrival, round and round), or a function of
    (request, choice index). `faults`: Faults, or a script: a list with one entry a request in order of arrival, or a
    function of the request; an entry is a field name of Faults, a Raw response, or None for a good answer.
    `latency`: seconds before an answer, or (low, high) to draw from. `models`: what /v1/models lists; any other is
    served too, and a name that begins with `o-` is a reasoning model's. `ignore_n`: one choice, whatever
    is asked for. `limit`: what it allows a minute; what is beyond that is refused at once (429, fault `over_limit`).
    `port`: 0 takes a free one.

    Afterwards: `requests` in order of arrival; `choices` answered, over all and in `prompts` by `Request.prompt`;
    `models_requests`; `max_in_flight`, the most chat requests open at once.
    """

    def __init__(
        self,
        reply: str | Reply | Sequence[str | Reply] | Callable[[Request, int], str | Reply] = "The answer is 42.",
        *,
        faults: Faults | Sequence[str | Raw | None] | Callable[[Request], str | Raw | None] = (),
        latency: float | tuple[float, float] = 0.0,
        models: Iterable[str | dict[str, Any]] = ("fake-model",),
        reasoning_model: bool = False,
        reasoning_field: str = "reasoning_content",
        usage: bool = True,
        retry_after: float = 1.0,
        ignore_n: bool = False,
        limit: RateLimit | None = None,
        port: int = 0,
    ) -> None:
        self.url = ""
        self.requests: list[Request] = []
        self.prompts: Counter[str] = Counter()
        self.choices = self.models_requests = self.max_in_flight = self._open = 0
        self._reply, self._faults, self._latency = reply, faults, latency
        self._reasoning_model, self._reasoning_field = reasoning_model, reasoning_field
        self._usage, self._retry_after, self._limit, self._port = usage, retry_after, limit, port
        self._ignore_n = ignore_n
        self._rng = random.Random(faults.seed if isinstance(faults, Faults) else 0)
        common = {"object": "model", "created": 1700000000, "owned_by": "bon"}
        self._models = [common | (model if isinstance(model, dict) else {"id": model}) for model in models]

    def __enter__(self) -> FakeApi:
        ready = threading.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, args=(ready,), daemon=True)
        self._thread.start()
        ready.wait()
        if not self.url:
            raise OSError(f"cannot listen on 127.0.0.1:{self._port}")
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()

    def _run(self, ready: threading.Event) -> None:
        app = web.Application(client_max_size=2**28)
        app.router.add_get("/v1/models", self._list_models)
        app.router.add_get("/counters", self._counters)
        app.router.add_get("/requests", self._all_requests)
        app.router.add_post("/v1/chat/completions", self._chat)
        runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.05)
        self._loop.run_until_complete(runner.setup())
        with suppress(OSError):
            site = web.TCPSite(runner, "127.0.0.1", self._port, backlog=4096)
            self._loop.run_until_complete(site.start())
            self.url = f"http://127.0.0.1:{runner.addresses[0][1]}/v1"
        ready.set()
        if self.url:
            self._loop.run_forever()
        self._loop.run_until_complete(runner.cleanup())
        self._loop.close()

    async def _list_models(self, _: web.Request) -> web.Response:
        self.models_requests += 1
        return web.json_response({"object": "list", "data": self._models})

    async def _counters(self, _: web.Request) -> web.Response:
        faults = Counter(r.fault for r in self.requests if r.fault)
        return web.json_response({"requests": len(self.requests), "choices": self.choices, "faults": faults,
                                  "prompts": len(self.prompts), "max_in_flight": self.max_in_flight})  # fmt: skip

    async def _all_requests(self, _: web.Request) -> web.Response:
        keys = ("order", "body", "headers", "fault", "answered")
        return web.json_response([{key: getattr(r, key) for key in keys} for r in self.requests])

    async def _chat(self, http: web.Request) -> web.StreamResponse:
        headers = {name.lower(): value for name, value in http.headers.items()}
        sent = await http.read()
        body = json.loads(sent)
        request = Request(len(self.requests), body, headers, sent)
        self.requests.append(request)
        self._open += 1
        self.max_in_flight = max(self.max_in_flight, self._open)
        try:
            return await self._answer(http, request)
        finally:
            self._open -= 1

    async def _answer(self, http: web.Request, request: Request) -> web.StreamResponse:
        fault = self._fault(request)
        request.fault = fault if isinstance(fault, str) or fault is None else f"status {fault.status}"
        completion, limits = None, dict[str, str]()
        if self._limit and fault is None:
            completion = self._completion(request, empty=False)
            admitted, limits = self._limit.admit(completion["usage"]["total_tokens"])
            if not admitted:
                request.fault = "over_limit"
                return web.Response(status=LIMITED.status, body=LIMITED.body, headers=LIMITED.headers | limits)
        await asyncio.sleep(self._rng.uniform(*self._latency) if isinstance(self._latency, tuple) else self._latency)
        if fault == "hanging":
            await asyncio.Event().wait()
        if fault == "dropped":
            _abort(http)
        reasoning_model = self._reasoning_model or str(request.body.get("model")).startswith("o-")
        raw = fault if isinstance(fault, Raw) else self._error(fault) or _refusal(request.body, reasoning_model)
        headers = {"x-request-id": f"req_{uuid.uuid4().hex}", "openai-version": "2020-10-01"} | limits
        if raw:
            return web.Response(status=raw.status, body=raw.body, headers=headers | raw.headers)
        headers["Content-Type"] = "application/json"
        completion = completion or self._completion(request, empty=fault == "empty_choices")
        said = completion if self._usage else {key: value for key, value in completion.items() if key != "usage"}
        body = json.dumps(said, ensure_ascii=False).encode()
        if fault == "malformed_json":
            body = b"<html><body>upstream sent something odd</body></html>"
        elif fault == "truncated_body":
            body = body[: len(body) // 2]
        if fault in (None, "slow_body"):  # counted before the client can see its end
            request.answered = True
            self.choices += len(completion["choices"])
            self.prompts[request.prompt] += len(completion["choices"])
        if fault in ("dropped_mid_body", "slow_body"):
            return await _in_pieces(http, body, headers, drop=fault == "dropped_mid_body")
        return web.Response(body=body, headers=headers)

    def _fault(self, request: Request) -> str | Raw | None:
        if isinstance(self._faults, Faults):
            return self._faults.draw(self._rng)
        script = self._faults
        fault = script(request) if callable(script) else dict(enumerate(script)).get(request.order)
        if isinstance(fault, str) and fault not in FAULTS:
            return _error(501, f"the test asked for a fault that is not there: {fault}", "test_error")
        return fault

    def _error(self, fault: str | None) -> Raw | None:
        if fault not in ("rate_limited", "rate_limited_date"):
            return ERRORS.get(str(fault))
        date = formatdate(math.ceil(time.time() + self._retry_after), usegmt=True)
        retry_after = f"{self._retry_after:g}" if fault == "rate_limited" else date
        return replace(LIMITED, headers=LIMITED.headers | {"Retry-After": retry_after})

    def _choice(self, request: Request, index: int) -> tuple[dict[str, Any], int, int]:
        """Choice `index` of the response, its completion tokens, and how many of them are reasoning."""
        said = self._reply
        if callable(said):
            said = said(request, index)
        elif not isinstance(said, (str, Reply)):
            said = said[(request.order * int(request.body.get("n") or 1) + index) % len(said)]
        reply = Reply(content=said) if isinstance(said, str) else said
        limit = request.body.get("max_completion_tokens") or request.body.get("max_tokens") or 2**31
        reasoning, thought = _cut(reply.reasoning, limit)
        content, spoken = _cut(reply.content, limit - thought)
        message: dict[str, Any] = {"role": "assistant", "content": content, "refusal": None, "annotations": []}
        if reasoning is not None:
            message[self._reasoning_field] = reasoning
        for name, arguments in reply.tool_calls:
            function = {"name": name, "arguments": arguments}
            call = {"id": f"call_{uuid.uuid4().hex[:24]}", "type": "function", "function": function}
            message.setdefault("tool_calls", []).append(call)
            spoken += 1 + len(arguments.split())
        cut = reasoning != reply.reasoning or content != reply.content
        reason = "length" if cut else reply.finish_reason or ("tool_calls" if reply.tool_calls else "stop")
        choice = {"index": index, "message": message, "logprobs": None, "finish_reason": reason}
        return choice, thought + spoken, thought

    def _completion(self, request: Request, empty: bool) -> dict[str, Any]:
        """The response's body after OpenAI's API reference; a prompt that was answered before counts as cached."""
        count = 1 if self._ignore_n else int(request.body.get("n") or 1)
        choices = [] if empty else [self._choice(request, i) for i in range(count)]
        prompt = max(1, len(request.prompt.encode()) // 4)
        completion = sum(tokens for _, tokens, _ in choices)
        usage = {
            "prompt_tokens": prompt, "completion_tokens": completion, "total_tokens": prompt + completion,
            "prompt_tokens_details": {"cached_tokens": prompt if request.prompt in self.prompts else 0},
            "completion_tokens_details": {"reasoning_tokens": sum(thought for _, _, thought in choices)},
        }  # fmt: skip
        return {
            "id": f"chatcmpl-{uuid.uuid4().hex}", "object": "chat.completion", "created": int(time.time()),
            "model": request.body["model"], "choices": [choice for choice, _, _ in choices],
            "usage": usage, "service_tier": "default", "system_fingerprint": "fp_fake",
        }  # fmt: skip


async def _in_pieces(http: web.Request, body: bytes, headers: dict[str, str], drop: bool) -> web.StreamResponse:
    """The body in eight chunks with pauses; or the first half of it and no more."""
    response = web.StreamResponse(headers=headers)
    if drop:
        response.content_length = len(body)
    await response.prepare(http)
    for piece in range(8):
        if drop and piece == 4:
            _abort(http)
        await response.write(body[len(body) * piece // 8 : len(body) * (piece + 1) // 8])
        await asyncio.sleep(0.02)
    await response.write_eof()
    return response


def _abort(http: web.Request) -> None:
    """End the connection without a goodbye."""
    if http.transport is not None:
        http.transport.abort()
    raise asyncio.CancelledError


def _cut(text: str | None, limit: int) -> tuple[str | None, int]:
    """The text's first `limit` words, white space kept, and how many words that are."""
    words = re.findall(r"\s*\S+", text or "")
    return (text, len(words)) if len(words) <= limit else ("".join(words[:limit]), limit)


def main() -> None:
    parser = argparse.ArgumentParser(description="A chat API that fails on command")
    parser.add_argument("--port-file", type=Path, required=True, help="holds the port once the server listens")
    parser.add_argument("--reply", default="The answer is \\boxed{42}.")
    parser.add_argument("--latency", type=float, default=0.0)
    parser.add_argument("--fault", action="append", default=[], metavar="NAME=PROBABILITY")
    arguments = parser.parse_args()
    parent = os.getppid()
    rates: dict[str, Any] = {name: float(rate) for name, rate in (fault.split("=") for fault in arguments.fault)}
    with FakeApi(arguments.reply, faults=Faults(**rates), latency=arguments.latency) as api:
        part = arguments.port_file.with_suffix(".part")
        part.write_text(api.url.split(":")[2].split("/")[0])
        part.replace(arguments.port_file)
        while os.getppid() == parent:
            time.sleep(0.2)


if __name__ == "__main__":
    main()
