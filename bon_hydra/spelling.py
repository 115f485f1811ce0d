"""A request's body, spelt as this server takes it: what it refuses under one name it may take under another."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from bon_hydra.complaints import refuses_name
from bon_hydra.failures import RequestFailed
from bon_hydra.keys import SENT
from bon_hydra.records import Message, Query
from bon_hydra.schema import Config
from bon_hydra.tool_names import refused_for_names, with_allowed_names

log = logging.getLogger(__name__)

LENGTHS = ("max_tokens", "max_completion_tokens")


class Spelling:
    """The names that requests use, as configured and as the server's refusals teach."""

    def __init__(self, config: Config) -> None:
        self._config = config
        wanted = config.model.max_tokens_field
        openai_itself = "://api.openai.com/" in str(config.model.base_url)
        self._length = wanted if wanted != "auto" else LENGTHS[openai_itself]
        self._refused_lengths: set[str] = set()
        self._rename_tools = False

    def body(self, query: Query, messages: Sequence[Message]) -> dict[str, Any]:
        """What all requests of a query have in common."""
        body: dict[str, Any] = {"model": self._config.model.name, "messages": list(messages)}
        body |= {name: value for name in SENT if (value := getattr(self._config, name)) is not None}
        if query.tools:
            body["tools"] = list(query.tools)
        return {**body, **self._config.model.extra_body}

    def request(self, body: dict[str, Any], seed: int | None, asked: int) -> dict[str, Any]:
        """The body of a request for so many candidates; `seed` is the first one's."""
        own = {self._length: self._config.max_tokens, "seed": seed, "n": asked if asked > 1 else None}
        body = with_allowed_names(body) if self._rename_tools else body
        return {**body, **{name: value for name, value in own.items() if value is not None}}

    def learn(self, error: RequestFailed, request: dict[str, Any], body: dict[str, Any]) -> RequestFailed:
        """The failure of a `request`, made from `body`; one to try again where another spelling may be taken.

        The names are those that this request had when it was sent: others may have changed them since.
        """
        if error.status not in (400, 422):
            return error
        message = str(error)
        if refused_for_names(message) and with_allowed_names(body) is not body:
            log.info("the server refuses names of tools; sending names it takes from now on")
            self._rename_tools = True
            return RequestFailed("retry", message, error.status, headers=error.headers)
        sent = error.parameter if error.parameter in LENGTHS and error.parameter in request else None
        if sent and self._config.model.max_tokens_field == "auto" and refuses_name(message):
            other = LENGTHS[1 - LENGTHS.index(sent)]
            self._refused_lengths.add(sent)
            if other not in self._refused_lengths:
                log.info("the server wants %s; sending that from now on", other)
                self._length = other
                return RequestFailed("retry", message, error.status, retry_after_s=0.0, headers=error.headers)
        return error
