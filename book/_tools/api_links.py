"""A page leads to the API part where it first names something public: once from its prose, once from its code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from api_names import addresses, read_notebook
from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform

DOTTED = re.compile(r'(?<!<span class="o">\.</span>)<span class="n">\w+</span>(?:<span class="o">\.</span><span class="n">\w+</span>)*')
"""A dotted name in code, as Pygments colours it."""

IMPORTS = '<span class="kn">import</span>'


class LinkProse(SphinxTransform):
    """Turns `msae.X`, with or without the parentheses of a call, into a reference; headings and links stay as they are."""

    default_priority = 500

    def apply(self, **kwargs: Any) -> None:
        if self.env.docname.startswith("book/api/"):
            return
        linked = set()
        for literal in list(self.document.findall(nodes.literal)):
            name = literal.astext().removesuffix("()")
            entry = addresses().get(name) or ("." in name and addresses().get(f"msae.{name}")) or None
            if (
                entry is None
                or entry.full in linked
                or isinstance(
                    literal.parent,
                    (nodes.title, nodes.reference, addnodes.pending_xref),
                )
            ):
                continue
            linked.add(entry.full)
            link = addnodes.pending_xref(
                "",
                refdomain="py",
                reftype="obj",
                reftarget=entry.full,
                refdoc=self.env.docname,
                refexplicit=True,
                refwarn=True,
            )
            literal.replace_self(link)
            link += literal


def link_code(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """The same in the cells of a chapter, `metrics.fvu` after `from msae import metrics` included."""
    path = Path(app.env.doc2path(page)) if page in app.env.found_docs else Path()
    if path.suffix != ".ipynb" or not context.get("body"):
        return
    notebook, linked = read_notebook(path), set()

    def link(found: re.Match[str]) -> str:
        entry = notebook.find(re.sub("<[^>]*>", "", found[0]))
        if entry is None or entry.full in linked:
            return found[0]
        linked.add(entry.full)
        address = app.builder.get_relative_uri(page, f"book/api/{entry.room}")
        return f'<a class="msae-api" href="{address}#{entry.full}">{found[0]}</a>'

    lines = context["body"].split("\n")
    context["body"] = "\n".join(line if IMPORTS in line else DOTTED.sub(link, line) for line in lines)


def setup(app: Any) -> dict[str, Any]:
    app.add_transform(LinkProse)
    app.connect("html-page-context", link_code)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
