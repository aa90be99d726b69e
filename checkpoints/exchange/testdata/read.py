"""Reads files of the three formats and prints their content as JSON: the other side of TestPythonReads.

The packages safetensors and flax are used where they are installed; else the same is read by what the
formats' descriptions say.
"""
import json
import sys

import msgpack
import numpy as np


def npz(path):
    with np.load(path, allow_pickle=False) as z:
        content = {name: z[name] for name in z.files}
    return json.loads(content.pop("__metadata__").tobytes()), content


def safetensors(path):
    try:
        from safetensors import safe_open

        with safe_open(path, "numpy") as f:
            return json.loads(f.metadata()["mopt"]), {name: f.get_tensor(name) for name in f.keys()}
    except ImportError:
        pass
    raw = open(path, "rb").read()
    size = int.from_bytes(raw[:8], "little")
    header, data = json.loads(raw[8 : 8 + size]), raw[8 + size :]
    assert raw[8:9] == b"{" and size % 8 == 0
    metadata, end = header.pop("__metadata__"), 0
    assert all(isinstance(value, str) for value in metadata.values())
    tensors = {}
    for name, t in header.items():
        begin, stop = t["data_offsets"]
        assert begin == end, "a gap"
        tensors[name] = np.frombuffer(data[begin:stop], {"F32": "<f4", "F64": "<f8", "U8": "u1"}[t["dtype"]]).reshape(t["shape"])
        end = stop
    assert end == len(data)
    return json.loads(metadata["mopt"]), tensors


def flax(path):
    raw = open(path, "rb").read()
    try:
        from flax.serialization import msgpack_restore

        content = msgpack_restore(raw)
    except ImportError:

        def array(code, packed):
            assert code == 1
            shape, dtype, elements = msgpack.unpackb(packed, raw=True)
            return np.frombuffer(elements, np.dtype(dtype)).reshape(shape, order="C")

        content = msgpack.unpackb(raw, ext_hook=array, raw=False)
    tensors = content.pop("tensors")
    return content, tensors


out = []
for reader, path in zip((npz, safetensors, flax), sys.argv[1:]):
    metadata, tensors = reader(path)
    metadata["provenance"]["seed"] = str(metadata["provenance"]["seed"])  # larger than a float64 holds
    floats = {k: isinstance(metadata["config"][k], float) for k in ("whole", "int")}
    rows = {name: [list(a.shape), a.dtype.name, [float(x).hex() for x in a.ravel()]] for name, a in tensors.items()}
    out.append({"metadata": metadata, "floats": floats, "tensors": rows})
print(json.dumps(out))
