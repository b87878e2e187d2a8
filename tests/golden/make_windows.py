#!/usr/bin/env python3
"""Golden values of convolution, pooling and resizing, with gradients, from PyTorch. Writes windows.txt beside this file; tests/windows.rs reads it.

    python3 -m venv venv && venv/bin/pip install numpy torch && venv/bin/python tests/golden/make_windows.py

A case is a block of lines:

    case <operation> <option>=<numbers> ..     as tests/windows.rs calls it
    in <dtype>[<shape>] <elements>             the operands
    out <dtype>[<shape>] <elements>
    by <dtype>[<shape>] <elements>             the cotangent of the result
    grad <dtype>[<shape>] <elements>           the cotangent of each operand

Operands in double precision have few digits; results are rounded to 13.
"""

import os

import numpy as np
import torch
import torch.nn.functional as F

torch.manual_seed(5)
rng = np.random.default_rng(20240611)
blocks = []
NAMES = {torch.float32: "f32", torch.float64: "f64"}


def number(v):
    if np.isnan(v):
        return "nan"
    if np.isinf(v):
        return "inf" if v > 0 else "-inf"
    return f"{v:.13g}" if isinstance(v, np.float64) else np.format_float_positional(v, unique=True, trim="-")


def text(t):
    a = t.detach().numpy()
    elements = " ".join(number(v) for v in a.ravel())
    return f"{NAMES[t.dtype]}[{','.join(map(str, a.shape))}] {elements}".rstrip()


def draw(shape, dtype=torch.float64):
    return torch.tensor(np.round(rng.uniform(-2, 2, shape), 2), dtype=dtype)


def spread(shape):
    """Numbers of which no two are equal."""
    n = int(np.prod(shape))
    return torch.tensor(np.round(rng.permutation(n) * 0.1 - 0.05 * n, 2).reshape(shape), dtype=torch.float64)


def case(name, f, inputs, **options):
    words = []
    for key, value in options.items():
        if value is None or value is False:
            continue
        if value is True:
            words.append(f"{key}=1")
        elif isinstance(value, str):
            words.append(f"{key}={value}")
        elif isinstance(value, (int, float)):
            words.append(f"{key}={value}")
        else:
            words.append(f"{key}=" + ",".join(f"{v[0]}:{v[1]}" if isinstance(v, tuple) else str(v) for v in value))
    inputs = [x.clone().requires_grad_() for x in inputs]
    out = f(*inputs)
    by = draw(tuple(out.shape), out.dtype)
    grads = torch.autograd.grad(out, inputs, by, allow_unused=True) if out.numel() else [torch.zeros_like(x) for x in inputs]
    grads = [torch.zeros_like(x) if g is None else g for x, g in zip(inputs, grads)]
    lines = ["case " + " ".join([name] + words)]
    lines += ["in " + text(x) for x in inputs] + ["out " + text(out), "by " + text(by)] + ["grad " + text(g) for g in grads]
    blocks.append("\n".join(lines))


def last(x):
    """Channels first to last."""
    return x.movedim(1, -1).contiguous()


def first(x):
    return x.movedim(-1, 1)


def listed(value, n):
    return [value] * n if isinstance(value, int) else list(value)


def pads(widths):
    return [w for pair in reversed(widths) for w in pair]


CONV = {1: F.conv1d, 2: F.conv2d, 3: F.conv3d}
TRANSPOSE = {1: F.conv_transpose1d, 2: F.conv_transpose2d, 3: F.conv_transpose3d}


def conv(x, w, strides=1, padding=0, dilation=1, groups=1, dtype=torch.float64):
    """`padding` is a list of pairs or numbers, or `same`, which is as in TensorFlow."""
    n = len(x) - 2

    def widths(x, w):
        if padding == "same":
            found = []
            for i in range(n):
                s, d = listed(strides, n)[i], listed(dilation, n)[i]
                total = max((-(-x[2 + i] // s) - 1) * s + (w[2 + i] - 1) * d + 1 - x[2 + i], 0)
                found.append((total // 2, total - total // 2))
            return found
        return [p if isinstance(p, tuple) else (p, p) for p in listed(padding, n)]

    def plain(a, b):
        return CONV[n](F.pad(a, pads(widths(x, w))), b, None, strides, 0, dilation, groups)

    options = dict(strides=strides, padding=padding, dilation=dilation, groups=groups)
    case("conv", plain, [draw(x, dtype), draw(w, dtype)], **options)

    def channels_last(a, b):
        return last(plain(first(a), b.permute(n + 1, n, *range(n))))

    shape = (*w[2:], w[1], w[0])
    case("conv", channels_last, [draw((x[0], *x[2:], x[1]), dtype), draw(shape, dtype)], last=True, **options)


def transposed(x, w, strides=1, padding=0, output_padding=0, dilation=1, groups=1):
    n = len(x) - 2

    def plain(a, b):
        return TRANSPOSE[n](a, b, None, strides, padding, output_padding, groups, dilation)

    options = dict(strides=strides, padding=padding, output_padding=output_padding, dilation=dilation, groups=groups)
    case("conv_transpose", plain, [draw(x), draw(w)], **options)

    def channels_last(a, b):
        return last(plain(first(a), b.permute(n, n + 1, *range(n))))

    case("conv_transpose", channels_last, [draw((x[0], *x[2:], x[1])), draw((*w[2:], w[0], w[1]))], last=True, **options)


# Convolution: one, two and three dimensions; strides, dilation, groups, paddings.
conv((2, 3, 7), (4, 3, 3))
conv((2, 3, 8), (2, 3, 3), strides=2, padding=1, dilation=2)
conv((1, 1, 5), (1, 1, 5))
conv((2, 2, 6), (3, 2, 1), strides=2)
conv((2, 2, 6), (3, 2, 2), strides=3)
conv((2, 3, 6, 5), (4, 3, 3, 2))
conv((2, 3, 6, 5), (4, 3, 3, 2), dtype=torch.float32)
conv((2, 2, 7, 6), (3, 2, 3, 3), strides=[2, 1], padding=[1, 2])
conv((1, 2, 6, 6), (2, 2, 3, 3), padding=[(0, 2), (1, 3)])
conv((1, 2, 7, 6), (2, 2, 3, 3), strides=2, padding="same")
conv((1, 2, 7, 7), (2, 2, 2, 4), padding="same", dilation=[1, 2])
conv((2, 2, 9, 8), (3, 2, 3, 2), strides=[2, 3], dilation=[3, 2], padding=[2, 1])
conv((2, 4, 5, 5), (6, 2, 3, 3), groups=2, padding=1)
conv((1, 6, 5, 4), (3, 2, 2, 2), groups=3, strides=2)
conv((2, 4, 6, 5), (4, 1, 3, 3), groups=4, padding=1)
conv((1, 3, 6, 6), (6, 1, 3, 3), groups=3, strides=2, dilation=2, padding=2)
conv((2, 3, 4, 4), (5, 3, 1, 1))
conv((2, 3, 4, 4), (5, 3, 4, 4))
conv((1, 2, 3, 3), (2, 2, 3, 3), padding=4)
conv((0, 2, 4, 4), (3, 2, 3, 3), padding=1)
conv((1, 2, 4, 5, 4), (2, 2, 2, 3, 2))
conv((2, 2, 5, 4, 4), (4, 1, 3, 2, 2), groups=2, strides=[2, 1, 2], padding=[1, 0, 1], dilation=[1, 2, 1])
conv((2, 3, 12, 12), (8, 3, 5, 5), padding=2, dtype=torch.float32)

transposed((2, 3, 5), (3, 4, 3))
transposed((2, 3, 5), (3, 2, 3), strides=2, padding=1, output_padding=1)
transposed((1, 2, 4), (2, 3, 2), strides=3)
transposed((1, 2, 4), (2, 3, 2), strides=3, output_padding=2)
transposed((2, 3, 4, 3), (3, 2, 3, 3))
transposed((2, 2, 4, 3), (2, 3, 3, 2), strides=[2, 3], padding=[1, 0], output_padding=[1, 2])
transposed((1, 2, 4, 4), (2, 2, 3, 3), padding=2)
transposed((1, 2, 4, 4), (2, 2, 2, 2), strides=2)
transposed((2, 4, 3, 4), (4, 3, 3, 2), strides=2, groups=2, padding=1)
transposed((1, 3, 4, 4), (3, 1, 3, 3), strides=2, groups=3, dilation=2, padding=1, output_padding=1)
transposed((1, 2, 3, 3), (2, 2, 2, 3), strides=[3, 2], dilation=[2, 3])
transposed((1, 2, 3, 2, 3), (2, 2, 2, 3, 2), strides=[2, 1, 2], padding=[0, 1, 1], output_padding=[1, 0, 1])
transposed((0, 2, 3, 3), (2, 2, 2, 2), strides=2)

MAX = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}
AVG = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}


def pool(x, size, strides=None, padding=0, dilation=1, ceil=False, count=True):
    n = len(x) - 2
    options = dict(size=size, strides=strides, padding=padding, ceil=ceil)

    def both(name, f, **more):
        case(name, f, [spread(x)], **options, **more)
        case(name, lambda a: last(f(first(a))), [spread((x[0], *x[2:], x[1]))], **options, **more, last=True)

    both("max_pool", lambda a: MAX[n](a, size, strides, padding, dilation, ceil), dilation=dilation)
    if dilation == 1:
        both("avg_pool", lambda a: AVG[n](a, size, strides, padding, ceil, count), exclude=not count)


pool((2, 3, 7), 2)
pool((2, 3, 7), 2, ceil=True)
pool((2, 2, 8), 3, strides=2, padding=1)
pool((2, 2, 8), 3, strides=2, padding=1, count=False)
pool((1, 2, 9), 3, strides=2, dilation=2, padding=1)
pool((2, 3, 6, 6), 2)
pool((2, 2, 7, 6), [3, 2], strides=[2, 1], padding=[1, 0])
pool((2, 2, 7, 6), [3, 2], strides=[2, 3], padding=[1, 1], ceil=True)
pool((2, 2, 7, 6), [3, 2], strides=[2, 3], padding=[1, 1], ceil=True, count=False)
pool((1, 2, 5, 5), 2, strides=3, ceil=True)
pool((1, 2, 5, 5), 3, strides=1, padding=1, count=False)
pool((1, 1, 8, 8), 3, strides=2, dilation=[2, 3], padding=1, ceil=True)
pool((1, 2, 4, 5, 4), 2)
pool((1, 2, 4, 5, 4), [2, 3, 2], strides=[1, 2, 2], padding=[1, 1, 0], ceil=True, count=False)

for p in [1.0, 2.0, 3.0]:
    # PyTorch's norm of an odd order is of the elements with their signs.
    case("lp_pool", lambda a: F.lp_pool1d(a.abs(), p, 3, 2), [spread((2, 2, 8)) + 0.03], size=3, strides=2, p=p)
    case("lp_pool", lambda a: F.lp_pool2d(a.abs(), p, [2, 3]), [spread((1, 2, 6, 6)) + 0.03], size=[2, 3], p=p)

for x, size in [((2, 2, 7), [3]), ((1, 2, 6, 5), [3, 2]), ((1, 2, 6, 5), [1, 1]), ((1, 1, 3, 4), [5, 4]), ((1, 1, 5, 4, 3), [2, 3, 3])]:
    f = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}[len(size)]
    case("adaptive_avg_pool", lambda a: f(a, size), [draw(x)], size=size)
    case("adaptive_avg_pool", lambda a: last(f(first(a), size)), [draw((x[0], *x[2:], x[1]))], size=size, last=True)

LINEAR = {1: "linear", 2: "bilinear", 3: "trilinear"}
for x, size in [((2, 2, 5), [8]), ((2, 2, 5), [3]), ((1, 2, 4, 3), [8, 6]), ((1, 2, 4, 5), [7, 2]), ((1, 2, 3, 6), [3, 1]),
                ((1, 2, 1, 4), [3, 4]), ((1, 1, 6, 6), [3, 2]), ((1, 1, 2, 3, 4), [4, 5, 3])]:
    n = len(size)
    modes = dict(nearest="nearest", nearest_exact="nearest-exact", linear=LINEAR[n], linear_aligned=LINEAR[n])
    for mode, torch_mode in modes.items():
        corners = dict(align_corners=mode == "linear_aligned") if mode.startswith("linear") else {}
        f = lambda a: F.interpolate(a, size=size, mode=torch_mode, **corners)
        case("resize", f, [draw(x)], size=size, mode=mode)
        case("resize", lambda a: last(f(first(a))), [draw((x[0], *x[2:], x[1]))], size=size, mode=mode, last=True)

path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "windows.txt")
with open(path, "w") as f:
    f.write("Written by make_windows.py; see there for the format.\n\n" + "\n\n".join(blocks) + "\n")
print(len(blocks), "cases")
