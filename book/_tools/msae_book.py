"""What this book asks of Sphinx beside figures: its theme, its explorer, clean pages, and a site that loads nothing from elsewhere.

Jupyter Book loads the module as an extension (`local_extensions` in `_config.yml`) for every build, so it loads no torch and no plotly.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msae

if TYPE_CHECKING:
    from docutils.nodes import document
    from sphinx.application import Sphinx
    from sphinx.config import Config


def mend_theme(app: Sphinx, config: Config) -> None:
    """Mend the theme's options, which YAML can only replace as a whole."""
    options = config.html_theme_options = config.html_theme_options or {}
    config.html_context = config.html_context or {}
    options["navbar_persistent"] = []  # sphinx-book-theme 1.2 and later show a second search bar otherwise
    config.html_context["default_mode"] = config.html_context.get("default_mode") or "auto"
    has_address = bool(options.get("repository_url"))
    options["use_repository_button"] = options["use_issues_button"] = has_address
    if not has_address:
        options.pop("launch_buttons", None)
        options.pop("repository_url", None)


def copy_assets(app: Sphinx) -> None:
    """Copy plotly.js and MathJax into the site, so that no page loads anything from elsewhere."""
    if app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    static.mkdir(parents=True, exist_ok=True)
    for package, path in (("plotly", "package_data/plotly.min.js"), ("sphinx-mathjax-offline", "static/mathjax/tex-svg.js")):
        spec = find_spec(package)
        if spec is None or spec.origin is None:
            raise RuntimeError(f"the book needs the package {package}: pip install -r requirements.txt")
        source, target = Path(spec.origin).parent / path, static / Path(path).name
        if not target.exists() or target.stat().st_size != source.stat().st_size:
            shutil.copy(source, target)


def write_explorer(app: Sphinx, failed: Exception | None) -> None:
    """Write the explorer of the shipped SAEs into the site, if what is there was not made from the same files."""
    if app.builder.format != "html" or failed:
        return
    folder = Path(app.outdir) / "explorer"
    parts = {".py", ".mjs", ".css", ".lark", ".json"}  # weights and stories are named, with their hashes, in the manifests among these
    package = Path(msae.__file__).parent
    sources = {str(path.relative_to(package)): path for path in sorted(package.rglob("*")) if path.suffix in parts}
    sources["this file"] = Path(__file__)
    key = hashlib.sha256(
        "".join(name + hashlib.sha256(path.read_bytes()).hexdigest() for name, path in sources.items()).encode()
    ).hexdigest()
    stamp = folder / "made-from.txt"
    if (folder / "index.html").is_file() and stamp.is_file() and stamp.read_bytes() == key.encode():
        return
    stamp.unlink(missing_ok=True)
    # in a process of its own: this one has loaded no torch
    command = [
        sys.executable,
        "-m",
        "msae",
        "explore",
        "--out",
        str(folder),
        "--title",
        "The latents of the book",
        "--back",
        "../book/intro.html",
    ]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RuntimeError(f"the explorer of the shipped SAEs was not written: {said[-1]}")
    stamp.write_text(key)


FOLDED = {"exercise-check": "the check", "solution": "the solution"}
"""What lies in the fold of a cell with this tag; of other cells the page says that it is code."""

FOLD = re.compile(
    r'(<div class="cell [^"]*\btag_(exercise-check|solution)\b[^"]*">\s*<details[^>]*>\s*<summary[^>]*>\s*<p[^>]*>)'
    r"Show code cell source(</p>\s*<p[^>]*>)Hide code cell source"
)


def clean_page(app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: document | None) -> None:
    """Leave out sphinx-thebe, always loaded and unused here, scripts listed twice, and wrong roles and ids; say what a fold holds."""
    seen: set[tuple[str, str | None]] = set()
    kept = []
    for script in context.get("script_files") or []:
        name = str(getattr(script, "filename", "") or "")
        attributes = getattr(script, "attributes", None) or {}
        body = attributes.get("body")
        key = (name, body)
        state = "widget-state" in (attributes.get("type") or "")  # nothing in the page would read it
        if "thebe" in name or "THEBE_JS_URL" in (body or "") or state or key in seen:
            continue
        seen.add(key)
        kept.append(script)
    context["script_files"] = kept
    if context.get("body"):
        # Sphinx calls the bibliography a list, but its children are no list items; sphinx-exercise gives every exercise the same id.
        body = context["body"].replace('<div role="list" class="citation-list">', '<div class="citation-list">')
        body = re.sub(r' id="(?:exercise|solution)-content"', "", body)
        context["body"] = FOLD.sub(lambda found: f"{found[1]}Show {FOLDED[found[2]]}{found[3]}Hide {FOLDED[found[2]]}", body)
    context["css_files"] = [css for css in context.get("css_files") or [] if "thebe" not in str(getattr(css, "filename", css))]


def setup(app: Sphinx) -> dict[str, Any]:
    """What Sphinx calls once, with the application to extend."""
    app.connect("config-inited", mend_theme, priority=900)
    app.connect("builder-inited", copy_assets)
    app.connect("html-page-context", clean_page, priority=900)
    app.connect("build-finished", write_explorer)
    app.add_css_file("msae-book.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
