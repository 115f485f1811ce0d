"""Prices: known offline, never guessed, and what they make of a response."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bon_hydra.prices import Prices, cost_of, prices_of
from bon_hydra.records import Response
from bon_hydra.schema import ModelConfig, PricesConfig

OPENAI = "https://api.openai.com/v1"


def prices(name: str | None, url: str = OPENAI, **given_: float) -> Prices | None:
    return prices_of(ModelConfig(name=name, base_url=url, prices=PricesConfig(**given_)))


@pytest.mark.parametrize("name", ["gpt-4o", "gpt-4o-mini"])
def test_openais_models_have_prices_without_a_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A completion token costs more than a prompt token, a cached one less, and none nothing."""
    import socket

    def refused(*_: Any, **__: Any) -> None:
        raise AssertionError("a price was looked up on the network")

    monkeypatch.setattr(socket.socket, "connect", refused)
    found = prices(name)
    assert found is not None
    assert 0 < found.cached_input < found.input < found.output < 1000


def test_the_mini_model_is_the_cheaper_one() -> None:
    """Prices are of the model that was named."""
    large, small = prices("gpt-4o"), prices("gpt-4o-mini")
    assert large is not None
    assert small is not None
    assert small.output < large.input


@pytest.mark.parametrize(
    ("name", "url"),
    [
        ("no-such-model", OPENAI),
        ("", OPENAI),
        (None, OPENAI),
        ("fake-model", "http://127.0.0.1:8000/v1"),
        ("gpt-4o", "http://localhost:8000/v1"),
        ("smollm2", "embedded"),
        ("Qwen/Qwen2.5-7B-Instruct", "http://gpu1:8000/v1"),
    ],
)
def test_what_is_not_known_has_no_price_rather_than_none_to_pay(name: str | None, url: str) -> None:
    """Also a known name at a server of one's own: OpenAI's price says nothing of it."""
    assert prices(name, url) is None


def test_given_prices_win_and_may_be_zero() -> None:
    """One at a time over what is listed; without a listing both input and output are needed."""
    assert prices("no-such-model", input=1.0, output=2.0) == Prices(1.0, 2.0, 1.0)
    assert prices("no-such-model", input=1.0, output=2.0, cached_input=0.5) == Prices(1.0, 2.0, 0.5)
    assert prices("no-such-model", input=0.0, output=0.0) == Prices(0.0, 0.0, 0.0)
    assert prices("no-such-model", input=1.0) is None
    listed, cheaper = prices("gpt-4o"), prices("gpt-4o", output=1.0)
    assert listed is not None
    assert cheaper == Prices(listed.input, 1.0, listed.cached_input)


def test_cached_tokens_are_part_of_the_prompt_and_have_their_own_price() -> None:
    """A million prompt tokens at 2 USD, half of them cached at 0.5, and a hundred thousand completion tokens at 10."""
    assert Prices(2.0, 10.0, 0.5).cost(1_000_000, 100_000, 500_000) == pytest.approx(1.0 + 0.25 + 1.0)
    assert Prices(2.0, 10.0, 0.5).cost(1_000_000, 0) == pytest.approx(2.0)


counts = st.integers(0, 10**9)
rates = st.floats(0, 1000)


@given(rates, rates, rates, counts, counts, counts)
def test_a_cost_is_never_negative(
    input_: float, output: float, cached: float, prompt: int, completion: int, from_cache: int
) -> None:
    """Also where a server reports more cached tokens than prompt tokens."""
    assert Prices(input_, output, cached).cost(prompt, completion, from_cache) >= 0


def test_a_cost_is_unknown_where_price_or_usage_is() -> None:
    """None and not zero; cached tokens that nobody reported are none."""
    known = Prices(1.0, 2.0, 0.5)
    whole = Response("x", prompt_tokens=1000, completion_tokens=500, cached_tokens=None)
    assert cost_of(whole, known) == pytest.approx(0.002)
    assert cost_of(whole, None) is None
    assert cost_of(Response("x", prompt_tokens=1000), known) is None
    assert cost_of(Response("x", completion_tokens=1000), known) is None
    assert cost_of(Response("x", prompt_tokens=0, completion_tokens=0), known) == 0.0
