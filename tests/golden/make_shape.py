#!/usr/bin/env python3
"""Golden values of shape operations, indexing and reductions. Writes shape.txt beside this file.

    python3 -m venv venv && venv/bin/pip install numpy scipy jax torch && venv/bin/python tests/golden/make_shape.py
"""

import os

import jax
import numpy as np
import scipy.special
import torch

from cases import F, case, exact, floats, write

jax.config.update("jax_enable_x64", True)
rng = np.random.default_rng(20240913)


def grid(*shape):
    """Numbers that all types hold."""
    return np.arange(np.prod(shape), dtype=np.float32).reshape(shape) - 3


def ints(*values, dtype=np.int32):
    return np.array(values, dtype)


def movement():
    x = grid(2, 3, 4)
    exact("infer", [x], lambda x: x.reshape(2, -1, 6))
    exact("flatten", [x], lambda x: x.reshape(2, 12))
    exact("flatten_none", [x], lambda x: x.reshape(2, 1, 3, 4))
    exact("swap_axes", [x], lambda x: np.swapaxes(x, 0, -1))
    exact("move_axis", [x], lambda x: np.moveaxis(x, 0, -1))
    exact("move_axis_back", [x], lambda x: np.moveaxis(x, -1, 1))
    exact("expand_dims", [x], lambda x: np.expand_dims(x, (0, -2)))
    exact("slice_from", [x], lambda x: x[:, 1:])
    exact("slice_to", [x], lambda x: x[:, :2])
    exact("slice_through", [x], lambda x: x[..., 1:3])
    exact("slice_backwards", [x], lambda x: x[..., ::-3])
    for shift in (1, -2, 7):
        exact(f"roll_{shift}", [x], lambda x: np.roll(x, shift, -1))
    exact("roll_1: of nothing", [np.zeros((2, 0), np.float32)], lambda x: np.roll(x, 1, -1))
    exact("tile", [x], lambda x: np.tile(x, (2, 1, 3)))
    exact("tile_more", [grid(3)], lambda x: np.tile(x, (2, 2)))
    exact("tile_fewer", [grid(2, 3)], lambda x: np.tile(x, (2,)))
    exact("repeat", [x], lambda x: np.repeat(x, 3, 1))
    exact("repeat_none", [x], lambda x: np.repeat(x, 0, 1))
    for i, part in enumerate(np.array_split(grid(7, 2), 3)):
        exact(f"chunk_{i}", [grid(7, 2)], lambda x: part)
    for i, part in enumerate(np.split(grid(2, 5), [2, 2], 1)):
        exact(f"split_{i}", [grid(2, 5)], lambda x: part)
    for i, part in enumerate(np.meshgrid(grid(3), grid(2), grid(4), indexing="ij")):
        exact(f"meshgrid_{i}", [grid(3), grid(2), grid(4)], lambda *_: part)
    image = grid(2, 4, 4, 6)
    exact("space_to_depth", [image], lambda x: x.reshape(2, 4, 2, 2, 3, 2).transpose(0, 3, 5, 1, 2, 4).reshape(2, 16, 2, 3))
    exact("depth_to_space", [image], lambda x: x.reshape(2, 2, 2, 1, 4, 6).transpose(0, 3, 4, 1, 5, 2).reshape(2, 1, 8, 12))
    exact("pixel_shuffle", [image], lambda x: torch.nn.functional.pixel_shuffle(torch.tensor(x), 2).numpy())


def matrices():
    for shape in [(3, 4), (4, 3), (2, 3, 3), (1, 1), (0, 3)]:
        for k in (-5, -1, 0, 2, 4):
            x = grid(*shape) + 4
            exact(f"tril_{k}", [x], lambda x: np.tril(x, k))
            exact(f"triu_{k}", [x], lambda x: np.triu(x, k))
            exact(f"diagonal_{k}", [x], lambda x: np.diagonal(x, k, -2, -1))
            if shape[-1] < 4:
                exact(f"eye_{k}", [x], lambda x: np.broadcast_to(np.eye(*x.shape[-2:], k=k, dtype=x.dtype), x.shape))
    for n in (0, 1, 3):
        for k in (-2, 0, 1):
            exact(f"diag_{k}", [grid(n)], lambda x: np.diag(x, k) if n else np.zeros((abs(k), abs(k)), x.dtype))
    rows = grid(2, 3)
    exact("diag_1: rows", [rows], lambda x: np.stack([np.diag(r, 1) for r in x]))
    exact("diagonal_axes", [grid(3, 2, 4)], lambda x: np.diagonal(x, 1, 0, 2))
    exact("trace", [grid(2, 3, 4)], lambda x: np.trace(x, 0, -2, -1))
    masked = np.array([[1, np.nan], [np.inf, 2]], np.float32)
    exact("tril_-1: leaves NaN out", [masked], lambda x: np.tril(x, -1))


def padding():
    for name in ("constant", "edge", "reflect", "wrap"):
        extra = {"constant_values": 1.5} if name == "constant" else {}
        for shape, widths in [((3, 4), ((1, 2), (3, 0))), ((2, 3), ((0, 5), (7, 4))), ((1, 2), ((2, 1), (0, 0))), ((5,), ((4, 4),))]:
            exact(f"pad_{name}", [grid(*shape), np.array(widths, np.int32)], lambda x, w: np.pad(x, w, name, **extra))
        exact(f"pad_{name}: crops", [grid(5, 4), ints([-1, -2], [2, -1])], lambda x, w: np.pad(x, ((0, 0), (2, 0)), name, **extra)[1:3, :5])
    crop = jax.lax.pad(grid(2), np.float32(1.5), [(-3, 5, 0)])
    exact("pad_constant: more than there is", [grid(2), ints([-3, 5])], lambda *_: np.asarray(crop))


def starts():
    x = grid(4, 5, 3)
    for at in [(1, 2, 0), (9, -9, 1), (-1, 3, 2), (2, 1, 2)]:
        for sizes in [(2, 2, 2), (4, 2, 3), (4, 5, 1), (4, 5, 3), (1, 0, 2)]:
            # JAX counts negative starts from the end before it clamps, XLA does not.
            index = [np.int32(a) for a in at]
            word = "_".join(map(str, sizes))
            exact(f"dynamic_slice_{word}", [x, *index], lambda x, *i: np.asarray(jax.lax.dynamic_slice(x, np.maximum(i, 0), sizes)))
            update = 100 + grid(*sizes)
            update = update.astype(np.float32)
            exact("dynamic_update_slice", [x, update, *index], lambda x, u, *i: np.asarray(jax.lax.dynamic_update_slice(x, u, np.maximum(i, 0))))


def indexing():
    x = grid(3, 4, 2)
    for dtype in (np.int32, np.int64):
        index = rng.integers(0, 4, (3, 5, 2)).astype(dtype)
        exact("take_along_axis_1", [x, index], lambda x, i: np.take_along_axis(x, i, 1))
        exact("take_along_axis_1: broadcast", [x, index[:1, :, :1]], lambda x, i: np.take_along_axis(x, np.broadcast_to(i, (3, 5, 2)), 1))
        exact("gather_nd", [x, ints([0, 3], [2, 1], dtype=dtype)], lambda x, i: x[tuple(i.T)])
        exact("gather_nd: elements", [x, ints([[2, 1, 1]], dtype=dtype)], lambda x, i: x[2:, 1, 1:])
        exact("gather_nd: one axis", [x, ints([2], [0], dtype=dtype)], lambda x, i: x[[2, 0]])
        outside = ints([0, 4], [2, 1], [-1, 0], [3, -4], dtype=dtype)
        exact("gather_nd: out of range", [x, outside], lambda x, i: np.stack([x[0, 0] * np.nan, x[2, 1]] + [x[0, 0] * np.nan] * 2))
        lines = ints([[0], [4], [-1], [1]], dtype=dtype).reshape(1, 4, 1)
        exact("take_along_axis_1: out of range", [x, lines], lambda x, i: np.stack([x[:, 0], x[:, 0] * np.nan, x[:, 0] * np.nan, x[:, 1]], 1))
    exact("embedding", [grid(5, 2), ints([1, 4], [1, 0])], lambda x, i: x[i])
    mask = np.array([[True, False], [False, True]])
    exact("masked_fill", [np.array([[np.nan, 1], [2, np.inf]], np.float32), mask], lambda x, m: np.where(m, np.float32(7), x))


def scatters():
    at = {"add": np.add.at, "mul": np.multiply.at, "max": np.maximum.at, "min": np.minimum.at}

    def scatter(name, x, place, update):
        """Updates in row-major order, one after the other."""
        out = x.copy()
        if name == "set":
            for p, u in zip(zip(*place) if isinstance(place, tuple) else place, update):
                out[p] = u
        else:
            at[name](out, place, update)
        return out

    def flat(i, n):
        i = i.ravel()
        return i, (0 <= i) & (i < n)

    for name in ("set", "add", "mul", "max", "min"):
        for dtype in (np.float32, np.float64, np.int32, np.int64, np.bool_):
            if dtype == np.bool_ and name in ("add", "mul"):
                continue
            whole = rng.integers(-4, 5, (4, 3))
            x = (whole > 0) if dtype == np.bool_ else whole.astype(dtype)
            for index_type in (np.int32, np.int64):
                index = ints([2, 0, 2], [-1, 4, 2], dtype=index_type)
                values = rng.integers(-4, 5, (2, 3, 3))
                update = (values > 0) if dtype == np.bool_ else values.astype(dtype)
                if dtype in (np.float32, np.float64):
                    update[0, 1, 1] = np.nan
                i, keep = flat(index, 4)
                rows = update.reshape(6, 3)
                case(f"scatter_{name}", [x, index, update], scatter(name, x, i[keep], rows[keep]))
                columns = x.T.copy()
                case(f"scatter_1_{name}", [columns, index, np.moveaxis(update, 2, 0).copy()], scatter(name, x, i[keep], rows[keep]).T.copy())
        x = rng.integers(-4, 5, (3, 4)).astype(np.float32)
        index = ints([0, 3, 0], [1, 1, 7], [-2, 2, 2])
        update = rng.integers(-4, 5, (3, 3)).astype(np.float32)
        r, c = np.indices(index.shape)
        keep = (0 <= index) & (index < 4)
        case(f"scatter_along_1_{name}", [x, index, update], scatter(name, x, (r[keep], index[keep]), update[keep]))
        places = ints([0, 3], [2, 1], [0, 3], [3, 0], [1, -1], [0, 3])
        values = rng.integers(-4, 5, 6).astype(np.float32)
        keep = np.array([True, True, True, False, False, True])
        case(f"scatter_nd_{name}", [x, places, values], scatter(name, x, tuple(places[keep].T), values[keep]))
    case("index_add", [grid(2, 3), ints(0, 2, 0), grid(2, 3)], scatter("add", grid(2, 3).T.copy(), [0, 2, 0], grid(2, 3).T).T.copy())


def reductions():
    x = rng.normal(size=(3, 4, 5))
    axes = {"all": (0, 1, 2), "first": (0,), "last": (2,), "outer": (0, 2)}
    for word, axis in axes.items():
        for ddof in (0, 1):
            floats(f"var{ddof}_{word}", [x], lambda x: np.var(x, axis=axis, ddof=ddof), 4)
            floats(f"std{ddof}_{word}", [x], lambda x: np.std(x, axis=axis, ddof=ddof), 4)
        floats(f"lse_{word}", [x * 30], lambda x: scipy.special.logsumexp(x, axis), 4)
        for p in (1, 1.5, 2, 3, np.inf):
            floats(f"norm{p}_{word}", [x], lambda x: (np.sum(np.abs(x) ** p, axis) ** (1 / p) if p < np.inf else np.abs(x).max(axis)), 8)
        some = np.where(rng.random((3, 4, 5)) < 0.3, 0, x)
        for dtype in (np.float32, np.int32, np.int64, np.bool_):
            y = some.astype(dtype)
            exact(f"any_{word}", [y], lambda y: np.any(y, axis))
            exact(f"all_{word}", [y], lambda y: np.all(y, axis))
            exact(f"count_{word}", [y], lambda y: np.count_nonzero(y, axis).astype(np.int64) if len(axis) < 3 else np.int64(np.count_nonzero(y)))
        exact(f"any_{word}: of NaN", [np.full((1, 2, 1), np.nan, np.float32)], lambda y: np.any(y, axis))
    inf = np.inf
    floats("lse_last: infinities", [np.array([[[-inf, -inf], [0, -inf], [inf, 0], [inf, -inf], [np.nan, 0], [1e4, 1e4]]])], lambda x: scipy.special.logsumexp(x, 2))
    # Too large or small for squares in single precision.
    for size in (1e30, 1e-30):
        stored = (x * size).astype(np.float32)
        for p in (2, 3):
            expected = np.sum(np.abs(stored.astype(np.float64)) ** p, 2) ** (1 / p)
            case(f"norm{p}_last: of {size:g}", [stored], expected.astype(np.float32), (4e-6, 1e-6))
    for word, shift in (("offset", 1e4), ("small", 1e-3)):
        floats(f"var0_last: {word}", [x + shift], lambda x: np.var(x, axis=2), 4)
    floats("var1_last: one", [x[:, :, :1]], lambda x: np.var(x, axis=2, ddof=1))
    empty = np.zeros((2, 3, 0), np.float32)
    for word, value in (("any", False), ("all", True), ("count", np.int64(0)), ("lse", np.float32(-inf)), ("norm2", np.float32(0)),
                        ("norminf", np.float32(0)), ("var0", np.float32(np.nan)), ("std0", np.float32(np.nan))):
        case(f"{word}_last: nothing", [empty], np.full((2, 3), value))


movement()
matrices()
padding()
starts()
indexing()
scatters()
reductions()
write(os.path.join(os.path.dirname(os.path.abspath(__file__)), "shape.txt"), "make_shape.py")
