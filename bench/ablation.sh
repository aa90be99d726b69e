#!/usr/bin/env bash
# Measures the effect of each option of the trainer on MNIST, alone and together: the table of docs/training.md.
#
#   METAOPT_DATA=… bench/ablation.sh [META-STEPS [OUT]]
#
# Each row is one training of META-STEPS meta-steps (default 1,500) with seed 2. The rows are trained one after another. The optimizee has 5 hidden units, so
# that a row takes one or two minutes of a core instead of seven. A row shows the best validation loss: mean over the run's steps, and mean of the last five.
# The folder OUT keeps the run folders.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

steps=${1:-1500}
out=${2:-$(mktemp -d)}
mkdir -p "$out"
go build -o "$out/metaopt" ./cmd/metaopt

common=(--defaults 1 --task mnist --units 5 --meta-lr 0.002 --warm-up 30 --clip 10 --valid-every 50 --meta-steps "$steps" --seed 2 --rules none --runs 1 --quiet)
both=(--inputs logsign+rnnprop --p 10 --sign-p 5)
start=(--gain 3 --input-gain 3 --memory 100 --scale 0.01)
exact=(--second-derivatives)

echo "| what | best validation, mean / last five | at meta-step | seconds a meta-step |"
echo "|---|---|---|---|"
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
best = min(valid, key=lambda e: e["valid"]["mean_loss"] or float("inf"))
last = valid[-1]
print(f"| {what} | {best['valid']['mean_loss']:.3f} / {best['valid']['final_loss']:.3f} | {best['meta_step']} | {last['seconds'] / max(last['meta_step'], 1):.2f} |")
PYTHON
}

row 'all of the below' "${both[@]}" "${start[@]}" "${exact[@]}"
row 'without gains and memory' "${both[@]}" --scale 0.01 "${exact[@]}"
row 'without second derivatives' "${both[@]}" "${start[@]}"
row 'logsign alone' --inputs logsign "${start[@]}" "${exact[@]}"
row 'rnnprop alone' --inputs rnnprop --readout linear "${start[@]}" "${exact[@]}"
row 'without memory' "${both[@]}" --gain 3 --input-gain 3 --scale 0.01 "${exact[@]}"
row 'without gains' "${both[@]}" --memory 100 --scale 0.01 "${exact[@]}"
row 'none of them' --inputs logsign --scale 0.01
row 'and a clock' --inputs logsign+rnnprop+clock --p 10 --sign-p 5 "${start[@]}" "${exact[@]}"
row 'and one p for both' --inputs logsign+rnnprop --p 10 "${start[@]}" "${exact[@]}"
row 'and a tanh read-out' "${both[@]}" "${start[@]}" "${exact[@]}" --readout tanh
row 'and an exp read-out' "${both[@]}" "${start[@]}" "${exact[@]}" --readout exp
row 'and random scaling' "${both[@]}" "${start[@]}" "${exact[@]}" --random-scaling 3
row 'and a convex problem beside' "${both[@]}" "${start[@]}" "${exact[@]}" --convex
row 'and a curriculum 40, 100, 200' "${both[@]}" "${start[@]}" "${exact[@]}" --horizons 40,100,200 --valid-steps 100
row 'and imitation of Adam' "${both[@]}" "${start[@]}" "${exact[@]}" --imitate 0.3
row 'PES in place of backpropagation' "${both[@]}" "${start[@]}" --estimator pes
row 'ES in place of backpropagation' "${both[@]}" "${start[@]}" --estimator es
row 'and objective log' "${both[@]}" "${start[@]}" "${exact[@]}" --objective log
row 'and objective last' "${both[@]}" "${start[@]}" "${exact[@]}" --objective last
row 'and objective ramp' "${both[@]}" "${start[@]}" "${exact[@]}" --objective ramp
row 'and objective relative' "${both[@]}" "${start[@]}" "${exact[@]}" --objective relative
row 'and a cosine decay' "${both[@]}" "${start[@]}" "${exact[@]}" --meta-lr-decay 0.05
row 'and updates that shrink after 50 steps' "${both[@]}" "${start[@]}" "${exact[@]}" --anneal 50
row 'and random lengths up to 200' "${both[@]}" "${start[@]}" "${exact[@]}" --steps 200 --random-steps --valid-steps 100
row 'and windows of 50' "${both[@]}" "${start[@]}" "${exact[@]}" --unroll 50
row 'and clip 1' "${both[@]}" "${start[@]}" "${exact[@]}" --clip 1
row 'and a meta-batch of 4' "${both[@]}" "${start[@]}" "${exact[@]}" --meta-batch 4
