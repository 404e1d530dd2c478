"""Fixtures that several test files share: the built book, and a browser to read it in.

No test reaches for the network. A page in the browser that does so finds it refused, and the attempt is written down.
"""

from __future__ import annotations

import functools
import os
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ROOT = Path(__file__).resolve().parent.parent
ALL_CHECKS = os.environ.get("MSAE_ALL_CHECKS") == "1"
"""Set by `.ci/run`, which has built the book before."""
IN_CI = ALL_CHECKS or os.environ.get("CI", "").lower() in {"1", "true"}
CHROMIUMS = ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"]
GET_CHROMIUM = "no Chromium found: `apt-get install chromium` (Debian, Ubuntu) or `playwright install chromium`"
PATIENCE = 300
"""Seconds that a test waits for what must come. It guards against a hang: on a busy machine everything may take ten times as long."""

GET_BOOK = "the book is not built: jupyter-book build -W -n --keep-going ."
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1"]

for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
    os.environ.setdefault(name, "1")
os.environ.setdefault("WANDB_MODE", "disabled")


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


def tiny_language_model(folder: Path, stories: list[str], d_model: int, n_layers: int) -> Any:
    """A language model with random weights whose tokenizer was trained on these stories, saved in the folder and loaded from it."""
    import torch

    import msae
    from msae.lm.loading import save_language_model
    from msae.lm.tokenizer import train_tokenizer
    from msae.lm.transformer import Transformer, TransformerConfig

    torch.manual_seed(0)
    tokenizer = train_tokenizer(stories, 280)
    config = TransformerConfig(tokenizer.get_vocab_size(), d_model=d_model, n_layers=n_layers, n_heads=2, n_ctx=16)
    save_language_model(folder, Transformer(config), tokenizer, report={}, command="")
    return msae.load_language_model(folder)


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


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def site_url(site: Path) -> Iterator[str]:
    """Address of the built book on this machine, without a closing slash."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


@dataclass
class Visit:
    """A page in the browser, and what went wrong on it so far."""

    page: Page
    outside: list[str] = field(default_factory=list)
    """Addresses beyond this machine that the page asked for; all of them were refused."""

    errors: list[str] = field(default_factory=list)
    """Messages on the console that are errors, exceptions, and failed requests."""

    def __post_init__(self) -> None:
        self.page.set_default_timeout(1000 * PATIENCE)
        self.page.route("**/*", self._let_through_or_refuse)
        self.page.on("pageerror", lambda error: self.errors.append(f"exception: {error}"))
        self.page.on("console", lambda said: self.errors.append(f"console: {said.text}") if said.type == "error" else None)
        self.page.on("response", lambda got: self.errors.append(f"{got.status}: {got.url}") if got.status >= 400 else None)

    def _let_through_or_refuse(self, route: Any) -> None:
        if route.request.url.startswith(("http://127.0.0.1:", "file:", "data:", "blob:")):
            route.continue_()
        else:
            self.outside.append(route.request.url)
            route.abort()

    def draw_everything(self) -> None:
        """Come near every figure, so that it is drawn, and wait for it."""
        self.page.evaluate("document.querySelectorAll('.msae-plot').forEach(plot => plot.scrollIntoView())")
        for plot in self.page.query_selector_all(".msae-plot"):
            plot.scroll_into_view_if_needed()
            self.page.wait_for_function("plot => plot.dataset.ready === '1'", arg=plot)

    def settle(self) -> None:
        """Wait until what was changed is drawn and no colour fades any more."""
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        self.page.wait_for_function(
            "document.getAnimations().every((each) => each.playState !== 'running' || each.effect.getComputedTiming().endTime === Infinity)"
        )

    def set_theme(self, theme: str) -> None:
        """Click the theme switch until the page is `light` or `dark`, and leave it: its tooltip fades in and out."""
        for _ in range(4):
            if self.page.get_attribute("html", "data-theme") == theme and self.page.get_attribute("html", "data-mode") == theme:
                self.page.mouse.move(0, 0)
                self.page.evaluate("document.activeElement.blur()")
                self.page.wait_for_function("!document.querySelector('.tooltip')")
                return
            self.page.locator(".theme-switch-button:visible").first.click()
        raise AssertionError(f"the theme switch never came to {theme!r}")


@pytest.fixture
def browser_page(browser: Browser) -> Iterator[Visit]:
    """A fresh page, 1,280 × 900, that can reach nothing but this machine."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, color_scheme="light")
    yield Visit(context.new_page())
    context.close()


@pytest.fixture
def book_page(browser_page: Visit, site_url: str) -> Callable[[str], Visit]:
    """Opens a page of the built book: `book_page("book/02_tinystories/02_hovering.html")`."""

    def visit(path: str) -> Visit:
        browser_page.page.goto(f"{site_url}/{path}", wait_until="load")
        return browser_page

    return visit
