"""The model card of an SAE: what its own files say, and what they do not say, in so many words."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from msae.sae.prefixes import FullPrefix
from msae.sae.sae import SAE
from msae.support import hub
from msae.support.arguments import number, shown, text

UNKNOWN = "not recorded"
READING = """\
L0 is the mean number of latents that are active on an input, FVU the share of the inputs' variance that the reconstruction leaves. A
hole is an input on which a concept is there and the best latent for it is silent; the share is that of the concept's tokens."""


class Measured(NamedTuple):
    """What was measured on an SAE; what is None was not."""

    l0: float | None = None
    fvu: float | None = None
    holes: Mapping[str, float] | None = None
    """Concept → the share of its tokens on which the best latent for it is silent."""
    on: str | None = None
    """What it was measured on, such as "27,804 tokens of held-out stories"."""


def model_card(sae: SAE, repo: str, *, licence: str | None = None, measured: Mapping[str, Any] | None = None) -> str:
    """The README of an SAE on the Hugging Face hub, its metadata on top.

    It says what the SAE reads, what it was trained on and how, its L0, FVU and holes, and its licence. All of it comes from the SAE itself
    (`hook_name`, `config`) and from the arguments; what neither knows is called "not recorded", "not measured" or "not stated".

    Args:
        sae: the SAE.
        repo: where it will be, "owner/name" or "owner/name/folder": for its title and for the code that loads it.
        licence: as the hub names them, such as "mit" or "cdla-sharing-1.0".
        measured: of "l0", "fvu", "holes" (concept → share of its tokens) and "on" (what it was measured on) those that are known; where
            it is left out, what `python -m msae train` measured and kept in `config`.

    Returns:
        Markdown, with metadata in YAML on top, as `huggingface_hub.ModelCard` reads it.

    Raises:
        ValueError: an argument that is none of these.
        ImportError: huggingface_hub is not installed.

    Example:
        >>> card = msae.sae.model_card(msae.SAE(4, 8, hook_name="blocks.1.hook_resid_pre"), "you/tiny", measured={"fvu": 0.2})
        >>> print(*[line for line in card.splitlines() if "FVU |" in line or "Holes |" in line or "Reads" in line], sep=chr(10))
        | Reads | `blocks.1.hook_resid_pre` of a language model that is not recorded |
        | FVU | 0.2000 |
        | Holes | not measured |
    """
    if not isinstance(sae, SAE):
        raise ValueError(f"sae must be an SAE of msae, got {shown(sae)}")
    if licence is not None and not re.fullmatch(r"[a-z0-9.-]+", text("licence", licence)):
        raise ValueError(f"licence must be one as the hub names it, such as 'mit' or 'cdla-sharing-1.0', got {shown(licence)}")
    found = _measured(sae, measured)
    hub.Place.of(repo)
    is_matryoshka = _law(sae) not in (None, FullPrefix.__name__)
    head = {"library_name": "msae", "license": licence, "tags": ["sparse-autoencoder", *["matryoshka"] * is_matryoshka]}
    rows = "\n".join(f"| {name} | {_cell(value)} |" for name, value in _rows(sae, found, licence))
    kind = "Matryoshka sparse autoencoder" if is_matryoshka else "sparse autoencoder"
    return f"""\
---
{_yaml(head)}
---

# {repo.rpartition("/")[2]}

A {kind} of {sae.n_latents:,} latents, for `msae`.

| | |
|---|---|
{rows}

{READING}

```python
import msae

sae = msae.sae.pull_sae("{repo}")
acts = sae.encode(x)  # (…, {sae.d_model}) → (…, {sae.n_latents}){_prefix_line(sae) if is_matryoshka else ""}
```
"""


def _rows(sae: SAE, found: Measured, licence: str | None) -> Iterator[tuple[str, str]]:
    """What the table says, top to bottom."""
    from msae.lm.sources import recorded_source

    made_from = recorded_source(sae.config)
    lm, stories = made_from.get("language_model"), made_from.get("stories")
    model = f"the language model {_called(lm)}" if lm else f"a language model that is {UNKNOWN}"
    yield "Reads", f"`{sae.hook_name}` of {model}" if sae.hook_name else f"a hook that is {UNKNOWN}, of {model}"
    yield "Trained on", _trained_on(sae, stories, made_from.get("n_ctx"), made_from.get("skip_first", 1))
    yield "Latents", f"{sae.n_latents:,} of vectors of width {sae.d_model:,}, {sae.nonlinearity}"
    yield "Prefixes", _recipe(sae.config.get("prefixes"))
    steps, batch = sae.config.get("n_steps"), sae.config.get("batch_size")
    yield "Steps", f"{steps:,} of {batch:,} inputs" if isinstance(steps, int) and isinstance(batch, int) else UNKNOWN
    on = f" on {found.on}" if found.on else ""
    yield "L0", "not measured" if found.l0 is None else f"{found.l0:.2f}{on}"
    yield "FVU", "not measured" if found.fvu is None else f"{found.fvu:.4f}{on}"
    holes = "; ".join(f"{name} {100 * rate:.1f} %" for name, rate in (found.holes or {}).items())
    yield "Holes", f"{holes}{on}" if holes else "not measured"
    yield "Licence", licence or "not stated"


def _trained_on(sae: SAE, stories: object, n_ctx: object, skip_first: object) -> str:
    """The texts, and how many tokens of them."""
    about: Mapping[str, Any] = next((sae.config[name] for name in ("family", "data") if isinstance(sae.config.get(name), Mapping)), {})
    n = about.get("n_tokens")
    tokens = f"{n:,} tokens of " if isinstance(n, int) else ""
    context = f", {n_ctx} tokens at most in a text" if n_ctx else ""
    context += f", the first {skip_first} of them left out" if skip_first not in (0, 1) else ""
    return f"{tokens}the stories {_called(stories)}{context}" if stories else UNKNOWN


def _called(name: object) -> str:
    """A model or stories by name; "bundled" tells a stranger nothing."""
    return f"`{name}`" + " (ships with `msae`)" * (name == "bundled")


def _law(sae: SAE) -> str | None:
    """The name of the prefix law, where it is recorded."""
    kept = sae.config.get("prefixes")
    return str(kept["name"]) if isinstance(kept, Mapping) and "name" in kept else None


def _recipe(kept: object) -> str:
    """`{"name": "SquareRootPrefixes", "n": 10}` as it is written in Python."""
    if not isinstance(kept, Mapping) or "name" not in kept:
        return UNKNOWN
    return f"{kept['name']}({', '.join(f'{name}={value}' for name, value in kept.items() if name != 'name')})"


def _prefix_line(sae: SAE) -> str:
    return f"\nsmall = sae.prefix({max(1, sae.n_latents // 16)})  # the SAE of the first latents, which it was trained to be"


def _measured(sae: SAE, given: Mapping[str, Any] | None) -> Measured:
    """What was measured, judged."""
    if given is None:
        kept = sae.config.get("held_out")
        given = {}
        if isinstance(kept, Mapping):
            n, stories = kept.get("n_tokens"), kept.get("stories")
            on = f"{n:,} tokens of held-out stories ({stories})" if isinstance(n, int) and stories else None
            given = {name: kept[name] for name in ("l0", "fvu") if name in kept} | {"on": on}
    if not isinstance(given, Mapping) or given.keys() - set(Measured._fields):
        raise ValueError(f"measured must be a dict of some of {', '.join(Measured._fields)}, got {shown(given)}")
    holes = given.get("holes")
    if holes is not None and not isinstance(holes, Mapping):
        raise ValueError(f"measured['holes'] must be a dict of concept → share of its tokens, got {shown(holes)}")
    return Measured(
        **{name: number(f"measured[{name!r}]", given[name], 0) for name in ("l0", "fvu") if given.get(name) is not None},
        holes={text("a concept", name): number(f"measured['holes'][{name!r}]", rate, 0, 1) for name, rate in (holes or {}).items()} or None,
        on=None if given.get("on") is None else text("measured['on']", given["on"]),
    )


def _cell(value: str) -> str:
    """A value within a table: a story's name may hold anything."""
    return " ".join(value.split()).replace("|", "\\|")


def _yaml(head: Mapping[str, Any]) -> str:
    """The metadata as the hub's own class writes it."""
    from huggingface_hub import ModelCardData

    return ModelCardData(**head).to_yaml()  # type: ignore[no-any-return]
