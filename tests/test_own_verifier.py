"""A verifier that somebody else's package brings, as docs/adding.md shows it."""

from __future__ import annotations

import re
from pathlib import Path

from app import additions, asking, jsonl, parquets, rows_of, run
from fake_api import FakeApi

ADDING = (Path(__file__).parent.parent / "docs" / "adding.md").read_text(encoding="utf-8")


def install(site: Path, code: str) -> Path:
    """A distribution as pip leaves it: a module, and metadata that names its entry point."""
    site.mkdir()
    (site / "keywords.py").write_text(code)
    info = site / "keywords-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: keywords\nVersion: 1.2\n")
    (info / "entry_points.txt").write_text("[bon_hydra.verifiers]\nkeywords = keywords:judge\n")
    return site


def example() -> str:
    found = re.search(r"```python\n(# keywords\.py\n.*?)```", ADDING, re.S)
    assert found
    return found[1]


def test_the_documented_example_judges_a_run(tmp_path: Path) -> None:
    """Its verdict, its score and its name and version stand in the file."""
    site = install(tmp_path / "site", example())
    rows = [{"question": "Name two primary colours.", "answer": "#### red blue"}]
    with FakeApi(reply=["Red and blue.", "Red and green."]) as api:
        arguments = asking(api.url, jsonl(tmp_path / "rows.jsonl", rows), "num_candidates=2", "concurrency=1")
        done = run(tmp_path, *arguments, "dataset.verifier=keywords", "prompt=plain", PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    first, second = rows_of(parquets(tmp_path)[0])
    assert (first["verdict"], first["score"], first["scorer"]) == ("pass", 1.0, "keywords")
    assert (second["verdict"], second["score"], second["verdict_reason"]) == ("fail", 0.5, "1 of 2 keywords")
    assert first["verifier"] == "keywords (keywords 1.2)"


def test_a_verifier_that_fails_or_hangs_is_no_wrong_answer(tmp_path: Path) -> None:
    """An exception of its own is a verifier_error; an endless loop a timeout; the run goes on."""
    code = (
        "def judge(completion, task):\n"
        "    while 'loop' in completion.text: pass\n"
        "    raise ValueError('no idea') if 'raise' in completion.text else SystemError('worse')\n"
    )
    site = install(tmp_path / "site", code)
    with FakeApi(reply=["raise", "loop", "other"]) as api:
        arguments = asking(api.url, additions(tmp_path, 1), "num_candidates=3", "concurrency=1")
        done = run(tmp_path, *arguments, "dataset.verifier=keywords", PYTHONPATH=str(site))
    assert done.returncode == 0, done.stderr
    rows = rows_of(parquets(tmp_path)[0])
    assert [row["verdict"] for row in rows] == ["verifier_error", "timeout", "verifier_error"]
    assert "no idea" in rows[0]["error"]


def test_an_unknown_verifier_names_the_plug_ins_too(tmp_path: Path) -> None:
    """Before anything is asked."""
    site = install(tmp_path / "site", "judge = None\n")
    with FakeApi() as api:
        arguments = asking(api.url, additions(tmp_path, 1), "dataset.verifier=keyword")
        done = run(tmp_path, *arguments, PYTHONPATH=str(site))
        assert (done.returncode, api.requests) == (2, [])
    assert "did you mean keywords?" in done.stderr
