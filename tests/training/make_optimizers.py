#!/usr/bin/env python3
"""What PyTorch's optimizers and schedulers make of a small function in 50 steps. Writes optimizers.txt beside this file; optimizers.rs reads it.

    python3 -m venv venv && venv/bin/pip install numpy torch && venv/bin/python tests/training/make_optimizers.py

A line is a name, a colon and numbers: of an optimizer the 50 losses and then the 7 elements of the parameters, of a schedule the rates of 40 steps.
"""

import os

import numpy as np
import torch

torch.set_default_dtype(torch.float64)
STEPS = 50
lines = []


def start():
    w = torch.tensor([-1.2, 1.0, 0.5, -0.5], requires_grad=True)
    b = torch.tensor([[1.5, -2.0, 0.25]], requires_grad=True)
    return w, b


def loss_of(w, b):
    """Rosenbrock's function, and terms that couple the two parameters."""
    valley = (10 * (w[1:] - w[:-1] ** 2) ** 2 + (1 - w[:-1]) ** 2).sum()
    return valley + torch.log(torch.cosh(b - w.mean())).sum() + 0.1 * (b**2).sum()


def far(w, b):
    """Flat far from its minimum and steep near it, so that the search goes far and comes back."""
    return ((w - 30) ** 2 + 1).log().sum() + (20 * (b - 5) ** 4 + (b - w[0]) ** 2).sqrt().sum()


def write(name, losses, w, b):
    numbers = losses + w.detach().ravel().tolist() + b.detach().ravel().tolist()
    lines.append(f"{name}: " + " ".join(repr(float(x)) for x in numbers))


def optimizer(name, make, clip=None, schedule=None, loss_of=loss_of):
    w, b = start()
    o = make(w, b)
    s = schedule and schedule(o)
    losses = []
    for _ in range(STEPS):
        def closure():
            o.zero_grad()
            loss = loss_of(w, b)
            loss.backward()
            return loss

        if isinstance(o, torch.optim.LBFGS):
            losses.append(o.step(closure).item())
            continue
        losses.append(closure().item())
        if clip == "norm":
            # clip_grad_norm_ adds 1e-6 to the norm, which changes the eighth digit.
            norm = torch.nn.utils.get_total_norm([w.grad, b.grad])
            for p in (w, b):
                p.grad /= max(norm, 1.0)
        elif clip == "value":
            torch.nn.utils.clip_grad_value_([w, b], 0.5)
        o.step()
        if s:
            s.step()
    write(name, losses, w, b)


def lion(name, lr, b1, b2, decay):
    """Algorithm 2 of Chen et al. 2023, in NumPy."""
    w, b = start()
    moments = [np.zeros(p.shape) for p in (w, b)]
    losses = []
    for _ in range(STEPS):
        loss = loss_of(w, b)
        losses.append(loss.item())
        gradients = torch.autograd.grad(loss, [w, b])
        with torch.no_grad():
            for i, (p, g) in enumerate(zip((w, b), gradients)):
                g, m, theta = g.numpy(), moments[i], p.numpy().copy()
                u = np.sign(b1 * m + (1 - b1) * g)
                moments[i] = b2 * m + (1 - b2) * g
                p.copy_(torch.from_numpy(theta - lr * (u + decay * theta)))
    write(name, losses, w, b)


o = torch.optim
optimizer("sgd", lambda *p: o.SGD(p, lr=0.002))
optimizer("sgd_momentum", lambda *p: o.SGD(p, lr=0.001, momentum=0.9, weight_decay=0.01))
optimizer("sgd_nesterov", lambda *p: o.SGD(p, lr=0.001, momentum=0.9, nesterov=True, weight_decay=0.01))
optimizer("adam", lambda *p: o.Adam(p, lr=0.05))
optimizer("adam_decay", lambda *p: o.Adam(p, lr=0.05, betas=(0.8, 0.95), eps=1e-4, weight_decay=0.1))
optimizer("adam_amsgrad", lambda *p: o.Adam(p, lr=0.1, betas=(0.5, 0.6), amsgrad=True))
optimizer("adamw", lambda *p: o.AdamW(p, lr=0.05, weight_decay=0.1))
optimizer("adamw_amsgrad", lambda *p: o.AdamW(p, lr=0.1, betas=(0.5, 0.6), amsgrad=True))
optimizer("rmsprop", lambda *p: o.RMSprop(p, lr=0.01))
optimizer("rmsprop_momentum", lambda *p: o.RMSprop(p, lr=0.005, alpha=0.9, momentum=0.8, weight_decay=0.01))
optimizer("rmsprop_centered", lambda *p: o.RMSprop(p, lr=0.01, alpha=0.95, eps=1e-3, centered=True))
optimizer("rmsprop_all", lambda *p: o.RMSprop(p, lr=0.002, alpha=0.95, eps=1e-3, centered=True, momentum=0.9, weight_decay=0.01))
optimizer("adagrad", lambda *p: o.Adagrad(p, lr=0.1))
optimizer("adagrad_all", lambda *p: o.Adagrad(p, lr=0.2, lr_decay=0.01, weight_decay=0.05, initial_accumulator_value=0.5, eps=1e-6))
optimizer("lbfgs", lambda *p: o.LBFGS(p, lr=0.5, max_iter=1))
optimizer("lbfgs_short", lambda *p: o.LBFGS(p, lr=0.3, max_iter=1, history_size=3))
# The search of one iteration has 25 evaluations after the first two.
wolfe = dict(max_iter=1, max_eval=26, line_search_fn="strong_wolfe")
optimizer("lbfgs_wolfe", lambda *p: o.LBFGS(p, lr=1, **wolfe))
optimizer("lbfgs_wolfe_long", lambda *p: o.LBFGS(p, lr=20, history_size=4, **wolfe))
optimizer("lbfgs_wolfe_small", lambda *p: o.LBFGS(p, lr=0.02, history_size=6, **wolfe))
optimizer("lbfgs_wolfe_far", lambda *p: o.LBFGS(p, lr=1, **wolfe), loss_of=far)
cycle = lambda **options: lambda s: torch.optim.lr_scheduler.OneCycleLR(s, total_steps=50, **options)
optimizer("sgd_cycle", lambda *p: o.SGD(p, lr=1, momentum=0.9), schedule=cycle(max_lr=0.001))
optimizer("sgd_cycle_nesterov", lambda *p: o.SGD(p, lr=1, momentum=0.9, nesterov=True), schedule=cycle(max_lr=0.001, base_momentum=0.5, max_momentum=0.9))
optimizer("adam_cycle", lambda *p: o.Adam(p, lr=1), schedule=cycle(max_lr=0.05))
optimizer("adamw_cycle", lambda *p: o.AdamW(p, lr=1, weight_decay=0.1), schedule=cycle(max_lr=0.05, base_momentum=0.0, anneal_strategy="linear"))
optimizer("rmsprop_cycle", lambda *p: o.RMSprop(p, lr=1, momentum=0.9), schedule=cycle(max_lr=0.005))
optimizer("clip_norm", lambda *p: o.SGD(p, lr=0.05, momentum=0.5), clip="norm")
optimizer("clip_value", lambda *p: o.SGD(p, lr=0.05, momentum=0.5), clip="value")
optimizer("groups", lambda w, b: o.Adam([{"params": [w]}, {"params": [b], "lr": 0.2, "weight_decay": 0.1}], lr=0.05))
lion("lion", 0.02, 0.9, 0.99, 0.0)
lion("lion_all", 0.01, 0.8, 0.95, 0.3)


def schedule(name, make, lr, steps=40, of="lr"):
    p = torch.zeros(1, requires_grad=True)
    opt = torch.optim.SGD([p], lr=lr, momentum=0.9 if of == "momentum" else 0)
    s = make(opt)
    rates = []
    for _ in range(steps):
        rates.append(opt.param_groups[0][of])
        opt.step()
        s.step()
    lines.append(f"schedule {name}: " + " ".join(repr(float(x)) for x in rates))


l = torch.optim.lr_scheduler
schedule("constant", lambda s: l.LambdaLR(s, lambda t: 1.0), 0.1)
schedule("step", lambda s: l.StepLR(s, 7, 0.3), 0.1)
schedule("milestones", lambda s: l.MultiStepLR(s, [5, 6, 30], 0.5), 0.1)
schedule("exponential", lambda s: l.ExponentialLR(s, 0.9), 0.1)
schedule("cosine", lambda s: l.CosineAnnealingLR(s, 39, 0.01), 0.1)
schedule("restarts", lambda s: l.CosineAnnealingWarmRestarts(s, 7, eta_min=0.02), 0.1)
schedule("linear", lambda s: l.LinearLR(s, 1.0, 0.2, 25), 0.1)
schedule("polynomial", lambda s: l.PolynomialLR(s, 30, 2.5), 0.1)
schedule("one_cycle", lambda s: l.OneCycleLR(s, 0.5, 40, cycle_momentum=False), 0.1)
schedule("one_cycle_linear", lambda s: l.OneCycleLR(s, 0.5, 40, pct_start=0.45, anneal_strategy="linear", div_factor=10, final_div_factor=100, cycle_momentum=False), 0.1)
schedule("momentum", lambda s: l.OneCycleLR(s, 0.5, 40), 0.1, of="momentum")
schedule("momentum_linear", lambda s: l.OneCycleLR(s, 0.5, 40, pct_start=0.45, anneal_strategy="linear", base_momentum=0.2, max_momentum=0.9), 0.1, of="momentum")
schedule("warm_up", lambda s: l.SequentialLR(s, [l.LinearLR(s, 0.25, 1.0, 8), l.ExponentialLR(s, 0.95)], [8]), 0.1)
schedule("units", lambda s: l.LambdaLR(s, lambda t: 0.7 ** (t // 6)), 0.1)


def plateau(name, values, lr, **options):
    p = torch.zeros(1, requires_grad=True)
    opt = torch.optim.SGD([p], lr=lr)
    s = l.ReduceLROnPlateau(opt, **options)
    rates = []
    for v in values:
        s.step(v)
        rates.append(opt.param_groups[0]["lr"])
    lines.append(f"values {name}: " + " ".join(repr(float(x)) for x in values))
    lines.append(f"plateau {name}: " + " ".join(repr(float(x)) for x in rates))


rng = np.random.default_rng(5)
falling = (np.exp(-np.arange(60) / 8) + 0.05 * rng.random(60)).tolist()
plateau("min", falling, 0.1, patience=2, factor=0.5)
plateau("max", [1 - x for x in falling], 0.1, mode="max", patience=3, cooldown=2, min_lr=0.001, threshold=0.01)

path = os.path.join(os.path.dirname(__file__), "optimizers.txt")
with open(path, "w") as f:
    f.write("\n".join(lines) + "\n")
