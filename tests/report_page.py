"""Finding one's way in a page of `bon report`."""

from __future__ import annotations

from playwright.sync_api import Locator, Page


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
