"""What APIs say when they give no answer, word for word, and what follows from it."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bon_hydra.complaints import complaint_of, named_refusal, refused_parameter
from bon_hydra.failures import EarlyRefusals, RequestFailed, failure_of, seconds_of

SENT = ("model", "messages", "temperature", "top_p", "max_tokens", "seed", "stop", "reasoning_effort", "tools", "n")


def failed(status: int | None, body: Any, sent: tuple[str, ...] = SENT, **more: Any) -> RequestFailed:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return failure_of(status, data, more.pop("headers", {}), sent=sent, **more)


def openai(message: str, code: str | None = None, param: str | None = None, kind: str = "invalid_request_error") -> Any:
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def gemini(message: str, status: str = "INVALID_ARGUMENT", code: int = 400, details: Any = ()) -> Any:
    return [{"error": {"code": code, "message": message, "status": status, "details": list(details)}}]


def anthropic(message: str) -> Any:
    return {"type": "error", "error": {"type": "invalid_request_error", "message": message}, "request_id": "req_01"}


def unknown(*names: str) -> str:
    return "\n".join(f'Invalid JSON payload received. Unknown name "{name}": Cannot find field.' for name in names)


PARAMETERS = {
    "OpenAI, a value": (
        400,
        openai(
            "Unsupported value: 'temperature' does not support 0.7 with this model. Only the default (1) is supported.",
            "unsupported_value",
            "temperature",
        ),
        "temperature",
    ),
    "OpenAI, a name": (
        400,
        openai("Unsupported parameter: 'top_p' is not supported with this model.", "unsupported_parameter", "top_p"),
        "top_p",
    ),
    "OpenAI, a limit": (
        400,
        openai("max_tokens is too large: 9000. This model supports at most 4096 tokens.", None, "max_tokens"),
        "max_tokens",
    ),
    "OpenAI, a list": (400, openai("Invalid 'stop': array too long.", "array_above_max_length", "stop"), "stop"),
    "Azure": (400, openai("Unrecognized request argument supplied: seed"), "seed"),
    "Azure, several": (400, openai("Unrecognized request arguments supplied: top_p, seed"), "top_p"),
    "Anthropic, a range": (400, anthropic("temperature: range: 0..1"), "temperature"),
    "Anthropic, two": (
        400,
        anthropic("`temperature` and `top_p` cannot both be specified for this model. Please use only one."),
        "temperature",
    ),
    "Anthropic, a limit": (
        400,
        anthropic("max_tokens: 99999 > 8192, which is the maximum allowed number of output tokens for claude"),
        "max_tokens",
    ),
    "Anthropic, unknown": (400, anthropic("seed: Extra inputs are not permitted"), "seed"),
    "Gemini": (400, gemini(unknown("frequency_penalty", "seed")), "seed"),
    "Groq, a name": (400, openai("property 'reasoning_effort' is unsupported, did you mean 'x'?"), "reasoning_effort"),
    "Groq, a value": (400, openai("`reasoning_effort` must be one of `none` or `default`"), "reasoning_effort"),
    "Groq, n": (400, openai("'n' : number must be at most 1"), "n"),
    "Groq, a limit": (
        400,
        openai(
            "max_tokens must be less than or equal to 40960, the maximum value for max_tokens is less than the "
            "context_window for this model",
            None,
            "max_tokens",
        ),
        "max_tokens",
    ),
    "xAI": (400, {"code": "invalid argument", "error": "Argument not supported on this model: stop"}, "stop"),
    "xAI, in camels": (
        400,
        {"code": "invalid-argument", "error": "Model grok-4 does not support parameter reasoningEffort."},
        "reasoning_effort",
    ),
    "Mistral": (
        422,
        {
            "object": "error",
            "message": {"detail": [{"type": "extra_forbidden", "loc": ["body", "seed"], "msg": "Extra inputs are"}]},
            "type": "invalid_request_error",
            "param": None,
        },
        "seed",
    ),
    "FastAPI": (422, {"detail": [{"loc": ["body", "top_p"], "msg": "Input should be less than 1"}]}, "top_p"),
    "vLLM, a validator": (
        400,
        openai("1 validation error for ChatCompletionRequest\nseed\n  Input should be less than 9223372036854775807"),
        "seed",
    ),
    "vLLM, tools": (
        400,
        {"object": "error", "message": '"auto" tool choice requires --enable-auto-tool-choice to be set', "code": 400},
        "tools",
    ),
    "Ollama, tools": (400, openai("registry.ollama.ai/library/gemma3:4b does not support tools", kind="api_error"),
                      "tools"),
    "Ollama, thinking": (400, openai('"llama3.1:8b" does not support thinking'), "reasoning_effort"),
    "DeepSeek": (400, openai("Invalid max_tokens value, the valid range of max_tokens is [1, 8192]"), "max_tokens"),
    "DashScope": (400, openai("<400> InternalError.Algo.InvalidParameter: Range of max_tokens should be [1, 8192]"),
                  "max_tokens"),
    "LiteLLM around another": (
        400,
        openai(
            'litellm.BadRequestError: AnthropicException - {"type":"error","error":{"message":"`temperature` and '
            '`top_p` cannot both be specified for this model."}}'
        ),
        "temperature",
    ),
    "OpenRouter around another": (
        400,
        {
            "error": {
                "message": "Provider returned error",
                "code": 400,
                "metadata": {"raw": json.dumps(openai("Unsupported parameter: 'top_p'")), "provider_name": "X"},
            }
        },
        "top_p",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("status", "body", "name"), PARAMETERS.values(), ids=PARAMETERS)
def test_a_refusal_that_names_a_parameter_of_ours_stops_the_run(status: int, body: Any, name: str) -> None:
    """And the message names the key to change."""
    failure = failed(status, body)
    assert (failure.kind, failure.parameter, failure.status) == ("stop", name, status)
    key = {"seed": "model.send_seed=false", "n": "choices_per_request", "tools": "takes tools"}.get(name, name)
    assert key in str(failure).split("The server refuses ")[1]


@pytest.mark.parametrize(("status", "body", "name"), PARAMETERS.values(), ids=PARAMETERS)
def test_a_parameter_that_was_not_sent_is_never_the_one(status: int, body: Any, name: str) -> None:
    """Then the refusal concerns this request alone; five of them still stop the run."""
    rest = tuple(key for key in SENT if key in ("model", "messages"))
    assert name not in rest
    assert (failed(status, body, sent=rest).kind, failed(status, body, sent=rest).parameter) == ("refused", None)


def test_a_key_of_extra_body_is_named_as_one() -> None:
    """Also where its name is a word that sentences hold."""
    failure = failed(400, openai("Unrecognized request argument supplied: top_k"), sent=(*SENT, "top_k"))
    assert "model.extra_body.top_k" in str(failure)
    failure = failed(400, openai("Invalid value for 'store': must be a boolean.", None, "store"), sent=(*SENT, "store"))
    assert failure.parameter == "store"


CONTEXT = {
    "OpenAI": openai(
        "This model's maximum context length is 8192 tokens. However, you requested 8256 tokens (64 in the messages, "
        "8192 in the completion). Please reduce the length of the messages or completion.",
        "context_length_exceeded",
        "messages",
    ),
    "vLLM": {
        "object": "error",
        "message": "'max_tokens' or 'max_completion_tokens' is too large: 64000. This model's maximum context length "
        "is 64001 tokens and your request has 24235 input tokens (64000 > 64001 - 24235).",
        "code": 400,
    },
    "vLLM, older": {
        "object": "error",
        "message": "max_tokens must be at least 1, got -186.",
        "param": None,
        "code": 400,
    },
    "SGLang": {
        "object": "error",
        "message": "The input (9000 tokens) is longer than the model's context length (8192).",
    },
    "llama.cpp": {
        "error": {
            "code": 400,
            "message": "the request exceeds the available context size, try increasing it",
            "type": "exceed_context_size_error",
            "n_prompt_tokens": 14429,
            "n_ctx": 8192,
        }
    },
    "Anthropic": anthropic("prompt is too long: 200251 tokens > 200000 maximum"),
    "Anthropic, both": anthropic("input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000"),
    "Gemini": gemini("The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
    "xAI": {"error": "This model's maximum prompt length is 131072 but the request contains 140000 tokens."},
    "TGI": {"error": "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 4000 and 500"},
    "DashScope": openai("<400> InternalError.Algo.InvalidParameter: Range of input length should be [1, 30720]"),
}


@pytest.mark.parametrize("body", CONTEXT.values(), ids=CONTEXT)
@pytest.mark.parametrize("status", [400, 422, 500])
def test_a_prompt_that_is_too_long_is_refused_for_itself(status: int, body: Any) -> None:
    """Whatever parameter the message names, and though some servers call it a fault of theirs."""
    failure = failed(status, body)
    assert (failure.kind, failure.refusal, failure.parameter) == ("refused", "context_length", None)


FILTERED = {
    "Azure": (400, {
        "error": {
            "message": "The response was filtered due to the prompt triggering Azure's content management policy.",
            "type": None, "param": "prompt", "code": "content_filter", "status": 400,
            "innererror": {"code": "ResponsibleAIPolicyViolation"},
        }
    }),
    "OpenAI": (400, openai("Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
                           "invalid_prompt")),
    "OpenRouter": (403, {
        "error": {
            "message": 'openai/gpt-4o requires moderation on OpenAI. Your input was flagged for "violence". '
            "No credits were charged.",
            "code": 403,
            "metadata": {"reasons": ["violence"], "flagged_input": "…", "provider_name": "OpenAI"},
        }
    }),
    "DeepSeek": (400, openai("Content Exists Risk")),
    "DashScope": (400, openai("<400> InternalError.Algo.DataInspectionFailed: Input text data may contain "
                              "inappropriate content.", "data_inspection_failed")),
}  # fmt: skip


@pytest.mark.parametrize(("status", "body"), FILTERED.values(), ids=FILTERED)
def test_a_prompt_that_a_filter_refuses_is_refused_for_itself(status: int, body: Any) -> None:
    """Also by a 403 that says that the input was flagged."""
    failure = failed(status, body)
    assert (failure.kind, failure.refusal) == ("refused", "content_filter")


ROW = {
    "a name of a tool": openai("Invalid 'tools[0].function.name': string does not match pattern '^[a-z]+$'.",
                               "invalid_value", "tools[0].function.name"),
    "a schema of a tool": openai("Invalid schema for function 'f': 'x' is not of type 'object'.",
                                 "invalid_function_parameters", "tools[0].function.parameters"),
    "Gemini, within a tool": gemini("Invalid JSON payload received. Unknown name \"const\" at "
                                    "'tools[0].function_declarations[5].parameters': Cannot find field."),
    "a message": openai("Invalid value for 'content': expected a string, got null.", None, "messages.[0].content"),
    "vLLM, a message": openai("1 validation error for ChatCompletionRequest\nmessages.0.user.name\n  Extra inputs"),
    "Mistral, a message": {"detail": [{"loc": ["body", "messages", 3, "assistant", "x"], "msg": "Extra inputs"}]},
    "Groq, a failed call": openai("Failed to call a function. Please adjust your prompt.", "tool_use_failed"),
    "nothing at all": {},
}  # fmt: skip


@pytest.mark.parametrize("body", ROW.values(), ids=ROW)
def test_a_complaint_about_this_rows_messages_or_tools_concerns_it_alone(body: Any) -> None:
    """Other rows have others."""
    failure = failed(400, body)
    assert (failure.kind, failure.refusal, failure.parameter) == ("refused", "other", None)


QUOTA = {
    "OpenAI": (429, openai("You exceeded your current quota, please check your plan and billing details.",
                           "insufficient_quota", kind="insufficient_quota")),
    "OpenAI, not active": (429, openai("Your account is not active, please check your billing details on our website.",
                                       "billing_not_active", kind="billing_not_active")),
    "a proxy's copy": (429, b"You exceeded your current quota, please check your plan"),
    "OpenRouter": (402, {"error": {"message": "This request requires more credits, or fewer tokens.", "code": 402}}),
    "DeepSeek": (402, openai("Insufficient Balance")),
    "Anthropic": (400, anthropic("Your credit balance is too low to access the Anthropic API. Please go to Plans")),
    "Moonshot": (429, openai("suspended due to insufficient balance", kind="exceeded_current_quota_error")),
    "SiliconFlow": (403, {"code": 30001, "message": "Sorry, your account balance is insufficient"}),
    "Gemini, a day's": (429, gemini(
        "You exceeded your current quota, please check your plan and billing details.", "RESOURCE_EXHAUSTED", 429,
        [{"@type": "QuotaFailure", "violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]},
         {"@type": "RetryInfo", "retryDelay": "26s"}])),
}  # fmt: skip


@pytest.mark.parametrize(("status", "body"), QUOTA.values(), ids=QUOTA)
def test_an_exhausted_quota_stops_the_run(status: int, body: Any) -> None:
    """Whichever status comes with it."""
    failure = failed(status, body)
    assert failure.kind == "stop"
    assert "quota or credit is used up" in str(failure)


PACE = {
    "OpenAI": openai("Rate limit reached for gpt-4o in organization org-x on tokens per min (TPM): Limit 30000.",
                     "rate_limit_exceeded", kind="tokens"),
    "Groq, a day's tokens": openai("Rate limit reached on tokens per day (TPD): Limit 100000. Try again in 14m24s."),
    "Bedrock": {"message": "Too many tokens, please wait before trying again."},
    "Gemini, a minute's": gemini(
        "You exceeded your current quota, please check your plan and billing details.", "RESOURCE_EXHAUSTED", 429,
        [{"violations": [{"quotaId": "GenerateContentInputTokensPerModelPerMinute-FreeTier"}]},
         {"retryDelay": "26s"}]),
    "nothing": b"",
}  # fmt: skip


@pytest.mark.parametrize("body", PACE.values(), ids=PACE)
def test_a_pace_that_is_too_high_is_asked_again(body: Any) -> None:
    """Gemini calls a minute's limit a quota too; how long to wait is in its body."""
    failure = failed(429, body)
    assert failure.kind == "retry"
    assert failure.retry_after_s == (26.0 if body == PACE["Gemini, a minute's"] else None)


def test_a_request_larger_than_a_minutes_tokens_is_refused_for_itself() -> None:
    """No wait makes it fit."""
    said = openai("Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 32000.", "rate_limit")
    assert (failed(429, said).kind, failed(429, said).refusal) == ("refused", "too_large")
    assert (failed(413, b"").kind, failed(413, b"").refusal) == ("refused", "too_large")


DISGUISED = {
    "Gemini, the key": (gemini("API key not valid. Please pass a valid API key."), "{key} to a valid one"),
    "Gemini, the place": (gemini("User location is not supported for the API use.", "FAILED_PRECONDITION"), "region"),
    "Groq, the model": (openai("The model `llama2` has been decommissioned", "model_decommissioned"), "model.name"),
    "OpenRouter, the model": ({"error": {"message": "foo/bar is not a valid model ID", "code": 400}}, "model.name"),
    "DeepSeek, the model": (openai("Model Not Exist"), "model.name"),
}


@pytest.mark.parametrize(("body", "todo"), DISGUISED.values(), ids=DISGUISED)
def test_a_400_about_the_key_the_place_or_the_model_stops_like_the_status_it_should_have_had(
    body: Any, todo: str
) -> None:
    """It is so for every request."""
    failure = failed(400, body, key_name="MY_KEY")
    assert failure.kind == "stop"
    assert todo.format(key="MY_KEY") in str(failure)


@pytest.mark.parametrize("status", [401, 402, 403, 404, 405, 410])
def test_what_concerns_every_request_stops_the_run_and_says_what_to_do(status: int) -> None:
    """Each with its own advice after the server's own words."""
    failure = failed(status, openai("No."), key_name="MY_KEY", headers={"x-request-id": "req_7"})
    assert failure.kind == "stop"
    assert str(failure).startswith(f"HTTP {status}: No. (request req_7) ")
    assert len(str(failure)) > 60


@pytest.mark.parametrize("status", [403, 404, 405])
def test_a_404_without_an_apis_error_is_passing_once_the_server_has_answered(status: int) -> None:
    """A proxy says it while the server behind it restarts, a filter of one text; an API's own error stays final."""
    for page in (b"404 page not found", b"<html>Not Found</html>", b""):
        assert failed(status, page, answered=True).kind == "retry"
        assert failed(status, page).kind == "stop"
    assert failed(status, openai("The model does not exist"), answered=True).kind == "stop"


@pytest.mark.parametrize("status", [408, 409, 424, 425, 429, 500, 502, 503, 504, 520, 529])
def test_passing_troubles_are_asked_again(status: int) -> None:
    """And where somebody in between gave up waiting, the request may have been billed."""
    failure = failed(status, b"")
    assert (failure.kind, failure.perhaps_billed) == ("retry", status in (408, 502, 504, 520))


def test_the_server_is_waited_for_as_it_asks() -> None:
    """Milliseconds, seconds, or a date by the server's own clock, which may differ from this machine's."""
    assert failed(429, b"", headers={"retry-after-ms": "1500", "retry-after": "2"}).retry_after_s == 1.5
    assert failed(503, b"", headers={"retry-after": "2"}).retry_after_s == 2.0
    theirs = datetime(2031, 5, 1, tzinfo=UTC)
    headers = {
        "date": format_datetime(theirs, True),
        "retry-after": format_datetime(theirs + timedelta(seconds=9), True),
    }
    assert failed(429, b"", headers=headers).retry_after_s == 9.0
    assert failed(429, b"", headers=headers | {"date": "yesterday"}).retry_after_s is not None
    assert failed(400, b"", headers={"retry-after": "2"}).retry_after_s is None


dates = st.datetimes().map(format_datetime) | st.datetimes(timezones=st.just(UTC)).map(format_datetime)


@given(st.text(max_size=40) | st.floats().map(str) | dates, st.none() | st.text(max_size=20) | dates)
def test_no_retry_after_breaks_the_client(header: str, date: str | None) -> None:
    """Whatever a server sends is a positive, finite number of seconds or None."""
    seconds = seconds_of(header, date)
    assert seconds is None or 0 < seconds < float("inf")


bodies = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                "error errors message detail details code type param loc msg metadata raw innererror".split()
            ),
            inner,
        )
    ),
    max_leaves=12,
)


@given(bodies.map(lambda body: json.dumps(body).encode()) | st.binary(max_size=60), st.integers(400, 599) | st.none())
def test_no_error_body_breaks_the_client(body: bytes, status: int | None) -> None:
    """It always comes to one of three ends."""
    assert failed(status, body).kind in ("retry", "refused", "stop")
    assert refused_parameter(complaint_of(body), ()) is None


def test_an_error_is_one_line_without_control_characters() -> None:
    """It goes to a log and a terminal."""
    told = str(failed(500, openai("first\n\x1b[31msecond\u0000 \ud83d third")))
    assert told == "HTTP 500: first [31msecond third"


def test_a_long_error_is_cut_and_its_request_id_kept() -> None:
    """Of two megabytes, two thousand characters."""
    told = str(failed(400, openai("x" * 2**21), headers={"x-request-id": "req_9"}))
    assert len(told) < 2100
    assert told.endswith("(request req_9)")


def test_a_refusal_has_a_name_by_its_message_or_its_code() -> None:
    """For the totals."""
    assert named_refusal("anything", {"context_length_exceeded"}, 400) == "context_length"
    assert named_refusal("Your prompt was flagged", (), 400) == "content_filter"
    assert named_refusal("No.", (), 400) == "other"


# ---- the first queries


def test_five_different_queries_refused_without_an_answer_stop_the_run() -> None:
    """Of one query any number of candidates may be refused."""
    early = EarlyRefusals()
    assert not any(early.refused(query, 400) for query in ["a", "a", "a", "b", "c", "d", "d"])
    assert early.refused("e", 422)


def test_one_answer_is_enough_to_go_on_whatever_comes_after() -> None:
    """Before the fifth; and other failures do not count."""
    early = EarlyRefusals()
    assert not any(early.refused(query, 400) for query in "abcd")
    assert not any(early.refused(query, status) for query, status in [("e", 413), ("f", None), ("g", 500)])
    early.answered()
    assert not any(early.refused(str(query), 400) for query in range(100))
