"""Makes tests/onnx/legacy.gz: `python tests/scripts/make_onnx_legacy.py`, with numpy, onnx and onnxruntime.

Models of one node each in older versions of the operator set, where attributes became operands or changed their meaning, with the results of onnxruntime or,
where it does not have the version, of ONNX's ReferenceEvaluator or of NumPy by the text of the specification, in the format that onnx_nodes.py describes.
Who computed a case is printed.
"""


import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

import cases_file

rng = np.random.default_rng(3)


def f32(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def i64(*numbers):
    return np.array(numbers, np.int64)


def by_onnxruntime(model, given):
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    return onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, given)


def case(name, opset, operator, operands, outputs=1, expected=None, fixed=(), by_reference=False, **attributes):
    """Operands of `None` are left out; those whose number is in `fixed` are initializers. With `expected`, nobody else is asked."""
    names = ["" if x is None else f"x{i}" for i, x in enumerate(operands)]
    given = {n: np.asarray(x) for i, (n, x) in enumerate(zip(names, operands)) if x is not None and i not in fixed}
    kept = [numpy_helper.from_array(np.asarray(operands[i]), names[i]) for i in fixed]
    results = [f"y{i}" for i in range(outputs)] if isinstance(outputs, int) else outputs
    node = h.make_node(operator, names, results, **attributes)
    info = lambda n, x: h.make_tensor_value_info(n, h.np_dtype_to_tensor_dtype(x.dtype), x.shape)
    used = [n for n in results if n]
    # Before version 4 of the format, initializers are inputs too.
    inputs = [info(n, x) for n, x in given.items()] + [info(n, np.asarray(operands[i])) for i, n in enumerate(names) if i in fixed]
    untyped = [onnx.ValueInfoProto(name=n) for n in used]
    graph = h.make_graph([node], name, inputs, untyped, kept)
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=4)
    if expected is not None:
        computed, who = expected, "numpy"
    elif by_reference:
        computed, who = ReferenceEvaluator(model).run(None, given), "reference"
    else:
        try:
            computed, who = by_onnxruntime(model, given), "onnxruntime"
        except Exception as error:
            try:
                computed, who = ReferenceEvaluator(model).run(None, given), "reference"
            except Exception as other:
                print(f"{name}: NOBODY: {str(error)[:150]} / {str(other)[:150]}")
                return
    print(f"{name}: {who}")
    # The others are inputs only where they have no value.
    del graph.input[len(given) :]
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=4)
    yield f"{name}/tolerance", b"1e-5 1e-6"
    yield f"{name}/model", model.SerializeToString()
    for kind, arrays in [("input", given), ("output", dict(zip(used, computed)))]:
        for i, (n, x) in enumerate(arrays.items()):
            yield f"{name}/0/{kind}_{i}", numpy_helper.from_array(np.asarray(x), n).SerializeToString()


def elementwise():
    x, y = f32(2, 3, 4), f32(2, 3, 4)
    for name, operator, f in [("add", "Add", np.add), ("mul", "Mul", np.multiply), ("sub", "Sub", np.subtract)]:
        row, middle = f32(4), f32(3)
        for opset in [1, 6]:
            yield from case(f"{name}_{opset}", opset, operator, [x, y], expected=[f(x, y)])
            yield from case(f"{name}_{opset}_last", opset, operator, [x, row], expected=[f(x, row)], broadcast=1)
            yield from case(
                f"{name}_{opset}_axis", opset, operator, [x, middle], expected=[f(x, middle[:, None])], broadcast=1, axis=1
            )
            pair = f32(2, 3)
            yield from case(
                f"{name}_{opset}_two", opset, operator, [x, pair], expected=[f(x, pair[..., None])], broadcast=1, axis=0
            )
            scalar = np.float32(0.7)
            yield from case(f"{name}_{opset}_scalar", opset, operator, [x, scalar], expected=[f(x, scalar)], broadcast=1)
        yield from case(f"{name}_7", 7, operator, [x, f32(3, 1)])
    base, exponent = np.abs(x) + 0.1, f32(3)
    expected = [base ** exponent[:, None]]
    yield from case("pow_1_axis", 1, "Pow", [base, exponent], expected=expected, broadcast=1, axis=1)
    yield from case("pow_7", 7, "Pow", [base, f32(4)])
    flags = rng.random((2, 3, 4)) < 0.5
    own = rng.random(3) < 0.5
    yield from case("and_1_axis", 1, "And", [flags, own], expected=[flags & own[:, None]], broadcast=1, axis=1)
    own = f32(3)
    yield from case("greater_1_axis", 1, "Greater", [x, own], expected=[x > own[:, None]], broadcast=1, axis=1)
    whole = rng.integers(0, 2, (2, 3)).astype(np.int32)
    row = np.array([0, 1, 1], np.int32)
    yield from case("equal_1", 1, "Equal", [whole, row], expected=[whole == row], broadcast=1)
    yield from case("max_1", 1, "Max", [x, y], expected=[np.maximum(x, y)], consumed_inputs=[0, 0])
    yield from case("max_6", 6, "Max", [x, y])
    yield from case("max_8", 8, "Max", [x, f32(4)])
    yield from case("sum_1", 1, "Sum", [x, y, x], expected=[x + y + x], consumed_inputs=[0, 0, 0])
    yield from case("mean_6", 6, "Mean", [x, y])
    yield from case("clip_1", 1, "Clip", [x], expected=[np.clip(x, -0.5, 0.5)], min=-0.5, max=0.5, consumed_inputs=[0])
    yield from case("clip_6", 6, "Clip", [x], min=-0.5, max=0.5)
    yield from case("clip_6_min", 6, "Clip", [x], min=0.25)
    yield from case("clip_6_none", 6, "Clip", [x])
    yield from case("clip_11", 11, "Clip", [x, np.float32(-0.5), np.float32(0.1)])
    yield from case("clip_11_max", 11, "Clip", [x, None, np.float32(0.1)])
    yield from case("clip_12", 12, "Clip", [np.arange(-5, 5, dtype=np.int64), np.int64(-2)])
    yield from case("cast_1", 1, "Cast", [x * 10], expected=[(x * 10).astype(np.int32)], to="INT32")
    yield from case("cast_1_double", 1, "Cast", [x], expected=[x.astype(np.float64)], to="DOUBLE")
    yield from case("cast_1_bool", 1, "Cast", [np.array([0.0, 2.0], np.float32)], expected=[np.array([False, True])], to="BOOL")
    yield from case("cast_6", 6, "Cast", [x * 10], to=T.INT64)
    yield from case("cast_9", 9, "Cast", [x * 10], to=T.INT32)
    slope = np.abs(f32(3))
    expected = [np.where(x < 0, x * slope[:, None], x)]
    yield from case("prelu_1", 1, "PRelu", [x, slope], expected=expected)
    yield from case("prelu_6", 6, "PRelu", [x, slope], expected=expected)
    yield from case("prelu_7", 7, "PRelu", [x, f32(3, 1)])
    yield from case("prelu_9", 9, "PRelu", [x, f32(4)])
    selu = 1.0507 * np.where(x > 0, x, 1.6732 * np.exp(x.astype(np.float64)) - 1.6732)
    yield from case("selu_1", 1, "Selu", [x], expected=[selu.astype(np.float32)])
    yield from case("selu_6", 6, "Selu", [x])
    yield from case("leaky_1", 1, "LeakyRelu", [x], expected=[np.where(x < 0, 0.01 * x, x).astype(np.float32)], consumed_inputs=[0])
    yield from case("elu_6", 6, "Elu", [x], alpha=0.7)
    yield from case("sigmoid_1", 1, "Sigmoid", [x], expected=[1 / (1 + np.exp(-x))], consumed_inputs=[0])


def shapes():
    x = f32(2, 3, 4)
    yield from case("reshape_1", 1, "Reshape", [x], expected=[x.reshape(2, 12)], shape=[0, -1])
    yield from case("reshape_5", 5, "Reshape", [x, i64(4, -1)], expected=[x.reshape(4, 6)])
    yield from case("reshape_13", 13, "Reshape", [x, i64(0, 2, -1)])
    pads = [0, 1, 2, 1, 0, 1]
    width = [(0, 1), (1, 0), (2, 1)]
    yield from case("pad_1", 1, "Pad", [x], expected=[np.pad(x, width, constant_values=1.5)], paddings=pads, value=1.5)
    yield from case("pad_1_edge", 1, "Pad", [x], expected=[np.pad(x, width, mode="edge")], paddings=pads, mode="edge")
    yield from case("pad_2", 2, "Pad", [x], pads=pads, value=1.5)
    yield from case("pad_2_negative", 2, "Pad", [x], pads=[0, -1, 2, 1, 0, -1])
    yield from case("pad_2_reflect", 2, "Pad", [x], pads=[0, 1, 2, 1, 0, 1], mode="reflect")
    yield from case("pad_11", 11, "Pad", [x, i64(*pads), np.float32(2.5)])
    yield from case("pad_11_default", 11, "Pad", [x, i64(*pads)], mode="constant")
    yield from case("pad_13_edge", 13, "Pad", [x, i64(*pads)], mode="edge")
    yield from case("pad_18_axes", 18, "Pad", [x, i64(1, 2, 0, 1), None, i64(2, 0)])
    yield from case("slice_1", 1, "Slice", [x], starts=[1, -3], ends=[2**31 - 1, -1], axes=[1, 2])
    yield from case("slice_1_all", 1, "Slice", [x], starts=[0, 1], ends=[1, 1000])
    yield from case("slice_10", 10, "Slice", [x, i64(3, 0), i64(-5, 3), i64(2, 1), i64(-2, 2)])
    yield from case("slice_10_axes", 10, "Slice", [x, i64(1), i64(2**62), i64(1)])
    yield from case("slice_11", 11, "Slice", [x, i64(-1), i64(-(2**40)), i64(-1), i64(-1)])
    yield from case("slice_13", 13, "Slice", [x, np.array([1], np.int32), np.array([3], np.int32), np.array([2], np.int32)])
    thin = f32(1, 3, 1, 2)
    yield from case("squeeze_1", 1, "Squeeze", [thin], axes=[0])
    yield from case("squeeze_1_all", 1, "Squeeze", [thin])
    yield from case("squeeze_11", 11, "Squeeze", [thin], axes=[-2])
    yield from case("squeeze_13", 13, "Squeeze", [thin, i64(2, 0)])
    yield from case("squeeze_13_all", 13, "Squeeze", [thin])
    yield from case("unsqueeze_1", 1, "Unsqueeze", [x], axes=[0, 4])
    yield from case("unsqueeze_11", 11, "Unsqueeze", [x], axes=[-1, 0])
    yield from case("unsqueeze_13", 13, "Unsqueeze", [x, i64(3, 1)])
    line = f32(7, 2)
    yield from case("split_1", 1, "Split", [line], 2, expected=[line[:3], line[3:]], split=[3, 4])
    yield from case("split_1_operand", 1, "Split", [line, i64(5, 2)], 2, expected=[line[:5], line[5:]], axis=0)
    yield from case("split_2", 2, "Split", [f32(3, 6)], 3, axis=1)
    yield from case("split_2_sizes", 2, "Split", [line], 3, split=[1, 2, 4])
    yield from case("split_11_negative", 11, "Split", [f32(3, 6)], 2, axis=-1)
    yield from case("split_13", 13, "Split", [line, i64(3, 4)], 2)
    yield from case("split_13_even", 13, "Split", [f32(3, 6)], 2, axis=1)
    yield from case("split_18", 18, "Split", [line], 3, num_outputs=3)
    yield from case("concat_1", 1, "Concat", [x, f32(2, 1, 4)], expected=None, axis=1)
    a, b = f32(2, 3), f32(2, 5)
    yield from case("concat_1_default", 1, "Concat", [a, b], expected=[np.concatenate([a, b], 1)])
    yield from case("concat_11", 11, "Concat", [a, b], axis=-1)
    yield from case("flatten_1", 1, "Flatten", [f32(2, 3, 4, 5)], axis=2)
    yield from case("flatten_1_default", 1, "Flatten", [f32(2, 3, 4, 5)])
    yield from case("flatten_11", 11, "Flatten", [f32(2, 3, 4, 5)], axis=-1)
    tiles, axis = np.float32(2), np.float32(1)
    yield from case("tile_1", 1, "Tile", [a, tiles, axis], expected=[np.tile(a, (1, 2))])
    yield from case("tile_6", 6, "Tile", [a, i64(2, 3)])
    yield from case("transpose_1", 1, "Transpose", [x])
    yield from case("depth_1", 1, "DepthToSpace", [f32(1, 8, 2, 3)], blocksize=2)
    yield from case("depth_11", 11, "DepthToSpace", [f32(1, 8, 2, 3)], blocksize=2, mode="CRD")
    yield from case("gather_1", 1, "Gather", [x, np.array([[0, 2]], np.int32)], axis=1)
    yield from case("gather_11", 11, "Gather", [x, i64(-1, 0)], axis=2)
    yield from case("scatter_9", 9, "Scatter", [x, np.array([[[1, 0, 1, 0]]], np.int64), f32(1, 1, 4)], axis=0)
    yield from case("scatter_11", 11, "ScatterElements", [x, np.array([[[1, 0, 1, 0]]], np.int64), f32(1, 1, 4)], axis=0)
    yield from case("one_hot_9", 9, "OneHot", [i64(0, 3, 2), i64(4), np.array([0.5, 2.0], np.float32)], axis=0)
    yield from case("expand_8", 8, "Expand", [f32(3, 1), i64(2, 1, 4)])
    yield from case("shape_1", 1, "Shape", [x])
    yield from case("shape_15", 15, "Shape", [x], start=-2, end=3)
    yield from case("compress_9", 9, "Compress", [x, np.array([False, True, True])], axis=1, fixed=(1,))


def reductions():
    x = f32(2, 3, 4)
    for operator in ["ReduceSum", "ReduceMax", "ReduceMean", "ReduceL2", "ReduceLogSumExp", "ReduceProd"]:
        name = operator.lower()
        yield from case(f"{name}_1", 1, operator, [x], axes=[1], keepdims=0)
        yield from case(f"{name}_1_all", 1, operator, [x])
        yield from case(f"{name}_11", 11, operator, [x], axes=[-1, 0])
        if operator != "ReduceSum":
            yield from case(f"{name}_13", 13, operator, [x], axes=[-1])
        yield from case(f"{name}_18", 18, operator, [x, i64(0, -1)], keepdims=0)
        yield from case(f"{name}_18_none", 18, operator, [x], noop_with_empty_axes=1)
    yield from case("reducesum_13", 13, "ReduceSum", [x, i64(1)])
    yield from case("reducesum_13_none", 13, "ReduceSum", [x, np.zeros(0, np.int64)], noop_with_empty_axes=1)
    yield from case("reducesum_13_empty", 13, "ReduceSum", [x, np.zeros(0, np.int64)], noop_with_empty_axes=0)
    for operator in ["Softmax", "LogSoftmax", "Hardmax"]:
        name = operator.lower()
        for opset in [1, 11]:
            yield from case(f"{name}_{opset}", opset, operator, [x])
            yield from case(f"{name}_{opset}_axis", opset, operator, [f32(2, 3, 4, 2)], axis=2)
        yield from case(f"{name}_11_zero", 11, operator, [x], axis=0)
        yield from case(f"{name}_11_negative", 11, operator, [x], axis=-2)
        yield from case(f"{name}_13", 13, operator, [x])
        yield from case(f"{name}_13_axis", 13, operator, [x], axis=1)
    ties = np.array([[1, 3, 3], [2, 2, 0]], np.float32)
    yield from case("argmax_1", 1, "ArgMax", [ties], axis=1)
    yield from case("argmax_11", 11, "ArgMax", [ties], axis=-1, keepdims=0)
    yield from case("argmax_12", 12, "ArgMax", [ties], axis=1, select_last_index=1)
    rows = f32(3, 6)
    order = np.argsort(-rows, 1)[:, :2]
    best = [np.take_along_axis(rows, order, 1), order]
    yield from case("topk_1", 1, "TopK", [rows], 2, expected=best, k=2)
    yield from case("topk_1_axis", 1, "TopK", [rows], 2, axis=0, k=2)
    yield from case("topk_10", 10, "TopK", [rows, i64(3)], 2, axis=1)
    yield from case("topk_11", 11, "TopK", [rows, i64(3)], 2, axis=-1, largest=0, sorted=1)
    yield from case("cumsum_11", 11, "CumSum", [rows, np.array(1, np.int32)], exclusive=1, reverse=1)


def layers():
    a, b = f32(3, 4), f32(4, 5)
    for opset in [1, 6]:
        row, whole = f32(5), f32(3, 5)
        yield from case(f"gemm_{opset}", opset, "Gemm", [a, b, whole], expected=[0.5 * (a @ b) + 2 * whole], alpha=0.5, beta=2.0)
        yield from case(f"gemm_{opset}_broadcast", opset, "Gemm", [a, b, row], expected=[a @ b + row], broadcast=1)
        yield from case(f"gemm_{opset}_turned", opset, "Gemm", [a.T.copy(), b.T.copy(), row], expected=[a @ b + row], broadcast=1, transA=1, transB=1)
    yield from case("gemm_7", 7, "Gemm", [a, b, f32(3, 1)])
    yield from case("gemm_9", 9, "Gemm", [a, b, f32(1, 5)])
    yield from case("gemm_11", 11, "Gemm", [a, b])
    x = f32(2, 3, 4, 4)
    scale, bias, mean, variance = f32(3), f32(3), f32(3), np.abs(f32(3)) + 0.1
    operands = [x, scale, bias, mean, variance]
    c = lambda v: v[:, None, None]
    fixed = ((x - c(mean)) / np.sqrt(c(variance) + 1e-3) * c(scale) + c(bias)).astype(np.float32)
    yield from case("batch_1", 1, "BatchNormalization", operands, expected=[fixed], is_test=1, epsilon=1e-3, consumed_inputs=[0, 0, 0, 1, 1])
    yield from case("batch_6", 6, "BatchNormalization", operands, expected=[fixed], is_test=1, epsilon=1e-3)
    yield from case("batch_7", 7, "BatchNormalization", operands, epsilon=1e-3)
    yield from case("batch_9", 9, "BatchNormalization", operands, epsilon=1e-3, momentum=0.8)
    yield from case("batch_14", 14, "BatchNormalization", operands, epsilon=1e-3)
    m, v = x.mean((0, 2, 3)), x.var((0, 2, 3))
    y = ((x - c(m)) / np.sqrt(c(v) + 1e-3) * c(scale) + c(bias)).astype(np.float32)
    trained = [y, mean * np.float32(0.8) + m * np.float32(0.2), variance * np.float32(0.8) + v * np.float32(0.2)]
    yield from case("batch_14_training", 14, "BatchNormalization", operands, 3, expected=trained, epsilon=1e-3, momentum=0.8, training_mode=1)
    own = [f32(3, 4, 4), f32(3, 4, 4), f32(3, 4, 4), np.abs(f32(3, 4, 4)) + 0.1]
    single = (x - own[2]) / np.sqrt(own[3] + 1e-5) * own[0] + own[1]
    yield from case("batch_7_each", 7, "BatchNormalization", [x, *own], expected=[single.astype(np.float32)], spatial=0)
    yield from case("instance_1", 1, "InstanceNormalization", [x, scale, bias], expected=None, epsilon=1e-3)
    yield from case("lrn_1", 1, "LRN", [x], size=3)
    yield from case("dropout_1", 1, "Dropout", [x], expected=[x], is_test=1, ratio=0.3)
    yield from case("dropout_6", 6, "Dropout", [x], expected=[x], is_test=1)
    yield from case("dropout_7", 7, "Dropout", [x], ratio=0.3)
    yield from case("dropout_10", 10, "Dropout", [x], 2, expected=[x, np.ones_like(x, dtype=bool)], ratio=0.3)
    yield from case("dropout_12", 12, "Dropout", [x, np.float32(0.4)], 2)
    yield from case("maxpool_1", 1, "MaxPool", [x], kernel_shape=[2, 2], strides=[2, 2])
    yield from case("maxpool_1_same", 1, "MaxPool", [x], kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER")
    yield from case("maxpool_8", 8, "MaxPool", [x], 2, kernel_shape=[2, 2], storage_order=1)
    yield from case("maxpool_10", 10, "MaxPool", [x], kernel_shape=[2, 2], dilations=[2, 2], ceil_mode=1, strides=[2, 2])
    around = lambda v: np.lib.stride_tricks.sliding_window_view(np.pad(v, [(0, 0), (0, 0), (1, 1), (1, 1)]), (3, 3), (2, 3)).sum((-1, -2))
    own = (around(x) / around(np.ones_like(x))).astype(np.float32)
    yield from case("averagepool_1", 1, "AveragePool", [x], expected=[own], kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    yield from case("averagepool_7", 7, "AveragePool", [x], kernel_shape=[3, 3], pads=[1, 1, 1, 1], count_include_pad=1)
    yield from case("averagepool_10", 10, "AveragePool", [x], kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1)
    yield from case("globallppool_2", 2, "GlobalLpPool", [x], p=3)
    norm = (np.abs(x) ** 3).sum((2, 3), keepdims=True) ** (1 / 3)
    yield from case("globallppool_1", 1, "GlobalLpPool", [x], expected=[norm.astype(np.float32)], p=3.0)
    yield from case("conv_1", 1, "Conv", [x, f32(2, 3, 3, 3), f32(2)], kernel_shape=[3, 3], auto_pad="SAME_UPPER", strides=[2, 2])
    yield from case("convtranspose_1", 1, "ConvTranspose", [x, f32(3, 2, 3, 3)], strides=[2, 2], output_padding=[1, 0], pads=[1, 1, 0, 0])
    steps = f32(4, 2, 3)
    yield from case("gru_7", 7, "GRU", [steps, f32(1, 15, 3), f32(1, 15, 5)], 2, hidden_size=5)
    yield from case("lstm_7", 7, "LSTM", [steps, f32(1, 20, 3), f32(1, 20, 5), f32(1, 40)], 3, hidden_size=5)


def resizes():
    x = f32(1, 2, 3, 4)
    twice = np.repeat(np.repeat(x, 2, 2), 3, 3)
    yield from case("upsample_1", 1, "Upsample", [x], expected=[twice], height_scale=2.0, width_scale=3.0)
    for mode in ["nearest", "linear"]:
        scales = np.array([1, 1, 2, 3], np.float32)
        yield from case(f"upsample_7_{mode}", 7, "Upsample", [x], mode=mode, scales=[1.0, 1.0, 2.0, 3.0])
        yield from case(f"upsample_9_{mode}", 9, "Upsample", [x, scales], mode=mode, fixed=(1,))
        yield from case(f"upsample_9_{mode}_part", 9, "Upsample", [x, np.array([1, 1, 1.5, 2.3], np.float32)], mode=mode, fixed=(1,))
        for factors in [[1, 1, 2, 3], [1, 1, 0.7, 0.55], [1, 1, 1.5, 2.3]]:
            label = "_".join(str(f) for f in factors[2:])
            scales = np.array(factors, np.float32)
            yield from case(f"resize_10_{mode}_{label}", 10, "Resize", [x, scales], mode=mode, fixed=(1,))
            empty = np.zeros(0, np.float32)
            yield from case(f"resize_11_{mode}_{label}", 11, "Resize", [x, empty, scales], mode=mode, fixed=(1, 2))
            yield from case(f"resize_13_{mode}_{label}", 13, "Resize", [x, None, scales], mode=mode, fixed=(2,))
            for places in ["asymmetric", "align_corners", "pytorch_half_pixel"]:
                attributes = {"mode": mode, "coordinate_transformation_mode": places}
                if mode == "nearest":
                    attributes["nearest_mode"] = "floor"
                # With the extents before they are rounded down, as ONNX's own tests have it, which onnxruntime does not pass.
                reference = places == "align_corners"
                yield from case(f"resize_11_{mode}_{label}_{places}", 11, "Resize", [x, empty, scales], fixed=(1, 2), by_reference=reference, **attributes)
        sizes = i64(1, 2, 5, 7)
        yield from case(f"resize_11_{mode}_sizes", 11, "Resize", [x, np.zeros(0, np.float32), np.zeros(0, np.float32), sizes], mode=mode, fixed=(1, 2, 3))


def quantized():
    x = rng.integers(0, 255, (2, 3)).astype(np.uint8)
    yield from case("dequantize_10", 10, "DequantizeLinear", [x, np.float32(0.5), np.uint8(7)])
    scales, zeros = np.abs(f32(3)) + 0.1, np.array([1, 2, 3], np.uint8)
    yield from case("dequantize_13", 13, "DequantizeLinear", [x, scales, zeros], axis=1)
    yield from case("quantize_10", 10, "QuantizeLinear", [f32(2, 3) * 50, np.float32(0.5), np.uint8(100)])
    yield from case("quantize_13", 13, "QuantizeLinear", [f32(2, 3) * 50, scales, zeros], axis=1)


def main():
    cases_file.write("legacy.gz", (case for family in [elementwise, shapes, reductions, layers, resizes, quantized] for case in family()))


if __name__ == "__main__":
    main()
