#!/usr/bin/python3
"""What PyTorch makes of two published optimizers: the oracle of TestPublishedOptimizers….

    torch_published.py DATA-FOLDER     writes torch_published.json beside itself

DATA-FOLDER holds mnist/ and published/. Needs PyTorch, NumPy and dill's stand-in below; a pickle is
a program, so run this on files that you trust. Per optimizer it writes
  updates   what it proposes for a fixed sequence of gradients (steps x coordinates), and
  mean_loss, final_loss   {mean, sd} over RUNS runs of 100 steps on MNIST 784-20-10, sigmoid, batch 128
            with replacement from the 60,000 training images, weights N(0, 0.01^2);
            mean loss over theta_0..theta_100, final loss over the last five.
"""
import collections, gzip, importlib, json, math, os, pickle, sys

import numpy as np
import torch

RUNS, STEPS = 40, 100


class Unpickler(pickle.Unpickler):  # dill's names without dill
    def find_class(self, module, name):
        if module == "dill._dill":
            return {"_load_type": lambda t: {"dict": dict}[t], "_import_module": importlib.import_module,
                    "_get_attr": getattr}[name]
        return super().find_class(module, name)


def lstm(x, state, w, b):  # Sonnet: gates i, j, f, o; forget bias 1
    h, c = state
    i, j, f, o = (torch.cat([x, h], 1) @ w + b).chunk(4, 1)
    c = torch.sigmoid(f + 1) * c + torch.sigmoid(i) * torch.tanh(j)
    h = torch.sigmoid(o) * torch.tanh(c)
    return h, (h, c)


class Published:
    def __init__(self, path):
        with open(path, "rb") as f:
            d = Unpickler(f).load()
        self.p = {m: {k: torch.from_numpy(np.array(a)) for k, a in v.items()} for m, v in d.items()}
        self.rnnprop = "input_projection" in self.p

    def start(self, n):
        z = torch.zeros(n, 20)
        return (z, z), (z, z), torch.zeros(n), torch.zeros(n), 0

    def step(self, g, state):
        s1, s2, m, v, t = state
        t += 1
        if self.rnnprop:
            m, v = .95 * m + .05 * g, .95 * v + .05 * g * g
            d = (v / (1 - .95 ** t)).sqrt() + 1e-8
            x = torch.stack([m / (1 - .95 ** t) / d, g / d], 1)
            x = torch.nn.functional.elu(x @ self.p["input_projection"]["w"] + self.p["input_projection"]["b"])
        else:
            x = torch.stack([torch.clamp(torch.log(g.abs() + 1.1920929e-07) / 5, min=-1),
                             torch.clamp(g * math.exp(5), -1, 1)], 1)
        x, s1 = lstm(x, s1, self.p["lstm_1"]["w_gates"], self.p["lstm_1"]["b_gates"])
        x, s2 = lstm(x, s2, self.p["lstm_2"]["w_gates"], self.p["lstm_2"]["b_gates"])
        y = (x @ self.p["linear"]["w"] + self.p["linear"]["b"])[:, 0]
        return .01 * (torch.tanh(y) if self.rnnprop else y), (s1, s2, m, v, t)


def mnist(folder):
    read = lambda n, off: np.frombuffer(gzip.open(os.path.join(folder, n)).read(), np.uint8)[off:]
    x = read("train-images-idx3-ubyte.gz", 16).reshape(-1, 784).astype(np.float32) / 255
    return torch.from_numpy(x), torch.from_numpy(read("train-labels-idx1-ubyte.gz", 8).astype(np.int64))


def run(opt, images, labels):
    shapes = [(784, 20), (20,), (20, 10), (10,)]
    sizes = [int(np.prod(s)) for s in shapes]
    theta, state, losses = torch.randn(sum(sizes)) * .01, opt.start(sum(sizes)), []
    for t in range(STEPS + 1):
        theta.requires_grad_()
        i = torch.randint(0, len(labels), (128,))
        w1, b1, w2, b2 = (p.view(s) for p, s in zip(torch.split(theta, sizes), shapes))
        f = torch.nn.functional.cross_entropy(torch.sigmoid(images[i] @ w1 + b1) @ w2 + b2, labels[i])
        g, = torch.autograd.grad(f, theta)
        losses.append(f.item())
        with torch.no_grad():
            u, state = opt.step(g, state)
            theta = theta.detach() + u
    return np.mean(losses), np.mean(losses[-5:])


def main():
    data = sys.argv[1]
    torch.manual_seed(0)
    torch.set_num_threads(1)
    images, labels = mnist(os.path.join(data, "mnist"))
    # Gradients of many magnitudes, zero among them, as exact binary fractions.
    gradients = [[math.ldexp((7 * t + 3 * i) % 11 - 5, -(i % 9) * 2 - t % 3) for i in range(40)] for t in range(12)]
    out = {"runs": RUNS, "gradients": gradients, "optimizers": {}}
    for name in ["dm_aug", "rnnprop"]:
        opt = Published(os.path.join(data, "published", name + ".l2l"))
        state, updates = opt.start(40), []
        for g in gradients:
            u, state = opt.step(torch.tensor(g), state)
            updates.append(u.tolist())
        mean, final = zip(*(run(opt, images, labels) for _ in range(RUNS)))
        stat = lambda x: {"mean": float(np.mean(x)), "sd": float(np.std(x, ddof=1))}
        out["optimizers"][name] = {"updates": updates, "mean_loss": stat(mean), "final_loss": stat(final)}
        print(name, stat(mean), stat(final), flush=True)
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_published.json"), "w") as f:
        json.dump(out, f)
        f.write("\n")


if __name__ == "__main__":
    main()
