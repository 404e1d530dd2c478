"""The explorer as HTML: one element for a notebook or a page of the book, or a page of its own. No server, no network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Iterable
from functools import cache
from typing import Any
from urllib.parse import urlencode

from msae.explore.scripts import joined, text, variable
from msae.explore.view import VIEWS
from msae.support.arguments import one_of, written
from msae.support.drawn import numbered

HOST = """\
<style>
html[data-theme] .bd-content div.cell_output .text_html:has(> .msae-explorer) {{ background: none; color: inherit; padding: 0; }}
</style>
<div class="msae-explorer" data-msae="{id}">
{fallback}
<script type="application/json">{manifest}</script>
<script type="text/plain">{payload}</script>
</div>
<script type="module">
{module}
for (const host of document.querySelectorAll('[data-msae="{id}"]:not([data-ready])')) mount(host, {state});
</script>
"""

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>{title}</title>
<style>
a {{ color: LinkText; }}
body {{ margin: 16px; background: Canvas; color: CanvasText; font: 14px/1.45 system-ui, sans-serif; }}
h1 {{ font: inherit; font-size: 20px; font-weight: 600; margin: 0 0 4px; }}
p {{ margin: 0 0 12px; max-width: 60em; }}
</style>
</head>
<body>
<main>
<h1>{title}</h1>
<p>{what}{back}</p>
{body}
</main>
</body>
</html>
"""


WHAT = (
    "The parts, called latents, into which sparse autoencoders take a language model apart, and the texts on which each of them fires. "
    "Choose one, and lay a second one over it to see its holes."
)
"""What a page is, in a line."""


def host(manifest: dict[str, Any], payload: bytes, state: dict[str, Any], fallback: str) -> str:
    """An element with the data in it, and the script that brings it to life.

    Args:
        manifest: of the bundle that the page holds.
        payload: of that bundle.
        state: what the explorer opens with: "latent", "pinned", "view", "query"; "linked" if the page's address says so too.
        fallback: HTML seen where scripts do not run.
    """
    described, opened, packed = in_script(manifest), in_script(state), base64.b64encode(payload).decode()
    identity = hashlib.sha256("\n".join([module(), described, packed, opened]).encode()).hexdigest()[:12]
    return HOST.format(
        id=f"explorer-{identity}", fallback=fallback, manifest=described, payload=packed, module=in_page(module()), state=opened
    )


def page(title: str, body: str, back: str | None = None) -> str:
    """A whole HTML page.

    Args:
        title: of the page, as text.
        body: HTML.
        back: the address of another page that it leads back to.
    """
    link = f' <a href="{html.escape(back)}">Back to where it is explained</a>' if back else ""
    return PAGE.format(title=html.escape(title), body=body, what=WHAT, back=link)


def address(page: str, latent: str, pin: str = "", view: str = "", query: str = "") -> str:
    """The address of a saved explorer, opened at a latent: `page` with what is shown behind its #, as the page itself writes it.

    Args:
        page: where the explorer lies.
        latent: "name/number" of the latent that is seen.
        pin: "name/number" of another, laid over it; empty for none.
        view: "latent", "tree" or "search"; "latent" where empty.
        query: the token pattern that is searched for.

    Returns:
        the address, its parts quoted.

    Raises:
        ValueError: what is no text, or no view.

    Example:
        >>> from msae.explore import address
        >>> address("explorer/index.html", "S/2/66", pin="S/3/69", view="tree")
        'explorer/index.html#latent=S%2F2%2F66&pinned=S%2F3%2F69&view=tree'
    """
    shown = {"latent": latent, "pinned": pin, "view": view, "query": query}
    for name, value in {"page": page, **{"pin" if key == "pinned" else key: value for key, value in shown.items()}}.items():
        written(name, value)
    one_of("view", view, ("", *VIEWS))
    return f"{page}#{urlencode({key: value for key, value in shown.items() if value})}"


def in_script(values: Any) -> str:
    """JSON that can stand in a script: ASCII without <, > and &, so that no text in it ends the script or becomes markup."""
    written = json.dumps(values, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return written.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")


def in_page(script: str) -> str:
    """A script that can stand in a page: in JavaScript `<\\/` is `</` in every string and every regular expression."""
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--")


@cache
def module() -> str:
    """The front end as one ES module in anywidget's form, the style sheet and the worker's script as strings in it."""
    resources = json.dumps({"css": text("explorer.css"), "worker": worker()})
    made = f"const {{ render, mount }} = {variable('explorer.mjs')}.explorer({resources});\nexport default {{ render }};\n"
    return joined("explorer.mjs") + made


def worker() -> str:
    """The script of the worker that matches patterns. It is no module: a page opened from a disk may start none."""
    return f'"use strict";\n{joined("patterns/answer.mjs")}{variable("patterns/answer.mjs")}.answer(self);\n'


def coloured(tokens: Iterable[tuple[str, float]], largest: float) -> str:
    """A paragraph of tokens on a background as strong as their activation.

    Args:
        tokens: (text, activation) of each.
        largest: the activation that has the strongest background.
    """
    return "<p>" + "".join(_coloured(token, value, largest) for token, value in tokens) + "</p>"


def _coloured(token: str, activation: float, largest: float) -> str:
    shown = html.escape(numbered(re.sub(r"\s*\n\s*", "↵ ", token)))
    if not activation:
        return shown
    space = " " if token.startswith(" ") else ""
    alpha = 0.12 + 0.48 * activation / largest
    seen = shown.strip() or "·" * bool(token)  # a later part of a letter is a bar beside it
    style = f"color:inherit;background:rgba(31,111,235,{alpha:.2f})" + (";padding:0 .18em" if not token else "")
    return f'{space}<mark title="{activation:.2f}" style="{style}">{seen}</mark>'
