"""Writes derivatives.txt: values, gradients and products of Hessians with vectors, by PyTorch in double precision.

    python3 make_derivatives.py        (needs PyTorch, whose version is in the file's first line, and mpmath)

Format, line by line:

    case NAME             one function on one set of inputs, as derivatives.rs calls it; what follows a colon is a remark
    in TYPE ELEMENTS      an input, in order
    out TYPE ELEMENTS     the value
    cot TYPE ELEMENTS     the weights of the loss, which is sum(value * weights)
    grad TYPE ELEMENTS    the gradient of the loss by each input of floats, in order
    dir TYPE ELEMENTS     a direction for each input of floats
    hvp TYPE ELEMENTS     the derivatives of the gradients in the direction; absent where PyTorch has none

Inputs, weights and directions have few digits; results are rounded to 15.
"""

import itertools
import os

import mpmath
import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.manual_seed(7)
NAMES = {torch.float64: "f64", torch.int64: "i64", torch.bool: "bool"}
OUT = []


def line(kind, t):
    def word(v):
        if isinstance(v, bool):
            return "true" if v else "false"
        return str(v) if isinstance(v, int) else f"{v:.15g}"

    t = t.detach()
    dims = ",".join(str(d) for d in t.shape)
    OUT.append(f"{kind} {NAMES[t.dtype]}[{dims}] {' '.join(word(v) for v in t.reshape(-1).tolist())}".rstrip())


def few(t):
    return torch.round(t, decimals=2)


def case(name, f, *inputs, second=True):
    OUT.append(f"case {name}")
    inputs = [t.clone() for t in inputs]
    for t in inputs:
        line("in", t)
    leaves = [t.requires_grad_() for t in inputs if t.dtype == torch.float64]
    y = f(*inputs)
    line("out", y)
    cot = few(torch.rand(y.shape) + 0.5)
    line("cot", cot)
    # PyTorch has nothing for what does not depend, and zeros without storage.
    zeros = lambda gs: [torch.zeros(t.shape) if g is None else g + torch.zeros(t.shape) for g, t in zip(gs, leaves)]
    grads = zeros(torch.autograd.grad((y * cot).sum(), leaves, allow_unused=True, create_graph=second))
    for g in grads:
        line("grad", g)
    dirs = [few(torch.randn(t.shape)) for t in leaves]
    for d in dirs:
        line("dir", d)
    if not second:
        return
    slope = sum((g * d).sum() for g, d in zip(grads, dirs))
    hvps = torch.autograd.grad(slope, leaves, allow_unused=True) if slope.requires_grad else [None] * len(leaves)
    for h in zeros(hvps):
        line("hvp", h)


def exact(name, functions, x):
    """A case of a function with its derivatives of the first and second order: PyTorch's trigamma has nine digits."""
    value, first, second = (torch.tensor([float(f(float(v))) for v in x]) for f in functions)
    cot, direction = few(torch.rand(x.shape) + 0.5), few(torch.randn(x.shape))
    OUT.append(f"case {name}")
    for kind, t in [("in", x), ("out", value), ("cot", cot), ("grad", cot * first), ("dir", direction), ("hvp", cot * second * direction)]:
        line(kind, t)


def x(*shape):
    return few(torch.randn(shape))


def apart(*shape):
    """Numbers of which no two are equal."""
    n = torch.Size(shape).numel()
    return few((torch.randperm(n) * 0.17 - 0.08 * n).reshape(shape))


def between(low, high, n=6):
    return few(torch.rand(n) * (high - low) + low)


def elementwise():
    cube = lambda x: torch.sign(x) * torch.abs(x) ** (1 / 3)
    ranges = {
        (-2, 2): [torch.exp, torch.exp2, torch.expm1, F.softplus, torch.sigmoid, torch.sinh, torch.cosh, torch.tanh, torch.asinh, torch.sin, torch.cos, torch.atan, torch.erf, torch.erfc, torch.abs, F.softsign, torch.sign, torch.floor],
        (0.2, 3): [torch.log, torch.log2, torch.log10, torch.log1p, torch.sqrt, torch.rsqrt],
        (-0.9, 0.9): [torch.atanh, torch.asin, torch.acos, torch.tan],
        (1.1, 3): [torch.acosh],
    }
    for (low, high), functions in ranges.items():
        for f in functions:
            case(f.__name__, f, between(low, high))
    psi = [lambda x: mpmath.log(abs(mpmath.gamma(x)))] + [lambda x, n=n: mpmath.psi(n, x) for n in range(5)]
    for n, name in enumerate(["lgamma", "digamma", "trigamma", "polygamma_2"]):
        exact(name, psi[n : n + 3], torch.cat([between(0.2, 4), torch.tensor([-0.4, -1.7, -2.3])]))
    case("logit", torch.logit, between(0.1, 0.9))
    case("erf_inv", torch.erfinv, between(-0.9, 0.9))
    case("cbrt", cube, torch.tensor([-2.0, -0.3, 0.2, 5.0]))
    case("pow", torch.pow, between(0.2, 3), between(-2, 3))
    for n in [3, -2, 0]:
        case(f"power {n}", lambda x: x**n, torch.tensor([-1.5, -2.0, 0.5]))
    for f in [torch.hypot, torch.atan2, torch.logaddexp, torch.mul, torch.div, torch.copysign]:
        case(f.__name__, f, x(6), few(torch.rand(6) + 0.3))
    case("max", torch.maximum, apart(6), apart(6) + 0.01)
    case("min", torch.minimum, torch.tensor([1.0, 2.0, 3.0]), torch.tensor([1.0, 3.0, 2.0]))
    # The remainder that rounds toward zero, and the one that rounds down.
    case("rem", torch.fmod, torch.tensor([5.3, -5.3, 5.3, -5.3]), torch.tensor([2.0, 2.0, -2.0, -2.0]))
    case("mod", torch.remainder, torch.tensor([5.3, -5.3, 5.3, -5.3]), torch.tensor([2.0, 2.0, -2.0, -2.0]))
    case("xlogy", torch.xlogy, x(5), few(torch.rand(5) + 0.3))

    case("relu", F.relu, x(6))
    case("leaky_relu", lambda x: F.leaky_relu(x, 0.1), x(6))
    case("prelu", F.prelu, x(3, 4), few(torch.rand(4)))
    case("elu", lambda x: F.elu(x, 1.5), x(6))
    case("celu", lambda x: F.celu(x, 1.5), x(6))
    case("selu", F.selu, x(6))
    case("silu", F.silu, x(6))
    case("mish", F.mish, x(6))
    case("gelu", F.gelu, x(6))
    case("gelu_tanh", lambda x: F.gelu(x, approximate="tanh"), x(6))
    case("log_sigmoid", F.logsigmoid, x(6))
    # PyTorch's own have a sixth in single precision in the gradient.
    case("hard_sigmoid", lambda x: F.relu6(x + 3) / 6, few(3 * torch.randn(8)))
    case("hard_swish", lambda x: x * F.relu6(x + 3) / 6, few(3 * torch.randn(8)))
    case("clamp", lambda x: torch.clamp(x, -1, 2), torch.tensor([-3.0, 0.5, 1.0, 2.5]))


def reductions():
    for p in [1.0, 1.5, 2.0, 3.0, torch.inf]:
        case(f"norm{p:g}_last", lambda x: torch.linalg.vector_norm(x, p, -1), apart(2, 2, 3))
    case("prod_last", lambda x: x.prod(-1), x(2, 2, 3))
    case("prod_last:zeros", lambda x: x.prod(-1), torch.tensor([[[0.0, 2.0, 3.0], [0.0, 0.0, 3.0]]]))
    case("max_outer", lambda x: x.amax((0, 2)), apart(2, 2, 3))
    case("max_last:ties", lambda x: x.amax(-1), torch.tensor([[[1.0, 2.0, 2.0], [3.0, 3.0, 3.0]]]), second=False)
    case("min_last:ties", lambda x: x.amin(-1), torch.tensor([[[1.0, 1.0, 2.0], [3.0, 3.0, 3.0]]]), second=False)
    case("mean_outer", lambda x: x.mean((0, 2)), x(2, 2, 3))
    case("lse_outer", lambda x: x.logsumexp((0, 2)), x(2, 2, 3))
    for ddof in [0, 1]:
        case(f"var{ddof}_outer", lambda x: x.var((0, 2), correction=ddof), x(2, 2, 3))
        case(f"std{ddof}_last", lambda x: x.std(-1, correction=ddof), x(2, 2, 3))
    for way in ["up", "down"]:
        case(f"sort 1 {way}", lambda x: x.sort(dim=1, descending=way == "down").values, apart(3, 4))
        case(f"sort 0 {way}:ties", lambda x: x.sort(dim=0, descending=way == "down", stable=True).values, torch.tensor([1.0, 3.0, 1.0, 3.0, 2.0]))
    case("top_k 2 1", lambda x: x.topk(2, 1).values, apart(3, 4))
    case("median 1", lambda x: x.quantile(0.5, 1), apart(3, 4))
    case("quantile 0.1 0", lambda x: x.quantile(0.1, 0), apart(5, 2))


def cumulative():
    def fold(f, x, axis, neutral, exclusive, reverse):
        x = x.flip(axis) if reverse else x
        if exclusive:
            start = torch.full_like(x.narrow(axis, 0, 1), neutral)
            x = torch.cat([start, x.narrow(axis, 0, x.shape[axis] - 1)], axis)
        y = f(x, axis)
        return y.flip(axis) if reverse else y

    folds = {"sum": (torch.cumsum, 0.0), "prod": (torch.cumprod, 1.0), "max": (lambda x, a: x.cummax(a).values, -torch.inf), "min": (lambda x, a: x.cummin(a).values, torch.inf)}
    for name, (f, neutral) in folds.items():
        for exclusive, reverse in itertools.product([False, True], repeat=2):
            # Infinities, which exclusive extremes begin with, must have no weight.
            if exclusive and name in ("max", "min"):
                continue
            words = f"cumulative {name} 1 {'exclusive' if exclusive else 'inclusive'} {'reverse' if reverse else 'forward'}"
            case(words, lambda x: fold(f, x, 1, neutral, exclusive, reverse), apart(2, 4, 2))
    case("cumulative prod 0 inclusive forward:zeros", lambda x: x.cumprod(0), torch.tensor([2.0, 0.0, 3.0, 0.0, 5.0]))
    case("logcumsumexp 1", lambda x: x.logcumsumexp(1), x(2, 4))

    def recurrence(a, x):
        y = [x[:, 0]]
        for k in range(1, x.shape[1]):
            y.append(a[:, k] * y[-1] + x[:, k])
        return torch.stack(y, 1)

    case("recurrence 1 forward", recurrence, x(2, 4), x(2, 4))


def linear_algebra():
    def whole(a):
        """The symmetric matrix of which only the lower triangle is read."""
        return a.tril() + a.tril(-1).mT

    def definite(*shape):
        a = torch.randn(shape)
        return few(a @ a.mT + torch.eye(shape[-1]))

    for shape in [(1, 1), (4, 4), (2, 3, 3)]:
        n = shape[-1]
        regular = lambda: x(*shape) + 2 * torch.eye(n)
        case("cholesky", lambda a: torch.linalg.cholesky(whole(a)), definite(*shape))
        case("logdet", lambda a: torch.logdet(whole(a)), definite(*shape))
        case("inverse", torch.linalg.inv, regular())
        case("det", torch.linalg.det, regular())
        case("slogdet", lambda a: torch.linalg.slogdet(a).logabsdet, regular())
        case("solve", torch.linalg.solve, regular(), x(*shape[:-1], 2))
    case("solve:vector", torch.linalg.solve, x(3, 3) + 2 * torch.eye(3), x(3))
    case("solve:broadcast", torch.linalg.solve, x(2, 3, 3) + 2 * torch.eye(3), x(3, 2))
    case("det:exchanged", torch.linalg.det, torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 1.0], [1.0, 1.0, 0.0]]))
    for upper, transpose, unit, right in itertools.product([False, True], repeat=4):
        words = f"{'upper' if upper else 'lower'} {'transposed' if transpose else 'plain'} {'unit' if unit else 'full'} {'right' if right else 'left'}"

        def solve(a, b):
            t = a.triu() if upper else a.tril()
            t, up = (t.mT, not upper) if transpose else (t, upper)
            return torch.linalg.solve_triangular(t, b, upper=up, left=not right, unitriangular=unit)

        a = few(torch.randn(3, 3) / 3) + torch.eye(3)
        case(f"triangular_solve {words}", solve, a, x(2, 3) if right else x(3, 2))


def products():
    for spec, *shapes in [
        ("ii->i", (3, 3)), ("ii", (3, 3)), ("iij->ji", (2, 2, 3)), ("...ii->...", (2, 3, 3)), ("i...i", (2, 3, 2)), ("ij,jk->ki", (2, 3), (3, 2)),
        ("...ij,...jk->...ik", (2, 1, 2, 3), (2, 3, 2)), ("bhqd,bhkd->bhqk", (1, 2, 2, 3), (1, 2, 3, 3)), ("ij,ij->i", (2, 3), (2, 3)), ("i,j->ij", (2,), (3,)),
        ("ab,bc,cd->ad", (2, 3), (3, 2), (2, 2)), ("ab,ab,ab->", (2, 3), (2, 3), (2, 3)), ("ii,ij,j->", (3, 3), (3, 2), (2,)), ("ij,kl->", (2, 2), (3,  2)), (",ij->j", (), (2, 3)),
    ]:
        case(f"einsum {spec}", lambda *t: torch.einsum(spec, *t), *[x(*s) for s in shapes])
    for a, b in [((2, 1, 2, 3), (2, 3, 2)), ((3,), (2, 3, 2)), ((2, 3), (3,)), ((3,), (3,))]:
        case("matmul", torch.matmul, x(*a), x(*b))
    case("kron", torch.kron, x(2, 2), x(2, 3))
    case("outer", torch.outer, x(2), x(3))
    case("tensordot", lambda a, b: torch.tensordot(a, b, [[1, -1], [1, 0]]), x(2, 3, 2), x(2, 3, 2))


def indexing():
    rows = torch.tensor([[2, 0], [2, 1]])
    case("take_0", lambda a, i: a[i], x(4, 2), rows)
    case("take_1", lambda a, i: a[:, i], x(2, 3), rows)
    case("take_along_axis_1", lambda a, i: a.gather(1, i), x(2, 3), torch.tensor([[2, 0, 2, 1], [1, 1, 1, 0]]))
    pairs = torch.tensor([[[0, 1], [2, 0]], [[0, 1], [1, 1]]])
    case("gather_nd", lambda a, i: a[i[..., 0], i[..., 1]], x(3, 2, 2), pairs)
    case("embedding", lambda a, i: F.embedding(i, a), x(4, 2), rows)
    case("masked_fill", lambda a, m: a.masked_fill(m, 7.0), x(2, 3), torch.tensor([[True, False, True], [False, False, True]]))
    case("index_add", lambda a, i, u: a.index_add(1, i, u), x(2, 3), torch.tensor([2, 0, 2, 2]), x(2, 4))

    def combined(combine, base, updates):
        """An element and all that meets it; those that attain an extreme share its cotangent, as those of `amax` do."""
        everything = torch.stack([base, *updates])
        return {"add": lambda t: t.sum(0), "mul": lambda t: t.prod(0), "max": lambda t: t.amax(0), "min": lambda t: t.amin(0), "set": lambda t: t[-1]}[combine](everything)

    def scatter(combine):
        return lambda a, i, u: torch.stack([combined(combine, a[r], [u.reshape(-1, *a.shape[1:])[k] for k, j in enumerate(i.reshape(-1)) if j == r]) for r in range(len(a))])

    def scatter_nd(combine):
        flat = lambda a, i, u: scatter(combine)(a.reshape(-1, *a.shape[2:]), i[..., 0] * a.shape[1] + i[..., 1], u.reshape(-1, *a.shape[2:])).reshape(a.shape)
        return flat

    def scatter_along(combine):
        return lambda a, i, u: torch.stack([scatter(combine)(a[r], i[r], u[r]) for r in range(len(a))])

    index = torch.tensor([2, 0, 2, 3, 2])
    places = torch.tensor([[2, 0, 2, 2], [1, 1, 1, 0]])
    for combine in ["set", "add", "mul", "max", "min"]:
        case(f"scatter_{combine}", scatter(combine), apart(4, 2), index, apart(5, 2) + 0.01)
        case(f"scatter_along_1_{combine}", scatter_along(combine), apart(2, 3), places, apart(2, 4) + 0.01)
        case(f"scatter_nd_{combine}", scatter_nd(combine), apart(3, 2, 2), pairs, apart(2, 2, 2) + 0.01)
    # By PyTorch's own operations; those of repeated factors and extremes it differentiates once.
    for combine, reduce in [("add", "sum"), ("mul", "prod"), ("max", "amax"), ("min", "amin")]:
        own = lambda a, i, u: a.scatter_reduce(1, i, u, reduce)
        case(f"scatter_along_1_{combine}:scatter_reduce", own, apart(2, 3), places, apart(2, 4) + 0.01, second=False)
    ties = [torch.tensor([[4.0, 2.0]]), torch.tensor([[0, 0, 1, 0]]), torch.tensor([[4.0, 3.0, 5.0, 4.0]])]
    case("scatter_along_1_max:ties", lambda a, i, u: a.scatter_reduce(1, i, u, "amax"), *ties, second=False)
    zeros = [torch.tensor([[0.0, 2.0]]), torch.tensor([[0, 1, 1, 0]]), torch.tensor([[3.0, 0.0, 5.0, 0.0]])]
    case("scatter_along_1_mul:zeros", scatter_along("mul"), *zeros)


def shapes():
    for mode, torch_mode in [("reflect", "reflect"), ("edge", "replicate"), ("wrap", "circular")]:
        pad = lambda a, _: F.pad(a[None], (2, 1), torch_mode)[0].square()
        case(f"square pad_{mode}", pad, x(2, 4), torch.tensor([0, 0, 2, 1]))
    case("square tile", lambda a: a.repeat(2, 1, 3).square(), x(1, 2, 2))
    case("square repeat", lambda a: a.repeat_interleave(3, 1).square(), x(2, 2))
    case("square roll_2", lambda a: a.roll(2, -1).square(), x(2, 5))
    case("square tril_-1", lambda a: a.tril(-1).square(), x(3, 3))
    case("square triu_1", lambda a: a.triu(1).square(), x(3, 4))
    case("square diag_1", lambda a: a.diag(1).square(), x(3))
    case("square diagonal_-1", lambda a: a.diagonal(-1).square(), x(3, 3))
    case("square pixel_shuffle", lambda a: F.pixel_shuffle(a, 2).square(), x(1, 4, 2, 1))
    case("square slice_backwards", lambda a: a.flip(-1)[..., ::3].square(), x(2, 1, 5))
    case("square dynamic_slice_2_2", lambda a, i, j: a[1:3, 0:2].square(), x(3, 3), torch.tensor(1), torch.tensor(0))
    case("square unfold", lambda a: a.unfold(1, 3, 2).square(), x(2, 7))


def loops():
    trips, batch, features, hidden = 20, 2, 2, 2

    def recurrent(kind, gates):
        net = kind(features, hidden)
        names = [n for n, _ in net.named_parameters()]

        def f(xs, *weights):
            return torch.func.functional_call(net, dict(zip(names, weights)), (xs,))[0]

        sizes = [(gates * hidden, features), (gates * hidden, hidden), (gates * hidden,), (gates * hidden,)]
        return f, [few(torch.randn(trips, batch, features))] + [few(torch.randn(*s) * 0.5) for s in sizes]

    for name, kind, gates in [("rnn", torch.nn.RNN, 1), ("lstm", torch.nn.LSTM, 4), ("gru", torch.nn.GRU, 3)]:
        f, inputs = recurrent(kind, gates)
        for keep in ["all", "carries"]:
            case(f"{name} {keep}", f, *inputs)

    def grow(most):
        def f(c, a):
            for _ in range(most):
                if not c.square().sum() < 50:
                    break
                c = c * a + c.sin()
            return c

        return f

    for most in [40, 3, 0]:
        case(f"while {most}", grow(most), torch.tensor([0.5, -0.3, 1.2]), torch.tensor([1.1, 0.9, 1.3]))
    branch = lambda x, w: x.sin() * w if x.sum() > 0 else x.exp() + w * w
    case("cond", branch, torch.tensor([0.5, 0.7]), torch.tensor([1.5, -0.5]))
    case("cond", branch, torch.tensor([0.5, -0.7]), torch.tensor([1.5, -0.5]))

    def attractor(h, xs):
        hs = []
        for x in reversed(xs):
            h = torch.tanh(h * x + 0.3)
            hs.append(h)
        return torch.stack(hs[::-1])

    case("scan reverse", attractor, x(3), x(5, 3))


def windows():
    case("conv1", lambda a, w: F.conv1d(a, w, stride=2, padding=1, dilation=2, groups=2), x(1, 2, 7), x(2, 1, 3))
    case("conv2", lambda a, w: F.conv2d(a, w, stride=(2, 1), padding=(1, 0), dilation=(1, 2)), x(1, 2, 4, 5), x(2, 2, 2, 2))
    case("conv2 depthwise", lambda a, w: F.conv2d(a, w, groups=2), x(1, 2, 3, 3), x(4, 1, 2, 2))
    case("conv3", lambda a, w: F.conv3d(a, w, stride=(1, 2, 1)), x(1, 1, 2, 3, 3), x(2, 1, 2, 2, 2))
    case("conv_transpose1", lambda a, w: F.conv_transpose1d(a, w, stride=2, padding=1, output_padding=1, dilation=2, groups=2), x(1, 2, 4), x(2, 1, 3))
    case("conv_transpose2", lambda a, w: F.conv_transpose2d(a, w, stride=(2, 1)), x(1, 2, 2, 3), x(2, 1, 2, 2))
    case("conv_transpose3", lambda a, w: F.conv_transpose3d(a, w, stride=2), x(1, 1, 2, 2, 1), x(1, 1, 2, 1, 2))
    case("square max_pool", lambda a: F.max_pool2d(a, 2, 1).square(), apart(1, 2, 3, 4))
    case("square avg_pool", lambda a: F.avg_pool2d(a, 2, 2, 1, count_include_pad=False).square(), x(1, 1, 4, 4))
    case("lp_pool", lambda a: F.lp_pool1d(a.abs(), 3.0, 3, 2), apart(1, 2, 7) + 0.03)
    case("square global_max_pool", lambda a: F.adaptive_max_pool2d(a, 1).square(), apart(2, 2, 3, 2))
    case("square global_avg_pool", lambda a: F.adaptive_avg_pool2d(a, 1).square(), x(2, 2, 3, 2))
    case("square resize_linear", lambda a: F.interpolate(a, size=(5, 2), mode="bilinear").square(), x(1, 1, 3, 4))
    case("square resize_nearest", lambda a: F.interpolate(a, size=(5, 2), mode="nearest").square(), x(1, 1, 3, 4))


def normalization():
    case("softmax", lambda a: a.softmax(-1), x(2, 3))
    case("log_softmax", lambda a: a.log_softmax(-1), x(2, 3))
    case("layer_norm_affine", lambda a, w, b: F.layer_norm(a, [4], w, b, 1e-5), x(2, 4), x(4), x(4))
    case("rms_norm", lambda a: F.rms_norm(a, [4], eps=1e-6), x(2, 4))
    case("group_norm", lambda a: F.group_norm(a, 2, eps=1e-5), x(1, 4, 2))
    case("instance_norm", lambda a: F.instance_norm(a, eps=1e-5), x(2, 2, 3))
    train = lambda a, w, b: F.batch_norm(a, None, None, w, b, True, 0.1, 1e-5)
    case("batch_norm", train, x(4, 2), x(2), x(2))
    case("batch_norm", train, x(2, 2, 3), x(2), x(2))

    def attention(q, k, v, hide=None):
        scores = q @ k.mT / q.shape[-1] ** 0.5
        return (scores if hide is None else scores.masked_fill(hide, -torch.inf)).softmax(-1) @ v

    qkv = lambda: [x(2, 3, 2), x(2, 3, 2), x(2, 3, 2)]
    case("attention", attention, *qkv())
    case("attention_causal", lambda q, k, v: attention(q, k, v, torch.ones(3, 3).triu(1).bool()), *qkv())
    seen = torch.tensor([[True, False, True], [False, True, True], [True, False, False]])
    case("attention_mask", lambda q, k, v, m: attention(q, k, v, ~m), *qkv(), seen)


def losses():
    labels = torch.tensor([2, 0, 1])
    some = torch.tensor([2, -100, 1])
    weights = torch.tensor([0.5, 2.0, 1.0])
    ce = F.cross_entropy
    case("cross_entropy", lambda a, y: ce(a, y, reduction="none"), x(3, 3), labels)
    case("cross_entropy_all", lambda a, y, w: ce(a, y, w.detach(), label_smoothing=0.2), x(3, 3), some, weights)
    probs = torch.softmax(torch.randn(3, 3), -1)
    case("cross_entropy_soft", lambda a, t: (-t * a.log_softmax(-1)).sum(-1).mean(), x(3, 3), few(probs))
    none = {"reduction": "none"}
    case("mse", F.mse_loss, x(2, 3), x(2, 3))
    case("huber", lambda a, t: F.huber_loss(a, t, delta=0.75, **none), x(2, 3), x(2, 3))
    case("bce_with_logits", lambda a, t: F.binary_cross_entropy_with_logits(a, t, **none), x(2, 3), few(torch.rand(2, 3)))
    case("kl_div", lambda a, t: F.kl_div(a, t, **none), x(2, 3), few(torch.rand(2, 3) + 0.1))
    case("poisson_nll", lambda a, t: F.poisson_nll_loss(a, t, **none), x(2, 3), x(2, 3))
    case("gaussian_nll", lambda a, t, v: F.gaussian_nll_loss(a, t, v, eps=0.1, **none), x(2, 3), x(2, 3), few(torch.rand(2, 3) + 0.3))
    case("hinge", lambda a, t: torch.relu(1 - a * t), x(2, 3), x(2, 3))
    case("cosine_similarity", lambda a, b: F.cosine_similarity(a, b, dim=1), x(3, 2), x(3, 2))

    def ctc(targets):
        """Minus the logarithm of the probability of all alignments, which are written out: PyTorch's own loss is differentiated once only."""

        def f(a, *_):
            scores = a.log_softmax(-1)

            def meaning(path):
                return [k for k, _ in itertools.groupby(path) if k != 0]

            each = []
            for n, target in enumerate(targets):
                paths = [p for p in itertools.product(range(a.shape[2]), repeat=len(a)) if meaning(p) == target]
                each.append(-torch.stack([sum(scores[t, n, k] for t, k in enumerate(p)) for p in paths]).logsumexp(0))
            return torch.stack(each)

        return f

    case("ctc", ctc([[1, 2], [1, 1]]), x(4, 2, 3), torch.tensor([[1, 2], [1, 1]]), torch.tensor([4, 4]), torch.tensor([2, 2]))


elementwise()
reductions()
cumulative()
linear_algebra()
products()
indexing()
shapes()
loops()
windows()
normalization()
losses()
path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "derivatives.txt")
head = f"# Made by make_derivatives.py with PyTorch {torch.__version__.split('+')[0]}."
with open(path, "w") as f:
    f.write("\n".join([head, *OUT]) + "\n")
print(sum(l.startswith("case") for l in OUT), "cases,", os.path.getsize(path), "bytes")
