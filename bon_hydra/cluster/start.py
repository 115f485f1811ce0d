"""A Ray cluster for this process: joined at `runner.address`, or started here; and which nodes are fit to work."""

from __future__ import annotations

import importlib.util
import logging
import os
import socket
import sys
from dataclasses import dataclass
from typing import Any

from bon_hydra import __version__
from bon_hydra.schema import ConfigError, SandboxConfig

log = logging.getLogger(__name__)

INSTALL = "pip install 'bon_hydra[ray]'"
NAMESPACE = "bon_hydra"
CONNECT_S = 10.0
OBJECT_STORE_BYTES = 80 * 2**20
"""Of a cluster started here: what is sent to and fro is small, and goes another way."""


@dataclass(frozen=True)
class Node:
    """A machine of the cluster."""

    id: str
    host: str
    cpus: int


def connect(address: str | None) -> None:
    """Joins the cluster, or starts one of this machine alone; once a process, which leaves it when it ends.

    Raises:
        ConfigError: Ray is not installed, or there is no cluster that this process can join.
    """
    if importlib.util.find_spec("ray") is None:
        raise ConfigError(f"runner=ray: needs an extra that is not installed: {INSTALL}")
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is told to anybody
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    import ray

    if ray.is_initialized():
        return
    _refuse_silence(address)
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    try:
        ray.init(
            address or "local",
            namespace=NAMESPACE,
            log_to_driver=False,
            logging_level=logging.ERROR,
            **({} if address else own),
        )
    except (OSError, ValueError, RuntimeError) as error:  # a wrong address, nobody there, another version
        first = str(error).strip().partition("\n")[0]
        raise ConfigError(
            f"runner.address: no Ray cluster can be joined at {address or 'this machine'} ({first}). `ray start "
            "--head` starts one and says its address; runner.address=null starts one of this machine alone"
        ) from error


def _refuse_silence(address: str | None) -> None:
    """Raises ConfigError where nobody is at `host:port`, for which Ray itself would wait minutes."""
    if address in (None, "auto", "local"):
        return
    host, _, port = str(address).rpartition(":")
    if "//" in host or not port.isdecimal():
        raise ConfigError(
            f"runner.address: got {address}, wanted host:port, auto, or null for a cluster of this machine alone. The "
            "run itself has to be on a node of the cluster; Ray Client's ray:// is not enough"
        )
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=CONNECT_S).close()
    except OSError as error:
        raise ConfigError(
            f"runner.address: nobody answers at {address} ({error}). `ray start --head` starts a cluster and says its "
            "address; runner.address=null starts one of this machine alone"
        ) from error


def nodes() -> list[Node]:
    """The nodes that are there just now and have CPUs to work with."""
    import ray

    every: list[dict[str, Any]] = ray.nodes()  # type: ignore[no-untyped-call]
    alive = [node for node in every if node["Alive"]]
    found = [
        Node(node["NodeID"], str(node["NodeManagerHostname"]), int(node["Resources"].get("CPU", 0))) for node in alive
    ]
    return [node for node in found if node.cpus]


def on(node: Node, cpus: float) -> dict[str, Any]:
    """Ray's options for what must run on this node and nowhere else."""
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    return {"num_cpus": cpus, "scheduling_strategy": NodeAffinitySchedulingStrategy(node.id, soft=False)}


def fitness(version: str, sandbox: SandboxConfig | None) -> str:
    """Called on a node: the sandbox level that holds there, `none` where no program is to be run.

    Raises:
        ConfigError: the node has another bon_hydra, or no sandbox.
    """
    if version != __version__:
        raise ConfigError(f"bon_hydra {__version__} is installed there, and {version} here: install the same")
    if sandbox is None:
        return "none"
    from bon_hydra.sandbox.probe import probe

    return probe(sandbox.level, sandbox.allow_unsafe)


def fit_nodes(sandbox: SandboxConfig | None) -> str:
    """Asks every node whether it is fit, and tells of those that are not; the sandbox levels that hold.

    Args:
        sandbox: how programs are to be run; None where there are none.

    Raises:
        ConfigError: none of them is.
    """
    import ray
    from ray.exceptions import RayError, RayTaskError

    found = nodes()
    asked = {node: ray.remote(fitness).options(**on(node, 0)).remote(__version__, sandbox) for node in found}
    levels: set[str] = set()
    reasons: list[str] = []
    for node, answer in asked.items():
        try:
            levels.add(ray.get(answer))
        except RayTaskError as error:
            reasons.append(f"{node.host}: {cause_of(error)}")
        except RayError as error:
            reasons.append(f"{node.host}: {str(error).strip().partition(chr(10))[0]}")
    for reason in reasons:
        print(f"refused as a worker: {reason}", file=sys.stderr)
    if not levels:
        raise ConfigError(
            "runner.address: no node of the cluster can work: " + ("; ".join(reasons) or "none has a CPU")
        )
    return ", ".join(sorted(levels))


def cause_of(error: Exception) -> str:
    """What went wrong at the other end, in one line."""
    cause = getattr(error, "cause", error)
    if isinstance(cause, ModuleNotFoundError):
        return f"{cause} there ({INSTALL}, on every node)"
    return str(cause).strip().partition("\n")[0] or type(cause).__name__
