"""These SAEs on these stories: the best latent for a concept, its like in another SAE, its strongest tokens, children and holes."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from msae.firings.firings import Firings
from msae.firings.reading import CLEARLY, checked_sae, truth
from msae.firings.sources import check_fits
from msae.latents.answers import Best, LookAlike
from msae.latents.lazily import FiringsOf
from msae.latents.names import check_latent, check_sae, some_of
from msae.latents.relations import Edge, best_parents, children, latent_tree
from msae.support.arguments import shown
from msae.support.letters import as_token

if TYPE_CHECKING:
    from numpy.typing import ArrayLike
    from transformer_lens.model_bridge import TransformerBridge

    from msae.activations.kept import Activations
    from msae.metrics.concepts import ConceptScore
    from msae.metrics.hole_rates import HoleRate
    from msae.sae.sae import SAE
    from msae.texts.given import Stories


class Latents:
    """SAEs on the activations of some stories, where each latent has a name: "S/2/66" is latent 66 of the SAE "S/2".

    What takes a concept takes a mask (n_texts, n_ctx), a token pattern such as "she|her|Lily", or the name of a latent: the tokens on
    which it fires. Where latents fire is computed once for each SAE, when it is first asked for.

    Args:
        saes: name → SAE, all read at the hook of the activations; from small to large, so that they have a tree.
        activations: of the stories, as `msae.Activations`.

    Raises:
        ValueError: saes that are no SAEs, or of another hook or width than the activations.

    Example:
        >>> import torch, types
        >>> from msae import SAE, Latents
        >>> sae = SAE(2, 2)
        >>> sae.load_state_dict({"W_enc": torch.eye(2), "b_enc": torch.zeros(2), "W_dec": torch.eye(2), "b_dec": torch.zeros(2)})
        <All keys matched successfully>
        >>> x, tokens = torch.tensor([[1.0, 0], [0, 2], [3, 0]]), torch.tensor([[0, 1, 0]])
        >>> read = dict(x=x, tokens=tokens, mask=tokens >= 0, story=torch.zeros(1), str_tokens=["she", "he"], hook_name=None)
        >>> latents = Latents({"S": sae}, types.SimpleNamespace(**read))
        >>> best = latents.best("she", "S")
        >>> best.latent, best.score.precision.value, latents.strongest(best.latent)
        ('S/0', 1.0, 'she')
    """

    def __init__(self, saes: Mapping[str, SAE], activations: Activations):
        _check_names(saes)
        for name in ("x", "mask", "hook_name", "tokens", "str_tokens", "story"):
            if not hasattr(activations, name):
                raise ValueError(f"activations must be msae.Activations, got {shown(activations)}")
        for name, sae in saes.items():
            check_fits(checked_sae(sae, f"saes[{name!r}]"), activations, f"saes[{name!r}]")
        self.saes, self.activations = dict(saes), activations
        self.acts = FiringsOf(self.saes, activations, {})

    @classmethod
    def on(cls, saes: Mapping[str, SAE], lm: TransformerBridge, stories: Stories, *, progress: bool = False) -> Latents:
        """SAEs on stories that a language model reads now, at the SAEs' own hook.

        Args:
            saes: name → SAE, all of one hook; from small to large.
            lm: a model of `load_language_model`.
            stories: texts, or rows of token ids, as for `Activations`.
            progress: show a progress bar.

        Raises:
            ValueError: SAEs of several hooks, or that do not say theirs; else as `Latents` and `Activations`.
        """
        from msae.activations.kept import Activations

        _check_names(saes)
        hooks = sorted({str(checked_sae(sae, f"saes[{name!r}]").hook_name) for name, sae in saes.items()})
        if len(hooks) != 1 or hooks == ["None"]:
            raise ValueError(f"saes must be SAEs of one hook, which each says, got {shown(saes)} of the hooks {hooks}")
        return cls(saes, Activations(lm, stories, hooks[0], progress=progress))

    def only(self, *names: str) -> Latents:
        """The SAEs of these `names`, in this order; what is computed already is shared."""
        other = copy.copy(self)
        other.saes = {check_sae(name, self._sizes): self.saes[name] for name in names}
        if not other.saes:
            raise ValueError(f"names must name some of {some_of(self.saes)}, got none")
        other.acts = FiringsOf(other.saes, self.activations, self.acts.firings)
        for kept in ("edges", "parents"):
            other.__dict__.pop(kept, None)
        return other

    @property
    def tokens(self) -> np.ndarray:
        """(n_texts, n_ctx) int64: the texts as token ids."""
        return np.asarray(self.activations.tokens)

    @property
    def mask(self) -> np.ndarray:
        """(n_texts, n_ctx) bool: the tokens that count."""
        return np.asarray(self.activations.mask)

    @property
    def story(self) -> np.ndarray:
        """(n_texts,): which story each text belongs to."""
        return np.asarray(self.activations.story)

    @property
    def vocabulary(self) -> list[str]:
        """The text of each token id."""
        return self.activations.str_tokens

    def concept(self, concept: str | ArrayLike) -> np.ndarray:
        """(n_texts, n_ctx) bool: the tokens that count of a concept.

        Args:
            concept: a mask, a token pattern, or the name of a latent: the tokens on which it fires.

        Raises:
            ValueError: a mask of another shape; a pattern that cannot be read (`patterns.PatternError`).
        """
        from msae.patterns.errors import PatternError
        from msae.patterns.matching import match

        if not isinstance(concept, str):
            return truth("concept", concept, [self.mask.shape]) & self.mask
        name, _, number = concept.rpartition("/")
        if name in self.saes and number.isdecimal():
            return self.dense(concept) > 0
        try:
            return match(concept, self.tokens, self.vocabulary, acts=self.acts, mask=self.mask)
        except PatternError:
            if re.fullmatch(r"[^\s/]+(/[^\s/]+)*/\d+", concept):  # no pattern, and written as a latent is: of an SAE that is not here
                self.split(concept)
            raise

    def _present(self, concept: str | ArrayLike) -> np.ndarray:
        from msae.patterns.absent import nowhere

        mask = self.concept(concept)
        if isinstance(concept, str) and not mask.any() and concept.rpartition("/")[0] not in self.saes:
            raise ValueError(nowhere(concept, self.vocabulary, int(self.mask.sum())))
        return mask

    def dense(self, latent: str) -> np.ndarray:
        """(n_texts, n_ctx) float32: one latent on every place; 0 where it is silent, and where nothing counts.

        Args:
            latent: "name/number".

        Raises:
            ValueError: there is none; the nearest is named.
        """
        acts, number = self._at(latent)
        return acts.dense(number)

    def strongest(self, latent: str, k: int = 5) -> str:
        """The tokens that carry most of a latent's activation, strongest first, between spaces; "↵" for white space.

        Args:
            latent: "name/number".
            k: how many.

        Raises:
            ValueError: there is none; the nearest is named.
        """
        acts, number = self._at(latent)
        top = acts.top_tokens(number, self.tokens, k)
        return " ".join(as_token(self.vocabulary[each.token]).strip() or "↵" for each in top)

    def best(self, concept: str | ArrayLike, sae: str, *, level: float = CLEARLY) -> Best:
        """The latent with the largest F1 for a concept.

        Args:
            concept: a mask, a pattern or a latent.
            sae: the name of the SAE whose latents are asked.
            level: share of its largest activation from which a latent counts as firing.

        Raises:
            ValueError: no such SAE, a concept that is nowhere, or a level outside [0, 1).
        """
        from msae.metrics.concepts import concept_scores

        acts = self.acts[check_sae(sae, self._sizes)]
        mask = self._present(concept)
        latent = f"{sae}/{concept_scores(acts, mask, level=level).best}"
        return Best(latent, self.score(latent, mask, level=level))

    def score(self, latent: str, concept: str | ArrayLike, *, level: float = CLEARLY) -> ConceptScore:
        """Recall, precision and F1 of a latent for a concept, with intervals over stories.

        Args:
            latent: "name/number".
            concept: a mask, a pattern or a latent.
            level: share of its largest activation from which the latent counts as firing.

        Raises:
            ValueError: no such latent, a concept that is nowhere, or a level outside [0, 1).
        """
        from msae.metrics.concepts import concept_score

        return concept_score(*self._at(latent), self._present(concept), story=self.story, level=level)

    def holes(self, latent: str, concept: str | ArrayLike, *, parts: Mapping[str, ArrayLike] | None = None, level: float = 0.0) -> HoleRate:
        """Where a latent is silent although a concept is there, or another latent fires; and which latents of its SAE fill these holes.

        Args:
            latent: "name/number".
            concept: a mask, a pattern or a latent, such as its parent.
            parts: a mask for each part of the concept.
            level: share of its largest activation from which a latent counts as firing.

        Raises:
            ValueError: as `score`; or a part without any of the concept's tokens.
        """
        from msae.metrics.hole_rates import hole_rate

        return hole_rate(*self._at(latent), self._present(concept), parts=parts, story=self.story, level=level)

    def look_alike(self, latent: str, sae: str, *, n_resamples: int = 1000) -> LookAlike:
        """The latent of another SAE whose activations correlate most with those of a latent.

        Args:
            latent: "name/number".
            sae: the name of the other SAE.
            n_resamples: how often stories are drawn anew for the interval.

        Raises:
            ValueError: no such latent or SAE, or a latent that is silent on these stories.
        """
        from msae.metrics.correlation import mean_max_correlation

        acts, number = self._at(latent)
        others = self.acts[check_sae(sae, self._sizes)]
        alone = acts.take([acts.column(number)])
        like = mean_max_correlation(alone, others, story=self.story, n_resamples=n_resamples)
        if like.latents[0] < 0:
            raise ValueError(f"latent: {latent} never fires on these stories, so nothing is like it: give more stories")
        return LookAlike(f"{sae}/{like.latents[0]}", like.interval(0))

    @cached_property
    def edges(self) -> list[Edge]:
        """Of `latent_tree`: each latent below its parents in the SAE before, the best parent first."""
        return latent_tree(self.acts)

    @cached_property
    def parents(self) -> dict[str, Edge]:
        """child → the edge from its best parent."""
        return best_parents(self.edges)

    def children(self, latent: str) -> list[str]:
        """The latents whose best parent this is, the best score first.

        Args:
            latent: "name/number".

        Raises:
            ValueError: there is none; the nearest is named.
        """
        name, number = self.split(latent)
        return children(f"{name}/{number}", self.parents)  # "S/2/066" is latent 66 too

    def split(self, latent: str) -> tuple[str, int]:
        """("S/2", 66) of "S/2/66": its SAE, and its number there.

        Args:
            latent: "name/number".

        Raises:
            ValueError: there is none; the nearest is named.
        """
        return check_latent(latent, self._sizes)

    @property
    def _sizes(self) -> dict[str, int]:
        """Name → number of latents."""
        return {name: sae.n_latents for name, sae in self.saes.items()}

    def _at(self, latent: str) -> tuple[Firings, int]:
        name, number = self.split(latent)
        return self.acts[name], number


def _check_names(saes: object) -> None:
    if not isinstance(saes, Mapping) or not saes or not all(isinstance(name, str) for name in saes):
        raise ValueError(f'saes must be {{"name": SAE}}, as of load_saes, got {shown(saes)}; one SAE is {{"S": sae}}')
