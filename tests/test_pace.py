"""The pace against a server that limits requests and tokens a minute, minutes long, on a clock that jumps."""

from __future__ import annotations

import pytest
from limited_server import Scenario, simulate


def halving(second: float) -> tuple[float, float]:
    """600 requests and 100,000 tokens a minute; after five minutes half of both."""
    return (600, 100_000) if second < 300 else (300, 50_000)


@pytest.mark.parametrize(("concurrency", "latency_s"), [(10, (0.2, 0.6)), (50, (0.5, 2.0)), (200, (1.0, 3.0))])
@pytest.mark.parametrize("tokens", [100, 300])
def test_what_the_headers_allow_is_used_and_next_to_nothing_refused(
    concurrency: int, latency_s: tuple[float, float], tokens: int
) -> None:
    """Nine tenths at least, at most one in a hundred refused; half a minute after the limits were halved, so again."""
    scenario = Scenario(halving, concurrency=concurrency, latency_s=latency_s, tokens=(tokens, 0.0))
    outcome = simulate(scenario)
    for start, end in [(30, 300), (330, 600), (330, 390)]:
        assert outcome.used(start, end, halving) >= 0.9
    assert outcome.refused(0, 600) <= 0.01


@pytest.mark.parametrize(("concurrency", "latency_s"), [(10, (0.2, 0.6)), (50, (0.5, 2.0)), (200, (1.0, 3.0))])
def test_without_headers_the_pace_is_learned_from_refusals(concurrency: int, latency_s: tuple[float, float]) -> None:
    """Four fifths at least of what is allowed are used, also after the change."""
    scenario = Scenario(halving, concurrency=concurrency, latency_s=latency_s, tokens=(300, 0.0), headers=False)
    outcome = simulate(scenario)
    for start, end in [(30, 300), (330, 600)]:
        assert outcome.used(start, end, halving) >= 0.8
    assert outcome.refused(30, 600) <= 0.1


@pytest.mark.parametrize("share", [0.02, 0.1])
@pytest.mark.parametrize("retry_after", [True, False])
def test_refusals_by_chance_hardly_slow_a_run_down(share: float, retry_after: bool) -> None:
    """A server without a limit that refuses at random is asked nearly as fast as one that never does."""

    def asked(random_429: float) -> float:
        scenario = Scenario(
            (1e9, 1e12), concurrency=50, headers=False, seconds=200, random_429=random_429, retry_after=retry_after
        )
        return sum(second[0] for second in simulate(scenario).server.by_second.values())

    assert asked(share) >= 0.85 * (1 - share) * asked(0.0)
