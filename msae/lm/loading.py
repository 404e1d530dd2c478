"""The language model whose activations the book reads: the bundled one, one you trained, or any that TransformerLens knows.

lm = msae.load_language_model("bundled")
logits, cache = lm.run_with_cache("Once upon a time")
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import torch as safetensors

from msae.lm.bridge import boot_native
from msae.lm.tokenizer import with_begin
from msae.lm.transformer import Transformer, TransformerConfig
from msae.support import arguments, hub
from msae.support.files import as_json
from msae.support.manifests import ASSETS, check_manifest, read_manifest, write_with_manifest
from msae.support.reasons import first_line

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformer_lens.model_bridge import TransformerBridge

FILES = ("model.safetensors", "config.json", "tokenizer.json")
DATA_LICENCE = "CDLA-Sharing-1.0 (TinyStories, Eldan and Li 2023, arXiv:2305.07759)"


def load_language_model(name: str | os.PathLike[str] = "bundled", device: str = "cpu") -> TransformerBridge:
    """A language model with TransformerLens' hooks, in float32, ready for `to_tokens`, `run_with_cache` and `generate`.

    Args:
        name: "bundled" (no network is needed), "tinymodel" (the article's, from the Hugging Face hub: `msae.tinymodel`), any name that
            TransformerLens knows (from the hub, for example "gpt2" or "roneneldan/TinyStories-33M"), or a folder: one that
            `save_language_model` wrote, or one with a model and a tokenizer of transformers (`save_pretrained`), such as one you trained.
        device: where the model runs.

    Returns:
        a `TransformerBridge`. Of ours, `tokenizer` puts [BEGIN], token 0, before every text; it is also the end of a story.

    Raises:
        FileNotFoundError: the folder, or a file in it, is missing.
        ValueError: a file is not the one that the folder's manifest, or the hub, names; a folder of transformers that does not hold a
            whole model that TransformerLens reads; or this machine lacks the device.
        ConnectionError: the hub does not answer, or does not know the name.

    Example:
        >>> lm = msae.load_language_model("bundled")
        >>> lm.to_str_tokens("Lily ran.")
        ['[BEGIN]', 'Lily', ' ran', '.']
    """
    device = str(arguments.device("device", device))
    if name == "tinymodel":
        from msae.lm.tinymodel import load_tinymodel

        return load_tinymodel(device)
    folder = _folder(name)
    if folder is None:
        return _from_hub(str(name), device)
    if _is_of_transformers(folder):
        return _from_transformers(folder, device)
    model, tokenizer = load_transformer(folder)
    return boot_native(model.config.to_transformer_lens(), model.state_dict(), with_begin(tokenizer, folder), device, folder.name)


def load_transformer(folder: str | os.PathLike[str] = "bundled") -> tuple[Transformer, Tokenizer]:
    """The same weights without hooks: the plain module, quick to import and to sample from, and its tokenizer.

    Args:
        folder: "bundled", or a folder that `save_language_model` wrote.

    Returns:
        the module in float32, ready to run and without gradients, and the tokenizer of the library tokenizers.

    Raises:
        FileNotFoundError: the folder, or a file in it, is missing.
        ValueError: a file is not the one that the folder's manifest names.

    Example:
        >>> import torch
        >>> model, tokenizer = msae.lm.load_transformer("bundled")
        >>> tokens = [0, *tokenizer.encode("Lily ran").ids]
        >>> model(torch.tensor([tokens])).shape[:2]
        torch.Size([1, 3])
    """
    from tokenizers import Tokenizer

    path = _folder(folder)
    if path is None:
        raise FileNotFoundError(f"there is no folder {str(folder)!r}: give 'bundled', or a folder that `language-model pack` wrote")
    check_manifest(path, FILES)
    try:
        with torch.random.fork_rng(devices=[]):
            model = Transformer(TransformerConfig(**json.loads((path / "config.json").read_text(encoding="utf-8"))))
        weights = safetensors.load_file(path / "model.safetensors")
        model.load_state_dict({key: value.float() for key, value in weights.items()})
        tokenizer = Tokenizer.from_file(str(path / "tokenizer.json"))
    except Exception as error:  # each library says in its own way that this is no file of its kind
        reason = " ".join(str(error).split())[:200]
        raise ValueError(f"{path} holds no language model that this msae reads ({reason}): write the folder again") from error
    return model.eval().requires_grad_(False), tokenizer


def load_manifest(folder: str | os.PathLike[str] = "bundled") -> dict[str, Any]:
    """What is known about a packed model: command, seed, versions, hardware, licence of its data, and what was measured.

    Args:
        folder: "bundled", or a folder that `save_language_model` wrote.

    Returns:
        the manifest as JSON values: "what", "command", "seed", "versions", "hardware", "data_licence", "report", "sha256" and others.

    Raises:
        FileNotFoundError: there is no such folder, or no manifest in it.
        ValueError: the manifest is damaged, or of a later version of msae.

    Example:
        >>> msae.lm.load_manifest("bundled")["what"]
        'language model trained on TinyStories'
    """
    path = _folder(folder)
    if path is None:
        raise FileNotFoundError(f"there is no folder {str(folder)!r}: give 'bundled', or a folder that `language-model pack` wrote")
    return read_manifest(path)


def save_language_model(
    folder: str | os.PathLike[str], model: Transformer, tokenizer: Tokenizer, *, report: dict[str, Any], command: str
) -> dict[str, Any]:
    """Write a folder that `load_language_model` reads: float16 weights, shape, tokenizer and a manifest.

    Args:
        folder: made if it is missing; files of the same names are replaced.
        model: the trained module.
        tokenizer: the model's.
        report: what `msae.lm.pretraining.pretrain` returned: settings, seed, bits per character on held-out stories.
        command: the command line that makes this model again.

    Returns:
        the manifest.

    Raises:
        ValueError: a weight does not fit into float16, or a report that JSON has no form for. Nothing is written then.

    Example:
        >>> import tempfile
        >>> from msae.lm.transformer import Transformer, TransformerConfig
        >>> model = Transformer(TransformerConfig(d_vocab=257, d_model=8, n_layers=1, n_heads=2, n_ctx=8))
        >>> tokenizer = msae.lm.tokenizer.train_tokenizer(["Lily ran."], 257)
        >>> manifest = msae.lm.save_language_model(tempfile.mkdtemp(), model, tokenizer, report={}, command="by hand")
        >>> manifest["n_parameters"]
        4952
    """
    path, command = arguments.path("folder", folder), arguments.text("command", command)
    if not isinstance(model, Transformer):
        raise ValueError(f"model must be a module of msae.lm.transformer, got {arguments.shown(model)}")
    if not hasattr(tokenizer, "to_str"):
        raise ValueError(f"tokenizer must be one of the library tokenizers, got {arguments.shown(tokenizer)}")
    if not isinstance(report, dict):
        raise ValueError(f"report must be a dict, such as pretrain returns, got {arguments.shown(report)}")
    weights = {key: value.detach().cpu().half().contiguous() for key, value in model.state_dict().items()}
    for key, value in weights.items():
        if not value.isfinite().all():
            raise ValueError(f"{key} does not fit into float16: expected finite weights below 65,504, got {value.abs().max()}")
    files = {
        "model.safetensors": safetensors.save(weights),
        "config.json": as_json(asdict(model.config), "config").encode(),
        "tokenizer.json": tokenizer.to_str().encode(),
    }
    about = {
        "what": "language model trained on TinyStories",
        "command": command,
        "seed": report.get("config", {}).get("seed"),
        "data_licence": DATA_LICENCE,
        "n_parameters": sum(value.numel() for value in weights.values()),
        "report": report,
    }
    return write_with_manifest(path, files, about)


def _folder(name: str | os.PathLike[str]) -> Path | None:
    path = arguments.path("name", name)
    if name == "bundled":
        return ASSETS / "language_model"
    if path.is_dir():
        return path
    if path.is_file():
        raise FileNotFoundError(f"{path} is a file: give the folder that holds it")
    if path.is_absolute() or str(name).startswith((".", "~")):
        raise FileNotFoundError(
            f"there is no folder {path}: give 'bundled', a folder with a model (of `language-model pack` or save_pretrained), "
            "or a TransformerLens name"
        )
    return None


def _is_of_transformers(folder: Path) -> bool:
    """Whether `save_pretrained` wrote this folder: ours has a manifest."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return not (folder / "manifest.json").exists() and isinstance(config, dict) and "model_type" in config


def _from_transformers(folder: Path, device: str) -> TransformerBridge:
    from transformer_lens.model_bridge import TransformerBridge

    try:
        return TransformerBridge.boot_transformers(str(folder), device=device)
    except Exception as error:  # each library says in its own way what is missing, or that it does not know such a model
        raise ValueError(
            f"{folder} holds no model of transformers that TransformerLens reads ({first_line(error)}): save the model and its tokenizer "
            "there, both with save_pretrained"
        ) from error


def _from_hub(name: str, device: str) -> TransformerBridge:
    def client() -> TransformerBridge:
        from transformer_lens.model_bridge import TransformerBridge

        # Else transformers starts a thread that asks the hub to convert weights which are not safetensors, and outlives this call.
        os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
        return TransformerBridge.boot_transformers(name, device=device)

    return hub.ask(client, repr(name), "check the name and the network, or use load_language_model('bundled'), which needs none")
