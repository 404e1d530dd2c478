"""The explorer in a real browser, from a file: what a reader hovers is what the array says."""

from __future__ import annotations

import re

import numpy as np
import pytest

from msae.explore import Explorer, LatentActivations

pytestmark = pytest.mark.browser

WORDS = [" she", " Lily", "\n", " ", "</script>", '"', "\u2028", " 😀", "�", "<img src=x onerror=alert(1)>", " the", "."]


def story(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, len(WORDS), (20, 50))
    acts = rng.gamma(3, 1, (20, 50, 40)) * (rng.random((20, 50, 40)) < 0.06)
    acts[..., 1] = np.where(tokens <= 1, 1 + rng.random((20, 50)) * 5, 0)
    return tokens, acts.astype(np.float32)


@pytest.fixture
def opened(browser_page, tmp_path):
    tokens, acts = story()
    ex = Explorer({"S": LatentActivations.from_dense(acts)}, tokens, WORDS, labels={1: "female words"})
    browser_page.page.goto(ex.save(tmp_path / "page.html").as_uri())
    browser_page.page.wait_for_selector(".msae-explorer[data-ready='1']")
    yield browser_page, tokens, acts
    assert browser_page.errors == []
    assert browser_page.outside == []


def said(page, where: str = ".tip") -> str:
    return page.locator(f".msae-explorer {where}").text_content()


def number(text: str) -> float:
    return float(re.search(r"(?:” |: )(\d+\.\d\d),", text)[1])


def test_hovering_a_token_says_the_token_and_its_activation(opened):
    visit, tokens, acts = opened
    page = visit.page
    assert page.locator("h3").text_content() == "Latent S/1: female words"
    spans = page.locator(".text .t[data-value]")
    assert spans.count() > 20
    for k in range(0, spans.count(), 7):
        spans.nth(k).hover()
        tip = said(page)
        text, place = map(int, re.search(r"text (\d+), place (\d+)", tip).groups())
        assert f"“{WORDS[tokens[text, place]]}”" in tip
        assert number(tip) == pytest.approx(acts[text, place, 1], abs=0.0051)
        assert number(said(page, ".heard")) == number(tip)
    silent = page.locator(".text .t:not([data-value])").first
    silent.hover()
    assert "silent" in said(page)
    text, place = map(int, re.search(r"text (\d+), place (\d+)", said(page)).groups())
    assert acts[text, place, 1] == 0


def test_the_strongest_tokens_are_those_of_the_array(opened):
    visit, tokens, acts = opened
    rows = visit.page.locator("tbody tr").all_text_contents()
    assert len(rows) == 2
    for row in rows:
        word = " she" if "she" in row else " Lily"
        here = tokens == WORDS.index(word)
        assert f"{here.sum()} of {here.sum()}" in row
        assert f"{acts[here][:, 1].mean():.2f}" in row
    line = visit.page.locator("h3 + p").text_content()
    assert f"Fires on {(acts[..., 1] > 0).sum()} of 1,000 tokens" in line


def test_a_latent_is_chosen_by_click_and_by_keyboard(opened):
    visit, _, acts = opened
    page = visit.page
    page.locator(".row", has_text="S/7").first.click()
    assert page.locator("h3").text_content() == "Latent S/7"
    page.locator(".list").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("h3").text_content() == "Latent S/8"
    assert page.locator(".row[aria-selected=true]").count() == 1
    assert f"Fires on {(acts[..., 8] > 0).sum()} of" in said(page, ".heard")
    page.keyboard.press("End")
    assert page.locator("h3").text_content() == "Latent S/39"
    page.locator("input").fill("female")
    assert page.locator(".row").count() == 1
    page.locator("input").fill("")
    page.locator("select").select_option("max")
    first = page.locator(".row").first.get_attribute("data-latent")
    assert int(first) == acts.max((0, 1)).argmax()


def test_arrow_keys_move_between_tokens_and_read_them_out(opened):
    visit, _, acts = opened
    page = visit.page
    page.locator("select").focus()
    page.keyboard.press("Tab")  # the list
    page.keyboard.press("Tab")  # the texts
    tip = said(page)
    text, place = map(int, re.search(r"text (\d+), place (\d+)", tip).groups())
    assert acts[text, place, 1] == acts[..., 1].max()
    page.keyboard.press("ArrowLeft")
    assert f"text {text}, place {place - 1}" in said(page)
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Shift+ArrowRight")
    assert number(said(page, ".heard")) > 0
    page.keyboard.press("ArrowDown")
    second = np.sort(acts[..., 1].max(1))[-2]
    assert number(said(page)) == pytest.approx(second, abs=0.0051)
    page.keyboard.press("Escape")
    assert page.locator(".tip").is_hidden()


def test_text_is_text(opened):
    visit, _, _ = opened
    page = visit.page
    assert page.evaluate("document.querySelector('.msae-explorer').shadowRoot.querySelectorAll('img, script').length") == 0
    shown = page.locator(".texts").text_content()
    for word in ("</script>", "<img src=x onerror=alert(1)>", "😀", "�", "⟨2028⟩", "↵"):
        assert word in shown, word
    # the space of a word stands outside its colour; a lone space is a dot
    coloured = page.locator(".t").all_text_contents()
    assert "she" in coloured
    assert " she" not in coloured
    assert "·" in coloured


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_it_fits_a_telephone_and_follows_light_and_dark(opened, scheme, width):
    visit, _, _ = opened
    page = visit.page
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": width, "height": 800})
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    token = "document.querySelector('.msae-explorer').shadowRoot.querySelector('.t')"
    text, paper = page.evaluate(f"[{token}, document.body].map((e, k) => getComputedStyle(e)[k ? 'backgroundColor' : 'color'])")
    bright = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (text, paper)]
    assert bright[0] < bright[1] if scheme == "light" else bright[0] > bright[1]
    last = page.locator(".text").first.locator(".t").last
    last.hover()
    box = page.locator(".tip").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= width


def test_two_explorers_on_one_page_do_not_disturb_each_other(browser_page, tmp_path):
    tokens, acts = story()
    ex = Explorer({"S": LatentActivations.from_dense(acts)}, tokens, WORDS)
    page = browser_page.page
    path = tmp_path / "two.html"
    same = ex.latent(3)._repr_html_()
    path.write_text(f"<!doctype html><meta charset=utf-8>{same}{ex.latent(5)._repr_html_()}{same}", encoding="utf-8")
    page.goto(path.as_uri())
    page.wait_for_function("document.querySelectorAll('.msae-explorer[data-ready]').length === 3")
    assert page.locator("h3").all_text_contents() == ["Latent S/3", "Latent S/5", "Latent S/3"]
    assert browser_page.errors == []


def test_one_latent_alone_takes_the_whole_width(browser_page, tmp_path):
    tokens, acts = story()
    path = Explorer({"S": LatentActivations.from_dense(acts)}, tokens, WORDS, latents=[1]).save(tmp_path / "page.html")
    browser_page.page.goto(path.as_uri())
    assert browser_page.page.locator(".list").is_hidden()
    assert browser_page.page.locator(".page").bounding_box()["width"] > 1200
    assert browser_page.errors == []


def test_without_scripts_a_sentence_and_coloured_texts_are_seen(browser, tmp_path):
    tokens, acts = story()
    path = Explorer({"S": LatentActivations.from_dense(acts)}, tokens, WORDS).latent(1).save(tmp_path / "page.html")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.get_by_text("Latent S/1 on its strongest texts").is_visible()
    assert page.locator("mark").count() > 5
    context.close()


def test_the_hovering_chapter_reads_out_the_token_under_the_pointer(book_page):
    visit = book_page("book/02_tinystories/02_hovering.html")
    page = visit.page
    host = page.locator(".msae-explorer").first
    if host.count() == 0:
        pytest.fail("the chapter shows no explorer")
    page.wait_for_selector(".msae-explorer[data-ready='1']")
    host.scroll_into_view_if_needed()
    token = host.locator(".text .t[data-value]").first
    token.hover()
    tip = host.locator(".tip").text_content()
    assert token.text_content() in tip
    assert number(tip) == float(token.get_attribute("data-value"))
    assert visit.errors == []
    assert visit.outside == []
