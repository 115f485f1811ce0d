"""What a server says of its limits in an answer's headers: requests and tokens, each with what is left and until when.

Every vendor spells it differently, so a name is taken apart word by word:

    x-ratelimit-limit-requests: 600            x-ratelimit-reset-tokens: 6m0s      OpenAI, Azure, groq, xAI, Fireworks
    anthropic-ratelimit-requests-limit: 50     …-reset: 2026-11-23T12:00:00Z       Anthropic
    x-ratelimit-limit-tokens-minute: 60000     x-ratelimit-limit-req-minute: 720   Cerebras, Mistral
    x-ratelimit-limit: 20                      x-ratelimit-reset: 1763899200000    OpenRouter, Together, gateways
    ratelimit-policy: "a";q=100;w=60           ratelimit: "a";r=50;t=30            IETF draft 10 (06: ratelimit-limit)

Limits of an hour, a day or a month are passed over: spread evenly they would slow a run down that fits in them.
Knows neither clocks nor what follows of it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

PERIODS = {"second": 1.0, "minute": 60.0, "hour": 3600.0, "day": 86400.0, "month": 2592000.0}
LONGEST_S = 61.0
"""What resets later than this is not a limit a minute (a second more than one: some servers round up)."""
KINDS = {"": "requests", "requests": "requests", "req": "requests", "tokens": "tokens"}
WORDS = frozenset({"limit", "remaining", "reset", "renewalperiod"})
NAME = re.compile(r"(?:x-|anthropic-)?ratelimit-(.+)")
DURATION = re.compile(r"(?:(\d+)d)?(?:(\d+)h)?(?:(\d+)m)?(?:([\d.]+)s)?(?:([\d.]+)ms)?")


@dataclass(frozen=True, slots=True)
class Allowance:
    """A server's limit of one kind: `limit` in each `period_s` seconds, of which `remaining` are left for `reset_s`.

    `reset_s` is when a fixed window ends, or when a bucket will be full again; None where the server does not say.
    """

    limit: float
    period_s: float
    remaining: float | None = None
    reset_s: float | None = None

    @property
    def rate(self) -> float:
        """Units a second when spread evenly."""
        return self.limit / self.period_s

    def pressure(self, own: float) -> float:
        """How fast what was left before this request, of `own` units, may be used until the reset, as part of `rate`.

        Below 1 the server is being used faster than evenly, by us or by others. A window that is used evenly stays
        at 1; a leaky bucket, whose reset is when it will be full, is at 1 when it is half full.
        """
        if self.remaining is None or not self.reset_s:
            return 1.0
        return (self.remaining + own) / self.reset_s / self.rate


def allowances(headers: Mapping[str, str], now: float) -> dict[str, Allowance]:
    """The limits of up to a minute, `requests` and `tokens`; names in lower case, `now` in seconds since 1970.

    Limits on input or output tokens alone are not read, nor what makes no sense (Azure sends -1).
    """
    if not any("ratelimit" in name for name in headers):
        return {}
    said: dict[tuple[str, str], dict[str, float]] = {}
    for name, value in headers.items():
        if name in ("ratelimit", "ratelimit-policy"):
            continue
        words = match[1].split("-") if (match := NAME.fullmatch(name)) else []
        what = next((word for word in words if word in WORDS), "")
        period = next((word for word in words if word in PERIODS), "")
        kind = KINDS.get("-".join(word for word in words if word not in (what, period)))
        number = _seconds(value, now) if what == "reset" else _number(value)
        if what and kind and number is not None and number >= 0:
            # A name without a kind may be of any period; one with a kind speaks of a minute if of nothing else.
            unit = period or ("minute" if words != [what] else "")
            said.setdefault((kind, unit), {})[what] = number
    found = [(kind, _allowance(unit, values)) for (kind, unit), values in said.items()]
    found.append(("requests", _of_draft(headers)))
    read: dict[str, Allowance] = {}
    for kind, allowance in found:
        if allowance and (kind not in read or allowance.rate < read[kind].rate):
            read[kind] = allowance
    return read


def _allowance(unit: str, said: Mapping[str, float]) -> Allowance | None:
    limit, reset = said.get("limit"), said.get("reset")
    if not limit or (reset or 0) > LONGEST_S:
        return None
    period = said.get("renewalperiod") or PERIODS.get(unit)
    if period is None:  # the shortest usual one that the reset fits in
        period = next((short for short in (1.0, 10.0, 60.0) if reset is not None and reset <= short + 1), 0.0)
    return Allowance(limit, period, said.get("remaining"), reset) if 0 < period <= LONGEST_S else None


def _of_draft(headers: Mapping[str, str]) -> Allowance | None:
    """`RateLimit-Policy` and `RateLimit`; of several policies, the one with the shortest window."""
    policies: list[tuple[float, float, str]] = []
    for item in headers.get("ratelimit-policy", "").split(","):
        quota, window = re.search(r"(?:^|;\s*q=)\s*(\d+)", item.strip()), re.search(r";\s*w=(\d+)", item)
        if quota and window:
            policies.append((float(window[1]), float(quota[1]), item.split(";")[0].strip()))
    if not policies:
        return None
    window_s, limit, name = min(policies)
    if not (limit and 0 < window_s <= LONGEST_S):
        return None
    remaining, reset = headers.get("ratelimit-remaining"), headers.get("ratelimit-reset")
    for item in headers.get("ratelimit", "").split(","):
        if item.strip().startswith(name + ";"):
            left, until = re.search(r";\s*r=(\d+)", item), re.search(r";\s*t=(\d+)", item)
            remaining, reset = left and left[1], until and until[1]
    return Allowance(limit, window_s, _number(remaining or ""), _number(reset or ""))


def _number(text: str) -> float | None:
    match = re.match(r"\s*(\d+(?:\.\d+)?)", text)
    return float(match[1]) if match else None


def _seconds(text: str, now: float) -> float | None:
    """Seconds from now: of `6m0s`, `12ms`, `1.5`, a moment in (milli)seconds since 1970, or an RFC 3339 date."""
    text = text.strip()
    if (match := DURATION.fullmatch(text)) and text:
        days, hours, minutes, seconds, millis = (float(part or 0) for part in match.groups())
        return days * 86400 + hours * 3600 + minutes * 60 + seconds + millis / 1000
    try:
        number = float(text)
    except ValueError:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            return None
        return max(0.0, moment.timestamp() - now) if moment.tzinfo else None
    for unit in (1e-3, 1.0):
        if number * unit > 1e9:
            return max(0.0, number * unit - now)
    return number
