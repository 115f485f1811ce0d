"""A run on a real Ray cluster of three nodes: the same file as on one machine, whatever happens to the nodes."""

from __future__ import annotations

import importlib.util
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from app import parquets, rows_of, run, start
from fake_api import FakeApi, Request
from processes import eventually

from bon_hydra.cluster import start as cluster_start
from bon_hydra.queries.load import open_queries
from bon_hydra.schema import ConfigError, DatasetConfig

NODE: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
OF_THE_RUN = {"created_at", "latency_s", "run_id", "request_id", "attempts"}
"""Columns that differ from run to run: times, ids and attempts."""


class Nodes:
    """The cluster: a head, a node that may be killed, and one that has no sandbox."""

    def __init__(self, folder: Path) -> None:
        from ray.cluster_utils import Cluster

        quickly = {
            "health_check_initial_delay_ms": 0,
            "health_check_period_ms": 500,
            "health_check_failure_threshold": 3,
        }
        self._cluster = Cluster(True, head_node_args=NODE | {"_system_config": quickly})
        (folder / "sitecustomize.py").write_text(
            "import bon_hydra.sandbox.probe\nbon_hydra.sandbox.probe._why_not = lambda level: 'not on this node'\n"
        )
        self._cluster.add_node(**NODE, env_vars={"PYTHONPATH": str(folder)})
        self._others = [self._cluster.add_node(**NODE)]
        self.address: str = self._cluster.address

    def kill_one(self) -> None:
        """As a machine disappears."""
        self._cluster.remove_node(self._others.pop(), allow_graceful=False)

    def end(self) -> None:
        self._cluster.shutdown()  # type: ignore[no-untyped-call]


@pytest.fixture(scope="module")
def nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Nodes]:
    found = Nodes(tmp_path_factory.mktemp("node"))
    yield found
    found.end()


def answers() -> Callable[[Request, int], str]:
    """Right and wrong answers to the demo's math and code, as the candidate's seed has it."""
    right = {}
    for query in open_queries(DatasetConfig(path="demo", format="nemotron"), ["math", "code"], None):
        solution = query.row["messages"][1]["content"]
        right[query.question] = solution if query.split == "code" else f"So it is \\boxed{{{query.reference}}}."
    wrong = "```python\ndef f(*given):\n    return None\n```\nor \\boxed{-77}"

    def answer(request: Request, choice: int) -> str:
        question = next(text for text in right if text in request.question)
        return right[question] if (request.seed(choice) or 0) % 3 else wrong

    return answer


def asking(url: str, *more: str) -> list[str]:
    model = ["model=openai-compatible", f"model.base_url={url}", "model.name=m", "seed=7", "splits=[math,code]"]
    return ["dataset=demo", *model, "num_candidates=4", "model.choices_per_request=4", *more]


def ran(folder: Path, *arguments: str) -> tuple[list[dict[str, Any]], str]:
    """The rows of a run in a folder of its own, and what it said on the way."""
    folder.mkdir()
    done = run(folder, *arguments)
    assert done.returncode == 0, done.stderr
    return rows_of(parquets(folder)[-1]), done.stderr


def test_a_cluster_leaves_the_same_file_as_one_machine(tmp_path: Path, nodes: Nodes) -> None:
    """In every column but times, ids and attempts; a node without a sandbox is refused, its share judged elsewhere."""
    with FakeApi(reply=answers()) as api:
        here, _ = ran(tmp_path / "here", *asking(api.url))
    with FakeApi(reply=answers(), port=int(api.url.split(":")[2].split("/")[0])) as again:
        there, said = ran(tmp_path / "there", *asking(again.url, "runner=ray", f"runner.address={nodes.address}"))
    assert "refused as a worker: " in said
    assert "programs cannot be isolated on this machine (namespaces: not on this node; landlock: not on" in said
    assert {row["verdict"] for row in here} == {"pass", "fail"}
    assert len(here) == 2 * 8 * 4
    for one, other in zip(here, there, strict=True):
        assert {name: one[name] for name in one.keys() - OF_THE_RUN} == {
            name: other[name] for name in other.keys() - OF_THE_RUN
        }


def test_a_killed_driver_and_a_node_that_disappears_take_no_answer_with_them(tmp_path: Path, nodes: Nodes) -> None:
    """`bon resume` goes on, on the same cluster; nothing is missing or double, and of what had arrived nothing is asked
    again: at most what was in flight."""
    answer, killing = answers(), threading.Thread(target=nodes.kill_one)
    log = tmp_path / "outputs" / "latest" / "run.log"
    concurrency = 4
    workers = 3 + 2  # all nodes ask, those with a sandbox judge

    def killing_both(request: Request, choice: int) -> str:
        if request.order in (8, 30):  # the answers wait until all are there, in each sitting
            assert eventually(lambda: log.read_text().count("joined") >= workers * (1 if request.order == 8 else 2))
        if request.order == 20:
            driver.kill()
        if request.order == 32:
            killing.start()
        if request.order == 50:
            assert eventually(lambda: "was lost; 2 of its kind are left" in log.read_text())
        return answer(request, choice)

    with FakeApi(reply=killing_both, latency=0.05) as api:
        more = ["model.choices_per_request=1", f"concurrency={concurrency}", f"runner.address={nodes.address}"]
        driver = start(tmp_path, *asking(api.url, *more, "runner=ray"))
        driver.communicate()
        resumed = run(tmp_path, "resume", "outputs/latest", module="bon_hydra.cli")
        assert resumed.returncode == 0, resumed.stderr
        killing.join()
        asked = Counter((request.question, request.seed()) for request in api.requests)
    rows = rows_of(parquets(tmp_path)[-1])
    assert len({(row["query_id"], row["candidate_idx"]) for row in rows}) == len(rows) == len(asked) == 2 * 8 * 4
    assert {row["verdict"] for row in rows} == {"pass", "fail"}
    assert asked.total() - len(asked) <= 2 * concurrency


def test_a_cluster_that_cannot_be_joined_is_refused_in_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without Ray it says which command installs it."""
    with pytest.raises(ConfigError, match=r"runner\.address: nobody answers at 127\.0\.0\.1:9 .*ray start --head"):
        cluster_start.connect("127.0.0.1:9")
    with pytest.raises(ConfigError, match=r"runner\.address: got ray://head:10001, wanted host:port, auto, or null"):
        cluster_start.connect("ray://head:10001")
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    with pytest.raises(ConfigError, match=r"runner=ray: needs .*: pip install 'bon_hydra\[ray\]'"):
        cluster_start.connect(None)
