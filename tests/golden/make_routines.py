#!/usr/bin/env python3
"""Golden values of operations that are no loop nest: sorting, cumulative folds, linear algebra, Einstein
sums. Writes routines.txt beside this file.

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


def cumulative():
    def fold(f, x, axis, exclusive, reverse, neutral):
        x = np.flip(x, axis) if reverse else x
        y = f.accumulate(x, axis)
        if exclusive and x.shape[axis] > 0:
            front = np.full_like(np.take(y, [0], axis), neutral)
            y = np.concatenate([front, np.take(y, range(x.shape[axis] - 1), axis)], axis)
        return np.flip(y, axis) if reverse else y

    functions = {"sum": (np.add, 0), "prod": (np.multiply, 1), "max": (np.maximum, -np.inf), "min": (np.minimum, np.inf)}
    ways = [(False, False), (False, True), (True, False), (True, True)]
    for shape in [(7,), (3, 4), (2, 5, 3), (2, 3, 17), (4, 1), (0, 3)]:
        for axis in range(len(shape)):
            for name, (f, neutral) in functions.items():
                for exclusive, reverse in ways:
                    words = f"cumulative {name} {axis} {'exclusive' if exclusive else 'inclusive'} {'reverse' if reverse else 'forward'}"
                    x = np.round(rng.normal(size=shape), 2)
                    floats(words, [x], lambda x: fold(f, x, axis, exclusive, reverse, neutral))
                    if name in ("sum", "prod"):
                        exact(words, [rng.integers(-9, 9, shape).astype(np.int32)], lambda x: fold(f, x, axis, exclusive, reverse, neutral).astype(np.int32))
            x = np.round(3 * rng.normal(size=shape), 2)
            floats(f"logcumsumexp {axis}", [x], np.logaddexp.accumulate, axis=axis)
    inf, nan = np.inf, np.nan
    hard = np.array([[-inf, -inf, 1e4, 1e4, -1e4], [-1e4, -1e4, 0.0, inf, 1.0], [1.0, nan, 2.0, inf, -inf]])
    floats("logcumsumexp 1", [hard], np.logaddexp.accumulate, axis=1)
    for name in functions:
        f = functions[name][0]
        floats(f"cumulative {name} 1 inclusive forward", [hard], f.accumulate, axis=1)
    cancelling = np.array([1e8, 1.0, -1e8, 1.0, 1e-3])
    floats("cumulative sum 0 inclusive forward", [cancelling], np.add.accumulate)
    for dtype in (np.int32, np.int64):
        info = np.iinfo(dtype)
        x = np.array([3, info.max, -2, info.min, 7], dtype)
        for name in functions:
            exact(f"cumulative {name} 0 inclusive forward", [x], lambda x: functions[name][0].accumulate(x, dtype=x.dtype))
    truth = np.array([[False, True, False], [True, False, False]])
    exact("cumulative max 1 inclusive forward", [truth], lambda x: np.logical_or.accumulate(x, 1))
    exact("cumulative min 1 inclusive forward", [truth], lambda x: np.logical_and.accumulate(x, 1))

    def recurrence(a, x, axis, reverse):
        a, x = (np.moveaxis(np.flip(v, axis) if reverse else v, axis, 0) for v in (a, x))
        y = np.array(x)
        for k in range(1, len(y)):
            y[k] = a[k] * y[k - 1] + x[k]
        y = np.moveaxis(y, 0, axis)
        return np.flip(y, axis) if reverse else y

    for shape in [(7,), (3, 4), (2, 5, 3), (1, 2)]:
        for axis in range(len(shape)):
            for reverse in (False, True):
                a, x = rng.uniform(-1, 1, shape), np.round(rng.normal(size=shape), 2)
                way = "reverse" if reverse else "forward"
                floats(f"recurrence {axis} {way}", [a, x], recurrence, axis=axis, reverse=reverse)


def linear_algebra():
    def matrices(*shape):
        return np.round(rng.normal(size=shape), 3)

    def definite(*shape):
        a = matrices(*shape)
        return np.round(a @ np.swapaxes(a, -1, -2) + np.eye(shape[-1]), 3)

    many = 1e4
    for shape in [(1, 1), (2, 2), (5, 5), (3, 4, 4), (2, 2, 3, 3), (18, 18), (0, 0), (0, 3, 3)]:
        a, n = matrices(*shape) + 2 * np.eye(shape[-1]), shape[-1]
        floats("cholesky", [definite(*shape)], np.linalg.cholesky, many)
        floats("logdet", [definite(*shape)], lambda x: np.linalg.slogdet(x)[1], many)
        floats("inverse", [a], np.linalg.inv, many)
        floats("det", [a], np.linalg.det, many)
        floats("slogdet_sign", [a], lambda x: np.linalg.slogdet(x)[0])
        floats("slogdet", [a], lambda x: np.linalg.slogdet(x)[1], many)
        for k in (1, 3):
            floats("solve", [a, matrices(*shape[:-1], k)], np.linalg.solve, many)
        floats("solve", [a, matrices(n)], np.linalg.solve, many)
    floats("solve", [matrices(3, 1, 4, 4), matrices(2, 4, 5)], np.linalg.solve, many)
    floats("solve", [matrices(4, 4), matrices(2, 4, 5)], np.linalg.solve, many)
    floats("det", [np.array([[1.0, 2.0], [2.0, 4.0]])], np.linalg.det)
    floats("slogdet", [np.array([[0.0, 0.0], [0.0, 4.0]])], lambda x: np.linalg.slogdet(x)[1])
    # Exchanges of rows, of odd and even count.
    for order in ([1, 0, 2], [1, 2, 0], [2, 1, 0], [3, 2, 1, 0], [1, 2, 3, 0]):
        floats("det", [np.diag(np.arange(1.0, len(order) + 1))[order]], np.linalg.det)
    indefinite = np.array([[[2.0, 1.0], [1.0, 1.0]], [[1.0, 2.0], [2.0, 1.0]]])
    nan = np.array([[[np.sqrt(2), 0.0], [np.sqrt(0.5), np.sqrt(0.5)]], [[np.nan, 0.0], [np.nan, np.nan]]])
    floats("cholesky", [indefinite], lambda x: nan)
    for shape, k in [((4, 4), 3), ((4, 4), 1), ((2, 5, 5), 2), ((9, 9), 1)]:
        a, b = matrices(*shape) / shape[-1] + np.eye(shape[-1]), matrices(*shape[:-1], k)
        for upper in (False, True):
            for transpose in (False, True):
                for unit in (False, True):
                    def solve(a, b, right=False):
                        t = np.triu(a) if upper else np.tril(a)
                        if unit:
                            i = np.arange(a.shape[-1])
                            t = t.copy()
                            t[..., i, i] = 1
                        t = np.swapaxes(t, -1, -2) if transpose else t
                        if right:
                            return np.swapaxes(np.linalg.solve(np.swapaxes(t, -1, -2), np.swapaxes(b, -1, -2)), -1, -2)
                        return np.linalg.solve(t, b)

                    words = f"{'upper' if upper else 'lower'} {'transposed' if transpose else 'plain'} {'unit' if unit else 'full'}"
                    floats(f"triangular_solve {words} left", [a, b], solve, 1e3)
                    floats(f"triangular_solve {words} right", [a, np.swapaxes(b, -1, -2)], solve, 1e3, right=True)


def products():
    def numbers(*shape):
        return np.round(rng.normal(size=shape), 2)

    def einsum(spec, *shapes):
        floats(f"einsum {spec}", [numbers(*s) for s in shapes], lambda *x: np.einsum(spec, *x), 30)

    einsum("i->i", (3,))
    einsum("ij->ji", (3, 4))
    einsum("ij->", (3, 4))
    einsum("ba", (3, 4))
    einsum("ii", (4, 4))
    einsum("ii->i", (4, 4))
    einsum("iij->ji", (3, 3, 4))
    einsum("iii->i", (3, 3, 3))
    einsum("iijj->ij", (3, 3, 2, 2))
    einsum("ijij->", (3, 2, 3, 2))
    einsum("...ii->...i", (2, 5, 3, 3))
    einsum("i...i", (3, 2, 3))
    einsum("...", (2, 3))
    einsum("->", ())
    einsum(",->", (), ())
    einsum(",ij->ij", (), (2, 3))
    einsum("i,i", (5,), (5,))
    einsum("i,j->ij", (3,), (4,))
    einsum("i,j", (3,), (4,))
    einsum("ij,jk", (3, 4), (4, 2))
    einsum("ij,jk->ki", (3, 4), (4, 2))
    einsum("ij,ij->i", (3, 4), (3, 4))
    einsum("ij,ij->ij", (3, 4), (3, 4))
    einsum("ij,kl->", (3, 4), (2, 5))
    einsum("bij,bjk->bik", (2, 3, 4), (2, 4, 5))
    einsum("bij,kj->bik", (2, 3, 4), (5, 4))
    einsum("bhqd,bhkd->bhqk", (2, 2, 3, 4), (2, 2, 5, 4))
    einsum("bhqk,bkhd->bqhd", (2, 2, 3, 4), (2, 4, 2, 5))
    einsum("...ij,...jk->...ik", (2, 3, 4), (4, 5))
    einsum("...ij,...jk->...ik", (2, 1, 3, 4), (3, 4, 5))
    einsum("...i,i...->...", (2, 3), (3, 2))
    einsum("...i,...i->i...", (2, 3), (1, 3))
    einsum("ij,jk->ik", (3, 1), (4, 5))
    einsum("ij,ij->ij", (1, 4), (3, 1))
    einsum("ij,i->", (1, 4), (3,))
    einsum("ij,jk->ik", (3, 0), (0, 2))
    einsum("ij,jk->ik", (0, 3), (3, 2))
    einsum("Ab,bC->CA", (2, 3), (3, 4))
    einsum("bA", (2, 3))
    einsum("ik,jkl,il->ij", (3, 4), (2, 4, 5), (3, 5))
    einsum("ab,bc,cd,de->ae", (3, 4), (4, 2), (2, 5), (5, 3))
    einsum("a,b,c->cab", (2,), (3,), (4,))
    einsum("ab,ab,ab->", (3, 4), (3, 4), (3, 4))
    einsum("ii,ij,j->", (3, 3), (3, 4), (4,))
    einsum(",".join("abcdefghijkl"[i:i + 2] for i in range(11)) + "->al", *[(2, 2)] * 11)
    letters = "abcdef"
    for _ in range(80):
        extents = dict(zip(letters, rng.integers(1, 5, len(letters))))
        terms = ["".join(rng.choice(list(letters), rng.integers(0, 4))) for _ in range(rng.integers(1, 5))]
        used = sorted(set("".join(terms)))
        out = "".join(rng.permutation(used)[: rng.integers(0, len(used) + 1)]) if used else ""
        shapes = []
        for term in terms:
            # Some indices that are not repeated in an operand stretch.
            shapes.append(tuple(1 if term.count(l) == 1 and rng.random() < 0.15 else int(extents[l]) for l in term))
        einsum(",".join(terms) + ("->" + out if rng.random() < 0.8 else ""), *shapes)
    whole = [rng.integers(-5, 6, s).astype(np.int32) for s in [(3, 4), (4, 2), (2,)]]
    exact("einsum ij,jk,k->i", whole, lambda *x: np.einsum("ij,jk,k->i", *x))

    pairs = [((3,), (3,)), ((3, 4), (4,)), ((4,), (4, 2)), ((3, 4), (4, 2)), ((2, 3, 4), (4,)), ((4,), (2, 4, 3))]
    pairs += [((2, 3, 4), (4, 2)), ((2, 1, 3, 4), (5, 4, 2)), ((3, 4), (2, 4, 5)), ((2, 0), (0, 3)), ((1, 4), (2, 4, 1))]
    for a, b in pairs:
        floats("matmul", [numbers(*a), numbers(*b)], np.matmul, 30)
    for a, b in [((3,), (4,)), ((2, 3), (4,)), ((), (2, 2)), ((0,), (3,))]:
        floats("outer", [numbers(*a), numbers(*b)], np.outer)
    for a, b in [((3,), (3,)), ((2, 3), (4, 3)), ((2, 3), (3,)), ((), (2, 2))]:
        floats("inner", [numbers(*a), numbers(*b)], np.inner, 30)
    floats("vdot", [numbers(2, 3), numbers(3, 2)], np.vdot, 30)
    for a, b in [((2, 3), (4, 5)), ((3,), (2, 2)), ((2, 2), (3,)), ((2, 1, 3), (2, 2)), ((), (2,))]:
        floats("kron", [numbers(*a), numbers(*b)], np.kron)
    floats("tensordot", [numbers(2, 3, 4), numbers(4, 3, 5)], lambda a, b: np.tensordot(a, b, [[1, -1], [1, 0]]), 30)


sorting()
cumulative()
linear_algebra()
products()
write(os.path.join(os.path.dirname(os.path.abspath(__file__)), "routines.txt"), "make_routines.py")
