"""Detection and fuzzing against loops over stretches of text."""

from __future__ import annotations

import numpy as np
import pytest

from msae.metrics import detection, fuzzing

G = np.random.default_rng(0)
MASK = G.random((40, 50)) < 0.9
FIRES = (G.random((40, 50)) < 0.02) & MASK
MARKS = np.where(G.random((40, 50)) < 0.7, FIRES, G.random((40, 50)) < 0.01)


def stretches(window):
    """(text, first, last) of each in which something counts."""
    for text in range(40):
        for first in range(0, 50, window):
            if MASK[text, first : first + window].any():
                yield text, slice(first, first + window)


@pytest.mark.parametrize("window", [1, 8, 32, 50, 99])
def test_detection_is_the_mean_of_two_shares(window):
    right = {True: [], False: []}
    for place in stretches(window):
        right[bool(FIRES[place].any())].append((MARKS & MASK)[place].any() == FIRES[place].any())
    expected = np.mean([np.mean(its) for its in right.values()])
    assert detection(FIRES, MARKS, mask=MASK, window=window) == pytest.approx(expected, nan_ok=True)


def test_fuzzing_is_the_mean_over_random_highlights():
    g = np.random.default_rng(1)
    true = [place for place in stretches(10) if FIRES[place].any()]
    silent = [place for place in stretches(10) if not FIRES[place].any()]
    called_right = np.mean([MARKS[place][FIRES[place]].mean() >= 0.5 for place in true])
    called_wrong = []
    for _ in range(60):
        for place in silent:
            n = FIRES[true[g.integers(len(true))]].sum()
            lit = g.permutation(np.flatnonzero(MASK[place]))[:n]
            called_wrong.append(MARKS[place][lit].mean() < 0.5)
    found = np.mean([fuzzing(FIRES, MARKS, mask=MASK, window=10, seed=seed) for seed in range(60)])
    assert found == pytest.approx((called_right + np.mean(called_wrong)) / 2, abs=0.003)


def test_the_ends_of_both_scores():
    none, every = np.zeros_like(FIRES), np.ones_like(FIRES)
    for score in (detection, fuzzing):
        assert score(FIRES, FIRES, window=5) == 1
        assert score(FIRES, none, window=5) == score(FIRES, every, window=5) == 0.5
        assert np.isnan(score(none, MARKS))
        assert np.isnan(score(every, MARKS))


def test_places_that_do_not_count_have_no_say():
    other = np.where(MASK, MARKS, ~MARKS)
    assert detection(FIRES, MARKS, mask=MASK) == detection(FIRES, other, mask=MASK)
    assert fuzzing(FIRES, MARKS, mask=MASK) == fuzzing(FIRES, other, mask=MASK)
