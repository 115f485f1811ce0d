"""What a candidate costs: prices per million tokens, from the configuration or from genai-prices, offline.

Unknown is None and never 0.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bon_hydra.records import Response
from bon_hydra.schema import ModelConfig, addresses


@dataclass(frozen=True, slots=True)
class Prices:
    """USD per million tokens."""

    input: float
    output: float
    cached_input: float

    def cost(self, prompt_tokens: int, completion_tokens: int, cached_tokens: int = 0) -> float:
        """USD, never below 0; `prompt_tokens` include the cached ones."""
        return (
            max(0, prompt_tokens - cached_tokens) * self.input
            + cached_tokens * self.cached_input
            + completion_tokens * self.output
        ) / 1e6


def prices_of(model: ModelConfig) -> Prices | None:
    """The model's prices: `model.prices` where given, else genai-prices' of today, else None."""
    given = model.prices
    if given.input is not None and given.output is not None:
        return Prices(given.input, given.output, given.input if given.cached_input is None else given.cached_input)
    listed = _listed(model)
    if listed is None:
        return None
    return Prices(
        listed.input if given.input is None else given.input,
        listed.output if given.output is None else given.output,
        listed.cached_input if given.cached_input is None else given.cached_input,
    )


def _listed(model: ModelConfig) -> Prices | None:
    from genai_prices import Usage, calc_price

    try:
        url = addresses(model.base_url)[0]
        found = calc_price(Usage(input_tokens=1, output_tokens=1), model_ref=model.name or "", provider_api_url=url)
    except LookupError:
        return None
    rates = found.model_price
    input_, output = _rate(rates.input_mtok), _rate(rates.output_mtok)
    if input_ is None or output is None:
        return None
    cached = _rate(rates.cache_read_mtok)
    return Prices(input_, output, input_ if cached is None else cached)


def _rate(rate: Any) -> float | None:
    """A plain rate; of a tiered one its base."""
    if rate is None:
        return None
    return float(getattr(rate, "base", rate))


def cost_of(response: Response, prices: Prices | None) -> float | None:
    """USD for one candidate, None where the price or the usage is unknown."""
    if prices is None or response.prompt_tokens is None or response.completion_tokens is None:
        return None
    return prices.cost(response.prompt_tokens, response.completion_tokens, response.cached_tokens or 0)
