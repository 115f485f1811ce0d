"""`bon report` in a real browser, offline: the figures, and getting around in the page, in light, dark and small."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from browser import Watched
from page_runs import CONFIG, NOTES, math_queries
from playwright.sync_api import expect
from report_page import candidate, card, listed, percent, table, to_queries
from sample_runs import write

from bon_hydra.report.page.document import write_page
from bon_hydra.report.summary import summarise


def test_the_page_shows_the_numbers_of_the_summary(tab: Watched, page_of_one: Path, cool_run: Path) -> None:
    """Rates, pass@k, rates by index and verdicts, for all and for each split, as `bon inspect --json` has them."""
    page = tab.open(page_of_one)
    summary = summarise(cool_run)
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
        drawn = [cell.split(" ")[0] for cell in curves[name]]  # a k that nothing is known of has no column
        wanted = ["–" if rate is None else percent(rate) for rate in estimates]
        assert drawn == wanted[: len(drawn)]
        assert set(wanted[len(drawn) :]) <= {"–"}
        assert [cell.split(" ")[0] for cell in by_index[name]] == [
            "–" if counts["rate"] is None else percent(counts["rate"]) for counts in section["candidate_idx"].values()
        ]
        assert verdicts[name][:2] == [str(section["verdicts"].get(verdict, 0)) for verdict in ("pass", "fail")]


def test_every_figure_is_drawn(tab: Watched, page_of_one: Path) -> None:
    """As SVG, with lines, marks or bars in it."""
    page = tab.open(page_of_one)
    plots = page.locator(".plot svg")
    expect(plots).to_have_count(5)
    for plot in plots.all():
        assert plot.locator("path").count() > 5


def test_hovering_tells_the_numbers_of_all_series(tab: Watched, page_of_one: Path, cool_run: Path) -> None:
    """At the k that is nearest, with its interval and how many queries it rests on."""
    page = tab.open(page_of_one)
    plot = card(page, "What do more candidates buy?").locator(".plot")
    plot.scroll_into_view_if_needed()
    box = plot.bounding_box()
    assert box
    page.mouse.move(box["x"] + 60, box["y"] + 90)
    page.mouse.move(box["x"] + 50, box["y"] + 95)
    tip = plot.locator(".tip")
    expect(tip).to_contain_text("k = 1")
    pass_at_1 = summarise(cool_run)["overall"]["pass_at_k"]["1"]
    expect(tip).to_contain_text(percent(pass_at_1["estimate"]))
    expect(tip).to_contain_text(f"{pass_at_1['queries']} queries")
    for split in ("all splits", "math", "tool_calling", "code"):
        expect(tip).to_contain_text(split)


def test_splits_are_chosen_for_all_figures_at_once(tab: Watched, page_of_one: Path) -> None:
    """One alone is told apart by right and wrong answers."""
    page = tab.open(page_of_one)
    chips = page.get_by_role("group", name="Splits that are drawn").get_by_role("button")
    expect(chips).to_have_text(["all splits", "math", "tool_calling", "code"])
    for name in ("all splits", "tool_calling", "code"):
        chips.filter(has_text=name).click()
    for title in ("How often is a candidate right?", "Does the first win?"):
        expect(card(page, title)).not_to_contain_text("tool_calling")
    expect(card(page, "How long are the answers?").locator(".legend li")).to_have_text(["right", "wrong"])
    chips.filter(has_text="math").click()
    expect(page.get_by_text("Nothing is chosen")).to_be_visible()


def test_curves_are_chosen(tab: Watched, page_of_one: Path) -> None:
    """majority@k beside pass@k, and the last one stays."""
    page = tab.open(page_of_one)
    figure = card(page, "What do more candidates buy?")
    figure.get_by_role("button", name="majority@k").click()
    expect(figure.locator(".legend")).to_contain_text("math · majority@k")
    figure.get_by_role("button", name="pass@k").click()
    expect(figure.locator(".legend")).not_to_contain_text("pass@k")
    figure.get_by_role("button", name="majority@k").click()
    expect(figure.get_by_role("button", name="majority@k")).to_have_attribute("aria-pressed", "true")


def test_what_a_summary_says_more_is_told(
    tab: Watched, cool_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """How many candidates a pass rate takes, and whether the first wins."""

    def says_more(path: Path) -> dict[str, Any]:
        summary = summarise(path)
        summary["overall"]["index_test"] = {"p_value": 0.5, "says": "flat (p = 0.5): as it should be"}
        wanted = {"0.5": {"k": 2, "ci95": [1, 3]}, "0.8": {"k": 4, "ci95": [3, None]}, "0.9": {"k": None, "ci95": None}}
        summary["overall"]["candidates_for"] = wanted
        return summary

    monkeypatch.setattr("bon_hydra.report.page.figures.summarise", says_more)
    write_page([cool_run], tmp_path / "page.html", 5000)
    page = tab.open(tmp_path / "page.html")
    expect(card(page, "Does the first win?").locator(".told").first).to_have_text(
        "all splits flat (p = 0.5): as it should be"
    )
    takes = "all splits 50\u202f% takes k = 2 (1–3), 80\u202f% takes k = 4 (3 or more)"
    expect(card(page, "What do more candidates buy?").locator(".told").first).to_have_text(takes)


def test_a_part_of_a_figure_opens_its_queries(tab: Watched, page_of_one: Path) -> None:
    """Those with that verdict, in that split; and those with so many right candidates."""
    page = tab.open(page_of_one)
    card(page, "What became of the answers?").get_by_role("button", name="timeout").last.click()
    expect(page.locator("#count")).to_have_text("1 of 17 queries")
    assert listed(page) == ["Write a function `sum_even(numbers)` that returns the sum of the even numbers."]
    page.go_back()
    table(card(page, "How many of N are right?"))
    card(page, "How many of N are right?").get_by_role("row", name="all splits").get_by_role("button").first.click()
    page.wait_for_selector(".row")
    expect(page.get_by_role("button", name="1 right")).to_be_visible()
    assert len(listed(page)) == int(page.locator("#count").inner_text().split()[0])


def test_notes_metadata_and_configuration_are_told(tab: Watched, page_of_one: Path) -> None:
    """Notes where decisions are made; all the rest one click away."""
    page = tab.open(page_of_one)
    expect(page.locator(".heads .notes")).to_have_text(NOTES)
    page.get_by_role("link", name="Runs").click()
    expect(page.locator(".run .notes")).to_have_text(NOTES)
    expect(page.locator(".facts-list")).to_contain_text("temperature")
    page.get_by_text("The whole configuration").click()
    assert page.locator(".run .code").inner_text() == CONFIG.format(0.7).strip()
    page.get_by_text("Their licences").click()
    expect(page.locator(".made pre")).to_contain_text("Apache License")


# --- Getting around ---


def test_an_address_leads_a_colleague_to_a_candidate(tab: Watched, page_of_two: Path) -> None:
    """The copied one; the query's id alone is enough for the query; what is not there shows the figures."""
    page = tab.open(page_of_two, "#q/weather/B1")
    expect(candidate(page, 1, 1)).to_have_class(re.compile("named"))
    expect(candidate(page, 1, 1)).to_be_in_viewport()
    candidate(page, 2, 0).get_by_title("Copy a link to this").click()
    assert page.evaluate("location.hash") == "#q/weather/A2"
    page = tab.open(page_of_two, "#sum-even")
    expect(page.locator(".query-id")).to_have_text("sum-even")
    page = tab.open(page_of_two, "#q/nothing%20like%20it")
    expect(page.locator("#view-figures")).to_be_visible()


def test_the_browsers_way_back_works(tab: Watched, page_of_one: Path) -> None:
    """From a query to the figures it was opened from."""
    page = tab.open(page_of_one)
    to_queries(page)
    page.locator(".row").first.click()
    expect(page.locator(".query-id")).to_have_text("quadratic")
    page.go_back()
    page.go_back()
    expect(page.locator("#view-figures")).to_be_visible()


def test_keys_lead_through_the_page(tab: Watched, page_of_one: Path) -> None:
    """And do nothing while one types."""
    page = tab.open(page_of_one)
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


def test_a_long_list_holds_only_the_rows_in_sight(tab: Watched, page_folder: Path) -> None:
    """And all of them can be reached."""
    run = write(page_folder / "many.parquet", math_queries(1000))
    write_page([run], page_folder / "many.html", 5000)
    page = tab.open(page_folder / "many.html", "#queries")
    assert page.locator(".row").count() < 50
    page.locator("#list").evaluate("list => { list.scrollTop = list.scrollHeight; }")
    expect(page.locator(".row").last).to_have_attribute("aria-posinset", "1000")
    page.locator(".row").last.click()
    expect(page.locator(".where")).to_contain_text("1,000 of 1,000")


# --- Looks ---

CONTRAST = """
() => {
  const numbers = (color) => color.match(/[\\d.]+/g).map(Number);
  const channels = (color) => numbers(color).map((c, at) => color.startsWith("color(srgb") && at < 3 ? 255 * c : c);
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
def test_all_text_stands_out_from_its_ground(tab: Watched, page_of_two: Path, page_of_one: Path, scheme: Any) -> None:
    """By WCAG's AA ratio of 4.5, in light and dark, on every view."""
    tab.page.emulate_media(color_scheme=scheme)
    one, two = page_of_one, page_of_two
    views = ((two, ""), (one, ""), (two, "#q/quadratic"), (one, "#q/sum-even"), (one, "#runs"))
    for path, fragment in views:
        page = tab.open(path, fragment)
        if fragment.startswith("#q"):
            page.wait_for_selector(".candidate")
        assert page.evaluate(CONTRAST) == []


def test_light_and_dark_follow_the_system_or_the_button(tab: Watched, page_of_one: Path) -> None:
    """The choice is kept for the next page, and the plots' colours change too."""
    page = tab.open(page_of_one)
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
    page = tab.open(page_of_one)
    assert page.evaluate(ground) == light
    button.click()
    page.emulate_media(color_scheme="light")
    assert page.evaluate(ground) == dark
    button.click()
    assert page.evaluate(ground) == light


def test_verdicts_are_told_apart_without_colours(tab: Watched, page_of_one: Path) -> None:
    """By words, and by drawings of different shapes."""
    page = tab.open(page_of_one, "#q/sum-even")
    page.wait_for_selector(".candidate")
    drawn = [candidate(page, at).locator(".verdict use").get_attribute("href") for at in range(4)]
    assert len(set(drawn)) == 4


@pytest.mark.parametrize("fragment", ["#figures", "#queries", "#q/quadratic", "#runs"])
def test_nothing_is_wider_than_a_phone(tab: Watched, page_of_two: Path, fragment: str) -> None:
    """What is wider scrolls in its own place."""
    tab.page.set_viewport_size({"width": 390, "height": 844})
    page = tab.open(page_of_two, fragment)
    page.wait_for_selector(".candidate" if fragment.startswith("#q/") else "main section:visible")
    assert page.evaluate("document.documentElement.scrollWidth") == 390


def test_on_a_phone_the_list_gives_way_to_the_query(tab: Watched, page_of_one: Path) -> None:
    """And comes back."""
    tab.page.set_viewport_size({"width": 390, "height": 844})
    page = tab.open(page_of_one, "#queries")
    expect(page.locator("#query")).to_be_hidden()
    page.locator(".row").first.click()
    expect(page.locator("#list")).to_be_hidden()
    expect(candidate(page, 0)).to_be_in_viewport()
    page.get_by_role("button", name="Queries").click()
    expect(page.locator("#list")).to_be_visible()
