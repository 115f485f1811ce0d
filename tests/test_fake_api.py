"""The fake API is a chat API to the real openai client, in what it answers and in how it fails."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import urllib.request
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import Any

import fake_api
import openai
import pytest
from fake_api import FakeApi, Faults, Raw, Reply, Request
from openai.types.chat import ChatCompletion
from rate_limit import RateLimit


def ask(api: FakeApi, question: str = "What is 6 times 7?", timeout: float = 10, **parameters: Any) -> ChatCompletion:
    with openai.OpenAI(base_url=api.url, api_key="sk-test", max_retries=0, timeout=timeout) as client:
        parameters = {"model": "fake-model"} | parameters
        answer = client.chat.completions.create(messages=[{"role": "user", "content": question}], **parameters)
    assert isinstance(answer, ChatCompletion)
    return answer


def usage_of(answer: ChatCompletion) -> tuple[int, int, int, int]:
    """Prompt, cached, completion and reasoning tokens."""
    usage = answer.usage
    assert usage
    assert usage.prompt_tokens_details
    assert usage.completion_tokens_details
    cached, reasoning = usage.prompt_tokens_details.cached_tokens, usage.completion_tokens_details.reasoning_tokens
    return usage.prompt_tokens, cached or 0, usage.completion_tokens, reasoning or 0


def test_answers_with_text_usage_and_a_request_id() -> None:
    """A plain question gets the reply; prompt tokens come from bytes, completion tokens from words."""
    with FakeApi("The answer is 42.") as api:
        answer = ask(api)
        assert answer.choices[0].message.content == "The answer is 42."
        assert answer.choices[0].finish_reason == "stop"
        assert answer._request_id
        assert answer._request_id.startswith("req_")
        prompt, cached, completion, reasoning = usage_of(answer)
        assert (prompt, cached, completion, reasoning) == (len(api.requests[0].prompt.encode()) // 4, 0, 4, 0)
        assert usage_of(ask(api)) == (prompt, prompt, 4, 0), "the prompt was answered before, so it counts as cached"


def test_usage_can_be_left_out() -> None:
    """Some servers say nothing of tokens."""
    with FakeApi(usage=False) as api:
        assert ask(api).usage is None


def test_lists_its_models_and_counts_who_asked() -> None:
    """GET /v1/models has the configured models, with whatever they are said to have."""
    with FakeApi(models=["a", {"id": "b", "root": "org/b"}]) as api:
        client = openai.OpenAI(base_url=api.url, api_key="sk-test", max_retries=0)
        roots = {model.id: (model.model_extra or {}).get("root") for model in client.models.list()}
        assert roots == {"a": None, "b": "org/b"}
        assert api.models_requests == 1


def test_n_gives_n_choices_with_seeds_counted_up() -> None:
    """Choice i of an n= request is drawn with seed + i, and usage counts all of them."""
    with FakeApi(lambda request, i: f"drawn with {request.seed(i)}") as api:
        answer = ask(api, n=3, seed=7)
        assert [c.message.content for c in answer.choices] == ["drawn with 7", "drawn with 8", "drawn with 9"]
        assert [c.index for c in answer.choices] == [0, 1, 2]
        assert usage_of(answer)[2] == 9
        assert api.choices == 3


def test_replies_in_a_list_take_turns() -> None:
    """Request k gets reply k, and after the last comes the first again."""
    with FakeApi(["one", Reply("two")]) as api:
        assert [ask(api).choices[0].message.content for _ in range(3)] == ["one", "two", "one"]


def test_tool_calls_come_as_the_reply_says() -> None:
    """A reply with tool calls has no text, finish_reason tool_calls, and arguments as JSON text."""
    with FakeApi(Reply(tool_calls=(("add", '{"a": 1, "b": 2}'),))) as api:
        tool: Any = {"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}
        choice = ask(api, tools=[tool]).choices[0]
        assert choice.finish_reason == "tool_calls"
        assert choice.message.content is None
        call = (choice.message.tool_calls or [])[0]
        assert call.type == "function"
        assert (call.function.name, json.loads(call.function.arguments)) == ("add", {"a": 1, "b": 2})
        assert api.requests[0].body["tools"] == [tool]


@pytest.mark.parametrize("parameter", ["max_tokens", "max_completion_tokens"])
def test_an_answer_longer_than_max_tokens_is_cut_off(parameter: str) -> None:
    """Words are tokens; what is over is missing, and finish_reason says length."""
    with FakeApi("one two\nthree four") as api:
        limit: dict[str, Any] = {parameter: 3}
        answer = ask(api, **limit)
        assert answer.choices[0].message.content == "one two\nthree"
        assert answer.choices[0].finish_reason == "length"
        assert usage_of(answer)[2] == 3
        limit[parameter] = 4
        assert ask(api, **limit).choices[0].finish_reason == "stop"


@pytest.mark.parametrize("name", ["reasoning_content", "reasoning"])
def test_reasoning_text_stands_apart_and_counts(name: str) -> None:
    """Reasoning comes in the field that is asked for, and its words are reasoning tokens, spent first."""
    with FakeApi(Reply("So 42.", reasoning="six times seven"), reasoning_field=name) as api:
        answer = ask(api)
        assert (answer.choices[0].message.model_extra or {})[name] == "six times seven"
        assert usage_of(answer)[2:] == (5, 3)
        short = ask(api, max_tokens=3).choices[0]
        assert (short.message.content, short.finish_reason) == ("", "length")


@pytest.mark.parametrize(("model", "option"), [("o-mini", False), ("any", True)])
def test_reasoning_models_refuse_max_tokens_and_temperature(model: str, option: bool) -> None:
    """The refusals carry the error body that clients look at."""
    with FakeApi(reasoning_model=option) as api:
        with pytest.raises(openai.BadRequestError) as refused:
            ask(api, model=model, max_tokens=10)
        assert (refused.value.code, refused.value.param) == ("unsupported_parameter", "max_tokens")
        assert "Use 'max_completion_tokens' instead." in refused.value.message
        with pytest.raises(openai.BadRequestError) as refused:
            ask(api, model=model, temperature=0.7)
        assert (refused.value.code, refused.value.param) == ("unsupported_value", "temperature")
        assert ask(api, model=model, max_completion_tokens=10, temperature=1).choices[0].message.content


STATUSES = {
    "rate_limited": (openai.RateLimitError, "rate_limit_exceeded"),
    "rate_limited_date": (openai.RateLimitError, "rate_limit_exceeded"),
    "rate_limited_bare": (openai.RateLimitError, "rate_limit_exceeded"),
    "quota_exhausted": (openai.RateLimitError, "insufficient_quota"),
    "server_error": (openai.InternalServerError, None),
    "unauthorized": (openai.AuthenticationError, "invalid_api_key"),
    "not_found": (openai.NotFoundError, "model_not_found"),
    "bad_request": (openai.BadRequestError, "context_length_exceeded"),
}


@pytest.mark.parametrize("fault", STATUSES)
def test_error_statuses_reach_the_client_as_openai_sends_them(fault: str) -> None:
    """Each error has its status, its code and a request id; the next request is answered."""
    error, code = STATUSES[fault]
    with FakeApi(faults=[fault], retry_after=1.5) as api:
        with pytest.raises(error) as raised:
            ask(api)
        assert raised.value.code == code
        assert raised.value.request_id
        retry_after = raised.value.response.headers.get("retry-after")
        if fault == "rate_limited":
            assert retry_after == "1.5"
        elif fault == "rate_limited_date":
            assert parsedate_to_datetime(str(retry_after)) > datetime.now(UTC)
        else:
            assert retry_after is None
        assert ask(api).choices
        assert [(r.fault, r.answered) for r in api.requests] == [(fault, False), (None, True)]


@pytest.mark.parametrize("fault", ["dropped", "dropped_mid_body"])
def test_dropped_connections_are_connection_errors(fault: str) -> None:
    """Before the response and in the middle of its body; nothing counts as answered."""
    with FakeApi(faults=[fault]) as api:
        with pytest.raises(openai.APIConnectionError):
            ask(api)
        assert (api.choices, api.requests[0].answered) == (0, False)


def test_a_hanging_request_ends_with_the_clients_patience() -> None:
    """It never gets a response, and does not keep the server from stopping."""
    with FakeApi(faults=["hanging"]) as api, pytest.raises(openai.APITimeoutError):
        ask(api, timeout=0.3)


@pytest.mark.parametrize("fault", ["malformed_json", "truncated_body"])
def test_broken_bodies_are_whole_responses_that_do_not_parse(fault: str) -> None:
    """Status 200, the length right, and no JSON in it."""
    with FakeApi(faults=[fault]) as api:
        with pytest.raises(json.JSONDecodeError):
            ask(api)
        assert api.choices == 0


def test_choices_can_be_empty() -> None:
    """Status 200 and usage, and nothing to take."""
    with FakeApi(faults=["empty_choices"]) as api:
        assert ask(api).choices == []
        assert api.choices == 0


def test_a_slow_body_arrives_whole() -> None:
    """Chunked, in pieces, and the same in the end."""
    with FakeApi("slow but sure", faults=["slow_body"]) as api:
        assert ask(api).choices[0].message.content == "slow but sure"
        assert api.requests[0].answered


def test_a_function_decides_per_request_and_may_send_anything() -> None:
    """Faults can depend on the request, and a raw response covers what has no name."""

    def no_seeds(request: Request) -> Raw | None:
        return Raw(422, b'{"detail": "extra fields not permitted: seed"}') if "seed" in request.body else None

    with FakeApi(faults=no_seeds) as api:
        with pytest.raises(openai.UnprocessableEntityError):
            ask(api, seed=1)
        assert ask(api).choices
        assert api.requests[0].fault == "status 422"


def test_drawn_faults_repeat_with_their_seed_and_come_as_often_as_said() -> None:
    """Two servers with the same seed fail on the same requests."""

    def faults_of(seed: int) -> list[str | None]:
        with FakeApi(faults=Faults(server_error=0.2, rate_limited=0.2, seed=seed)) as api:
            client = openai.OpenAI(base_url=api.url, api_key="sk-test", max_retries=0)
            for _ in range(60):
                with suppress(openai.APIStatusError):
                    client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hello"}])
            return [r.fault for r in api.requests]

    first = faults_of(1)
    assert first == faults_of(1)
    assert first != faults_of(2)
    assert 10 < sum(fault is not None for fault in first) < 40


def test_records_what_arrives_in_order_and_how_much_at_once() -> None:
    """Bodies and headers as sent, choices by prompt, and the most requests open at a time."""

    async def eight(api: FakeApi) -> None:
        async with openai.AsyncOpenAI(base_url=api.url, api_key="sk-test", max_retries=0) as client:
            await asyncio.gather(*(client.chat.completions.create(
                model="m", messages=[{"role": "user", "content": f"question {i % 4}"}]) for i in range(8)))  # fmt: skip

    with FakeApi(latency=(0.2, 0.3)) as api:
        asyncio.run(eight(api))
        assert [r.order for r in api.requests] == list(range(8))
        assert {r.question for r in api.requests} == {f"question {i}" for i in range(4)}
        assert {r.headers["authorization"] for r in api.requests} == {"Bearer sk-test"}
        assert list(api.prompts.values()) == [2, 2, 2, 2]
        assert api.choices == 8
        assert 1 < api.max_in_flight <= 8


def test_a_server_can_come_back_on_its_old_port() -> None:
    """After the context nothing listens; a new server on the same port takes over."""
    with FakeApi("before") as api:
        port = int(api.url.split(":")[2].split("/")[0])
    with pytest.raises(openai.APIConnectionError):
        ask(api)
    with FakeApi("after", port=port) as again:
        assert again.url == api.url
        assert ask(again).choices[0].message.content == "after"


def test_runs_as_a_process_and_tells_its_counts(tmp_path: Path) -> None:
    """Benchmarks start it by its file; counters and requests come over HTTP; it prints nothing."""
    port_file = tmp_path / "port"
    command = [sys.executable, fake_api.__file__, "--port-file", str(port_file), "--fault", "server_error=1"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as process:
        deadline = time.monotonic() + 30
        while not port_file.exists():
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.02)
        root = f"http://127.0.0.1:{port_file.read_text()}"
        with pytest.raises(openai.InternalServerError):
            openai.OpenAI(base_url=f"{root}/v1", api_key="k", max_retries=0).chat.completions.create(
                model="m", messages=[{"role": "user", "content": "hello"}])  # fmt: skip
        with urllib.request.urlopen(f"{root}/counters") as response:
            assert json.load(response)["faults"] == {"server_error": 1}
        with urllib.request.urlopen(f"{root}/requests") as response:
            assert json.load(response)[0]["body"]["messages"][0]["content"] == "hello"
        process.terminate()
        assert process.communicate(timeout=10)[0] == b""


def test_a_limit_a_minute_refuses_at_once_what_is_beyond_it_and_says_so_in_headers() -> None:
    """Requests or tokens, by the usage of the answer; refused requests count for neither."""
    with FakeApi("one two three", limit=RateLimit((2, 1e6), depth_s=None), latency=0.01) as api:
        client = openai.OpenAI(base_url=api.url, api_key="k", max_retries=0)
        said = []
        for _ in range(2):
            answer = client.chat.completions.with_raw_response.create(
                model="m", messages=[{"role": "user", "content": "hello"}])  # fmt: skip
            said.append(answer.headers["x-ratelimit-remaining-requests"])
        with pytest.raises(openai.RateLimitError) as refused:
            ask(api)
        assert said == ["1", "0"]
        assert 1 <= int(refused.value.response.headers["retry-after"]) <= 60
        assert [request.fault for request in api.requests] == [None, None, "over_limit"]
        assert api.choices == 2
    with FakeApi("one two three", limit=RateLimit((1e6, 5), depth_s=None), usage=False) as api:
        ask(api)
        with pytest.raises(openai.RateLimitError):
            ask(api)
