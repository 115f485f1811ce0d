"""`bon report` in a real browser: queries are found, and their candidates read side by side, of one run or several."""

from __future__ import annotations

import re
from pathlib import Path

from browser import Watched
from page_runs import Said, asked, everything
from playwright.sync_api import expect
from report_page import candidate, card, listed, percent, to_queries
from sample_runs import write

from bon_hydra.report.page.document import write_page
from bon_hydra.report.summary import summarise


def test_queries_are_filtered_by_split_verdict_and_outcome(tab: Watched, page_of_one: Path) -> None:
    """Each narrows what the others leave; one click clears all of them."""
    page = tab.open(page_of_one, "#queries")
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


def test_mixed_queries_are_those_with_right_and_wrong_candidates(tab: Watched, page_folder: Path) -> None:
    """What is not scored makes no query mixed."""
    queries = [
        asked("a", "all", [Said("pass"), Said("pass")]),
        asked("b", "none", [Said("fail"), Said("timeout")]),
        asked("c", "mixed", [Said("fail"), Said("pass")]),
        asked("d", "right and lost", [Said("pass"), Said("api_error", error="500")]),
    ]
    write_page([write(page_folder / "mixed.parquet", queries)], page_folder / "mixed.html", 5000)
    page = tab.open(page_folder / "mixed.html", "#queries")
    for outcome, wanted in {"Mixed": ["mixed"], "All right": ["all", "right and lost"], "None right": ["none"]}.items():
        page.get_by_role("button", name=outcome).click()
        assert listed(page) == wanted
    page.get_by_role("button", name="Later right").click()
    assert listed(page) == ["mixed"]


def test_search_finds_what_any_text_of_a_query_holds(tab: Watched, page_of_one: Path) -> None:
    """Whatever its case, as it is written (no pattern), in answers too; and marks it."""
    page = tab.open(page_of_one, "#queries")
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


def test_the_order_of_the_list_is_chosen(tab: Watched, page_of_one: Path) -> None:
    """Few right first, or many."""
    page = tab.open(page_of_one, "#queries")
    page.get_by_label("Order").select_option("most right")
    most = listed(page)
    page.get_by_label("Order").select_option("fewest right")
    assert listed(page) != most
    expect(page.locator(".row .strip").first.locator(".v-pass")).to_have_count(1)


def test_candidates_stand_side_by_side_with_verdict_and_reason(tab: Watched, page_of_one: Path) -> None:
    """In order, aligned at the top, beside prompt and reference; or stacked."""
    page = tab.open(page_of_one, "#q/sum-even")
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


def test_math_is_rendered(tab: Watched, page_of_one: Path) -> None:
    """In questions and answers, in dollars, brackets and bare boxes; tables and lists too."""
    page = tab.open(page_of_one, "#q/quadratic")
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


def test_math_ends_where_it_is_closed(tab: Watched, tmp_path: Path) -> None:
    """On the same line or a later one; what follows it is text, and prices and open ends are no math."""
    text = "$$x = 1$$. So:\n\n$$\na\n= b\n$$\nwhich costs $5 and $10 \\[ c \\] here.\n\n$$ d"
    run = write(tmp_path / "run.parquet", [asked("id", "q", [Said("pass", text)])])
    write_page([run], tmp_path / "page.html", 10)
    body = candidate(tab.open(tmp_path / "page.html", "#q/id"), 0).locator(".body .text")
    expect(body.locator(".math.display")).to_have_count(3)
    expect(body.locator(".math")).to_have_count(3)
    texts = [". So:", "which costs $5 and $10", "here.", "$$ d"]
    assert body.evaluate("(body, texts) => texts.filter((text) => !body.textContent.includes(text))", texts) == []


def test_code_is_highlighted(tab: Watched, page_of_one: Path) -> None:
    """Fenced with its language; the whole answer where it is nothing but a program; references as JSON."""
    page = tab.open(page_of_one, "#q/sum-even")
    expect(candidate(page, 0).locator(".t-keyword").first).to_have_text("def")
    expect(candidate(page, 3).locator(".t-keyword")).to_have_text(["def", "pass"])
    expect(page.locator(".reference .t-attr").first).to_have_text('"kind"')


def test_tool_calls_are_formatted_and_their_numbers_exact(tab: Watched, page_of_one: Path) -> None:
    """Name and arguments of a call; the tools that there are."""
    page = tab.open(page_of_one, "#q/weather")
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


def test_thinking_is_folded_away(tab: Watched, page_of_one: Path) -> None:
    """Up to the last </think>, or all of it where that is missing; reasoning in its own field too."""
    page = tab.open(page_of_one, "#q/quadratic")
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


def test_long_answers_show_their_beginning(tab: Watched, page_of_one: Path) -> None:
    """And all of it when asked."""
    page = tab.open(page_of_one, "#q/long")
    first = candidate(page, 0)
    expect(first).not_to_contain_text("Paragraph 299")
    first.get_by_role("button", name=re.compile("Show all 1\\d\\d,\\d{3} characters")).click()
    expect(first).to_contain_text("Paragraph 299")


def test_texts_are_shown_as_they_came_when_asked(tab: Watched, page_of_one: Path) -> None:
    """To the character."""
    page = tab.open(page_of_one, "#q/quadratic")
    page.get_by_role("button", name="Source").click()
    expect(page.locator(".candidate .body .katex, .asked .katex")).to_have_count(0)
    assert candidate(page, 0).locator("pre.source").inner_text() == everything()[0].candidates[0].response.text  # type: ignore[union-attr]


def test_texts_that_run_from_right_to_left_do_so_within_their_place(tab: Watched, page_of_one: Path) -> None:
    """And turn nothing around that is not theirs."""
    page = tab.open(page_of_one, "#q/languages")
    directions = [
        candidate(page, at).locator(".text > p").evaluate("node => getComputedStyle(node).direction") for at in range(4)
    ]
    assert directions == ["rtl", "ltr", "rtl", "ltr"]
    expect(candidate(page, 3).locator(".reason")).to_have_css("direction", "ltr")


def test_equal_answers_are_counted_as_votes(tab: Watched, page_of_one: Path) -> None:
    """The most frequent first."""
    page = tab.open(page_of_one, "#q/quadratic")
    expect(page.locator(".vote small")).to_have_text(["×2", "×1"])
    expect(page.locator(".vote").first).to_have_class(re.compile("v-pass"))


# --- Several runs ---


def test_runs_are_laid_over_each_other_and_chosen(
    tab: Watched, page_of_two: Path, cool_run: Path, warm_run: Path
) -> None:
    """Their curves in the figures, their answers to one query under each other."""
    page = tab.open(page_of_two)
    rates = card(page, "How often is a candidate right?").locator("tbody tr")
    expect(rates.locator("th")).to_have_text(["A · 14-05-33_cool", "B · 15-00-00_warm"])
    shown = [row.locator(".rate b").first.inner_text() for row in rates.all()]
    assert shown == [percent(summarise(path)["overall"]["verification_rate"]) for path in (cool_run, warm_run)]
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


def test_queries_that_only_one_of_the_runs_solves_are_found(tab: Watched, page_folder: Path) -> None:
    """Where both have scored candidates."""
    first = [asked(name, name, [Said(verdict)]) for name, verdict in (("a", "pass"), ("b", "fail"), ("c", "pass"))]
    second = [asked(name, name, [Said(verdict)]) for name, verdict in (("a", "pass"), ("b", "pass"), ("d", "pass"))]
    paths = [write(page_folder / f"differ-{at}.parquet", queries) for at, queries in enumerate((first, second))]
    write_page(paths, page_folder / "differ.html", 5000)
    page = tab.open(page_folder / "differ.html", "#queries")
    assert listed(page) == ["a", "b", "c", "d"]
    page.get_by_role("button", name="Runs differ").click()
    assert listed(page) == ["b"]


def test_a_draw_that_two_runs_share_is_said(tab: Watched, page_of_two: Path) -> None:
    """It is no second answer."""
    page = tab.open(page_of_two, "#q/quadratic")
    expect(candidate(page, 0, 1)).to_contain_text("the same draw as in A")
    expect(candidate(page, 0, 0)).not_to_contain_text("the same draw")


def test_where_two_runs_differ_leads_to_the_queries(tab: Watched, page_of_two: Path) -> None:
    """A cell of the square opens the queries with so many right candidates in the one run and in the other."""
    page = tab.open(page_of_two)
    figure = card(page, "Where does B differ from A?")
    expect(figure).to_contain_text("of 17 queries")
    cell = figure.locator("td.gain button").first
    count = cell.inner_text()
    cell.click()
    expect(page.locator("#count")).to_have_text(f"{count} of 17 queries")
    cells = page.locator(".row").first.locator(".marks-of-run")
    assert cells.nth(0).locator(".v-pass").count() < cells.nth(1).locator(".v-pass").count()
