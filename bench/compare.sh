#!/usr/bin/env bash
# Compares the library with PyTorch in one command: bench/compare.sh
# Needs Go, and PyTorch for Python (Debian: apt-get install python3-torch libopenblas0-pthread).
# With METAOPT_DATA set it also measures the resident memory of a training on MNIST.
# Runs both programs alternately, twice each, and prints the table of docs/performance.md. Nothing else should run meanwhile.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
python=
for candidate in /usr/bin/python3 python3; do
  if "$candidate" -c 'import torch' 2>/dev/null; then python=$candidate; break; fi
done
[ -n "$python" ] || { echo 'no PyTorch: on Debian, apt-get install python3-torch libopenblas0-pthread' >&2; exit 1; }
go build -o "$scratch/metaopt" ./cmd/metaopt

for round in 1 2; do
  echo "round $round of 2" >&2
  "$scratch/metaopt" bench --quiet --each 3s --json "$scratch/ours.$round.json" >/dev/null
  for threads in 1 2; do
    "$python" bench/pytorch.py --threads "$threads" >"$scratch/torch.$threads.$round.json"
  done
done

if [ -n "${METAOPT_DATA:-}" ]; then
  "$python" - "$scratch" >"$scratch/resident" <<'PYTHON'
import resource, subprocess, sys
subprocess.run([f"{sys.argv[1]}/metaopt", "meta-train", "--quiet", "--task", "mnist", "--steps", "100", "--unroll", "100", "--inputs", "rnnprop",
                "--second-derivatives=false", "--meta-steps", "3", "--valid-runs", "1", "--out", f"{sys.argv[1]}/run"], check=True, stdout=subprocess.DEVNULL)
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024)
PYTHON
fi

"$python" - "$scratch" <<'PYTHON'
import glob, json, sys
load = lambda pattern: [json.load(open(f)) for f in sorted(glob.glob(f"{sys.argv[1]}/{pattern}.json"))]
ours, torch = load("ours.*"), load("torch.*.*")

def pick(reports, path, better):  # the better of the two rounds, and of PyTorch's thread counts
    values = []
    for r in reports:
        for key in path.split("."):
            r = r[key]
        values.append(r)
    return better(values)

print(f"{ours[0]['cores']} cores, kernels {ours[0]['simd']}, PyTorch {torch[0]['torch']} with 1 and with 2 threads (the better one counts)\n")
print("| what | PyTorch | ours | ratio |\n|---|---|---|---|")
for what, path in [("MNIST meta-step (15,910 coordinates, unroll 20)", "meta_step_s.mnist"),
                   ("the same with second derivatives", "second_derivatives_s.mnist"),
                   ("quadratic meta-step (1,280 coordinates, unroll 20)", "meta_step_s.quadratic"),
                   ("meta-step of a convnet on 14×14 pixels (2,698 coordinates, unroll 20)", "meta_step_s.convnet"),
                   ("the same with second derivatives", "second_derivatives_s.convnet"),
                   ("loss and gradient of the MLP, batch 128", "loss_grad_s.mnist"),
                   ("loss and gradient of the convnet, batch 32", "loss_grad_s.convnet")]:
    a, b = pick(torch, path, min), pick(ours, path, min)
    print(f"| {what} | {1e3 * a:.3g} ms | {1e3 * b:.3g} ms | {a / b:.2g} × |")
a, b = pick(torch, "update_coordinates_per_s", max), pick(ours, "update_coordinates_per_s", max)
print(f"| one update of 1,000,000 coordinates | {1e9 / a:.4g} ms | {1e9 / b:.3g} ms | {b / a:.2g} × |")
b, c = pick(ours, "half_state_update_coordinates_per_s", max), pick(ours, "memory_bytes.half_state_update_1000000", max)
print(f"| the same with a state of float16 ({c / 1e6:.0f} MB in place of {pick(ours, 'memory_bytes.update_1000000', max) / 1e6:.0f}) | {1e9 / a:.4g} ms | {1e9 / b:.3g} ms | {b / a:.2g} × |")
a, b = pick(torch, "memory_bytes.mnist_unroll_100", min), pick(ours, "memory_bytes.mnist_unroll_100", max)
print(f"| memory, MNIST meta-step with unroll 100 | {a / 1e6:.0f} MB | {b / 1e6:.0f} MB | {a / b:.2g} × |")
try:
    print(f"| ours, resident memory of metaopt meta-train on MNIST with unroll 100, inputs rnnprop | | {open(sys.argv[1] + '/resident').read().strip()} MB | |")
except FileNotFoundError:
    pass  # no METAOPT_DATA
one, both = pick(ours, "meta_step_one_core_s.mnist", min), pick(ours, "meta_step_s.mnist", min)
print(f"| ours from 1 core to {ours[0]['cores']}, MNIST meta-step | | {1e3 * one:.3g} ms to {1e3 * both:.3g} ms | {one / both:.2g} × |")
ratio = lambda what, path, over: print(f"| {what} | | | {pick(ours, path, min) / pick(ours, over, min):.3g} × |")
ratio("ours, MNIST meta-step: second derivatives over first", "second_derivatives_s.mnist", "meta_step_s.mnist")
quick = [1 / pick(ours, f"{rate}_coordinates_per_s", max) for rate in ("update", "adam")]
print(f"| ours, one update of 1,000,000 coordinates over Adam's | | {1e9 * quick[0]:.3g} ms over {1e9 * quick[1]:.3g} ms | {quick[0] / quick[1]:.3g} × |")
one, both = pick(ours, "meta_step_one_core_s.quadratic", min), pick(ours, "meta_step_s.quadratic", min)
print(f"| ours from 1 core to {ours[0]['cores']}, quadratic meta-step | | {1e3 * one:.3g} ms to {1e3 * both:.3g} ms | {one / both:.2g} × |")
peak, lstm = pick(ours, "fma_peak_gflops", max), pick(ours, "lstm_gflops", max)
forward = pick(ours, "forward_gflops", max)
print(f"| ours, share of the FMA peak ({peak:.0f} GFLOP/s): whole LSTM part, forward | | {lstm:.0f}, {forward:.0f} GFLOP/s | {100 * lstm / peak:.0f} %, {100 * forward / peak:.0f} % |")
PYTHON
