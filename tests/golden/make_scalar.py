#!/usr/bin/env python3
"""Golden values of the scalar functions that make.py leaves out. Writes scalar.txt beside this file, in the format of ops.txt; tests/golden.rs reads it.

    python3 -m venv venv && venv/bin/pip install numpy scipy mpmath && venv/bin/python tests/golden/make_scalar.py

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
I = {"i32": np.int32, "i64": np.int64}
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

with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "scalar.txt"), "w") as out:
    out.write("# Written by make_scalar.py.\n" + "\n".join(blocks) + "\n")
