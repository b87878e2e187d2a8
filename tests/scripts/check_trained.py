"""Whether onnxruntime reproduces what `cotangent train` writes: python tests/scripts/check_trained.py [PROGRAM], with numpy, onnxruntime, scikit-learn and torch.

An MLP, a convnet and an LSTM, exported untrained by PyTorch, learn the digits. For each a line: the accuracy on digits that were held back, by the program and
by onnxruntime, and the largest difference of their outputs. It fails if a difference is 1e-5 or more, relative to the largest output, or an accuracy differs.
PROGRAM is target/debug/cotangent if it is not given.
"""

import os
import re
import subprocess
import sys
import tempfile
import warnings

import numpy as np
import onnxruntime
import torch
from sklearn.datasets import load_digits
from torch import nn

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
HELD_BACK = 297


class Recurrent(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(8, 32, batch_first=True)
        self.out = nn.Linear(32, 10)

    def forward(self, x):
        rows, _ = self.lstm(x)
        return self.out(rows[:, -1])


def models():
    mlp = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
    convnet = nn.Sequential(
        nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(64, 10),
    )  # fmt: skip
    yield "mlp", mlp, (64,), "5e-3", 10
    yield "convnet", convnet, (1, 8, 8), "5e-3", 6
    yield "lstm", Recurrent(), (8, 8), "1e-2", 8


def run(program, folder, *words):
    done = subprocess.run([program, *words], cwd=folder, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}\n{done.stdout}{done.stderr}")
    return done.stdout


def check(program, folder, name, module, shape, rate, epochs):
    path = lambda file: os.path.join(folder, file)
    digits = load_digits()
    x = (digits.data / 16).astype(np.float32).reshape(-1, *shape)
    y = digits.target.astype(np.int64)
    for part, chosen in [("train", slice(HELD_BACK, None)), ("held", slice(HELD_BACK))]:
        np.save(path(f"x_{part}.npy"), x[chosen])
        np.save(path(f"y_{part}.npy"), y[chosen])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        axes = {"x": {0: "batch"}, "logits": {0: "batch"}}
        names = {"input_names": ["x"], "output_names": ["logits"], "dynamic_axes": axes}
        # Initializers keep the names of the parameters in training mode, and nothing is folded.
        torch.onnx.export(module, (torch.zeros(2, *shape),), path("model.onnx"), dynamo=False, opset_version=17, **names)
    words = f"train model.onnx --loss-of logits=cross_entropy --optimizer adam --lr {rate} --batch 64 --epochs {epochs} --quiet"
    data = "--data x=x_train.npy --data y=y_train.npy --validate-data x=x_held.npy --validate-data y=y_held.npy"
    said = run(program, folder, *words.split(), *data.split(), "--output", "trained.onnx")
    ours = float(re.search(r"^validation.*accuracy ([\d.]+)", said, re.M)[1])
    run(program, folder, "run", "trained.onnx", "--input", "x=x_held.npy", "--output-dir", "out")
    mine = np.load(path("out/logits.npy"))
    theirs = onnxruntime.InferenceSession(path("trained.onnx")).run(["logits"], {"x": x[:HELD_BACK]})[0]
    difference = np.max(np.abs(mine - theirs)) / np.max(np.abs(theirs))
    accuracy = np.mean(np.argmax(theirs, 1) == y[:HELD_BACK])
    same = mine.dtype == theirs.dtype and mine.shape == theirs.shape
    # The program prints a few digits.
    passed = same and difference < 1e-5 and abs(accuracy - ours) < 1e-3
    print(f"{name:<8} accuracy {ours:.4f}, onnxruntime {accuracy:.4f}; largest difference {difference:.1e}{'' if passed else '  FAILED'}", flush=True)
    return passed


def main():
    program = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else os.path.join(ROOT, "target", "debug", "cotangent"))
    torch.manual_seed(3)
    passed = []
    for model in models():
        with tempfile.TemporaryDirectory() as folder:
            passed.append(check(program, folder, *model))
    sys.exit(not all(passed))


if __name__ == "__main__":
    main()
