"""Prints, as JSON, what LearnedOptimizer makes of each file of the corpus for the corpus's gradients.

    updates.py FOLDER-OF-TORCH_OPTIMIZER CORPUS

{dtype: {name: updates, steps x coordinates}}. The coordinates are spread over three parameters.
"""
import json
import os
import sys

sys.path.insert(0, sys.argv[1])
import torch

from torch_optimizer import LearnedOptimizer

torch.set_num_threads(1)
corpus = sys.argv[2]
with open(os.path.join(corpus, "updates.json")) as f:
    oracle = json.load(f)
gradients = oracle["gradients"]


def updates(path, dtype):
    n = len(gradients[0])
    sizes = [(1, 5), (n - 6,), ()]
    params = [torch.zeros(s, dtype=dtype, requires_grad=True) for s in sizes]
    optimizer = LearnedOptimizer(params, path)
    rows = []
    for g in gradients:
        parts = torch.tensor(g).to(dtype).split([5, n - 6, 1])  # float32 first: JSON has few digits
        for p, part in zip(params, parts):
            p.grad = part.clone().view(p.shape)
            p.data.zero_()
        optimizer.step()
        rows.append([float(x) for p in params for x in p.detach().reshape(-1)])
    return rows


print(json.dumps({
    str(dtype): {name: updates(os.path.join(corpus, name + ".mopt"), dtype) for name in oracle["updates"]}
    for dtype in (torch.float32, torch.float64)
}))
