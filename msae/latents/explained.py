"""What a latent stands for, in a line that a person can read and a program can test: a token pattern, searched for and then measured."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from msae.firings.firings import Firings, as_firings
from msae.firings.reading import CLEARLY, check_level, latent_number, truth
from msae.latents.proposed import Pattern, Proposals, forms
from msae.support.arguments import array, shown

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from torch import Tensor


N_CONTEXTS, AROUND = 12, 12
"""Contexts that an explainer is shown, and tokens on each side of a firing."""

Explainer = Callable[[list[str]], str]
"""From contexts, the firing tokens between « and », to a token pattern."""


class Explanation(NamedTuple):
    """A token pattern for one latent, and how good it is on texts that the search has not seen.

    Example:
        >>> from msae.latents import Explanation
        >>> scores = dict(f1=0.8, precision=0.9, recall=0.72, searched_f1=0.82, detection=0.9, fuzzing=0.95, n_firing=50)
        >>> Explanation(66, "she | her", **scores).pattern
        'she | her'
    """

    latent: int
    """Its number in the SAE."""

    pattern: str
    """In the language of `patterns.match`."""

    f1: float
    """Harmonic mean of precision and recall on the measured texts; NaN where the latent does not fire there."""

    precision: float
    """Share of the marked tokens on which the latent fires; NaN where none is marked."""

    recall: float
    """Share of the latent's firings that are marked."""

    searched_f1: float
    """F1 on the texts that were searched: it flatters."""

    detection: float
    """`metrics.detection` on the measured texts."""

    fuzzing: float
    """`metrics.fuzzing` on the measured texts."""

    n_firing: int
    """Tokens of the measured texts on which the latent fires."""


def explain(
    acts: Firings | Tensor | ArrayLike,
    tokens: Tensor | ArrayLike,
    str_tokens: Sequence[str | bytes],
    *,
    latents: Iterable[int],
    measured: Tensor | ArrayLike,
    level: float = CLEARLY,
    explainer: Explainer | None = None,
) -> list[Explanation]:
    """A token pattern for each of some latents: where it fires, as far as a pattern can say it.

    Patterns of some eighty forms are fitted: up to sixteen tokens or words; such after others, one or two tokens before; in quotes or
    outside; seen in this text before or not. Each form gets its best tokens on two thirds of the searched texts. The form that is best on
    the last third is fitted again on all of them, and what comes out is measured on texts that no search has seen. With 100,000 tokens a
    latent takes 20 to 50 ms.

    Args:
        acts: (n_texts, n_ctx, n_latents), or Firings on these texts.
        tokens: (n_texts, n_ctx) token ids.
        str_tokens: the text of each id.
        latents: numbers of the latents to explain.
        measured: (n_texts,) bool: the texts that are held out. The others are searched; keep the texts of a story on one side.
        level: share of a latent's maximum on all texts above which it counts as firing, in [0, 1).
        explainer: who writes the pattern instead of the search: takes contexts of the searched texts, the strongest first, firing tokens
            between « and »; returns a pattern. A language model of your own, for example.

    Returns:
        an explanation for each latent, in their order.

    Raises:
        ValueError: shapes that do not fit each other, no text on one of the sides, a latent that is not there or fires on none of the
            searched texts, or an explainer that returns no pattern.

    Example:
        >>> import numpy as np
        >>> from msae.latents import explain
        >>> tokens = np.tile([0, 1, 2, 1], (12, 1))
        >>> fires = (tokens == 1)[..., None] * 1.0  # (12 texts, 4 tokens, 1 latent)
        >>> (found,) = explain(fires, tokens, ["Once", " she", " sat"], latents=[0], measured=np.arange(12) >= 8)
        >>> found.pattern, found.f1
        ('she', 1.0)

    Source: the scores are those of Paulo, Mallen, Juang and Belrose 2024, with a pattern where they ask a language model.
    """
    firings = as_firings(acts)
    share = float(check_level(level, shapes=[()]))
    ids, held_out = _texts(firings, tokens, measured)
    if explainer is not None and not callable(explainer):
        raise ValueError(f"explainer must be a function from contexts to a pattern, got {shown(explainer)}")
    search = _Search(held_out, str_tokens, ids, firings.mask)
    found = []
    for number in _latents(latents, firings):
        fires = firings.where(number, share)
        if not (fires.reshape(ids.shape) & ~held_out[:, None]).any():
            raise ValueError(f"latents: latent {number} fires on none of the searched texts: take one that fires, or more texts")
        pattern, marks = search.found(fires) if explainer is None else search.asked(explainer, firings, number, fires)
        found.append(search.measured(number, pattern, fires.reshape(ids.shape), marks))
    return found


class _Search:
    """Texts that are searched, chosen on and measured."""

    def __init__(self, held_out: np.ndarray, str_tokens: Sequence[str | bytes], ids: np.ndarray, mask: np.ndarray | None):
        from msae.patterns.corpus import Corpus

        self.corpus = corpus = Corpus(ids, str_tokens, mask=mask)
        self.held_out, self.str_tokens, self.ids = held_out, str_tokens, ids
        self.proposals = Proposals(corpus)
        searched = np.flatnonzero(~held_out)
        fitting = np.zeros(len(held_out), dtype=bool)
        fitting[searched[: -(-2 * len(searched) // 3)]] = True
        text = corpus.text_of
        self.fitting = 0, np.flatnonzero(fitting[text])
        self.choosing = np.flatnonzero(~fitting[text] & ~held_out[text])
        self.searched = 1, np.flatnonzero(~held_out[text])

    def found(self, fires_at: np.ndarray) -> tuple[str, np.ndarray]:
        """The best pattern, and (n_texts, n_ctx) bool what it marks."""
        fires = fires_at[self.corpus.where]
        judged = fires[self.choosing]
        best: tuple[float, int] | None = None
        chosen: Pattern | None = None
        for form in forms():
            pattern = self.proposals.fit(form, fires, self.fitting)
            if pattern is None:
                continue
            score = _f1(judged, self.proposals.marks(pattern, self.choosing))
            if best is None or (score, -pattern.n_tokens) > best:
                best, chosen = (score, -pattern.n_tokens), pattern
        again = None if chosen is None else self.proposals.fit(chosen.form, fires, self.searched)
        if again is None:  # it fires only on the last third: the plainest form there is
            again = next(p for form in forms() if (p := self.proposals.fit(form, fires, self.searched)))
        marks = np.zeros(self.ids.size, dtype=bool)
        marks[self.corpus.where] = self.proposals.marks(again)
        return self.proposals.text(again), marks.reshape(self.ids.shape)

    def asked(self, explainer: Explainer, firings: Firings, latent: int, fires: np.ndarray) -> tuple[str, np.ndarray]:
        """What an explainer answers, and what that marks."""
        from msae.patterns.errors import PatternError
        from msae.patterns.matching import match

        pattern = explainer(self._contexts(firings, latent, fires))
        if not isinstance(pattern, str):
            raise ValueError(f"explainer must return a token pattern, as text; for latent {latent} it returned {shown(pattern)}")
        try:
            return pattern, match(pattern, self.ids, self.str_tokens, mask=firings.mask)
        except PatternError as error:
            raise ValueError(f"explainer: what it returned for latent {latent} is no token pattern: {error}") from error

    def _contexts(self, firings: Firings, latent: int, fires: np.ndarray) -> list[str]:
        n_ctx = self.ids.shape[1]
        positions, values = firings.of(latent)
        positions = positions[np.argsort(-values, kind="stable")]
        text_of = positions // n_ctx
        positions = positions[~self.held_out[text_of] & fires[positions]]
        first = np.sort(np.unique(positions // n_ctx, return_index=True)[1])  # one context a text, at its strongest firing
        corpus, out = self.corpus, []
        for position in positions[first][:N_CONTEXTS].tolist():
            middle = int(np.searchsorted(corpus.where, position))
            middle = min(middle, len(corpus.where) - 1)
            text = corpus.text_of[middle]
            low, high = max(corpus.start[text], middle - AROUND), min(corpus.start[text + 1], middle + AROUND + 1)
            pieces = [corpus.texts[corpus.tokens[i]] for i in range(low, high)]
            out.append("".join(f"«{piece}»" if fires[corpus.where[i]] else piece for i, piece in zip(range(low, high), pieces)))
        return out

    def measured(self, latent: int, pattern: str, fires: np.ndarray, marks: np.ndarray) -> Explanation:
        from msae.metrics.contexts import detection, fuzzing  # loads torch

        a, b = fires[self.held_out], marks[self.held_out]
        both, n_fires, n_marks = (int(each.sum()) for each in (a & b, a, b))
        mask = np.zeros(self.ids.size, dtype=bool)
        mask[self.corpus.where] = True
        counts = mask.reshape(self.ids.shape)[self.held_out]
        return Explanation(
            latent,
            pattern,
            f1=2 * both / (n_fires + n_marks) if n_fires else np.nan,
            precision=both / n_marks if n_marks else np.nan,
            recall=both / n_fires if n_fires else np.nan,
            searched_f1=_f1(fires[~self.held_out], marks[~self.held_out]),
            detection=detection(a, b, mask=counts),
            fuzzing=fuzzing(a, b, mask=counts),
            n_firing=n_fires,
        )


def _f1(fires: np.ndarray, marks: np.ndarray) -> float:
    total = int(fires.sum()) + int(marks.sum())
    return 2 * int((fires & marks).sum()) / total if total else 0.0


def _texts(firings: Firings, tokens: Tensor | ArrayLike, measured: Tensor | ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Token ids, and which texts are held out."""
    ids = array("tokens", tokens, ("n_texts", "n_ctx"))
    if firings.places != ids.shape:
        raise ValueError(f"tokens: expected ids of shape {firings.places}, as acts, got {ids.shape}")
    held_out = truth("measured", measured, [ids.shape[:1]], "text")
    if held_out.all() or not held_out.any():
        raise ValueError(f"measured must leave texts on both sides, got {int(held_out.sum())} of {len(held_out)} measured")
    return ids, held_out


def _latents(latents: Iterable[int], firings: Firings) -> list[int]:
    if isinstance(latents, str) or not isinstance(latents, Iterable):
        raise ValueError(f"latents must be a list of numbers, got {shown(latents)}")
    numbers = [latent_number(each, "latents") for each in latents]
    for number in numbers:
        firings.column(number)  # raises where it is not there
    return numbers
