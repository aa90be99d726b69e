"""Runs a learned optimizer in PyTorch.

    from torch_optimizer import LearnedOptimizer
    optimizer = LearnedOptimizer(model.parameters(), "general", total=steps)    # or the path of a file
    ...
    loss.backward()
    optimizer.step()

Needs PyTorch 1.13 or newer, NumPy, and read_mopt.py and metaopt_library.py beside this file. If the library for C is
there too, steps of float32 parameters on the CPU run in it. The repository's docs/format.md says what a file means, and
docs/python.md how this module is tested.
"""
import copy
import hashlib
import math
import os
import sys
import warnings

import numpy as np
import torch

import metaopt_library
import read_mopt

INPUTS = "raw", "logsign", "rnnprop", "clock", "momenta"  # in the order of the features
CONTEXT = "shape", "norms", "feedback", "time"  # in the order of the features
READOUTS = "linear", "tanh", "exp", "mix"
KEYS = {"inputs", "context", "fan_in", "orthogonal", "orthogonal_mean", "hyper", "p", "sign_p", "dense", "hidden", "layers", "readout", "scale", "anneal"}  # of a file's config
BETA, EPSILON = 0.95, 1e-8  # of rnnprop
BETAS = 0.9, 0.99, 0.999, 0.95, 0.999  # of momenta: the first three average g, the others g * g
SEEN = 0.999, 0.9  # averages of the mean of g * g over a tensor
LARGEST, TINY = 1e18, 1e-15  # momenta clip gradients to +-LARGEST and add TINY to roots
GAIN, BIAS_GAIN = 248, 32  # of MNIST's first layer; of tensors that are no weights
CHUNK = 4096  # coordinates computed at a time: what they need stays in a core's cache


def tensor(shape):
    """Describes a parameter of this shape, like optimizer.Tensor in Go. PyTorch's layers have their outputs along axis 0."""
    kinds = {1: "bias", 2: "matrix", 3: "convolution", 4: "convolution", 5: "convolution"}
    return {"shape": list(shape), "kind": kinds.get(len(shape), "vector"), "output_axis": 0}


WEIGHTS = "matrix", "convolution"


class Sight:
    """What a network sees of one tensor at a step."""

    def __init__(self, state, n, gg, pp, uu, gu, *moments):
        """Takes the sums of LearnedOptimizer.sums over n coordinates, and advances the averages in the tensor's state."""
        self.t, self.n, self.pp, self.uu, self.moments = state.get("step", 0) + 1, max(n, 1), pp, uu, moments
        mean = gg / self.n
        self.cosine = gu / math.sqrt(gg * uu) if gg > 0 and uu > 0 else 0.0
        slow, fast, first, *cosines = state.get("seen", (0.0, 0.0, mean, 0.0, 0.0))
        slow, fast = (average + (1 - beta) * (mean - average) for beta, average in zip(SEEN, (slow, fast)))
        cosines = [average + (1 - beta) * (self.cosine - average) for beta, average in zip((0.9, 0.99), cosines)]
        state["seen"] = self.seen = [slow, fast, first, *cosines]
        self.mean = slow / (1 - SEEN[0] ** self.t)
        self.bias = None  # the Sight of the layer's bias

    def look(self, names, total):
        """Computes gain and context. inputs, axes, bias and shape are known; axes is None unless the tensor is weights."""
        t, (slow, fast, first, *cosines) = self.t, self.seen
        self.gain = BIAS_GAIN
        if self.axes:
            x = 1.0
            if self.bias is not None and slow > 0 and self.bias.seen[0] > 0:
                x = min(max(math.sqrt(slow / self.bias.seen[0]), 1e-3), 1e3)
            self.gain = max(self.inputs * x, 1)
        x = []
        if "shape" in names:
            x += self.shape
        if "norms" in names:
            known = t > 1 and self.mean > 0
            x += [math.sqrt(m / self.n / self.mean) / (1 - beta ** (t - 1)) if known else 1 for beta, m in zip(BETAS, self.moments)]
            x += [
                log_ratio(fast / (1 - SEEN[1] ** t), self.mean) / 5, log_ratio(self.mean, first) / 10, log_ratio(self.uu, self.pp) / 10,
                log_ratio(self.pp / self.n * max(self.inputs, 1), 1) / 10, math.log(self.gain / GAIN) / 5,
            ]
        if "feedback" in names:
            x += [self.cosine] + [average / (1 - beta**t) for beta, average in zip((0.9, 0.99), cosines)]
        if "time" in names:
            x += [math.log(t) / 5 - 1, 1 / t]
            rest = max(total - t, 0) if total else 0
            x += [1, rest / total, math.log(rest + 1) / 5 - 1] if total else [0, 0, 0]
        self.context = [min(max(value, -2.0), 2.0) for value in x]


def log_ratio(a, b):
    """Returns ln(a/b), clipped to +-10."""
    if a <= 0 or b <= 0:
        return -10 if a <= 0 else 10
    return min(max(math.log(a) - math.log(b), -10), 10)


def orthogonal(m, before, outputs, after):
    """Returns, flat, the approximation of the nearest matrix with orthogonal rows or columns, of root mean square about 1.

    m is a flat tensor of shape (before, outputs, after); outputs counts one side of the matrix. (Jordan et al. 2024, Muon.)
    """
    x = m.view(before, outputs, after).transpose(0, 1).reshape(outputs, before * after)
    turned = outputs > before * after
    x = x.T if turned else x
    x = (x.double() / (torch.linalg.vector_norm(x.double()) + 1e-30)).to(m)
    for _ in range(5):
        a = x @ x.T
        x = 3.4445 * x + (-4.7750 * a + 2.0315 * (a @ a)) @ x
    x = math.sqrt(max(x.shape)) * (x.T if turned else x)
    return x.reshape(outputs, before, after).transpose(0, 1).reshape(-1)


def find(name, library):
    """Returns the content of a file, or of the shipped optimizer of a name."""
    name = os.fspath(name)
    if os.path.exists(name):
        with open(name, "rb") as f:
            return f.read()
    here = os.path.dirname(os.path.abspath(__file__))
    shipped = {}
    for folder in here, os.path.join(here, "pretrained"), os.path.join(here, "..", "metaopt", "pretrained"):
        if os.path.isdir(folder):
            shipped.update((file[:-5], os.path.join(folder, file)) for file in sorted(os.listdir(folder)) if file.endswith(".mopt"))
    bare = name[11:] if name.startswith("pretrained:") else name
    if bare in shipped:
        with open(shipped[bare], "rb") as f:
            return f.read()
    if library is not None and os.path.basename(bare) == bare and "." not in bare:
        return library.pretrained(bare).content()
    known = "; by name there are " + ", ".join(sorted(shipped)) if shipped else "; the optimizers that have names are in metaopt/pretrained/ of the repository: put the files beside torch_optimizer.py"
    raise FileNotFoundError(f"there is no file {name!r}{known}")


def is_finite(x):
    """Says whether a tensor is finite, in one pass and with one wait for the device."""
    return x.numel() == 0 or all(map(math.isfinite, torch.stack(torch.aminmax(x.detach())).tolist()))


def number(group, key, default):
    """Checks a number of a parameter group."""
    x = group.get(key, default)
    if not isinstance(x, (int, float)) and not (isinstance(x, torch.Tensor) and x.numel() == 1) or not math.isfinite(x) or x < 0:
        raise ValueError(f"{key} is {x!r}; want a finite number, 0 or more")


def outside():
    """Returns the stacklevel of the caller's first frame that is neither of this file nor of PyTorch."""
    level, frame = 1, sys._getframe(1)
    while frame.f_back and (frame.f_code.co_filename == __file__ or "torch" in frame.f_globals.get("__name__", "").split(".")):
        level, frame = level + 1, frame.f_back
    return level


class LearnedOptimizer(torch.optim.Optimizer):
    """The optimizer of a file, or one that comes with the repository, by its name.

    One small recurrent network, the same for all coordinates, reads each coordinate's gradient and writes its update.
    There is no learning rate to tune. lr multiplies all updates and is 1 unless set, for schedulers and for groups that should move less.
    weight_decay is decoupled: each step also subtracts lr * weight_decay * p.

    path names a .mopt file, or what metaopt export has written as npz, safetensors or flax-msgpack; or it is a name, as "general".

    total is the number of steps of the run, if you know it: an optimizer that reads the time then lowers its updates
    toward the end. You may also set the attribute total later; it is not part of a saved state.

    library is the path of the library for C (docs/c.md), False for none; otherwise it is looked for as metaopt_library says. It steps
    dense float32 parameters on the CPU, with the same updates to rounding. A network that reads parameters and layout
    ("general") uses it at steps at which every parameter has a gradient.

    Parameters are dense float32 or float64 tensors on any device; the network computes in their type. A non-finite
    gradient raises FloatingPointError before anything is changed, and so does a parameter that would become non-finite, before any
    parameter is changed. Loading a state that was saved by another file's optimizer, or for parameters of other shapes, raises ValueError.

    param_groups[k]["layout"] describes each parameter: its shape, its kind ("matrix", "convolution", "bias" or
    "vector"), and the axis of its outputs. Some files read it. It is guessed from the shapes; before the first step you
    may correct it, for example the kind of a normalization's factors to "vector". A bias belongs to the weights that come
    just before it.
    """

    OPTIONS = {"params", "lr", "weight_decay", "layout", "file", "initial_lr"}  # of a group; schedulers that are resumed need the last
    explained = False  # whether a small lr was explained

    def __init__(self, params, path, lr=1.0, total=None, weight_decay=0.0, library=None):
        self.library = None if library is False else metaopt_library.find(library)
        self.data = find(path, self.library)
        try:
            content = read_mopt.parse(self.data)
        except ValueError as e:
            raise ValueError(f"{path}: {e}") from None
        if content["kind"] != "lstm-optimizer":
            raise ValueError(f"{path} holds a {content['kind']!r}; an optimizer's kind is 'lstm-optimizer'")
        config = {"context": "", "fan_in": False, "orthogonal": False, "orthogonal_mean": False, "hyper": 0, "sign_p": 0, "anneal": 0, **content["config"]}
        self.inputs, self.context = config["inputs"].split("+"), [name for name in config["context"].split("+") if name]
        if not set(self.inputs) <= set(INPUTS) or not set(self.context) <= set(CONTEXT) or config["readout"] not in READOUTS:
            raise ValueError(f"{path} has inputs {config['inputs']!r}, context {config['context']!r} and read-out {config['readout']!r}, which this module does not compute; run the file in Go")
        unknown = sorted(key for key in set(config) - KEYS if config[key])
        if unknown:
            raise ValueError(f"{path} has {', '.join(f'{key} {config[key]!r}' for key in unknown)} in its config, which this module does not compute; run the file in Go")
        config["sign_p"] = config["sign_p"] or config["p"]
        self.eyes = bool(self.context) or config["fan_in"] or "momenta" in self.inputs
        self.config, self.tensors, self.weights, self.total = config, content["tensors"], {}, total
        self.rule, self.runs = None, []
        # The SHA-256 at the end of a .mopt file identifies it.
        digest = self.data[-32:].hex() if self.data[:5] == b"\x89MOPT" else hashlib.sha256(self.data).hexdigest()
        super().__init__(params, {"lr": lr, "weight_decay": weight_decay, "file": digest})

    KEPT = "inputs", "context", "eyes", "config", "tensors", "total", "data"

    def __getstate__(self):  # for copies and pickles: PyTorch's method leaves these attributes out
        self.pull()
        return {**super().__getstate__(), **{name: getattr(self, name) for name in self.KEPT}, "weights": {}, "library": None, "rule": None, "runs": []}

    def __setstate__(self, state):
        super().__setstate__(state)
        self.library = metaopt_library.find()

    def __deepcopy__(self, memo):
        twin = type(self).__new__(type(self))
        memo[id(self)] = twin
        twin.__setstate__(copy.deepcopy(self.__getstate__(), memo))
        twin.library = self.library
        return twin

    def add_param_group(self, group):
        unknown = sorted(set(group) - self.OPTIONS)
        if unknown:
            raise ValueError(f"a group of parameters has {', '.join(unknown)}; a learned optimizer knows lr, weight_decay and layout")
        number(group, "lr", self.defaults["lr"])
        number(group, "weight_decay", self.defaults["weight_decay"])
        if 0 < group.get("lr", self.defaults["lr"]) <= 0.01 and not LearnedOptimizer.explained:
            LearnedOptimizer.explained = True
            warnings.warn("lr multiplies the updates of a learned optimizer, which finds their size itself: 1 is the default, and a small lr makes it crawl", stacklevel=outside())
        layout = group.get("layout")
        super().add_param_group(group)
        group = self.param_groups[-1]
        for p in group["params"]:
            if p.dtype not in (torch.float32, torch.float64):
                self.param_groups.pop()
                raise TypeError(f"a parameter is {p.dtype}; want float32 or float64")
        group["layout"] = [tensor(p.shape) for p in group["params"]] if layout is None else layout
        if [t["shape"] for t in group["layout"]] != [list(p.shape) for p in group["params"]]:
            self.param_groups.pop()
            raise ValueError(f"a layout of {len(layout)} tensors does not have the shapes of the {len(group['params'])} parameters")

    def state_dict(self):
        self.pull()
        return super().state_dict()

    def load_state_dict(self, state_dict):
        for group in state_dict["param_groups"]:
            if group.get("file") != self.defaults["file"]:
                raise ValueError("the state is not of an optimizer of this file; load the file that it was saved with")
        for k, (saved, own) in enumerate(zip(state_dict["param_groups"], self.param_groups)):
            for i, (a, b) in enumerate(zip(saved.get("layout", []), own["layout"])):
                if a["shape"] != b["shape"]:
                    raise ValueError(f"parameter {i} of group {k} has shape {b['shape']}, the saved one {a['shape']}; load the state into the model that it was saved with")
                if a != b and self.eyes:
                    raise ValueError(f"parameter {i} of group {k} has the layout {b}, the saved one {a}; describe it as in the saved run")
        layouts, library = [group["layout"] for group in self.param_groups], self.library
        super().load_state_dict(state_dict)  # calls __setstate__, which looks for the library of a copy
        self.library, self.runs = library, []
        for group, layout in zip(self.param_groups, layouts):
            group["layout"] = layout
            group.setdefault("weight_decay", 0.0)
        for p, state in list(self.state.items()):  # steps change the memory of a state: it must not be the caller's
            self.state[p] = {name: x.clone() if isinstance(x, torch.Tensor) else x for name, x in state.items()}

    @torch.no_grad()
    def step(self, closure=None):
        """Takes one step: adds lr * (update - weight_decay * p) to every parameter p that has a gradient."""
        loss = None
        if closure is not None:
            if not callable(closure):
                raise TypeError(f"step takes a closure that computes the loss, not a {type(closure).__name__}: call loss.backward() and then step()")
            with torch.enable_grad():
                loss = closure()
        moving = [(group, p) for group in self.param_groups for p in group["params"] if p.grad is not None]
        for _, p in moving:
            if p.grad.is_sparse:
                raise RuntimeError("a gradient is sparse; make its layer with sparse=False")
            if not is_finite(p.grad):
                raise FloatingPointError("a gradient is not finite; no parameter was changed")
        moved = []
        for (group, p), u in zip(moving, self.updates([p for _, p in moving])):
            u = u.view(p.shape)
            if group["weight_decay"]:
                u = u - group["weight_decay"] * p
            moved.append(torch.add(p, u, alpha=float(group["lr"])))
        if not all(map(is_finite, moved)):
            raise FloatingPointError("a parameter would not be finite after this step; no parameter was changed")
        for (_, p), x in zip(moving, moved):
            p.copy_(x)
        return loss

    def updates(self, moving):
        """Returns the update of each of these parameters, in one dimension, and advances their states."""
        parts = self.parts(moving)
        if parts is None:
            self.pull()
            self.runs = []
            sights = self.observe() if self.eyes else {}
            return [self.update(p.grad.reshape(-1), self.state[p], sights.get(p)) for p in moving]
        made = {}
        for params, run in self.running(parts):
            gs, ps = [p.grad.contiguous() for p in params], [p.detach().contiguous() for p in params]
            us = [torch.empty(p.numel()) for p in params]
            run.set_total(self.total)
            for p, u in zip(params, us):  # the gradients are finite: the run counts the step even if its update is not
                made[p], self.state[p] = u, {"step": self.state[p].get("step", 0) + 1}
            run.update_f32(*([x.data_ptr() for x in xs] for xs in (us, ps, gs)))
        return [made[p] for p in moving]

    def parts(self, moving):
        """Splits parameters by the number of their steps: each part is a run of the library. None: the library cannot step them."""
        if self.library is None or not self.library.usable() or not moving:
            return None
        if any(p.dtype != torch.float32 or p.grad.dtype != torch.float32 or p.device.type != "cpu" for p in moving):
            return None
        parts = {}
        for p in moving:
            if p.numel():
                parts.setdefault(self.state[p].get("step", 0) if p in self.state else 0, []).append(p)
        if self.eyes and (len(parts) != 1 or len(moving) != sum(len(group["params"]) for group in self.param_groups)):
            return None  # the network sees the other parameters too
        if len(parts) == 1:
            parts = {step: moving for step in parts}  # with the empty ones, which count in a layout
        elif any(p.numel() == 0 for p in moving):
            return None
        return list(parts.values()) or None

    def running(self, parts):
        """Returns the parts, each with the run that has its state."""
        same = lambda a, b: len(a) == len(b) and all(x is y for x, y in zip(a, b))
        if len(self.runs) != len(parts) or not all(same(a, b) and self.current(a, run) for a, (b, run) in zip(parts, self.runs)):
            self.pull()
            layout = {p: t for group in self.param_groups for p, t in zip(group["params"], group["layout"])}
            self.rule = self.rule or self.library.read(self.data)
            self.runs = [(params, self.rule.start([layout[p] for p in params])) for params in parts]
            for params, run in self.runs:
                self.push(params, run)
        return self.runs

    def current(self, params, run):
        """Says whether the states of parameters are where the run is; the caller may have changed or loaded them."""
        steps = run.steps()
        return all(self.state[p].get("step", 0) == steps for p in params)

    def rows(self):
        """Yields the tensors of a state and how many rows of n numbers each has, in the order of the library."""
        for k in range(1, self.config["layers"] + 1):
            yield f"h{k}", self.config["hidden"]
            yield f"c{k}", self.config["hidden"]
        if "rnnprop" in self.inputs:
            yield from (("m", 1), ("v", 1))
        if "momenta" in self.inputs:
            yield "moments", len(BETAS)
        if self.eyes:
            yield "u", 1

    def pull(self):
        """Writes the states that the library has into self.state."""
        for params, run in self.runs:
            if not self.current(params, run):
                continue
            values = torch.empty(run.size())
            steps = run.values(values.data_ptr())
            n = sum(p.numel() for p in params)
            height = sum(count for _, count in self.rows())
            table, seen = values[: n * height].view(height, n), values[n * height :].view(-1, len(SEEN) + 3)
            for i, (p, columns) in enumerate(zip(params, table.split([p.numel() for p in params], 1))):
                self.state[p] = {"step": steps}
                for (name, count), x in zip(self.rows(), columns.split([count for _, count in self.rows()])):
                    self.state[p][name] = x.contiguous().t() if name[0] in "hc" else x.clone() if count > 1 else x[0].clone()
                if self.eyes:
                    self.state[p]["seen"] = seen[i].tolist()

    def push(self, params, run):
        """Gives a fresh run the states of its parameters."""
        steps = self.state[params[0]].get("step", 0)
        if steps == 0:
            return
        columns = [torch.cat([(x.t() if name[0] in "hc" else x).reshape(count, -1) for name, count in self.rows() for x in [self.state[p][name]]]) for p in params]
        seen = [torch.tensor(self.state[p]["seen"], dtype=torch.float32) for p in params] if self.eyes else []
        values = torch.cat([torch.cat(columns, 1).reshape(-1), *seen]).float().contiguous()
        run.set_values(steps, values.data_ptr())

    def update(self, g, state, sight=None):
        """Returns the update for the gradient g of n coordinates, and advances state.

        state holds step, the number of updates so far; h1, c1, h2, c2, ... [n, H], the outputs and memories of the LSTM
        layers; m and v [n], the moving averages of rnnprop; moments [5, n] of momenta; and with eyes, u [n], the last
        update, and seen, the moving averages of the tensor. sight is what the network sees of the tensor, from observe.
        """
        config, w, n = self.config, self.weights_like(g), len(g)
        state["step"] = t = state.get("step", 0) + 1
        o = None
        if config["orthogonal"] and sight.axes:
            never = (g == 0) if t == 1 else (g == 0) & (state["moments"][4] == 0)
        features, directions = self.features(g, state, t, sight)
        if config["orthogonal"] and sight.axes:
            o = orthogonal(0.9 * state["moments"][0] + 0.1 * g.clamp(-LARGEST, LARGEST), *sight.axes).masked_fill(never, 0)
        layers = range(1, config["layers"] + 1)
        for name in [f"{x}{k}" for k in layers for x in "hc"]:  # rows of n numbers in memory, for the products
            x = g.new_zeros(config["hidden"], n) if t == 1 else state[name].t()
            state[name] = x.contiguous().t()
        context = g.new_tensor(sight.context) if self.context else None
        maps = {}
        for first, (name, (m, b)) in zip([True] + [False] * len(w), w.items()):
            if first and context is not None:  # the last columns of the first map are the context's, which enters like a bias
                m, b = m[:, : -len(context)], b + m[:, -len(context) :] @ context
            maps[name] = m, b.view(-1, 1)
        y = g.new_empty(len(maps["readout"][1]), n)
        for at in range(0, n, CHUNK):
            part = slice(at, at + CHUNK)
            x = torch.stack([f[part] for f in features])
            if config["dense"]:
                x = torch.nn.functional.elu(torch.addmm(maps["dense"][1], maps["dense"][0], x))
            for k in layers:
                h, c = state[f"h{k}"].t()[:, part], state[f"c{k}"].t()[:, part]
                z = torch.addmm(maps[f"lstm{k}"][1], maps[f"lstm{k}"][0], torch.cat([x, h]))
                i, f, o_, a = z.split(config["hidden"])  # weights_like has put g last
                torch.sigmoid_(z[: 3 * config["hidden"]])
                c.mul_(f).addcmul_(i, torch.tanh_(a))
                x = o_.mul_(torch.tanh(c))
                h.copy_(x)
            y[:, part] = torch.addmm(maps["readout"][1], maps["readout"][0], x)
        factors = 1, 1  # of the mixture, and of the orthogonal direction
        if config["hyper"]:
            first, second = ([g.new_tensor(self.tensors[f"hyper{k}/{end}"]) for end in "wb"] for k in (1, 2))
            factors = torch.exp(torch.tanh(context @ first[0] + first[1]) @ second[0] + second[1])
        if config["readout"] == "mix":
            size = (y[5] + torch.sqrt(y[5] * y[5] + 1)) ** 2
            u = sum(y[k] * directions[d] for k, d in enumerate((0, 1, 2, 4, 5))) * size * factors[0]
            if o is not None:
                u = u + (torch.mean(size * y[6]) if config["orthogonal_mean"] else size * y[6]) * o * factors[1]
        elif config["readout"] == "exp":
            u = y[0] * torch.exp(y[1])
        else:
            u = torch.tanh(y[0]) if config["readout"] == "tanh" else y[0]
        scale = config["scale"]
        if 0 < config["anneal"] < t:
            scale *= math.sqrt(config["anneal"] / t)
        if config["fan_in"]:
            scale *= min(GAIN / sight.gain, math.sqrt(GAIN / sight.gain))
        u = scale * u
        if self.eyes:
            state["u"] = u
        return u

    def features(self, g, state, t, sight=None):
        """Returns the network's features of the gradient g at step t >= 1, a list of [n], and the directions that mix combines."""
        x, directions = [], []
        if "raw" in self.inputs:
            x += [g]
        if "logsign" in self.inputs:
            x += [(torch.log(torch.abs(g)) / self.config["p"]).clamp(min=-1), (math.exp(self.config["sign_p"]) * g).clamp(-1, 1)]
        if "rnnprop" in self.inputs:
            if t == 1:
                state["m"] = state["v"] = torch.zeros_like(g)
            m, v = BETA * state["m"] + (1 - BETA) * g, BETA * state["v"] + (1 - BETA) * g * g
            state["m"], state["v"] = m, v
            correction = 1 / (1 - BETA**t)
            d = torch.sqrt(correction * v) + EPSILON
            x += [correction * m / d, g / d]
        if "clock" in self.inputs:
            x += [torch.full_like(g, math.log(t) / 5 - 1), torch.full_like(g, 1 / t)]
        if "momenta" in self.inputs:
            if t == 1:
                state["moments"] = g.new_zeros(len(BETAS), len(g))
            c = g.clamp(-LARGEST, LARGEST)
            state["moments"] = torch.stack([beta * m + (1 - beta) * (c if k < 3 else c * c) for k, (beta, m) in enumerate(zip(BETAS, state["moments"]))])
            m9, m99, m999, v95, v999 = (m / (1 - beta**t) for beta, m in zip(BETAS, state["moments"]))
            root, inverse = torch.sqrt(v999), 1 / math.sqrt(sight.mean) if sight.mean > 0 else 0.0
            d, d95 = root + TINY, torch.sqrt(v95) + TINY
            directions = [c / d, m9 / d, m99 / d, m999 / d, m9 / d95, m9 * inverse]
            sign = torch.where(m9 < 0, -1.0, 1.0).to(g)
            x += [sign * n for n in directions[:5]] + [1 - 2 / (1 + root * inverse)]
        return x, directions

    def observe(self):
        """Returns what the network sees of each parameter that has a gradient, and advances the averages over tensors."""
        layout = [(t, p) for group in self.param_groups for t, p in zip(group["layout"], group["params"])]
        moving = [p for _, p in layout if p.grad is not None]
        if not moving:
            return {}
        sums = torch.stack([self.sums(p).to(moving[0].device) for p in moving]).tolist()  # waits for the device once
        sights = {p: Sight(self.state[p], p.numel(), *s) for p, s in zip(moving, sums)}
        layers, layer = sum(t["kind"] in WEIGHTS for t, _ in layout), 0
        above = None  # the parameter before this one, if it is weights: itself, its inputs and its outputs
        for t, p in layout:
            kind, shape, s = t["kind"], t["shape"], sights.get(p)
            inputs = outputs = 0
            around = last = None
            if kind in WEIGHTS:
                layer, axis = layer + 1, t["output_axis"]
                outputs = shape[axis]
                around = math.prod(shape[:axis]), outputs, math.prod(shape[axis + 1 :])
                inputs = around[0] * around[2]
                last = p, inputs, outputs
            elif kind == "bias" and above is not None and above[2] == p.numel():
                _, inputs, outputs = above
                if above[0] in sights:
                    sights[above[0]].bias = s
            above = last
            if s is not None:
                s.inputs, s.axes = inputs, around
                s.shape = [
                    float(kind != "vector"), float(kind == "bias"), float(kind == "convolution"),
                    math.log1p(inputs) / 8, math.log1p(outputs) / 8, math.log(max(p.numel(), 1)) / 16,
                    (max(layer, 1) - 0.5) / layers if layers else 0.5,
                ]
        for s in sights.values():
            s.look(self.context, self.total)
        return sights

    def sums(self, p):
        """Returns sums over a tensor before a step, in float64: of g*g, p*p, u*u, g*u for the last update u, and of the squares of two averages of g."""
        state, g, q = self.state[p], p.grad.reshape(-1).clamp(-LARGEST, LARGEST).double(), p.detach().reshape(-1).double()
        zero = g.new_zeros(1)
        u = state["u"].double() if "u" in state else None
        m = [m.double() for m in state["moments"][:2]] if "moments" in state else []
        pairs = [(g, g), (q, q)] + ([(u, u), (g, u)] if u is not None else [(zero, zero)] * 2) + ([(x, x) for x in m] or [(zero, zero)] * 2)
        return torch.stack([torch.dot(a, b) for a, b in pairs])

    def weights_like(self, g):
        """Returns the network's maps in g's type and on its device: matrices [outputs, inputs] and biases, in the order of computation.

        The gates of LSTM layers are in the order i, f, o, g, so that one call computes the three sigmoids.
        """
        key = g.dtype, g.device
        if key not in self.weights:
            maps = {}
            for name in ["dense"] * bool(self.config["dense"]) + [f"lstm{k}" for k in range(1, self.config["layers"] + 1)] + ["readout"]:
                m, b = (np.array(self.tensors[name + end]) for end in ("/w", "/b"))
                if name.startswith("lstm"):
                    m, b = (np.concatenate([gates[k] for gates in [np.split(x, 4, -1)] for k in (0, 1, 3, 2)], -1) for x in (m, b))
                maps[name] = torch.from_numpy(np.ascontiguousarray(m.T)).to(g), torch.from_numpy(b).to(g)
            self.weights[key] = maps
        return self.weights[key]
