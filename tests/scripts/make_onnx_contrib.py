"""Makes tests/onnx/contrib.gz: `python tests/scripts/make_onnx_contrib.py`, with numpy, onnx, onnxruntime and scikit-learn.

Models of one node each, of onnxruntime's own operators and of others that the ONNX project has few tests for, with random operands and the results of
onnxruntime, in the format that onnx_nodes.py describes.
"""

import gzip
import os
import struct

import numpy as np
import onnx
import onnxruntime
from onnx import helper as h
from onnx import numpy_helper

TARGET = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "onnx", "contrib.gz")
MS = "com.microsoft"
rng = np.random.default_rng(11)


def f32(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def positive(*shape):
    return (rng.random(shape) + 0.5).astype(np.float32)


def ints(low, high, shape, dtype):
    return rng.integers(low, high, shape).astype(dtype)


def scalar(value, dtype=np.float32):
    return np.array(value, dtype)


def case(name, operator, operands, outputs=1, domain=MS, opset=18, learning=3, fixed=(), **attributes):
    """Operands of `None` are left out, those whose number is in `fixed` are initializers. `outputs` is how many there are, or a name or None for each; `learning` the version of `ai.onnx.ml`."""
    names = ["" if x is None else f"x{i}" for i, x in enumerate(operands)]
    given = {n: x for i, (n, x) in enumerate(zip(names, operands)) if x is not None and i not in fixed}
    kept = [numpy_helper.from_array(operands[i], names[i]) for i in fixed]
    results = [f"y{i}" for i in range(outputs)] if isinstance(outputs, int) else ["" if o is None else o for o in outputs]
    node = h.make_node(operator, names, results, domain=domain, **attributes)
    info = lambda n, x: h.make_tensor_value_info(n, h.np_dtype_to_tensor_dtype(x.dtype), x.shape)
    untyped = [onnx.ValueInfoProto(name=n) for n in results if n]
    graph = h.make_graph([node], name, [info(n, x) for n, x in given.items()], untyped, kept)
    opsets = [h.make_opsetid("", opset)] + ([h.make_opsetid(domain, learning if domain == "ai.onnx.ml" else 1)] if domain else [])
    model = h.make_model(graph, opset_imports=opsets, ir_version=8)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    computed = session.run(None, given)
    yield f"{name}/tolerance", b"1e-4 1e-5"
    yield f"{name}/model", model.SerializeToString()
    for kind, arrays in [("input", given), ("output", dict(zip([n for n in results if n], computed)))]:
        for i, (n, x) in enumerate(arrays.items()):
            yield f"{name}/0/{kind}_{i}", numpy_helper.from_array(np.asarray(x), n).SerializeToString()


def attention_cases():
    b, s, heads, size = 2, 5, 2, 4
    d = heads * size
    x, w, bias = f32(b, s, 6), f32(6, 3 * d), f32(3 * d)
    lengths, mask = np.array([3, 5], np.int32), ints(0, 2, (b, s), np.int32)
    mask[:, 0] = 1
    yield case("attention", "Attention", [x, w, bias], num_heads=heads)
    yield case("attention_lengths", "Attention", [x, w, bias, lengths], num_heads=heads)
    yield case("attention_mask", "Attention", [x, w, bias, mask], num_heads=heads, scale=0.3)
    yield case("attention_causal", "Attention", [x, w, bias], num_heads=heads, unidirectional=1)
    yield case("attention_bias", "Attention", [x, w, bias, None, None, f32(b, heads, s, s)], num_heads=heads)
    q, k, v = f32(b, s, d), f32(b, 7, d), f32(b, 7, d)
    yield case("heads", "MultiHeadAttention", [q, k, v], num_heads=heads)
    yield case("heads_bias", "MultiHeadAttention", [q, k, v, f32(3 * d)], num_heads=heads)
    key_mask = ints(0, 2, (b, 7), np.int32)
    key_mask[:, 0] = 1
    yield case("heads_mask", "MultiHeadAttention", [q, k, v, None, key_mask], num_heads=heads)


def quantized_cases():
    # Sums that round halves depend on the order of operations: scales are exact where they could, and zero points even. Where there are no instructions for it, onnxruntime's products of bytes
    # are wrong beyond 7 bits.
    zero = {np.uint8: 120, np.int8: -4}
    for dtype in (np.uint8, np.int8):
        span = (0, 256) if dtype == np.uint8 else (-128, 128)
        kind = np.dtype(dtype).name
        a, b = ints(*span, (2, 3, 4), dtype), ints(*span, (2, 3, 4), dtype)
        of = lambda scale: [scalar(scale), scalar(zero[dtype], dtype)]
        yield case(f"qlinear_add_{kind}", "QLinearAdd", [a, *of(0.0625), b, *of(0.125), *of(0.125)])
        yield case(f"qlinear_mul_{kind}", "QLinearMul", [a, *of(0.0625), b, *of(0.125), *of(0.25)])
        yield case(f"qlinear_sigmoid_{kind}", "QLinearSigmoid", [a, *of(0.05), *of(0.01)])
        yield case(f"qlinear_leaky_{kind}", "QLinearLeakyRelu", [a, *of(0.05), *of(0.04)], alpha=0.1)
        image = ints(*span, (2, 3, 4, 4), dtype)
        yield case(f"qlinear_pool_{kind}", "QLinearGlobalAveragePool", [image, *of(0.05), *of(0.04)])
        w, s, z = ints(-64, 64, (5, 3, 3, 3), np.int8), positive(5) / 50, np.zeros(5, np.int8)
        yield case(f"qlinear_conv_{kind}", "QLinearConv", [image, *of(0.05), w, s, z, *of(0.4)], domain="", fixed=(3, 4, 5), pads=[1, 1, 1, 1])
        yield case(f"conv_integer_{kind}", "ConvInteger", [image.astype(np.uint8), w, scalar(3, np.uint8)], domain="", fixed=(1,))
        m, n = ints(*span, (4, 6), dtype), ints(-64, 64, (6, 5), np.int8)
        yield case(f"qlinear_matmul_{kind}", "QLinearMatMul", [m, *of(0.05), n, scalar(0.02), scalar(0, np.int8), *of(0.1)], domain="", fixed=(3, 4, 5))
        yield case(f"matmul_integer_{kind}", "MatMulInteger", [m.astype(np.uint8), n, scalar(7, np.uint8)], domain="", fixed=(1,))
        yield case(f"quantize_{kind}", "QuantizeLinear", [f32(3, 4), *of(0.02)], domain="")
        yield case(f"dequantize_{kind}", "DequantizeLinear", [ints(*span, (3, 4), dtype), positive(4), ints(*span, (4,), dtype)], domain="", axis=1)
    for bits, zeros in [(4, False), (4, True), (8, False)]:
        rows, columns, block = 6, 40, 16
        blocks = -(-columns // block)
        packed = ints(0, 256, (rows, blocks, block * bits // 8), np.uint8)
        scales = positive(rows, blocks)
        zero = ints(0, 256, (rows, -(-blocks * bits // 8)), np.uint8) if zeros else None
        operands = [f32(3, columns), packed, scales] + ([zero] if zeros else [])
        fixed = range(1, len(operands))
        yield case(f"n_bits_{bits}_{int(zeros)}", "MatMulNBits", operands, fixed=fixed, K=columns, N=rows, bits=bits, block_size=block)


def fused_cases():
    x, bias = f32(2, 3, 8), f32(8)
    yield case("gelu", "Gelu", [x])
    yield case("fast_gelu", "FastGelu", [x])
    yield case("fast_gelu_bias", "FastGelu", [x, bias])
    yield case("quick_gelu", "QuickGelu", [x])
    yield case("bias_gelu", "BiasGelu", [x, bias])
    yield case("fused_matmul", "FusedMatMul", [f32(2, 4, 3), f32(2, 5, 4)], transA=1, transB=1, alpha=0.5)
    yield case("fused_matmul_batch", "FusedMatMul", [f32(4, 2, 3), f32(2, 3, 5)], transBatchA=1)
    yield case("fused_gemm", "FusedGemm", [f32(3, 4), f32(5, 4), f32(5)], transB=1, activation="LeakyRelu", activation_alpha=0.2)
    image, w, b = f32(1, 2, 5, 5), f32(3, 2, 3, 3), f32(3)
    yield case("fused_conv", "FusedConv", [image, w, b], activation="Relu", kernel_shape=[3, 3], pads=[1, 1, 1, 1])
    yield case("fused_conv_clip", "FusedConv", [image, w, b], activation="Clip", activation_params=[-0.5, 0.5], kernel_shape=[3, 3])
    yield case("fused_conv_sum", "FusedConv", [image, w, b, f32(1, 3, 3, 3)], activation="Relu", kernel_shape=[3, 3])
    gamma, beta = positive(8), f32(8)
    yield case("skip_norm", "SkipLayerNormalization", [x, f32(2, 3, 8), gamma, beta, bias], outputs=["y", None, None, "sum"], epsilon=1e-5)
    yield case("skip_norm_plain", "SkipLayerNormalization", [x, f32(2, 3, 8), gamma])
    yield case("skip_simplified", "SkipSimplifiedLayerNormalization", [x, f32(2, 3, 8), gamma, bias], outputs=["y", None, None, "sum"])
    yield case("simplified", "SimplifiedLayerNormalization", [x, gamma], domain="", axis=-1, epsilon=1e-5)
    ids, segments = ints(0, 9, (2, 4), np.int32), ints(0, 2, (2, 4), np.int32)
    tables = [f32(9, 8), f32(6, 8), f32(2, 8), gamma, beta]
    yield case("embed_norm", "EmbedLayerNormalization", [ids, segments, *tables, ints(0, 2, (2, 4), np.int32)], outputs=["y", "counts"])
    yield case("embed_norm_plain", "EmbedLayerNormalization", [ids, None, tables[0], tables[1], None, gamma, beta], outputs=["y", "counts"])


def other_cases():
    signal, window = f32(2, 40), positive(16)
    yield case("stft", "STFT", [signal[..., None], scalar(5, np.int64), window], domain="", fixed=(1,))
    yield case("stft_whole", "STFT", [signal[..., None], scalar(8, np.int64), None, scalar(12, np.int64)], domain="", fixed=(1, 3), onesided=0)
    yield case("mel", "MelWeightMatrix", [scalar(10, np.int64), scalar(64, np.int64), scalar(8000, np.int64), scalar(50.0), scalar(3500.0)], domain="", fixed=range(5))
    x = f32(2, 3, 9, 11)
    rois = np.array([[0.5, 1, 6, 7], [2, -1, 14, 9], [3, 3, 3.5, 3.2]], np.float32)
    batch = np.array([0, 1, 0], np.int64)
    for mode in ("avg", "max"):
        yield case(f"roi_{mode}", "RoiAlign", [x, rois, batch], domain="", mode=mode, output_height=3, output_width=2, sampling_ratio=2, spatial_scale=0.8)
    yield case("roi_old", "RoiAlign", [x, rois, batch], domain="", opset=10, output_height=2, output_width=2, sampling_ratio=3)
    boxes = rng.random((2, 30, 4)).astype(np.float32)
    numbers = [scalar([4], np.int64), scalar([0.3]), scalar([0.2])]
    yield case("nms", "NonMaxSuppression", [boxes, rng.random((2, 3, 30)).astype(np.float32), *numbers], domain="")
    yield case("nms_centre", "NonMaxSuppression", [boxes, rng.random((2, 3, 30)).astype(np.float32), *numbers], domain="", center_point_box=1)


def tree_cases():
    from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier, RandomForestRegressor

    def nodes(trees):
        lists = {k: [] for k in "treeids nodeids featureids values modes truenodeids falsenodeids missing_value_tracks_true".split()}
        for t, tree in enumerate(trees):
            leaf = tree.children_left < 0
            values = {
                "treeids": [t] * tree.node_count, "nodeids": range(tree.node_count), "featureids": np.where(leaf, 0, tree.feature),
                "values": np.where(leaf, 0, tree.threshold), "modes": np.where(leaf, "LEAF", "BRANCH_LEQ"),
                "truenodeids": np.where(leaf, 0, tree.children_left), "falsenodeids": np.where(leaf, 0, tree.children_right),
                "missing_value_tracks_true": tree.missing_go_to_left & ~leaf,
            }  # fmt: skip
            for key, list_of in values.items():
                lists[key] += [v.item() if isinstance(v, np.generic) else v for v in list_of]
        lists["values"] = [float(v) for v in lists["values"]]
        lists["missing_value_tracks_true"] = [int(v) for v in lists["missing_value_tracks_true"]]
        return {f"nodes_{key}": v for key, v in lists.items()}

    def leaves(trees, kind, weigh, ids):
        lists = {k: [] for k in ("treeids", "nodeids", "ids", "weights")}
        for t, tree in enumerate(trees):
            for n in np.flatnonzero(tree.children_left < 0):
                for i in ids(t):
                    for key, v in zip(lists, (t, int(n), i, float(weigh(tree, n, i)))):
                        lists[key].append(v)
        return {f"{kind}_{key}": v for key, v in lists.items()}

    x, n = f32(60, 4), 8
    missing = x.copy()
    missing[rng.random(x.shape) < 0.2] = np.nan
    target, classes = x[:, 0] * x[:, 1], (x[:, 0] > 0).astype(int) + (x[:, 2] > 0.3)
    forest = RandomForestRegressor(5, max_depth=4, random_state=0).fit(missing, target)
    trees = [t.tree_ for t in forest.estimators_]
    attributes = {**nodes(trees), **leaves(trees, "target", lambda t, n, i: t.value[n, 0, 0], lambda t: [0])}
    yield case("forest", "TreeEnsembleRegressor", [missing[:n]], domain="ai.onnx.ml", n_targets=1, aggregate_function="AVERAGE", **attributes)
    yield case("forest_base", "TreeEnsembleRegressor", [x[:n]], domain="ai.onnx.ml", n_targets=1, base_values=[0.5], **attributes)
    for name, labels in (("two", classes.clip(0, 1)), ("three", classes)):
        k = labels.max() + 1
        forest = RandomForestClassifier(5, max_depth=4, random_state=0).fit(x, labels)
        trees = [t.tree_ for t in forest.estimators_]
        share = lambda t, n, i: t.value[n, 0, 1 if k == 2 else i] / t.value[n, 0].sum() / 5
        # Of two classes the weights are for the second, under number 0: with both, onnxruntime's label is the second wherever that has any.
        attributes = {**nodes(trees), **leaves(trees, "class", share, lambda t: range(k - 1 if k == 2 else k))}
        yield case(f"forest_{name}", "TreeEnsembleClassifier", [x[:n]], outputs=2, domain="ai.onnx.ml", classlabels_int64s=[7, -2, 9][:k], **attributes)
        boosted = GradientBoostingClassifier(n_estimators=6, max_depth=2, random_state=0).fit(x, labels)
        each = boosted.estimators_.shape[1]
        trees = [t.tree_ for t in boosted.estimators_.ravel()]
        attributes = {**nodes(trees), **leaves(trees, "class", lambda t, n, i: 0.1 * t.value[n, 0, 0], lambda t: [t % each])}
        post = "LOGISTIC" if k == 2 else "SOFTMAX"
        base = {"base_values": [0.1]} if k == 2 else {"base_values": [0.1, -0.2, 0.3]}
        yield case(f"boosted_{name}", "TreeEnsembleClassifier", [x[:n]], outputs=2, domain="ai.onnx.ml", classlabels_int64s=list(range(k)), post_transform=post, **base, **attributes)


def learning_cases():
    ml = lambda name, operator, operands, **given: case(name, operator, operands, domain="ai.onnx.ml", **given)
    for shape in ((4,), (1,), (1, 4), (3, 4), (2, 3, 4)):
        for index in ([shape[-1] - 1], [0, shape[-1] - 1], [[0, 0], [0, 0]]):
            kind = "x".join(map(str, shape)) + "_" + str(np.size(index))
            yield ml(f"features_{kind}", "ArrayFeatureExtractor", [f32(*shape), np.array(index)], fixed=(1,))
    x = np.array([[-2], [-0.5], [0], [0.2], [0.49], [0.5], [0.51], [0.9], [1], [2]], np.float32)
    # onnxruntime transforms the two scores of one row with LOGISTIC alone.
    for post in ("NONE", "LOGISTIC"):
        one = {"coefficients": [1.0], "intercepts": [0.0], "classlabels_ints": [5, 9], "post_transform": post}
        yield ml(f"linear_one_{post}", "LinearClassifier", [x], outputs=2, **one)
    for post in ("NONE", "LOGISTIC", "SOFTMAX"):
        two = {"coefficients": [1.0, -0.5], "intercepts": [0.1, 0.3], "classlabels_ints": [5, 9], "post_transform": post}
        yield ml(f"linear_two_{post}", "LinearClassifier", [x], outputs=2, **two)
    x, keys = np.array([1, np.nan, 2, 3, -0.0], np.float32), [1.0, float("nan"), 2.0, 0.0]
    labels = {"keys_floats": keys, "values_int64s": [10, 20, 30, 40], "default_int64": -7}
    for version in (2, 3, 4):
        yield ml(f"labels_nan_{version}", "LabelEncoder", [x], learning=version, **labels)
    tensors = {"keys_tensor": np.array(keys), "values_tensor": np.arange(4), "default_tensor": np.array([-7])}
    tensors = {key: numpy_helper.from_array(v) for key, v in tensors.items()}
    yield ml("labels_nan_tensors", "LabelEncoder", [x.astype(np.float64)], learning=4, **tensors)
    twice = {"keys_int64s": [1, 2, 1], "values_floats": [0.5, 1.5, 2.5], "default_float": -1.0}
    yield ml("labels_twice", "LabelEncoder", [np.array([1, 2, 3])], learning=2, **twice)


def gemm_cases():
    """Products of quantized matrices: weights of 7 bits, for the reason told above."""
    m, k, n = 4, 6, 5
    for kind in (np.uint8, np.int8):
        span = (0, 256) if kind == np.uint8 else (-128, 128)
        a, b = ints(*span, (m, k), kind), ints(-64, 64, (k, n), np.int8)
        a_side, columns = [scalar(0.05), scalar(17, kind)], [positive(n) / 50, ints(-3, 4, n, np.int8)]
        all_alike, end = [scalar(0.02), scalar(0, np.int8)], [scalar(0.11), scalar(span[0] + 120, kind)]
        c = ints(-3000, 3000, n, np.int32)
        name = lambda what: f"qgemm_{np.dtype(kind).name}_{what}"
        yield case(name("float"), "QGemm", [a, *a_side, b, *all_alike], fixed=(3, 4, 5))
        yield case(name("plain"), "QGemm", [a, *a_side, b, *all_alike, None, *end], fixed=(3, 4, 5))
        yield case(name("linear"), "QGemm", [a, *a_side, b.T.copy(), *all_alike, c, *end], fixed=(1, 2, 3, 4, 5, 6, 7, 8), transB=1)
        yield case(name("columns"), "QGemm", [a, *a_side, b, *columns, c, *end], fixed=(3, 4, 5, 6), alpha=0.5)
        yield case(name("turned"), "QGemm", [a.T.copy(), *a_side, b.T.copy(), *columns, c], transA=1, transB=1, alpha=1.7)
        yield case(name("rows"), "QGemm", [a, *a_side, b, *all_alike, ints(-3000, 3000, (m, 1), np.int32), *end])
        yield case(name("all"), "QGemm", [a, *a_side, b, *columns, ints(-3000, 3000, (m, n), np.int32)])
    a, b = ints(0, 128, (m, k), np.uint8), ints(0, 128, (k, n), np.uint8)
    yield case("qgemm_bytes", "QGemm", [a, scalar(0.05), scalar(17, np.uint8), b, scalar([0.02]), scalar([64], np.uint8), None, scalar([0.1]), scalar([3], np.uint8)])


def main():
    with gzip.GzipFile(TARGET, "wb", mtime=0) as file:
        count = 0
        for group in (attention_cases, quantized_cases, fused_cases, other_cases, tree_cases, learning_cases, gemm_cases):
            for records in group():
                for name, data in records:
                    for part in (name.encode(), data):
                        file.write(struct.pack("<I", len(part)) + part)
                count += 1
    print(f"{count} cases, {os.path.getsize(TARGET)} bytes")


if __name__ == "__main__":
    main()
