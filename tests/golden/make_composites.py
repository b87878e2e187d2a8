"""Writes composites.txt: values and gradients of normalization, attention and losses by PyTorch.

    python3 make_composites.py        (needs PyTorch; the version is in the file's first line)

Format, line by line:

    case NAME             one composite on one set of inputs
    in TYPE ELEMENTS      an input, in order; as in ops.txt
    out TYPE ELEMENTS     the value
    cot TYPE ELEMENTS     the cotangent, if the case has gradients
    grad TYPE ELEMENTS    the gradient of sum(value * cotangent) by each input of floats, in order; `grad none` where PyTorch has none

All in double precision.
"""

import os

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)
torch.manual_seed(1)
OUT = open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "composites.txt"), "w")
NAMES = {torch.float64: "f64", torch.int32: "i32", torch.int64: "i64", torch.bool: "bool"}


def word(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, int):
        return str(v)
    if v != v:
        return "NaN"
    return {float("inf"): "inf", float("-inf"): "-inf"}.get(v, repr(v))


def line(kind, t):
    t = t.detach()
    dims = ",".join(str(d) for d in t.shape)
    elements = " ".join(word(v) for v in t.reshape(-1).tolist())
    OUT.write(f"{kind} {NAMES[t.dtype]}[{dims}] {elements}".rstrip() + "\n")


def case(name, f, *inputs, grad=True):
    """Writes a case. Floats are differentiated by if `grad`."""
    inputs = [x.clone() for x in inputs]
    OUT.write(f"case {name}\n")
    for x in inputs:
        line("in", x)
    leaves = [x.requires_grad_() for x in inputs if x.dtype == torch.float64] if grad else []
    y = f(*inputs)
    line("out", y)
    if leaves:
        cot = torch.rand(y.shape) + 0.5
        line("cot", cot)
        for g in torch.autograd.grad((y * cot).sum(), leaves, allow_unused=True):
            line("grad", g) if g is not None else OUT.write("grad none\n")


def x(*shape):
    return torch.randn(*shape)


def main():
    OUT.write(f"# Made by make_composites.py with PyTorch {torch.__version__.split('+')[0]}.\n")

    # Normalization.
    case("layer_norm", lambda x: F.layer_norm(x, [5], eps=1e-5), x(3, 5))
    case("layer_norm:offset", lambda x: F.layer_norm(x, [5], eps=1e-5), x(3, 5) + 1e4)
    case("layer_norm:one feature", lambda x: F.layer_norm(x, [1], eps=1e-5), x(3, 1))
    case("layer_norm_over_1_2", lambda x: F.layer_norm(x, [3, 4], eps=1e-3), x(2, 3, 4))
    case("layer_norm_affine", lambda x, w, b: F.layer_norm(x, [3, 4], w, b, 1e-5), x(2, 3, 4), x(3, 4), x(3, 4))
    case("rms_norm", lambda x: F.rms_norm(x, [5], eps=1e-6), x(3, 5))
    case("rms_norm_over_1_2", lambda x: F.rms_norm(x, [3, 4], eps=1e-6), x(2, 3, 4))
    case("group_norm_2", lambda x: F.group_norm(x, 2, eps=1e-5), x(2, 4, 3))
    case("group_norm_1", lambda x: F.group_norm(x, 1, eps=1e-5), x(2, 4, 3, 2))
    case("group_norm_2:no further axes", lambda x: F.group_norm(x, 2, eps=1e-5), x(3, 6))
    case("group_norm_affine", lambda x, w, b: F.group_norm(x, 2, w, b, 1e-5), x(2, 4, 3, 2), x(4), x(4))
    case("instance_norm", lambda x: F.instance_norm(x, eps=1e-5), x(2, 3, 4))
    case("instance_norm:two axes", lambda x: F.instance_norm(x, eps=1e-5), x(2, 3, 4, 2))
    for name, shape in [("batch_norm", (6, 3)), ("batch_norm:images", (2, 3, 4, 2))]:
        inputs = [x(*shape), x(3), x(3), x(3), torch.rand(3) + 0.5]

        def train(which, momentum=0.25):
            def f(x, w, b, m, v):
                m, v = m.detach().clone(), v.detach().clone()
                y = F.batch_norm(x, m, v, w, b, True, momentum, 1e-5)
                return [y, m, v][which]

            return f

        rest = name[len("batch_norm"):]
        case("batch_norm_train" + rest, train(0), *inputs)
        case("batch_norm_mean" + rest, train(1), *inputs, grad=False)
        case("batch_norm_variance" + rest, train(2), *inputs, grad=False)
        case("batch_norm_infer" + rest, lambda x, w, b, m, v: F.batch_norm(x, m.detach(), v.detach(), w, b, False, 0.1, 1e-5), *inputs)
    for size in [1, 2, 3, 7]:
        case(f"local_response_norm_{size}", lambda x: F.local_response_norm(x, size, 0.1, 0.75, 1.5), x(2, 5, 3))

    # Attention.
    sdpa = F.scaled_dot_product_attention
    case("attention", sdpa, x(4, 3), x(5, 3), x(5, 2))
    case("attention:heads", sdpa, x(2, 3, 4, 5), x(2, 3, 6, 5), x(2, 3, 6, 2))
    case("attention_scale", lambda q, k, v: sdpa(q, k, v, scale=0.7), x(2, 4, 3), x(2, 5, 3), x(2, 5, 3))
    case("attention_causal", lambda q, k, v: sdpa(q, k, v, is_causal=True), x(2, 4, 3), x(2, 4, 3), x(2, 4, 3))
    case("attention_causal:more keys", lambda q, k, v: sdpa(q, k, v, is_causal=True), x(3, 4), x(5, 4), x(5, 4))
    grouped = lambda **more: lambda q, k, v: sdpa(q, k, v, enable_gqa=True, **more)
    case("attention:grouped", grouped(), x(2, 6, 4, 3), x(2, 2, 5, 3), x(2, 2, 5, 3))
    case("attention_causal:grouped", grouped(is_causal=True), x(2, 6, 4, 3), x(2, 1, 4, 3), x(2, 1, 4, 3))
    mask = torch.tensor([[1, 1, 0, 1, 0], [0, 1, 1, 1, 1], [1, 0, 0, 0, 0], [1, 1, 1, 1, 1]]).bool()
    masked = lambda q, k, v, m: sdpa(q, k, v, attn_mask=m)
    case("attention_mask", masked, x(2, 4, 3), x(2, 5, 3), x(2, 5, 3), mask)
    case("attention_mask:additive", masked, x(2, 4, 3), x(2, 5, 3), x(2, 5, 3), x(4, 5))
    hide = torch.zeros(4, 5).masked_fill(~mask, float("-inf"))
    case("attention_mask_constant", masked, x(2, 4, 3), x(2, 5, 3), x(2, 5, 3), hide, grad=False)

    def rotary(x):
        """The pairs of features as complex numbers, turned by a power of e."""
        n, d = x.shape[-2:]
        theta = 10000.0 ** (-2.0 * torch.arange(d // 2) / d)
        turn = torch.polar(torch.ones(n, d // 2), torch.outer(torch.arange(n) * 1.0, theta))
        z = torch.complex(x[..., : d // 2], x[..., d // 2 :]) * turn
        return torch.cat([z.real, z.imag], -1)

    case("rotary", rotary, x(2, 5, 6))

    # Losses of classes.
    labels = torch.tensor([2, 0, 1, 2, 3])
    some = torch.tensor([2, -100, 1, -100, 3])
    weights = torch.tensor([0.5, 2.0, 1.0, 3.0])
    ce = F.cross_entropy
    case("cross_entropy", lambda x, y: ce(x, y, reduction="none"), x(5, 4), labels)
    case("cross_entropy:wide", lambda x, y: ce(x, y, reduction="none"), x(5, 4) * 1e4, labels)
    case("cross_entropy_mean", ce, x(5, 4), labels)
    case("cross_entropy_sum", lambda x, y: ce(x, y, reduction="sum"), x(5, 4), labels)
    case("cross_entropy_rows", lambda x, y: ce(x.transpose(1, 2), y, reduction="none"), x(2, 3, 4), labels.repeat(2)[:6].reshape(2, 3))
    case("cross_entropy_weights", lambda x, y, w: ce(x, y, w.detach()), x(5, 4), labels, weights)
    case("cross_entropy_ignore", lambda x, y: ce(x, y), x(5, 4), some)
    case("cross_entropy_ignore_sum", lambda x, y: ce(x, y, reduction="sum"), x(5, 4), some)
    case("cross_entropy_ignore_none", lambda x, y: ce(x, y, reduction="none"), x(5, 4), some)
    case("cross_entropy_smoothing", lambda x, y: ce(x, y, label_smoothing=0.1), x(5, 4), labels)
    everything = lambda reduction: lambda x, y, w: ce(x, y, w.detach(), label_smoothing=0.2, reduction=reduction)
    for reduction in ["mean", "sum", "none"]:
        case(f"cross_entropy_all_{reduction}", everything(reduction), x(5, 4), some, weights)
    probs = torch.softmax(x(5, 4), -1)
    case("cross_entropy_soft", lambda x, t: ce(x, t), x(5, 4), probs)
    case("cross_entropy_soft_all", lambda x, t, w: ce(x, t, w.detach(), label_smoothing=0.2), x(5, 4), probs, weights)
    case("cross_entropy_soft_sum", lambda x, t: ce(x, t, reduction="sum"), x(5, 4), probs)
    case("nll", lambda x, y: F.nll_loss(x, y, reduction="none"), x(5, 4), labels)
    case("nll_ignore_weights", lambda x, y, w: F.nll_loss(x, y, w.detach()), x(5, 4), some, weights)
    for p in [1, 2]:
        case(f"multi_margin_{p}", lambda x, y: F.multi_margin_loss(x, y, p, 0.75, reduction="none"), x(5, 4), labels)

    # Losses of elements.
    none = {"reduction": "none"}
    case("mse", F.mse_loss, x(3, 4), x(3, 4))
    case("huber", lambda x, t: F.huber_loss(x, t, delta=0.75, **none), x(3, 4), x(3, 4))
    case("smooth_l1", lambda x, t: F.smooth_l1_loss(x, t, beta=0.75, **none), x(3, 4), x(3, 4))
    case("smooth_l1_0", lambda x, t: F.smooth_l1_loss(x, t, beta=0.0, **none), x(3, 4), x(3, 4))
    case("bce", lambda x, t: F.binary_cross_entropy(x, t, **none), torch.rand(3, 4), torch.rand(3, 4))
    case("bce_with_logits", lambda x, t: F.binary_cross_entropy_with_logits(x, t, **none), x(3, 4), torch.rand(3, 4))
    case("bce_with_logits_weighted", lambda x, t, w: F.binary_cross_entropy_with_logits(x, t, pos_weight=w.detach(), **none), x(3, 4), torch.rand(3, 4), torch.rand(4) + 0.5)
    case("kl_div", lambda x, t: F.kl_div(x, t, **none), torch.log_softmax(x(3, 4), -1), torch.softmax(x(3, 4), -1))
    case("hinge", lambda x, t: torch.clamp(1 - x * t, min=0), x(3, 4), torch.sign(x(3, 4)))
    case("poisson_nll", lambda x, t: F.poisson_nll_loss(x, t, **none), x(3, 4), torch.randint(0, 5, (3, 4)).double())
    case("gaussian_nll", lambda x, t, v: F.gaussian_nll_loss(x, t, v, eps=0.3, **none), x(3, 4), x(3, 4), torch.rand(3, 4))

    # Losses of vectors.
    case("cosine_similarity", lambda x, y: F.cosine_similarity(x, y, dim=1), x(3, 4, 2), x(3, 4, 2))
    pairs = torch.tensor([1.0, -1.0, 1.0, -1.0, -1.0, -1.0])
    case("cosine_loss", lambda x, y, t: F.cosine_embedding_loss(x, y, t.detach(), 0.1, **none), x(6, 4), x(6, 4), pairs)
    case("triplet_margin", lambda a, p, n: F.triplet_margin_loss(a, p, n, margin=0.5, eps=0.0, **none), x(6, 4), x(6, 4), x(6, 4))

    # Sequences. The library takes logarithms of probabilities; PyTorch's gradient by them is right only with the log_softmax in front.
    def ctc(blank, *lengths):
        steps, labels = (torch.tensor(l) for l in lengths)
        f = lambda x, t, *_: F.ctc_loss(F.log_softmax(x, -1), t, steps, labels, blank, "none")
        return lambda x, t, s, l: f(x, t)

    def ctc_case(name, blank, shape, targets, steps, lengths):
        case(name, ctc(blank, steps, lengths), x(*shape), torch.tensor(targets), torch.tensor(steps), torch.tensor(lengths))

    ctc_case("ctc_0", 0, (6, 3, 5), [[1, 2, 3], [2, 2, 4], [1, 1, 1]], [6, 6, 6], [3, 3, 3])
    ctc_case("ctc_0:shorter", 0, (7, 4, 4), [[1, 2, 3], [3, 0, 0], [2, 2, 0], [0, 0, 0]], [7, 4, 3, 5], [3, 1, 2, 0])
    ctc_case("ctc_2:another blank", 2, (5, 2, 4), [[0, 1], [3, 3]], [5, 4], [2, 2])
    ctc_case("ctc_0:one step", 0, (1, 2, 3), [[1], [2]], [1, 1], [1, 0])
    case("ctc_0:sharp", ctc(0, [8, 8], [3, 2]), x(8, 2, 4) * 300, torch.tensor([[1, 2, 1], [3, 3, 0]]), torch.tensor([8, 8]), torch.tensor([3, 2]))


main()
