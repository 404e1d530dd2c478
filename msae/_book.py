"""What the built book needs from Sphinx: interactive figures, the explorer, and a site that loads nothing from elsewhere.

Two entry points use this file: MyST-NB finds `PlotlyRenderer` through the package's entry point, Jupyter Book loads the module itself
as a Sphinx extension (`extra_extensions` in `_config.yml`). Both import it for every build, so it loads no torch and no plotly.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PLOTLY_MIME = "application/vnd.plotly.v1+json"
DEFAULT_HEIGHT, DEFAULT_TOP = 450, 100
"""Height and top margin in pixels of a figure that says none: plotly's own."""

TOP, TOP_WITH_COLOR_BAR = 40, 76
"""Room above the axes, in pixels: the tool bar's, and that of a colour bar lying above. Title and controls are HTML and need none."""

FIGURE = """\
<figure class="msae-figure">
<figcaption class="msae-title" id="{id}-title">{title}</figcaption>
<div class="msae-controls" data-for="{id}"></div>
<div class="msae-plot" id="{id}" role="group" aria-labelledby="{id}-title" aria-describedby="{id}-alt" style="min-height:{height}px"></div>
<noscript><p>This figure is drawn by JavaScript, which is switched off here. In words:</p></noscript>
<p class="msae-alt" id="{id}-alt">{alt}</p>
<script type="application/json" data-for="{id}">{figure}</script>
</figure>
"""


class PlotlyRenderer:
    """MyST-NB plugin: a plotly figure becomes data in the page, which `msae-figures.js` draws when it comes near the window.

    plotly itself is not named here: it is large, and that script loads it for the first figure that is drawn.

    The claim in the figure's title moves into an HTML caption, which wraps on a phone; the alt text in `layout.meta["alt"]` is read to
    those who cannot see the figure and shown where there is no JavaScript.
    """

    mime_priority_overrides = [("*", PLOTLY_MIME, 0)]

    @staticmethod
    def handle_mime(renderer: Any, data: Any, inline: bool) -> list[Any] | None:
        if inline or data.mime_type != PLOTLY_MIME:
            return None
        from docutils import nodes

        figure = data.content if isinstance(data.content, dict) else json.loads(data.content)
        where = f"{data.cell_index}.{data.output_index}"
        markup, complaint = figure_html(figure, where)
        if complaint:
            _warn(complaint, renderer, data)
        renderer.add_js_file("msae_figures", "msae-figures.js", {"defer": "defer"})
        return [nodes.raw(text=markup, format="html", classes=["output"])]


def figure_html(figure: dict[str, Any], where: str) -> tuple[str, str | None]:
    """The page's form of a plotly figure, and what is wrong with the figure, if anything is.

    Args:
        figure: the figure as plotly's JSON: data, layout, frames, config.
        where: the figure's place on its page; keeps the ids of two equal figures apart.
    """
    layout = dict(figure.get("layout") or {})
    layout.pop("template", None)  # the page's theme gives the colours
    title = _plain(_title(layout.pop("title", None)))
    margin = dict(layout.get("margin") or {})
    spared = max(0, margin.get("t", DEFAULT_TOP) - (TOP_WITH_COLOR_BAR if _has_lying_color_bar(figure) else TOP))
    height = int(layout.get("height") or DEFAULT_HEIGHT) - spared
    layout.update(height=height, margin={**margin, "t": margin.get("t", DEFAULT_TOP) - spared})
    meta = layout.get("meta")
    alt = str(meta.get("alt") or "").strip() if isinstance(meta, dict) else ""
    kept = {"data": figure.get("data", []), "layout": layout, "config": figure.get("config") or {}, "frames": figure.get("frames") or []}
    body = json.dumps(kept, separators=(",", ":"), ensure_ascii=False).replace("</", "<\\/")
    identity = "fig-" + hashlib.sha256(f"{where} {title} {body}".encode()).hexdigest()[:10]
    markup = FIGURE.format(
        id=identity,
        title=html.escape(title or alt),
        alt=html.escape(alt),
        height=height,
        figure=body,
    )
    missing = [name for name, text in (("a title (the claim it shows)", title), ('alt text in layout.meta["alt"]', alt)) if not text]
    return markup, f"a figure needs {' and '.join(missing)}" if missing else None


def _has_lying_color_bar(figure: dict[str, Any]) -> bool:
    bars = [trace.get("colorbar") or (trace.get("marker") or {}).get("colorbar") for trace in figure.get("data", [])]
    bars += [part.get("colorbar") for name, part in (figure.get("layout") or {}).items() if name.startswith("coloraxis")]
    return any(bar.get("orientation") == "h" for bar in bars if bar)


def _title(title: Any) -> str:
    return str((title.get("text") if isinstance(title, dict) else title) or "")


def _plain(text: str) -> str:
    """Plotly's own small HTML, as words: `A claim<br>in <b>two</b> lines` becomes `A claim in two lines`."""
    words = re.sub(r"<[^>]+>", "", re.sub(r"<br\s*/?>", " ", text))
    return html.unescape(re.sub(r"\s+", " ", words)).strip()


def _warn(complaint: str, renderer: Any, data: Any) -> None:
    from sphinx.util import logging

    document = getattr(getattr(renderer, "renderer", None), "document", None)
    place = (document["source"] if document else None, data.line)
    logging.getLogger(__name__).warning(complaint, location=place, type="msae", subtype="figure")


def _theme(app: Any, config: Any) -> None:
    """Mend the theme's options, which YAML can only replace as a whole."""
    options = config.html_theme_options
    options["navbar_persistent"] = []  # sphinx-book-theme 1.2 and later show a second search bar otherwise
    config.html_context["default_mode"] = config.html_context.get("default_mode") or "auto"
    has_address = bool(options.get("repository_url"))
    options["use_repository_button"] = options["use_issues_button"] = has_address
    if not has_address:
        options.pop("launch_buttons", None)
        options.pop("repository_url", None)


def _assets(app: Any) -> None:
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


def _explorer(app: Any, failed: Exception | None) -> None:
    """Write the explorer of the shipped SAEs into the site, if what is there was not made from the same files."""
    if app.builder.format != "html" or failed:
        return
    folder = Path(app.outdir) / "explorer"
    parts = {".py", ".mjs", ".css", ".lark", ".json"}  # weights and stories are named, with their hashes, in the manifests among these
    sources = [path for path in sorted(Path(__file__).parent.rglob("*")) if path.suffix in parts]
    key = hashlib.sha256(b"".join(hashlib.sha256(path.read_bytes()).digest() for path in sources)).hexdigest()
    stamp = folder / "made-from.txt"
    if stamp.exists() and stamp.read_text() == key:
        return
    stamp.unlink(missing_ok=True)
    # in a process of its own: this one has loaded no torch
    command = [sys.executable, "-m", "msae", "explore", str(folder), "--title", "The latents of the book", "--back", "../book/intro.html"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        said = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
        raise RuntimeError(f"the explorer of the shipped SAEs was not written: {said[-1]}")
    stamp.write_text(key)


def _page(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Leave out sphinx-thebe, which is always loaded and unused here, scripts that are listed twice, and wrong roles and ids."""
    seen: set[tuple[str, str | None]] = set()
    kept = []
    for script in context.get("script_files", []):
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
    if "body" in context:
        # Sphinx calls the bibliography a list, but its children are no list items; sphinx-exercise gives every exercise the same id.
        body = context["body"].replace('<div role="list" class="citation-list">', '<div class="citation-list">')
        context["body"] = re.sub(r' id="(?:exercise|solution)-content"', "", body)
    context["css_files"] = [css for css in context.get("css_files", []) if "thebe" not in str(getattr(css, "filename", css))]


def setup(app: Any) -> dict[str, Any]:
    app.connect("config-inited", _theme, priority=900)
    app.connect("builder-inited", _assets)
    app.connect("html-page-context", _page, priority=900)
    app.connect("build-finished", _explorer)
    app.add_css_file("msae-book.css")
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
