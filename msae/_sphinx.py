"""Figures in a built book: MyST-NB finds `PlotlyRenderer` through the package's entry point, in this book and in anybody's.

MyST-NB imports it for every build, so it loads no torch and no plotly.
"""

from __future__ import annotations

import base64
import copy
import hashlib
import html
import json
import math
import re
import struct
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from docutils.nodes import Element
    from myst_nb.core.render import MimeData, NbElementRenderer

PLOTLY_MIME = "application/vnd.plotly.v1+json"
WIDGET_MIME = "application/vnd.jupyter.widget-view+json"
WIDGET_STATE = "application/vnd.jupyter.widget-state+json"
RICH = {"text/html", "text/markdown", "text/latex", "image/svg+xml", "image/png", "image/jpeg", "image/gif", "application/javascript"}
"""The kinds of output that a page shows beside figures and plain text."""

WIDGET = (
    "a widget needs a running kernel and a page has none: show a figure instead (its own buttons and sliders need no kernel), "
    "a table or text, or give the widget an HTML form beside its own (text/html)"
)
DEFAULT_HEIGHT, DEFAULT_TOP, LEAST = 450, 100, 10
"""Height and top margin in pixels of a figure that says none, and the least height: plotly's own."""

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
    def handle_mime(renderer: NbElementRenderer, data: MimeData, inline: bool) -> list[Element] | None:
        """The page's form of one kind of an output; None leaves it to MyST-NB. A kind that no page shows, or a figure that is none, is
        warned of, unless the same output has another kind that is shown."""
        if inline or data.mime_type in {*RICH, "text/plain"}:
            return None
        shown: list[Element] = []
        if data.mime_type == PLOTLY_MIME:
            figure, complaint = data.content, None
        elif RICH & set(_output(renderer, data)):
            return shown
        elif data.mime_type == WIDGET_MIME:
            figure, complaint = _figure_of_widget(renderer, data.content), WIDGET
        else:
            figure, complaint = (
                None,
                f"a page does not show output of the kind {data.mime_type}: show a figure, a picture, HTML or Markdown",
            )
        if figure is not None:
            from docutils import nodes

            markup, complaint = figure_html(figure, f"{data.cell_index}.{data.output_index}")
            if markup:
                renderer.add_js_file("msae_figures", "msae-figures.js", {"defer": "defer"})
                shown = [nodes.raw(text=markup, format="html", classes=["output"])]
        if complaint:
            _warn(complaint, renderer, data)
        return shown


def _output(renderer: NbElementRenderer, data: MimeData) -> dict[str, Any]:
    """The output that the data belong to, all of its kinds."""
    for output in renderer.renderer.nb_client.code_cell_outputs(data.cell_index)[1]:
        kinds = output.get("data") or {}
        if kinds.get(data.mime_type) is data.content:
            return kinds
    return {}


def _figure_of_widget(renderer: NbElementRenderer, view: object) -> dict[str, Any] | None:
    """The figure that a FigureWidget of plotly shows, from the state that the notebook keeps; None for every other widget."""
    kept = renderer.renderer.nb_client.nb_metadata.get("widgets", {}).get(WIDGET_STATE, {}).get("state", {})
    model = kept.get(view.get("model_id") if isinstance(view, dict) else None, {})
    state = copy.deepcopy({name: part for name, part in model.get("state", {}).items() if name != "_esm"})  # that is all of plotly
    data, layout = (state.get(f"_widget_{part}", state.get(f"_{part}")) for part in ("data", "layout"))
    if not isinstance(data, list) or not isinstance(layout, dict):
        return None
    short = {"float64": "f8", "float32": "f4", "int8": "i1", "int16": "i2", "int32": "i4", "uint8": "u1", "uint16": "u2", "uint32": "u4"}
    for buffer in model.get("buffers", []):  # arrays lie beside the state, each with the path of its place
        *way, name, _ = buffer["path"]
        owner = state
        for step in way:
            owner = owner[step]
        kind = owner[name]["dtype"]
        if kind in short:
            owner[name] = {"dtype": short[kind], "bdata": buffer["data"]}
        elif kind == "float16":  # plotly.js has none
            halves = base64.b64decode(buffer["data"])
            owner[name] = [x if math.isfinite(x) else None for x in struct.unpack(f"<{len(halves) // 2}e", halves)]
        else:
            return None
    return {"data": data, "layout": layout}


def figure_html(figure: dict[str, Any], where: str) -> tuple[str, str | None]:
    """The page's form of a plotly figure.

    Args:
        figure: the figure as plotly's JSON: data, layout, frames, config.
        where: the figure's place on its page; keeps the ids of two equal figures apart.

    Returns:
        the HTML, empty where it is no figure; and what is wrong with the figure, None where nothing is.

    Example:
        >>> markup, complaint = figure_html({"data": [], "layout": {"title": {"text": "A claim"}}}, "1.0")
        >>> complaint
        'a figure needs alt text in layout.meta["alt"]'
    """
    if wrong := _wrong(figure):
        return "", f"this is no figure that plotly can draw: {wrong}"
    layout = dict(figure.get("layout") or {})
    layout.pop("template", None)  # the page's theme gives the colours
    title = _plain(_title(layout.pop("title", None)))
    margin = dict(layout.get("margin") or {})
    top = DEFAULT_TOP if margin.get("t") is None else margin["t"]
    height = int(layout.get("height") or DEFAULT_HEIGHT)
    spared = max(0, min(top - (TOP_WITH_COLOR_BAR if _has_lying_color_bar(figure) else TOP), height - LEAST))
    height -= spared
    layout.update(height=height, margin={**margin, "t": top - spared})
    meta = layout.get("meta")
    alt = str(meta.get("alt") or "").strip() if isinstance(meta, dict) else ""
    kept = {"data": figure.get("data", []), "layout": layout, "config": figure.get("config") or {}, "frames": figure.get("frames") or []}
    body = json.dumps(kept, separators=(",", ":"), ensure_ascii=False).replace("<", "\\u003c")  # neither </script> nor <!-- ends it
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


def _wrong(figure: object) -> str:
    """What keeps data from being a figure, or nothing."""
    if not isinstance(figure, dict):
        return f"expected a mapping with data and layout, got {type(figure).__name__}"
    data, layout = figure.get("data", []), figure.get("layout") or {}
    if not isinstance(data, list) or not all(isinstance(trace, dict) for trace in data):
        return "data must be a list of mappings"
    if not isinstance(layout, dict) or not isinstance(layout.get("margin") or {}, dict):
        return "layout and layout.margin must be mappings"
    for name, value in (("height", layout.get("height")), ("margin.t", (layout.get("margin") or {}).get("t"))):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1e5):
            return f"layout.{name} must be a number of pixels, got {value!r}"
    try:
        json.dumps(figure, allow_nan=False, ensure_ascii=False).encode()
    except (TypeError, ValueError) as error:
        return f"it holds NaN, infinity, half a letter or an object ({error})"
    return ""


def _has_lying_color_bar(figure: dict[str, Any]) -> bool:
    """Whether a colour bar lies above the axes and needs room."""
    owners = [part for trace in figure.get("data", []) for part in (trace, trace.get("marker"))]
    owners += [part for name, part in (figure.get("layout") or {}).items() if name.startswith("coloraxis")]
    return any(_part(_part(owner, "colorbar"), "orientation") == "h" for owner in owners)


def _part(whole: object, name: str) -> Any:
    """A part of what should be a mapping; None where it is none, or lacks it."""
    return whole.get(name) if isinstance(whole, dict) else None


def _title(title: object) -> str:
    """A title and what stands beneath it."""
    if not isinstance(title, dict):
        return str(title or "")
    return " – ".join(str(text) for text in (title.get("text"), _part(title.get("subtitle"), "text")) if text)


def _plain(text: str) -> str:
    """Plotly's own small HTML, as words: `A claim<br>in <b>two</b> lines` becomes `A claim in two lines`; `p < 0.05 and q > 3` has none."""
    words = re.sub(r"</?[A-Za-z][^<>]*>", "", re.sub(r"<br\s*/?>", " ", text))
    return html.unescape(re.sub(r"\s+", " ", words)).strip()


def _warn(complaint: str, renderer: NbElementRenderer, data: MimeData) -> None:
    """A warning of the build, at the cell that made the output."""
    from sphinx.util import logging

    place = (renderer.renderer.sphinx_env.docname, data.line)
    logging.getLogger(__name__).warning(complaint, location=place, type="msae", subtype="figure")
