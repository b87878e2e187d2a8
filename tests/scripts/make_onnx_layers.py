"""Makes tests/onnx/layers.gz: `python tests/scripts/make_onnx_layers.py`, with numpy, onnx and onnxruntime.

Models of one node each of operators that the ONNX project has few tests for, with the results of onnxruntime or, where it does not have the operator, of ONNX's
ReferenceEvaluator, in the format that onnx_nodes.py describes. Who computed a case is printed.
"""


import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

import cases_file

ML = "ai.onnx.ml"
rng = np.random.default_rng(23)


def f32(*shape):
    return rng.standard_normal(shape).astype(np.float32)


def case(name, operator, operands, outputs=1, domain="", opset=22, learning=5, expected=None, **attributes):
    """Operands of `None` are left out."""
    names = ["" if x is None else f"x{i}" for i, x in enumerate(operands)]
    given = {n: np.asarray(x) for n, x in zip(names, operands) if x is not None}
    results = [f"y{i}" for i in range(outputs)]
    node = h.make_node(operator, names, results, domain=domain, **attributes)
    info = [h.make_tensor_value_info(n, h.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in given.items()]
    graph = h.make_graph([node], name, info, [onnx.ValueInfoProto(name=n) for n in results])
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", opset), h.make_opsetid(ML, learning)], ir_version=10)
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        computed, who = onnxruntime.InferenceSession(model.SerializeToString(), options).run(None, given), "onnxruntime"
    except Exception as error:
        print(f"{name}: reference, as: {str(error)[:110]}")
        computed, who = ReferenceEvaluator(model).run(None, given), "reference"
    if expected is not None:
        computed, who = [expected], "numpy"
    print(f"{name}: {who}")
    yield f"{name}/tolerance", b"1e-4 1e-5"
    yield f"{name}/model", model.SerializeToString()
    for kind, arrays in [("input", given), ("output", dict(zip(results, computed)))]:
        for i, (n, x) in enumerate(arrays.items()):
            yield f"{name}/0/{kind}_{i}", numpy_helper.from_array(np.asarray(x), n).SerializeToString()


def deformed():
    def operands(n, channels, filters, size, kernel, out, groups, offset_groups, bias=True, mask=True):
        k = int(np.prod(kernel))
        return [
            f32(n, channels, *size),
            f32(filters, channels // groups, *kernel),
            f32(n, offset_groups * k * 2, *out) * np.float32(1.5),
            f32(filters) if bias else None,
            rng.random((n, offset_groups * k, *out)).astype(np.float32) if mask else None,
        ]

    yield from case("deform", "DeformConv", operands(1, 1, 1, (4, 5), (2, 2), (3, 4), 1, 1, False, False))
    yield from case(
        "deform_groups", "DeformConv", operands(2, 4, 6, (5, 5), (3, 3), (5, 5), 2, 2), group=2, offset_group=2, pads=[1, 1, 1, 1]
    )
    yield from case("deform_offset_groups", "DeformConv", operands(1, 6, 2, (6, 5), (2, 3), (5, 3), 1, 3, False), offset_group=3)
    yield from case(
        "deform_strides", "DeformConv", operands(2, 2, 3, (7, 8), (3, 2), (3, 7), 1, 1), strides=[2, 1], dilations=[2, 2], pads=[1, 1, 1, 0]
    )
    yield from case("deform_19", "DeformConv", operands(1, 2, 2, (4, 4), (3, 3), (2, 2), 1, 2, True, False), opset=19, offset_group=2)


def ensembles():
    """Two trees of one table: x0 <= 0.5 ? (x1 in {1, 3} ? a : b) : c, and x1 > 2 ? d : e."""
    x = np.array([[0, 1], [0, 2], [0, 3], [1, 0], [1, 3], [np.nan, 3], [0, np.nan]], np.float32)
    tensor = lambda name, dtype, values: h.make_tensor(name, dtype, [len(values)], values)
    for float_type, code in [(np.float32, T.FLOAT), (np.float64, T.DOUBLE)]:
        own = np.dtype(float_type).name
        shared = dict(
            domain=ML,
            n_targets=2,
            tree_roots=[0, 2],
            nodes_featureids=[0, 1, 1],
            nodes_splits=tensor("s", code, [0.5, 0.0, 2.0]),
            nodes_modes=tensor("m", T.UINT8, [0, 6, 3]),
            membership_values=tensor("v", code, [1.0, 3.0, np.nan]),
            nodes_truenodeids=[1, 0, 3],
            nodes_falsenodeids=[2, 1, 4],
            nodes_trueleafs=[0, 1, 1],
            nodes_falseleafs=[1, 1, 1],
            leaf_targetids=[0, 1, 0, 1, 0],
            leaf_weights=tensor("w", code, [0.3, -1.5, 0.25, 0.75, -0.5]),
        )
        for aggregate in range(4):
            yield from case(f"ensemble_{own}_{aggregate}", "TreeEnsemble", [x.astype(float_type)], aggregate_function=aggregate, **shared)
    # onnxruntime takes the first two numbers for each other, and the reference takes no notice of them.
    (*_, (_, plain)) = case("ensemble", "TreeEnsemble", [x.astype(np.float64)], **shared)
    sums = numpy_helper.to_array(onnx.TensorProto.FromString(plain))
    exponential = np.exp(sums - sums.max(1, keepdims=True))
    transformed = {1: exponential / exponential.sum(1, keepdims=True), 2: 1 / (1 + np.exp(-sums)), 3: None}
    for post, expected in transformed.items():
        yield from case(
            f"ensemble_post_{post}", "TreeEnsemble", [x.astype(np.float64)], post_transform=post, expected=expected, **shared
        )
    yield from case(
        "ensemble_missing", "TreeEnsemble", [x.astype(np.float64)], nodes_missing_value_tracks_true=[1, 0, 1], **shared
    )
    stumps = dict(
        domain=ML,
        learning=3,
        n_targets=1,
        nodes_treeids=[0, 0, 0, 1, 1, 1],
        nodes_nodeids=[0, 1, 2, 0, 1, 2],
        nodes_featureids=[0, 0, 0, 1, 0, 0],
        nodes_modes=["BRANCH_LEQ", "LEAF", "LEAF", "BRANCH_GT", "LEAF", "LEAF"],
        nodes_truenodeids=[1, 0, 0, 1, 0, 0],
        nodes_falsenodeids=[2, 0, 0, 2, 0, 0],
        target_treeids=[0, 0, 1, 1],
        target_nodeids=[1, 2, 1, 2],
        target_ids=[0, 0, 0, 0],
    )
    values, weights = [0.5, 0.0, 0.0, 2.0, 0.0, 0.0], [1.0, -2.0, 0.5, 3.0]
    for aggregate in ["SUM", "AVERAGE", "MIN", "MAX"]:
        yield from case(
            f"regressor_{aggregate.lower()}", "TreeEnsembleRegressor", [x], nodes_values=values, target_weights=weights,
            aggregate_function=aggregate, base_values=[10.0], **stumps,
        )
    yield from case(
        "regressor_double", "TreeEnsembleRegressor", [x.astype(np.float64)], nodes_values_as_tensor=tensor("v", T.DOUBLE, values),
        target_weights_as_tensor=tensor("w", T.DOUBLE, weights), **stumps,
    )
    yield from case("regressor_probit", "TreeEnsembleRegressor", [x], nodes_values=values, target_weights=[0.1, 0.2, 0.3, 0.4], post_transform="PROBIT", **stumps)


def texts():
    x = rng.integers(0, 4, (3, 9)).astype(np.int32)
    pool = dict(
        min_gram_length=1, max_gram_length=3, max_skip_count=2, ngram_counts=[0, 3, 9], ngram_indexes=[2, 0, 1, 5, 3, 4, 7, 6],
        pool_int64s=[1, 2, 3, 1, 1, 1, 2, 2, 3, 0, 1, 2, 2, 1, 0],
    )
    for mode in ["TF", "IDF", "TFIDF"]:
        yield from case(f"grams_{mode.lower()}", "TfIdfVectorizer", [x], mode=mode, **pool)
        weights = [0.5, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.0]
        yield from case(f"grams_{mode.lower()}_weights", "TfIdfVectorizer", [x], mode=mode, weights=weights, **pool)
    yield from case("grams_line", "TfIdfVectorizer", [x[0].astype(np.int64)], mode="TF", **dict(pool, min_gram_length=2))
    yield from case("grams_long", "TfIdfVectorizer", [x[:, :2]], mode="TF", **pool)


def encoders():
    whole, floats = np.array([[3, 1, 7], [2, 3, 0]], np.int64), np.array([0.5, np.nan, 2.0, -1.0], np.float32)
    ml = dict(domain=ML, learning=3)
    yield from case("labels", "LabelEncoder", [whole], keys_int64s=[1, 3, 7], values_floats=[0.5, -2.0, 1.5], default_float=9.0, **ml)
    yield from case("labels_default", "LabelEncoder", [whole], keys_int64s=[1, 3], values_int64s=[10, 30], **ml)
    yield from case("labels_of_floats", "LabelEncoder", [floats], keys_floats=[np.nan, 0.5], values_int64s=[4, 5], domain=ML, learning=4)
    tensor = lambda code, values: h.make_tensor("t", code, [len(values)], values)
    yield from case(
        "labels_tensor", "LabelEncoder", [whole], domain=ML, learning=4, keys_tensor=tensor(T.INT64, [3, 0]),
        values_tensor=tensor(T.DOUBLE, [0.25, 0.75]), default_tensor=tensor(T.DOUBLE, [-1.0]),
    )
    yield from case("categories", "OneHotEncoder", [whole], cats_int64s=[1, 2, 3], **ml)
    yield from case("categories_of_floats", "OneHotEncoder", [np.array([[1.0, 2.0]], np.float32)], cats_int64s=[2, 1, 5], **ml)


def main():
    cases_file.write("layers.gz", (case for family in [deformed, ensembles, texts, encoders] for case in family()))


if __name__ == "__main__":
    main()
