"""The format of the files of golden values.

A case is a block of lines:

    case <name>                  the operation, as tests/golden.rs calls it, and a word or two after a colon
    in <dtype>[<shape>] <elements>
    out <dtype>[<shape>] <elements>
    tol <relative> <scaled>      distances allowed, as shares of the element and of the largest element; absent: none

Elements are the shortest decimals that give back the number; `*n` after an element repeats it. All results are computed in double precision from the
inputs as stored, and then rounded to the result's type, so the tolerance is that of the engine alone.
"""

import itertools
import warnings

import numpy as np

warnings.filterwarnings("ignore")
F = {"f32": np.float32, "f64": np.float64}
DTYPES = {"bool": np.bool_, "i32": np.int32, "i64": np.int64, "f32": np.float32, "f64": np.float64}
NAMES = {np.dtype(d): n for n, d in DTYPES.items()}
TOLERANCE = {"f32": (1e-6, 2e-7), "f64": (4e-15, 4e-16)}
blocks = []


def text(x):
    if isinstance(x, (bool, np.bool_)):
        return "true" if x else "false"
    if isinstance(x, (np.integer, int)):
        return str(int(x))
    if np.isnan(x):
        return "nan"
    if np.isinf(x):
        return "inf" if x > 0 else "-inf"
    s = np.format_float_scientific(x, trim="-", exp_digits=1)
    short = np.format_float_positional(x, trim="-")
    return short if len(short) <= len(s) else s


def array_text(a):
    a = np.asarray(a)
    words = []
    for word, run in itertools.groupby(text(x) for x in a.ravel()):
        n = len(list(run))
        words.append(word if n == 1 else f"{word}*{n}")
    shape = ",".join(str(d) for d in a.shape)
    return f"{NAMES[a.dtype]}[{shape}] {' '.join(words)}".rstrip()


def case(name, inputs, output, tol=None):
    lines = [f"case {name}"] + [f"in {array_text(a)}" for a in inputs] + [f"out {array_text(output)}"]
    if tol is not None:
        lines.append(f"tol {tol[0]:g} {tol[1]:g}")
    blocks.append("\n".join(lines))


def wide(a):
    return np.asarray(a, np.float64) if np.asarray(a).dtype.kind == "f" else np.asarray(a)


def floats(name, inputs, f, scale=1.0, **kwargs):
    """A case of inexact floats in both types: `f` in double precision of the inputs as stored."""
    for d, dtype in F.items():
        stored = [np.asarray(a, dtype) if np.asarray(a).dtype.kind == "f" else np.asarray(a) for a in inputs]
        relative, scaled = TOLERANCE[d]
        with np.errstate(all="ignore"):
            out = np.asarray(f(*[wide(a) for a in stored], **kwargs)).astype(dtype)
        case(name, stored, out, (relative * scale, scaled * scale))


def exact(name, inputs, f):
    with np.errstate(all="ignore"):
        case(name, inputs, f(*inputs))


def write(path, script):
    """Writes all cases so far."""
    with open(path, "w") as f:
        f.write(f"# Written by {script}; see cases.py for the format.\n\n" + "\n\n".join(blocks) + "\n")
    print(f"{len(blocks)} cases")
