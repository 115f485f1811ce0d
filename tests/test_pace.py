"""The pace against a server that limits requests and tokens a minute, minutes long, on a clock that jumps."""

from __future__ import annotations

import pytest
from limited_server import HALVED_AT, Scenario, halving, simulate

from bon_hydra.limits import FIRST_AT_ONCE
from bon_hydra.pace import Pace


@pytest.mark.parametrize(
    ("concurrency", "latency_s", "tokens"), [(10, (0.2, 0.6), 100), (50, (0.5, 2.0), 300), (200, (1.0, 3.0), 100)]
)
def test_what_the_headers_allow_is_used_and_next_to_nothing_refused(
    concurrency: int, latency_s: tuple[float, float], tokens: int
) -> None:
    """Nine tenths at least, at most one in a hundred refused; half a minute after the limits were halved, so again."""
    server = simulate(Scenario(halving, concurrency=concurrency, latency_s=latency_s, tokens=(tokens, 0.0))).server
    for start, end in [(30, 300), (330, 600), (330, 390)]:
        assert server.used(start, end) >= 0.9
    assert server.refused(0, 600) <= 0.01


@pytest.mark.parametrize(
    ("depth_s", "tokens", "concurrency", "latency_s", "retry_after"),
    [
        (60.0, 100, 50, (0.5, 2.0), True),
        (60.0, 300, 10, (0.2, 0.6), False),
        (10.0, 300, 200, (1.0, 3.0), True),
        (1.0, 100, 10, (0.2, 0.6), False),
    ],
)
def test_without_headers_the_pace_is_learned_from_refusals(
    depth_s: float, tokens: int, concurrency: int, latency_s: tuple[float, float], retry_after: bool
) -> None:
    """Four fifths at least of what is allowed are used and one in twenty refused, whatever bursts are let through."""
    scenario = Scenario(
        halving,
        concurrency=concurrency,
        latency_s=latency_s,
        tokens=(tokens, 0.0),
        depth_s=depth_s,
        headers=False,
        retry_after=retry_after,
    )
    server = simulate(scenario).server
    for start, end in [(30, 300), (330, 600), (330, 390)]:
        assert server.used(start, end) >= 0.8
    assert server.refused(0, 600) <= 0.05


@pytest.mark.parametrize("retry_after", [True, False])
def test_a_window_of_a_minute_is_used_without_asking_all_the_while_it_is_shut(retry_after: bool) -> None:
    """It takes a minute's requests at once and then none: few of those are sent."""
    outcome = simulate(Scenario(halving, depth_s=None, headers=False, retry_after=retry_after))
    assert outcome.server.used(0, HALVED_AT) >= 0.8
    assert outcome.server.used(HALVED_AT, 600) >= 0.8
    assert outcome.server.refused(0, 600) <= 0.05
    assert outcome.given_up == 0


@pytest.mark.parametrize(("share", "retry_after"), [(0.05, False), (0.1, True)])
def test_refusals_by_chance_hardly_slow_a_run_down(share: float, retry_after: bool) -> None:
    """A server without a limit that refuses at random is asked nearly as fast as one that never does."""
    scenario = Scenario(
        (1e9, 1e12),
        concurrency=10,
        latency_s=(0.2, 0.6),
        headers=False,
        seconds=200,
        random_429=share,
        retry_after=retry_after,
    )
    assert simulate(scenario).answered >= 0.9 * (1 - share) * (10 / 0.4) * 200


def test_a_limit_is_found_behind_refusals_by_chance() -> None:
    """A server that refuses one in twenty whatever the pace, and has a limit too."""
    server = simulate(Scenario(halving, headers=False, random_429=0.05)).server
    assert server.used(30, 300) >= 0.8
    assert server.used(330, 600) >= 0.8
    assert server.refused(0, 600) <= 0.1


def test_a_server_that_refuses_a_quarter_at_random_is_not_asked_ever_more_slowly() -> None:
    """No pace helps there, however large the share."""
    scenario = Scenario((1e9, 1e12), concurrency=10, latency_s=(0.2, 0.6), headers=False, random_429=0.25)
    assert simulate(scenario).answered >= 0.6 * 0.75 * (10 / 0.4) * scenario.seconds


def test_quiet_sets_the_pace_free_again() -> None:
    """A limit that is lifted does not hold for ever."""

    def lifted(second: float) -> tuple[float, float]:
        return (300, 1e9) if second < 120 else (1e9, 1e9)

    scenario = Scenario(lifted, concurrency=10, latency_s=(0.2, 0.6), depth_s=10.0, headers=False, seconds=360)
    outcome = simulate(scenario)
    assert any("free again" in line for _, line in outcome.said)
    assert sum(outcome.server.by_second[second][0] for second in range(330, 360)) >= 0.9 * (10 / 0.4) * 30


def test_a_run_does_not_begin_with_a_burst() -> None:
    """A few at once; as the first answers come and the seconds go by, more, up to the concurrency."""
    outcome = simulate(Scenario((1e9, 1e12), concurrency=200, latency_s=(1.0, 3.0), headers=False, seconds=10))
    at = [when for when, _ in outcome.sent]
    assert sum(when < 0.01 for when in at) == FIRST_AT_ONCE
    assert sum(when < 1 for when in at) <= 2 * FIRST_AT_ONCE
    assert sum(when < 2 for when in at) <= 8 * FIRST_AT_ONCE
    assert sum(when < 6 for when in at) >= 200


def refusing(pace: Pace, count: int, retry_after_s: float | None = None) -> None:
    """So many requests, a tenth of a second apart, each refused at once."""
    for number in range(count):
        pace.refused(pace.send(number / 10), number / 10, retry_after_s)


@pytest.mark.parametrize("asked_s", [20.0, None])
def test_where_all_is_refused_the_server_is_left_alone_and_meets_one_request_first(asked_s: float | None) -> None:
    """For as long as it asks, or half a second at first and twice as long after each refused probe."""
    said: list[str] = []
    pace = Pace(said.append, jitter=lambda: 0.0)
    refusing(pace, 7, asked_s)
    assert "paused" in said[-1]
    assert pace.wait(0.6) == pytest.approx(asked_s or 0.5)
    probe = pace.send(30.0)
    assert pace.wait(30.0) > 0
    pace.refused(probe, 30.1, asked_s)
    assert pace.wait(30.1) == pytest.approx(asked_s or 1.0)
    pace.accepted(pace.send(60.0), 61.0)
    assert pace.wait(90.0) == 0


def test_a_probe_whose_answer_takes_long_holds_nobody_up() -> None:
    """A refusal would have come soon."""
    pace = Pace(lambda _: None, jitter=lambda: 0.0)
    refusing(pace, 7)
    pace.send(2.0)
    assert 0 < pace.wait(2.0) <= 3.0
    pace.wait(5.0)
    assert pace.wait(60.0) == 0


def test_a_run_of_refusals_among_those_by_chance_does_not_drag_the_pace_down_for_good() -> None:
    """Nearly half are refused at first and one in ten from then on: after some trials the old pace is back."""
    said: list[str] = []
    pace, now = Pace(said.append, jitter=lambda: 0.0), 0.0
    for number in range(600):
        now += max(0.02, pace.wait(now))
        sent = pace.send(now)
        if number % 10 == 0 or (number < 24 and number % 2):
            pace.refused(sent, now, None)
        else:
            pace.accepted(sent, now)
    assert "going on as before" in " ".join(said)
    assert pace.rate() is None
