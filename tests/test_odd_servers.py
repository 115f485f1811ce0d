"""Servers that do not keep to the book, over real HTTP: each oddity has one outcome, as docs/reliability.md has it."""

from __future__ import annotations

import asyncio
import base64
import json
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from app import SECRET, additions, asking, parquets, rows_of, run, start, sum_of
from fake_api import FakeApi, Raw, Request
from raw_server import CERTIFICATE, RawServer, completion, http, zipped

from bon_hydra import client as client_module
from bon_hydra.bodies import read_choice
from bon_hydra.client import ChatClient, Reply, served_models
from bon_hydra.failures import RequestFailed
from bon_hydra.preflight import _identity, is_own_server
from bon_hydra.records import Response
from bon_hydra.schema import ConfigError, ModelConfig
from bon_hydra.store import Stored
from bon_hydra.verifiers.completion import Completion, Task
from bon_hydra.verifiers.tool_calls import judge as judge_calls

BODY = {"model": "gpt-x", "messages": [{"role": "user", "content": "What is 1+2?"}], "temperature": 0.5}
GOOD = http(completion())
PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEST_API_KEY", SECRET)
    for name in PROXIES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


def ask(*urls: str, timeout_s: float = 20.0) -> list[Reply | RequestFailed]:
    """One request after the other by one client; or one to each address, had they the same client."""

    async def main() -> list[Reply | RequestFailed]:
        model = ModelConfig(name="m", base_url=urls[0], api_key_env="TEST_API_KEY", timeout_s=timeout_s)
        client = ChatClient(model, urls[0], concurrency=2)
        outcomes: list[Reply | RequestFailed] = []
        for _ in urls:
            try:
                outcomes.append(await client.complete(BODY))
            except RequestFailed as failed:
                outcomes.append(failed)
        await client.close()
        return outcomes

    return asyncio.run(main())


def reply_of(server: RawServer) -> Response:
    (reply,) = ask(server.url)
    assert isinstance(reply, Reply), reply
    return read(reply)


def read(reply: Reply) -> Response:
    return read_choice(Stored(reply.body, 0, None, "r", reply.created_at, reply.latency_s, 1, reply.request_id))


def failure_of(server: RawServer, timeout_s: float = 20.0) -> RequestFailed:
    (failed,) = ask(server.url, timeout_s=timeout_s)
    assert isinstance(failed, RequestFailed)
    assert SECRET not in str(failed)
    return failed


def after_an_answer(odd: bytes) -> RequestFailed:
    """What the second response means, the first was good."""
    answers = iter([GOOD, odd])
    with RawServer(lambda _: next(answers)) as server:
        first, second = ask(server.url, server.url)
    assert isinstance(first, Reply)
    assert isinstance(second, RequestFailed)
    return second


def pieces(*parts: bytes) -> Callable[[bytes], Iterator[bytes]]:
    return lambda _: iter(parts)


CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Type: application/json\r\n\r\n"
LEAST = json.dumps(completion()).encode()

# ---- answers all the same

ODD_ANSWERS = {
    "HTTP/1.0, its end the connection's": http(completion(), version="1.0", Content_Length=""),
    "HTTP/1.1 without a length": http(completion(), Content_Length=""),
    "gzip": zipped(completion()),
    "another content type": http(completion(), Content_Type="text/html; charset=latin-1"),
    "a byte order mark": http(b"\xef\xbb\xbf" + LEAST),
    "white space around, as proxies keep a line alive": http(b"\n\n   \n" + LEAST + b"\n"),
    "NaN": http(LEAST[:-1] + b', "logprob": NaN, "other": -Infinity}'),
    "extra fields": http(completion(service_tier="x", choices_=[1], usage=None, error=None)),
    "chunks": CHUNKED + b"".join(b"1\r\n" + LEAST[i : i + 1] + b"\r\n" for i in range(len(LEAST))) + b"0\r\n\r\n",
    "a name twice, the last counts": http(b'{"choices": [], ' + LEAST[1:]),
    "HTTP 201": http(completion(), status="201 Created"),
}


@pytest.mark.parametrize("answer", ODD_ANSWERS.values(), ids=ODD_ANSWERS)
def test_what_holds_a_whole_choice_is_an_answer(answer: bytes) -> None:
    """However it is wrapped; what it leaves out is None."""
    with RawServer(answer) as server:
        response = reply_of(server)
    assert response.text == "The answer is 3."
    assert (response.prompt_tokens, response.completion_tokens, response.model) == (None, None, None)


def test_bytes_that_are_no_utf8_and_halves_of_surrogate_pairs_do_not_lose_an_answer() -> None:
    """The first are U+FFFD; the others stay until a file cannot hold them."""
    half = rb'{"choices": [{"message": {"content": "a \ud83d b", "tool_calls": [{"x": "\udc00"}]}}]}'
    with RawServer(
        lambda _: http(completion("a XX b")["choices"] and LEAST.replace(b"answer", b"ans\xffwer"))
    ) as server:
        assert reply_of(server).text == "The ans\ufffdwer is 3."
    with RawServer(http(half)) as server:
        response = reply_of(server)
    assert response.text == "a \ud83d b"
    assert json.loads(response.tool_calls or "") == [{"x": "\udc00"}]


def choice(content: Any, **more: Any) -> dict[str, Any]:
    return {"message": {"content": content}, **more}


USAGE = {"prompt_tokens": 100, "completion_tokens": 60, "prompt_tokens_details": {"cached_tokens": 10}}


def test_of_more_choices_than_asked_for_the_first_is_taken_with_the_whole_bill() -> None:
    """They were paid for."""
    with RawServer(http({"choices": [choice("one"), choice("two" * 99), choice("three")], "usage": USAGE})) as server:
        response = reply_of(server)
    assert (response.text, response.prompt_tokens, response.completion_tokens, response.cached_tokens) == (
        *("one", 100, 60, 10),
    )


def test_choices_stand_in_the_order_of_their_index() -> None:
    """Where each has one of its own; else as they come."""
    for indices, first in [((2, 0, 1), "b"), ((1, 1, 0), "a"), ((0, None, 1), "a"), (("1", "0", "2"), "a")]:
        numbered = [choice(text, index=index) for text, index in zip("abc", indices, strict=True)]
        with RawServer(http({"choices": numbered})) as server:
            assert reply_of(server).text == first


@pytest.mark.parametrize(
    ("said", "tokens"),
    [
        *[(7, 7), (7.0, 7), (0, 0), (7.5, None), (-1, None), ("7", None), (True, None), (None, None)],
        *[(2**64, None), (1e300, None)],
    ],
)
def test_a_usage_that_is_no_count_is_unknown(said: Any, tokens: int | None) -> None:
    """Never 0, and never more than a file can hold."""
    with RawServer(http(completion(usage={"prompt_tokens": said, "completion_tokens": said}))) as server:
        response = reply_of(server)
    assert (response.prompt_tokens, response.completion_tokens) == (tokens, tokens)


def test_nan_as_a_usage_is_unknown() -> None:
    with RawServer(http(LEAST[:-1] + b', "usage": {"prompt_tokens": NaN, "completion_tokens": Infinity}}')) as server:
        response = reply_of(server)
    assert (response.prompt_tokens, response.completion_tokens) == (None, None)


TOOLS = json.dumps([{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}])


@pytest.mark.parametrize(
    ("message", "verdict"),
    [
        ({"tool_calls": [{"function": {"name": "add", "arguments": "{}"}}]}, "pass"),
        ({"tool_calls": [{"function": {"name": "add", "arguments": {}}}]}, "pass"),
        ({"function_call": {"name": "add", "arguments": "{}"}}, "pass"),
        ({"tool_calls": [], "function_call": {"name": "add", "arguments": "{}"}}, "pass"),
        ({"tool_calls": [{"function": {"name": "add", "arguments": '{"a": '}}]}, "fail"),
        ({"tool_calls": [{"function": {"name": "add", "arguments": "[1]"}}]}, "fail"),
        ({"tool_calls": [{"function": {"name": 3}}]}, "fail"),
        ({"tool_calls": {"name": "add"}}, "fail"),
        ({"tool_calls": "add()"}, "fail"),
    ],
)
def test_tool_calls_in_odd_forms_are_judged_and_never_an_error(message: dict[str, Any], verdict: str) -> None:
    """Arguments that are no JSON are the model's doing; `function_call` is what calls once were."""
    with RawServer(http({"choices": [{"message": {"content": None, **message}}]})) as server:
        response = reply_of(server)
    task = Task(reference=json.dumps([{"name": "add", "arguments": {}}]), tools=TOOLS)
    assert judge_calls(Completion.of(response), task).verdict == verdict


def test_another_models_name_is_kept_and_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    """A longer or shorter form of the name is no other model."""
    names = iter(["gpt-x-2024-08-06", "llama", "llama", "gpt"])
    with caplog.at_level(logging.WARNING), RawServer(lambda _: http(completion(model=next(names)))) as server:
        replies = ask(*[server.url] * 4)
    said = [read(reply).model for reply in replies if isinstance(reply, Reply)]
    assert said == ["gpt-x-2024-08-06", "llama", "llama", "gpt"]
    assert [record.message for record in caplog.records if "llama" in record.message] == [
        "the server says that answers to gpt-x are of llama; see the column response_model"
    ]


def test_a_body_that_comes_slowly_is_waited_for_and_one_that_never_ends_is_not() -> None:
    """`model.timeout_s` is for the whole answer, however regularly its pieces come."""

    def drip(_: bytes) -> Iterator[bytes]:
        yield GOOD[:40]
        while True:
            event.wait(0.05)
            yield b" "

    event = threading.Event()
    with RawServer(pieces(GOOD[:50], GOOD[50:60], GOOD[60:])) as server:
        assert reply_of(server).text == "The answer is 3."
    with RawServer(drip) as server:
        failed = failure_of(server, timeout_s=0.5)
    assert (failed.kind, failed.perhaps_billed) == ("retry", True)
    assert "no answer within" in str(failed)


def test_a_server_that_closes_each_connection_answers_all_the_same() -> None:
    """Also where it says that it would keep them."""
    with RawServer(http(completion(), Connection="keep-alive")) as server:
        replies = ask(*[server.url] * 5)
    kinds = [reply.kind if isinstance(reply, RequestFailed) else "answer" for reply in replies]
    assert set(kinds) <= {"answer", "retry"}
    assert kinds[0] == "answer"


# ---- asked again

MALFORMED = {
    "HTML": http(b"<html><body>Welcome to nginx!</body></html>", Content_Type="text/html"),
    "nothing": http(b""),
    "HTTP 204": http(b"", status="204 No Content"),
    "half a body": http(LEAST[: len(LEAST) // 2]),
    "a length that is too long": http(completion(), Content_Length="9999"),
    "no gzip": http(b"\x1f\x8bnothing", Content_Encoding="gzip"),
    "bad chunks": CHUNKED + b"zz\r\nno\r\n",
    "a message that is none": http({"choices": [{"message": "text"}]}),
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "nested without end": http(b"[" * 100_000),
    "an answer broken off": http({"choices": [{"message": {"content": "a"}, "finish_reason": "error"}]}),
}


@pytest.mark.parametrize("answer", MALFORMED.values(), ids=MALFORMED)
def test_what_holds_no_whole_choice_is_asked_again(answer: bytes) -> None:
    """And counts as possibly billed: somebody may have worked for it."""
    with RawServer(answer) as server:
        failed = failure_of(server)
    assert (failed.kind, failed.perhaps_billed) == ("retry", True)


def test_a_body_of_a_hundred_megabytes_is_not_read_to_its_end() -> None:
    """One of ten is."""
    chunk = b" " * 2**20
    sent: list[int] = []

    def endless(_: bytes) -> Iterator[bytes]:
        yield http(b"", Content_Length=str(100 * 2**20))
        for number in range(100):
            sent.append(number)
            yield chunk

    with RawServer(endless) as server:
        failed = failure_of(server)
    assert (failed.kind, failed.perhaps_billed) == ("retry", True)
    assert "more than 64 MB" in str(failed)
    assert len(sent) < 100
    with RawServer(http(LEAST + chunk * 10)) as server:
        assert reply_of(server).text == "The answer is 3."


IN_A_BODY = [
    ({"error": {"code": 429, "message": "slow down"}}, "retry"),
    ({"error": {"code": "502", "message": "provider down"}}, "retry"),
    ({"error": {"message": "no code"}}, "retry"),
    ({"error": "text"}, "retry"),
    ({"error": {"code": 402, "message": "no money"}}, "stop"),
    ({"error": {"code": 401, "message": "who are you"}}, "stop"),
    ({"error": {"code": 400, "message": "the request exceeds the available context size"}}, "refused"),
    ({"error": {"code": 403, "message": "flagged", "metadata": {"reasons": ["violence"]}}}, "refused"),
    ({"error": {"code": 400, "message": "Unsupported parameter: 'temperature'"}}, "stop"),
    ({"choices": [choice("a", finish_reason="error", error={"code": 502, "message": "overloaded"})]}, "retry"),
    ({"choices": [choice("a", error={"code": 403, "message": "flagged", "metadata": {"reasons": ["x"]}})]}, "refused"),
]


@pytest.mark.parametrize(("body", "kind"), IN_A_BODY)
def test_an_error_within_http_200_means_what_its_code_means(body: dict[str, Any], kind: str) -> None:
    """As OpenRouter sends them; it may have been billed all the same."""
    with RawServer(http(body)) as server:
        failed = failure_of(server)
    assert (failed.kind, failed.perhaps_billed) == (kind, True)


# ---- the address

STREAM = http(b'data: {"choices": [{"delta": {"content": "a"}}]}\n\ndata: [DONE]\n\n', Content_Type="text/event-stream")


def test_a_stream_that_nobody_asked_for_stops_a_run_that_had_no_answer_yet() -> None:
    """It would be so for every request; after an answer it is a passing fault."""
    with RawServer(STREAM) as server:
        failed = failure_of(server)
    assert failed.kind == "stop"
    assert "+model.extra_body.stream=false" in str(failed)
    assert after_an_answer(STREAM).kind == "retry"


@pytest.mark.parametrize("status", ["307 Temporary Redirect", "308 Permanent Redirect"])
def test_a_redirect_on_the_same_server_is_followed(status: str) -> None:
    """With the whole request."""

    def answer(request: bytes) -> bytes:
        return GOOD if request.startswith(b"POST /v2/") else http(b"", status, Location="/v2/chat/completions")

    with RawServer(answer) as server:
        assert reply_of(server).text == "The answer is 3."
        assert [f"Bearer {SECRET}".encode() in request for request in server.requests] == [True, True]
        assert json.loads(server.requests[1].partition(b"\r\n\r\n")[2]) == BODY


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirect_to_another_server_is_refused_and_neither_key_nor_prompt_goes_there(status: int) -> None:
    """The message names the address to set; after an answer it is a passing fault."""
    with RawServer(GOOD) as other:
        redirect = http(b"", f"{status} Elsewhere", Location=f"{other.url}/chat/completions")
        with RawServer(redirect) as server:
            failed = failure_of(server)
        assert failed.kind == "stop"
        assert f"model.base_url={other.url}" in str(failed)
        assert after_an_answer(redirect).kind == "retry"
        assert other.requests == []


def test_a_redirect_that_would_turn_the_request_into_another_is_refused() -> None:
    """301 and 302 make a GET of a POST, also on the same server; and a circle is one."""
    with RawServer(http(b"", "301 Moved", Location="/v2/chat/completions")) as server:
        assert re.search(r"model\.base_url=http://127\.0\.0\.1:\d+/v2$", str(failure_of(server)))
    with RawServer(http(b"", "307 Again", Location="/v1/chat/completions")) as server:
        assert (failure_of(server).kind, str(failure_of(server))) == ("stop", "the server redirects in a circle")


def test_the_first_look_at_a_server_follows_no_redirect_elsewhere_either() -> None:
    """Nor does it trust anybody's certificate."""
    with RawServer(http({"data": [{"id": "m"}]})) as other:
        with RawServer(http(b"", "302 Found", Location=f"{other.url}/models")) as server:
            model = ModelConfig(name="m", base_url=server.url, api_key_env="TEST_API_KEY")
            with pytest.raises(ConnectionError, match=re.escape(f"model.base_url={other.url}")):
                served_models(model)
        assert other.requests == []


def test_a_certificate_that_is_not_trusted_stops_the_run_and_ssl_cert_file_mends_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No repetition helps."""
    with RawServer(GOOD, tls=True) as server:
        failed = failure_of(server)
        assert (failed.kind, failed.perhaps_billed) == ("stop", False)
        assert "self-signed certificate" in str(failed)
        assert "SSL_CERT_FILE" in str(failed)
        with pytest.raises(ConnectionError, match=r"self-signed certificate.*SSL_CERT_FILE"):
            served_models(ModelConfig(name="m", base_url=server.url, api_key_env="TEST_API_KEY"))
        assert server.requests == []
        monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
        assert reply_of(server).text == "The answer is 3."


def test_tls_spoken_to_a_server_that_has_none_is_a_failed_connection() -> None:
    """As is a name that nobody has."""
    with RawServer(GOOD) as server:
        (failed,) = ask(server.url.replace("http://", "https://"))
        assert isinstance(failed, RequestFailed)
        assert failed.kind == "retry"
    (failed,) = ask("http://no-such-host.invalid/v1")
    assert isinstance(failed, RequestFailed)
    assert (failed.kind, failed.perhaps_billed) == ("retry", False)
    with pytest.raises(ConnectionError):
        served_models(ModelConfig(name="m", base_url="http://no-such-host.invalid/v1"))


def test_nobody_listening_costs_nothing_and_silence_may() -> None:
    """A request that was never sent is not billed."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        (failed,) = ask(f"http://127.0.0.1:{unused.getsockname()[1]}/v1")
    assert isinstance(failed, RequestFailed)
    assert (failed.kind, failed.perhaps_billed) == ("retry", False)
    with RawServer(lambda _: b"") as server:
        failed = failure_of(server)
    assert (failed.kind, failed.perhaps_billed) == ("retry", True)


def test_an_ipv6_address_is_an_address() -> None:
    """In brackets, as everywhere."""
    with RawServer(GOOD, host="::1") as server:
        assert reply_of(server).text == "The answer is 3."
        assert is_own_server(server.url)
        assert _identity(ModelConfig(base_url=server.url)) == server.url


def test_a_proxy_of_the_environment_is_used_but_never_for_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """No proxy can reach another machine's loopback, so the embedded model works behind one."""
    with RawServer(GOOD) as proxy, RawServer(GOOD) as server:
        monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{proxy.port}")
        (reply,) = ask("http://models.example/v1")
        assert isinstance(reply, Reply)
        assert proxy.requests[0].startswith(b"POST http://models.example/v1/chat/completions ")
        assert reply_of(server).text == "The answer is 3."
        assert reply_of_host(server, "localhost").text == "The answer is 3."
        assert len(proxy.requests) == 1
        monkeypatch.setenv("NO_PROXY", "models.invalid")
        (failed,) = ask("http://models.invalid/v1")
        assert isinstance(failed, RequestFailed)
        assert len(proxy.requests) == 1


def test_a_proxy_is_told_the_name_and_password_that_its_address_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the header for it; the server's own key goes on in the server's."""
    with RawServer(GOOD) as proxy:
        monkeypatch.setenv("HTTP_PROXY", f"http://me:pass%20word@127.0.0.1:{proxy.port}")
        (reply,) = ask("http://models.example/v1")
    assert isinstance(reply, Reply)
    assert b"proxy-authorization: basic " + base64.b64encode(b"me:pass word").lower() in proxy.requests[0].lower()
    assert b"authorization: bearer " + SECRET.encode().lower() in proxy.requests[0].lower()


def test_a_proxy_on_the_way_to_https_does_not_hear_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is asked for a connection and no more."""
    with RawServer(http(b"", "403 Forbidden")) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://me:pw@127.0.0.1:{proxy.port}")
        (failed,) = ask("https://models.example/v1")
    assert isinstance(failed, RequestFailed)
    assert proxy.requests[0].startswith(b"CONNECT models.example:443 ")
    assert b"Proxy-Authorization: Basic " in proxy.requests[0]
    assert SECRET.encode() not in b"".join(proxy.requests)


def test_a_proxy_that_http_does_not_go_through_is_named_before_anything_is_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Without its password."""
    monkeypatch.setenv("ALL_PROXY", "socks5://me:hidden@127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"names socks5://127.0.0.1:9 as the proxy for models.example") as caught:
        served_models(ModelConfig(name="m", base_url="http://models.example/v1"))
    assert "hidden" not in str(caught.value)


def reply_of_host(server: RawServer, host: str) -> Response:
    (reply,) = ask(server.url.replace("127.0.0.1", host))
    assert isinstance(reply, Reply), reply
    return read(reply)


class ClockSetBack(datetime):
    """Each look at the clock is an hour earlier than the last."""

    looks = 0

    @classmethod
    def now(cls, tz: Any = None) -> Any:
        cls.looks += 1
        return datetime.now(tz) - timedelta(hours=cls.looks)


def test_a_clock_that_is_set_back_makes_no_latency_negative(monkeypatch: pytest.MonkeyPatch) -> None:
    """`created_at` is whatever the clock says."""
    monkeypatch.setattr(client_module, "datetime", ClockSetBack)
    with RawServer(GOOD) as server:
        first, second = ask(server.url, server.url)
    assert isinstance(first, Reply)
    assert isinstance(second, Reply)
    assert min(first.latency_s, second.latency_s) > 0
    assert second.created_at < first.created_at < datetime.now(UTC)


# ---- whole runs


def test_a_run_keeps_what_odd_servers_say_as_its_columns_have_it(tmp_path: Path) -> None:
    """One query for each oddity, in one run: judged where there is something to judge, else unknown."""
    right = {"content": "It is \\boxed{2}."}
    odd: list[bytes] = [
        b"\xef\xbb\xbf" + json.dumps({"choices": [{"message": right}]}).encode(),
        json.dumps({"choices": [{"message": {"content": None}}], "model": "other", "usage": USAGE}).encode(),
        json.dumps({"choices": [{"message": {"content": [{"type": "text", "text": "It is \\boxed{4}."}]}}]}).encode(),
        rb'{"choices": [{"message": {"content": "\ud83d It is \\boxed{5}."}, "logprobs": NaN}], "usage": "none"}',
        b'{"choices": [{"message": {"content": "It is \xff \\\\boxed{6}."}}], "usage": {"prompt_tokens": 1e300}}',
        json.dumps({"choices": [choice("It is \\boxed{8}.", index=1), choice("It is \\boxed{7}.", index=0)],
                    "usage": USAGE}).encode(),
    ]  # fmt: skip

    def answer(request: Request) -> Raw:
        return Raw(200, odd[int(request.question.split("What is ")[1].split("+")[0])])

    with FakeApi(faults=answer) as api:
        done = run(tmp_path, *asking(api.url, additions(tmp_path, len(odd)), "num_candidates=1"))
    assert done.returncode == 0, done.stderr
    rows = rows_of(parquets(tmp_path)[0])
    assert [row["verdict"] for row in rows] == ["pass", "no_answer", "pass", "pass", "pass", "pass"]
    assert [row["prompt_tokens"] for row in rows] == [None, 100, None, None, None, 100]
    assert [row["completion_tokens"] for row in rows] == [None, 60, None, None, None, 60]
    assert rows[1]["response_model"] == "other"
    assert (rows[3]["response"], rows[4]["response"][:9]) == ("\ufffd It is \\boxed{5}.", "It is \ufffd \\")


def test_a_run_outlives_a_restart_of_its_server(tmp_path: Path) -> None:
    """Refused connections, then a proxy's 404, then the server again: nothing is missing, nothing double."""
    data = additions(tmp_path, 40)
    with FakeApi(reply=sum_of, latency=0.05) as first:
        port = int(first.url.split(":")[2].split("/")[0])
        process = start(tmp_path, *asking(first.url, data, "concurrency=8", "num_candidates=2"))
        while first.choices < 10:
            assert process.poll() is None, process.communicate()
        bought = dict(first.prompts)

    def starting(request: Request) -> Raw | None:
        return Raw(404, b"<html>404 Not Found</html>") if request.order < 4 else None

    with FakeApi(reply=sum_of, faults=starting, port=port) as second:
        _, told = process.communicate(timeout=120)
        assert process.returncode == 0, told
        total = {prompt: bought.get(prompt, 0) + number for prompt, number in second.prompts.items()}
    assert max(total.values()) <= 2 + 8  # what was in flight when the first one died may have been answered to nobody
    rows = rows_of(parquets(tmp_path)[0])
    assert [row["verdict"] for row in rows] == ["pass"] * 80


def test_a_certificate_that_is_not_trusted_is_told_before_there_is_a_folder(tmp_path: Path) -> None:
    """Exit 2, one line, nothing asked."""
    with RawServer(GOOD, tls=True) as server:
        done = run(tmp_path, *asking(server.url, additions(tmp_path)))
        assert server.requests == []
    assert done.returncode == 2
    assert "self-signed certificate" in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "outputs").exists()
