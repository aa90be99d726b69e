#!/usr/bin/env python3
"""Times LearnedOptimizer: one step on a parameter of 15,910 coordinates, as many as MNIST's MLP has.

    bench.py FILE.mopt [COORDINATES]      one core; the best of five rounds of half a second or more

It measures processor time, so that other programs on the machine matter little.
"""
import os
import sys
import time

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"  # read when BLAS is loaded
import torch

from torch_optimizer import LearnedOptimizer

torch.set_num_threads(1)
n = int(sys.argv[2]) if len(sys.argv) > 2 else 15910
p = torch.zeros(n, requires_grad=True)
p.grad = torch.randn(n)
optimizer = LearnedOptimizer([p], sys.argv[1])
optimizer.step()
best = float("inf")
for _ in range(5):
    steps, begin = 0, time.process_time()
    while time.process_time() - begin < 0.5:
        optimizer.step()
        steps += 1
    best = min(best, (time.process_time() - begin) / steps)
print(f"update of {n:,} coordinates by PyTorch {torch.__version__}: {1e3 * best:.3g} ms")
