"""Everything but training on a real card: what a user calls with device="cuda" gives what a CPU gives. Skipped where there is no card."""

import copy

import numpy as np
import pytest
import torch
from alike import assert_equal, plain, vars_of
from chosen_device import CHOSEN, WHY_NOT, chosen_device
from tiny_models import STORIES
from tiny_saes import random_sae
from torch.testing import assert_close

import msae
from msae import metrics
from msae.explore import Explorer
from msae.lm.measuring import bits_per_character
from msae.training.losses import dense_all_prefix_loss, plain_loss

pytestmark = pytest.mark.skipif(bool(WHY_NOT), reason=WHY_NOT)

HOOK = "blocks.1.hook_resid_pre"
HOW = {"hook_name": HOOK, "n_ctx": 16, "dtype": torch.float32}
QUIET = {"progress": False}
KINDS = [msae.ReLU(), msae.TopK(3), msae.BatchTopK(3), msae.JumpReLU()]


def near(ours, theirs):
    """Sums are rounded in another order on a card."""
    assert_close(plain(ours), plain(theirs), rtol=2e-3, atol=2e-4, equal_nan=True, check_dtype=False)


@pytest.mark.parametrize("kind", KINDS, ids=str)
def test_an_sae_moves_encodes_and_is_saved_and_loaded(kind, tmp_path):
    sae, x = random_sae(kind), torch.randn(9, 16, generator=torch.Generator().manual_seed(1))
    with chosen_device() as device:
        moved, x_there = copy.deepcopy(sae).to(device), x.to(device)
        near(moved.encode(x_there), sae.encode(x))
        near(moved(x_there), sae(x))
        near(moved.prefix(7)(x_there), sae.prefix(7)(x))
        moved.save(tmp_path / "sae")
        again = msae.SAE.load(tmp_path / "sae", device=device)
        assert again.W_enc.device.type == device.type
        near(again(x_there), sae(x))
    assert_equal(msae.SAE.load(tmp_path / "sae")(x), sae(x))


def test_the_losses_and_their_gradients():
    g = torch.Generator().manual_seed(0)
    x, b_dec, values, W_dec, acts = (torch.randn(*s, generator=g) for s in ((6, 5), (5,), (6, 3), (9, 5), (6, 9)))
    indices, inclusion = torch.stack([torch.randperm(9, generator=g)[:3] for _ in range(6)]), torch.rand(9, generator=g)

    def losses(device):
        learnt = [t.clone().to(device).requires_grad_() for t in (x, b_dec, values, W_dec, acts)]
        given = [t.to(device) for t in (indices, inclusion, torch.arange(9), torch.tensor([2, 9]))]
        loss = msae.all_prefix_loss(*learnt[:3], given[0], learnt[3], given[1])
        loss.backward()
        others = (learnt[0], learnt[1], learnt[4], learnt[3])
        slow = [dense_all_prefix_loss(*others, given[1]), plain_loss(*others), msae.prefix_loss(*others, *given[2:])]
        return [loss, *slow, *(t.grad for t in learnt[:4])]

    with chosen_device() as device:
        near(losses(device), losses("cpu"))


def test_activations_kept_live_and_harvested(folder, lm, read, tmp_path):
    whole = next(read.batches(8, 0, skip=5))
    with chosen_device() as device:
        model = msae.load_language_model(folder, device=str(device))
        for source in (model, lm):
            for cache in (None, tmp_path / "cache"):
                kept = msae.Activations(source, STORIES, device=device, cache=cache, **HOW, **QUIET)
                assert kept.x.device.type == device.type
                near(kept.x, read.x)
                near(next(kept.batches(8, 0, skip=5)), whole)
            live = msae.LiveActivations(source, STORIES, device=device, **HOW)
            batch = next(live.batches(8, 0, skip=5))
            assert batch.device.type == device.type
            near(batch, whole)
        found = msae.harvest(model, STORIES, [HOOK, "blocks.0.hook_mlp_out"], n_ctx=16, dtype=torch.float32, device=device, **QUIET)
        near(found[HOOK].x, read.x)


def test_training_on_a_language_model_there(folder, read):
    config = msae.TrainConfig(n_latents=64, target_l0=4, n_steps=6, batch_size=32)
    wanted = msae.train(config, read, **QUIET)
    with chosen_device() as device:
        model = msae.load_language_model(folder, device=str(device))
        for stream in (read, msae.Activations(model, STORIES, device=device, **HOW, **QUIET), msae.LiveActivations(model, STORIES, **HOW)):
            found = msae.train(config, stream, device=device, **QUIET)
            assert_close(found.history["loss"].cpu(), wanted.history["loss"], rtol=0.02, atol=0.02)


@pytest.mark.skipif(CHOSEN == "pretend", reason="the pretend device has no generator")
def test_stories_are_told_there():
    """The card draws by a generator of its own: other stories than a CPU's, but the same ones each time."""
    how = {"seed": 1, "batch_size": 2, "max_tokens": 300, "progress": False}
    with chosen_device() as device:
        lm = msae.load_language_model("bundled", device=str(device))
        told = [msae.sample_stories(lm, 1, **how).stories for _ in range(2)]
    assert told[0] == told[1]
    assert len(told[0][0]) > 50


def test_bits_per_character_there(folder, lm):
    tokenizer = lm.tokenizer.backend_tokenizer
    wanted = bits_per_character(lambda tokens: lm(tokens), STORIES, tokenizer, 16)
    with chosen_device() as device:
        model = msae.load_language_model(folder, device=str(device))
        assert bits_per_character(lambda tokens: model(tokens), STORIES, tokenizer, 16, str(device)) == pytest.approx(wanted, rel=1e-3)


CONCEPT, STORY = np.arange(60) % 4 == 0, torch.arange(60) // 6
MEASURES = {
    "l0": lambda sae, x, acts: metrics.l0(acts),
    "fvu": lambda sae, x, acts: metrics.fvu(x, sae.decode(acts)),
    "dead": lambda sae, x, acts: metrics.dead(acts).tolist(),
    "closest": lambda sae, x, acts: metrics.closest(acts, acts[:, 3:6]),
    "holes": lambda sae, x, acts: metrics.holes(acts, (acts[:, :4] > 0).float(), 5, parent=0, children=[1, 2]),
    "reconstruction": lambda sae, x, acts: metrics.reconstruction(sae, x, story=STORY),
    "mean_max_correlation": lambda sae, x, acts: vars_of(metrics.mean_max_correlation(sae, sae.prefix(20), x, story=STORY)),
    "mean_max_correlation of activations": lambda sae, x, acts: vars_of(metrics.mean_max_correlation(acts, acts[:, :9])),
    "concept_score": lambda sae, x, acts: metrics.concept_score(acts, 3, CONCEPT, story=STORY),
    "concept_scores": lambda sae, x, acts: metrics.concept_scores(acts, CONCEPT).f1.tolist(),
    "hole_rate": lambda sae, x, acts: metrics.hole_rate(acts, 3, CONCEPT),
    "absorption": lambda sae, x, acts: metrics.absorption(sae, x, CONCEPT, latents=[3], chunk=5),
    "mean_difference": lambda sae, x, acts: metrics.mean_difference(x, CONCEPT),
}


@pytest.mark.parametrize("name", MEASURES)
def test_a_measure_is_the_same_there(name):
    sae, x = random_sae(), torch.randn(60, 16, generator=torch.Generator().manual_seed(1))
    acts = sae.encode(x).detach()
    wanted = MEASURES[name](sae, x, acts)
    with chosen_device() as device:
        near(MEASURES[name](copy.deepcopy(sae).to(device), x.to(device), acts.to(device)), wanted)


def test_splicing_there(folder, lm, read):
    saes = {"a": random_sae(), "b": random_sae(msae.TopK(3))}
    wanted = metrics.splice(lm, saes, read)
    with chosen_device() as device:
        model = msae.load_language_model(folder, device=str(device))
        moved = {name: copy.deepcopy(sae).to(device) for name, sae in saes.items()}
        for which, these in ((model, moved), (model, saes), (lm, moved)):
            near(metrics.splice(which, these, read, batch_size=2), wanted)


def test_latents_and_an_explorer_of_what_is_there(folder, lm, read):
    sae = random_sae()
    wanted = msae.Latents({"S": sae}, read)
    with chosen_device() as device:
        model, moved = msae.load_language_model(folder, device=str(device)), copy.deepcopy(sae).to(device)
        kept = msae.Activations(model, STORIES, device=device, **HOW, **QUIET)
        found = msae.Latents({"S": moved}, kept)
        assert found.tokens.shape == wanted.tokens.shape
        near(torch.from_numpy(found.dense("S/3")), torch.from_numpy(wanted.dense("S/3")))
        assert Explorer.from_saes({"S": moved}, kept, model).bundle()
