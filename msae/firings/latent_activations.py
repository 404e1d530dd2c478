"""Where each latent fires, and how strongly: kept sparse, since a latent is silent on almost every token."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from msae.support.arguments import all_finite, array, shown, whole

if TYPE_CHECKING:
    from msae.activations.kept import Activations
    from msae.sae.sae import SAE


WEIGHTS = ("W_enc", "b_enc", "W_dec", "b_dec", "threshold")


class TopToken(NamedTuple):
    """A token and what one latent does on it, over all the texts."""

    token: int
    """Token id."""

    n_firing: int
    """Places with this token where the latent fires."""

    n: int
    """Places with this token."""

    mean: float
    """Mean activation over the places where the latent fires."""

    max: float
    """Largest activation on this token."""


class LatentActivations:
    """The firings of some latents of one SAE on some texts.

    Made by `from_dense` or `from_sae`. Firings lie latent after latent; those of the k-th latent are `positions[start[k] : start[k + 1]]`
    and the same part of `values`.
    """

    latents: np.ndarray
    """(n_latents,) int64: the number of each latent in its SAE, ascending."""

    start: np.ndarray
    """(n_latents + 1,) int64."""

    positions: np.ndarray
    """(n_firings,) int64: text · n_ctx + place in the text, ascending within a latent."""

    values: np.ndarray
    """(n_firings,) float32, positive."""

    mask: np.ndarray
    """(n_texts, n_ctx) bool: the places that count; others are padding, or left out as [BEGIN] is."""

    def __init__(self, latents: np.ndarray, start: np.ndarray, positions: np.ndarray, values: np.ndarray, mask: np.ndarray):
        self.latents, self.start = (array(name, each, ("n",), numbers="whole") for name, each in (("latents", latents), ("start", start)))
        self.positions, self.values = array("positions", positions, ("n",), numbers="whole"), array("values", values, ("n",), finite=True)
        self.mask = array("mask", mask, ("n_texts", "n_ctx"), numbers="marks")
        n = len(self.positions)
        if self.start.shape != (len(self.latents) + 1,) or self.start[0] != 0 or self.start[-1] != n or (np.diff(self.start) < 0).any():
            raise ValueError(f"start must rise from 0 to the {n} positions, one step per latent, got {shown(self.start)}")
        if (np.diff(self.latents) <= 0).any():
            raise ValueError(f"latents must be numbers in ascending order, got {self.latents[:9].tolist()} …")
        if len(self.values) != n or (self.values <= 0).any():
            raise ValueError(f"values must be positive, one for each of the {n} positions, got {shown(self.values)}")
        if n and not 0 <= self.positions.min() <= self.positions.max() < self.mask.size:
            raise ValueError(f"positions must lie between 0 and {self.mask.size - 1}, got {self.positions.min()} to {self.positions.max()}")
        self._index = {int(latent): k for k, latent in enumerate(latents)}

    @classmethod
    def from_dense(cls, acts: Any, mask: Any = None) -> LatentActivations:
        """From all activations at once.

        Args:
            acts: (n_texts, n_ctx, n_latents) numbers, none negative; NumPy or torch.
            mask: (n_texts, n_ctx) bool, the places that count; all of them if left out. Activations elsewhere are ignored.

        Raises:
            ValueError: another shape, or an activation that is negative, NaN or infinite (its text, place and latent are given).
        """
        with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, and refused below
            dense = array("activations", acts).astype(np.float32, copy=False)
        if dense.ndim != 3 or not dense.shape[2]:
            raise ValueError(f"expected activations (n_texts, n_ctx, n_latents), got shape {dense.shape}; one text alone is acts[None]")
        mask = np.ones(dense.shape[:2], dtype=bool) if mask is None else array("mask", mask, numbers="marks")
        if mask.shape != dense.shape[:2]:
            raise ValueError(f"expected a mask of shape {dense.shape[:2]}, one entry per place of the activations, got {mask.shape}")
        wrong = ~np.isfinite(dense) | (dense < 0)
        if wrong.any():
            text, place, latent = (int(i) for i in np.argwhere(wrong)[0])
            raise ValueError(
                f"activations must be finite and not negative, got {dense[text, place, latent]} "
                f"at text {text}, place {place}, latent {latent}"
            )
        flat = np.where(mask.reshape(-1, 1), dense.reshape(-1, dense.shape[2]), 0)
        column, position = np.nonzero(flat.T)
        return cls._sorted(np.arange(dense.shape[2]), column, position, flat[position, column], mask)

    @classmethod
    def from_sae(cls, sae: SAE, activations: Activations, latents: Iterable[int] | None = None, chunk: int = 8192) -> LatentActivations:
        """By encoding a language model's activations, `chunk` tokens at a time.

        Args:
            sae: read at the hook that the activations come from.
            activations: has `x` (n_tokens, d_model) and `mask` (n_texts, n_ctx), as `msae.Activations`.
            latents: which latents to keep; all of them if left out.

        Raises:
            ValueError: the SAE reads another width or hook, there is no such latent, or a weight or an activation is NaN or infinite.
        """
        import torch

        for name in ("x", "mask", "hook_name"):
            if not hasattr(activations, name):
                raise ValueError(f"activations must be msae.Activations, with x, mask and hook_name, got {shown(activations)}")
        if not all(hasattr(sae, name) for name in ("encode", "d_model", "n_latents", "hook_name")):
            raise ValueError(f"sae must be an SAE, got {shown(sae)}")
        whole("chunk", chunk, 1)
        x, mask = activations.x, array("mask", activations.mask, ("n_texts", "n_ctx"), numbers="marks")
        if sae.d_model != x.shape[1]:
            raise ValueError(f"the SAE reads vectors of width {sae.d_model}, but these activations have width {x.shape[1]}")
        if sae.hook_name and activations.hook_name and sae.hook_name != activations.hook_name:
            raise ValueError(f"the SAE was trained at {sae.hook_name}, but these activations come from {activations.hook_name}")
        kept = np.arange(sae.n_latents) if latents is None else _numbers(latents)
        if len(kept) == 0 or kept[0] < 0 or kept[-1] >= sae.n_latents:
            raise ValueError(f"the SAE has the latents 0 … {sae.n_latents - 1}, got latents={kept.tolist()}")
        where = np.flatnonzero(mask)
        if len(where) != len(x):
            raise ValueError(f"activations.x has {len(x):,} rows, but activations.mask counts {len(where):,} places")
        check_weights("the SAE", sae)
        select = None if len(kept) == sae.n_latents else torch.from_numpy(kept).to(sae.W_enc.device)
        columns, rows, values = [], [], []
        with torch.no_grad():
            for begin in range(0, max(1, len(where)), chunk):
                part = x[begin : begin + chunk].to(sae.W_enc)
                all_finite("activations.x", part)
                acts = sae.encode(part)
                acts = (acts if select is None else acts[:, select]).float()
                row, column = acts.nonzero(as_tuple=True)
                fired = acts[row, column]
                if not fired.isfinite().all():
                    raise ValueError(f"an activation of the SAE is NaN or infinite in {part.dtype}: give the SAE in float32, sae.float()")
                columns.append(column.cpu().numpy())
                rows.append(row.cpu().numpy() + begin)
                values.append(fired.cpu().numpy())
        return cls._sorted(kept, np.concatenate(columns), where[np.concatenate(rows)], np.concatenate(values), mask)

    @classmethod
    def _sorted(
        cls, latents: np.ndarray, column: np.ndarray, position: np.ndarray, value: np.ndarray, mask: np.ndarray
    ) -> LatentActivations:
        order = np.argsort(column, kind="stable")
        start = np.concatenate([[0], np.cumsum(np.bincount(column, minlength=len(latents)))])
        return cls(
            latents.astype(np.int64), start.astype(np.int64), position[order].astype(np.int64), value[order].astype(np.float32), mask
        )

    def __repr__(self) -> str:
        return f"LatentActivations({len(self.latents):,} latents, {len(self.positions):,} firings on {self.n_tokens:,} tokens)"

    @property
    def n_tokens(self) -> int:
        """Places that count."""
        return int(self.mask.sum())

    @property
    def counts(self) -> np.ndarray:
        """(n_latents,) int64: firings of each latent."""
        return np.diff(self.start)

    @property
    def density(self) -> np.ndarray:
        """(n_latents,) float64: share of the tokens on which each latent fires."""
        return self.counts / max(1, self.n_tokens)

    @property
    def max(self) -> np.ndarray:
        """(n_latents,) float32: the largest activation of each latent; 0 for one that never fires."""
        out = np.zeros(len(self.latents), dtype=np.float32)
        alive = self.counts > 0
        if alive.any():
            out[alive] = np.maximum.reduceat(self.values, self.start[:-1][alive])
        return out

    @property
    def total(self) -> np.ndarray:
        """(n_latents,) float64: the sum of the activations of each latent."""
        sums = np.concatenate([[0.0], np.cumsum(self.values, dtype=np.float64)])
        return sums[self.start[1:]] - sums[self.start[:-1]]

    def row(self, latent: int) -> int:
        """Where a latent stands in `latents`.

        Raises:
            ValueError: there is none of this number.
        """
        number = whole("latent", latent)
        if number not in self._index:
            raise ValueError(
                f"there is no latent {latent} here; there are {len(self.latents)}, from {self.latents[0]} to {self.latents[-1]}"
            )
        return self._index[number]

    def of(self, latent: int) -> tuple[np.ndarray, np.ndarray]:
        """(positions, values) of one latent's firings."""
        k = self.row(latent)
        part = slice(self.start[k], self.start[k + 1])
        return self.positions[part], self.values[part]

    def dense(self, latent: int) -> np.ndarray:
        """(n_texts, n_ctx) float32: one latent on every place."""
        out = np.zeros(self.mask.size, dtype=np.float32)
        positions, values = self.of(latent)
        out[positions] = values
        return out.reshape(self.mask.shape)

    def occurrences(self, tokens: Any) -> np.ndarray:
        """(largest token id + 1,) int64: how often each token stands at a place that counts; tokens are (n_texts, n_ctx) ids."""
        flat = self._flat(tokens)
        return np.bincount(flat[self.mask.reshape(-1)], minlength=int(flat.max(initial=0)) + 1)

    def top_tokens(self, latent: int, tokens: Any, k: int = 10, occurring: np.ndarray | None = None) -> list[TopToken]:
        """The k tokens that carry most of a latent's activation, summed over the texts.

        Args:
            tokens: (n_texts, n_ctx) token ids. occurring: what `occurrences` says of them, where many latents are asked about.
        """
        flat, k = self._flat(tokens), whole("k", k, 1)
        positions, values = self.of(latent)
        ids, inverse = np.unique(flat[positions], return_inverse=True)
        total, count = np.bincount(inverse, weights=values), np.bincount(inverse)
        largest = np.zeros(len(ids), dtype=np.float32)
        np.maximum.at(largest, inverse, values)
        order = np.lexsort((ids, -total))[:k]
        occurring = self.occurrences(flat) if occurring is None else occurring
        return [TopToken(int(ids[i]), int(count[i]), int(occurring[ids[i]]), float(total[i] / count[i]), float(largest[i])) for i in order]

    def top_texts(self, latent: int, k: int = 10) -> list[tuple[int, int]]:
        """The k texts with the largest activations of a latent, as (text, place of its largest activation), strongest first."""
        whole("k", k, 1)
        positions, values = self.of(latent)
        order = np.lexsort((positions, -values))
        texts, places = np.divmod(positions[order], self.mask.shape[1])
        _, first = np.unique(texts, return_index=True)
        return [(int(texts[i]), int(places[i])) for i in np.sort(first)[:k]]

    def _flat(self, tokens: Any) -> np.ndarray:
        ids = array("tokens", tokens, numbers="whole")
        if ids.size != self.mask.size or ids.min(initial=0) < 0:
            raise ValueError(f"tokens must be ids of shape {self.mask.shape}, not negative, got {shown(ids)}")
        return ids.reshape(-1)


def check_weights(name: str, sae: Any) -> None:
    """Refuse a NaN or infinite weight."""
    import torch

    for part in WEIGHTS:
        if isinstance(weight := getattr(sae, part, None), torch.Tensor):
            all_finite(f"{part} of {name}", weight.detach())


def _numbers(latents: Any) -> np.ndarray:
    """(n,) int64, ascending."""
    try:
        listed = list(latents)
    except TypeError as error:
        raise ValueError(f"latents must be a list of numbers, got {shown(latents)}") from error
    return np.unique(array("latents", listed, ("n",), numbers="whole")).astype(np.int64) if listed else np.zeros(0, np.int64)
