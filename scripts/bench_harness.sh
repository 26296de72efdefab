#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# What the harness itself costs, against its own limits: planning, the driver's memory, the share of a sweep that is spent measuring, a
# sample's own overhead, and building. Exits 1 if one is missed.
#
#   scripts/bench_harness.sh [SPEC]      SPEC: the sweep to run (default bench/specs/default.ini)
set -euo pipefail
cd "$(dirname "$0")/.."
spec=${1:-bench/specs/default.ini}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
missed=0

judge() { # what, figure, limit, unit, more|less
    local verdict=ok
    if ! awk -v a="$2" -v b="$3" -v how="$5" 'BEGIN { exit !(a != "" && (how == "less" ? a < b : a >= b)) }'; then
        verdict=MISSED
        missed=1
    fi
    printf '%-58s %10s %-3s (limit %s)  %s\n' "$1" "${2:-none}" "$4" "$3" "$verdict"
}
seconds() { # command… → wall seconds of the fastest of three runs: other work on the machine only adds
    local best= start end
    for _ in 1 2 3; do
        start=$(date +%s.%N)
        "$@" > /dev/null 2> "$work/stderr" || { cat "$work/stderr" >&2; exit 3; }
        end=$(date +%s.%N)
        best=$(awk -v a="$start" -v b="$end" -v c="$best" 'BEGIN { d = b - a; print (c == "" || d < c) ? sprintf("%.2f", d) : c }')
    done
    echo "$best"
}

cat > "$work/large.ini" <<'SPEC'
[sweep]
prune  = none, 10%, 20%, 30%, 40%, 50%, 60%, 70%, 80%, 90%
format = f32, q8g32, q4g32, q2g32
batch  = 1-16+1, 32, 48, 64, 96
layout = t1, t2, dp2, tp2, pp2
gen    = 2, 4, 8
SPEC
cells=$(build/llmsweep plan "$work/large.ini" | tail -n 1 | cut -d' ' -f1)
judge "planning $cells cells" "$(seconds build/llmsweep plan "$work/large.ini")" 1 s less

build/llmsweep run "$spec" -o "$work/run" --quiet > "$work/summary"
overhead() { sed -n 's/.*"'"$1"'": *\([0-9.e+-]*\).*/\1/p' "$work/run/run.json" | tail -n 1; }
judge "warm-up, samples and quality, share of a sweep's wall time" "$(overhead share)" 0.8 "" more
judge "driver's peak resident set" "$(overhead driver_peak_bytes | awk '{ printf "%.1f", $1 / 1e6 }')" 50 MB less
judge "reading the clock, largest share of any sample" "$(overhead sample_overhead | awk '{ printf "%.5f%%", $1 * 100 }')" 0.1% "" less

git ls-files -z | xargs -0 cp --parents -t "$work" 2> /dev/null
start=$(date +%s.%N)
make -s -C "$work" -j"$(nproc)" all
judge "full build on $(nproc) cores" "$(awk -v a="$start" -v b="$(date +%s.%N)" 'BEGIN { printf "%.1f", b - a }')" 60 s less
rebuild() {
    touch "$work/kernels/linear/linear_q8_q4_avx512vnni.c"
    make -s -C "$work" all
}
judge "build after touching one kernel" "$(seconds rebuild)" 5 s less
exit $missed
