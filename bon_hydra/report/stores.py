"""What is in a candidate store, what a prune takes and what a merge brought: tables, or a document for scripts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from typing import Any

from rich.console import Group, RenderableType
from rich.text import Text

from bon_hydra.report.tables import Grid, dollars, whole
from bon_hydra.store import Stored
from bon_hydra.store.contents import Answers, Contents
from bon_hydra.store.merge import Merged
from bon_hydra.store.prune import Going


def as_json(contents: Contents) -> dict[str, Any]:
    """Every figure under its name; times in UTC, as ISO 8601."""
    return {name: _plain(value) for name, value in asdict(contents).items()}


def contents_tables(contents: Contents) -> RenderableType:
    """The store in figures, its answers by model, the newest runs and accounts, and who is at work."""
    parts: list[RenderableType] = [
        Text(
            f"{contents.path}: {megabytes(contents.bytes)} on disk, whole; store version {contents.version}. "
            f"{contents.candidates:,} candidates of {contents.responses:,} responses, {contents.verdicts:,} verdicts."
        ),
        Text(""),
    ]
    if contents.answers:
        parts.append(_answers("Answers, by server and model (dates are UTC)", contents.answers))
    if contents.newest_runs:
        header = ["run", "data set", "newest answer", "answered", "failed", "candidates"]
        rows = [
            [run.run_id, run.dataset, _date(run.last), whole(run.answered), whole(run.failed), whole(run.candidates)]
            for run in contents.newest_runs
        ]
        title = f"Runs: {_newest(len(rows), contents.runs)} (requests answered, requests failed, candidates here)"
        parts.append(Grid(title, header, rows, texts=3))
    if contents.newest_accounts:
        rows = [
            [account.name, whole(account.runs), dollars(account.spent_usd), dollars(account.reserved_usd)]
            for account in contents.newest_accounts
        ]
        title = f"Accounts: {_newest(len(rows), contents.accounts)} (reserved: what requests in flight may cost)"
        parts.append(Grid(title, ["account", "runs", "spent", "reserved"], rows))
    if contents.at_work:
        rows = [[sitting.run_id, sitting.host, str(sitting.pid)] for sitting in contents.at_work]
        parts.append(Grid("At work on it now", ["run", "host", "process"], rows, texts=3))
    else:
        parts.append(Text("Nobody is at work on it now."))
    return Group(*parts)


def going_table(path: Path, going: Going, tokens: str, removed: bool) -> RenderableType:
    """What goes, or went, by model; `tokens`: what it had cost, or an empty text where that is not known."""
    if not going.responses and not going.verdicts:
        return Text(f"{path}: nothing that fits. What there is: bon store --store {path}")
    verb = "Removed" if removed else "To go"
    parts: list[RenderableType] = []
    if going.responses:
        parts.append(_answers(f"{verb} from {path}: {going.candidates:,} candidates", going.answers))
        if not removed:
            took = f"They took {tokens} tokens. " if tokens else ""
            parts.append(Text(f"{took}A run that needs one of them again asks and pays for it again."))
    if going.verdicts:
        parts.append(Text(f"{verb}: {going.verdicts:,} verdicts, which are worked out again where needed."))
    return Group(*parts)


def tokens_of(candidates: Iterable[Stored]) -> str:
    """What candidates took to draw, as `1,234 prompt + 567 completion`; those that no server counted are left out."""
    from bon_hydra.bodies import read_choice

    prompt = completion = 0
    for candidate in candidates:
        response = read_choice(candidate)
        prompt += response.prompt_tokens or 0
        completion += response.completion_tokens or 0
    return f"{prompt:,} prompt + {completion:,} completion" if prompt or completion else ""


def merged_line(merged: Merged, into: Path) -> str:
    """What one store brought."""
    return (
        f"{merged.path}: added {merged.candidates:,} candidates of {merged.responses:,} responses, "
        f"{merged.verdicts:,} verdicts and {merged.runs:,} runs to {into}; "
        f"{merged.present:,} candidates were there already"
    )


def megabytes(count: int) -> str:
    """`12.3 MB`, of a million bytes each."""
    return f"{count / 1e6:,.1f} MB"


def _answers(title: str, answers: Sequence[Answers]) -> Grid:
    header = ["server", "model", "first", "last", "candidates", "responses", "runs", "compressed"]
    rows = [
        [
            one.identity,
            one.model,
            _date(one.first),
            _date(one.last),
            whole(one.candidates),
            whole(one.responses),
            whole(one.runs),
            megabytes(one.bytes),
        ]
        for one in answers
    ]
    return Grid(title, header, rows, texts=4)


def _newest(shown: int, count: int) -> str:
    return f"{count:,}" if shown == count else f"the newest {shown:,} of {count:,}; --limit shows more"


def _date(moment: datetime | None) -> str:
    return "–" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(its) for name, its in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(its) for its in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, Path) else value
