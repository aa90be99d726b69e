#!/usr/bin/python3
"""Writes torch_rules.json: parameters under torch.optim with weight decay, clipping and schedules, and the schedules alone.

Run from any folder, with PyTorch 1.13 or later:  python3 torch_rules.py

Gradients are (w − a)c of a separable quadratic plus noise, so that they depend on the parameters as in use. ATen's plain
kernels are asked for. All numbers have nine significant digits: exact for float32.
"""
import json, math, os, random

os.environ["ATEN_CPU_CAPABILITY"] = "default"
import torch

STEPS, N = 40, 6

SCHEDULES = {
    "constant": (lambda t: 0.25, None),
    "warm-up cosine": (lambda t: (t + 1) / 5 if t < 5 else (0.1 + 0.9 * (1 + math.cos(math.pi * (t - 5) / 30)) / 2 if t < 35 else 0.1), None),
    "cosine": (None, lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, 40)),
    "step": (None, lambda o: torch.optim.lr_scheduler.StepLR(o, 7, 0.5)),
    "exponential": (None, lambda o: torch.optim.lr_scheduler.ExponentialLR(o, 0.9)),
    "warm-up": (None, lambda o: torch.optim.lr_scheduler.LinearLR(o, 0.1, 1.0, 9)),
    "inverse sqrt": (lambda t: min(1, math.sqrt(10 / (t + 1))), None),
}

CASES = [
    dict(rule="adamw", lr=0.05, decay=0.1, schedule="", norm=0, value=0),
    dict(rule="adamw", lr=0.05, decay=0.1, schedule="step", norm=0, value=0),
    dict(rule="adamw", lr=0.1, decay=0.02, schedule="warm-up cosine", norm=2, value=0),
    dict(rule="sgd", lr=0.1, decay=0, schedule="", norm=1.5, value=0),
    dict(rule="sgd", lr=0.1, decay=0, schedule="inverse sqrt", norm=0, value=0.5),
    dict(rule="adam", lr=0.1, decay=0, schedule="exponential", norm=0, value=0),
]


def scheduler(name, optimizer):
    factor, own = SCHEDULES[name]
    return own(optimizer) if own else torch.optim.lr_scheduler.LambdaLR(optimizer, factor)


def schedule(name):
    o = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    s, values = scheduler(name, o), []
    for _ in range(STEPS):
        values.append(o.param_groups[0]["lr"])
        o.step()
        s.step()
    return values


def run(case, start, target, curvature, noise):
    w = start.clone().requires_grad_(True)
    make = dict(adamw=lambda: torch.optim.AdamW([w], case["lr"], weight_decay=case["decay"]),
                adam=lambda: torch.optim.Adam([w], case["lr"]), sgd=lambda: torch.optim.SGD([w], case["lr"]))
    o = make[case["rule"]]()
    s = scheduler(case["schedule"], o) if case["schedule"] else None
    rows = []
    for t in range(STEPS):
        w.grad = ((w.detach() - target) * curvature + noise[t]).clone()
        if case["norm"]:
            torch.nn.utils.clip_grad_norm_([w], case["norm"])
        if case["value"]:
            torch.nn.utils.clip_grad_value_([w], case["value"])
        o.step()
        if s:
            s.step()
        rows.append(w.detach().clone())
    return torch.stack(rows)


def row(x):
    return "[" + ",".join("%.9g" % v for v in x) + "]"


def rows(x):
    return "[\n" + ",\n".join(row(r) for r in x.tolist()) + "\n]"


def main():
    rng = random.Random(1606)
    start, target = (torch.tensor([rng.gauss(0, 2) for _ in range(N)]) for _ in range(2))
    curvature = torch.tensor([0.2, 0.5, 1, 2, 4, 6.0])
    noise = torch.tensor([[rng.gauss(0, 0.3) for _ in range(N)] for _ in range(STEPS)])
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "torch_rules.json")
    with open(path, "w") as f:
        f.write('{"torch": %s,\n' % json.dumps(torch.__version__.strip()))
        for name, x in dict(start=start, target=target, curvature=curvature).items():
            f.write('"%s": %s,\n' % (name, row(x.tolist())))
        f.write('"noise": %s,\n"schedules": {\n' % rows(noise))
        f.write(",\n".join('%s: [%s]' % (json.dumps(n), ",".join(repr(float(v)) for v in schedule(n))) for n in SCHEDULES))
        f.write('\n},\n"cases": [\n')
        f.write(",\n".join('{"case": %s, "theta": %s}' % (json.dumps(c), rows(run(c, start, target, curvature, noise))) for c in CASES))
        f.write("\n]}\n")


if __name__ == "__main__":
    main()
