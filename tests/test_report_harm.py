"""`bon report`: a page does nothing that a text in it tells it to."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

import pytest
from browser import Watched
from page_runs import HARMFUL, Said, asked, described, harmful, write_run
from playwright.sync_api import BrowserContext, expect
from report_page import candidate

from bon_hydra.report.page.document import write_page

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
def test_an_answer_that_means_harm_changes_nothing(tab: Watched, page_folder: Path) -> None:
    """Read as HTML, script, Markdown, LaTeX or keys of objects, in every text of a run: it stays text."""
    notes = {
        **described(),
        "notes": HARMFUL["script"],
        "config_yaml": HARMFUL["meta"],
        "totals": '{"__proto__": "<b>"}',
    }
    run = write_run(
        page_folder / "harm <b>", harmful(), {**notes, "packages": '["<script>"]', "experiment": HARMFUL["svg"]}
    )
    html = page_folder / "harm.html"
    write_page([run, write_run(page_folder / "harm 2", harmful(), notes)], html, 5000)
    page = tab.open(html)
    before = page.evaluate(FOREIGN)
    for name, text in HARMFUL.items():
        query_id = f"harm-{name}-<b>\"'"
        page.evaluate("fragment => { location.hash = fragment; }", f"#q/{quote(query_id, safe='')}")
        expect(page.locator(".query-id")).to_have_text(query_id)
        page.evaluate("document.querySelectorAll('#query summary').forEach((summary) => summary.click())")
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
        page.get_by_role("button", name="Rendered").click()
    page.get_by_role("link", name="Runs").click()
    page.get_by_role("link", name="Figures").click()
    assert page.evaluate("[window.harmed, Object.prototype.x, document.title.includes('harm <b>')]") == [
        None,
        None,
        True,
    ]
    assert page.evaluate(FOREIGN)[:3] == before[:3]


def test_the_policy_would_stop_what_the_page_itself_let_through(chromium: BrowserContext, page_of_one: Path) -> None:
    """No inline script, style, image or request, no HTML out of a text, even for the page's own script."""
    watched = Watched(chromium)
    page = watched.open(page_of_one)
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
    directives = {fault.split()[0] for fault in watched.faults()}
    assert {"require-trusted-types-for", "connect-src", "style-src-attr", "img-src"} <= directives
    page.close()


def test_no_text_of_others_stands_in_the_file(page_folder: Path) -> None:
    """Only packed; the title is escaped."""
    run = write_run(page_folder / "x</title><script>", [asked("id", "</script>secret", [Said("pass", "<!--secret")])])
    write_page([run], page_folder / "packed.html", 5000)
    html = (page_folder / "packed.html").read_text()
    assert "secret" not in html
    assert "x</title>" not in html
