"""Several servers of one model: who is asked, who is left out, and what a run leaves."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from app import additions, asking, metadata_of, parquets, rows_of, run
from fake_api import FakeApi

from bon_hydra.client import ChatClient
from bon_hydra.endpoints import FIRST_S, Endpoints, Home
from bon_hydra.failures import RequestFailed
from bon_hydra.schema import ModelConfig

BODY = {"model": "m", "messages": [{"role": "user", "content": "What is 1+2?"}]}


def clients(*urls: str) -> list[ChatClient]:
    return [ChatClient(ModelConfig(name="m", base_url=url), url, 4) for url in urls]


def test_the_least_busy_is_next_and_a_querys_candidates_stay_together() -> None:
    """Twelve queries of four candidates, all at once, over three servers."""

    async def work(*urls: str) -> None:
        endpoints = Endpoints(clients(*urls))
        homes = [Home() for _ in range(12)]
        bodies = [BODY | {"messages": [{"role": "user", "content": f"What is {number}?"}]} for number in range(12)]
        pairs = list(zip(bodies, homes, strict=True))
        await asyncio.gather(*(endpoints.complete(*pair) for pair in pairs))
        await asyncio.gather(*(endpoints.complete(*pair) for pair in 3 * pairs))
        await endpoints.close()

    with FakeApi(latency=0.05) as one, FakeApi(latency=0.05) as two, FakeApi(latency=0.05) as three:
        asyncio.run(work(one.url, two.url, three.url))
        for api in (one, two, three):
            assert sorted(Counter(request.question for request in api.requests).values()) == [4, 4, 4, 4]


def test_one_that_fails_is_left_out_for_a_while_and_then_tried_with_one_request() -> None:
    """Longer each time, until it answers."""
    clock = [100.0]

    async def work(good: FakeApi, bad: FakeApi) -> list[int]:
        endpoints = Endpoints(clients(good.url, bad.url), now=lambda: clock[0])
        seen = []

        async def ask() -> None:
            homes = [Home() for _ in range(4)]
            await asyncio.gather(*(endpoints.complete(BODY, home) for home in homes), return_exceptions=True)
            seen.append(len(bad.requests))

        await ask()  # two each: both of the bad one's fail
        await ask()
        clock[0] += 1.01 * FIRST_S
        await ask()
        clock[0] += 1.01 * FIRST_S
        await ask()
        clock[0] += 1.01 * FIRST_S
        await ask()  # the fourth is answered
        await ask()
        await endpoints.close()
        return seen

    with FakeApi(latency=0.05) as good, FakeApi(faults=["server_error"] * 3, latency=0.05) as bad:
        assert asyncio.run(work(good, bad)) == [2, 2, 3, 3, 4, 6]


def test_where_all_fail_the_one_that_comes_back_first_is_asked() -> None:
    """A run with nobody to ask still retries."""

    async def work(url: str) -> None:
        endpoints = Endpoints(clients(url, url))
        for _ in range(4):
            with pytest.raises(RequestFailed):
                await endpoints.complete(BODY, Home())
        await endpoints.close()

    with FakeApi(faults=lambda _: "server_error") as api:
        asyncio.run(work(api.url))
        assert len(api.requests) == 4


def overrides(folder: Path, *urls: str, **more: Any) -> list[str]:
    settings = [f"{key}={value}" for key, value in more.items()]
    return asking(f"[{','.join(urls)}]", additions(folder, 20), *settings)


def test_a_run_uses_all_its_endpoints_and_outlives_one_of_them(tmp_path: Path) -> None:
    """One is down from the start, one fails on the way; every candidate is there."""
    with FakeApi() as steady, FakeApi(faults=lambda r: "dropped" if r.order >= 10 else None) as failing:
        with FakeApi() as stopped:
            urls = (steady.url, failing.url, stopped.url)
        more = {"model.identity": "small", "num_candidates": 3, "model.choices_per_request": 1}
        ended = run(tmp_path, *overrides(tmp_path, *urls, **more))
        assert ended.returncode == 0, ended.stderr
        assert steady.choices == 60 - 10
        assert failing.choices == 10
    (parquet,) = parquets(tmp_path)
    rows, metadata = rows_of(parquet), metadata_of(parquet)
    assert len({(row["query_id"], row["candidate_idx"]) for row in rows}) == len(rows) == 60
    assert {row["error"] for row in rows} == {None}
    assert (metadata["identity"], metadata["base_url"]) == ("small", ", ".join(urls))


def refused(folder: Path, *arguments: str) -> str:
    ended = run(folder, *arguments)
    assert ended.returncode == 2, ended.stderr
    return ended.stderr


def test_a_list_needs_an_identity_and_holds_each_address_once(tmp_path: Path) -> None:
    """All said before anything is asked."""
    with FakeApi() as api:
        assert "model.identity: needs a value" in refused(tmp_path, *overrides(tmp_path, api.url, api.url + "2"))
        twice = overrides(tmp_path, api.url, api.url, **{"model.identity": "x"})
        assert "each address once" in refused(tmp_path, *twice)
        assert "model.base_url: got 'nowhere'" in refused(tmp_path, *overrides(tmp_path, api.url, "nowhere"))
        assert api.requests == []


def test_endpoints_that_serve_different_models_under_one_name_are_refused(tmp_path: Path) -> None:
    """As their `/models` say."""
    one, other = ({"id": "fake-model", "root": root} for root in ("/weights/a", "/weights/b"))
    with FakeApi(models=[one]) as first, FakeApi(models=[other]) as second:
        said = refused(tmp_path, *overrides(tmp_path, first.url, second.url, **{"model.identity": "x"}))
        assert "/weights/a" in said
        assert "/weights/b" in said


def test_replicas_of_vllm_get_a_querys_candidates_together_and_by_n(tmp_path: Path) -> None:
    """Twelve candidates are two requests to one replica, whose prefix cache holds their prompt; both replicas work."""
    with FakeApi(latency=0.02) as one, FakeApi(latency=0.02) as other:
        replicas = f"model.base_url=[{one.url},{other.url}]"
        arguments = asking(one.url, additions(tmp_path, 8), "model=vllm", replicas, "model.identity=small", "seed=1")
        ended = run(tmp_path, *arguments, "num_candidates=12", "model.choices_per_request=8", "model.api_key_env=null")
        assert ended.returncode == 0, ended.stderr
        asked = [Counter(request.question for request in api.requests) for api in (one, other)]
        sizes = Counter(request.body.get("n", 1) for api in (one, other) for request in api.requests)
    assert sizes == {8: 8, 4: 8}
    assert not asked[0].keys() & asked[1].keys()
    assert min(len(each) for each in asked) >= 2
    assert {*asked[0].values(), *asked[1].values()} == {2}
    assert len({row["seed"] for row in rows_of(parquets(tmp_path)[-1])}) == 8 * 12
