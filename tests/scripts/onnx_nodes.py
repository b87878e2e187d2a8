"""The node tests of the ONNX project, and how many of them pass here, by operator.

    python tests/scripts/onnx_nodes.py --write     writes tests/onnx/nodes.gz, which `cargo test` reads
    python tests/scripts/onnx_nodes.py             runs them all on both engines and prints passed, failed and unsupported by operator

The tests are those of the package `onnx` (`onnx.backend.test`), models and arrays both. The file is a gzipped list of records, each a name and bytes with
their lengths before them as 32-bit little-endian numbers: `CASE/tolerance`, `CASE/model`, `CASE/SET/input_I`, `CASE/SET/output_I`; arrays are TensorProtos.
Cases with values that are no tensors keep their model only, so that the import can be seen to refuse or take it. Cases of more than LARGEST bytes are left out of
the file, as are the random ones, whose results are not defined.
"""

import argparse
import gzip
import io
import os
import struct
import subprocess
import sys
import warnings

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
CASES = os.path.join(ROOT, "tests", "onnx", "nodes.gz")
LARGEST = 60_000


def cases():
    warnings.simplefilter("ignore")
    from onnx.backend.test.loader import load_model_tests

    return [case for case in load_model_tests(kind="node") if case.model is not None]


def tensor(name, value):
    if isinstance(value, onnx.TensorProto):
        return value.SerializeToString()
    if isinstance(value, (np.ndarray, np.generic)):
        return numpy_helper.from_array(np.asarray(value), name).SerializeToString()
    return None


def records(case):
    """The records of a case."""
    name = case.name.removeprefix("test_")
    yield f"{name}/tolerance", f"{case.rtol} {case.atol}".encode()
    yield f"{name}/model", case.model.SerializeToString()
    for number, (inputs, outputs) in enumerate(case.data_sets or []):
        names = [("input", case.model.graph.input, inputs), ("output", case.model.graph.output, outputs)]
        arrays = [
            (f"{name}/{number}/{kind}_{i}", tensor(info.name, value))
            for kind, infos, values in names
            for i, (info, value) in enumerate(zip(infos, values))
        ]
        if all(data is not None for _, data in arrays):
            yield from arrays


def write(path, largest):
    buffer = io.BytesIO()
    left_out = []
    for case in cases():
        mine = list(records(case))
        if sum(len(data) for _, data in mine) > largest:
            left_out.append(case.name)
            continue
        for name, data in mine:
            for part in (name.encode(), data):
                buffer.write(struct.pack("<I", len(part)) + part)
    with open(path, "wb") as file, gzip.GzipFile(fileobj=file, mode="wb", compresslevel=9, mtime=0, filename="") as packed:
        packed.write(buffer.getvalue())
    print(f"{path}: {os.path.getsize(path)} bytes; left out: {' '.join(left_out) or 'none'}", file=sys.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--write", action="store_true", help="write the file that `cargo test` reads")
    arguments = parser.parse_args()
    if arguments.write:
        write(CASES, LARGEST)
        return
    whole = os.path.join(ROOT, "target", "onnx_nodes.gz")
    write(whole, 1 << 40)
    command = ["cargo", "test", "--features", "onnx", "--test", "onnx", "--", "--nocapture", "--exact", "nodes::node_tests"]
    sys.exit(subprocess.run(command, cwd=ROOT, env={**os.environ, "ONNX_NODES": whole}).returncode)


if __name__ == "__main__":
    main()
