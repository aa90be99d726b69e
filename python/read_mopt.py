#!/usr/bin/env python3
"""Reads .mopt files, the learned optimizers of this repository (docs/format.md).

    python3 read_mopt.py FILE.mopt      prints what is in it

Needs msgpack and NumPy (Debian: python3-msgpack, python3-numpy).
"""
import hashlib, msgpack, numpy as np

def array(code, data):
    assert code == 1, f"extension {code}"
    shape, dtype, raw = msgpack.unpackb(data)
    return np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).reshape(shape)

def load(path):
    data = open(path, "rb").read()
    assert data[:12] == b"\x89MOPT\r\n\n\x01\0\0\0", "not a .mopt file of version 1"
    assert hashlib.sha256(data[:-32]).digest() == data[-32:], "damaged"
    return msgpack.unpackb(data[16:-32], ext_hook=array)


if __name__ == "__main__":
    import sys

    content = load(sys.argv[1])
    for part in "config", "provenance":
        for key, value in content[part].items():
            print(f"{part}.{key}: {value!r}")
    for name, tensor in content["tensors"].items():
        print(f"{name}: {tensor.dtype.name}{list(tensor.shape)}")
