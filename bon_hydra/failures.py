"""A request that brought no answer: what kind of failure it is, and what follows from it.

Knows how APIs spell their errors (`complaints` reads them); knows nothing of sending, queries or retries.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from bon_hydra.complaints import (
    Complaint,
    complaint_of,
    named_refusal,
    quota_exhausted,
    refused_parameter,
    stands_for,
)

RETRYABLE = frozenset({408, 409, 424, 425, 429, 499})
GATEWAY = frozenset({408, 502, 504, 520, 524})
"""Somebody in between has given up waiting, or lost the connection; who was asked may go on, and bill."""
EARLY = 5
LONGEST = 2000


class RequestFailed(Exception):
    """A request brought no candidate.

    `kind` says what follows: `retry` (another attempt may succeed), `refused` (this request never will), or
    `stop` (no request will: the key, the model, the quota or a parameter is refused; the message says what to do).
    """

    def __init__(
        self,
        kind: str,
        message: str,
        status: int | None = None,
        retry_after_s: float | None = None,
        *,
        refusal: str = "other",
        parameter: str | None = None,
        perhaps_billed: bool = False,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(message)
        self.kind, self.status, self.retry_after_s = kind, status, retry_after_s
        self.refusal = refusal
        """Why, where it is `refused`: `context_length`, `content_filter`, `too_large` or `other`."""
        self.parameter = parameter
        """The key of the request's body that the server refuses, where it names one."""
        self.perhaps_billed = perhaps_billed
        """Whether the server may have worked, and charge for it, though no answer came."""
        self.headers: Mapping[str, str] = headers or {}
        """Of the response, names in lower case; empty where none came."""


def failure_of(
    status: int | None,
    body: bytes,
    headers: Mapping[str, str],
    *,
    sent: Collection[str] = (),
    answered: bool = False,
    key_name: str | None = None,
) -> RequestFailed:
    """What an error response means.

    Args:
        status: HTTP's, or the code that a body with HTTP 200 says; None where it says none.
        headers: names in lower case.
        sent: the keys of the request's body.
        answered: whether this server has answered a request of this sitting.
        key_name: the environment variable that holds the key.
    """
    said = complaint_of(body)
    told = f"HTTP {status}: {said.message}" if status else f"an error in place of an answer: {said.message}"
    told = told[:LONGEST] + (f" (request {headers['x-request-id']})" if headers.get("x-request-id") else "")
    refusal = "content_filter" if said.flagged else named_refusal(said.text, said.codes, status)

    def failed(kind: str, todo: str = "", parameter: str | None = None) -> RequestFailed:
        return RequestFailed(
            kind,
            f"{told} {todo}".rstrip(),
            status,
            _retry_after(headers, said) if kind == "retry" else None,
            refusal=refusal,
            parameter=parameter,
            perhaps_billed=status in GATEWAY,
            headers=headers,
        )

    if refusal == "content_filter":  # whatever its message says of credits
        return failed("refused")
    if quota_exhausted(said, status):
        return failed("stop", STOPPING[402])
    if refusal != "other":
        return failed("refused")
    if status in (400, 422):
        if (really := stands_for(said)) is not None:
            return failed("stop", STOPPING[really].format(key=key_name or "model.api_key_env"))
        if name := refused_parameter(said, sent):
            return failed("stop", f"The server refuses {name}: {parameter_hint(name)}.", name)
    if status in STOPPING:
        # An address that has answered is right; what has nothing of an API's error comes from a proxy or a filter.
        if answered and status in (403, 404, 405) and not said.is_error:
            return failed("retry")
        return failed("stop", STOPPING[status].format(key=key_name or "model.api_key_env"))
    if status is None or status in RETRYABLE or status >= 500:
        return failed("retry")
    return failed("refused")


_ADDRESS = "Is model.base_url right (most end in /v1)? Look at model.base_url and model.name."
STOPPING = {
    401: "The server does not accept the key: set the environment variable {key} to a valid one.",
    402: "The account's quota or credit is used up: top it up, or wait until it is renewed.",
    403: "The key in {key} may not do this: look at its rights, at the model's terms and at the region.",
    404: _ADDRESS,
    405: _ADDRESS,
    407: "The proxy wants credentials: put them into HTTPS_PROXY or HTTP_PROXY.",
    410: "The model or the address is gone: choose another model.name or model.base_url.",
}
"""What is so for every request, and what to do."""


def parameter_hint(name: str) -> str:
    """What to change so that the key `name` of the request's body is not sent, or sent otherwise."""
    match name:
        case "seed":
            return "set model.send_seed=false (the store's key keeps the seed)"
        case "temperature" | "top_p" | "reasoning_effort" | "stop":
            return f"set {name}=null (not sent), or another value"
        case "max_tokens" | "max_completion_tokens":
            return "set max_tokens to another value, or model.max_tokens_field to the name it takes"
        case "n":
            return "set model.choices_per_request=1"
        case "tools":
            return "choose a model that takes tools (vLLM: start it with --enable-auto-tool-choice)"
    return f"leave out model.extra_body.{name}, or give it another value"


class EarlyRefusals:
    """Whether a run's first queries are refused one and all, so that going on would collect nothing but errors.

    `answered` is for every answer to this run's requests, also one that the store had: its like was taken once.
    """

    def __init__(self, most: int = EARLY) -> None:
        self._most = most
        self._queries: set[str] | None = set()

    def answered(self) -> None:
        """An answer: from here on a refusal concerns its own query alone."""
        self._queries = None

    def refused(self, query_id: str, status: int | None) -> bool:
        """A refused request; True where the run is to stop, as its first `most` different queries got 400 or 422."""
        if self._queries is None or status not in (400, 422):
            return False
        self._queries.add(query_id)
        return len(self._queries) >= self._most


def _retry_after(headers: Mapping[str, str], said: Complaint) -> float | None:
    """Seconds that the server asks to wait: `retry-after-ms`, `Retry-After`, or Gemini's `retryDelay`."""
    for header, unit in (("retry-after-ms", 1000.0), ("retry-after", 1.0)):
        seconds = seconds_of(headers.get(header), headers.get("date"), unit)
        if seconds is not None:
            return seconds
    return said.retry_after_s


def seconds_of(header: str | None, date: str | None = None, unit: float = 1.0) -> float | None:
    """Seconds to wait, from a number or an HTTP date; None where it is neither or the moment has passed.

    `date` is the response's own `Date`: by the server's clock a wait is right, whatever this machine's clock says.
    """
    if not header:
        return None
    try:
        seconds = float(header) / unit
    except ValueError:
        moment = _moment(header)
        if moment is None:
            return None
        seconds = (moment - (_moment(date) or datetime.now(UTC))).total_seconds()
    return seconds if 0 < seconds < float("inf") else None


def _moment(date: str | None) -> datetime | None:
    try:
        moment = parsedate_to_datetime(date or "")
        return moment if moment.tzinfo else None
    except (ValueError, TypeError, OverflowError):
        return None
