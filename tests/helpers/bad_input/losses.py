"""Losses, penalties, prefix laws, the controller, exchanges and the schedule."""

import torch
from bad_input import INF, NAN, NOT_A_NUMBER, NOT_A_TENSOR, NOT_WHOLE, Function, Says
from bad_input.sae import NO_DEVICE, NOT_A_GENERATOR

import msae
from msae.sae.penalties import PENALTIES
from msae.sae.prefixes import inclusion_of, inclusion_probability
from msae.support.schedules import trapezoid
from msae.training.controller import L0Controller, integral_for, integral_in_fade
from msae.training.exchange import find_moves
from msae.training.losses import all_prefix_loss, dense_all_prefix_loss, plain_loss, prefix_loss

B, D, N, K = 3, 4, 5, 2


def with_one(shape, value, dtype=torch.float32):
    x = torch.ones(shape, dtype=dtype)
    x.view(-1)[1] = value
    return x


def wrong(*shape):
    """What is no tensor of finite numbers of this shape."""
    shapes = [torch.ones(*shape[:-1], shape[-1] + 1), torch.tensor(1.0)]
    return [*NOT_A_TENSOR, with_one(shape, NAN), with_one(shape, INF), torch.ones(shape, dtype=torch.complex64), *shapes]


def shapes(*shape):
    """The same, where a wrong shape is told by naming all."""
    return [value if not isinstance(value, torch.Tensor) or value.shape == shape else Says(value, "got") for value in wrong(*shape)]


PROBABILITIES = [*NOT_A_TENSOR, torch.full((N,), 1.5), torch.full((N,), -0.5), with_one((N,), NAN), torch.ones(N + 1), torch.tensor(1.0)]
INDICES = torch.tensor([[0, 1], [2, 3], [4, 0]])
NO_LENGTHS = [torch.tensor(value) for value in ([0], [N + 1], [1.5], 2)] + [torch.zeros(0).long()]
BASE = {"x": torch.ones(B, D), "b_dec": torch.zeros(D)}


def dense():
    return {**BASE, "acts": torch.ones(B, N), "W_dec": torch.ones(N, D)}


LAWS = [msae.SquareRootPrefixes(3), msae.ParetoPrefixes(3), msae.UniformPrefixes(3), msae.FullPrefix(), msae.FixedPrefixes([2, N])]

TABLE = [
    Function(
        all_prefix_loss,
        lambda: {**BASE, "values": torch.ones(B, K), "indices": INDICES, "W_dec": torch.ones(N, D), "inclusion": torch.ones(N)},
        {
            "x": [*shapes(B, D), Says(torch.ones(B + 1, D), "batch 4"), Says(torch.ones(0, D), "empty"), torch.ones(2, B, D)],
            "b_dec": [*shapes(D), torch.zeros(D).long(), torch.zeros(1, D)],
            "values": [*shapes(B, K), torch.ones(B, K + 1), torch.ones(B)],
            "indices": [*NOT_A_TENSOR, INDICES[:2], INDICES.float(), INDICES + 1, INDICES - 1, Says(INDICES * 0, "got 0 twice in input 0")],
            "W_dec": [*shapes(N, D), torch.ones(D), Says(torch.ones(N - 1, D), "got 5")],
            "inclusion": PROBABILITIES,
        },
    ),
    Function(
        dense_all_prefix_loss,
        lambda: {**dense(), "inclusion": torch.ones(N)},
        {
            "x": [*shapes(B, D), Says(torch.ones(B + 1, D), "acts must have the shape")],
            "b_dec": shapes(D),
            "acts": [*shapes(B, N), torch.ones(N)],
            "W_dec": [*shapes(N, D), Says(torch.ones(N - 1, D), "got 5")],
            "inclusion": PROBABILITIES,
        },
    ),
    Function(plain_loss, dense, {"x": shapes(B, D), "b_dec": shapes(D), "acts": [*shapes(B, N), torch.ones(N)], "W_dec": shapes(N, D)}),
    Function(
        prefix_loss,
        lambda: {**dense(), "rank": torch.arange(N), "lengths": torch.tensor([2, N])},
        {
            "x": shapes(B, D),
            "b_dec": shapes(D),
            "acts": shapes(B, N),
            "W_dec": shapes(N, D),
            "rank": [*NOT_A_TENSOR, torch.zeros(N).long(), torch.arange(N) + 1, torch.arange(N - 1), torch.arange(N).float()],
            "lengths": [
                *NOT_A_TENSOR,
                torch.tensor([0]),
                torch.tensor([N + 1]),
                torch.tensor([]).long(),
                torch.tensor([1.5]),
                torch.tensor(2),
            ],
        },
    ),
    *(
        Function(
            penalty,
            lambda: {"acts": torch.ones(3, 4)},
            {"acts": [*NOT_A_TENSOR, with_one((3, 4), NAN), with_one((3, 4), INF), with_one((3, 4), -1.0), torch.ones(3).long()]},
            name=f"penalty {name}",
        )
        for name, penalty in PENALTIES.items()
    ),
    Function(
        inclusion_probability,
        lambda: {"lengths": torch.full((N,), 1 / N)},
        {"lengths": [*NOT_A_TENSOR, torch.ones(N), with_one((N,), NAN), torch.tensor([2.0, -1.0]), torch.tensor(1.0), torch.ones(0)]},
    ),
    Function(
        inclusion_of,
        lambda: {"lengths": torch.tensor([1, N]), "n_latents": N},
        {
            "lengths": [
                *NOT_A_TENSOR,
                torch.tensor([0]),
                torch.tensor([N + 1]),
                torch.tensor([1.0]),
                torch.ones(0).long(),
                torch.tensor(1),
            ],
            "n_latents": [*NOT_WHOLE, 0, -1],
        },
    ),
    *(
        Function(
            law.sample,
            lambda: {"n_latents": N},
            {"n_latents": [*NOT_WHOLE, 0, -1], "generator": NOT_A_GENERATOR},
            name=f"{type(law).__name__}.sample",
        )
        for law in LAWS
    ),
    *(
        Function(law.inclusion, lambda: {"n_latents": N}, {"n_latents": [*NOT_WHOLE, 0, -1]}, name=f"{type(law).__name__}.inclusion")
        for law in LAWS
    ),
    *(
        Function(law.lengths, lambda: {"n_latents": N}, {"n_latents": [*NOT_WHOLE, 0, -1]}, name=f"{type(law).__name__}.lengths")
        for law in LAWS[:3]
    ),
    Function(
        L0Controller,
        lambda: {"n_seeds": 2, "start": 0.03, "device": "cpu", "smoothing": 0.9, "proportional": 1.0, "integral": 0.03},
        {
            "n_seeds": [*NOT_WHOLE, 0, -1],
            "start": [*NOT_A_NUMBER, 0, -1.0],
            "device": NO_DEVICE,
            "smoothing": [*NOT_A_NUMBER, -0.1, 1, 2],
            "proportional": [*NOT_A_NUMBER, -0.1],
            "integral": [*NOT_A_NUMBER, -0.1],
        },
    ),
    Function(
        lambda l0_S, target_S: L0Controller(2).update(l0_S, target_S),
        lambda: {"l0_S": torch.ones(2), "target_S": 3.0},
        {"l0_S": [*NOT_A_TENSOR, torch.ones(3), torch.tensor(1.0)], "target_S": [*NOT_A_NUMBER, 0, -1.0, torch.ones(3), torch.ones(2, 2)]},
        name="L0Controller.update",
    ),
    Function(integral_for, lambda: {"n_steps": 10}, {"n_steps": [*NOT_WHOLE, 0, -1]}),
    Function(integral_in_fade, lambda: {"n_steps": 10}, {"n_steps": [*NOT_WHOLE, 0, -1]}),
    Function(
        find_moves,
        lambda: {"x_SBD": torch.ones(2, B, D), "residual_SBD": torch.ones(2, B, D), "power_SN": torch.ones(2, N)},
        {
            "x_SBD": [*wrong(2, B, D), torch.ones(B, D), torch.ones(3, B, D), torch.ones(2, B + 1, D)],
            "residual_SBD": [*shapes(2, B, D), Says(torch.ones(3, B, D), "power_SN"), Says(torch.ones(2, 0, D), "x_SBD")],
            "power_SN": [*NOT_A_TENSOR, torch.ones(3, N), torch.ones(N), with_one((2, N), NAN), Says(torch.ones(2, 0), "got")],
            "most": [*NOT_WHOLE, 0],
        },
    ),
    Function(
        trapezoid,
        lambda: {"step": 3, "n_steps": 10, "warmup": 0.1, "decay": 0.2},
        {
            "step": [*NOT_WHOLE, -1],
            "n_steps": [*NOT_WHOLE, 0, -1],
            "warmup": [*NOT_A_NUMBER, -0.1, 1.1],
            "decay": [*NOT_A_NUMBER, -0.1, 1.1],
        },
    ),
]
