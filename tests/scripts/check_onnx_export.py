"""Whether onnxruntime computes from exported models what this crate computes.

    ONNX_EXPORTS=DIR cargo test --features onnx --test onnx export::
    python tests/scripts/check_onnx_export.py DIR

The tests leave each model in a folder of its own, with its inputs and results as text: element type, shape, elements.
"""

import pathlib
import sys

import numpy as np
import onnx
import onnxruntime

TYPES = {"f32": np.float32, "f64": np.float64, "i32": np.int32, "i64": np.int64, "u8": np.uint8, "u32": np.uint32, "bool": np.bool_}


def arrays(folder, kind):
    for path in folder.glob(f"{kind}.*.txt"):
        dtype, shape, elements = path.read_text().split("\n")
        shape = [int(n) for n in shape.strip("[]").split(",") if n.strip()]
        numbers = np.array([float(v) for v in elements.split()])
        yield path.name[len(kind) + 1 : -len(".txt")], numbers.astype(TYPES[dtype]).reshape(shape)


def main():
    worst = 0.0
    folders = sorted(path for path in pathlib.Path(sys.argv[1]).iterdir() if path.is_dir())
    for folder in folders:
        model = onnx.load(folder / "model.onnx")
        onnx.checker.check_model(model)
        session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
        expected = dict(arrays(folder, "output"))
        names = [output.name for output in session.get_outputs()]
        for name, actual in zip(names, session.run(names, dict(arrays(folder, "input")))):
            wanted = expected[name]
            assert actual.dtype == wanted.dtype and actual.shape == wanted.shape, (folder.name, name, actual.dtype, actual.shape)
            distance = np.max(np.abs(actual.astype(np.float64) - wanted) / np.maximum(np.abs(wanted), 1), initial=0)
            worst = max(worst, distance)
            if not distance < 1e-5:
                print(f"{folder.name}: {name} differs by {distance}")
    print(f"{len(folders)} models, largest difference {worst:.2g}")
    sys.exit(int(worst >= 1e-5))


if __name__ == "__main__":
    main()
