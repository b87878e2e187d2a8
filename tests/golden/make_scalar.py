#!/usr/bin/env python3
"""Golden values of the scalar functions that make.py leaves out. Writes scalar.txt beside this file, in the format of ops.txt; tests/golden.rs reads it.

    python3 -m venv venv && venv/bin/pip install numpy scipy mpmath jax torch && venv/bin/python tests/golden/make_scalar.py

References are NumPy's and SciPy's functions in double precision, rounded to the result's type, and mpmath where those have no value.
"""

import itertools
import os
import warnings

import mpmath
import numpy as np
import scipy.special

warnings.filterwarnings("ignore")
np.seterr(all="ignore")
F = {"f32": np.float32, "f64": np.float64}
U = {"u8": np.uint8, "u32": np.uint32}
I = {"i32": np.int32, "i64": np.int64, **U}
DTYPES = {"bool": np.bool_, **I, **F}
NAMES = {np.dtype(d): n for n, d in DTYPES.items()}
TOLERANCE = {"f32": 1e-6, "f64": 8e-15}
blocks = []
mpmath.mp.prec = 200


def text(x):
    if isinstance(x, (bool, np.bool_)):
        return "true" if x else "false"
    if isinstance(x, np.integer):
        return str(int(x))
    if np.isnan(x):
        return "nan"
    if np.isinf(x):
        return "inf" if x > 0 else "-inf"
    s = np.format_float_scientific(x, trim="-", exp_digits=1)
    short = np.format_float_positional(x, trim="-")
    return short if len(short) <= len(s) else s


def array_text(a):
    words = []
    for word, run in itertools.groupby(text(x) for x in a.ravel()):
        n = len(list(run))
        words.append(word if n == 1 else f"{word}*{n}")
    return f"{NAMES[a.dtype]}[{','.join(map(str, a.shape))}] {' '.join(words)}".rstrip()


def case(name, inputs, output, tol=None):
    lines = [f"case {name}"] + [f"in {array_text(a)}" for a in inputs] + [f"out {array_text(output)}"]
    if tol is not None:
        lines.append(f"tol {tol:g} 0")
    blocks.append("\n".join(lines))


def each(f):
    return lambda *x: np.array([f(*map(float, v)) for v in zip(*x)])


def floats(name, points, f, exact=False):
    """`f` in double precision of the arguments as stored; subnormal results are left out."""
    for d, dtype in F.items():
        x = [np.array(p, dtype) for p in points]
        with np.errstate(all="ignore"):
            y = np.asarray(f(*[a.astype(np.float64) for a in x]))
            y = y if y.dtype == bool else y.astype(dtype)
        if y.dtype != bool:
            keep = ~((np.abs(y) > 0) & (np.abs(y) < np.finfo(dtype).tiny * 2))
            x, y = [a[keep] for a in x], y[keep]
        case(name, x, y, None if exact else TOLERANCE[d])


POSITIVE = [0.0, 1e-8, 1e-4, 0.1, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 2.5, 3.0, 3.141592653589793, 5.0, 10.0, 16.5, 20.0, 50.0, 87.0, 1000.5, 1e6, 1e20, np.inf]
POINTS = POSITIVE + [-p for p in POSITIVE] + [np.nan]


def polygamma(n, x):
    if np.isnan(n) or np.isnan(x) or n < 0:
        return np.nan
    if x == int(x) and x <= 0 and n > 0:
        return np.nan if n % 2 == 0 else np.inf
    return float(mpmath.psi(int(n), mpmath.mpf(x)))


def lgamma(x):
    # SciPy has -inf at -inf; C99 has inf.
    return np.where(x == -np.inf, np.inf, scipy.special.gammaln(x))


UNARY = {
    "exp2": np.exp2, "log2": np.log2, "log10": np.log10, "cbrt": np.cbrt, "tan": np.tan, "asin": np.arcsin, "acos": np.arccos, "atan": np.arctan,
    "sinh": np.sinh, "cosh": np.cosh, "asinh": np.arcsinh, "acosh": np.arccosh, "atanh": np.arctanh, "erfc": scipy.special.erfc,
    "erf_inv": scipy.special.erfinv, "lgamma": lgamma, "digamma": scipy.special.digamma,
}
for name, f in UNARY.items():
    points = [p for p in POINTS if not (name == "tan" and 1e7 < abs(p) < np.inf)]
    floats(name, [points], f)
floats("logit", [[p for p in POINTS if abs(p) < 1 or p in (1.0, -1.0, 2.0)] + [1e-30, 0.25, 0.49, 0.501, 0.75, 0.9999]], scipy.special.logit)
floats("trigamma", [[p for p in POINTS if np.isfinite(p) and abs(p) < 1e7]], each(lambda x: polygamma(1, x)))
orders = [(n, x) for n in (0.0, 1.0, 2.0, 3.0, 6.0, 20.0) for x in (0.1, 0.5, 1.0, 2.5, 7.0, 30.0, 1000.5, -0.6, -1.25, -3.75)]
orders += [(2.0, -1.0), (3.0, -1.0), (-1.0, 2.0), (np.nan, 1.0), (2.0, np.nan)]
floats("polygamma", list(zip(*orders)), each(polygamma))
for name, f in {"is_inf": np.isinf, "is_finite": np.isfinite}.items():
    floats(name, [POINTS], f, exact=True)

FEW = [0.0, -0.0, 0.5, -0.5, 1.0, -1.0, 2.0, -3.0, 2.5, 1e-5, 1e5, np.inf, -np.inf, np.nan]
GRID = list(zip(*itertools.product(FEW, FEW)))
floats("copysign", GRID, np.copysign, exact=True)
floats("hypot", GRID, np.hypot)
floats("atan2", GRID, np.arctan2)
floats("logaddexp", GRID, np.logaddexp)
HUGE = [1e-30, 7.0, -7.5, 3.25, 0.3, 1e10, 1e30, -1e30, np.inf, 0.0, -0.0, np.nan]
for name, f in {"rem": np.fmod, "mod": np.mod}.items():
    for d, dtype in F.items():
        a, b = (np.array(v, dtype) for v in zip(*itertools.product(HUGE, HUGE)))
        if name == "mod":
            # NumPy has NaN for an infinite divisor of another sign and its own sign of zero; this is Python's rule.
            r = np.fmod(a, b)
            y = np.where(r == 0, np.copysign(dtype(0), b), np.where((r < 0) != (b < 0), r + b, r)).astype(dtype)
        else:
            y = f(a, b)
        case(name, [a, b], y)


def wrapped(v, dtype):
    info = np.iinfo(dtype)
    return (int(v) - int(info.min)) % (1 << info.bits) + int(info.min)


def power(a, b, dtype):
    if b >= 0:
        return wrapped(pow(a, b, 1 << np.iinfo(dtype).bits), dtype)
    return 1 if a == 1 else (1 if b % 2 == 0 else -1) if a == -1 else 0


def shift(a, b, left, dtype):
    bits = np.iinfo(dtype).bits
    if not 0 <= b < bits:
        return 0 if left or a >= 0 else -1
    return wrapped(a << b, dtype) if left else a >> b


def floored(a, b, dtype):
    return a if b == 0 else wrapped(a % b, dtype)


INTEGER = {
    "mod": floored, "pow": power, "shl": lambda a, b, d: shift(a, b, True, d), "shr": lambda a, b, d: shift(a, b, False, d),
    "and": lambda a, b, _: a & b, "or": lambda a, b, _: a | b, "xor": lambda a, b, _: a ^ b,
}
for name, dtype in itertools.product(INTEGER, I.values()):
    info = np.iinfo(dtype)
    some = [0, 1, 2, 3, 7, 10, 31, 32, 33, 63, 64, int(info.max), int(info.min), int(info.max) - 1]
    if info.min < 0:
        some += [-1, -2, -7, -31]
    pairs = list(itertools.product(some, some))
    y = np.array([INTEGER[name](a, b, dtype) for a, b in pairs], dtype)
    a, b = (np.array(v, dtype) for v in zip(*pairs))
    case(name, [a, b], y)
for dtype in I.values():
    info = np.iinfo(dtype)
    x = np.array([0, 1, 7, info.max, info.min], dtype)
    case("not", [x], np.invert(x))

# Unsigned integers in the functions that make.py tests for the other types, and in conversions.
UNSIGNED = {
    "add": lambda a, b: a + b, "sub": lambda a, b: a - b, "mul": lambda a, b: a * b, "div": lambda a, b: a // b if b else 0,
    "rem": lambda a, b: a % b if b else a, "max": max, "min": min,
}
COMPARE = {"eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal}
for dtype in U.values():
    most = int(np.iinfo(dtype).max)
    some = [0, 1, 2, 3, 7, 100, most // 2, most // 2 + 1, most - 1, most]
    pairs = list(itertools.product(some, some))
    a, b = (np.array(v, dtype) for v in zip(*pairs))
    for name, f in UNSIGNED.items():
        case(name, [a, b], np.array([wrapped(f(*p), dtype) for p in pairs], dtype))
    for name, f in COMPARE.items():
        case(name, [a, b], f(a, b))
    x = np.array(some, dtype)
    case("neg", [x], np.array([wrapped(-v, dtype) for v in some], dtype))
    case("abs", [x], x)
    case("stop_gradient", [x], x)
    case("sign", [x], np.minimum(x, 1).astype(dtype))
    case("select", [x % 2 == 0, x, x[::-1].copy()], np.where(x % 2 == 0, x, x[::-1]))
    # Folds: sums and products wrap.
    cube = np.array([(v * 37) % (most + 1) for v in range(2 * 3 * 21)], dtype).reshape(2, 3, 21)
    for axes, numbers in {"all": (0, 1, 2), "middle": (1,), "last": (2,)}.items():
        for name, f in {"sum": np.sum, "prod": np.prod, "max": np.max, "min": np.min}.items():
            more = {} if name in ("max", "min") else {"dtype": dtype}
            case(f"{name}_{axes}", [cube], np.asarray(f(cube, axis=numbers, **more), dtype))
    for axis in (0, 1, 2):
        case(f"argmax_{axis}", [cube], np.argmax(cube, axis).astype(np.int32))
        case(f"argmin_{axis}", [cube], np.argmin(cube, axis).astype(np.int32))
    case("iota", [np.zeros((2, 3), dtype)], np.indices((2, 3))[1].astype(dtype))
    case("dot", [cube[0], cube[1].T.copy()], np.matmul(cube[0], cube[1].T))
    table = np.arange(15, dtype=np.float32).reshape(5, 3)
    at = np.array([4, 0, 2, 4], dtype)
    case("take_0", [table, at], table[at])
    case("take_0: out of range", [table, np.array([3, 5, most], dtype)], np.concatenate([table[3:4], np.full((2, 3), np.nan, np.float32)]))
    numbers = np.array([1, 2, 3, most], dtype)
    case("scatter_add", [np.zeros(5, dtype), at, numbers], np.array([2, 0, 3, 0, 0], dtype))
    case("scatter_set", [np.zeros(5, dtype), at, numbers], np.array([2, 0, 3, 0, most], dtype))
    case("one_hot", [np.array([2, 0, 5, 3], dtype)], (np.array([2, 0, 5, 3])[:, None] == np.arange(4)).astype(np.float32))

NUMBERS = {
    "bool": np.array([False, True]),
    "u8": np.array([0, 1, 7, 127, 128, 255], np.uint8),
    "i32": np.array([0, 1, -1, 7, 255, 256, 16777217, 2**31 - 1, -(2**31)], np.int32),
    "u32": np.array([0, 1, 7, 255, 256, 16777217, 2**31 - 1, 2**31, 2**32 - 1, 4294967167, 2**31 + 129], np.uint32),
    "i64": np.array([0, 1, -1, 255, 256, 2**32 - 1, 2**32 + 5, -(2**31) - 1, 2**63 - 1, -(2**63)], np.int64),
    "f32": np.array([0.0, -0.0, 0.5, -0.5, 1.5, -2.7, 255.5, 256, 2147483648, 4294967040, 4294967296, 1e19, -1e19, np.inf, -np.inf, np.nan], np.float32),
    "f64": np.array([0.0, -0.0, 0.5, -0.5, 1.5, -2.7, 255.9, 256, 2147483648.5, 4294967295.5, 4294967296, 1e300, -1e300, np.inf, -np.inf, np.nan]),
}


def convert(x, to):
    if to == "bool":
        return x != 0
    if to in I and x.dtype.kind == "f":
        # Rust's conversion holds what is out of range.
        info = np.iinfo(DTYPES[to])
        held = [0 if np.isnan(v) else info.max if v >= float(info.max) else info.min if v <= info.min else int(v) for v in x.astype(float)]
        return np.array(held, DTYPES[to])
    return x.astype(DTYPES[to])


for source, to in itertools.product(DTYPES, DTYPES):
    if source != to and (source in U or to in U):
        case(f"cast_{to}", [NUMBERS[source]], convert(NUMBERS[source], to))

# Random words, by JAX.
from jax.extend.random import threefry2x32_p  # noqa: E402

keys = np.array([[0, 0], [2**32 - 1, 2**32 - 1], [0x13198A2E, 0x03707344], [1, 2], [7, 2**31]], np.uint32)
words = [np.asarray(w) for w in threefry2x32_p.bind(keys[:, 0], keys[:, 1], np.zeros(5, np.uint32), np.array([0, 2**32 - 1, 77, 5, 2**31], np.uint32))]
words_in = [keys[:, 0].copy(), keys[:, 1].copy(), np.array([0, 2**32 - 1, 77, 5, 2**31], np.uint32)]
case("threefry_first", words_in, words[0])
case("threefry_second", words_in, words[1])
case("threefry_bits", words_in, words[0] ^ words[1])

# Activations and their gradients away from their kinks, by PyTorch.
import torch  # noqa: E402
import torch.nn.functional as nn  # noqa: E402

ACTIVATIONS = {
    "leaky_relu": lambda x: nn.leaky_relu(x, 0.1), "elu": lambda x: nn.elu(x, 1.5), "celu": lambda x: nn.celu(x, 1.5), "selu": nn.selu,
    "silu": nn.silu, "mish": nn.mish, "softsign": nn.softsign, "hard_sigmoid": nn.hardsigmoid, "hard_swish": nn.hardswish,
    "log_sigmoid": nn.logsigmoid, "clamp": lambda x: torch.clamp(x, -1.0, 2.0), "relu": nn.relu,
}
SOME = [-1e4, -700.0, -90.0, -20.0, -5.0, -2.5, -1.5, -0.7, -0.3, -1e-3, 1e-3, 0.3, 0.7, 1.5, 2.5, 5.0, 20.0, 90.0, 700.0, 1e4]
for name, f in ACTIVATIONS.items():
    for d, dtype in F.items():
        x = np.array(SOME, dtype)
        t = torch.tensor(x.astype(np.float64), requires_grad=True)
        y = f(t)
        y.sum().backward()
        # In PyTorch softplus has a threshold, the derivative of softsign cancels and that of hard_sigmoid is in single precision.
        relative = max(3 * TOLERANCE[d], {"mish": 1e-8, "softsign": 1e-12, "hard_sigmoid": 1e-7}.get(name, 0.0))
        for what, values in ((name, y.detach().numpy()), (f"grad_of_{name}", t.grad.numpy())):
            values = values.astype(dtype)
            # Of tiny results the rounding of the argument is seen.
            seen = ~((np.abs(values) > 0) & (np.abs(values) < 1e-30))
            case(what, [x[seen]], values[seen], relative)
for d, dtype in F.items():
    x, slope = np.array(SOME, dtype).reshape(5, 4), np.array([0.25, -0.5, 0.0, 2.0], dtype)
    case("prelu", [x, slope], np.where(x > 0, x, x * slope))

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "scalar.txt"), "w") as out:
    out.write("# Written by make_scalar.py.\n" + "\n".join(blocks) + "\n")
