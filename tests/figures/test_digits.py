"""Numbers in figures, against slow and obvious ones: to the digits in which they differ from others."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest

from msae.figures.digits import apart, number
from msae.figures.given import array


def test_numbers_stay_apart_and_keep_their_digits():
    rng = np.random.default_rng(0)
    for scale, n in itertools.product((1e-12, 1e-3, 1, 1e3, 1e12), (1, 2, 7, 300)):
        a = rng.choice([rng.normal(size=n), np.round(rng.normal(size=n), 1), rng.integers(-5, 5, n).astype(float)]) * scale
        out = np.array(apart(a), float)
        texts = [number(x) for x in apart(a)]
        for (x, y), (s, t) in zip(itertools.combinations(a, 2), itertools.combinations(texts, 2)):
            if abs(x - y) > 1e-11 * max(abs(x), abs(y)):
                assert s != t
        assert np.allclose(out, a, rtol=5e-3, atol=0), "three digits at least"
        assert all(len(f"{float(x):.12g}") <= len(f"{float(x):.17g}") for x in out)


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ([0.123456], ["0.123"]),
        ([0.99999, 0.99998], ["0.99999", "0.99998"]),
        ([0.1 + 0.2, 0.3], ["0.3", "0.3"]),
        ([12345.678], ["12,346"]),
        ([1, 1, 2], ["1", "1", "2"]),
        ([1e-7, -1e-7], ["1e-7", "-1e-7"]),
        ([1e20, 1e5], ["1e+20", "100,000"]),
    ],
)
def test_digits_of_a_number(numbers, texts):
    assert [number(x) for x in apart(np.array(numbers, float))] == texts


def test_a_cell_stands_beside_its_row_its_column_and_the_other_panels():
    a = np.array([[0.12341, 0.5], [0.9, 0.12342]])
    assert apart(a) == [[0.123, 0.5], [0.9, 0.123]]
    assert apart(np.array([[0.12341, 0.12342]])) == [[0.12341, 0.12342]]
    assert apart(np.stack([a, a + 0.00001]))[0] == [[0.12341, 0.5], [0.9, 0.12342]]
    large = np.full((101, 101), 0.5)
    large[3, 4:6] = 0.99999, 0.99998
    assert [apart(large)[3][k] for k in (3, 4, 5, 6)] == [0.5, 0.99999, 0.99998, 0.5]


def test_numbers_of_every_kind_are_taken():
    torch = pytest.importorskip("torch")
    for kind in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.int8, torch.bool):
        assert array(torch.ones(2, dtype=kind, requires_grad=kind.is_floating_point), "x", 1).tolist() == [1, 1]
        assert array([torch.ones((), dtype=kind), np.float16(1)], "x", 1).tolist() == [1, 1]
    assert array([np.float64(1), 2, True], "x", 1).tolist() == [1, 2, 1]
    assert array(np.ma.masked_array([1, 2], [False, False]), "x", 1).tolist() == [1, 2]
    assert math.isclose(array(range(3), "x", 1).sum(), 3)
