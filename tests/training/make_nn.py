#!/usr/bin/env python3
"""Outputs and gradients of PyTorch's layers. Writes nn.txt beside this file, which nn.rs reads, and state_dict.safetensors, which files.rs reads.

    python3 -m venv venv && venv/bin/pip install numpy torch safetensors && venv/bin/python tests/training/make_nn.py

A case is a block of lines, each a word, a name and an array `f64[<shape>] <elements>`:

    case <name>
    in <i> ..        an operand                 param <name> ..  a parameter or state before
    out <i> ..       a result                   cot <i> ..       what the result is multiplied with before the sum that is differentiated
    grad <name> ..   of a parameter             din <i> ..       of an operand
    after <name> ..  a state after the pass in training
"""

import os

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn

torch.manual_seed(5)
torch.set_default_dtype(torch.float64)
rng = np.random.default_rng(11)
lines = []


def text(a):
    a = a.detach()
    kind = "i64" if a.dtype == torch.int64 else "f64"
    numbers = " ".join(f"{x}" if kind == "i64" else f"{x:.17g}" for x in a.ravel().tolist())
    return f"{kind}[{','.join(map(str, a.shape))}] {numbers}".rstrip()


def normal(*shape):
    return torch.tensor(np.round(rng.standard_normal(shape), 2), requires_grad=True)


def case(name, module, inputs, call=None, train=False):
    # The weights are PyTorch's own, rounded, so that the file is short; those that are constant at first are moved.
    with torch.no_grad():
        for p in module.parameters():
            noise = torch.tensor(rng.standard_normal(p.shape))
            p.copy_(torch.round(p * 100 + noise * 10) / 100)
    lines.append(f"case {name}")
    module.train(train)
    for i, x in enumerate(inputs):
        lines.append(f"in {i} {text(x)}")
    for key, value in module.state_dict().items():
        lines.append(f"param {key} {text(value)}")
    results = call(module, *inputs) if call else module(*inputs)
    results = results if isinstance(results, (tuple, list)) else [results]
    total = 0
    for i, result in enumerate(results):
        cot = normal(*result.shape).detach()
        lines.append(f"out {i} {text(result)}")
        lines.append(f"cot {i} {text(cot)}")
        total = total + (result * cot).sum()
    total.backward()
    for key, p in module.named_parameters():
        lines.append(f"grad {key} {text(p.grad)}")
    for i, x in enumerate(inputs):
        if x.requires_grad:
            lines.append(f"din {i} {text(x.grad)}")
    if train:
        for key, value in module.named_buffers():
            lines.append(f"after {key} {text(value)}")


def recurrent(module, x):
    out, state = module(x)
    return [out, *state] if isinstance(state, tuple) else [out, state]


def ids(*shape, below):
    return torch.tensor(rng.integers(0, below, shape))


case("linear", nn.Linear(5, 3), [normal(2, 4, 5)])
case("linear_without_bias", nn.Linear(5, 3, bias=False), [normal(4, 5)])
case("embedding", nn.Embedding(6, 3), [ids(2, 4, below=6)])
case("conv1", nn.Conv1d(2, 4, 3, stride=2, padding=1), [normal(2, 2, 8)])
case("conv2", nn.Conv2d(2, 3, (3, 2), padding=(1, 0), dilation=(1, 2)), [normal(2, 2, 5, 6)])
case("conv2_groups", nn.Conv2d(4, 2, 3, groups=2, bias=False), [normal(1, 4, 5, 5)])
case("conv3", nn.Conv3d(1, 2, 2), [normal(1, 1, 3, 3, 4)])
case("conv_transpose", nn.ConvTranspose2d(2, 3, 3, stride=2, padding=1), [normal(1, 2, 3, 3)])
case("layer_norm", nn.LayerNorm((3, 4)), [normal(2, 3, 4)])
case("rms_norm", nn.RMSNorm(6), [normal(4, 6)])
case("group_norm", nn.GroupNorm(2, 4), [normal(2, 4, 3)])
case("batch_norm_infer", nn.BatchNorm1d(3), [normal(5, 3)])
case("batch_norm_train", nn.BatchNorm1d(3), [normal(5, 3)], train=True)
case("batch_norm_2_train", nn.BatchNorm2d(2, momentum=0.3, eps=1e-3), [normal(3, 2, 2, 2)], train=True)
case("lstm", nn.LSTM(3, 4), [normal(5, 2, 3)], recurrent)
case("lstm_stacked", nn.LSTM(3, 2, num_layers=2, bidirectional=True, batch_first=True), [normal(2, 4, 3)], recurrent)
case("gru", nn.GRU(3, 4), [normal(5, 2, 3)], recurrent)
case("gru_stacked", nn.GRU(3, 2, num_layers=2, bidirectional=True, batch_first=True), [normal(2, 4, 3)], recurrent)
case("attention", nn.MultiheadAttention(6, 2, batch_first=True), [normal(2, 3, 6), normal(2, 4, 6), normal(2, 4, 6)], lambda m, q, k, v: m(q, k, v, need_weights=False)[0])
mask = torch.triu(torch.ones(4, 4, dtype=torch.bool), diagonal=1)
case("attention_causal", nn.MultiheadAttention(4, 2, batch_first=True), [normal(2, 4, 4)], lambda m, x: m(x, x, x, need_weights=False, attn_mask=mask)[0])
case("encoder", nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True), [normal(2, 3, 4)], train=True)
case("encoder_norm_first", nn.TransformerEncoderLayer(4, 2, 6, dropout=0.0, batch_first=True, norm_first=True, activation="gelu", layer_norm_eps=1e-3), [normal(2, 4, 4)], lambda m, x: m(x, src_mask=mask), train=True)
case("sequential", nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Sequential(nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 2)), [normal(3, 3)])

path = os.path.join(os.path.dirname(__file__), "nn.txt")
with open(path, "w") as f:
    f.write("\n".join(lines) + "\n")

# A state dict as PyTorch's users keep it, and beside it an operand and the result.
torch.manual_seed(2)
torch.set_default_dtype(torch.float32)
model = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Linear(32, 3))
for _ in range(3):
    model(torch.randn(4, 1, 6, 6))
x = torch.randn(2, 1, 6, 6)
y = model.eval()(x).detach()
save_file({**model.state_dict(), "test.x": x, "test.y": y}, os.path.join(os.path.dirname(__file__), "state_dict.safetensors"))
