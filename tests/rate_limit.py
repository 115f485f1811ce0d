"""What a server allows a minute, as OpenAI does: buckets or windows of requests and tokens, and headers that say so."""

from __future__ import annotations

import math
import time
from collections.abc import Callable


class RateLimit:
    """Requests and tokens a minute: buckets that leak evenly, `depth_s` seconds' worth deep; None: windows of a minute.

    `allowed`: (requests, tokens) a minute, or a function of the seconds since the first request; it may be replaced in
    mid-run. `headers`: whether answers and refusals say limit, remaining and reset, as OpenAI's do. Afterwards
    `by_second`: what each second saw: requests and tokens let through, requests refused.
    """

    def __init__(
        self,
        allowed: tuple[float, float] | Callable[[float], tuple[float, float]],
        *,
        depth_s: float | None = 60.0,
        headers: bool = True,
        retry_after: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.allowed = allowed
        self.by_second: dict[int, list[float]] = {}
        self._depth_s, self._headers, self._retry_after, self._clock = depth_s, headers, retry_after, clock
        self._start: float | None = None
        self._sizes: list[float] = []
        self._seen, self._used = 0.0, [0.0, 0.0]  # when last looked; requests and tokens in the buckets then

    def admit(self, tokens: float) -> tuple[bool, dict[str, str]]:
        """Whether a request of that many tokens is let through now, and the headers of its answer."""
        now = self._clock()
        self._start = now if self._start is None else self._start
        now -= self._start
        per_minute = self._allowed(now)
        rates = [limit / 60 for limit in per_minute]
        left_s = 60 - now % 60
        if self._depth_s is None:
            sizes = list(per_minute)
            self._used = self._used if now // 60 == self._seen // 60 else [0.0, 0.0]
        else:
            sizes = [max(1.0, rate * self._depth_s) for rate in rates]
            self._used = [max(0.0, u - r * (now - self._seen)) for u, r in zip(self._used, rates, strict=True)]
            # A bucket that shrinks or grows stays as full as it was.
            self._used = [u * s / b for u, s, b in zip(self._used, sizes, self._sizes or sizes, strict=True)]
            self._sizes = sizes
        self._seen = now
        # A request larger than a whole bucket goes where the bucket is empty.
        over = [min(u + c - s, u) for u, c, s in zip(self._used, (1, tokens), sizes, strict=True)]
        admitted = all(amount <= 1e-9 for amount in over)
        if admitted:
            self._used = [self._used[0] + 1, self._used[1] + tokens]
        second = self.by_second.setdefault(int(now), [0, 0, 0])
        for index, amount in enumerate((1, tokens, 0) if admitted else (0, 0, 1)):
            second[index] += amount
        said: dict[str, str] = {}
        for kind, limit, used, rate, size in zip(
            ("requests", "tokens"), per_minute, self._used, rates, sizes, strict=True
        ):
            if self._headers:
                reset = left_s if self._depth_s is None else used / rate
                said[f"x-ratelimit-limit-{kind}"] = f"{limit:.0f}"
                said[f"x-ratelimit-remaining-{kind}"] = f"{max(0.0, size - used):.0f}"
                said[f"x-ratelimit-reset-{kind}"] = (
                    f"{reset // 60:.0f}m{reset % 60:.3f}s" if reset >= 60 else f"{reset * 1000:.0f}ms"
                )
        if not admitted and self._retry_after:
            wait = left_s if self._depth_s is None else max(o / r for o, r in zip(over, rates, strict=True))
            said["Retry-After"] = str(max(1, math.ceil(wait)))
        return admitted, said

    def used(self, start: float, end: float) -> float:
        """The share used of what was allowed from `start` to `end`, of requests or of tokens, whichever is more."""
        seen = [self.by_second.get(second, [0, 0, 0]) for second in range(int(start), int(end))]
        limits = [self._allowed(second + 0.5) for second in range(int(start), int(end))]
        return max(60 * sum(s[kind] for s in seen) / sum(limit[kind] for limit in limits) for kind in (0, 1))

    def refused(self, start: float, end: float) -> float:
        """The share of requests that were refused."""
        seen = [self.by_second.get(second, [0, 0, 0]) for second in range(int(start), int(end))]
        return sum(s[2] for s in seen) / max(1, sum(s[0] + s[2] for s in seen))

    def _allowed(self, second: float) -> tuple[float, float]:
        return self.allowed(second) if callable(self.allowed) else self.allowed
