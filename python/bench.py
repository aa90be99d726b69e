#!/usr/bin/env python3
"""Times a step of LearnedOptimizer beside torch.optim.Adam: MNIST's MLP with one layer of hidden units, 784-UNITS-10.

    bench.py FILE [UNITS] [LIBRARY]       units 128 (101,770 coordinates); the library for C as metaopt_library finds it
    THREADS=2 bench.py ...                with two threads; one by default
    TURN=1 bench.py ...                   turns of a second; 0.05 by default

Pure PyTorch, the library and Adam take turns, and each figure is the median of 15 turns, so that another program on the machine
disturbs all of them. With one thread it measures processor time, with more the time on the clock.
"""
import os
import statistics
import sys
import time

threads = int(os.environ.get("THREADS", "1"))
wanted = {name: str(threads) for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "GOMAXPROCS")}
if any(os.environ.get(name) != value for name, value in wanted.items()):  # Go reads what the process was started with
    os.execve(sys.executable, [sys.executable] + sys.argv, {**os.environ, **wanted})
import torch

import metaopt_library
from torch_optimizer import LearnedOptimizer

torch.set_num_threads(threads)
length = float(os.environ.get("TURN", "0.05"))
clock = time.process_time if threads == 1 else time.perf_counter
units = int(sys.argv[2]) if len(sys.argv) > 2 else 128
library = metaopt_library.find(sys.argv[3] if len(sys.argv) > 3 else None)


def parameters():
    torch.manual_seed(0)
    params = [torch.randn(shape, requires_grad=True) for shape in ([units, 784], [units], [10, units], [10])]
    for p in params:
        p.grad = torch.randn(p.shape)
    return params


def turn(optimizer):
    """Returns the seconds of a step, over steps that take TURN seconds or more together."""
    if threads > 1:
        time.sleep(0.1)  # threads of the turn before wait in a loop for more to do
    steps, begin = 0, clock()
    while clock() - begin < length:
        optimizer.step()
        steps += 1
    return (clock() - begin) / steps


rules = {"torch.optim.Adam": torch.optim.Adam(parameters()), "pure PyTorch": LearnedOptimizer(parameters(), sys.argv[1], library=False)}
if library is not None:
    rules["the library for C"] = LearnedOptimizer(parameters(), sys.argv[1])
    rules["the library for C"].library = library
for rule in rules.values():
    rule.step()
turns = {name: [] for name in rules}
for _ in range(15):
    for name, rule in rules.items():
        turns[name].append(turn(rule))
times = {name: statistics.median(all) for name, all in turns.items()}
print(f"a step of {sum(p.numel() for p in parameters()):,} coordinates, PyTorch {torch.__version__}, threads: {threads}")
for name, seconds in times.items():
    print(f"{name:>18}: {1e3 * seconds:8.3g} ms, {seconds / times['torch.optim.Adam']:6.3g} × Adam")
