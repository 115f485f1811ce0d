"""One chat request: the openai client, its errors told apart, and a body read as choices.

Knows the wire and nothing of queries or retries. A body is kept as it arrived and read again whenever its
candidates are needed.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2
import openai
import orjson

from bon_hydra.records import Response
from bon_hydra.schema import ConfigError, ModelConfig
from bon_hydra.store import Stored

RETRYABLE = frozenset({408, 409, 425, 429})
STOPPING = frozenset({401, 402, 403, 404, 405})
GATEWAY = frozenset({408, 502, 504, 520, 522, 524})
"""What stands between says these when it gave up waiting or lost the connection; the model may have answered."""
CONNECT_S = 10.0


@dataclass(frozen=True, slots=True)
class Reply:
    """A well-formed body with at least one choice, as it arrived."""

    body: bytes
    choices: int
    request_id: str | None
    latency_s: float
    created_at: datetime


class RequestFailed(Exception):
    """A request brought no candidate.

    `kind` says what follows: `retry` (another attempt may succeed), `refused` (this request never will), or
    `stop` (no request will: the key, the model, the quota or a parameter is refused). `may_be_billed`: an answer may
    have been generated, though none arrived.
    """

    def __init__(
        self,
        kind: str,
        message: str,
        status: int | None = None,
        retry_after_s: float | None = None,
        may_be_billed: bool = True,
    ) -> None:
        super().__init__(message)
        self.kind, self.status, self.retry_after_s, self.may_be_billed = kind, status, retry_after_s, may_be_billed


def api_key(model: ModelConfig) -> str | None:
    """The key from the environment, None where the model wants none.

    Raises:
        ConfigError: the variable that should hold it is empty, not set, or holds what cannot be a key.
    """
    if model.api_key_env is None:
        return None
    key = os.environ.get(model.api_key_env, "").strip()
    if not key:
        raise ConfigError(
            f"model.api_key_env: the environment variable {model.api_key_env} is not set. "
            f"Set it to your key (export {model.api_key_env}=…), or choose a model that needs none."
        )
    if not (key.isascii() and key.isprintable()):
        raise ConfigError(
            f"model.api_key_env: the environment variable {model.api_key_env} holds characters that no key has "
            "(a line break or a typographic quote, say; not shown). Set it to your key anew."
        )
    return key


def served_models(model: ModelConfig) -> list[dict[str, Any]]:
    """What the server's `/models` lists; empty where it does not say.

    Raises:
        ConnectionError: nobody answers at `model.base_url`.
    """
    with openai.OpenAI(
        base_url=model.base_url, api_key=api_key(model) or "none", max_retries=0, timeout=CONNECT_S
    ) as client:
        try:
            body = orjson.loads(client.get("/models", cast_to=httpx2.Response).content)
        except openai.APIConnectionError as error:
            raise ConnectionError(str(error.__cause__ or error)) from error
        except (openai.OpenAIError, orjson.JSONDecodeError):
            return []
    listed = body.get("data") if isinstance(body, dict) else None
    return [entry for entry in listed or [] if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


class ChatClient:
    """Sends chat completions to one endpoint. Build it inside a running event loop."""

    def __init__(self, model: ModelConfig, base_url: str, concurrency: int) -> None:
        self._secret, self._timeout_s = api_key(model), model.timeout_s
        timeout = httpx2.Timeout(model.timeout_s, connect=min(model.timeout_s, 30.0))
        limits = httpx2.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
        self._client = openai.AsyncOpenAI(
            base_url=base_url,
            api_key=self._secret or "none",
            max_retries=0,
            timeout=timeout,
            http_client=openai.DefaultAioHttpClient(timeout=timeout, limits=limits),
        )

    async def complete(self, body: dict[str, Any]) -> Reply:
        """One request.

        Raises:
            RequestFailed: no candidate came of it; its `kind` says whether to ask again.
        """
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):  # httpx's own is for each piece of a body
                http = await self._client.post("/chat/completions", body=body, cast_to=httpx2.Response)
        except TimeoutError as error:
            raise RequestFailed("retry", f"no answer within {self._timeout_s:.0f} s") from error
        except openai.APIStatusError as error:
            raise self._refusal(error) from error
        except (openai.APIConnectionError, httpx2.HTTPError) as error:
            causes = _causes(error)
            # The transport calls a refused or dropped connection a timeout too; only its cause tells them apart.
            if any(isinstance(cause, TimeoutError) for cause in causes):
                raise RequestFailed("retry", f"no answer within {time.monotonic() - started:.0f} s") from error
            first = f"{type(causes[-1]).__name__} {causes[-1]}".strip()
            unsent = any(isinstance(cause, ConnectionRefusedError | socket.gaierror) for cause in causes)
            raise RequestFailed("retry", f"connection failed: {first}", may_be_billed=not unsent) from error
        except UnicodeEncodeError as error:
            # Half a surrogate pair in a row's text: no server can be sent that.
            message = f"the prompt cannot be sent as UTF-8: {error.reason}"
            raise RequestFailed("refused", message, may_be_billed=False) from error
        return Reply(
            body=http.content,
            choices=self._choices(http.content),
            request_id=http.headers.get("x-request-id"),
            latency_s=time.monotonic() - started,
            created_at=datetime.now(UTC),
        )

    def _refusal(self, error: openai.APIStatusError) -> RequestFailed:
        status = error.status_code
        request_id = error.response.headers.get("x-request-id")
        message = self._without_key(_error_text(error))[:2000]
        message = f"HTTP {status}: {message}" + self._without_key(f" (request {request_id})" if request_id else "")
        quota = "insufficient_quota" in message or "exceeded your current quota" in message
        if status in STOPPING or (status == 429 and quota):
            return RequestFailed("stop", message, status, may_be_billed=False)
        if status in RETRYABLE or status >= 500:
            wait_s = _retry_after(error.response.headers.get("retry-after"))
            return RequestFailed("retry", message, status, wait_s, may_be_billed=status in GATEWAY)
        return RequestFailed("refused", message, status, may_be_billed=False)

    def _choices(self, body: bytes) -> int:
        try:
            choices = _parsed(body)["choices"]
            if isinstance(choices, list) and choices and all(isinstance(c["message"], dict) for c in choices):
                if any(c.get("finish_reason") == "error" for c in choices):
                    raise RequestFailed("retry", "the server says that it failed in the middle of the answer")
                return len(choices)
        except (ValueError, KeyError, TypeError, RecursionError):
            start = self._without_key(body.decode(errors="replace"))[:80]
            raise RequestFailed("retry", f"malformed body: {start!r}") from None
        raise RequestFailed("retry", "an answer with no choices")

    def _without_key(self, text: str) -> str:
        """The text without the key that a server may echo; done before a text is cut, which could leave half of it."""
        return text.replace(self._secret, "[key]") if self._secret else text

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what led to it, down to the first cause."""
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return found


def _error_text(error: openai.APIStatusError) -> str:
    body = error.body
    if isinstance(body, dict):
        inner = body.get("error", body)
        if isinstance(inner, dict) and inner.get("message"):
            code = inner.get("code")
            return f"{inner['message']}" + (f" [{code}]" if code else "")
    return " ".join(str(body or error.message).split())


def _retry_after(header: str | None) -> float | None:
    """Seconds to wait, from seconds or an HTTP date; None where the header says neither or the moment has passed."""
    if not header:
        return None
    try:
        seconds = float(header)
    except ValueError:
        try:
            seconds = (parsedate_to_datetime(header) - datetime.now(UTC)).total_seconds()
        except (ValueError, TypeError, OverflowError):
            return None
    return seconds if seconds > 0 else None


def read_choice(stored: Stored) -> Response:
    """A stored choice of a body as a Response.

    Of a body with several choices the first carries all prompt and cached tokens, the others 0;
    completion and reasoning tokens are split by text length so that their sums are exact.
    Tokens are None where the server said nothing.
    """
    parsed = _parsed(stored.body)
    choices = parsed["choices"]
    chosen = choices[stored.choice]
    message = chosen["message"]
    usage = parsed.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    weights = [len(orjson.dumps(c["message"])) for c in choices] if len(choices) > 1 else [1]
    first = stored.choice == 0
    calls = message.get("tool_calls")
    content, refusal = message.get("content"), _optional_text(message.get("refusal"))
    return Response(
        text=refusal if refusal and not content else None if content is None else _text(content),
        refused=bool(refusal and not content),
        reasoning=_optional_text(message.get("reasoning")) or _optional_text(message.get("reasoning_content")),
        tool_calls=orjson.dumps(calls).decode() if calls else None,
        finish_reason=_optional_text(chosen.get("finish_reason")),
        prompt_tokens=_first(_count(usage, "prompt_tokens"), first),
        completion_tokens=_share(_count(usage, "completion_tokens"), weights, stored.choice),
        cached_tokens=_first(_count(usage.get("prompt_tokens_details"), "cached_tokens"), first),
        reasoning_tokens=_share(
            _count(usage.get("completion_tokens_details"), "reasoning_tokens"), weights, stored.choice
        ),
        model=_optional_text(parsed.get("model")),
        request_id=stored.request_id or _optional_text(parsed.get("id")),
        latency_s=stored.latency_s,
        created_at=stored.created_at,
        attempts=stored.attempts,
        seed=stored.seed,
        run_id=stored.run_id,
    )


def _parsed(body: bytes) -> Any:
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:  # the standard parser takes half of a surrogate pair, which models do send
        return json.loads(body)


def _text(content: Any) -> str:
    """Some servers send a list of parts in place of a text."""
    if isinstance(content, list):
        texts = (part.get("text") if isinstance(part, dict) else part for part in content)
        return "".join(text for text in texts if isinstance(text, str))
    return str(content)


def _optional_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    return value if type(value) is int and value >= 0 else None


def _first(total: int | None, first: bool) -> int | None:
    return None if total is None else total if first else 0


def _share(total: int | None, weights: list[int], index: int) -> int | None:
    """This choice's part of `total`; the parts of all choices add up to it."""
    if total is None:
        return None
    whole = sum(weights)
    return total * sum(weights[: index + 1]) // whole - total * sum(weights[:index]) // whole
