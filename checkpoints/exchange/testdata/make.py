#!/usr/bin/env python3
"""Writes the files of TestFilesOfOthers with the formats' own libraries, beside itself.

Run by hand, with NumPy, safetensors and flax (pip install numpy safetensors flax).
"""
import json
import os

import flax.serialization
import numpy as np
import safetensors.numpy

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
safetensors.numpy.save_file(tensors, "safetensors.safetensors", {"mopt": text})
with open("flax.msgpack", "wb") as f:
    f.write(flax.serialization.msgpack_serialize({**metadata, "tensors": tensors}))
