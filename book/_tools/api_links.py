"""The first mention of a public name of msae in the prose of a page leads to its entry in the API part."""

from __future__ import annotations

from typing import Any

from api_names import addresses
from docutils import nodes
from sphinx import addnodes
from sphinx.transforms import SphinxTransform


class LinkNames(SphinxTransform):
    """Turns the literal `msae.X`, with or without the parentheses of a call, into a reference; headings and links stay as they are."""

    default_priority = 500

    def apply(self, **kwargs: Any) -> None:
        if self.env.docname.startswith("book/api/"):
            return
        known, linked = addresses(), set()
        for literal in list(self.document.findall(nodes.literal)):
            entry = known.get(literal.astext().removesuffix("()"))
            above = literal.parent
            if entry is None or entry.full in linked or isinstance(above, (nodes.title, nodes.reference, addnodes.pending_xref)):
                continue
            linked.add(entry.full)
            link = addnodes.pending_xref(
                "", refdomain="py", reftype="obj", reftarget=entry.full, refdoc=self.env.docname, refexplicit=True, refwarn=True
            )
            literal.replace_self(link)
            link += literal


def setup(app: Any) -> dict[str, Any]:
    app.add_transform(LinkNames)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
