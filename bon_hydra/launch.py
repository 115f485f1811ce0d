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
from dataclasses import replace
from pathlib import Path
from typing import Any

from hydra.experimental.callback import Callback
from omegaconf import DictConfig, OmegaConf, flag_override

from bon_hydra import grid, sweeps
from bon_hydra.checks import check
from bon_hydra.endings import Ended, ended, refuse
from bon_hydra.names import clean, dated_folder, experiment_name, override_keys, printable, safe
from bon_hydra.running import at_work
from bon_hydra.saved import literal, load_config
from bon_hydra.schema import Config, ConfigError

log = logging.getLogger(__name__)

started: list[Path] = []
"""The folder of the sweep that this process started, if it did; it is held as long as the process lives."""
ready: list[Any] = []
"""The run that was prepared before its folder was made, until it begins."""
holding = contextlib.ExitStack()
given_config_file: str | None = None
"""The file that a run was asked for by, where that is none of Hydra's (`flat`)."""


def register_resolvers() -> None:
    """What `conf/hydra/default.yaml` calls: `bon_folder` and `bon_safe`."""
    OmegaConf.register_new_resolver("bon_safe", safe, replace=True)
    OmegaConf.register_new_resolver("bon_folder", dated_folder, replace=True)


register_resolvers()  # a launcher's other processes import this module, not `__main__`


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
            ready.append(prepared)

    def on_multirun_start(self, config: DictConfig, **_: Any) -> None:
        """Refuses the whole sweep when one of its points is wrong, and freezes them all."""
        with _ending_badly():
            grid.keep_files_as_they_are()
            composed = grid.points(config)
            prepared = [_prepared(point) for point in composed]
            _tell_drift(config.hydra, prepared)
            if prepared and all(p.config.dry_run for p in prepared):
                _print_plans(prepared)
                raise SystemExit(0)
            for line in _sweep_plan(prepared):
                print(line, file=sys.stderr)
            known = prepared or [_prepared(config)]
            jobs = len(prepared) or grid.job_count(config)
            side_by_side, shares = divided_among(config, [p.config for p in known], jobs)
            names = {p.config.experiment_name for p in known}
            name = names.pop() if len(names) == 1 else "mixed"
            with flag_override(config, ["readonly", "struct"], False):
                config.experiment_name = literal(name)
            folder = claim_folder(Path(config.hydra.sweep.dir)).absolute()
            holding.enter_context(at_work(folder))
            grid.fix_folder(config, folder)
            places = [(point.hydra, str(point.hydra.sweep.subdir)) for point in grid.points(config)]
            frozen = [(_point(*place), p.config) for place, p in zip(places, prepared, strict=True)]
            sweeps.start_sweep(folder, name, config.hydra.overrides.task, frozen, side_by_side, shares)
            started.append(folder)


def divided_among(config: DictConfig, points: list[Config], jobs: int | None) -> tuple[int, int]:
    """How many jobs share the rate limits, and among how many the budget is divided, 0: they spend of one account.

    Raises:
        ConfigError: a limit would be multiplied, since launcher and sweeper do not say among how many to divide it.
    """
    side_by_side, apart = grid.side_by_side(config, jobs), not grid.on_this_host(config)
    told, launcher = points[0], str(config.hydra.launcher._target_)
    limits = ("requests_per_minute", "tokens_per_minute")
    limited = [f"model.{name}" for name in limits if any(getattr(point.model, name) for point in points)]
    if side_by_side is None and limited:
        raise ConfigError(
            f"{limited[0]}: jobs of this sweep may run at once, and neither launcher ({launcher}) nor sweeper says how "
            "many, so the limit cannot be divided among them and would be multiplied. Say hydra/launcher=basic, or "
            f"{limited[0]}=null"
        )
    if not apart:
        return side_by_side or 1, 0
    if jobs is None and any(point.budget_usd is not None for point in points):
        raise ConfigError(
            f"budget_usd: jobs of {launcher} may run on hosts that share no account, and the sweeper does not say how "
            "many there will be, so the budget cannot be divided among them. Say hydra/launcher=basic or joblib, or "
            "budget_usd=null"
        )
    from bon_hydra.hosts import divided, what_is_divided

    print(clean(what_is_divided(told, jobs, side_by_side or 1)), file=sys.stderr)
    for point in points:
        divided(point, jobs or 1)
    return side_by_side or 1, jobs or 1


def run_job(composed: DictConfig, hydra: Any) -> Ended:
    """One job in the folder Hydra made for it, and how it ended.

    Whatever goes wrong is said, logged and returned, never raised: in a sweep the other jobs go on.
    """
    folder = Path(hydra.runtime.output_dir)
    if hydra.mode.name != "MULTIRUN":
        point = sweeps.Point(0, folder.name, {}, list(hydra.overrides.task), config_file(hydra))
        # A primary file of one's own that takes nothing of `conf/hydra` has no callback, so nothing is prepared yet.
        return ended(lambda: _run(ready.pop() if ready else _prepare(check(composed), hydra), folder, point, None))
    log.info("job %s of a sweep: %s", hydra.job.num, hydra.job.override_dirname)
    sweep = sweeps.read_sweep(folder.parent)
    assert sweep is not None
    point = _point(hydra, folder.name)
    if point.number >= len(sweep.points):  # chosen as the sweep goes
        sweeps.add_point(folder.parent, point)
    return sweeps.run_in(folder, point.number, lambda: _run_composed(composed, hydra, folder, point, sweep))


def _run_composed(composed: DictConfig, hydra: Any, folder: Path, point: sweeps.Point, sweep: sweeps.Sweep) -> Ended:
    from bon_hydra.preflight import prepare

    frozen = folder / "resolved.yaml"
    if frozen.exists():
        return _run(prepare(load_config(frozen)), folder, point, sweep)
    config = check(composed)
    if sweep.shares:
        from bon_hydra.hosts import divided

        divided(config, sweep.shares)
    return _run(_prepare(config, hydra), folder, point, sweep)


def _run(prepared: Any, folder: Path, point: sweeps.Point, sweep: sweeps.Sweep | None) -> Ended:
    from bon_hydra import experiment

    origin = experiment.Origin(tuple(point.overrides), point.config_file)
    if sweep is not None:
        from bon_hydra.hosts import own_store

        account = "" if sweep.shares else sweep.sweep_id
        origin = replace(
            origin,
            account=account,
            side_by_side=sweep.side_by_side,
            store=own_store(sweep, folder.parent),
            sweep=sweep.sweep_id,
        )
    ending = experiment.run(prepared, folder, origin)
    return Ended(ending.exit_code, ending.status, ending.message, ending.value)


def _point(hydra: Any, folder: str) -> sweeps.Point:
    """What is known of a job when it is composed."""
    fixed = hydra.job.config.override_dirname.exclude_keys
    return sweeps.Point(
        int(hydra.job.num), folder, grid.swept(hydra, fixed), list(hydra.overrides.task), config_file(hydra)
    )


def config_file(hydra: Any) -> str:
    """The YAML file that a run is named after: the one given to `flat`, a saved run's, the experiment's, or its own."""
    if given_config_file is not None:
        return given_config_file
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
    if len(runs) > 1:
        print("", *_sweep_plan(runs), sep="\n")


def _sweep_plan(points: list[Any]) -> list[str]:
    """What the points ask and cost together; a sweeper that chooses as it goes has none yet."""
    from bon_hydra.queries.load import DatasetError
    from bon_hydra.sweep_plan import as_lines, plan_sweep

    if not points:
        return []
    try:
        return as_lines(plan_sweep(points), points)
    except DatasetError as error:
        return [f"sweep       {len(points)} points; no estimate: {error}"]


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
