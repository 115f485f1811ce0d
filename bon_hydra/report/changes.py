"""What judging a run again has changed, as a table."""

from __future__ import annotations

from pathlib import Path

from rich.console import Group, RenderableType
from rich.text import Text

from bon_hydra.report.tables import Grid, percent, whole
from bon_hydra.verify import Changes


def changes_table(path: Path, changes: Changes, written: bool) -> RenderableType:
    """Which verdicts changed and why, the largest move first, and the verification rate before and after."""
    changed = sum(changes.moves.values())
    parts: list[RenderableType] = [Text(f"{path}: {changed:,} of {changes.candidates:,} verdicts change.")]
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
    parts.append(Text(f"Verified: {percent(before)} before, {percent(after)} now."))
    told = "Written; the old file is beside it as .before-verify." if written else "Nothing was written (--write does)."
    return Group(*parts, Text(told))
