"""One request over real HTTP: failures told apart, keys kept to themselves, and odd bodies read."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any

import orjson
import pytest
from app import SECRET
from fake_api import FakeApi, Raw, Reply
from hypothesis import given
from hypothesis import strategies as st

from bon_hydra.bodies import read_choice
from bon_hydra.client import ChatClient, api_key, served_models
from bon_hydra.client import Reply as Arrived
from bon_hydra.failures import RequestFailed, seconds_of
from bon_hydra.records import Response
from bon_hydra.schema import ConfigError, ModelConfig
from bon_hydra.store import Stored

BODY = {"model": "fake-model", "messages": [{"role": "user", "content": "What is 1+2?"}]}


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_API_KEY", SECRET)


def config(url: str = "http://127.0.0.1:9/v1", timeout_s: float = 20.0) -> ModelConfig:
    return ModelConfig(name="fake-model", base_url=url, api_key_env="TEST_API_KEY", timeout_s=timeout_s)


def complete(url: str, body: dict[str, Any] | None = None, timeout_s: float = 20.0) -> Arrived:
    async def main() -> Arrived:
        client = ChatClient(config(url, timeout_s), url, concurrency=2)
        try:
            return await client.complete(body or BODY)
        finally:
            await client.close()

    return asyncio.run(main())


def failure(fault: str | Raw, timeout_s: float = 20.0, retry_after: float = 7.0) -> RequestFailed:
    with FakeApi(faults=[fault], retry_after=retry_after) as api, pytest.raises(RequestFailed) as failed:
        complete(api.url, timeout_s=timeout_s)
    return failed.value


def test_a_good_answer_arrives_byte_for_byte_with_its_request_id() -> None:
    """And is sent with the key, once, as it was given."""
    with FakeApi(reply="3") as api:
        reply = complete(api.url, {**BODY, "temperature": 0.5, "top_k": 7})
        (request,) = api.requests
    assert request.body == {**BODY, "temperature": 0.5, "top_k": 7}
    assert request.headers["authorization"] == f"Bearer {SECRET}"
    assert orjson.loads(reply.body)["choices"][0]["message"]["content"] == "3"
    assert (len(reply.responses), str(reply.request_id)[:4]) == (1, "req_")
    assert reply.created_at.tzinfo is UTC
    assert reply.latency_s > 0


@pytest.mark.parametrize(
    ("fault", "kind", "status", "told"),
    [
        ("rate_limited_bare", "retry", 429, "Rate limit reached"),
        ("server_error", "retry", 500, "The server had an error"),
        ("quota_exhausted", "stop", 429, "insufficient_quota"),
        ("unauthorized", "stop", 401, "Incorrect API key"),
        ("not_found", "stop", 404, "does not exist"),
        ("bad_request", "refused", 400, "maximum context length"),
        ("dropped", "retry", None, "connection failed"),
        ("dropped_mid_body", "retry", None, "connection failed"),
        ("malformed_json", "retry", None, "malformed body: '<html>"),
        ("truncated_body", "retry", None, "malformed body"),
        ("empty_choices", "retry", None, "no choices"),
    ],
)
def test_each_kind_of_failure_says_what_follows(fault: str, kind: str, status: int | None, told: str) -> None:
    """`retry`, `refused` or `stop`; what the server said is in the message, in one piece of text."""
    failed = failure(fault)
    assert (failed.kind, failed.status) == (kind, status)
    assert told in str(failed)
    assert failed.retry_after_s is None


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        *[(400, "refused"), (413, "refused"), (422, "refused"), (408, "retry"), (409, "retry"), (425, "retry")],
        *[(502, "retry"), (503, "retry"), (529, "retry"), (402, "stop"), (403, "stop"), (405, "stop")],
    ],
)
@pytest.mark.parametrize("body", [b"", b"<html>no</html>", b'{"error": "as text"}', b'["odd"]', b"\xff\xfe", b"null"])
def test_a_status_means_the_same_whatever_body_comes_with_it(status: int, kind: str, body: bytes) -> None:
    """An exhausted account (402) and a wrong address (404, 405) stop the run like a refused key."""
    failed = failure(Raw(status, body))
    assert (failed.kind, failed.status) == (kind, status)
    assert str(failed).startswith(f"HTTP {status}: ")


@pytest.mark.parametrize(
    "body",
    [
        *[
            b"",
            b"null",
            b"[]",
            b"3",
            b'"text"',
            b"{}",
            b'{"choices": null}',
            b'{"choices": {}}',
            b'{"choices": [null]}',
        ],
        *[b'{"choices": [{"message": null}]}', b'{"choices": [{"text": "old"}]}', b'{"choices": ["x"]}', b"\xff"],
        *[b'{"error": {"message": "upstream"}}', b'{"choices": [{"message": {}}, {"message": 3}]}', b"[" * 5000],
    ],
)
def test_a_body_without_a_whole_choice_is_asked_for_again(body: bytes) -> None:
    """HTTP 200 alone is no answer."""
    failed = failure(Raw(200, body))
    assert (failed.kind, failed.status) == ("retry", None)


def test_retry_after_is_understood_as_seconds_and_as_a_date() -> None:
    """The fake server rounds its date up to the second."""
    assert failure("rate_limited").retry_after_s == 7.0
    waits = failure("rate_limited_date").retry_after_s
    assert waits is not None
    assert 0 < waits <= 8.0
    assert failure(Raw(503, b"", {"Retry-After": "2.5"})).retry_after_s == 2.5


@pytest.mark.parametrize("header", [None, "", "0", "-3", "soon", "nan", "Mon, 23 Nov 2020 14:05:33 GMT"])
def test_a_retry_after_that_asks_for_no_wait_leaves_the_wait_to_the_client(header: str | None) -> None:
    """Otherwise all retries would be gone within a moment."""
    assert seconds_of(header) is None


@given(st.text(max_size=40) | st.floats().map(str) | st.datetimes().map(format_datetime))
def test_no_retry_after_breaks_the_client(header: str) -> None:
    """Whatever a server sends is a positive number of seconds or None."""
    seconds = seconds_of(header)
    assert seconds is None or seconds > 0


def test_a_server_that_never_answers_is_given_up_after_the_timeout() -> None:
    """As something to ask again."""
    failed = failure("hanging", timeout_s=0.3)
    assert (failed.kind, failed.status) == ("retry", None)
    assert "no answer within" in str(failed)


def test_nobody_listening_is_a_failed_connection() -> None:
    """For a request one to repeat, for the first look at the server a ConnectionError."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}/v1"
        with pytest.raises(RequestFailed, match="connection failed") as failed:
            complete(url)
        assert failed.value.kind == "retry"
        with pytest.raises(ConnectionError):
            served_models(config(url))


def test_a_slow_body_is_waited_for() -> None:
    """It comes in pieces and is one answer."""
    with FakeApi(reply="It is 3.", faults=["slow_body"]) as api:
        assert orjson.loads(complete(api.url).body)["choices"][0]["message"]["content"] == "It is 3."


def test_half_a_surrogate_pair_in_a_prompt_is_refused_for_itself() -> None:
    """It cannot be sent at all; the run goes on with other queries."""
    with FakeApi() as api, pytest.raises(RequestFailed, match="UTF-8") as failed:
        complete(api.url, {**BODY, "messages": [{"role": "user", "content": "half \ud83d"}]})
    assert (failed.value.kind, api.requests) == ("refused", [])


def said(text: str) -> bytes:
    return orjson.dumps({"error": {"message": text, "code": text}})


@pytest.mark.parametrize(
    ("status", "body", "headers"),
    [
        (401, said(f"Incorrect API key provided: {SECRET}."), {}),
        (400, said("x" * 1990 + SECRET), {}),
        (500, b"<html>" + b"y" * 480 + SECRET.encode() + b"</html>", {}),
        (429, orjson.dumps({"error": SECRET}), {}),
        (429, orjson.dumps({"odd": [SECRET]}), {}),
        (503, b"", {"x-request-id": f"for-{SECRET}"}),
        (200, f"you sent {SECRET}".encode(), {}),
        (200, b"z" * 70 + SECRET.encode(), {}),
    ],
)
def test_the_key_is_in_no_message_also_where_the_server_echoes_it(
    status: int, body: bytes, headers: dict[str, str]
) -> None:
    """Nor the first half of it, where a long message is cut."""
    failed = failure(Raw(status, body, headers))
    assert SECRET not in str(failed)
    assert SECRET[:8] not in str(failed)


def test_a_key_that_is_missing_or_cannot_be_one_is_a_config_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names the variable and does not show what it holds; spaces around a key do not matter."""
    monkeypatch.setenv("TEST_API_KEY", f" {SECRET}\n")
    assert api_key(config()) == SECRET
    for value in ("", "  ", "sk-“quoted”", "sk-two\nlines", "sk-\x00"[:3] + "\x7f"):
        monkeypatch.setenv("TEST_API_KEY", value)
        with pytest.raises(ConfigError, match=r"model\.api_key_env.*TEST_API_KEY") as refused:
            api_key(config())
        assert "sk-" not in str(refused.value)
    assert api_key(ModelConfig(name="m", base_url="http://h/v1")) is None


def test_what_a_server_lists_is_read_and_a_server_that_lists_nothing_is_no_error() -> None:
    """`/models` with its entries; 404 and odd bodies are an empty list."""
    with FakeApi(models=["a", {"id": "b", "root": "/weights"}]) as api:
        assert [entry["id"] for entry in served_models(config(api.url))] == ["a", "b"]
        assert served_models(config(api.url + "/nothing/here")) == []


# ---- reading a choice


def read(body: dict[str, Any], choice: int = 0, **more: Any) -> Response:
    fields = {"seed": None, "run_id": "r", "created_at": datetime.now(UTC), "latency_s": 1.5, "attempts": 2}
    return read_choice(Stored(orjson.dumps(body), choice, **{**fields, "request_id": None, **more}))


def choices(*messages: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {"choices": [{"message": message, "finish_reason": "stop"} for message in messages], **more}


def test_everything_a_whole_answer_says_is_kept() -> None:
    """Text, reasoning, calls, finish reason, usage, the server's names, and how it was got."""
    call = Reply("3", tool_calls=(("add", '{"a": 1}'),), reasoning="One and two")
    with FakeApi(reply=call) as api:
        arrived = complete(api.url)
    stored = Stored(arrived.body, 0, 77, "run", arrived.created_at, 0.5, 3, arrived.request_id)
    response = read_choice(stored)
    assert (response.text, response.refused, response.reasoning) == ("3", False, "One and two")
    assert orjson.loads(response.tool_calls or "")[0]["function"] == {"name": "add", "arguments": '{"a": 1}'}
    assert (response.finish_reason, response.model, response.seed) == ("tool_calls", "fake-model", 77)
    assert (response.completion_tokens, response.reasoning_tokens, response.cached_tokens) == (7, 3, 0)
    assert response.prompt_tokens
    assert (response.request_id, response.run_id, response.attempts) == (arrived.request_id, "run", 3)
    assert (response.latency_s, response.created_at) == (0.5, arrived.created_at)


@pytest.mark.parametrize(
    ("message", "text", "refused"),
    [
        ({"content": "hi"}, "hi", False),
        ({"content": ""}, "", False),
        ({"content": None}, None, False),
        ({}, None, False),
        ({"content": [{"type": "text", "text": "a"}, {"type": "text", "text": "b"}]}, "ab", False),
        ({"content": [{"type": "text", "text": None}, {"type": "image"}, "c", 3, None]}, "c", False),
        ({"content": []}, "", False),
        ({"content": 42}, "42", False),
        ({"content": None, "refusal": "I can't."}, "I can't.", True),
        ({"content": "", "refusal": "I can't."}, "I can't.", True),
        ({"content": "but yes", "refusal": "I can't."}, "but yes", False),
        ({"content": "x", "refusal": {"odd": 1}}, "x", False),
    ],
)
def test_content_in_every_shape_servers_send_it(message: dict[str, Any], text: str | None, refused: bool) -> None:
    """Null, a list of parts, a refusal in its place."""
    response = read(choices(message))
    assert (response.text, response.refused) == (text, refused)


@pytest.mark.parametrize("name", ["reasoning", "reasoning_content"])
def test_reasoning_text_is_found_under_both_names(name: str) -> None:
    """vLLM says `reasoning`, others `reasoning_content`; null or empty under the other does not hide it."""
    other = {"reasoning": "reasoning_content", "reasoning_content": "reasoning"}[name]
    assert read(choices({"content": "x", name: "thought", other: None})).reasoning == "thought"
    assert read(choices({"content": "x", name: "thought", other: {"effort": "low"}})).reasoning == "thought"
    assert read(choices({"content": "x", name: None})).reasoning is None


@pytest.mark.parametrize(
    "usage",
    [
        *[None, 3, [], {}, {"prompt_tokens": None}, {"prompt_tokens": "7", "completion_tokens": -1}],
        *[{"prompt_tokens_details": None, "completion_tokens_details": 3}, {"prompt_tokens": True}],
    ],
)
def test_usage_that_is_missing_or_odd_is_unknown_and_not_zero(usage: Any) -> None:
    """None in every count."""
    response = read(choices({"content": "x"}, usage=usage))
    assert response.prompt_tokens is None
    assert response.completion_tokens is None
    assert response.cached_tokens is None
    assert response.reasoning_tokens is None


@pytest.mark.parametrize("calls", [None, []])
def test_no_tool_calls_are_none(calls: Any) -> None:
    """Also where the server sends an empty list."""
    assert read(choices({"content": "x", "tool_calls": calls})).tool_calls is None


def test_odd_names_are_none_and_the_bodys_id_stands_in_for_a_missing_header() -> None:
    """finish_reason, model and id of another type than text."""
    response = read({"choices": [{"message": {"content": "x"}, "finish_reason": 3}], "model": None, "id": "cmpl-1"})
    assert (response.finish_reason, response.model, response.request_id) == (None, None, "cmpl-1")
    assert read({"choices": [{"message": {}}], "id": "cmpl-1"}, request_id="req_1").request_id == "req_1"


counts = st.none() | st.integers(0, 2**40)


@given(st.lists(st.text(max_size=50), min_size=1, max_size=9), counts, counts, counts, counts)
def test_token_sums_over_a_bodys_choices_are_exact(
    texts: Sequence[str], prompt: int | None, completion: int | None, cached: int | None, reasoning: int | None
) -> None:
    """The first carries the prompt's, the others 0; completion tokens are shared out, a longer text never gets less
    than its floor, and what is unknown is unknown in all."""
    usage = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "prompt_tokens_details": {"cached_tokens": cached},
        "completion_tokens_details": {"reasoning_tokens": reasoning},
    }
    texts = [text.encode("utf-8", "replace").decode() for text in texts]
    body = choices(*[{"content": text} for text in texts], usage=usage)
    read_ = [read(body, index, choices=len(texts)) for index in range(len(texts))]
    assert [response.text for response in read_] == texts
    for name, total in [("completion_tokens", completion), ("reasoning_tokens", reasoning)]:
        shares = [getattr(response, name) for response in read_]
        assert shares == [None] * len(texts) if total is None else sum(shares) == total
        assert total is None or min(shares) >= 0
    for name, total in [("prompt_tokens", prompt), ("cached_tokens", cached)]:
        shares = [getattr(response, name) for response in read_]
        assert shares == ([None] * len(texts) if total is None else [total] + [0] * (len(texts) - 1))


json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False)
    | st.text("ab\n{", max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["text", "type", "x"]), inner),
    max_leaves=6,
)
names = st.sampled_from(["content", "refusal", "reasoning", "reasoning_content", "tool_calls", "role"])
figures = st.sampled_from(
    ["prompt_tokens", "completion_tokens", "prompt_tokens_details", "completion_tokens_details", "cached_tokens"]
)


@given(st.lists(st.dictionaries(names, json), min_size=1, max_size=3), st.dictionaries(figures, json) | json, json)
def test_no_body_that_was_accepted_once_can_break_a_later_reading(
    messages: list[dict[str, Any]], usage: Any, odd: Any
) -> None:
    """What is in the store must stay readable, whatever its fields hold: texts are texts, counts are whole numbers."""
    body = {
        "choices": [{"message": m, "finish_reason": odd} for m in messages],
        "usage": usage,
        "model": odd,
        "id": odd,
    }
    for index in range(len(messages)):
        response = read(body, index)
        texts = (response.text, response.reasoning, response.tool_calls, response.finish_reason, response.model)
        assert all(text is None or isinstance(text, str) for text in texts)
        numbers = (response.prompt_tokens, response.completion_tokens, response.cached_tokens)
        assert all(number is None or (type(number) is int and number >= 0) for number in numbers)
