#!/usr/bin/env python3
"""Golden values of operations of unsigned integers: sums that wrap, order beyond the sign bit, indices of each type. Writes integers.txt beside this file.

    python3 -m venv venv && venv/bin/pip install numpy && venv/bin/python tests/golden/make_integers.py
"""

import os

import numpy as np

import cases
from cases import exact, write

rng = np.random.default_rng(20251129)
DTYPES = {"u8": np.uint8, "u32": np.uint32, "i32": np.int32, "i64": np.int64}
UNSIGNED = [np.uint8, np.uint32]
cases.NAMES.update({np.dtype(d): n for n, d in DTYPES.items()})


def draw(dtype, *shape):
    """Numbers of the whole range, and equal ones among them."""
    info = np.iinfo(dtype)
    x = rng.integers(info.min, info.max, shape, dtype=dtype, endpoint=True)
    x.ravel()[::5] = info.max
    x.ravel()[1::7] = info.min
    return x


def positions(x, axis, descending):
    n = x.shape[axis]
    if not descending:
        return np.argsort(x, axis, kind="stable").astype(np.int32)
    return (n - 1 - np.flip(np.argsort(np.flip(x, axis), axis, kind="stable"), axis)).astype(np.int32)


def folds(dtype):
    x = draw(dtype, 2, 3, 4)
    for word, axes in {"all": (0, 1, 2), "first": (0,), "last": (2,), "outer": (0, 2)}.items():
        exact(f"sum_{word}", [x], lambda x: np.sum(x, axes, dtype=dtype))
        exact(f"prod_{word}", [x], lambda x: np.prod(x, axes, dtype=dtype))
        exact(f"max_{word}", [x], lambda x: np.max(x, axes))
        exact(f"min_{word}", [x], lambda x: np.min(x, axes))
        exact(f"count_{word}", [x], lambda x: np.asarray(np.sum(x != 0, axes), np.int64))
    for axis in range(3):
        exact(f"argmax_{axis}", [x], lambda x: np.argmax(x, axis).astype(np.int32))
        exact(f"argmin_{axis}", [x], lambda x: np.argmin(x, axis).astype(np.int32))
    for way in ("inclusive forward", "inclusive reverse"):
        turn = (lambda x: np.flip(x, 1)) if way.endswith("reverse") else (lambda x: x)
        for name, f in {"sum": np.add, "prod": np.multiply}.items():
            exact(f"cumulative {name} 1 {way}", [x], lambda x: turn(f.accumulate(turn(x), 1, dtype=dtype)).copy())
        for name, f in {"max": np.maximum, "min": np.minimum}.items():
            exact(f"cumulative {name} 1 {way}", [x], lambda x: turn(f.accumulate(turn(x), 1)).copy())
    long = draw(dtype, 70)
    for y, axis in ((x, 2), (x, 0), (long, 0)):
        for way in ("up", "down"):
            order = positions(y, axis, way == "down")
            exact(f"argsort {axis} {way}", [y], lambda y: order)
            exact(f"sort {axis} {way}", [y], lambda y: np.take_along_axis(y, order, axis))
        largest = np.take(positions(y, axis, True), range(2), axis)
        exact(f"top_k 2 {axis}", [y], lambda y: np.take_along_axis(y, largest, axis))


def products(dtype):
    a, b = draw(dtype, 3, 4), draw(dtype, 4, 2)
    exact("dot", [a, b], lambda a, b: np.einsum("ij,jk->ik", a, b, dtype=dtype))
    # Large enough for a call of the runtime, where there is one.
    exact("dot", [draw(dtype, 12, 16), draw(dtype, 16, 9)], lambda a, b: np.einsum("ij,jk->ik", a, b, dtype=dtype))
    exact("matmul", [draw(dtype, 2, 1, 2, 3), draw(dtype, 2, 3, 2)], lambda a, b: np.einsum("aeij,bjk->abik", a, b, dtype=dtype))
    exact("einsum ii,ij->j", [draw(dtype, 3, 3), draw(dtype, 3, 2)], lambda a, b: np.einsum("ii,ij->j", a, b, dtype=dtype))
    exact("outer", [draw(dtype, 3), draw(dtype, 2)], lambda a, b: np.multiply.outer(a, b))


def movement(dtype):
    x = draw(dtype, 2, 3, 4)
    exact("transpose", [x], lambda x: x.transpose(2, 0, 1).copy())
    exact("slice_reversed", [x], lambda x: x[:, :, 3::-2].copy())
    exact("concat_last", [x, x[:, :, :1].copy()], lambda *x: np.concatenate(x, -1))
    exact("flip", [x], lambda x: np.flip(x, (0, 2)).copy())
    exact("tril_-1", [x], lambda x: np.tril(x, -1))
    exact("roll_3", [x], lambda x: np.roll(x, 3, -1))
    exact("repeat", [x], lambda x: np.repeat(x, 3, 1))
    exact("tile", [x], lambda x: np.tile(x, (2, 1, 3)))
    exact("space_to_depth", [draw(dtype, 1, 2, 2, 4)], lambda x: x.reshape(1, 2, 1, 2, 2, 2).transpose(0, 3, 5, 1, 2, 4).reshape(1, 8, 1, 2))
    for mode, name in {"edge": "edge", "reflect": "reflect", "wrap": "wrap"}.items():
        exact(f"pad_{mode}", [x[0], np.array([1, 2, 2, 1], np.int64)], lambda x, _: np.pad(x, ((1, 2), (2, 1)), name))
    mask = np.array([True, False, True, False])
    exact("masked_fill", [x, mask], lambda x, m: np.where(m, dtype(7), x))
    exact("clamp_numbers", [np.minimum(x, dtype(100))], lambda x: np.clip(x, dtype(3), dtype(50)))


def indexing(dtype):
    x = draw(dtype, 4, 3)
    # Indices of each type.
    for index_type in DTYPES.values():
        index = np.array([[2, 0], [2, 3]], index_type)
        exact("take_0", [x, index], lambda x, i: x[i])
        exact("embedding", [x, index], lambda x, i: x[i])
        exact("pick", [x, np.array([2, 0, 1, 1], index_type)], lambda x, i: x[np.arange(4), i])
        exact("gather_nd", [x, np.array([[3, 1], [0, 2]], index_type)], lambda x, i: x[i[:, 0], i[:, 1]])
        exact("take_along_axis_1", [x, np.array([[2], [0], [1], [2]], index_type)], lambda x, i: np.take_along_axis(x, i.astype(int), 1))
        exact("dynamic_slice_2_2", [x, index_type(1), index_type(0)], lambda x, i, j: x[1:3, 0:2].copy())
    at = {"add": np.add.at, "mul": np.multiply.at, "max": np.maximum.at, "min": np.minimum.at}
    for name in ("set", "add", "mul", "max", "min"):
        def scatter(x, place, updates):
            out = x.copy()
            if name == "set":
                for p, u in zip(zip(*place) if isinstance(place, tuple) else place, updates):
                    out[p] = u
            else:
                at[name](out, place, updates)
            return out

        for index_type in UNSIGNED:
            index = np.array([2, 0, 2, 3, 2], index_type)
            exact(f"scatter_{name}", [x, index, draw(dtype, 5, 3)], lambda x, i, u: scatter(x, i, u))
            places = np.array([[2, 0], [0, 1], [2, 0], [3, 2], [2, 0]], index_type)
            exact(f"scatter_nd_{name}", [x, places, draw(dtype, 5)], lambda x, i, u: scatter(x, tuple(i.T), u))
            lines = np.array([[2, 2, 0, 2], [1, 1, 1, 0]], index_type)
            rows = np.indices(lines.shape)[0]
            exact(f"scatter_along_1_{name}", [draw(dtype, 2, 3), lines, draw(dtype, 2, 4)], lambda x, i, u: scatter(x, (rows, i) if name != "set" else (rows.ravel(), i.ravel()), u if name != "set" else u.ravel()))


for dtype in UNSIGNED:
    folds(dtype)
    products(dtype)
    movement(dtype)
    indexing(dtype)
for d in DTYPES.values():
    exact("one_hot", [np.array([3, 0, 1], d)], lambda x: np.eye(4, dtype=np.float32)[x.astype(int)])
write(os.path.join(os.path.dirname(os.path.abspath(__file__)), "integers.txt"), "make_integers.py")
