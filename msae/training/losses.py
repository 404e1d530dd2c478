"""The losses by definition, for readers, chapters and tests. Training computes the same, with its gradients, in `sparse` and `dense`.

Nested prefixes make the expectation over prefix lengths a closed form. With s_i the probability that latent i lies in the prefix
(its inclusion), r0 = x - b_dec and D_i the decoder rows,

    E ‖r0 - Σ_{i in prefix} z_i D_i‖² = ‖r0‖² - 2 Σ_i s_i z_i ⟨r0, D_i⟩ + Σ_ij min(s_i, s_j) z_i z_j ⟨D_i, D_j⟩

because i and j are both in the prefix exactly when the later of them is. s = 1 is the plain SAE; the mean over a step's sampled lengths is
the same formula with s_i the share of them that hold latent i. So all three losses are one formula and differ in s.
The prefix idea is Nabeshima's (2024, "Method"); the closed form is ours (chapter "The Matryoshka loss").
"""

from __future__ import annotations

import torch
from torch import Tensor

from msae.support.arguments import tensor
from msae.training.layout import even_pairs
from msae.training.quadratic import Terms, quadratic_form


def all_prefix_loss(x: Tensor, b_dec: Tensor, values: Tensor, indices: Tensor, W_dec: Tensor, inclusion: Tensor) -> Tensor:
    """The expected squared error over random prefixes, from the active latents alone.

    Args:
        x: (batch, d_model) inputs.
        b_dec: (d_model,) decoder bias; every prefix has it.
        values: (batch, k) activations of k latents per input; 0 where fewer are active.
        indices: (batch, k) which latents, all different within an input unless their value is 0.
        W_dec: (n_latents, d_model) decoder rows.
        inclusion: (n_latents,) probability, 0 to 1, that each latent lies in the prefix.

    Returns:
        scalar: mean over the batch of E‖x - x̂‖², in squared units of x; in the widest precision given, float32 at least.

    Raises:
        ValueError: where shapes do not fit, a number is NaN or infinite, or an index or an inclusion is out of range, before any work.

    Example:
        >>> import msae, torch
        >>> x, W_dec = torch.tensor([[1.0, 1.0]]), torch.eye(2)
        >>> values, indices = torch.tensor([[1.0, 1.0]]), torch.tensor([[0, 1]])
        >>> msae.all_prefix_loss(x, torch.zeros(2), values, indices, W_dec, torch.tensor([1.0, 0.5]))  # every second prefix lacks latent 1
        tensor(0.5000)
    """
    tensor("x", x, ("batch", "d_model"))
    x, b_dec, values, W_dec = _as_one(x=x, b_dec=b_dec, values=values, W_dec=W_dec)
    _check_shapes(x, b_dec, W_dec, ())
    inclusion = _checked(inclusion, x, W_dec, ())
    indices = tensor("indices", indices, numbers="whole").to(x.device).long()
    if values.shape != indices.shape or values.ndim != 2 or len(values) != len(x):
        raise ValueError(
            f"values and indices must both be (batch, k) with batch {len(x)}, got {tuple(values.shape)} and {tuple(indices.shape)}"
        )
    if indices.numel() and not 0 <= int(indices.min()) <= int(indices.max()) < len(W_dec):
        raise ValueError(f"indices must name latents 0 to {len(W_dec) - 1}, got {int(indices.min())} to {int(indices.max())}")
    own = torch.where(values != 0, indices, -1 - torch.arange(indices.shape[1], device=indices.device)).sort(1).values
    twice = (own[:, 1:] == own[:, :-1]).nonzero()
    if len(twice):
        row, at = twice[0].tolist()
        raise ValueError(f"indices must differ within an input unless their value is 0, got {int(own[row, at])} twice in input {row}")
    loss: Tensor = _AllPrefixLoss.apply(x, b_dec, values, indices, W_dec, inclusion)  # type: ignore[no-untyped-call]
    return loss


class _AllPrefixLoss(torch.autograd.Function):
    """`quadratic_form` for autograd: one pass gives the loss and all of its gradients, so the backward pass only scales them."""

    @staticmethod
    def forward(ctx, x_BD, b_dec, values_BK, indices_BK, W_dec, inclusion):  # type: ignore[no-untyped-def]
        form = quadratic_form(x_BD - b_dec, W_dec, inclusion, Terms(even_pairs(indices_BK), values_BK.flatten()))
        ctx.save_for_backward(form.d_values_P.view_as(values_BK), form.d_W_dec, form.d_b_dec_BD)
        return form.error / len(x_BD)

    @staticmethod
    def backward(ctx, grad):  # type: ignore[no-untyped-def]
        d_values, d_W_dec, d_b_dec_BD = ctx.saved_tensors
        scale = 2 * grad / len(d_values)
        return -scale * d_b_dec_BD, scale * d_b_dec_BD.sum(0), scale * d_values, None, scale * d_W_dec, None


def dense_all_prefix_loss(x: Tensor, b_dec: Tensor, acts: Tensor, W_dec: Tensor, inclusion: Tensor) -> Tensor:
    """The same loss from all activations, with one Gram matrix of the decoder; right where latents are few or most are active.

    Args:
        x: (…, batch, d_model) inputs; leading axes, here and below, for instance one per seed, are independent SAEs.
        b_dec: (…, d_model) decoder bias.
        acts: (…, batch, n_latents) activations.
        W_dec: (…, n_latents, d_model) decoder rows.
        inclusion: (…, n_latents) probability, 0 to 1, that each latent lies in the prefix.

    Returns:
        (…) mean over each batch of E‖x - x̂‖².

    Raises:
        ValueError: where shapes do not fit, a number is NaN or infinite, or an inclusion is out of range, before any work.

    Example:
        >>> import torch
        >>> from msae.training.losses import dense_all_prefix_loss
        >>> x = torch.tensor([[1.0, 1.0]])
        >>> dense_all_prefix_loss(x, torch.zeros(2), x, torch.eye(2), torch.tensor([1.0, 0.5]))
        tensor(0.5000)
    """
    x, b_dec, acts, W_dec = _as_one(x=x, b_dec=b_dec, acts=acts, W_dec=W_dec)
    _check_shapes(x, b_dec, W_dec)
    s = _checked(inclusion, x, W_dec)
    _check_acts(acts, x, W_dec)
    r0 = x - b_dec.unsqueeze(-2)
    weighted_gram = (W_dec @ W_dec.mT) * torch.minimum(s.unsqueeze(-1), s.unsqueeze(-2))
    error = r0.square().sum(-1) + (acts * (acts @ weighted_gram - 2 * s.unsqueeze(-2) * (r0 @ W_dec.mT))).sum(-1)
    return error.mean(-1)


def plain_loss(x: Tensor, b_dec: Tensor, acts: Tensor, W_dec: Tensor) -> Tensor:
    """The squared error with all latents.

    Args:
        x: (…, batch, d_model) inputs; leading axes, here and below, are independent SAEs.
        b_dec: (…, d_model) decoder bias.
        acts: (…, batch, n_latents) activations.
        W_dec: (…, n_latents, d_model) decoder rows.

    Returns:
        (…) mean over each batch of ‖x - x̂‖².

    Raises:
        ValueError: where shapes do not fit, or a number is NaN or infinite, before any work.

    Example:
        >>> import torch
        >>> from msae.training.losses import plain_loss
        >>> x = torch.tensor([[1.0, 1.0]])
        >>> plain_loss(x, torch.zeros(2), torch.tensor([[1.0, 0.0]]), torch.eye(2))
        tensor(1.)
    """
    x, b_dec, acts, W_dec = _as_one(x=x, b_dec=b_dec, acts=acts, W_dec=W_dec)
    _check_shapes(x, b_dec, W_dec)
    _check_acts(acts, x, W_dec)
    return (x - acts @ W_dec - b_dec.unsqueeze(-2)).square().sum(-1).mean(-1)


def prefix_loss(x: Tensor, b_dec: Tensor, acts: Tensor, W_dec: Tensor, rank: Tensor, lengths: Tensor) -> Tensor:
    """The mean of the plain losses of the given prefixes, one after the other: slow, obvious, the definition (Nabeshima 2024).

    Args:
        x: (batch, d_model) inputs.
        b_dec: (d_model,) decoder bias.
        acts: (batch, n_latents) activations.
        W_dec: (n_latents, d_model) decoder rows.
        rank: (n_latents,) 0 for the most important latent.
        lengths: (n_prefixes,) prefix lengths; a prefix of length m holds the latents with rank < m.

    Returns:
        scalar: the mean over the prefixes of the mean over the batch of ‖x - x̂‖².

    Raises:
        ValueError: where shapes do not fit, a number is NaN or infinite, or a rank or a length is out of range, before any work.

    Example:
        >>> import msae, torch
        >>> x = torch.tensor([[1.0, 1.0]])
        >>> msae.prefix_loss(x, torch.zeros(2), x, torch.eye(2), rank=torch.tensor([0, 1]), lengths=torch.tensor([1, 2]))
        tensor(0.5000)
    """
    x, b_dec, acts, W_dec = _as_one(x=x, b_dec=b_dec, acts=acts, W_dec=W_dec)
    _check_shapes(x, b_dec, W_dec, ())
    _check_acts(acts, x, W_dec)
    n = len(W_dec)
    rank = tensor("rank", rank, (n,), numbers="whole").to(x.device)
    lengths = tensor("lengths", lengths, ("n_prefixes",), numbers="whole").to(x.device)
    if not rank.sort().values.equal(torch.arange(n, device=rank.device, dtype=rank.dtype)):
        raise ValueError(f"rank must hold each of 0 to {n - 1} once, got {rank.tolist() if n < 12 else 'others'}")
    if not len(lengths) or int(lengths.min()) < 1 or int(lengths.max()) > n:
        raise ValueError(f"lengths must be prefix lengths from 1 to {n}, at least one, got {lengths.tolist()[:12]}")
    return torch.stack([plain_loss(x, b_dec, acts * (rank < m), W_dec) for m in lengths]).mean()


def _as_one(**tensors: Tensor) -> list[Tensor]:
    """Finite numbers on one device, in the widest of their precisions, float32 at least: squares leave half precision."""
    found = {name: tensor(name, value, numbers="real", finite=True) for name, value in tensors.items()}
    first = next(iter(found))
    dtype = torch.float32
    for name, value in found.items():
        if value.device != found[first].device:
            raise ValueError(f"{name} lies on {value.device} and {first} on {found[first].device}: move one")
        dtype = torch.promote_types(dtype, value.dtype)
    return [value.to(dtype) for value in found.values()]


def _check_shapes(x: Tensor, b_dec: Tensor, W_dec: Tensor, leading: tuple[str, ...] = ("…",)) -> None:
    for name, value, axes in (("x", x, ("batch", "d_model")), ("b_dec", b_dec, ("d_model",)), ("W_dec", W_dec, ("n_latents", "d_model"))):
        tensor(name, value, (*leading, *axes))
    if x.shape[-1] != W_dec.shape[-1] or b_dec.shape[-1] != W_dec.shape[-1]:
        raise ValueError(f"x, b_dec and W_dec must share d_model, got {x.shape[-1]}, {b_dec.shape[-1]} and {W_dec.shape[-1]}")
    if not x.numel() or not W_dec.numel():
        raise ValueError(f"x and W_dec must not be empty, got shapes {tuple(x.shape)} and {tuple(W_dec.shape)}")


def _checked(inclusion: Tensor, x: Tensor, W_dec: Tensor, leading: tuple[str, ...] = ("…",)) -> Tensor:
    """The inclusion, in the precision of x."""
    inclusion = tensor("inclusion", inclusion, (*leading, "n_latents"), finite=True).to(x)
    if inclusion.shape[-1] != W_dec.shape[-2]:
        raise ValueError(f"expected one inclusion probability for each of {W_dec.shape[-2]} latents, got {inclusion.shape[-1]}")
    if not bool(((inclusion > -1e-6) & (inclusion < 1 + 1e-6)).all()):
        raise ValueError(f"inclusion must lie between 0 and 1, got {inclusion.min().item():g} to {inclusion.max().item():g}")
    return inclusion


def _check_acts(acts: Tensor, x: Tensor, W_dec: Tensor) -> None:
    if acts.ndim < 2 or acts.shape[-2:] != (x.shape[-2], W_dec.shape[-2]):
        raise ValueError(f"acts must have the shape (…, {x.shape[-2]}, {W_dec.shape[-2]}), got {tuple(acts.shape)}")
