"""Between our transformer and TransformerLens' model with hooks: weights go both ways."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from msae.lm.origin import added_hooks
from msae.lm.transformer import Transformer, TransformerConfig
from msae.support import arguments

if TYPE_CHECKING:
    from transformer_lens.model_bridge import TransformerBridge
    from transformers import PreTrainedTokenizerBase


def boot_native(
    config: dict[str, Any], state: dict[str, Tensor], tokenizer: PreTrainedTokenizerBase | None, device: str, name: str
) -> TransformerBridge:
    """TransformerLens' native model with given weights.

    Args:
        config: keyword arguments of `transformer_lens.TransformerBridgeConfig`.
        state: every weight of the native model, by its name there; it may hold a bias of the unembedding.
        tokenizer: of `transformers`; tokens alone need none.
        device: where the model runs.
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


def plain_transformer(lm: TransformerBridge) -> Transformer:
    """The plain module with the weights that a bridge of ours holds now, edits included.

    Raises:
        ValueError: the bridge is of another architecture, or has hooks, which the plain module would not run.
    """
    if not hasattr(lm, "cfg") or not hasattr(lm, "original_model"):
        raise ValueError(f"lm must be a model of load_language_model, got {arguments.shown(lm)}")
    config = lm.cfg
    if config.architecture != "TransformerLensNative" or config.positional_embedding_type != "rotary" or config.act_fn != "relu":
        raise ValueError(f"expected a model of `msae.lm.transformer`, got a {config.architecture}: use lm.generate instead")
    if hooks := added_hooks(lm):
        raise ValueError(f"lm has a hook at {hooks[0][0] or 'its top'}, which a module without hooks would not run: lm.reset_hooks() first")
    state = {key.replace("._original_component", ""): value for key, value in lm.original_model.state_dict().items()}
    shape = {key: getattr(config, key) for key in ("d_vocab", "d_model", "n_layers", "n_heads", "n_ctx")}
    with torch.random.fork_rng(devices=[]):
        model = Transformer(TransformerConfig(**shape, layer_norm=config.normalization_type is not None))
    model.load_state_dict({key: state[key] for key in model.state_dict()})
    return model.to(state["tok_embed.weight"].device).eval().requires_grad_(False)
