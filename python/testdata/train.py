"""Trains MLPs with LearnedOptimizer and prints, as JSON, their losses and, at some steps, their parameters.

    train.py FOLDER-OF-TORCH_OPTIMIZER FILE.mopt DATA.npz ACTIVATION...

DATA.npz: theta, images [N, 784], labels [N], batches [steps + 1, B] of indices. Per activation also "resumed": the
losses of a second half by a new model and a new optimizer, from what the first ones had stored half-way.
"""
import io
import json
import sys

sys.path.insert(0, sys.argv[1])
import numpy as np
import torch

from torch_optimizer import LearnedOptimizer

torch.set_num_threads(1)
path = sys.argv[2]
with np.load(sys.argv[3], allow_pickle=False) as data:
    images, batches = torch.from_numpy(data["images"]), torch.from_numpy(data["batches"].astype(np.int64))
    labels, theta = torch.from_numpy(data["labels"].astype(np.int64)), data["theta"]
shapes = [(784, 20), (20,), (20, 10), (10,)]


class MLP(torch.nn.Module):
    def __init__(self, activation):
        super().__init__()
        self.activation = activation
        parts = np.split(theta, np.cumsum([int(np.prod(s)) for s in shapes])[:-1])
        self.weights = torch.nn.ParameterList([torch.nn.Parameter(torch.from_numpy(a.reshape(s).copy())) for a, s in zip(parts, shapes)])

    def loss(self, batch):
        w1, b1, w2, b2 = self.weights
        z = torch.addmm(b2, self.activation(torch.addmm(b1, images[batch], w1)), w2)
        return torch.nn.functional.cross_entropy(z, labels[batch])

    def flat(self):
        return [float(x) for p in self.weights for x in p.detach().reshape(-1)]


def start(activation):
    model = MLP(activation)
    weights = list(model.weights)
    optimizer = LearnedOptimizer([{"params": weights[:2]}, {"params": weights[2:]}], path, total=len(batches) - 1)  # two groups: the same as one
    for group in optimizer.param_groups:
        group["layout"][0]["output_axis"] = 1  # this model multiplies by its matrices from the right
    return model, optimizer


def train(model, optimizer, first):
    losses, parameters, half = [], {}, io.BytesIO()
    for step in range(first, len(batches)):
        if step == len(batches) // 2:
            torch.save({"model": model.state_dict(), "optimizer": optimizer.state_dict()}, half)
        if step in (1, 10, 25, 50, 100):
            parameters[step] = model.flat()
        optimizer.zero_grad()
        loss = model.loss(batches[step])
        losses.append(float(loss))
        if step + 1 < len(batches):
            loss.backward()
            optimizer.step()
    half.seek(0)
    return losses, parameters, half


out = {}
for name in sys.argv[4:]:
    losses, parameters, half = train(*start(getattr(torch, name)), 0)
    stored = torch.load(half)
    model, optimizer = start(getattr(torch, name))
    model.load_state_dict(stored["model"])
    optimizer.load_state_dict(stored["optimizer"])
    resumed, _, _ = train(model, optimizer, len(batches) // 2)
    assert model.flat() == parameters[len(batches) - 1], "resumed, the parameters are others"
    out[name] = {"losses": losses, "parameters": parameters, "resumed": resumed}
print(json.dumps(out))
