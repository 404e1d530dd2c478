"""In: a token pattern such as `["Lily" | "Sue"]` and texts. Out: which tokens it marks, and which latents fire there.

Names resolve on first use: to search takes lark and regex, which who only ranks latents need not load.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from msae.patterns.absent import no_token as no_token
    from msae.patterns.corpus import Corpus as Corpus
    from msae.patterns.errors import PatternError as PatternError
    from msae.patterns.examples import EXAMPLES as EXAMPLES
    from msae.patterns.examples import hole_examples as hole_examples
    from msae.patterns.matching import MAX_TESTS as MAX_TESTS
    from msae.patterns.matching import match as match
    from msae.patterns.ranking import LEVELS as LEVELS
    from msae.patterns.ranking import THRESHOLDS as THRESHOLDS
    from msae.patterns.ranking import LatentScore as LatentScore
    from msae.patterns.ranking import rank_latents as rank_latents
    from msae.patterns.reading import parse as parse

_HOMES = {
    "absent": ["no_token"],
    "corpus": ["Corpus"],
    "errors": ["PatternError"],
    "examples": ["EXAMPLES", "hole_examples"],
    "matching": ["MAX_TESTS", "match"],
    "ranking": ["LEVELS", "THRESHOLDS", "LatentScore", "rank_latents"],
    "reading": ["parse"],
}
_PLACE_OF = {name: module for module, names in _HOMES.items() for name in names}
__all__ = [*_PLACE_OF]


def __getattr__(name: str) -> Any:
    if name in _PLACE_OF:
        value = getattr(import_module(f"msae.patterns.{_PLACE_OF[name]}"), name)
    elif name in _HOMES:
        value = import_module(f"msae.patterns.{name}")
    else:
        raise AttributeError(f"module 'msae.patterns' has no attribute {name!r}")
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
