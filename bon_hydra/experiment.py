"""One run from its first query to its summary. Read it from top to bottom.

Queries stream in; each is rendered, drawn N times (from the store or the model), judged, and written in
order. The store is what makes a run durable: this file may die at any line, and the same run started again
meets its own answers there.
"""

from __future__ import annotations

import asyncio
import gc
import json
import logging
import os
import signal
import time
import uuid
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from itertools import chain, islice, repeat
from pathlib import Path
from typing import Any

from bon_hydra import __version__, prompts
from bon_hydra.budget import Budget
from bon_hydra.halt import Halt
from bon_hydra.limits import Limits
from bon_hydra.names import dataset_name, is_url, parquet_path, shown_path, store_file
from bon_hydra.plan import FirstLook, earlier_answers, first_look, forecast, reused, told
from bon_hydra.preflight import Prepared
from bon_hydra.publishing import publish
from bon_hydra.queries.load import DatasetError, QuerySource
from bon_hydra.records import Judged, Query
from bon_hydra.report.progress import RunProgress
from bon_hydra.report.summary import write_summary
from bon_hydra.report.tables import console, final_table
from bon_hydra.report.terminal import Terminal
from bon_hydra.results import ResultsWriter, RunFields, Tally
from bon_hydra.runners import workforce
from bon_hydra.running import at_work
from bon_hydra.sampling import Asked, Sampler
from bon_hydra.saved import replace_file, resolved_yaml
from bon_hydra.schema import Config, ConfigError, in_one_line
from bon_hydra.server import client_when_needed
from bon_hydra.shards import shard_of
from bon_hydra.store import CandidateStore, Stored, StoreFailed
from bon_hydra.store.candidates import Done
from bon_hydra.trackers import tracked
from bon_hydra.verifiers.pool import Judges
from bon_hydra.versions import git_commit, packages

log = logging.getLogger(__name__)

EXIT_CODES = {"complete": 0, "failed": 1, "partial": 3, "budget_reached": 3, "interrupted": 130}
GRACE_S = 10.0
"""How long requests in flight may go on after Ctrl-C."""


@dataclass(frozen=True)
class Origin:
    """Where a run's configuration came from, and which run it is: a new one, or one that is gone on with."""

    overrides: tuple[str, ...]
    config_file: str
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    run_id: str = ""
    seconds: float = 0.0
    """What earlier sittings took."""
    account: str = ""
    """Whose budget it is: a sweep's, else the run's own."""
    side_by_side: int = 1
    """So many runs share the rate limits."""
    store: Path | None = None
    """The candidate store, where a sweep's job cannot use `output.store`."""
    sweep: str = ""
    """The sweep it is a job of, by its id."""


def run(prepared: Prepared, folder: Path, origin: Origin) -> Ending:
    """Runs the experiment in its folder, prints its figures, and returns how it ended.

    Raises:
        ConfigError: another process is at work in the folder; the store or the parquet file cannot be opened.
    """
    logging.raiseExceptions = False  # a log that meets a full disk has nothing to add to what the run says of it
    origin = origin if origin.run_id else replace(origin, run_id=_new_run_id(origin.started_at))
    origin = origin if origin.account else replace(origin, account=origin.run_id)
    resolved = resolved_yaml(prepared.config)
    with at_work(folder):
        replace_file(folder / "resolved.yaml", resolved)
        metadata = _metadata(prepared, origin, resolved)
        running = {"status": "running", "run_id": origin.run_id, "started_at": metadata["started_at"]}
        replace_file(folder / "summary.json", _json({**running, "pid": os.getpid(), "metadata": metadata}) + "\n")
        with tracked(prepared.config, folder, origin.sweep) as tell_trackers:
            try:
                with asyncio.Runner(loop_factory=_fastest_loop()) as loop:
                    ending = loop.run(_run(prepared, folder, origin, metadata))
                summary = write_summary(ending.parquet, ending.status)
                console().print(final_table(summary))
                ending = replace(ending, value=_verified_per_dollar(summary["overall"]))
                ending = _published(ending, folder, origin.run_id, prepared.config.output.dir)
            except (OSError, StoreFailed) as error:
                log.error("the results cannot be written: %s", error)
                ending = Ending("failed", f"the results cannot be written: {error}")
            tell_trackers(ending.status, ending.exit_code)
        _say_goodbye(folder, ending)
    return ending


@dataclass(frozen=True)
class Ending:
    """How a sitting ended, and why, if early."""

    status: str
    message: str
    parquet: Path = Path()
    reused: str = ""
    """Which candidates other runs had drawn, and when."""
    value: float = 0.0
    """Queries with a verified answer per dollar; where the price is unknown, their share of all."""

    @property
    def exit_code(self) -> int:
        """As the README lists them."""
        return EXIT_CODES[self.status]


async def _run(prepared: Prepared, folder: Path, origin: Origin, metadata: dict[str, str]) -> Ending:
    """The run itself, until all is written or it has to end early."""
    config, source, run_id = prepared.config, prepared.source, origin.run_id
    parquet = parquet_path(config, folder)
    parquet.parent.mkdir(parents=True, exist_ok=True)
    store_path = origin.store or store_file(config, folder)
    halt = Halt()
    started = time.monotonic()

    with ExitStack() as resources:
        store = resources.enter_context(CandidateStore(store_path, run_id, dataset_name(config)))
        earlier = await store.done(run_id)
        if prepared.described and not await store.described(prepared.identity, config.model.name or ""):
            await store.describe(prepared.identity, config.model.name or "", prepared.described)
        writer = resources.enter_context(
            ResultsWriter(parquet, RunFields(run_id, config.model.name or "", config.temperature))
        )
        writing = resources.enter_context(ThreadPoolExecutor(1, "results"))
        progress = resources.enter_context(RunProgress(_expected(config, len(source.splits))))
        history = await earlier_answers(prepared, store)
        look = await first_look(prepared, store, history)
        if look and look.whole:
            progress.expect(look.candidates)
        for line in _hello(prepared, folder, history, look):
            progress.say(line)
        async with AsyncExitStack() as services:

            def say(line: str) -> None:
                log.info("%s", line)
                progress.say(line)

            programs = prepared.sandbox_level != "none"
            work = await services.enter_async_context(workforce(config, prepared.identity, programs, say))
            # Enough queries at once to fill all slots while others are judged; they bound what is in memory.
            window = asyncio.Semaphore(2 * config.concurrency + max(8, 2 * work.bench.places))
            judges = await services.enter_async_context(Judges(work.bench, sandbox=config.runner.sandbox, kept=store))
            open_client = await services.enter_async_context(client_when_needed(config, progress.say, work.client_of))
            limits = Limits(
                config.concurrency,
                _share(config.model.requests_per_minute, origin.side_by_side),
                _share(config.model.tokens_per_minute, origin.side_by_side),
                say,
                work.limiter,
            )
            sampler = Sampler(
                config,
                run_id,
                prepared.identity,
                store,
                limits,
                Budget(store, origin.account, config.budget_usd),
                prepared.prices,
                halt,
                open_client,
            )
            resources.enter_context(_stopping_on_signals(halt, sampler, progress))

            unasked: set[str] = set()  # splits of which not every query is in the file

            async def one_query(order: int, query: Query) -> None:
                try:
                    messages = prompts.render(query, config.prompt)
                    candidates = await sampler.draw(query, messages)
                    if not candidates:
                        unasked.add(query.split)
                    else:
                        verdicts, classes = await judges.judge(query, candidates)
                        judged = Judged(query, _json(messages), tuple(candidates), tuple(verdicts), tuple(classes))
                        await asyncio.get_running_loop().run_in_executor(writing, writer.put, order, judged)
                except ConfigError as error:  # a template that fits the first row need not fit every row
                    halt.now("failed", str(error))
                except (OSError, StoreFailed) as error:
                    halt.for_good(error)
                finally:
                    window.release()

            watching = asyncio.create_task(_watch(progress, writer, sampler, limits))
            resources.enter_context(_garbage_of_the_run_alone())
            async with asyncio.TaskGroup() as queries:
                asked = 0
                try:
                    async for query in _in_a_thread(iter(source)):
                        await window.acquire()
                        # What earlier sittings bought is written in any case, so that no file is poorer than the last.
                        if halt.results or (halt.event.is_set() and sampler.asked.met >= earlier.candidates):
                            unasked.update(source.splits[source.splits.index(query.split) :])
                            break
                        queries.create_task(one_query(asked, query))
                        asked += 1
                except DatasetError as error:
                    halt.now("failed", str(error))
                progress.expect(asked * config.num_candidates)
            watching.cancel()
            _show(progress, writer, sampler, limits)
            if halt.results:
                raise halt.results

        status = halt.status or ("partial" if sampler.asked.missing else "complete")
        seconds = origin.seconds + time.monotonic() - started
        own = origin.account == run_id and prepared.prices is not None  # a sweep's account is not this run's alone
        spent = await store.spent(run_id) if own else None
        totals = _totals(writer.tally, sampler.asked, await store.done(run_id), spent, seconds) | _read(source, unasked)
        writer.close(
            metadata | {"status": status, "totals": _json(totals), "generated_at": datetime.now(UTC).isoformat()}
        )
    if config.output.store is None and status == "complete":
        for file in folder.glob(f"{store_path.name}*"):
            file.unlink()
    log.info("%s: %s", status, _json(totals))
    return Ending(status, halt.message or _why_missing(sampler.asked), linked(parquet, folder), _reused(writer.tally))


def _published(ending: Ending, folder: Path, run_id: str, output_dir: str) -> Ending:
    """Puts the run where `output.dir` says; what cannot be put there is here still, whole."""
    if not is_url(output_dir):
        return ending
    try:
        console().print(f"published at {publish(folder, run_id, output_dir)}")
    except ConfigError as error:
        return replace(ending, status="failed", message=str(error))
    return ending


def _verified_per_dollar(overall: dict[str, Any]) -> float:
    share, cost = overall["any_candidate_rate"] or 0.0, overall["cost_usd"]
    return share * overall["queries"] / cost if cost else share


def _new_run_id(started_at: datetime) -> str:
    return f"{started_at:%Y%m%d-%H%M%S}-{uuid.uuid4().hex[:8]}"


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
def _garbage_of_the_run_alone() -> Iterator[None]:
    """What the imports have made, half a million objects, is not looked through again and again for garbage."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


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


async def _watch(progress: RunProgress, writer: ResultsWriter, sampler: Sampler, limits: Limits) -> None:
    """Keeps the display up to date until it is cancelled."""
    while True:
        _show(progress, writer, sampler, limits)
        await asyncio.sleep(0.2)


def _show(progress: RunProgress, writer: ResultsWriter, sampler: Sampler, limits: Limits) -> None:
    tally, failed = writer.tally, sampler.asked.failed_attempts
    extra = [f"{tally.reused:,} reused"] if tally.reused else []
    extra += [f"{failed:,} failed {'attempt' if failed == 1 else 'attempts'}"] if failed else []
    extra += [held] if (held := limits.state()) else []
    each = tally.cost_usd / tally.bought if tally.cost_usd is not None and tally.bought else None
    progress.show(tally.candidates, tally.scored, tally.verified, tally.cost_usd, each, extra)


def _expected(config: Config, splits: int) -> int | None:
    if config.max_queries is None:
        return None
    return shard_of(config.dataset.shard).size(config.max_queries) * splits * config.num_candidates


def _read(source: QuerySource, unasked: Collection[str]) -> dict[str, Any]:
    """What was read of the data set, over all splits, and how each split was sampled.

    Of `unasked` splits more may have been read than was asked: what is in the file is no whole.
    """
    counts = source.counts.values()
    names = ("rows_read", "distinct", "duplicates", "disagreeing", "skipped")
    sums: dict[str, Any] = {name: sum(getattr(one, name) for one in counts) for name in names}
    samples = {split: source.part if split in unasked else one.sample for split, one in source.counts.items()}
    return sums | {"sample": samples}


def _totals(tally: Tally, asked: Asked, done: Done, spent: float | None, seconds: float) -> dict[str, Any]:
    """What the run paid and did in all its sittings, for the metadata `totals`."""
    return {
        "requests": done.answered + done.failed,
        "failed_attempts": done.failed,
        "bought": tally.bought,
        "reused": tally.reused,
        "reused_from": tally.reused_from,
        "reused_to": tally.reused_to,
        "missing": asked.missing,
        "refused": sum(asked.refused.values()),
        "refused_for": dict(asked.refused),
        "prompt_tokens": tally.prompt_tokens,
        "completion_tokens": tally.completion_tokens,
        "cached_tokens": tally.cached_tokens,
        "reasoning_tokens": tally.reasoning_tokens,
        "cost_usd": tally.cost_usd,
        # With what lost requests may have cost, and answers that another run was quicker to store.
        "cost_usd_at_most": spent,
        "candidates": tally.candidates,
        "verification_rate": tally.verified / tally.scored if tally.scored else None,
        "seconds": round(seconds, 3),
    }


def _why_missing(asked: Asked) -> str:
    if not asked.missing:
        return ""
    given_up = "1 candidate was" if asked.missing == 1 else f"{asked.missing:,} candidates were"
    return f"{given_up} given up after all retries (each stands in run.log). The last: {asked.last_error}"


def _share(a_minute: float | None, runs: int) -> float | None:
    """A rate limit is for all that run side by side."""
    return None if a_minute is None else a_minute / runs


def _reused(tally: Tally) -> str:
    if not tally.reused:
        return ""
    days = list(dict.fromkeys(f"{at:%Y-%m-%d %H:%M}" for at in (tally.reused_from, tally.reused_to) if at))
    return (
        f"{tally.reused:,} of {tally.candidates:,} candidates were in the store, drawn by other runs "
        f"{' to '.join(days)} UTC; they cost this run nothing."
    )


def _metadata(prepared: Prepared, origin: Origin, resolved: str) -> dict[str, str]:
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
        "run_id": origin.run_id,
        "started_at": origin.started_at.isoformat(),
        "dataset": config.dataset.path,
        "dataset_revision": prepared.source.revision,
        "base_url": in_one_line(config.model.base_url),
        "identity": prepared.identity,
        "sandbox_level": prepared.sandbox_level,
        "bon_hydra_version": __version__,
        "git_commit": git_commit(),
        "packages": _json(packages()),
    }


def _hello(prepared: Prepared, folder: Path, history: Sequence[Stored], look: FirstLook | None) -> Iterator[str]:
    """The first lines of a run: what is asked of whom, how often, what it may cost, what is reused, where it goes."""
    config = prepared.config
    known = look if look and look.whole else None
    calls = known.candidates if known else _expected(config, len(prepared.source.splits))
    yield (
        f"{config.experiment_name}: {_queries_asked(prepared, known)}, N={config.num_candidates}"
        + ("" if calls is None else f", so {'' if known else 'up to '}{calls:,} calls")
        + f"; asking {config.model.name} at {in_one_line(config.model.base_url)}, {config.concurrency} at once"
    )
    if calls is None:
        yield "for each 1,000 of them:"
    left = known.candidates - known.there if known else calls or 1000
    sent_bytes = known.sent_bytes if known else left * prepared.prompt_bytes
    if left:
        yield from told(forecast(prepared, left, sent_bytes, history), prepared)
    yield f"reused      {reused(look, history)}"
    if prepared.sandbox_level != "none":
        yield f"code of the model's runs in the sandbox at level {prepared.sandbox_level}"
    if prepared.unreachable:
        yield (
            f"warning: {config.model.base_url} does not answer ({prepared.unreachable}); "
            "every candidate is in the store already"
        )
    if config.temperature == 0 and config.num_candidates > 1:
        yield f"warning: temperature 0 with N={config.num_candidates} draws (nearly) the same answer again and again"
    yield f"results go to {folder}"


def _queries_asked(prepared: Prepared, known: FirstLook | None) -> str:
    most, of_splits = prepared.config.max_queries, f"of {', '.join(prepared.source.splits)}"
    shard = prepared.config.dataset.shard
    if known:
        asked = f"{known.queries:,} {'query' if known.queries == 1 else 'queries'} {of_splits}"
    else:
        asked = f"all queries {of_splits}" if most is None else f"up to {most} queries {of_splits}"
    return asked + (f", of them shard {shard}" if shard else "")


def _say_goodbye(folder: Path, ending: Ending) -> None:
    terminal = Terminal(stderr=True)
    shown = shown_path(folder)
    if ending.reused:
        terminal.say(ending.reused)
    if ending.message:
        terminal.say(f"{ending.status}: {ending.message}", "bold red")
    if ending.status != "complete":
        more = " budget_usd=MORE" if ending.status == "budget_reached" else ""
        terminal.command(f"What arrived is kept. For the rest: bon resume {shown}{more}")
    terminal.command(f"Next: bon inspect {shown}\n      bon show {shown}", "dim")


def linked(parquet: Path, folder: Path) -> Path:
    """Where `output.file` is a path, a link stands in the run folder."""
    if parquet.parent != folder:
        link = folder / parquet.name
        link.unlink(missing_ok=True)
        link.symlink_to(parquet)
        return link
    return parquet


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)
