"""`bon rerun`: the Hydra app, started from a saved run instead of `conf/config.yaml`.

The saved blocks stand where options stand, as `dataset=saved`, `model=saved` …, so that `group=option` replaces a block
as a whole, `key=value` goes on top, and sweeps work; `experiment=` comes last. The saved file is read as data: Hydra
sees what the schema took of it, never the file.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.config_store import ConfigStore
from omegaconf import DictConfig, OmegaConf

from bon_hydra import __main__ as hydra_app
from bon_hydra.checks import OPEN_MAPS, SAMPLING_KEYS
from bon_hydra.drift import drift
from bon_hydra.endings import refuse
from bon_hydra.names import override_keys, printable
from bon_hydra.saved import literal, resolved_yaml
from bon_hydra.saved_run import SavedRun, saved_run
from bon_hydra.schema import Config, ConfigError, OutputConfig
from bon_hydra.trust import (
    SAVED,
    Permission,
    foreign_address,
    how_to_trust,
    known_hosts,
    local_files,
    missing_file,
    own_loopback,
    permission,
    refusal,
    refuse_borrowed_identity,
    taken_over,
)

NAME = "rerun_of_a_saved_run"
"""The primary configuration's, which no file in `conf/` has."""
BLOCKS = ("dataset", "model", "prompt", "output", "runner", "sampling")
"""In the order they are composed in: what an option sets beside its own block gives way to the other saved blocks."""


def main() -> None:
    """`python -m bon_hydra.rerun [-m] [--trust-host HOST] [--config-dir DIR] RUN [override …]`."""
    parser = argparse.ArgumentParser(prog="bon rerun")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("--trust-host", action="append", default=[])
    parser.add_argument("--config-dir")
    parser.add_argument("run")
    parser.add_argument("overrides", nargs="*")
    asked = parser.parse_args()
    try:
        _register(asked.run, asked.overrides, asked.trust_host, asked.config_dir)
    except ConfigError as error:
        sys.exit(refuse(printable(str(error))))
    flags = ["--multirun"] if asked.multirun else []
    flags += ["--config-dir", asked.config_dir] if asked.config_dir else []
    sys.argv[1:] = ["--config-name", NAME, *flags, *asked.overrides]
    hydra_app.main()


def _register(spec: str, overrides: Sequence[str], trusted: Sequence[str], config_dir: str | None) -> None:
    """Makes the saved run what Hydra composes from, when all that can be said before is said.

    Raises:
        ConfigError: the run cannot be read, or is not to be trusted without the user's word.
    """
    run, keys = saved_run(spec), set(override_keys(overrides))
    folders = [Path(config_dir)] if config_dir else []
    for file in (folder / block / f"{SAVED}.yaml" for folder in folders for block in BLOCKS):
        if file.exists():
            raise ConfigError(f"{file}: has the name that the saved run's own block has here; call it otherwise")
    config, told = taken_over(run, keys)
    if wrong := foreign_address(config, keys) or missing_file(config, keys):
        raise ConfigError(wrong)
    allowed = permission(config.model, keys, known_hosts(folders), [*trusted, *own_loopback(run)])
    if not any(override.startswith("model=") and SAVED not in override for override in overrides):
        refuse_borrowed_identity(config.model, keys)
        if not {"model", "experiment", "dry_run"} & keys:  # else it is seen when all is composed
            allowed = _confirmed(spec, config, allowed)
    for line in (*told, *local_files(run, keys), *drift(run)):
        print(printable(line), file=sys.stderr)
    _store(config, _remembered(run, allowed))


def _confirmed(spec: str, config: Config, allowed: Permission) -> Permission:
    """The permission, with the user's yes where it needs one and there is a terminal to ask on."""
    why = refusal(config.model, allowed)
    if why is None:
        return allowed
    if sys.stdin.isatty() and sys.stderr.isatty():
        print(printable(f"{spec}: {why}. Go on? [y/N] "), end="", file=sys.stderr, flush=True)
        if sys.stdin.readline().strip().lower() in ("y", "yes"):
            return Permission(allowed.base_url, None)
    raise ConfigError(f"{spec}: {why}{how_to_trust(config.model)}")


def _remembered(run: SavedRun, allowed: Permission) -> dict[str, Any]:
    """What `launch` is to know of the saved run; parallel launchers carry it to their processes."""
    return {
        "config_file": str(run.file),
        "base_url": allowed.base_url,
        "keys": None if allowed.keys is None else list(allowed.keys),
        "dataset_revision": run.metadata.get("dataset_revision", ""),
        "sandbox_level": run.metadata.get("sandbox_level", ""),
    }


def _store(config: Config, remembered: dict[str, Any]) -> None:
    content = OmegaConf.create(resolved_yaml(config))
    assert isinstance(content, DictConfig)
    del content["defaults"]
    if config.output.store == OutputConfig.store:
        del content.output["store"]  # the schema's own, which follows output.dir
    store = ConfigStore.instance()
    for block in BLOCKS:
        names = SAMPLING_KEYS if block == "sampling" else (block,)
        # Maps are merged name by name, and one that an option set beside its own block must not shine through.
        empty = {name.partition(".")[2]: None for name in OPEN_MAPS if name.startswith(f"{block}.")}
        store.store(group="emptied", name=block, package="_global_", node={block: empty} if empty else {})
        saved = {"defaults": [f"/emptied/{block}", "_self_"]} | {name: content._get_node(name) for name in names}
        store.store(group=block, name=SAVED, package="_global_", node=OmegaConf.create(saved))
        for name in names:
            del content[name]
    header = [{"hydra": "default"}, *({block: SAVED} for block in BLOCKS), "_self_", {"experiment": None}]
    primary: dict[str, Any] = {
        "defaults": ["base_config", *header],
        "hydra": {"callbacks": {"bon_hydra": {"saved": literal(remembered)}}},
    }
    store.store(name=NAME, node=OmegaConf.merge(primary, content))


if __name__ == "__main__":
    main()
