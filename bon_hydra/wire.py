"""The connections to one server: bytes there, a whole response back.

Every request of a run differs in its body alone, so address and headers are given once (`client` has the openai
client put them together) and aiohttp carries each body: the openai client's own way for one request takes more CPU
than all else of a run together, see docs/performance.md. Does not know what is asked.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
import yarl
from multidict import CIMultiDict

from bon_hydra.schema import ConfigError

LARGEST_BODY = 64 * 2**20
"""Bytes; an answer with the log probabilities of 32,000 tokens has less."""
MOST_REDIRECTS = 20
UNUSED_S = 4.0
"""How long a connection is kept for the next request: less than the 5 s after which uvicorn closes one."""


class Moved(Exception):
    """A redirect that is not followed; the message says where to."""


class TooLarge(Exception):
    """A body that does not end."""


@dataclass(frozen=True, slots=True)
class Answer:
    """A response, whatever its status."""

    status: int
    headers: Mapping[str, str]
    """Names in any case."""
    body: bytes


class Wire:
    """Posts to one address. Build it inside a running event loop.

    Args:
        url: the whole address; it decides whether a proxy that the environment names is used.
        headers: of every request.
        connections: at the most, at once.
        connect_s: how long the server has to take a connection.
    """

    def __init__(self, url: str, headers: Mapping[str, str], connections: int, connect_s: float) -> None:
        self._url = yarl.URL(url)
        self._proxy, self._proxy_headers = proxy_of(url)
        # To a proxy of https they go with CONNECT; without TLS the request itself is what the proxy reads.
        in_the_clear = self._proxy_headers if self._url.scheme == "http" else None
        # Of each request, and not the session's own: those a proxy is told as well, the key among them.
        self._headers = CIMultiDict({**headers, **(in_the_clear or {})})
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=connections,
                # The openai client's own choice of authorities, SSL_CERT_FILE heard.
                ssl=httpx2.create_ssl_context() if self._url.scheme == "https" else True,
                keepalive_timeout=UNUSED_S,
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_s),
        )

    async def post(self, body: bytes) -> Answer:
        """The whole response; a redirect on the same server is followed.

        Raises:
            Moved, TooLarge, aiohttp.ClientError, OSError: there is no response, or not all of it.
        """
        url = self._url
        for _ in range(MOST_REDIRECTS):
            async with self._session.post(
                url,
                data=body,
                headers=self._headers,
                allow_redirects=False,
                proxy=self._proxy,
                proxy_headers=self._proxy_headers,
            ) as response:
                if 300 <= response.status < 400 and "Location" in response.headers:
                    url = followed("POST", response.status, url, response.headers["Location"])
                    continue
                return Answer(response.status, response.headers, await _whole(response.content))
        raise Moved("the server redirects in a circle")

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()


def followed(method: str, status: int, here: yarl.URL, location: str) -> yarl.URL:
    """Where a redirect leads.

    Raises:
        Moved: elsewhere, where key and prompts must not go; or a POST would become a GET.
    """
    there = here.join(yarl.URL(location))
    if there.origin() != here.origin() or (method == "POST" and status not in (307, 308)):
        base = str(there.with_query(None).with_fragment(None))
        base = base.removesuffix("/chat/completions").removesuffix("/models")
        raise Moved(
            f"the server redirects to {base} (HTTP {status}), which is not followed: "
            f"if you trust that address, set model.base_url={base}"
        )
    return there


def is_loopback(url: str) -> bool:
    """Whether the address is this machine's own, which no proxy can reach."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


async def _whole(stream: aiohttp.StreamReader) -> bytes:
    """A body to its end, in the pieces in which it came."""
    chunks, size = [], 0
    async for chunk in stream.iter_any():
        size += len(chunk)
        if size > LARGEST_BODY:
            raise TooLarge
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def proxy_of(url: str) -> tuple[str | None, dict[str, str] | None]:
    """The proxy that the environment names for this address, and what is to be said to it.

    Raises:
        ConfigError: it is none that HTTP goes through.
    """
    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_loopback(url) or proxy_bypass(parts.hostname or ""):
        return None, None
    split = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    bare = split._replace(netloc=split.netloc.rpartition("@")[2]).geturl()
    if split.scheme not in ("http", "https"):
        raise ConfigError(
            f"the environment names {bare} as the proxy for {parts.hostname}, wanted http://… "
            f"(HTTPS_PROXY, HTTP_PROXY, ALL_PROXY); NO_PROXY={parts.hostname} goes there without one"
        )
    if split.username is None:
        return bare, None
    told = aiohttp.encode_basic_auth(unquote(split.username), unquote(split.password or ""))
    return bare, {"Proxy-Authorization": told}
