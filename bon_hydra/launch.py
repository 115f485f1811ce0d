"""Hydra's side of a run: what it is called, which folder it gets, and that nothing starts before all is checked.

`Launch` is the callback named in `conf/hydra/default.yaml`. What raises in a callback only warns in Hydra,
so everything here ends in `SystemExit` when it ends badly.
"""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hydra.core.global_hydra import GlobalHydra
from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, flag_override

from bon_hydra.checks import check
from bon_hydra.names import dated_folder, experiment_name, override_keys, printable, safe
from bon_hydra.saved import literal
from bon_hydra.schema import Config, ConfigError

log = logging.getLogger(__name__)


def register_resolvers() -> None:
    """What `conf/hydra/default.yaml` calls: `bon_folder` and `bon_safe`."""
    OmegaConf.register_new_resolver("bon_safe", safe, replace=True)
    OmegaConf.register_new_resolver("bon_folder", dated_folder, replace=True)


def refuse(message: str) -> int:
    """One message on stderr; the exit code of a wrong configuration."""
    print(f"bon_hydra: {message}", file=sys.stderr)
    return 2


class Launch(Callback):
    """Checks a run, or every point of a sweep, and claims its folder.

    `saved`: what `bon rerun` knows of the run that this one repeats. It is read from the composed configuration, which
    every process of a sweep has.
    """

    def __init__(self, saved: Any = None) -> None:
        self.saved = saved

    def on_run_start(self, config: DictConfig, **_: Any) -> None:
        """Refuses what is wrong before Hydra makes the folder."""
        with _ending_badly():
            prepared = _prepared(config)
            _tell_drift(config.hydra, [prepared])
            if prepared.config.dry_run:
                _print_plans([prepared])
                raise SystemExit(0)
            with flag_override(config, ["readonly", "struct"], False):
                config.experiment_name = literal(prepared.config.experiment_name)
                config.hydra.run.dir = str(claim_folder(Path(config.hydra.run.dir)))

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Refuses the whole sweep when one of its points is wrong."""
        with _ending_badly():
            checked = [(check(_without_hydra(point)), point) for point in _points(config)]
            prepared = [_prepare(job, point.hydra) for job, point in checked]
            _tell_drift(config.hydra, prepared)
            if prepared and all(p.config.dry_run for p in prepared):
                _print_plans(prepared)
                raise SystemExit(0)
            names = {p.config.experiment_name for p in prepared}
            with flag_override(config, ["readonly", "struct"], False):
                config.experiment_name = literal(names.pop() if len(names) == 1 else "mixed")
                folder = str(claim_folder(Path(config.hydra.sweep.dir)))
                config.hydra.sweep.dir = folder
                # The jobs compose anew from the overrides, so what they must share goes there too.
                fixed = [key for key in override_keys(config.hydra.overrides.task) if key not in _swept(config)]
                config.hydra.overrides.hydra += [f"hydra.sweep.dir={_quoted(folder)}"]
                if fixed:
                    config.hydra.overrides.hydra += [
                        f"hydra.job.config.override_dirname.exclude_keys=[{','.join(fixed)}]"
                    ]


def run_job(composed: DictConfig, hydra: Any) -> int:
    """One job in the folder Hydra made for it: 0, or the exit code of how it ended.

    Whatever goes wrong is said, logged and returned, never raised: in a sweep the other jobs go on.
    """
    try:
        from bon_hydra import experiment

        prepared = _prepare(check(composed), hydra)
        if hydra.mode.name == "MULTIRUN":
            log.info("job %s of a sweep: %s", hydra.job.num, hydra.job.override_dirname)
        origin = experiment.Origin(tuple(hydra.overrides.task), config_file(hydra))
        return experiment.run(prepared, Path(hydra.runtime.output_dir), origin)
    except ConfigError as error:
        log.error("%s", error)
        return refuse(str(error))
    except Exception:  # whatever it is, the sweep's other jobs go on and this one's exit code tells of it
        log.exception("the run went wrong")
        traceback.print_exc()
        return 1


def config_file(hydra: Any) -> str:
    """The YAML file that a run is named after: the saved run's, the experiment's, else the primary one."""
    if saved := _saved(hydra):
        return str(saved.config_file)
    choice = OmegaConf.select(hydra, "runtime.choices.experiment")
    name = f"experiment/{choice}" if choice else hydra.job.config_name
    for source in hydra.runtime.config_sources:
        path = Path(source.path) / f"{name.removesuffix('.yaml')}.yaml"
        if source.schema == "file" and path.exists():
            return str(path)
    return f"{name}.yaml"


def claim_folder(wanted: Path) -> Path:
    """Makes the folder, with `-1`, `-2` … after its name when another run was quicker, and points `latest` at it."""
    try:
        wanted.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"output.dir: no folder can be made in {wanted.parent} ({error.strerror})") from error
    number = 0
    while True:
        folder = wanted.with_name(f"{wanted.name}-{number}") if number else wanted
        try:
            folder.mkdir()
            break
        except FileExistsError:
            number += 1
    _point_latest(folder)
    return folder


def _point_latest(folder: Path) -> None:
    """`outputs/latest`; a file system without links just has none."""
    latest = folder.parent.parent / "latest"
    waiting = latest.with_name(f".latest-{os.getpid()}")
    with contextlib.suppress(OSError):
        waiting.unlink(missing_ok=True)
        waiting.symlink_to(os.path.relpath(folder, latest.parent), target_is_directory=True)
        waiting.replace(latest)


def _print_plans(runs: list[Any]) -> None:
    from bon_hydra.plan import as_text, make_plan

    print("\n\n".join(as_text(make_plan(run), run) for run in runs))


def _without_hydra(config: DictConfig) -> DictConfig:
    return OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])


def _prepared(config: DictConfig) -> Any:
    return _prepare(check(_without_hydra(config)), config.hydra)


def _prepare(config: Config, hydra: Any) -> Any:
    """Names a checked configuration and holds it against the world; the heavy imports start here."""
    from bon_hydra.plan import refuse_unreachable
    from bon_hydra.preflight import is_own_server, prepare

    overrides = list(hydra.overrides.task)
    has_experiment = OmegaConf.select(hydra, "runtime.choices.experiment") is not None
    config.experiment_name = experiment_name(config, overrides, hydra.job.config_name, has_experiment)
    keys = override_keys(overrides)
    if (
        has_experiment
        and "budget_usd" not in keys
        and {"model", "model.base_url"} & set(keys)
        and is_own_server(config.model.base_url)
    ):
        # An experiment's budget is for the model that its file names, at that model's prices.
        config.budget_usd = None
    if saved := _saved(hydra):
        from bon_hydra.trust import refuse_unconfirmed

        refuse_unconfirmed(config, saved)
    prepared = prepare(config)
    refuse_unreachable(prepared)
    return prepared


def _saved(hydra: Any) -> Any:
    """What `bon rerun` knows of the run that this one repeats; None for any other run."""
    return OmegaConf.select(hydra, "callbacks.bon_hydra.saved")


def _tell_drift(hydra: Any, runs: list[Any]) -> None:
    if saved := _saved(hydra):
        from bon_hydra.drift import world_drift

        other = OmegaConf.select(hydra, "runtime.choices.dataset") != "saved"
        for line in dict.fromkeys(line for run in runs for line in world_drift(saved, run, other)):
            print(printable(line), file=sys.stderr)


@contextlib.contextmanager
def _ending_badly() -> Iterator[None]:
    """Hydra swallows what a callback raises, except SystemExit."""
    try:
        yield
    except ConfigError as error:
        raise SystemExit(refuse(str(error))) from None
    except Exception as error:  # Hydra would turn it into a warning and go on
        from hydra.errors import HydraException
        from omegaconf.errors import OmegaConfBaseException
        from yaml import YAMLError

        if isinstance(error, HydraException | OmegaConfBaseException | YAMLError):
            from bon_hydra.mistakes import explain

            raise SystemExit(refuse(explain(error))) from None
        traceback.print_exc()
        raise SystemExit(1) from None


def _parsed(config: DictConfig) -> list[Any]:
    from hydra.core.override_parser.overrides_parser import OverridesParser

    return OverridesParser.create(config_loader=GlobalHydra.instance().config_loader()).parse_overrides(
        list(config.hydra.overrides.task)
    )


def _swept(config: DictConfig) -> set[str]:
    return {o.get_key_element().lstrip("+~") for o in _parsed(config) if o.is_sweep_override()}


def _points(config: DictConfig) -> list[DictConfig]:
    """Every point of the grid, composed. Another sweeper than the basic one chooses its points as it goes: none."""
    from hydra._internal.core_plugins.basic_sweeper import BasicSweeper

    if not str(config.hydra.sweeper._target_).endswith("BasicSweeper"):
        return []
    loader = GlobalHydra.instance().config_loader()
    batches = BasicSweeper.split_arguments(_parsed(config), max_batch_size=None)
    return [loader.load_sweep_config(config, list(point)) for batch in batches for point in batch]


def _quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
