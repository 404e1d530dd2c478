"""The built book as files: every link leads somewhere, every picture has words, nothing comes from elsewhere."""

from __future__ import annotations

import json
import re
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
import yaml
from bs4 import BeautifulSoup
from pages import PAGES
from places import ROOT

pytestmark = pytest.mark.site

TOC = yaml.safe_load((ROOT / "_toc.yml").read_text(encoding="utf8"))
CONFIG = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
CHAPTERS = [page for page in PAGES if (ROOT / f"{page}.ipynb").exists()]
MOST_PER_PAGE = 1_500_000
MOST_IN_ALL = 62_000_000  # the explorer's folder is nearly half of it, each chapter about 0.5; a page loads a few of its files
OURS = re.compile(r"\.\./shared|shared/(design|style|research)|/(work|opt|root)/|/home/\w")


@cache
def soup(path: Path) -> BeautifulSoup:
    return BeautifulSoup(path.read_text(encoding="utf8"), "html.parser")


@cache
def latents(explorer: Path) -> set[str]:
    return set(json.loads((explorer / "manifest.json").read_bytes())["latents"]["id"])


def is_local(address: str) -> bool:
    parts = urlsplit(address)
    return not parts.scheme and not parts.netloc


@pytest.fixture(params=PAGES)
def page(request: pytest.FixtureRequest, site: Path) -> Path:
    path = site / f"{request.param}.html"
    assert path.exists(), f"{request.param} stands in _toc.yml and was not built; build the book again"
    return path


def test_links_lead_somewhere(page: Path, site: Path) -> None:
    dead = []
    for tag in soup(page).find_all(["a", "link", "script", "img", "source"]):
        address = tag.get("href") or tag.get("src")
        if not address or not is_local(address):
            continue
        parts = urlsplit(address)
        target = (page.parent / unquote(parts.path)).resolve() if parts.path else page
        if target.is_dir():
            target = target / "index.html"
        if not target.exists():
            dead.append(address)
        elif parts.fragment and target == site / "explorer" / "index.html":
            shown = parse_qs(parts.fragment)
            asked = {latent for key in ("latent", "pinned") for latent in shown.get(key, [])}
            dead += [f"{address} (no latent {latent})" for latent in asked - latents(target.parent)]
        elif parts.fragment and target.suffix == ".html" and not soup(target).find(id=unquote(parts.fragment)):
            dead.append(f"{address} (no such place on that page)")
    assert not dead


def test_nothing_is_loaded_from_elsewhere(page: Path) -> None:
    loaded = [tag["src"] for tag in soup(page).find_all(src=True)]
    loads = {"stylesheet", "preload", "modulepreload", "icon"}
    loaded += [tag["href"] for tag in soup(page).find_all("link") if loads & set(tag.get("rel", []))]
    assert [address for address in loaded if not is_local(address) and not address.startswith("data:")] == []


def test_pictures_have_words(page: Path) -> None:
    images = [str(image)[:200] for image in soup(page).find_all("img") if not (image.get("alt") or "").strip()]
    assert not images, "an image needs alt text"
    for drawing in soup(page).select("svg[role=img]"):
        assert drawing.find("title"), "a drawing needs a <title>"
    for figure in soup(page).select(".msae-figure"):
        title = figure.select_one(".msae-title").get_text(strip=True)
        alt = figure.select_one(".msae-alt").get_text(strip=True)
        assert title, "a figure needs a title that says its claim"
        assert len(alt) > 20, f"the figure {title!r} needs alt text that says what is to be seen"
        assert figure.find("noscript"), "a figure says so when there is no JavaScript"
        plot = figure.select_one(".msae-plot")
        for name in ("aria-labelledby", "aria-describedby"):
            assert soup(page).find(id=plot[name])


def test_ids_are_unique(page: Path) -> None:
    ids = [tag["id"] for tag in soup(page).select("article [id]")]
    assert sorted({i for i in ids if ids.count(i) > 1}) == []


def test_no_cell_failed(page: Path) -> None:
    assert not soup(page).select(".output.traceback")
    assert not soup(page).select(".output.stderr"), soup(page).select(".output.stderr")[0].get_text()[:300]


def test_says_nothing_about_our_machines(page: Path) -> None:
    found = OURS.search(soup(page).get_text())
    assert not found, f"{found.group()!r} in: {soup(page).get_text()[found.start() - 80 : found.end() + 80]}"


def test_size(page: Path) -> None:
    assert page.stat().st_size <= MOST_PER_PAGE


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_links_to_the_repository_only_where_there_is_one(chapter: str, site: Path) -> None:
    links = [a["href"] for a in soup(site / f"{chapter}.html").find_all("a", href=True)]
    colab = [link for link in links if "colab.research" in link]
    address = (CONFIG.get("repository") or {}).get("url")
    if address:
        owner_and_name = address.removeprefix("https://github.com/").rstrip("/")
        assert colab == [f"https://colab.research.google.com/github/{owner_and_name}/blob/{CONFIG['repository']['branch']}/{chapter}.ipynb"]
    else:
        assert colab == []
        assert not [link for link in links if "executablebooks/jupyter-book" in link or "OWNER" in link]


def test_site_is_small_and_its_styles_load_nothing_from_elsewhere(site: Path) -> None:
    files = [path for path in site.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) <= MOST_IN_ALL
    for style in (path for path in files if path.suffix == ".css"):
        assert not re.search(r"(@import|url\()\s*['\"]?(https?:)?//", style.read_text(encoding="utf8")), style


def test_plotly_and_mathjax_come_along(site: Path) -> None:
    for name in ("plotly.min.js", "tex-svg.js", "msae-figures.js", "msae-book.css"):
        assert (site / "_static" / name).stat().st_size > 500


def test_plotly_waits_for_a_figure_to_come_near(page: Path) -> None:
    scripts = [tag["src"] for tag in soup(page).find_all("script", src=True)]
    assert [name for name in scripts if "plotly" in name] == []
    assert len([name for name in scripts if "msae-figures.js" in name]) == bool(soup(page).select(".msae-plot"))
