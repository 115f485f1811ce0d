"""The files of a data set's shards joined into one, as a run without shards would have written it.

Knows runs and what makes two of them one; reads and writes a query at a time, whatever the files' size.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bon_hydra.names import dotted, is_url
from bon_hydra.publishing import put_file
from bon_hydra.queries.dedupe import Seen
from bon_hydra.results import write_tables
from bon_hydra.runs import Rows, find_runs, json_object, read_metadata, read_queries
from bon_hydra.saved import config_from, resolved_yaml
from bon_hydra.schema import Config, ConfigError
from bon_hydra.shards import WHOLE, Shard, shard_of

MAY_DIFFER = (
    *("output", "runner.name", "runner.workers", "runner.address", "concurrency", "notes", "budget_usd", "dry_run"),
    *("dataset.shard", "model.base_url", "model.api_key_env", "model.requests_per_minute", "model.tokens_per_minute"),
    *("model.timeout_s", "model.max_retries", "model.choices_per_request", "model.gguf"),
)
"""Keys that say where and how fast a shard was drawn, not what; the model is known by its identity."""
SAME = ("identity", "dataset_revision")
"""Of a file's metadata."""
WHOLE_STATUS = ("complete", "partial")
"""Such runs have a row for each of their candidates."""
READ = ("rows_read", "distinct", "duplicates", "disagreeing", "skipped", "sample")
"""Of the metadata's totals: each shard has read the same rows."""


@dataclass(frozen=True)
class _Part:
    path: Path
    shard: Shard
    config: Config
    metadata: dict[str, str]


@dataclass
class Merged:
    """What was joined."""

    shards: int
    queries: int = 0
    candidates: int = 0
    scored: int = 0
    verified: int = 0


def merge(specs: Sequence[str], output: str) -> Merged:
    """Joins the runs that `specs` stand for; `output`, a path or a URL, is there whole, or not at all.

    Raises:
        ConfigError: they are not all the shards of one configuration, each once and run to its end; or there is
            something at `output`.
    """
    if is_url(output):
        with TemporaryDirectory() as folder:
            merged = merge(specs, f"{folder}/{Path(output).name}")
            put_file(Path(folder) / Path(output).name, output)
        return merged
    out = Path(output)
    if out.exists():
        raise ConfigError(f"{out}: is there already; name another file, or move it")
    parts = sorted((_part(path) for path in find_runs(specs)), key=lambda part: part.shard)
    _refuse_gaps(parts)
    for other in parts[1:]:
        _refuse_difference(parts[0], other)
    merged = Merged(len(parts))
    out.parent.mkdir(parents=True, exist_ok=True)
    write_tables(out, _joined(parts, merged), lambda: _metadata(parts, merged))
    return merged


def _part(path: Path) -> _Part:
    metadata = read_metadata(path)
    if "config_yaml" not in metadata:
        raise ConfigError(f"{path}: says nothing of its configuration, so it cannot be joined with others")
    config = config_from(metadata["config_yaml"], f"{path}: config_yaml")
    shard = shard_of(config.dataset.shard)
    if shard == WHOLE:
        raise ConfigError(f"{path}: is no shard but the whole (its dataset.shard is {config.dataset.shard or 'null'})")
    if metadata.get("status") not in WHOLE_STATUS:
        raise ConfigError(f"{path}: this run ended early ({metadata.get('status')}); first: bon resume {path.parent}")
    return _Part(path, shard, config, metadata)


def _refuse_gaps(parts: Sequence[_Part]) -> None:
    of = parts[0].shard.of
    for one, next_one in pairwise(parts):
        if next_one.shard.of != of:
            raise ConfigError(f"{one.path} is shard {one.shard} and {next_one.path} is {next_one.shard}: two divisions")
        if next_one.shard == one.shard:
            raise ConfigError(f"{one.path} and {next_one.path} are both shard {one.shard}: the same queries twice")
    missing = [str(Shard(number, of)) for number in range(1, of + 1) if number not in {p.shard.number for p in parts}]
    if missing:
        raise ConfigError(f"shards are missing: {', '.join(missing[:20])}{' …' if len(missing) > 20 else ''}")


def _refuse_difference(one: _Part, other: _Part) -> None:
    left, right = dict(dotted(asdict(one.config))), dict(dotted(asdict(other.config)))
    left |= {name: one.metadata.get(name) for name in SAME}
    right |= {name: other.metadata.get(name) for name in SAME}
    for key in left | right:
        if not any(f"{key}.".startswith(f"{name}.") for name in MAY_DIFFER) and left.get(key) != right.get(key):
            raise ConfigError(
                f"{key}: is {left.get(key)!r} in {one.path} and {right.get(key)!r} in {other.path}; "
                "shards of different configurations are not joined"
            )


def _joined(parts: Sequence[_Part], merged: Merged) -> Iterator[tuple[Any, int]]:
    """Every query's rows as an Arrow table with its bytes: split after split, the shards in turn."""
    reading = [read_queries(part.path) for part in parts]
    heads = [next(queries, None) for queries in reading]
    seen: dict[str, Seen] = {}
    for split in parts[0].metadata["splits"].split(","):
        position = 0
        while (head := heads[turn := position % len(parts)]) is not None and head.split == split:
            if seen.setdefault(split, Seen()).add(int(head.query_id, 16), turn) is not None:
                raise ConfigError(f"{parts[turn].path}: query {head.query_id} of {split} is in another shard too")
            _count(merged, head)
            yield head.table, head.nbytes
            heads[turn] = next(reading[turn], None)
            position += 1
        for part, left in zip(parts, heads, strict=True):
            if left is not None and left.split == split:
                raise ConfigError(
                    f"{part.path}: has more queries of {split} than shards of one data set could have; "
                    f"one is missing in {parts[turn].path}"
                )
    for part, left in zip(parts, heads, strict=True):
        if left is not None:
            raise ConfigError(f"{part.path}: has queries of {left.split} out of place")


def _count(merged: Merged, rows: Rows) -> None:
    merged.queries += 1
    merged.candidates += rows.table.num_rows
    merged.scored += sum(rows.table.column("is_scored").to_pylist())
    merged.verified += sum(rows.table.column("is_verified").to_pylist())


def _metadata(parts: Sequence[_Part], merged: Merged) -> dict[str, str]:
    first = parts[0]
    budgets = [part.config.budget_usd for part in parts]
    whole = None if None in budgets else sum(budget or 0.0 for budget in budgets)
    config = replace(first.config, dataset=replace(first.config.dataset, shard=None), budget_usd=whole)
    statuses = {part.metadata["status"] for part in parts}
    return first.metadata | {
        "config_yaml": resolved_yaml(config),
        "run_id": ",".join(part.metadata["run_id"] for part in parts),
        "started_at": min(part.metadata["started_at"] for part in parts),
        "generated_at": datetime.now(UTC).isoformat(),
        "status": "complete" if statuses == {"complete"} else "partial",
        "sandbox_level": ", ".join(sorted({part.metadata["sandbox_level"] for part in parts})),
        "totals": json.dumps(_totals([json_object(part.metadata.get("totals")) for part in parts], merged)),
    }


def _totals(of: Sequence[Mapping[str, Any]], merged: Merged) -> dict[str, Any]:
    """What the shards paid and did together; a sum of which one part is unknown is unknown."""
    totals: dict[str, Any] = {}
    for name in of[0]:
        values = [one.get(name) for one in of]
        known = [value for value in values if value is not None]
        if name in READ:
            totals[name] = values[0]
        elif name == "verification_rate":
            totals[name] = merged.verified / merged.scored if merged.scored else None
        elif name == "refused_for":
            totals[name] = dict(sum(map(Counter, known), Counter()))
        elif name in ("reused_from", "reused_to"):
            totals[name] = (min if name == "reused_from" else max)(known, default=None)
        else:
            totals[name] = sum(known) if len(known) == len(values) else None
    return totals
