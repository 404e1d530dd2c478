"""What latents do on a text that is typed into the live explorer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from msae.firings.firings import Firings
from msae.latents.names import split_id
from msae.support.letters import join

if TYPE_CHECKING:
    from msae.activations.kept import Activations


def on_text(text: str, model: Any, saes: Mapping[str, Any], ids: list[str]) -> dict[str, Any]:
    """What latents do on a text that was typed just now.

    Args:
        text: what was typed.
        model: the language model that reads it.
        saes: name → SAE.
        ids: the latents, "name/number", none of them twice.

    Returns:
        "text"; "tokens", their texts; "parts", [place, part, of, text] of each that is part of a letter; "firings": index in ids →
        [places, activations], silent latents left out.
    """
    from msae.activations.kept import Activations

    kept: dict[str, list[tuple[int, int]]] = {}
    for k, (name, number) in enumerate(map(split_id, ids)):
        kept.setdefault(name, []).append((k, number))
    firings: dict[str, Any] = {}
    words: list[str] = []
    parts: list[tuple[int, int, int, str]] = []
    hooks: dict[str, Activations] = {}
    for name, latents in kept.items():
        hook = saes[name].hook_name
        if hook is None:
            raise ValueError(f"saes[{name!r}] does not say which hook it reads: set its hook_name")
        if hook not in hooks:
            hooks[hook] = Activations(model, [text], hook_name=hook, n_ctx=model.cfg.n_ctx, progress=False)
        read = hooks[hook]
        acts = Firings.of_sae(saes[name], read, latents=[number for _, number in latents])
        counted = np.flatnonzero(acts.mask.ravel())
        if not words:
            start = np.concatenate([[0], np.cumsum(acts.mask.sum(1))])
            numbers, letters = join(read.tokens.numpy().ravel()[counted], start, read.str_tokens)
            n_vocab = len(read.str_tokens)
            words = [read.str_tokens[i] if i < n_vocab else letters[i - n_vocab].shown for i in numbers.tolist()]
            pieces = [(k, letters[i - n_vocab]) for k, i in enumerate(numbers.tolist()) if i >= n_vocab]
            parts = [(k, piece.part, piece.n_parts, piece.text) for k, piece in pieces]
        for k, number in latents:
            positions, values = acts.of(number)
            if len(positions):
                firings[str(k)] = [np.searchsorted(counted, positions).tolist(), [round(float(v), 4) for v in values]]
    return {"text": text, "tokens": words, "parts": parts, "firings": firings}
