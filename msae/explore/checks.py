"""What an explorer is given, judged before any work."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from msae.firings.firings import Firings
from msae.firings.sources import check_fits, check_weights
from msae.support.arguments import array, number, shown, text
from msae.support.files import as_json
from msae.support.letters import check_vocabulary

NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]*(/[A-Za-z0-9_.-]+)*")
"""Of an SAE, as `grammar.lark` reads it."""


def numbers_of(name: str, values: Any) -> np.ndarray:
    """An array of finite numbers, in float32 at least: SciPy knows no half precision."""
    found = array(name, values, finite=True)
    return found.astype(np.promote_types(found.dtype, np.float32), copy=False)


def id_of(acts: Mapping[str, Firings], latent: Any) -> str:
    """ "S/7" of "S/7", or of 7 when there is one SAE; refused if there is no such latent."""
    name, _, number = str(latent).rpartition("/")
    if not name and len(acts) == 1:
        name = next(iter(acts))
    if name not in acts or not number.isdecimal() or len(number) > 18:
        raise ValueError(f"there is no latent {shown(latent)}; write it as {next(iter(acts))}/7, of the SAEs {', '.join(acts)}")
    acts[name].column(int(number))
    return f"{name}/{int(number)}"


def labels_of(acts: Mapping[str, Firings], labels: Any) -> dict[str, str]:
    """ "name/number" → label; letters that no file can hold are shown as such."""
    if not isinstance(labels, (Mapping, type(None))):
        raise ValueError(f"labels must be a dict, got {shown(labels)}")
    found = {id_of(acts, key): text(f"labels[{key!r}]", label) for key, label in (labels or {}).items()}
    return {latent: label.encode("utf-8", "replace").decode() for latent, label in found.items()}


def edges_of(acts: Mapping[str, Firings], edges: Any) -> list[tuple[str, str, float]]:
    """(parent, child, score), the best parent of a child first."""
    found = []
    for edge in listed("edges", edges):
        if not isinstance(edge, Sequence) or isinstance(edge, str) or len(edge) != 3:
            raise ValueError(f"edges must be (parent, child, score), got {shown(edge)}")
        parent, child = id_of(acts, edge[0]), id_of(acts, edge[1])
        found.append((parent, child, number(f"the score of the edge from {parent} to {child} in edges", edge[2])))
    return sorted(found, key=lambda edge: -edge[2])


def described(name: str, value: Any) -> dict[str, Any]:
    """What a manifest is to say of itself: a dict, or nothing, that JSON has a form for."""
    if not isinstance(value, (Mapping, type(None))):
        raise ValueError(f"{name} must be a dict, got {shown(value)}")
    told = dict(value or {})
    as_json(told, name)
    return told


def asked_of(acts: Mapping[str, Firings], latents: Any) -> list[str] | None:
    """The ids of the latents that are to be shown; None where that was left open."""
    if latents is None:
        return None
    asked = [id_of(acts, latent) for latent in listed("latents", latents)]
    if not asked:
        raise ValueError("latents must name at least one latent, got none; leave it out to show all")
    return asked


def listed(name: str, values: Any) -> list[Any]:
    if isinstance(values, (str, bytes)):
        raise ValueError(f"{name} must be a list, got {shown(values)}")
    try:
        return list(values)
    except TypeError as error:
        raise ValueError(f"{name} must be a list, got {shown(values)}") from error


def check_acts(acts: Any, tokens: np.ndarray, str_tokens: Sequence[str | bytes]) -> None:
    if not isinstance(acts, Mapping) or not acts:
        raise ValueError(f'expected acts={{"name": Firings}}, got {type(acts).__name__}; for one SAE that is {{"S": acts}}')
    if tokens.ndim != 2 or tokens.dtype.kind not in "iu":
        raise ValueError(f"tokens must be whole numbers (n_texts, n_ctx), got shape {tokens.shape} of {tokens.dtype}")
    for name, each in acts.items():
        _check_name(name)
        if not isinstance(each, Firings):
            raise ValueError(f"acts[{name!r}] is a {type(each).__name__}: make it by Firings.of_dense or of_sae")
        if each.mask.shape != tokens.shape:
            raise ValueError(f"acts[{name!r}] is of texts of shape {each.mask.shape}, but tokens have shape {tokens.shape}")
    if not any(each.mask.any() for each in acts.values()):
        raise ValueError("acts must have a mask in which some place counts, got none that does: there is no text to show")
    check_vocabulary(str_tokens, tokens)


def _check_name(name: Any) -> None:
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise ValueError(
            f"an SAE cannot be called {name!r}: patterns name latents as S/7, so a name begins with a letter and has only letters, "
            "digits, _ . - and /"
        )


def check_each(saes: Any) -> None:
    """Whether these are SAEs that an explorer can show, whatever it shows them on."""
    if not isinstance(saes, Mapping) or not saes:
        raise ValueError(f'saes must be {{"name": SAE}}, got {shown(saes)}; one SAE is {{"S": sae}}')
    for name, sae in saes.items():
        _check_name(name)
        if not all(hasattr(sae, part) for part in ("encode", "d_model", "n_latents", "hook_name", "W_dec")):
            raise ValueError(f"saes[{name!r}] must be an SAE, got {shown(sae)}")
        check_weights(f"saes[{name!r}]", sae)


def check_saes(saes: Any, activations: Any, model: Any) -> None:
    """Whether all of these belong together, before anything is computed."""
    from msae.support.origin import check_origin

    check_each(saes)
    for name in ("x", "mask", "hook_name", "tokens", "str_tokens"):
        if not hasattr(activations, name):
            raise ValueError(f"activations must be msae.Activations, got {shown(activations)}")
    if model is not None and not hasattr(model, "W_U"):
        raise ValueError(f"model must be a language model, with W_U, got {shown(model)}")
    origin = getattr(activations, "origin", None) or {}
    for name, sae in saes.items():
        check_fits(sae, activations, f"saes[{name!r}]")
        trained = (getattr(sae, "config", None) or {}).get("made_from") or {}
        of_model = {key: trained[key] for key in ("hook_name", "language_model") if trained.get(key) is not None}
        check_origin(of_model, origin, f"saes[{name!r}]", "give activations of the model and hook that it was trained on")
    if model is not None and model.W_U.shape[0] != activations.x.shape[1]:
        raise ValueError(
            f"model must be the one that the activations of width {activations.x.shape[1]} are of, got one whose W_U has the shape "
            f"{tuple(model.W_U.shape)}; leave it out where the hook is not the residual stream"
        )


def check_directions(acts: Mapping[str, Firings], directions: Mapping[str, np.ndarray], unembed: np.ndarray | None, n_vocab: int) -> None:
    if directions and set(directions) != set(acts):
        raise ValueError(f"directions must name the SAEs {', '.join(acts)}, got {', '.join(directions)}")
    for name, rows in directions.items():
        if rows.ndim != 2 or len(rows) <= acts[name].latents.max(initial=0):
            expected = f"(at least {acts[name].latents.max(initial=0) + 1}, d_model)"
            raise ValueError(f"directions[{name!r}] must be {expected}, one row per latent, got shape {rows.shape}")
    if len({rows.shape[1] for rows in directions.values()}) > 1:
        widths = {name: rows.shape[1] for name, rows in directions.items()}
        raise ValueError(f"directions must all have the same width, got {widths}; give SAEs of one place, or leave directions out")
    if unembed is None:
        return
    if not directions:
        raise ValueError("unembed needs directions: give directions={name: sae} too")
    width = next(iter(directions.values())).shape[1]
    if unembed.ndim != 2 or unembed.shape[0] != width or not unembed.shape[1]:
        raise ValueError(f"unembed must be (d_model, n_vocab) = ({width}, {n_vocab}), got shape {unembed.shape}")
