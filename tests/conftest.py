"""Fixtures that several test files share: the built book, and a browser to read it in.

No test reaches for the network. A page in the browser that does so finds it refused, and the attempt is written down.
"""

from __future__ import annotations

import functools
import os
import shutil
import signal
import threading
from collections.abc import Callable, Iterator
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pages import Quiet, Visit
from places import ALL_CHECKS, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Browser

IN_CI = ALL_CHECKS or os.environ.get("CI", "").lower() in {"1", "true"}
CHROMIUMS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
GET_CHROMIUM = "no Chromium found: `apt-get install chromium` (Debian, Ubuntu) or `playwright install chromium`"

GET_BOOK = "the book is not built: jupyter-book build -W -n --keep-going ."
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]

for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("WANDB_MODE", "disabled")


def pytest_configure() -> None:
    """Ctrl-C is heard: a shell runs its background with SIGINT ignored, and a test that interrupts itself would wait for ever."""
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--run-network", action="store_true", help="run the tests that need a package index")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("--run-network"):
        for item in items:
            if "network" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="needs a package index: pytest -m network --run-network"))


def missing(reason: str, fails: bool) -> None:
    """Skip on a reader's machine; fail where everything has to be there."""
    (pytest.fail if fails else pytest.skip)(reason)


@pytest.fixture
def float64() -> Iterator[None]:
    """Numbers of 64 bits where none are named: what differs by more than rounding shows."""
    import torch

    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(torch.float32)


@pytest.fixture(scope="session")
def site() -> Path:
    """Folder of the built book."""
    folder = (ROOT / "_build" / "html").resolve()
    if not (folder / "index.html").exists():
        missing(GET_BOOK, fails=ALL_CHECKS)
    return folder


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium without a window and without a way out."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        missing("playwright is not installed: pip install -r requirements.txt", fails=IN_CI)
    with sync_playwright() as playwright:
        found = os.environ.get("MSAE_CHROMIUM") or next(filter(None, map(shutil.which, CHROMIUMS)), None)
        if found is None and not Path(playwright.chromium.executable_path).exists():
            missing(GET_CHROMIUM, fails=IN_CI)
        running = playwright.chromium.launch(executable_path=found, args=FLAGS)
        yield running
        running.close()


@pytest.fixture(scope="module")
def site_url(site: Path) -> Iterator[str]:
    """Address of the built book on this machine, without a closing slash."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def browser_page(browser: Browser) -> Iterator[Visit]:
    """A fresh page, 1,280 × 900, that can reach nothing but this machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    yield Visit(context.new_page())
    context.close()


@pytest.fixture
def book_page(browser_page: Visit, site_url: str) -> Callable[[str], Visit]:
    """Opens a page of the built book: `book_page("book/02_tinystories/02_first_latents.html")`."""

    def visit(path: str) -> Visit:
        browser_page.page.goto(f"{site_url}/{path}", wait_until="load")
        return browser_page

    return visit
