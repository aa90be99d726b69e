#!/usr/bin/python3
"""Writes torch_optim.json: the updates of torch.optim's rules for a fixed sequence of gradients.

Run from any folder, with PyTorch 1.13 or later:  python3 torch_optim.py

The gradients do not depend on the parameters, which are put back to zero before every step, so that what a step
leaves in them is the update itself, unrounded by an addition. ATen's plain kernels are asked for, since those of AVX2
may contract multiplications and additions. All numbers have nine significant digits: exact for float32.
"""
import json, math, os, random

os.environ["ATEN_CPU_CAPABILITY"] = "default"
import torch

STEPS = 30


def gradients():
    """Columns: zero; zero but once; tiny; below epsilon, alternating; normal; huge; overflowing once; heavy-tailed."""
    rng = random.Random(1606)
    g = torch.tensor([[rng.gauss(0, 1) for _ in range(8)] for _ in range(STEPS)])
    g[:, 0] = 0
    g[:, 1] = 0
    g[12, 1] = 1
    g[:, 2] *= 1e-21
    g[:, 3] = torch.tensor([3e-9 * (-1) ** t for t in range(STEPS)])
    g[:, 5] *= 1e15
    g[20, 6] = 1e25
    g[:, 7] *= torch.tensor([math.exp(rng.uniform(-20, 10)) for _ in range(STEPS)])
    return g


CASES = [
    ("sgd", dict(learning_rate=0.1)),
    ("sgd", dict(learning_rate=0.003)),
    ("momentum", dict(learning_rate=0.1)),
    ("momentum", dict(learning_rate=0.03, momentum=0.5)),
    ("nesterov", dict(learning_rate=0.1)),
    ("nesterov", dict(learning_rate=0.03, momentum=0.99)),
    ("adagrad", dict()),
    ("adagrad", dict(learning_rate=0.5, epsilon=1e-3)),
    ("rmsprop", dict()),
    ("rmsprop", dict(learning_rate=0.3, alpha=0.9, epsilon=1e-4)),
    ("adam", dict()),
    ("adam", dict(learning_rate=0.03)),
    ("adam", dict(learning_rate=0.1, betas=[0.5, 0.95], epsilon=1e-3)),
    ("adam", dict(learning_rate=0.1, betas=[0, 0.999])),
]


def make(rule, w, o):
    lr = {"lr": o["learning_rate"]} if "learning_rate" in o else {}
    eps = {"eps": o["epsilon"]} if "epsilon" in o else {}
    if rule == "sgd":
        return torch.optim.SGD([w], **lr)
    if rule in ("momentum", "nesterov"):
        return torch.optim.SGD([w], **lr, momentum=o.get("momentum", 0.9), nesterov=rule == "nesterov")
    if rule == "adagrad":
        return torch.optim.Adagrad([w], **lr, **eps)
    if rule == "rmsprop":
        return torch.optim.RMSprop([w], **lr, **eps, **({"alpha": o["alpha"]} if "alpha" in o else {}))
    return torch.optim.Adam([w], **lr, **eps, betas=tuple(o.get("betas", (0.9, 0.999))))


def updates(rule, options, grads):
    w = torch.zeros(grads.shape[1], requires_grad=True)
    optimizer, rows = make(rule, w, options), []
    for g in grads:
        with torch.no_grad():
            w.zero_()
        w.grad = g.clone()
        optimizer.step()
        rows.append(w.detach().clone())
    return torch.stack(rows)


def numbers(x):
    assert torch.isfinite(x).all()
    return "[\n" + ",\n".join("[" + ",".join("%.9g" % v for v in row) + "]" for row in x.tolist()) + "\n]"


def main():
    grads = gradients()
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_optim.json")
    with open(path, "w") as f:
        f.write('{"torch": %s,\n"gradients": %s,\n"cases": [\n' % (json.dumps(torch.__version__.strip()), numbers(grads)))
        f.write(",\n".join('{"rule": "%s", "options": %s, "updates": %s}' % (r, json.dumps(o), numbers(updates(r, o, grads)))
                           for r, o in CASES))
        f.write("\n]}\n")


if __name__ == "__main__":
    main()
