"""Figures on one page of the book's own making."""

from __future__ import annotations

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from places import ROOT

PACKAGES = {"plotly": "package_data/plotly.min.js", "sphinx-mathjax-offline": "static/mathjax/tex-svg.js"}


def write_page(folder: Path, made: dict[str, Any], *, more: str = "", style: str = "", mathjax: bool = False) -> str:
    """Write a page with these figures, each under its name, and what the page needs; returns its address.

    Args:
        folder: for the page and its scripts.
        made: name → figure.
        more: HTML behind the figures.
        style: CSS of the page.
        mathjax: also the script that draws formulas.
    """
    from msae._sphinx import figure_html

    for package in list(PACKAGES)[: 1 + mathjax]:
        spec = find_spec(package)
        if spec is None:
            pytest.skip(f"{package} is not installed: pip install -r requirements.txt")
        shutil.copy(Path(spec.origin).parent / PACKAGES[package], folder)
    shutil.copy(ROOT / "book" / "_static" / "msae-figures.js", folder)
    body = "\n".join(figure_html(json.loads(figure.to_json()), name)[0] for name, figure in made.items())
    scripts = '<script src="tex-svg.js"></script>' * mathjax + '<script src="msae-figures.js"></script>'
    page = folder / "page.html"
    page.write_text(f"<!doctype html><meta charset=utf-8><style>{style}</style>{body}{more}{scripts}", encoding="utf8")
    return page.as_uri()
