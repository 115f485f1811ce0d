"""What determines a candidate: its key in the store, its seed, and a bound on what its prompt may cost."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Any

from bon_hydra.records import Message
from bon_hydra.schema import Config

KEY_VERSION = 1
SENT = ("temperature", "top_p", "reasoning_effort", "stop")
"""Sampling keys that go out under their own names; null is not sent."""


class Keys:
    """The store's keys under one configuration; what all of its queries have in common is put into words once."""

    def __init__(self, config: Config, identity: str) -> None:
        sampling = {name: getattr(config, name) for name in (*SENT, "max_tokens", "seed")}
        # A map's keys are texts on the wire, and sorting them needs that here too (`logit_bias: {50256: -100}`).
        extra_body = json.loads(json.dumps(config.model.extra_body, default=str))
        self._before = _text([KEY_VERSION, identity, config.model.name])[:-1]
        self._after = _text([sampling, extra_body])[1:]
        self._indices = [index.to_bytes(4, "big") for index in range(config.num_candidates)]

    def of(self, messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None) -> list[bytes]:
        """Of candidates 0 … N-1, 16 bytes each."""
        text = ",".join((self._before, _text(messages), _text(tools), self._after))
        base = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
        return [hashlib.sha256(base + index).digest()[:16] for index in self._indices]


def _text(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False, separators=(",", ":"), default=str)


def hash30(seed: int, query_id: str) -> int:
    """30 bits, so that adding a candidate's index stays an int32."""
    return int.from_bytes(hashlib.sha256(f"{seed}:{query_id}".encode()).digest()[:4], "big") >> 2


def seeds(config: Config, query_id: str) -> list[int | None]:
    """The seed sent with each candidate of a query; None where none is sent."""
    if config.seed is None or not config.model.send_seed:
        return [None] * config.num_candidates
    first = hash30(config.seed, query_id)
    return [first + index for index in range(config.num_candidates)]


def prompt_bytes(messages: Sequence[Message], tools: Sequence[dict[str, Any]] | None) -> int:
    """Bytes of what is sent, a bound on its tokens: no token is shorter than a byte."""
    return len(json.dumps([messages, tools], ensure_ascii=False).encode("utf-8", "surrogatepass"))
