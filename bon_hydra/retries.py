"""When a request that failed is sent again: one policy, by kind of failure (see `client.RequestFailed`)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tenacity import AsyncRetrying, RetryCallState, retry_if_exception, stop_after_attempt, wait_random_exponential

from bon_hydra.failures import RequestFailed

T = TypeVar("T")

LONGEST_WAIT_S = 3600.0
"""A server that asks for more patience than this is asked again all the same."""
BACKOFF = wait_random_exponential(multiplier=0.5, max=60)


async def retrying(
    once: Callable[[], Awaitable[T]],
    max_retries: int,
    sleep: Callable[[float], Awaitable[None]],
    tell: Callable[[int, float, BaseException | None], None],
) -> T:
    """`once` until it succeeds, fails for good, or was tried `max_retries` times more; the last failure is raised.

    `tell` hears of each attempt that is to be repeated: its number, seconds until the next, and what it failed of.
    """
    first: RequestFailed | None = None
    try:
        return await once()
    except RequestFailed as error:  # most requests never come here
        first = error
    async for attempt in AsyncRetrying(
        retry=retry_if_exception(lambda e: isinstance(e, RequestFailed) and e.kind == "retry"),
        stop=stop_after_attempt(max_retries + 1),
        wait=pause,
        sleep=sleep,
        before_sleep=lambda state: tell(
            state.attempt_number, state.upcoming_sleep, state.outcome.exception() if state.outcome else None
        ),
        reraise=True,
    ):
        with attempt:
            if first is not None:
                failed, first = first, None
                raise failed
            return await once()
    raise AssertionError("tenacity returns or raises")


def pause(state: RetryCallState) -> float:
    """Seconds until the next attempt: jittered exponential backoff, and never before the server's Retry-After."""
    error = state.outcome.exception() if state.outcome else None
    asked = error.retry_after_s if isinstance(error, RequestFailed) else None
    if asked == 0:
        return 0.0
    return min(LONGEST_WAIT_S, asked or 0.0) + min(60.0, BACKOFF(state))
