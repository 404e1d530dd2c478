"""Walks against what is known of them on paper, and points in the stream against the stream put together by hand."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_models import STORIES, tiny_language_model

import msae
from msae.activations.hooks import run_to_hook
from msae.activations.rows import Texts, read_texts
from msae.interventions import along, continued, placed, up_and_down, walk

HOOK = "blocks.1.hook_resid_pre"


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return tiny_language_model(tmp_path_factory.mktemp("lm"), STORIES, d_model=8, n_layers=2)


@pytest.fixture(params=[msae.ReLU(), msae.TopK(2)], ids=lambda kind: type(kind).__name__)
def sae(request: pytest.FixtureRequest) -> msae.SAE:
    sae = msae.SAE(8, 6, nonlinearity=request.param, hook_name=HOOK, generator=drawn(1))
    with torch.no_grad():
        sae.b_enc += 0.3
        sae.b_dec += 0.2
    return sae


def test_no_steps_are_the_start_and_steps_of_no_length_stay_there() -> None:
    start = torch.randn(3, 5, generator=drawn(0))
    torch.testing.assert_close(walk(start, 0, length=2.0), start[None], rtol=0, atol=0)
    torch.testing.assert_close(walk(start, 4, length=0.0), start.expand(5, 3, 5), rtol=0, atol=0)
    with pytest.raises(ValueError, match="n_steps"):
        walk(start, -1, length=1.0)


def test_every_step_has_the_length_and_the_seed_decides_which_it_is() -> None:
    start, rows = torch.randn(4, 6, generator=drawn(0)), 3 * torch.randn(7, 6, generator=drawn(1))
    for directions in (None, rows):
        one, again, other = (walk(start, 5, length=0.7, directions=directions, generator=drawn(seed)) for seed in (2, 2, 3))
        torch.testing.assert_close((one[1:] - one[:-1]).norm(dim=-1), torch.full((5, 4), 0.7))
        assert torch.equal(one, again)
        assert not torch.equal(one, other)


@pytest.mark.parametrize("width", [1, 2, 8, 256])
def test_the_squared_distance_has_the_mean_and_the_spread_of_the_closed_form(width: int) -> None:
    """Mean t s² and standard deviation s² √(2 t (t − 1) / d), each within four standard errors."""
    n, t, s = 4000, 12, 0.5
    path = walk(torch.zeros(n, width), t, length=s, generator=drawn(0)).double()
    squared = path[-1].square().sum(1)
    spread = s**2 * (2 * t * (t - 1) / width) ** 0.5
    assert abs(float(squared.mean()) - t * s**2) < 4 * spread / n**0.5
    assert abs(float(squared.std()) / spread - 1) < 0.15
    first = path[1].square().sum(1)
    torch.testing.assert_close(first, torch.full_like(first, s**2), msg="after one step there is no spread")


def test_along_directions_the_spread_counts_how_alike_they_are() -> None:
    """s² √(2 t (t − 1) c), with c the mean squared cosine of two directions drawn independently."""
    n, t = 20_000, 9
    rows = torch.randn(5, 4, generator=drawn(0)).double()
    unit = rows / rows.norm(dim=1, keepdim=True)
    c = float(((unit @ unit.T) ** 2).mean())
    squared = walk(torch.zeros(n, 4), t, length=1.0, directions=rows, generator=drawn(1))[-1].double().square().sum(1)
    assert float(squared.mean()) == pytest.approx(t, rel=0.05)
    assert float(squared.std()) == pytest.approx((2 * t * (t - 1) * c) ** 0.5, rel=0.05)


def test_each_direction_is_as_likely_as_the_other_and_so_is_each_sign() -> None:
    n = 6000
    steps = walk(torch.zeros(n, 3), 1, length=1.0, directions=torch.diag(torch.tensor([1.0, -5.0, 0.1])), generator=drawn(0))[1]
    for axis in range(3):
        for sign in (1, -1):
            assert int((steps[:, axis] == sign).sum()) / n == pytest.approx(1 / 6, abs=0.02)


def test_a_walk_keeps_to_the_directions_it_may_take() -> None:
    allowed = torch.tensor([[True, False, True, False], [False, False, False, True], [False] * 4])
    path = walk(torch.zeros(3, 4), 200, length=1.0, directions=torch.eye(4), allowed=allowed, generator=drawn(0))
    moved = (path[1:] != path[:-1]).any(0)
    assert torch.equal(moved, allowed), "every allowed one is taken, and no other"
    first = (path[1:, 0, 0] != path[:-1, 0, 0]).double().mean()
    assert float(first) == pytest.approx(0.5, abs=0.12), "both as often"


@torch.no_grad()
def test_up_and_down_is_what_a_loop_over_the_latents_does(sae: msae.SAE) -> None:
    start, end = torch.randn(2, 5, 8, generator=drawn(0))
    got = up_and_down(sae, start, end)
    for i in range(5):
        z, wanted, up, down = sae.encode(start[i]), sae.encode(end[i]), start[i].clone(), start[i].clone()
        for k in range(6):
            up -= max(0.0, float(z[k] - wanted[k])) * sae.W_dec[k]
            down += float(wanted[k] - z[k]) * sae.W_dec[k]
        for stop, expected in zip(got[:, i], (start[i], up, down)):
            torch.testing.assert_close(stop, expected, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(up_and_down(sae, start, start), start.expand(3, 5, 8))
    error = start - sae(start)
    torch.testing.assert_close(got[2], sae(end) + error, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_points_stand_where_they_are_put(lm: Any) -> None:
    tokens = read_texts(lm, STORIES, n_ctx=12).tokens[:2]
    x = run_to_hook(lm, tokens, HOOK)
    points, places = torch.randn(2, 2, 8, generator=drawn(0)), torch.tensor([[1, 5], [7, 2]])
    for text in range(2):
        for point, place in zip(points[text], places[text]):
            x[text, place] = point
    expected = lm.run_with_hooks(tokens, return_type="logits", fwd_hooks=[(HOOK, lambda value, hook: x)])
    with placed(lm, HOOK, points, places=places):
        torch.testing.assert_close(lm(tokens, return_type="logits"), expected)
    x = run_to_hook(lm, tokens, HOOK)
    x[[0, 1], [1, 7]] = points[:, 0]
    expected = lm.run_with_hooks(tokens, return_type="logits", fwd_hooks=[(HOOK, lambda value, hook: x)])
    with placed(lm, HOOK, points[:, 0], places=places[:, 0]):
        torch.testing.assert_close(lm(tokens, return_type="logits"), expected)


def test_its_own_points_change_nothing_and_what_does_not_fit_is_said(lm: Any) -> None:
    tokens = read_texts(lm, ["Lily ran to the dog."], n_ctx=12).tokens[:1]
    x = run_to_hook(lm, tokens, HOOK)
    expected = continued(lm, "Lily ran", 6)
    with placed(lm, HOOK, x[:, 2], places=torch.tensor([2])):
        assert continued(lm, "Lily ran", 6) == expected
        with pytest.raises(ValueError, match="placed are points for 1"):
            lm(tokens.expand(2, -1))
    with placed(lm, HOOK, x[:, 2], places=torch.tensor([11])), pytest.raises(ValueError, match="up to token 11"):
        continued(lm, "Lily ran", 6)


@torch.no_grad()
def test_what_is_measured_along_a_path_is_what_a_loop_finds(lm: Any, sae: msae.SAE) -> None:
    read = read_texts(lm, STORIES[:3], n_ctx=12)
    places = torch.tensor([3, 1, 5])
    texts = Texts(read.tokens[:3], torch.arange(12) == places[:, None], read.story[:3])
    x = run_to_hook(lm, texts.tokens, HOOK)[torch.arange(3), places]
    path = walk(x, 4, length=0.8, generator=drawn(0))
    got = along(lm, sae, path, texts=texts)
    for stop in range(5):
        for i in range(3):
            point, row = path[stop, i], texts.tokens[i, : places[i] + 1][None]
            acts = sae.encode(point)
            before = lm(row, return_type="logits")[0, -1].log_softmax(-1).double()

            def put(value: torch.Tensor, hook: object, point: torch.Tensor = point) -> torch.Tensor:
                return torch.cat([value[:, :-1], point[None, None]], dim=1)

            after = lm.run_with_hooks(row, return_type="logits", fwd_hooks=[(HOOK, put)])[0, -1].log_softmax(-1).double()
            expected = [
                (point - x[i]).norm(),
                point @ x[i] / (point.norm() * x[i].norm()),
                (point - sae.decode(acts)).norm(),
                (acts > 0).sum(),
                (before.exp() * (before - after)).sum(),
            ]
            for name, found, wanted in zip(got._fields, got, expected):
                assert float(found[stop, i]) == pytest.approx(float(wanted), rel=1e-4, abs=1e-5), name
    assert got.kl[0].max() < 1e-6
    assert got.distance[0].max() == 0, "at the start nothing has changed"
