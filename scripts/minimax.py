#!/usr/bin/env python3
"""Writes src/scalar/math/coef.rs: the polynomials of the elementary functions.

    python3 -m venv venv && venv/bin/pip install mpmath gmpy2 && venv/bin/python scripts/minimax.py > src/scalar/math/coef.rs
    cargo fmt

Each polynomial P(v) is the weighted minimax approximation of a target T(v): the Remez exchange on a dense grid, in 70-digit
arithmetic. Coefficients are then rounded to the format, the first ones one after the other, from the lowest degree up, the free
ones fitted again each time, as long as that helps. The error printed beside each is that of the rounded polynomial, evaluated exactly.
"""
import struct
import sys
from mpmath import mp, mpf

mp.dps = 70


def round_to(x, bits):
    """x rounded to nearest in a format of 24 or 53 significant bits (no subnormals needed here)."""
    if x == 0:
        return mpf(0)
    m, e = mp.frexp(x)
    return mp.ldexp(mp.nint(mp.ldexp(m, bits)), e - bits)


def grid(lo, hi, n):
    """Points dense at both ends, as the extrema of Chebyshev polynomials are; never exactly zero."""
    c, h = (lo + hi) / 2, (hi - lo) / 2
    pts = [c - h * mp.cos(mp.pi * k / n) for k in range(n + 1)]
    return [p if p != 0 else h * mpf(10) ** -12 for p in pts]


def horner(c, v):
    r = mpf(0)
    for a in reversed(c):
        r = r * v + a
    return r


def remez(v, t, w, deg):
    """Coefficients of the polynomial of degree deg with the least max |w (P - t)| over the points, and that error."""
    # Points of next to no weight cannot be extrema and make the system singular.
    floor = max(w) * mpf("1e-5")
    keep = [k for k in range(len(v)) if w[k] > floor]
    v, t, w = [v[k] for k in keep], [t[k] for k in keep], [w[k] for k in keep]
    n = len(v)
    m = deg + 2
    ref = [int(round((n - 1) * (1 - mp.cos(mp.pi * (k + mpf(1) / 2) / m)) / 2)) for k in range(m)]
    best = None
    for _ in range(30):
        a = mp.matrix(m, m)
        b = mp.matrix(m, 1)
        for i, k in enumerate(ref):
            p = mpf(1)
            for j in range(deg + 1):
                a[i, j] = p * w[k]
                p *= v[k]
            a[i, deg + 1] = (-1) ** i
            b[i] = t[k] * w[k]
        sol = mp.lu_solve(a, b)
        c = [sol[j] for j in range(deg + 1)]
        err = [w[k] * (horner(c, v[k]) - t[k]) for k in range(n)]
        top = max(abs(e) for e in err)
        if best is None or top < best[1]:
            best = (c, top)
        level = abs(sol[deg + 1])
        if top <= level * mpf("1.003"):
            break
        # Exchange: the largest error of each run of one sign, then trim to m points from the ends.
        runs = []
        for k in range(n):
            if err[k] == 0:
                continue
            if runs and (err[runs[-1]] > 0) == (err[k] > 0):
                if abs(err[k]) > abs(err[runs[-1]]):
                    runs[-1] = k
            else:
                runs.append(k)
        while len(runs) > m:
            if abs(err[runs[0]]) < abs(err[runs[-1]]):
                runs.pop(0)
            else:
                runs.pop()
        if len(runs) < m:
            break
        ref = runs
    return best


def fit(target, weight, lo, hi, deg, bits, n=None):
    """Rounded coefficients and the true weighted error."""
    lo, hi = mpf(lo), mpf(hi)
    v = grid(lo, hi, n or 30 * (deg + 3))
    t = [target(x) for x in v]
    w = [weight(x) for x in v]
    keep = [k for k in range(len(v)) if w[k] != 0]
    v, t, w = [v[k] for k in keep], [t[k] for k in keep], [w[k] for k in keep]
    def worst(c):
        return max(abs(w[k] * (horner(c, v[k]) - t[k])) for k in range(len(v)))
    free, least = remez(v, t, w, deg)
    best = [round_to(c, bits) for c in free]
    err = worst(best)
    # Refitting is good for few coefficients; for many, rounding alone does as well.
    fixed = []
    rt, rw, c = t, w, free
    for k in range(min(deg, 8) + 1):
        r = round_to(c[0], bits)
        fixed.append(r)
        rt = [(x - r) / y for x, y in zip(rt, v)]
        rw = [abs(x * y) for x, y in zip(rw, v)]
        if k < deg:
            c, _ = remez(v, rt, rw, deg - k - 1)
        whole = fixed + [round_to(x, bits) for x in c] if k < deg else fixed
        e = worst(whole)
        if e < err:
            best, err = whole, e
    print("  least 2^%.1f" % mp.log(least, 2), file=sys.stderr)
    return best, err


def lit(x, bits):
    """A Rust f64 literal of a number that is exact in the format."""
    s = repr(float(x))
    if bits == 24:
        # The shortest decimal that rounds to the same f32 keeps the table readable.
        want = struct.pack("<f", float(x))
        for d in range(6, 18):
            c = "%.*g" % (d, float(x))
            if struct.pack("<f", float(c)) == want:
                s = c
                break
    if "e" not in s and "." not in s:
        s += ".0"
    return s.replace("e-0", "e-").replace("e+0", "e").replace("e+", "e")


OUT = []


def rows(c, bits):
    return "".join("        %s,\n" % lit(x, bits) for x in c)


def emit(name, form, target, weight, r32, d32, r64, d64, n=None):
    """One Poly: the f32 fit over r32 of degree d32, the f64 fit over r64 of degree d64."""
    if ONLY and name not in ONLY:
        return
    t32, t64 = target if isinstance(target, tuple) else (target, target)
    w32, w64 = weight if isinstance(weight, tuple) else (weight, weight)
    a, ea = fit(t32, w32, r32[0], r32[1], d32, 24, n)
    b, eb = fit(t64, w64, r64[0], r64[1], d64, 53, n)
    def span(r):
        return "[%s, %s]" % (mp.nstr(mpf(r[0]), 6), mp.nstr(mpf(r[1]), 6))
    print("%-10s f32 2^%.1f  f64 2^%.1f" % (name, mp.log(ea, 2), mp.log(eb, 2)), file=sys.stderr)
    OUT.append(
        "/// %s\n///\n/// f32: %s, error 2^%.1f. f64: %s, error 2^%.1f.\n"
        "pub(super) const %s: Poly = Poly {\n    f32: &[\n%s    ],\n    f64: &[\n%s    ],\n};\n"
        % (form, span(r32), mp.log(ea, 2), span(r64), mp.log(eb, 2), name, rows(a, 24), rows(b, 53)))


ONLY = sys.argv[1:]
LN2 = mp.log(2)

# --- exponentials -------------------------------------------------------------------------------------------------------
H = LN2 / 2 * mpf("1.0001")
emit("EXP", "`e^r = 1 + r + r^2 P(r)`, relative.", lambda r: (mp.exp(r) - 1 - r) / r**2, lambda r: r**2 / mp.exp(r),
     (-H, H), 4, (-H, H), 9)
emit("EXP2", "`2^f = 1 + f P(f)`, relative.", lambda f: (2**f - 1) / f, lambda f: abs(f) / 2**f,
     ("-0.50001", "0.50001"), 5, ("-0.50001", "0.50001"), 10)
T = mp.log(mpf(3) / 2)
E1 = ((T - LN2) * mpf("1.0002"), T * mpf("1.0002"))
emit("EXPM1", "`e^r - 1 = r + r^2 P(r)`, relative.", lambda r: (mp.expm1(r) - r) / r**2, lambda r: abs(r**2 / mp.expm1(r)),
     E1, 4, E1, 10)

# --- logarithms ---------------------------------------------------------------------------------------------------------
def log1p3(f):
    return (mp.log1p(f) - f + f**2 / 2) / f**3
L1 = (mpf("-0.33334"), mpf("0.33334"))
emit("LOG1P", "`log(1 + f) = f + f^2 (-1/2 + f P(f))`, relative.", log1p3, lambda f: abs(f**3 / mp.log1p(f)), L1, 7, L1, 20)
Z = ((mp.sqrt(2) - 1) / (mp.sqrt(2) + 1)) ** 2 * mpf("1.0001")
ZLO = mpf("1e-9")
def atanh1(z):
    s = mp.sqrt(z)
    return mp.atanh(s) / s - 1
def atanh_tail(z):
    return (atanh1(z) - z / 3) / z**2
def atanh_tail64(z):
    return (atanh1(z) - z / 3 - z**2 / 5) / z**3
emit("ATANH_TAIL", "`atanh(s)/s`, `z = s^2`: `1 + z/3 + z^2 P(z)` in f32, `1 + z/3 + z^2/5 + z^3 P(z)` in f64, relative.",
     (atanh_tail, atanh_tail64), (lambda z: z**2, lambda z: z**3), (ZLO, Z), 3, (ZLO, Z), 7)

# --- tanh ---------------------------------------------------------------------------------------------------------------
TT = mpf("0.6251") ** 2
def tanh3(s):
    x = mp.sqrt(s)
    return (mp.tanh(x) - x) / (x * s)
emit("TANH", "`tanh(x) = x + x s P(s)`, `s = x^2`, relative.", tanh3, lambda s: s * mp.sqrt(s) / mp.tanh(mp.sqrt(s)),
     (ZLO, TT), 4, (ZLO, TT), 10)
def sinh3(s):
    x = mp.sqrt(s)
    return (mp.sinh(x) - x) / (x * s)
emit("SINH", "`sinh(x) = x + x s P(s)`, `s = x^2`, relative.", sinh3, lambda s: s * mp.sqrt(s) / mp.sinh(mp.sqrt(s)),
     (ZLO, 1), 3, (ZLO, 1), 6)
H2 = LN2 / 4 * mpf("1.0001")
emit("EXP_TWICE", "`e^(2r) = 1 + r P(r)`, relative.", lambda r: mp.expm1(2 * r) / r, lambda r: abs(r) / mp.exp(2 * r),
     (-H2, H2), 5, (-H2, H2), 10)

# --- error function -----------------------------------------------------------------------------------------------------
emit("ERF", "`erf(x) = x + x P(s)`, `s = x^2`, relative.", lambda s: mp.erf(mp.sqrt(s)) / mp.sqrt(s) - 1,
     lambda s: mp.sqrt(s) / mp.erf(mp.sqrt(s)), (ZLO, 1), 6, (ZLO, 1), 13)
emit("LOG2_ERFC", "`erfc(1 + u) = 2^P(u)`, absolute error of erf.", lambda u: mp.log(mp.erfc(1 + u), 2),
     lambda u: LN2 * mp.erfc(1 + u), (0, mpf("2.95")), 7, (0, mpf("4.95")), 18)

# --- trigonometric ------------------------------------------------------------------------------------------------------
Q = (mp.pi / 4 * mpf("1.003")) ** 2
def sin3(s):
    x = mp.sqrt(s)
    return (mp.sin(x) - x) / (x * s)
emit("SIN", "`sin(r) = r + r s P(s)`, `s = r^2`, relative.", sin3, lambda s: s * mp.sqrt(s) / mp.sin(mp.sqrt(s)),
     (ZLO, Q), 2, (ZLO, Q), 5)
emit("COS", "`cos(r) = 1 - s/2 + s^2 P(s)`, `s = r^2`, relative.", lambda s: (mp.cos(mp.sqrt(s)) - 1 + s / 2) / s**2,
     lambda s: s**2 / mp.cos(mp.sqrt(s)), (ZLO, Q), 2, (ZLO, Q), 5)

# --- inverse trigonometric ----------------------------------------------------------------------------------------------
def asin3(s):
    x = mp.sqrt(s)
    return (mp.asin(x) - x) / (x * s)
emit("ASIN", "`asin(x) = x + x s P(s)`, `s = x^2`, relative.", asin3, lambda s: s * mp.sqrt(s) / mp.asin(mp.sqrt(s)),
     (ZLO, mpf("0.2501")), 4, (ZLO, mpf("0.2501")), 11)
def atan3(s):
    x = mp.sqrt(s)
    return (mp.atan(x) - x) / (x * s)
emit("ATAN", "`atan(x) = x + x s P(s)`, `s = x^2`, relative.", atan3, lambda s: s * mp.sqrt(s) / mp.atan(mp.sqrt(s)),
     (ZLO, 1), 8, (ZLO, 1), 19)

# --- complementary error function ---------------------------------------------------------------------------------------
def erfcx_at(k):
    def f(q):
        x = k * (1 + q) / (1 - q)
        return (1 + 2 * x) * mp.exp(x * x) * mp.erfc(x)
    return f
def erfcx_span(k, top):
    return ((mpf("0.649") - k) / (mpf("0.649") + k), (mpf(top) - k) / (mpf(top) + k))
emit("ERFCX", "`e^(x^2) erfc(x) = P(q) / (1 + 2 x)`, `q = (x - k) / (x + k)`, `k` = 2 in f32 and 4 in f64, `x` at least 0.65, relative.",
     (erfcx_at(2), erfcx_at(4)), (lambda q: 1 / erfcx_at(2)(q), lambda q: 1 / erfcx_at(4)(q)),
     erfcx_span(2, 10.1), 9, erfcx_span(4, 27.3), 21)

# --- gamma function -----------------------------------------------------------------------------------------------------
def lg(x):
    return mp.re(mp.loggamma(x))
def lg_mid(u):
    x = u + mpf("1.921875")
    return lg(x) / ((x - 1) * (x - 2))
GM = (mpf("0.8499") - mpf("1.921875"), mpf("3.0001") - mpf("1.921875"))
emit("LGAMMA", "`lgamma(x) = (x - 1) (x - 2) P(x - 1.921875)` for `x` in [0.85, 3], relative.", lg_mid, lambda u: 1 / abs(lg_mid(u)),
     GM, 14, GM, 31, 800)
def stirling(w):
    x = 1 / mp.sqrt(w)
    return x * (lg(x) - (x - mpf(1) / 2) * mp.log(x) + x - mp.log(2 * mp.pi) / 2)
emit("STIRLING", "`lgamma(x) = (x - 1/2) log x - x + log(2 pi)/2 + P(w)/x`, `w = 1/x^2`, `x >= 3`, absolute.",
     stirling, lambda w: mp.sqrt(w), (mpf("1e-7"), mpf("0.11112")), 3, (mpf("1e-7"), mpf("0.11112")), 10)
PSI0 = mp.findroot(mp.digamma, mpf("1.46"))
def psi_mid(u):
    x = u + 2
    return mp.digamma(x) / (x - PSI0)
PM = (mpf("-1.0001"), mpf("1.0001"))
emit("DIGAMMA", "`digamma(x) = (x - x0) P(x - 2)` for `x` in [1, 3], `x0` the zero, relative.", psi_mid, lambda u: 1 / psi_mid(u),
     PM, 14, PM, 30, 700)
def psi_far(w):
    x = 1 / mp.sqrt(w)
    return (mp.log(x) - 1 / (2 * x) - mp.digamma(x)) / w
emit("DIGAMMA_FAR", "`digamma(x) = log x - 1/(2 x) - w P(w)`, `w = 1/x^2`, `x >= 3`, absolute.",
     psi_far, lambda w: w, (mpf("1e-7"), mpf("0.11112")), 3, (mpf("1e-7"), mpf("0.11112")), 10)

HEADER = '''//! Coefficients of the polynomials, lowest degree first. Written by `scripts/minimax.py`, which says how.
//!
//! Weighted minimax by the Remez exchange in 70-digit arithmetic, then rounded to the format, the first coefficients
//! one by one with the rest fitted again. Each comment gives the form, the interval of the polynomial's variable and the
//! error of the rounded polynomial.
#![allow(clippy::approx_constant, reason = "fitted coefficients that lie near a constant are not that constant")]

use super::Poly;
'''
print(HEADER + "\n" + "\n".join(OUT), end="")
