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

Problem: f(θ) = mean_b ‖W_b θ_b - y_b‖², b = 1…B, θ flat with problem b's coordinates together. Inner step:
θ_{t+1} = θ_t + u_t. Meta-loss of a window of K steps: L = Σ_{t=1..K} f(θ_t). (f(θ_0) does not depend on φ.)

Two modes: "first" takes every inner gradient as a constant, as the paper does; "second" differentiates
through it. A window starts from detached θ and detached state (h, c, m, v), so it never sees the one before.

JSON schema (all arrays of numbers flat, row-major)
---------------------------------------------------
    problem    {batch, dim, W: batch·dim·dim, y: batch·dim, theta0: batch·dim}
    cases[]    {name,
                network {identity: bool, logsign: p or 0, rnnprop: bool, elu: E or 0, hidden: H, layers: 2,
                         readout: "linear" | "tanh", scale},
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
import os

import torch

torch.set_default_dtype(torch.float64)
torch.set_num_threads(1)

BETA, EPS = 0.95, 1e-8
WEIGHTS, BIASES = 1.0, 0.1  # standard deviations of the φ drawn


def inputs_of(net):
    return net["identity"] + 2 * (net["logsign"] > 0) + 2 * net["rnnprop"]


def shapes(net):
    hidden, width, out = net["hidden"], inputs_of(net), []
    if net["elu"]:
        out += [(width, net["elu"]), (net["elu"],)]
        width = net["elu"]
    for _ in range(net["layers"]):
        out += [(width + hidden, 4 * hidden), (4 * hidden,)]
        width = hidden
    return out + [(hidden,), (1,)]


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
    return torch.stack(columns, 1), (m, v, t)


def cell(W, b, x, h, c):
    i, f, g, o = (torch.cat([x, h], 1) @ W + b).chunk(4, 1)
    c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
    return torch.sigmoid(o) * torch.tanh(c), c


def start(net, n):
    zero = torch.zeros(n, net["hidden"])
    return [(zero, zero)] * net["layers"], (torch.zeros(n), torch.zeros(n), 0)


def update(net, phi, g, state):
    parts, (layers, moments) = split(net, phi), state
    x, moments = preprocess(net, g, moments)
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
    return net["scale"] * y, (after, moments)


def detach(state):
    layers, (m, v, t) = state
    return [(h.detach(), c.detach()) for h, c in layers], (m.detach(), v.detach(), t)


class Quadratic:
    def __init__(self, batch, dim, generator):
        self.batch, self.dim = batch, dim
        self.W = 0.5 * torch.randn(batch, dim, dim, generator=generator)
        self.y = 0.5 * torch.randn(batch, dim, generator=generator)
        self.theta0 = 0.5 * torch.randn(batch * dim, generator=generator)

    def loss(self, theta):
        r = torch.einsum("bij,bj->bi", self.W, theta.view(self.batch, self.dim)) - self.y
        return (r ** 2).sum(1).mean()


def window(net, problem, phi, theta, state, steps, mode, frozen=None):
    """One window from (theta, state): the losses f(θ_0)…f(θ_K), θ_K, the state, the gradients met.
    frozen replaces the gradients by given ones."""
    theta, state = theta.detach().clone().requires_grad_(), detach(state)
    losses, met = [], []
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
        u, state = update(net, phi, g, state)
        theta = theta + u
    losses.append(problem.loss(theta))
    return losses, theta, state, met


def meta_gradient(net, problem, phi, theta, state, steps, mode):
    phi = phi.detach().clone().requires_grad_()
    losses, theta, state, met = window(net, problem, phi, theta, state, steps, mode)
    grad, = torch.autograd.grad(sum(losses[1:]), phi)
    return [f.item() for f in losses], theta.detach(), detach(state), grad, met


def check_gradient(net, problem, phi, theta, state, steps, mode, grad, met):
    """Central differences along three random directions. In first-order mode the gradients met are frozen:
    that is the function whose exact gradient the mode computes."""
    generator = torch.Generator().manual_seed(99)
    frozen = met if mode == "first" else None
    for _ in range(3):
        d = torch.randn(len(phi), generator=generator)
        h = 1e-5  # truncation h²·L''' ~ 1e-10·‖d‖³, rounding 1e-16·L/h ~ 1e-11
        plus, minus = (float(sum(window(net, problem, phi + s * h * d, theta, state, steps, mode, frozen)[0][1:]))
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
            losses, theta_k, state_k, grad, met = meta_gradient(net, problem, phi, theta, state, steps, mode)
            check_gradient(net, problem, phi, theta, state, steps, mode, grad, met)
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
            losses, theta, state, grad, met = meta_gradient(net, problem, phi, theta, state, steps, mode)
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
