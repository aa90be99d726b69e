"""Prints, as JSON, what LearnedOptimizer makes of each file of the corpus for the corpus's gradients.

    updates.py FOLDER-OF-TORCH_OPTIMIZER CORPUS [LIBRARY]

{dtype, or "dtype turned": {name: updates, steps x coordinates}}; with the library for C, which must then make all steps, of float32 alone.
"""
import json
import math
import os
import sys

sys.path.insert(0, sys.argv[1])
import torch

from torch_optimizer import LearnedOptimizer

torch.set_num_threads(1)
corpus = sys.argv[2]
library = sys.argv[3] if len(sys.argv) > 3 else False
with open(os.path.join(corpus, "updates.json")) as f:
    oracle = json.load(f)
layout, total = oracle["layout"], oracle["total"]


def tensors(row, dtype):
    parts = torch.tensor(row).split([math.prod(t["shape"]) for t in layout])  # float32 first: JSON has few digits
    return [x.to(dtype).view(t["shape"]) for x, t in zip(parts, layout)]


def updates(path, dtype, turned):
    """All updates. With turned, outputs are along axis 0, as in PyTorch's layers, and the optimizer guesses the layout."""
    turn = lambda xs: [x.transpose(0, t["output_axis"]).contiguous() if turned else x for x, t in zip(xs, layout)]
    params = [x.requires_grad_() for x in turn(tensors([0.0] * 21, dtype))]
    optimizer = LearnedOptimizer(params, path, total=total, library=library)
    if turned:
        optimizer.param_groups[0]["layout"][2]["kind"] = "vector"  # the guess is a bias
        assert [t["kind"] for t in optimizer.param_groups[0]["layout"]] == [t["kind"] for t in layout]
    else:
        optimizer.param_groups[0]["layout"] = layout
    made, updates = [], optimizer.updates
    optimizer.updates = lambda moving: made.extend(updates(moving)) or made[:]
    rows = []
    for gradient, theta in zip(oracle["gradients"], oracle["parameters"]):
        thetas = turn(tensors(theta, dtype))
        for p, g, x in zip(params, turn(tensors(gradient, dtype)), thetas):
            p.grad = g
            p.data.copy_(x)
        made.clear()
        optimizer.step()
        us = [u.view_as(p) for u, p in zip(made, params)]
        assert bool(optimizer.runs) == bool(library)
        assert all(torch.equal(p, x + u) for p, x, u in zip(params, thetas, us))
        rows.append([float(x) for u in turn(us) for x in u.reshape(-1)])
    return rows


print(json.dumps({
    f"{dtype}{' turned' if turned else ''}": {name: updates(os.path.join(corpus, name + ".mopt"), dtype, turned) for name in oracle["updates"]}
    for dtype in ((torch.float32,) if library else (torch.float32, torch.float64)) for turned in (False, True)
}))
