#!/usr/bin/python3
"""Writes reference_soap.json: updates of SOAP by its authors' code, beside reference_rules.json and in its form.

Run from any folder, with PyTorch 1.13 or later, with this repository at this commit or a later one:

    git clone https://github.com/nikhilvyas/SOAP  # a1e5535
    python3 reference_soap.py SOAP

The code runs in float64; its casts to float32 are switched off. A convolution is given to it as the matrix of its outputs by all other
dimensions. The eigenvectors of the longer side of a matrix are not unique at first, so a matrix that is not square has only the shorter side.
"""
import json, math, os, sys
import torch
import reference_rules as common

NET = [
    dict(name="wide", shape=[3, 8], kind="matrix"),
    dict(name="b", shape=[3], kind="bias"),
    dict(name="kernel", shape=[3, 2, 2, 2], kind="convolution"),
    dict(name="square", shape=[4, 4], kind="matrix"),
    dict(name="tall", shape=[6, 3], kind="matrix"),
    dict(name="large", shape=[7, 6], kind="matrix"),
    dict(name="five", shape=[5, 5], kind="matrix"),
    dict(name="bias", shape=[2], kind="bias"),
]
CASES = [
    ("soap", NET, dict(learning_rate=0.1, max_dim=5)),
    ("soap", NET, dict(learning_rate=0.03, betas=[0.8, 0.99], epsilon=1e-3, frequency=3, max_dim=5, weight_decay=0.1, warm_up=0.3, steps=30)),
    ("soap", NET, dict(learning_rate=0.1, max_dim=2)),
]


def main():
    torch.set_default_dtype(torch.float64)  # of the zeros that its code makes
    cast = torch.Tensor.float

    class Exact(common.load(os.path.join(sys.argv[1], "soap.py")).SOAP):
        def step(self, closure=None):
            torch.Tensor.float = lambda self: self
            super().step(closure)
            torch.Tensor.float = cast

    def make(_, rule, params, o):
        return Exact(params.values(), lr=o["learning_rate"], betas=tuple(o.get("betas", (0.95, 0.95))), eps=o.get("epsilon", 1e-8),
                    weight_decay=o.get("weight_decay", 0), precondition_frequency=o.get("frequency", 10), max_precond_dim=o["max_dim"])

    common.make = make
    schedule = common.schedule
    common.schedule = lambda rule, optimizer, o: schedule("muon", optimizer, o)
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "reference_soap.json")
    with open(path, "w") as f:
        f.write('{"torch": %s, "cases": [\n' % json.dumps(torch.__version__.strip()))
        for i, (rule, layout, o) in enumerate(CASES):
            flat = [dict(t, shape=[t["shape"][0], math.prod(t["shape"][1:])]) if t["kind"] == "convolution" else t for t in layout]
            steps, _ = common.run(None, "muon", flat, o)  # as for muon, no row of a gradient is 0
            f.write('%s{"rule": "%s", "options": %s,\n"layout": %s,\n' % (",\n" if i else "", rule, json.dumps(o), json.dumps(layout)))
            f.write('"steps": [\n%s\n]}' % ",\n".join('{"theta": %s,\n"grad": %s,\n"update": %s}' % tuple(map(common.numbers, s)) for s in steps))
        f.write("\n]}\n")


if __name__ == "__main__":
    main()
