"""The bundled language model as a plain PyTorch module, small enough to read and fast enough to train on a CPU.

Its parameters carry the names of TransformerLens' native model, so that a trained state dict loads there unchanged and every hook
works (`msae.lm.bridge`). This module exists for training and for telling stories: attention runs fused, without hooks.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from msae.support.arguments import shown, tensor, whole, yes_or_no


@dataclass(frozen=True)
class TransformerConfig:
    """The shape of the language model; the names are those of TransformerLens."""

    d_vocab: int
    """Tokens that the model knows."""

    d_model: int = 256
    """Width of the residual stream."""

    n_layers: int = 4
    n_heads: int = 4
    n_ctx: int = 256
    """Tokens that it reads at once, [BEGIN] included."""

    layer_norm: bool = False
    """Whether attention, MLP and unembedding see the stream normalised; the article's model has none."""

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
        """Width of one head."""
        return self.d_model // self.n_heads

    def to_transformer_lens(self) -> dict[str, Any]:
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

    def forward(self, x_BTD: Tensor, rotation_TC: Tensor, past: Tensor | None = None) -> Tensor:
        """What each position takes from itself and those before it.

        Args:
            x_BTD: the residual stream at some positions.
            rotation_TC: their angles.
            past: (2, batch, head, position, d_head): keys and values of all positions up to the last of these, whose own are filled in.
        """
        q, k, v = (project(x_BTD).unflatten(-1, (self.n_heads, self.d_head)).transpose(1, 2) for project in (self.q, self.k, self.v))
        q, k = rotate(q, rotation_TC), rotate(k, rotation_TC)
        if past is not None:
            n_new = q.shape[-2]
            past[0, :, :, -n_new:], past[1, :, :, -n_new:] = k, v
            k, v = past
        mixed = F.scaled_dot_product_attention(q, k, v.to(q.dtype), is_causal=k.shape[-2] == q.shape[-2])
        out: Tensor = self.o(mixed.transpose(1, 2).flatten(-2))
        return out


class MLP(nn.Module):
    """One hidden layer, four times as wide, at every position by itself."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.fc_in = nn.Linear(config.d_model, 4 * config.d_model)
        self.fc_out = nn.Linear(4 * config.d_model, config.d_model)

    def forward(self, x_BTD: Tensor) -> Tensor:
        """What is added to the residual stream."""
        out: Tensor = self.fc_out(F.relu(self.fc_in(x_BTD)))
        return out


class Block(nn.Module):
    """Attention, then the MLP; each adds to the residual stream."""

    def __init__(self, config: TransformerConfig):
        super().__init__()
        self.ln1 = nn.LayerNorm(config.d_model) if config.layer_norm else nn.Identity()
        self.ln2 = nn.LayerNorm(config.d_model) if config.layer_norm else nn.Identity()
        self.attn, self.mlp = Attention(config), MLP(config)

    def forward(self, x_BTD: Tensor, rotation_TC: Tensor, past: Tensor | None = None) -> Tensor:
        """The residual stream after this layer.

        Args:
            x_BTD: the stream before it.
            rotation_TC: the angles of its positions.
            past: keys and values of this layer, as `Attention` takes them.
        """
        x_BTD = x_BTD + self.attn(self.ln1(x_BTD), rotation_TC, past)
        x_BTD = x_BTD + self.mlp(self.ln2(x_BTD))
        return x_BTD


class KeyValueCache:
    """Keys and values of the tokens that a model has read, so that the next token costs one position's work.

    Args:
        config: the model's.
        n_rows: rows of tokens that are read side by side.
        device: where the model is.
    """

    def __init__(self, config: TransformerConfig, n_rows: int, device: torch.device | str = "cpu"):
        self.kept = torch.zeros((2, config.n_layers, n_rows, config.n_heads, config.n_ctx, config.d_head), device=device)
        """[keys or values, layer, row, head, position, coordinate]"""

        self.length = 0
        """Tokens that each row has had."""

    def pick(self, rows: Tensor) -> None:
        """Go on with some of the rows alone, by number or by a mask."""
        self.kept = self.kept[:, :, rows]

    def clear(self) -> None:
        """Begin again with empty rows."""
        self.length = 0


class Transformer(nn.Module):
    """Tokens (batch, position) to logits (batch, position, d_vocab).

    Args:
        config: the shape.

    Example:
        >>> import torch
        >>> model = Transformer(TransformerConfig(d_vocab=10, d_model=8, n_layers=1, n_heads=2, n_ctx=4))
        >>> model(torch.tensor([[0, 3, 7]])).shape
        torch.Size([1, 3, 10])
    """

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
        """Logits of the token that follows each position.

        Args:
            tokens_BT: (batch, position) whole numbers below d_vocab.

        Raises:
            ValueError: other numbers, or more in a row than the context holds.
        """
        self._check(tokens_BT)
        return self._logits(self._residual(tokens_BT))

    def next_logits(self, tokens_BT: Tensor, cache: KeyValueCache) -> Tensor:
        """Logits (batch, d_vocab) of what follows the last of some new tokens.

        Args:
            tokens_BT: what comes after the tokens that the cache has had: any number where it is empty, else one.
            cache: takes up the keys and values of these tokens.

        Raises:
            ValueError: several tokens behind others, or more than the model's context.
        """
        n_new, n_ctx = tokens_BT.shape[1], self.config.n_ctx
        if (cache.length and n_new > 1) or cache.length + n_new > n_ctx:
            raise ValueError(f"tokens_BT must be one token behind {cache.length}, and at most {n_ctx} with them, got {n_new}")
        x_BTD = self._residual(tokens_BT, cache)
        cache.length += n_new
        return self._logits(x_BTD[:, -1])

    def _residual(self, tokens_BT: Tensor, cache: KeyValueCache | None = None) -> Tensor:
        """The residual stream after the last layer, (batch, position, d_model)."""
        begin = 0 if cache is None else cache.length
        end = begin + tokens_BT.shape[1]
        x_BTD: Tensor = self.tok_embed(tokens_BT)
        for layer, block in enumerate(self.layers):
            past = None if cache is None else cache.kept[:, layer, :, :, :end]
            x_BTD = block(x_BTD, self.rotation[begin:end], past)
        return x_BTD

    def _logits(self, x: Tensor) -> Tensor:
        logits: Tensor = self.head(self.ln_out(x))
        return logits

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
