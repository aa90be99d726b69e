#!/usr/bin/python3
"""Prints torch_conv.json: small convolutional classifiers in PyTorch, in float64, with their loss, gradient, logits and
curvature products.

    python3 torch_conv.py >torch_conv.json      (Debian: python3-torch)

For increasing activations the order of operations is PyTorch's usual one: convolution with bias, activation, pooling. Package conv
applies the activation last, which is the same. For the others the activation is last here, too. The parameters and images are
numbers that float32 holds exactly. Convolution kernels are printed as 3×3×inputs×outputs, and the dense layer's matrix
as inputs×outputs with the inputs ordered rows, columns, channels.
"""
import json

import torch
from torch import nn
from torch.nn.functional import cross_entropy

torch.set_default_dtype(torch.float64)
torch.manual_seed(14)


INCREASING = {nn.Tanh: "tanh", nn.ReLU: "relu", nn.Sigmoid: "sigmoid", nn.ELU: "elu", nn.LeakyReLU: "leaky-relu"}
NAMES = {**INCREASING, nn.GELU: "gelu", nn.SiLU: "silu"}


class Net(nn.Module):
    def __init__(self, channels, rows, cols, filters, classes, activation):
        super().__init__()
        layers, inputs = [], channels
        for outputs in filters:
            last = [activation(), nn.MaxPool2d(2)]
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1)] + (last if activation in INCREASING else last[::-1])
            inputs, rows, cols = outputs, rows // 2, cols // 2
        self.features = nn.Sequential(*layers)
        self.dense, self.last = nn.Linear(inputs * rows * cols, classes), (inputs, rows, cols)

    def forward(self, x):
        return self.dense(self.features(x).flatten(1))

    def flat(self, tensors):
        """Concatenates tensors shaped as the parameters, in this library's layout."""
        parts = []
        for t in tensors:
            if t.dim() == 4:
                t = t.permute(2, 3, 1, 0)
            elif t.dim() == 2:
                t = t.T.reshape(*self.last, -1).permute(1, 2, 0, 3)
            parts.append(t.reshape(-1))
        return torch.cat(parts).tolist()


def exact(*shape):
    return torch.randn(*shape).float().double()


def case(channels, rows, cols, filters, classes, activation, batch):
    net = Net(channels, rows, cols, filters, classes, activation)
    params = list(net.parameters())
    for p in params:
        p.data = (0.4 * exact(*p.shape)).float().double()
    x, labels = torch.rand(batch, channels, rows, cols).float().double(), torch.randint(0, classes, (batch,))
    v = [exact(*p.shape) for p in params]
    logits = net(x)
    loss = cross_entropy(logits, labels)
    grads = torch.autograd.grad(loss, params, create_graph=True, retain_graph=True)
    hessian = torch.autograd.grad(grads, params, v, retain_graph=True)

    # Fisher: J v from the derivative of Jᵀu with respect to u, then Λ, then Jᵀ.
    u = torch.zeros_like(logits, requires_grad=True)
    pulled = torch.autograd.grad(logits, params, u, create_graph=True)
    jv, = torch.autograd.grad(pulled, u, v, retain_graph=True)
    p = torch.softmax(logits.detach(), 1)
    fisher = torch.autograd.grad(logits, params, (p * jv - p * (p * jv).sum(1, keepdim=True)) / batch)

    return {"channels": channels, "rows": rows, "cols": cols, "filters": filters, "classes": classes,
            "activation": NAMES[activation], "batch": batch, "x": x.flatten().tolist(), "labels": labels.tolist(),
            "theta": net.flat([p.data for p in params]), "v": net.flat(v), "loss": loss.item(), "logits": logits.flatten().tolist(),
            "gradient": net.flat(grads), "hessian": net.flat(hessian), "fisher": net.flat(fisher)}


print(json.dumps({"torch": torch.__version__, "cases": [
    case(1, 8, 8, [3, 4], 3, nn.Tanh, 5),
    case(3, 7, 6, [5], 4, nn.ReLU, 4),
    case(2, 9, 11, [4, 3], 3, nn.Sigmoid, 3),
    case(1, 8, 9, [2, 3, 2], 3, nn.ELU, 3),
    case(1, 6, 6, [3, 2], 3, nn.GELU, 4),
    case(2, 5, 6, [3], 3, nn.SiLU, 4),
    case(1, 6, 7, [2, 3], 3, nn.LeakyReLU, 3),
]}))
