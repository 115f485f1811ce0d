"""`bon report`: which queries a page holds, what it is called, what is refused, and what the page is made of."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bon_command import bon
from browser import Watched
from hypothesis import given
from hypothesis import strategies as st
from page_runs import Said, asked, math_queries, write_run
from playwright.sync_api import expect
from report_page import candidate, card, listed, to_queries
from sample_runs import write

from bon_hydra.report.page.document import SCRIPTS, write_page
from bon_hydra.report.page.pairs import pairs
from bon_hydra.report.page.queries import Key, Outcome, read_outcomes
from bon_hydra.report.page.sample import choose
from bon_hydra.report.page.texts import MOST_CHARACTERS

PAGE = Path(__file__).parents[1] / "bon_hydra" / "report" / "page"


def test_the_command_writes_one_file_and_says_what_is_in_it(
    capsys: pytest.CaptureFixture[str], cool_run: Path, warm_run: Path, tmp_path: Path
) -> None:
    """Over a page that is there; of folders, files and globs."""
    html = tmp_path / "page.html"
    html.write_text("old")
    code, out, err = bon(capsys, "report", cool_run.parent, warm_run, "-o", html)
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"{re.escape(str(html))}: 17 queries, 132 candidates, \d\.\d MB\n", out)
    assert html.read_text().startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [html]
    _, out, _ = bon(capsys, "report", cool_run, "--candidates", 20, "-o", html)
    assert "a sample of 20 of 66 candidates" in out


def test_mistakes_end_in_one_line(capsys: pytest.CaptureFixture[str], cool_run: Path, tmp_path: Path) -> None:
    """Exit code 2, and what was there is as it was."""
    html = tmp_path / "page.html"
    html.write_text("old")
    (tmp_path / "text.parquet").write_text("no parquet")
    (tmp_path / "folder.html").mkdir()
    write(tmp_path / "empty.parquet", [])
    wrong = {
        (cool_run, "-o", tmp_path / "page.parquet"): "wanted a name that ends in .html",
        (cool_run, "-o", tmp_path / "no" / "page.html"): "there is no folder",
        (cool_run, "-o", tmp_path / "folder.html"): "a folder, wanted a file",
        (cool_run, tmp_path / "text.parquet", "-o", html): "not a parquet file",
        ("nowhere", "-o", html): "no such run",
        (tmp_path / "empty.parquet", "-o", html): "no candidates",
    }
    for arguments, message in wrong.items():
        code, out, err = bon(capsys, "report", *arguments)
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1
    assert html.read_text() == "old"
    code, _, err = bon(capsys, "report", cool_run, tmp_path / "empty.parquet", "-o", html)
    assert code == 0
    assert "left out" in err


def test_a_file_of_the_seeds_system_is_shown(tab: Watched, tmp_path: Path) -> None:
    """It has neither verdicts nor prompts; its queries need not stand together."""
    rows = {
        "query_id": ["a", "b", "a", "b"],
        "split": ["math", "math", "math", None],
        "candidate_idx": [0, 0, 1, 1],
        "is_verified": [True, False, False, None],
        "response": ["x = 1", None, "x = 2", "y"],
    }
    seed = pa.table(rows).replace_schema_metadata({"model": "gpt-4o", "num_candidates": "2", "notes": "old"})
    pq.write_table(seed, tmp_path / "seed.parquet")
    write_page([tmp_path / "seed.parquet"], tmp_path / "seed.html", 5000)
    page = tab.open(tmp_path / "seed.html")
    expect(page.locator(".head h2")).to_have_text("seed")
    expect(page.locator(".facts").first).to_have_text("gpt-4oN = 2")
    expect(page.get_by_text("The runs say nothing of it.").first).to_be_visible()
    to_queries(page)
    page.locator(".row").first.click()
    expect(page.locator(".candidate .verdict")).to_have_text(["pass", "fail"])


def test_runs_are_called_by_what_tells_them_apart(tmp_path: Path, tab: Watched) -> None:
    """A folder's name, with the day where two have the same."""
    queries = [asked("a", "a", [Said("pass")])]
    paths = [write_run(tmp_path / day / "14-05-33_same", queries) for day in ("2026-11-23", "2026-11-24")]
    write_page(paths, tmp_path / "page.html", 10)
    page = tab.open(tmp_path / "page.html")
    expect(page.locator(".head h2 > span")).to_have_text(["2026-11-23/14-05-33_same", "2026-11-24/14-05-33_same"])


def test_the_pages_parts_fit_into_a_script_element() -> None:
    """Nothing in them ends it or opens a comment; each import is of a name that is exported, and no name is twice."""
    for path in (*PAGE.glob("js/*.js"), PAGE / "libraries" / "libraries.js"):
        assert not re.search(r"<(!--|/?script)", path.read_text(encoding="utf-8"), re.IGNORECASE), path
    for path in (PAGE / "page.css", PAGE / "libraries" / "libraries.css"):
        assert "</" not in path.read_text(encoding="utf-8")
    assert {path.stem for path in PAGE.glob("js/*.js")} == set(SCRIPTS)
    names: dict[str, set[str]] = {}
    for at, name in enumerate(SCRIPTS):
        text = (PAGE / "js" / f"{name}.js").read_text(encoding="utf-8")
        for imported, module in re.findall(r'^import \{([^}]*)\} from "\./(\w+)\.js";$', text, re.MULTILINE):
            wanted = {part.strip() for part in imported.split(",") if part.strip()}
            assert module in SCRIPTS[:at]
            assert wanted <= names[module], f"{name}.js imports {wanted - names[module]} from {module}.js"
        names[name] = set(re.findall(r"^export (?:async )?(?:const|let|function|class) (\w+)", text, re.MULTILINE))
        assert len(re.findall(r"^import", text, re.MULTILINE)) == text.count('.js";\n')


def test_the_page_without_data_is_small(tmp_path: Path) -> None:
    """Less than two megabytes, fonts and libraries with it; and its policy knows no host."""
    run = write(tmp_path / "run.parquet", [asked("id", "q", [Said("pass", "a")])])
    assert write_page([run], tmp_path / "page.html", 10).size < 2_000_000
    html = (tmp_path / "page.html").read_text()
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert policy.startswith("default-src &#39;none&#39;")
    assert "unsafe" not in policy
    assert "http" not in policy
    assert "*" not in policy


def test_the_libraries_are_those_that_are_named() -> None:
    """With versions and licences in one place, as the script that builds them pins them."""
    pinned = json.loads((PAGE.parents[2] / "scripts/page_libraries/package.json").read_text())["dependencies"]
    licences = (PAGE / "libraries" / "LICENSES.md").read_text(encoding="utf-8")
    for name, version in pinned.items():
        assert f"| {name} | {version} | " in licences
        assert f"\n## {name}\n" in licences


# --- Samples ---


def test_a_larger_run_shows_a_sample_and_says_so(tab: Watched, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Figures over all; whole queries; the same ones in both runs, and the same ones each time."""
    runs = [write_run(tmp_path / f"run{right}", math_queries(60, right)) for right in (1, 3)]
    written = write_page(runs, tmp_path / "a.html", 40)
    assert (written.queries, written.candidates, written.of_candidates) == (10, 80, 480)
    monkeypatch.setattr("time.time", lambda: 1e9)
    write_page(runs, tmp_path / "b.html", 40)
    monkeypatch.undo()
    assert (tmp_path / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    page = tab.open(tmp_path / "a.html")
    expect(page.locator(".sample")).to_contain_text("A: 40 of 240 candidates (10 of 60 queries)")
    rates = card(page, "How often is a candidate right?").locator("tbody tr")
    expect(rates.first.locator("td").nth(4)).to_have_text("240")
    to_queries(page)
    assert len(listed(page)) == 10
    assert page.locator(".row").first.locator(".cell").count() == 8


RUNS = st.lists(
    st.dictionaries(
        st.tuples(st.sampled_from("abc"), st.integers(0, 30).map(str)),
        st.integers(1, 6).map(lambda n: Outcome(list(range(n)))),
        min_size=1,
        max_size=40,
    ),
    min_size=1,
    max_size=3,
)


@given(RUNS, st.integers(6, 60))
def test_a_sample_fits_and_depends_on_nothing_but_the_queries(runs: list[dict[Key, Outcome]], limit: int) -> None:
    """No run shows more than the limit, none is empty for it, order of queries is kept, order of rows is no matter."""
    chosen = choose(runs, limit)
    assert all(sum(len(run[key].rows) for key in chosen if key in run) <= limit for run in runs)
    everything = list(dict.fromkeys(key for run in runs for key in run))
    assert chosen == [key for key in everything if key in set(chosen)]
    turned = [dict(reversed(run.items())) for run in runs]
    assert set(choose(turned, limit)) == set(chosen)
    if all(sum(len(outcome.rows) for outcome in run.values()) <= limit for run in runs):
        assert chosen == everything


def test_a_sample_takes_from_every_split_and_first_what_the_runs_share() -> None:
    """A small split is not lost among a large one."""
    large = {("math", str(n)): Outcome([n]) for n in range(1000)} | {("code", str(n)): Outcome([n]) for n in range(5)}
    small = {("math", str(n)): Outcome([n]) for n in range(100, 120)}
    assert sum(split == "code" for split, _ in choose([large], 20)) == 5
    assert set(small) <= set(choose([large, small], 30))


def test_a_text_longer_than_anybody_reads_loses_its_middle(tab: Watched, tmp_path: Path) -> None:
    """And says how much of it."""
    text = "begin" + "x" * (MOST_CHARACTERS + 990) + "end!!"
    run = write(tmp_path / "run.parquet", [asked("id", "long", [Said("pass", text)])])
    assert write_page([run], tmp_path / "page.html", 10).size < 3_000_000
    page = tab.open(tmp_path / "page.html", "#q/id")
    page.get_by_role("button", name="Source").click()
    page.get_by_role("button", name="Show all").click()
    expect(candidate(page, 0)).to_contain_text("[… 1,000 characters are left out of this page …]")


def test_two_runs_are_counted_query_by_query(tmp_path: Path) -> None:
    """By the right candidates of the queries that both have scored ones of, by split and over all."""
    first = [
        asked("a", "a", [Said("pass"), Said("fail")]),
        asked("b", "b", [Said("fail"), Said("fail")], split="code"),
        asked("c", "c", [Said("pass"), Said("pass")]),
        asked("lost", "lost", [Said("api_error", error="500")]),
    ]
    second = [
        asked("c", "c", [Said("fail"), Said("pass")]),
        asked("a", "a", [Said("pass"), Said("api_error", error="500")]),
        asked("b", "b", [Said("pass"), Said("pass")], split="code"),
        asked("lost", "lost", [Said("pass")]),
        asked("new", "new", [Said("pass")]),
    ]
    paths = [write(tmp_path / f"{at}.parquet", queries) for at, queries in enumerate((first, second, second[4:]))]
    (pair, *others) = pairs([read_outcomes(path) for path in paths])
    assert (pair["a"], pair["b"]) == (0, 1)
    assert pair["overall"] == {
        "cells": [[0, 2, 1], [1, 1, 1], [2, 1, 1]],
        "shared": 3,
        "more": 1,
        "fewer": 1,
        "same": 1,
    }
    assert pair["splits"]["code"] == {"cells": [[0, 2, 1]], "shared": 1, "more": 1, "fewer": 0, "same": 0}
    assert [(other["a"], other["b"]) for other in others] == [(1, 2)]
