"""Token patterns for stories in simple English: what the book explains, and what the explorer offers to try."""

import re

from msae.support.arguments import shown, text

EXAMPLES = {
    "female names": "let female = Lily|Sue|Mia|Anna|Lucy; $female",
    "words in quotes": "[quoted & alpha]",
    "the first word that somebody says": '/ ?"/ @[cap]',
    "she, soon after a female name": "let female = Lily|Sue|Mia; $female [!newline]{0,8} @(she|her)",
    "number words": "[/ ?(one|two|three|four|five|six|seven|eight|nine|ten)/i]",
    "the last mark of a paragraph": '@[punct] "\\n"',
    "time, after Once upon a": '"Once upon a time"',
    "what stands before an animal": "a @[space & alpha] (dog|cat|bird|fish|duck)",
    "being addressed by name": '"," @[space & cap] /[.!?]"?/',
    "a capital word that was here before": "[cap & seen & !first]",
}
"""Name → pattern."""


def hole_examples(parent: str, child: str) -> dict[str, str]:
    """Patterns for the holes of one latent in another.

    Args:
        parent: "name/number" of the latent that fires.
        child: of the one that is silent there, below it in a tree or its look-alike.

    Returns:
        what each pattern looks for → the pattern.

    Raises:
        ValueError: what names no latent.

    Example:
        >>> from msae.patterns import hole_examples
        >>> hole_examples("S/2/66", "S/4/7")["holes of S/4/7 in S/2/66"]
        '[S/2/66 & !S/4/7]'
    """
    for name, latent in (("parent", parent), ("child", child)):
        if not re.fullmatch(r".+/[0-9]+", text(name, latent)):
            raise ValueError(f"{name} must be a latent as S/7, got {shown(latent)}")
    return {
        f"holes of {child} in {parent}": f"[{parent} & !{child}]",
        f"those where {parent} fires clearly": f"[{parent} >= 25% & !{child}]",
    }
