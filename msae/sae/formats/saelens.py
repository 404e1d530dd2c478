"""SAELens' folder, of its version 6: `cfg.json`, what the SAE is, and `sae_weights.safetensors`.

What SAELens 6 computes is in https://github.com/decoderesearch/SAELens under sae_lens/saes/, the class `SAE` for what all kinds share and a
file for each kind.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor

from msae.sae.files import DTYPES, About, check_weights
from msae.sae.formats.folding import as_dict, check_weights_of, folded, read_json, reading, source_of, without_gate
from msae.sae.nonlinearities import BatchTopK, JumpReLU, Nonlinearity, ReLU, TopK
from msae.sae.sae import SAE
from msae.support import arguments
from msae.support.arguments import number, one_of, shown, whole, yes_or_no
from msae.support.files import as_json, write_files
from msae.support.version import __version__

FILES = ("cfg.json", "sae_weights.safetensors")
SCALER = "activation_scaler.json"
"""Lies beside the two in a checkpoint of a training that is not over: its scale is not in the weights yet."""

VERSION = "6.0.0"
"""Of the format that is written; any SAELens 6 reads it."""

OF_ALL = ("W_enc", "W_dec", "b_dec")
WEIGHTS = {
    "standard": ("b_enc",),
    "topk": ("b_enc",),
    "jumprelu": ("b_enc", "threshold"),
    "batchtopk": ("b_enc", "topk_threshold"),
    "matryoshka_batchtopk": ("b_enc", "topk_threshold"),
    "gated": ("b_gate", "b_mag", "r_mag"),
}
"""Architecture → its weights beside those of all. The two BatchTopK are kinds of training: SAELens ends it with a "jumprelu"."""

NEEDED = ("d_in", "d_sae", "dtype", "apply_b_dec_to_input", "normalize_activations", "reshape_activations")
KNOWN = {"architecture", *NEEDED, "k", "rescale_acts_by_decoder_norm", "device", "metadata", "sae_lens_version"}
TRAINING = {
    *("decoder_init_norm", "l1_coefficient", "lp_norm", "l1_warm_up_steps", "use_sparse_activations", "aux_loss_coefficient"),
    *("topk_threshold_lr", "matryoshka_widths", "use_matryoshka_aux_loss", "jumprelu_init_threshold", "jumprelu_bandwidth"),
    *("jumprelu_sparsity_loss_mode", "jumprelu_tanh_scale", "jumprelu_ste_to_input", "l0_coefficient", "l0_warm_up_steps"),
    *("pre_act_loss_coefficient", "target_l0"),
}
"""Fields of a checkpoint that say how it was trained, and nothing of what it computes."""


def read_saelens(folder: str | os.PathLike[str], device: str | torch.device = "cpu", *, scale: float | None = None) -> SAE:
    """An SAE that SAELens 6 wrote, as one that computes the same: standard, TopK, BatchTopK, JumpReLU, gated, Matryoshka.

    What stands around the products there is folded into the weights: `apply_b_dec_to_input`, the scale of the input, the norms of the
    decoder's rows, with the thresholds. Reconstructions are those of SAELens, and an activation is the length that it adds to them: that
    of SAELens times the norm of the latent's row of the decoder. A BatchTopK, which SAELens keeps as a JumpReLU, is a `BatchTopK` again
    where the file names its k; a gated SAE is a `JumpReLU`, which it is equal to. `config` keeps the file's metadata.

    Args:
        folder: that `sae.save_model`, `sae.save_inference_model` or a checkpoint of SAELens wrote.
        device: where the SAE is to lie.
        scale: what inputs were multiplied with in training, for a file that says "expected_average_only_in" and does not hold it.

    Returns:
        the SAE, with unit decoder rows and in float32 at least.

    Raises:
        FileNotFoundError: naming the file that is missing.
        ValueError: damaged files; a device that is not here; or what no SAE of msae computes, by its field: another architecture, inputs
            that are normalised one by one, one head of many, a TopK whose latents compete by something else than lengths.

    Example:
        >>> sae = msae.SAE(d_model=4, n_latents=8)
        >>> msae.sae.write_saelens(sae, "for-saelens")
        >>> msae.sae.read_saelens("for-saelens")
        SAE(d_model=4, n_latents=8, ReLU(), hook_name=None)
    """
    folder, wanted = arguments.path("folder", folder), arguments.device("device", device)
    scale = None if scale is None else number("scale", scale, above=0)
    with reading(folder, "SAELens", FILES, "sae.save_model(folder) of SAELens"):
        cfg = read_json(folder / "cfg.json")
        metadata = as_dict("metadata", cfg.get("metadata", {}))
        architecture = _checked_architecture(cfg, metadata)
        scale = _scale(folder, cfg["normalize_activations"], scale)
        nonlinearity = _nonlinearity(architecture, cfg, metadata)
        weights = _weights(folder, cfg, architecture)
        own = as_dict("metadata.msae", metadata.get("msae", {}))
        about = About(nonlinearity, metadata.get("hook_name"), own.get("scale", scale), own.get("config", _config(cfg, metadata)))
        sae = folded(
            weights,
            about._replace(scale=scale),
            subtracts_b_dec=yes_or_no("apply_b_dec_to_input", cfg["apply_b_dec_to_input"]),
            by_length=yes_or_no("rescale_acts_by_decoder_norm", cfg.get("rescale_acts_by_decoder_norm", False)),
        )
        sae.scale = about.checked().scale
    return sae.to(wanted)


def _checked_architecture(cfg: Mapping[str, Any], metadata: Mapping[str, Any]) -> str:
    """The architecture, where the file is of SAELens 6 and says nothing that msae cannot compute."""
    version = metadata.get("sae_lens_version", cfg.get("sae_lens_version"))
    if not isinstance(version, str) or not version.startswith("6."):
        raise ValueError(f"sae_lens_version is {shown(version)}, and files of SAELens 6 are read: load it with SAELens 6 and save it again")
    architecture = one_of("architecture", cfg["architecture"], WEIGHTS)
    for name in cfg:
        if name not in KNOWN | TRAINING:
            raise ValueError(f"cfg.json has the field {shown(name)}, {shown(cfg[name])}, and msae does not know what it changes")
    if missing := [name for name in NEEDED if name not in cfg]:
        raise KeyError(missing[0])
    one_of("normalize_activations", cfg["normalize_activations"], ("none", "expected_average_only_in"), hint="no fixed weights do the same")
    one_of("reshape_activations", cfg["reshape_activations"], ("none",), hint="an SAE of msae reads vectors")
    if metadata.get("hook_head_index") is not None:
        raise ValueError(f"hook_head_index is {shown(metadata['hook_head_index'])}: an SAE of msae reads the whole of what a hook gives")
    return architecture


def _scale(folder: Path, normalize: str, given: float | None) -> float:
    """What inputs are multiplied with before the weights as they are in the file."""
    if normalize == "none":
        if given is not None:
            raise ValueError(f"normalize_activations is 'none', so that the input has no scale, got scale={given:g}: leave it out")
        return 1.0
    if given is not None:
        return given
    if not (folder / SCALER).is_file():
        raise ValueError(
            "normalize_activations is 'expected_average_only_in', and the scale of the input is not in the folder: give it as scale=, "
            "√d_in divided by the mean norm of the inputs"
        )
    return number(f"scaling_factor of {SCALER}", read_json(folder / SCALER)["scaling_factor"], above=0)


def _nonlinearity(architecture: str, cfg: Mapping[str, Any], metadata: Mapping[str, Any]) -> Nonlinearity:
    """The kind that computes the same; how it was trained is looked up where that is known."""
    if architecture == "standard":
        return ReLU()
    if architecture == "topk":
        return TopK(whole("k", cfg["k"], 1))
    trained = metadata.get("training_architecture") or architecture
    details = metadata.get("training_architecture_details") or cfg
    k, bandwidth = (details.get(name) if isinstance(details, dict) else None for name in ("k", "jumprelu_bandwidth"))
    if trained in ("batchtopk", "matryoshka_batchtopk") and isinstance(k, (int, float)) and k >= 1 and k == k // 1:
        return BatchTopK(int(k))
    return JumpReLU(bandwidth) if trained == "jumprelu" and isinstance(bandwidth, float) else JumpReLU()


def _weights(folder: Path, cfg: Mapping[str, Any], architecture: str) -> dict[str, Tensor]:
    """The weights by the names and in the forms of `folded`, in the precision that SAELens computes in."""
    named = {str(dtype).removeprefix("torch."): dtype for dtype in DTYPES}
    dtype = named[one_of("dtype", str(cfg["dtype"]).removeprefix("torch."), named)]
    (folder / "sae_weights.safetensors").open("rb").close()  # safetensors says of a file that it may not read that there is none
    with safe_open(folder / "sae_weights.safetensors", "pt") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    d, n = (whole(name, cfg[name], 1) for name in ("d_in", "d_sae"))
    shapes: dict[str, tuple[int, ...]] = {"W_enc": (d, n), "W_dec": (n, d), "b_dec": (d,), "topk_threshold": ()}
    check_weights_of(found, {name: shapes.get(name, (n,)) for name in (*OF_ALL, *WEIGHTS[architecture])})
    weights = {name: weight.to(dtype) for name, weight in found.items()}
    if architecture == "gated":
        return without_gate(weights)
    if "topk_threshold" in weights:
        weights["threshold"] = weights.pop("topk_threshold").relu().expand(n)
    return weights


def _config(cfg: Mapping[str, Any], metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What is remembered of an SAE that msae did not make."""
    made_by = {"made_by": f"SAELens {metadata.get('sae_lens_version')}", "architecture": cfg["architecture"]}
    data = source_of(metadata.get("model_name"), metadata.get("context_size"))
    return made_by | ({"data": data} if data else {}) | {"metadata": dict(metadata)}


def write_saelens(sae: SAE, folder: str | os.PathLike[str]) -> None:
    """Write the two files that SAELens 6 reads with `SAE.load_from_disk(folder)`, and `read_saelens` reads back: both, or neither.

    A `ReLU` is written as "standard", a `TopK` as "topk", a `BatchTopK` and a `JumpReLU` as "jumprelu". Activations and reconstructions
    are the same there. What SAELens has no field for, `scale` and `config`, goes into the metadata.

    Args:
        sae: a whole SAE.
        folder: where; it is made where it is missing.

    Raises:
        ValueError: before anything is written, what SAELens has no form for: a nonlinearity of your own, a prefix of a TopK SAE; a weight
            that is not finite, or a config that JSON has no form for.
        OSError: a place that cannot be written.

    Example:
        >>> msae.sae.write_saelens(msae.SAE(4, 8, msae.BatchTopK(2), hook_name="blocks.1.hook_resid_pre"), "for-saelens")
        >>> msae.sae.read_saelens("for-saelens")
        SAE(d_model=4, n_latents=8, BatchTopK(k=2), hook_name='blocks.1.hook_resid_pre')
    """
    from msae.lm.sources import recorded_source

    folder = arguments.path("folder", folder)
    if not isinstance(sae, SAE):
        raise ValueError(f"sae must be an SAE of msae, got {shown(sae)}")
    about = About(sae.nonlinearity, sae.hook_name, sae.scale, sae.config).checked()
    if sae.W_rivals is not None:
        raise ValueError("a prefix of a TopK SAE has W_rivals, which SAELens has no form for: write the sae that it is the prefix of")
    weights = {name: weight.detach().to("cpu", copy=True).contiguous() for name, weight in sae.named_parameters()}
    check_weights(about.nonlinearity, sae.d_model, sae.n_latents, weights)
    data = recorded_source(sae.config)
    metadata = {"sae_lens_version": VERSION, "sae_lens_training_version": None, "model_name": data.get("language_model")}
    metadata |= {"hook_name": about.hook_name, "hook_head_index": None, "context_size": data.get("n_ctx"), "prepend_bos": True}
    cfg = _described(about.nonlinearity) | {"d_in": sae.d_model, "d_sae": sae.n_latents, "device": "cpu"}
    cfg |= {"dtype": str(weights["W_enc"].dtype).removeprefix("torch."), "apply_b_dec_to_input": False}
    cfg |= {"normalize_activations": "none", "reshape_activations": "none"}
    as_json(about.config, "config")
    own = {"version": __version__, "scale": about.scale, "config": dict(about.config or {})}
    cfg["metadata"] = metadata | cfg.pop("trained") | {"msae": own}
    write_files(
        {
            folder / "sae_weights.safetensors": lambda part: save_file(weights, part),
            folder / "cfg.json": as_json(cfg, "the SAE"),
        }
    )


def _described(kind: Nonlinearity) -> dict[str, Any]:
    """The architecture, what it needs beside it, and under "trained" what the metadata say of its training."""
    if type(kind) is ReLU:
        return {"architecture": "standard", "trained": {}}
    if type(kind) is TopK:
        return {"architecture": "topk", "k": kind.k, "rescale_acts_by_decoder_norm": False, "trained": {}}
    if type(kind) is BatchTopK:
        trained: dict[str, Any] = {"training_architecture": "batchtopk", "training_architecture_details": {"k": kind.k}}
    elif type(kind) is JumpReLU:
        details = {"jumprelu_bandwidth": kind.bandwidth}
        trained = {"training_architecture": "jumprelu", "training_architecture_details": details}
    else:
        raise ValueError(f"nonlinearity must be one that SAELens has, a ReLU, TopK, BatchTopK or JumpReLU, got {shown(kind)}")
    return {"architecture": "jumprelu", "trained": trained}
