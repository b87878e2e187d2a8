#!/usr/bin/env python3
"""Golden values: what NumPy and SciPy make of each operation. Writes ops.txt and sgd.txt beside this file; tests/golden.rs reads them.

    python3 -m venv venv && venv/bin/pip install numpy scipy && venv/bin/python tests/golden/make.py
"""

import itertools
import os

import numpy as np
import scipy.special

from cases import DTYPES, F, NAMES, TOLERANCE, array_text, blocks, case, exact, floats, text, wide

rng = np.random.default_rng(20240607)
def normal(*shape):
    """Normal numbers with few decimals, which keep the file small and the sums inexact."""
    return np.round(rng.standard_normal(shape), 3)


def halves(*shape):
    return rng.integers(-8, 9, shape) / 2


def ints(*shape, dtype=np.int32, low=-9, high=10):
    return rng.integers(low, high, shape).astype(dtype)


# --- Scalar functions on tricky points -------------------------------------------------------------------------------------------------------------

POSITIVE = [0.0, 1e-8, 1e-4, 0.1, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 2.5, 3.0, 3.141592653589793, 5.0, 10.0, 16.5, 20.0, 50.0, 87.0, 1000.5, 1e6, 1e8,
            1e20, np.inf]
POINTS = np.array(POSITIVE + [-p for p in POSITIVE] + [np.nan])
TINY = {"f32": [1e-45, 1e-40, 1.1754944e-38, 1e-30, 3.4028235e38], "f64": [5e-324, 1e-310, 2.2250738585072014e-308, 1e-200, 1.7976931348623157e308]}
UNARY = {
    "neg": np.negative, "abs": np.abs, "sign": np.sign, "stop_gradient": lambda x: x, "exp": np.exp, "expm1": np.expm1, "log": np.log,
    "log1p": np.log1p, "softplus": lambda x: np.logaddexp(0, x), "tanh": np.tanh, "sigmoid": scipy.special.expit, "sqrt": np.sqrt,
    "rsqrt": lambda x: 1 / np.sqrt(x), "erf": scipy.special.erf, "sin": np.sin, "cos": np.cos, "floor": np.floor, "ceil": np.ceil,
    "round": np.rint, "trunc": np.trunc,
}
ROUNDED = {"exp", "expm1", "log", "log1p", "softplus", "tanh", "sigmoid", "rsqrt", "erf", "sin", "cos"}
for name, f in UNARY.items():
    for d, dtype in F.items():
        # The largest and smallest numbers; sines of huge angles are a matter of accuracy tests.
        points = [p for p in POINTS if not (name in ("sin", "cos") and 1e7 < abs(p) < np.inf)]
        more = TINY[d][:4] if name in ("sin", "cos") else TINY[d]
        x = np.array(list(points) + more + [-p for p in more]).astype(dtype)
        with np.errstate(all="ignore"):
            y = f(wide(x)).astype(dtype)
        tol = (TOLERANCE[d][0], 0.0) if name in ROUNDED else None
        if name in ROUNDED:
            # Subnormal results may be flushed by an engine's arithmetic.
            keep = ~((np.abs(y) > 0) & (np.abs(y) < np.finfo(dtype).tiny * 2))
            x, y = x[keep], y[keep]
        case(name, [x], y, tol)
    if name in ("neg", "abs", "sign", "stop_gradient"):
        for dtype in (np.int32, np.int64):
            info = np.iinfo(dtype)
            exact(name, [np.array([0, 1, -1, 7, -9, info.max, info.min, info.min + 1], dtype)], f)
for d, dtype in F.items():
    exact("is_nan", [POINTS.astype(dtype)], np.isnan)
truth = np.array([False, True])
exact("not", [truth], np.logical_not)
pairs = np.array(list(itertools.product(truth, truth)))
for name, f in {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor}.items():
    exact(name, [pairs[:, 0], pairs[:, 1]], f)

FEW = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -3.0, 2.5, 1e-5, 1e5, np.inf, -np.inf, np.nan]
COMPARE = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}
grid = np.array(list(itertools.product(FEW, FEW)))


def trunc_div(a, b):
    safe = np.where(b == 0, 1, b)
    q = np.abs(a.astype(object)) // np.abs(safe.astype(object))
    q = np.where((a < 0) != (safe < 0), -q, q)
    q = np.where(b == 0, 0, q)
    info = np.iinfo(a.dtype)
    span = 2 ** info.bits
    return np.array([(int(v) - info.min) % span + info.min for v in q], a.dtype)


def trunc_rem(a, b):
    safe = np.where(b == 0, 1, b).astype(object)
    r = np.abs(a.astype(object)) % np.abs(safe)
    r = np.where(a < 0, -r, r)
    return np.where(b == 0, a.astype(object), r).astype(a.dtype)


BINARY = {"add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "max": np.maximum, "min": np.minimum, "pow": np.power}
for name, f in BINARY.items():
    for d, dtype in F.items():
        a, b = grid[:, 0].astype(dtype), grid[:, 1].astype(dtype)
        with np.errstate(all="ignore"):
            y = f(wide(a), wide(b)).astype(dtype)
        tol = (TOLERANCE[d][0] * (2 if name == "pow" else 1), 0.0) if name == "pow" else None
        case(name, [a, b], y, tol)
    for dtype in (np.int32, np.int64):
        if name == "pow":
            continue
        info = np.iinfo(dtype)
        g = np.array(list(itertools.product([0, 1, -1, 7, -7, 3, -3, info.max, info.min], repeat=2)), dtype)
        exact(name, [g[:, 0].copy(), g[:, 1].copy()], trunc_div if name == "div" else f)
for dtype in (np.int32, np.int64):
    info = np.iinfo(dtype)
    g = np.array(list(itertools.product([0, 1, -1, 7, -7, 3, -3, info.max, info.min], repeat=2)), dtype)
    exact("rem", [g[:, 0].copy(), g[:, 1].copy()], trunc_rem)
for d, dtype in F.items():
    g = np.array(list(itertools.product([0.0, 1.0, -1.0, 7.0, -7.5, 3.25], [1.0, -1.0, 2.0, -3.0, 0.5, 5.0])), dtype)
    exact("rem", [g[:, 0].copy(), g[:, 1].copy()], np.fmod)
for name, f in COMPARE.items():
    for d, dtype in F.items():
        exact(name, [grid[:, 0].astype(dtype), grid[:, 1].astype(dtype)], f)
    for dtype in (np.int32, np.int64):
        info = np.iinfo(dtype)
        g = np.array(list(itertools.product([0, 1, -1, info.max, info.min], repeat=2)), dtype)
        exact(name, [g[:, 0].copy(), g[:, 1].copy()], f)
    exact(name, [pairs[:, 0].copy(), pairs[:, 1].copy()], f)
for dtype in DTYPES.values():
    c = np.array([True, False, True, False, False])
    a, b = ints(5).astype(dtype), ints(5).astype(dtype)
    exact("select", [c, a, b], np.where)
exact("select", [np.array([True, False]), np.array([1.0, np.nan]), np.array([np.nan, 2.0])], np.where)

# --- Conversions -----------------------------------------------------------------------------------------------------------------------------------

NUMBERS = {
    "bool": np.array([False, True]),
    "i32": np.array([0, 1, -1, 7, 16777217, 2**31 - 1, -(2**31)], np.int32),
    "i64": np.array([0, 1, -1, 7, 2**53 + 1, 2**32 + 5, -(2**31) - 1, 2**63 - 1, -(2**63)], np.int64),
    "f32": np.array([0.0, -0.0, 0.5, -0.5, 1.5, -2.7, 16777216, 2147483520, 3e9, -3e9, 1e19, -1e19, 1e38, np.inf, -np.inf, np.nan], np.float32),
    "f64": np.array([0.0, -0.0, 0.5, -0.5, 1.5, -2.7, 0.1, 2147483647.5, 3e9, -3e9, 9.3e18, -1e19, 1e300, -1e-300, np.inf, -np.inf, np.nan]),
}


def convert(x, to):
    if NAMES[x.dtype][0] != "f" or to[0] != "i":
        # NumPy wraps integers, and takes truth values and NaN as Rust does.
        return x.astype(DTYPES[to]) if to != "bool" else x != 0
    info = np.iinfo(DTYPES[to])
    out = [0 if np.isnan(v) else info.max if v >= info.max else info.min if v <= info.min else int(v) for v in x.astype(float)]
    return np.array(out, DTYPES[to])


for source, to in itertools.product(DTYPES, DTYPES):
    if source != to:
        exact(f"cast_{to}", [NUMBERS[source]], lambda x: convert(x, to))

# --- Movement --------------------------------------------------------------------------------------------------------------------------------------

cube = np.arange(24, dtype=np.float32).reshape(2, 3, 4)
exact("broadcast: rows", [np.arange(4, dtype=np.int32)], lambda x: np.broadcast_to(x, (3, 4)).copy())
exact("broadcast_column", [np.arange(3, dtype=np.float32).reshape(3, 1)], lambda x: np.broadcast_to(x, (2, 3, 4)).copy())
exact("broadcast_none", [np.zeros((1, 3), np.float32)], lambda x: np.broadcast_to(x, (0, 3)).copy())
exact("reshape", [cube], lambda x: x.reshape(4, 6))
exact("transpose_reshape", [cube], lambda x: x.transpose(2, 0, 1).reshape(8, 3))
exact("transpose", [cube], lambda x: x.transpose(2, 0, 1).copy())
exact("t", [cube], lambda x: x.swapaxes(1, 2).copy())
exact("slice", [cube], lambda x: x[:, 1:3, :].copy())
exact("slice_step", [cube], lambda x: x[:, :, 0:4:3].copy())
exact("slice_reversed", [cube], lambda x: x[:, :, 3::-2].copy())
exact("flip", [cube], lambda x: np.flip(x, (0, 2)).copy())
exact("flip_reshape", [cube], lambda x: np.flip(x, (0, 2)).reshape(6, 4))
exact("pad", [cube[0]], lambda x: np.pad(x, ((1, 0), (2, 3)), constant_values=-1.5))
exact("pad: truth values", [np.array([[True, False]] * 3 + [[False, True]])], lambda x: np.pad(x, ((1, 0), (2, 3)), constant_values=True))
interior = np.full((8, 8), 0.25)
interior[1:8:3, 0:7:2] = halves(3, 4)
exact("pad_interior", [interior[1:8:3, 0:7:2].copy()], lambda x: interior)
exact("concat", [cube[0], cube[1, :1], cube[0, :0]], lambda *x: np.concatenate(x, 0))
exact("concat_last", [cube[0], cube[1, :, :1]], lambda *x: np.concatenate(x, -1))
exact("stack", [cube[0], cube[1]], lambda *x: np.stack(x, 1))
exact("iota", [np.zeros((2, 3), np.int32)], lambda x: np.indices((2, 3))[1].astype(np.int32))
exact("iota", [np.zeros((3, 2), np.float32)], lambda x: np.indices((3, 2))[1].astype(np.float32))

# --- Reductions ------------------------------------------------------------------------------------------------------------------------------------

REDUCE = {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min}
AXES = {"all": (0, 1, 2), "first": (0,), "middle": (1,), "last": (2,), "outer": (0, 2)}
for name, f in REDUCE.items():
    for axes, numbers in AXES.items():
        x = normal(3, 4, 17)
        if name == "prod":
            x = 1 + x / 8
        for d, dtype in F.items():
            stored = x.astype(dtype)
            tol = None if name in ("max", "min") else (TOLERANCE[d][0] * 10, TOLERANCE[d][1] * 10)
            case(f"{name}_{axes}", [stored], f(wide(stored), axis=numbers).astype(dtype), tol)
        for dtype in (np.int32, np.int64):
            stored = ints(2, 3, 5, dtype=dtype)
            exact(f"{name}_{axes}", [stored], lambda x: f(x, axis=numbers, **({} if name in ("max", "min") else {"dtype": dtype})))
for dtype in (np.int32, np.int64):
    big = np.full((2, 2, 3), np.iinfo(dtype).max, dtype)
    exact("sum_all: wraps", [big], lambda x: np.sum(x, dtype=dtype))
    exact("prod_all: wraps", [big], lambda x: np.prod(x, dtype=dtype))
for name, f in REDUCE.items():
    for special in ([1.0, np.nan, 3.0], [np.inf, 1.0, -np.inf], [-np.inf, -np.inf, -5.0], [-0.0, -0.0, -0.0], [np.nan] * 3):
        for dtype in F.values():
            exact(f"{name}_last: special", [np.array([[special] * 2], dtype)], lambda x: f(x, axis=2))
for name in ("max", "min"):
    exact(f"{name}_middle: truth values", [rng.integers(0, 2, (2, 3, 5)) > 0], lambda x: REDUCE[name](x, axis=1))
for name in ("sum", "prod"):
    exact(f"{name}_middle: empty", [np.zeros((2, 0, 3), np.float32)], lambda x: REDUCE[name](x, axis=1))
    exact(f"{name}_last: no results", [np.zeros((2, 0, 3), np.float64)], lambda x: REDUCE[name](x, axis=2))
floats("sum_all: long", [1e3 + normal(1, 1, 1000)], np.sum, 10)
floats("sum_all: cancels", [np.array([[[1e6, 1.0, -1e6, 0.5]]])], np.sum, 10)
floats("mean_last", [normal(3, 4, 17)], lambda x: x.mean(2), 10)
floats("mean_all", [normal(3, 4, 17)], np.mean, 10)
floats("variance_last", [normal(3, 4, 17)], lambda x: x.var(2), 10)
floats("variance_last: large offset", [1e4 + halves(2, 2, 8)], lambda x: x.var(2), 10)
for name, f in {"argmax": np.argmax, "argmin": np.argmin}.items():
    for axis in (0, 1, 2):
        for dtype in (np.float32, np.float64, np.int32, np.int64):
            exact(f"{name}_{axis}", [ints(3, 4, 5, dtype=dtype, low=-3, high=4)], lambda x: f(x, axis=axis).astype(np.int32))
    special = np.array([[[1.0, np.nan, 3.0, np.nan], [np.inf, 1, np.inf, -np.inf], [-0.0, 0.0, -0.0, 0.0]]], np.float32)
    exact(f"{name}_2: special", [special], lambda x: f(x, axis=2).astype(np.int32))
    exact(f"{name}_1: truth values", [np.array([[[False], [True], [True], [False]]])], lambda x: f(x, axis=1).astype(np.int32))

# --- Products --------------------------------------------------------------------------------------------------------------------------------------

for shapes in [((3, 4), (4, 5)), ((3, 4), (4,)), ((4,), (4, 5)), ((4,), (4,)), ((2, 3, 4), (4, 5)), ((2, 3, 4), (2, 4, 5)), ((3, 4), (2, 4, 5)),
               ((2, 1, 3, 4), (3, 4, 2)), ((4,), (2, 4, 3)), ((1, 1), (1, 1)), ((17, 33), (33, 9)), ((3, 0), (0, 2)), ((0, 3), (3, 2))]:
    floats("dot", [normal(*shapes[0]), normal(*shapes[1])], np.matmul, 10)
    for dtype in (np.int32, np.int64):
        exact("dot", [ints(*shapes[0], dtype=dtype), ints(*shapes[1], dtype=dtype)], lambda a, b: np.asarray(np.matmul(a, b), dtype))
exact("dot: wraps", [np.full((1, 2), 2**31 - 1, np.int32), np.full((2, 1), 2**31 - 1, np.int32)], np.matmul)
floats("dot_transposed: left", [normal(4, 3), normal(4, 5)], lambda a, b: a.T @ b, 10)
floats("dot_transposed_right", [normal(3, 4), normal(5, 4)], lambda a, b: a @ b.T, 10)
floats("contract_crossed", [normal(2, 3, 4), normal(4, 5, 2)], lambda a, b: np.einsum("ijk,kli->jl", a, b), 10)
floats("contract_batch", [normal(3, 2, 4), normal(4, 3, 2)], lambda a, b: np.einsum("abk,kcb->bac", a, b), 10)
floats("contract_outer", [normal(3), normal(4)], np.multiply.outer, 10)
floats("linear", [normal(5, 4), normal(4, 3), normal(3)], lambda x, w, b: x @ w + b, 10)

# --- Indexing --------------------------------------------------------------------------------------------------------------------------------------


def take(x, index, axis, fill):
    inside = (index >= 0) & (index < x.shape[axis])
    out = np.take(x, np.where(inside, index, 0), axis)
    mask = inside.reshape((1,) * axis + inside.shape + (1,) * (x.ndim - axis - 1))
    return np.where(mask, out, np.asarray(fill, x.dtype))


table = halves(5, 3)
index = np.array([[4, 0], [2, 4], [1, 1]])
outside = np.array([3, -1, 5, 0, 2**31 - 1, -(2**31)])
for dtype, itype in itertools.product((np.float32, np.float64, np.int32, np.int64), (np.int32, np.int64)):
    x = (table * 2).astype(dtype)
    fill = np.nan if np.dtype(dtype).kind == "f" else 0
    exact("take_0", [x, index.astype(itype)], lambda x, i: take(x, i, 0, fill))
    exact("take_1", [x.T.copy(), index.astype(itype)], lambda x, i: take(x, i, 1, fill))
    exact("take_0: out of range", [x, outside.astype(itype)], lambda x, i: take(x, i, 0, fill))
    labels = np.array([2, 0, 1, -1, 3]).astype(itype)
    exact("pick", [x, labels], lambda x, i: np.array([r[k] if 0 <= k < 3 else np.asarray(fill).astype(dtype) for r, k in zip(x, i)], dtype))


def scatter(x, index, update, add):
    x = x.copy()
    for k, u in zip(index.ravel(), update.reshape((-1,) + x.shape[1:])):
        if 0 <= k < x.shape[0]:
            x[k] = x[k] + u if add else u
    return x


for dtype, itype in itertools.product((np.float32, np.float64, np.int32, np.int64), (np.int32, np.int64)):
    x, update = (table * 2).astype(dtype), (halves(3, 2, 3) * 2).astype(dtype)
    for name, add in (("scatter_add", True), ("scatter_set", False)):
        exact(name, [x, index.astype(itype), update], lambda x, i, u: scatter(x, i, u, add))
        more = (halves(6, 3) * 2).astype(dtype)
        exact(f"{name}: out of range", [x, outside.astype(itype), more], lambda x, i, u: scatter(x, i, u, add))
exact("scatter_set: truth values", [np.array([True, False, False]), np.array([2, 0, 2]), np.array([True, False, False])],
      lambda x, i, u: scatter(x, i, u, False))
exact("one_hot", [np.array([2, 0, 5, -1, 3], np.int32)], lambda i: (i[:, None] == np.arange(4)).astype(np.float32))

# --- Composites ------------------------------------------------------------------------------------------------------------------------------------

x = normal(5, 7) * 2
floats("relu", [POINTS], lambda x: np.where(x <= 0, 0, x))
floats("square", [x], np.square)
floats("gelu", [x], lambda x: x / 2 * (1 + scipy.special.erf(x / np.sqrt(2))), 4)
floats("gelu_tanh", [x], lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))), 4)
rows = {
    "": x,
    ": large": np.array([[1000.0, 1001.0, 999.0], [-1000.0, -1001.0, -999.5]]),
    ": far apart": np.array([[0.0, -200.0, 50.0], [0.0, 0.0, -1e5]]),
    ": infinite": np.array([[0.0, -np.inf, 1.0], [-np.inf, -np.inf, 2.0]]),
    ": one class": normal(3, 1),
}
for word, r in rows.items():
    scale = 400 if word in (": large", ": far apart") else 10
    floats(f"softmax{word}", [r], lambda x: scipy.special.softmax(x, -1), scale if word != ": large" else 10)
    floats(f"log_softmax{word}", [r], lambda x: scipy.special.log_softmax(x, -1), 10)
    floats(f"logsumexp{word}", [r], lambda x: scipy.special.logsumexp(x, -1), 10)
floats("logsumexp: nothing", [np.full((2, 3), -np.inf)], lambda x: np.full(2, -np.inf))
floats("softmax_0", [x], lambda x: scipy.special.softmax(x, 0), 10)
labels = np.array([0, 6, 3, 3, 1], np.int32)
floats("cross_entropy", [x, labels], lambda x, y: scipy.special.logsumexp(x, -1) - x[np.arange(5), y], 10)
large = np.array([[1000.0, 0.0], [-1000.0, 0.0]])
floats("cross_entropy: large", [large, np.array([1, 0], np.int32)], lambda x, y: scipy.special.logsumexp(x, -1) - x[np.arange(2), y], 10)
floats("mse", [normal(4, 5), normal(4, 5)], lambda a, b: np.mean((a - b) ** 2), 10)
logits = np.array([0.0, 1.0, -1.0, 50.0, -50.0, 1000.0, -1000.0, 3.0])
floats("bce_with_logits", [logits, np.array([1.0, 0, 1, 1, 0, 0, 1, 0.25])], lambda z, t: np.logaddexp(0, z) - z * t, 10)


def layer_norm(x, eps=1e-5):
    return (x - x.mean(-1, keepdims=True)) / np.sqrt(x.var(-1, keepdims=True) + eps)


floats("layer_norm", [x], layer_norm, 20)
floats("layer_norm: constant rows", [np.full((2, 4), 3.0)], layer_norm, 20)
floats("layer_norm: small", [1e-3 * halves(3, 8)], layer_norm, 20)
q, k, v = normal(2, 3, 4), normal(2, 5, 4), normal(2, 5, 4)
floats("attention", [q, k, v], lambda q, k, v: scipy.special.softmax(q @ k.swapaxes(1, 2) * 0.5, -1) @ v, 20)

here = os.path.dirname(os.path.abspath(__file__))
with open(os.path.join(here, "ops.txt"), "w") as f:
    f.write("# Written by make.py; see cases.py for the format.\n\n" + "\n\n".join(blocks) + "\n")

# --- Twenty steps of gradient descent ---------------------------------------------------------------------------------------------------------------

M, D, H, C, RATE, STEPS = 32, 8, 16, 5, 0.5, 20


def sequence(seed, n):
    """The top 24 bits of a 64-bit linear congruential generator (Knuth's MMIX constants), as numbers of -1..1."""
    out = []
    for _ in range(n):
        seed = (seed * 6364136223846793005 + 1442695040888963407) % 2**64
        out.append((seed >> 40) / 2.0**23 - 1.0)
    return np.array(out)


lines = ["# Written by make.py: losses of twenty steps of a net of two layers, and what the parameters add up to after them."]
for d, dtype in F.items():
    x = sequence(1, M * D).reshape(M, D).astype(dtype)
    y = (np.arange(M) * 7 + 3) % C
    w1 = sequence(2, D * H).reshape(D, H).astype(dtype)
    b1 = sequence(3, H).astype(dtype)
    w2 = sequence(4, H * C).reshape(H, C).astype(dtype)
    b2 = np.zeros(C, dtype)
    losses = []
    for _ in range(STEPS):
        z = x @ w1 + b1
        h = np.maximum(z, 0)
        logits = h @ w2 + b2
        shifted = logits - logits.max(1, keepdims=True)
        e = np.exp(shifted)
        s = e / e.sum(1, keepdims=True)
        losses.append(np.mean(np.log(e.sum(1)) - shifted[np.arange(M), y], dtype=dtype))
        g = s.copy()
        g[np.arange(M), y] -= 1
        g /= dtype(M)
        dz = (g @ w2.T) * (z > 0)
        dw2, db2, dw1, db1 = h.T @ g, g.sum(0), x.T @ dz, dz.sum(0)
        w1, b1, w2, b2 = (p - dtype(RATE) * dp for p, dp in ((w1, dw1), (b1, db1), (w2, dw2), (b2, db2)))
        assert all(p.dtype == dtype for p in (w1, b1, w2, b2))
    lines.append(f"losses {d} " + " ".join(text(v) for v in losses))
    lines.append(f"norms {d} " + " ".join(text(np.abs(p.astype(float)).sum()) for p in (w1, b1, w2, b2)))
with open(os.path.join(here, "sgd.txt"), "w") as f:
    f.write("\n".join(lines) + "\n")
print(f"{len(blocks)} cases")
