#!/usr/bin/env bash
# Measures what each of the network's eyes is worth where people train: the table of docs/training.md.
#
#   METAOPT_DATA=… bench/eyes.sh [META-STEPS [OUT]]
#
# Each row is one training of META-STEPS meta-steps (default 400) with seed 3, on a mixture of small images and of problems
# without images, with 12 units. The rows are trained one after another. A row shows validations on larger tasks, which no
# training saw: the geometric mean of all losses, at the best validation and at the last one. The folder OUT keeps the run
# folders.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

steps=${1:-400}
out=${2:-$(mktemp -d)}
mkdir -p "$out"
go build -o "$out/metaopt" ./cmd/metaopt

common=(
  --defaults 2 --meta-steps "$steps" --seed 3
  --task mnist,cifar10 --image-size 8,14 --units 8,16,32,64 --layers 1,2,3 --activation relu,tanh,sigmoid,gelu --weight-init he,glorot,torch,lecun --batch 8,16,32,128
  --also 'factorization dims=20,50,100 batch=16,64,256 | sinusoid dims=1,2,5 units=8,16,32 layers=1,2,3 activation=tanh,gelu,sigmoid weight-init=glorot,he,torch batch=16,64,256 | quadratic dims=2,5,10,20 batch=1 condition=1,10,100,1000'
  --valid-task 'mnist units=48 layers=1,3 activation=relu weight-init=he batch=24,96 | cifar10 units=24 layers=1 activation=relu weight-init=he batch=24,96 | mnist units=48 activation=tanh,sigmoid weight-init=glorot batch=48 | factorization dims=150 batch=32 | sinusoid dims=1,3 units=24 layers=1,2 batch=32'
  --hidden 12 --lstm-layers 1 --scale 0.01 --gain 3 --input-gain 4 --memory 100
  --steps 200 --unroll 20 --random-steps --meta-batch 4 --tensor-scaling 0.3 --hide-length 0.3
  --meta-lr 0.002 --warm-up 50 --meta-lr-decay 0.03 --clip 10 --second-derivatives --hessian exact --adjoint-clip 0.5 --objective log
  --valid-every 50 --valid-runs 12 --valid-steps 200 --selection geometric --rules none --runs 1 --quiet
)

echo "| what the network sees and does | best validation | at meta-step | the last validation | seconds a meta-step |"
echo "|---|---|---|---|---|"
row() {
  local what=$1 name
  name=$(tr -c 'a-z0-9\n' - <<<"$what")
  shift
  [ -e "$out/$name/log.jsonl" ] || "$out/metaopt" meta-train "${common[@]}" "$@" --out "$out/$name" >/dev/null
  /usr/bin/env python3 - "$what" "$out/$name/log.jsonl" <<'PYTHON'
import json, sys
what, path = sys.argv[1:]
events = [json.loads(line) for line in open(path)]
valid = [e for e in events if e["event"] == "validation"]
score = lambda e: e["valid"]["geometric"]
best = min(valid, key=lambda e: score(e))
last = valid[-1]
print(f"| {what} | {score(best):.3f} | {best['meta_step']} | {score(last):.3f} | {last['seconds'] / max(last['meta_step'], 1):.2f} |")
PYTHON
}

inputs=(--inputs momenta) readout=(--readout mix) orthogonal=(--orthogonal) fanin=(--fan-in)
all() { row "$1" "${inputs[@]}" ${context:+--context "$context"} "${readout[@]}" "${orthogonal[@]}" "${fanin[@]}"; }
context=shape+norms+feedback+time; all 'everything, a weight a coordinate'
context=norms+feedback+time;       all 'without shape'
context=shape+feedback+time;       all 'without norms'
context=shape+norms+time;          all 'without feedback'
context=shape+norms+feedback;      all 'without time'
context=;                          all 'without any context'
context=shape+norms+feedback+time
fanin=();      all 'without the division by the fan-in'; fanin=(--fan-in)
orthogonal=(--orthogonal --orthogonal-mean); all 'everything, one weight a tensor'
orthogonal=(); all 'without the orthogonal direction'
readout=(--readout linear); all 'a linear read-out, so without the directions'
inputs=(--inputs rnnprop);  all 'and with the inputs of RNNProp'
