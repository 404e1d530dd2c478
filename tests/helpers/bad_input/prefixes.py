"""The prefix laws."""

from bad_input import INF, NAN, NOT_A_NUMBER, NOT_WHOLE, Function

import msae

TABLE = [
    Function(msae.SquareRootPrefixes, lambda: {"n": 3}, {"n": [*NOT_WHOLE, 0, -1]}),
    Function(msae.UniformPrefixes, lambda: {"n": 3}, {"n": [*NOT_WHOLE, 0, -1]}),
    Function(msae.ParetoPrefixes, lambda: {"n": 3, "alpha": 0.5}, {"n": [*NOT_WHOLE, 0, -1], "alpha": [*NOT_A_NUMBER, 0, -1.0]}),
    Function(
        msae.FixedPrefixes, lambda: {"widths": [1, 4]}, {"widths": [None, 3, [], [4, 1], [0, 1], [1.5, 4], [1, 1], "14", [NAN], [INF]]}
    ),
    Function(
        msae.WeightedPrefixes,
        lambda: {"widths": [1, 4], "weights": [1, 2.0]},
        {"widths": [None, 3, [], [4, 1]], "weights": [None, 3, [], [1], [1, 2, 3], [0, 1], [-1, 1], [NAN, 1], [INF, 1], "ab"]},
    ),
]
