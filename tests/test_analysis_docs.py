"""The pandas snippets of docs/analysis.md run as they stand, and say what `bon compare` says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from sample_runs import judged, write

from bon_hydra.report.comparison import compare_runs

DOCS = Path(__file__).parents[1] / "docs" / "analysis.md"


def test_the_snippets_run_and_agree_with_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One value a query, paired on split and id, is the difference that is compared."""
    monkeypatch.chdir(tmp_path)
    draw = np.random.default_rng(0)
    for name, rate in (("baseline", 0.4), ("improved", 0.6), ("outputs/latest/run", 0.5)):
        queries = [
            judged(str(at), np.where(draw.random(4) < rate, "pass", "fail").tolist(), split="ab"[at % 2])
            for at in range(20)
        ]
        write(Path(f"{name}.parquet"), queries)
    names: dict[str, object] = {}
    snippets = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    assert len(snippets) == 3
    for snippet in snippets:
        exec(snippet, names)
    both, compared = names["both"], compare_runs(Path("baseline.parquet"), Path("improved.parquet"))
    differences = (both.improved - both.baseline).groupby("split").mean()  # type: ignore[attr-defined]
    for split, found in compared["splits"].items():
        assert differences[split] == pytest.approx(found["difference"])
