"""Runs a learned optimizer from a .mopt file in PyTorch.

    from torch_optimizer import LearnedOptimizer
    optimizer = LearnedOptimizer(model.parameters(), "optimizer.mopt")
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

INPUTS = "raw", "logsign", "rnnprop", "clock"  # in the order of the features
READOUTS = "linear", "tanh", "exp"
BETA, EPSILON = 0.95, 1e-8  # of rnnprop


def tensor(shape):
    """Describes a parameter of this shape, like optimizer.Tensor in Go. PyTorch's layers have their outputs along axis 0."""
    kinds = {1: "bias", 2: "matrix", 3: "convolution", 4: "convolution", 5: "convolution"}
    return {"shape": list(shape), "kind": kinds.get(len(shape), "vector"), "output_axis": 0}


class LearnedOptimizer(torch.optim.Optimizer):
    """The optimizer of a .mopt file.

    One small recurrent network, the same for all coordinates, reads each coordinate's gradient and writes its update.
    There is no learning rate to tune. lr multiplies all updates, for schedulers and for groups that should move less.

    Parameters are dense float32 or float64 tensors on any device; the network computes in their type. A non-finite
    gradient raises FloatingPointError before anything is changed. Loading a state that was saved by another file's
    optimizer, or for parameters of other shapes, raises ValueError. param_groups[k]["layout"] describes each parameter:
    its shape, its kind ("matrix", "convolution", "bias" or "vector"), and the axis of its outputs.
    """

    def __init__(self, params, path, lr=1.0):
        content = read_mopt.load(path)
        if content["kind"] != "lstm-optimizer":
            raise ValueError(f"{path} holds a {content['kind']!r}; an optimizer's kind is 'lstm-optimizer'")
        config = {"sign_p": 0, "anneal": 0, **content["config"]}
        self.inputs = config["inputs"].split("+")
        if not set(self.inputs) <= set(INPUTS) or config["readout"] not in READOUTS:
            raise ValueError(f"{path} has inputs {config['inputs']!r} and read-out {config['readout']!r}; this reader is too old for it")
        config["sign_p"] = config["sign_p"] or config["p"]
        self.config, self.tensors, self.weights = config, content["tensors"], {}
        with open(path, "rb") as f:
            digest = f.read()[-32:].hex()  # the SHA-256 at the end of the file identifies it
        super().__init__(params, {"lr": lr, "file": digest})

    def __getstate__(self):  # for copies and pickles: PyTorch's method leaves these attributes out
        return {**super().__getstate__(), "inputs": self.inputs, "config": self.config, "tensors": self.tensors, "weights": {}}

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
                if a != b:
                    raise ValueError(f"parameter {i} of group {k} has shape {b['shape']}, the saved one {a['shape']}; load the state into the model that it was saved with")
        super().load_state_dict(state_dict)

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
        for group, p in moving:
            u = self.update(p.grad.reshape(-1), self.state[p])
            p.add_(u.view_as(p), alpha=group["lr"])
        return loss

    def update(self, g, state):
        """Returns the update for the gradient g of n coordinates, and advances state, which is an empty dict at first.

        state holds step, the number of updates so far; h1, c1, h2, c2, ... [n, H], the outputs and memories of the LSTM
        layers; and m and v [n], the moving averages of rnnprop.
        """
        config, w = self.config, self.weights_like(g)
        state["step"] = t = state.get("step", 0) + 1
        x = self.features(g, state, t)
        if config["dense"]:
            x = torch.nn.functional.elu(torch.addmm(w["dense/b"], x, w["dense/w"]))
        for k in range(1, config["layers"] + 1):
            if t == 1:
                state[f"h{k}"] = state[f"c{k}"] = g.new_zeros(len(g), config["hidden"])
            z = torch.addmm(w[f"lstm{k}/b"], torch.cat([x, state[f"h{k}"]], 1), w[f"lstm{k}/w"])
            i, f, a, o = z.chunk(4, 1)
            c = torch.sigmoid(f) * state[f"c{k}"] + torch.sigmoid(i) * torch.tanh(a)
            x = torch.sigmoid(o) * torch.tanh(c)
            state[f"h{k}"], state[f"c{k}"] = x, c
        y = torch.addmm(w["readout/b"], x, w["readout/w"])
        if config["readout"] == "exp":
            u = y[:, 0] * torch.exp(y[:, 1])
        else:
            u = torch.tanh(y[:, 0]) if config["readout"] == "tanh" else y[:, 0]
        scale = config["scale"]
        if 0 < config["anneal"] < t:
            scale *= math.sqrt(config["anneal"] / t)
        return scale * u

    def features(self, g, state, t):
        """Returns the network's features of the gradient g at step t >= 1: [n, X]."""
        x = []
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
        return torch.stack(x, 1)

    def weights_like(self, g):
        """Returns the network's tensors in g's type and on its device."""
        key = g.dtype, g.device
        if key not in self.weights:
            self.weights[key] = {name: torch.from_numpy(np.array(a)).to(g) for name, a in self.tensors.items()}
        return self.weights[key]
