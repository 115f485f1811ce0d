"""A response's body read as choices. It is kept as it arrived and read again whenever its candidates are needed.

Servers differ in what they leave out, add and spell otherwise; what is not said is None, never 0 or empty.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

import orjson

from bon_hydra.records import Response
from bon_hydra.store import Stored

MOST_TOKENS = 2**53
"""Counts beyond it are no counts; an int64 column holds all others."""


class Malformed(ValueError):
    """A body that holds no whole choice; the message says what it is instead."""


def parsed(body: bytes) -> Any:
    """A body's JSON. Of a name that stands twice the last counts.

    Takes what servers do send beside the standard: a byte order mark, NaN, halves of surrogate pairs, and bytes that
    are no UTF-8 (U+FFFD then).

    Raises:
        ValueError: not JSON.
        RecursionError: nested too deeply.
    """
    try:
        return orjson.loads(body)
    except orjson.JSONDecodeError:
        return json.loads(body.decode(json.detect_encoding(body), "replace"))


def choices_of(body: Any) -> list[dict[str, Any]]:
    """A parsed body's choices in order of their `index`, or as they come where they have none.

    Raises:
        Malformed: there are none, or one is not whole.
    """
    choices = body.get("choices") if isinstance(body, dict) else None
    if choices == []:
        raise Malformed("an answer with no choices")
    if not isinstance(choices, list) or not all(_is_whole(choice) for choice in choices):
        raise Malformed("malformed body")
    indices = [choice.get("index") for choice in choices]
    if all(type(index) is int for index in indices) and len(set(indices)) == len(indices):
        choices = sorted(choices, key=lambda choice: int(choice["index"]))
    return choices


def _is_whole(choice: Any) -> bool:
    return isinstance(choice, dict) and isinstance(choice.get("message"), dict)


def read_choice(stored: Stored) -> Response:
    """A stored choice of a body as a Response.

    The bill is shared among the choices that were asked for, whatever else the server sent: the first carries all
    prompt and cached tokens, the others 0; completion and reasoning tokens are split by text length, so that their
    sums are exact.
    Tokens are None where the server said nothing that is a count.
    """
    (response,) = read_choices([stored])
    return response


def read_choices(several: Iterable[Stored]) -> Iterator[Response]:
    """`read_choice` of each; a body that several in a row are choices of, with one bill, is parsed once."""
    last: bytes | None = None
    shared_by = 0
    for stored in several:
        billed = max(stored.choices, stored.choice + 1)
        if stored.body is not last or billed != shared_by:
            last, shared_by = stored.body, billed
            body = parsed(stored.body)
            choices = choices_of(body)
            weights = _weights(choices[:billed])
        yield _response(body, choices, weights, stored, stored.choice)


def responses_of(body: Any, choices: list[dict[str, Any]], stored: Stored) -> tuple[Response, ...]:
    """`read_choice` of each choice that was asked for, of a body that is parsed already."""
    weights = _weights(choices[: stored.choices])
    return tuple(_response(body, choices, weights, stored, choice) for choice in range(stored.choices))


def _weights(billed: list[dict[str, Any]]) -> list[int]:
    """By which the choices of one bill share it."""
    return [len(_dumped(one["message"])) for one in billed] if len(billed) > 1 else [1]


def _response(
    body: dict[str, Any], choices: list[dict[str, Any]], weights: list[int], stored: Stored, choice: int
) -> Response:
    chosen = choices[choice]
    message = chosen["message"]
    usage = body.get("usage")
    usage = usage if isinstance(usage, dict) else {}
    first = choice == 0
    content, refusal = message.get("content"), _optional_text(message.get("refusal"))
    return Response(
        text=refusal if refusal and not content else None if content is None else _text(content),
        refused=bool(refusal and not content),
        reasoning=_optional_text(message.get("reasoning")) or _optional_text(message.get("reasoning_content")),
        tool_calls=_calls(message),
        finish_reason=_optional_text(chosen.get("finish_reason")),
        prompt_tokens=_first(_count(usage, "prompt_tokens"), first),
        completion_tokens=_share(_count(usage, "completion_tokens"), weights, choice),
        cached_tokens=_first(_count(usage.get("prompt_tokens_details"), "cached_tokens"), first),
        reasoning_tokens=_share(_count(usage.get("completion_tokens_details"), "reasoning_tokens"), weights, choice),
        model=_optional_text(body.get("model")),
        request_id=stored.request_id or _optional_text(body.get("id")),
        latency_s=stored.latency_s,
        created_at=stored.created_at,
        attempts=stored.attempts,
        seed=stored.seed,
        run_id=stored.run_id,
    )


def _calls(message: dict[str, Any]) -> str | None:
    """The calls as a JSON list; a `function_call`, as APIs had it before there were tools, is one of them."""
    calls = message.get("tool_calls")
    if not calls and isinstance(message.get("function_call"), dict):
        calls = [{"type": "function", "function": message["function_call"]}]
    return _dumped(calls) if calls else None


def _dumped(value: Any) -> str:
    try:
        return orjson.dumps(value).decode()
    except TypeError:  # half of a surrogate pair, or nested deeper than orjson goes
        return json.dumps(value, separators=(",", ":"))


def _text(content: Any) -> str:
    """Some servers send a list of parts in place of a text."""
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        texts = (part.get("text") if isinstance(part, dict) else part for part in content)
        return "".join(text for text in texts if isinstance(text, str))
    return str(content)


def _optional_text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _count(usage: Any, name: str) -> int | None:
    value = usage.get(name) if isinstance(usage, dict) else None
    if type(value) is float and value.is_integer():
        value = int(value)
    return value if type(value) is int and 0 <= value <= MOST_TOKENS else None


def _first(total: int | None, first: bool) -> int | None:
    return None if total is None else total if first else 0


def _share(total: int | None, weights: list[int], index: int) -> int | None:
    """This choice's part of `total`; the parts of all choices add up to it."""
    if total is None or len(weights) == 1:
        return total
    whole = sum(weights)
    return total * sum(weights[: index + 1]) // whole - total * sum(weights[:index]) // whole
