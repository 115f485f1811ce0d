"""How many candidates a request asks for, what of it is learned from the server, and what stays exact."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from fake_api import FakeApi, Raw, Reply, Request
from test_sampling import Drawn, config, draw, query

from bon_hydra.choices import MOST
from bon_hydra.keys import hash30
from bon_hydra.prices import Prices

QUERIES = [query(str(number)) for number in range(6)]
NO_N = Raw(400, b'{"error": {"message": "\'n\' : number must be at most 1", "type": "invalid_request_error"}}')


def drawn(api: FakeApi, store: Path, **changes: Any) -> Drawn:
    """Six queries with N=8 by default."""
    settings = config(**({"num_candidates": 8, "concurrency": 4, "model_choices_per_request": "auto"} | changes))
    return draw(settings, store, api.url, QUERIES, prices=Prices(1.0, 2.0, 0.5))


def asked(api: FakeApi) -> list[int]:
    return [int(request.body.get("n", 1)) for request in api.requests]


def without_n(fault: str | Raw) -> Callable[[Request], str | Raw | None]:
    return lambda request: fault if request.body.get("n", 1) > 1 else None


def test_auto_asks_for_several_at_once_where_the_server_can_and_bills_an_eighth_of_the_prompts(tmp_path: Path) -> None:
    """Every candidate is there, token sums are those of the bills, the prompt is paid once a request."""
    with FakeApi([f"Answer {i} {'word ' * i}" for i in range(8)]) as api:
        found = drawn(api, tmp_path / "s")
        assert asked(api) == [8] * 6
    with FakeApi() as single:
        alone = drawn(single, tmp_path / "t", model_choices_per_request=1)
        assert asked(single) == [1] * 48
    for candidates in found.candidates:
        assert [one.index for one in candidates] == list(range(8))
        responses = [one.response for one in candidates if one.response]
        assert [response.text for response in responses] == [f"Answer {i} {'word ' * i}" for i in range(8)]
        assert sum(response.completion_tokens or 0 for response in responses) == 8 * 2 + sum(range(8))
        assert [bool(response.prompt_tokens) for response in responses] == [True] + [False] * 7
    assert prompt_tokens(found) <= 0.2 * prompt_tokens(alone)
    assert {one.candidate_id for c in found.candidates for one in c} == {
        one.candidate_id for c in alone.candidates for one in c
    }


def prompt_tokens(found: Drawn) -> int:
    return sum(one.response.prompt_tokens or 0 for c in found.candidates for one in c if one.response)


@pytest.mark.parametrize(
    ("fault", "extra"),
    [(NO_N, 0), ("bad_request", 0), ("server_error", 2)],
    ids=["named", "unnamed", "an error of the server's"],
)
def test_auto_tries_once_and_falls_back_for_good_where_it_is_refused(
    tmp_path: Path, fault: str | Raw, extra: int
) -> None:
    """Then each candidate has a request of its own; none is missing and none an error."""
    with FakeApi(faults=without_n(fault)) as api:
        found = drawn(api, tmp_path / "s", model_max_retries=2)
        assert [n for n in asked(api) if n > 1] == [8] * (1 + extra)
        assert api.choices == 48
    assert all(one.response for candidates in found.candidates for one in candidates)
    assert not found.halt.event.is_set()


def test_auto_falls_back_for_good_where_fewer_choices_come_and_keeps_what_came(tmp_path: Path) -> None:
    """As with a server that does not know the parameter."""
    with FakeApi(ignore_n=True) as api:
        found = drawn(api, tmp_path / "s")
        assert asked(api) == [8] + [1] * 47
    assert [len(candidates) for candidates in found.candidates] == [8] * 6


def test_auto_asks_a_model_that_reasons_for_one_at_a_time(tmp_path: Path) -> None:
    """By its name, by the effort asked for, or once an answer shows it."""
    for changes in ({"model_name": "o3-mini"}, {"model_name": "Qwen/QwQ-32B"}, {"reasoning_effort": "low"}):
        with FakeApi() as api:
            drawn(api, tmp_path / str(changes), **changes)
            assert set(asked(api)) == {1}
    with FakeApi(Reply("3", reasoning="One and two")) as api:
        drawn(api, tmp_path / "s")
        assert asked(api) == [8] + [1] * 40


def test_auto_asks_one_at_a_time_where_the_bill_does_not_cover_all_choices(tmp_path: Path) -> None:
    """As llama.cpp's, which counts the first choice's tokens alone."""

    def first_counted(request: Request) -> Raw | None:
        count = request.body.get("n", 1)
        message = {"role": "assistant", "content": "It is three, by all that I know."}
        choices = [{"index": i, "message": message, "finish_reason": "stop"} for i in range(count)]
        usage = {"prompt_tokens": 9, "completion_tokens": 10}
        return Raw(200, json.dumps({"model": "m", "choices": choices, "usage": usage}).encode())

    with FakeApi(faults=first_counted) as api:
        found = drawn(api, tmp_path / "s")
        assert asked(api) == [8] + [1] * 40
    assert [len(candidates) for candidates in found.candidates] == [8] * 6


def test_a_number_is_kept_to_and_its_refusal_stops_the_run_by_name(tmp_path: Path) -> None:
    """What is left over has a smaller request; a server that sends fewer is asked for the rest."""
    with FakeApi() as api:
        drawn(api, tmp_path / "s", model_choices_per_request=3)
        assert sorted(asked(api)) == [2] * 6 + [3] * 12
    with FakeApi(ignore_n=True) as api:
        found = drawn(api, tmp_path / "t", model_choices_per_request=3)
        assert api.choices == 48
        assert [len(candidates) for candidates in found.candidates] == [8] * 6
    with FakeApi(faults=without_n(NO_N)) as api:
        found = drawn(api, tmp_path / "u", model_choices_per_request=3)
        assert "model.choices_per_request=1" in found.halt.message


def test_more_are_asked_in_several_requests_of_at_most_eight(tmp_path: Path) -> None:
    """A request that fails loses no more than that."""
    with FakeApi() as api:
        drawn(api, tmp_path / "s", num_candidates=2 * MOST + 3)
        assert sorted(asked(api)) == [3] * 6 + [MOST] * 12


def test_a_larger_n_asks_only_for_what_is_missing_with_the_seeds_it_would_have_had(tmp_path: Path) -> None:
    """Seeds of one request are consecutive, so a gap in what the store has takes two requests."""
    with FakeApi() as api:
        drawn(api, tmp_path / "s", num_candidates=3, seed=5)
        drawn(api, tmp_path / "s", num_candidates=8, seed=5)
        sent = [(r.question, r.body["seed"], r.body["n"]) for r in api.requests]
    assert sorted(sent) == sorted(
        (q.question, hash30(5, q.query_id) + first, n) for q in QUERIES for first, n in ((0, 3), (3, 5))
    )
    with FakeApi() as api:
        found = drawn(api, tmp_path / "s", num_candidates=8, seed=5)
        assert api.requests == []
    seeds = [[one.response.seed for one in c if one.response] for c in found.candidates]
    assert seeds == [[hash30(5, q.query_id) + i for i in range(8)] for q in QUERIES]
    assert all(one.response and (one.response.prompt_tokens or 0) > 0 for c in found.candidates for one in c[:4:3])


def test_a_trial_that_brings_nothing_for_another_reason_is_tried_again(tmp_path: Path) -> None:
    """A rate limit says nothing of `n`."""
    with FakeApi(faults=["rate_limited", "rate_limited"], retry_after=0.01) as api:
        drawn(api, tmp_path / "s")
        assert api.choices == 48
        assert asked(api)[-1] == 8


def test_a_budget_holds_where_each_request_may_bill_for_several(tmp_path: Path) -> None:
    """The worst case is a prompt and as many answers as were asked for; what is left is less than one of these."""
    prices = Prices(1.0, 20_000.0, 0.5)  # USD per million tokens: 0.02 a word of an answer
    settings = config(num_candidates=4, concurrency=4, max_tokens=10, model_choices_per_request="auto")
    with FakeApi("seven words are in this answer here") as api:
        found = draw(settings, tmp_path / "s", api.url, QUERIES, prices=prices, budget=2.0)
        assert set(asked(api)) == {4}
        billed = api.choices * 7 * 0.02
    assert found.halt.status == "budget_reached"
    assert 2.0 - 4 * 10 * 0.02 <= billed <= found.spent <= 2.0
