"""`bon`: looking at runs. Each command reads its arguments, calls one library function, and prints.

Results go to stdout, all else to stderr; a ConfigError is one line and exit code 2. What a command needs is
imported inside it, so that `bon --help` is quick.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from bon_hydra import __version__
from bon_hydra.store_commands import AsJson, store

app = typer.Typer(
    help="Look at runs of bon_hydra. RUN is a run folder, a parquet file, or a glob of either.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(store, name="store")

Run = Annotated[str, typer.Argument(metavar="RUN", help="A run folder, a parquet file, or a glob of either.")]
Runs = Annotated[list[str], typer.Argument(metavar="RUN", help="Run folders, parquet files, or globs of either.")]
By = Annotated[
    str | None, typer.Option(metavar="KEY", help="Figures by split, verifier, any column, or a key of source_meta.")
]


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
def inspect(
    runs: Runs,
    by: By = None,
    plot: Annotated[
        str | None, typer.Option(metavar="FILE", help="Draw them into a .png or .svg file; several runs overlay.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """One run: its metadata, rates, candidate index, coverage, pass@k. Several: side by side. A sweep: its table."""
    from bon_hydra.report.inspection import inspect_one, inspect_several
    from bon_hydra.report.summary import as_json as summary
    from bon_hydra.report.tables import console, json_document
    from bon_hydra.report.tally import read_run
    from bon_hydra.runs import find_runs
    from bon_hydra.schema import ConfigError

    if plot is not None:
        from bon_hydra.report.plot import check_plot
        from bon_hydra.report.plot import plot as draw

        check_plot(Path(plot))
    if len(runs) == 1 and by is None:
        from bon_hydra.report.sweep.inspection import inspect_sweep

        if inspect_sweep(runs[0], None if plot is None else Path(plot), as_json):
            return
    read = [read_run(path, by) for path in find_runs(runs)]
    filled = [run for run in read if run.candidates]
    for run in read:
        if not run.candidates:
            print(f"{run.path}: an empty run, it has no candidates; left out", file=sys.stderr)
    if not filled:
        raise ConfigError(f"{' '.join(runs)}: nothing to inspect")
    summaries = [summary(run) for run in filled]
    if plot is not None:
        draw(summaries, Path(plot))
        print(f"drawn: {plot}", file=sys.stderr)
    if as_json:
        print(json_document({"runs": summaries}))
    else:
        console().print(inspect_one(summaries[0]) if len(filled) == 1 else inspect_several(summaries))


@app.command()
def compare(
    a: Annotated[str, typer.Argument(metavar="A", help="A run: a folder or a parquet file; or a sweep, alone.")],
    b: Annotated[
        str | None, typer.Argument(metavar="B", help="Another run; a win is a query on which it is better.")
    ] = None,
    metric: Annotated[
        str | None,
        typer.Option(
            help="pass@K, majority@K, best@K, weighted_majority@K, pass^K, first or any "
            "[pass@1; of a sweep what it is ranked by]."
        ),
    ] = None,
    by: By = None,
    against: Annotated[
        str, typer.Option(metavar="POINT", help="Of a sweep: best, first, or a point's number.")
    ] = "best",
    as_json: AsJson = False,
) -> None:
    """Did the change help? Two runs, query by query on those they share: difference, interval, exact test.

    Of a sweep, every point against its best.
    """
    from bon_hydra.report.comparison import compare_runs
    from bon_hydra.report.comparison_table import comparison_table
    from bon_hydra.report.tables import console, json_document
    from bon_hydra.runs import find_run, sweep_folder
    from bon_hydra.schema import ConfigError

    if b is not None:
        found = compare_runs(find_run(a), find_run(b), metric or "pass@1", by)
        print(json_document(found)) if as_json else console().print(comparison_table(found))
        return
    from bon_hydra.report.sweep.comparison import compare_sweep, sweep_comparison_table

    folder = sweep_folder(a)
    if folder is None:
        raise ConfigError(f"{a}: no sweep, so it takes a second run to compare: bon compare A B")
    if by is not None:
        raise ConfigError(
            f"--by {by}: two runs can be compared by groups, the points of a sweep can't: bon compare A B"
        )
    found = compare_sweep(folder, metric, against)
    print(json_document(found)) if as_json else console().print(sweep_comparison_table(found))


@app.command()
def ls(
    folder: Annotated[str, typer.Argument(metavar="DIR", help="A folder with runs in it.")] = "outputs",
    experiment: Annotated[str | None, typer.Option(help="Of this experiment only; math* is a pattern.")] = None,
    model: Annotated[str | None, typer.Option(help="Of this model only, or a pattern.")] = None,
    since: Annotated[str | None, typer.Option(metavar="TIME", help="Since 2026-11-23, or 12h, 7d, 2w ago.")] = None,
    status: Annotated[str | None, typer.Option(help="Such as complete, budget_reached, running, killed.")] = None,
    sort: Annotated[
        str, typer.Option(metavar="COLUMN", help="when, experiment, model, N, T, candidates, verified, cost, status.")
    ] = "when",
    unfold: Annotated[bool, typer.Option("--all", "--unfold", help="The runs of sweeps too, a line each.")] = False,
    as_json: AsJson = False,
) -> None:
    """The runs there are: when, experiment, model, N, T, candidates, verified, cost, status, notes."""
    from bon_hydra.report.listing import Line, Wanted, folded, list_runs
    from bon_hydra.report.listing import as_json as document
    from bon_hydra.report.listing import since as time_of

    runs = list_runs(Path(folder), Wanted(experiment, model, time_of(since) if since else None, status), sort)
    if as_json:
        from bon_hydra.report.tables import json_document

        print(json_document(document(runs)))
        return
    if not runs:
        print(f"{folder}: no runs", file=sys.stderr)
        return
    from bon_hydra.report.listing_table import listing_table
    from bon_hydra.report.tables import console

    out = console()
    out.print(listing_table([Line(run.path, (run,)) for run in runs] if unfold else folded(runs), out))


@app.command()
def show(
    run: Run,
    query: Annotated[str | None, typer.Option(metavar="ID", help="This query: its id, or how it begins.")] = None,
    split: Annotated[str | None, typer.Option(help="Queries of this split only.")] = None,
    verdict: Annotated[str | None, typer.Option(help="Candidates with this verdict only, such as fail.")] = None,
    disputed: Annotated[
        bool, typer.Option("--disputed", help="Candidates only that other answers, or their own end, speak against.")
    ] = False,
    limit: Annotated[int, typer.Option(min=1, help="So many queries.")] = 10,
    sample: Annotated[
        int | None, typer.Option(metavar="N", min=1, help="N queries drawn at random, instead of the first ones.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of --sample.")] = 0,
) -> None:
    """Prompts, references and candidates with their verdicts, readable in the terminal."""
    from bon_hydra.report.reader import Wanted
    from bon_hydra.report.reader import show as read
    from bon_hydra.report.tables import console
    from bon_hydra.runs import find_run

    wanted = Wanted(query, split, verdict, disputed)
    more = read(find_run(run), wanted, sample or limit, console(), seed if sample else None)
    if more:
        others = (
            "--sample and --seed draw others" if sample else "--limit, --query, --split and --verdict choose others"
        )
        print(f"{more} more queries: {others}", file=sys.stderr)


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
def report(
    runs: Runs,
    output: Annotated[Path, typer.Option("-o", "--output", metavar="FILE.html", help="The page; replaced if there.")],
    candidates: Annotated[
        int, typer.Option("--candidates", min=1, help="So many to read a run; more than these are sampled by query.")
    ] = 5000,
) -> None:
    """One self-contained page with plots and readable candidates, that opens offline."""
    from bon_hydra.report.page.document import check_output, write_page
    from bon_hydra.report.sweep.points import paths_and_names

    check_output(output)
    paths, names, left_out = paths_and_names(runs)
    for line in left_out:
        print(line, file=sys.stderr)
    written = write_page(paths, output, candidates, names)
    for path in written.empty:
        print(f"{path}: an empty run, it has no candidates; left out", file=sys.stderr)
    shown = f"{written.candidates:,} candidates"
    if written.candidates < written.of_candidates:
        shown = f"a sample of {written.candidates:,} of {written.of_candidates:,} candidates"
    print(f"{output}: {written.queries:,} queries, {shown}, {written.size / 1e6:.1f} MB")


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
    verifier: Annotated[
        str | None, typer.Option(metavar="NAME", help="Another verifier than the run's: what it would say.")
    ] = None,
) -> None:
    """Judge the stored answers again with today's verifiers, without any API call; print what changes."""
    from bon_hydra.report.changes import changes_table
    from bon_hydra.report.tables import console
    from bon_hydra.runs import find_runs
    from bon_hydra.schema import SandboxConfig
    from bon_hydra.verify import verify as judge_again

    for path in find_runs([run]):
        changes = judge_again(path, os.cpu_count() or 1, SandboxConfig(), write, verifier)
        console().print(changes_table(path, changes, write, verifier))


@app.command()
def export(
    runs: Runs,
    format_name: Annotated[str, typer.Option("--format", help="sft, preference, unpaired, prompts or jsonl.")],
    out: Annotated[Path, typer.Option("-o", "--output", metavar="DIR", help="A folder that is not there yet.")],
    validation: Annotated[float, typer.Option(help="The share of the questions kept for validation.")] = 0.05,
    reasoning: Annotated[
        str | None,
        typer.Option(metavar="drop|think", help="Leave out what a model thought, or keep it in <think> tags."),
    ] = None,
    pairs_per_query: Annotated[int | None, typer.Option(help="preference: at most so many pairs a prompt [1].")] = None,
    match: Annotated[
        str | None, typer.Option(metavar="length|random", help="preference: how pairs are made [length].")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="preference: of random pairs [0].")] = None,
    answers_per_query: Annotated[int | None, typer.Option(help="sft: at most so many answers a prompt [4].")] = None,
    min_pass_rate: Annotated[float | None, typer.Option(help="prompts: the lowest pass rate.")] = None,
    max_pass_rate: Annotated[float | None, typer.Option(help="prompts: the highest pass rate.")] = None,
) -> None:
    """Training data in TRL's conventions, as a folder that datasets.load_dataset reads and hf upload takes."""
    from bon_hydra.export.dataset import export as write
    from bon_hydra.export.options import Options
    from bon_hydra.runs import find_runs, sweep_folder

    options = Options(
        format_name,
        validation,
        reasoning,
        pairs_per_query,
        match,
        seed,
        answers_per_query,
        min_pass_rate,
        max_pass_rate,
    )
    for folder in filter(None, map(sweep_folder, runs)):
        points = ", ".join(path.parent.name for path in find_runs([str(folder)]))
        print(f"{folder}: a sweep, its points are one pool: {points}", file=sys.stderr)
    contents, files = write(runs, options, out)
    for side, rows in contents.rows.items():
        print(f"{side:<12} {rows:>10,} rows of {contents.queries[side]:,} queries")
    for file in files:
        print(file)
    for what, count in sorted(contents.left_out.items()):
        if count:
            print(f"left out: {what}: {count:,}", file=sys.stderr)


@app.command("merge")
def merge_shards(
    runs: Runs,
    output: Annotated[str, typer.Option("-o", "--output", metavar="FILE.parquet", help="A file or URL not there yet.")],
) -> None:
    """Join the runs of a data set's shards (dataset.shard=i/k) into one file, as one run would have written it."""
    from bon_hydra.merge import merge as join

    merged = join(runs, output)
    print(f"{output}: {merged.shards} shards, {merged.queries:,} queries, {merged.candidates:,} candidates")


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script `bon`."""
    from bon_hydra.names import print_anything

    print_anything()
    if "_BON_COMPLETE" in os.environ:
        from typer.completion import completion_init  # type: ignore[attr-defined]  # a name that it takes from elsewhere

        completion_init()
    try:
        app(arguments, prog_name="bon")
    except Exception as error:
        from bon_hydra.names import clean
        from bon_hydra.schema import ConfigError

        if not isinstance(error, ConfigError):
            raise
        print(clean(str(error)), file=sys.stderr)
        sys.exit(2)


if __name__ == "__main__":
    main()
