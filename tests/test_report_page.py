"""`bon report`: one page that opens offline in a real browser, tells the truth, and does nothing that it is told to."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from browser import Watched, offline_browser
from hypothesis import given, settings
from hypothesis import strategies as st
from page_runs import HARMFUL, Said, asked, everything, harmful, math_queries, write_run
from playwright.sync_api import BrowserContext, Locator, Page, expect
from sample_runs import METADATA, write

from bon_hydra.cli import main
from bon_hydra.report.page.document import SCRIPTS, write_page
from bon_hydra.report.page.sample import Key, choose
from bon_hydra.report.page.texts import MOST_CHARACTERS
from bon_hydra.report.summary import summarise

PAGE = Path(__file__).parents[1] / "bon_hydra" / "report" / "page"
NOTES = "What: does warmth help?\nWhy: the candidates were all alike."
CONFIG = "num_candidates: 4\ntemperature: {}\nmodel:\n  name: mock\n"
PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    """One browser for all tests of this file."""
    with offline_browser() as opened:
        yield opened


@pytest.fixture
def tab(context: BrowserContext) -> Iterator[Watched]:
    """A tab, in which nothing may go wrong."""
    watched = Watched(context)
    watched.page.set_viewport_size({"width": 1440, "height": 900})
    watched.page.emulate_media(color_scheme="light")
    yield watched
    faults = watched.faults()
    watched.page.close()
    assert faults == []


def metadata(temperature: float = 0.7, notes: str = NOTES) -> dict[str, str]:
    config = CONFIG.format(temperature)
    return {**METADATA, "temperature": str(temperature), "notes": notes, "config_yaml": config, "status": "complete"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs and pages that are only read."""
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="module")
def run(folder: Path) -> Path:
    """A run with everything in it."""
    return write_run(folder / "14-05-33_cool", everything(2), metadata(0.7))


@pytest.fixture(scope="module")
def other(folder: Path) -> Path:
    """The same queries, asked warmer, with more right."""
    return write_run(folder / "15-00-00_warm", everything(3), metadata(1.0, "What: warmer."))


@pytest.fixture(scope="module")
def one(folder: Path, run: Path) -> Path:
    """The page of one run."""
    write_page([run], folder / "one.html", 5000)
    return folder / "one.html"


@pytest.fixture(scope="module")
def two(folder: Path, run: Path, other: Path) -> Path:
    """The page of both runs."""
    write_page([run, other], folder / "two.html", 5000)
    return folder / "two.html"


def bon(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    try:
        main([str(argument) for argument in arguments])
        code: Any = 0
    except SystemExit as end:
        code = end.code
    out, err = capsys.readouterr()
    return code or 0, out, err


def percent(rate: float) -> str:
    """As the page writes it."""
    return f"{100 * rate:.1f}\u202f%"


def card(page: Page, title: str) -> Locator:
    """A figure, by its question."""
    return page.locator(".panel", has=page.get_by_role("heading", name=title))


def table(figure: Locator) -> dict[str, list[str]]:
    """The figure's numbers, opened as a table: its first column, and the texts of the others."""
    figure.get_by_text("As a table").click()
    figure.locator("tbody tr").first.wait_for()
    rows = figure.locator("tbody tr").all()
    return {row.locator("th").inner_text(): row.locator("td").all_inner_texts() for row in rows}


def listed(page: Page) -> list[str]:
    """The titles in the list that are in sight, in order."""
    return page.locator(".row .title").all_inner_texts()


def candidate(page: Page, index: int, run: int = 0) -> Locator:
    return page.locator(f'.candidate[data-run="{run}"][data-index="{index}"]')


def to_queries(page: Page) -> None:
    page.get_by_role("link", name="Queries").click()
    page.wait_for_selector(".row")


# --- Figures ---


def test_the_page_shows_the_numbers_of_the_summary(tab: Watched, one: Path, run: Path) -> None:
    """Rates, pass@k, rates by index and verdicts, for all and for each split, as `bon inspect --json` has them."""
    page = tab.open(one)
    summary = summarise(run)
    sections = {"all splits": summary["overall"], **summary["splits"]}
    rates = card(page, "How often is a candidate right?").locator("tbody tr")
    for row, section in zip(rates.all(), sections.values(), strict=True):
        shown = row.locator(".rate b").all_inner_texts()
        names = ("verification_rate", "first_candidate_rate", "any_candidate_rate")
        assert shown == [percent(section[name]) for name in names]
    curves = table(card(page, "What do more candidates buy?"))
    by_index = table(card(page, "Does the first win?"))
    verdicts = table(card(page, "What became of the answers?"))
    for name, section in sections.items():
        estimates = [rate["estimate"] for rate in section["pass_at_k"].values()]
        assert [cell.split(" ")[0] for cell in curves[name]] == [
            "–" if rate is None else percent(rate) for rate in estimates
        ]
        assert [cell.split(" ")[0] for cell in by_index[name]] == [
            "–" if counts["rate"] is None else percent(counts["rate"]) for counts in section["candidate_idx"].values()
        ]
        assert verdicts[name][:2] == [str(section["verdicts"].get(verdict, 0)) for verdict in ("pass", "fail")]


def test_every_figure_is_drawn(tab: Watched, one: Path) -> None:
    """As SVG, with lines, marks or bars in it."""
    page = tab.open(one)
    plots = page.locator(".plot svg")
    expect(plots).to_have_count(5)
    for plot in plots.all():
        assert plot.locator("path").count() > 5


def test_hovering_tells_the_numbers_of_all_series(tab: Watched, one: Path, run: Path) -> None:
    """At the k that is nearest, with its interval and how many queries it rests on."""
    page = tab.open(one)
    plot = card(page, "What do more candidates buy?").locator(".plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box
    page.mouse.move(box["x"] + 60, box["y"] + 90)
    page.mouse.move(box["x"] + 50, box["y"] + 95)
    tip = plot.locator(".tip")
    expect(tip).to_contain_text("k = 1")
    pass_at_1 = summarise(run)["overall"]["pass_at_k"]["1"]
    expect(tip).to_contain_text(percent(pass_at_1["estimate"]))
    expect(tip).to_contain_text(f"{pass_at_1['queries']} queries")
    for split in ("all splits", "math", "tool_calling", "code"):
        expect(tip).to_contain_text(split)


def test_splits_are_chosen_for_all_figures_at_once(tab: Watched, one: Path) -> None:
    """One alone is told apart by right and wrong answers."""
    page = tab.open(one)
    chips = page.get_by_role("group", name="Splits that are drawn").get_by_role("button")
    expect(chips).to_have_text(["all splits", "math", "tool_calling", "code"])
    for name in ("all splits", "tool_calling", "code"):
        chips.filter(has_text=name).click()
    for title in ("How often is a candidate right?", "Does the first win?"):
        expect(card(page, title)).not_to_contain_text("tool_calling")
    expect(card(page, "How long are the answers?").locator(".legend li")).to_have_text(["right", "wrong"])
    chips.filter(has_text="math").click()
    expect(page.get_by_text("Nothing is chosen")).to_be_visible()


def test_curves_are_chosen(tab: Watched, one: Path) -> None:
    """majority@k beside pass@k, and the last one stays."""
    page = tab.open(one)
    figure = card(page, "What do more candidates buy?")
    figure.get_by_role("button", name="majority@k").click()
    expect(figure.locator(".legend")).to_contain_text("math · majority@k")
    figure.get_by_role("button", name="pass@k").click()
    expect(figure.locator(".legend")).not_to_contain_text("pass@k")
    figure.get_by_role("button", name="majority@k").click()
    expect(figure.get_by_role("button", name="majority@k")).to_have_attribute("aria-pressed", "true")


def test_a_part_of_a_figure_opens_its_queries(tab: Watched, one: Path) -> None:
    """Those with that verdict, in that split; and those with so many right candidates."""
    page = tab.open(one)
    card(page, "What became of the answers?").get_by_role("button", name="timeout").last.click()
    expect(page.locator("#count")).to_have_text("1 of 17 queries")
    assert listed(page) == ["Write a function `sum_even(numbers)` that returns the sum of the even numbers."]
    page.go_back()
    table(card(page, "How many of N are right?"))
    card(page, "How many of N are right?").get_by_role("row", name="all splits").get_by_role("button").first.click()
    page.wait_for_selector(".row")
    expect(page.get_by_role("button", name="1 right")).to_be_visible()
    assert len(listed(page)) == int(page.locator("#count").inner_text().split()[0])


def test_notes_metadata_and_configuration_are_told(tab: Watched, one: Path) -> None:
    """Notes where decisions are made; all the rest one click away."""
    page = tab.open(one)
    expect(page.locator(".heads .notes")).to_have_text(NOTES)
    page.get_by_role("link", name="Runs").click()
    expect(page.locator(".run .notes")).to_have_text(NOTES)
    expect(page.locator(".facts-list")).to_contain_text("temperature")
    page.get_by_text("The whole configuration").click()
    assert page.locator(".run .code").inner_text() == CONFIG.format(0.7).strip()
    page.get_by_text("Their licences").click()
    expect(page.locator(".made pre")).to_contain_text("Apache License")


# --- The reader ---


def test_queries_are_filtered_by_split_verdict_and_outcome(tab: Watched, one: Path) -> None:
    """Each narrows what the others leave; one click clears all of them."""
    page = tab.open(one, "#queries")
    count = page.locator("#count")
    expect(count).to_have_text("17 queries")
    page.get_by_label("Split").select_option("tool_calling")
    assert listed(page) == ["What is the weather in Oslo right now?"]
    page.get_by_label("Split").select_option("all splits")
    page.get_by_label("Verdict").select_option("has unverifiable")
    expect(count).to_have_text("1 of 17 queries")
    page.get_by_role("button", name="None right").click()
    expect(page.get_by_text("No query is like that.")).to_be_visible()
    page.get_by_role("button", name="Clear filters").click()
    expect(count).to_have_text("17 queries")
    page.get_by_role("button", name="Cut off").click()
    assert [title[:5] for title in listed(page)] == ["Let $"]


def test_mixed_queries_are_those_with_right_and_wrong_candidates(tab: Watched, folder: Path) -> None:
    """What is not scored makes no query mixed."""
    queries = [
        asked("a", "all", [Said("pass"), Said("pass")]),
        asked("b", "none", [Said("fail"), Said("timeout")]),
        asked("c", "mixed", [Said("fail"), Said("pass")]),
        asked("d", "right and lost", [Said("pass"), Said("api_error", error="500")]),
    ]
    write_page([write(folder / "mixed.parquet", queries)], folder / "mixed.html", 5000)
    page = tab.open(folder / "mixed.html", "#queries")
    for outcome, wanted in {"Mixed": ["mixed"], "All right": ["all", "right and lost"], "None right": ["none"]}.items():
        page.get_by_role("button", name=outcome).click()
        assert listed(page) == wanted
    page.get_by_role("button", name="Later right").click()
    assert listed(page) == ["mixed"]


def test_search_finds_what_any_text_of_a_query_holds(tab: Watched, one: Path) -> None:
    """Whatever its case, as it is written (no pattern), in answers too; and marks it."""
    page = tab.open(one, "#queries")
    search = page.get_by_role("searchbox")
    found = {
        "OSLO": ["What is the weather in Oslo right now?"],
        "by vieta": ["Let $r$ and $s$ be the roots of $x^2 - 5x + 6 = 0$. What is $r + s$?"],
        "(numbers)`": ["Write a function `sum_even(numbers)` that returns the sum of the even numbers."],
        "你好，世界": ["قل مرحبا بالعربية ثم 用中文说你好。"],
        "sum-ev": ["Write a function `sum_even(numbers)` that returns the sum of the even numbers."],
    }
    for text, titles in found.items():
        search.fill(text)
        expect(page.locator("#count")).to_have_text("1 of 17 queries")
        assert listed(page) == titles
    search.fill("[a-z]+")
    expect(page.locator("#count")).to_have_text("0 of 17 queries")
    search.fill("by vieta")
    page.locator(".row").click()
    page.wait_for_selector(".candidate")
    assert page.evaluate("CSS.highlights.get('found').size") == 1


def test_the_order_of_the_list_is_chosen(tab: Watched, one: Path) -> None:
    """Few right first, or many."""
    page = tab.open(one, "#queries")
    page.get_by_label("Order").select_option("most right")
    most = listed(page)
    page.get_by_label("Order").select_option("fewest right")
    assert listed(page) != most
    expect(page.locator(".row .strip").first.locator(".v-pass")).to_have_count(1)


def test_candidates_stand_side_by_side_with_verdict_and_reason(tab: Watched, one: Path) -> None:
    """In order, aligned at the top, beside prompt and reference; or stacked."""
    page = tab.open(one, "#q/sum-even")
    expect(page.locator(".candidate .verdict")).to_have_text(["pass", "fail", "timeout", "verifier error"])
    expect(candidate(page, 1).locator(".reason")).to_have_text("test 1: expected [6], got 10")
    expect(candidate(page, 1)).to_contain_text("score 0.25")
    boxes = [each.bounding_box() for each in page.locator(".candidate").all()]
    assert len({box["y"] for box in boxes if box}) == 1
    page.get_by_role("button", name="Stacked").click()
    boxes = [each.bounding_box() for each in page.locator(".candidate").all()]
    assert len({box["x"] for box in boxes if box}) == 1
    page.get_by_text("Prompt as it was sent").click()
    expect(page.locator(".message .role")).to_have_text(["system", "user"])
    candidate(page, 3).get_by_text("Details").click()
    expect(candidate(page, 3).locator(".details")).to_contain_text("1003")


def test_math_is_rendered(tab: Watched, one: Path) -> None:
    """In questions and answers, in dollars, brackets and bare boxes; tables and lists too."""
    page = tab.open(one, "#q/quadratic")
    expect(page.locator(".question .katex").first).to_be_visible()
    first = candidate(page, 0)
    assert first.locator(".body .katex").count() == 7
    expect(first.locator(".math.display .katex")).to_have_count(1)
    expect(first.locator(".body .katex .fbox")).to_have_count(1)
    expect(first.locator("td")).to_have_count(4)
    expect(first.locator("strong")).to_have_text("sum")
    font = first.locator(".body .katex .mathnormal").first.evaluate("node => getComputedStyle(node).fontFamily")
    assert "KaTeX_Math" in font
    assert page.evaluate("document.fonts.check('16px KaTeX_Math')")


def test_code_is_highlighted(tab: Watched, one: Path) -> None:
    """Fenced with its language; the whole answer where it is nothing but a program; references as JSON."""
    page = tab.open(one, "#q/sum-even")
    expect(candidate(page, 0).locator(".t-keyword").first).to_have_text("def")
    expect(candidate(page, 3).locator(".t-keyword")).to_have_text(["def", "pass"])
    expect(page.locator(".reference .t-attr").first).to_have_text('"kind"')


def test_tool_calls_are_formatted_and_their_numbers_exact(tab: Watched, one: Path) -> None:
    """Name and arguments of a call; the tools that there are."""
    page = tab.open(one, "#q/weather")
    call = candidate(page, 1).locator(".call")
    expect(call.locator("b")).to_have_text("get_weather")
    expect(call.locator("dt")).to_have_text(["city", "unit"])
    expect(call.locator("dd")).to_have_text(['"Osl"', '"celsius"'])
    expect(page.locator(".reference .call dd")).to_have_text(['"Oslo"', "9007199254740993"])
    page.get_by_text("Tools · 1").click()
    expect(page.locator(".tool")).to_contain_text("The city's name")
    expect(page.locator(".tool dt").first).to_have_text("city*")
    expect(candidate(page, 3)).to_contain_text("HTTP 500 from the server")
    expect(page.locator(".tally")).to_have_text("1 of 3 right, 1 not scored")


def test_thinking_is_folded_away(tab: Watched, one: Path) -> None:
    """Up to the last </think>, or all of it where that is missing; reasoning in its own field too."""
    page = tab.open(one, "#q/quadratic")
    third = candidate(page, 2)
    expect(third.locator(".body > .text")).to_contain_text("By Vieta")
    expect(third).not_to_contain_text("Vieta says")
    third.get_by_text("Thinking · 7 words").click()
    expect(third.locator(".thought .text")).to_contain_text("Vieta says it is 5.")
    expect(candidate(page, 3)).to_contain_text("Cut off at the token limit.")
    page.keyboard.press("k")
    page.get_by_role("searchbox").fill("fits")
    page.locator(".row").click()
    candidate(page, 1).get_by_text("Thinking · 1,200 words").click()
    expect(candidate(page, 1).locator(".thought .text")).to_contain_text("First I think.")


def test_long_answers_show_their_beginning(tab: Watched, one: Path) -> None:
    """And all of it when asked."""
    page = tab.open(one, "#q/long")
    first = candidate(page, 0)
    expect(first).not_to_contain_text("Paragraph 299")
    first.get_by_role("button", name=re.compile("Show all 1\\d\\d,\\d{3} characters")).click()
    expect(first).to_contain_text("Paragraph 299")


def test_texts_are_shown_as_they_came_when_asked(tab: Watched, one: Path) -> None:
    """To the character."""
    page = tab.open(one, "#q/quadratic")
    page.get_by_role("button", name="Source").click()
    expect(page.locator(".candidate .body .katex, .asked .katex")).to_have_count(0)
    assert candidate(page, 0).locator("pre.source").inner_text() == everything()[0].candidates[0].response.text  # type: ignore[union-attr]


def test_texts_that_run_from_right_to_left_do_so_within_their_place(tab: Watched, one: Path) -> None:
    """And turn nothing around that is not theirs."""
    page = tab.open(one, "#q/languages")
    directions = [
        candidate(page, at).locator(".text > p").evaluate("node => getComputedStyle(node).direction") for at in range(4)
    ]
    assert directions == ["rtl", "ltr", "rtl", "ltr"]
    expect(candidate(page, 3).locator(".reason")).to_have_css("direction", "ltr")


def test_equal_answers_are_counted_as_votes(tab: Watched, one: Path) -> None:
    """The most frequent first."""
    page = tab.open(one, "#q/quadratic")
    expect(page.locator(".vote small")).to_have_text(["×2", "×1"])
    expect(page.locator(".vote").first).to_have_class(re.compile("v-pass"))


# --- Several runs ---


def test_runs_are_laid_over_each_other_and_chosen(tab: Watched, two: Path, run: Path, other: Path) -> None:
    """Their curves in the figures, their answers to one query under each other."""
    page = tab.open(two)
    rates = card(page, "How often is a candidate right?").locator("tbody tr")
    expect(rates.locator("th")).to_have_text(["A · 14-05-33_cool", "B · 15-00-00_warm"])
    shown = [row.locator(".rate b").first.inner_text() for row in rates.all()]
    assert shown == [percent(summarise(path)["overall"]["verification_rate"]) for path in (run, other)]
    expect(page.locator(".differences tbody tr")).to_have_text(re.compile(r"temperature\s*0.7\s*1.0"))
    page.get_by_role("button", name="A 14-05-33_cool").click()
    expect(rates.locator("th")).to_have_text(["B · 15-00-00_warm"])
    page.get_by_role("button", name="A 14-05-33_cool").click()
    to_queries(page)
    page.locator(".row").nth(1).click()
    expect(page.locator(".answers h3")).to_have_text(["A14-05-33_cool", "B15-00-00_warm"])
    left = [candidate(page, 2, at).bounding_box() for at in (0, 1)]
    assert left[0]
    assert left[1]
    assert left[0]["x"] == left[1]["x"]
    page.get_by_role("button", name="B 15-00-00_warm").click()
    expect(page.locator(".answers h3")).to_have_text(["A14-05-33_cool"])


def test_queries_that_only_one_of_the_runs_solves_are_found(tab: Watched, folder: Path) -> None:
    """Where both have scored candidates."""
    first = [asked(name, name, [Said(verdict)]) for name, verdict in (("a", "pass"), ("b", "fail"), ("c", "pass"))]
    second = [asked(name, name, [Said(verdict)]) for name, verdict in (("a", "pass"), ("b", "pass"), ("d", "pass"))]
    paths = [write(folder / f"differ-{at}.parquet", queries) for at, queries in enumerate((first, second))]
    write_page(paths, folder / "differ.html", 5000)
    page = tab.open(folder / "differ.html", "#queries")
    assert listed(page) == ["a", "b", "c", "d"]
    page.get_by_role("button", name="Runs differ").click()
    assert listed(page) == ["b"]


def test_a_draw_that_two_runs_share_is_said(tab: Watched, two: Path) -> None:
    """It is no second answer."""
    page = tab.open(two, "#q/quadratic")
    expect(candidate(page, 0, 1)).to_contain_text("the same draw as in A")
    expect(candidate(page, 0, 0)).not_to_contain_text("the same draw")


# --- Getting around ---


def test_an_address_leads_a_colleague_to_a_candidate(tab: Watched, two: Path) -> None:
    """The copied one; the query's id alone is enough for the query; what is not there shows the figures."""
    page = tab.open(two, "#q/weather/B1")
    expect(candidate(page, 1, 1)).to_have_class(re.compile("named"))
    expect(candidate(page, 1, 1)).to_be_in_viewport()
    candidate(page, 2, 0).get_by_title("Copy a link to this").click()
    assert page.evaluate("location.hash") == "#q/weather/A2"
    page = tab.open(two, "#sum-even")
    expect(page.locator(".query-id")).to_have_text("sum-even")
    page = tab.open(two, "#q/nothing%20like%20it")
    expect(page.locator("#view-figures")).to_be_visible()


def test_the_browsers_way_back_works(tab: Watched, one: Path) -> None:
    """From a query to the figures it was opened from."""
    page = tab.open(one)
    to_queries(page)
    page.locator(".row").first.click()
    expect(page.locator(".query-id")).to_have_text("quadratic")
    page.go_back()
    page.go_back()
    expect(page.locator("#view-figures")).to_be_visible()


def test_keys_lead_through_the_page(tab: Watched, one: Path) -> None:
    """And do nothing while one types."""
    page = tab.open(one)
    page.keyboard.press("q")
    page.keyboard.press("j")
    expect(page.locator(".query-id")).to_have_text("quadratic")
    page.keyboard.press("j")
    expect(page.locator(".query-id")).to_have_text("sum0000")
    expect(page.locator('.row[aria-selected="true"] .title')).to_have_text("What is 0 + 1?")
    page.keyboard.press("k")
    expect(page.locator(".query-id")).to_have_text("quadratic")
    page.keyboard.press("/")
    page.keyboard.type("jjkk")
    expect(page.get_by_role("searchbox")).to_have_value("jjkk")
    page.keyboard.press("Escape")
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("previous query")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    page.get_by_role("button", name="Clear filters").click()
    page.get_by_role("listbox").focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator(".query-id")).to_have_text("sum0000")


def test_a_long_list_holds_only_the_rows_in_sight(tab: Watched, folder: Path) -> None:
    """And all of them can be reached."""
    run = write(folder / "many.parquet", math_queries(1000))
    write_page([run], folder / "many.html", 5000)
    page = tab.open(folder / "many.html", "#queries")
    assert page.locator(".row").count() < 50
    page.locator("#list").evaluate("list => { list.scrollTop = list.scrollHeight; }")
    expect(page.locator(".row").last).to_have_attribute("aria-posinset", "1000")
    page.locator(".row").last.click()
    expect(page.locator(".where")).to_contain_text("1,000 of 1,000")


# --- Looks ---

CONTRAST = """
() => {
  const channels = (color) => color.match(/[\\d.]+/g).map(Number);
  const luminance = (color) => channels(color).slice(0, 3).map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, at) => sum + c * [0.2126, 0.7152, 0.0722][at], 0);
  const ground = (node) => {
    for (; node; node = node.parentElement) {
      const { backgroundColor, backgroundImage } = getComputedStyle(node);
      if (backgroundImage.startsWith("repeating")) return null; // a pattern
      const [, , , alpha = 1] = channels(backgroundColor);
      if (alpha === 1) return backgroundColor;
    }
    return getComputedStyle(document.body).backgroundColor;
  };
  const faint = [];
  for (const node of document.querySelectorAll("body *:not(script):not(style):not(option):not(.katex-mathml *)")) {
    const own = [...node.childNodes].some((child) => child.nodeType === 3 && child.data.trim());
    if (!own || !node.checkVisibility({ opacityProperty: true }) || node.closest("svg, .off, :disabled")) continue;
    const below = ground(node);
    if (below === null) continue;
    const [a, b] = [luminance(getComputedStyle(node).color), luminance(below)].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < 4.5) faint.push([node.tagName, node.className, node.textContent.slice(0, 20), ratio]);
  }
  return faint;
}
"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_stands_out_from_its_ground(tab: Watched, two: Path, one: Path, scheme: Any) -> None:
    """By WCAG's AA ratio of 4.5, in light and dark, on every view."""
    tab.page.emulate_media(color_scheme=scheme)
    for path, fragment in ((two, ""), (one, ""), (two, "#q/quadratic"), (one, "#q/sum-even"), (one, "#runs")):
        page = tab.open(path, fragment)
        if fragment.startswith("#q"):
            page.wait_for_selector(".candidate")
        assert page.evaluate(CONTRAST) == []


def test_light_and_dark_follow_the_system_or_the_button(tab: Watched, one: Path) -> None:
    """The choice is kept for the next page, and the plots' colours change too."""
    page = tab.open(one)
    ground = "getComputedStyle(document.body).backgroundColor"
    label = page.locator(".plot svg text").first
    light, ink = page.evaluate(ground), label.get_attribute("fill")
    page.emulate_media(color_scheme="dark")
    dark = page.evaluate(ground)
    assert dark != light
    expect(label).not_to_have_attribute("fill", ink or "")
    button = page.get_by_role("button", name="Colours")
    button.click()
    assert page.evaluate(ground) == light
    page = tab.open(one)
    assert page.evaluate(ground) == light
    button.click()
    page.emulate_media(color_scheme="light")
    assert page.evaluate(ground) == dark
    button.click()
    assert page.evaluate(ground) == light


def test_verdicts_are_told_apart_without_colours(tab: Watched, one: Path) -> None:
    """By words, and by drawings of different shapes."""
    page = tab.open(one, "#q/sum-even")
    page.wait_for_selector(".candidate")
    drawn = [candidate(page, at).locator(".verdict use").get_attribute("href") for at in range(4)]
    assert len(set(drawn)) == 4


@pytest.mark.parametrize("fragment", ["#figures", "#queries", "#q/quadratic", "#runs"])
def test_nothing_is_wider_than_a_phone(tab: Watched, two: Path, fragment: str) -> None:
    """What is wider scrolls in its own place."""
    tab.page.set_viewport_size({"width": 390, "height": 844})
    page = tab.open(two, fragment)
    page.wait_for_selector(".candidate" if fragment.startswith("#q/") else "main section:visible")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_on_a_phone_the_list_gives_way_to_the_query(tab: Watched, one: Path) -> None:
    """And comes back."""
    tab.page.set_viewport_size({"width": 390, "height": 844})
    page = tab.open(one, "#queries")
    expect(page.locator("#query")).to_be_hidden()
    page.locator(".row").first.click()
    expect(page.locator("#list")).to_be_hidden()
    expect(candidate(page, 0)).to_be_in_viewport()
    page.get_by_role("button", name="Queries").click()
    expect(page.locator("#list")).to_be_visible()


# --- Harm ---

FOREIGN = """
() => {
  const count = (selector) => document.querySelectorAll(selector).length;
  const handlers = ({ attributes }) => [...attributes].some(({ name }) => name.startsWith("on"));
  return [
    count("script"),
    count("style"),
    count("img, iframe, object, embed, form:not(#help form), base, link:not([rel=icon])"),
    count("a:not(.row):not(nav a):not(.skip)"),
    count("body > *"),
    [...document.querySelectorAll("main *")].filter(handlers).length,
  ];
}
"""
"""How much there is that no text of a model may add to."""


@pytest.mark.timeout(600)
def test_an_answer_that_means_harm_changes_nothing(tab: Watched, folder: Path) -> None:
    """Read as HTML, script, Markdown, LaTeX or keys of objects, in every text of a run: it stays text."""
    notes = {**metadata(), "notes": HARMFUL["script"], "config_yaml": HARMFUL["meta"], "totals": '{"__proto__": "<b>"}'}
    run = write_run(folder / "harm <b>", harmful(), {**notes, "packages": '["<script>"]', "experiment": HARMFUL["svg"]})
    html = folder / "harm.html"
    write_page([run, write_run(folder / "harm 2", harmful(), notes)], html, 5000)
    page = tab.open(html)
    before = page.evaluate(FOREIGN)
    for name, text in HARMFUL.items():
        query_id = f"harm-{name}-<b>\"'"
        page = tab.open(html, f"#q/{quote(query_id, safe='')}")
        page.wait_for_selector(".candidate")
        for summary in page.locator("#query summary").all():
            summary.click()
        assert page.evaluate("document.querySelector('.query-id').textContent") == query_id
        assert page.evaluate(FOREIGN) == before
        covered = page.evaluate(
            """() => [...document.querySelectorAll(".candidate .verdict")].slice(0, 3).filter((mark) => {
              mark.scrollIntoView({ block: "center", inline: "center" });
              const { x, y, width, height } = mark.getBoundingClientRect();
              return !mark.contains(document.elementFromPoint(x + width / 2, y + height / 2));
            }).length"""
        )
        assert covered == 0
        page.get_by_role("button", name="Source").click()
        if name == "deep":
            candidate(page, 0).get_by_role("button", name="Show all").click()
        first = candidate(page, 0).locator(".body pre.source").last
        expect(first).to_be_attached()
        assert first.evaluate("node => node.textContent") == text
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("link", name="Figures").click()
    assert page.evaluate("[window.harmed, Object.prototype.x, document.title.includes('harm <b>')]") == [
        None,
        None,
        True,
    ]
    assert page.evaluate(FOREIGN)[:3] == before[:3]


def test_the_policy_would_stop_what_the_page_itself_let_through(context: BrowserContext, one: Path) -> None:
    """No inline script, style, image or request, no HTML out of a text, even for the page's own script."""
    watched = Watched(context)
    page = watched.open(one)
    tried = page.evaluate(
        """async () => {
          const refused = [];
          try { document.body.innerHTML = "<b>x</b>"; } catch { refused.push("html"); }
          try { await fetch("https://evil.test/"); } catch { refused.push("fetch"); }
          await new Promise((done) => setTimeout(() => {
            try { eval("harmed = 1"); } catch { refused.push("eval"); }
            done();
          }));
          const script = document.createElement("script");
          try { script.textContent = "harmed = 1"; document.body.append(script); } catch { refused.push("script"); }
          const node = document.createElement("p");
          node.setAttribute("style", "color: red");
          document.body.append(node);
          if (getComputedStyle(node).color !== "rgb(255, 0, 0)") refused.push("style");
          const image = new Image();
          image.src = "https://evil.test/x.png";
          await new Promise((done) => { image.onerror = done; image.onload = done; });
          refused.push("image");
          return [refused, window.harmed ?? null];
        }"""
    )
    assert tried == [["html", "fetch", "eval", "script", "style", "image"], None]
    assert not [fault for fault in watched.faults() if fault.startswith("request")]
    page.close()


def test_no_text_of_others_stands_in_the_file(folder: Path) -> None:
    """Only packed; the title is escaped."""
    run = write_run(folder / "x</title><script>", [asked("id", "</script>secret", [Said("pass", "<!--secret")])])
    write_page([run], folder / "packed.html", 5000)
    html = (folder / "packed.html").read_text()
    assert "secret" not in html
    assert "x</title>" not in html


# --- Samples ---


def test_a_larger_run_shows_a_sample_and_says_so(tab: Watched, tmp_path: Path) -> None:
    """Figures over all; whole queries; the same ones in both runs, and the same ones each time."""
    runs = [write_run(tmp_path / f"run{right}", math_queries(60, right)) for right in (1, 3)]
    written = write_page(runs, tmp_path / "a.html", 40)
    assert (written.queries, written.candidates, written.of_candidates) == (10, 80, 480)
    write_page(runs, tmp_path / "b.html", 40)
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
        st.integers(1, 6).map(lambda n: list(range(n))),
        min_size=1,
        max_size=40,
    ),
    min_size=1,
    max_size=3,
)


@given(RUNS, st.integers(6, 60))
@settings(deadline=None)
def test_a_sample_fits_and_depends_on_nothing_but_the_queries(runs: list[dict[Key, list[int]]], limit: int) -> None:
    """No run shows more than the limit, none is empty for it, order of queries is kept, order of rows is no matter."""
    chosen = choose(runs, limit)
    assert all(sum(len(run.get(key, ())) for key in chosen) <= limit for run in runs)
    everything = list(dict.fromkeys(key for run in runs for key in run))
    assert chosen == [key for key in everything if key in set(chosen)]
    turned = [dict(reversed(run.items())) for run in runs]
    assert set(choose(turned, limit)) == set(chosen)
    if all(sum(map(len, run.values())) <= limit for run in runs):
        assert chosen == everything


def test_a_sample_takes_from_every_split_and_first_what_the_runs_share() -> None:
    """A small split is not lost among a large one."""
    large = {("math", str(n)): [n] for n in range(1000)} | {("code", str(n)): [n] for n in range(5)}
    small = {("math", str(n)): [n] for n in range(100, 120)}
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


# --- Files ---


def test_the_command_writes_one_file_and_says_what_is_in_it(
    capsys: pytest.CaptureFixture[str], run: Path, other: Path, tmp_path: Path
) -> None:
    """Over a page that is there; of folders, files and globs."""
    html = tmp_path / "page.html"
    html.write_text("old")
    code, out, err = bon(capsys, "report", run.parent, other, "-o", html)
    assert (code, err) == (0, "")
    assert re.fullmatch(rf"{re.escape(str(html))}: 17 queries, 132 candidates, \d\.\d MB\n", out)
    assert html.read_text().startswith("<!doctype html>")
    assert list(tmp_path.iterdir()) == [html]
    _, out, _ = bon(capsys, "report", run, "--candidates", 20, "-o", html)
    assert "a sample of 20 of 66 candidates" in out


def test_mistakes_end_in_one_line(capsys: pytest.CaptureFixture[str], run: Path, tmp_path: Path) -> None:
    """Exit code 2, and what was there is as it was."""
    html = tmp_path / "page.html"
    html.write_text("old")
    (tmp_path / "text.parquet").write_text("no parquet")
    (tmp_path / "folder.html").mkdir()
    write(tmp_path / "empty.parquet", [])
    wrong = {
        (run, "-o", tmp_path / "page.parquet"): "wanted a name that ends in .html",
        (run, "-o", tmp_path / "no" / "page.html"): "there is no folder",
        (run, "-o", tmp_path / "folder.html"): "a folder, wanted a file",
        (run, tmp_path / "text.parquet", "-o", html): "not a parquet file",
        ("nowhere", "-o", html): "no such run",
        (tmp_path / "empty.parquet", "-o", html): "no candidates",
    }
    for arguments, message in wrong.items():
        code, out, err = bon(capsys, "report", *arguments)
        assert (code, out) == (2, "")
        assert message in err
        assert err.count("\n") == 1
    assert html.read_text() == "old"
    code, _, err = bon(capsys, "report", run, tmp_path / "empty.parquet", "-o", html)
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
