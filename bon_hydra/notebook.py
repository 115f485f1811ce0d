"""What notebooks and scripts import: run an experiment, load a run, its pass@k, and whether a change helped.

from bon_hydra import compare, load_run, pass_at_k, run_experiment
"""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bon_hydra.runs import find_run, open_run, read_metadata
from bon_hydra.schema import ConfigError

if TYPE_CHECKING:
    import pandas as pd

GOES_TO = re.compile(r"results go to (.+)")
"""The line of a run that says where its folder is."""


@dataclass(frozen=True)
class LoadedRun:
    """A run as Python sees it."""

    path: Path
    """The parquet file."""
    metadata: dict[str, str]
    """The file's own: model, notes, status, config_yaml, totals …"""
    candidates: pd.DataFrame
    """One row a candidate, with the columns that the documentation of the file lists."""

    def figures(self) -> dict[str, Any]:
        """What `bon inspect --json` says of the run: `path`, `metadata`, `overall` and `splits`.

        >>> load_run("outputs/latest").figures()["overall"]["verification_rate"]  # doctest: +SKIP
        0.385
        """
        from bon_hydra.report.summary import summarise

        return summarise(self.path)


def load_run(run: str | PathLike[str], columns: list[str] | None = None) -> LoadedRun:
    """A run: its folder, or its parquet file; `columns` leaves out what is not wanted of large ones.

    Raises:
        ConfigError: there is no such run, or it is several, or the file is none of a run's.

    >>> run = load_run("outputs/latest")  # doctest: +SKIP
    >>> df = run.candidates  # doctest: +SKIP
    >>> df[df.is_scored].groupby("split")["is_verified"].mean()  # doctest: +SKIP
    """
    path = find_run(fspath(run))
    with open_run(path) as file:
        candidates = file.read(columns).to_pandas()
    return LoadedRun(path, read_metadata(path), candidates)


def pass_at_k(run: LoadedRun | str | PathLike[str], split: str | None = None) -> pd.DataFrame:
    """pass@k for every k: the chance that k candidates of a query hold a verified one, over queries.

    Indexed by k, with the columns `estimate`, `low` and `high` (95 % interval, over queries) and `queries`; of one
    split, or of all together. Unbiased, after Chen et al. 2021 (arXiv 2107.03374).

    Raises:
        ConfigError: there is no such run, or it has no such split.

    >>> pass_at_k("outputs/latest").loc[4, "estimate"]  # doctest: +SKIP
    0.625
    """
    import pandas as pd

    from bon_hydra.report.summary import summarise

    path = run.path if isinstance(run, LoadedRun) else find_run(fspath(run))
    found = summarise(path)
    if split is not None and split not in found["splits"]:
        raise ConfigError(f"{path} has no split {split!r}; it has {', '.join(found['splits'])}")
    curve = (found["overall"] if split is None else found["splits"][split])["pass_at_k"]
    rows = []
    for point in curve.values():
        low, high = point["ci95"] or (None, None)
        rows.append({"estimate": point["estimate"], "low": low, "high": high, "queries": point["queries"]})
    return pd.DataFrame(rows, index=pd.Index([int(k) for k in curve], name="k"))


def compare(
    a: LoadedRun | str | PathLike[str],
    b: LoadedRun | str | PathLike[str],
    metric: str = "pass@1",
    by: str | None = None,
) -> dict[str, Any]:
    """Whether b is better than a, on the queries they share: what `bon compare --json` says.

    `overall` and each of `splits` hold `rate_a`, `rate_b`, `difference`, `ci95`, `p_value`, `wins`, `losses` and
    `ties` (a win: b better than a); `warnings` say what makes the two hard to compare.

    Raises:
        ConfigError: there is no such run, they share no queries, or one lacks the metric.

    >>> compare("outputs/baseline", "outputs/hotter")["overall"]["p_value"]  # doctest: +SKIP
    0.032
    """
    from bon_hydra.report.comparison import compare_runs

    paths = [run.path if isinstance(run, LoadedRun) else find_run(fspath(run)) for run in (a, b)]
    return compare_runs(paths[0], paths[1], metric, by)


def run_experiment(*overrides: str, config_dir: str | PathLike[str] | None = None) -> LoadedRun:
    """Runs an experiment as `python -m bon_hydra` does, in a process of its own, and loads what it left.

    Its lines are printed as they come. A run that ended early is loaded too; its `metadata["status"]` says so.

    Raises:
        ConfigError: nothing was run, since the configuration is wrong; the message is what the command says.
        RuntimeError: the run left no file; the message is the last thing it said.

    >>> run = run_experiment("dataset=demo", "splits=[math]", "num_candidates=8")  # doctest: +SKIP
    """
    given = [] if config_dir is None else ["--config-dir", fspath(config_dir)]
    command = [sys.executable, "-m", "bon_hydra", *given, *overrides]
    said: list[str] = []
    # Results go to stdout in a terminal; here both belong under the cell.
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                print(line, end="")
                said.append(line.rstrip())
        except KeyboardInterrupt:  # the run has had the signal too, and writes what there is
            process.wait()
    folders = [found[1] for line in said if (found := GOES_TO.search(line))]
    if process.returncode == 2 and not folders:
        raise ConfigError("\n".join(said).strip())
    if not folders:
        raise RuntimeError(said[-1] if said else f"the run ended with exit code {process.returncode}")
    return load_run(folders[-1])
