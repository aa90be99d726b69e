"""Runs a learned optimizer from a .mopt file in PyTorch.

    from torch_optimizer import LearnedOptimizer
    optimizer = LearnedOptimizer(model.parameters(), "optimizer.mopt", total=steps)
    ...
    loss.backward()
    optimizer.step()

Needs PyTorch 1.13 or newer, NumPy, msgpack, and read_mopt.py beside this file. The repository's docs/format.md
says what a file means, and docs/python.md how this module is tested.
"""
import math

import numpy as np
import torch

import read_mopt

INPUTS = "raw", "logsign", "rnnprop", "clock", "momenta"  # in the order of the features
CONTEXT = "shape", "norms", "feedback", "time"  # in the order of the features
READOUTS = "linear", "tanh", "exp", "mix"
KEYS = {"inputs", "context", "fan_in", "orthogonal", "p", "sign_p", "dense", "hidden", "layers", "readout", "scale", "anneal"}  # of a file's config
BETA, EPSILON = 0.95, 1e-8  # of rnnprop
BETAS = 0.9, 0.99, 0.999, 0.95, 0.999  # of momenta: the first three average g, the others g * g
SEEN = 0.999, 0.9  # averages of the mean of g * g over a tensor
LARGEST, TINY = 1e18, 1e-15  # momenta clip gradients to +-LARGEST and add TINY to roots
GAIN, BIAS_GAIN = 248, 32  # of MNIST's first layer; of tensors that are no weights


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


class LearnedOptimizer(torch.optim.Optimizer):
    """The optimizer of a .mopt file.

    One small recurrent network, the same for all coordinates, reads each coordinate's gradient and writes its update.
    There is no learning rate to tune. lr multiplies all updates, for schedulers and for groups that should move less.

    total is the number of steps of the run, if you know it: an optimizer that reads the time then lowers its updates
    toward the end. You may also set the attribute total later; it is not part of a saved state.

    Parameters are dense float32 or float64 tensors on any device; the network computes in their type. A non-finite
    gradient raises FloatingPointError before anything is changed. Loading a state that was saved by another file's
    optimizer, or for parameters of other shapes, raises ValueError.

    param_groups[k]["layout"] describes each parameter: its shape, its kind ("matrix", "convolution", "bias" or
    "vector"), and the axis of its outputs. Some files read it. It is guessed from the shapes; before the first step you
    may correct it, for example the kind of a normalization's factors to "vector". A bias belongs to the weights that come
    just before it.
    """

    def __init__(self, params, path, lr=1.0, total=None):
        content = read_mopt.load(path)
        if content["kind"] != "lstm-optimizer":
            raise ValueError(f"{path} holds a {content['kind']!r}; an optimizer's kind is 'lstm-optimizer'")
        config = {"context": "", "fan_in": False, "orthogonal": False, "sign_p": 0, "anneal": 0, **content["config"]}
        self.inputs, self.context = config["inputs"].split("+"), [name for name in config["context"].split("+") if name]
        if not set(self.inputs) <= set(INPUTS) or not set(self.context) <= set(CONTEXT) or config["readout"] not in READOUTS:
            raise ValueError(f"{path} has inputs {config['inputs']!r}, context {config['context']!r} and read-out {config['readout']!r}, which this module does not compute; run the file in Go")
        unknown = sorted(key for key in set(config) - KEYS if config[key])
        if unknown:
            raise ValueError(f"{path} has {', '.join(f'{key} {config[key]!r}' for key in unknown)} in its config, which this module does not compute; run the file in Go")
        config["sign_p"] = config["sign_p"] or config["p"]
        self.eyes = bool(self.context) or config["fan_in"] or "momenta" in self.inputs
        self.config, self.tensors, self.weights, self.total = config, content["tensors"], {}, total
        with open(path, "rb") as f:
            digest = f.read()[-32:].hex()  # the SHA-256 at the end of the file identifies it
        super().__init__(params, {"lr": lr, "file": digest})

    def __getstate__(self):  # for copies and pickles: PyTorch's method leaves these attributes out
        return {**super().__getstate__(), "inputs": self.inputs, "context": self.context, "eyes": self.eyes, "config": self.config, "tensors": self.tensors, "weights": {}, "total": self.total}

    def add_param_group(self, group):
        super().add_param_group(group)
        for p in self.param_groups[-1]["params"]:
            if p.dtype not in (torch.float32, torch.float64):
                self.param_groups.pop()
                raise TypeError(f"a parameter is {p.dtype}; want float32 or float64")
        self.param_groups[-1]["layout"] = [tensor(p.shape) for p in self.param_groups[-1]["params"]]

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
        layouts = [group["layout"] for group in self.param_groups]
        super().load_state_dict(state_dict)
        for group, layout in zip(self.param_groups, layouts):
            group["layout"] = layout

    @torch.no_grad()
    def step(self, closure=None):
        """Takes one step: adds lr times the update to every parameter that has a gradient."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        moving = [(group, p) for group in self.param_groups for p in group["params"] if p.grad is not None]
        for _, p in moving:
            if p.grad.is_sparse:
                raise RuntimeError("a gradient is sparse; want dense ones")
            if not torch.isfinite(p.grad).all():
                raise FloatingPointError("a gradient is not finite; no parameter was changed")
        sights = self.observe() if self.eyes else {}
        for group, p in moving:
            u = self.update(p.grad.reshape(-1), self.state[p], sights.get(p))
            p.add_(u.view_as(p), alpha=group["lr"])
        return loss

    def update(self, g, state, sight=None):
        """Returns the update for the gradient g of n coordinates, and advances state.

        state holds step, the number of updates so far; h1, c1, h2, c2, ... [n, H], the outputs and memories of the LSTM
        layers; m and v [n], the moving averages of rnnprop; moments [5, n] of momenta; and with eyes, u [n], the last
        update, and seen, the moving averages of the tensor. sight is what the network sees of the tensor, from observe.
        """
        config, w = self.config, self.weights_like(g)
        state["step"] = t = state.get("step", 0) + 1
        moved = torch.zeros_like(g) if t == 1 or "moments" not in state else state["moments"][4]
        x, directions = self.features(g, state, t, sight)

        def affine(name, x):
            """Maps x; the last rows of the first map's matrix are the context's, which enters like a bias."""
            nonlocal context
            m, b = w[f"{name}/w"], w[f"{name}/b"]
            if context is not None:
                m, b, context = m[: x.shape[1]], b + context @ m[x.shape[1] :], None
            return torch.addmm(b, x, m)

        context = g.new_tensor(sight.context) if self.context else None
        if config["dense"]:
            x = torch.nn.functional.elu(affine("dense", x))
        for k in range(1, config["layers"] + 1):
            if t == 1:
                state[f"h{k}"] = state[f"c{k}"] = g.new_zeros(len(g), config["hidden"])
            z = affine(f"lstm{k}", torch.cat([x, state[f"h{k}"]], 1))
            i, f, a, o = z.chunk(4, 1)
            c = torch.sigmoid(f) * state[f"c{k}"] + torch.sigmoid(i) * torch.tanh(a)
            x = torch.sigmoid(o) * torch.tanh(c)
            state[f"h{k}"], state[f"c{k}"] = x, c
        y = affine("readout", x)
        if config["readout"] == "mix":
            u = sum(y[:, k] * directions[n] for k, n in enumerate((0, 1, 2, 4, 5)))
            if config["orthogonal"] and sight.axes:
                never = (g == 0) & (moved == 0)
                u = u + y[:, 6] * orthogonal(0.9 * state["moments"][0] + 0.1 * g.clamp(-LARGEST, LARGEST), *sight.axes).masked_fill(never, 0)
            u = u * (y[:, 5] + torch.sqrt(y[:, 5] * y[:, 5] + 1)) ** 2
        elif config["readout"] == "exp":
            u = y[:, 0] * torch.exp(y[:, 1])
        else:
            u = torch.tanh(y[:, 0]) if config["readout"] == "tanh" else y[:, 0]
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
        """Returns the network's features of the gradient g at step t >= 1, [n, X], and the directions that mix combines."""
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
        return torch.stack(x, 1), directions

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
        """Returns the network's tensors in g's type and on its device."""
        key = g.dtype, g.device
        if key not in self.weights:
            self.weights[key] = {name: torch.from_numpy(np.array(a)).to(g) for name, a in self.tensors.items()}
        return self.weights[key]
