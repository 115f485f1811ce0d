"""The points of a sweep, as Hydra composes them: all of them before the first starts, and never from changed files.

Knows Hydra; does not know what a run does with a configuration.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, flag_override

from bon_hydra.names import override_keys


def keep_files_as_they_are() -> None:
    """Every YAML that is read from here on is read once: one that is edited in mid-sweep changes no later job."""
    from hydra._internal.config_repository import CachingConfigRepository

    class Kept(CachingConfigRepository):
        """Hydra copies its repository for each composition, and composes in what it gives out: so it is the other
        way round here, the repository stays and what it gives out is a copy.
        """

        def __deepcopy__(self, memo: dict[int, Any]) -> Kept:
            return self

        def load_config(self, config_path: str) -> Any:
            return copy.deepcopy(super().load_config(config_path))

    loader: Any = GlobalHydra.instance().config_loader()
    loader.repository = Kept(loader.repository)


def points(config: DictConfig) -> list[DictConfig]:
    """Every point of the grid, composed, with its number. A sweeper that chooses as it goes has none yet."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    if not is_grid(config):
        return []
    loader = GlobalHydra.instance().config_loader()
    # In Hydra's order: what a file says is swept (`hydra.sweeper.params`), then what the command does.
    said = [f"{key}={value}" for key, value in (OmegaConf.select(config, "hydra.sweeper.params") or {}).items()]
    batches = BasicSweeper.split_arguments(_parsed(said) + _parsed(config.hydra.overrides.task), max_batch_size=None)
    composed = [loader.load_sweep_config(config, list(point)) for batch in batches for point in batch]
    for number, point in enumerate(composed):
        with flag_override(point, ["readonly", "struct"], False):
            point.hydra.job.num = number
            point.hydra.job.id = str(number)
    return composed


def is_grid(config: DictConfig) -> bool:
    """Whether Hydra's own sweeper runs the sweep, whose points are known before it starts."""
    return str(config.hydra.sweeper._target_).endswith("BasicSweeper")


def swept(hydra: Any, fixed: Collection[str]) -> dict[str, str]:
    """What a job's overrides say of the keys that are swept: of all but those that are `fixed`."""
    values = dict(override.lstrip("+~").partition("=")[::2] for override in hydra.overrides.task)
    return {key: value for key, value in values.items() if key not in fixed}


def swept_keys(config: DictConfig) -> set[str]:
    """The keys that differ between jobs."""
    chosen = OmegaConf.select(config, "hydra.sweeper.params") or {}
    parsed = _parsed(config.hydra.overrides.task)
    return {o.get_key_element().lstrip("+~") for o in parsed if o.is_sweep_override()} | {*map(str, chosen)}


def fix_folder(config: DictConfig, folder: Path) -> None:
    """Gives the jobs, which are composed anew from overrides, the sweep's folder and names of what is swept alone."""
    keys = swept_keys(config)
    fixed = [key for key in override_keys(config.hydra.overrides.task) if key not in keys]
    with flag_override(config, ["readonly", "struct"], False):
        config.hydra.sweep.dir = str(folder)
        config.hydra.overrides.hydra += [f"hydra.sweep.dir={_quoted(str(folder))}"]
        if fixed:
            config.hydra.overrides.hydra += [f"hydra.job.config.override_dirname.exclude_keys=[{','.join(fixed)}]"]


def side_by_side(config: DictConfig, jobs: int | None) -> int | None:
    """How many jobs may run at once, as launcher and sweeper say; `jobs` there are in all. None: nobody knows."""
    launcher = config.hydra.launcher
    target = str(launcher._target_)
    if target.endswith("BasicLauncher"):
        return 1
    most = [jobs] if is_grid(config) else [OmegaConf.select(config, "hydra.sweeper.n_jobs")]
    if target.endswith("JoblibLauncher"):
        asked = int(launcher.get("n_jobs") or 1)
        most.append(asked if asked > 0 else max(1, (os.cpu_count() or 1) + 1 + asked))
    if target.endswith("SlurmLauncher"):
        most.append(launcher.get("array_parallelism"))
    return min((int(number) for number in most if number is not None), default=None)


def job_count(config: DictConfig) -> int | None:
    """How many jobs a sweeper that chooses as it goes will start; None: it does not say."""
    trials = OmegaConf.select(config, "hydra.sweeper.n_trials")
    return None if trials is None else int(trials)


def on_this_host(config: DictConfig) -> bool:
    """Whether the launcher is one of those that run all jobs here; of any other nobody knows."""
    return str(config.hydra.launcher._target_).endswith(("BasicLauncher", "JoblibLauncher", "LocalLauncher"))


def _parsed(overrides: Iterable[str]) -> list[Any]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    parser = OverridesParser.create(config_loader=GlobalHydra.instance().config_loader())
    return parser.parse_overrides(list(overrides))


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
