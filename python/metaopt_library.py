"""The library for C of this repository (clib/metaopt.h, docs/c.md), by ctypes. Needs nothing but Python.

    library = metaopt_library.find()       # None if there is none
    rule = library.pretrained("general")   # or library.read(content of a file)
    run = rule.start([{"shape": [784, 20], "kind": "matrix", "output_axis": 1}, {"shape": [20], "kind": "bias", "output_axis": 0}])
    run.step_f32([address of the weights, address of the biases], [addresses of their gradients])

find looks for the path in the environment variable METAOPT_LIBRARY (empty: for none), and else for libmetaopt.so, .dylib or .dll in the
folder of this file. The library is made by: go build -buildmode=c-shared -o python/libmetaopt.so ./clib
"""
import ctypes
import os

INTERFACE = 1
KINDS = "vector", "bias", "matrix", "convolution"
DIVERGED = 3

_found = {}  # libraries by path: a library cannot be unloaded


class Tensor(ctypes.Structure):
    _fields_ = [
        ("name", ctypes.c_char_p), ("shape", ctypes.POINTER(ctypes.c_size_t)),
        ("axes", ctypes.c_int32), ("kind", ctypes.c_int32), ("output_axis", ctypes.c_int32),
    ]


class Library:
    """A loaded library. A child process made by fork must not use it; usable tells."""

    def __init__(self, path):
        self._library = ctypes.CDLL(os.path.abspath(path))
        self._pid = os.getpid()
        self._library.metaopt_free.argtypes = [ctypes.c_void_p]
        if self._library.metaopt_interface() < INTERFACE:
            raise OSError(f"{path} has interface {self._library.metaopt_interface()}, want {INTERFACE}; build it again")

    def usable(self):
        return os.getpid() == self._pid

    def call(self, name, *args):
        """Calls a function of the header without its last argument, the error, which becomes an exception."""
        error = ctypes.c_void_p()
        result = getattr(self._library, "metaopt_" + name)(*args, ctypes.byref(error))
        if result:
            text = ctypes.string_at(error.value).decode() if error.value else f"result {result}"
            self._library.metaopt_free(error)
            raise (FloatingPointError if result == DIVERGED else ValueError)(text)

    def taken(self, name, handle):
        """Returns the bytes that a function gives."""
        data, size = ctypes.c_void_p(), ctypes.c_size_t()
        self.call(name, handle, ctypes.byref(data), ctypes.byref(size))
        try:
            return ctypes.string_at(data, size.value)
        finally:
            self._library.metaopt_free(data)

    def read(self, data):
        """Returns the rule of a file with this content."""
        rule = Rule(self)
        self.call("read", data, ctypes.c_size_t(len(data)), ctypes.byref(rule.handle))
        return rule

    def pretrained(self, name):
        """Returns a rule that comes with the library. An unknown name is a ValueError that lists the known ones."""
        rule = Rule(self)
        self.call("pretrained", name.encode(), ctypes.byref(rule.handle))
        return rule


class Handle:
    """A rule or a run, released with the object."""

    def __init__(self, library):
        self.library, self.handle = library, ctypes.c_uint64()

    def __del__(self):
        if self.handle.value and self.library.usable():
            self.library.call("release", self.handle)


class Rule(Handle):
    def content(self):
        """Returns the rule as the content of a .mopt file."""
        return self.library.taken("write", self.handle)

    def start(self, layout):
        """Starts a run on tensors, each a dict of shape, kind and output_axis."""
        run, tensors = Run(self.library), (Tensor * len(layout))()
        for t, described in zip(tensors, layout):
            shape = described["shape"]
            t.shape, t.axes = (ctypes.c_size_t * len(shape))(*shape), len(shape)
            t.kind, t.output_axis = KINDS.index(described["kind"]), described["output_axis"]
        self.library.call("start", self.handle, tensors, ctypes.c_size_t(len(layout)), ctypes.byref(run.handle))
        return run


class Run(Handle):
    """A run. Memory is given as lists of addresses, one for each tensor of the layout, of float32 or float64 numbers."""

    def set_total(self, total):
        self.library.call("set_total", self.handle, ctypes.c_int64(total or 0))

    def steps(self):
        steps = ctypes.c_int64()
        self.library.call("steps", self.handle, ctypes.byref(steps))
        return steps.value

    def step_f32(self, theta, grad):
        self._on_memory("step_f32", theta, grad)

    def step_f64(self, theta, grad):
        self._on_memory("step_f64", theta, grad)

    def update_f32(self, update, theta, grad):
        self._on_memory("update_f32", update, theta, grad)

    def _on_memory(self, name, *lists):
        pointers = [(ctypes.c_void_p * len(x))(*x) for x in lists]
        self.library.call(name, self.handle, *pointers, ctypes.c_size_t(len(lists[0])))

    def save(self):
        return self.library.taken("save", self.handle)

    def resume(self, data):
        self.library.call("resume", self.handle, data, ctypes.c_size_t(len(data)))

    def size(self):
        """Returns the number of floats of the state."""
        count = ctypes.c_size_t()
        self.library.call("values", self.handle, None, None, ctypes.byref(count))
        return count.value

    def values(self, address):
        """Writes the floats of the state, size() of them, to an address. Returns the number of steps."""
        steps, count = ctypes.c_int64(), ctypes.c_size_t(self.size())
        self.library.call("values", self.handle, ctypes.byref(steps), ctypes.c_void_p(address), ctypes.byref(count))
        return steps.value

    def set_values(self, steps, address):
        self.library.call("set_values", self.handle, ctypes.c_int64(steps), ctypes.c_void_p(address), ctypes.c_size_t(self.size()))


def find(path=None):
    """Returns the library at a path, or the one that is found, or None. A path that is given and cannot be loaded is an OSError."""
    path = os.environ.get("METAOPT_LIBRARY") if path is None else path
    if path is None:
        names = [os.path.join(os.path.dirname(os.path.abspath(__file__)), "libmetaopt" + end) for end in (".so", ".dylib", ".dll")]
        path = next((name for name in names if os.path.exists(name)), "")
    if path == "":
        return None
    if path not in _found:
        _found[path] = Library(path)
    return _found[path]
