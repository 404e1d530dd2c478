"""The language model whose activations the book reads: the bundled one, one you trained, or any that TransformerLens knows.

lm = msae.load_language_model("bundled")
logits, cache = lm.run_with_cache("Once upon a time")
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import platform
from collections.abc import Collection, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import torch as safetensors
from torch import Tensor

from msae import hub
from msae.model_origin import added_hooks
from msae.support import arguments
from msae.support.files import as_json, write_files
from msae.transformer import Transformer, TransformerConfig

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformer_lens.model_bridge import TransformerBridge

ASSETS = Path(__file__).parent / "assets"
BEGIN = "[BEGIN]"
MANIFEST = "msae-manifest/1"
FILES = ("model.safetensors", "config.json", "tokenizer.json")
DATA_LICENCE = "CDLA-Sharing-1.0 (TinyStories, Eldan and Li 2023, arXiv:2305.07759)"


def load_language_model(name: str | os.PathLike = "bundled", device: str = "cpu") -> TransformerBridge:
    """A language model with TransformerLens' hooks, in float32, ready for `to_tokens`, `run_with_cache` and `generate`.

    Args:
        name: "bundled" (no network is needed), "tinymodel" (the article's, from the Hugging Face hub: `msae.tinymodel`), a folder that
            `save_language_model` wrote, or any name TransformerLens knows (from the hub, for example "roneneldan/TinyStories-33M").
        device: where the model runs.

    Returns:
        a `TransformerBridge`. Of ours, `tokenizer` puts [BEGIN], token 0, before every text; it is also the end of a story.

    Raises:
        FileNotFoundError: the folder, or a file in it, is missing.
        ValueError: a file is not the one that the folder's manifest, or the hub, names; or this machine lacks the device.
        ConnectionError: the hub does not answer, or does not know the name.
    """
    device = str(arguments.device("device", device))
    if name == "tinymodel":
        from msae.tinymodel import load_tinymodel

        return load_tinymodel(device)
    folder = _folder(name)
    if folder is None:
        return _from_hub(str(name), device)
    model, tokenizer = load_transformer(folder)

    return boot_native(model.config.to_transformer_lens(), model.state_dict(), _with_begin(tokenizer, folder), device, folder.name)


def boot_native(config: dict[str, Any], state: dict[str, Tensor], tokenizer: Any, device: str, name: str) -> TransformerBridge:
    """TransformerLens' native model with given weights.

    Args:
        config: keyword arguments of `transformer_lens.TransformerBridgeConfig`.
        state: every weight of the native model, by its name there; it may hold a bias of the unembedding.
        name: what the model is called.

    Raises:
        ValueError: a name is missing or unknown, or a shape does not fit.
    """
    import transformer_lens.model_bridge.sources.native  # noqa: F401  (attaches boot_native)
    from transformer_lens.config import TransformerBridgeConfig
    from transformer_lens.model_bridge import TransformerBridge

    for argument, content in (("config", config), ("state", state)):
        if not isinstance(content, Mapping):
            raise ValueError(f"{argument} must be a dict, got {arguments.shown(content)}")
    device = str(arguments.device("device", device))
    boot: Any = TransformerBridge.boot_native  # type: ignore[attr-defined]  # the import above attaches it
    sizes = TransformerBridgeConfig(**config, init_weights=False)
    with torch.random.fork_rng(devices=[]):
        lm: TransformerBridge = boot(sizes, tokenizer=tokenizer, device=device, model_name=name)
    theirs = {key.replace("._original_component", ""): value for key, value in lm.original_model.state_dict().items()}
    given = {theirs[key].data_ptr() for key in state if key in theirs}  # the bridge has several names for some weights
    given.add(theirs["head.bias"].data_ptr())  # its addition, zero: the native model has none
    wrong = [key for key, value in state.items() if key not in theirs or theirs[key].shape != value.shape]
    wrong += [key for key, value in theirs.items() if value.data_ptr() not in given]
    if wrong:
        raise ValueError(f"these are not the weights of a model of these sizes: {wrong[0]!r} is unknown, missing or of another shape")
    with torch.no_grad():
        for key, value in state.items():
            theirs[key].copy_(value)
    return lm.eval()


def load_transformer(folder: str | os.PathLike = "bundled") -> tuple[Transformer, Tokenizer]:
    """The same weights without hooks: the plain module, quick to import and to sample from, and its tokenizer.

    Args:
        folder: "bundled", or a folder that `save_language_model` wrote.

    Raises:
        FileNotFoundError, ValueError: as `load_language_model`.
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


def plain_transformer(lm: TransformerBridge) -> Transformer:
    """The plain module with the weights that a bridge of ours holds now, edits included.

    Raises:
        ValueError: the bridge is of another architecture, or has hooks, which the plain module would not run.
    """
    if not hasattr(lm, "cfg") or not hasattr(lm, "original_model"):
        raise ValueError(f"lm must be a model of load_language_model, got {arguments.shown(lm)}")
    config = lm.cfg
    if config.architecture != "TransformerLensNative" or config.positional_embedding_type != "rotary" or config.act_fn != "relu":
        raise ValueError(f"expected a model of `msae.transformer`, got the architecture {config.architecture}: use lm.generate instead")
    if hooks := added_hooks(lm):
        raise ValueError(f"lm has a hook at {hooks[0][0] or 'its top'}, which a module without hooks would not run: lm.reset_hooks() first")
    state = {key.replace("._original_component", ""): value for key, value in lm.original_model.state_dict().items()}
    shape = {key: getattr(config, key) for key in ("d_vocab", "d_model", "n_layers", "n_heads", "n_ctx")}
    with torch.random.fork_rng(devices=[]):
        model = Transformer(TransformerConfig(**shape, layer_norm=config.normalization_type is not None))
    model.load_state_dict({key: state[key] for key in model.state_dict()})
    return model.to(state["tok_embed.weight"].device).eval().requires_grad_(False)


def load_manifest(folder: str | os.PathLike = "bundled") -> dict[str, Any]:
    """What is known about a packed model: command, seed, versions, hardware, licence of its data, and what was measured."""
    path = _folder(folder)
    if path is None:
        raise FileNotFoundError(f"there is no folder {str(folder)!r}: give 'bundled', or a folder that `language-model pack` wrote")
    return _read_manifest(path)


def save_language_model(
    folder: str | os.PathLike, model: Transformer, tokenizer: Tokenizer, *, report: dict[str, Any], command: str
) -> dict[str, Any]:
    """Write a folder that `load_language_model` reads: float16 weights, shape, tokenizer and a manifest.

    Args:
        folder: made if it is missing; files of the same names are replaced.
        model: the trained module.
        report: what `msae.pretraining.pretrain` returned: settings, seed, bits per character on held-out stories.
        command: the command line that makes this model again.

    Returns:
        the manifest.

    Raises:
        ValueError: a weight does not fit into float16, or a report that JSON has no form for. Nothing is written then.
    """
    path, command = arguments.path("folder", folder), arguments.text("command", command)
    if not isinstance(model, Transformer):
        raise ValueError(f"model must be a module of msae.transformer, got {arguments.shown(model)}")
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


def write_with_manifest(folder: Path, files: dict[str, bytes], about: dict[str, Any]) -> dict[str, Any]:
    """Write files and the `manifest.json` that names the hash of each, all of them or none; returns the manifest.

    Raises:
        ValueError: as `check_packed`.
    """
    check_packed(folder, files)
    versions = {"python": platform.python_version()} | {name: _version(name) for name in ("msae", "torch", "tokenizers")}
    sha256 = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    manifest = about | {"format": MANIFEST, "versions": versions, "hardware": _hardware(), "sha256": sha256}
    text = as_json(manifest, "the manifest")
    write_files({folder / name: content for name, content in files.items()} | {folder / "manifest.json": text})
    return manifest


def check_packed(folder: Path, files: Collection[str]) -> None:
    """Refuse a folder whose manifest names files that are not among these: nothing would know them any more.

    Raises:
        ValueError: naming the first of them.
    """
    if not (folder / "manifest.json").is_file():
        return
    try:
        others = [name for name in _read_manifest(folder).get("sha256", {}) if name not in files]
    except ValueError:  # a damaged manifest is to be written again
        return
    if others:
        raise ValueError(f"{folder} is packed with other files already, such as {others[0]}: give another folder")


def check_manifest(folder: Path, files: tuple[str, ...]) -> dict[str, Any]:
    """Read `manifest.json` and compare the hash of each file.

    Raises:
        FileNotFoundError: the manifest or a file is missing.
        ValueError: a file differs from the one the manifest names, or the manifest is none, or is of a later format.
    """
    folder = arguments.path("folder", folder)
    fix = "install msae again" if ASSETS in folder.parents else "write the folder again"
    manifest = _read_manifest(folder)
    for name in files:
        if not (folder / name).is_file():
            raise FileNotFoundError(f"{folder} lacks {name}: {fix}")
        found, expected = sha256_of(folder / name), manifest.get("sha256", {}).get(name)
        if found != expected:
            raise ValueError(f"{folder / name} was altered: expected the SHA-256 {expected}, got {found}; {fix}")
    return manifest


def _folder(name: str | os.PathLike) -> Path | None:
    path = arguments.path("name", name)
    if name == "bundled":
        return ASSETS / "language_model"
    if path.is_dir():
        return path
    if path.is_file():
        raise FileNotFoundError(f"{path} is a file: give the folder that holds it")
    if path.is_absolute() or str(name).startswith((".", "~")):
        raise FileNotFoundError(
            f"there is no folder {path}: give 'bundled', a folder that `language-model pack` wrote, or a TransformerLens name"
        )
    return None


def _from_hub(name: str, device: str) -> TransformerBridge:
    def client() -> TransformerBridge:
        from transformer_lens.model_bridge import TransformerBridge

        # Else transformers starts a thread that asks the hub to convert weights which are not safetensors, and outlives this call.
        os.environ.setdefault("DISABLE_SAFETENSORS_CONVERSION", "1")
        return TransformerBridge.boot_transformers(name, device=device)

    return hub.ask(client, repr(name), "check the name and the network, or use load_language_model('bundled'), which needs none")


def _with_begin(tokenizer: Tokenizer, folder: Path) -> Any:
    """The Hugging Face tokenizer around ours: [BEGIN] before every text, and [BEGIN] for its end and for padding too."""
    from tokenizers import processors
    from transformers import PreTrainedTokenizerFast

    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{BEGIN} $A", pair=f"{BEGIN} $A {BEGIN} $B", special_tokens=[(BEGIN, tokenizer.token_to_id(BEGIN))]
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token=BEGIN,
        eos_token=BEGIN,
        pad_token=BEGIN,
        name_or_path=str(folder),
        add_bos_token=True,  # TransformerLens would else ask the hub for a variant that adds it
        clean_up_tokenization_spaces=False,
    )


def _read_manifest(folder: Path) -> dict[str, Any]:
    path = folder / "manifest.json"
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}")
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no manifest.json: expected a folder that `language-model pack` wrote")
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:  # not UTF-8, not JSON
        raise ValueError(f"{path} is not JSON ({error}): write the folder again") from error
    if not isinstance(manifest, dict) or not isinstance(manifest.get("sha256", {}), dict):
        raise ValueError(f"{path} is no manifest: expected the hash of each file, got {arguments.shown(manifest)}; write the folder again")
    if manifest.get("format", MANIFEST) != MANIFEST:
        raise ValueError(f"{path} has the format {manifest['format']!r}, and this msae reads {MANIFEST!r}: install a newer msae")
    return manifest


def sha256_of(path: Path) -> str:
    """Of a file, in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def _hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{os.cpu_count()} CPU cores, {platform.machine()}"
