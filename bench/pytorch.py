#!/usr/bin/python3
"""What a user would write in PyTorch: the same meta-step, update and gradient, timed. Prints JSON.

    pytorch.py [--threads N]      needs PyTorch (Debian: python3-torch, libopenblas0-pthread)

The coordinatewise LSTM (2 layers of 20, log-and-sign inputs), 20 inner steps of first-order truncated
backprop and the same with second derivatives (create_graph), Adam on its parameters. Quadratics: 128 of 10 dimensions. MLP: 784-20-10 sigmoid, batches of
128 drawn from 24,000 random images; only their size matters to the time. Convnet: see there. Run by compare.sh.
"""
import argparse
import json
import math
import os
import resource
import subprocess
import sys
import time

for i, arg in enumerate(sys.argv):  # BLAS reads its thread count when it is loaded
    if arg == "--threads":
        os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = sys.argv[i + 1]

import torch
from torch import nn


class Learned(nn.Module):
    def __init__(self, hidden=20):
        super().__init__()
        self.hidden = hidden
        self.l1, self.l2, self.out = nn.LSTMCell(2, hidden), nn.LSTMCell(hidden, hidden), nn.Linear(hidden, 1)

    def start(self, n):
        z = torch.zeros(n, self.hidden)
        return (z, z), (z, z)

    def forward(self, g, state):
        x = torch.stack([torch.clamp(torch.log(g.abs() + 1.1920929e-07) / 5, min=-1), torch.clamp(g * math.exp(5), -1, 1)], 1)
        s1 = self.l1(x, state[0])
        s2 = self.l2(s1[0], state[1])
        return 0.1 * self.out(s2[0])[:, 0], (s1, s2)


class Quadratic:
    def __init__(self):
        self.n, self.W, self.y = 1280, torch.rand(128, 10, 10), torch.rand(128, 10)

    def loss(self, theta):
        return ((torch.bmm(self.W, theta.view(128, 10, 1))[:, :, 0] - self.y) ** 2).sum(1).mean()


class MLP:
    sizes = (784 * 20, 20, 200, 10)

    def __init__(self):
        self.n, self.x, self.labels = sum(self.sizes), torch.rand(24000, 784), torch.randint(0, 10, (24000,))

    def loss(self, theta):
        i = torch.randint(0, len(self.labels), (128,))
        w1, b1, w2, b2 = torch.split(theta, self.sizes)
        h = torch.sigmoid(self.x[i] @ w1.view(784, 20) + b1)
        return nn.functional.cross_entropy(h @ w2.view(20, 10) + b2, self.labels[i])


class Convnet:
    """Starts from He's distribution. 3×3 kernels to 8 and 16 channels on 14×14 pixels, each with ReLU and 2×2 maxima, and a dense layer; batches of 32."""
    shapes = ((8, 1, 3, 3), (8,), (16, 8, 3, 3), (16,), (144, 10), (10,))

    def __init__(self):
        self.x, self.labels = torch.rand(24000, 1, 14, 14), torch.randint(0, 10, (24000,))
        sizes = [torch.Size(s).numel() for s in self.shapes]
        self.n, self.sizes = sum(sizes), sizes
        fans = (9, 0, 72, 0, 144, 0)
        self.start = torch.cat([torch.randn(n) * (math.sqrt(2 / f) if f else 0) for n, f in zip(sizes, fans)])

    def loss(self, theta):
        i = torch.randint(0, len(self.labels), (32,))
        k1, b1, k2, b2, w, b = (t.view(s) for t, s in zip(torch.split(theta, self.sizes), self.shapes))
        h = nn.functional.max_pool2d(torch.relu(nn.functional.conv2d(self.x[i], k1, b1, padding=1)), 2)
        h = nn.functional.max_pool2d(torch.relu(nn.functional.conv2d(h, k2, b2, padding=1)), 2)
        return nn.functional.cross_entropy(h.flatten(1) @ w + b, self.labels[i])


def begin(problem):
    start = getattr(problem, "start", None)
    return torch.randn(problem.n) * .01 if start is None else start.clone()


def median(op, seconds):
    times, start = [], time.perf_counter()
    while len(times) < 6 or time.perf_counter() - start < seconds:
        t = time.perf_counter()
        op()
        times.append(time.perf_counter() - t)
    return sorted(times[1:])[len(times) // 2 - 1]


def meta_step(opt, problem, unroll=20, second=False):
    """Returns a function that takes the next window of an endless run, with second derivatives if second."""
    meta = torch.optim.Adam(opt.parameters(), lr=1e-3)
    here = {"theta": begin(problem).requires_grad_(), "state": opt.start(problem.n)}

    def step():
        theta, state, total = here["theta"], here["state"], 0.
        for _ in range(unroll):
            f = problem.loss(theta)
            g, = torch.autograd.grad(f, theta, retain_graph=True, create_graph=second)
            u, state = opt(g if second else g.detach(), state)
            theta, total = theta + u, total + f
        meta.zero_grad()
        (total + problem.loss(theta)).backward()
        meta.step()
        here["theta"] = theta.detach().requires_grad_()
        here["state"] = tuple(tuple(z.detach() for z in s) for s in state)
    return step


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--each", type=float, default=3, help="seconds for each measurement")
    p.add_argument("--memory", action="store_true", help="only take one meta-step with an unroll of 100, for whoever measures memory")
    a = p.parse_args()
    torch.set_num_threads(a.threads)
    torch.manual_seed(0)
    opt, quadratic, mlp, convnet = Learned(), Quadratic(), MLP(), Convnet()
    if a.memory:
        meta_step(opt, mlp, 100)()
        return
    out = {"torch": torch.__version__, "threads": a.threads}
    out["meta_step_s"] = {"quadratic": median(meta_step(opt, quadratic), a.each), "mnist": median(meta_step(opt, mlp), a.each),
                          "convnet": median(meta_step(opt, convnet), a.each)}
    out["second_derivatives_s"] = {"mnist": median(meta_step(opt, mlp, second=True), a.each),
                                   "convnet": median(meta_step(opt, convnet, second=True), a.each)}

    out["loss_grad_s"] = {}
    for name, problem in (("mnist", mlp), ("convnet", convnet)):
        theta = begin(problem).requires_grad_()
        out["loss_grad_s"][name] = median(lambda: torch.autograd.grad(problem.loss(theta), theta), a.each)

    n = 1000000
    g, held = torch.randn(n) * .01, {"state": opt.start(n)}

    def update():
        with torch.no_grad():
            _, held["state"] = opt(g, held["state"])
    out["update_coordinates_per_s"] = n / median(update, a.each)
    del held["state"]

    # Runs in its own process, so that the peak is only this window's.
    subprocess.run([sys.executable, __file__, "--threads", str(a.threads), "--memory"], check=True)
    out["memory_bytes"] = {"mnist_unroll_100": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * 1024}
    print(json.dumps(out))


if __name__ == "__main__":
    main()
