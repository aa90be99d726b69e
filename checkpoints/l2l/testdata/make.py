"""Writes the pickles of this folder. Needs NumPy; dill's way is spelled out, so that dill is not needed."""
import pickle
import struct

import numpy as np


class Dill:
    """The instructions that dill writes for a defaultdict of dicts of float32 arrays."""

    def __init__(self):
        self.out, self.memo = b"\x80\x03", {}

    def put(self, key=None):
        n = self.memo["n"] = self.memo.get("n", -1) + 1
        if key:
            self.memo[key] = n
        self.out += b"q" + bytes([n]) if n < 256 else b"r" + struct.pack("<I", n)

    def get(self, key):
        n = self.memo[key]
        self.out += b"h" + bytes([n]) if n < 256 else b"j" + struct.pack("<I", n)

    def once(self, key, write):
        """Refers to what was written before, or writes it."""
        if key in self.memo:
            self.get(key)
        else:
            write()
            self.put(key)

    def name(self, full):
        self.once(full, lambda: self.emit(b"c" + full.replace(" ", "\n").encode() + b"\n"))

    def text(self, s):
        self.once("'" + s, lambda: self.emit(b"X" + struct.pack("<I", len(s.encode())) + s.encode()))

    def emit(self, b):
        self.out += b

    def reduce(self, size):
        self.emit({1: b"\x85", 2: b"\x86", 3: b"\x87"}[size])
        self.put()
        self.emit(b"R")

    def integer(self, n):
        self.emit(b"K" + bytes([n]) if n < 256 else b"M" + struct.pack("<H", n))

    def reconstruct(self):
        self.name("dill._dill _get_attr")
        self.name("dill._dill _import_module")
        self.text("numpy.core._multiarray_umath")
        self.reduce(1)
        self.put()
        self.text("_reconstruct")
        self.reduce(2)

    def dtype(self):
        self.name("numpy dtype")
        self.text("f4")
        self.emit(b"K\0K\1")
        self.reduce(3)
        self.put()
        self.emit(b"(K\3")
        self.text("<")
        self.emit(b"NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\0t")
        self.put()
        self.emit(b"b")

    def array(self, a):
        self.once("reconstruct", self.reconstruct)
        self.name("numpy ndarray")
        self.emit(b"K\0\x85")
        self.put()
        self.once("b", lambda: self.emit(b"C\x01b"))
        self.reduce(3)
        self.put()
        self.emit(b"(K\1")
        if len(a.shape) > 3 or len(a.shape) == 0:
            self.emit(b"(" if a.shape else b")")
        for d in a.shape:
            self.integer(d)
        self.emit({0: b"", 1: b"\x85", 2: b"\x86", 3: b"\x87"}.get(len(a.shape), b"t"))
        if a.shape:
            self.put()
        if "dtype" in self.memo:
            self.get("dtype")
        else:
            # As in dill: the memo holds the dtype from before its state is set.
            n = self.memo["n"]
            self.dtype()
            self.memo["dtype"] = n + 4
        raw = a.astype("<f4").tobytes()
        self.emit(b"\x89" + (b"C" + bytes([len(raw)]) if len(raw) < 256 else b"B" + struct.pack("<I", len(raw))) + raw)
        self.put()
        self.emit(b"t")
        self.put()
        self.emit(b"b")

    def file(self, modules):
        self.name("collections defaultdict")
        self.name("dill._dill _load_type")
        self.text("dict")
        self.reduce(1)
        self.put()
        self.reduce(1)
        self.put()
        self.emit(b"(")
        for module, variables in modules.items():
            self.text(module)
            self.emit(b"}")
            self.put()
            self.emit(b"(")
            for key, a in variables.items():
                self.text(key)
                self.array(a)
            self.emit(b"u")
        self.emit(b"u.")
        return self.out


modules = {
    "lstm_1": {"w_gates": np.arange(96).reshape(6, 16) / 8, "b_gates": -np.arange(16) / 4},
    "linear": {"w": np.array([[0.5], [-0.25], [1e-3], [4]]), "b": np.array([0.125])},
    "odd": {"scalar": np.array(3.0), "cube": np.arange(8).reshape(2, 2, 2), "four": np.arange(4).reshape(1, 2, 1, 2),
            "long": np.arange(300)},
}
modules = {m: {k: a.astype("<f4") for k, a in v.items()} for m, v in modules.items()}
open("dill.l2l", "wb").write(Dill().file(modules))
# The same without dill: what pickle itself writes.
plain = {**modules, "one": {"x": np.ones(1, "<f4")}}
open("plain.l2l", "wb").write(pickle.dumps(plain, protocol=3))
for protocol in 2, 4, 5:
    open(f"protocol{protocol}.l2l", "wb").write(pickle.dumps(plain, protocol=protocol))


class Python2(Dill):
    """The instructions of Python 2 in protocol 2: its strings are bytes, and so are the elements of arrays."""

    def text(self, s):
        self.once("'" + s, lambda: self.emit(b"U" + bytes([len(s)]) + s.encode()))

    def emit(self, b):
        if b[:1] == b"C":  # bytes
            b = b"U" + b[1:]
        elif b[:2] == b"\x89C":
            b = b"\x89U" + b[2:]
        elif b[:2] == b"\x89B":
            b = b"\x89T" + b[2:]
        self.out += b


old = Python2()
old.out = b"\x80\x02"
open("python2.l2l", "wb").write(old.file(modules))
