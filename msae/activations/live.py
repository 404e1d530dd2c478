"""The stream of activations that is computed while it is read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from msae.activations.checks import check_language_model
from msae.activations.harvesting import Harvested, harvest_texts, plan
from msae.activations.massive import warn_of
from msae.activations.settings import BUFFER, HarvestSettings
from msae.activations.shuffling import Shuffled
from msae.lm.origin import added_hooks, model_origin
from msae.support import arguments
from msae.support.origin import Origin, check_origin
from msae.texts.given import Stories

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge

CHANGED = "the scale was measured before the change, make LiveActivations anew"


class LiveActivations:
    """The same stream as `Activations`, computed while it is read: memory holds `buffer` activations, however many there are.

    Every pass over the stories runs the model again. `batches(…, skip=n)` computes nothing of what it skips but the buffer it lands in.

    Args:
        lm: a model of `load_language_model`.
        stories: texts, or rows of token ids, as lists, arrays or a tensor. [BEGIN] and padding that rows carry already are left out.
        hook_name: one of `lm.hook_dict`, such as "blocks.3.hook_resid_pre".
        n_ctx: tokens in a row, [BEGIN] included.
        n_tokens: stop after this many activations; all of them if left out.
        batch_size: rows in one forward pass.
        dtype: how the buffer keeps activations; float16 halves the memory and keeps 11 bits.
        device: where the buffer lies and batches arrive; the model's own device if left out.
        skip_first: leave out position 0; a number leaves out so many positions, where more of them have vectors far too long.
        buffer: activations that are shuffled together in `batches`, and held at a time.
        scale_tokens: activations, of stories drawn at random, that the mean norm is measured on.

    Raises:
        ValueError: no such hook, a hook without one vector per token, impossible numbers, a story that is neither text nor token ids,
            or an activation that is NaN or infinite; and in `batches`, where the model was changed since.

    Example:
        >>> lm = msae.load_language_model("bundled")
        >>> stream = msae.LiveActivations(lm, ["Lily ran.", "Sue sat."], "blocks.2.hook_resid_pre", n_ctx=8)
        >>> next(stream.batches(4, seed=0)).shape
        torch.Size([4, 256])
    """

    hook_name: str
    """Where the activations are taken."""

    d_model: int
    """Length of one activation."""

    scale: float
    """`x * scale` has the mean norm sqrt(d_model), as measured on `scale_tokens` of them."""

    def __init__(
        self,
        lm: TransformerBridge,
        stories: Stories,
        hook_name: str,
        *,
        n_ctx: int = 128,
        n_tokens: int | None = None,
        batch_size: int = 32,
        dtype: torch.dtype = torch.float16,
        device: str | torch.device | None = None,
        skip_first: bool | int = True,
        buffer: int = BUFFER,
        scale_tokens: int = 2**17,
    ):
        check_language_model(lm)
        self._lm, self._hooks = lm, added_hooks(lm)
        self._settings = HarvestSettings(
            n_ctx=n_ctx,
            n_tokens=n_tokens,
            skip_first=skip_first,
            batch_size=batch_size,
            dtype=dtype,
            device=lm.cfg.device if device is None else device,
            buffer=buffer,
        )
        scale_tokens = arguments.whole("scale_tokens", scale_tokens, 1)
        self._texts, origins = plan(lm, stories, [hook_name], self._settings)
        self.hook_name, self._origin = hook_name, origins[hook_name]
        self.d_model = self._origin["d_model"]
        order = torch.from_numpy(np.random.default_rng(0).permutation(len(self._texts.tokens)))
        n_texts = int((self._texts.counts[order].cumsum(0) < scale_tokens).sum()) + 1
        measured = self._run(order[:n_texts].sort().values)
        self.scale = measured.scale
        warn_of(measured.massive, hook_name, lm.tokenizer, stacklevel=3)

    def __len__(self) -> int:
        return int(self._texts.counts.sum())

    def __repr__(self) -> str:
        return f"LiveActivations({self.hook_name!r}, {len(self._texts.tokens):,} texts, {len(self):,} tokens, d_model={self.d_model})"

    @property
    def origin(self) -> Origin:
        """What the batches are made from, as JSON values; but for the scale that of `Activations` of the same data."""
        return self._origin | {"scale": self.scale}

    def batches(self, batch_size: int, seed: int, skip: int = 0) -> Iterator[Tensor]:
        """The batches of `Activations.batches`: the same seed and buffer give the same, up to the rounding of `dtype` and of `scale`.

        Args:
            batch_size: rows in a batch. The few left over at the end of a pass are left out of that pass.
            seed: the same seed gives the same batches.
            skip: leave out this many batches at the start; of what is skipped only the buffer it ends in is computed.

        Yields:
            (batch_size, d_model) float32, multiplied by `scale`.

        Raises:
            ValueError: an impossible batch_size, seed or skip, or a model that was changed since.

        Example:
            >>> lm = msae.load_language_model("bundled")
            >>> stream = msae.LiveActivations(lm, ["Lily ran."], "blocks.2.hook_resid_pre", n_ctx=8)
            >>> next(stream.batches(2, seed=0)).shape
            torch.Size([2, 256])
        """

        def load(texts: np.ndarray) -> tuple[Tensor, np.ndarray]:
            self._check_hooks()
            x = self._run(torch.from_numpy(texts)).x
            return x, np.arange(len(x))

        self._check_hooks()
        check_origin({"language_model": self._origin["language_model"]}, model_origin(self._lm), "LiveActivations", CHANGED)
        return Shuffled(self._texts.counts.numpy(), self._origin["buffer"], self.scale, load).batches(batch_size, seed, skip)

    def _check_hooks(self) -> None:
        if added_hooks(self._lm) != self._hooks:
            raise ValueError(f"the hooks of the model are others than when LiveActivations was made: {CHANGED}")

    def _run(self, rows: Tensor) -> Harvested:
        (harvested,) = harvest_texts(self._lm, self._texts.pick(rows), {self.hook_name: self._origin}, self._settings).values()
        return harvested
