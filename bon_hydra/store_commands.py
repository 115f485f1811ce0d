"""`bon store`: what is in the candidate store, and removing or adding answers; a part of `cli`, by the same rules."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

StorePath = Annotated[Path, typer.Option("--store", metavar="PATH", help="The store's file.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON document on stdout, nothing else.")]


class _StoreGroup(TyperGroup):
    """`bon store` alone, or with options only, is `bon store info`."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Names the command that was left out."""
        asks_help = args[:1] in (["-h"], ["--help"])
        return super().parse_args(ctx, args if asks_help or (args and args[0][0] != "-") else ["info", *args])


store = typer.Typer(
    cls=_StoreGroup,
    help="The candidate store: what is in it, and removing or adding answers. Alone it is `bon store info`.",
    rich_markup_mode=None,
)
STORE = Path("outputs/store.sqlite")


@contextmanager
def _stopped_anywhere() -> Iterator[None]:
    """Ctrl-C ends the process at once, also in the middle of SQLite's work; a store bears being left at any point."""
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@store.command()
def info(
    store: StorePath = STORE,
    limit: Annotated[int, typer.Option(min=0, help="So many of the newest runs and accounts.")] = 10,
    as_json: AsJson = False,
) -> None:
    """How large the store is, what is in it and who is at work on it. Reads the whole file, and changes nothing."""
    from bon_hydra.report import stores
    from bon_hydra.report.tables import console, json_document
    from bon_hydra.store.contents import contents

    with _stopped_anywhere():
        found = contents(store, limit)
    if as_json:
        print(json_document(stores.as_json(found)))
    else:
        console().print(stores.contents_tables(found))


@store.command()
def prune(
    store: StorePath = STORE,
    older_than: Annotated[
        str | None, typer.Option(metavar="90d|DATE", help="Answers that arrived so long ago, or before a day (UTC).")
    ] = None,
    model: Annotated[str | None, typer.Option(metavar="NAME", help="Answers of this model.")] = None,
    identity: Annotated[str | None, typer.Option(metavar="ID", help="Answers of this server.")] = None,
    run: Annotated[str | None, typer.Option(metavar="RUN_ID", help="Answers that this run drew.")] = None,
    verdicts: Annotated[bool, typer.Option("--verdicts", help="All kept verdicts too.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this it is only shown.")] = False,
) -> None:
    """Remove answers for which all of the given options hold. What a later run needs of them it pays again."""
    from bon_hydra.report import stores
    from bon_hydra.report.tables import console
    from bon_hydra.schema import ConfigError
    from bon_hydra.store import prune as pruning

    before = None if older_than is None else pruning.moment_before(older_than)
    filters = pruning.Filters(before, model, identity, run, verdicts)
    if filters == pruning.Filters():
        raise ConfigError("bon store prune: say what is to go: --older-than, --model, --identity, --run or --verdicts")
    with _stopped_anywhere():
        if yes:
            going, size, left = pruning.prune(store, filters)
            console().print(stores.going_table(store, going, "", True))
            print(f"{store}: {stores.megabytes(size)} on disk before, {stores.megabytes(left)} now")
            return
        going = pruning.would_go(store, filters)
        few = 0 < going.candidates <= pruning.FEW
        tokens = stores.tokens_of(pruning.candidates_that_would_go(store, filters)) if few else ""
        console().print(stores.going_table(store, going, tokens, False))
    if going.responses or going.verdicts:
        print("Nothing was removed: the same command with --yes does it", file=sys.stderr)


@store.command()
def merge(
    sources: Annotated[list[Path], typer.Argument(metavar="FROM", help="Stores to add; they are only read.")],
    store: Annotated[Path, typer.Option("--store", metavar="INTO", help="The store to add them to.")] = STORE,
) -> None:
    """Add what other stores have and this one has not. Repeated, it changes nothing; killed, the same goes on."""
    from bon_hydra.report.stores import merged_line
    from bon_hydra.store.merge import merge as merged

    with _stopped_anywhere():
        for one in merged(sources, store):
            print(merged_line(one, store), flush=True)
