"""What determines a candidate, in what order candidates are asked for, and what is kept when."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from fake_api import FakeApi, Faults, Raw, Reply, Request
from hypothesis import given
from hypothesis import strategies as st

from bon_hydra.budget import Budget
from bon_hydra.client import ChatClient
from bon_hydra.endpoints import Endpoints
from bon_hydra.halt import Halt
from bon_hydra.keys import Keys, hash30, prompt_bytes
from bon_hydra.limits import Limits
from bon_hydra.prices import Prices
from bon_hydra.records import Candidate, Message, Query
from bon_hydra.sampling import OVERHEAD_TOKENS, Asked, Sampler
from bon_hydra.schema import Config, ModelConfig
from bon_hydra.store import CandidateStore
from bon_hydra.store.candidates import Done

MESSAGES: list[Message] = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 1+2?"}]
TOOLS: list[dict[str, Any]] = [{"type": "function", "function": {"name": "add", "parameters": {"type": "object"}}}]


def config(**changes: Any) -> Config:
    """A checked configuration: extra_body is a map."""
    model: dict[str, Any] = {"name": "m", "base_url": "http://host/v1", "extra_body": {}, "choices_per_request": 1}
    model |= {name[6:]: changes.pop(name) for name in list(changes) if name.startswith("model_")}
    return Config(**({"num_candidates": 3, "temperature": 0.7, "max_tokens": 50} | changes), model=ModelConfig(**model))


def query(name: str = "q", tools: tuple[dict[str, Any], ...] | None = None) -> Query:
    messages = ({"role": "user", "content": f"What is {name}?"},)
    return Query(name, "math", f"What is {name}?", messages, tools, "3", "math")


# ---- keys


def keys(
    settings: Config, identity: str = "http://host/v1", messages: Any = MESSAGES, tools: Any = None
) -> list[bytes]:
    return Keys(settings, identity).of(messages, tools)


def test_equal_draws_have_equal_keys_whatever_else_the_run_is() -> None:
    """N, concurrency, the name of a field, limits, prices, notes and the order of a map's entries change nothing."""
    base = keys(config(model_extra_body={"a": 1, "b": {"c": 2, "d": 3}}))
    others = [
        config(concurrency=77, notes="other", max_queries=3, budget_usd=1.0, experiment_name="x"),
        config(model_max_tokens_field="max_completion_tokens", model_send_seed=False, model_max_retries=0),
        config(model_base_url="http://elsewhere/v1", model_api_key_env="KEY", model_requests_per_minute=3.0),
    ]
    for other in others:
        other.model.extra_body = {"b": {"d": 3, "c": 2}, "a": 1}
        assert keys(other) == base
    more = config(num_candidates=10, model_extra_body={"a": 1, "b": {"c": 2, "d": 3}})
    assert keys(more)[:3] == base
    reordered = [{"content": m["content"], "role": m["role"]} for m in MESSAGES]
    assert keys(others[0], messages=tuple(reordered)) == base


DIFFERENT: dict[str, Callable[[], list[bytes]]] = {
    "base": lambda: keys(config()),
    "identity": lambda: keys(config(), identity="http://host/v2"),
    "model": lambda: keys(config(model_name="n")),
    "message": lambda: keys(config(), messages=[*MESSAGES[:1], {"role": "user", "content": "What is 1+3?"}]),
    "role": lambda: keys(config(), messages=[{"role": "user", "content": "Be brief."}, MESSAGES[1]]),
    "order": lambda: keys(config(), messages=MESSAGES[::-1]),
    "tools": lambda: keys(config(), tools=TOOLS),
    "other tools": lambda: keys(config(), tools=[*TOOLS, *TOOLS]),
    "temperature": lambda: keys(config(temperature=0.8)),
    "temperature 0": lambda: keys(config(temperature=0.0)),
    "temperature null": lambda: keys(config(temperature=None)),
    "top_p": lambda: keys(config(top_p=0.9)),
    "max_tokens": lambda: keys(config(max_tokens=51)),
    "max_tokens null": lambda: keys(config(max_tokens=None)),
    "reasoning_effort": lambda: keys(config(reasoning_effort="low")),
    "stop": lambda: keys(config(stop=["a", "b"])),
    "stop, other": lambda: keys(config(stop=["a,b"])),
    "stop, empty": lambda: keys(config(stop=[])),
    "seed": lambda: keys(config(seed=0)),
    "seed, other": lambda: keys(config(seed=1)),
    "extra_body": lambda: keys(config(model_extra_body={"top_k": 5})),
    "extra_body, other": lambda: keys(config(model_extra_body={"top_k": 6})),
    "extra_body, nested": lambda: keys(config(model_extra_body={"x": {"top_k": 5}})),
}


def test_each_thing_that_determines_a_draw_changes_every_key() -> None:
    """And so does the candidate's index: no two keys of all these are the same."""
    made = [key for make in DIFFERENT.values() for key in make()]
    assert len(set(made)) == 3 * len(DIFFERENT)
    assert {len(key) for key in made} == {16}


def test_odd_contents_have_keys_too() -> None:
    """Half a surrogate pair, unicode, numbers as keys of a map beside texts."""
    odd = config(model_extra_body={"logit_bias": {50256: -100, "11": 5}})
    assert len(set(keys(odd, messages=[{"role": "user", "content": "\ud83d ü 例"}]))) == 3


@given(st.integers(0, 2**62), st.text(max_size=64))
def test_hash30_is_a_whole_number_of_30_bits(seed: int, query_id: str) -> None:
    """So that the sum with any index stays an int32; the same again, and another for another seed."""
    first = hash30(seed, query_id.encode("utf-8", "replace").decode())
    assert 0 <= first < 2**30
    assert first + 100_000 < 2**31
    assert first == hash30(seed, query_id.encode("utf-8", "replace").decode())


def test_two_seeds_share_no_draw() -> None:
    """Neither a key in the store nor, over 500 queries, a seed that is sent for the same query."""
    for number in range(500):
        one, other = hash30(1, f"query {number}"), hash30(2, f"query {number}")
        assert abs(one - other) >= 64
    many = [key for seed in range(20) for key in keys(config(seed=seed, num_candidates=50))]
    assert len(set(many)) == 1000


@given(st.text(max_size=30), st.text(max_size=30))
def test_prompt_bytes_bound_what_a_prompt_can_cost(system: str, user: str) -> None:
    """At least the bytes of every text in it."""
    messages = [{"role": "system", "content": system}, {"role": "user", "content": user}]
    assert prompt_bytes(messages, None) >= len((system + user).encode("utf-8", "surrogatepass"))


# ---- drawing


class Drawn:
    """What draws left: candidates by query, what was asked, what the run has got and spent, why it halted."""

    def __init__(self, candidates: list[list[Candidate]], asked: Asked, done: Done, spent: float, halt: Halt) -> None:
        self.candidates, self.asked, self.done, self.spent, self.halt = candidates, asked, done, spent, halt


def draw(
    settings: Config,
    store_path: Path,
    url: str,
    queries: list[Query],
    run_id: str = "run",
    budget: float | None = None,
    prices: Prices | None = None,
) -> Drawn:
    """All queries at once, each with its own messages, as an experiment does."""
    settings = replace(settings, model=replace(settings.model, base_url=url))

    async def main() -> Drawn:
        halt, endpoints = Halt(), Endpoints([ChatClient(settings.model, url, settings.concurrency)])

        async def opened() -> Endpoints:
            return endpoints

        with CandidateStore(store_path, run_id) as store:
            limits, purse = Limits(settings.concurrency, None, None), Budget(store, run_id, budget)
            sampler = Sampler(settings, run_id, "host", store, limits, purse, prices, halt, opened)
            found = await asyncio.gather(*(sampler.draw(query, query.messages) for query in queries))
            done, spent = await store.done(run_id), await store.spent(run_id)
        await endpoints.close()
        return Drawn(found, sampler.asked, done, spent, halt)

    return asyncio.run(main())


def test_requests_of_one_query_go_out_in_order_of_index(tmp_path: Path) -> None:
    """One at a time: query after query, index after index."""
    queries = [query(str(i)) for i in range(5)]
    with FakeApi() as api:
        draw(config(num_candidates=4, concurrency=1, seed=3), tmp_path / "s", api.url, queries)
        sent = [(request.question, request.body["seed"]) for request in api.requests]
    assert sent == [(f"What is {i}?", hash30(3, str(i)) + n) for i in range(5) for n in range(4)]


def test_only_what_is_not_stored_is_asked_for_with_its_own_seed(tmp_path: Path) -> None:
    """A larger N asks for the indices that are new; all come back in order, the old ones reused."""
    with FakeApi(reply=lambda request, _: f"seed {request.body['seed']}") as api:
        draw(config(num_candidates=2, seed=5), tmp_path / "s", api.url, [query()], run_id="first")
        drawn = draw(config(num_candidates=5, seed=5), tmp_path / "s", api.url, [query()], run_id="second")
        assert len(api.requests) == 5
    (candidates,) = drawn.candidates
    first = hash30(5, "q")
    assert [c.index for c in candidates] == [0, 1, 2, 3, 4]
    assert [c.response and c.response.text for c in candidates] == [f"seed {first + i}" for i in range(5)]
    assert [c.response and c.response.seed for c in candidates] == [first + i for i in range(5)]
    assert [c.reused for c in candidates] == [True, True, False, False, False]
    assert drawn.done == Done(answered=3, failed=0, candidates=3)


def test_null_is_not_sent_and_extra_body_is(tmp_path: Path) -> None:
    """Exactly the keys that have a value."""
    bare = config(temperature=None, max_tokens=None, num_candidates=1)
    full = config(top_p=0.5, stop=["x"], reasoning_effort="low", num_candidates=1, model_extra_body={"top_k": 3})
    with FakeApi() as api:
        draw(bare, tmp_path / "s", api.url, [query()])
        draw(full, tmp_path / "s", api.url, [query("t", tuple(TOOLS))])
        first, second = (request.body for request in api.requests)
    assert set(first) == {"model", "messages"}
    own = {"temperature": 0.7, "top_p": 0.5, "stop": ["x"], "reasoning_effort": "low", "max_tokens": 50, "top_k": 3}
    messages = [{"role": "user", "content": "What is t?"}]
    assert second == own | {"model": "m", "tools": TOOLS, "messages": messages}


@pytest.mark.parametrize("concurrency", [1, 3])
def test_an_answer_is_committed_before_its_slot_is_given_on(tmp_path: Path, concurrency: int) -> None:
    """Whenever a request arrives, all answers but those of the other slots are in the file already."""
    path, seen = tmp_path / "s", []

    def reply(request: Request, _: int) -> str:
        connection = sqlite3.connect(path)
        seen.append((request.order, connection.execute("SELECT count(*) FROM candidates").fetchone()[0]))
        connection.close()
        return "3"

    with FakeApi(reply=reply) as api:
        settings = config(num_candidates=20, concurrency=concurrency)
        draw(settings, path, api.url, [query(str(i)) for i in range(3)])
    assert len(seen) == 60
    assert all(kept >= order - (concurrency - 1) for order, kept in seen)


def test_faults_are_asked_again_until_every_candidate_is_there(tmp_path: Path) -> None:
    """Dropped, malformed, limited and failed attempts; what each answer took is in its attempts."""
    faults: list[str | Any] = [None, "dropped", "server_error", "malformed_json", "rate_limited", None]
    with FakeApi(faults=faults, retry_after=0.01) as api:
        drawn = draw(config(num_candidates=3), tmp_path / "s", api.url, [query()])
        assert len(api.requests) == 7
    assert all(candidate.response for candidate in drawn.candidates[0])
    assert sum(candidate.attempts for candidate in drawn.candidates[0]) == 7
    assert drawn.done == Done(answered=3, failed=4, candidates=3)


def test_all_requests_in_flight_learn_the_name_of_max_tokens_together(tmp_path: Path) -> None:
    """Eight are refused at once for `max_tokens`; each is asked once more under the other name, no other follows."""
    with FakeApi(reply=Reply("3"), reasoning_model=True, latency=0.1) as api:
        settings = config(num_candidates=30, concurrency=8, temperature=None)
        drawn = draw(settings, tmp_path / "s", api.url, [query()])
        fields = ["max_tokens" in request.body for request in api.requests]
    assert fields == [True] * 8 + [False] * 30
    assert all(candidate.response for candidate in drawn.candidates[0])


def test_retries_are_counted_and_a_refused_request_is_not_repeated(tmp_path: Path) -> None:
    """max_retries more attempts for what may pass, none for what is refused for itself."""
    with FakeApi(faults=Faults(malformed_json=1.0)) as api:
        drawn = draw(config(num_candidates=1, model_max_retries=2), tmp_path / "s", api.url, [query()])
        assert len(api.requests) == 3
    (missing,) = drawn.candidates[0]
    assert (missing.response, missing.final, missing.attempts, drawn.asked.missing) == (None, False, 3, 1)
    with FakeApi(faults=Faults(bad_request=1.0)) as api:
        drawn = draw(config(num_candidates=1), tmp_path / "s", api.url, [query()])
        assert len(api.requests) == 1
    (refused,) = drawn.candidates[0]
    assert (refused.response, refused.final, refused.attempts, drawn.asked.refused.total()) == (None, True, 1, 1)
    assert "maximum context length" in str(refused.error)


def test_what_is_bought_never_costs_more_than_the_budget(tmp_path: Path) -> None:
    """It ends with status budget_reached, and every answer that was paid for is a candidate."""
    prices = Prices(input=1.0, output=100.0, cached_input=1.0)
    with FakeApi(reply="one two three") as api:
        settings = config(num_candidates=40, concurrency=8, max_tokens=20)
        drawn = draw(settings, tmp_path / "s", api.url, [query()], budget=0.01, prices=prices)
        assert len(drawn.candidates[0]) == len(api.requests) == drawn.done.candidates
    assert drawn.halt.status == "budget_reached"
    cost = sum(candidate.cost_usd or 0 for candidate in drawn.candidates[0])
    assert 0.007 < cost <= 0.01
    assert drawn.spent == pytest.approx(cost)


PRICES = Prices(input=1.0, output=100.0, cached_input=2.0)


@pytest.mark.parametrize(
    ("fault", "billed"),
    [
        ("server_error", 0),
        ("rate_limited_bare", 0),
        ("bad_request", 0),
        (Raw(503, b"{}"), 0),
        (Raw(504, b"<html>the model took too long</html>"), 1),
        ("malformed_json", 1),
        ("truncated_body", 1),
        ("empty_choices", 1),
        ("dropped", 1),
        ("dropped_mid_body", 1),
        ("hanging", 1),
    ],
)
def test_a_failure_that_may_have_been_billed_counts_as_its_worst_case(
    tmp_path: Path, fault: str | Raw, billed: int
) -> None:
    """What the server itself refused does not; what was generated and lost on its way may be on the bill."""
    settings = config(num_candidates=1, model_max_retries=0, model_timeout_s=0.5)
    with FakeApi(faults=lambda _: fault) as api:
        drawn = draw(settings, tmp_path / "s", api.url, [query()], budget=1.0, prices=PRICES)
        sent = prompt_bytes(api.requests[0].body["messages"], None)
    assert drawn.spent == pytest.approx(billed * PRICES.cost(0, 50, sent + OVERHEAD_TOKENS))


def test_what_was_never_sent_costs_nothing(tmp_path: Path) -> None:
    """A server that is away for a while does not eat up the budget."""
    with FakeApi() as api:
        url = api.url
    drawn = draw(config(model_max_retries=1), tmp_path / "s", url, [query()], budget=1.0, prices=PRICES)
    assert (drawn.spent, drawn.asked.missing, drawn.asked.failed_attempts) == (0.0, 3, 6)


def test_a_cache_that_costs_more_than_it_saves_is_no_way_around_the_budget(tmp_path: Path) -> None:
    """The worst case is that of the dearer price."""
    prices = Prices(input=1.0, output=1.0, cached_input=1000.0)
    with FakeApi(reply="three") as api:
        settings = config(num_candidates=40, concurrency=1)
        drawn = draw(settings, tmp_path / "s", api.url, [query()], budget=0.5, prices=prices)
        assert 2 < len(api.requests) < 40
    assert 0.2 < drawn.spent <= 0.5


def test_what_a_server_bills_beyond_the_bound_is_known_in_the_next_sitting_too(tmp_path: Path) -> None:
    """A prompt that the server adds itself: a run at the end of its budget does not exceed it by being gone on with."""
    usage = {"prompt_tokens": 5000, "completion_tokens": 1}
    choice = {"index": 0, "message": {"role": "assistant", "content": "3"}, "finish_reason": "stop"}
    body = json.dumps({"id": "x", "model": "m", "choices": [choice], "usage": usage}).encode()
    settings, prices = config(num_candidates=40, concurrency=1), Prices(1.0, 1.0, 1.0)
    with FakeApi(faults=lambda _: Raw(200, body)) as api:
        first = draw(settings, tmp_path / "s", api.url, [query()], budget=0.1, prices=prices)
        asked = len(api.requests)
        again = draw(settings, tmp_path / "s", api.url, [query()], budget=0.1, prices=prices)
        assert 10 < asked == len(api.requests)
    assert first.spent == again.spent <= 0.1
    assert again.halt.status == "budget_reached"


def test_of_two_runs_that_draw_the_same_at_once_one_asks_and_both_hold_its_answer(tmp_path: Path) -> None:
    """The second waits for what the first is drawing; its own candidates are marked reused, and cost it nothing."""
    path, other = tmp_path / "s", list[Drawn]()
    thread = ThreadPoolExecutor(1)
    runs: list[Any] = []

    def meanwhile(_: Request) -> None:
        """While the first run's first request is being answered, another run draws the same."""
        if not runs:
            runs.append(thread.submit(draw, config(num_candidates=2), path, api.url, [query()], run_id="other"))

    with FakeApi(reply="once", faults=meanwhile, latency=0.2) as api:
        mine = draw(config(num_candidates=2), path, api.url, [query()], run_id="mine")
        other.append(runs[0].result())
        assert len(api.requests) == 2
    assert [candidate.reused for candidate in mine.candidates[0]] == [False, False]
    assert [candidate.reused for candidate in other[0].candidates[0]] == [True, True]
    assert [c.response for c in other[0].candidates[0]] == [c.response for c in mine.candidates[0]]
    assert (mine.done.candidates, other[0].done.candidates) == (2, 0)


def test_queries_that_render_to_the_same_messages_share_their_draws(tmp_path: Path) -> None:
    """Within one run too: each candidate is asked for once, and both queries have it."""
    twice = [replace(query(), query_id="one"), replace(query(), query_id="two")]
    with FakeApi(latency=0.05) as api:
        drawn = draw(config(num_candidates=3), tmp_path / "s", api.url, twice)
        assert len(api.requests) == 3
    one, two = drawn.candidates
    assert [c.response for c in one] == [c.response for c in two]
    assert not any(candidate.reused for candidate in [*one, *two])


@pytest.mark.parametrize("fault", ["unauthorized", "not_found", "quota_exhausted"])
def test_a_server_that_refuses_all_halts_the_draw(tmp_path: Path, fault: str) -> None:
    """No candidate, no error in its place: they can be had in another sitting."""
    with FakeApi(faults=lambda _: fault) as api:
        drawn = draw(config(num_candidates=20, concurrency=2), tmp_path / "s", api.url, [query()])
        assert len(api.requests) <= 4
    assert (drawn.candidates, drawn.halt.status) == ([[]], "failed")


def refusing(said: dict[str, Any]) -> Callable[[Request], Raw]:
    return lambda _: Raw(400, orjson.dumps({"error": said}))


def test_a_parameter_that_the_server_refuses_halts_the_draw_with_the_key_to_change(tmp_path: Path) -> None:
    """A few requests instead of an error for every candidate."""
    said = {"message": "Unsupported value: 'temperature' does not support 0.7 with this model.", "param": "temperature"}
    with FakeApi(faults=refusing(said)) as api:
        queries = [query(str(i)) for i in range(20)]
        drawn = draw(config(num_candidates=2, concurrency=2), tmp_path / "s", api.url, queries)
        assert len(api.requests) <= 4
    assert drawn.halt.status == "failed"
    assert "temperature=null" in drawn.halt.message


def test_a_server_that_takes_neither_name_of_max_tokens_halts_the_draw(tmp_path: Path) -> None:
    """Each name is tried once."""

    def unsupported(request: Request) -> Raw:
        name = next(name for name in request.body if name.startswith("max_"))
        return refusing({"message": f"Unsupported parameter: '{name}' is not supported."})(request)

    with FakeApi(faults=unsupported) as api:
        drawn = draw(config(num_candidates=1), tmp_path / "s", api.url, [query()])
        fields = [next(name for name in request.body if name.startswith("max_")) for request in api.requests]
    assert fields == ["max_tokens", "max_completion_tokens"]
    assert (drawn.candidates, drawn.halt.status) == ([[]], "failed")


def test_five_queries_refused_and_none_answered_halt_the_draw(tmp_path: Path) -> None:
    """Where one was answered, refusals are counted by name, and the others are asked all the same."""
    queries = [query(str(i)) for i in range(20)]

    def faults(request: Request) -> str | None:
        return None if first_is_good and request.question == "What is 0?" else "bad_request"

    for first_is_good, status in [(False, "failed"), (True, "")]:
        with FakeApi(faults=faults) as api:
            settings = config(num_candidates=2, concurrency=1)
            drawn = draw(settings, tmp_path / str(first_is_good), api.url, queries)
            assert len(api.requests) == (40 if first_is_good else 9)
        assert drawn.halt.status == status
        if first_is_good:
            assert drawn.asked.refused == {"context_length": 38}
        else:
            assert "maximum context length" in drawn.halt.message


def test_refusals_of_a_later_sitting_count_for_themselves(tmp_path: Path) -> None:
    """What another sitting was answered says that requests like these are taken."""
    queries = [query(str(i)) for i in range(10)]
    with FakeApi(faults=lambda request: None if request.question == "What is 0?" else "bad_request") as api:
        draw(config(num_candidates=1), tmp_path / "s", api.url, queries[:1], run_id="first")
        drawn = draw(config(num_candidates=1), tmp_path / "s", api.url, queries)
    assert (drawn.halt.status, drawn.asked.refused.total(), drawn.candidates[0][0].reused) == ("", 9, True)
