"""Every page of the built book in a real browser, with the network refused: light, dark, wide and narrow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Visit
from test_site import PAGES

pytestmark = [pytest.mark.browser, pytest.mark.site]

Open = Callable[[str], Visit]
TEXT_COLORS = "[...document.querySelectorAll('.msae-plot')].map(plot => plot._fullLayout.font.color)"
TOO_WIDE = """() => [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && getComputedStyle(e).position !== 'fixed')
    .slice(0, 5).map(e => e.outerHTML.slice(0, 120))"""


def serious(visit: Visit) -> list[str]:
    """What axe-core finds on the page that keeps people out."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    found = axe.run(visit.page, options={"resultTypes": ["violations"], "preload": False}).response["violations"]
    return [
        f"{fault['id']}: {node['html'][:160]}"
        for fault in found
        if fault["impact"] in {"serious", "critical"}
        for node in fault["nodes"][:3]
    ]


@pytest.mark.parametrize("path", PAGES)
def test_page(path: str, book_page: Open) -> None:
    visit = book_page(f"{path}.html")
    visit.draw_everything()
    page = visit.page

    visit.set_theme("light")
    light = page.evaluate(TEXT_COLORS)
    faults = {"light": serious(visit)}
    visit.set_theme("dark")
    page.wait_for_timeout(300)
    dark = page.evaluate(TEXT_COLORS)
    faults["dark"] = serious(visit)
    assert all(a != b for a, b in zip(light, dark)), "a figure keeps its colours when the page turns dark"

    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_timeout(300)
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, f"{overflow} px too wide on a phone: {page.evaluate(TOO_WIDE)}"

    assert visit.outside == []
    assert visit.errors == []
    assert faults == {"light": [], "dark": []}


def test_mathematics_is_set_offline(book_page: Open) -> None:
    visit = book_page("book/notation.html")
    visit.page.wait_for_selector("mjx-container svg")
    assert visit.outside == []


def test_a_figure_answers_to_the_mouse_and_its_controls_to_the_keyboard(book_page: Open, site: Path) -> None:
    pages = [path for path in PAGES if 'class="msae-plot"' in (site / f"{path}.html").read_text(encoding="utf8")]
    assert pages, "no page has a figure"
    visit = book_page(f"{pages[0]}.html")
    visit.draw_everything()
    heatmap = visit.page.locator(".msae-plot:has(.heatmaplayer image) .nsewdrag").first  # every place of a heatmap has a tooltip
    heatmap.scroll_into_view_if_needed()
    box = heatmap.bounding_box()
    visit.page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    visit.page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.4, steps=5)
    tooltip = visit.page.locator(".msae-plot .hovertext").first
    tooltip.wait_for(timeout=10_000)
    assert (tooltip.text_content() or "").strip(), f"an empty tooltip on {pages[0]}"
    assert visit.page.evaluate(
        "[...document.querySelectorAll('.msae-control :is(button, select, input)')].every(control => control.tabIndex === 0)"
    )


@pytest.mark.parametrize("path", PAGES[:2])
def test_without_javascript_the_page_still_speaks(path: str, browser, site_url: str) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(f"{site_url}/{path}.html")
    assert page.locator("article h1").first.is_visible()
    for alt in page.locator(".msae-alt").all():
        assert alt.bounding_box()["height"] > 10
    context.close()
