"""`bon`: looking at runs. Each command reads its arguments, calls one library function, and prints.

Results go to stdout, all else to stderr; a ConfigError is one line and exit code 2. What a command needs is
imported inside it, so that `bon --help` is quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from bon_hydra import __version__

app = typer.Typer(
    help="Look at runs of bon_hydra. RUN is a run folder, a parquet file, or a glob of either.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run folder, a parquet file, or a glob of either.")]
Runs = Annotated[list[str], typer.Argument(metavar="RUN", help="Run folders, parquet files, or globs of either.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]


def _version(asked: bool) -> None:
    if asked:
        print(f"bon_hydra {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="The version, and nothing else.")
    ] = False,
) -> None:
    pass


@app.command()
def inspect(runs: Runs, as_json: AsJson = False) -> None:
    """One run: its metadata, rates, candidate index, coverage, pass@k. Several runs: side by side."""
    from bon_hydra.report.counts import read_run
    from bon_hydra.report.summary import as_json as summary
    from bon_hydra.report.tables import console, inspect_one, inspect_several, json_document
    from bon_hydra.runs import find_runs
    from bon_hydra.schema import ConfigError

    read = [read_run(path) for path in find_runs(runs)]
    filled = [run for run in read if run.overall.candidates]
    for run in read:
        if not run.overall.candidates:
            print(f"{run.path}: an empty run, it has no candidates; left out", file=sys.stderr)
    if not filled:
        raise ConfigError(f"{' '.join(runs)}: nothing to inspect")
    if as_json:
        print(json_document({"runs": [summary(run) for run in filled]}))
    else:
        console().print(inspect_one(filled[0]) if len(filled) == 1 else inspect_several(filled))


@app.command()
def show(
    run: Run,
    query: Annotated[str | None, typer.Option(metavar="ID", help="This query: its id, or how it begins.")] = None,
    split: Annotated[str | None, typer.Option(help="Queries of this split only.")] = None,
    verdict: Annotated[str | None, typer.Option(help="Candidates with this verdict only, such as fail.")] = None,
    limit: Annotated[int, typer.Option(min=1, help="So many queries.")] = 10,
) -> None:
    """Prompts, references and candidates with their verdicts, readable in the terminal."""
    from bon_hydra.report.reader import Wanted
    from bon_hydra.report.reader import show as read
    from bon_hydra.report.tables import console
    from bon_hydra.runs import find_runs
    from bon_hydra.schema import ConfigError

    paths = find_runs([run])
    if len(paths) > 1:
        raise ConfigError(f"{run}: {len(paths)} runs, wanted one: {paths[0]}, {paths[1]}, …")
    more = read(paths[0], Wanted(query, split, verdict), limit, console())
    if more:
        print(f"{more} more queries: --limit, --query, --split and --verdict choose others", file=sys.stderr)


@app.command()
def resume(
    run: Run,
    overrides: Annotated[
        list[str] | None, typer.Argument(metavar="[budget_usd=…]", help="A new budget, in USD over all sittings.")
    ] = None,
) -> None:
    """Go on with a run that was killed, interrupted or ran out of budget, in its own folder."""
    from bon_hydra.resume import resume as go_on

    try:
        code = go_on(run, overrides or [])
    except KeyboardInterrupt:  # before its first request; after that the run itself answers it
        code = 130
    raise typer.Exit(code)


def _rerun_overrides(incomplete: str) -> list[str]:
    from bon_hydra.completion import overrides

    return overrides(incomplete)


@app.command()
def rerun(
    run: Run,
    overrides: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[key=value | group=option]…", help="What is to be otherwise.", autocompletion=_rerun_overrides
        ),
    ] = None,
    multirun: Annotated[
        bool, typer.Option("--multirun", "-m", help="A sweep: values may be lists, T=0.2,0.7.")
    ] = False,
    trust_host: Annotated[
        list[str] | None,
        typer.Option(metavar="HOST", help="A host that the saved run may ask, with the key it names."),
    ] = None,
    config_dir: Annotated[
        str | None, typer.Option("--config-dir", "-cd", metavar="DIR", help="A folder with options of your own.")
    ] = None,
) -> None:
    """A new run from a saved one, your changes on top; a group's option replaces that group's whole saved block."""
    flags = ["--multirun"] if multirun else []
    flags += [f"--trust-host={host}" for host in trust_host or []]
    flags += [f"--config-dir={config_dir}"] if config_dir else []
    command = [sys.executable, "-m", "bon_hydra.rerun", *flags, "--", run, *(overrides or [])]
    sys.stdout.flush()
    # This process becomes the Hydra app, which imports nothing from where it is started: a stranger's folder, perhaps.
    os.execve(sys.executable, command, os.environ | {"PYTHONSAFEPATH": "1"})


@app.command()
def completion(
    shell: Annotated[
        str | None, typer.Argument(metavar="[bash|zsh|fish]", help="The one this is typed in, where none is named.")
    ] = None,
    install: Annotated[
        bool, typer.Option("--install", help="Put it where the shell reads it when it starts, instead of printing it.")
    ] = False,
) -> None:
    """Completion by Tab for bon and bon-hydra: commands, groups, options, keys and paths."""
    from bon_hydra import completion as completing

    shell = shell or completing.current_shell()
    if not install:
        print(completing.script(shell), end="")
        return
    written = completing.install(shell)
    print(f"{' and '.join(map(str, written))}: completion of bon and bon-hydra is there, in every new {shell}")


@app.command()
def verify(
    run: Run,
    write: Annotated[
        bool, typer.Option("--write", help="Replace the file; the old one is kept as .before-verify.")
    ] = False,
) -> None:
    """Judge the stored answers again with today's verifiers, without any API call; print what changes."""
    from bon_hydra.report.changes import changes_table
    from bon_hydra.report.tables import console
    from bon_hydra.runs import find_runs
    from bon_hydra.schema import SandboxConfig
    from bon_hydra.verify import verify as judge_again

    for path in find_runs([run]):
        changes = judge_again(path, os.cpu_count() or 1, SandboxConfig(), write)
        console().print(changes_table(path, changes, write))


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script `bon`."""
    if "_BON_COMPLETE" in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]  # a name that it takes from elsewhere

        completion_init()
    try:
        app(arguments, prog_name="bon")
    except Exception as error:
        from bon_hydra.schema import ConfigError

        if not isinstance(error, ConfigError):
            raise
        print(error, file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
