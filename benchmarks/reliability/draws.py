"""Budget runs drawn at random: what each of them is, and what its server does to every request, and bills for it.

Knows nothing of processes; a run is its number, so that one that went wrong can be had again.
"""

from __future__ import annotations

import json
import random
import signal
import sys
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from fake_api import Raw, Request

from bon_hydra.keys import prompt_bytes
from bon_hydra.sampling import OVERHEAD_TOKENS

NO_BILL = ("server_error", "rate_limited_bare", "bad_request")
BILLED = ("gateway", "malformed", "truncated", "empty_choices", "dropped_mid_body", "hanging", "dropped")
"""Failures that a request is billed for, or may be, though no answer arrives."""
WHOLE_EVERY = 40
"""One run in so many is done by whole processes."""


@dataclass(frozen=True)
class Plan:
    """One run, all drawn from its number."""

    number: int
    questions: tuple[str, ...]
    candidates: int
    concurrency: int
    max_tokens: int
    max_retries: int
    prices: tuple[float, float, float]
    """USD per million tokens: input, output, cached input."""
    budget_usd: float
    fault_rates: dict[str, float]
    no_usage: float
    """How often an answer says nothing of its tokens."""
    dense: float
    """Tokens of a prompt a byte of it, at the most 1."""
    stops: tuple[signal.Signals, ...]
    """How its sittings but the last are ended from outside."""
    raised: float | None
    """By what the budget is multiplied when it is reached first."""
    whole: bool

    @property
    def largest_usd(self) -> float:
        """The largest worst case of one of its requests."""
        return max(_worst(_size(question), self.max_tokens, self.prices) for question in self.questions)


def drawn(number: int) -> Plan:
    """The plan of run `number`."""
    chance = random.Random(f"budgets {number}")
    alphabet = chance.choice(["abc def ", "äöü 数学 ", '"\\\n\t'])
    questions = tuple(
        f"{i}: " + "".join(chance.choices(alphabet, k=chance.choice([5, 60, 900])))
        for i in range(chance.randint(1, 18))
    )
    candidates = chance.randint(1, 5)
    input_, output = 10 ** chance.uniform(-1, 1.8), 10 ** chance.uniform(-1, 1.8)
    max_tokens = round(10 ** chance.uniform(0.5, 3.5))
    prices = input_, output, input_ * chance.uniform(0, 1.2)
    worst = [_worst(_size(question), max_tokens, prices) for question in questions]
    faulty = chance.choice([0.0, 0.0, 0.3, 1.0])
    return Plan(
        number,
        questions,
        candidates,
        concurrency=chance.choice([1, 2, 4, 8, 16]),
        max_tokens=max_tokens,
        max_retries=chance.choice([0, 2, 8]),
        prices=prices,
        budget_usd=candidates * sum(worst) * 10 ** chance.uniform(-2, 0.1),
        fault_rates={name: faulty * chance.choice([0, 0.02, 0.1]) for name in (*NO_BILL, *BILLED)},
        no_usage=chance.choice([0, 0, 0, 0.1, 1]),
        dense=chance.choice([0.25, 0.7, 1.0]),
        stops=tuple(chance.choices([signal.SIGKILL, signal.SIGINT], [4, 1], k=chance.choice([0, 0, 1, 1, 2, 3]))),
        raised=chance.choice([None, None, 1.2, 3.0]),
        whole=number % WHOLE_EVERY == 0,
    )


def _size(question: str) -> int:
    return prompt_bytes([{"role": "user", "content": question}], None)


def _worst(size: int, max_tokens: int, prices: tuple[float, float, float]) -> float:
    """What a request of so many bytes may cost, as the contract has it."""
    return ((size + OVERHEAD_TOKENS) * max(prices[0], prices[2]) + max_tokens * prices[1]) / 1e6


@dataclass(frozen=True)
class Sent:
    """One request as the server billed it."""

    id: str
    """That of the answer's body."""
    fate: str
    usd: float
    worst_usd: float


@dataclass
class Account:
    """What the server knows of one run: called for each of its requests when that arrives."""

    plan: Plan
    sent: list[Sent] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._chance = random.Random(self.plan.number)

    def billed_usd(self) -> float:
        return sum(one.usd for one in self.sent)

    def meets(self, request: Request) -> str | Raw | None:
        """Bills the request, and says what it gets for it."""
        plan, chance = self.plan, self._chance
        fate = chance.choices(["answered", *plan.fault_rates], [1, *plan.fault_rates.values()])[0]
        size = prompt_bytes(request.body["messages"], None)
        prompt = min(round(size * plan.dense) + chance.choice([0, 20, OVERHEAD_TOKENS]), size + OVERHEAD_TOKENS)
        completion = chance.choice([chance.randint(1, plan.max_tokens), plan.max_tokens])
        cached = chance.choice([0, chance.randint(0, prompt)])
        input_, output, cached_input = plan.prices
        usd = ((prompt - cached) * input_ + cached * cached_input + completion * output) / 1e6
        if fate in NO_BILL or (fate in BILLED and chance.random() < 0.2):
            usd = 0.0
        number = len(self.sent)
        self.sent.append(Sent(f"{plan.number}-{number}", fate, usd, _worst(size, plan.max_tokens, plan.prices)))
        usage = {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "prompt_tokens_details": {"cached_tokens": cached},
        }
        choice = {"index": 0, "message": {"role": "assistant", "content": "So it is."}, "finish_reason": "stop"}
        body = {"id": self.sent[-1].id, "model": request.body["model"], "choices": [choice]}
        if chance.random() >= plan.no_usage:
            body["usage"] = usage
        data = json.dumps(body).encode()
        return {
            "answered": Raw(200, data),
            "gateway": Raw(504, b"<html>the model took too long</html>"),
            "malformed": Raw(200, b"<html>upstream went away</html>"),
            "truncated": Raw(200, data[: len(data) // 2]),
        }.get(fate, fate)
