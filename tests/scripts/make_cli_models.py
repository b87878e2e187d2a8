"""Makes the models of tests/cli: `python tests/scripts/make_cli_models.py`, with numpy, onnx, onnxruntime and torch.

mlp.onnx    relu(x W1 + b1) W2 + b2 with a symbolic batch, softmax cross-entropy as `loss`
mlp.npz     inputs for a batch of 4, outputs by onnxruntime, gradients by torch
digits.onnx the same for rows of 64 pixels and ten classes, without the loss, untrained
fixed.onnx  the same without the loss, for batches of 8 only, untrained
odd.onnx    two operators that nobody supports
"""

import os

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper

HERE = os.path.join(os.path.dirname(__file__), "..", "cli", "models")
rng = np.random.default_rng(7)


def initializers(inputs, hidden, classes):
    def draw(*shape):
        return (rng.standard_normal(shape) / np.sqrt(shape[-1])).astype(np.float32)

    arrays = {
        "fc1.weight": draw(hidden, inputs),
        "fc1.bias": draw(hidden),
        "fc2.weight": draw(classes, hidden),
        "fc2.bias": draw(classes),
    }
    return arrays


def layers():
    return [
        h.make_node("Gemm", ["x", "fc1.weight", "fc1.bias"], ["/fc1/out"], "/fc1", transB=1),
        h.make_node("Relu", ["/fc1/out"], ["hidden"], "/relu"),
        h.make_node("Gemm", ["hidden", "fc2.weight", "fc2.bias"], ["logits"], "/fc2", transB=1),
    ]


def save(name, nodes, inputs, outputs, arrays, domains=()):
    graph = h.make_graph(nodes, name, inputs, outputs, [numpy_helper.from_array(a, n) for n, a in arrays.items()])
    opsets = [h.make_opsetid("", 17)] + [h.make_opsetid(d, 1) for d in domains]
    model = h.make_model(graph, opset_imports=opsets, producer_name="make_cli_models", ir_version=8)
    if not domains:
        onnx.checker.check_model(model, full_check=True)
    onnx.save(model, os.path.join(HERE, f"{name}.onnx"))
    return model


def mlp():
    arrays = initializers(6, 5, 3)
    nodes = layers() + [h.make_node("SoftmaxCrossEntropyLoss", ["logits", "y"], ["loss"], "/loss")]
    inputs = [h.make_tensor_value_info("x", T.FLOAT, ["batch", 6]), h.make_tensor_value_info("y", T.INT64, ["batch"])]
    outputs = [
        h.make_tensor_value_info("/fc1/out", T.FLOAT, ["batch", 5]),
        h.make_tensor_value_info("logits", T.FLOAT, ["batch", 3]),
        h.make_tensor_value_info("loss", T.FLOAT, []),
    ]
    model = save("mlp", nodes, inputs, outputs, arrays)
    x = rng.standard_normal((4, 6)).astype(np.float32)
    y = np.array([0, 2, 1, 2])
    session = onnxruntime.InferenceSession(model.SerializeToString())
    values = dict(zip(["/fc1/out", "logits", "loss"], session.run(None, {"x": x, "y": y})))
    tensors = {n: torch.tensor(a, requires_grad=True) for n, a in {"x": x, **arrays}.items()}
    hidden = torch.relu(tensors["x"] @ tensors["fc1.weight"].T + tensors["fc1.bias"])
    logits = hidden @ tensors["fc2.weight"].T + tensors["fc2.bias"]
    torch.nn.functional.cross_entropy(logits, torch.tensor(y)).backward()
    grads = {f"grad_{n}": t.grad.numpy() for n, t in tensors.items()}
    values = {n.replace("/", "_"): v for n, v in values.items()}
    np.savez(os.path.join(HERE, "mlp.npz"), x=x, y=y, **values, **grads)


def fixed():
    arrays = initializers(64, 16, 10)
    inputs = [h.make_tensor_value_info("x", T.FLOAT, [8, 64])]
    outputs = [h.make_tensor_value_info("logits", T.FLOAT, [8, 10])]
    save("fixed", layers(), inputs, outputs, arrays)


def digits():
    arrays = initializers(64, 32, 10)
    inputs = [h.make_tensor_value_info("x", T.FLOAT, ["batch", 64])]
    outputs = [h.make_tensor_value_info("logits", T.FLOAT, ["batch", 10])]
    save("digits", layers(), inputs, outputs, arrays)


def odd():
    nodes = [
        h.make_node("Warp", ["x"], ["a"], "first", domain="made.up"),
        h.make_node("Relu", ["a"], ["b"], "between"),
        h.make_node("Weft", ["b"], ["y"], "second", domain="made.up"),
    ]
    value = lambda name: h.make_tensor_value_info(name, T.FLOAT, ["n"])
    save("odd", nodes, [value("x")], [value("y")], {}, domains=["made.up"])


os.makedirs(HERE, exist_ok=True)
mlp()
fixed()
odd()
digits()
