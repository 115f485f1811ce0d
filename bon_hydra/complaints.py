"""What an API's error says, in whichever of their forms: its message, its codes, and the parameter it is about.

The forms and words are those of OpenAI, Azure, Anthropic, Gemini, Groq, xAI, Mistral, DeepSeek, DashScope, OpenRouter,
LiteLLM, vLLM, SGLang, TGI, llama.cpp and Ollama; `tests/test_failures.py` holds a real example of each.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from bon_hydra.bodies import parsed

MEANING_CHARS = 4000
"""So much of a message is looked at; what follows may be the request, echoed."""


@dataclass(frozen=True, slots=True)
class Complaint:
    """An error's body, read."""

    message: str
    """For a reader, on one line."""
    text: str
    """Everything in words: the message and what a provider behind the API said."""
    codes: frozenset[str] = frozenset()
    """Its codes, types and states, in lower case."""
    param: str | None = None
    places: tuple[tuple[str, ...], ...] = ()
    """Where in the request the faults are, as validators say it: ("seed",), ("messages", "0", "content")."""
    flagged: bool = False
    """Moderation found fault with this prompt."""
    is_error: bool = False
    """It has the form of an API's error."""
    retry_after_s: float | None = None


def complaint_of(body: bytes) -> Complaint:
    """Reads an error's body, which may be anything."""
    try:
        value = parsed(body)
    except (ValueError, RecursionError):
        value = None
    error = _error_object(value)
    if error is None:
        text = _one_line(body[:20_000].decode(errors="replace"))
        return Complaint(message=text, text=text[:MEANING_CHARS])
    places = tuple(_places(error))
    message = _words(error.get("message") or error.get("detail") or error.get("msg")) or _compact(error)
    raw = _nested(error, "metadata", "raw")
    details = " ".join(_descriptions(error.get("details")))
    codes = [*(error.get(name) for name in ("code", "type", "status")), _nested(error, "innererror", "code")]
    shown = error.get("code")
    said = _one_line(f"{message} {_words(raw)}")
    param = error.get("param")
    return Complaint(
        message=said + (f" [{shown}]" if isinstance(shown, str | int) and shown else ""),
        text=f"{message[:MEANING_CHARS]} {_words(raw)[:MEANING_CHARS]} {details} {param or ''}",
        codes=frozenset(str(code).lower() for code in codes if isinstance(code, str | int)),
        param=param if isinstance(param, str) and param else None,
        places=places,
        flagged=bool(_nested(error, "metadata", "reasons") or _nested(error, "metadata", "flagged_input")),
        is_error=True,
        retry_after_s=_retry_delay(error.get("details")),
    )


def _error_object(value: Any) -> dict[str, Any] | None:
    if isinstance(value, list) and value:  # Gemini's
        value = value[0]
    if not isinstance(value, dict):
        return None
    inner = value.get("error")
    if isinstance(inner, dict):
        return inner
    if isinstance(inner, str):  # Ollama's and xAI's
        return {**value, "message": inner}
    errors = value.get("errors")
    if isinstance(errors, list) and errors and isinstance(errors[0], dict):
        return errors[0]
    return value if any(name in value for name in ("message", "detail", "msg")) else None


def _words(value: Any) -> str:
    """A message as text; of a validator's list of faults each with its place."""
    if isinstance(value, str):
        return value
    if value is None:
        return ""
    faults = [f"{'.'.join(place)}: {message}" for place, message in _faults(value)]
    return "; ".join(faults) or _compact(value)


def _one_line(text: str) -> str:
    """Fit for a log and a terminal: no line ends, no control characters, nothing that UTF-8 cannot hold."""
    return " ".join(re.sub(r"[\x00-\x1f\x7f-\x9f\ud800-\udfff]", " ", text).split())


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _faults(value: Any) -> Iterator[tuple[tuple[str, ...], str]]:
    """The faults that a validator lists (pydantic's form), wherever they are nested."""
    if isinstance(value, dict) and isinstance(value.get("loc"), list):
        place = [str(part) for part in value["loc"]]
        yield tuple(place[1:] if place[:1] == ["body"] else place), str(value.get("msg", ""))
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _faults(item)


def _places(error: dict[str, Any]) -> Iterator[tuple[str, ...]]:
    for name in ("message", "detail"):
        for place, _ in _faults(error.get(name)):
            yield place


def _nested(error: dict[str, Any], outer: str, name: str) -> Any:
    inner = error.get(outer)
    return inner.get(name) if isinstance(inner, dict) else None


def _descriptions(details: Any) -> Iterator[str]:
    for detail in _dicts(details):
        for violation in _dicts(detail.get("fieldViolations")) + _dicts(detail.get("violations")):
            yield from (str(violation[name]) for name in ("description", "quotaId") if name in violation)


def _retry_delay(details: Any) -> float | None:
    delays = [str(detail.get("retryDelay", "")) for detail in _dicts(details)]
    seconds = [float(delay[:-1]) for delay in delays if re.fullmatch(r"\d+(\.\d+)?s", delay)]
    return max(seconds, default=None) or None


def _dicts(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


# ---- what it is about

_CONTEXT = re.compile(
    r"maximum context length|context (length|size|limit)|prompt tokens limit"
    r"|(exceed\w*|overflow\w*) (the |its |available |model's )*context"
    r"|context the overflows|prompt is too long|input is too long|maximum prompt length|too many (input )?tokens"
    r"|input token count|reduce the length of|range of input length"
    r"|`?inputs`? tokens \+ `?max_new_tokens`?|max_tokens must be at least 1, got -",
    re.IGNORECASE,
)
_FILTER = re.compile(
    r"content[ _-]?(filter|management policy|policy|moderation)|usage polic|flagged (as|by|for)|(was|were|been) flagged"
    r"|content exists risk|inappropriate content|prohibited_content|prompt was blocked|blocked by .{0,40}safety"
    r"|rejected .{0,60}safety system|responsibleaipolicy",
    re.IGNORECASE,
)
_THIS_PROMPT = re.compile(
    r"\b(input|prompt|content|message)s?\b.{0,40}(flagged|moderat|blocked|filtered)", re.IGNORECASE
)
_CONTEXT_CODES = frozenset({"context_length_exceeded", "exceed_context_size_error", "context_exceeded"})
_FILTER_CODES = frozenset(
    "content_filter content_policy_violation responsibleaipolicyviolation invalid_prompt data_inspection_failed "
    "datainspectionfailed moderation_blocked cyber_policy prohibited_content 1301".split()
)


def named_refusal(message: str, codes: Collection[str] = (), status: int | None = None) -> str:
    """Why a request is refused for itself: `context_length`, `content_filter`, `too_large`, or `other`.

    `codes` are the error's codes and types in lower case. Where the status says that it is about the account or the
    pace, only what clearly speaks of this prompt counts.
    """
    if status == 413 or re.search(r"request (entity )?too large|payload too large", message, re.IGNORECASE):
        return "too_large"
    if status in (401, 402, 404, 429):
        return "other"
    if status == 403:
        moderated = _FILTER_CODES & set(codes) or _THIS_PROMPT.search(message)
        return "content_filter" if moderated else "other"
    if _CONTEXT_CODES & set(codes) or _CONTEXT.search(message):
        return "context_length"
    if _FILTER_CODES & set(codes) or _FILTER.search(message):
        return "content_filter"
    return "other"


_QUOTA_CODES = frozenset(
    "insufficient_quota billing_not_active billing_hard_limit_reached exceeded_current_quota_error arrearage "
    "insufficient_balance insufficient_credits credit_balance_too_low 1113".split()
)
_QUOTA = re.compile(
    r"insufficient.{0,3}(quota|balance|credit|fund)|balance is insufficient|account is not active"
    r"|exceeded your (current|monthly) (quota|included|usage)|(out of|any) credits|requires more credits"
    r"|your account .{0,20}(suspended|arrears)",
    re.IGNORECASE,
)
_QUOTA_400 = re.compile(
    r"credit balance is too low|reached your specified API usage limits|good standing", re.IGNORECASE
)


def quota_exhausted(said: Complaint, status: int | None) -> bool:
    """Whether it is the account that has nothing left, as opposed to a pace that is too high."""
    if _QUOTA_CODES & said.codes:
        return True
    if status == 400:
        return bool(_QUOTA_400.search(said.text))
    if status not in (402, 403, 429):
        return False
    if "resource_exhausted" in said.codes:  # Gemini calls a minute's limit a quota too
        return bool(re.search(r"perday|limit: 0\b", said.text, re.IGNORECASE))
    return bool(_QUOTA.search(said.text))


_KEY = re.compile(r"api[ _]key (is )?(not valid|invalid|expired)|invalid api[ _]key", re.IGNORECASE)
_PLACE = re.compile(r"location is not supported|country, region, or territory not supported", re.IGNORECASE)
_MODEL = re.compile(
    r"invalid model\b|model not exist|not a valid model|\bmodel\b.{0,100}(does not exist|not found|decommissioned)",
    re.IGNORECASE,
)


def stands_for(said: Complaint) -> int | None:
    """The status that a 400 or 422 about the key (401), the region (403) or the model's name (404) should have had."""
    if _KEY.search(said.text):
        return 401
    if _PLACE.search(said.text):
        return 403
    if {"model_not_found", "model_decommissioned"} & said.codes or said.param == "model" or _MODEL.search(said.text):
        return 404
    return None


_COMPLAINS = re.compile(
    r"support|unrecogni[sz]ed|unknown|unexpected|permitted|allowed|forbidden|invalid|must|cannot|can't"
    r"|should|too (large|small|many|long|high|low)|range|at (most|least)|(less|greater) than|maximum|minimum"
    r"|deprecated|require|only the default|expected|not available|incorrect",
    re.IGNORECASE,
)
_NAME = re.compile(
    r"(not|un)-?supported|not support param|unrecogni[sz]ed|unknown|unexpected|extra (inputs|fields)"
    r"|use ['\"`]?max_",
    re.IGNORECASE,
)
_NO_TOOLS = re.compile(r"support.{0,20}\b(tools|tool use|function calling)|enable-auto-tool-choice", re.IGNORECASE)
_NO_THINKING = re.compile(r"not support (thinking|reasoning)\b", re.IGNORECASE)
_OF_THE_ROW = frozenset({"messages", "prompt", "input", "tools"})


def refuses_name(said: str) -> bool:
    """Whether an error is about a parameter's name, as opposed to its value."""
    return bool(_NAME.search(said))


def refused_parameter(said: Complaint, sent: Collection[str]) -> str | None:
    """The key of the request's body that an error is about; None where it is about this row's messages or tools.

    `sent` are the keys of the request's body: a name that was not sent is never the one.
    """
    names = set(sent) - {"model", "messages", "tools"}
    if "tools" in sent and (_NO_TOOLS.search(said.text) or (("tools",) in said.places and refuses_name(said.text))):
        return "tools"
    if said.places:
        return next((place[0] for place in said.places if place and place[0] in names), None)
    head = re.split(r"[.\[]", said.param)[0] if said.param else ""
    if head in names:
        return head
    if head in _OF_THE_ROW:
        return None
    if "reasoning_effort" in names and _NO_THINKING.search(said.text):
        return "reasoning_effort"
    if not _COMPLAINS.search(said.text):
        return None
    found = [(match.start(), name) for name in names if (match := _mention(name).search(said.text))]
    return min(found)[1] if found else None


def _mention(name: str) -> re.Pattern[str]:
    """Where a text means the parameter: quoted, beside a colon, on a line of its own, or bare where no word is so."""
    camel = re.sub(r"_(\w)", lambda match: match[1].upper(), name)
    word = f"(?:{re.escape(name)}|{re.escape(camel)})"
    mark = r"""\\?['"`]"""
    forms = [
        rf"{mark}{word}(?:[.\[][^'\"`\s]*)?{mark}",
        rf"(?:^|[:\n;(] ?){word}(?= ?[:\n])",
        rf"(?:supplied|model|arguments?|parameters?|fields?): {word}\b",
    ]
    if "_" in name or name == "temperature":
        forms.append(rf"(?<![\w.\[]){word}(?!\w)")
    return re.compile("|".join(forms))
