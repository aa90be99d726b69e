#!/usr/bin/python3
"""Learning rates that torch.optim's rules want, and what they reach: the oracle of TestTunedBaselines….

    torch_tuned.py MNIST-FOLDER      writes torch_tuned.json beside itself

Tunes on the grid 10^(e/4), e = -16 … 4, for the mean loss over theta_0..theta_100, mean of RUNS runs, then
measures the winner on MORE fresh runs. MNIST: 784-20-10, sigmoid, batch 128 with replacement from the
training images, weights N(0, 0.01^2). quadratic-uniform: W, y uniform on [0,1), 128 problems of 10
dimensions, mean over problems, start N(0, 0.01^2).
"""
import gzip
import json
import os
import sys

import numpy as np
import torch

STEPS, RUNS, MORE = 100, 10, 40
RULES = {
    "sgd": lambda w, lr: torch.optim.SGD([w], lr),
    "nesterov": lambda w, lr: torch.optim.SGD([w], lr, momentum=0.9, nesterov=True),
    "rmsprop": lambda w, lr: torch.optim.RMSprop([w], lr),
    "adam": lambda w, lr: torch.optim.Adam([w], lr),
}


def quadratic():
    w, y = torch.rand(128, 10, 10), torch.rand(128, 10)
    return 1280, lambda theta: ((torch.bmm(w, theta.view(128, 10, 1))[:, :, 0] - y) ** 2).sum(1).mean()


def mnist(folder):
    read = lambda n, off: np.frombuffer(gzip.open(os.path.join(folder, n)).read(), np.uint8)[off:]
    x = torch.from_numpy(read("train-images-idx3-ubyte.gz", 16).reshape(-1, 784).astype(np.float32) / 255)
    labels = torch.from_numpy(read("train-labels-idx1-ubyte.gz", 8).astype(np.int64))
    sizes = [784 * 20, 20, 200, 10]

    def loss(theta):
        i = torch.randint(0, len(labels), (128,))
        w1, b1, w2, b2 = torch.split(theta, sizes)
        h = torch.sigmoid(x[i] @ w1.view(784, 20) + b1)
        return torch.nn.functional.cross_entropy(h @ w2.view(20, 10) + b2, labels[i])
    return lambda: (sum(sizes), loss)


def run(make, rule, lr):
    n, loss = make()
    theta = (torch.randn(n) * .01).requires_grad_()
    optimizer, losses = RULES[rule](theta, lr), []
    for _ in range(STEPS):
        optimizer.zero_grad()
        f = loss(theta)
        f.backward()
        losses.append(f.item())
        optimizer.step()
    return np.mean(losses + [loss(theta).item()])


def main():
    torch.manual_seed(0)
    torch.set_num_threads(1)
    out = {}
    for task, make in [("quadratic-uniform", quadratic), ("mnist", mnist(sys.argv[1]))]:
        out[task] = {}
        for rule in RULES:
            score = lambda lr: np.nan_to_num(np.mean([run(make, rule, lr) for _ in range(RUNS)]), nan=np.inf)
            lr = min((10 ** (e / 4) for e in range(-16, 5)), key=score)
            more = [run(make, rule, lr) for _ in range(MORE)]
            out[task][rule] = {"learning_rate": lr, "mean": float(np.mean(more)), "sd": float(np.std(more, ddof=1))}
            print(task, rule, out[task][rule], flush=True)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_tuned.json"), "w") as f:
        json.dump({"runs": MORE, "tasks": out}, f, indent=1)
        f.write("\n")


if __name__ == "__main__":
    main()
