"""Models as exporters write them, with the results of onnxruntime and the gradients of PyTorch.

    python tests/scripts/make_onnx_models.py        writes tests/onnx/models/NAME.onnx and NAME.gz

Needs torch, onnx, onnxscript, onnxruntime, scikit-learn and skl2onnx. Each model of PyTorch is exported twice, by the exporter over TorchScript and by the
one over `torch.export` (`_dynamo`), with a symbolic batch where that can be, and gives its output and a scalar `loss`. NAME.gz holds arrays as
tests/onnx/archive.rs reads them: `input/X`, `output/Y`, and `grad/P`, d loss / d P for every input of floats and every parameter, by its ONNX name.
"""

import copy
import gzip
import io
import os
import struct
import warnings

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import numpy_helper
from torch import nn

HERE = os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "onnx", "models")


class Loss(nn.Module):
    """The model's output and the mean of its squares, weighted so that no gradient vanishes."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, *inputs):
        y = self.model(*inputs)
        return y, ((y + 0.5) ** 2).mean()


class Block(nn.Module):
    def __init__(self, channels, out, stride):
        super().__init__()
        self.conv1 = nn.Conv2d(channels, out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(out)
        self.conv2 = nn.Conv2d(out, out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(out)
        self.short = nn.Sequential()
        if stride != 1 or channels != out:
            self.short = nn.Sequential(nn.Conv2d(channels, out, 1, stride, bias=False), nn.BatchNorm2d(out))

    def forward(self, x):
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.short(x))


class Recurrent(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.layer = kind(5, 6, num_layers=2, bidirectional=True)
        self.head = nn.Linear(12, 3)

    def forward(self, x):
        return self.head(self.layer(x)[0])


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(20, 16)
        self.places = nn.Parameter(torch.randn(6, 16) * 0.1)
        layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, activation="gelu")
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(16, 4)

    def forward(self, ids):
        return self.head(self.encoder(self.embed(ids) + self.places).mean(1))


class Decoder(nn.Module):
    """Causal attention by hand, with shapes that the code computes."""

    def __init__(self):
        super().__init__()
        self.qkv = nn.Linear(12, 36)
        self.out = nn.Linear(12, 12)
        self.norm = nn.LayerNorm(12)

    def forward(self, x):
        batch, length, size = x.shape
        q, k, v = self.qkv(self.norm(x)).chunk(3, dim=-1)
        heads = lambda t: t.view(batch, length, 3, size // 3).transpose(1, 2)
        scores = heads(q) @ heads(k).transpose(-2, -1) / (size // 3) ** 0.5
        mask = torch.ones(length, length, dtype=torch.bool).tril()
        scores = scores.masked_fill(~mask, float("-inf"))
        y = torch.softmax(scores, -1) @ heads(v)
        return x + self.out(y.transpose(1, 2).reshape(batch, length, size))


def models():
    """Name, module, inputs, whether the batch is symbolic."""
    torch.manual_seed(0)
    yield "mlp", nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 16), nn.Tanh(), nn.Linear(16, 4)), [torch.randn(5, 8)], 0
    lenet = nn.Sequential(
        nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(24, 12), nn.ReLU(), nn.Linear(12, 10),
    )  # fmt: skip
    yield "lenet", lenet, [torch.randn(3, 1, 12, 12)], 0
    resnet = nn.Sequential(
        nn.Conv2d(3, 4, 3, 1, 1, bias=False), nn.BatchNorm2d(4), nn.ReLU(), Block(4, 4, 1), Block(4, 8, 2),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 5),
    )  # fmt: skip
    resnet.train()
    for _ in range(3):
        resnet(torch.randn(8, 3, 8, 8))
    yield "resnet", resnet, [torch.randn(2, 3, 8, 8)], 0
    yield "lstm", Recurrent(nn.LSTM), [torch.randn(7, 2, 5)], None
    yield "gru", Recurrent(nn.GRU), [torch.randn(7, 2, 5)], None
    yield "transformer", Transformer(), [torch.randint(0, 20, (2, 6))], 0
    yield "decoder", Decoder(), [torch.randn(2, 5, 12)], 0


def write(name, model, arrays):
    os.makedirs(HERE, exist_ok=True)
    onnx.save(model, os.path.join(HERE, f"{name}.onnx"))
    buffer = io.BytesIO()
    for key, array in arrays:
        for part in (key.encode(), numpy_helper.from_array(np.asarray(array), key.split("/", 1)[1]).SerializeToString()):
            buffer.write(struct.pack("<I", len(part)) + part)
    path = os.path.join(HERE, f"{name}.gz")
    with open(path, "wb") as file, gzip.GzipFile(fileobj=file, mode="wb", compresslevel=9, mtime=0, filename="") as packed:
        packed.write(buffer.getvalue())


def results(model, feed):
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    names = [output.name for output in session.get_outputs()]
    return zip(names, session.run(names, feed))


# The gates of ONNX's recurrent layers by those of PyTorch's.
GATES = {nn.LSTM: [0, 3, 1, 2], nn.GRU: [1, 0, 2]}


def parameters(module):
    """Name, value and gradient of each parameter, those of recurrent layers arranged as ONNX has them."""
    inside = set()
    for layer in module.modules():
        if type(layer) not in GATES:
            continue
        inside |= {id(p) for p in layer.parameters()}
        order = GATES[type(layer)]

        def gates(t):
            t = t.reshape(len(order), layer.hidden_size, -1)
            return t[order].reshape(len(order) * layer.hidden_size, -1)

        for n in range(layer.num_layers):
            for of in (lambda p: p.detach(), lambda p: p.grad):
                get = lambda what, of=of: [gates(of(getattr(layer, f"{what}_l{n}{d}"))) for d in ("", "_reverse")]
                both = [torch.cat([a, b]).squeeze(-1) for a, b in zip(get("bias_ih"), get("bias_hh"))]
                stacked = [torch.stack(get("weight_ih")), torch.stack(get("weight_hh")), torch.stack(both)]
                if of(layer.weight_ih_l0) is layer.weight_ih_l0.grad:
                    yield from ((f"l{n}.{i}", v.numpy(), g.numpy()) for i, (v, g) in enumerate(zip(values, stacked)))
                values = stacked
    for key, p in module.named_parameters():
        if p.grad is not None and id(p) not in inside:
            yield key, p.detach().numpy(), p.grad.numpy()


def from_torch(name, module, inputs, batch, dynamo):
    module = Loss(copy.deepcopy(module)).eval()
    with torch.no_grad():
        generator = torch.Generator().manual_seed(1)
        for p in module.parameters():
            p.add_(0.1 * torch.randn(p.shape, generator=generator))
    names = [f"x{i}" for i in range(len(inputs))]
    buffer = io.BytesIO()
    if dynamo:
        shapes = None if batch is None else tuple({batch: torch.export.Dim("batch", min=1, max=1024)} for _ in inputs)
        shapes = None if shapes is None else {"inputs": shapes}
        program = torch.onnx.export(
            module, tuple(inputs), input_names=names, output_names=["y", "loss"], dynamo=True, dynamic_shapes=shapes, verbose=False
        )
        model = program.model_proto
    else:
        axes = None if batch is None else {n: {batch: "batch"} for n in [*names, "y"]}
        torch.onnx.export(
            module, tuple(inputs), buffer, input_names=names, output_names=["y", "loss"], dynamic_axes=axes, dynamo=False, opset_version=17,
            # Batch normalizations stay what they are, so that there are gradients to compare.
            training=torch.onnx.TrainingMode.PRESERVE,
        )  # fmt: skip
        model = onnx.load_from_string(buffer.getvalue())
    for node in model.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    del model.metadata_props[:]
    del model.graph.value_info[:]
    feed = {n: x.numpy() for n, x in zip(names, inputs)}
    arrays = [(f"input/{n}", x) for n, x in feed.items()]
    arrays += [(f"output/{n}", y) for n, y in results(model, feed)]
    for x in inputs:
        x.requires_grad_(x.is_floating_point())
    module.zero_grad()
    module(*inputs)[1].backward()
    arrays += [(f"grad/{n}", x.grad.numpy()) for n, x in zip(names, inputs) if x.grad is not None]
    initializers = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    found = 0
    for key, value, gradient in parameters(module):
        # Exporters rename weights, and store some transposed.
        for value, gradient in ((value, gradient), (value.T, gradient.T)):
            same = [n for n, v in initializers.items() if v.shape == value.shape and np.array_equal(v, value)]
            if same:
                arrays.append((f"grad/{key if key in same else same[0]}", gradient.copy()))
                found += 1
                break
    for x in inputs:
        x.requires_grad_(False)
        x.grad = None
    name = f"{name}_dynamo" if dynamo else name
    write(name, model, arrays)
    print(f"{name}: {len(model.graph.node)} nodes, {found} gradients of {len(list(module.parameters()))} parameters")


def from_sklearn():
    from skl2onnx import to_onnx
    from sklearn.datasets import load_iris
    from sklearn.linear_model import LogisticRegression, Ridge
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MinMaxScaler, StandardScaler

    x, y = load_iris(return_X_y=True)
    x = x.astype(np.float32)
    fitted = {
        "sklearn_mlp": make_pipeline(StandardScaler(), MLPClassifier((8,), max_iter=300, random_state=0)),
        "sklearn_logistic": make_pipeline(StandardScaler(), LogisticRegression()),
        "sklearn_ridge": make_pipeline(MinMaxScaler(), Ridge()),
    }
    for name, pipeline in fitted.items():
        pipeline.fit(x, y)
        options = {} if name == "sklearn_ridge" else {id(pipeline): {"zipmap": False}}
        model = to_onnx(pipeline, x[:1], options=options, target_opset=18)
        feed = {model.graph.input[0].name: x[::10]}
        write(name, model, [(f"input/{n}", v) for n, v in feed.items()] + [(f"output/{n}", v) for n, v in results(model, feed)])
        print(f"{name}: {sorted({node.op_type for node in model.graph.node})}")


def main():
    warnings.simplefilter("ignore")
    for name, module, inputs, batch in models():
        for dynamo in (False, True):
            try:
                from_torch(name, module, inputs, batch, dynamo)
            except Exception as error:  # noqa: BLE001 exporters fail in many ways, and the others go on
                print(f"{name}, {'torch.export' if dynamo else 'TorchScript'}: {type(error).__name__}: {str(error)[:300]}")
    from_sklearn()


if __name__ == "__main__":
    main()
