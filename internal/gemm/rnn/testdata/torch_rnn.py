#!/usr/bin/python3
"""Prints torch_rnn.json: recurrent networks in PyTorch, in float64, that predict the next symbol, with their loss, gradient and
curvature products.

    python3 torch_rnn.py >torch_rnn.json      (Debian: python3-torch)

The network is torch.nn.RNN on one-hot vectors and a linear layer. nn.RNN has two biases that are added; the second one is 0. Matrices are
printed as inputs × outputs. The parameters are numbers that float32 holds exactly.
"""
import json

import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

torch.set_default_dtype(torch.float64)
torch.manual_seed(14)


def exact(*shape):
    return torch.randn(*shape).float().double()


def flat(tensors):
    """Concatenates tensors shaped as the parameters, in this library's layout."""
    return torch.cat([(t.T if t.dim() == 2 else t).reshape(-1) for t in tensors]).tolist()


def case(symbols, units, steps, batch):
    rnn, out = nn.RNN(symbols, units, batch_first=True), nn.Linear(units, symbols)
    params = [rnn.weight_ih_l0, rnn.weight_hh_l0, rnn.bias_ih_l0, out.weight, out.bias]
    for p in params:
        p.data = (0.5 * exact(*p.shape)).float().double()
    rnn.bias_hh_l0.data.zero_()
    text = torch.randint(0, symbols, (batch, steps + 1))
    v = [exact(*p.shape) for p in params]
    logits = out(rnn(one_hot(text[:, :-1], symbols).double())[0]).reshape(-1, symbols)
    loss = cross_entropy(logits, text[:, 1:].reshape(-1))
    grads = torch.autograd.grad(loss, params, create_graph=True, retain_graph=True)
    hessian = torch.autograd.grad(grads, params, v, retain_graph=True)

    # Fisher: J v from the derivative of Jᵀu with respect to u, then Λ, then Jᵀ.
    u = torch.zeros_like(logits, requires_grad=True)
    pulled = torch.autograd.grad(logits, params, u, create_graph=True)
    jv, = torch.autograd.grad(pulled, u, v, retain_graph=True)
    p = torch.softmax(logits.detach(), 1)
    fisher = torch.autograd.grad(logits, params, (p * jv - p * (p * jv).sum(1, keepdim=True)) / len(logits))

    return {"symbols": symbols, "units": units, "steps": steps, "batch": batch, "text": text.flatten().tolist(),
            "theta": flat([p.data for p in params]), "v": flat(v), "loss": loss.item(),
            "gradient": flat(grads), "hessian": flat(hessian), "fisher": flat(fisher)}


print(json.dumps({"torch": torch.__version__, "cases": [case(5, 4, 6, 3), case(3, 7, 1, 2), case(9, 5, 12, 4)]}))
