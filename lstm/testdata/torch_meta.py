#!/usr/bin/python3
"""PyTorch's meta-gradients and a PyTorch meta-training run: the oracle for package metaopt.

Run it with a Python that has PyTorch (Debian: python3-torch); it checks itself and writes torch_meta.json
beside itself. Everything is in float64. Only the standard library and torch are used.

Network conventions
-------------------
One coordinate has D inputs x; layer l has H hidden units.

    layer        z = [x, h]·W + b        W is (D+H)×4H, row-major, x's rows first; b is 4H (one bias only)
                 z = (i, f, g, o)        four blocks of H columns, in this order
                 c' = σ(f)·c + σ(i)·tanh(g)
                 h' = σ(o)·tanh(c')      no extra forget bias; h = c = 0 at the start of a run
    read-out     u = scale·(w·h + b)          "linear"
                 u = scale·tanh(w·h + b)      "tanh"
    flat φ       [input layer: W (X×E, row-major), b (E)]  layer 1: W, b   layer 2: W, b   read-out: w (H), b (1)

The input layer is optional (elu = E > 0): x ← ELU(x·W + b), and D = E for layer 1; otherwise D = X.

Inputs, concatenated in the order identity, logsign, rnnprop:

    identity     g                                                                       1 input
    logsign      (ln|g|/p, sgn g) where |g| ≥ e^-p, else (-1, e^p·g)                      2 inputs
    rnnprop      m = .95m + .05g, v = .95v + .05g², m̂ = m/(1-.95^t), v̂ = v/(1-.95^t),
                 (m̂/(√v̂ + 1e-8), g/(√v̂ + 1e-8)); t = 1 at the first step of a run        2 inputs

Networks with "eyes" (key "eyes" of a network) have what docs/format.md defines under "Momenta" and "What a network sees
of a tensor": further inputs momenta and clock after the others; the context of each tensor, whose Y features
multiply the last Y rows of the first matrix; fan_in; the read-out mix with w (H×6), b (6), or 7 in place of 6 with the orthogonal direction.
In both modes the context, V and fan_in's factor count as constants: at each step they are computed without a derivative. The orthogonal
direction does not: "second" differentiates through its iteration.

Problem: f(θ) = mean_b ‖W_b θ_b - y_b‖², b = 1…B, θ flat with problem b's coordinates together. Inner step:
θ_{t+1} = θ_t + u_t. Meta-loss of a window of K steps: L = Σ_{t=1..K} f(θ_t). (f(θ_0) does not depend on φ.)

Two modes: "first" takes every inner gradient as a constant, as the paper does; "second" differentiates
through it. A window starts from detached θ and detached state (h, c, m, v), so it never sees the one before.

JSON schema (all arrays of numbers flat, row-major)
---------------------------------------------------
    problem    {batch, dim, W: batch·dim·dim, y: batch·dim, theta0: batch·dim}
    cases[]    {name,
                network {identity: bool, logsign: p or 0, rnnprop: bool, elu: E or 0, hidden: H, layers: 2,
                         readout: "linear" | "tanh" | "mix", scale,
                         eyes (missing for networks without) {momenta: bool, clock: bool, context: as in docs/format.md,
                               fan_in: bool, orthogonal: bool, total: T, layout[] {kind, shape, output_axis}}},
                steps: K, phi: φ,
                windows[2] {losses: f(θ_0)…f(θ_K) (K+1 values), theta: the θ_K it ends at,
                            grad_first: dL/dφ, grad_second: dL/dφ}}
               Window 0 starts at theta0 and zero state; window 1 goes on where window 0 ended, with the same φ
               (t of rnnprop goes on counting).
    training   {network, steps: K, windows_per_episode, meta_lr, phi: φ before the first meta-step,
                runs {first, second} each {losses: meta_steps·(K+1) values,
                                           phi {"1", "5", "20", "25"}: φ after so many meta-steps}}
               One meta-step a window, by Adam with torch's defaults (.9, .999, 1e-8) on L. After
               windows_per_episode windows the episode starts again at theta0 and zero state; Adam goes on.
"""
import json
import math
import os

import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

BETA, EPS = 0.95, 1e-8
WEIGHTS, BIASES = 1.0, 0.1  # standard deviations of the φ drawn


BETAS = [0.9, 0.99, 0.999, 0.95, 0.999]  # of momenta: three averages of g, two of g²
FEATURES = {"shape": 7, "norms": 7, "feedback": 3, "time": 5}  # of contexts


def eyes(net, key):
    return net.get("eyes", {}).get(key)


def contexts_of(net):
    return [name for name in FEATURES if name in (eyes(net, "context") or "").split("+")]


def inputs_of(net):
    return (net["identity"] + 2 * (net["logsign"] > 0) + 2 * net["rnnprop"] + 2 * bool(eyes(net, "clock"))
            + 6 * bool(eyes(net, "momenta")))


def shapes(net):
    out = blind_shapes(net)
    rows, columns = out[0]
    return [(rows + sum(FEATURES[name] for name in contexts_of(net)), columns)] + out[1:]


def blind_shapes(net):
    hidden, width, out = net["hidden"], inputs_of(net), []
    if net["elu"]:
        out += [(width, net["elu"]), (net["elu"],)]
        width = net["elu"]
    for _ in range(net["layers"]):
        out += [(width + hidden, 4 * hidden), (4 * hidden,)]
        width = hidden
    directions = 7 if eyes(net, "orthogonal") else 6
    return out + ([(hidden, directions), (directions,)] if net["readout"] == "mix" else [(hidden,), (1,)])


def split(net, phi):
    sizes = [torch.Size(s).numel() for s in shapes(net)]
    assert sum(sizes) == len(phi)
    return [p.view(s) for p, s in zip(torch.split(phi, sizes), shapes(net))]


def preprocess(net, g, state):
    """Returns the inputs (n×X) and the new moments."""
    m, v, t = state
    columns = []
    if net["identity"]:
        columns.append(g)
    if net["logsign"]:
        p = torch.tensor(float(net["logsign"]))
        large = g.abs() >= torch.exp(-p)
        safe = torch.where(large, g.abs(), torch.ones_like(g))
        columns.append(torch.where(large, torch.log(safe) / p, -torch.ones_like(g)))
        columns.append(torch.where(large, torch.sign(g), torch.exp(p) * g))
    if net["rnnprop"]:
        m, v, t = BETA * m + (1 - BETA) * g, BETA * v + (1 - BETA) * g * g, t + 1
        correction = 1 - BETA ** t
        d = (v / correction).sqrt() + EPS
        columns += [m / correction / d, g / d]
    return torch.stack(columns, 1) if columns else torch.zeros(len(g), 0), (m, v, t)


class Parts:
    """The tensors of a layout, with what docs/format.md says about layers."""

    def __init__(self, layout):
        self.parts, at = [], 0
        count = sum(t["kind"] in ("matrix", "convolution") for t in layout)
        layer, weights = 0, None
        for t in layout:
            size = torch.Size(t["shape"]).numel()
            part = {"range": slice(at, at + size), "size": size, "shape": t["shape"], "axis": t["output_axis"], "kind": t["kind"], "inputs": 0, "outputs": 0, "bias": None, "of": None}
            at += size
            if t["kind"] in ("matrix", "convolution"):
                layer, weights = layer + 1, part
                part["outputs"] = t["shape"][t["output_axis"]]
                part["inputs"] = size // part["outputs"]
                part["weights"] = True
            elif t["kind"] == "bias" and weights is not None and weights is self.parts[-1] and weights["outputs"] == size:
                part["inputs"], part["outputs"] = weights["inputs"], size
                weights["bias"] = part
            part["place"] = (max(layer, 1) - 0.5) / count if count else 0.5
            self.parts.append(part)
        self.size = at


def log_ratio(a, b):
    if a <= 0:
        return -10.0
    if b <= 0:
        return 10.0
    return min(max(math.log(a / b), -10.0), 10.0)


def look(net, g, theta, seen):
    """Returns what the network sees of the tensors at this step, (n×Y features, V of each coordinate, fan_in's factor
    of each), and the tensors' averages after it. Everything is a constant."""
    with torch.no_grad():
        g, theta, u, t, names = g.detach(), theta.detach(), seen["u"].detach(), seen["t"] + 1, contexts_of(net)
        parts, after = Parts(net["eyes"]["layout"]).parts, []
        for part, (q, fast, first, z, z1) in zip(parts, seen["tensors"]):
            gp, up = g[part["range"]], u[part["range"]]
            mean = float((gp * gp).mean())
            norms = float(gp.norm() * up.norm())
            cosine = float(gp @ up) / norms if norms > 0 else 0.0
            after.append((0.999 * q + 0.001 * mean, 0.9 * fast + 0.1 * mean, mean if t == 1 else first,
                          0.9 * z + 0.1 * cosine, 0.99 * z1 + 0.01 * cosine))
            part["cosine"], part["q"] = cosine, after[-1][0]
        rows, vs, factors = [], [], []
        for part, (q, fast, first, z, z1) in zip(parts, after):
            tp, up, size = theta[part["range"]], u[part["range"]], part["size"]
            V, gain = q / (1 - 0.999 ** t), 32.0
            if part.get("weights"):
                bias = part["bias"]
                x = math.sqrt(q / bias["q"]) if bias is not None and q > 0 and bias["q"] > 0 else 1.0
                gain = max(1.0, part["inputs"] * min(max(x, 1e-3), 1e3))
            row = []
            if "shape" in names:
                row += [float(part["kind"] != "vector"), float(part["kind"] == "bias"), float(part["kind"] == "convolution"),
                        math.log1p(part["inputs"]) / 8, math.log1p(part["outputs"]) / 8, math.log(size) / 16, part["place"]]
            if "norms" in names:
                for k in range(2):
                    rms = float((seen["averages"][k][part["range"]] ** 2).mean().sqrt())
                    row.append(rms / (math.sqrt(V) * (1 - BETAS[k] ** (t - 1))) if t > 1 else 1.0)
                row += [log_ratio(fast / (1 - 0.9 ** t), V) / 5, log_ratio(V, first) / 10,
                        log_ratio(float((up * up).sum()), float((tp * tp).sum())) / 10,
                        log_ratio(float((tp * tp).mean()) * max(part["inputs"], 1), 1) / 10, math.log(gain / 248) / 5]
            if "feedback" in names:
                row += [part["cosine"], z / (1 - 0.9 ** t), z1 / (1 - 0.99 ** t)]
            if "time" in names:
                row += [math.log(t) / 5 - 1, 1 / t]
                total = net["eyes"]["total"]
                rest = max(total - t, 0)
                row += [1.0, rest / total, math.log(rest + 1) / 5 - 1] if total else [0.0, 0.0, 0.0]
            r = 248 / gain
            rows += [[min(max(x, -2.0), 2.0) for x in row]] * size
            vs += [V] * size
            factors += [(r if r <= 1 else math.sqrt(r)) if net["eyes"]["fan_in"] else 1.0] * size
        return (torch.tensor(rows), torch.tensor(vs), torch.tensor(factors)), after


def directions(g, averages, t, V):
    """Returns the averages after this step, the directions n_0 … n_5 and the six inputs of momenta."""
    averages = [b * m + (1 - b) * (g if k < 3 else g * g) for k, (b, m) in enumerate(zip(BETAS, averages))]
    m1, m2, m3, fast, slow = [m / (1 - b ** t) for b, m in zip(BETAS, averages)]
    root = slow.sqrt()
    d, d1 = root + 1e-15, fast.sqrt() + 1e-15
    n = [g / d, m1 / d, m2 / d, m3 / d, m1 / d1, m1 / V.sqrt()]
    s = torch.where(averages[0] < 0, -torch.ones_like(g), torch.ones_like(g))
    return averages, n, [s * x for x in n[:5]] + [1 - 2 / (1 + root / V.sqrt())]


def orthogonal(net, momentum):
    """Returns the orthogonal direction of each coordinate, with one row for each output as docs/format.md has it."""
    out = []
    for part in Parts(net["eyes"]["layout"]).parts:
        m = momentum[part["range"]]
        if not part.get("weights"):
            out.append(torch.zeros_like(m))
            continue
        M = m.view(part["shape"]).movedim(part["axis"], 0)
        moved, M = M.shape, M.reshape(part["outputs"], part["inputs"])
        X = M / (M.norm() + 1e-30)
        for _ in range(5):
            A = X @ X.T
            X = 3.4445 * X - 4.7750 * A @ X + 2.0315 * A @ A @ X
        X = math.sqrt(max(X.shape)) * X
        out.append(X.reshape(moved).movedim(0, part["axis"]).reshape(-1))
    return torch.cat(out)


def cell(W, b, x, h, c):
    i, f, g, o = (torch.cat([x, h], 1) @ W + b).chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def start(net, n):
    zero = torch.zeros(n, net["hidden"])
    seen = None
    if "eyes" in net:
        assert Parts(net["eyes"]["layout"]).size == n
        seen = {"t": 0, "averages": [torch.zeros(n)] * 5, "u": torch.zeros(n), "tensors": [(0.0,) * 5] * len(net["eyes"]["layout"])}
    return [(zero, zero)] * net["layers"], (torch.zeros(n), torch.zeros(n), 0), seen


def update(net, phi, g, state, theta, frozen=None):
    """Returns the update, the state, and what the network saw of the tensors. frozen replaces the latter."""
    parts, (layers, moments, seen), view, factor, n = split(net, phi), state, None, 1.0, None
    x, moments = preprocess(net, g, moments)
    if seen is not None:
        view, tensors = look(net, g, theta, seen)
        if frozen is not None:
            view = frozen
        context, V, factor = view
        t = seen["t"] + 1
        if net["eyes"]["clock"]:
            x = torch.cat([x, torch.tensor([[math.log(t) / 5 - 1, 1 / t]]).expand(len(g), 2)], 1)
        averages = seen["averages"]
        if net["eyes"]["momenta"]:
            averages, n, columns = directions(g, averages, t, V)
            x = torch.cat([x, torch.stack(columns, 1)], 1)
        if context.shape[1]:
            parts[0], parts[1] = parts[0][:-context.shape[1]], parts[1] + context @ parts[0][-context.shape[1]:]
        seen = {"t": t, "averages": averages, "tensors": tensors}
    if net["elu"]:
        x, parts = torch.nn.functional.elu(x @ parts[0] + parts[1]), parts[2:]
    after = []
    for k, (h, c) in enumerate(layers):
        h, c = cell(parts[2 * k], parts[2 * k + 1], x, h, c)
        after.append((h, c))
        x = h
    y = x @ parts[-2] + parts[-1]
    if net["readout"] == "tanh":
        y = torch.tanh(y)
    if net["readout"] == "mix":
        size = (y[:, 5] + (y[:, 5] ** 2 + 1).sqrt()) ** 2
        mixed = sum(y[:, k] * n[direction] for k, direction in enumerate([0, 1, 2, 4, 5]))
        if eyes(net, "orthogonal"):
            mixed = mixed + y[:, 6] * orthogonal(net, 0.9 * seen["averages"][0] + 0.1 * g)
        y = size * mixed
    u = net["scale"] * factor * y
    if seen is not None:
        seen["u"] = u
    return u, (after, moments, seen), view


def detach(state):
    layers, (m, v, t), seen = state
    if seen is not None:
        seen = {**seen, "averages": [m.detach() for m in seen["averages"]], "u": seen["u"].detach()}
    return [(h.detach(), c.detach()) for h, c in layers], (m.detach(), v.detach(), t), seen


class Quadratic:
    def __init__(self, batch, dim, generator):
        self.batch, self.dim = batch, dim
        self.W = 0.5 * torch.randn(batch, dim, dim, generator=generator)
        self.y = 0.5 * torch.randn(batch, dim, generator=generator)
        self.theta0 = 0.5 * torch.randn(batch * dim, generator=generator)

    def loss(self, theta):
        r = torch.einsum("bij,bj->bi", self.W, theta.view(self.batch, self.dim)) - self.y
        return (r ** 2).sum(1).mean()


def window(net, problem, phi, theta, state, steps, mode, frozen=None, views=None):
    """One window from (theta, state): the losses f(θ_0)…f(θ_K), θ_K, the state, the gradients met, what eyes saw.
    frozen and views replace the latter two by given ones."""
    theta, state = theta.detach().clone().requires_grad_(), detach(state)
    losses, met, saw = [], [], []
    for t in range(steps):
        f = problem.loss(theta)
        losses.append(f)
        if frozen is not None:
            g = frozen[t]
        else:
            g, = torch.autograd.grad(f, theta, create_graph=mode == "second", retain_graph=True)
        if mode == "first":
            g = g.detach()
        met.append(g.detach())
        u, state, view = update(net, phi, g, state, theta, views[t] if views is not None else None)
        saw.append(view)
        theta = theta + u
    losses.append(problem.loss(theta))
    return losses, theta, state, met, saw


def meta_gradient(net, problem, phi, theta, state, steps, mode):
    phi = phi.detach().clone().requires_grad_()
    losses, theta, state, met, saw = window(net, problem, phi, theta, state, steps, mode)
    grad, = torch.autograd.grad(sum(losses[1:]), phi)
    return [f.item() for f in losses], theta.detach(), detach(state), grad, met, saw


def check_gradient(net, problem, phi, theta, state, steps, mode, grad, met, saw):
    """Central differences along three random directions. In first-order mode the gradients met are frozen, and in both
    modes what eyes saw: that is the function whose exact gradient the mode computes."""
    generator = torch.Generator().manual_seed(99)
    frozen = met if mode == "first" else None
    for _ in range(3):
        d = torch.randn(len(phi), generator=generator)
        h = 1e-5  # truncation h²·L''' ~ 1e-10·‖d‖³, rounding 1e-16·L/h ~ 1e-11
        plus, minus = (float(sum(window(net, problem, phi + s * h * d, theta, state, steps, mode, frozen, saw)[0][1:]))
                       for s in (1, -1))
        want, got = (plus - minus) / (2 * h), float(grad @ d)
        assert abs(want - got) <= 1e-6 * (1 + abs(want)), (net, mode, want, got)


def check_cell():
    """The cell above is torch.nn.LSTMCell with its two biases added up."""
    generator = torch.Generator().manual_seed(5)
    reference = torch.nn.LSTMCell(3, 7)
    x, h, c = (torch.randn(4, k, generator=generator) for k in (3, 7, 7))
    W = torch.cat([reference.weight_ih, reference.weight_hh], 1).T
    ours = cell(W, reference.bias_ih + reference.bias_hh, x, h, c)
    for a, b in zip(ours, reference(x, (h, c))):
        assert torch.allclose(a, b, rtol=0, atol=1e-14)


def network(**changes):
    return {"identity": False, "logsign": 0, "rnnprop": False, "elu": 0, "hidden": 7, "layers": 2,
            "readout": "linear", "scale": 0.1, **changes}


# A layer with a bias, and a vector about which nothing is known; a convolution without a bias between a vector and a layer.
DENSE = [{"kind": "matrix", "shape": [2, 3], "output_axis": 1}, {"kind": "bias", "shape": [3], "output_axis": 0},
         {"kind": "vector", "shape": [3], "output_axis": 0}]
CONVOLUTION = [{"kind": "vector", "shape": [2], "output_axis": 0}, {"kind": "convolution", "shape": [2, 1, 2, 1], "output_axis": 0},
               {"kind": "matrix", "shape": [2, 2], "output_axis": 0}, {"kind": "bias", "shape": [2], "output_axis": 0}]


def sighted(context, layout, fan_in=True, clock=False, momenta=True, orthogonal=False, total=9):
    return {"momenta": momenta, "clock": clock, "context": context, "fan_in": fan_in, "orthogonal": orthogonal, "total": total, "layout": layout}


def draw(net, seed):
    generator = torch.Generator().manual_seed(seed)
    # Large weights and small biases: updates that depend on the gradient, so that the two modes differ visibly.
    return torch.cat([(WEIGHTS if len(s) == 2 or s[0] == net["hidden"] else BIASES)
                      * torch.randn(torch.Size(s).numel(), generator=generator) for s in shapes(net)])


def case(name, net, problem, steps, seed):
    phi, windows, both = draw(net, seed), [], set()
    theta, state = problem.theta0, start(net, len(problem.theta0))
    for _ in range(2):
        grads = {}
        for mode in ("first", "second"):
            losses, theta_k, state_k, grad, met, saw = meta_gradient(net, problem, phi, theta, state, steps, mode)
            check_gradient(net, problem, phi, theta, state, steps, mode, grad, met, saw)
            grads[mode] = grad
        if net["logsign"]:
            both |= {bool(b) for g in met for b in (g.abs() >= torch.exp(torch.tensor(-float(net["logsign"]))))}
        windows.append({"losses": losses, "theta": theta_k.tolist(),
                        "grad_first": grads["first"].tolist(), "grad_second": grads["second"].tolist()})
        theta, state = theta_k, state_k
        difference = float((grads["first"] - grads["second"]).norm() / grads["second"].norm())
        print(f"{name}: f {losses[0]:.4f} -> {losses[-1]:.4f}, the modes differ by {difference:.3f} of the norm, "
              f"smallest |g| {min(float(g.abs().min()) for g in met):.1e}")
    if net["logsign"]:
        print(f"{name}: branches of logsign visited: {sorted(both)}")
    return {"name": name, "network": net, "steps": steps, "phi": phi.tolist(), "windows": windows}


def training(net, problem, steps, windows, lr, meta_steps, keep, seed):
    phi0, runs = draw(net, seed), {}
    for mode in ("first", "second"):
        phi = phi0.clone().requires_grad_()
        adam, all_losses, kept, smallest = torch.optim.Adam([phi], lr=lr), [], {}, 1.0
        for k in range(meta_steps):
            if k % windows == 0:
                theta, state = problem.theta0, start(net, len(problem.theta0))
            losses, theta, state, grad, met, _ = meta_gradient(net, problem, phi, theta, state, steps, mode)
            smallest = min([smallest] + [float(g.abs().min()) for g in met])
            all_losses += losses
            phi.grad = grad
            adam.step()
            if k + 1 in keep:
                kept[str(k + 1)] = phi.tolist()
        runs[mode] = {"losses": all_losses, "phi": kept}
        print(f"training, {mode}: last loss of the first episode {all_losses[windows * (steps + 1) - 1]:.4f}, "
              f"of the last {all_losses[-1]:.4f}, smallest |g| {smallest:.1e}")
    return {"network": net, "steps": steps, "windows_per_episode": windows, "meta_lr": lr,
            "phi": phi0.tolist(), "runs": runs}


def main():
    check_cell()
    problem = Quadratic(3, 4, torch.Generator().manual_seed(1))
    cases = [
        case("logsign", network(logsign=10), problem, 6, 11),
        case("rnnprop", network(rnnprop=True, readout="tanh"), problem, 6, 12),
        case("all", network(identity=True, logsign=10, rnnprop=True, hidden=5), problem, 6, 13),
        case("elu", network(logsign=10, elu=4), problem, 6, 14),
        # e^-p = 0.37: the linear branch of logsign is met too.
        case("logsign-p1", network(logsign=1, hidden=3), problem, 6, 15),
        # Windows of 6 steps, of a run of 9: the second window goes on after its end.
        case("eyes", network(readout="mix", hidden=3, layers=1, scale=0.0003, eyes=sighted("shape+norms+feedback+time", DENSE)), problem, 6, 16),
        case("eyes-elu", network(rnnprop=True, elu=3, hidden=2, readout="tanh", scale=0.01, eyes=sighted("norms+feedback", CONVOLUTION, clock=True)),
             problem, 6, 17),
        case("eyes-shape", network(logsign=1, hidden=2, readout="tanh", eyes=sighted("shape+time", CONVOLUTION, fan_in=False, momenta=False)),
             problem, 6, 18),
        case("mix", network(readout="mix", hidden=3, layers=1, scale=0.003, eyes=sighted("", CONVOLUTION)), problem, 6, 20),
        # More inputs than outputs, and with the convolution fewer.
        case("orthogonal", network(readout="mix", hidden=3, layers=1, scale=0.01, eyes=sighted("shape+norms+feedback+time", DENSE, orthogonal=True)),
             problem, 6, 21),
        case("orthogonal convolution", network(readout="mix", hidden=2, layers=1, scale=0.03, eyes=sighted("", CONVOLUTION, fan_in=False, orthogonal=True)),
             problem, 6, 22),
    ]
    out = {"problem": {"batch": problem.batch, "dim": problem.dim, "W": problem.W.flatten().tolist(),
                       "y": problem.y.flatten().tolist(), "theta0": problem.theta0.tolist()},
           "cases": cases,
           "training": training(network(logsign=10, hidden=6), problem, 4, 5, 3e-3, 25, {1, 5, 20, 25}, 19)}
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_meta.json")
    with open(path, "w") as f:
        json.dump(out, f, separators=(",", ":"))
        f.write("\n")
    print(os.path.basename(path), os.path.getsize(path), "bytes, torch", torch.__version__)


if __name__ == "__main__":
    main()
