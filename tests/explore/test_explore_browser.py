"""The explorer in a real browser, from a file: what a reader sees and hears is what the arrays say."""

from __future__ import annotations

import functools
import re
import threading
from http.server import ThreadingHTTPServer

import numpy as np
import pytest
import torch
from pages import Quiet, serious

from msae import metrics, patterns
from msae.explore import Explorer, LatentActivations

pytestmark = pytest.mark.browser

WORDS = [" she", " Lily", "\n", " ", "</script>", '"', "\u2028", " 😀", b"\xe2\x82", "<img src=x onerror=alert(1)>", " the", ".", " Sue"]
SHE, LILY, SUE = 0, 1, 12
VIEWS = ["latent", "tree", "search"]
ROOT = "document.querySelector('.msae-explorer').shadowRoot"


def story(seed: int = 0, n_texts: int = 20, n_ctx: int = 50) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """Tokens, and two SAEs: A/1 fires on she, Lily and Sue; B/2 on those with holes, most of them filled by B/3 (Lily) and B/4 (Sue)."""
    rng = np.random.default_rng(seed)
    tokens = rng.integers(0, len(WORDS), (n_texts, n_ctx))
    tokens[rng.random(tokens.shape) < 0.2] = SHE
    dense = {name: rng.gamma(3, 1, (n_texts, n_ctx, n)) * (rng.random((n_texts, n_ctx, n)) < 0.03) for name, n in (("A", 40), ("B", 60))}

    def fire(on, rate):
        return np.where(np.isin(tokens, on) & (rng.random(tokens.shape) < rate), 1 + 5 * rng.random(tokens.shape), 0)

    dense["A"][..., 1] = fire([SHE, LILY, SUE], 1)
    dense["B"][..., 2] = np.where(np.isin(tokens, [LILY, SUE]) & (rng.random(tokens.shape) < 0.7), 0, dense["A"][..., 1])
    dense["B"][..., 3], dense["B"][..., 4] = fire([LILY], 0.8), fire([SUE], 0.8)
    return tokens, {name: each.astype(np.float32) for name, each in dense.items()}


TOKENS, DENSE = story()
TEXTS = [word.decode("utf-8", "backslashreplace") if isinstance(word, bytes) else word for word in WORDS]
EDGES = [("A/1", "B/2", 0.9), ("A/1", "B/3", 0.7), ("A/1", "B/4", 0.7)]
LABELS = {"A/1": "female words <b>", "B/3": "</script> Lily"}


def explorer(**more) -> Explorer:
    acts = {name: LatentActivations.from_dense(each) for name, each in DENSE.items()}
    return Explorer(acts, TOKENS, WORDS, labels=LABELS, edges=EDGES, **more)


def of(latent: str) -> np.ndarray:
    name, number = latent.split("/")
    return DENSE[name][..., int(number)]


@pytest.fixture
def visit(browser_page):
    yield browser_page
    assert browser_page.errors == []
    assert browser_page.outside == []


def show(visit, address: str):
    visit.page.goto(address)
    visit.page.wait_for_selector(".msae-explorer[data-ready='1']")
    return visit.page


@pytest.fixture
def page(visit, tmp_path):
    return show(visit, explorer().latent("A/1").save(tmp_path / "page.html").as_uri())


def said(page, where: str = ".tip") -> str:
    return page.locator(f".msae-explorer {where}").text_content()


def number(text: str) -> float:
    return float(re.search(r"(?:” |: )(\d+\.\d\d),", text)[1])


def place(text: str) -> tuple[int, int]:
    return tuple(map(int, re.search(r"text (\d+), place (\d+)", text).groups()))


def close(value: float, latent: str):
    return pytest.approx(value, abs=float(of(latent).max() / 510 + 0.0051))  # a byte per activation, two digits shown


def positions(page, selector: str) -> set[int]:
    return set(page.locator(selector).evaluate_all("spans => spans.map(span => span.position)"))


def test_hovering_a_token_says_the_token_and_its_activation(page):
    assert page.locator("h3").text_content() == "Latent A/1: female words <b>"
    spans = page.locator(".text .t[data-value]")
    assert spans.count() > 20
    for k in range(0, spans.count(), 15):
        spans.nth(k).hover()
        at = place(said(page))
        assert f"“{TEXTS[TOKENS[at]]}”" in said(page)
        assert number(said(page)) == close(of("A/1")[at], "A/1")
        assert f"place {at[1]} of text {at[0]}, A/1: " in said(page, ".heard")
    page.locator(".text .t:not([data-value])").first.hover()
    assert "silent" in said(page)
    assert of("A/1")[place(said(page))] == 0


def test_the_strongest_tokens_are_those_of_the_array(page):
    rows = page.locator(".tokens tbody tr").all_text_contents()
    assert len(rows) == 3
    for row in rows:
        token = next(k for k, word in ((SHE, "·she"), (LILY, "·Lily"), (SUE, "·Sue")) if row.startswith(word))
        here = np.isin(TOKENS, token)
        assert f"{here.sum()} of {here.sum()}" in row
        assert f"{of('A/1')[here].mean():.2f}" in row
    assert f"Fires on {(of('A/1') > 0).sum()} of 1,000 tokens" in page.locator("h3 ~ p").first.text_content()


def test_holes_on_the_page_are_the_set_that_numpy_finds(page):
    shown = positions(page, ".t")
    parent, child = (of(latent).ravel() > 0 for latent in ("A/1", "B/2"))
    chip = page.locator(".chip", has_text="B/2").first
    chip.hover()
    page.wait_for_selector(".t.hole")
    assert positions(page, ".t.hole") == {p for p in shown if parent[p] and not child[p]}
    assert positions(page, ".t.over") == {p for p in shown if child[p]}
    page.locator("h3").hover()
    page.wait_for_function(f"!{ROOT}.querySelector('.over, .hole')")
    assert page.locator(".t").evaluate_all("spans => spans.some(span => span.style.getPropertyValue('--b'))") is False
    page.locator(".chip", has_text="B/3").first.hover()  # covers less than half: nearly everything would be a hole
    page.wait_for_selector(".t.over")
    assert page.locator(".t.hole").count() == 0


def test_the_strongest_text_holds_the_largest_activation(page):
    strengths = page.locator(".text").first.locator(".t[data-value]").evaluate_all("all => all.map(t => [+t.dataset.value, t.position])")
    assert max(strengths)[1] == of("A/1").argmax()
    page.get_by_label("Which texts").select_option("spread")
    page.wait_for_function(f"{ROOT}.querySelectorAll('h4')[2].textContent.startsWith('One text per')")
    assert of("A/1").argmax() in positions(page, ".t")


def test_hovering_shows_another_latent_while_one_is_pinned(page):
    page.locator(".chip", has_text="B/2").first.click()
    page.wait_for_selector(".sentence")
    shown = positions(page, ".t")
    expected = {latent: {p for p in shown if of(latent).ravel()[p]} for latent in ("B/2", "B/3")}
    holes = positions(page, ".t.hole")
    page.locator(".chip", has_text="B/3").first.hover()
    page.wait_for_function(f"!{ROOT}.querySelector('.hole')")
    assert positions(page, ".t.over") == expected["B/3"]
    assert page.locator(".sentence").text_content().startswith("B/2 is silent on")
    page.locator("h3").hover()
    page.wait_for_selector(".t.hole")
    assert positions(page, ".t.over") == expected["B/2"]
    assert positions(page, ".t.hole") == holes


def test_a_pinned_latent_has_its_holes_framed_however_narrow_it_is(page):
    page.locator(".chip", has_text="B/3").first.click()
    page.wait_for_selector(".t.hole")
    parent, narrow = (of(latent).ravel() > 0 for latent in ("A/1", "B/3"))
    assert (parent & narrow).sum() < parent.sum() / 2
    assert positions(page, ".t.hole") == {p for p in positions(page, ".t") if parent[p] and not narrow[p]}


def test_the_pinned_sentence_has_the_numbers_of_holes(page):
    page.locator(".chip", has_text="B/2").first.click()
    sentence = page.locator(".sentence").text_content()
    parent = torch.from_numpy(of("A/1").ravel() > 0).float()[:, None]
    holes = metrics.holes(torch.from_numpy(DENSE["B"].reshape(-1, 60)), parent, latent=2, parent=0, children=[0])
    n = round(holes.rate * holes.n_present)
    assert sentence.startswith(f"B/2 is silent on {n} of the {holes.n_present} tokens where A/1 fires ({100 * holes.rate:.2g} %), mostly")
    where = (of("A/1") > 0) & (of("B/2") == 0)
    for word in (LILY, SUE):
        assert f"·{TEXTS[word].strip()} {(where & np.isin(TOKENS, word)).sum()}" in sentence
    for latent in (3, 4):
        assert f"B/{latent} {100 * holes.filled_by[latent]:.2g} %" in sentence
    unexplained = where & (of("B/3") == 0) & (of("B/4") == 0)
    assert f"{unexplained.sum()} ({100 * unexplained.sum() / n:.2g} %) stay unexplained" in sentence
    assert said(page, ".heard") == sentence
    page.get_by_role("button", name=f"Show {unexplained.sum()} unexplained holes").click()
    page.wait_for_function(f"{ROOT}.activeElement?.className === 'texts'")
    assert set(np.flatnonzero(unexplained.any(1))) >= {p // 50 for p in positions(page, ".t")}
    page.get_by_role("button", name="Search for those").click()
    query = page.get_by_role("textbox", name="Token pattern").input_value()
    assert query in ("[A/1 & !B/2 & !B/3 & !B/4]", "[A/1 & !B/2 & !B/4 & !B/3]")
    page.wait_for_selector(".column table")
    assert page.locator(".message").text_content().startswith(f"{unexplained.sum()} tokens match")


def test_a_page_says_what_it_is_and_what_its_colours_mean(page):
    assert "sparse autoencoders take a language model apart" in page.locator("h1 + p").text_content()
    legend = page.locator(".colours")
    assert legend.text_content() == "blue where A/1 fires, the stronger the bluer."
    page.locator(".chip", has_text="B/2").first.click()
    page.wait_for_selector(".t.hole")
    assert legend.text_content() == "blue where A/1 fires, underlined where B/2 fires, framed where B/2 has a hole: it is silent there."
    page.locator(".chip", has_text="B/3").first.hover()  # too narrow for its holes to be marked
    page.wait_for_function(f"!{ROOT}.querySelector('.t.hole')")
    assert legend.text_content() == "blue where A/1 fires, underlined where B/3 fires."


def test_the_firing_for_which_a_random_text_was_drawn_is_framed_and_named(page):
    assert page.locator(".t.drawn").count() == 0
    page.get_by_label("Which texts").select_option("random")
    page.wait_for_selector(".t.drawn")
    texts = page.locator(".text")
    assert page.locator(".t.drawn").count() == texts.count() == page.locator(".text:has(.t.drawn)").count()
    assert {bool(of("A/1").ravel()[p]) for p in positions(page, ".t.drawn")} == {True}
    assert page.locator(".t.drawn").first.evaluate("span => getComputedStyle(span).outlineStyle") == "solid"
    page.locator(".t.drawn").first.hover()
    assert said(page, ".heard").endswith("the firing that was drawn")


def test_the_search_box_shows_its_whole_pattern_and_names_are_not_cut(visit, tmp_path):
    query = "/ ?(she|Lily|Sue)/i | " * 8 + "she"
    page = show(visit, explorer().search(query).save(tmp_path / "page.html").as_uri())
    page.wait_for_selector(".column table")
    shows = "box => box.scrollHeight <= box.clientHeight && box.scrollWidth <= box.clientWidth"
    box, names = page.get_by_role("textbox", name="Token pattern"), page.locator(".column .name")
    for width in (1280, 500, 390):
        page.set_viewport_size({"width": width, "height": 900})
        visit.settle()
        assert box.evaluate(shows), width
        assert "female words <b>" in names.all_text_contents()
        assert all(names.evaluate_all(f"all => all.map({shows})"))
    box.fill("she")
    visit.settle()
    assert box.bounding_box()["height"] < 45


def test_the_list_stays_in_sight_beside_long_texts(page):
    before = page.locator(".list").bounding_box()
    assert before["y"] + before["height"] <= 900
    page.mouse.wheel(0, 5000)
    page.wait_for_function("scrollY > 300")
    after = page.locator(".list").bounding_box()
    assert 0 <= after["y"] < before["y"]
    assert after["y"] + after["height"] <= 900


def test_everything_by_keyboard_and_read_out(page):
    page.locator("select").first.focus()
    page.keyboard.press("Tab")  # the list
    page.keyboard.press("ArrowDown")
    page.wait_for_function(f"{ROOT}.querySelector('h3').textContent === 'Latent A/2'")
    assert page.locator(".row[aria-selected=true] b").text_content() == "A/2"
    page.wait_for_function(heard("Latent A/2. Fires on"))
    page.keyboard.press("ArrowUp")
    page.wait_for_selector(".chip")
    page.keyboard.press("Tab")
    assert focused(page) == "Latent"
    page.keyboard.press("ArrowRight")  # between the views
    assert focused(page) == "Tree"
    assert page.get_by_role("tab", name="Tree").get_attribute("aria-selected") == "true"
    page.keyboard.press("Tab")
    assert focused(page).startswith("A/1 female words")
    page.keyboard.press("ArrowDown")
    assert focused(page).startswith("B/2")
    page.wait_for_selector(".t.hole")
    page.keyboard.press("Space")  # pins
    page.wait_for_function(heard("B/2 is silent on"))
    assert page.locator("[role=treeitem][aria-selected=true]").text_content().startswith("B/2")
    for _ in range(10):
        page.keyboard.press("Tab")
        if focused(page, "className") == "texts":
            break
    text, at = place(said(page))
    page.keyboard.press("Shift+ArrowRight")
    assert number(said(page, ".heard")) > 0
    value = of("B/2")[place(said(page))]
    assert f"B/2 {number_of(value, 'B/2') if value else 'silent'}" in said(page, ".heard")
    page.keyboard.press("Shift+ArrowLeft")
    assert place(said(page)) == (text, at)
    page.keyboard.press("ArrowDown")
    assert place(said(page))[0] != text
    page.keyboard.press("Escape")  # the tooltip
    assert page.locator(".tip").is_hidden()
    assert page.locator(".sentence").count() == 1
    page.keyboard.press("Escape")  # the pin
    page.wait_for_function(f"!{ROOT}.querySelector('.sentence')")
    page.get_by_role("tab", name="Tree").focus()
    page.keyboard.press("ArrowRight")
    page.keyboard.press("Tab")
    page.keyboard.type("Lily|Sue")
    page.keyboard.press("Enter")
    page.wait_for_function(heard(f"{np.isin(TOKENS, [LILY, SUE]).sum()} tokens match"))
    boxes = 0
    for _ in range(12):  # the button, the order, the overview with a box for each SAE, the first table
        page.keyboard.press("Tab")
        boxes += focused(page, "type") == "checkbox"
        if focused(page, "className") == "" and focused(page).startswith("A/"):
            break
    assert boxes == 2
    page.keyboard.press("Enter")
    page.wait_for_function(f"{ROOT}.activeElement?.tagName === 'H3'")
    assert focused(page).startswith("Latent A/")


def heard(beginning: str) -> str:
    return f"{ROOT}.querySelector('.heard').textContent.startsWith({beginning!r})"


def focused(page, what: str = "textContent") -> str:
    return page.evaluate(f"{ROOT}.activeElement?.{what} ?? ''")


def number_of(value: float, latent: str) -> str:
    return f"{max(1, round(value / of(latent).max() * 255)) / 255 * of(latent).max():.2f}"


def test_two_keys_lead_from_the_head_of_a_latent_past_its_relatives_to_the_texts(page):
    assert page.locator(".chip").count() > 3
    page.get_by_role("tab", name="Latent").focus()
    page.keyboard.press("Tab")
    assert focused(page) == "Skip to the texts"
    assert page.locator(".skip").bounding_box()["height"] > 20  # seen now
    page.keyboard.press("Enter")
    assert focused(page, "className") == "texts"
    assert said(page, ".heard").endswith("100 % of its maximum")  # and the strongest token is read out
    assert page.locator(".skip").bounding_box()["height"] < 10


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_histogram_says_what_it_counts(page, scheme):
    page.emulate_media(color_scheme=scheme)
    values = of("A/1")[of("A/1") > 0]
    counts = np.bincount(np.clip(np.rint(255 * values / values.max()), 1, 255).astype(int) * 24 // 256, minlength=24)
    drawing = page.locator(".histogram")
    assert drawing.locator("rect").count() == 24
    written = drawing.locator("text").all_text_contents()
    along = f"activation, in % of the maximum of {values.max():.2f}"
    assert written == ["tokens, log scale", str(counts.max()), "0", "0", "50", "100", along]
    heights = [float(bar.get_attribute("height")) for bar in drawing.locator("rect").all()]
    assert np.allclose(heights, 60 * np.log1p(counts) / np.log1p(counts.max()))
    spoken = drawing.get_attribute("aria-label")
    assert spoken.startswith(f"Histogram. Upwards: tokens, log scale, at most {counts.max()} in a bar. Along: {along}, in 24 bars.")
    colour = "e => getComputedStyle(e).fill"
    assert drawing.locator("text").first.evaluate(colour) == page.locator("body").evaluate("e => getComputedStyle(e).color")
    frame = drawing.bounding_box()
    for each in drawing.locator("text").all():
        box = each.bounding_box()
        assert frame["x"] - 1 <= box["x"]
        assert box["x"] + box["width"] <= frame["x"] + frame["width"] + 1
        assert box["y"] + box["height"] <= frame["y"] + frame["height"] + 1


def test_the_list_finds_and_orders(page):
    find = page.get_by_role("searchbox")
    find.fill("lily")
    assert {"A/1", "B/3"} <= set(page.locator(".row b").all_text_contents())
    find.fill("")
    page.get_by_label("Order of the latents").select_option("max")
    first = page.locator(".row b").first.text_content()
    assert of(first).max() == max(each.max() for each in DENSE.values())
    page.locator(".list").focus()
    page.keyboard.press("End")
    page.wait_for_function(f"{ROOT}.querySelector('.row[aria-posinset=\"100\"][aria-selected=true]')")
    assert page.locator(".row").count() < 40


def test_text_is_text_in_every_view(page):
    def markup():
        script = f"{ROOT}.querySelectorAll('img, script, .page b b').length"
        return page.evaluate(script)

    shown = page.locator(".texts").text_content()
    for word in ("</script>", "<img src=x onerror=alert(1)>", "😀", "\\xe2\\x82", "⟨2028⟩", "↵", '"', "·"):
        assert word in shown, word
    coloured = page.locator(".t").all_text_contents()
    assert "she" in coloured
    assert " she" not in coloured  # the space of a word stands outside its colour
    assert markup() == 0
    page.locator(".text .t", has_text="onerror").first.hover()
    assert "“<img src=x onerror=alert(1)>”" in said(page)
    page.get_by_role("tab", name="Tree").click()
    assert "</script> Lily" in page.locator(".tree").text_content()
    assert markup() == 0
    page.get_by_role("tab", name="Search").click()
    page.get_by_role("textbox", name="Token pattern").fill('"</script>" | "\\n" | /<img.*/')
    page.keyboard.press("Enter")
    page.wait_for_selector(".column table")
    expected = np.isin(TOKENS, [2, 4, 9]).sum()
    assert page.locator(".message").text_content().startswith(f"{expected} tokens match")
    assert "</script>" in page.locator(".column .texts").first.text_content()
    page.get_by_role("searchbox").fill("onerror")
    assert markup() == 0


@pytest.mark.parametrize("view", VIEWS)
def test_accessible_light_and_dark_and_on_a_phone(visit, tmp_path, view):
    ex = explorer().search("Lily|Sue") if view == "search" else getattr(explorer(), view)("A/1", pin="B/2")
    page = show(visit, ex.save(tmp_path / "page.html").as_uri())
    token = f"{ROOT}.querySelector('.t')"
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert serious(visit) == []
        text, paper = page.evaluate(f"[{token}, document.body].map((e, k) => getComputedStyle(e)[k ? 'backgroundColor' : 'color'])")
        bright = [sum(map(int, re.findall(r"\d+", colour)[:3])) for colour in (text, paper)]
        assert bright[0] < bright[1] if scheme == "light" else bright[0] > bright[1]
    page.set_viewport_size({"width": 390, "height": 844})
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    side, main = (page.locator(name).bounding_box() for name in (".side", ".main"))
    if view == "search":  # the results need the room
        assert side is None
    else:
        assert main["y"] > side["y"] + side["height"]  # below each other
    page.locator(".text").first.locator(".t").last.hover()
    box = page.locator(".tip").bounding_box()
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
    assert serious(visit) == []


@pytest.mark.parametrize(("width", "left_out"), [(1280, {"f1": [], "cosine": []}), (390, {"f1": ["above", "cosine"], "cosine": ["above"]})])
def test_results_leave_out_columns_before_they_scroll_sideways(visit, tmp_path, width, left_out):
    visit.page.set_viewport_size({"width": width, "height": 844})
    page = show(visit, explorer().search("Lily|Sue").save(tmp_path / "page.html").as_uri())
    page.wait_for_selector(".column table")
    for order, names in left_out.items():
        page.get_by_label("Order of the results").select_option(order)
        page.wait_for_selector(f".column .by-{order}")
        cells = page.locator(".column").first.locator("thead th, tbody tr:first-child td")
        heads, values = cells.all()[:7], cells.all()[7:]
        assert [head.text_content() for head in heads if not head.is_visible()] == names
        assert sum(not value.is_visible() for value in values) == len(names)
        assert fits(page)


def fits(page) -> bool:
    """Neither the page nor a table of results is wider than its place."""
    return page.evaluate(
        f"[document.documentElement, ...{ROOT}.querySelectorAll('.scroll')].every(each => each.scrollWidth <= each.clientWidth)"
    )


@pytest.fixture
def folder(tmp_path):
    explorer().latent("A/1").save(tmp_path / "site", latents_per_shard=7)
    return tmp_path / "site"


@pytest.fixture
def folder_url(folder):
    server = ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/index.html"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("scheme", ["file", "http"])
def test_a_folder_opens_from_a_disk_and_over_http_and_its_address_says_what_is_shown(visit, folder, folder_url, scheme):
    address = (folder / "index.html").as_uri() if scheme == "file" else folder_url
    page = show(visit, address + "#latent=A/1&pinned=B/2")
    assert "B/2 is silent on" in page.locator(".sentence").text_content()
    holes = (of("A/1") > 0) & (of("B/2") == 0)
    assert positions(page, ".t.hole") == {p for p in positions(page, ".t") if holes.ravel()[p]}
    page.get_by_role("button", name="Open B/2").click()
    page.wait_for_function(f"{ROOT}.querySelector('h3').textContent.startsWith('Latent B/2')")
    assert "latent=B%2F2" in page.url
    assert "pinned" not in page.url
    page.goto(address + "#latent=A/1&view=search&query=%5BB/59%5D")
    page.wait_for_selector(".column table")
    rows = page.locator(".column").nth(1).locator("tbody tr")
    first = rows.first
    assert first.locator("button").first.text_content() == "B/59"
    rows.nth(1).locator("td").first.click()  # anywhere in a row colours the texts
    name = rows.nth(1).locator("button").first.text_content()
    page.wait_for_function(f"{ROOT}.querySelectorAll('.column')[1].textContent.includes('Coloured: {name}.')")
    assert re.match(r"1\.00 1\.00–1\.00", first.locator("td").first.text_content())


def scores(page, k: int) -> list[tuple[str, list[float]]]:
    rows = page.locator(".column").nth(k).locator("tbody tr")
    cells = [row.locator("th, td").all_text_contents() for row in rows.all()]
    return [(row[0].split()[0], [float(re.match(r"[\d.]+", cell)[0]) for cell in row[1:6]]) for row in cells]


@pytest.mark.parametrize("query", ["Lily|Sue|she", "[A/1 & !B/2]", "(Lily|Sue) @[!space]", ". @[alpha & seen]"])
def test_search_ranks_as_python_does_side_by_side(visit, tmp_path, query):
    page = show(visit, explorer().search(query).save(tmp_path / "page.html").as_uri())
    page.wait_for_selector(".column table")
    acts = {}
    for name, dense in DENSE.items():  # what is stored: a byte per activation
        largest = dense.max((0, 1))
        stored = np.where(dense > 0, np.clip(np.rint(dense / largest * 255), 1, 255) / 255 * largest, 0)
        acts[name] = LatentActivations.from_dense(stored)
    marked = patterns.match(query, TOKENS, TEXTS, acts=acts)
    assert page.locator(".message").text_content().startswith(f"{marked.sum()} tokens match")
    for k, (name, each) in enumerate(acts.items()):
        best = patterns.rank_latents(each, marked, k=10)
        found = scores(page, k)
        for (latent, values), expected in zip(found, best):
            assert latent == f"{name}/{expected.latent}"
            stated = [expected.f1, expected.precision, expected.recall, 100 * expected.level, expected.cosine]
            assert np.allclose(values, stated, atol=0.0051)
        assert len(found) == len(best)
        words = page.locator(".column").nth(k).locator(".fragmentation").text_content()
        cover = metrics.fragmentation(each, marked, min_precision=0.8, levels=patterns.LEVELS)
        taken = cover.latents[: int(min(cover.n_latents.value, len(cover.latents)))]
        if not taken:
            assert "no latent has a precision of 0.8" in words
        else:
            assert f"{len(taken)} latent" in words
            assert f": {', '.join(f'{name}/{latent}' for latent in taken[:8])}" in words
            assert ("90 % of the pattern" in words) == (cover.n_latents.value < np.inf)
    shown = positions(page, ".column:first-child .t")
    assert positions(page, ".column:first-child .t.hit") == {p for p in shown if marked.ravel()[p]}


def test_a_wrong_pattern_is_told_with_its_place_and_a_slow_one_is_stopped(visit, tmp_path):
    tokens = np.zeros((1, 6000), dtype=int)
    ex = Explorer({"S": LatentActivations.from_dense(np.ones((1, 6000, 1), np.float32))}, tokens, ["a"])
    page = show(visit, ex.search("[S/0 &]").save(tmp_path / "page.html").as_uri())
    page.wait_for_selector(".message.error")
    assert "column 7" in page.locator(".message").text_content()
    field = page.get_by_role("textbox", name="Token pattern")
    field.fill("@a a{0,900} (a{0,900} a*){1,9} b")
    if "column" not in ask(page):
        field.fill("(a a? a? a? a? a? a? a? a? a? a? a? a? a? a? a? a? a? a? a? a? a? a? a? a?){9,20} b \\z")
        assert "stopped after 5 s" in ask(page)
    field.fill("a \\z")
    assert ask(page).startswith("1 token matches")


def test_a_new_pattern_does_not_wait_for_a_slow_one_and_none_clears_the_page(visit, tmp_path):
    tokens = np.zeros((1, 6000), dtype=int)
    tokens[0, 7] = 1
    ex = Explorer({"S": LatentActivations.from_dense(np.ones((1, 6000, 1), np.float32))}, tokens, ["a", "c"])
    page = show(visit, ex.search("@a a{0,900} (a{0,900} a{0,900}){1,9} b").save(tmp_path / "page.html").as_uri() + "#view=search")
    field = page.get_by_role("textbox", name="Token pattern")
    field.fill("@a a{0,900} (a{0,900} a{0,900}){1,9} b")
    page.keyboard.press("Enter")
    assert page.locator(".message").text_content() == "matching …"
    field.fill("# only c\nc")
    assert ask(page).startswith("1 token matches")
    assert field.input_value() == "# only c\nc"
    field.fill("")
    page.keyboard.press("Enter")
    page.wait_for_function(f"!{ROOT}.querySelector('.column')")
    assert page.locator(".message").text_content() == ""


def test_an_address_says_what_is_shown_and_nothing_else(visit, folder):
    page = show(visit, (folder / "index.html").as_uri() + "#latent=B/2&view=constructor&base=http://elsewhere/&manifest=x&live=1")
    page.wait_for_function(f"{ROOT}.querySelector('h3').textContent.startsWith('Latent B/2')")
    assert page.locator(".typed").is_hidden()
    page.locator(".row").nth(3).click()
    page.wait_for_selector(".text")


def test_the_view_is_of_what_was_asked_for_last(visit, folder_url):
    page = show(visit, folder_url + "#latent=B/59")
    late = []
    page.route("**/acts/000.bin", lambda route: late.append(route))  # that of A/1 does not come yet
    page.evaluate("location.hash = 'latent=A/1&view=tree&pinned=B/2'")
    page.evaluate("location.hash = 'latent=B/58&view=tree'")
    page.wait_for_function(f"{ROOT}.querySelector('h3').textContent.startsWith('Tree of B/58')")
    assert late
    page.evaluate(
        f"""() => {{
            const seen = (window.seen = []);
            const look = () => seen.push({ROOT}.querySelector('h3')?.textContent, {ROOT}.querySelector('.sentence')?.textContent);
            new MutationObserver(look).observe({ROOT}, {{ childList: true, subtree: true, characterData: true }});
        }}"""
    )
    late[0].continue_()
    page.evaluate("location.hash = 'latent=A/2&view=tree'")  # of the same file, asked for behind A/1
    page.wait_for_function(f"{ROOT}.querySelector('h3').textContent.startsWith('Tree of A/2')")
    seen = [text for text in page.evaluate("seen") if text]
    assert seen[-1].startswith("Tree of A/2")
    assert [text for text in seen if not text.startswith(("Tree of B/58", "Tree of A/2"))] == []


def test_a_shard_that_did_not_come_is_asked_for_again(visit, folder_url):
    page = show(visit, folder_url + "#latent=B/59")
    page.route("**/acts/000.bin", lambda route: route.fulfill(status=503), times=1)
    page.evaluate("location.hash = 'latent=A/1'")
    page.wait_for_selector(".failed")
    page.evaluate("location.hash = 'latent=B/58'")
    page.wait_for_function(f"{ROOT}.querySelector('h3').textContent.startsWith('Latent B/58')")
    assert page.locator(".failed").count() == 0
    page.evaluate("location.hash = 'latent=A/1'")
    page.wait_for_function(f"{ROOT}.querySelector('h3').textContent.startsWith('Latent A/1')")
    visit.errors[:] = [error for error in visit.errors if "503" not in error and "cannot load" not in error]


def ask(page) -> str:
    page.keyboard.press("Enter")
    page.wait_for_function(f"/^stopped|column|tokens? match/.test({ROOT}.querySelector('.message').textContent)")
    return page.locator(".message").text_content()


def test_texts_of_different_length_keep_their_places(visit, tmp_path):
    mask = np.arange(50)[None] < np.linspace(3, 50, 20).astype(int)[:, None]
    mask[:, 0] = False
    acts = {"A": LatentActivations.from_dense(DENSE["A"], mask)}
    page = show(visit, Explorer(acts, TOKENS, WORDS, window=200).latent("A/1").save(tmp_path / "page.html").as_uri())
    seen = set()
    for text in page.locator(".text").all():
        text.locator(".t").first.hover()
        at = place(said(page))
        assert at[1] == 1  # place 0 does not count
        assert text.locator(".t").count() == mask[at[0]].sum()
        assert text.locator("[data-value]").count() == ((of("A/1") > 0) & mask)[at[0]].sum()
        seen.add(at[0])
    assert len(seen) == 10


def test_two_explorers_on_one_page_do_not_disturb_each_other(visit, tmp_path):
    path = tmp_path / "two.html"
    same = explorer().latent("A/3")._repr_html_()
    path.write_text(f"<!doctype html><meta charset=utf-8>{same}{explorer().latent('B/5')._repr_html_()}{same}", encoding="utf-8")
    visit.page.goto(path.as_uri())
    visit.page.wait_for_function("document.querySelectorAll('.msae-explorer[data-ready]').length === 3")
    assert visit.page.locator("h3").all_text_contents() == ["Latent A/3", "Latent B/5", "Latent A/3"]


def test_one_latent_alone_takes_the_whole_width(visit, tmp_path):
    acts = {"A": LatentActivations.from_dense(DENSE["A"])}
    page = show(visit, Explorer(acts, TOKENS, WORDS, latents=[1]).save(tmp_path / "page.html").as_uri())
    assert page.locator(".list").is_hidden()
    assert page.locator(".page").bounding_box()["width"] > 1200


def test_without_scripts_a_sentence_and_coloured_texts_are_seen(browser, tmp_path):
    path = explorer().latent("A/1").save(tmp_path / "page.html")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(path.as_uri())
    assert page.get_by_text("Latent A/1 (female words <b>) on its strongest texts").is_visible()
    assert page.locator("mark").count() > 5
    context.close()


SPLIT = ["Zo", b"\xc3", b"\xab", " ate", " a", " c", "af", b"\xa9", ".", " ", b"\xe4\xb8", b"\xad", b"\xf0\x9f", b"\x98\x80", "caf", "a"]
SPLIT_TEXTS = {
    "Zoë ate a café.": [0, 1, 2, 3, 4, 5, 6, 1, 7, 8],
    "café 中 😀.": [14, 1, 7, 9, 10, 11, 9, 12, 13, 8],
    "a café": [15, 5, 6, 1, 7],
}


def letters() -> Explorer:
    """S/0 fires on the last part of é and on both of 中, S/1 on the first part of ë."""
    tokens, mask = np.zeros((3, 12), dtype=np.int64), np.zeros((3, 12), dtype=bool)
    for row, ids in enumerate(SPLIT_TEXTS.values()):
        tokens[row, : len(ids)], mask[row, : len(ids)] = ids, True
    dense = np.zeros((3, 12, 2), dtype=np.float32)
    dense[..., 0] = 2.0 * (tokens == 7) + 1.0 * np.isin(tokens, [10, 11])
    dense[0, 1, 1] = 3
    return Explorer({"S": LatentActivations.from_dense(dense, mask)}, tokens, SPLIT)


def test_a_split_letter_is_read_hovered_and_searched_as_the_letter(visit, tmp_path):
    ex = letters()
    page = show(visit, ex.save(tmp_path / "page.html").as_uri())
    shown = page.locator(".text").all_text_contents()
    assert sorted(shown) == sorted(SPLIT_TEXTS)
    assert "\ufffd" not in page.locator(".main").text_content()
    table = page.locator("table.tokens th[scope=row]").all_text_contents()
    assert table[:1] == ["é 2 of 2"]
    assert set(table[1:]) == {"中 1 of 2", "中 2 of 2"}
    for k in range(page.locator(".t").count()):
        token = page.locator(".t").nth(k)
        token.hover()
        tip = said(page)
        text, place_in_text = place(tip)
        if "part" not in tip:
            continue
        letter, part, of = re.match(r"“(.)”, part (\d) of (\d): ", tip).groups()
        raw = [SPLIT[i] for i in ex.tokens[text, place_in_text + 1 - int(part) : place_in_text + 1 - int(part) + int(of)]]
        assert b"".join(raw).decode() == letter
        value = ex.dense("S/0")[text, place_in_text]
        assert (f": {value:.2f}" if value else ": silent") in tip
    assert page.locator(".t.part").count() == 6
    page.get_by_label("Find a latent by number, name or token").fill("é")
    assert page.locator(".row").count() == 1
    for query in ('"café"', "é", "中", '"😀"', "[S/0 & !S/1]", "[alpha]", '"中 😀"', "af .", "[!alpha]"):
        page = show(visit, ex.search(query).save(tmp_path / "search.html").as_uri())
        page.wait_for_selector(".message:not(:empty)")
        page.wait_for_function(f"/match(es)? in/.test({ROOT}.querySelector('.message').textContent)")
        marked = patterns.match(query, ex.tokens, ex.str_tokens, acts=ex.acts)
        assert page.locator(".message").text_content().startswith(f"{marked.sum()} token")
        if page.locator(".column .text").count():
            where = np.cumsum(ex.mask.ravel())[np.flatnonzero(marked)] - 1
            hit = page.locator(".column").first.locator(".hit").evaluate_all("spans => spans.map(span => span.position)")
            assert set(hit) == set(where.tolist())


def test_the_results_of_the_token_pattern_chapter_fit_a_phone(book_page):
    visit = book_page("book/03_exploring/03_token_patterns.html")
    visit.page.set_viewport_size({"width": 390, "height": 844})
    visit.page.get_by_role("tab", name="Search").click()
    visit.page.get_by_role("textbox", name="Token pattern").fill("Lily|Sue")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector(".column table")
    assert fits(visit.page)


def test_the_hovering_chapter_reads_out_the_token_under_the_pointer(book_page):
    visit = book_page("book/02_tinystories/02_first_latents.html")
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
