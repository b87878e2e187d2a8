#!/usr/bin/env python3
"""Writes math_f64.txt and math_f32.txt beside this script: exact values of the elementary functions, for tests/accuracy.

    python3 -m venv venv && venv/bin/pip install mpmath gmpy2 && venv/bin/python tests/golden/make_math.py

A line is: function, argument bits (one or two, hexadecimal), bits of the correctly rounded result, and how far the exact result
lies from that, in its units in the last place (-0.5 to 0.5).
"""
import os
import random
import struct
from mpmath import mp, mpf

mp.prec = 320

FORMATS = {64: ("<d", "<Q", 53, -1074, 1024), 32: ("<f", "<I", 24, -149, 128)}


def bits_of(x, width):
    f, i, *_ = FORMATS[width]
    return struct.unpack(i, struct.pack(f, x))[0]


def float_of(b, width):
    f, i, *_ = FORMATS[width]
    return struct.unpack(f, struct.pack(i, b))[0]


def rounded(x, width):
    """(float nearest to the mpf x, the rest in ulps)."""
    _, _, p, low, top = FORMATS[width]
    if x == 0:
        return 0.0, mpf(0)
    if mp.isinf(x):
        return float(x), mpf(0)
    _, e = mp.frexp(x)
    u = max(e - p, low)
    q = mp.nint(mp.ldexp(x, -u))
    r = mp.ldexp(q, u)
    if abs(r) >= mpf(2) ** top:
        return (float("inf") if x > 0 else float("-inf")), mpf(0)
    return float(r), mp.ldexp(x - r, -u)


def log2(x):
    return mp.log(x) / mp.log(2)


def sigmoid(x):
    return 1 / (1 + mp.exp(-x))


def softplus(x):
    return mp.log1p(mp.exp(x)) if x < 0 else x + mp.log1p(mp.exp(-x))


def logaddexp(a, b):
    m, n = max(a, b), min(a, b)
    return m + mp.log1p(mp.exp(n - m))


def lgamma(x):
    return mp.re(mp.loggamma(x)) if x > 0 else mp.log(abs(mp.gamma(x)))


def cbrt(x):
    return mp.cbrt(x) if x > 0 else -mp.cbrt(-x)


def asinh(x):
    return mp.asinh(x) if x > 0 else -mp.asinh(-x)


def erf_inv(x):
    # Newton's iteration on the complement, which keeps its digits near 1.
    y = mp.erfinv(x) if abs(x) < 0.9 else mp.sign(x) * mp.sqrt(-mp.log(1 - abs(x)))
    if abs(x) >= 0.9:
        a, c = abs(y), 1 - abs(x)
        for _ in range(60):
            step = (mp.erfc(a) - c) / (2 / mp.sqrt(mp.pi) * mp.exp(-a * a))
            a += step
            if abs(step) < abs(a) * mpf(2) ** -200:
                break
        y = mp.sign(x) * a
    return y


BIG = 1e308
# name: (function, domain, ranges that get more points)
UNARY = {
    "exp": (mp.exp, (-800, 800), [(-1, 1), (-745.2, -707), (709, 709.79), (-104, -87), (88, 89)]),
    "exp2": (lambda x: mpf(2) ** x, (-1100, 1100), [(-1, 1), (-1075, -1021), (1023, 1024), (-150, -126), (127, 128)]),
    "expm1": (mp.expm1, (-800, 800), [(-1, 1), (-0.3, -0.2), (0.38, 0.43), (-40, -30), (709, 709.79), (-18, 0), (88, 89)]),
    "sigmoid": (sigmoid, (-800, 800), [(-1, 1), (-745.2, -707), (0, 40), (-40, 0), (-104, -87)]),
    "log": (mp.log, (0, BIG), [(0.6, 1.5), (0.999, 1.001), (1.3, 1.4), (0.65, 0.68), (0, 1e-307)]),
    "log2": (log2, (0, BIG), [(0.6, 1.5), (0.999, 1.001), (1.3, 1.4), (0.65, 0.68)]),
    "log10": (mp.log10, (0, BIG), [(0.6, 1.5), (0.999, 1.001), (1.3, 1.4), (0.65, 0.68)]),
    "log1p": (mp.log1p, (-1, BIG), [(-0.5, 0.5), (-0.34, -0.3), (0.3, 0.4), (-1, -0.9), (0.5, 3)]),
    "tanh": (mp.tanh, (-BIG, BIG), [(-1, 1), (0.5, 0.6), (0.5, 3), (-20, 20)]),
    "sinh": (mp.sinh, (-800, 800), [(-1, 1), (-5, 5), (709, 710.48), (88, 89.5)]),
    "cosh": (mp.cosh, (-800, 800), [(-1, 1), (-5, 5), (709, 710.48), (88, 89.5)]),
    "rsqrt": (lambda x: 1 / mp.sqrt(x), (0, BIG), [(0.25, 4)]),
    "cbrt": (cbrt, (-BIG, BIG), [(0.125, 8)]),
    "erf": (mp.erf, (-BIG, BIG), [(-1, 1), (0.9, 1.2), (1, 3), (3, 6)]),
    "erfc": (mp.erfc, (-BIG, 28), [(-1, 1), (-6, 0), (0, 3), (3, 10.1), (10, 26.6)]),
    "sin": (mp.sin, (-BIG, BIG), [(-1, 1), (-7, 7), (-1000, 1000), (1e7, 1e9)]),
    "cos": (mp.cos, (-BIG, BIG), [(-1, 1), (-7, 7), (-1000, 1000), (1e7, 1e9)]),
    "tan": (mp.tan, (-BIG, BIG), [(-1, 1), (-7, 7), (-1000, 1000), (1e7, 1e9)]),
    "asin": (mp.asin, (-1, 1), [(-1, 1), (0.49, 0.51), (0.99, 1)]),
    "acos": (mp.acos, (-1, 1), [(-1, 1), (0.49, 0.51), (0.99, 1), (-0.1, 0.1)]),
    "atan": (mp.atan, (-BIG, BIG), [(-1, 1), (0.8, 1.3), (-10, 10)]),
    "asinh": (asinh, (-BIG, BIG), [(-1, 1), (-5, 5), (0, 100)]),
    "acosh": (mp.acosh, (1, BIG), [(1, 1.001), (1, 2), (1, 100)]),
    "atanh": (mp.atanh, (-1, 1), [(-1, 1), (0.4, 0.6), (-0.2, 0.2), (0.99, 1)]),
    "softplus": (softplus, (-800, BIG), [(-1, 1), (-10, 40), (-745.2, -707), (-104, -87)]),
    "lgamma": (lgamma, (-40, 1e305), [(0, 1), (1, 2), (2, 3), (0.99, 1.01), (1.99, 2.01), (3, 10), (10, 100), (-10, 0)]),
    "digamma": (mp.digamma, (-40, BIG), [(0, 1), (1, 2), (1.46, 1.464), (2, 5), (5, 50), (-10, 0)]),
}
BINARY = {
    "pow": lambda x, y: mp.power(x, y),
    "atan2": lambda y, x: mp.atan2(y, x),
    "hypot": lambda x, y: mp.sqrt(x * x + y * y),
    "logaddexp": logaddexp,
}

# Functions that came later: they are written behind the others, whose arguments stay as they are.
LATER = {
    "trigamma": (lambda x: mp.psi(1, x), (-40, 1e15), [(0, 1), (1, 5), (3.9, 4.1), (9.9, 10.1), (5, 50), (-10, 0)]),
    "erf_inv": (erf_inv, (-1, 1), [(-1, 1), (0.9, 1), (0.99, 1), (0.999, 1), (0.95, 0.98)]),
}
# And later still: the logit, and activations, which have fewer points and are swept in f32.
def tanh_gate(x):
    return 1 / (1 + mp.exp(-2 * mp.sqrt(2 / mp.pi) * (x + mpf("0.044715") * x**3)))


def elu(x, alpha):
    return x if x > 0 else alpha * mp.expm1(x / alpha)


SELU = mpf("1.6732632423543772848170429916717"), mpf("1.0507009873554804934193349852946")
GATES = [(-1, 1), (-6, 0), (0, 6), (-30, -5)]
LATEST = {
    "logit": (lambda x: mp.log(x) - mp.log1p(-x), (0, 1), [(0, 1), (0.2, 0.3), (0.7, 0.8), (0.49, 0.51), (0.99, 1), (0, 1e-3)]),
    "gelu": (lambda x: x * mp.erfc(-x / mp.sqrt(2)) / 2, (-30, BIG), GATES),
    "gelu_tanh": (lambda x: x * tanh_gate(x), (-30, BIG), GATES),
    "silu": (lambda x: x * sigmoid(x), (-700, BIG), GATES),
    "mish": (lambda x: x * mp.tanh(softplus(x)), (-700, BIG), GATES),
    "elu": (lambda x: elu(x, 1), (-BIG, BIG), GATES),
    "celu": (lambda x: elu(x, mpf(1.5)), (-BIG, BIG), GATES),
    "selu": (lambda x: SELU[1] * (x if x > 0 else SELU[0] * mp.expm1(x)), (-BIG, BIG), GATES),
    "log_sigmoid": (lambda x: -softplus(-x), (-BIG, 700), GATES),
    "hard_sigmoid": (lambda x: min(max(x / 6 + mpf(0.5), 0), 1), (-BIG, BIG), GATES),
    "hard_swish": (lambda x: x * min(max(x / 6 + mpf(0.5), 0), 1), (-BIG, BIG), GATES),
    "leaky_relu": (lambda x: x if x > 0 else x * mpf("0.01"), (-BIG, BIG), GATES),
    "softsign": (lambda x: x / (1 + abs(x)), (-BIG, BIG), GATES),
}


def floored_mod(x, y):
    r = mp.fmod(abs(x), abs(y)) * mp.sign(x)
    return r + y if r * y < 0 else r


LATEST_BINARY = {"floored_mod": floored_mod}
LATER_BINARY = {"polygamma": lambda n, x: mp.psi(int(n), x), "fmod": lambda x, y: mp.fmod(abs(x), abs(y)) * mp.sign(x)}


def arguments(name, width, rng, count):
    """Arguments from the interesting ranges, and from all magnitudes."""
    _, (lo, hi), ranges = {**UNARY, **LATER, **LATEST}[name]
    top = 3.4e38 if width == 32 else BIG
    out = []
    for a, b in ranges:
        out += [rng.uniform(a, b) for _ in range(count // 2)]
    everything = []
    while len(everything) < count * 2:
        b = rng.getrandbits(width)
        x = float_of(b, width)
        if x == x and abs(x) <= top:
            everything.append(x)
    # Of the arguments near 1 as many again.
    everything += [rng.choice((-1, 1)) * 2.0 ** rng.uniform(-30, 12) for _ in range(count)]
    out += everything
    if name in ("sin", "cos", "tan"):
        # Next to multiples of pi/2, where the reduction cancels most.
        big = mp.floor(mp.mpf(2) ** 1023 if width == 64 else mp.mpf(2) ** 127)
        turns = [mp.floor(mp.mpf(2) ** rng.uniform(0, mp.log(big, 2))) for _ in range(count)]
        turns += [mpf(rng.randrange(1, 2**k)) for k in range(1, 40) for _ in range(3)]
        with mp.workprec(1300):
            out += [float(t * mp.pi / 2) for t in turns]
        out.append(6381956970095103.0 * 2.0**797)
    good = set()
    for x in out:
        if abs(x) > top:
            continue
        x = float_of(bits_of(x, width), width)
        if lo < x < hi and x != 0 and not (name in ("lgamma", "digamma", "trigamma") and x < 0 and x == int(x)):
            good.add(x)
    return sorted(good)


def pairs(name, width, rng, count):
    top = 3.4e38 if width == 32 else BIG
    out = set()
    big, low = (1024, -1074) if width == 64 else (128, -149)
    while len(out) < count * 4:
        kind = rng.randrange(4)
        if name == "pow":
            if kind == 0:
                x, y = 2.0 ** rng.uniform(low, big), rng.uniform(-2, 2)
            elif kind == 1:
                x = 2.0 ** rng.uniform(-4, 4)
                y = rng.uniform(low, big) / log2(x)
            elif kind == 2:
                x = 1 + rng.uniform(-1, 1) * 2.0 ** -rng.uniform(2, 20)
                y = rng.uniform(low, big) / log2(x)
            else:
                x, y = -rng.uniform(0, 20), float(rng.randrange(-60, 60))
            y = float(y)
        elif name == "polygamma":
            x = float(rng.choice((2, 2, 3, 4, 7, 20)))
            y = (2.0 ** rng.uniform(-10, 10), rng.uniform(0, 30), rng.uniform(-20, 0), 2.0 ** rng.uniform(-3, 3))[kind]
            if y == int(y):
                continue
        elif name == "logaddexp":
            x = rng.uniform(-50, 50) if kind == 1 else rng.uniform(-3, 3)
            y = x + rng.uniform(-40, 40) if kind else rng.uniform(-1000, 1000)
            if kind == 3:
                y = x + rng.uniform(-3, 3)
        else:
            x, y = (rng.choice((-1, 1)) * 2.0 ** rng.uniform(-8, 8) for _ in range(2))
            if kind == 0:
                x *= 2.0 ** rng.uniform(-60, 60)
            if kind == 1:
                k = 2.0 ** rng.uniform(low + 20, big - 10)
                x, y = x * k, y * k
        if x == 0 or y == 0 or not (abs(x) <= top and abs(y) <= top):
            continue
        x, y = (float_of(bits_of(v, width), width) for v in (x, y))
        if x != 0 and y != 0:
            out.add((x, y))
    return sorted(out)


def write(width, count, only=None):
    rng = random.Random(20)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "math_f%d.txt" % width)
    digits = width // 4
    with open(path, "w") as out:
        def line(name, args, exact):
            r, rest = rounded(exact, width)
            words = ["%0*x" % (digits, bits_of(v, width)) for v in args + [r]]
            out.write("%s %s %.4f\n" % (name, " ".join(words), float(rest)))
        for name in (n for n in UNARY if only is None or n in only):
            for x in arguments(name, width, rng, count):
                line(name, [x], UNARY[name][0](mpf(x)))
        for name in (n for n in BINARY if only is None or n in only):
            for x, y in pairs(name, width, rng, count):
                line(name, [x, y], BINARY[name](mpf(x), mpf(y)))
        for name in LATER:
            for x in arguments(name, width, rng, count):
                line(name, [x], LATER[name][0](mpf(x)))
        for name in LATER_BINARY:
            for x, y in pairs(name, width, rng, count):
                line(name, [x, y], LATER_BINARY[name](mpf(x), mpf(y)))
        for name in LATEST if width == 64 else ["logit"]:
            for x in arguments(name, width, rng, count if name == "logit" else count // 4):
                line(name, [x], mpf(LATEST[name][0](mpf(x))))
        for name in LATEST_BINARY if width == 64 else []:
            for x, y in pairs(name, width, rng, count // 4):
                line(name, [x, y], LATEST_BINARY[name](mpf(x), mpf(y)))


write(64, 120)
# The functions that Rust's standard library lacks; the test sweeps the others in f32.
write(32, 120, ["sigmoid", "erf", "erfc", "softplus", "lgamma", "digamma", "logaddexp", "sin", "cos", "tan", "pow"])
