"""What a search on the page counts with. The manifest says it, so that the front end has no numbers of its own."""

from __future__ import annotations

from typing import Any

MIN_PRECISION = 0.8
"""Of the latents that together catch a pattern. More than `metrics.fragmentation` asks for: each is taken at its own best level."""

SHARE = 0.9
"""Of the pattern that they have to catch."""

CONFIDENCE = 0.9
"""Of the intervals."""


def search_terms() -> dict[str, Any]:
    """The entry "search" of a manifest."""
    from msae.patterns.matching import MAX_TESTS  # loads lark, which nothing else here needs
    from msae.patterns.ranking import LEVELS

    return {"max_tests": MAX_TESTS, "levels": list(LEVELS), "min_precision": MIN_PRECISION, "share": SHARE, "confidence": CONFIDENCE}
