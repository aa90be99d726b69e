#!/usr/bin/python3
"""Times the loss and gradient of small convolutional classifiers, here and in PyTorch, each on one thread.

    bench/convnet.py [--rounds N] [--calls N]      needs Go and PyTorch (Debian: python3-torch, libopenblas0-pthread)

The networks are those of BenchmarkGradient and BenchmarkHessian in internal/gemm/conv: 3×3 convolutions to 8 and 16
channels, each with ReLU and 2×2 maxima, and a dense layer to 10 classes. The two programs run alternately. Times are
processor times, and the best round counts, so that other programs on the machine disturb little. A product is one of the
Hessian with a vector at a new point: in PyTorch the gradient of the gradient's product with the vector.
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"
import torch
from torch import nn

NETWORKS = {  # name in the Go benchmark: channels, side, batch
    "28x28/batch=32": (1, 28, 32), "28x28/batch=128": (1, 28, 128), "32x32x3/batch=32": (3, 32, 32),
    "32x32x3/batch=128": (3, 32, 128), "14x14/batch=32": (1, 14, 32), "8x8/batch=32": (1, 8, 32),
}


def operations(channels, side, batch):
    """Returns functions that compute one gradient and one Hessian-vector product."""
    net = nn.Sequential(
        nn.Conv2d(channels, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(8, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(16 * (side // 4) ** 2, 10))
    params = list(net.parameters())
    x, labels = torch.rand(batch, channels, side, side), torch.randint(0, 10, (batch,))
    v = [torch.randn_like(p) for p in params]

    def gradient():
        torch.autograd.grad(nn.functional.cross_entropy(net(x), labels), params)

    def hessian():
        grads = torch.autograd.grad(nn.functional.cross_entropy(net(x), labels), params, create_graph=True)
        torch.autograd.grad(grads, params, v)

    return gradient, hessian


def least(op, times):
    """Returns the processor time of op in milliseconds, the mean of some calls."""
    op()
    start = time.process_time()
    for _ in range(times):
        op()
    return 1e3 * (time.process_time() - start) / times


def ours(program, what, name, times):
    """Returns the same of a Go benchmark: the processor time of a run with so many calls more than another one."""
    def used(calls):
        child = subprocess.Popen([program, "-test.run", "^$", "-test.bench", f"^Benchmark{what}$/{name}/relu".replace("/", "$/^") + "$",
                                  "-test.benchtime", f"{calls}x", "-test.cpu", "1"], stdout=subprocess.PIPE)
        out = child.stdout.read().decode()
        _, status, usage = os.wait4(child.pid, 0)
        if status or f"Benchmark{what}/{name}/relu" not in out:
            sys.exit(f"no benchmark {what}/{name}:\n{out}")
        return usage.ru_utime + usage.ru_stime
    return 1e3 * (used(1 + times) - used(1)) / times


def main():
    p = argparse.ArgumentParser()
    p.add_argument("--rounds", type=int, default=5)
    p.add_argument("--calls", type=int, default=40, help="calls a round, for a minibatch of 32")
    a = p.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    go, py = {}, {}
    with tempfile.TemporaryDirectory() as scratch:
        program = os.path.join(scratch, "conv.test")
        subprocess.run(["go", "test", "-c", "-o", program, "./internal/gemm/conv"], check=True,
                       cwd=os.path.join(os.path.dirname(os.path.abspath(__file__)), ".."))
        for _ in range(a.rounds):
            for name, shape in NETWORKS.items():
                for what, op in zip(("Gradient", "Hessian"), operations(*shape)):
                    key, times = (what, name), a.calls * 32 // shape[2]
                    go[key] = min(go.get(key, float("inf")), ours(program, what, name, times))
                    py[key] = min(py.get(key, float("inf")), least(op, times))
    print(f"PyTorch {torch.__version__}, one thread each, least processor time of {a.rounds} rounds\n")
    print("| images and minibatch | gradient, PyTorch | ours | ratio | Hessian times vector, PyTorch | ours | ratio | products in gradients |\n" + "|---" * 8 + "|")
    for name in NETWORKS:
        g, h = (go[w, name] for w in ("Gradient", "Hessian"))
        G, H = (py[w, name] for w in ("Gradient", "Hessian"))
        print(f"| {name.replace('x', '×').replace('/batch=', ', ')} | {G:.3g} ms | {g:.3g} ms | {G / g:.2g} × | {H:.3g} ms | {h:.3g} ms | {H / h:.2g} × | {h / g:.2g} |")


if __name__ == "__main__":
    main()
