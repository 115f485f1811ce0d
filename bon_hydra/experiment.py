"""One run from its first query to its summary. Read it from top to bottom.

Queries stream in; each is rendered, drawn N times (from the store or the model), judged, and written in
order. The store is what makes a run durable: this file may die at any line, and the same run started again
meets its own answers there.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

from rich.console import Console

from bon_hydra import __version__, prompts
from bon_hydra.limits import Budget, Limits
from bon_hydra.names import parquet_path
from bon_hydra.preflight import Prepared
from bon_hydra.queries.load import DatasetError, QuerySource
from bon_hydra.records import Judged, Query
from bon_hydra.report.progress import RunProgress
from bon_hydra.report.summary import write_summary
from bon_hydra.report.tables import console, final_table
from bon_hydra.results import ResultsWriter, RunFields
from bon_hydra.sampling import Halt, Sampler
from bon_hydra.saved import resolved_yaml
from bon_hydra.schema import Config, ConfigError
from bon_hydra.server import client_when_needed
from bon_hydra.store import CandidateStore
from bon_hydra.verifiers.pool import Judges

log = logging.getLogger(__name__)

EXIT_CODES = {"complete": 0, "failed": 1, "partial": 3, "budget_reached": 3, "interrupted": 130}
GRACE_S = 10.0
"""How long requests in flight may go on after Ctrl-C."""
PACKAGES = ("hydra-core", "omegaconf", "openai", "datasets", "pyarrow", "pandas", "aiolimiter", "math-verify", "sympy")


@dataclass(frozen=True)
class Origin:
    """Where a run's configuration came from."""

    overrides: tuple[str, ...]
    config_file: str


def run(prepared: Prepared, folder: Path, origin: Origin) -> int:
    """Runs the experiment in its folder and prints its figures; returns the exit code of how it ended."""
    started_at = datetime.now(UTC)
    run_id = f"{started_at:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"
    resolved = resolved_yaml(prepared.config)
    (folder / "resolved.yaml").write_text(resolved, encoding="utf-8")
    running = {"status": "running", "run_id": run_id, "started_at": started_at.isoformat(), "pid": os.getpid()}
    (folder / "summary.json").write_text(_json(running) + "\n", encoding="utf-8")
    metadata = _metadata(prepared, origin, run_id, started_at, resolved)

    with asyncio.Runner(loop_factory=_fastest_loop()) as loop:
        parquet, status, message = loop.run(_run(prepared, folder, run_id, metadata))

    console().print(final_table(write_summary(parquet, status)))
    _say_goodbye(folder, status, message)
    return EXIT_CODES[status]


async def _run(prepared: Prepared, folder: Path, run_id: str, metadata: dict[str, str]) -> tuple[Path, str, str]:
    """The run itself; returns its parquet file, its status, and why it ended early if it did."""
    config, source = prepared.config, prepared.source
    parquet = parquet_path(config, folder)
    parquet.parent.mkdir(parents=True, exist_ok=True)
    store_path = Path(config.output.store) if config.output.store else folder / "store.sqlite"
    halt = Halt()
    started = time.monotonic()
    # Enough queries at once to fill all slots while others are judged; they bound what is in memory.
    window = asyncio.Semaphore(2 * config.concurrency + 8)

    with ExitStack() as resources:
        store = resources.enter_context(CandidateStore(store_path))
        writer = resources.enter_context(
            ResultsWriter(parquet, RunFields(run_id, config.model.name or "", config.temperature))
        )
        writing = resources.enter_context(ThreadPoolExecutor(1, "results"))
        progress = resources.enter_context(RunProgress(_expected(config, len(source.splits))))
        _say_hello(progress, prepared, folder)
        async with AsyncExitStack() as services:
            workers = config.runner.workers or min(8, os.cpu_count() or 1)
            judges = await services.enter_async_context(Judges(workers, sandbox=config.runner.sandbox))
            open_client = await services.enter_async_context(client_when_needed(config, progress.say))
            limits = Limits(config.concurrency, config.model.requests_per_minute, config.model.tokens_per_minute)
            sampler = Sampler(
                config,
                run_id,
                prepared.identity,
                store,
                limits,
                Budget(config.budget_usd),
                prepared.prices,
                halt,
                open_client,
            )
            resources.enter_context(_stopping_on_signals(halt, sampler, progress))

            async def one_query(order: int, query: Query) -> None:
                try:
                    messages = prompts.render(query, config.prompt)
                    candidates = await sampler.draw(query, messages)
                    if candidates:
                        verdicts, classes = await judges.judge(query, candidates)
                        judged = Judged(query, _json(messages), tuple(candidates), tuple(verdicts), tuple(classes))
                        await asyncio.get_running_loop().run_in_executor(writing, writer.put, order, judged)
                except ConfigError as error:  # a template that fits the first row need not fit every row
                    halt.now("failed", str(error))
                finally:
                    window.release()

            watching = asyncio.create_task(_watch(progress, writer, sampler))
            async with asyncio.TaskGroup() as queries:
                asked = 0
                try:
                    async for query in _in_a_thread(iter(source)):
                        await window.acquire()
                        if halt.event.is_set():
                            break
                        queries.create_task(one_query(asked, query))
                        asked += 1
                except DatasetError as error:
                    halt.now("failed", str(error))
                progress.expect(asked * config.num_candidates)
            watching.cancel()
            _show(progress, writer, sampler)

        status = halt.status or ("partial" if sampler.tally.missing else "complete")
        tally = sampler.tally
        totals = {
            **tally.totals(),
            **_read(source),
            "candidates": writer.tally.candidates,
            "verification_rate": writer.tally.verified / writer.tally.scored if writer.tally.scored else None,
            "seconds": round(time.monotonic() - started, 3),
        }
        writer.close(
            metadata | {"status": status, "totals": _json(totals), "generated_at": datetime.now(UTC).isoformat()}
        )
    if config.output.store is None and status == "complete":
        for file in folder.glob("store.sqlite*"):
            file.unlink()
    log.info("%s: %s", status, _json(totals))
    return _linked(parquet, folder), status, halt.message


def _fastest_loop() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # Windows has none
        return None
    return uvloop.new_event_loop


async def _in_a_thread(queries: Iterator[Query]) -> AsyncIterator[Query]:
    """Queries as they are read by a thread of their own, a few at a time, the first at once."""
    loop = asyncio.get_running_loop()
    with ThreadPoolExecutor(1, "queries") as reading:
        for size in chain([1, 2, 4, 8, 16, 32], repeat(64)):
            batch = await loop.run_in_executor(reading, list, islice(queries, size))
            if not batch:
                return
            for query in batch:
                yield query


@contextmanager
def _stopping_on_signals(halt: Halt, sampler: Sampler, progress: RunProgress) -> Iterator[None]:
    """Ctrl-C or SIGTERM once: nothing new is asked and what is in flight may finish. Twice: at once."""
    loop = asyncio.get_running_loop()

    def stop() -> None:
        if halt.event.is_set():
            os._exit(130)
        halt.now("interrupted", "stopped by a signal")
        progress.say(f"stopping: nothing new is asked; what is in flight has {GRACE_S:.0f} s (again Ctrl-C: at once)")
        loop.call_later(GRACE_S, sampler.give_up)

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        yield
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)


async def _watch(progress: RunProgress, writer: ResultsWriter, sampler: Sampler) -> None:
    """Keeps the display up to date until it is cancelled."""
    while True:
        _show(progress, writer, sampler)
        await asyncio.sleep(0.2)


def _show(progress: RunProgress, writer: ResultsWriter, sampler: Sampler) -> None:
    tally, failed = writer.tally, sampler.tally.failed_attempts
    extra = f"{failed} failed attempts" if failed else ""
    progress.show(tally.candidates, tally.scored, tally.verified, sampler.tally.cost(), extra)


def _expected(config: Config, splits: int) -> int | None:
    return config.max_queries * splits * config.num_candidates if config.max_queries else None


def _read(source: QuerySource) -> dict[str, Any]:
    """What was read of the data set, over all splits, and how each split was sampled."""
    counts = source.counts.values()
    names = ("rows_read", "distinct", "duplicates", "disagreeing", "skipped")
    sums: dict[str, Any] = {name: sum(getattr(one, name) for one in counts) for name in names}
    return sums | {"sample": {split: one.sample for split, one in source.counts.items()}}


def _metadata(prepared: Prepared, origin: Origin, run_id: str, started_at: datetime, resolved: str) -> dict[str, str]:
    config = prepared.config
    return {
        "model": config.model.name or "",
        "num_candidates": str(config.num_candidates),
        "temperature": "null" if config.temperature is None else str(config.temperature),
        "splits": ",".join(prepared.source.splits),
        "config_file": origin.config_file,
        "notes": config.notes,
        "config_yaml": resolved,
        "experiment": config.experiment_name or "",
        "overrides": _json(list(origin.overrides)),
        "run_id": run_id,
        "started_at": started_at.isoformat(),
        "dataset": config.dataset.path,
        "dataset_revision": prepared.source.revision,
        "base_url": config.model.base_url,
        "identity": prepared.identity,
        "sandbox_level": prepared.sandbox_level,
        "bon_hydra_version": __version__,
        "git_commit": _git_commit(),
        "packages": _json({name: _version(name) for name in PACKAGES} | {"python": sys.version.split()[0]}),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _git_commit() -> str:
    """The commit of the working directory, with `-dirty` where files differ from it; empty outside of git."""
    try:
        describe = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
        return subprocess.run(describe, capture_output=True, text=True, timeout=10, check=False).stdout.strip()
    except (OSError, subprocess.TimeoutExpired):
        return ""


def _say_hello(progress: RunProgress, prepared: Prepared, folder: Path) -> None:
    config = prepared.config
    most = "all" if config.max_queries is None else f"up to {config.max_queries}"
    progress.say(
        f"{config.experiment_name}: {most} queries of each of {', '.join(prepared.source.splits)} "
        f"x N={config.num_candidates}, asking {config.model.name} at {config.model.base_url}, "
        f"{config.concurrency} at once"
    )
    if prepared.sandbox_level != "none":
        progress.say(f"code of the model's runs in the sandbox at level {prepared.sandbox_level}")
    if prepared.unreachable:
        progress.say(
            f"warning: {config.model.base_url} does not answer ({prepared.unreachable}); "
            "every candidate is in the store already"
        )
    if config.temperature == 0 and config.num_candidates > 1:
        progress.say(
            f"warning: temperature 0 with N={config.num_candidates} draws (nearly) the same answer again and again"
        )
    progress.say(f"results go to {folder}")


def _say_goodbye(folder: Path, status: str, message: str) -> None:
    terminal = Console(stderr=True, highlight=False, markup=False, emoji=False)  # a server's words are no markup
    if message:
        terminal.print(f"{status}: {message}", style="bold red", soft_wrap=True)
    if status != "complete":
        kept = "What arrived is kept: the same command again asks for the rest only."
        terminal.print(kept, soft_wrap=True)
    relative = os.path.relpath(folder)
    shown = shlex.quote(str(folder) if relative.startswith("..") else relative)
    terminal.print(f"bon inspect {shown}    bon show {shown}", style="dim", soft_wrap=True)


def _linked(parquet: Path, folder: Path) -> Path:
    """Where `output.file` is a path, a link stands in the run folder."""
    if parquet.parent != folder:
        link = folder / parquet.name
        link.unlink(missing_ok=True)
        link.symlink_to(parquet)
        return link
    return parquet


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
