#!/usr/bin/python3
"""Times qpth's layer, forward and backward, and ours on problems of the same sizes and distributions.

    qpth.py CHECKOUT [--repetitions N]

CHECKOUT is a folder with https://github.com/locuslab/qpth. Needs PyTorch (Debian: python3-torch,
libopenblas0-pthread) and Go. "dense": 100 variables, 100 inequalities, a batch of 128, as in qpth's
prof-linear.py. "sudoku": 64 variables, 64 inequalities, 40 equalities, a batch of 150. Both use float64. qpth runs
on one thread, on which it is faster than on two; ours runs on all cores. CPU time is that of all cores together.
"""
import argparse
import os
import re
import subprocess
import sys
import time
import types

os.environ["OMP_NUM_THREADS"] = os.environ["OPENBLAS_NUM_THREADS"] = "1"

import torch

SUDOKU, DENSE = "sudoku", "dense"


def load(checkout):
    """Imports qpth's layer. Its other solver needs cvxpy, which it imports always: an empty module stands in."""
    if not os.path.isfile(os.path.join(checkout, "qpth", "qp.py")):
        sys.exit(f"qpth.py: {checkout} is no checkout of qpth: it has no qpth/qp.py")
    try:
        import cvxpy  # noqa: F401
    except ImportError:
        sys.modules["cvxpy"] = types.ModuleType("cvxpy")
    sys.path.insert(0, checkout)
    from qpth.qp import QPFunction

    return QPFunction


def problems(kind):
    """Returns Q, p, G, h, A, b."""
    none = torch.empty(0, dtype=torch.float64)
    if kind == DENSE:
        batch, n = 128, 100
        root = torch.rand(batch, n, n, dtype=torch.float64)
        Q = root.bmm(root.transpose(1, 2)) + 1e-3 * torch.eye(n, dtype=torch.float64)
        G = torch.randn(batch, n, n, dtype=torch.float64)
        h = G.bmm(torch.randn(batch, n, 1, dtype=torch.float64)).squeeze(2) + torch.rand(batch, n, dtype=torch.float64)
        return Q, torch.randn(batch, n, dtype=torch.float64), G, h, none, none
    batch, n, rows = 150, 64, 40
    A = torch.rand(rows, n, dtype=torch.float64)
    p = torch.zeros(batch, n, dtype=torch.float64)
    p.scatter_(1, torch.randint(0, n, (batch, 5)), -1.0)
    eye = torch.eye(n, dtype=torch.float64)
    return 0.1 * eye, p, -eye, torch.zeros(n, dtype=torch.float64), A, A.sum(1)


def theirs(layer, kind, repetitions):
    """Returns CPU and wall time of forward plus backward, and the wall time of each, in seconds, of the run with the least CPU time."""
    torch.manual_seed(1)
    torch.set_num_threads(1)
    best = None
    for _ in range(repetitions):
        data = [x.requires_grad_() if x.nelement() else x for x in problems(kind)]
        up = torch.randn_like(data[1])
        wall, cpu = time.perf_counter(), time.process_time()
        z = layer(*data)
        half = time.perf_counter()
        (z * up).sum().backward()
        end = time.perf_counter()
        cpu = time.process_time() - cpu
        if best is None or cpu < best[0]:
            best = cpu, end - wall, half - wall, end - half
    return best


def ours(root, kind, repetitions):
    out = subprocess.run(["go", "test", "./qp", "-run", "^$", "-bench", f"^BenchmarkQPTH$/^{kind}$", "-benchtime", "1x", "-count", str(repetitions)],
                         cwd=root, capture_output=True, text=True, check=True).stdout
    best = None
    for line in out.splitlines():
        found = {unit: float(v) for v, unit in re.findall(r"([0-9.e+]+) ([a-z-]*/[a-z]+)", line)}
        if "cpu-ns/op" in found:
            times = [found[k] * 1e-9 for k in ("cpu-ns/op", "ns/op", "forward-ns/op", "backward-ns/op")]
            if best is None or times[0] < best[0]:
                best = times
    if best is None:
        sys.exit("qpth.py: no benchmark in\n" + out)
    return best


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkout")
    parser.add_argument("--repetitions", type=int, default=3, help="runs of each, of which the fastest counts (default 3)")
    args = parser.parse_args()
    if args.repetitions < 1:
        parser.error("--repetitions: want 1 or more")
    layer = load(os.path.abspath(args.checkout))(verbose=-1)
    root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    print("| problems | by | CPU s | wall s | forward | backward |\n|---|---|---|---|---|---|", flush=True)
    for kind in (SUDOKU, DENSE):
        mine = ours(root, kind, args.repetitions + 4)
        other = theirs(layer, kind, args.repetitions)
        for name, times in (("qpth", other), ("ours", mine)):
            print(f"| {kind} | {name} | " + " | ".join(f"{t:.4f}" for t in times) + " |")
        print(f"| {kind} | ratio | " + " | ".join(f"{t / m:.1f}" for t, m in zip(other, mine)) + " |", flush=True)


if __name__ == "__main__":
    main()
