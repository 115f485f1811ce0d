"""Who does a run's work: this process and workers of its own (`runner=local`), or a cluster (`runner=ray`)."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from bon_hydra.endpoints import Client
from bon_hydra.limits import Limiter, own_limiter
from bon_hydra.schema import Config
from bon_hydra.verifiers.bench import Bench
from bon_hydra.verifiers.pool import Judging


@dataclass(frozen=True)
class Workforce:
    """Who asks and who judges; the run decides what."""

    bench: Judging
    client_of: Callable[[str], Awaitable[Client]] | None
    """Makes the client of an endpoint, by its address, when somebody can ask it; None where this process does."""
    limiter: Callable[[str, float], Limiter] = own_limiter
    """Makes what hands out a configured limit, for this run or for all that share it."""


@asynccontextmanager
async def workforce(
    config: Config, identity: str, programs: bool, say: Callable[[str], None]
) -> AsyncIterator[Workforce]:
    """The workforce of `runner.name`, which goes when the block ends.

    Args:
        identity: what the model is known by; runs that ask the same one share its limits.
        programs: whether programs that a model wrote are to be run.
        say: gets one line for each worker that is lost or refused.
    """
    runner = config.runner
    if runner.name == "local":
        workers = runner.workers or min(8, os.cpu_count() or 1)
        yield Workforce(Bench(workers, sandbox=runner.sandbox), None)
        return
    from bon_hydra.cluster.clients import remote_clients
    from bon_hydra.cluster.judging import remote_bench
    from bon_hydra.cluster.limiter import leased
    from bon_hydra.cluster.start import connect

    connect(runner.address)
    async with AsyncExitStack() as crews:
        judges = await crews.enter_async_context(remote_bench(runner, programs, say))
        clients = await crews.enter_async_context(remote_clients(config, say))
        yield Workforce(judges, clients, leased(identity))
