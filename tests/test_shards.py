"""A data set divided among runs, and their files joined again: what one run would have asked and written."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from app import additions, asking, metadata_of, parquets, rows_of, run, sum_of
from bon_command import bon
from fake_api import FakeApi
from sample_runs import METADATA, judged, write

from bon_hydra.merge import merge
from bon_hydra.saved import config_from, resolved_yaml
from bon_hydra.schema import Config, ConfigError, DatasetConfig, ModelConfig
from bon_hydra.shards import Shard, shard_of

OF_THE_RUN = {"created_at", "latency_s", "run_id", "request_id", "cached_tokens"}
"""Columns that differ from run to run: times, ids, and what the server remembered of earlier ones."""
CONFIG = Config(
    dataset=DatasetConfig(path="demo", format="nemotron"), model=ModelConfig(name="mock", base_url="http://x/v1")
)


def shard(path: Path, part: str | None, names: list[str], **changes: Any) -> Path:
    """The file of one shard with these queries, two candidates each."""
    metadata: dict[str, str] = {name: changes.pop(name) for name in {"status", "identity"} & changes.keys()}
    config = replace(CONFIG, dataset=replace(CONFIG.dataset, shard=part), **changes)
    return write(path, [replaced(name) for name in names], described(config, metadata))


def replaced(name: str) -> Any:
    query = judged(name, ["pass", "fail"])
    return replace(query, query=replace(query.query, query_id=f"{int(name):016x}"))


def described(config: Config, more: dict[str, str]) -> dict[str, str]:
    own = {"config_yaml": resolved_yaml(config), "status": "complete", "run_id": "r", "started_at": "2026-11-23"}
    return METADATA | own | {"sandbox_level": "none", "totals": '{"candidates": 4, "cost_usd": 0.5}'} | more


def test_the_parts_are_the_whole_and_share_nothing() -> None:
    """Whatever the number of queries; each part knows its size."""
    for queries in range(20):
        for of in range(1, 9):
            parts = [[p for p in range(queries) if Shard(number, of).has(p)] for number in range(1, of + 1)]
            assert sorted(position for part in parts for position in part) == list(range(queries))
            assert [len(part) for part in parts] == [Shard(number, of).size(queries) for number in range(1, of + 1)]


@pytest.mark.parametrize("text", ["0/4", "5/4", "1", "1/0", "a/b", "-1/2", "1/2/3"])
def test_what_is_no_shard_is_refused(text: str) -> None:
    """In one line that names the key."""
    with pytest.raises(ConfigError, match=r"dataset\.shard: got .*, wanted i/k"):
        shard_of(text)


def test_two_shards_joined_are_the_file_of_one_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every column but times and ids, in the same order; the counts of both, and a configuration of the whole."""
    with FakeApi(reply=sum_of) as api:
        arguments = asking(api.url, additions(tmp_path, 7), "num_candidates=2", "max_queries=5")
        for part in ("null", "2/2", "1/2"):  # each into a store of its own, so that none lives on another's answers
            done = run(tmp_path, *arguments, f"dataset.shard={part}", f"output.store=store-{part[0]}.sqlite")
            assert done.returncode == 0, done.stderr
        assert len(api.requests) == 2 * 5 * 2
    whole, second, first = parquets(tmp_path)
    assert [len(rows_of(path)) for path in (whole, first, second)] == [10, 6, 4]
    out = tmp_path / "all.parquet"
    assert bon(capsys, "merge", second, first, "-o", out) == (0, f"{out}: 2 shards, 5 queries, 10 candidates\n", "")
    joined = rows_of(out)
    for one, other in zip(rows_of(whole), joined, strict=True):
        assert {name: one[name] for name in one.keys() - OF_THE_RUN} == {
            name: other[name] for name in other.keys() - OF_THE_RUN
        }
    config = config_from(metadata_of(out)["config_yaml"], "joined")
    assert (config.dataset.shard, metadata_of(out)["total_records"]) == (None, "10")


def test_what_does_not_belong_together_is_refused_and_leaves_no_file(tmp_path: Path) -> None:
    """Overlaps, gaps, other configurations, early ends; each says which file and what is wrong."""
    one = shard(tmp_path / "one.parquet", "1/2", ["1", "3"])
    wrong = {
        "shards are missing: 2/2": [one],
        "are both shard 1/2": [one, shard(tmp_path / "same.parquet", "1/2", ["5"])],
        "two divisions": [one, shard(tmp_path / "third.parquet", "2/3", ["2"])],
        "is no shard but the whole": [one, shard(tmp_path / "whole.parquet", None, ["2"])],
        "query 0000000000000003 of math is in another shard too": [
            one,
            shard(tmp_path / "overlap.parquet", "2/2", ["2", "3"]),
        ],
        "temperature: is 0.7 in .* and 1.0 in": [one, shard(tmp_path / "hot.parquet", "2/2", ["2"], temperature=1.0)],
        "identity: is None in .* and 'other' in": [one, shard(tmp_path / "id.parquet", "2/2", ["2"], identity="other")],
        r"ended early \(interrupted\); first: bon resume": [
            one,
            shard(tmp_path / "early.parquet", "2/2", ["2"], status="interrupted"),
        ],
        "one is missing in .*short.parquet": [
            shard(tmp_path / "long.parquet", "1/2", ["1", "3", "5"]),
            shard(tmp_path / "short.parquet", "2/2", ["2"]),
        ],
    }
    for message, paths in wrong.items():
        with pytest.raises(ConfigError, match=message):
            merge([str(path) for path in paths], str(tmp_path / "all.parquet"))
        assert not (tmp_path / "all.parquet").exists()
    other = shard(tmp_path / "two.parquet", "2/2", ["2"], notes="another", concurrency=3)
    assert merge([str(one), str(other)], str(tmp_path / "all.parquet")).candidates == 6
    assert [row["query_id"][-1] for row in rows_of(tmp_path / "all.parquet")] == list("112233")
    with pytest.raises(ConfigError, match="is there already"):
        merge([str(one), str(other)], str(tmp_path / "all.parquet"))
