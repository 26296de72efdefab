#!/usr/bin/env bash
# SPDX-License-Identifier: MIT
# How often the gate cries wolf, and what it finds, on this machine: gates between two builds of one source, and between it and builds of which one
# kernel computes every 20th (5%) or 33rd (3%) of its calls twice. Goes on where it stopped: a row for each gate is appended to
# results/calibration/gates.csv, and what all rows say goes to results/calibration/README.md.
#   scripts/gate_calibration.sh [ROUNDS]     each round is one gate of each kind (default 100)
set -euo pipefail
cd "$(dirname "$0")/.."
rounds=${1:-100}
folder=results/calibration work=${CALIBRATION_WORK:-build/calibration}
kernel=${CALIBRATION_KERNEL:-linear_q8_q4_avx512vnni}
file=kernels/linear/$kernel.c
[ -f "$file" ] || { echo "gate_calibration.sh: no $file; name the kernel that runs q4g32 here in CALIBRATION_KERNEL (llmsweep kernels --list)" >&2; exit 2; }
mkdir -p "$folder" "$work"

ready() { # kind, every how many calls is computed twice (0: none)
    local tree=$work/$1
    [ -x "$tree/build/llmsweep" ] && return
    mkdir -p "$tree"
    git archive HEAD | tar -x -C "$tree"
    if [ "$2" -gt 0 ]; then
        sed -i "/^LINEAR_Q8_KERNEL/i static void planted(const struct linear_call *call) {\n    static _Thread_local unsigned calls;\n    linear(call);\n    if (++calls % $2 == 0)\n        linear(call);\n}\n#define linear planted" "$tree/$file"
        grep -q planted "$tree/$file" || { echo "gate_calibration.sh: could not plant a slowdown into $file" >&2; exit 3; }
    fi
    echo "building $tree" >&2
    make -s -C "$tree" -j"$(nproc)" all
}
# Paths of equal length.
ready base-a 0
ready same-a 0
ready slow-5 20
ready slow-3 33

gates=$folder/gates.csv
[ -s "$gates" ] || echo "kind,started,commit,exit,figures,slower,faster,ambiguous,found_in_kernel,slower_elsewhere,seconds" > "$gates"
commit=$(git rev-parse --short=12 HEAD)
for ((round = 1; round <= rounds; round++)); do
    for kind in same-a slow-5 slow-3; do
        out=$work/gate
        rm -rf "$out"
        started=$(date -u +%Y-%m-%dT%H:%M:%SZ)
        code=0
        build/llmsweep gate --base "$work/base-a" --head "$work/$kind" -o "$out" --quiet ${CALIBRATION_FLAGS:-} > "$work/said" 2>&1 || code=$?
        [ -s "$out/gate.json" ] || { echo "gate_calibration.sh: a gate failed: $(tail -1 "$work/said")" >&2; exit 3; }
        python3 - "$out/gate.json" "$kernel" "$kind" "$started" "$commit" "$code" >> "$gates" << 'END'
import json, sys
found = json.load(open(sys.argv[1]))
kernel, kind, started, commit, code = sys.argv[2:]
verdicts = [(f['kernel'], f['judgement']['verdict']) for f in found['figures']]
count = lambda v: sum(w == v for _, w in verdicts)
here = sum(v == 'slower' and k == kernel for k, v in verdicts)
print(f"{kind},{started},{commit},{code},{len(verdicts)},{count('slower')},{count('faster')},{count('ambiguous')},{here},{count('slower') - here},{found['seconds']:.0f}")
END
        tail -1 "$gates" >&2
    done
done

python3 - "$gates" "$kernel" > "$folder/README.md" << 'END'
import csv, math, sys
rows = list(csv.DictReader(open(sys.argv[1])))
def wilson(k, n, z=1.96):
    p, d = k / n, 1 + z * z / n
    middle, half = (p + z * z / (2 * n)) / d, z / d * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n))
    return f'{k} of {n} ({100 * k / n:.1f}%, 95% interval {100 * (middle - half):.1f}–{100 * (middle + half):.1f}%)'
kinds = {k: [r for r in rows if r['kind'] == k] for k in ('same-a', 'slow-5', 'slow-3')}
print('# What the gate finds, and how often it cries wolf\n')
print('Made by `make gate-calibration` (scripts/gate_calibration.sh); every gate is a row of [gates.csv](gates.csv).\n')
print(f'| gates | wanted | found |\n|---|---|---|')
alarms = sum(int(r['slower']) + int(r['faster']) > 0 for r in kinds['same-a'])
print(f"| two builds of one source: any figure called slower or faster | at most 1% | {wilson(alarms, len(kinds['same-a']))} |")
for kind, share, wanted in (('slow-5', 5, 95), ('slow-3', 3, 80)):
    found = sum(int(r['found_in_kernel']) > 0 for r in kinds[kind])
    print(f'| `{sys.argv[2]}` {share}% slower: found in its figures | at least {wanted}% | {wilson(found, len(kinds[kind]))} |')
elsewhere = sum(int(r['slower_elsewhere']) > 0 for k in ('slow-5', 'slow-3') for r in kinds[k])
print(f"| the same gates: something else called slower | | {wilson(elsewhere, len(kinds['slow-5'] + kinds['slow-3']))} |")
seconds = sorted(float(r['seconds']) for r in rows)
print(f'\nFigures a gate: {rows[-1]["figures"]}. A gate took {seconds[len(seconds) // 2]:.0f} s (longest {seconds[-1]:.0f} s). '
      f'Ambiguous figures in a gate between equal builds: {sum(int(r["ambiguous"]) for r in kinds["same-a"]) / len(kinds["same-a"]):.1f} on average.')
END
cat "$folder/README.md"
