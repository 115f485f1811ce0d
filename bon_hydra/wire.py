"""The connections below the openai client: an httpx2 client that hands each request straight to aiohttp.

httpx2's own way there (merging what is the same in every request, parsing one address again and again, layers of
hooks) costs more CPU than aiohttp and the answer's reading together, see docs/performance.md. Knows addresses and
bytes; does not know what is asked.
"""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import httpx2
import yarl

LARGEST_BODY = 64 * 2**20
"""Bytes on the wire; an answer with the log probabilities of 32,000 tokens has less."""
MOST_REDIRECTS = 20
UNUSED_S = 4.0
"""How long a connection is kept for the next request: less than the 5 s after which uvicorn closes one."""


class Moved(Exception):
    """A redirect that is not followed; the message says where to."""


class TooLarge(Exception):
    """A body that does not end."""


class Wire(httpx2.AsyncClient):
    """An httpx2 client for whole addresses and bodies of bytes. Build it inside a running event loop.

    Args:
        url: which server; it decides whether a proxy that the environment names is used.
        connections: at the most, at once.
        connect_s: how long the server has to take a connection.

    What goes wrong on the way is raised as aiohttp raises it; Moved and TooLarge are ours.
    """

    def __init__(self, url: str, connections: int, connect_s: float) -> None:
        super().__init__(transport=httpx2.AsyncBaseTransport(), trust_env=False)
        self._accepted = ("Accept-Encoding", self.headers["Accept-Encoding"])
        self._proxy, self._proxy_headers = _proxy(url)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=connections, ssl=httpx2.create_ssl_context(), keepalive_timeout=UNUSED_S
            ),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=connect_s),
            auto_decompress=False,
        )

    def build_request(self, method: str, url: httpx2.URL | str, **given: Any) -> httpx2.Request:
        """The request as the openai client has put it together."""
        headers: Iterable[tuple[str, str]] = given["headers"]
        return httpx2.Request(method, _parsed(str(url)), headers=[*headers, self._accepted], content=given["content"])

    async def send(self, request: httpx2.Request, **_: Any) -> httpx2.Response:
        """The whole response; a redirect on the same server is followed."""
        for _turn in range(MOST_REDIRECTS):
            response = await self._send(request)
            if not response.has_redirect_location:
                return response
            refuse_to_leave(response)
            there = request.url.join(response.headers["location"])
            request = httpx2.Request(request.method, there, headers=request.headers, content=request.content)
        raise httpx2.TooManyRedirects("the server redirects in a circle", request=request)

    async def _send(self, request: httpx2.Request) -> httpx2.Response:
        async with self._session.request(
            request.method,
            _address(request.url),
            headers=request.headers.multi_items(),
            data=request.content,
            allow_redirects=False,
            proxy=self._proxy,
            proxy_headers=self._proxy_headers,
        ) as answer:
            body = await _whole(answer.content)
        return httpx2.Response(answer.status, headers=answer.raw_headers, content=body, request=request)

    async def aclose(self) -> None:
        """Closes the connections."""
        await self._session.close()
        await super().aclose()


def refuse_to_leave(response: httpx2.Response) -> None:
    """Raises Moved at a redirect to elsewhere, where key and prompts must not go, or one that turns POST into GET."""
    if not response.has_redirect_location:
        return
    here, there = response.request.url, response.request.url.join(response.headers["location"])
    same_place = (here.scheme, here.host, here.port) == (there.scheme, there.host, there.port)
    if not same_place or (response.request.method == "POST" and response.status_code not in (307, 308)):
        base = str(there.copy_with(query=None, fragment=None)).removesuffix("/chat/completions").removesuffix("/models")
        raise Moved(
            f"the server redirects to {base} (HTTP {response.status_code}), which is not followed: "
            f"if you trust that address, set model.base_url={base}"
        )


def is_loopback(url: str) -> bool:
    """Whether the address is this machine's own, which no proxy can reach."""
    host = urlsplit(url).hostname or ""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_parsed = functools.lru_cache(16)(httpx2.URL)


@functools.lru_cache(16)
def _address(url: httpx2.URL) -> yarl.URL:
    return yarl.URL(str(url))


async def _whole(stream: aiohttp.StreamReader) -> bytes:
    """A body to its end, in the pieces in which it came."""
    chunks, size = [], 0
    async for chunk in stream.iter_any():
        size += len(chunk)
        if size > LARGEST_BODY:
            raise TooLarge
        chunks.append(chunk)
    return b"".join(chunks)


def _proxy(url: str) -> tuple[str | None, dict[str, str] | None]:
    """The proxy that the environment names for this address, and what is to be said to it."""
    parts, proxies = urlsplit(url), getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or is_loopback(url) or proxy_bypass(parts.hostname or ""):
        return None, None
    split = urlsplit(proxy if "://" in proxy else f"http://{proxy}")
    if split.username is None:
        return split.geturl(), None
    bare = split._replace(netloc=split.netloc.rpartition("@")[2]).geturl()
    told = aiohttp.encode_basic_auth(unquote(split.username), unquote(split.password or ""))
    return bare, {"Proxy-Authorization": told}
