#!/usr/bin/env python3
"""Golden values of operations that are no loop nest: sorting and what is made of it. Writes routines.txt beside this file.

    python3 -m venv venv && venv/bin/pip install numpy scipy && venv/bin/python tests/golden/make_routines.py
"""

import os

import numpy as np

from cases import DTYPES, F, exact, floats, write

rng = np.random.default_rng(20240811)


def shapes(make_array):
    """Arrays of several shapes, each with every axis and the words for it."""
    for shape in [(7,), (3, 4), (2, 5, 3), (4, 1), (1,), (0, 3), (600,)]:
        for axis in range(len(shape)):
            yield make_array(shape), axis


def sorting():
    def order(x, axis, descending):
        # NaN is the largest, and equal elements keep their order.
        n = x.shape[axis]
        key = -np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis) + n - 1 if descending else None
        if descending:
            return np.ascontiguousarray(np.take(key, range(n), axis)).astype(np.int32)
        return np.argsort(x, axis, kind="stable").astype(np.int32)

    for d, dtype in DTYPES.items():
        def draw(shape):
            x = rng.integers(-3, 4, shape) / (2 if d in F else 1)
            x = (x > 0) if d == "bool" else x.astype(dtype)
            if d in F and x.size > 6:
                x.ravel()[[1, 4, 5]] = [np.nan, np.inf, np.nan]
            return x

        for x, axis in shapes(draw):
            for descending in (False, True):
                way = "down" if descending else "up"
                positions = order(x, axis, descending)
                exact(f"argsort {axis} {way}", [x], lambda x: positions)
                exact(f"sort {axis} {way}", [x], lambda x: np.take_along_axis(x, positions, axis))
            k = min(2, x.shape[axis])
            largest = np.take(order(x, axis, True), range(k), axis)
            exact(f"top_k {k} {axis}", [x], lambda x: np.take_along_axis(x, largest, axis))
            exact(f"top_k_positions {k} {axis}", [x], lambda x: largest)
    extreme = np.array([2**63 - 1, -(2**63), 0, -1, 2**62], np.int64)
    exact("sort 0 up", [extreme], np.sort)
    for shape, axis in [((7,), 0), ((6,), 0), ((3, 5), 1), ((4, 3), 0), ((1, 2), 0)]:
        x = rng.normal(size=shape)
        floats(f"median {axis}", [x], np.median, axis=axis)
        for q in (0.0, 0.1, 0.75, 1.0):
            floats(f"quantile {q} {axis}", [x], np.quantile, q=q, axis=axis)
    x = np.array([[1.0, np.nan, 2.0], [3.0, 1.0, 2.0]])
    floats("median 1", [x], np.median, axis=1)


sorting()
write(os.path.join(os.path.dirname(os.path.abspath(__file__)), "routines.txt"), "make_routines.py")
