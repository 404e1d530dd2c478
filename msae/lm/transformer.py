"""The bundled language model as a plain PyTorch module, small enough to read and fast enough to train on a CPU.

Its parameters carry the names of TransformerLens' native model, so that a trained state dict loads there unchanged and every hook
works (`msae.language_model`). This module exists for training alone: attention runs fused, without hooks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msae.support.arguments import shown, tensor, whole, yes_or_no


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of the language model; the names are those of TransformerLens."""

    d_vocab: int
    d_model: int = 256
    n_layers: int = 4
    n_heads: int = 4
    n_ctx: int = 256
    layer_norm: bool = False

    def __post_init__(self) -> None:
        for name in ("d_vocab", "d_model", "n_layers", "n_heads", "n_ctx"):
            object.__setattr__(self, name, whole(name, getattr(self, name), 2 if name == "n_ctx" else 1))
        object.__setattr__(self, "layer_norm", yes_or_no("layer_norm", self.layer_norm))
        if self.d_model % (2 * self.n_heads):
            raise ValueError(
                f"d_model must be an even multiple of n_heads (rotary positions turn pairs), "
                f"got d_model={self.d_model}, n_heads={self.n_heads}"
            )

    @property
    def d_head(self) -> int:
        return self.d_model // self.n_heads

    def to_transformer_lens(self) -> dict:
        """The same model as keyword arguments of `transformer_lens.TransformerBridgeConfig`."""
        shape = {key: value for key, value in asdict(self).items() if key != "layer_norm"}
        return shape | {
            "d_head": self.d_head,
            "d_mlp": 4 * self.d_model,
            "act_fn": "relu",
            "normalization_type": "LN" if self.layer_norm else None,
            "positional_embedding_type": "rotary",
        }


class Attention(nn.Module):
    """Causal self-attention with rotary positions (Su et al. 2021, arXiv:2104.09864)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.n_heads, self.d_head = config.n_heads, config.d_head
        self.q, self.k, self.v, self.o = (nn.Linear(config.d_model, config.d_model) for _ in range(4))

    def forward(self, x_BTD: Tensor, rotation_TC: Tensor) -> Tensor:
        q, k, v = (project(x_BTD).unflatten(-1, (self.n_heads, self.d_head)).transpose(1, 2) for project in (self.q, self.k, self.v))
        q, k = rotate(q, rotation_TC), rotate(k, rotation_TC)
        mixed = F.scaled_dot_product_attention(q, k, v.to(q.dtype), is_causal=True)
        return self.o(mixed.transpose(1, 2).flatten(-2))


class MLP(nn.Module):
    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.fc_in = nn.Linear(config.d_model, 4 * config.d_model)
        self.fc_out = nn.Linear(4 * config.d_model, config.d_model)

    def forward(self, x_BTD: Tensor) -> Tensor:
        return self.fc_out(F.relu(self.fc_in(x_BTD)))


class Block(nn.Module):
    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.ln1 = nn.LayerNorm(config.d_model) if config.layer_norm else nn.Identity()
        self.ln2 = nn.LayerNorm(config.d_model) if config.layer_norm else nn.Identity()
        self.attn, self.mlp = Attention(config), MLP(config)

    def forward(self, x_BTD: Tensor, rotation_TC: Tensor) -> Tensor:
        x_BTD = x_BTD + self.attn(self.ln1(x_BTD), rotation_TC)
        return x_BTD + self.mlp(self.ln2(x_BTD))


class Transformer(nn.Module):
    """Tokens (batch, position) to logits (batch, position, d_vocab)."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        if not isinstance(config, TransformerConfig):
            raise ValueError(f"config must be a TransformerConfig, got {shown(config)}")
        self.config = config
        self.tok_embed = nn.Embedding(config.d_vocab, config.d_model)
        self.layers = nn.ModuleList(Block(config) for _ in range(config.n_layers))
        self.ln_out = nn.LayerNorm(config.d_model) if config.layer_norm else nn.Identity()
        self.head = nn.Linear(config.d_model, config.d_vocab, bias=False)
        self.rotation: Tensor
        self.register_buffer("rotation", rotation(config.n_ctx, config.d_head), persistent=False)
        self.init_weights()

    def init_weights(self) -> None:
        """Normal weights; what writes to the residual stream starts small, because no layer norm will tame it."""
        for name, parameter in self.named_parameters():
            if name.endswith("bias"):
                nn.init.zeros_(parameter)
            elif "ln" not in name:
                nn.init.normal_(parameter, std=parameter.shape[-1] ** -0.5)
            if name.endswith(("attn.o.weight", "fc_out.weight")):
                with torch.no_grad():
                    parameter.mul_((2 * self.config.n_layers) ** -0.5)

    def forward(self, tokens_BT: Tensor) -> Tensor:
        self._check(tokens_BT)
        x_BTD = self.tok_embed(tokens_BT)
        for block in self.layers:
            x_BTD = block(x_BTD, self.rotation[: tokens_BT.shape[1]])
        return self.head(self.ln_out(x_BTD))

    def _check(self, tokens_BT: Tensor) -> None:
        config = self.config
        tensor("tokens_BT", tokens_BT, ("batch", "position"), numbers="whole")
        if not 1 <= tokens_BT.shape[1] <= config.n_ctx:
            raise ValueError(f"tokens_BT must hold 1 to {config.n_ctx} tokens in a row, got the shape {tuple(tokens_BT.shape)}")
        if tokens_BT.device.type == "cpu" and len(tokens_BT) and not 0 <= tokens_BT.min() <= tokens_BT.max() < config.d_vocab:
            raise ValueError(f"tokens_BT must lie between 0 and {config.d_vocab - 1}, got {tokens_BT.min()} to {tokens_BT.max()}")


def rotation(n_ctx: int, d_head: int, base: float = 10_000.0) -> Tensor:
    """Cosine and sine of every position's angles, (n_ctx, d_head // 2, 2)."""
    frequency = base ** (-torch.arange(0, d_head, 2) / d_head)
    angle = torch.outer(torch.arange(n_ctx).float(), frequency)
    return torch.stack([angle.cos(), angle.sin()], dim=-1)


def rotate(x: Tensor, rotation_TC: Tensor) -> Tensor:
    """Turn each pair of neighbouring coordinates of x (…, position, d_head) by its position's angle."""
    even, odd = x[..., 0::2], x[..., 1::2]
    cos, sin = rotation_TC.unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], dim=-1).flatten(-2)
