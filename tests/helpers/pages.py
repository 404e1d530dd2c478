"""A page of the built book in a browser, what went wrong on it, and what keeps people out."""

from __future__ import annotations

from dataclasses import dataclass, field
from http.server import SimpleHTTPRequestHandler
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from places import PATIENCE, ROOT

if TYPE_CHECKING:
    from playwright.sync_api import Page

TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
PAGES = [TOC["root"], *(chapter["file"] for part in TOC["parts"] for chapter in part["chapters"])]
"""Of the book, the first one first."""


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: Any) -> None:
        pass


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


ONE_OF_EACH_KIND = """() => {
    const seen = new Set();
    for (const word of document.querySelectorAll(".highlight pre span")) {
        const around = word.closest("pre").parentElement.parentElement.parentElement.className;
        const kind = [word.className, word.checkVisibility(), word.parentElement.localName, word.parentElement.className, around].join();
        if (seen.has(kind)) word.replaceWith(...word.childNodes);
        seen.add(kind);
    }
    for (const code of document.querySelectorAll(".highlight pre")) code.normalize();
}"""


def serious(visit: Visit, rules: list[str] | None = None) -> list[str]:
    """What axe-core finds on the page that keeps people out, by these rules or by all.

    axe takes a millisecond for every coloured word, and a chapter's code has 6,000 in 30 kinds: one of each kind stays a word of its own.
    """
    visit.page.evaluate(ONE_OF_EACH_KIND)
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    chosen = {"runOnly": rules} if rules else {}
    found = axe.run(visit.page, options={"resultTypes": ["violations"], "preload": False, **chosen}).response["violations"]
    return [
        f"{fault['id']}: {node['html'][:160]}"
        for fault in found
        if fault["impact"] in {"serious", "critical"}
        for node in fault["nodes"][:3]
    ]
