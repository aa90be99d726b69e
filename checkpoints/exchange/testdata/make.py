#!/usr/bin/env python3
"""Writes the files of TestFilesOfOthers and TestBytesOfOthers beside itself. Run by hand; needs NumPy and msgpack.

The .npz files are NumPy's own. The other two are written by what the formats' descriptions say:
safetensors (https://huggingface.co/docs/safetensors), with its writer's order of tensors, and
flax.serialization (msgpack extension 1: shape, dtype name, bytes), with jax's order of keys.
"""
import json
import os
import struct

import msgpack
import numpy as np

os.chdir(os.path.dirname(os.path.abspath(__file__)))
config = {"hidden": 20, "scale": 5.0, "list": [1, 1.0, None]}
provenance = dict(name="from Python, ü", task="mnist", seed=(1 << 64) - 1, meta_steps=70000, steps=100, unroll=20,
                  meta_learning_rate=1e-3, valid_loss=0.0, version="", command="", source="")
metadata = {"kind": "other", "provenance": provenance, "config": config}
tensors = {"b": np.float64([1, -2]), "lstm1/w": np.arange(6, dtype="<f4").reshape(2, 3) / 2, "s": np.array(3, "<f4")}

text = json.dumps(metadata)
as_bytes = np.frombuffer(text.encode(), np.uint8)
np.savez("numpy.npz", **tensors, __metadata__=as_bytes)
np.savez_compressed("numpy-compressed.npz", **tensors, __metadata__=as_bytes)



def safetensors(path, tensors):
    header, data = {"__metadata__": {"mopt": text}}, b""
    for name, a in sorted(tensors.items(), key=lambda item: (-item[1].itemsize, item[0])):
        dtype = {"f": "F", "u": "U"}[a.dtype.kind] + str(8 * a.itemsize)
        header[name] = {"dtype": dtype, "shape": a.shape, "data_offsets": (len(data), len(data) + a.nbytes)}
        data += a.tobytes()
    header = json.dumps(header).encode()
    header += b" " * (-len(header) % 8)
    with open(path, "wb") as f:
        f.write(struct.pack("<Q", len(header)) + header + data)


safetensors("safetensors.safetensors", tensors)
with_bytes = {"state": np.arange(0, 256, 51, dtype=np.uint8).reshape(2, 3), "w": np.float32([0.5])}
np.savez("numpy-uint8.npz", **with_bytes, __metadata__=as_bytes)
safetensors("safetensors-uint8.safetensors", with_bytes)


def tree(value):
    if isinstance(value, dict):
        return {key: tree(value[key]) for key in sorted(value)}
    if isinstance(value, np.ndarray):
        return msgpack.ExtType(1, msgpack.packb((value.shape, value.dtype.name, value.tobytes("C")), use_bin_type=True))
    return value


with open("flax.msgpack", "wb") as f:
    f.write(msgpack.packb(tree({**metadata, "tensors": tensors}), strict_types=True))
