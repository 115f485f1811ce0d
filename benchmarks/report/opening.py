"""How long a page of `bon report` takes to open in Chromium.  python benchmarks/report/opening.py [--short]

A run of 5,000 candidates of 1.5 KB each, mostly words drawn at random (real answers compress better), beside a run of
one query: what the second takes is the libraries' and the browser's own. Each is opened several times in turn, in tabs
of one browser; the figures are medians. CPU is the page's main thread, from DevTools; times until something is there
are the wall's, and hold for a quiet machine only.
"""

from __future__ import annotations

import random
import resource
import statistics
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "tests"))

from browser import offline_browser
from page_runs import Said, asked, write_run
from playwright.sync_api import BrowserContext

from bon_hydra.report.page.document import write_page

CHARACTERS = 1_500
WANTED_S = 3.0
DRAWN = "() => document.querySelectorAll('.plot svg').length >= 5 && performance.now()"
READ = "() => document.querySelectorAll('.candidate').length === 4 && performance.now()"
FOUND = "() => document.getElementById('count').textContent.startsWith('1 ') && performance.now()"


def make_run(folder: Path, queries: int) -> Path:
    """A run of four candidates a query, one of which says a word that no other says."""
    rng = random.Random(0)
    words = ["".join(rng.choices("abcdefghijklmnopqrstuvwxyz", k=rng.randint(2, 9))) for _ in range(4000)]

    def text() -> str:
        said = " ".join(rng.choices(words, k=CHARACTERS // 7))
        return f"We see that $x = {rng.random():.6f}$. {said}"[: CHARACTERS - 20] + f" \\boxed{{{rng.randint(0, 9)}}}"

    def candidate(right: bool) -> Said:
        return Said("pass" if right else "fail", text(), "boxed", str(rng.randint(0, 9)), 0)

    judged = [
        asked(f"query{n}", f"What is the answer to question {n}?", [candidate(rng.random() < 0.4) for _ in range(4)])
        for n in range(queries - 1)
    ]
    judged.append(asked("last", "The needle's question", [Said("fail", "needleword " + text())] * 4))
    return write_run(folder, judged)


def opened(context: BrowserContext, html: Path) -> dict[str, float]:
    """Milliseconds until it is drawn, until a query is read and a text found, and the main thread's CPU until drawn."""
    page = context.new_page()
    devtools = context.new_cdp_session(page)
    devtools.send("Performance.enable")
    page.goto(html.as_uri())
    drawn = page.wait_for_function(DRAWN).json_value()
    metrics = {metric["name"]: metric["value"] for metric in devtools.send("Performance.getMetrics")["metrics"]}
    page.evaluate("location.hash = '#queries'")
    page.wait_for_selector(".row")
    before = page.evaluate("performance.now()")
    page.locator(".row").first.click()
    read = page.wait_for_function(READ).json_value()
    searching = page.evaluate("performance.now()")
    page.get_by_role("searchbox").fill("NEEDLEWORD")
    found = page.wait_for_function(FOUND).json_value()
    page.close()
    return {
        "drawn": drawn,
        "cpu": 1000 * metrics["TaskDuration"],
        "script": 1000 * metrics["ScriptDuration"],
        "read": read - before,
        "found": found - searching,
        "heap": metrics["JSHeapUsedSize"] / 1e6,
    }


def main(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder, offline_browser() as context:
        pages: dict[str, Path] = {}
        print("| page | written, CPU s | MB |\n|---|---|---|")
        for name, queries in {"1 query": 1, "5,000 candidates": 1250}.items():
            run = make_run(Path(folder) / name, queries)
            pages[name] = Path(folder) / f"{queries}.html"
            before = resource.getrusage(resource.RUSAGE_SELF).ru_utime
            written = write_page([run], pages[name], 5000)
            spent = resource.getrusage(resource.RUSAGE_SELF).ru_utime - before
            print(f"| {name} | {spent:.2f} | {written.size / 1e6:.2f} |")
        times: dict[str, list[dict[str, float]]] = {name: [] for name in pages}
        for at in range(rounds + 1):
            for name, html in pages.items():
                measured = opened(context, html)
                if at:  # the first round warms up
                    times[name].append(measured)
    print(
        "\n| page | drawn, ms | main thread, CPU ms | of it script | a query read, ms | a text found, ms | heap, MB |"
    )
    print("|---|---|---|---|---|---|---|")
    keys = ("drawn", "cpu", "script", "read", "found", "heap")
    medians = {
        name: {key: statistics.median(each[key] for each in measured) for key in keys}
        for name, measured in times.items()
    }
    for name, median in medians.items():
        print(f"| {name} | " + " | ".join(f"{median[key]:.0f}" for key in keys) + " |")
    small, large = medians.values()
    print(f"\nDrawn after {large['drawn'] / small['drawn']:.2f} times what one query takes, with")
    print(f"{large['cpu'] / small['cpu']:.2f} times its CPU. Wanted: in less than {WANTED_S:.0f} s. Rounds: {rounds}.")


if __name__ == "__main__":
    main(1 if "--short" in sys.argv else 7)
