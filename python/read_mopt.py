#!/usr/bin/env python3
"""Reads learned optimizers of this repository: .mopt files (docs/format.md), and what metaopt export writes as npz,
safetensors or flax's msgpack (docs/python.md). The content tells which of them a file is.

    python3 read_mopt.py FILE      prints what is in it

Needs NumPy (Debian: python3-numpy).
"""
import hashlib, io, json, struct

import numpy as np


def load(path):
    """Returns the content of a file as a dict of config, kind, provenance and tensors. A file that is none is a ValueError."""
    with open(path, "rb") as f:
        data = f.read()
    try:
        return parse(data)
    except ValueError as e:
        raise ValueError(f"{path}: {e}") from None


def parse(data):
    """Is load for the content of a file."""
    if data[:5] == b"\x89MOPT":
        return parse_mopt(data)
    try:
        if data[:4] == b"PK\x03\x04":
            return parse_npz(data)
        if data[8:9] == b"{":
            return parse_safetensors(data)
        if data and (0x80 < data[0] < 0x90 or data[0] in (0xDE, 0xDF)):
            return unpack(data)
    except (KeyError, TypeError, AttributeError, OverflowError, struct.error) as e:
        raise ValueError(f"damaged, or not written by metaopt export: {e!r}") from None
    raise ValueError("it is no .mopt, npz, safetensors or msgpack file of an optimizer")


def parse_npz(data):
    with np.load(io.BytesIO(data), allow_pickle=False) as z:
        tensors = {name: z[name] for name in z.files}
    return {**json.loads(tensors.pop("__metadata__").tobytes()), "tensors": tensors}


def parse_safetensors(data):
    (size,) = struct.unpack("<Q", data[:8])
    header, data, tensors = json.loads(data[8 : 8 + size]), data[8 + size :], {}
    metadata = json.loads(header.pop("__metadata__")["mopt"])
    for name, t in header.items():
        begin, end = t["data_offsets"]
        tensors[name] = np.frombuffer(data[begin:end], {"F32": "<f4", "F64": "<f8", "U8": "u1"}[t["dtype"]]).reshape(t["shape"])
    return {**metadata, "tensors": tensors}


FIXED = {0xCA: ">f", 0xCB: ">d", 0xCC: ">B", 0xCD: ">H", 0xCE: ">I", 0xCF: ">Q", 0xD0: ">b", 0xD1: ">h", 0xD2: ">i", 0xD3: ">q"}
SIZES = {0xC4: ">B", 0xC5: ">H", 0xC6: ">I", 0xC7: ">B", 0xC8: ">H", 0xC9: ">I", 0xD9: ">B", 0xDA: ">H", 0xDB: ">I", 0xDC: ">H", 0xDD: ">I", 0xDE: ">H", 0xDF: ">I"}

def unpack(data):
    """Returns the msgpack value that data is. An extension of type 1 is an array."""
    at = 0

    def take(n):
        nonlocal at
        at += n
        if at > len(data):
            raise ValueError("it ends too early")
        return data[at - n : at]

    def number(form):
        return struct.unpack(form, take(struct.calcsize(form)))[0]

    def value():
        code = number(">B")
        if code < 0x80 or code >= 0xE0:
            return code - 256 * (code >= 0xE0)
        if code in FIXED:
            return number(FIXED[code])
        if 0xC0 <= code <= 0xC3 and code != 0xC1:
            return {0xC0: None, 0xC2: False, 0xC3: True}[code]
        if 0xD4 <= code <= 0xD8:
            n, code = 1 << code - 0xD4, 0xC7
        elif code in SIZES:
            n = number(SIZES[code])
        elif code < 0xC0:
            n, code = code & (0x1F if code >= 0xA0 else 0x0F), 0xDE if code < 0x90 else 0xDC if code < 0xA0 else 0xD9
        else:
            raise ValueError(f"the byte {code:#x} begins no value")
        if code in (0xC4, 0xC5, 0xC6):
            return take(n)
        if code in (0xD9, 0xDA, 0xDB):
            return take(n).decode()
        if code in (0xDC, 0xDD):
            return [value() for _ in range(n)]
        if code in (0xDE, 0xDF):
            return {value(): value() for _ in range(n)}
        if number(">b") != 1:
            raise ValueError("an extension that is no array")
        shape, dtype, raw = unpack(take(n))
        return np.frombuffer(raw, np.dtype(dtype).newbyteorder("<")).reshape(shape)

    content = value()
    if at != len(data):
        raise ValueError(f"{len(data) - at} bytes after the value")
    return content

def parse_mopt(data):
    if data[:12] != b"\x89MOPT\r\n\n\x01\0\0\0":
        raise ValueError("not a .mopt file of version 1")
    if hashlib.sha256(data[:-32]).digest() != data[-32:]:
        raise ValueError("damaged: its checksum is wrong; fetch it again")
    return unpack(data[16:-32])


if __name__ == "__main__":
    import sys

    content = load(sys.argv[1])
    for part in "config", "provenance":
        for key, value in content[part].items():
            print(f"{part}.{key}: {value!r}")
    for name, tensor in content["tensors"].items():
        print(f"{name}: {tensor.dtype.name}{list(tensor.shape)}")
