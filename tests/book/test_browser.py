"""Every page of the built book in a real browser, with the network refused: light, dark, wide and narrow."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from pages import PAGES, Visit, serious

pytestmark = [pytest.mark.browser, pytest.mark.site]

Open = Callable[[str], Visit]
TEXT_COLORS = "[...document.querySelectorAll('.msae-plot')].map(plot => plot._fullLayout.font.color)"
RECOLOURED = f"before => {TEXT_COLORS}.every((color, i) => color !== before[i])"
# plotly measures once, 100 ms after a window changed: told again where the page was arranged later than that
FIGURES_FIT = """() => [...document.querySelectorAll('.msae-plot')].every(plot => Math.abs(plot._fullLayout.width - plot.clientWidth) < 2)
    || (dispatchEvent(new Event('resize')), false)"""
OF_COLOURS = ["color-contrast", "link-in-text-block"]  # all rules of axe that ask for a colour and are on without being named
TOO_WIDE = """() => [...document.querySelectorAll('body *')]
    .filter(e => e.getBoundingClientRect().right > document.documentElement.clientWidth + 1 && getComputedStyle(e).position !== 'fixed')
    .slice(0, 5).map(e => e.outerHTML.slice(0, 120))"""


@pytest.mark.parametrize("path", PAGES)
def test_page(path: str, book_page: Open) -> None:
    visit = book_page(f"{path}.html")
    visit.draw_everything()
    page = visit.page

    visit.set_theme("light")
    visit.settle()
    light = page.evaluate(TEXT_COLORS)
    faults = {"light": serious(visit)}
    visit.set_theme("dark")
    page.wait_for_function(RECOLOURED, arg=light)  # a figure that keeps its colours when the page turns dark is waited for in vain
    visit.settle()
    faults["dark"] = serious(visit, OF_COLOURS)

    page.set_viewport_size({"width": 390, "height": 844})
    page.wait_for_function(FIGURES_FIT, polling=1000)
    visit.settle()
    overflow = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert overflow <= 0, f"{overflow} px too wide on a phone: {page.evaluate(TOO_WIDE)}"

    assert visit.outside == []
    assert visit.errors == []
    assert faults == {"light": [], "dark": []}


HOVERING = "book/02_tinystories/02_first_latents.html"  # its first figure lies far below the window


def count_plotly(visit: Visit) -> list[str]:
    asked: list[str] = []
    visit.page.on("request", lambda request: asked.append(request.url) if "plotly" in request.url else None)
    return asked


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_plotly_comes_once_with_the_first_figure_that_comes_near(scheme: str, browser_page: Visit, site: Path, site_url: str) -> None:
    asked = count_plotly(browser_page)
    base = site_url if scheme == "http" else site.as_uri()
    page = browser_page.page
    page.goto(f"{base}/{HOVERING}", wait_until="load")
    page.wait_for_function("document.querySelectorAll('.msae-explorer:not([data-ready])').length === 0")
    assert asked == []
    browser_page.set_theme("dark")  # no figure to recolour yet
    browser_page.draw_everything()
    assert asked == [f"{base}/_static/plotly.min.js"]
    dark = page.evaluate(TEXT_COLORS)
    browser_page.set_theme("light")
    page.wait_for_function(RECOLOURED, arg=dark)
    assert set(dark).isdisjoint(page.evaluate(TEXT_COLORS))
    assert browser_page.outside == []
    assert browser_page.errors == []


def test_a_page_printed_from_its_top_has_every_figure(book_page: Open) -> None:
    visit = book_page(HOVERING)
    asked = count_plotly(visit)
    page = visit.page
    seen = "[...document.querySelectorAll('.msae-plot')].map(plot => Boolean(plot.querySelector('.main-svg')))"
    page.evaluate(f"addEventListener('beforeprint', () => (drawn = {seen}))")
    page.pdf()
    drawn = page.evaluate("drawn")
    assert len(drawn) > 2
    assert all(drawn)
    visit.draw_everything()
    assert len(asked) == 1
    assert visit.errors == []


def test_a_page_printed_from_a_disk_has_the_words_of_figures_not_seen(browser_page: Visit, site: Path) -> None:
    page = browser_page.page
    page.goto((site / HOVERING).as_uri(), wait_until="load")
    page.emulate_media(media="print")
    page.evaluate("dispatchEvent(new Event('beforeprint'))")
    for plot in page.locator(".msae-figure:has(.msae-plot:empty)").all():
        assert plot.locator(".msae-alt").bounding_box()["height"] > 10
    assert page.locator(".msae-plot:empty").count() > 2
    assert browser_page.errors == []


def test_mathematics_is_set_offline(book_page: Open) -> None:
    visit = book_page("book/notation.html")
    visit.page.wait_for_selector("mjx-container svg")
    assert visit.outside == []


def test_a_figure_answers_to_the_mouse_and_its_controls_to_the_keyboard(book_page: Open, site: Path) -> None:
    heatmaps = (path for path in PAGES if re.search(r'"type": *"heatmap"', (site / f"{path}.html").read_text(encoding="utf8")))
    first = next(heatmaps, None)
    assert first, "no page has a heatmap, of which every place has a tooltip"
    visit = book_page(f"{first}.html")
    visit.draw_everything()
    heatmap = visit.page.locator(".msae-plot:has(.heatmaplayer image) .nsewdrag").first
    heatmap.scroll_into_view_if_needed()
    box = heatmap.bounding_box()
    visit.page.mouse.move(box["x"] + box["width"] * 0.3, box["y"] + box["height"] * 0.3)
    visit.page.mouse.move(box["x"] + box["width"] * 0.4, box["y"] + box["height"] * 0.4, steps=5)
    tooltip = visit.page.locator(".msae-plot .hovertext").first
    tooltip.wait_for()
    assert (tooltip.text_content() or "").strip(), f"an empty tooltip on {first}"
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
