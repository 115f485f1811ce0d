"""The Hydra app: compose, check, run. `python -m bon_hydra [group=option] [key=value] [-m]`.

Imports nothing heavy: `--help`, `--cfg` and completion must answer at once. What a run needs is imported
when it starts.
"""

from __future__ import annotations

import os
import sys
from itertools import islice
from typing import Any

import hydra
from hydra._internal.hydra import Hydra
from hydra.core.config_store import ConfigStore
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from bon_hydra import launch
from bon_hydra.checks import known_keys
from bon_hydra.endings import refuse
from bon_hydra.names import print_anything
from bon_hydra.options import CONF
from bon_hydra.schema import Config, ConfigError

store = ConfigStore.instance()
store.store(name="base_config", node=Config)
# It is a singleton, but Hydra copies all of it for every group that --help lists, which is half of the time that takes.
setattr(store, "__deepcopy__", lambda _: store)  # noqa: B010 - the class has no such attribute to assign to
composed_mode = Hydra.get_mode


def _mode(self: Hydra, config_name: str | None, overrides: list[str]) -> Any:
    """Hydra composes everything a first time only to learn `hydra.mode`; where nothing names it, it is None at once."""
    sources = {entry.path for entry in self.config_loader.get_search_path().get_path() if entry.provider != "hydra"}
    own = sources <= {str(CONF), "structured://"} and not any(b"mode:" in f.read_bytes() for f in CONF.rglob("*.yaml"))
    named = any(each.lstrip("+~").startswith(("hydra.mode", "hydra.searchpath", "hydra=")) for each in overrides)
    return None if own and not named else composed_mode(self, config_name, overrides)


Hydra.get_mode = _mode  # type: ignore[method-assign]  # there is no setting for it

TAKING_A_VALUE = frozenset(
    [
        "-c",
        "--cfg",
        "-p",
        "--package",
        "-cp",
        "--config-path",
        "-cn",
        "--config-name",
        "-cd",
        "--config-dir",
        "--experimental-rerun",
    ]
)
"""Hydra's flags with a value after them."""

exit_codes: list[int] = []
"""One a job, in the order they ended."""


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="config")
def app(composed: DictConfig) -> float:
    """One job: run it and remember how it ended. A failing job of a sweep does not stop the others; Ctrl-C does.

    Returns what a sweeper that looks for the best wants to see: queries with a verified answer, per dollar.
    """
    ended = launch.run_job(composed, HydraConfig.get())
    exit_codes.append(ended.exit_code)
    if ended.exit_code == 130:
        raise KeyboardInterrupt
    return ended.value


def flags_first(arguments: list[str]) -> list[str]:
    """Flags before overrides, which is the only order Hydra's parser takes: `key=1 -m key=2` is what people type."""
    flags: list[str] = []
    overrides: list[str] = []
    rest = iter(arguments)
    for argument in rest:
        if argument in TAKING_A_VALUE:
            flags += [argument, *islice(rest, 1)]
        else:
            (flags if argument.startswith("-") else overrides).append(argument)
    return flags + overrides


def main() -> None:
    """The console script: exit codes as the README lists them, one message for a mistake, no traceback."""
    print_anything()
    for argument in sys.argv[1:]:
        key = argument.partition("=")[0].removeprefix("--").replace("-", "_")
        if argument.startswith("--") and key in set(known_keys()):
            sys.exit(refuse(f"{argument}: keys have no dashes here, and their value follows a =: {key}=…"))
    sys.argv[1:] = flags_first(sys.argv[1:])
    if line := os.environ.get("COMP_LINE"):  # what is typed so far, where a shell asks how it may go on
        *typed, last = line.split(" ")
        os.environ["COMP_LINE"] = " ".join([*typed[:1], *flags_first(typed[1:]), last])
    given = os.environ.get("HYDRA_FULL_ERROR")
    os.environ["HYDRA_FULL_ERROR"] = "1"  # Hydra then raises instead of printing, so that the message is ours
    code = 0
    try:
        app()
    except KeyboardInterrupt:
        code = 130
    except (HydraException, OmegaConfBaseException, ConfigError, YAMLError) as error:
        if given == "1":
            raise
        from bon_hydra.mistakes import explain

        code = refuse(str(error) if isinstance(error, ConfigError) else explain(error))
    if launch.started:
        from bon_hydra.hosts import gather
        from bon_hydra.report.sweep.finish import finish_sweep

        code = code or gather(launch.started[0])
        swept = finish_sweep(launch.started[0])
        sys.exit(130 if code == 130 else max(1, swept) if code else swept)
    sys.exit(code or max(exit_codes, default=0))


if __name__ == "__main__":
    main()
