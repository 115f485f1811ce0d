"""A browser, and pages of `bon report` that tests only look at; nothing of it is made before a test asks.

Programs that tests start meet Ctrl-C as in a terminal, also where the tests themselves run in the background.
"""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from browser import Watched
    from playwright.sync_api import BrowserContext

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as a shell's `&` leaves it, for all that is started from here
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How fast a busy machine is, is no property of the code.
settings.register_profile("any machine", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("any machine")


def pytest_collection_finish() -> None:
    """Spares every later collection of garbage a look at all that was imported and collected."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="module")
def chromium() -> Iterator[BrowserContext]:
    """One browser for the tests of a module: while it is open, its event loop is the running one of this thread."""
    from browser import offline_browser

    with offline_browser() as opened:
        yield opened


@pytest.fixture
def tab(chromium: BrowserContext) -> Iterator[Watched]:
    """A tab as wide as a desk's screen, in which nothing may go wrong."""
    from browser import Watched

    watched = Watched(chromium)
    watched.page.set_viewport_size({"width": 1440, "height": 900})
    watched.page.emulate_media(color_scheme="light")
    yield watched
    faults = watched.faults()
    watched.page.close()
    assert faults == []


@pytest.fixture(scope="session")
def page_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where runs and pages are."""
    return tmp_path_factory.mktemp("page")


@pytest.fixture(scope="session")
def cool_run(page_folder: Path) -> Path:
    """A run with everything in it: three splits, every verdict, every kind of answer."""
    from page_runs import described, everything, write_run

    return write_run(page_folder / "14-05-33_cool", everything(2), described(0.7))


@pytest.fixture(scope="session")
def warm_run(page_folder: Path) -> Path:
    """The same queries asked at a higher temperature, with more of the answers right."""
    from page_runs import described, everything, write_run

    return write_run(page_folder / "15-00-00_warm", everything(3), described(1.0, "What: warmer."))


@pytest.fixture(scope="session")
def page_of_one(page_folder: Path, cool_run: Path) -> Path:
    """The page of one run."""
    from bon_hydra.report.page.document import write_page

    write_page([cool_run], page_folder / "one.html", 5000)
    return page_folder / "one.html"


@pytest.fixture(scope="session")
def page_of_two(page_folder: Path, cool_run: Path, warm_run: Path) -> Path:
    """The page of both runs."""
    from bon_hydra.report.page.document import write_page

    write_page([cool_run, warm_run], page_folder / "two.html", 5000)
    return page_folder / "two.html"
