"""The key kept out of everything that is kept: a server may echo it in an error, a header or an answer.

Used at the one place where a server's words come in, before anything of them is cut, logged or stored.
"""

from __future__ import annotations

import re
from urllib.parse import quote, quote_plus

SHORTEST = 7
"""Shorter than any key; what stands there then is a placeholder such as `none`, and a word that answers may hold."""
PLACEHOLDERS = frozenset({"lm-studio", "not-needed", "no-key-required", "sk-no-key-required", "placeholder"})
"""What servers that want no key are given in its place, as their documentation has it."""
MASK = "[key]"


class Mask:
    """Takes a key out of texts and bytes, also where JSON or an address has escaped it."""

    def __init__(self, key: str | None) -> None:
        secret = key if key and len(key) >= SHORTEST and key.lower() not in PLACEHOLDERS else None
        spelled = {secret, secret.replace("/", r"\/"), quote(secret, safe=""), quote_plus(secret)} if secret else set()
        pattern = "|".join(re.escape(form) for form in sorted(spelled, key=len, reverse=True))
        self._texts = re.compile(pattern) if pattern else None
        self._bytes = re.compile(pattern.encode()) if pattern else None

    def text(self, text: str) -> str:
        """The text with `[key]` in the key's place."""
        return self._texts.sub(MASK, text) if self._texts else text

    def bytes(self, body: bytes) -> bytes:
        """The body as it is where the key is not in it, which is nearly always."""
        return self._bytes.sub(MASK.encode(), body) if self._bytes else body
