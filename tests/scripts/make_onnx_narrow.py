"""Makes tests/onnx/narrow.gz: `python tests/scripts/make_onnx_narrow.py`, with numpy, ml_dtypes and onnx.

Models of one node each that convert to and from floats of 4, 6 and 8 bits, with the results of ONNX's ReferenceEvaluator, in the format that onnx_nodes.py
describes. Every encoding is read, from inputs and from both ways in which initializers are stored; what is converted are all numbers of a type, the middles
between them, and the neighbours of both.

The reference is not asked where it leaves the specification: what float4 and float6 make of NaN has its sign by accident, and what float8e8m0 makes of
subnormal numbers, 0 and infinities is not what its table says.
"""


import ml_dtypes
import numpy as np
import onnx
from onnx import TensorProto as T
from onnx import helper as h
from onnx import numpy_helper
from onnx.reference import ReferenceEvaluator

import cases_file

TYPES = {
    T.FLOAT8E4M3FN: (ml_dtypes.float8_e4m3fn, 8),
    T.FLOAT8E4M3FNUZ: (ml_dtypes.float8_e4m3fnuz, 8),
    T.FLOAT8E5M2: (ml_dtypes.float8_e5m2, 8),
    T.FLOAT8E5M2FNUZ: (ml_dtypes.float8_e5m2fnuz, 8),
    T.FLOAT4E2M1: (ml_dtypes.float4_e2m1fn, 4),
    T.FLOAT6E2M3: (ml_dtypes.float6_e2m3fn, 6),
    T.FLOAT6E3M2: (ml_dtypes.float6_e3m2fn, 6),
    T.FLOAT8E8M0: (ml_dtypes.float8_e8m0fnu, 8),
}
NO_NAN = {T.FLOAT4E2M1, T.FLOAT6E2M3, T.FLOAT6E3M2}
rng = np.random.default_rng(5)


def records(name, node, given, kept=(), opset=25):
    """A model of a node, the operands that are given and the result of the reference."""
    info = [h.make_tensor_value_info(n, h.np_dtype_to_tensor_dtype(x.dtype), x.shape) for n, x in given.items()]
    graph = h.make_graph([node], name, info, [onnx.ValueInfoProto(name="y")], list(kept))
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", opset)], ir_version=12)
    with np.errstate(all="ignore"):
        (result,) = ReferenceEvaluator(model).run(None, given)
    yield f"{name}/tolerance", b"0 0"
    yield f"{name}/model", model.SerializeToString()
    for kind, arrays in [("input", given), ("output", {"y": result})]:
        for i, (n, x) in enumerate(arrays.items()):
            yield f"{name}/0/{kind}_{i}", numpy_helper.from_array(np.asarray(x), n).SerializeToString()


def numbers(code):
    """Floats at which the rounding of a type shows."""
    dtype, bits = TYPES[code]
    own = np.arange(1 << bits, dtype=np.uint8).view(dtype).astype(np.float64)
    own = np.unique(own[np.isfinite(own)])
    if code == T.FLOAT8E8M0:
        own = own[own >= 2.0**-126]
        middles = own * 1.5
    else:
        last = own[-1] + (own[-1] - own[-2])
        own = np.unique(np.concatenate([own, [-last, last]]))
        middles = (own[1:] + own[:-1]) / 2
    x = np.concatenate([own, middles]).astype(np.float32)
    x = np.concatenate([x, np.nextafter(x, np.float32(np.inf)), np.nextafter(x, np.float32(-np.inf))])
    if code == T.FLOAT8E8M0:
        random = np.exp2(rng.uniform(-126, 127.9, 200)).astype(np.float32)
        x = np.concatenate([x, random, [3.4028235e38]]).astype(np.float32)
        return x[(x >= np.float32(2.0**-126)) & np.isfinite(x)]
    random = rng.standard_normal(200).astype(np.float32) * np.exp2(rng.uniform(-20, 18, 200)).astype(np.float32)
    ends = [0.0, -0.0, 1e-45, -1e-45, 1e38, -1e38, np.inf, -np.inf] + ([] if code in NO_NAN else [np.nan])
    return np.concatenate([x, random, np.array(ends, np.float32)])


def all_cases():
    for code, (dtype, bits) in TYPES.items():
        name = T.DataType.Name(code).lower()
        every = np.arange(1 << bits, dtype=np.uint8).view(dtype)
        back = h.make_node("Cast", ["x"], ["y"], to=T.FLOAT)
        yield from records(f"{name}_read", back, {"x": every})
        # An odd count, so that the last byte is not full.
        odd = every[1:]
        yield from records(f"{name}_raw", back, {}, [numpy_helper.from_array(odd, "x")])
        fields = onnx.TensorProto(name="x", data_type=code, dims=[len(odd)])
        plain = odd.view(np.uint8)
        if bits == 4:
            padded = np.append(plain, 0)
            plain = padded[0::2] | padded[1::2] << 4
        fields.int32_data.extend(int(v) for v in plain)
        yield from records(f"{name}_fields", back, {}, [fields])

        x = numbers(code)
        for saturate in [1, 0]:
            modes = ["up", "down", "nearest"] if code == T.FLOAT8E8M0 else ["up"]
            for mode in modes:
                to = h.make_node("Cast", ["x"], ["y"], to=code, saturate=saturate, round_mode=mode)
                others = [np.float64, np.float16, ml_dtypes.bfloat16] if saturate and mode == "up" else []
                for source in [np.float32, *others]:
                    with np.errstate(all="ignore"):
                        given = x.astype(source)
                    if code == T.FLOAT8E8M0:
                        given = given[np.isfinite(given) & (given.astype(np.float32) >= np.float32(2.0**-126))]
                    label = f"{name}_{np.dtype(source).name}_{saturate}_{mode}"
                    yield from records(label, to, {"x": given})
        if code == T.FLOAT8E8M0:
            continue
        rows, scale = x[: len(x) // 4 * 4].reshape(4, -1), np.array([1.0, 0.5, 3.0, 0.1], np.float32)
        finite = np.where(np.isfinite(rows), rows, np.float32(1.5))
        quantize = h.make_node("QuantizeLinear", ["x", "scale"], ["y"], axis=0, output_dtype=code)
        yield from records(f"{name}_quantize", quantize, {"x": finite, "scale": scale})
        dequantize = h.make_node("DequantizeLinear", ["x", "scale"], ["y"], axis=0)
        rows = every[: len(every) // 4 * 4].reshape(4, -1)
        yield from records(f"{name}_dequantize", dequantize, {"x": rows, "scale": scale})
        moved = h.make_node("Transpose", ["x"], ["y"], perm=[1, 0])
        yield from records(f"{name}_transpose", moved, {"x": rows})


def main():
    cases_file.write("narrow.gz", all_cases())


if __name__ == "__main__":
    main()
