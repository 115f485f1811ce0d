"""What judging a run again has changed, as a table."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from bon_hydra.report.tables import Grid, percent, whole
from bon_hydra.verify import Changes


def changes_table(path: Path, changes: Changes, written: bool, verifier: str | None = None) -> RenderableType:
    """Which verdicts changed and why, the largest move first, and the verification rate before and after.

    `verifier`: another one than the run's, which only says what it would.
    """
    changed = sum(changes.moves.values())
    differ = "change" if verifier is None else f"are others by {verifier}"
    parts: list[RenderableType] = [Text(f"{path}: {changed:,} of {changes.candidates:,} verdicts {differ}.")]
    if changed:
        rows = [
            [split, f"{before} -> {after}", "" if number else whole(count), example]
            for (split, before, after), count in changes.moves.most_common()
            for number, example in enumerate(changes.examples[split, before, after])
        ]
        parts.append(Grid("", ["split", "verdict", "candidates", "for example"], rows, texts=4))
    before, after = (
        verified / scored if scored else None
        for verified, scored in (
            (changes.verified_before, changes.scored_before),
            (changes.verified_after, changes.scored_after),
        )
    )
    now = "now" if verifier is None else f"by {verifier}"
    parts.append(Text(f"Verified: {percent(before)} before, {percent(after)} {now}."))
    if verifier is not None:
        return Group(*parts)
    told = "Written; the old file is beside it as .before-verify." if written else "Nothing was written (--write does)."
    return Group(*parts, Text(told))
