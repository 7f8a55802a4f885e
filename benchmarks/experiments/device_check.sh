#!/usr/bin/env bash
# On a real device: build engines, compare them and whole pairs with the CPU, measure, and leave a report to send back.
#
#   benchmarks/experiments/device_check.sh [BUNDLE]
#
# BUNDLE must hold graphs for this TensorRT (wetgen-export ... --target cpu --target jp6). Needs wetgen in the active
# environment, TensorRT and cuda-python; no torch. Settings, by environment variables:
#   OUT=device-report  BATCHES=1,2,4,8  PAIRS=64 (a run's, for speed)  PROMPTS=FILE  PLAN=NAME  SKIP_CPU_SPEED=1
set -euo pipefail

bundle=${1:-}
out=${OUT:-device-report}
batches=${BATCHES:-1,2,4,8}
pairs=${PAIRS:-64}
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
prompts=${PROMPTS:-$here/../../examples/prompts.txt}

bundle_option=()
if [[ -n $bundle ]]; then bundle_option=(--bundle "$bundle"); fi
plan_option=()
if [[ -n ${PLAN:-} ]]; then plan_option=(--plan "$PLAN"); fi

if [[ -e $out ]]; then
    echo "$out is there already; move it away, or choose another folder: OUT=FOLDER $0" >&2
    exit 1
fi
mkdir -p "$out"

say() { printf '\n== %s\n' "$*" >&2; }

# What a command says goes to the terminal and into a file of the report; it fails if the command fails.
keep() {
    local file=$1
    shift
    "$@" 2>&1 | tee "$out/$file"
}

# Facts that may be absent on a machine are left out, not fatal.
fact() {
    if command -v "$1" >/dev/null; then
        { printf '$ %s\n' "$*"; "$@" 2>&1 || true; } >>"$out/machine.txt"
    fi
}

draw() {
    local folder=$1
    shift
    wetgen run --prompts "$prompts" "${bundle_option[@]}" "${plan_option[@]}" --out "$folder" --seed 20 "$@"
}

say "the machine"
fact uname -a
fact lscpu
fact free -m
fact nvidia-smi
fact nvpmodel -q
fact jetson_clocks --show
fact dpkg-query -W 'nvidia-jetpack' 'libnvinfer*' 'cuda-toolkit*'
if [[ -r /etc/nv_tegra_release ]]; then cat /etc/nv_tegra_release >>"$out/machine.txt"; fi
python -m pip list >"$out/packages.txt" 2>/dev/null || true
keep doctor.txt wetgen doctor

say "engines for batches of $batches, each compared with ONNX Runtime"
began=$SECONDS
build=(wetgen build)
if [[ -n $bundle ]]; then build+=("$bundle"); fi
keep build.txt "${build[@]}" --batches "$batches" --check
echo "seconds: $((SECONDS - began))" >>"$out/build.txt"

say "the same pairs on the CPU and on TensorRT"
# One try and no filter, so that both draw from the same noise.
draw "$out/pairs-cpu" --device cpu --batch 1 --tries 1 --keep-copies
IFS=, read -ra sizes <<<"$batches"
for batch in "${sizes[@]}"; do
    draw "$out/pairs-b$batch" --device tensorrt --batch "$batch" --tries 1 --keep-copies
    python -m wetgen.benchmarks.experiments.device_check compare "$out/pairs-cpu" "$out/pairs-b$batch" \
        --out "$out/verified-b$batch.json"
done

say "speed: $pairs pairs a batch size"
lines=$(grep -cvE '^[[:space:]]*(#|$)' "$prompts")
count=$(((pairs + lines - 1) / lines))
watcher=
if command -v tegrastats >/dev/null; then
    tegrastats --interval 1000 --logfile "$out/tegrastats.txt" &
    watcher=$!
elif command -v nvidia-smi >/dev/null; then
    nvidia-smi --query-gpu=timestamp,utilization.gpu,memory.used,power.draw,clocks.sm --format=csv -l 1 \
        >"$out/nvidia-smi.csv" 2>/dev/null &
    watcher=$!
fi
stop_watching() { if [[ -n $watcher ]]; then kill "$watcher" 2>/dev/null || true; fi; }
trap stop_watching EXIT
for batch in "${sizes[@]}"; do
    draw "$out/speed-tensorrt-b$batch" --device tensorrt --batch "$batch" --count "$count"
done
if [[ -z ${SKIP_CPU_SPEED:-} ]]; then draw "$out/speed-cpu" --device cpu; fi
stop_watching
watcher=

# Pictures of the speed runs are not worth sending; their run.json is.
find "$out" -path "$out/speed-*" \( -name images -o -name masks -o -name confidence \) -prune -exec rm -r {} +
python -m wetgen.benchmarks.experiments.device_check report "$out"
tar -czf "$out.tar.gz" -C "$(dirname "$out")" "$(basename "$out")"
say "done: $out/report.md; send $out.tar.gz"
