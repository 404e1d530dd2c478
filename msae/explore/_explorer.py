"""The explorer object: data for the browser, the self-contained HTML around it, and the live widget."""

from __future__ import annotations

import base64
import copy
import hashlib
import html
import json
import os
import re
import warnings
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from msae.explore._activations import LatentActivations, _numpy

SCHEMA = "msae-explorer/1"
MAX_LATENTS = 300
WARN_BYTES, REFUSE_BYTES = 1_500_000, 5_000_000

HOST = """\
<style>html[data-theme] .bd-content div.cell_output .text_html:has(> .msae-explorer) {{ background: transparent; color: inherit; }}</style>
<div class="msae-explorer" data-msae="{id}">
{fallback}
<script type="application/json">{data}</script>
</div>
<script type="module">
{module}
for (const host of document.querySelectorAll('[data-msae="{id}"]:not([data-ready])')) mount(host, {latent});
</script>
"""

PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>{title}</title>
<style>body {{ margin: 16px; background: Canvas; color: CanvasText; }} h1 {{ font: 600 20px system-ui, sans-serif; }}</style>
</head>
<body>
<main>
<h1>{title}</h1>
{body}
</main>
</body>
</html>
"""


class Explorer:
    """Latents to choose from, and for each its strongest tokens and texts, coloured by activation; hover or focus reads a token.

    Shown in a notebook or a built book it needs no kernel and no network: the page holds the data. Of each latent it holds the numbers
    over all the texts, the ten tokens that carry most of its activation, and windows around the largest activation of its strongest
    texts (`n_examples` windows of `window` tokens). With the defaults that is about 1.3 kB a latent, 400 kB for 300.

    Args:
        acts: name → where the latents of that SAE fire. A latent is called "name/number".
        tokens: (n_texts, n_ctx) token ids. str_tokens: the text of each id.
        labels: "name/number", or the number alone when there is one SAE → a name for the latent.
        latents: which to show; if left out all of them, or the 300 with the largest summed activation where there are more. Those
            with a label are always shown.
        n_examples: texts for each latent. window: tokens of each that are shown.

    Raises:
        ValueError: shapes that do not fit each other, a token id without text, or a latent that is not there.
    """

    def __init__(
        self,
        acts: Mapping[str, LatentActivations],
        tokens: Any,
        str_tokens: Sequence[str],
        labels: Mapping[Any, str] | None = None,
        *,
        latents: Iterable[Any] | None = None,
        n_examples: int = 10,
        window: int = 40,
    ):
        if not isinstance(acts, Mapping) or not acts:
            raise ValueError(f'expected {{"name": LatentActivations}}, got {type(acts).__name__}; for one SAE that is {{"S": acts}}')
        tokens = _numpy(tokens)
        if tokens.ndim != 2 or tokens.dtype.kind not in "iu":
            raise ValueError(f"tokens must be whole numbers (n_texts, n_ctx), got shape {tokens.shape} of {tokens.dtype}")
        for name, each in acts.items():
            if not isinstance(each, LatentActivations):
                raise ValueError(f"acts[{name!r}] is a {type(each).__name__}: make it by LatentActivations.from_dense or from_sae")
            if each.mask.shape != tokens.shape:
                raise ValueError(f"acts[{name!r}] is of texts of shape {each.mask.shape}, but tokens have shape {tokens.shape}")
        if tokens.size and not 0 <= int(tokens.min()) <= int(tokens.max()) < len(str_tokens):
            raise ValueError(
                f"token ids run from {tokens.min()} to {tokens.max()}, but str_tokens has the texts of 0 … {len(str_tokens) - 1}"
            )
        if n_examples < 1 or window < 1:
            raise ValueError(f"n_examples and window must be at least 1, got {n_examples} and {window}")
        self.acts, self.tokens, self.str_tokens = dict(acts), tokens, list(str_tokens)
        self.n_examples, self.window = n_examples, window
        self.labels = {self.id_of(key): str(label) for key, label in (labels or {}).items()}
        self._asked = None if latents is None else [self.id_of(latent) for latent in latents]
        self._open: str | None = None

    def id_of(self, latent: Any) -> str:
        """ "S/7" of "S/7", or of 7 when there is one SAE.

        Raises:
            ValueError: there is no such latent.
        """
        name, _, number = str(latent).rpartition("/")
        if not name and len(self.acts) == 1:
            name = next(iter(self.acts))
        if name not in self.acts or not number.isdecimal():
            raise ValueError(f"there is no latent {latent!r}; write it as {next(iter(self.acts))}/7, of the SAEs {', '.join(self.acts)}")
        self.acts[name].row(int(number))
        return f"{name}/{int(number)}"

    def latent(self, latent: Any) -> Explorer:
        """The same explorer, opened at this latent."""
        other = copy.copy(self)
        other._open = self.id_of(latent)
        if other._ids != self._ids:
            other.__dict__.pop("data", None)
        return other

    @cached_property
    def shown(self) -> list[str]:
        """The ids of the latents that are in the page, in order."""
        everything = [(name, k) for name, acts in self.acts.items() for k in range(len(acts.latents))]
        if self._asked is not None:
            chosen = set(self._asked)
        elif len(everything) <= MAX_LATENTS:
            chosen = {f"{name}/{self.acts[name].latents[k]}" for name, k in everything}
        else:
            total = np.concatenate([acts.total for acts in self.acts.values()])
            chosen = {
                f"{everything[i][0]}/{self.acts[everything[i][0]].latents[everything[i][1]]}" for i in np.argsort(-total)[:MAX_LATENTS]
            }
        chosen |= set(self.labels)
        ids = [f"{name}/{self.acts[name].latents[k]}" for name, k in everything]
        return [i for i in ids if i in chosen]

    @property
    def _ids(self) -> list[str]:
        # the opened latent is always in the page, at its place in the order
        if self._open is None or self._open in self.shown:
            return self.shown
        order = list(self.acts)
        return sorted([*self.shown, self._open], key=lambda i: (order.index(i.rpartition("/")[0]), int(i.rpartition("/")[2])))

    @property
    def open(self) -> str:
        """The id of the latent that the page opens with: the one asked for, else the first with a label, else the first that fires."""
        if self._open:
            return self._open
        if self.labels:
            return next(i for i in self.shown if i in self.labels)
        firing = (i for i in self.shown if self._part(i)[0].counts[self._part(i)[1]])
        return next(firing, self.shown[0])

    def _part(self, latent_id: str) -> tuple[LatentActivations, int]:
        name, _, number = latent_id.rpartition("/")
        acts = self.acts[name]
        return acts, acts.row(int(number))

    @cached_property
    def data(self) -> dict[str, Any]:
        """What the browser gets; JSON values. Its form is `msae-explorer/1`, described in static/explorer.mjs."""
        kinds: dict[int, int] = {}

        def small(token: int) -> int:
            return kinds.setdefault(token, len(kinds))

        table: dict[str, list] = {key: [] for key in ("id", "label", "n", "density", "max", "tokens", "examples")}
        stream: list[int] = []
        places: list[int] = []
        quantised: list[np.ndarray] = []
        occurring = {id(acts): acts.occurrences(self.tokens) for acts in self.acts.values()}
        for latent_id in self._ids:
            acts, k = self._part(latent_id)
            number = int(acts.latents[k])
            positions, values = acts.of(number)
            largest = float(values.max(initial=0))
            best = acts.top_tokens(number, self.tokens, occurring=occurring[id(acts)])
            table["id"].append(latent_id)
            table["label"].append(self.labels.get(latent_id, ""))
            table["n"].append(len(values))
            table["density"].append(_short(len(values) / max(1, acts.n_tokens)))
            table["max"].append(float(f"{largest:.7g}"))
            table["tokens"].append([[small(t.token), t.n_firing, t.n, _short(t.mean), _short(t.max)] for t in best])
            examples = []
            for text, peak in acts.top_texts(number, self.n_examples):
                first, length = self._window(acts.mask[text], peak)
                base = text * self.tokens.shape[1]
                stream += [small(int(t)) for t in self.tokens[text, first : first + length]]
                low, high = np.searchsorted(positions, [base + first, base + first + length])
                places += (positions[low:high] - base - first).tolist()
                quantised.append(np.clip(np.rint(values[low:high] / largest * 65535), 1, 65535))
                examples.append([text, first, length, int(high - low)])
            table["examples"].append(examples)
        return {
            "schema": SCHEMA,
            "n_tokens": {name: acts.n_tokens for name, acts in self.acts.items()},
            "vocab": [self.str_tokens[token] for token in kinds],
            "token_bytes": 2 if len(kinds) <= 65536 else 4,
            "tokens": _base64(np.array(stream), 2 if len(kinds) <= 65536 else 4),
            "fire_place": _base64(np.array(places), 2),
            "fire_value": _base64(np.concatenate(quantised) if quantised else np.array([]), 2),
            "latents": table,
        }

    def _window(self, mask: np.ndarray, peak: int) -> tuple[int, int]:
        """First place and length of the window around a peak: two thirds of it before, as far as the text goes."""
        counted = np.flatnonzero(mask)
        low, high = int(counted[0]), int(counted[-1]) + 1
        length = min(self.window, high - low)
        return min(max(low, peak - 2 * length // 3), high - length), length

    def _json(self) -> str:
        # ASCII without <, > and &: no text in it can end the script it stands in
        text = json.dumps(self.data, separators=(",", ":"), ensure_ascii=True)
        return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")

    def _repr_html_(self) -> str:
        data = self._json()
        if len(data) > WARN_BYTES:
            size = f"the explorer of {len(self._ids)} latents takes {len(data) / 1e6:.1f} MB in the page"
            advice = f"{size}: give fewer latents=, n_examples= or window="
            if len(data) > REFUSE_BYTES:
                raise ValueError(advice)
            warnings.warn(advice, stacklevel=2)
        opened = json.dumps(self.open)
        module = _module()
        identity = hashlib.sha256(f"{module}{data}{opened}".encode()).hexdigest()[:12]
        latent = opened.replace("<", "\\u003c").replace("&", "\\u0026")
        return HOST.format(id=f"explorer-{identity}", fallback=self._fallback(), data=data, module=module, latent=latent)

    def _fallback(self) -> str:
        """What is seen where scripts do not run: the strongest texts of the opened latent, already coloured."""
        acts, k = self._part(self.open)
        number = int(acts.latents[k])
        largest = float(acts.max[k]) or 1.0
        rows = []
        for text, peak in acts.top_texts(number, 3):
            first, length = self._window(acts.mask[text], peak)
            values = acts.dense(number)[text, first : first + length]
            tokens = [self.str_tokens[t] for t in self.tokens[text, first : first + length]]
            rows.append("<p>" + "".join(_coloured(t, a, largest) for t, a in zip(tokens, values)) + "</p>")
        label = f" ({html.escape(self.labels[self.open])})" if self.open in self.labels else ""
        return (
            f"<p>Latent {html.escape(self.open)}{label} on its strongest texts. The list of latents and the activation of each token "
            f"appear where scripts run: in the built book, or in the notebook after running this cell.</p>\n" + "\n".join(rows)
        )

    def save(self, path: str | os.PathLike, title: str = "Latents") -> Path:
        """Write the explorer as one HTML file that opens without a server and without a network."""
        path = Path(path)
        if path.suffix.lower() not in (".html", ".htm"):
            raise ValueError(f"expected a file that ends in .html, got {path}")
        path.write_text(PAGE.format(title=html.escape(title), body=self._repr_html_()), encoding="utf-8")
        return path

    def widget(self) -> Any:
        """A live widget. Its `latent` follows a choice in the page, and the page follows `latent`. Needs anywidget.

        In a built book, where no kernel runs, it shows as the explorer itself.
        """
        from msae.explore._widget import make_widget

        return make_widget(self)


def _short(x: float) -> float:
    return float(f"{x:.4g}")


def _base64(a: np.ndarray, n_bytes: int) -> str:
    return base64.b64encode(a.astype(f"<u{n_bytes}").tobytes()).decode()


def _coloured(token: str, activation: float, largest: float) -> str:
    shown = html.escape(re.sub(r"\s*\n\s*", "↵ ", token.encode("utf-8", "replace").decode()))
    if not activation:
        return shown
    space = " " if token.startswith(" ") else ""
    alpha = 0.12 + 0.48 * activation / largest
    return (
        f'{space}<mark title="{activation:.2f}" style="color:inherit;background:rgba(31,111,235,{alpha:.2f})">{shown.strip() or "·"}</mark>'
    )


def _module() -> str:
    """The front end as a script that can stand in a page."""
    text = files("msae.explore").joinpath("static/explorer.mjs").read_text(encoding="utf-8")
    return text.replace("export default { render };", "").replace("export function", "function")
