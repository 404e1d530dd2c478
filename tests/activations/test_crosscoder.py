"""The stream of `tools/crosscoder.py`: two places of the model side by side, token by token."""

from __future__ import annotations

import crosscoder
import pytest
import torch
from torch.testing import assert_close

import msae


@pytest.fixture(scope="module")
def joined(tmp_path_factory: pytest.TempPathFactory) -> crosscoder.Joined:
    return crosscoder.harvested(msae.load_stories("bundled")[:4], None, tmp_path_factory.mktemp("activations"))


def test_a_batch_has_both_places_of_the_same_tokens(joined: crosscoder.Joined) -> None:
    (batch,) = (x for _, x in zip(range(1), joined.batches(64, seed=3), strict=False))
    far = torch.cdist(batch.float(), joined.x)
    assert batch.shape == (64, joined.d_model)
    assert_close(far.min(1).values, torch.zeros(64), atol=0.05, rtol=0)
    assert_close(joined.x[far.argmin(1)], batch.float(), atol=1e-3, rtol=1e-3)


def test_what_is_measured_of_each_place(joined: crosscoder.Joined) -> None:
    """An SAE that decodes next to nothing, with a row at each place and two at both."""
    d = joined.d_model
    sae = msae.SAE(d, 4)
    with torch.no_grad():
        sae.W_dec.zero_()
        sae.W_dec[0, 0] = sae.W_dec[1, -1] = 1e-6
        sae.W_dec[2:, d // 4] = sae.W_dec[2:, d - 1] = 1e-6
        sae.W_enc.mul_(0.001)
        sae.b_enc.fill_(1.0)
        sae.b_dec.copy_(joined.x.mean(0))
    found = crosscoder.measured(sae, {"itself": sae}, joined)
    assert found["l0"] == 4
    assert found["dead"] == 0
    assert_close(torch.tensor(list(found["fvu"].values())), torch.ones(2), atol=1e-3, rtol=0)
    share = found["share of the second place"]
    assert (share[0], share[10], share[-1], sum(share)) == (1, 2, 1, 4)
    assert found["holes"] == {"itself": 0.0}
