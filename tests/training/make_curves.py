#!/usr/bin/env python3
"""Losses of seven small models in 20 steps of PyTorch. Writes curves.txt beside this file; curves.rs reads it.

    python3 -m venv venv && venv/bin/pip install numpy torch && venv/bin/python tests/training/make_curves.py

A model is a block of lines:

    model <name>
    in <name> <dtype>[<shape>] <elements>       data that is not of the files in data/
    param <name> f32[<shape>] <elements>        first values, by PyTorch's names
    losses <numbers>
"""

import os

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

torch.manual_seed(1)
torch.set_num_threads(1)
rng = np.random.default_rng(3)
HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, "../../data")
lines = []


def short(x):
    return f"{x:.9g}"


def array(a):
    a = np.asarray(a.detach())
    kind = "i32" if a.dtype.kind == "i" else "f32"
    words = (str(x) if kind == "i32" else np.format_float_positional(x, trim="-") for x in a.ravel())
    return f"{kind}[{','.join(map(str, a.shape))}] {' '.join(words)}"


def model(name, module, make, batches, loss_of, data=()):
    """Trains by one batch after the other. First values are PyTorch's, rounded so that the file is short."""
    with torch.no_grad():
        for p in module.parameters():
            p.copy_(torch.round(p * 1000) / 1000)
    lines.append(f"model {name}")
    lines.extend(f"in {key} {array(value)}" for key, value in data)
    lines.extend(f"param {key} {array(value)}" for key, value in module.state_dict().items())
    optimizer = make(module.parameters())
    losses = []
    for _ in range(20):
        x, y = next(batches)
        optimizer.zero_grad()
        loss = loss_of(module(x), y)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    lines.append("losses " + " ".join(short(x) for x in losses))


def digits():
    """The training examples of the digits, all but every fifth, in batches of 50."""
    images = np.fromfile(os.path.join(DATA, "digits-images-idx3-ubyte"), np.uint8)[16:].reshape(-1, 64)
    labels = np.fromfile(os.path.join(DATA, "digits-labels-idx1-ubyte"), np.uint8)[8:]
    keep = np.arange(len(labels)) % 5 != 4
    x = torch.tensor(images[keep].astype(np.float32) / 16)
    y = torch.tensor(labels[keep].astype(np.int64))
    for i in range(20):
        yield x[i * 50:(i + 1) * 50], y[i * 50:(i + 1) * 50]


def letters(batch, length):
    """Windows of the play, one behind the other, and the letters behind each."""
    text = open(os.path.join(DATA, "coriolanus.txt"), encoding="utf-8", newline="").read()
    vocabulary = sorted(set(text))
    codes = torch.tensor([vocabulary.index(c) for c in text[:30_000]])
    for i in range(20):
        at = codes[i * batch * length:(i + 1) * batch * length + 1]
        yield at[:-1].view(batch, length), at[1:].view(batch, length)


def again(x, y):
    while True:
        yield x, y


class Convnet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 4, 3, padding=1)
        self.conv2 = nn.Conv2d(4, 8, 3, padding=1)
        self.fc = nn.Linear(32, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x.view(-1, 1, 8, 8))), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        return self.fc(x.flatten(1))


class Transformer(nn.Module):
    def __init__(self, letters, length, features):
        super().__init__()
        self.embedding = nn.Embedding(letters, features)
        self.position = nn.Parameter(torch.randn(length, features) * 0.1)
        layer = lambda: nn.TransformerEncoderLayer(features, 2, 2 * features, dropout=0.0, batch_first=True)
        self.layers = nn.ModuleList([layer(), layer()])
        self.head = nn.Linear(features, letters)
        self.mask = torch.triu(torch.ones(length, length, dtype=torch.bool), diagonal=1)

    def forward(self, ids):
        x = self.embedding(ids) + self.position
        for layer in self.layers:
            x = layer(x, src_mask=self.mask)
        return self.head(x)


o = torch.optim
ce = F.cross_entropy
model("softmax", nn.Sequential(nn.Linear(64, 10)), lambda p: o.SGD(p, 0.5), digits(), ce)
model("relu", nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10)), lambda p: o.SGD(p, 0.5), digits(), ce)
deep = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 10))
model("mlp", deep, lambda p: o.Adam(p, 6e-3), digits(), ce)
model("convnet", Convnet(), lambda p: o.SGD(p, 0.15, momentum=0.9), digits(), ce)
model("transformer", Transformer(61, 16, 16), lambda p: o.Adam(p, 2e-3), letters(8, 16), lambda z, y: ce(z.flatten(0, 1), y.flatten()))

x = np.linspace(-1, 1, 40, dtype=np.float32)
powers = torch.tensor(np.stack([x, x**2, x**3, x**4, x**5], 1))
y = torch.tensor(np.round(np.sin(3 * x) + 0.1 * rng.standard_normal(40), 3).astype(np.float32))[:, None]
model("polynomial", nn.Sequential(nn.Linear(5, 1)), lambda p: o.SGD(p, 0.3), again(powers, y), F.mse_loss, [("x", powers), ("y", y)])

angle = rng.random(60) * 2 * np.pi
radius = np.where(np.arange(60) % 2 == 0, 1.0, 0.5)
points = torch.tensor(np.round(np.stack([radius * np.cos(angle), radius * np.sin(angle)], 1) + 0.05 * rng.standard_normal((60, 2)), 3).astype(np.float32))
inner = torch.tensor((np.arange(60) % 2).astype(np.float32))[:, None]
net = nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 1))
model("circles", net, lambda p: o.AdamW(p, 0.05), again(points, inner), F.binary_cross_entropy_with_logits, [("x", points), ("y", inner)])

with open(os.path.join(HERE, "curves.txt"), "w") as f:
    f.write("\n".join(lines) + "\n")
