"""The file format of ONNX cases that tests read: names and messages, each behind its length, gzipped."""

import gzip
import os
import struct


def write(file_name, cases):
    """Writes (name, bytes) pairs to tests/onnx/FILE_NAME; the same cases give the same bytes."""
    target = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "onnx", file_name)
    packed = bytearray()
    for name, data in cases:
        for part in (name.encode(), data):
            packed += struct.pack("<I", len(part)) + part
    with open(target, "wb") as file:
        file.write(gzip.compress(bytes(packed), 9, mtime=0))
    print(f"{target}: {os.path.getsize(target)} bytes")
