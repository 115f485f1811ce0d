"""One chat request over HTTP, as the openai client puts it together; its failures told apart.

Knows the wire and nothing of queries or retries. What a failure means is `failures`' to say, what a body holds
`bodies`'. Nothing leaves this module with the key in it.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import aiohttp
import httpx2
import openai
import orjson
import yarl

from bon_hydra.bodies import Malformed, choices_of, parsed, responses_of
from bon_hydra.failures import RequestFailed, failure_of
from bon_hydra.masking import Mask
from bon_hydra.records import Response
from bon_hydra.schema import ConfigError, ModelConfig
from bon_hydra.store import Stored
from bon_hydra.wire import LARGEST_BODY, Answer, Moved, TooLarge, Wire, followed, is_loopback, proxy_of

log = logging.getLogger(__name__)

CONNECT_S = 10.0
KEPT_HEADERS = ("x-ratelimit", "ratelimit", "anthropic-ratelimit", "retry-after", "date", "x-request-id")


@dataclass(frozen=True, slots=True)
class Reply:
    """A well-formed body with at least one choice, as it arrived but for the key, should the server have echoed it."""

    body: bytes
    responses: tuple[Response, ...]
    """The body's first choices, as many as were asked for or came."""
    request_id: str | None
    latency_s: float
    created_at: datetime
    headers: Mapping[str, str] = field(default_factory=dict)
    """Those that speak of pace, time and the request, names in lower case."""


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
        ConnectionError: nobody answers at `model.base_url`, its certificate is not trusted, or it has moved.
        ConfigError: no key, or the environment's proxy is of a kind that cannot be used.
    """
    url, key = str(model.base_url), api_key(model)
    proxy_of(url)
    http = openai.DefaultHttpxClient(
        timeout=CONNECT_S,
        verify=httpx2.create_ssl_context() if url.startswith("https:") else False,
        trust_env=not is_loopback(url),
        event_hooks={"response": [_stay]},
    )
    with openai.OpenAI(base_url=url, api_key=key or "none", max_retries=0, http_client=http) as client:
        try:
            body = orjson.loads(client.get("/models", cast_to=httpx2.Response).content)
        except (*_TRANSPORT, Moved) as error:
            causes = _causes(error)
            told = _trouble_with_the_address(causes) or str(error.__cause__ or error)
            raise ConnectionError(Mask(key).text(told)) from error
        except (openai.OpenAIError, orjson.JSONDecodeError):
            return []
    listed = body.get("data") if isinstance(body, dict) else None
    listed = listed if isinstance(listed, list) else []
    return [entry for entry in listed if isinstance(entry, dict) and isinstance(entry.get("id"), str)]


_TRANSPORT = (openai.APIConnectionError, httpx2.HTTPError, httpx2.InvalidURL, OSError)
"""Whatever the layers below raise when there is no whole response; not all of them wrap what is below."""


def _stay(response: httpx2.Response) -> None:
    """Raises Moved at a redirect that is not to be followed."""
    if response.has_redirect_location:
        here = yarl.URL(str(response.request.url))
        followed(response.request.method, response.status_code, here, response.headers["location"])


def _put_together(base_url: str, key: str | None) -> httpx2.Request:
    """A chat request as the openai client sends it: all of a run have its address and its headers."""
    nowhere = httpx2.Client(transport=httpx2.MockTransport(lambda _: httpx2.Response(200)), trust_env=False)
    with openai.OpenAI(base_url=base_url, api_key=key or "none", http_client=nowhere) as client:
        return client.post("/chat/completions", body={}, cast_to=httpx2.Response).request


OF_ONE_REQUEST = frozenset({"host", "content-length", "connection", "accept-encoding"})
"""Headers that whoever carries a request sets by itself."""


class ChatClient:
    """Sends chat completions to one endpoint. Build it inside a running event loop."""

    def __init__(self, model: ModelConfig, base_url: str, concurrency: int) -> None:
        key = api_key(model)
        self._key_name, self._timeout_s, self._mask = model.api_key_env, model.timeout_s, Mask(key)
        self._answered = False
        self._other_models: set[str] = set()
        request = _put_together(base_url, key)
        headers = {name: value for name, value in request.headers.items() if name not in OF_ONE_REQUEST}
        self._wire = Wire(str(request.url), headers, concurrency, connect_s=min(model.timeout_s, 30.0))

    async def complete(self, body: dict[str, Any]) -> Reply:
        """One request.

        Raises:
            RequestFailed: no candidate came of it; its `kind` says whether to ask again.
        """
        started = time.monotonic()
        try:
            async with asyncio.timeout(self._timeout_s):
                answer = await self._wire.post(_encoded(body))
        except UnicodeEncodeError as error:
            # Half a surrogate pair in a row's text: no server can be sent that.
            raise RequestFailed("refused", f"the prompt cannot be sent as UTF-8: {error.reason}") from error
        except (aiohttp.ClientError, OSError, Moved, TooLarge) as error:
            raise self._unreached(error, time.monotonic() - started) from error
        if answer.status >= 300:
            raise self._failure(answer.status, answer, body)
        return self._whole(answer, body, time.monotonic() - started)

    def _whole(self, answer: Answer, sent: dict[str, Any], latency_s: float) -> Reply:
        """The reply, whose body holds a choice that can be read. Raises RequestFailed."""
        body, headers, created_at = self._mask.bytes(answer.body), self._headers(answer), datetime.now(UTC)
        request_id = headers.get("x-request-id")
        try:
            read = parsed(body)
            error = read.get("error") if isinstance(read, dict) else None
            if error and not read.get("choices"):
                raise self._failure(_code(error), answer, sent)
            choices = choices_of(read)
            for choice in choices:
                if choice.get("finish_reason") == "error" or isinstance(choice.get("error"), dict):
                    raise self._failure(_code(choice.get("error")), answer, sent, orjson.dumps(choice))
            # All are read before any is kept: what is kept must stay readable.
            count = min(len(choices), sent.get("n", 1))
            stored = Stored(body, 0, None, "", created_at, latency_s, 1, request_id, count)
            responses = responses_of(read, choices, stored)
        except Malformed as problem:
            raise _malformed(str(problem), body, request_id, headers) from None
        except (ValueError, TypeError, RecursionError):
            if body.lstrip().startswith((b"data:", b"event:", b":")):
                raise self._of_the_address(
                    "the server answers with a stream of events, though none was asked for; if it takes "
                    "stream: false, set +model.extra_body.stream=false"
                ) from None
            raise _malformed("malformed body", body, request_id, headers) from None
        self._answered = True
        self._notice(read.get("model"), sent.get("model"))
        return Reply(body, responses, request_id, latency_s, created_at, headers)

    def _failure(
        self, status: int | None, answer: Answer, sent: dict[str, Any], body: bytes | None = None
    ) -> RequestFailed:
        """What an error response says; with HTTP 200 somebody may have worked before it."""
        if 300 <= answer.status < 400:
            return self._of_the_address(f"HTTP {answer.status} in place of an answer")
        failure = failure_of(
            status,
            self._mask.bytes(answer.body if body is None else body),
            self._headers(answer),
            sent=sent,
            answered=self._answered,
            key_name=self._key_name,
        )
        failure.perhaps_billed |= answer.status < 400
        return failure

    def _unreached(self, error: Exception, after_s: float) -> RequestFailed:
        """No response, or not all of it: the server, the way to it, or its address."""
        causes = _causes(error)
        if told := _trouble_with_the_address(causes):
            return self._of_the_address(self._mask.text(told))
        if any(isinstance(cause, TooLarge) for cause in causes):
            told = f"a body of more than {LARGEST_BODY >> 20} MB, not read to its end"
            return RequestFailed("retry", told, perhaps_billed=True)
        never_sent = any(isinstance(c, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError) for c in causes)
        if any(isinstance(cause, TimeoutError) for cause in causes):
            told = f"no answer within {after_s:.0f} s"
        else:
            told = f"connection failed: {type(causes[-1]).__name__} {causes[-1]}".strip()
        return RequestFailed("retry", self._mask.text(told), perhaps_billed=not never_sent)

    def _of_the_address(self, told: str) -> RequestFailed:
        """So it is for every request, unless this server has answered before: then it is a passing trouble."""
        return RequestFailed("retry" if self._answered else "stop", told, perhaps_billed=False)

    def _headers(self, answer: Answer) -> dict[str, str]:
        lower = ((name.lower(), value) for name, value in answer.headers.items())
        return {name: self._mask.text(value) for name, value in lower if name.startswith(KEPT_HEADERS)}

    def _notice(self, said: Any, asked: Any) -> None:
        """Logs once a name of a model that is not a longer or shorter form of the one asked for."""
        if isinstance(said, str) and said not in self._other_models and len(self._other_models) < 100:
            self._other_models.add(said)
            if str(asked) not in said and said not in str(asked):
                log.warning("the server says that answers to %s are of %s; see the column response_model", asked, said)

    async def close(self) -> None:
        """Closes the connections."""
        await self._wire.close()


def _malformed(what: str, body: bytes, request_id: str | None, headers: Mapping[str, str]) -> RequestFailed:
    start = body[:400].decode(errors="replace")[:80]
    told = what if what.endswith("choices") else f"{what}: {start!r}"
    told += f" (request {request_id})" if request_id else ""
    return RequestFailed("retry", told, perhaps_billed=True, headers=headers)


def _encoded(body: dict[str, Any]) -> bytes:
    """As JSON. Raises UnicodeEncodeError at half a surrogate pair."""
    try:
        return orjson.dumps(body)
    except TypeError:  # that, or a whole number beyond 64 bits
        return json.dumps(body, ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode()


def _trouble_with_the_address(causes: list[BaseException]) -> str | None:
    """What no repetition mends, where it is among the causes."""
    for cause in causes:
        if isinstance(cause, Moved):
            return str(cause)
        if isinstance(cause, httpx2.TooManyRedirects):
            return "the server redirects in a circle"
        if found := re.search(r"certificate verify failed: ([^(]+)", str(cause)):  # the sync transport drops its cause
            return (
                f"the server's certificate is not trusted: {found[1].strip()}. If it is your own, "
                "set SSL_CERT_FILE to the file of the authority that signed it"
            )
    return None


def _code(error: Any) -> int | None:
    """The status that an error in a body says, where it is one."""
    code = error.get("code") if isinstance(error, dict) else None
    number = int(code) if isinstance(code, int | str) and str(code).isdecimal() else 0
    return number if 400 <= number < 600 else None


def _causes(error: BaseException) -> list[BaseException]:
    """The error and what led to it, down to the first cause."""
    found: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in found:
        found.append(cause)
        cause = cause.__cause__ or (None if cause.__suppress_context__ else cause.__context__)
    return found
