#!/usr/bin/env bash
# Counts the instructions of the arm64 kernels and of their pure-Go twins, emulated, and prints a table.
# Needs Go, gcc and qemu-user 7.2 (Debian 12). Benchmarks of both paths run the same number of rounds, so the instructions of
# all rounds have the ratio of those of one. Functions that the twins call count with them; the checks of lengths before a kernel
# do not. Drain and ELUAdjoint are left out: their twins become parts of other functions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
gcc -O1 -shared -fPIC -o "$scratch/count.so" bench/arm64/count.c
for package in simd gemm; do
  CGO_ENABLED=0 GOARCH=arm64 go test -vet=off -c -o "$scratch/$package.test" ./internal/$package
  rounds=20x only='MatMul|Cell|ELU|Outer|Inputs|Momenta'
  [ $package = simd ] || rounds=1x only='Mul|Pixels'
  qemu-aarch64 -plugin "$scratch/count.so,out=$scratch/$package.count" "$scratch/$package.test" -test.run '^$' -test.bench "$only" -test.benchtime $rounds >&2
done
printf '| kernel | pure Go, 1000 instructions | NEON | ratio |\n|---|---|---|---|\n'
# A kernel, the pattern of its twin's functions, and of its own.
while read -r kernel twin neon; do
  cat "$scratch"/*.count | kernel=$kernel twin=$twin neon=$neon awk -F '\t' '
    BEGIN { kernel = ENVIRON["kernel"]; twin = ENVIRON["twin"]; neon = ENVIRON["neon"] "(\\.|$)" }
    $1 ~ twin { go += $2 } $1 ~ neon { simd += $2 }
    END { if (!go || !simd) exit 1; printf "| `%s` | %.0f | %.0f | %.1f × |\n", kernel, go / 1e3, simd / 1e3, go / simd }'
done <<'END'
MatMul simd\.matMul\[ simd\.matMulNEON
Outer simd\.outer\[ simd\.outerNEON
Cell simd\.(cell\[|sigmoid|tanh|Sigmoid32|Tanh32) simd\.cellNEON
CellAdjoint simd\.cellAdjoint\[ simd\.cellAdjointNEON
ELU simd\.(elu\[|expm1|Expm132) simd\.eluNEON
LogAndSign (simd\.logAndSign\[|^math\.) simd\.logAndSignNEON
RNNProp simd\.rnnProp\[ simd\.rnnPropNEON
Momenta simd\.momenta\[ simd\.momentaNEON
MomentaAdjoint simd\.momentaAdjoint\[ simd\.momentaAdjointNEON
Mix simd\.mix\[ simd\.mixNEON
MixAdjoint simd\.mixAdjoint\[ simd\.mixAdjointNEON
Sums simd\.sums\[ simd\.sumsNEON
Mul gemm\.(panel|dot)$ gemm\.panelNEON
Pixels gemm\..*Pixels$ gemm\.pixelsNEON
END
