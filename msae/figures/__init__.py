"""In: numbers, labels, a claim and a sentence for who cannot see. Out: a plotly figure in the one visual language of the book.

Every function takes `title=` (the claim the figure makes) and `alt=` (what a reader who cannot see it needs to know) and returns a
`plotly.graph_objects.Figure` without template, width or backgrounds, so that the page it stands on decides about light and dark and
about the width. Where all numbers of a figure can be said (`bars`, `compare`, `dots`, `lines`, `ratios`), `lead=` takes the place of
`alt=`: a sentence to which the function adds the numbers. Works with plotly 5.24 and 7 alike.

A role has the same colour in every chapter (`COLORS`), and where two roles meet they also differ in shape or dash. Cosines diverge
around zero on [-1, 1]: zero is the page's own background, blue is positive, orange negative. Activations go from the background to blue.

A figure draws what it is given. A label may be anything: it is drawn as `str(label)`, never read as markup, a formula or a date. A
newline in it is ↵, a tab ⇥, a space at an end or beside another a dot, a sign without a picture its number; an empty one is "(empty)",
and of labels that look alike the later ones get a number. Long labels are cut in ticks and legends and whole, up to 600 characters, in
the hover box. Titles and the names of axes are prose: line breaks and doubled spaces in them are one space. Numbers must be finite.
What is hovered says them with four digits (in a heatmap three), and with so many more, up to twelve, that a number differs from the
others of the figure (in a heatmap: from those of its row, its column and its place in the other panels).
"""

from msae.figures.bar_charts import bars, histogram
from msae.figures.comparisons import compare, pairs
from msae.figures.curves import lines
from msae.figures.heat import heatmap, heatmaps
from msae.figures.maps import neighbourhoods
from msae.figures.repeated import dots, ratios
from msae.figures.scrubbed import scrub, scrub_lines
from msae.figures.style import COLORS, role
from msae.figures.trees import tree

__all__ = [  # noqa: RUF022  (as they are read)
    "heatmap", "heatmaps", "scrub", "dots", "bars", "lines", "scrub_lines", "histogram", "pairs", "compare", "ratios", "tree",
    "neighbourhoods", "role", "COLORS",
]  # fmt: skip
