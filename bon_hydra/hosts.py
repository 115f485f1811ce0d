"""A sweep whose jobs may run on several hosts: each host has a store of its own, and each job its part of the budget.

SQLite is for the processes of one host, and a budget's account stands in a store; so what the hosts cannot share
is divided before the first job starts, and their stores are merged when all have ended. Does not know Hydra.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path

from bon_hydra.endings import refuse
from bon_hydra.names import clean, safe, shown_path
from bon_hydra.running import is_running
from bon_hydra.saved import load_config
from bon_hydra.schema import Config, ConfigError
from bon_hydra.store.file import HOST_STORES
from bon_hydra.store.merge import merge
from bon_hydra.sweeps import Sweep, read_sweep


def divided(config: Config, jobs: int) -> Config:
    """The configuration of one of so many jobs, with its part of the budget; in place."""
    if config.budget_usd is not None:
        config.budget_usd /= jobs
    return config


def what_is_divided(config: Config, jobs: int | None, side_by_side: int) -> str:
    """What is said of it before the first job starts. `config`: before its budget was divided."""
    lines = [
        "jobs of this launcher may run on other hosts. Each host keeps its answers in a store of its own in the "
        f"sweep's folder, merged into {config.output.store or 'the private one'} at the end; "
        "what two hosts need is asked for twice"
    ]
    if config.budget_usd is not None:
        lines.append(
            f"hosts share no account, so each of the {jobs} jobs may spend budget_usd / {jobs} = "
            f"{config.budget_usd / (jobs or 1):.4g} USD, and what one leaves over is no other's"
        )
    if (config.model.requests_per_minute or config.model.tokens_per_minute) and side_by_side > 1:
        lines.append(f"the rate limits are divided among the {side_by_side} jobs that may run at once")
    return "\n".join(lines)


def own_store(sweep: Sweep, folder: Path) -> Path | None:
    """The store of this host's jobs; None on the host that started the sweep, which has `output.store`."""
    host = socket.gethostname()
    return folder / HOST_STORES.replace("*", safe(host)) if sweep.shares and host != sweep.host else None


def gather(folder: Path) -> int:
    """Merges what the hosts' stores of a sweep have into its `output.store`; 2 where that goes wrong, else 0.

    A store goes when it is merged and all jobs have ended; else a later `gather`, of `bon resume`, takes it up again.
    """
    stores = sorted(folder.glob(HOST_STORES))
    sweep = read_sweep(folder)
    if not stores or sweep is None:
        return 0
    try:
        targets = {load_config(folder / point.folder / "resolved.yaml").output.store for point in sweep.points}
        for target in sorted(filter(None, targets)):
            for merged in merge(stores, Path(target)):
                told = f"{merged.candidates:,} candidates of {shown_path(merged.path)} merged into {target}"
                print(clean(told), file=sys.stderr)
    except ConfigError as error:
        return refuse(f"{error}. The hosts' stores are kept; bon resume {shown_path(folder)} merges them")
    if not any(is_running(folder / point.folder) for point in sweep.points):
        for file in (file for store in stores for file in folder.glob(f"{store.name}*")):
            file.unlink()
    return 0
